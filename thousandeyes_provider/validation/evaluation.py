"""Evaluation of checks on the rows of a round, with the agents that fail each check.

Every row of an agent (DNS servers, directions) is a separate value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, repeat, takewhile
from typing import Any

from thousandeyes_provider.api.coerce import share
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.validation.aggregates import AGGREGATORS, relative_change
from thousandeyes_provider.validation.baseline import AgentValues, Baseline
from thousandeyes_provider.validation.check_model import Check, Checks, Severity
from thousandeyes_provider.validation.formatting import one_line
from thousandeyes_provider.validation.predicates import Predicate, as_text, predicate_for
from thousandeyes_provider.validation.samples import (
    AgentRows,
    MetricValues,
    RoundRows,
    Values,
    as_tuple,
    flatten,
    plain,
    tidy,
)

MAX_NAMED_AGENTS = 10
"""Agents in each list of a check row; the count is beside the list."""

MAX_VALUES = 10
"""Values of one agent in a check row."""

MIN_COMMON_PREFIX = 3
"""Characters that a line must share with the expected text to be shown in place of the whole text."""

MAX_CHOICES = 20
"""Values of a list in the comparison of a check row."""

MAX_VALUE_TEXT = 80
"""Characters of a text value in a check row."""

NO_BASELINE = "there is no earlier run and no history to compare with"


@dataclass(frozen=True)
class AgentValue:
    """An agent that fails a check, with its values.

    :param values: its values, one for each of its rows.
    :param before: its values in the baseline, when they are compared.
    """

    agent: Agent
    values: tuple[Any, ...]
    before: tuple[float, ...] = ()

    def to_json(self, expected_text: str = "") -> dict[str, Any]:
        """Return the entry of a check row; ``actual`` is a list when the agent has several rows.

        :param expected_text: beginning of the expected line in a text of several lines.
        """
        values = (
            [_nearest_line(value, expected_text) for value in self.values] if expected_text else self.values
        )
        entry: dict[str, Any] = {**agent_entry(self.agent), "actual": _shown(values)}
        return entry | ({"before": _shown(self.before)} if self.before else {})


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    :param agents: number of agents that the check covers.
    :param actual: the compared value: the aggregate of all values; for ``every`` and ``any`` the number of agents that
        pass; for ``count`` the number of agents with the metric. ``None`` without a value.
    :param needed: for ``every`` and ``any``, the number of agents that must pass.
    :param failing_agents: the agents that fail the check, the worst first. For ``every`` and ``any`` these are the
        agents that do not pass; for another aggregate of a failed check, the agents whose own values would fail it.
    :param without_metric: the agents that have a row without the metric.
    :param before: the aggregate in the baseline, of the agents on both sides; ``None`` when nothing is compared, or
        when agents are compared one by one (``every``, ``any``).
    :param matched: the aggregate now, of the agents on both sides.
    :param only_now: the agents that have no value in the baseline.
    :param only_before: the agents that have a value in the baseline and none now.
    :param reason: why the check failed, when its figures do not show it; else empty.
    """

    check: Check
    passed: bool
    agents: int
    actual: float | int | None = None
    needed: int | None = None
    failing_agents: tuple[AgentValue, ...] = ()
    without_metric: tuple[Agent, ...] = ()
    before: float | None = None
    matched: float | None = None
    only_now: tuple[Agent, ...] = ()
    only_before: tuple[Agent, ...] = ()
    reason: str = ""

    @property
    def fails_verdict(self) -> bool:
        """Whether the check makes the verdict ``failed``."""
        return not self.passed and self.check.severity is Severity.ERROR

    def to_json(self) -> dict[str, Any]:
        """Return the row of the evidence; its lists have at most :data:`MAX_NAMED_AGENTS` agents."""
        check = self.check
        row: dict[str, Any] = {
            "result_type": check.result_type,
            "metric": one_line(check.metric),
            "aggregate": check.aggregate,
            "comparison": _short(check.to_json()),
            "passed": self.passed,
            "severity": check.severity.value,
            "actual": plain(self.actual),
            "agents": self.agents,
        }
        if self.needed is not None:
            row["needed"] = self.needed
        if self.before is not None and self.matched is not None:
            row["before"] = plain(self.before)
            row["delta"] = plain(tidy(self.matched - self.before))
            row["change"] = plain(relative_change(self.matched, self.before))
        if self.reason:
            row["reason"] = one_line(self.reason)
        expected_text = _expected_text(self.check)
        row["failing_count"] = len(self.failing_agents)
        row["failing_agents"] = [
            agent.to_json(expected_text) for agent in self.failing_agents[:MAX_NAMED_AGENTS]
        ]
        row["without_metric_count"] = len(self.without_metric)
        row["without_metric"] = [agent_entry(agent) for agent in self.without_metric[:MAX_NAMED_AGENTS]]
        for name, agents in (("only_now", self.only_now), ("only_before", self.only_before)):
            if agents:
                row[f"{name}_count"] = len(agents)
                row[name] = [agent_entry(agent) for agent in agents[:MAX_NAMED_AGENTS]]
        return row


