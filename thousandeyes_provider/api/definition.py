"""What the definition of an instant test may say: the fields of each type, and how people may write them.

The body of ``POST /tests/{type}/instant`` is the API's own; nothing is renamed here. One table has the fields of all
twelve types (SPEC, the ``…InstantTestRequest`` schemas), so that a wrong one is found before anything is sent, and so
that the settings of a scheduled test can be taken over for a test that runs once.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from thousandeyes_provider.api.coerce import boolean, short_text, whole_number
from thousandeyes_provider.api.declaration_errors import DeclarationErrors

LONGEST_NAME = 200
"""Characters of a test name that is made here; the API does not say how many it takes."""


class DefinitionFaults(DeclarationErrors):
    """A definition is wrong."""


@dataclass(frozen=True)
class Field:
    """What a field of a definition may hold.

    :param kind: ``text``, ``whole`` (a whole number), ``flag`` (true or false), ``list``, ``object``, or ``any`` for an
        object whose members are not checked here.
    :param required: whether a test cannot be created without it.
    :param choices: the only texts that it may be.
    :param low: the smallest number that it may be; ``None`` for no bound.
    :param high: the largest number that it may be.
    :param members: the fields of an object, or of each object of a list; of a list without them each item is a text.
    :param secret: whether its value is masked, and told in no error.
    """

    kind: str
    required: bool = False
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    members: Mapping[str, Field] = field(default_factory=dict)
    secret: bool = False


def _need(found: Field) -> Field:
    return Field(found.kind, True, found.choices, found.low, found.high, found.members, found.secret)


def _one_of(*choices: str) -> Field:
    return Field("text", choices=choices)


def _whole(low: int | None = None, high: int | None = None) -> Field:
    return Field("whole", low=low, high=high)


_TEXT, _FLAG, _TEXTS, _ANY = Field("text"), Field("flag"), Field("list"), Field("any")
_SECRET = Field("text", secret=True)

_PATHS = {"numPathTraces": _whole(1, 10)}
_TRACES = {**_PATHS, "pathTraceMode": _one_of("classic", "in-session")}
_DSCP_IDS = "0,8,16,24,32,40,48,56,10,12,14,18,20,22,26,28,30,34,36,38,46,44"
_DSCP = _one_of(*_DSCP_IDS.split(","))
_NETWORK = {
    **_TRACES,
    "mtuMeasurements": _FLAG,
    "networkMeasurements": _FLAG,
    "probeMode": _one_of("auto", "sack", "syn"),
}
_PACED = {"fixedPacketRate": _whole(0, 100)}
_PROTOCOL = {"protocol": _one_of("tcp", "icmp", "udp")}
_BANDWIDTH = {"bandwidthMeasurements": _FLAG}
_IP = {"ipv6Policy": _one_of("force-ipv4", "prefer-ipv6", "force-ipv6", "use-agent-policy")}
_PROXY = {"overrideAgentProxy": _FLAG, "overrideProxyId": _TEXT, "collectProxyNetworkData": _FLAG}
_TLS = {"sslVersionId": _one_of("0", "3", "4", "5", "6", "7"), "clientCertificate": _SECRET}
_DNS_CLASS = {"dnsQueryClass": _one_of("in", "ch")}
_DNS_TRANSPORT = {"dnsTransportProtocol": _one_of("udp", "tcp")}
_DOMAIN = {"domain": _need(_TEXT)}
_URL = {"url": _need(_TEXT)}

_OAUTH = {
    "testUrl": _TEXT,
    "requestMethod": _one_of("get", "post"),
    "postBody": _SECRET,
    "headers": _SECRET,
    "authType": _one_of("none", "basic", "ntlm"),
    "username": _TEXT,
    "password": _SECRET,
}
_HTTP = {
    **_URL,
    **_NETWORK,
    **_PACED,
    **_PROTOCOL,
    **_BANDWIDTH,
    **_PROXY,
    **_TLS,
    "agentInterfaces": _ANY,
    "allowUnsafeLegacyRenegotiation": _FLAG,
    "authType": _one_of("none", "basic", "ntlm", "kerberos", "oauth"),
    "contentRegex": _TEXT,
    "customHeaders": _ANY,
    "desiredStatusCode": _TEXT,
    "distributedTracing": _FLAG,
    "dnsOverride": _TEXT,
    "downloadLimit": _whole(),
    "followRedirects": _FLAG,
    "httpTargetTime": _whole(100, 5000),
    "httpTimeLimit": _whole(5, 60),
    "httpVersion": _whole(1, 2),
    "includeHeaders": _FLAG,
    "oAuth": Field("object", members=_OAUTH),
    "password": _SECRET,
    "useNtlm": _FLAG,
    "userAgent": _TEXT,
    "username": _TEXT,
    "vaultCredentials": _ANY,
    "verifyCertificate": _FLAG,
}
_BROWSER = {
    **_HTTP,
    "chromiumTrack": _one_of("stable", "latest"),
    "allowGeolocation": _FLAG,
    "allowMicAndCamera": _FLAG,
    "blockDomains": _TEXT,
    "browserLanguage": _TEXT,
    "chromeOptions": _TEXT,
    "chromePolicies": _TEXT,
    "disableScreenshot": _FLAG,
    "emulatedDeviceId": _TEXT,
    "identifyAgentTrafficWithUserAgent": _FLAG,
    "pageLoadingStrategy": _one_of("normal", "eager", "none"),
}
_REQUEST = {
    "name": _need(_TEXT),
    "url": _need(_TEXT),
    "assertions": _ANY,
    "authType": _one_of("none", "basic", "bearer-token", "oauth2"),
    "bearerToken": _SECRET,
    "body": _TEXT,
    "clientAuthentication": _one_of("basic-auth-header", "in-body"),
    "clientId": _SECRET,
    "clientSecret": _SECRET,
    "collectApiResponse": _FLAG,
    "headers": _ANY,
    "method": _one_of("get", "post", "put", "delete", "patch"),
    "password": _SECRET,
    "scope": _TEXT,
    "tokenUrl": _TEXT,
    "username": _TEXT,
    "variables": _ANY,
    "verifyCertificate": _FLAG,
    "waitTimeMs": _whole(),
}
_SIP = {
    "port": _need(_whole(1, 65535)),
    "authUser": _TEXT,
    "password": _SECRET,
    "protocol": _one_of("tcp", "tls", "udp"),
    "sipRegistrar": _TEXT,
    "user": _TEXT,
}
_AGENT = {"agentId": _need(_TEXT), "sourceIpAddress": _TEXT}

_COMMON = {
    "agents": _need(Field("list", members=_AGENT)),
    "testName": _TEXT,
    "description": _TEXT,
    "labels": _TEXTS,
    "sharedWithAccounts": _TEXTS,
    "tags": _TEXTS,
    "randomizedStartTime": _FLAG,
}

FIELDS: Mapping[str, Mapping[str, Field]] = {
    test_type: {**_COMMON, **own}
    for test_type, own in {
        "agent-to-server": {
            "server": _need(_TEXT),
            **_NETWORK,
            **_PACED,
            **_PROTOCOL,
            **_BANDWIDTH,
            **_IP,
            "continuousMode": _FLAG,
            "dscpId": _DSCP,
            "pingPayloadSize": _whole(0, 1400),
        },
        "agent-to-agent": {
            "targetAgentId": _need(_TEXT),
            **_TRACES,
            **_PACED,
            "direction": _one_of("to-target", "from-target", "bidirectional"),
            "dscpId": _DSCP,
            "mss": _whole(20, 1400),
            "port": _whole(1, 65535),
            "protocol": _one_of("tcp", "udp"),
            "throughputDuration": _whole(5000, 30000),
            "throughputMeasurements": _FLAG,
            "throughputRate": _whole(8, 1000),
        },
        "http-server": {
            **_HTTP,
            **_IP,
            "headers": Field("list", secret=True),
            "postBody": _TEXT,
            "requestMethod": _one_of("get", "post"),
        },
        "page-load": {**_BROWSER, "pageLoadTargetTime": _whole(1, 60), "pageLoadTimeLimit": _whole(5, 60)},
        "web-transactions": {
            **_BROWSER,
            "transactionScript": _need(_TEXT),
            "credentials": _TEXTS,
            "flagCollectConsoleLogs": _FLAG,
            "targetTime": _whole(1, 180),
            "timeLimit": _whole(5, 180),
        },
        "api": {
            **_URL,
            **_NETWORK,
            **_PROTOCOL,
            **_PROXY,
            **_TLS,
            "requests": _need(Field("list", members=_REQUEST)),
            "clientCertDomainsAllowList": _TEXT,
            "credentials": _TEXTS,
            "distributedTracing": _FLAG,
            "followRedirects": _FLAG,
            "predefinedVariables": _ANY,
            "vaultCredentials": _ANY,
            "targetTime": _whole(0, 60),
            "timeLimit": _whole(5, 180),
        },
        "ftp-server": {
            **_URL,
            "requestType": _need(_one_of("download", "upload", "list")),
            "username": _need(_TEXT),
            "password": _need(_SECRET),
            **_NETWORK,
            **_PACED,
            **_PROTOCOL,
            **_BANDWIDTH,
            **_IP,
            "downloadLimit": _whole(),
            "ftpTargetTime": _whole(1000, 6000),
            "ftpTimeLimit": _whole(10, 60),
            "useActiveFtp": _FLAG,
            "useExplicitFtps": _FLAG,
        },
        "dns-server": {
            **_DOMAIN,
            "dnsServers": _need(_TEXTS),
            **_NETWORK,
            **_PACED,
            **_PROTOCOL,
            **_BANDWIDTH,
            **_IP,
            **_DNS_CLASS,
            **_DNS_TRANSPORT,
            "recursiveQueries": _FLAG,
        },
        "dns-trace": {**_DOMAIN, **_DNS_CLASS, **_DNS_TRANSPORT},
        "dnssec": {**_DOMAIN, **_DNS_CLASS},
        "sip-server": {
            "targetSipCredentials": _need(Field("object", members=_SIP)),
            **_NETWORK,
            **_PACED,
            **_IP,
            "optionsRegex": _TEXT,
            "registerEnabled": _FLAG,
            "sipTargetTime": _whole(100, 5000),
            "sipTimeLimit": _whole(5, 10),
        },
        "voice": {
            "targetAgentId": _need(_TEXT),
            **_PATHS,
            "codecId": _TEXT,
            "dscpId": _DSCP,
            "duration": _whole(5, 30),
            "jitterBuffer": _whole(0, 150),
            "port": _whole(1024, 65535),
        },
    }.items()
}
"""The fields of each test type that a request may have. Source: SPEC, and the SDK, whose description is newer."""

READ_ONLY = frozenset(
    (
        "testId",
        "type",
        "createdBy",
        "createdDate",
        "modifiedBy",
        "modifiedDate",
        "savedEvent",
        "liveShare",
        "_links",
        "dscp",
        "codec",
        "sslVersion",
    )
)
"""Fields that ThousandEyes sets itself (SPEC)."""

SCHEDULING = frozenset(
    (
        "interval",
        "subinterval",
        "httpInterval",
        "enabled",
        "alertsEnabled",
        "alertRules",
        "bgpMeasurements",
        "usePublicBgp",
        "monitors",
    )
)
"""Fields of scheduled tests that instant tests do not have (SPEC)."""

_NOT_A_SETTING = frozenset(("testName", "labels", "sharedWithAccounts"))
"""Fields that say which test it is, or who sees it, and nothing of how it measures."""

_SECRET_NAME = re.compile(r"auth|cookie|token|secret|passw|pwd|api-?key|private", re.IGNORECASE)
"""Names of headers and variables whose values are taken for secrets."""


def read_definition(
    test_type: str,
    definition: Mapping[str, Any],
    *,
    name: str = "definition",
    partial: bool = False,
    known: Callable[[Any], bool] = lambda value: True,
) -> dict[str, Any]:
    """The body of a request that creates a test, with each value as the JSON type that the API wants.

    Numbers and flags may be written as text, which is what a rendered template gives. Agents may be ids, names, or
    objects with ``agentId`` or ``agentName``; see :func:`with_agent_ids`.

    :param test_type: one of the twelve.
    :param definition: as a person wrote it.
    :param name: what it is called in faults.
    :param partial: whether required fields may be missing, as they may in what changes an existing definition.
    :param known: whether a value is final; one that is not (a template) is not looked at.
    :raises DefinitionFaults: everything that is wrong, each with its path and what would be right.
    """
    faults: list[str] = []
    body = _object(definition, FIELDS[test_type], name, _Reading(test_type, faults, partial, known), top=True)
    if faults:
        raise DefinitionFaults(faults)
    return body


def unknown_fields(test_type: str, definition: Mapping[str, Any]) -> list[str]:
    """A sentence for each field that the API description does not have; not an error, since the API grows."""
    fields = FIELDS[test_type]
    told = []
    for name in definition:
        if name in fields or name in READ_ONLY or name in SCHEDULING:
            continue
        near = difflib.get_close_matches(str(name), fields, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        told.append(f"definition[{json.dumps(str(name))}] is not known for {test_type} tests{hint}")
    return told


def with_agent_ids(body: Mapping[str, Any], agents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A body whose agents are all given by id.

    :param body: what :func:`read_definition` returned.
    :param agents: the agents that there are, as ``GET /agents`` lists them; those without an id are left out.
    :raises DefinitionFaults: for each name that no agent has, or several have, with the near ones.
    """
    listed = [agent for agent in agents if short_text(agent.get("agentId")).strip()]
    faults: list[str] = []

    def resolve(name: str, path: str) -> str:
        found = [agent for agent in listed if _same(agent.get("agentName"), name)]
        ids = sorted({short_text(agent["agentId"]).strip() for agent in found})
        if len(ids) == 1:
            return ids[0]
        if ids:
            faults.append(
                f"{path}: {name!r} is the name of {len(ids)} agents; give the id, one of {', '.join(ids)}"
            )
        else:
            names = {short_text(agent.get("agentName")): short_text(agent["agentId"]) for agent in listed}
            near = (
                difflib.get_close_matches(name, names, n=3, cutoff=0.5)
                or [one for one in names if name.casefold() in one.casefold()][:3]
            )
            hint = ", ".join(f"{one!r} ({names[one]})" for one in near)
            faults.append(
                f"{path}: no agent is called {name!r}"
                + (f"; near: {hint}" if hint else f"; {len(names)} agents are listed")
            )
        return name

    found = dict(body)
    if isinstance(body.get("agents"), list):
        found["agents"] = [
            {
                "agentId": resolve(agent["agentName"], f'definition["agents"][{position}]'),
                **{name: value for name, value in agent.items() if name != "agentName"},
            }
            if "agentName" in agent
            else agent
            for position, agent in enumerate(body["agents"])
        ]
    target = body.get("targetAgentId")
    if isinstance(target, str) and not _is_id(target):
        found["targetAgentId"] = resolve(target, 'definition["targetAgentId"]')
    if faults:
        raise DefinitionFaults(faults)
    return found


