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
from thousandeyes_provider.validation.samples import AgentRows, RoundRows, plain, tidy

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

    def values(check: Check) -> Sequence[tuple[Any, ...]]:
        as_reported = check.on_text or check.aggregate == "count"
        read = of_round.values if as_reported else of_round.numbers
        return read(check.result_type, check.metric)

    return tuple(
        _evaluate(check, of_round.agents(check.result_type), values(check), baseline)
        for check in checks.checks
    )


_Scope = Sequence[tuple[AgentRows, tuple[Any, ...]]]
"""The agents that a check covers, each with its values; ``None`` stands for a row without the metric."""


@dataclass(frozen=True)
class _Sides:
    """The agents now and in the baseline.

    :param matched: the values in the baseline of the agents on both sides, by agent.
    :param only_now: the agents without a value in the baseline.
    :param only_before: the agents without a value now.
    """

    matched: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    only_now: tuple[Agent, ...] = ()
    only_before: tuple[Agent, ...] = ()


def _evaluate(
    check: Check, agents: Sequence[AgentRows], values: Sequence[tuple[Any, ...]], baseline: Baseline | None
) -> CheckResult:
    reported = list(zip(agents, values, strict=True))
    covered = check.where.matcher()
    scope = [pair for pair in reported if covered(pair[0].agent, pair[0].country_id)] if covered else reported
    without = tuple(agent.agent for agent, values in scope if None in values)
    failed = CheckResult(check, False, len(scope), without_metric=without)
    if not any(_has_value(values) for _, values in scope):
        return replace(failed, reason=_why_no_value(check, len(scope), len(reported)))
    if not check.compares:
        sides = _Sides()
    else:
        reason = NO_BASELINE if baseline is None else baseline.missing(check.result_type, check.metric)
        if baseline is None or reason:
            return replace(failed, reason=reason)
        sides = _sides(check, scope, reported, baseline)
        if not sides.matched:
            reason = f"no agent has {check.metric} both now and in {baseline.source}"
            return replace(failed, reason=reason, only_now=sides.only_now, only_before=sides.only_before)
    judged = replace(failed, only_now=sides.only_now, only_before=sides.only_before)
    if check.aggregate == "count":
        return _counted(judged, scope, sides)
    if check.aggregate in AGGREGATORS:
        return _aggregated(judged, scope, sides.matched)
    return _agent_by_agent(judged, scope, sides.matched)


def _sides(check: Check, scope: _Scope, reported: _Scope, baseline: Baseline) -> _Sides:
    """Match each agent now with the same agent in the baseline that has as many values (servers, directions)."""
    before = baseline.of(check.result_type, check.metric)
    in_scope = {agent.key: values for agent, values in scope}
    out_of_scope = {agent.key for agent, _ in reported} - set(in_scope)
    counts_agents = check.aggregate == "count"
    matched = {
        key: before[key]
        for key, values in in_scope.items()
        if key in before
        and (_has_value(values) if counts_agents else None not in values and len(before[key]) == len(values))
    }
    return _Sides(
        matched,
        tuple(agent.agent for agent, values in scope if agent.key not in matched and _has_value(values)),
        tuple(
            baseline.agent(key)
            for key in sorted(before)
            if key not in out_of_scope and not _has_value(in_scope.get(key, ()))
        ),
    )


def _agent_by_agent(
    judged: CheckResult, scope: _Scope, matched: Mapping[str, tuple[float, ...]]
) -> CheckResult:
    """Evaluate ``every`` or ``any``: an agent passes when all of its rows have the metric and pass."""
    check = judged.check
    predicate = predicate_for(check)
    failing: list[tuple[float, AgentValue]] = []
    compared = passing = 0
    for agent, values in scope:
        before = matched.get(agent.key, ())
        if None not in values and not predicate.absolute and not before:
            continue  # on one side only: reported, not judged
        compared += 1
        if None in values:
            continue
        breach = predicate.worst(values, before)
        if breach is None:
            passing += 1
        else:
            failing.append((breach, AgentValue(agent.agent, values, before)))
    every = check.aggregate == "every"
    # A quorum of 3.0000000000000004 agents is one of three.
    needed = max(math.ceil(check.quorum * compared - 1e-9), 1) if every else 1
    passed = passing >= needed
    named = _worst_first(failing) if every or not passed else ()
    return replace(judged, passed=passed, actual=passing, needed=needed, failing_agents=named)


def _aggregated(judged: CheckResult, scope: _Scope, matched: Mapping[str, tuple[float, ...]]) -> CheckResult:
    """Evaluate another aggregate: bounds use all values, changes use the agents on both sides."""
    predicate, aggregate = predicate_for(judged.check), AGGREGATORS[judged.check.aggregate]
    actual = aggregate([value for _, values in scope for value in values if value is not None])
    now = before = None
    passed = Predicate(predicate.absolute, ()).breach(actual) is None
    if matched:
        now = aggregate([value for agent, values in scope if agent.key in matched for value in values])
        before = aggregate([value for values in matched.values() for value in values])
        passed = passed and Predicate((), predicate.relative).breach(now, before) is None
    failing: list[tuple[float, AgentValue]] = []
    for agent, values in scope if not passed else ():
        known = tuple(value for value in values if value is not None)
        earlier = matched.get(agent.key, ())
        if (breach := predicate.worst(known, earlier)) is not None:
            failing.append((breach, AgentValue(agent.agent, known, earlier)))
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
    count = float(sum(_has_value(values) for _, values in scope))
    compares = judged.check.compares
    before = float(len(sides.only_before) + len(sides.matched)) if compares else None
    passed = predicate_for(judged.check).breach(count, before) is None
    return replace(judged, passed=passed, actual=count, before=before, matched=count if compares else None)


def _has_value(values: Sequence[Any]) -> bool:
    return any(value is not None for value in values)


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
