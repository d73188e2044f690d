"""Parsing of the definition of an instant test: types, required fields, agents by name, secrets.

The fields are in :mod:`~thousandeyes_provider.api.definition_schema`. Wrong types, missing
fields and misspelt choices are errors. Choices, ranges and fields outside the API description are warnings: the
description may be older than the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from thousandeyes_provider.api.coerce import (
    boolean,
    check_structure,
    closest,
    closest_names,
    did_you_mean,
    objects_in,
    short_text,
    shorten,
    whole_number,
)
from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.api.definition_schema import (
    AGENT_FIELDS,
    FIELDS,
    READ_ONLY,
    SCHEDULING,
    SECRET_FIELDS,
    SIP_FIELDS,
    TEXT,
    Field,
)

MAX_TEST_NAME = 200
"""Characters of a generated test name; the limit of the API is not documented."""

MAX_WARNINGS = 20
"""Warnings that are listed, and misspelt names that get a suggestion; each suggestion takes about 0.5 ms."""

_IDENTITY_FIELDS = frozenset(("testName", "labels", "sharedWithAccounts"))
"""Fields that identify a test or share it, and do not change what it measures."""

_SECRET_NAME = re.compile(r"auth|cookie|token|secret|passw|pwd|api-?key|private", re.IGNORECASE)
"""Names of headers and variables whose values are treated as secrets."""

_NOT_SECRET = frozenset(("authType", "authUser", "clientAuthentication", "secretId", "tokenUrl"))
"""Fields with names like those of secrets."""


def read_definition(
    test_type: str,
    definition: Mapping[str, Any],
    *,
    name: str = "definition",
    partial: bool = False,
    known: Callable[[Any], bool] = lambda value: True,
) -> dict[str, Any]:
    """Return the body of a request that creates a test, with each value as the JSON type that the API expects.

    Numbers and flags may be text, the form of a rendered template. Agents may be ids, names, or objects with
    ``agentId`` or ``agentName``; see :func:`with_agent_ids`.

    :param test_type: one of the twelve types.
    :param name: its name in errors.
    :param partial: whether required fields may be missing, as in what overrides an existing definition.
    :param known: whether a value is final; other values (templates) are not checked.
    :raises DeclarationErrors: with path and expectation of every problem.
    """
    reader = _Reader(test_type, [], [], partial, known)
    body = _read_top(definition, name, reader)
    if reader.errors:
        raise DeclarationErrors(reader.errors)
    return body


def definition_warnings(test_type: str, definition: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each part of a definition that the API description does not have.

    These are unknown fields, values outside a range or a list of choices, and fields of scheduled tests. They are sent
    as they are. At most :data:`MAX_WARNINGS` are listed, with the number of the others.
    """
    reader = _Reader(test_type, [], [], True, lambda value: True)
    _read_top(definition, "definition", reader)
    more = len(reader.warnings) - MAX_WARNINGS
    return reader.warnings[:MAX_WARNINGS] + ([f"definition: {more} more warnings"] if more > 0 else [])