def names_agents(body: Mapping[str, Any]) -> bool:
    """Whether :func:`with_agent_ids` has anything to look up."""
    agents, target = body.get("agents"), body.get("targetAgentId")
    named = isinstance(agents, list) and any("agentName" in agent for agent in agents)
    return named or (isinstance(target, str) and not _is_id(target))


def settings_of(test_type: str, test: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of an existing test, scheduled or instant, as the definition of one that runs once.

    Left out are what ThousandEyes sets itself, the schedule and alerts, the name (which has to be unique), labels and
    sharing, and whatever the API description of instant tests does not have.

    :param test: its definition, as ``GET /tests/{type}/{testId}?expand=agent`` gives it.
    :return: the definition, and the names of the fields that were left out because they are not known.
    """
    fields = FIELDS[test_type]
    told = dict(test)
    if test_type == "sip-server" and "targetSipCredentials" not in told:
        # A test that exists has them side by side with the rest (SPEC, SipServerInstantTestResponse).
        told["targetSipCredentials"] = {name: told.pop(name) for name in _SIP if name in told}
    taken = {
        name: value
        for name, value in told.items()
        if name in fields and name not in _NOT_A_SETTING and value is not None
    }
    if isinstance(taken.get("agents"), list):
        taken["agents"] = [
            {"agentId": agent_id}
            for agent in taken["agents"]
            if isinstance(agent, Mapping) and (agent_id := short_text(agent.get("agentId")))
        ]
    if isinstance(taken.get("dnsServers"), list):
        taken["dnsServers"] = [
            server.get("serverName") if isinstance(server, Mapping) else server
            for server in taken["dnsServers"]
        ]
    ignored = READ_ONLY | SCHEDULING | _NOT_A_SETTING
    return taken, sorted(name for name in told if name not in fields and name not in ignored)


def overridden(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` changed by ``overrides``: objects are merged, ``None`` removes, anything else is put in place."""
    found = dict(settings)
    for name, value in overrides.items():
        if value is None:
            found.pop(name, None)
            continue
        before = found.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[name] = overridden(before, value) if both else value  # type: ignore[arg-type]
    return found


def lacking_credentials(test_type: str, body: Mapping[str, Any]) -> list[str]:
    """Paths of the credentials that a test logs in with and that its definition does not have.

    The API never gives them back (SPEC, ``writeOnly``), so a definition that was taken from a test lacks them.
    """
    lacking: list[str] = []

    def need(holder: Any, path: str, *names: str) -> None:
        have = holder if isinstance(holder, Mapping) else {}
        lacking.extend(f'{path}["{name}"]' for name in names if not have.get(name))

    kind = str(body.get("authType") or "none")
    if kind in ("basic", "ntlm", "kerberos"):
        need(body, "definition", "password")
    o_auth = body.get("oAuth")
    if kind == "oauth" and (not isinstance(o_auth, Mapping) or o_auth.get("authType", "none") != "none"):
        need(o_auth, 'definition["oAuth"]', "password")
    if test_type == "ftp-server":
        need(body, "definition", "password")
    sip = body.get("targetSipCredentials")
    if isinstance(sip, Mapping) and (sip.get("authUser") or body.get("registerEnabled") is True):
        need(sip, 'definition["targetSipCredentials"]', "password")
    requests = body.get("requests")
    for position, request in enumerate(requests if isinstance(requests, list) else ()):
        if isinstance(request, Mapping):
            names = {
                "basic": ("password",),
                "bearer-token": ("bearerToken",),
                "oauth2": ("clientId", "clientSecret"),
            }.get(str(request.get("authType")), ())
            need(request, f'definition["requests"][{position}]', *names)
    return lacking


def secrets_in(definition: Any) -> Iterator[str]:
    """Everything in a definition that nobody should read in a log: passwords, tokens, certificates, header values."""
    if isinstance(definition, Mapping):
        pair = definition.get("name", definition.get("key"))
        if isinstance(pair, str) and _SECRET_NAME.search(pair):
            # A header of a request, or a variable: {"key": …, "value": …}, {"name": …, "value": …}.
            yield from _told(definition.get("value"))
        for name, value in definition.items():
            if name in _SECRET_FIELDS or (_SECRET_NAME.search(str(name)) and name not in _HARMLESS):
                yield from _told(value)
            yield from secrets_in(value)
    elif isinstance(definition, list | tuple):
        for value in definition:
            header, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
            if colon and _SECRET_NAME.search(header) and rest.strip():
                yield rest.strip()
            elif not isinstance(value, str):
                yield from secrets_in(value)


def _told(secret: Any) -> Iterator[str]:
    """A secret as text, unless there is nothing to hide: none has a single character, and hiding nothing, or every "1",
    would leave no error readable. YAML makes a number of a password of digits.
    """
    text = str(secret) if isinstance(secret, str | int) and not isinstance(secret, bool) else ""
    if len(text.strip()) > 1:
        yield text


def default_name(dag_id: str, task_id: str, run_id: str, map_index: int, try_number: int) -> str:
    """A name for a test that no other task, run or try gives; ThousandEyes keeps names unique (SPEC).

    :param map_index: -1 for a task that is not mapped.
    :param try_number: 1 for the first.
    """
    name = f"{dag_id}.{task_id} {run_id}"
    name += f" [{map_index}]" if map_index >= 0 else ""
    name += f" try {try_number}" if try_number > 1 else ""
    if len(name) <= LONGEST_NAME:
        return name
    import hashlib

    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: LONGEST_NAME - len(digest) - 1]} {digest}"


