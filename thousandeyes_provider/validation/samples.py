"""The rows of a round by agent, and the values of a metric in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any, NamedTuple

from thousandeyes_provider.api.coerce import number, short_text
from thousandeyes_provider.api.expected_agents import Agent, agent_of
from thousandeyes_provider.api.metrics import metric_reader
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of, row_content
from thousandeyes_provider.validation.formatting import MAX_TEXT, one_line

Values = Any
"""The values of a metric in one row or of one agent: a value by itself, a tuple of several, ``None`` for no value. In a
tuple, ``None`` stands for a row without a value. A tuple for each value would double the time for large rounds."""

_LARGEST = 1e300
"""Numbers beyond take the slow way, which checks that a float can hold them."""


def agent_key(agent: Agent) -> str:
    """Return what identifies an agent in evidence and from one run to the next: its id, else its name."""
    return one_line(agent.agent_id or agent.agent_name)


class AgentRows(NamedTuple):
    """The rows of a result type that one agent has sent.

    :param key: what identifies the agent (:func:`agent_key`).
    :param country_id: its country, two letters; empty when the rows have none.
    :param rows: its rows, ordered by server and direction.
    """

    key: str
    agent: Agent
    country_id: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MetricValues:
    """The values of a metric in a round."""

    values: Sequence[Values]

    @cached_property
    def incomplete(self) -> frozenset[int]:
        """The positions of the agents with a row without a value."""
        return frozenset(position for position, value in enumerate(self.values) if None in as_tuple(value))

    @cached_property
    def unknown(self) -> frozenset[int]:
        """The positions of the agents without any value."""
        return frozenset(
            position
            for position in self.incomplete
            if all(value is None for value in as_tuple(self.values[position]))
        )

    @cached_property
    def sorted_numbers(self) -> list[float]:
        """All values of a metric with numbers, sorted."""
        return sorted(value for value in flatten(self.values) if value is not None)


class RoundRows:
    """The rows of one round. Groups them by agent once, and reads each metric once.

    :param rows: the rows by result type, in any order.
    """

    def __init__(self, rows: Mapping[str, Iterable[Row]]) -> None:
        self._rows = {result_type: list(of_type) for result_type, of_type in rows.items()}
        self._agents: dict[str, tuple[AgentRows, ...]] = {}
        self._values: dict[tuple[str, str, bool], MetricValues] = {}

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
        return self._read(result_type, metric, as_numbers=False)

    def numbers(self, result_type: str, metric: str) -> MetricValues:
        """Return :meth:`values` as numbers, also where they are spelled; ``None`` for anything else."""
        return self._read(result_type, metric, as_numbers=True)

    def _read(self, result_type: str, metric: str, *, as_numbers: bool) -> MetricValues:
        key = (result_type, metric, as_numbers)
        if key not in self._values:
            agents = self.agents(result_type)
            rows = [row for agent in agents for row in agent.rows]
            column = (
                read_numbers(result_type, metric, rows)
                if as_numbers
                else read_values(result_type, metric, rows)
            )
            if len(rows) > len(agents):
                of_rows = iter(column)
                column = [_joined(list(islice(of_rows, len(agent.rows)))) for agent in agents]
            self._values[key] = MetricValues(column)
        return self._values[key]


def by_agent(result_type: str, rows: Iterable[Row]) -> tuple[AgentRows, ...]:
    """Group the rows of a result type by agent, sorted by agent key."""
    rows = list(rows)
    keys = [one_line(row_identity(row)) for row in rows]
    if len(single := dict(zip(keys, rows, strict=True))) == len(rows):
        return tuple(
            [AgentRows(key, agent_of(row := single[key]), country_of(row), (row,)) for key in sorted(single)]
        )
    grouped: dict[str, list[tuple[Any, Row]]] = {}
    for key, row_id, row in zip(keys, row_keys(result_type, rows), rows, strict=True):
        grouped.setdefault(key, []).append((row_id, row))
    return tuple([_agent_rows(key, grouped[key]) for key in sorted(grouped)])


def row_identity(row: Row) -> str:
    """Return the id of the agent of a row, else its name."""
    agent = row.get("agent")
    agent_id = agent.get("agentId") if type(agent) is dict else None
    if type(agent_id) is str and agent_id.isalnum() and len(agent_id) <= MAX_TEXT:  # by far the most rows
        return agent_id
    return agent_id_of(row) or agent_name_of(row)


def row_keys(result_type: str, rows: Sequence[Row]) -> Sequence[tuple[str, ...]] | Sequence[str]:
    """Return what distinguishes each row in its round, as :func:`~thousandeyes_provider.api.rounds.row_key` does.

    :return: for result types with one row for each agent the :func:`row_identity`.
    """
    identities = [row_identity(row) for row in rows]
    fields = RESULT_TYPES[result_type].row_keys
    if not fields:
        return identities
    columns = [[short_text(row.get(field)) for row in rows] for field in fields]
    return list(zip(identities, *columns, strict=True))


def as_tuple(value: Values) -> tuple[Any, ...]:
    """Return values as a tuple; that of no value is ``(None,)``."""
    return value if type(value) is tuple else (value,)


def flatten(values: Iterable[Values]) -> list[Any]:
    """Return the values of many rows or agents in one list."""
    values = list(values)
    if tuple not in set(map(type, values)):
        return values
    return list(chain.from_iterable(map(as_tuple, values)))


def _joined(values: Sequence[Any]) -> Values:
    """Some values of one row or agent."""
    if len(values) == 1:
        return values[0]
    return tuple(flatten(values)) if values else None


def read_values(result_type: str, metric: str, rows: Iterable[Row]) -> list[Values]:
    """Return the values of a metric in each row.

    :param metric: the field, dotted into the row.
    """
    read = metric_reader(result_type, metric)
    return [_joined(read(row)) for row in rows]


def read_numbers(result_type: str, metric: str, rows: Iterable[Row]) -> list[Values]:
    """Return :func:`read_values` as numbers, also where they are spelled; ``None`` for anything else."""
    read = metric_reader(result_type, metric)

    def number_in(row: Row, value: Any) -> Values:
        if type(value) is str and len(value) < 20 and value.isascii() and value.replace(".", "", 1).isdigit():
            return float(value)
        return _joined(tuple(map(number, read(row))))

    nothing: Any = None
    return [
        float(value)
        if type(value := row.get(metric, nothing)) in (float, int) and 0 <= value < _LARGEST  # most rows
        else number_in(row, value)
        for row in rows
    ]


def numbers_of(result_type: str, metric: str, rows: Iterable[Row]) -> tuple[float | None, ...]:
    """Return the numbers of a metric in all rows of one agent, as :func:`read_numbers` does."""
    return tuple(flatten(read_numbers(result_type, metric, rows)))


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


def _agent_rows(key: str, rows: list[tuple[Any, Row]]) -> AgentRows:
    """Return several rows of an agent, each given with its row key."""
    by_id = dict(rows)
    if len(by_id) == len(rows):
        ordered = [by_id[row_id] for row_id in sorted(by_id)]
    else:  # equal keys are rare, and the content of a row takes long to compare
        rows.sort(key=lambda pair: (pair[0], row_content(pair[1])))
        ordered = [row for _, row in rows]
    agent = Agent(agent_id_of(ordered[0]), max(map(agent_name_of, ordered)))
    return AgentRows(key, agent, max(map(country_of, ordered)), tuple(ordered))


def country_of(row: Row) -> str:
    """Return the country of the agent of a row, two letters; empty when the row has none."""
    agent = row.get("agent")
    value = agent.get("countryId") if type(agent) is dict or isinstance(agent, Mapping) else None
    return value.strip() if isinstance(value, str) else ""
