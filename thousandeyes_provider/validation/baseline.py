"""The baseline of a round: the values of an earlier run, or of the recent history of a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from thousandeyes_provider.api.coerce import inner_value, number, objects_in, parse_structure, short_text
from thousandeyes_provider.api.expected_agents import Agent, agent_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.api.rounds import round_of
from thousandeyes_provider.validation.aggregates import median
from thousandeyes_provider.validation.check_model import Checks
from thousandeyes_provider.validation.formatting import one_line
from thousandeyes_provider.validation.samples import (
    Values,
    agent_key,
    as_tuple,
    country_of,
    read_numbers,
    row_keys,
)

AgentValues = Mapping[str, tuple[float, ...]]
"""Values of a metric by agent key; several when an agent has several rows, ordered by server and direction."""


@dataclass(frozen=True)
class Baseline:
    """The baseline of the checks of a round.

    :param source: where the values come from: ``the run of test 7 at 2026-09-21T14:13:20Z``.
    :param values: the values by (result type, metric) and agent.
    :param agents: the agents by key, where their names are known.
    :param unusable: why nothing can be compared with it; empty when it is usable.
    :param warning: warning for the user; empty: none.
    :param countries: the countries of the agents by key, where known: two letters.
    """

    source: str
    values: Mapping[tuple[str, str], AgentValues] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    unusable: str = ""
    warning: str = ""
    countries: Mapping[str, str] = field(default_factory=dict)

    def of(self, result_type: str, metric: str) -> AgentValues:
        """Return the values of a metric by agent; none when the baseline is not usable."""
        return {} if self.unusable else self.values.get((result_type, one_line(metric)), {})

    def missing(self, result_type: str, metric: str) -> str:
        """Return why a metric cannot be compared; empty when it can."""
        if self.unusable:
            return self.unusable
        if not self.of(result_type, metric):
            return f"{self.source} has no {metric} of {result_type}"
        return ""

    def agent(self, key: str) -> Agent:
        """Return the agent with a key."""
        return self.agents.get(key, Agent(key))


def baseline_from_evidence(evidence: Any, *, test_id: str = "") -> Baseline:
    """Return the baseline of an earlier run.

    The evidence is usable if that run was judged, with any verdict, and its samples are complete. Missing
    evidence, inconclusive runs, and samples that were cut for size are not usable; ``unusable`` has the reason.

    :param evidence: the evidence: a dict, or its text.
    :param test_id: the test of this run; evidence of another test gets a warning. Empty for no warning.
    """
    if isinstance(evidence, str) and evidence.strip():
        try:
            evidence = parse_structure(evidence)
        except ValueError as error:
            return _unusable("the earlier evidence", f"cannot be read: {error}")
    if not isinstance(evidence, Mapping) or not evidence:
        return _unusable("the earlier evidence", "is missing")
    source = f"the run of test {_label(evidence.get('test_id'))} at {_label(evidence.get('started_at'))}"
    verdict = evidence.get("verdict")
    if verdict not in ("passed", "failed"):
        return _unusable(source, f"ended {_label(verdict)}" if verdict else "has no verdict")
    if left_out := inner_value(evidence, "cut", "samples"):
        return _unusable(source, f"has no samples of {_label(left_out)} agents: they were cut for size")
    samples = evidence.get("samples")
    values: dict[tuple[str, str], dict[str, tuple[float, ...]]] = {}
    for key, of_agent in samples.items() if isinstance(samples, Mapping) else ():
        for name, value in of_agent.items() if isinstance(of_agent, Mapping) else ():
            result_type, _, metric = str(name).partition(".")
            numbers = [number(part) for part in (value if isinstance(value, list) else [value])]
            known = tuple(part for part in numbers if part is not None)
            if known and len(known) == len(numbers):
                values.setdefault((result_type, metric), {})[str(key)] = known
    if not values:
        return _unusable(source, "has no samples")
    agents: dict[str, Agent] = {}
    countries: dict[str, str] = {}
    for entry in objects_in(inner_value(evidence, "agents", "reported")):
        agent = Agent(short_text(entry.get("agent_id")), short_text(entry.get("agent_name")))
        agents[agent_key(agent)] = agent
        if country := short_text(entry.get("country")):
            countries[agent_key(agent)] = country
    warning = _other_test(evidence.get("test_id"), test_id)
    return Baseline(source, values, agents, warning=warning, countries=countries)


def _other_test(earlier: Any, test_id: str) -> str:
    if not test_id or not earlier or str(earlier) == test_id:
        return ""
    return f"compare_with is the evidence of test {_label(earlier)}, this is test {one_line(test_id, 80)}"


def baseline_from_rows(rows: Mapping[str, Iterable[Row]], checks: Checks, source: str) -> Baseline:
    """Return the baseline of the recent history of a test: the median over the rounds for each agent.

    The median is per row when an agent has several rows in a round (servers, directions). A round in which the agent
    has no value does not count.

    :param rows: the rows of any number of rounds, by result type.
    :param checks: the checks; only the metrics that they compare are read.
    :param source: where the rows come from: ``the last 24h of test 7``.
    """
    values: dict[tuple[str, str], AgentValues] = {}
    agents: dict[str, Agent] = {}
    countries: dict[str, str] = {}
    rounds: set[int] = set()
    for result_type in checks.result_types:
        metrics = dict.fromkeys(
            check.metric for check in checks.checks if check.result_type == result_type and check.compares
        )
        of_type = list(rows.get(result_type, ()))
        rounds |= _rounds(of_type)
        if not metrics:
            continue
        keys, series = _series(result_type, of_type)
        for key, positions in zip(keys, series, strict=True):
            row = of_type[positions[0]]
            agents.setdefault(key, agent_of(row))
            countries.setdefault(key, country_of(row))
        for metric in metrics:
            if medians := _medians(keys, series, read_numbers(result_type, metric, of_type)):
                values[result_type, one_line(metric)] = medians
    if not rounds:
        return _unusable(source, "has no rounds")
    first, last = iso_time(min(rounds)), iso_time(max(rounds))
    count = "1 round" if len(rounds) == 1 else f"{len(rounds)} rounds"
    span = f"{source}, {count} from {first} to {last}"
    if not values:
        return _unusable(span, "has no values to compare with")
    return Baseline(span, values, agents, countries=countries)


def _rounds(rows: Iterable[Row]) -> set[int]:
    """The rounds of some rows; each round id is read once."""
    with_id = {round_id: row for row in rows if type(round_id := row.get("roundId")) in (int, float, str)}
    return {round_id for row in with_id.values() if (round_id := round_of(row)) is not None}


def _series(result_type: str, rows: Sequence[Row]) -> tuple[list[str], list[list[int]]]:
    """The positions of the rows that belong together over the rounds, ordered by agent, server and direction.

    :return: the keys of the agents, and the positions of the rows.
    """
    positions: dict[Any, list[int]] = {}
    for position, key in enumerate(row_keys(result_type, rows)):
        positions.setdefault(key, []).append(position)
    ordered = sorted(positions)
    keys = [one_line(key if isinstance(key, str) else key[0]) for key in ordered]
    return keys, [positions[key] for key in ordered]


def _medians(keys: Iterable[str], series: Iterable[list[int]], numbers: Sequence[Values]) -> AgentValues:
    """The median of each series, by agent.

    :param keys: the agent key of each series.
    :param series: the positions of the rows that belong together.
    :param numbers: the values of each row.
    """
    medians: dict[str, tuple[float, ...]] = {}
    has_tuples = tuple in set(map(type, numbers))
    for key, positions in zip(keys, series, strict=True):
        values = [numbers[position] for position in positions]
        by_place = zip_longest(*map(as_tuple, values)) if has_tuples else (values,)
        known = [[value for value in of_place if value is not None] for of_place in by_place]
        if of_series := tuple([median(values) for values in known if values]):
            medians[key] = medians.get(key, ()) + of_series
    return medians


def _unusable(source: str, why: str) -> Baseline:
    return Baseline(source, unusable=f"{source} {why}")


def _label(value: Any) -> str:
    return one_line(str(value), 80) if isinstance(value, str | int | float) else "unknown"
