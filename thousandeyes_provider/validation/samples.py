"""What each agent says of a metric: the rows of a round, by agent, and the values in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.metrics import metric_values
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of, all_that_is_said, row_key
from thousandeyes_provider.validation.lines import one_line


def agent_key(agent: Agent) -> str:
    """What tells an agent from others, in evidence and from one run to another: its id, else its name."""
    return one_line(agent.agent_id or agent.agent_name)


@dataclass(frozen=True)
class AgentRows:
    """The rows of a result type that one agent has sent.

    :param key: what tells the agent from others (:func:`agent_key`).
    :param agent: who.
    :param country_id: its country, two letters; empty when the rows do not say.
    :param rows: its rows, in the order of what tells them apart (server, direction).
    """

    key: str
    agent: Agent
    country_id: str
    rows: tuple[Row, ...]


def by_agent(result_type: str, rows: Iterable[Row]) -> tuple[AgentRows, ...]:
    """The rows of a result type by agent, in the order of the agents' keys, whatever order they came in."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(one_line(agent_id_of(row) or agent_name_of(row)), []).append(row)
    return tuple(
        AgentRows(
            key,
            Agent(agent_id_of(of_agent[0]), max(map(agent_name_of, of_agent))),
            max(map(_country_of, of_agent)),
            tuple(
                of_agent if len(of_agent) == 1 else sorted(of_agent, key=lambda row: _place(result_type, row))
            ),
        )
        for key, of_agent in sorted(found.items())
    )


def values_of(result_type: str, metric: str, rows: Iterable[Row]) -> tuple[Any, ...]:
    """Every value of a metric in some rows of one agent; ``None`` for a row that has none.

    :param result_type: what the rows are of.
    :param metric: the field, dotted into the row.
    :param rows: in the order in which the values are wanted.
    """
    return tuple(value for row in rows for value in metric_values(result_type, metric, row) or (None,))


def numbers_of(result_type: str, metric: str, rows: Iterable[Row]) -> tuple[float | None, ...]:
    """As :func:`values_of`, for a metric that is a number, spelled or not; anything else is no value."""
    return tuple(None if value is None else number(value) for value in values_of(result_type, metric, rows))


def tidy(value: float) -> float:
    """A computed number without the dust in its last digits, so that 0.1 + 0.2 is 0.3; infinite ones stay."""
    return float(f"{value:.12g}")


def plain(value: Any) -> Any:
    """A value as JSON has it best: whole numbers without a point; ``None`` for a number that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if number(value) is None:  # no number at all, or one of hundreds of digits
        return None
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else value


def _country_of(row: Row) -> str:
    agent = row.get("agent")
    value = agent.get("countryId") if isinstance(agent, Mapping) else None
    return value.strip() if isinstance(value, str) else ""


def _place(result_type: str, row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where a row stands among those of its agent; rows that nothing tells apart by all that they say."""
    return row_key(result_type, row), all_that_is_said(row)
