"""Before: what the agents said in an earlier run, or over the recent history of a test, to compare a round with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.coerce import number, parse_structure
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.api.rounds import round_of, row_key
from thousandeyes_provider.validation.aggregates import median
from thousandeyes_provider.validation.check_model import Checks
from thousandeyes_provider.validation.formatting import one_line
from thousandeyes_provider.validation.samples import agent_key, by_agent, numbers_of

Sampled = Mapping[str, tuple[float, ...]]
"""Values of a metric by agent; several where an agent has several rows, in the order of what tells them apart."""


@dataclass(frozen=True)
class Baseline:
    """What a round is compared with.

    :param source: what it is, for people.
    :param values: values by (result type, metric) and agent.
    :param agents: the agents by their keys, where their names are known.
    :param unusable: why nothing can be compared with it; empty when something can.
    """

    source: str
    values: Mapping[tuple[str, str], Sampled] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    unusable: str = ""

    def of(self, result_type: str, metric: str) -> Sampled:
        """The values of a metric by agent; none when it is not usable."""
        return {} if self.unusable else self.values.get((result_type, one_line(metric)), {})

    def missing(self, result_type: str, metric: str) -> str:
        """Why a metric cannot be compared; empty when it can."""
        if self.unusable:
            return self.unusable
        if not self.of(result_type, metric):
            return f"{self.source} has no {metric} of {result_type}"
        return ""

    def agent(self, key: str) -> Agent:
        """The agent with a key."""
        return self.agents.get(key, Agent(key))


def baseline_from_evidence(told: Any) -> Baseline:
    """The before that the evidence of an earlier run is.

    It can be used when that run was judged, whatever its verdict, and its samples are whole. Evidence that is missing,
    of an ``incomplete`` run or one without results, or cut for its size, is not usable, and says why.

    :param told: the evidence: a dict, or the text of one.
    """
    if isinstance(told, str) and told.strip():
        try:
            told = parse_structure(told)
        except ValueError as error:
            return _unusable("the earlier evidence", f"cannot be read: {error}")
    if not isinstance(told, Mapping) or not told:
        return _unusable("the earlier evidence", "is missing")
    source = f"the run of test {_said(told.get('test_id'))} at {_said(told.get('started_at'))}"
    verdict = told.get("verdict")
    if verdict not in ("passed", "failed"):
        return _unusable(source, f"ended {_said(verdict)}" if verdict else "has no verdict")
    cut, samples = told.get("cut"), told.get("samples")
    if isinstance(cut, Mapping) and cut.get("samples"):
        return _unusable(source, f"lacks {_said(cut['samples'])} samples, which were left out for size")
    values: dict[tuple[str, str], dict[str, tuple[float, ...]]] = {}
    for key, of_agent in samples.items() if isinstance(samples, Mapping) else ():
        for name, value in of_agent.items() if isinstance(of_agent, Mapping) else ():
            result_type, _, metric = str(name).partition(".")
            numbers = [number(one) for one in (value if isinstance(value, list) else [value])]
            known = tuple(one for one in numbers if one is not None)
            if known and len(known) == len(numbers):
                values.setdefault((result_type, metric), {})[str(key)] = known
    if not values:
        return _unusable(source, "has no samples")
    return Baseline(source, values, _agents_in(told))


def baseline_from_rows(rows: Mapping[str, Iterable[Row]], checks: Checks, source: str) -> Baseline:
    """The before that the recent history of a test is: for each agent, the median over the rounds.

    Where an agent has several rows a round (servers, directions), the median is over the rounds of each. A round in
    which the agent has no value does not count.

    :param rows: rows of any number of rounds, by result type.
    :param checks: which metrics are wanted.
    :param source: what it is, for people: ``the last 24h of test 7``.
    """
    values: dict[tuple[str, str], dict[str, tuple[float, ...]]] = {}
    agents: dict[str, Agent] = {}
    rounds: set[int] = set()
    for result_type in checks.result_types:
        wanted = dict.fromkeys(
            check.metric for check in checks.checks if check.result_type == result_type and check.compares
        )
        found = list(rows.get(result_type, ()))
        rounds.update(at for row in found if (at := round_of(row)) is not None)
        for of_agent in by_agent(result_type, found) if wanted else ():
            agents.setdefault(of_agent.key, of_agent.agent)
            for metric in wanted:
                over_rounds = _medians(result_type, metric, of_agent.rows)
                if over_rounds:
                    of_metric = values.setdefault((result_type, one_line(metric)), {})
                    of_metric[of_agent.key] = over_rounds
    if not rounds:
        return _unusable(source, "has no rounds")
    first, last = iso_time(min(rounds)), iso_time(max(rounds))
    span = f"{source}, {len(rounds)} rounds from {first} to {last}"
    return Baseline(span, values, agents) if values else _unusable(span, "has no values to compare with")


def _medians(result_type: str, metric: str, rows: Iterable[Row]) -> tuple[float, ...]:
    """The median over the rounds for each row that an agent has in a round, in the order of what tells them apart."""
    found: dict[tuple[tuple[str, ...], int], list[float]] = {}
    for row in rows:
        for place, value in enumerate(numbers_of(result_type, metric, [row])):
            if value is not None:
                found.setdefault((row_key(result_type, row), place), []).append(value)
    return tuple(median(values) for _, values in sorted(found.items()))


def _unusable(source: str, why: str) -> Baseline:
    return Baseline(source, unusable=f"{source} {why}")


def _said(value: Any) -> str:
    return one_line(str(value), 80) if isinstance(value, str | int | float) else "unknown"


def _agents_in(told: Mapping[str, Any]) -> dict[str, Agent]:
    groups = told.get("agents")
    reported = groups.get("reported") if isinstance(groups, Mapping) else None
    found = [
        Agent(_text(one.get("agent_id")), _text(one.get("agent_name")))
        for one in (reported if isinstance(reported, list) else [])
        if isinstance(one, Mapping)
    ]
    return {agent_key(agent): agent for agent in found}


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""
