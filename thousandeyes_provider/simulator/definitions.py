"""Test definitions: what a test of each type is made of, and what creating one requires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thousandeyes_provider.api.result_types import TEST_TYPES

DIRECTIONS = ("to-target", "from-target", "bidirectional")

_NETWORK = {
    "networkMeasurements": True,
    "mtuMeasurements": False,
    "numPathTraces": 3,
    "pathTraceMode": "classic",
    "probeMode": "auto",
}
_BANDWIDTH = {"bandwidthMeasurements": False, "protocol": "tcp"}
_HTTP = {
    "url": "https://www.example.com/",
    "authType": "none",
    "httpTargetTime": 1000,
    "httpTimeLimit": 5,
    "httpVersion": 2,
    "includeHeaders": True,
    "sslVersion": "Auto",
    "sslVersionId": "0",
    "followRedirects": True,
    "verifyCertificate": True,
    **_NETWORK,
    **_BANDWIDTH,
}
_SIP = {
    "port": 5060,
    "protocol": "tcp",
    "sipRegistrar": "sip.example.com",
    "user": "probe",
    "authUser": "probe",
}
_STREAM = {"numPathTraces": 3, "dscp": "Best Effort (DSCP 0)", "dscpId": "0", "port": 49153}

TEMPLATES: Mapping[str, Mapping[str, Any]] = {
    "agent-to-server": {"server": "www.example.com:443", **_NETWORK, **_BANDWIDTH},
    "agent-to-agent": {"direction": "to-target", "protocol": "tcp", "pathTraceMode": "classic", **_STREAM},
    "http-server": _HTTP,
    "page-load": {**_HTTP, "pageLoadTargetTime": 6, "pageLoadTimeLimit": 10, "httpInterval": 120},
    "web-transactions": {
        **_HTTP,
        "targetTime": 10,
        "timeLimit": 30,
        "transactionScript": "await driver.get('https://www.example.com/');",
    },
    "api": {
        "url": "https://api.example.com/health",
        "requests": [{"name": "Health", "url": "https://api.example.com/health", "method": "get"}],
        "timeLimit": 30,
        "sslVersionId": "0",
        "protocol": "tcp",
        **_NETWORK,
    },
    "ftp-server": {
        "url": "ftp://ftp.example.com/",
        "requestType": "download",
        "username": "anonymous",
        "ftpTargetTime": 1000,
        "ftpTimeLimit": 10,
        **_NETWORK,
        **_BANDWIDTH,
    },
    "dns-server": {
        "domain": "www.example.com A",
        "dnsTransportProtocol": "udp",
        "recursiveQueries": True,
        "dnsQueryClass": "in",
        **_NETWORK,
        **_BANDWIDTH,
    },
    "dns-trace": {"domain": "www.example.com A", "dnsTransportProtocol": "udp", "dnsQueryClass": "in"},
    "dnssec": {"domain": "www.example.com A", "dnsQueryClass": "in"},
    "sip-server": {
        **_NETWORK,
        **_SIP,
        "targetSipCredentials": _SIP,
        "registerEnabled": False,
        "sipTargetTime": 1000,
        "sipTimeLimit": 5,
    },
    "voice": {"codec": "G.711 @ 64 Kbps", "codecId": "0", "duration": 5, "jitterBuffer": 40, **_STREAM},
}
"""The fields that a test of each type has besides its id, name, agents, target agent and DNS servers."""

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "agent-to-server": ("server",),
    "agent-to-agent": ("targetAgentId",),
    "http-server": ("url",),
    "page-load": ("url",),
    "web-transactions": ("url", "transactionScript"),
    "api": ("url", "requests"),
    "ftp-server": ("url", "requestType", "username", "password"),
    "dns-server": ("domain", "dnsServers"),
    "dns-trace": ("domain",),
    "dnssec": ("domain",),
    "sip-server": ("targetSipCredentials",),
    "voice": ("targetAgentId",),
}

_LISTS = ("dnsServers", "requests")
_OBJECTS = ("targetSipCredentials",)
_NEVER_KEPT = frozenset(
    [
        "password",
        "bearerToken",
        "clientId",
        "clientSecret",
        "clientCertificate",
        "customHeaders",
        "headers",
        "oAuth",
        "postBody",
        "body",
        "predefinedVariables",
        "credentials",
        "labels",
        "tags",
        "sharedWithAccounts",
        "agents",
        "dnsServers",
        "testId",
        "testName",
        "type",
        "_links",
        "createdBy",
        "createdDate",
        "modifiedBy",
        "modifiedDate",
        "savedEvent",
        "liveShare",
    ]
)
"""Fields of a request to create a test that are secret, or that the simulator makes or keeps itself."""


def has_target_agent(test_type: str) -> bool:
    """Whether tests of this type measure towards an agent."""
    return test_type in ("agent-to-agent", "voice")


def result_types(test_type: str, network_measurements: bool) -> tuple[str, ...]:
    """The result types of a test; those of its network measurements only when they are on."""
    known = TEST_TYPES[test_type]
    always = test_type in ("agent-to-server", "agent-to-agent", "voice")
    return tuple(
        name
        for name in known.result_types
        if always or network_measurements or name in known.default or name not in ("network", "path-vis")
    )


def kept(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a definition that a created test remembers: nothing secret, nothing made by the server."""

    def without_secrets(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: without_secrets(part) for key, part in value.items() if key not in _NEVER_KEPT}
        if isinstance(value, list):
            return [without_secrets(part) for part in value]
        return value

    remembered: dict[str, Any] = without_secrets(definition)
    credentials = remembered.get("targetSipCredentials")
    return {**remembered, **credentials} if isinstance(credentials, dict) else remembered


def mistakes(test_type: str, definition: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a definition, as (field, message); the agents it names are not looked up here."""
    found = []
    for name in (*_REQUIRED[test_type], "agents"):
        value = definition.get(name)
        wanted = list if name in _LISTS or name == "agents" else dict if name in _OBJECTS else str
        if value is None:
            found.append((name, f"{name} is required"))
        elif not isinstance(value, wanted) or not value:
            kind = {list: "a list with something in it", dict: "an object", str: "a text"}[wanted]
            found.append((name, f"{name} must be {kind}"))
    agents = definition.get("agents")
    if isinstance(agents, list) and not all(
        isinstance(agent, dict) and isinstance(agent.get("agentId"), str) for agent in agents
    ):
        found.append(("agents", "each of agents must be an object with an agentId"))
    servers = definition.get("dnsServers")
    if isinstance(servers, list) and not all(isinstance(server, str) and server for server in servers):
        found.append(("dnsServers", "each of dnsServers must be a text"))
    credentials = definition.get("targetSipCredentials")
    if isinstance(credentials, dict) and not isinstance(credentials.get("port"), int):
        found.append(("targetSipCredentials.port", "targetSipCredentials.port is required"))
    title = definition.get("testName")
    if title is not None and not (isinstance(title, str) and title.strip()):
        found.append(("testName", "testName must be a text"))
    if test_type == "agent-to-agent" and definition.get("direction", DIRECTIONS[0]) not in DIRECTIONS:
        found.append(("direction", f"direction must be one of {', '.join(DIRECTIONS)}"))
    return found
