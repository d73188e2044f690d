"""Compare polling schedules on the same simulated rounds: seconds from the last row to the verdict, polls, quota.

The simulation sends no requests and reads no clock, so the result is the same on every machine. It takes a few seconds.
Run ``python benchmarks/schedule.py``.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.poll_schedule import Arrivals, PollSchedule, QuotaPace
from thousandeyes_provider.api.rate_limits import RateLimit

RESPONSE_TIME = 0.15
"""Seconds from the request of a poll to its response."""

LIMIT = 240
"""Requests per minute of the organization."""

RESERVED_SHARE = 0.2
"""Share of these requests that polling reserves for other clients."""

WINDOW = 60.0

REQUESTS_BEFORE_A_POLL = 4
"""Requests of a run before the first poll: reads and run call."""


@dataclass(frozen=True)
class SimulatedRound:
    """A round.

    :param arrivals: seconds from the run call until the row of each agent is visible, ascending.
    :param partial: whether rows become visible one by one. Otherwise all rows become visible
        together when the round is complete.
    :param previous: duration of the previous round in seconds; ``None``: unknown.
    """

    arrivals: tuple[float, ...]
    partial: bool
    previous: float | None

    @property
    def length(self) -> float:
        """Seconds until the last row is visible."""
        return self.arrivals[-1]

    def visible(self, age: float) -> int:
        """Return the number of agents with a visible row."""
        if not self.partial and age < self.length:
            return 0
        return sum(arrival <= age for arrival in self.arrivals)


def simulated_rounds(
    seed: int, count: int, shortest: float, longest: float, *, partial: bool = True, known: bool = False
) -> list[SimulatedRound]:
    """Return rounds of 1 to 10 agents. Durations are uniform between ``shortest`` and ``longest``."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        length = chance.uniform(shortest, longest)
        others = sorted(chance.uniform(0.25 * length, length) for _ in range(chance.randint(0, 9)))
        previous = length * chance.uniform(0.85, 1.15) if known else None
        made.append(SimulatedRound((*others, length), partial, previous))
    return made


@dataclass(frozen=True)
class Seen:
    """The result of a poll: number of visible agents, and the rate limit in the response."""

    agents: int
    quota: RateLimit | None
    server_now: float


Waiter = Generator[float, Seen, None]
"""Generator that yields the age of its next poll and receives the result. The run call counts as the first poll."""


def ours(simulated: SimulatedRound) -> Waiter:
    """Yield the polls of this provider's adaptive schedule."""
    return _waiter(simulated, PollSchedule(round_length=simulated.previous))


def fixed_10(simulated: SimulatedRound) -> Waiter:
    """Yield polls every 10 s with this provider's quota rule, its schedule before the adaptive one."""
    return _waiter(simulated, PollSchedule(10.0))


def _waiter(simulated: SimulatedRound, schedule: PollSchedule) -> Waiter:
    total, age, reported, last_new, pace = len(simulated.arrivals), 0.0, 0, 0.0, QuotaPace()
    seen = yield 0.0
    while True:
        if seen.agents > reported:
            reported, last_new = seen.agents, age
        pace = pace.after_response(
            seen.quota, server_now=seen.server_now, requests=1, reserved_share=RESERVED_SHARE
        )
        age += schedule.seconds(Arrivals(age, reported, total - reported, age - last_new), pace)
        seen = yield age
        age += RESPONSE_TIME


def datadog_ci(_: SimulatedRound) -> Waiter:
    """Yield the polls of Datadog's command-line client: at once, then 5 s after each response, for any quota."""
    return _every(5.0, 0.0)


def delayed_5(_: SimulatedRound) -> Waiter:
    """Yield the polls of a plain loop: 5 s after the run call and after each response, for any quota."""
    return _every(5.0, 5.0)


def _every(interval: float, first: float) -> Waiter:
    yield 0.0
    age = first
    while True:
        yield age
        age += RESPONSE_TIME + interval


