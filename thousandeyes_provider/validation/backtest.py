"""The verdicts of a gate on the recent rounds of a test.

Every round is judged by the code that judges a run (:func:`~thousandeyes_provider.validation.verdict.judge`), with the
baseline that ``compare_with`` would have read at that time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from thousandeyes_provider.api.coerce import (
    SEPARATOR,
    join_truncated,
    parse_allowed_errors,
    parse_confirm_failures,
)
from thousandeyes_provider.api.expected_agents import (
    Agent,
    ExpectedAgents,
    agent_of,
    expected_from_argument,
    is_among,
    share_or_count,
)
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import TEST_TYPES, Row
from thousandeyes_provider.api.rounds import app_link, epoch_seconds, row_key, window_seconds
from thousandeyes_provider.validation import formatting
from thousandeyes_provider.validation.aggregates import median
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.check_model import NO_CHECKS, Checks
from thousandeyes_provider.validation.check_parser import check_conflicts, parse_checks
from thousandeyes_provider.validation.evaluation import CheckResult
from thousandeyes_provider.validation.history import History
from thousandeyes_provider.validation.samples import by_agent, numbers_of, row_identity
from thousandeyes_provider.validation.verdict import Judgement, Verdict, judge

MAX_AGENTS_NAMED = 3
"""Agents named in the reason of one round."""


@dataclass(frozen=True)
class Gate:
    """The arguments of an operator that decide about a round.

    :param compare_window: seconds that the baseline reaches back; ``None`` without ``compare_with``.
    :param min_agents: agents that are enough: a count, a fraction, or ``None`` for all.
    :param max_agent_errors: agents that may report an error: a count or a fraction.
    :param confirm_failures: number of further runs that must confirm a failed run.
    :param expected_agents: the agents that should report; ``None``: those of the test.
    """

    checks: Checks = NO_CHECKS
    compare_window: float | None = None
    min_agents: int | float | None = None
    max_agent_errors: int | float = 0
    confirm_failures: int = 0
    expected_agents: ExpectedAgents | None = None

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Gate:
        """The gate of operator arguments; other arguments of the operator do not matter here.

        :param arguments: such as the content of a proposed file.
        :raises ValueError: when an argument is invalid.
        """
        compare = arguments.get("compare_with")
        if compare is not None and not (
            isinstance(compare, Mapping) and {"test_id", "window"} <= set(compare)
        ):
            raise ValueError("compare_with: expected {'test_id': …, 'window': '24h'}")
        checks = parse_checks(arguments.get("checks"))
        if problems := check_conflicts(checks, has_compare_with=compare is not None):
            raise ValueError("; ".join(problems))
        min_agents, repeats = arguments.get("min_agents"), arguments.get("confirm_failures", 0)
        if min_agents is not None:
            share_or_count(min_agents, None)
        try:
            confirm_failures = parse_confirm_failures(repeats)
        except ValueError as error:
            raise ValueError(f"confirm_failures={repeats!r}: {error}") from None
        try:
            max_agent_errors = parse_allowed_errors(arguments.get("max_agent_errors", 0))
        except ValueError as error:
            raise ValueError(f"max_agent_errors: {error}") from None
        try:
            expected_agents = expected_from_argument(arguments.get("expected_agents"))
        except ValueError as error:
            raise ValueError(f"expected_agents: {error}") from None
        return cls(
            checks=checks,
            compare_window=None if compare is None else window_seconds(compare["window"]),
            min_agents=min_agents,
            max_agent_errors=max_agent_errors,
            confirm_failures=confirm_failures,
            expected_agents=expected_agents,
        )

    def result_types(self, test_type: str) -> tuple[str, ...]:
        """The result types that an operator with these arguments waits for."""
        return self.checks.result_types or TEST_TYPES[test_type].default

    def rolling_baseline(self) -> RollingBaseline | None:
        """An empty baseline to move along a history; ``None`` when no check compares or nothing to compare with."""
        if not self.checks.compares or self.compare_window is None:
            return None
        compared = ((check.result_type, check.metric) for check in self.checks.checks if check.compares)
        return RollingBaseline(compared, self.compare_window)


class _Window:
    """The values of one row of an agent in a moving window, also in order."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, float]] = deque()
        self.ordered: list[float] = []

    def add(self, round_id: int, value: float) -> None:
        self._values.append((round_id, value))
        insort(self.ordered, value)

    def drop_before(self, start: float) -> None:
        while self._values and self._values[0][0] < start:
            del self.ordered[bisect_left(self.ordered, self._values.popleft()[1])]