def evaluate(
    checks: Checks, rows: RoundRows | Mapping[str, Iterable[Row]], baseline: Baseline | None = None
) -> tuple[CheckResult, ...]:
    """Evaluate the checks on the rows of a round.

    :param rows: the rows of our round, by result type, in any order.
    :param baseline: what ``change_*`` and ``delta_*`` compare with; without it they fail.
    :return: a result for each check, in their order.
    """
    of_round = rows if isinstance(rows, RoundRows) else RoundRows(rows)
    scopes: dict[tuple[Any, ...], _Scope] = {}
    results = []
    for check in checks.checks:
        as_reported = check.on_text or check.aggregate == "count"
        key = (check.result_type, check.metric, check.where, as_reported)
        if key not in scopes:
            scopes[key] = _scope(check, of_round, baseline, as_reported)
        results.append(_evaluate(check, scopes[key], baseline))
    return tuple(results)


_Matched = Mapping[str, tuple[float, ...]]
"""The values in the baseline of the agents on both sides, by agent key."""


@dataclass(frozen=True)
class _Sides:
    """The agents now and in the baseline.

    :param matched: the values in the baseline of the agents on both sides.
    :param only_now: the agents without a value in the baseline.
    :param only_before: the keys of the agents without a value now.
    """

    matched: _Matched = field(default_factory=dict)
    only_now: tuple[Agent, ...] = ()
    only_before: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Scope:
    """The agents that a check covers; checks of one metric share it.

    :param reported: all agents of the result type.
    :param metric: their values.
    :param positions: the positions of the agents that the check covers.
    :param before: the values in the baseline of the agents that the check covers.
    :param counts_agents: whether agents are counted regardless of their values.
    """

    reported: Sequence[AgentRows]
    metric: MetricValues
    positions: Sequence[int]
    before: AgentValues
    counts_agents: bool

    @cached_property
    def known(self) -> Sequence[int]:
        """The positions of the agents with a value."""
        return self._without(self.metric.unknown)

    @cached_property
    def complete(self) -> Sequence[int]:
        """The positions of the agents with a value in each row."""
        return self._without(self.metric.incomplete)

    @cached_property
    def without_metric(self) -> tuple[Agent, ...]:
        """The agents with a row without the metric."""
        incomplete = self.metric.incomplete
        return tuple(self.reported[position].agent for position in self.positions if position in incomplete)

    @cached_property
    def sorted_numbers(self) -> list[float]:
        """All numbers, sorted."""
        if len(self.positions) == len(self.reported):
            return self.metric.sorted_numbers
        covered = [self.metric.values[position] for position in self.known]
        return MetricValues(covered).sorted_numbers

    @cached_property
    def sides(self) -> _Sides:
        """Match each agent now with the same agent in the baseline that has as many values (servers, directions)."""
        before, reported = self.before, self.reported
        values, incomplete = self.metric.values, self.metric.incomplete
        matched: dict[str, tuple[float, ...]] = {}
        only_now: list[Agent] = []
        for position in self.known:
            key = reported[position].key
            then = before.get(key)
            if then is not None and (
                self.counts_agents
                or (position not in incomplete and len(then) == len(as_tuple(values[position])))
            ):
                matched[key] = then
            else:
                only_now.append(reported[position].agent)
        gone = before.keys() - {agent.key for agent in reported}
        silent = {reported[position].key for position in self.positions if position in self.metric.unknown}
        only_before = sorted(gone | (silent & before.keys()))
        return _Sides(matched, tuple(only_now), tuple(only_before))

    def _without(self, left_out: Collection[int]) -> Sequence[int]:
        if not left_out:
            return self.positions
        return [position for position in self.positions if position not in left_out]


