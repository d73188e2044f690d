"""Evaluation of checks on the rows of a round, with the agents that fail each check.

Every row of an agent (DNS servers, directions) is a value of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.validation.aggregates import AGGREGATORS, relative_change
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.check_model import Check, Checks, Severity
from thousandeyes_provider.validation.formatting import one_line
from thousandeyes_provider.validation.predicates import Predicate, as_text, predicate_for
from thousandeyes_provider.validation.samples import AgentRows, MetricValues, RoundRows, plain, tidy

MAX_NAMED_AGENTS = 10
"""Agents in each list of a check row; the count is beside the list."""

MAX_VALUES = 10
"""Values of one agent in a check row."""

MIN_COMMON_PREFIX = 3
"""Characters that a line must share with the expected text to be shown in place of the whole text."""

MAX_VALUE_TEXT = 80
"""Characters of a text value in a check row."""

NO_BASELINE = "there is no earlier run and no history to compare with"


@dataclass(frozen=True)
class AgentValue:
    """An agent that fails a check, with its values.

    :param agent: the agent.
    :param values: its values, one for each of its rows.
    :param before: its values in the baseline, when they are compared.
    """

    agent: Agent
    values: tuple[Any, ...]
    before: tuple[float, ...] = ()

    def to_json(self, expected_text: str = "") -> dict[str, Any]:
        """Return the entry of a check row; ``actual`` is a list when the agent has several rows.

        :param expected_text: how the line begins that a text of many lines should have.
        """
        values = (
            [_nearest_line(value, expected_text) for value in self.values] if expected_text else self.values
        )
        entry: dict[str, Any] = {**_agent_entry(self.agent), "actual": _shown(values)}
        return entry | ({"before": _shown(self.before)} if self.before else {})


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    :param check: the check.
    :param passed: whether the check passes.
    :param agents: how many agents the check covers.
    :param actual: the compared value: the aggregate of all values; for ``every`` and ``any`` the number of agents that
        pass; for ``count`` the number of agents with the metric. ``None`` when there is no value.
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
        row["without_metric"] = [_agent_entry(agent) for agent in self.without_metric[:MAX_NAMED_AGENTS]]
        for name, agents in (("only_now", self.only_now), ("only_before", self.only_before)):
            if agents:
                row[f"{name}_count"] = len(agents)
                row[name] = [_agent_entry(agent) for agent in agents[:MAX_NAMED_AGENTS]]
        return row


def evaluate(
    checks: Checks, rows: RoundRows | Mapping[str, Iterable[Row]], baseline: Baseline | None = None
) -> tuple[CheckResult, ...]:
    """Evaluate the checks on the rows of a round.

    :param checks: the parsed checks.
    :param rows: the rows of our round, by result type, in any order.
    :param baseline: what ``change_*`` and ``delta_*`` compare with; without it they fail.
    :return: a result for each check, in their order.
    """
    of_round = rows if isinstance(rows, RoundRows) else RoundRows(rows)

    def values(check: Check) -> MetricValues:
        as_reported = check.on_text or check.aggregate == "count"
        read = of_round.values if as_reported else of_round.numbers
        return read(check.result_type, check.metric)

    return tuple(
        _evaluate(check, of_round.agents(check.result_type), values(check), baseline)
        for check in checks.checks
    )


@dataclass(frozen=True)
class _Scope:
    """The agents that a check covers.

    :param reported: all agents of the result type.
    :param metric: their values.
    :param positions: the positions of the agents that the check covers.
    :param known: the positions of those with a value.
    """

    reported: Sequence[AgentRows]
    metric: MetricValues
    positions: Sequence[int]
    known: Sequence[int]

    @classmethod
    def of(cls, check: Check, reported: Sequence[AgentRows], metric: MetricValues) -> _Scope:
        positions: Sequence[int] = range(len(reported))
        if matches := check.where.matcher():
            positions = [
                position for position, agent in enumerate(reported) if matches(agent.agent, agent.country_id)
            ]
        unknown = metric.unknown
        known = [position for position in positions if position not in unknown] if unknown else positions
        return cls(reported, metric, positions, known)

    def without_metric(self) -> tuple[Agent, ...]:
        """The agents with a row without the metric."""
        incomplete = self.metric.incomplete
        if not incomplete:
            return ()
        return tuple(self.reported[position].agent for position in self.positions if position in incomplete)


_Matched = Mapping[str, tuple[float, ...]]
"""The values in the baseline of the agents on both sides, by agent key."""


@dataclass(frozen=True)
class _Sides:
    """The agents now and in the baseline.

    :param matched: the values in the baseline of the agents on both sides.
    :param only_now: the agents without a value in the baseline.
    :param only_before: the agents without a value now.
    """

    matched: _Matched = field(default_factory=dict)
    only_now: tuple[Agent, ...] = ()
    only_before: tuple[Agent, ...] = ()


def _evaluate(
    check: Check, reported: Sequence[AgentRows], metric: MetricValues, baseline: Baseline | None
) -> CheckResult:
    scope = _Scope.of(check, reported, metric)
    failed = CheckResult(check, False, len(scope.positions), without_metric=scope.without_metric())
    if not scope.known:
        return replace(failed, reason=_why_no_value(check, len(scope.positions), len(reported)))
    sides = _Sides()
    if check.compares:
        reason = NO_BASELINE if baseline is None else baseline.missing(check.result_type, check.metric)
        if baseline is None or reason:
            return replace(failed, reason=reason)
        sides = _sides(check, scope, baseline)
        if not sides.matched:
            reason = f"no agent has {check.metric} both now and in {baseline.source}"
            return replace(failed, reason=reason, only_now=sides.only_now, only_before=sides.only_before)
    judged = replace(failed, only_now=sides.only_now, only_before=sides.only_before)
    if check.aggregate == "count":
        return _counted(judged, scope, sides)
    if check.aggregate in AGGREGATORS:
        return _aggregated(judged, scope, sides.matched)
    return _agent_by_agent(judged, scope, sides.matched)


def _sides(check: Check, scope: _Scope, baseline: Baseline) -> _Sides:
    """Match each agent now with the same agent in the baseline that has as many values (servers, directions)."""
    before = baseline.of(check.result_type, check.metric)
    values, incomplete, reported = scope.metric.values, scope.metric.incomplete, scope.reported
    counts_agents = check.aggregate == "count"
    matched: dict[str, tuple[float, ...]] = {}
    only_now: list[Agent] = []
    for position in scope.known:
        agent = reported[position]
        then = before.get(agent.key)
        is_same = counts_agents or (
            position not in incomplete and then is not None and len(then) == len(values[position])
        )
        if then is not None and is_same:
            matched[agent.key] = then
        else:
            only_now.append(agent.agent)
    covered = set(scope.positions) if len(scope.positions) < len(reported) else None
    out_of_scope = {
        agent.key
        for position, agent in enumerate(reported)
        if covered is not None and position not in covered
    }
    known = {reported[position].key for position in scope.known}
    only_before = (
        baseline.agent(key) for key in sorted(before) if key not in known and key not in out_of_scope
    )
    return _Sides(matched, tuple(only_now), tuple(only_before))


def _agent_by_agent(judged: CheckResult, scope: _Scope, matched: _Matched) -> CheckResult:
    """Evaluate ``every`` or ``any``: an agent passes when all of its rows have the metric and pass."""
    check = judged.check
    predicate = predicate_for(check)
    values, incomplete, reported = scope.metric.values, scope.metric.incomplete, scope.reported
    failing: list[tuple[float, AgentValue]] = []
    compared = passing = 0
    for position in scope.positions:
        if position in incomplete:
            compared += 1
            continue
        agent = reported[position]
        before = matched.get(agent.key, ()) if matched else ()
        if not predicate.absolute and not before:
            continue  # on one side only: reported, not judged
        compared += 1
        breach = predicate.worst(values[position], before)
        if breach is None:
            passing += 1
        else:
            failing.append((breach, AgentValue(agent.agent, values[position], before)))
    every = check.aggregate == "every"
    # A quorum of 3.0000000000000004 agents is one of three.
    needed = max(math.ceil(check.quorum * compared - 1e-9), 1) if every else 1
    passed = passing >= needed
    named = _worst_first(failing) if every or not passed else ()
    return replace(judged, passed=passed, actual=passing, needed=needed, failing_agents=named)


def _aggregated(judged: CheckResult, scope: _Scope, matched: _Matched) -> CheckResult:
    """Evaluate another aggregate: bounds use all values, changes use the agents on both sides."""
    predicate, aggregate = predicate_for(judged.check), AGGREGATORS[judged.check.aggregate]
    values, reported = scope.metric.values, scope.reported
    actual = aggregate([value for position in scope.known for value in values[position] if value is not None])
    now = before = None
    passed = Predicate(predicate.absolute, ()).breach(actual) is None
    if matched:
        now = aggregate(
            [
                value
                for position in scope.known
                if reported[position].key in matched
                for value in values[position]
            ]
        )
        before = aggregate([value for of_agent in matched.values() for value in of_agent])
        passed = passed and Predicate((), predicate.relative).breach(now, before) is None
    failing: list[tuple[float, AgentValue]] = []
    for position in scope.known if not passed else ():
        known = tuple(value for value in values[position] if value is not None)
        earlier = matched.get(reported[position].key, ())
        if (breach := predicate.worst(known, earlier)) is not None:
            failing.append((breach, AgentValue(reported[position].agent, known, earlier)))
    return replace(
        judged,
        passed=passed,
        actual=actual,
        failing_agents=_worst_first(failing),
        before=before,
        matched=now,
    )


def _counted(judged: CheckResult, scope: _Scope, sides: _Sides) -> CheckResult:
    """Evaluate ``count``: the agents with the metric now, and in the baseline, each side by itself."""
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


def _worst_first(failing: Iterable[tuple[float, AgentValue]]) -> tuple[AgentValue, ...]:
    ordered = sorted(failing, key=lambda pair: (-pair[0], pair[1].agent.agent_name, pair[1].agent.agent_id))
    return tuple(value for _, value in ordered)


def _agent_entry(agent: Agent) -> dict[str, str]:
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
    """The line of a text that begins like the expected one; the whole text when no line does."""
    wanted = expected_text.casefold()

    def common_prefix(line: str) -> int:
        pairs = zip(line.strip().casefold(), wanted, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    nearest = max(as_text(value).splitlines(), key=common_prefix, default="")
    return nearest if common_prefix(nearest) >= MIN_COMMON_PREFIX else value


def _shown(values: Sequence[Any]) -> Any:
    """Values for JSON: a single value by itself, several as a list of bounded length, texts shortened."""
    shown = [
        one_line(value, MAX_VALUE_TEXT) if isinstance(value, str) else plain(value)
        for value in values[:MAX_VALUES]
    ]
    return shown[0] if len(values) == 1 else shown


def _short(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison with texts and lists of bounded length."""
    short: dict[str, Any] = {}
    for name, value in comparison.items():
        if isinstance(value, str):
            short[name] = one_line(value)
        elif isinstance(value, list):
            short[name] = [
                one_line(part, MAX_VALUE_TEXT) if isinstance(part, str) else part for part in value[:20]
            ]
        elif isinstance(value, dict):
            short[name] = _short(value)
        else:
            short[name] = value
    return short