SCHEDULES: dict[str, Callable[[SimulatedRound], Waiter]] = {
    "adaptive": ours,
    "every 10 s": fixed_10,
    "datadog-ci": datadog_ci,
    "loop of 5 s": delayed_5,
}


@dataclass(frozen=True)
class Outcome:
    """The result of a schedule on some rounds.

    :param median: median of the seconds from the last row to the poll that returns it.
    :param p95: 95th percentile of the same.
    :param polls: mean number of polls of a round.
    """

    median: float
    p95: float
    polls: float

    @classmethod
    def of(cls, delays: Iterable[float], polls: Iterable[int]) -> Outcome:
        """Return the outcome of delays and numbers of polls."""
        ordered = sorted(delays)
        return cls(
            statistics.median(ordered),
            ordered[math.ceil(0.95 * len(ordered)) - 1],
            statistics.fmean(polls),
        )


def alone(schedule: Callable[[SimulatedRound], Waiter], rounds: Iterable[SimulatedRound]) -> Outcome:
    """Run one wait at a time with full quota."""
    delays, polls = [], []
    for simulated in rounds:
        waiter, count = schedule(simulated), 1
        next(waiter)
        age = waiter.send(Seen(0, None, 0.0))
        while age < simulated.length:
            age = waiter.send(Seen(simulated.visible(age), None, 0.0))
            count += 1
        delays.append(age - simulated.length)
        polls.append(count)
    return Outcome.of(delays, polls)