_SECRET_FIELDS = frozenset(
    name
    for fields in (*FIELDS.values(), _OAUTH, _REQUEST, _SIP)
    for name, found in fields.items()
    if found.secret and found.kind == "text"
)
_HARMLESS = frozenset(("authType", "authUser", "clientAuthentication", "secretId", "tokenUrl"))
"""Fields whose names sound like secrets and that are none."""


@dataclass
class _Reading:
    """What reading a definition needs on its way down, and where the faults go."""

    test_type: str
    faults: list[str]
    partial: bool
    known: Callable[[Any], bool]


def _object(
    value: Any, fields: Mapping[str, Field], path: str, reading: _Reading, *, top: bool = False
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, told in value.items():
        at = f"{path}[{json.dumps(str(name))}]"
        if top and name in READ_ONLY:
            reading.faults.append(f"{at}: ThousandEyes sets it itself; leave it out")
        elif top and name in SCHEDULING:
            reading.faults.append(f"{at}: only scheduled tests have it; leave it out")
        elif name in fields:
            if told is not None:
                found[name] = _value(told, fields[name], at, reading)
        else:
            found[name] = told
    lacking = [name for name, one in fields.items() if one.required and found.get(name) is None]
    if not reading.partial:
        reading.faults += [
            f"{path}[{json.dumps(name)}]: required for {reading.test_type} tests{_near(name, value, fields)}"
            for name in lacking
        ]
    return found


def _near(name: str, value: Mapping[str, Any], fields: Mapping[str, Field]) -> str:
    strange = [str(given) for given in value if given not in fields]
    near = difflib.get_close_matches(name, strange, n=1)
    return f"; is {near[0]!r} meant for it?" if near else ""


def _value(value: Any, wanted: Field, path: str, reading: _Reading) -> Any:
    if not reading.known(value):
        return value
    if isinstance(value, Enum):
        # Of the official SDK's models.
        value = value.value
    read = _READERS[wanted.kind]
    found, expected = read(value, wanted, path, reading)
    if expected:
        # Headers and variables are objects; as a text, nobody knows what of it is secret.
        secret = wanted.secret or wanted.kind == "any" or any(secrets_in(value))
        shown = "the value (not shown)" if secret else _shown(value)
        reading.faults.append(f"{path}: {shown} is not {expected}")
    return found


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:79] + "\N{HORIZONTAL ELLIPSIS}"