def _scope(check: Check, rows: RoundRows, baseline: Baseline | None, as_reported: bool) -> _Scope:
    reported = rows.agents(check.result_type)
    positions: Sequence[int] = range(len(reported))
    if matches := check.where.matcher():
        positions = [
            position for position, agent in enumerate(reported) if matches(agent.agent, agent.country_id)
        ]
    read = rows.values if as_reported else rows.numbers
    before = baseline.of(check.result_type, check.metric) if baseline else {}
    if baseline and matches:
        # An agent with an unknown country may have matched.
        before = {
            key: values
            for key, values in before.items()
            if matches(baseline.agent(key), baseline.countries.get(key))
        }
    return _Scope(reported, read(check.result_type, check.metric), positions, before, as_reported)


def _evaluate(check: Check, scope: _Scope, baseline: Baseline | None) -> CheckResult:
    failed = CheckResult(check, False, len(scope.positions), without_metric=scope.without_metric)
    if not scope.known:
        return replace(failed, reason=_why_no_value(check, len(scope.positions), len(scope.reported)))
    sides = _Sides()
    if check.compares:
        if baseline is None:
            return replace(failed, reason=NO_BASELINE)
        if reason := baseline.missing(check.result_type, check.metric):
            return replace(failed, reason=reason)
        sides = scope.sides
        only_before = tuple(map(baseline.agent, sides.only_before))
        failed = replace(failed, only_now=sides.only_now, only_before=only_before)
        if not sides.matched:
            return replace(failed, reason=f"no agent has {check.metric} both now and in {baseline.source}")
    if check.aggregate == "count":
        return _counted(failed, scope, sides)
    if check.aggregate in AGGREGATORS:
        return _aggregated(failed, scope, sides.matched)
    return _agent_by_agent(failed, scope, sides.matched)


def _agent_by_agent(judged: CheckResult, scope: _Scope, matched: _Matched) -> CheckResult:
    """Evaluate ``every`` or ``any``: an agent passes when all of its rows have the metric and pass."""
    check = judged.check
    predicate = predicate_for(check)
    values, reported = scope.metric.values, scope.reported
    positions = scope.complete
    if not predicate.absolute:  # agents on one side only are reported, not judged
        positions = [position for position in positions if reported[position].key in matched]
    before = [matched.get(reported[position].key, ()) for position in positions] if matched else repeat(())
    breaches = predicate.breaches([values[position] for position in positions], before)
    failing = [
        (breach, _agent_value(reported[position], values[position], matched))
        for position, breach in zip(positions, breaches, strict=True)
        if breach is not None
    ]
    passing = len(positions) - len(failing)
    compared = len(positions) + len(scope.positions) - len(scope.complete)
    every = check.aggregate == "every"
    needed = max(share(check.quorum, compared), 1) if every else 1
    passed = passing >= needed
    named = _worst_first(failing) if every or not passed else ()
    return replace(judged, passed=passed, actual=passing, needed=needed, failing_agents=named)


