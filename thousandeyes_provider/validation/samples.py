"""The rows of a round by agent, and the values of a metric in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.metrics import metric_reader
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of, row_content, row_key
from thousandeyes_provider.validation.formatting import one_line


def agent_key(agent: Agent) -> str:
    """Return what identifies an agent in evidence and from one run to the next: its id, else its name."""
    return one_line(agent.agent_id or agent.agent_name)


@dataclass(frozen=True)
class AgentRows:
    """The rows of a result type that one agent has sent.

    :param key: what identifies the agent (:func:`agent_key`).
    :param agent: the agent.
    :param country_id: its country, two letters; empty when the rows have none.
    :param rows: its rows, ordered by server and direction.
    """

    key: str
    agent: Agent
    country_id: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MetricValues:
    """The values of a metric in a round, for each agent.

    :param values: the values of each agent, one for each of its rows; ``None`` for a row without a value.
    :param incomplete: the positions of the agents with a row without a value.
    :param unknown: the positions of the agents without any value.
    """

    values: tuple[tuple[Any, ...], ...]
    incomplete: frozenset[int]
    unknown: frozenset[int]

    @classmethod
    def of(cls, values: Iterable[tuple[Any, ...]]) -> MetricValues:
        """Return the values with the positions of those that are missing."""
        values = tuple(values)
        incomplete = frozenset(position for position, of_agent in enumerate(values) if None in of_agent)
        unknown = frozenset(
            position
            for position in incomplete
            if len(values[position]) == 1 or all(value is None for value in values[position])
        )
        return cls(values, incomplete, unknown)


class RoundRows:
    """The rows of one round. Groups them by agent once, and reads each metric once.

    :param rows: the rows by result type, in any order.
    """

    def __init__(self, rows: Mapping[str, Iterable[Row]]) -> None:
        self._rows = {result_type: list(of_type) for result_type, of_type in rows.items()}
        self._agents: dict[str, tuple[AgentRows, ...]] = {}
        self._values: dict[tuple[str, str], MetricValues] = {}
        self._numbers: dict[tuple[str, str], MetricValues] = {}

    @property
    def result_types(self) -> tuple[str, ...]:
        """The result types, sorted."""
        return tuple(sorted(self._rows))

    def agents(self, result_type: str) -> tuple[AgentRows, ...]:
        """Return the rows of a result type by agent, sorted by agent key."""
        if result_type not in self._agents:
            self._agents[result_type] = by_agent(result_type, self._rows.get(result_type, ()))
        return self._agents[result_type]

    def values(self, result_type: str, metric: str) -> MetricValues:
        """Return the values of a metric for each agent of :meth:`agents`."""
        key = (result_type, metric)
        if key not in self._values:
            read = metric_reader(result_type, metric)
            self._values[key] = MetricValues.of(
                _values_by(read, agent.rows) for agent in self.agents(result_type)
            )
        return self._values[key]

    def numbers(self, result_type: str, metric: str) -> MetricValues:
        """Return :meth:`values` as numbers; ``None`` for anything that is no number."""
        key = (result_type, metric)
        if key not in self._numbers:
            self._numbers[key] = MetricValues.of(
                tuple(None if value is None else number(value) for value in of_agent)
                for of_agent in self.values(result_type, metric).values
            )
        return self._numbers[key]


def by_agent(result_type: str, rows: Iterable[Row]) -> tuple[AgentRows, ...]:
    """Group the rows of a result type by agent, sorted by agent key, whatever order they came in."""
    grouped = rows_by_agent(rows)
    return tuple(_agent_rows(result_type, key, grouped[key]) for key in sorted(grouped))


def rows_by_agent(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows by agent key, in the order in which they came."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(one_line(agent_id_of(row) or agent_name_of(row)), []).append(row)
    return grouped


def agent_of(rows: Sequence[Row]) -> Agent:
    """Return the agent of some rows, with the greatest of the names that they have."""
    return Agent(agent_id_of(rows[0]), max(map(agent_name_of, rows)))


def values_of(result_type: str, metric: str, rows: Iterable[Row]) -> tuple[Any, ...]:
    """Return every value of a metric in some rows of one agent; ``None`` for a row without a value.

    :param result_type: the result type of the rows.
    :param metric: the field, dotted into the row.
    :param rows: the rows, in the order of the values.
    """
    return _values_by(metric_reader(result_type, metric), rows)


def _values_by(read: Callable[[Row], tuple[Any, ...]], rows: Iterable[Row]) -> tuple[Any, ...]:
    values: list[Any] = []
    for row in rows:
        values += read(row) or (None,)
    return tuple(values)


def numbers_of(result_type: str, metric: str, rows: Iterable[Row]) -> tuple[float | None, ...]:
    """Return :func:`values_of` as numbers, also where they are spelled; ``None`` for anything else."""
    return tuple(None if value is None else number(value) for value in values_of(result_type, metric, rows))


def tidy(value: float) -> float:
    """Round a computed number to 12 significant digits, so that 0.1 + 0.2 is 0.3; infinities stay."""
    return float(f"{value:.12g}")


def plain(value: Any) -> Any:
    """Return a value for JSON: whole numbers without a point; ``None`` for a number that no float can hold."""
    if type(value) is float and not value.is_integer():  # by far the most values of large rounds
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if number(value) is None:  # not finite, or hundreds of digits
        return None
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else value


def _agent_rows(result_type: str, key: str, rows: list[Row]) -> AgentRows:
    if len(rows) == 1:
        return AgentRows(key, agent_of(rows), _country_of(rows[0]), (rows[0],))
    ordered = sorted(rows, key=lambda row: (row_key(result_type, row), row_content(row)))
    return AgentRows(key, agent_of(rows), max(map(_country_of, rows)), tuple(ordered))


def _country_of(row: Row) -> str:
    agent = row.get("agent")
    value = agent.get("countryId") if isinstance(agent, Mapping) else None
    return value.strip() if isinstance(value, str) else ""