@dataclass
class Quota:
    """The organization's limit, in windows aligned to the minute."""

    used: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    least_left: int = LIMIT

    def take(self, now: float) -> RateLimit | None:
        """Count a request. Return the rate limit; ``None`` for a refused request."""
        window = int(now // WINDOW)
        if self.used.get(window, 0) >= LIMIT:
            self.refused += 1
            return None
        self.used[window] = self.used.get(window, 0) + 1
        left = LIMIT - self.used[window]
        self.least_left = min(self.least_left, left)
        return RateLimit("organization", LIMIT, left, (window + 1) * WINDOW)


def together(
    schedule: Callable[[SimulatedRound], Waiter],
    rounds: Iterable[SimulatedRound],
    runs_per_minute: float,
    seed: int = 7,
) -> tuple[Outcome, Quota]:
    """Run many waits that share only the quota, like tasks on several workers."""
    chance, quota = random.Random(seed), Quota()
    events: list[tuple[float, int, str]] = []
    waits: list[tuple[float, SimulatedRound, Waiter, list[int]]] = []
    start = 0.0
    for number, simulated in enumerate(rounds):
        start += chance.expovariate(runs_per_minute / 60)
        waiter = schedule(simulated)
        next(waiter)
        waits.append((start, simulated, waiter, [0]))
        heapq.heappush(events, (start, number, "run"))
    delays = []
    while events:
        now, number, kind = heapq.heappop(events)
        start, simulated, waiter, polls = waits[number]
        if kind == "run":
            left = [quota.take(now) for _ in range(REQUESTS_BEFORE_A_POLL)][-1]
            heapq.heappush(events, (start + waiter.send(Seen(0, left, now)), number, "poll"))
            continue
        left = quota.take(now)
        polls[0] += 1
        if left is None:  # refused: retry after the window
            reset = (now // WINDOW + 1) * WINDOW
            heapq.heappush(events, (reset + chance.uniform(0.1, 0.6), number, "poll"))
            continue
        if now - start >= simulated.length:
            delays.append(now - start - simulated.length)
            continue
        due = start + waiter.send(Seen(simulated.visible(now - start), left, now))
        heapq.heappush(events, (max(due, now), number, "poll"))
    return Outcome.of(delays, (polls[0] for *_, polls in waits)), quota


def report() -> Iterator[str]:
    """Yield the lines of this benchmark."""
    for partial in (True, False):
        for known in (True, False):
            visible = "rows visible one by one" if partial else "rows visible when the round is complete"
            yield f"{visible}; length of the previous round {'known' if known else 'unknown'}"
            for name, schedule in SCHEDULES.items():
                sets = [
                    simulated_rounds(1, 2000, low, high, partial=partial, known=known)
                    for low, high in ((3, 120), (30, 30), (120, 120))
                ]
                mixed, thirty, long = (alone(schedule, rounds) for rounds in sets)
                yield (
                    f"  {name:12} median {mixed.median:4.1f} s, 95th percentile {mixed.p95:4.1f} s; "
                    f"polls: 30 s {thirty.polls:4.1f}, 120 s {long.polls:4.1f}"
                )
    for longest, runs in ((60, 1), (60, 12), (60, 24), (120, 12), (120, 24)):
        yield f"{runs} runs a minute on separate workers, rounds of 3 to {longest} s, {LIMIT} requests a minute"
        for name, schedule in SCHEDULES.items():
            outcome, quota = together(schedule, simulated_rounds(3, 1500, 3, longest), runs)
            yield (
                f"  {name:13} median {outcome.median:4.1f} s, 95th percentile {outcome.p95:5.1f} s; "
                f"polls {outcome.polls:4.1f}; 429: {quota.refused}; least left at a reset: {quota.least_left}"
            )


def schedules() -> list[Any]:
    """Replay polling schedules on the same simulated rounds of 3 to 120 s.

    The figures are the seconds from the moment at which the last row becomes visible to the poll that sees it. Rows
    become visible one by one or when the round is complete; the length of the previous round is known or not. In the
    last rows, 24 runs a minute with rounds of 3 to 60 s run on workers that share the limit of 240 requests per minute
    and nothing else. Nothing is sent, and no clock is read: the figures are the same on every machine.

    datadog-ci polls at once and then 5 s after each response. Checkly's client has no schedule to replay: it receives
    results over MQTT, which ThousandEyes does not offer. The loop of 5 s polls like datadog-ci, first after 5 s.
    """
    from world import Row

    rows = []
    for partial in (True, False):
        for known in (True, False):
            kind = f"{'row by row' if partial else 'when complete'}, {'known' if known else 'unknown'} length"
            mixed = simulated_rounds(1, 2000, 3, 120, partial=partial, known=known)
            thirty = simulated_rounds(2, 500, 30, 30, partial=partial, known=known)
            adaptive, other, short = alone(ours, mixed), alone(datadog_ci, mixed), alone(ours, thirty)
            rows += [
                Row(
                    f"{kind}: median; 95th percentile (s)",
                    f"{adaptive.median:.1f}; {adaptive.p95:.1f}",
                    f"{other.median:.1f}; {other.p95:.1f} datadog-ci",
                    f"{adaptive.median / other.median:.2f} x",
                    "<= 1.5; <= 4.5",
                    adaptive.median <= 1.5 and adaptive.p95 <= 4.5,
                ),
                Row(
                    f"{kind}: polls in rounds of 30 s",
                    f"{short.polls:.1f}",
                    f"{alone(datadog_ci, thirty).polls:.1f} datadog-ci",
                    "",
                    "<= 9",
                    short.polls <= 9,
                ),
            ]
    busy = simulated_rounds(3, 1500, 3, 60)
    results = {name: together(schedule, busy, 24) for name, schedule in SCHEDULES.items()}
    adaptive, quota = results.pop("adaptive")
    for name, (other, other_quota) in results.items():
        rows += [
            Row(
                "24 runs per minute: median; 95th percentile (s)",
                f"{adaptive.median:.1f}; {adaptive.p95:.1f}",
                f"{other.median:.1f}; {other.p95:.1f} {name}",
                f"{adaptive.median / other.median:.2f} x",
            ),
            Row(
                "24 runs per minute: 429",
                str(quota.refused),
                f"{other_quota.refused} {name}",
                "",
                "0",
                quota.refused == 0,
            ),
        ]
    return rows


if __name__ == "__main__":
    print("\n".join(report()))
