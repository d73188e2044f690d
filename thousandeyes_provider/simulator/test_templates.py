"""Test definitions: the fields of each test type, and the validation of new tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thousandeyes_provider.api.definition_schema import FIELDS, READ_ONLY, Field
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

SIP_CREDENTIALS = tuple(_SIP)
"""Fields that requests nest in ``targetSipCredentials``. None of them is secret."""

TEMPLATES: Mapping[str, Mapping[str, Any]] = {
    "agent-to-server": {"server": "www.example.com:443", **_NETWORK, **_BANDWIDTH},
    "agent-to-agent": {"direction": "to-target", "protocol": "tcp", "pathTraceMode": "classic", **_STREAM},
    "http-server": _HTTP,
    "page-load": {**_HTTP, "pageLoadTargetTime": 6, "pageLoadTimeLimit": 10},
    "web-transactions": {
        **_HTTP,
        "targetTime": 10,
        "timeLimit": 30,
        "transactionScript": "await driver.get('https://www.example.com/');",
    },
    "api": {
        "url": "https://api.example.com/health",
        "requests": [
            {
                "name": name,
                "url": f"https://api.example.com/{path}",
                "method": method,
                "verifyCertificate": True,
                "assertions": [
                    {"name": "status-code", "operator": "is", "value": "200"},
                    {"name": "response-body", "operator": "includes", "value": text},
                ],
            }
            for name, path, method, text in (
                ("Health", "health", "get", "ok"),
                ("Sign in", "session", "post", "token"),
                ("Cart", "cart", "get", "items"),
            )
        ],
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
        "registerEnabled": False,
        "sipTargetTime": 1000,
        "sipTimeLimit": 5,
    },
    "voice": {"codec": "G.711 @ 64 Kbps", "codecId": "0", "duration": 5, "jitterBuffer": 40, **_STREAM},
}
"""Test type to the fields of its tests, without id, name, agents, target agent and DNS servers."""

_MADE_HERE = frozenset(("agents", "dnsServers", "labels", "sharedWithAccounts", "tags", "testName"))
"""Request fields that the simulator stores elsewhere, or does not store (``writeOnly`` in the API description)."""

_SECRET = frozenset(("customHeaders", "oAuth", "predefinedVariables", "credentials"))
"""Fields that the API returns in part or not at all, in addition to those marked secret in the table of fields."""


def with_defaults(test_type: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with the defaults of omitted fields, as in the API description."""
    silent: dict[str, Any] = {"verifyCertificate": False} if "verifyCertificate" in FIELDS[test_type] else {}
    return {**silent, **{name: value for name, value in definition.items() if value is not None}}


def has_target_agent(test_type: str) -> bool:
    """Return whether tests of this type measure towards an agent."""
    return test_type in ("agent-to-agent", "voice")


def result_types(test_type: str, network_measurements: bool) -> tuple[str, ...]:
    """Return the result types of a test; network and path-vis only with network measurements."""
    known = TEST_TYPES[test_type]
    always = test_type in ("agent-to-server", "agent-to-agent", "voice")
    return tuple(
        name
        for name in known.result_types
        if always or network_measurements or name in known.default or name not in ("network", "path-vis")
    )


def kept(test_type: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a definition that a test stores, without secrets and read-only fields."""
    remembered = _kept(definition, FIELDS[test_type])
    # Requests nest these fields; responses have them at the top level (API description).
    credentials = remembered.pop("targetSipCredentials", {})
    return {**remembered, **credentials}


def _kept(given: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in given.items():
        field = fields.get(name, Field("any"))
        if field.secret or value is None or name in _MADE_HERE | _SECRET | READ_ONLY:
            continue
        if field.members:
            within = field.members
            value = (
                [_kept(item, within) for item in value] if isinstance(value, list) else _kept(value, within)
            )
        elif name == "headers":  # of an api test's requests; their values may be secret
            continue
        kept[name] = value
    return kept


def mistakes(test_type: str, definition: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the field and message of each error in a definition. Agents are not looked up.

    The fields are those of :data:`thousandeyes_provider.api.definition_schema.FIELDS`. Validation is strict: it does
    not accept ``"5"`` for 5, which a definition of the provider may contain. Unknown fields are accepted, because the
    API's behavior is not documented.
    """
    problems = [(name, f"{name} is read-only") for name in definition if name in READ_ONLY]
    problems += _mistakes(definition, FIELDS[test_type], "")
    title = definition.get("testName")
    if isinstance(title, str) and not title.strip():
        problems.append(("testName", "testName must be a non-empty string"))
    return problems


def _mistakes(given: Mapping[str, Any], fields: Mapping[str, Field], path: str) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    for name, field in fields.items():
        at, value = f"{path}{name}", given.get(name)
        if value is None:
            if field.required:
                problems.append((at, f"{at} is required"))
        elif wanted := _wrong(value, field):
            problems.append((at, f"{at} must be {wanted}"))
        elif field.members:
            for position, item in enumerate(value if isinstance(value, list) else [value]):
                inside = f"{at}[{position}]" if isinstance(value, list) else at
                if isinstance(item, Mapping):
                    problems += _mistakes(item, field.members, f"{inside}.")
                else:
                    problems.append((inside, f"{inside} must be an object"))
        elif field.kind == "list" and not all(isinstance(item, str) and item for item in value):
            problems.append((at, f"each item of {at} must be a string"))
    return problems


def _wrong(value: Any, field: Field) -> str:
    """Return the expected kind of value; empty if the value is valid."""
    if field.choices and value not in field.choices:
        return f"one of {', '.join(field.choices)}"
    match field.kind:
        case "text":
            right, wanted = isinstance(value, str) and bool(value or not field.required), "a string"
        case "whole":
            right = isinstance(value, int) and not isinstance(value, bool)
            right = right and (field.low is None or value >= field.low)
            right = right and (field.high is None or value <= field.high)
            wanted = "a whole number" + ("" if field.low is None else f" from {field.low} to {field.high}")
        case "flag":
            right, wanted = isinstance(value, bool), "true or false"
        case "list":
            right, wanted = isinstance(value, list) and bool(value or not field.required), "a list"
            wanted += " with at least one item" if field.required else ""
        case "object":
            right, wanted = isinstance(value, Mapping), "an object"
        case _:
            right, wanted = isinstance(value, Mapping | list), "an object or a list"
    return "" if right else wanted