def _text(value: Any, wanted: Field, path: str, reading: _Reading) -> tuple[Any, str]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or (wanted.required and not value.strip()):
        return value, f"one of {', '.join(wanted.choices)}" if wanted.choices else "a text"
    if wanted.choices and value not in wanted.choices:
        near = difflib.get_close_matches(value, wanted.choices, n=1)
        return value, f"one of {', '.join(wanted.choices)}" + (f"; did you mean {near[0]!r}?" if near else "")
    return value, ""


def _whole_number(value: Any, wanted: Field, path: str, reading: _Reading) -> tuple[Any, str]:
    found = whole_number(value)
    low, high = wanted.low, wanted.high
    inside = found is not None and (low is None or found >= low) and (high is None or found <= high)
    if inside:
        return found, ""
    return value, "a whole number" + ("" if low is None else f" from {low} to {high}")


def _flag(value: Any, wanted: Field, path: str, reading: _Reading) -> tuple[Any, str]:
    found = boolean(value)
    return (value, "true or false") if found is None else (found, "")


def _list(value: Any, wanted: Field, path: str, reading: _Reading) -> tuple[Any, str]:
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, list) or (wanted.required and not value):
        return value, "a list with something in it" if wanted.required else "a list"
    found = []
    for position, item in enumerate(value):
        at = f"{path}[{position}]"
        if wanted.members is _AGENT:
            item = _agent(item) if reading.known(item) else item
        if not reading.known(item):
            found.append(item)
        elif not wanted.members:
            found.append(_value(item, Field("text", required=True, secret=wanted.secret), at, reading))
        elif isinstance(item, Mapping):
            # An agent by its name is looked up later.
            members = {**_AGENT, "agentId": _TEXT} if "agentName" in item else wanted.members
            # Lists are replaced, not merged: whatever is in one has to be whole.
            found.append(_object(item, members, at, replace(reading, partial=False)))
        else:
            shown = _shown(item) if wanted.members is _AGENT else "the value (not shown)"
            reading.faults.append(f"{at}: {shown} is not an object")
    return found, ""


