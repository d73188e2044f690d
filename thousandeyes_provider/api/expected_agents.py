"""Which rows a complete round has: the expected agents, times what the test's definition multiplies."""

from __future__ import annotations

import ast
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import number, printable, short_text, whole_number
from thousandeyes_provider.api.result_types import TEST_TYPES, Row
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of, row_key

DIRECTIONS = ("to-target", "from-target")
"""The one-way directions of an agent-to-agent test."""


@dataclass(frozen=True)
class Agent:
    """An agent by its id, its name, or both.

    :param agent_id: the id, empty when only the name is known.
    :param agent_name: the name, empty when only the id is known.
    """

    agent_id: str = ""
    agent_name: str = ""

    def folded_name(self) -> str:
        """The name as it is compared: without surrounding spaces and regardless of case."""
        return self.agent_name.strip().casefold()

    def __str__(self) -> str:
        return self.agent_name or f"agent {self.agent_id}"


@dataclass(frozen=True)
class ExpectedAgents:
    """The agents that a complete round has rows of.

    :param source: who says so: ``argument``, ``test``, ``remembered`` or ``unknown``.
    :param agents: the agents, when they are known one by one.
    :param count: how many there are; ``None`` when nobody knows.
    """

    source: str
    agents: tuple[Agent, ...] = ()
    count: int | None = None

    @classmethod
    def of(cls, source: str, agents: Iterable[Agent]) -> ExpectedAgents:
        """The agents that ``source`` lists; unknown when it lists none."""
        listed = tuple(dict.fromkeys(agents))
        return cls(source, listed, len(listed)) if listed else UNKNOWN


UNKNOWN = ExpectedAgents("unknown")
"""Nobody says which agents there are: a round is complete when nothing new has come for a while."""


def expected_from_argument(value: Any) -> ExpectedAgents | None:
    """The agents that a DAG author names: a count, or a list of ids and names. Text may spell either.

    :param value: ``None`` or an empty text for "not given"; a whole number from 1; a list of ids (digits)
        and names; or a text that is a number, a JSON list, or ids and names with commas between.
    :raises ValueError: for anything else.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text or text == "None":
            return None
        if text.startswith("["):
            value = _list_in(text)
        elif whole_number(text) is not None:
            value = whole_number(text)
        else:
            value = [part.strip() for part in text.split(",")]
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"{value} is not a number of agents; it starts at 1")
        return ExpectedAgents("argument", count=value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        entries = [_agent_named(entry) for entry in value]
        if entries:
            return ExpectedAgents.of("argument", entries)
    raise ValueError(f"{value!r} is neither a number of agents nor a list of their ids or names")


def expected_from_test(test: Mapping[str, Any]) -> ExpectedAgents:
    """The agents in a test's definition (``expand=agent``); unknown when it has none."""
    agents = test.get("agents")
    found = [
        Agent(short_text(agent.get("agentId")), short_text(agent.get("agentName")))
        for agent in (agents if isinstance(agents, list) else [])
        if isinstance(agent, Mapping)
    ]
    return ExpectedAgents.of("test", (agent for agent in found if agent != Agent()))


def expected_from_rows(rows: Iterable[Row]) -> ExpectedAgents:
    """The agents that sent the remembered round; unknown when there is none."""
    found = {agent_id_of(row) or agent_name_of(row): row for row in rows}
    return ExpectedAgents.of(
        "remembered", (Agent(agent_id_of(row), agent_name_of(row)) for key, row in found.items() if key)
    )


def result_types_of(test_type: str, test: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The result types that are judged when a DAG names none.

    :param test_type: a key of :data:`~thousandeyes_provider.api.result_types.TEST_TYPES`.
    :param test: its definition, if known. Where that links its results, types that it does not have are left out.
    """
    default = TEST_TYPES[test_type].default
    links = (test or {}).get("_links")
    linked = links.get("testResults") if isinstance(links, Mapping) else None
    had = {
        short_text(link.get("href")).split("?")[0].rstrip("/").rsplit("/", 1)[-1]
        for link in (linked if isinstance(linked, list) else [])
        if isinstance(link, Mapping)
    }
    return tuple(name for name in default if name in had) or default


def type_implied_by(result_types: Iterable[str]) -> str | None:
    """The only type of test that has all these result types; ``None`` when there are several, or nothing is named."""
    wanted = set(result_types)
    fit = [name for name, test_type in TEST_TYPES.items() if wanted <= set(test_type.result_types)]
    return fit[0] if wanted and len(fit) == 1 else None


def directions_of(test_type: str, result_type: str, test: Mapping[str, Any] | None) -> tuple[str | None, ...]:
    """The ``direction`` of each query that together give all rows of a result type.

    Only the network measurements of an agent-to-agent test have directions (API-FACTS, "Results").

    :return: ``(None,)`` when the parameter is to be left out.
    """
    if test_type != "agent-to-agent" or result_type not in ("network", "path-vis"):
        return (None,)
    told = (test or {}).get("direction")
    if told == "bidirectional":
        return DIRECTIONS
    return (told,) if told in DIRECTIONS else (None,)


def rows_per_agent(
    test_type: str, result_type: str, test: Mapping[str, Any] | None, remembered: Iterable[Row]
) -> int | None:
    """How many rows of a result type each agent has in a complete round.

    :param test: the test's definition, if known.
    :param remembered: rows of the round before, to count in when the definition does not say.
    :return: ``None`` when nobody knows.
    """
    servers = (test or {}).get("dnsServers")
    if result_type == "dns-server" and isinstance(servers, list) and servers:
        return len(servers)
    directions = directions_of(test_type, result_type, test)
    if directions != (None,):
        return len(directions)
    seen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in remembered:
        key = row_key(result_type, row)
        seen[key[0]].add(key)
    counted = max((len(keys) for keys in seen.values()), default=None)
    if counted is None and result_type != "dns-server":
        return 1
    return counted


def share_or_count(value: Any, of: int | None, name: str) -> int | None:
    """A number of agents from a count (whole number) or a fraction of ``of`` (0 to 1, written with a point).

    :param value: ``1`` is one agent, ``1.0`` is all of them; text is read likewise.
    :param of: of how many; ``None`` when that is not known.
    :return: the count, fractions rounded up; ``None`` for a fraction of a number that is not known.
    :raises ValueError: when it is neither.
    """
    text = value.strip() if isinstance(value, str) else value
    count = whole_number(text) if not isinstance(text, float) and "." not in str(text) else None
    if count is not None and count >= 0:
        return count
    fraction = number(text)
    if fraction is None or count is not None or not 0 <= fraction <= 1:
        raise ValueError(f"{name} {value!r} is neither a count of agents nor a fraction from 0.0 to 1.0")
    return None if of is None else math.ceil(fraction * of - 1e-9)


def _list_in(text: str) -> Any:
    """The list that a text spells: as JSON, or as Python, which is what a rendered template gives."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return [part.strip().strip("'\"") for part in text.strip("[]").split(",")]


def _agent_named(entry: Any) -> Agent:
    if isinstance(entry, int) and not isinstance(entry, bool):
        return Agent(agent_id=str(entry))
    if isinstance(entry, str) and entry.strip():
        text = printable(entry).strip()
        return Agent(agent_id=text) if text.isascii() and text.isdigit() else Agent(agent_name=text)
    raise ValueError(f"{entry!r} is neither the id nor the name of an agent")