def _aggregated(judged: CheckResult, scope: _Scope, matched: _Matched) -> CheckResult:
    """Evaluate another aggregate: bounds use all values, changes use the agents on both sides."""
    predicate, aggregate = predicate_for(judged.check), AGGREGATORS[judged.check.aggregate]
    values, reported = scope.metric.values, scope.reported
    actual = aggregate(scope.sorted_numbers)
    now = before = None
    passed = Predicate(predicate.absolute, ()).breach(actual) is None
    if matched:
        both = [values[position] for position in scope.known if reported[position].key in matched]
        now = aggregate(flatten(both))
        before = aggregate(list(chain.from_iterable(matched.values())))
        passed = passed and Predicate((), predicate.relative).breach(now, before) is None
    failing: list[tuple[float, AgentValue]] = []
    for position in scope.known if not passed else ():
        agent = reported[position]
        known = tuple(value for value in as_tuple(values[position]) if value is not None)
        if (breach := predicate.worst(known, matched.get(agent.key, ()))) is not None:
            failing.append((breach, _agent_value(agent, known, matched)))
    return replace(
        judged,
        passed=passed,
        actual=actual,
        failing_agents=_worst_first(failing),
        before=before,
        matched=now,
    )


def _counted(judged: CheckResult, scope: _Scope, sides: _Sides) -> CheckResult:
    """Evaluate ``count``: the agents with the metric now and in the baseline, counted separately."""
    count = float(len(scope.known))
    compares = judged.check.compares
    before = float(len(sides.only_before) + len(sides.matched)) if compares else None
    passed = predicate_for(judged.check).breach(count, before) is None
    return replace(judged, passed=passed, actual=count, before=before, matched=count if compares else None)


def _why_no_value(check: Check, in_scope: int, reported: int) -> str:
    if in_scope:
        return f"no agent reported {check.metric}"
    if not reported:
        return f"no agent reported {check.result_type}"
    return f"none of the {reported} reporting agents matches where="


def _agent_value(agent: AgentRows, values: Values, matched: _Matched) -> AgentValue:
    return AgentValue(agent.agent, as_tuple(values), matched.get(agent.key, ()))


def _worst_first(failing: Iterable[tuple[float, AgentValue]]) -> tuple[AgentValue, ...]:
    ordered = sorted(failing, key=lambda pair: (-pair[0], pair[1].agent.agent_name, pair[1].agent.agent_id))
    return tuple(value for _, value in ordered)


def agent_entry(agent: Agent) -> dict[str, Any]:
    """Return the entry of an agent in a list of the evidence."""
    return {"agent_id": one_line(agent.agent_id), "agent_name": one_line(agent.agent_name)}


def _expected_text(check: Check) -> str:
    """The literal text that a check expects, as far as it is spelled out."""
    for term in check.terms:
        if term.comparison == "contains":
            return as_text(term.value)
        if term.comparison == "matches":
            return re.split(r"[][\\.^$*+?{}|()]", str(term.value).removeprefix("^"), maxsplit=1)[0]
    return ""


def _nearest_line(value: Any, expected_text: str) -> Any:
    """Return the line that starts like the expected line, or else the whole text."""
    wanted = expected_text.casefold()

    def common_prefix(line: str) -> int:
        pairs = zip(line.strip().casefold(), wanted, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    nearest = max(as_text(value).splitlines(), key=common_prefix, default="")
    return nearest if common_prefix(nearest) >= MIN_COMMON_PREFIX else value


def _shown(values: Sequence[Any]) -> Any:
    """Values for JSON: a single value by itself, several as a list of bounded length, texts shortened."""
    shown = [plain(_short_text(value)) for value in values[:MAX_VALUES]]
    return shown[0] if len(values) == 1 else shown


def _short(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison with texts and lists of bounded length."""
    short = dict(comparison)
    for name, value in comparison.items():
        if isinstance(value, str):
            short[name] = one_line(value)
        elif isinstance(value, list):
            short[name] = [_short_text(part) for part in value[:MAX_CHOICES]]
        elif isinstance(value, dict):
            short[name] = _short(value)
    return short


def _short_text(value: Any) -> Any:
    return one_line(value, MAX_VALUE_TEXT) if isinstance(value, str) else value