def _agent(item: Any) -> Any:
    """An agent that was given as an id or a name alone, as the object that the API wants."""
    if isinstance(item, int) and not isinstance(item, bool):
        return {"agentId": str(item)}
    if isinstance(item, str) and item.strip():
        return {"agentId" if _is_id(item) else "agentName": item.strip()}
    if isinstance(item, Mapping) and item.get("agentId") and "agentName" in item:
        return {name: value for name, value in item.items() if name in _AGENT}
    return item


def _is_id(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdigit()


def _same(name: Any, wanted: str) -> bool:
    return isinstance(name, str) and name.strip().casefold() == wanted.strip().casefold()


def _members(value: Any, wanted: Field, path: str, reading: _Reading) -> tuple[Any, str]:
    if not isinstance(value, Mapping):
        return value, "an object"
    return _object(value, wanted.members, path, reading), ""


def _as_it_is(value: Any, wanted: Field, path: str, reading: _Reading) -> tuple[Any, str]:
    return (value, "") if isinstance(value, Mapping | list) else (value, "an object or a list")


_READERS: Mapping[str, Callable[[Any, Field, str, _Reading], tuple[Any, str]]] = {
    "text": _text,
    "whole": _whole_number,
    "flag": _flag,
    "list": _list,
    "object": _members,
    "any": _as_it_is,
}
