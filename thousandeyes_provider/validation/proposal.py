"""Checks for a test at a stated false-alarm rate, learned from its recent rounds.

A proposal holds four kinds of rules, and the history decides their figures:

- limits, as ``every`` with a ``quorum``: a check fails when more agents than the quorum allows are beyond the limit.
  Times are compared with the hours before; a fixed limit with room above what was seen catches what rises slowly;
- ``confirm_failures``: a run that fails is repeated, and fails only when the same check fails each time. This keeps
  limits low enough for small slowdowns. Its effect is measured on consecutive rounds;
- ``min_agents`` and ``max_agent_errors`` from the number of agents that are silent, or report an error, in one round.

All checks together stay at the rate: the share of rounds in which several of them fail at once is measured. Each limit
also holds while any agent is lost. Rounds in a row count as one event: a burst of ten slow rounds says as much about
the rate as one slow round.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from thousandeyes_provider.api.metrics import unit_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, row_error
from thousandeyes_provider.validation import formatting
from thousandeyes_provider.validation.aggregates import median, relative_change
from thousandeyes_provider.validation.backtest import RollingBaseline
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.history import ABSENT_ROUNDS, History
from thousandeyes_provider.validation.proposed_gate import (
    CONFIDENCE,
    REGRESSION,
    Proposal,
    ProposedCheck,
    Slowdowns,
    one_in,
    percent,
    window_text,
)
from thousandeyes_provider.validation.samples import by_agent, numbers_of, plain, row_identity

DEFAULT_RATE = 1 / 500
"""False alarms per round that a proposal aims at."""

OUTAGE_RATE = 1 / 5000
"""Probability that a gate fails because one agent, any of them, is lost."""

MIN_ROUNDS = 100
"""Rounds below which no limit is proposed."""

ENOUGH = 0.95
"""Share of these slowdowns for which no further repetition is proposed."""

MAX_REPEATS = 3
"""Repetitions of a failed run, at most: each takes as long as a run."""

MARGIN = 1.25
"""Margin of a fixed limit above the observed values, if the change of the metric is checked as well."""

MAX_GROWTH = 1.05
"""Growth of the level from the first half of the history to the second above which a fixed limit will not last."""

INSTABILITY = 0.02
"""Probability of the exceedances in the second half of the history below which a limit of the first is not proposed."""

TAIL = 20
"""Largest values that a limit is fitted to, at least."""

EPISODE_GAP = 3
"""Rounds between two exceedances that still count as one event."""

BASELINE_ROUNDS = 6
"""Rounds of the shortest baseline."""

QUORUMS = (0.25, 0.5, 0.75)
"""Quorums to choose from, rounded to whole agents."""

LOWER_IS_WORSE = frozenset(("mos",))
ALREADY_ERRORS = frozenset(("completion", "availability"))
"""Metrics of which the error table already judges every value below 100 %."""
RESPONSE_CODE_LIMIT = 400
LEAST_LIMIT = 1.0
"""The smallest limit of a time in milliseconds or a loss in percent. Smaller values are not meaningful."""
MIN_CHANGE = 0.05
"""The smallest limit of a change."""
MIN_COMPARED = 5.0
"""Milliseconds: times that are usually shorter are not compared with those before."""

_TOO_OFTEN = "it would fail too often with any value."


def propose(history: History, *, rate: float = DEFAULT_RATE) -> Proposal:
    """Propose a gate for a test.

    :param rate: false alarms per round to stay below, such as ``1 / 500``.
    :raises ValueError: when the rate is not between 0 and 0.5.
    """
    if not 0 < rate <= 0.5:
        raise ValueError(f"rate {rate!r}: expected a number above 0 and up to 0.5, such as 0.002")
    return _Proposer(history, rate).proposal()


# -- statistics ----------------------------------------------------------------------------------------------------


def poisson_upper(events: int) -> float:
    """The upper confidence bound of the mean of a Poisson distribution, given a count."""
    low, high = 0.0, events + 10 * math.sqrt(events + 1) + 10
    for _ in range(60):
        middle = (low + high) / 2
        if poisson_at_most(events, middle) > 1 - CONFIDENCE:
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


def rate_upper(exceeded: Sequence[int], rounds: int) -> float:
    """The upper confidence bound of a rate per round when exceedances come in runs.

    :param exceeded: places of the rounds beyond the limit.
    """
    runs = len(episodes(exceeded))
    length = len(exceeded) / runs if runs else 1.0
    return poisson_upper(runs) * length / rounds


def tail_limit(ordered: Sequence[float], rate: float) -> float:
    """The value that is exceeded at a rate, from an exponential fit to the largest values.

    :param ordered: values, the largest first; the fit uses at least :data:`TAIL` of them.
    :param rate: exceedances per value.
    """
    count = min(max(TAIL, math.ceil(8 * rate * len(ordered))), len(ordered) - 1)
    threshold = ordered[count]
    mean_excess = sum(value - threshold for value in ordered[:count]) / count
    return threshold + mean_excess * max(math.log(count / (len(ordered) * rate)), 0.0)


# -- values of a round -------------------------------------------------------------------------------------------


@dataclass
class _Candidate:
    """A possible check: for each round the smallest limit with which it holds.

    :param quorum: share of the agents that must be within the limit.
    :param window: seconds of the baseline; ``None`` for a fixed limit.
    :param sign: -1 where lower values are worse.
    :param fixed: the limit, when it is not learned.
    :param margin: room above the learned limit, as a factor.
    :param base: for each round that limit, as badness (larger is worse); infinite when it fails with any limit. For a
        change, further series compare with the baseline of the round before, of the round before that, and so on, as a
        repeated run does.
    :param one_less: the same when an agent within the quorum is lost.
    """

    result_type: str
    metric: str
    quorum: float
    window: float | None
    sign: int
    floor: float = 0.0
    fixed: float | None = None
    margin: float = 1.0
    base: list[list[float]] = field(default_factory=list)
    one_less: list[list[float]] = field(default_factory=list)

    def take(self, badness_by_lag: Sequence[Sequence[float]]) -> None:
        """Add a round: for each series the badness of each agent, the best first."""
        for lag, badness in enumerate(badness_by_lag):
            if lag == len(self.base):
                self.base.append([])
                self.one_less.append([])
            needed = self.needed(len(badness))
            self.base[lag].append(badness[needed - 1] if badness else math.inf)
            self.one_less[lag].append(badness[needed] if needed < len(badness) else math.inf)

    def needed(self, agents: int) -> int:
        """Return the number of agents that must be within the limit."""
        return max(math.ceil(self.quorum * agents - 1e-9), 1)

    def limit(self, repeats: int, rate: float, agents: int, until: int | None = None) -> float:
        """The limit that the failures of the check, with repetitions, exceed at a rate.

        It also holds at :data:`OUTAGE_RATE` when one of the agents is lost.

        :param until: learn from so many rounds; from all when ``None``.
        """
        if self.fixed is not None:
            return self.fixed
        base = sustained(self.base, repeats)[:until]
        limit = self._tail(base, rate)
        if agents > 1 and math.isfinite(limit):
            lost = sustained(self.one_less, repeats)[:until]
            # Rounds that fail anyway do not fail because of the agent.
            passed = [value for value, own in zip(lost, base, strict=True) if own <= limit]
            limit = max(limit, self._tail(passed, OUTAGE_RATE * agents / self.needed(agents)))
        return self._rounded(limit * self.margin)

    def _tail(self, series: Sequence[float], rate: float) -> float:
        """The larger of the order statistic and the fit to the tail.

        The first does not model values beyond the largest one, the second does not model gaps between values.
        """
        ordered = sorted(series, reverse=True)
        place = min(math.floor(rate * len(ordered)), len(ordered) - 1)
        if math.isinf(ordered[place]):
            return ordered[place]
        if not self.is_time:
            return max(ordered[place], tail_limit(ordered[sum(map(math.isinf, ordered[:place])) :], rate))
        # Times and changes of times as logarithms: their tails are between lognormal and Pareto.
        offset = 1.0 if self.window else 0.0
        logs = [math.log(max(value + offset, 1e-3)) for value in ordered if math.isfinite(value)]
        return max(ordered[place], math.exp(tail_limit(logs, rate)) - offset)

    def _rounded(self, limit: float) -> float:
        """A limit with three digits, away from the usual values, and not below what matters."""
        limit = max(limit, self._least()) if self.sign > 0 else limit
        if math.isinf(limit) or not limit:
            return limit
        step = 10.0 ** (math.floor(math.log10(abs(limit))) - 2)
        return float(f"{math.ceil(limit / step - 1e-9) * step:.10g}")

    def _least(self) -> float:
        if self.window:
            return MIN_CHANGE
        return LEAST_LIMIT if unit_of(self.result_type, self.metric) in ("ms", "%") else 0.0

    def slowdown(self, limit: float, value: float) -> float:
        """The factor by which all times must rise for a value of the series to reach the limit."""
        offset = 1.0 if self.window else 0.0
        return (offset + limit) / max(offset + value, 1e-9)

    @property
    def is_time(self) -> bool:
        """Whether it judges a duration."""
        return unit_of(self.result_type, self.metric) == "ms" and self.sign > 0

    @property
    def kind(self) -> str:
        """The name in notes."""
        return f"{'change' if self.window else 'fixed'} limit for {self.result_type} {self.metric}"


@dataclass(frozen=True)
class _Choice:
    """Checks with their limits for a number of repetitions.

    :param repeats: repetitions of a failed run.
    :param limits: the checks with their limits.
    :param max_errors: agents that may report an error.
    :param alarms: the rounds that would have failed.
    :param supported: the smallest rate that so many rounds can support.
    :param slowdowns: what it catches; ``None`` without a check of a time.
    :param notes: why other checks are not proposed.
    """

    repeats: int
    limits: Sequence[tuple[_Candidate, float]]
    max_errors: int
    alarms: Sequence[int]
    supported: float
    slowdowns: Slowdowns | None
    notes: Sequence[str]


class _Proposer:
    """Learns one proposal."""

    def __init__(self, history: History, rate: float) -> None:
        self.history = history
        self.rate = rate
        self.notes = [
            f"Agent {presence.agent} has not reported since {iso_time(presence.last)}."
            for presence in history.agents.values()
            if not presence.is_current
        ]
        self.result_types = [
            name
            for name in TEST_TYPES[history.test_type].default
            if any(rows.get(name) for _, rows in history)
        ]
        self.agents = sum(presence.is_current for presence in history.agents.values())
        self.windows = self._windows()
        self.rounds: list[int] = []
        """The rounds to learn from: all but outages and the first window."""
        self.errors: list[int] = []
        self.silent: list[int] = []
        self._count_agents()

    def _windows(self) -> list[float]:
        """Windows of the baseline to choose from, in whole hours: the shortest, and a day."""
        shortest = max(math.ceil(BASELINE_ROUNDS * self.history.interval / 3600), 1) * 3600.0
        return [shortest, 86400.0] if shortest < 86400 and self.history.days >= 10 else [shortest]

    def _count_agents(self) -> None:
        """Count the agents that report errors or are silent, and find the rounds to learn from.

        An outage is two or more rounds in a row in which most agents fail.
        """
        counts: list[tuple[int, int, int, bool]] = []
        for round_id, rows in self.history:
            bad = {
                row_identity(row)
                for result_type in self.result_types
                for row in rows.get(result_type, ())
                if row_error(result_type, row) is not None
            }
            reported_by_type = [
                set(map(row_identity, rows[name])) for name in self.result_types if rows.get(name)
            ]
            # An agent has reported when it has a row of every result type, as in a run.
            complete = set.intersection(*reported_by_type) if reported_by_type else set()
            silent = sum(key not in complete for key in self.history.expected(round_id))
            counts.append((round_id, len(bad), silent, 2 * len(bad) > len(set().union(*reported_by_type))))
        failing = [False, *(most for *_, most in counts), False]
        outages = 0
        for place, (round_id, bad_agents, silent, most) in enumerate(counts):
            if most and (failing[place] or failing[place + 2]):
                outages += 1
            elif round_id >= self.history.rounds[0] + self.windows[-1]:
                self.rounds.append(round_id)
                self.errors.append(bad_agents)
                self.silent.append(silent)
        if outages:
            self.notes.append(
                f"{outages} rounds are outages: most agents failed in two or more rounds in a row. "
                "The limits are not learned from them, and a gate would fail there."
            )

    # -- the proposal --------------------------------------------------------------------------------------------

    def proposal(self) -> Proposal:
        rounds = len(self.rounds)
        if rounds < MIN_ROUNDS or not self.agents:
            self.notes.append(
                f"History too short: {rounds} usable rounds, {MIN_ROUNDS} are needed to propose limits."
            )
            return self._result(_Choice(0, (), min(self.agents - 1, 1), (), math.inf, None, ()), False)
        groups = self._candidates()
        choices: list[_Choice] = []
        for repeats in range(MAX_REPEATS + 1):
            choices.append(self._choice(groups, repeats))
            if _caught(choices[-1]) >= ENOUGH:
                break
        # One more repetition has to be worth it.
        choice = max(choices, key=lambda option: _caught(option) - 0.01 * option.repeats)
        bound = rate_upper(choice.alarms, rounds)
        self.notes += choice.notes
        if choice.supported > 2 * self.rate:
            self.notes.append(
                f"History too short or too irregular: {rounds} rounds support at most 1 false alarm in "
                f"{max(math.floor(1 / choice.supported), 1)}."
            )
        elif bound > 2 * self.rate:
            self.notes.append(
                f"Too irregular to promise 1 in {one_in(self.rate)}: with {percent(CONFIDENCE)} confidence the "
                f"rate is below 1 in {max(math.floor(1 / bound), 1)}."
            )
        if choice.limits:
            self._note_spells(choice)
        self._note_day_and_night(choice)
        return self._result(choice, max(bound, choice.supported) <= 2 * self.rate)

    def _candidates(self) -> list[list[_Candidate]]:
        """The possible checks, as groups of alternatives: for each metric fixed limits, and changes."""
        count = self.agents
        quorums = [
            1.0 if place == count else math.floor(100 * place / count) / 100
            for place in sorted({min(max(round(count * share), 1), max(count - 1, 1)) for share in QUORUMS})
        ]
        metrics = [
            (result_type, name, -1 if name in LOWER_IS_WORSE else 1)
            for result_type in self.result_types
            for name in RESULT_TYPES[result_type].metrics
            if name not in ALREADY_ERRORS and self._measures(result_type, name)
        ]
        floors = self._floors([(kind, name) for kind, name, _ in metrics if unit_of(kind, name) == "ms"])
        groups = []
        for kind, name, sign in metrics:
            groups.append([_Candidate(kind, name, quorum, None, sign) for quorum in quorums])
            if floor := floors.get((kind, name)):
                groups.append(
                    [
                        _Candidate(kind, name, quorum, window, 1, floor)
                        for window in self.windows
                        for quorum in quorums
                    ]
                )
        for kind in self.result_types:
            if kind in ("http-server", "ftp-server", "sip-server") and self._measures(kind, "responseCode"):
                limit = RESPONSE_CODE_LIMIT - 1.0
                groups.append(
                    [_Candidate(kind, "responseCode", quorum, None, 1, fixed=limit) for quorum in quorums]
                )
        self._fill([candidate for group in groups for candidate in group], floors)
        return groups

    def _measures(self, result_type: str, metric: str) -> bool:
        """Whether rows near the end of the history have the metric."""
        recent = (
            self.history.rows(round_id).get(result_type, ()) for round_id in self.rounds[-ABSENT_ROUNDS:]
        )
        return any(value is not None for rows in recent for value in numbers_of(result_type, metric, rows))

    def _floors(self, times: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """The times to compare, with the difference that never counts: a twentieth of what is usual for the fastest
        agent, at least 1 ms."""
        sample = [self.history.rows(round_id) for round_id in self.rounds[:: max(len(self.rounds) // 200, 1)]]
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

    def _fill(self, candidates: Sequence[_Candidate], times: Collection[tuple[str, str]]) -> None:
        """Give every candidate its series, in one pass over the history."""
        rolling = {window: RollingBaseline(times, window) for window in self.windows}
        by_metric: dict[tuple[str, str], list[_Candidate]] = {}
        for candidate in candidates:
            by_metric.setdefault((candidate.result_type, candidate.metric), []).append(candidate)
        learned = set(self.rounds)
        # The baselines of this round and of those that it may repeat.
        baselines: deque[dict[float, Baseline]] = deque(maxlen=MAX_REPEATS + 1)
        for round_id, rows in self.history:
            if round_id in learned:
                before = {window: baseline.before(round_id) for window, baseline in rolling.items()}
                baselines.extendleft([before] * (1 if baselines else MAX_REPEATS + 1))
                agents = {name: by_agent(name, rows.get(name, ())) for name in self.result_types}
                for (kind, name), of_metric in by_metric.items():
                    values = [(agent.key, numbers_of(kind, name, agent.rows)) for agent in agents[kind]]
                    badness: dict[float | None, list[list[float]]] = {}
                    for candidate in of_metric:
                        window = candidate.window
                        if window not in badness:
                            badness[window] = (
                                [sorted(_absolute(measured, candidate.sign) for _, measured in values)]
                                if window is None
                                else [
                                    _changes(values, earlier[window].of(kind, name), candidate.floor)
                                    for earlier in baselines
                                ]
                            )
                        candidate.take(badness[window])
            for baseline in rolling.values():
                baseline.add(round_id, rows)

    # -- checks and limits for a number of repetitions -----------------------------------------------------------

    def _choice(self, groups: Sequence[Sequence[_Candidate]], repeats: int) -> _Choice:
        candidates, notes = self._chosen(groups, repeats)
        rounds = len(self.rounds)
        max_errors = self._allowed(self.errors, repeats)
        # How far the checks fail in the same rounds, and how long in a row, is measured where enough rounds fail.
        often = max(0.01, 2 * self.rate)
        limits = [(candidate, candidate.limit(repeats, often, 1)) for candidate in candidates]
        failed = self._alarms(limits, repeats, max_errors)
        overlap = max(len(failed) / (often * rounds), 1.0)
        # Single failures are neighbours by chance, too.
        by_chance = (1 - len(failed) / rounds) ** EPISODE_GAP
        length = max(len(failed) / max(len(episodes(failed)), 1) * by_chance, 1.0)
        events = 0
        while poisson_upper(events + 1) * length / rounds <= 2 * self.rate:
            events += 1
        rate = min(max(events, 0.5) * length / rounds, self.rate) / overlap
        while True:
            limits = [(candidate, candidate.limit(repeats, rate, self.agents)) for candidate in candidates]
            alarms = self._alarms(limits, repeats, max_errors)
            if rate_upper(alarms, rounds) <= 2 * self.rate or rate * rounds < 0.1:
                break
            rate *= 0.7
        supported = poisson_upper(0) * length / rounds
        # A limit that nothing exceeds judges nothing.
        notes += [f"No {candidate.kind}: {_TOO_OFTEN}" for candidate, limit in limits if math.isinf(limit)]
        limits = [(candidate, limit) for candidate, limit in limits if math.isfinite(limit)]
        return _Choice(
            repeats, limits, max_errors, alarms, supported, self._slowdowns(limits, repeats), notes
        )

    def _chosen(
        self, groups: Sequence[Sequence[_Candidate]], repeats: int
    ) -> tuple[list[_Candidate], list[str]]:
        """Of each group the candidate that catches most, and why others are left out. All changes share one window."""
        power = {id(candidate): self._power(candidate, repeats) for group in groups for candidate in group}

        def best(group: Iterable[_Candidate]) -> _Candidate:
            return max(group, key=lambda candidate: power[id(candidate)])

        by_window = [
            [
                best(candidate for candidate in group if candidate.window == window)
                for group in groups
                if group[0].window
            ]
            for window in self.windows
        ]
        changes = max(by_window, key=lambda chosen: sum(power[id(candidate)] for candidate in chosen))
        kept: list[_Candidate] = []
        notes: list[str] = []
        for candidate in [*changes, *(best(group) for group in groups if not group[0].window)]:
            if power[id(candidate)] >= 0:
                reason = self._instability(candidate, repeats)
            elif candidate.fixed is None:
                reason = _TOO_OFTEN
            else:
                reason = f"codes from {RESPONSE_CODE_LIMIT} on are usual here."
            if reason:
                notes.append(f"No {candidate.kind}: {reason}")
                continue
            compared = any(
                (change.result_type, change.metric) == (candidate.result_type, candidate.metric)
                for change in kept
            )
            kept.append(replace(candidate, margin=MARGIN) if compared else candidate)
        order = [(group[0].result_type, group[0].metric) for group in groups]
        kept.sort(key=lambda candidate: order.index((candidate.result_type, candidate.metric)))
        return kept, notes

    def _power(self, candidate: _Candidate, repeats: int) -> float:
        """How good a candidate is among its alternatives; -1 when it would fail too often."""
        limit = replace(candidate, fixed=None).limit(repeats, self.rate, self.agents)
        if math.isinf(limit):
            return -1.0
        if candidate.fixed is not None:
            return candidate.quorum if limit <= candidate.fixed else -1.0
        if not candidate.is_time:
            return 1 - abs(candidate.quorum - 0.5)
        slowdowns = self._slowdowns([(candidate, limit)], repeats)
        return slowdowns.caught if slowdowns else 0.0

    def _instability(self, candidate: _Candidate, repeats: int) -> str:
        """Why a limit that is learned from the first half of the history does not hold in the second."""
        half = len(self.rounds) // 2
        if candidate.fixed is not None:
            return ""
        limit = candidate.limit(repeats, self.rate, self.agents, half)
        later = sustained(candidate.base, repeats)[half:]
        beyond = [place for place, value in enumerate(later) if value > limit]
        events, expected = len(episodes(beyond)), self.rate * len(later)
        if events > 2 and 1 - poisson_at_most(events - 1, expected) < INSTABILITY:
            return (
                f"learned from the rounds up to {iso_time(self.rounds[half - 1])}, it fires in {len(beyond)} of the "
                f"{len(later)} later rounds; at most {expected:.0f} were expected."
            )
        before, after = median(candidate.base[0][:half]), median(candidate.base[0][half:])
        if candidate.is_time and not candidate.window and after > MAX_GROWTH * before:
            growth = f"by {percent(after / before - 1)}" if before else "above 0"
            return (
                f"its level rose {growth} from the first half of the history to the second, so "
                "a fixed limit would not last."
            )
        return ""

    def _alarms(self, limits: Sequence[tuple[_Candidate, float]], repeats: int, max_errors: int) -> list[int]:
        """The rounds that would have failed."""
        series = [(sustained(candidate.base, repeats), limit) for candidate, limit in limits]
        series.append((sustained([self.errors], repeats), max_errors))
        return sorted(
            {place for values, limit in series for place, value in enumerate(values) if value > limit}
        )

    def _slowdowns(self, limits: Sequence[tuple[_Candidate, float]], repeats: int) -> Slowdowns | None:
        """The slowdowns of all agents that would have failed."""
        caught: set[int] = set()
        smallest = math.inf
        for candidate, limit in limits:
            if candidate.is_time:
                factors = [candidate.slowdown(limit, value) for value in sustained(candidate.base, repeats)]
                caught.update(place for place, factor in enumerate(factors) if factor < 1 + REGRESSION)
                smallest = min(smallest, sorted(factors)[math.floor(0.9 * len(factors))] - 1)
        if math.isinf(smallest):
            return None
        return Slowdowns(len(caught) / (len(self.rounds) - repeats), math.ceil(100 * smallest) / 100)

    def _allowed(self, counts: Sequence[int], repeats: int) -> int:
        """The smallest number of agents for which the gate holds when an agent is lost on top of those of the history.

        One at least, and half of the agents at most. The rate is the larger of the counted one, and that of agents
        that fail one by one.
        """
        most = self.agents // 2 if self.agents > 3 else min(self.agents - 1, 1)
        mean = sum(counts) / max(len(counts), 1)
        for allowed in range(min(1, most), most):
            counted = sum(count >= allowed for count in sustained([counts], repeats)) / max(len(counts), 1)
            one_by_one = (1 - poisson_at_most(allowed - 1, mean)) ** (repeats + 1)
            if max(counted, one_by_one) <= OUTAGE_RATE:
                return allowed
        return most

    # -- words -----------------------------------------------------------------------------------------------------

    def _result(self, choice: _Choice, promised: bool) -> Proposal:
        rounds, repeats = len(self.rounds), choice.repeats
        silent = self._allowed(self.silent, 0) if self.agents else 0
        too_silent = sum(count > silent for count in self.silent)
        if too_silent > self.rate * rounds:
            self.notes.append(
                f"Agents are often silent: {too_silent} of {rounds} rounds would have been inconclusive with "
                f"min_agents {self.agents - silent}."
            )
        errors = choice.max_errors
        repeated = len(self._alarms(choice.limits, 0, errors))
        many_errors = sum(count > errors for count in self.errors)
        comments = {
            "compare_with": "The baseline of the changes: the median of each agent over this window before the run.",
            "confirm_failures": "A failed run is repeated, and fails only when the same check fails each time. "
            f"{repeated} of {rounds} rounds would have been repeated. Learned from consecutive rounds, "
            f"{self.history.interval:g} s apart.",
            "min_agents": f"{self.agents} agents; more than {silent} were silent in {too_silent} of {rounds} rounds.",
            "max_agent_errors": f"More than {errors} had errors in {many_errors} of {rounds} rounds; "
            f"a single agent had one in {self.errors.count(1)}.",
        }
        return Proposal(
            history=self.history,
            rate=self.rate,
            checks=tuple(self._check(candidate, limit, repeats) for candidate, limit in choice.limits),
            window=next((candidate.window for candidate, _ in choice.limits if candidate.window), None),
            confirm_failures=repeats,
            min_agents=self.agents - silent if self.agents else None,
            max_agent_errors=max(errors, 0),
            expected_rate=len(choice.alarms) / rounds if rounds else 0.0,
            promised=promised,
            slowdowns=choice.slowdowns,
            comments=comments,
            notes=tuple(self.notes),
        )

    def _check(self, candidate: _Candidate, limit: float, repeats: int) -> ProposedCheck:
        unit = unit_of(candidate.result_type, candidate.metric)
        if candidate.fixed is not None:
            comparison: dict[str, Any] = {"less_than": RESPONSE_CODE_LIMIT}
            what = f"at {RESPONSE_CODE_LIMIT} or above"
        elif candidate.window:
            comparison = {"change_leq_to": limit, "floor": candidate.floor}
            what = f"{percent(limit)} slower than in the {window_text(candidate.window)} before"
        else:
            name, figure = ("geq_to", -limit) if candidate.sign < 0 else ("leq_to", limit)
            comparison = {name: figure}
            usual = candidate.sign * median(candidate.base[0])
            side = "below" if candidate.sign < 0 else "above"
            what = f"{side} {formatting.format_value(figure, unit)} (usual {formatting.format_value(usual, unit)})"
        if candidate.quorum < 1:
            comparison["quorum"] = candidate.quorum
        tolerated = self.agents - candidate.needed(self.agents)
        who = f"more than {tolerated} of {self.agents} agents are" if tolerated else "an agent is"
        fired = sum(value > limit for value in sustained(candidate.base, repeats))
        again = f" in {repeats + 1} rounds in a row" if repeats else ""
        why = f"Fails when {who} {what}{again}. From {len(self.rounds)} rounds; would have failed {fired}."
        comparison = {name: plain(value) for name, value in comparison.items()}
        return ProposedCheck(candidate.result_type, candidate.metric, comparison, why)

    def _note_spells(self, choice: _Choice) -> None:
        """Note the observed and the highest plausible frequency of spells of slow rounds."""
        alarms = choice.alarms
        starts = [
            start for start in episodes(alarms) if any(0 < place - start <= EPISODE_GAP for place in alarms)
        ]
        days = len(self.rounds) * self.history.interval / 86400
        apart = days / poisson_upper(len(starts))
        self.notes.append(
            f"Spells of slow rounds that would have failed: {len(starts)} in {_span(days)}; with "
            f"{percent(CONFIDENCE)} confidence at most one in {_span(apart)}. The gate fails while a spell lasts; "
            f"the promise counts {'these' if starts else 'none'}."
        )

    def _note_day_and_night(self, choice: _Choice) -> None:
        """Note fixed limits that depend on the time of day."""
        for candidate, limit in choice.limits:
            if candidate.window or not candidate.is_time:
                continue
            hours: dict[int, list[float]] = {}
            for round_id, value in zip(self.rounds, candidate.base[0], strict=True):
                if math.isfinite(value):
                    hours.setdefault(round_id % 86400 // 3600, []).append(value)
            levels = {hour: median(values) for hour, values in hours.items()}
            busy, quiet = max(levels, key=levels.__getitem__), min(levels, key=levels.__getitem__)
            if len(levels) >= 12 and levels[busy] > 1.15 * levels[quiet]:
                low, high, fits = (
                    formatting.format_value(value, unit_of(candidate.result_type, candidate.metric))
                    for value in (levels[quiet], levels[busy], limit)
                )
                self.notes.append(
                    f"Day and night matter for {candidate.metric}: {low} at {quiet:02d} h UTC, {high} at {busy:02d} h. "
                    f"The limit {fits} fits the busy hours; a change against the hours before follows the time of day."
                )


def sustained(series: Sequence[Sequence[float]], repeats: int) -> list[float]:
    """For each round the largest limit that it and the rounds that repeat it exceed: the smallest value of them.

    :param series: values of the rounds, and of each round as a first, second, … repetition where those differ.
    """
    size = len(series[0]) - repeats
    runs = [series[min(lag, len(series) - 1)][lag : size + lag] for lag in range(repeats + 1)]
    return list(map(min, zip(*runs, strict=True)))


def _caught(choice: _Choice) -> float:
    return choice.slowdowns.caught if choice.slowdowns else 1.0


def _absolute(values: Sequence[float | None], sign: int) -> float:
    """How bad an agent is by its worst row; infinitely when a row has no value."""
    return math.inf if None in values else max(sign * value for value in values if value is not None)


def _span(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{max(24 * days, 2):.0f} hours"


def _changes(
    values: Sequence[tuple[str, tuple[float | None, ...]]],
    before: Mapping[str, tuple[float, ...]],
    floor: float,
) -> list[float]:
    """The worst change of each agent that has a baseline, the best first."""
    changes = []
    for key, measured in values:
        then = before.get(key)
        if None in measured:
            changes.append(math.inf)
        elif then is not None and len(then) == len(measured):
            pairs = [(now, earlier) for now, earlier in zip(measured, then, strict=True) if now is not None]
            moved = [(relative_change(now, old), abs(now - old) >= floor) for now, old in pairs]
            changes.append(max(change if counts else min(change, 0.0) for change, counts in moved))
    return sorted(changes) if len(changes) > changes.count(math.inf) else []
