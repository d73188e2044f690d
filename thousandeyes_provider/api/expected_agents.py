"""The rows of a complete round: expected agents, and rows per agent and result type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from thousandeyes_provider.api.coerce import (
    count_or_fraction,
    did_you_mean,
    inner_value,
    objects_in,
    parse_structure,
    printable,
    share,
    short_text,
    whole_number,
)
from thousandeyes_provider.api.result_types import TEST_TYPES, Row
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of, row_key

DIRECTIONS = ("to-target", "from-target")
"""The one-way directions of an agent-to-agent test."""

MAX_SUGGESTED = 20
"""Unknown agents for which the agent that was probably meant is suggested."""

SOURCES = ("argument", "test", "remembered", "unknown")
"""Where the expected agents come from."""


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


def is_among(agents: Iterable[Agent]) -> Callable[[Agent], bool]:
    """Return whether an agent is one of some agents: by its id, or by its name when its id is not known."""
    listed = list(agents)
    ids = {agent.agent_id for agent in listed}
    names = {agent.folded_name() for agent in listed}
    return lambda agent: agent.agent_id in ids if agent.agent_id else agent.folded_name() in names


def agent_of(row: Row) -> Agent:
    """Return the agent of a row."""
    fields = row.get("agent")
    if type(fields) is not dict:
        return Agent(agent_id_of(row), agent_name_of(row))
    return Agent(short_text(fields.get("agentId")), short_text(fields.get("agentName")))


@dataclass(frozen=True)
class ExpectedAgents:
    """The agents that report in a complete round.

    :param source: where they come from, one of :data:`SOURCES`.
    :param agents: the agents, where they are listed.
    :param count: number of agents; ``None``: unknown.
    """

    source: str
    agents: tuple[Agent, ...] = ()
    count: int | None = None

    @classmethod
    def of(cls, source: str, agents: Iterable[Agent]) -> ExpectedAgents:
        """The agents that ``source`` lists; unknown when it lists none."""
        listed = tuple(dict.fromkeys(agents))
        return cls(source, listed, len(listed)) if listed else UNKNOWN

    def problems_with(self, agents: Collection[Agent]) -> list[str]:
        """Return why these agents cannot be all of a test."""
        is_known = is_among(agents)
        absent = [agent for agent in self.agents if not is_known(agent)]
        # A suggestion compares a name with those of all agents.
        hints = [did_you_mean(agent.agent_name, map(str, agents)) for agent in absent[:MAX_SUGGESTED]]
        problems = [
            f"{str(agent)!r} is no agent of the test{hint}"
            for agent, hint in zip_longest(absent, hints, fillvalue="")
        ]
        if not self.agents and self.count is not None and self.count > len(set(agents)):
            problems.append(f"{self.count} agents, but the test has {len(set(agents))}")
        return problems + self.ambiguous_names(agents)

    def ambiguous_names(self, agents: Iterable[Agent]) -> list[str]:
        """Return a problem for each name without an id that several agents have: one report would count for all.

        :param agents: agents of the test.
        """
        ids_by_name: dict[str, set[str]] = defaultdict(set)
        for agent in agents:
            ids_by_name[agent.folded_name()].add(agent.agent_id)
        return [
            f"{len(ids)} agents are named {agent.agent_name!r} (ids {', '.join(sorted(ids))}): use their ids"
            for agent in self.agents
            if not agent.agent_id and len(ids := ids_by_name[agent.folded_name()] - {""}) > 1
        ]


UNKNOWN = ExpectedAgents("unknown")
"""Unknown agents: a round is complete when no new row arrives for the quiet period."""


def expected_from_argument(value: Any) -> ExpectedAgents | None:
    """Parse the argument ``expected_agents``: a number of agents, or a list of ids and names.

    :param value: ``None`` or an empty text when it is not given; a whole number from 1; a list of ids (digits) and
        names; or a text with a number, a JSON list, or ids and names separated by commas.
    :return: ``None`` when it is not given.
    :raises ValueError: for anything else.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text or text == "None":
            return None
        if text.startswith("["):
            value = _parse_list(text)
        elif whole_number(text) is not None:
            value = whole_number(text)
        else:
            value = [part.strip() for part in text.split(",")]
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"must be at least 1 agent, got {value}")
        return ExpectedAgents("argument", count=value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        entries = [_parse_agent(entry) for entry in value]
        if entries:
            return ExpectedAgents.of("argument", entries)
    raise ValueError(f"must be a number of agents or a list of agent ids and names, got {value!r}")


def expected_from_test(test: Mapping[str, Any]) -> ExpectedAgents:
    """The agents of a test's definition (``expand=agent``); unknown when it has none."""
    agents = (
        Agent(short_text(entry.get("agentId")), short_text(entry.get("agentName")))
        for entry in objects_in(test.get("agents"))
    )
    return ExpectedAgents.of("test", (agent for agent in agents if agent != Agent()))


def known_agents(test: Mapping[str, Any]) -> Sequence[Agent]:
    """The agents that can report, from a definition (``expand=agent``).

    :returns: none when they are unknown: without agents, or with an enterprise cluster, whose members may report
        instead. See ``docs/thousandeyes-api.md``, "Not documented".
    """
    types = {entry.get("agentType") for entry in objects_in(test.get("agents"))}
    return () if "enterprise-cluster" in types else expected_from_test(test).agents


def expected_from_rows(rows: Iterable[Row]) -> ExpectedAgents:
    """The agents of the remembered round; unknown without one."""
    by_agent = {agent.agent_id or agent.agent_name: agent for agent in map(agent_of, rows)}
    return ExpectedAgents.of("remembered", (agent for key, agent in by_agent.items() if key))


def result_types_of(test_type: str, test: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The result types that are judged by default.

    :param test_type: a key of :data:`~thousandeyes_provider.api.result_types.TEST_TYPES`.
    :param test: the test's definition, if known. Where it links results, types without a link are left out.
    """
    default = TEST_TYPES[test_type].default
    with_link = {
        short_text(link.get("href")).split("?")[0].rstrip("/").rsplit("/", 1)[-1]
        for link in objects_in(inner_value(test, "_links", "testResults"))
    }
    return tuple(name for name in default if name in with_link) or default


def type_implied_by(result_types: Iterable[str]) -> str | None:
    """The only test type with all these result types; ``None`` without result types or with several such test types."""
    wanted = set(result_types)
    candidates = [name for name, test_type in TEST_TYPES.items() if wanted <= set(test_type.result_types)]
    return candidates[0] if wanted and len(candidates) == 1 else None


def directions_of(test_type: str, result_type: str, test: Mapping[str, Any] | None) -> tuple[str | None, ...]:
    """The ``direction`` parameters of the queries that together return all rows of a result type.

    Only the network measurements of an agent-to-agent test have directions. See ``docs/thousandeyes-api.md``,
    "Results".

    :return: ``(None,)`` for one query without the parameter.
    """
    if test_type != "agent-to-agent" or result_type not in ("network", "path-vis"):
        return (None,)
    direction = (test or {}).get("direction")
    if direction == "bidirectional":
        return DIRECTIONS
    return (direction,) if direction in DIRECTIONS else (None,)


def rows_per_agent(
    test_type: str, result_type: str, test: Mapping[str, Any] | None, remembered: Iterable[Row]
) -> int | None:
    """Return the number of rows per agent of a result type in a complete round.

    :param test: the test's definition, if known.
    :param remembered: the rows of the remembered round; they are counted where the definition does not help.
    :return: ``None`` when that is unknown.
    """
    servers = (test or {}).get("dnsServers")
    if result_type == "dns-server" and isinstance(servers, list) and servers:
        return len(servers)
    directions = directions_of(test_type, result_type, test)
    if directions != (None,):
        return len(directions)
    keys_by_agent: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in remembered:
        key = row_key(result_type, row)
        keys_by_agent[key[0]].add(key)
    count = max((len(keys) for keys in keys_by_agent.values()), default=None)
    if count is None and result_type != "dns-server":
        return 1
    return count


def share_or_count(value: Any, of: int | None) -> int | None:
    """Parse ``min_agents``: a count (whole number), or a fraction of ``of`` (0 to 1, with a decimal point).

    :param value: ``1`` is one agent, ``1.0`` is all agents. Text is parsed in the same way.
    :param of: the number of agents that a fraction refers to; ``None`` when it is unknown.
    :return: the count, fractions rounded up; ``None`` for a fraction of an unknown number.
    :raises ValueError: when it is neither.
    """
    parsed = count_or_fraction(value)
    if parsed is None:
        raise ValueError(
            f"min_agents must be a number of agents or a fraction from 0.0 to 1.0, got {value!r}"
        )
    if isinstance(parsed, int):
        return parsed
    return None if of is None else share(parsed, of)


def _parse_list(text: str) -> Any:
    """Parse a list from JSON or Python; a rendered template is Python."""
    try:
        return parse_structure(text)
    except ValueError:
        return [part.strip().strip("'\"") for part in text.strip("[]").split(",")]


def _parse_agent(entry: Any) -> Agent:
    if isinstance(entry, int) and not isinstance(entry, bool):
        return Agent(agent_id=str(entry))
    if isinstance(entry, str) and entry.strip():
        text = printable(entry).strip()
        return Agent(agent_id=text) if text.isascii() and text.isdigit() else Agent(agent_name=text)
    raise ValueError(f"each agent must be an id or a name, got {entry!r}")
