"""Whether the rows of a round keep the checks, and which agents broke them.

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
from thousandeyes_provider.validation.check_parser import Check, Checks, Severity
from thousandeyes_provider.validation.lines import one_line
from thousandeyes_provider.validation.predicates import Predicate, predicate_for, spelled
from thousandeyes_provider.validation.samples import (
    AgentRows,
    by_agent,
    numbers_of,
    plain,
    tidy,
    values_of,
)

MOST_NAMED = 10
"""Agents that a row of evidence names in each of its lists; beyond that it counts them."""

MOST_VALUES = 10
"""Values of one agent that a row of evidence shows."""

ALIKE = 3
"""Characters that a line has to have in common with what was looked for, to be shown in place of the whole text."""

LONGEST_VALUE = 80
"""Characters of a text that an agent reported."""

NO_BEFORE = "there is no earlier run and no history to compare with"


@dataclass(frozen=True)
class AgentValue:
    """What an agent that broke a check said.

    :param agent: who.
    :param values: its values, one for each of its rows.
    :param before: what it said before, where that is compared.
    """

    agent: Agent
    values: tuple[Any, ...]
    before: tuple[float, ...] = ()

    def to_json(self, looked_for: str = "") -> dict[str, Any]:
        """For evidence: ``actual`` is a list where the agent has several rows.

        :param looked_for: how the line begins that a text of many lines should have.
        """
        values = [_nearest_line(value, looked_for) for value in self.values] if looked_for else self.values
        told: dict[str, Any] = {**_named(self.agent), "actual": _shown(values)}
        return told | ({"before": _shown(self.before)} if self.before else {})


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    :param check: the check.
    :param passed: whether it holds.
    :param agents: how many agents it was about.
    :param actual: what was compared: the aggregate of all values; for ``every`` and ``any``, the number of agents for
        which it holds; for ``count``, the number of agents with the metric. ``None`` when there is nothing.
    :param needed: for ``every`` and ``any``, for how many agents it has to hold.
    :param broken_by: the agents that broke it, the worst first: for ``every`` and ``any``, those for which it does not
        hold; for the other aggregates, when the check failed, those whose own values would break it.
    :param without: the agents that have a row without the metric.
    :param before: the same aggregate before, of the agents that are on both sides; ``None`` where that is not compared
        or, as for ``every``, compared agent by agent.
    :param matched: the aggregate now of the agents that are on both sides.
    :param only_now: agents that have no value before.
    :param only_before: agents that had a value before and have none now.
    :param reason: why it failed, when not by its figures; else empty.
    """

    check: Check
    passed: bool
    agents: int
    actual: float | int | None = None
    needed: int | None = None
    broken_by: tuple[AgentValue, ...] = ()
    without: tuple[Agent, ...] = ()
    before: float | None = None
    matched: float | None = None
    only_now: tuple[Agent, ...] = ()
    only_before: tuple[Agent, ...] = ()
    reason: str = ""

    @property
    def fails_verdict(self) -> bool:
        """Whether it makes the verdict ``failed``."""
        return not self.passed and self.check.severity is Severity.ERROR

    def to_json(self) -> dict[str, Any]:
        """The row of the evidence; each list of agents has :data:`MOST_NAMED` at most, the count is beside it."""
        check = self.check
        told: dict[str, Any] = {
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
            told["needed"] = self.needed
        if self.before is not None and self.matched is not None:
            told["before"] = plain(self.before)
            told["delta"] = plain(tidy(self.matched - self.before))
            told["change"] = plain(relative_change(self.matched, self.before))
        if self.reason:
            told["reason"] = one_line(self.reason)
        told["broken"] = len(self.broken_by)
        looked_for = _looked_for(self.check)
        told["broken_by"] = [one.to_json(looked_for) for one in self.broken_by[:MOST_NAMED]]
        told["lacking"] = len(self.without)
        told["without"] = [_named(agent) for agent in self.without[:MOST_NAMED]]
        for name, agents in (("only_now", self.only_now), ("only_before", self.only_before)):
            if agents:
                told[name] = [_named(agent) for agent in agents[:MOST_NAMED]]
                told[f"{name}_count"] = len(agents)
        return told


def evaluate(
    checks: Checks, rows: Mapping[str, Iterable[Row]], before: Baseline | None = None
) -> tuple[CheckResult, ...]:
    """Hold the rows of a round against the checks.

    :param checks: the declaration.
    :param rows: the rows of our round, by result type, in any order.
    :param before: what ``change_*`` and ``delta_*`` compare with; without it they fail.
    :return: a result for each check, in their order.
    """
    agents = {name: by_agent(name, rows.get(name, ())) for name in checks.result_types}
    read: dict[tuple[str, str, bool], tuple[tuple[Any, ...], ...]] = {}

    def values(check: Check) -> tuple[tuple[Any, ...], ...]:
        as_they_are = check.on_text or check.aggregate == "count"
        key = (check.result_type, check.metric, as_they_are)
        if key not in read:
            reader = values_of if as_they_are else numbers_of
            read[key] = tuple(
                reader(check.result_type, check.metric, one.rows) for one in agents[check.result_type]
            )
        return read[key]

    return tuple(
        _evaluate(check, agents[check.result_type], values(check), before) for check in checks.checks
    )


_Scope = Sequence[tuple[AgentRows, tuple[Any, ...]]]
"""The agents that a check is about, each with its values; ``None`` stands for a row without the metric."""


@dataclass(frozen=True)
class _Sides:
    """Agents now and before.

    :param matched: what those said before that are on both sides, by agent.
    :param only_now: agents that have no value before.
    :param only_before: agents that have none now.
    """

    matched: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    only_now: tuple[Agent, ...] = ()
    only_before: tuple[Agent, ...] = ()


def _evaluate(
    check: Check, agents: Sequence[AgentRows], values: Sequence[tuple[Any, ...]], before: Baseline | None
) -> CheckResult:
    everybody = list(zip(agents, values, strict=True))
    scope = [(one, found) for one, found in everybody if check.where.covers(one.agent, one.country_id)]
    without = tuple(one.agent for one, found in scope if None in found)
    failed = CheckResult(check, False, len(scope), without=without)
    if not any(_has_value(found) for _, found in scope):
        return replace(failed, reason=_why_nothing(check, len(scope), len(everybody)))
    if not check.compares:
        sides = _Sides()
    else:
        why = NO_BEFORE if before is None else before.missing(check.result_type, check.metric)
        if before is None or why:
            return replace(failed, reason=why)
        sides = _sides(check, scope, everybody, before)
        if not sides.matched:
            why = f"no agent has {check.metric} both now and in {before.source}"
            return replace(failed, reason=why, only_now=sides.only_now, only_before=sides.only_before)
    judged = replace(failed, only_now=sides.only_now, only_before=sides.only_before)
    if check.aggregate == "count":
        return _counted(judged, scope, sides)
    if check.aggregate in AGGREGATORS:
        return _aggregated(judged, scope, sides.matched)
    return _agent_by_agent(judged, scope, sides.matched)


def _sides(check: Check, scope: _Scope, everybody: _Scope, before: Baseline) -> _Sides:
    """Who is to be compared with whom: the same agent with as many values (servers, directions) as before."""
    then = before.of(check.result_type, check.metric)
    in_scope = {one.key: found for one, found in scope}
    elsewhere = {one.key for one, _ in everybody} - set(in_scope)
    whole_count = check.aggregate == "count"
    matched = {
        key: then[key]
        for key, found in in_scope.items()
        if key in then
        and (_has_value(found) if whole_count else None not in found and len(then[key]) == len(found))
    }
    return _Sides(
        matched,
        tuple(one.agent for one, found in scope if one.key not in matched and _has_value(found)),
        tuple(
            before.agent(key)
            for key in sorted(then)
            if key not in elsewhere and not _has_value(in_scope.get(key, ()))
        ),
    )


def _agent_by_agent(
    judged: CheckResult, scope: _Scope, matched: Mapping[str, tuple[float, ...]]
) -> CheckResult:
    """``every`` and ``any``: an agent keeps the rule when all of its rows have the metric and keep it."""
    check = judged.check
    rule = predicate_for(check)
    broken: list[tuple[float, AgentValue]] = []
    asked = holding = 0
    for one, found in scope:
        then = matched.get(one.key, ())
        if None not in found and not rule.alone and not then:
            continue  # on one side only: told, not judged
        asked += 1
        if None in found:
            continue
        breach = rule.worst(found, then)
        if breach is None:
            holding += 1
        else:
            broken.append((breach, AgentValue(one.agent, found, then)))
    every = check.aggregate == "every"
    # A quorum of 3.0000000000000004 agents is one of three.
    needed = max(math.ceil(check.quorum * asked - 1e-9), 1) if every else 1
    passed = holding >= needed
    named = _worst_first(broken) if every or not passed else ()
    return replace(judged, passed=passed, actual=holding, needed=needed, broken_by=named)


def _aggregated(judged: CheckResult, scope: _Scope, matched: Mapping[str, tuple[float, ...]]) -> CheckResult:
    """The other aggregates: bounds are about all values, changes about the agents that are on both sides."""
    rule, make = predicate_for(judged.check), AGGREGATORS[judged.check.aggregate]
    actual = make([value for _, found in scope for value in found if value is not None])
    now = then = None
    passed = Predicate(rule.alone, ()).breach(actual) is None
    if matched:
        now = make([value for one, found in scope if one.key in matched for value in found])
        then = make([value for found in matched.values() for value in found])
        passed = passed and Predicate((), rule.changed).breach(now, then) is None
    broken: list[tuple[float, AgentValue]] = []
    for one, found in scope if not passed else ():
        known = tuple(value for value in found if value is not None)
        before = matched.get(one.key, ())
        if (breach := rule.worst(known, before)) is not None:
            broken.append((breach, AgentValue(one.agent, known, before)))
    return replace(
        judged, passed=passed, actual=actual, broken_by=_worst_first(broken), before=then, matched=now
    )


def _counted(judged: CheckResult, scope: _Scope, sides: _Sides) -> CheckResult:
    """How many agents have the metric: now, and before, each side by itself."""
    count = float(sum(_has_value(found) for _, found in scope))
    compares = judged.check.compares
    then = float(len(sides.only_before) + len(sides.matched)) if compares else None
    passed = predicate_for(judged.check).breach(count, then) is None
    return replace(judged, passed=passed, actual=count, before=then, matched=count if compares else None)


def _has_value(found: Sequence[Any]) -> bool:
    return any(value is not None for value in found)


def _why_nothing(check: Check, in_scope: int, reported: int) -> str:
    if in_scope:
        return f"no agent reported {check.metric}"
    if not reported:
        return f"no agent reported {check.result_type}"
    return f"none of the {reported} agents that reported is one that where= asks for"


def _worst_first(broken: Iterable[tuple[float, AgentValue]]) -> tuple[AgentValue, ...]:
    ordered = sorted(broken, key=lambda one: (-one[0], one[1].agent.agent_name, one[1].agent.agent_id))
    return tuple(value for _, value in ordered)


def _named(agent: Agent) -> dict[str, str]:
    return {"agent_id": one_line(agent.agent_id), "agent_name": one_line(agent.agent_name)}


def _looked_for(check: Check) -> str:
    """The text that a check looks for, as far as it is spelled out."""
    for term in check.terms:
        if term.comparison == "contains":
            return spelled(term.value)
        if term.comparison == "matches":
            return re.split(r"[][\\.^$*+?{}|()]", str(term.value).removeprefix("^"), maxsplit=1)[0]
    return ""


def _nearest_line(value: Any, looked_for: str) -> Any:
    """Of a text the line that begins like the one that was looked for; the text when none does."""

    def alike(line: str) -> int:
        pairs = zip(line.strip().casefold(), looked_for.casefold(), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    nearest = max(spelled(value).splitlines(), key=alike, default="")
    return nearest if alike(nearest) >= ALIKE else value


def _shown(values: Sequence[Any]) -> Any:
    """Values for JSON: one by itself, several as a list of bounded length, texts short."""
    told = [
        one_line(value, LONGEST_VALUE) if isinstance(value, str) else plain(value)
        for value in values[:MOST_VALUES]
    ]
    return told[0] if len(values) == 1 else told


def _short(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison with its texts and lists at a bounded length."""
    told: dict[str, Any] = {}
    for name, value in comparison.items():
        if isinstance(value, str):
            told[name] = one_line(value)
        elif isinstance(value, list):
            told[name] = [
                one_line(part, LONGEST_VALUE) if isinstance(part, str) else part for part in value[:20]
            ]
        elif isinstance(value, dict):
            told[name] = _short(value)
        else:
            told[name] = value
    return told