def with_agent_ids(body: Mapping[str, Any], agents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a body with an id for each agent.

    :param body: what :func:`read_definition` returned.
    :param agents: the agents of ``GET /agents``; agents without an id are left out.
    :raises DeclarationErrors: for each name that no agent has, with close names, or that several agents have.
    """
    listed = [
        (short_text(agent.get("agentName")), agent_id)
        for agent in agents
        if (agent_id := short_text(agent.get("agentId")).strip())
    ]
    ids_of: dict[str, set[str]] = {}
    for agent_name, agent_id in listed:
        ids_of.setdefault(agent_name.strip().casefold(), set()).add(agent_id)
    errors: list[str] = []

    def resolve(name: str, path: str) -> str:
        ids = sorted(ids_of.get(name.strip().casefold(), ()))
        if len(ids) == 1:
            return ids[0]
        if ids:
            errors.append(f"{path}: {len(ids)} agents are named {name!r}; use an id: {', '.join(ids)}")
        else:
            hint = _close_agents(name, dict(listed)) if len(errors) < MAX_WARNINGS else ""
            errors.append(f"{path}: no agent is named {name!r}{hint}")
        return name

    result = dict(body)
    if isinstance(body.get("agents"), list):
        result["agents"] = [
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
        result["targetAgentId"] = resolve(target, 'definition["targetAgentId"]')
    if errors:
        raise DeclarationErrors(errors)
    return result


def _close_agents(name: str, ids: Mapping[str, str]) -> str:
    close = (
        closest_names(name, ids)
        or [agent_name for agent_name in ids if name.casefold() in agent_name.casefold()][:3]
    )
    if not close:
        return f"; {len(ids)} agents are listed"
    return f"; close names: {'; '.join(f'{agent_name!r} ({ids[agent_name]})' for agent_name in close)}"


def names_agents(body: Mapping[str, Any]) -> bool:
    """Return whether :func:`with_agent_ids` must look up a name."""
    agents, target = body.get("agents"), body.get("targetAgentId")
    named = isinstance(agents, list) and any("agentName" in agent for agent in agents)
    return named or (isinstance(target, str) and not _is_id(target))


def settings_of(test_type: str, test: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of an existing test as the definition of an instant test.

    Left out are the fields that ThousandEyes sets, the schedule and alerts, the name (which is unique), labels and
    sharing, and unknown fields.

    :param test: its definition, as returned by ``GET /tests/{type}/{testId}?expand=agent``.
    :return: the definition, and the unknown fields that were left out.
    """
    fields = FIELDS[test_type]
    source = dict(test)
    if test_type == "sip-server" and "targetSipCredentials" not in source:
        # The definition of an existing test has these fields at the top level.
        source["targetSipCredentials"] = {name: source.pop(name) for name in SIP_FIELDS if name in source}
    settings = {
        name: value
        for name, value in source.items()
        if name in fields and name not in _IDENTITY_FIELDS and value is not None
    }
    if isinstance(settings.get("agents"), list):
        settings["agents"] = [
            {"agentId": agent_id}
            for agent in objects_in(settings["agents"])
            if (agent_id := short_text(agent.get("agentId")))
        ]
    if isinstance(settings.get("dnsServers"), list):
        settings["dnsServers"] = [
            server.get("serverName") if isinstance(server, Mapping) else server
            for server in settings["dnsServers"]
        ]
    ignored = READ_ONLY | SCHEDULING | _IDENTITY_FIELDS
    return settings, sorted(name for name in source if name not in fields and name not in ignored)


def overridden(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings`` with ``overrides``: objects are merged, ``None`` removes, anything else replaces."""
    result = dict(settings)
    for name, value in overrides.items():
        if value is None:
            result.pop(name, None)
            continue
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = overridden(before, value) if both else value  # type: ignore[arg-type]
    return result


def missing_credentials(test_type: str, body: Mapping[str, Any]) -> list[str]:
    """Return the paths of the credentials that a test needs and its definition does not have.

    The API never returns credentials, so a definition that was taken from a test has none.
    """
    missing: list[str] = []

    def need(holder: Any, path: str, *names: str) -> None:
        fields = holder if isinstance(holder, Mapping) else {}
        missing.extend(f'{path}["{name}"]' for name in names if not fields.get(name))

    auth_type = str(body.get("authType") or "none")
    if auth_type in ("basic", "ntlm", "kerberos"):
        need(body, "definition", "password")
    o_auth = body.get("oAuth")
    if auth_type == "oauth" and (not isinstance(o_auth, Mapping) or o_auth.get("authType", "none") != "none"):
        need(o_auth, 'definition["oAuth"]', "password")
    if test_type == "ftp-server":
        need(body, "definition", "password")
    sip = body.get("targetSipCredentials")
    if isinstance(sip, Mapping) and (sip.get("authUser") or body.get("registerEnabled") is True):
        need(sip, 'definition["targetSipCredentials"]', "password")
    credentials = {
        "basic": ("password",),
        "bearer-token": ("bearerToken",),
        "oauth2": ("clientId", "clientSecret"),
    }
    for position, request in enumerate(objects_in(body.get("requests"))):
        names = credentials.get(str(request.get("authType")), ())
        need(request, f'definition["requests"][{position}]', *names)
    return missing


def secrets_in(definition: Any) -> Iterator[str]:
    """Yield every secret in a definition: passwords, tokens, certificates, values of headers and variables.

    Yields nothing for a structure that is too deep or too large, which :func:`read_definition` refuses.
    """
    try:
        check_structure(definition)
    except ValueError:
        return
    yield from _secrets_in(definition)


def _secrets_in(definition: Any) -> Iterator[str]:
    if isinstance(definition, Mapping):
        pair = definition.get("name", definition.get("key"))
        if isinstance(pair, str) and _SECRET_NAME.search(pair):
            # A header of a request, or a variable: {"key": …, "value": …}, {"name": …, "value": …}.
            yield from _secret_text(definition.get("value"))
        for name, value in definition.items():
            if name in SECRET_FIELDS or (_SECRET_NAME.search(str(name)) and name not in _NOT_SECRET):
                yield from _secret_text(value)
            yield from _secrets_in(value)
    elif isinstance(definition, list | tuple):
        for value in definition:
            header, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
            if colon and _SECRET_NAME.search(header) and rest.strip():
                yield rest.strip()
            elif not isinstance(value, str):
                yield from _secrets_in(value)


def _secret_text(secret: Any) -> Iterator[str]:
    """A secret as text. YAML makes a number of a password of digits.

    A single character is not treated as a secret, because masking every "1" would make logs unreadable.
    """
    text = str(secret) if isinstance(secret, str | int) and not isinstance(secret, bool) else ""
    if len(text.strip()) > 1:
        yield text


def default_name(dag_id: str, task_id: str, run_id: str, map_index: int, try_number: int) -> str:
    """Return a test name that no other task, run or try uses; ThousandEyes requires unique names.

    :param map_index: -1 for a task that is not mapped.
    :param try_number: 1 for the first try.
    """
    name = f"{dag_id}.{task_id} {run_id}"
    name += f" [{map_index}]" if map_index >= 0 else ""
    name += f" try {try_number}" if try_number > 1 else ""
    if len(name) <= MAX_TEST_NAME:
        return name
    import hashlib

    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: MAX_TEST_NAME - len(digest) - 1]} {digest}"


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """The state of reading a definition."""

    test_type: str
    errors: list[str]
    warnings: list[str]
    partial: bool
    known: Callable[[Any], bool]


def _read_top(definition: Mapping[str, Any], name: str, reader: _Reader) -> dict[str, Any]:
    try:
        check_structure(definition)
    except ValueError as error:
        reader.errors.append(f"{name}: {error}")
        return {}
    return _object(definition, FIELDS[reader.test_type], name, reader, is_top=True)


def _object(
    value: Mapping[Any, Any], fields: Mapping[str, Field], path: str, reader: _Reader, *, is_top: bool = False
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, given in value.items():
        inner = f"{path}[{json.dumps(str(name))}]"
        if name in fields:
            if given is not None:
                result[name] = _value(given, fields[name], inner, reader)
        elif is_top and name in READ_ONLY:
            reader.errors.append(f"{inner}: set by ThousandEyes; remove it")
        else:
            result[name] = given
            if is_top:
                problem = "has no effect: instant tests have no schedule and no alerts"
                if name not in SCHEDULING:
                    hint = did_you_mean(name, fields) if len(reader.warnings) < MAX_WARNINGS else ""
                    problem = f"is not known for {reader.test_type} tests{hint}"
                reader.warnings.append(f"{inner} {problem}")
    if not reader.partial:
        unknown = [str(name) for name in value if name not in fields][:MAX_WARNINGS]
        for name, field in fields.items():
            if field.required and result.get(name) is None:
                misspelt = closest(name, unknown)
                hint = f"; is {misspelt!r} a misspelling?" if misspelt else ""
                reader.errors.append(
                    f"{path}[{json.dumps(name)}]: required for {reader.test_type} tests{hint}"
                )
    return result


def _value(value: Any, field: Field, path: str, reader: _Reader) -> Any:
    if not reader.known(value):
        return value
    if isinstance(value, Enum):
        # The models of the official SDK have enums.
        value = value.value
    result, expected, is_error = _READERS[field.kind](value, field, path, reader)
    if expected:
        # Headers and variables are objects; in a text, any part may be secret.
        secret = field.secret or field.kind == "any" or any(secrets_in(value))
        text = f"{'the value (not shown)' if secret else _shown(value)} is not {expected}"
        if is_error:
            reader.errors.append(f"{path}: {text}")
        else:
            reader.warnings.append(f"{path}: {text}")
    return result


def _shown(value: Any) -> str:
    return shorten(json.dumps(value, ensure_ascii=False, default=str), 80)


_Read = tuple[Any, str, bool]
"""Return the value to send, the expectation (empty for a valid value), and whether a mismatch is an error."""


def _text(value: Any, field: Field, path: str, reader: _Reader) -> _Read:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    choices = f"one of {', '.join(field.choices)}"
    if not isinstance(value, str) or (field.required and not value.strip()):
        return value, choices if field.choices else "a text", True
    if field.choices and value not in field.choices:
        # A value that is close to a choice is a misspelling, unless it extends the choice, such as "icmp6".
        close = closest(value, field.choices)
        is_error = close is not None and not value.startswith(close)
        return value, choices + did_you_mean(value, field.choices), is_error
    return value, "", False


def _whole_number(value: Any, field: Field, path: str, reader: _Reader) -> _Read:
    result = whole_number(value)
    expected = "a whole number" + ("" if field.low is None else f" from {field.low} to {field.high}")
    if result is None:
        return value, expected, True
    is_inside = (field.low is None or result >= field.low) and (field.high is None or result <= field.high)
    return result, "" if is_inside else expected, False


def _flag(value: Any, field: Field, path: str, reader: _Reader) -> _Read:
    result = boolean(value)
    return (value, "true or false", True) if result is None else (result, "", False)


def _list(value: Any, field: Field, path: str, reader: _Reader) -> _Read:
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, list) or (field.required and not value):
        return value, "a list with at least one entry" if field.required else "a list", True
    result = []
    for position, item in enumerate(value):
        inner = f"{path}[{position}]"
        if field.members is AGENT_FIELDS:
            item = _agent(item) if reader.known(item) else item
        if not reader.known(item):
            result.append(item)
        elif not field.members:
            result.append(_value(item, Field("text", required=True, secret=field.secret), inner, reader))
        elif isinstance(item, Mapping):
            # The name of an agent is resolved later.
            members = {**AGENT_FIELDS, "agentId": TEXT} if "agentName" in item else field.members
            # Lists are replaced, not merged: an entry of a list has to be complete.
            result.append(_object(item, members, inner, replace(reader, partial=False)))
        else:
            shown = _shown(item) if field.members is AGENT_FIELDS else "the value (not shown)"
            reader.errors.append(f"{inner}: {shown} is not an object")
    return result, "", False


def _agent(item: Any) -> Any:
    """An agent that was given as an id or a name, as the object that the API expects."""
    if isinstance(item, int) and not isinstance(item, bool):
        return {"agentId": str(item)}
    if isinstance(item, str) and item.strip():
        return {"agentId" if _is_id(item) else "agentName": item.strip()}
    if isinstance(item, Mapping) and item.get("agentId") and "agentName" in item:
        return {name: value for name, value in item.items() if name in AGENT_FIELDS}
    return item


def _is_id(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdigit()


def _members(value: Any, field: Field, path: str, reader: _Reader) -> _Read:
    if not isinstance(value, Mapping):
        return value, "an object", True
    return _object(value, field.members, path, reader), "", False


def _any(value: Any, field: Field, path: str, reader: _Reader) -> _Read:
    return (value, "", False) if isinstance(value, Mapping | list) else (value, "an object or a list", True)


_READERS: Mapping[str, Callable[[Any, Field, str, _Reader], _Read]] = {
    "text": _text,
    "whole": _whole_number,
    "flag": _flag,
    "list": _list,
    "object": _members,
    "any": _any,
}