class RollingBaseline:
    """The baseline of each round, moved along the history: for each agent the median over the window before it.

    The result equals that of :func:`~thousandeyes_provider.validation.baseline.baseline_from_rows` for the rows of that
    window, without reading every row for every round.

    :param compared: the metrics to compare, each with its result type.
    :param window: seconds.
    """

    def __init__(self, compared: Iterable[tuple[str, str]], window: float) -> None:
        self._window = window
        self._wanted: dict[str, list[str]] = {}
        for result_type, metric in dict.fromkeys(compared):
            self._wanted.setdefault(result_type, []).append(metric)
        self._agents: dict[str, Agent] = {}
        self._countries: dict[str, str] = {}
        self._values: dict[tuple[str, str], dict[str, dict[Any, _Window]]] = {}

    def add(self, round_id: int, rows: Mapping[str, Iterable[Row]]) -> None:
        """Add a round, later than all before."""
        for result_type, metrics in self._wanted.items():
            for of_agent in by_agent(result_type, rows.get(result_type, ())):
                self._agents[of_agent.key] = of_agent.agent
                self._countries[of_agent.key] = of_agent.country_id
                for metric in metrics:
                    places = self._values.setdefault((result_type, metric), {}).setdefault(of_agent.key, {})
                    for row in of_agent.rows:
                        key = row_key(result_type, row)
                        for place, value in enumerate(numbers_of(result_type, metric, [row])):
                            if value is not None:
                                places.setdefault((key, place), _Window()).add(round_id, value)

    def before(self, round_id: int) -> Baseline:
        """The baseline of the rounds in the window that ends before a round; windows only move forward."""
        start = round_id - self._window
        values: dict[tuple[str, str], dict[str, tuple[float, ...]]] = {}
        for name, agents in self._values.items():
            for key, places in agents.items():
                for known in places.values():
                    known.drop_before(start)
                # Most agents have one row a round.
                of_agent = sorted(places.items()) if len(places) > 1 else places.items()
                medians = tuple(median(known.ordered) for _, known in of_agent if known.ordered)
                if medians:
                    values.setdefault(name, {})[key] = medians
        source = f"the {formatting.format_number(self._window / 3600)} h before"
        why = "" if values else f"{source} has no values to compare with"
        return Baseline(source, values, self._agents, why, countries=self._countries)


@dataclass(frozen=True)
class JudgedRound:
    """A round that would not have passed, or that a check warned about.

    :param round_id: the round, epoch seconds.
    :param verdict: verdict that the operator would have returned.
    :param checks: the checks that did not hold, as ``result type metric aggregate expected``.
    :param agents: names of the agents behind it, the worst first.
    :param reason: one line: the first of what failed, and how much more did.
    :param link: the round at the worst agent in ThousandEyes; empty when no row has one.
    :param warned: checks of severity ``warn`` that did not hold.
    :param unconfirmed: whether it passed because the runs that repeated it did not fail.
    """

    round_id: int
    verdict: Verdict
    checks: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    reason: str = ""
    link: str = ""
    warned: tuple[str, ...] = ()
    unconfirmed: bool = False

    def to_json(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "round_id": self.round_id,
            "time": iso_time(self.round_id),
            "verdict": self.verdict.value,
            "checks": list(self.checks),
            "agents": list(self.agents),
            "reason": self.reason,
            "link": self.link,
        }


@dataclass(frozen=True)
class Incident:
    """Something that ThousandEyes reported: an alert or an event.

    :param kind: ``alert`` or ``event``.
    :param start: epoch seconds.
    :param end: epoch seconds; infinite while it is active.
    """

    kind: str
    title: str
    start: float
    end: float


