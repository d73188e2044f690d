"""Checks for a test at a stated false-alarm rate, learned from its recent rounds.

A proposal holds three kinds of rules, and the history decides their figures:

- absolute limits and changes against the hours before, both as ``every`` with a ``quorum``: the check fails when more
  agents than the quorum allows are beyond the limit. A limit is an order statistic of the history, chosen so that the
  whole gate stays below the rate with the stated confidence, and so that the loss of one agent does not make it fail;
- ``min_agents`` from the number of agents that are silent in the same round;
- ``max_agent_errors`` from the number of agents that report an error in the same round.

Rounds in a row count as one event: a burst of ten slow rounds says as much about the rate as a single slow round. Every
limit is tried on the part of the history that it was not learned from; one that does not hold there is not proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from thousandeyes_provider.api.metrics import unit_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, row_error
from thousandeyes_provider.validation import formatting
from thousandeyes_provider.validation.aggregates import median, relative_change
from thousandeyes_provider.validation.backtest import RollingBaseline
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.history import ABSENT_ROUNDS, History, agent_key_of
from thousandeyes_provider.validation.samples import AgentRows, by_agent, numbers_of

DEFAULT_RATE = 1 / 500
"""False alarms per round that a proposal aims at."""

CONFIDENCE = 0.8
"""Probability that the true rate is below the promised one, given the history."""

MIN_ROUNDS = 100
"""Rounds below which no limit is proposed."""

REGRESSION = 0.3
"""The slowdown of all agents for which the summary states how often it would have been caught."""

INSTABILITY = 0.02
"""Probability of the exceedances outside of the learned part below which a limit is not proposed."""

TAIL = 20
"""Largest values that a limit is fitted to, at least."""

EPISODE_GAP = 3
"""Rounds between two exceedances that still count as one event."""

LOWER_IS_WORSE = frozenset(("mos",))
ALREADY_ERRORS = frozenset(("completion", "availability"))
"""Metrics of which the error table already judges every value below 100 %."""
RESPONSE_CODE_LIMIT = 400
LEAST_LIMIT = 1.0
"""The smallest limit of a time in milliseconds or a loss in percent: below that, figures say little."""
MIN_CHANGE = 0.05
"""The smallest limit of a change."""
MIN_COMPARED = 5.0
"""Milliseconds: times that are usually shorter are not compared with those before."""


@dataclass(frozen=True)
class ProposedCheck:
    """One proposed comparison.

    :param result_type: the result type.
    :param metric: the metric.
    :param comparison: the comparison with its options, as in ``checks``, under ``every``.
    :param why: the reason in one line.
    :param fired: rounds of the history in which it would have failed.
    :param rounds: rounds of the history that it was learned from.
    """

    result_type: str
    metric: str
    comparison: Mapping[str, Any]
    why: str
    fired: int
    rounds: int


@dataclass(frozen=True)
class Proposal:
    """A proposed gate.

    :param history: what it was learned from.
    :param rate: the false-alarm rate that was asked for, per round.
    :param checks: the checks.
    :param window: seconds that the baseline reaches back; ``None`` when no check compares.
    :param min_agents: agents that are enough.
    :param max_agent_errors: agents that may report an error.
    :param expected_rate: false alarms per round, as counted in the history.
    :param promised: whether the history supports ``rate`` with :data:`CONFIDENCE`.
    :param caught: share of rounds in which a slowdown of :data:`REGRESSION` would have failed the gate; ``None``
        without a check of a time.
    :param agent_comments: the reasons of ``min_agents`` and ``max_agent_errors``.
    :param notes: what a person has to know, one sentence each.
    """

    history: History
    rate: float
    checks: tuple[ProposedCheck, ...]
    window: float | None
    min_agents: int | None
    max_agent_errors: int
    expected_rate: float
    promised: bool
    caught: float | None
    agent_comments: tuple[str, str]
    notes: tuple[str, ...] = field(default=())

    def arguments(self) -> dict[str, Any]:
        """The proposal as arguments of an operator."""
        checks: dict[str, dict[str, dict[str, list[Any]]]] = {}
        for check in self.checks:
            of_metric = checks.setdefault(check.result_type, {}).setdefault(check.metric, {"every": []})
            of_metric["every"].append(dict(check.comparison))
        proposed: dict[str, Any] = {"checks": checks} if checks else {}
        if self.window:
            proposed["compare_with"] = {"test_id": self.history.test_id, "window": _window_text(self.window)}
        if self.min_agents is not None:
            proposed["min_agents"] = self.min_agents
        proposed["max_agent_errors"] = self.max_agent_errors
        return proposed

    def summary(self) -> list[str]:
        """What a person reads: one sentence a line."""
        history, rounds = self.history, self.history.rounds
        span = f", {iso_time(rounds[0])} to {iso_time(rounds[-1])}" if rounds else ""
        current = sum(presence.is_current for presence in history.agents.values())
        name = f" {history.test_name!r}" if history.test_name else ""
        lines = [
            f"Test {history.test_id}{name} ({history.test_type}): {len(rounds)} rounds{span}, {current} agents.",
            f"Promise: at most 1 false alarm in {round(1 / self.rate)} rounds ({_percent(CONFIDENCE)} confidence), "
            "while rounds stay like these."
            if self.promised
            else f"No promise: the history does not support 1 false alarm in {round(1 / self.rate)} rounds.",
            f"False alarms in this history: 1 in {round(1 / self.expected_rate)} rounds."
            if self.expected_rate
            else "False alarms in this history: none.",
        ]
        if self.caught is not None:
            lines.append(
                f"A slowdown of {_percent(REGRESSION)} at all agents would have failed "
                f"{_percent(self.caught)} of the rounds."
            )
        return lines + list(self.notes)

    def to_yaml(self, *, checks_only: bool = False) -> str:
        """The proposal as a YAML file with the reason of every line as a comment.

        :param checks_only: only the content of ``checks``, for ``checks="checks.yaml"``.
        """
        lines = [f"# {line}" for line in self.summary()]
        arguments = self.arguments()
        indent = "" if checks_only else "  "
        if not checks_only and "checks" in arguments:
            lines.append("checks:")
        for result_type, metrics in arguments.get("checks", {}).items():
            lines.append(f"{indent}{result_type}:")
            for metric in metrics:
                lines += [f"{indent}  {metric}:", f"{indent}    every:"]
                for check in self.checks:
                    if (check.result_type, check.metric) == (result_type, metric):
                        lines += _yaml_comparison(check, indent + "      ")
        if checks_only:
            return "\n".join([*lines, "" if self.checks else "{}\n"])
        if "compare_with" in arguments:
            lines += [
                "# The baseline of the changes: the median of each agent over this window before the run.",
                "compare_with:",
                f'  test_id: "{self.history.test_id}"',
                f"  window: {arguments['compare_with']['window']}",
            ]
        for name, comment in zip(("min_agents", "max_agent_errors"), self.agent_comments, strict=True):
            if name in arguments:
                lines += [f"# {comment}", f"{name}: {arguments[name]}"]
        return "\n".join([*lines, ""])

    def to_json(self) -> dict[str, Any]:
        """For JSON output and the report page."""
        return {
            "test_id": self.history.test_id,
            "test_name": self.history.test_name,
            "test_type": self.history.test_type,
            "rounds": len(self.history),
            "rate": self.rate,
            "promised": self.promised,
            "expected_rate": self.expected_rate,
            "caught": self.caught,
            "arguments": self.arguments(),
            "checks": [
                {
                    "result_type": check.result_type,
                    "metric": check.metric,
                    "comparison": dict(check.comparison),
                    "why": check.why,
                    "fired": check.fired,
                    "rounds": check.rounds,
                }
                for check in self.checks
            ],
            "notes": list(self.notes),
        }


def propose(history: History, *, rate: float = DEFAULT_RATE) -> Proposal:
    """Propose a gate for a test.

    :param history: its recent rounds.
    :param rate: false alarms per round to stay below, such as ``1 / 500``.
    :raises ValueError: when the rate is not between 0 and 0.5.
    """
    if not 0 < rate <= 0.5:
        raise ValueError(f"rate {rate!r}: expected a number above 0 and up to 0.5, such as 0.002")
    return _Proposer(history, rate).proposal()


# -- statistics ----------------------------------------------------------------------------------------------------


def poisson_upper(events: int, confidence: float) -> float:
    """The mean of a Poisson distribution that is exceeded with probability ``1 - confidence``, given a count."""
    low, high = 0.0, events + 10 * math.sqrt(events + 1) + 10
    for _ in range(60):
        middle = (low + high) / 2
        if poisson_at_most(events, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def poisson_at_most(events: int, mean: float) -> float:
    """The probability of at most so many events."""
    term = total = math.exp(-mean)
    for count in range(1, events + 1):
        term *= mean / count
        total += term
    return total


def episodes(places: Iterable[int]) -> list[int]:
    """The first of each run of places that are at most :data:`EPISODE_GAP` apart."""
    first: list[int] = []
    last = -math.inf
    for place in sorted(places):
        if place - last > EPISODE_GAP:
            first.append(place)
        last = place
    return first


def rate_upper(exceeded: Sequence[int], rounds: int, confidence: float = CONFIDENCE) -> float:
    """The upper confidence bound of a rate per round when exceedances come in runs.

    :param exceeded: places of the rounds beyond the limit.
    :param rounds: number of rounds.
    """
    runs = len(episodes(exceeded))
    return (
        poisson_upper(runs, confidence) * len(exceeded) / max(runs, 1) / rounds
        if runs
        else (poisson_upper(0, confidence) / rounds)
    )


def tail_limit(ordered: Sequence[float], rate: float) -> float:
    """The value that is exceeded at a rate, from an exponential fit to the largest values.

    :param ordered: values, the largest first; the fit uses at least :data:`TAIL` of them.
    :param rate: exceedances per value.
    """
    count = min(max(TAIL, math.ceil(8 * rate * len(ordered))), len(ordered) - 1)
    threshold = ordered[count]
    mean_excess = sum(value - threshold for value in ordered[:count]) / count
    return threshold + mean_excess * max(math.log(count / (len(ordered) * rate)), 0.0)


# -- what a check sees of a round ----------------------------------------------------------------------------------


@dataclass
class _Candidate:
    """A possible check: for each round the smallest limit with which it holds.

    :param base: that limit, as badness (larger is worse); infinite when it fails with any limit.
    :param one_less: the same when one more agent fails: the agent that is furthest from the limit.
    :param weight: its part of the false alarms, next to 1 for the check that catches most.
    """

    result_type: str
    metric: str
    quorum: float
    window: float | None
    sign: int
    floor: float = 0.0
    fixed: float | None = None
    base: list[float] = field(default_factory=list)
    one_less: list[float] = field(default_factory=list)
    has_spare: bool = True
    weight: float = 1.0

    def __post_init__(self) -> None:
        self._ordered: dict[tuple[Any, ...], list[float]] = {}

    def skip(self) -> None:
        """Add a round that cannot be judged: the history does not reach back far enough for its baseline."""
        self.base.append(-math.inf)
        self.one_less.append(-math.inf)

    def take(self, badness: Sequence[float]) -> None:
        """Add a round: the badness of each agent, the best first."""
        if not badness:
            self.base.append(math.inf)
            self.one_less.append(math.inf)
            return
        needed = max(math.ceil(self.quorum * len(badness) - 1e-9), 1)
        self.base.append(badness[needed - 1])
        self.one_less.append(badness[needed] if needed < len(badness) else math.inf)

    def limit(self, rate: float, places: Sequence[int], lost_rate: float | None = None) -> float:
        """The limit that rounds exceed at a rate, and at another rate when one agent is lost.

        The larger of the order statistic and the fit to the tail: the first does not know what is beyond the largest
        values, the second does not know about gaps between them.

        :param rate: exceedances per round; :attr:`weight` times as many are taken.
        :param places: the rounds to learn from.
        :param lost_rate: exceedances per round in which one agent is lost; ``None`` to leave that aside.
        """
        if self.fixed is not None:
            return self.fixed
        limit = self._tail(self.base, self.weight * rate, places)
        if self.has_spare and lost_rate is not None:
            # The loss of any agent counts the same; only one within the quorum makes a difference.
            limit = max(limit, self._tail(self.one_less, lost_rate / self.quorum, places))
        return self.rounded(limit)

    def _tail(self, series: list[float], rate: float, places: Sequence[int]) -> float:
        key = (series is self.base, places[0], places[-1], len(places))
        if key not in self._ordered:
            self._ordered[key] = sorted((self._scaled(series[place]) for place in places), reverse=True)
        ordered = self._ordered[key]
        observed = ordered[min(math.floor(rate * len(ordered)), len(ordered) - 1)]
        if not math.isfinite(observed):
            return observed
        finite = ordered[sum(map(math.isinf, ordered[: math.floor(rate * len(ordered))])) :]
        return self._unscaled(max(observed, tail_limit(finite, rate)))

    def _scaled(self, value: float) -> float:
        """Times and changes of times as logarithms: their tails are between lognormal and Pareto."""
        if not self.is_time or math.isinf(value):
            return value
        return math.log(max(value + 1 if self.window else value, 1e-3))

    def _unscaled(self, value: float) -> float:
        return value if not self.is_time else math.exp(value) - (1 if self.window else 0)

    def rounded(self, limit: float) -> float:
        """A limit with three digits, away from the usual values, and not below what matters."""
        if not math.isfinite(limit):
            return limit
        if self.sign > 0 and unit_of(self.result_type, self.metric) in ("ms", "%"):
            limit = max(limit, MIN_CHANGE if self.window else LEAST_LIMIT)
        if limit == 0:
            return 0.0
        step = 10.0 ** (math.floor(math.log10(abs(limit))) - 2)
        return float(f"{math.ceil(limit / step - 1e-9) * step:.10g}")

    def beyond(self, limit: float, places: Iterable[int], factor: float = 1.0) -> list[int]:
        """The rounds in which it fails with a limit, if all values were so many times larger."""
        if factor == 1:
            return [place for place in places if self.base[place] > limit]
        if self.window:  # the base is a change
            return [place for place in places if (1 + self.base[place]) * factor - 1 > limit]
        return [place for place in places if self.base[place] * factor > limit]

    @property
    def is_time(self) -> bool:
        """Whether it judges a duration."""
        return unit_of(self.result_type, self.metric) == "ms" and self.sign > 0


LOSS_FACTOR = 1
"""How many times more often than promised a check may fail while one agent is lost."""

BACKSTOP = 0.25
"""Part of the false alarms of a check that catches less than another one of the same metric."""

BETTER = 0.05
"""Share of regressions that a quorum has to catch in addition to be preferred to the middle one."""


class _Proposer:
    """Learns one proposal."""

    def __init__(self, history: History, rate: float) -> None:
        self.history = history
        self.rate = rate
        self.notes: list[str] = []
        self.rounds = history.rounds
        self.result_types = [name for name in TEST_TYPES[history.test_type].default if self._has(name)]
        self.current = [key for key, presence in history.agents.items() if presence.is_current]
        self.errors: list[int] = []
        self.silent: list[int] = []
        self._count_agents()
        self.normal = self._normal()

    def _has(self, result_type: str) -> bool:
        return any(rows.get(result_type) for _, rows in self.history)

    def _count_agents(self) -> None:
        self._majority: list[bool] = []
        for round_id, rows in self.history:
            bad, reported = set(), set()
            for result_type in self.result_types:
                for row in rows.get(result_type, ()):
                    reported.add(agent_key_of(row))
                    if row_error(result_type, row) is not None:
                        bad.add(agent_key_of(row))
            self.errors.append(len(bad))
            self.silent.append(sum(key not in reported for key in self.history.expected(round_id)))
            self._majority.append(2 * len(bad) > len(reported))

    def _normal(self) -> list[int]:
        """The places of the rounds to learn from: all but outages, two or more rounds in which most agents fail."""
        failing = self._majority
        outage = {
            place
            for place, bad in enumerate(failing)
            if bad and (any(failing[max(place - 1, 0) : place]) or any(failing[place + 1 : place + 2]))
        }
        if outage:
            self.notes.append(
                f"{len(outage)} rounds are outages: most agents failed in two or more rounds in a row. "
                "The limits are not learned from them, and a gate would fail there."
            )
        return [place for place in range(len(self.rounds)) if place not in outage]

    # -- the proposal --------------------------------------------------------------------------------------------

    def proposal(self) -> Proposal:
        rounds, count = len(self.normal), len(self.current)
        for key, presence in self.history.agents.items():
            if key not in self.current:
                self.notes.append(f"Agent {presence.agent} has not reported since {iso_time(presence.last)}.")
        if rounds < MIN_ROUNDS or not count:
            self.notes.append(
                f"History too short: {rounds} usable rounds, {MIN_ROUNDS} are needed to propose limits."
            )
            return self._result([], 0.0, math.inf)
        candidates = self._stable(self._chosen(self._candidates()))
        check_rate, supported, run = self._check_rate(candidates)
        pairs = self._limits(candidates, check_rate, LOSS_FACTOR * self.rate)
        bound = rate_upper(self._alarms(pairs, check_rate), rounds)
        if supported > self.rate:
            self.notes.append(
                f"History too short or too irregular: {rounds} rounds support at most 1 false alarm in "
                f"{max(math.floor(1 / supported), 1)}."
            )
        elif bound > self.rate:
            self.notes.append(
                f"Too irregular to promise 1 in {round(1 / self.rate)}: with {_percent(CONFIDENCE)} confidence the "
                f"rate is below 1 in {max(math.floor(1 / bound), 1)}."
            )
        elif run < 1.5 and pairs:
            self.notes.append(
                "Slow rounds come one by one in this history. The promise does not cover a spell of slow rounds: "
                "the gate would fail for as long as it lasts."
            )
        self._note_day_and_night(pairs)
        return self._result(pairs, check_rate, max(bound, supported))

    def _candidates(self) -> list[list[_Candidate]]:
        """The possible checks, as groups of alternatives: for each metric a limit, and changes by window."""
        count = len(self.current)
        places = {max(round(count * share), 1) for share in (0.25, 0.5, 0.75)}
        spare = sorted(place for place in places if place < count) or [count]
        quorums = [1.0 if place == count else math.floor(100 * place / count) / 100 for place in spare]
        metrics: list[tuple[str, str, int]] = []
        for result_type in self.result_types:
            listed = [name for name, _ in RESULT_TYPES[result_type].metrics if name not in ALREADY_ERRORS]
            names = [name for name in listed if self._measures(result_type, name)]
            metrics += [(result_type, name, -1 if name in LOWER_IS_WORSE else 1) for name in names]
        floors = self._floors([(kind, name) for kind, name, _ in metrics if unit_of(kind, name) == "ms"])
        times = list(floors)
        groups: list[list[_Candidate]] = []
        for kind, name, sign in metrics:
            spare_agent = count > 1
            groups.append(
                [_Candidate(kind, name, quorum, None, sign, has_spare=spare_agent) for quorum in quorums]
            )
            if (kind, name) in times:
                groups.append(
                    [
                        _Candidate(kind, name, quorum, window, 1, floors[kind, name], has_spare=spare_agent)
                        for window in self._windows()
                        for quorum in quorums
                    ]
                )
        for kind in self.result_types:
            if kind in ("http-server", "ftp-server", "sip-server") and self._measures(kind, "responseCode"):
                code = [_Candidate(kind, "responseCode", quorum, None, 1) for quorum in quorums]
                groups.append([replace(candidate, fixed=RESPONSE_CODE_LIMIT - 1.0) for candidate in code])
        self._fill(groups, times)
        return groups

    def _measures(self, result_type: str, metric: str) -> bool:
        """Whether rows near the end of the history have the metric."""
        recent = (
            self.history.rows(round_id).get(result_type, ()) for round_id in self.rounds[-ABSENT_ROUNDS:]
        )
        return any(value is not None for rows in recent for value in numbers_of(result_type, metric, rows))

    def _windows(self) -> list[float]:
        """Windows of the baseline to choose from, in whole hours: at least three rounds, at most a day."""
        least = max(math.ceil(3 * self.history.interval / 3600), 1) * 3600.0
        span = self.rounds[-1] - self.rounds[0]
        return sorted(
            {window for window in (least, 3 * 3600.0, 86400.0) if least <= window <= span / 10}
        ) or [least]

    def _fill(self, groups: Sequence[Sequence[_Candidate]], times: Sequence[tuple[str, str]]) -> None:
        """Give every candidate its series, in one pass over the history."""
        declared: dict[str, dict[str, Any]] = {}
        for kind, name in times:
            declared.setdefault(kind, {})[name] = {"change_leq_to": 0}
        checks = parse_checks(declared)
        windows = {window: RollingBaseline(checks, window) for window in self._windows()} if times else {}
        by_metric: dict[tuple[str, str], list[_Candidate]] = {}
        for candidate in (candidate for group in groups for candidate in group):
            by_metric.setdefault((candidate.result_type, candidate.metric), []).append(candidate)
        for round_id, rows in self.history:
            before = {window: rolling.before(round_id) for window, rolling in windows.items()}
            agents = {name: by_agent(name, rows.get(name, ())) for name in self.result_types}
            for (kind, name), candidates in by_metric.items():
                values = [(agent, numbers_of(kind, name, agent.rows)) for agent in agents[kind]]
                badness: dict[float | None, list[float]] = {}
                for candidate in candidates:
                    if round_id < self.rounds[0] + (candidate.window or 0.0):
                        candidate.skip()
                        continue
                    if candidate.window not in badness:
                        badness[candidate.window] = (
                            sorted(_absolute(measured, candidate.sign) for _, measured in values)
                            if candidate.window is None
                            else _changes(values, before[candidate.window], kind, name, candidate.floor)
                        )
                    candidate.take(badness[candidate.window])
            for rolling in windows.values():
                rolling.add(round_id, rows)

    def _floors(self, times: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """The times to compare, with the difference that never counts: a twentieth of what is usual for the fastest
        agent, at least 1 ms."""
        sample = [
            self.history.rows(self.rounds[place]) for place in self.normal[:: max(len(self.normal) // 200, 1)]
        ]
        floors = {}
        for kind, name in times:
            seen: dict[str, list[float]] = {}
            for rows in sample:
                for agent in by_agent(kind, rows.get(kind, ())):
                    known = [value for value in numbers_of(kind, name, agent.rows) if value is not None]
                    seen.setdefault(agent.key, []).extend(known)
            usual = min((median(values) for values in seen.values() if values), default=0.0)
            if usual >= MIN_COMPARED:
                floors[kind, name] = float(f"{max(usual / 20, 1.0):.2g}")
        return floors

    def _chosen(self, groups: Sequence[Sequence[_Candidate]]) -> list[_Candidate]:
        """Of each group the candidate that catches most; all changes share one window.

        The middle quorum wins unless another is clearly better: to take the best of many would favour limits that are
        low by chance.
        """
        rate = self.rate / max(len({(group[0].result_type, group[0].metric) for group in groups}), 1)

        def power(candidate: _Candidate) -> float:
            limit = candidate.limit(rate, self.normal, LOSS_FACTOR * self.rate)
            if not math.isfinite(limit):
                return -1.0
            if candidate.fixed is not None:
                is_rare = len(candidate.beyond(limit, self.normal)) <= rate * len(self.normal)
                return candidate.quorum if is_rare else -1.0
            if not candidate.is_time:
                return 0.0
            return len(candidate.beyond(limit, self.normal, 1 + REGRESSION)) / len(self.normal)

        def best(group: Sequence[_Candidate]) -> _Candidate:
            middle = group[len(group) // 2]
            return max(
                group, key=lambda candidate: power(candidate) + (BETTER if candidate is middle else 0.0)
            )

        by_window: dict[float, list[_Candidate]] = {}
        for group in groups:
            for window in sorted({candidate.window for candidate in group if candidate.window}):
                rivals = [candidate for candidate in group if candidate.window == window]
                by_window.setdefault(window, []).append(best(rivals))
        relative = max(by_window.values(), key=lambda chosen: sum(map(power, chosen)), default=[])
        absolute = [best(group) for group in groups if not group[0].window]
        for candidate in [*absolute, *relative]:
            same_metric = [rival for rival in [*absolute, *relative] if rival.metric == candidate.metric]
            rivals = [rival for rival in same_metric if rival is not candidate]
            if any(
                (power(rival), rival.window or 0) > (power(candidate), candidate.window or 0)
                for rival in rivals
            ):
                candidate.weight = BACKSTOP
        chosen = []
        for candidate in [*absolute, *relative]:
            if power(candidate) >= 0:
                chosen.append(candidate)
            elif candidate.fixed is not None:
                self.notes.append(
                    f"No check of {candidate.metric}: codes from {RESPONSE_CODE_LIMIT} on are usual here."
                )
            else:
                self.notes.append(
                    f"No {_kind_of(candidate)} for {candidate.result_type} {candidate.metric}: it would fail too often "
                    "with any value."
                )
        return chosen

    # -- what holds outside of what it was learned from ------------------------------------------------------------

    def _stable(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """The candidates whose limit, learned from the first part of the history, holds in the rest."""
        kept = []
        for candidate in candidates:
            reason = self._instability(candidate)
            if reason:
                self.notes.append(
                    f"No {_kind_of(candidate)} for {candidate.result_type} {candidate.metric}: {reason}"
                )
            else:
                kept.append(candidate)
        return kept

    def _instability(self, candidate: _Candidate) -> str:
        if candidate.fixed is not None:
            return ""
        for share in (0.5, 0.75):
            cut = math.floor(len(self.normal) * share)
            learned, rest = self.normal[:cut], self.normal[cut:]
            limit = candidate.limit(self.rate, learned, LOSS_FACTOR * self.rate)
            after = candidate.beyond(limit, rest)
            runs = len(episodes(after))
            # Rounds in a row are one event. The limit was set for the whole rate of the gate.
            rounds_in_a_row = min(max(len(after) / max(runs, 1), 1), 2)
            expected = self.rate * len(rest) / rounds_in_a_row
            if runs > 2 and 1 - poisson_at_most(runs - 1, expected) < INSTABILITY:
                since = iso_time(self.rounds[learned[-1]])
                return (
                    f"learned from the rounds up to {since}, it fires in {len(after)} of the {len(rest)} later "
                    f"rounds; at most {self.rate * len(rest):.0f} were expected."
                )
        return "" if candidate.window else self._trend(candidate)

    def _trend(self, candidate: _Candidate) -> str:
        """Why an absolute limit will not last: the level rises from day to day."""
        days: dict[int, list[float]] = {}
        for place in self.normal:
            days.setdefault(self.rounds[place] // 86400, []).append(candidate.base[place])
        levels = [(day, median(values)) for day, values in sorted(days.items()) if len(values) > 2]
        pairs = [(later, earlier) for place, earlier in enumerate(levels) for later in levels[place + 1 :]]
        if len(levels) < 5 or not all(math.isfinite(level) for _, level in levels):
            return ""
        slope = median([(later[1] - earlier[1]) / (later[0] - earlier[0]) for later, earlier in pairs])
        concordant = sum((later[1] > earlier[1]) - (later[1] < earlier[1]) for later, earlier in pairs)
        size = len(levels)
        deviation = math.sqrt(size * (size - 1) * (2 * size + 5) / 18)
        growth = (
            slope * (levels[-1][0] - levels[0][0]) / max(abs(median([level for _, level in levels])), 1e-9)
        )
        limit = candidate.limit(self.rate, self.normal, LOSS_FACTOR * self.rate)
        later = len(candidate.beyond(limit, self.normal, (1 + max(growth, 0.0)) ** 1.5))
        if concordant / deviation > 2.6 and later > self.rate * len(self.normal):
            rise = formatting.format_value(
                float(f"{7 * slope:.2g}"), unit_of(candidate.result_type, candidate.metric)
            )
            return f"its level rises by about {rise} a week, so a fixed limit would not last."
        return ""

    # -- the rate of the whole gate --------------------------------------------------------------------------------

    def _check_rate(self, candidates: Sequence[_Candidate]) -> tuple[float, float, float]:
        """The rate for each check with which the whole gate stays below the promised one, the rate that the history
        supports, and the number of rounds in which checks fail in a row.

        How far the checks fail in the same rounds, and how long they fail in a row, is measured where there are enough
        exceedances to measure it: at one round in a hundred.
        """
        rounds = len(self.normal)
        often = max(0.01, 2 * self.rate)
        failed = self._alarms(self._limits(candidates, often), often)
        overlap = max(len(failed) / (often * rounds), 1.0)
        # Single exceedances are neighbours by chance, too.
        by_chance = (1 - len(failed) / rounds) ** EPISODE_GAP
        size = max(len(failed) / max(len(episodes(failed)), 1) * by_chance, 1.0)
        supported = poisson_upper(0, CONFIDENCE) * size / rounds
        runs = 0
        while poisson_upper(runs + 1, CONFIDENCE) * size / rounds <= self.rate:
            runs += 1
        rate = max(runs, 0.5) * size / rounds / overlap
        while rate * rounds > 0.1:
            alarms = self._alarms(self._limits(candidates, rate, LOSS_FACTOR * self.rate), rate)
            if rate_upper(alarms, rounds) <= self.rate:
                break
            rate *= 0.7
        return rate, supported, size

    def _limits(
        self, candidates: Sequence[_Candidate], rate: float, lost_rate: float | None = None
    ) -> list[tuple[_Candidate, float]]:
        pairs = [(candidate, candidate.limit(rate, self.normal, lost_rate)) for candidate in candidates]
        return [pair for pair in pairs if math.isfinite(pair[1])]

    def _alarms(self, pairs: Sequence[tuple[_Candidate, float]], check_rate: float) -> list[int]:
        """The rounds that would have failed."""
        failed = {place for candidate, limit in pairs for place in candidate.beyond(limit, self.normal)}
        limit = self._error_limit(check_rate)
        return sorted(failed | {place for place in self.normal if self.errors[place] > limit})

    def _error_limit(self, check_rate: float) -> int:
        """The smallest ``max_agent_errors`` that is exceeded so rarely: one agent at least, never half of them."""
        return self._count_limit(self.errors, check_rate)

    def _count_limit(self, counts: Sequence[int], rate: float) -> int:
        """The smallest number of agents that is exceeded rarely: in the history, if agents fail one by one, and on top
        of the loss of one agent."""
        agents, rounds = len(self.current), len(self.normal)
        most = max((agents - 1) // 2, min(agents - 1, 1))
        mean = sum(counts[place] for place in self.normal) / rounds if rounds else 0.0
        for limit in range(min(1, most), most):
            exceeded = sum(counts[place] > limit for place in self.normal)
            with_loss = sum(counts[place] > limit - 1 for place in self.normal)
            alone = 1 - poisson_at_most(limit, mean)
            if max(exceeded / rounds, alone) <= rate and with_loss <= LOSS_FACTOR * self.rate * rounds:
                return limit
        return most

    # -- words -----------------------------------------------------------------------------------------------------

    def _result(
        self,
        pairs: Sequence[tuple[_Candidate, float]],
        check_rate: float,
        bound: float,
    ) -> Proposal:
        count, rounds = len(self.current), len(self.normal)
        errors = self._error_limit(check_rate) if count else 0
        silent = self._count_limit(self.silent, self.rate) if count else 0
        alarms = self._alarms(pairs, check_rate)
        late = sum(self.silent[place] > silent for place in self.normal)
        if late > self.rate * rounds:
            self.notes.append(
                f"Agents are often silent: {late} of {rounds} rounds would have been inconclusive with "
                f"min_agents {count - silent}."
            )
        comments = (
            f"{count} agents; in {late} of {rounds} rounds more than {silent} were silent.",
            f"In {sum(self.errors[place] > errors for place in self.normal)} of {rounds} rounds more than {errors} "
            f"agents had errors; a single agent had one in {sum(self.errors[place] == 1 for place in self.normal)}.",
        )
        checks = tuple(self._check(candidate, limit) for candidate, limit in pairs)
        timed = [(candidate, limit) for candidate, limit in pairs if candidate.is_time]
        slower = {
            place
            for candidate, limit in timed
            for place in candidate.beyond(limit, self.normal, 1 + REGRESSION)
        }
        start = (
            self.rounds[0] + max((candidate.window or 0.0 for candidate, _ in pairs), default=0.0)
            if self.rounds
            else 0
        )
        judged = [place for place in self.normal if self.rounds[place] >= start]
        return Proposal(
            self.history,
            self.rate,
            checks,
            next((candidate.window for candidate, _ in pairs if candidate.window), None),
            count - silent if count else None,
            errors,
            len(alarms) / rounds if rounds else 0.0,
            bound <= self.rate,
            len(slower.intersection(judged)) / len(judged) if timed and judged else None,
            comments,
            tuple(self.notes),
        )

    def _check(self, candidate: _Candidate, limit: float) -> ProposedCheck:
        rounds, count = len(self.normal), len(self.current)
        tolerated = count - max(math.ceil(candidate.quorum * count - 1e-9), 1)
        unit = unit_of(candidate.result_type, candidate.metric)
        if candidate.fixed is not None:
            comparison: dict[str, Any] = {"less_than": RESPONSE_CODE_LIMIT}
            what = f"{RESPONSE_CODE_LIMIT} or above"
        elif candidate.window:
            comparison = {"change_leq_to": limit, "floor": candidate.floor}
            what = f"{_percent(limit)} slower than in the {_window_text(candidate.window)} before"
        else:
            name, figure = ("geq_to", -limit) if candidate.sign < 0 else ("leq_to", limit)
            comparison = {name: figure}
            usual = candidate.sign * median([candidate.base[place] for place in self.normal])
            side = "below" if candidate.sign < 0 else "above"
            what = f"{side} {formatting.format_value(figure, unit)} (usual {formatting.format_value(usual, unit)})"
        if candidate.quorum < 1:
            comparison["quorum"] = candidate.quorum
        who = f"more than {tolerated} of {count} agents are" if tolerated else "an agent is"
        fired = len(candidate.beyond(limit, self.normal))
        why = f"Fails when {who} {what}. From {rounds} rounds; would have failed {fired}."
        plain = {key: _whole(value) for key, value in comparison.items()}
        return ProposedCheck(candidate.result_type, candidate.metric, plain, why, fired, rounds)

    def _note_day_and_night(self, pairs: Sequence[tuple[_Candidate, float]]) -> None:
        """Say where the time of day matters for an absolute limit."""
        for candidate, limit in pairs:
            if candidate.window or candidate.fixed is not None or not candidate.is_time:
                continue
            hours: dict[int, list[float]] = {}
            for place in self.normal:
                hours.setdefault(self.rounds[place] % 86400 // 3600, []).append(candidate.base[place])
            levels = {hour: median(values) for hour, values in hours.items() if values}
            if len(levels) < 12 or min(levels.values()) <= 0:
                continue
            busy, quiet = max(levels, key=levels.__getitem__), min(levels, key=levels.__getitem__)
            if levels[busy] > 1.15 * levels[quiet]:
                low, high, fits = (
                    formatting.format_value(value, unit_of(candidate.result_type, candidate.metric))
                    for value in (levels[quiet], levels[busy], limit)
                )
                self.notes.append(
                    f"Day and night matter for {candidate.metric}: {low} at {quiet:02d} h UTC, {high} at {busy:02d} h. "
                    f"The limit {fits} fits the busy hours; the change against the hours before follows the time of "
                    "day."
                )


def _absolute(values: Sequence[float | None], sign: int) -> float:
    """How bad an agent is by its worst row; infinitely when a row has no value."""
    return math.inf if None in values else max(sign * value for value in values if value is not None)


def _changes(
    values: Sequence[tuple[AgentRows, tuple[float | None, ...]]],
    before: Baseline,
    result_type: str,
    metric: str,
    floor: float,
) -> list[float]:
    """The worst change of each agent that has a baseline, the best first."""
    known = before.of(result_type, metric)
    changes = []
    for agent, measured in values:
        then = known.get(agent.key)
        if None in measured:
            changes.append(math.inf)
        elif then is not None and len(then) == len(measured):
            pairs = [(now, earlier) for now, earlier in zip(measured, then, strict=True) if now is not None]
            moved = [(relative_change(now, old), abs(now - old) >= floor) for now, old in pairs]
            changes.append(max(change if counts else min(change, 0.0) for change, counts in moved))
    return sorted(changes) if known and len(changes) > sum(map(math.isinf, changes)) else []


def _kind_of(candidate: _Candidate) -> str:
    return "change limit" if candidate.window else "fixed limit"


def _percent(share: float) -> str:
    return f"{formatting.format_number(round(100 * share, 1))} %"


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _window_text(seconds: float) -> str:
    return f"{math.ceil(seconds / 3600)}h"


def _yaml_comparison(check: ProposedCheck, indent: str) -> list[str]:
    lines = [f"{indent}# {check.why}"]
    for place, (name, value) in enumerate(check.comparison.items()):
        lines.append(f"{indent}{'- ' if not place else '  '}{name}: {value}")
    return lines