@dataclass(frozen=True)
class Backtest:
    """The outcome of a backtest.

    :param judged: the verdicts, oldest first.
    :param incidents: alerts and events of the period.
    :param notes: what could not be read.
    """

    history: History
    gate: Gate
    judged: Sequence[JudgedRound]
    incidents: Sequence[Incident] = ()
    notes: Sequence[str] = ()

    @cached_property
    def failed(self) -> list[JudgedRound]:
        """The rounds that would have failed."""
        return [judged for judged in self.judged if judged.verdict is Verdict.FAILED]

    @cached_property
    def inconclusive(self) -> list[JudgedRound]:
        """The rounds that would have been incomplete or without results."""
        return [judged for judged in self.judged if judged.verdict not in (Verdict.PASSED, Verdict.FAILED)]

    @cached_property
    def episodes(self) -> list[dict[str, Any]]:
        """Runs of consecutive failed rounds, oldest first, with the alerts and events at that time, for JSON output."""
        places = {round_id: place for place, round_id in enumerate(self.history.rounds)}
        runs: list[list[JudgedRound]] = []
        for judged in self.failed:
            if runs and places[judged.round_id] - places[runs[-1][-1].round_id] == 1:
                runs[-1].append(judged)
            else:
                runs.append([judged])
        return [
            {
                "from": iso_time(run[0].round_id),
                "to": iso_time(run[-1].round_id),
                "rounds": len(run),
                "reason": run[0].reason,
                "agents": list(dict.fromkeys(agent for judged in run for agent in judged.agents)),
                "link": run[0].link,
                "incidents": [
                    f"{incident.kind} {incident.title}"
                    for incident in self.incidents
                    if incident.start <= run[-1].round_id + self.history.interval
                    and incident.end >= run[0].round_id
                ],
            }
            for run in runs
        ]

    def to_json(self) -> dict[str, Any]:
        """For JSON output."""
        rounds = self.history.rounds
        return {
            "test_id": self.history.test_id,
            "test_name": self.history.test_name,
            "test_type": self.history.test_type,
            "from": iso_time(rounds[0]) if rounds else None,
            "to": iso_time(rounds[-1]) if rounds else None,
            "rounds": len(self.judged),
            "failed": len(self.failed),
            "inconclusive": len(self.inconclusive),
            "unconfirmed": self._unconfirmed(),
            "by_check": _counts(check for judged in self.failed for check in judged.checks),
            "by_agent": _counts(agent for judged in self.failed for agent in judged.agents),
            "warned": _counts(check for judged in self.judged for check in judged.warned),
            "episodes": self.episodes,
            "failed_rounds": [judged.to_json() for judged in self.failed],
            "inconclusive_rounds": [judged.to_json() for judged in self.inconclusive],
            "gaps": [[iso_time(start), iso_time(end)] for start, end in self.history.gaps],
            "notes": list(self.notes),
        }

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each table of the console and the report by its title; tables without rows are left out."""
        data = self.to_json()
        of_round = ("time", "reason", "agents", "link")
        tables = {
            "Failures by check": [{"rounds": n, "check": check} for check, n in data["by_check"].items()],
            "Failures by agent": [{"rounds": n, "agent": agent} for agent, n in data["by_agent"].items()],
            "Warnings": [{"rounds": n, "check": check} for check, n in data["warned"].items()],
            "Episodes": _rows(data["episodes"], "from", "to", "rounds", "incidents", "reason", "link"),
            "Failed rounds": _rows(data["failed_rounds"], *of_round),
            "Inconclusive rounds": _rows(data["inconclusive_rounds"], *of_round),
        }
        return {title: rows for title, rows in tables.items() if rows}

    def summary(self) -> str:
        """One line: ``would have failed 4 of 4032 rounds (1 in 1008) in 2 episodes; 3 inconclusive``."""
        failed, total, episodes = len(self.failed), len(self.judged), len(self.episodes)
        plural = "" if episodes == 1 else "s"
        rate = ""
        if failed:
            share = f"1 in {round(total / failed)}" if 2 * failed < total else f"{100 * failed / total:.0f} %"
            rate = f" ({share}) in {episodes} episode{plural}"
        again = f"; {self._unconfirmed()} failures not confirmed" if self.gate.confirm_failures else ""
        return f"would have failed {failed} of {total} rounds{rate}; {len(self.inconclusive)} inconclusive{again}"

    def _unconfirmed(self) -> int:
        return sum(judged.unconfirmed for judged in self.judged)


def backtest(
    history: History, gate: Gate, *, incidents: Sequence[Incident] = (), notes: Sequence[str] = ()
) -> Backtest:
    """Judge every round of a history as the operator would have.

    The agents expected in a round are those of ``expected_agents``, else those that belonged to the test at that time.
    A round that is missing as a whole is a gap of the history, not a verdict. The rounds after a failed round stand for
    the runs that have to confirm it, with the baseline of the failed round.

    :param incidents: alerts and events to compare the failures with.
    :param notes: what could not be read, for the output.
    """
    return Backtest(history, gate, tuple(judge_rounds(history, gate)), incidents, notes)


def judge_rounds(history: History, gate: Gate) -> Iterator[JudgedRound]:
    """The verdict on each round, oldest first.

    With ``compare_with``, the rounds of the first window serve as baseline only: what came before them is not known.
    """
    rolling = gate.rolling_baseline()
    start = history.rounds[0] + (gate.compare_window or 0.0) if rolling and history.rounds else 0.0

    def judged(round_id: int, before: Baseline | None) -> JudgedRound:
        of_round = history.rows(round_id)
        rows = {name: of_round.get(name, []) for name in gate.result_types(history.test_type)}
        expected = gate.expected_agents or ExpectedAgents.of(
            "remembered", (history.agents[key].agent for key in history.expected(round_id))
        )
        return judge_round(round_id, rows, gate, expected, before)

    for place, round_id in enumerate(history.rounds):
        if round_id >= start:
            before = rolling.before(round_id) if rolling else None
            further = history.rounds[place + 1 : place + 1 + gate.confirm_failures]
            yield confirm(judged(round_id, before), (judged(later, before) for later in further))
        if rolling:
            rolling.add(round_id, history.rows(round_id))


def confirm(first: JudgedRound, further: Iterable[JudgedRound]) -> JudgedRound:
    """The verdict on a round after the runs that have to confirm its failure (``confirm_failures``).

    :param further: the verdicts on those runs, read while they confirm it.
    """
    if first.verdict is not Verdict.FAILED:
        return first
    failed = {*first.checks}
    for again in further:
        if again.verdict in (Verdict.INCOMPLETE, Verdict.NO_RESULTS):
            return replace(again, round_id=first.round_id)
        if "max_agent_errors" in again.checks:
            continue
        failed &= {*again.checks}
        if not failed:
            return JudgedRound(first.round_id, Verdict.PASSED, warned=first.warned, unconfirmed=True)
    return first


def judge_round(
    round_id: int,
    rows: Mapping[str, Sequence[Row]],
    gate: Gate,
    expected: ExpectedAgents,
    before: Baseline | None = None,
) -> JudgedRound:
    """The verdict on one round.

    :param rows: its rows of every result type that the operator waits for.
    :param expected: the agents that should report. When they are unknown, the round is inconclusive unless
        ``min_agents`` is a count.
    :param before: the baseline of the round.
    """
    judgement = judge(rows, gate.max_agent_errors, gate.checks, before)
    warned = tuple(
        _title(result) for result in judgement.checks if not result.passed and not result.fails_verdict
    )
    reported_by_type = [{row_identity(row): row for row in of_type} for of_type in rows.values()]
    reported = set.intersection(*map(set, reported_by_type))
    has_reported = is_among(agent_of(reported_by_type[0][key]) for key in reported)
    missing = tuple(str(agent) for agent in expected.agents if not has_reported(agent))
    present = len(expected.agents) - len(missing) if expected.agents else len(reported)
    needed = expected.count
    if gate.min_agents is not None:
        needed = share_or_count(gate.min_agents, expected.count)
    if not any(rows.values()):
        return JudgedRound(round_id, Verdict.NO_RESULTS, (), missing, f"no {' or '.join(rows)} rows")
    if needed is None:
        reason = f"{present} agents reported, but the expected agents are unknown; set expected_agents"
        return JudgedRound(round_id, Verdict.INCOMPLETE, (), (), reason, _link(rows, ()))
    if present < needed or not judgement.judged:
        names = join_truncated(missing, MAX_AGENTS_NAMED)
        total = "" if expected.count is None else f" of {expected.count}"
        reason = f"{present}{total} agents reported, {needed} needed"
        reason += f"; missing: {names}" if missing else ""
        return JudgedRound(round_id, Verdict.INCOMPLETE, (), missing, reason, _link(rows, ()))
    if judgement.passed:
        return JudgedRound(round_id, Verdict.PASSED, warned=warned)
    return _failed(round_id, judgement, rows, warned)


def _failed(
    round_id: int, judgement: Judgement, rows: Mapping[str, Sequence[Row]], warned: tuple[str, ...]
) -> JudgedRound:
    failed = judgement.failed_checks
    checks = [_title(result) for result in failed]
    reasons = [formatting.check_sentence(result.to_json(), MAX_AGENTS_NAMED) for result in failed]
    behind = [value.agent for result in failed for value in result.failing_agents]
    behind += [agent for result in failed for agent in result.without_metric]
    if judgement.too_many_errors:
        worst = judgement.errors[0]
        checks.insert(0, "max_agent_errors")
        reasons.insert(
            0,
            f"{len(judgement.errors)} of {judgement.judged} agents have errors, {judgement.allowed} allowed: "
            f"{worst.agent}: {worst.reasons[0]}",
        )
        behind = [error.agent for error in judgement.errors] + behind
    behind = list(dict.fromkeys(behind))
    more = f"; and {len(reasons) - 1} more checks" if len(reasons) > 1 else ""
    return JudgedRound(
        round_id,
        Verdict.FAILED,
        tuple(checks),
        tuple(map(str, behind)),
        reasons[0] + more,
        _link(rows, behind),
        warned,
    )


def incidents_from(kind: str, entries: Iterable[Mapping[str, Any]], now: float) -> list[Incident]:
    """Alerts or events of ThousandEyes as incidents; entries without a readable start are left out.

    :param kind: ``alert`` or ``event``.
    :param entries: the entries as the API returns them.
    :param now: end of those that are still active.
    """
    incidents = []
    for entry in entries:
        if (start := epoch_seconds(entry.get("startDate"))) is not None:
            names = (entry.get(name) for name in ("title", "ruleName", "typeName", "alertType"))
            title = str(next(filter(None, names), ""))
            end = epoch_seconds(entry.get("endDate")) or now
            incidents.append(Incident(kind, title, start, end))
    return incidents


def _title(result: CheckResult) -> str:
    row = result.to_json()
    return f"{formatting.check_subject(row)} {formatting.check_expectation(row)}"


def _link(rows: Mapping[str, Sequence[Row]], worst: Sequence[Agent]) -> str:
    """The round in ThousandEyes at the worst agent that has a link, else at any."""
    links: dict[str, str] = {}
    for of_type in rows.values():
        for row in of_type:
            links.setdefault(row_identity(row), app_link(row) or "")
    keys = [*(agent.agent_id or agent.agent_name for agent in worst), *links]
    return next((links[key] for key in keys if links.get(key)), "")


def _counts(names: Iterable[str]) -> dict[str, int]:
    """Return the number of occurrences of each name, most frequent first."""
    return dict(Counter(names).most_common())


def _rows(entries: Iterable[Mapping[str, Any]], *columns: str) -> list[dict[str, Any]]:
    """Some columns of JSON objects for a table; lists become text."""
    return [
        {
            column: SEPARATOR.join(value) if isinstance(value := entry[column], list) else value
            for column in columns
        }
        for entry in entries
    ]
