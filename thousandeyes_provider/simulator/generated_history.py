"""A realistic history of a scheduled test: several weeks of rounds generated from a seed.

Rows are not stored. The first read generates a series of factors and states for each agent. The values of a row are
generated when a page with the row is read.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from random import Random
from typing import Any

from thousandeyes_provider.simulator.conditions import Condition
from thousandeyes_provider.simulator.simulated_rounds import Round
from thousandeyes_provider.simulator.validators import check_number, check_whole

DAY = 86_400
INTERVALS = (60, 120, 300, 600, 900, 1800, 3600)
AHEAD = DAY
"""Seconds after its creation for which a history continues."""

_OK, _ERROR, _MISSING = range(3)


@dataclass(frozen=True)
class HistoryTraits:
    """Traits of a generated history.

    :param days: length in days before now, 0.1 to 60.
    :param interval: seconds between rounds: 60, 120, 300, 600, 900, 1800 or 3600.
    :param seed: seed of the random generator. The same seed gives the same history.
    :param daily_swing: slowdown at the busiest hour compared with the quietest one; 0.3 is 30 %. The busiest hour of an
        agent follows its longitude.
    :param noise: standard deviation of the logarithm of a random factor of each measurement.
    :param slow_agents: number of agents that are slower than the others throughout.
    :param slow_factor: slowdown factor of these agents.
    :param tail_share: share of measurements that take several times as long.
    :param tail_factor: typical factor of these measurements.
    :param error_share: share of measurements that fail independently of outages.
    :param missing_share: share of measurements that are never reported.
    :param outages: number of outages, in which all or most agents fail for one to six rounds.
    :param dead_agents: number of agents that stop reporting permanently in the second half.
    :param release_at: fraction of the period at which a release makes everything slower; ``None``: no release.
    :param release_factor: factor after the release.
    :raises ValueError: for a value out of range.
    """

    days: float = 14.0
    interval: int = 300
    seed: int = 0
    daily_swing: float = 0.3
    noise: float = 0.08
    slow_agents: int = 1
    slow_factor: float = 1.8
    tail_share: float = 0.01
    tail_factor: float = 4.0
    error_share: float = 0.001
    missing_share: float = 0.002
    outages: int = 2
    dead_agents: int = 1
    release_at: float | None = 0.7
    release_factor: float = 1.25

    def __post_init__(self) -> None:
        check_number("days", self.days, 0.1)
        if self.days > 60:
            raise ValueError(f"days must be at most 60, got {self.days!r}")
        if self.interval not in INTERVALS:
            known = ", ".join(map(str, INTERVALS))
            raise ValueError(f"interval must be one of {known}, got {self.interval!r}")
        check_whole("seed", self.seed)
        for name in ("slow_agents", "outages", "dead_agents"):
            check_whole(name, getattr(self, name), 0)
        for name in ("daily_swing", "noise", "tail_share", "error_share", "missing_share"):
            check_number(name, getattr(self, name), 0)
        for name in ("slow_factor", "tail_factor", "release_factor"):
            check_number(name, getattr(self, name), 0.01)
        shares = self.tail_share + self.error_share + self.missing_share
        if shares > 1:
            raise ValueError(
                f"tail_share, error_share and missing_share must add up to at most 1, got {shares:g}"
            )
        if self.release_at is not None:
            check_number("release_at", self.release_at, 0)


TRAIT_NAMES = tuple(trait.name for trait in fields(HistoryTraits))


@dataclass(frozen=True)
class Outage:
    """Consecutive rounds in which agents fail.

    :param first: index of its first round.
    :param last: index of its last round.
    :param agents: ids of the agents that fail.
    """

    first: int
    last: int
    agents: frozenset[str]


@dataclass(frozen=True)
class HistorySummary:
    """Contents of a generated history, for tests that compare it with their findings.

    :param first_round_id: id of its first round.
    :param last_round_id: id of the last round before the history was added.
    :param outages: first and last round id, and the ids of the agents that fail.
    :param slow_agents: ids of the agents that are slow throughout.
    :param dead_agents: agent id to the id of the first round without it.
    :param release: id of the first round after the release; ``None``: no release.
    """

    first_round_id: int
    last_round_id: int
    outages: tuple[tuple[int, int, frozenset[str]], ...]
    slow_agents: tuple[str, ...]
    dead_agents: Mapping[str, int]
    release: int | None


class GeneratedHistory:
    """The rounds of a history.

    :param test_id: the test; its id is part of the seed.
    :param agents: id and longitude of its agents.
    :param clock: the simulator's clock when the history is added.
    :param clock_offset: seconds by which that clock is ahead of the real one.
    :param traits: what happens.
    """

    def __init__(
        self,
        test_id: str,
        agents: Mapping[str, float],
        clock: float,
        clock_offset: float,
        traits: HistoryTraits,
    ) -> None:
        self.traits = traits
        self.agents = tuple(agents)
        self._longitudes = agents
        self._seed = f"{traits.seed}|{test_id}|history"
        self._clock_offset = clock_offset
        last = math.floor(clock / traits.interval)
        self._past = math.floor(traits.days * DAY / traits.interval)
        self._first_id = (last - self._past + 1) * traits.interval
        self._count = self._past + AHEAD // traits.interval
        self._series: dict[str, tuple[array[float], bytearray]] = {}

    def summary(self) -> HistorySummary:
        """Return the contents of the history."""
        release = self._release
        return HistorySummary(
            self._first_id,
            self.id_of(self._past - 1),
            tuple(
                (self.id_of(outage.first), self.id_of(outage.last), outage.agents) for outage in self._outages
            ),
            self._slow,
            {agent_id: self.id_of(index) for agent_id, index in self._deaths.items()},
            self.id_of(release) if release < self._past else None,
        )

    def between(self, first: float, last: float) -> list[Round]:
        """Return the rounds with ids in a period, the oldest first."""
        low = max(math.ceil((first - self._first_id) / self.traits.interval), 0)
        high = min(math.floor((last - self._first_id) / self.traits.interval), self._count - 1)
        return [GeneratedRound(self, index) for index in range(low, high + 1)]

    def newest(self, clock: float, count: int = 3) -> list[Round]:
        """Return the last rounds that began before ``clock``, the oldest first."""
        return self.between(clock - count * self.traits.interval, clock)

    def factor(self, agent_id: str, index: int) -> float:
        """Return by how much the agent's measurement is slower than usual."""
        return self._series_of(agent_id)[0][index]

    def fails(self, agent_id: str, index: int) -> bool:
        """Return whether the agent's measurement fails."""
        return self._series_of(agent_id)[1][index] == _ERROR

    def reports(self, agent_id: str, index: int) -> bool:
        """Return whether the agent reports."""
        return self._series_of(agent_id)[1][index] != _MISSING

    def offset(self, agent_id: str) -> float:
        """Return the seconds from the start of a round until the agent's rows land."""
        return self._offsets[agent_id]

    def id_of(self, index: int) -> int:
        """Return the id of a round."""
        return self._first_id + index * self.traits.interval

    def started(self, index: int) -> float:
        """Return the start of a round in real epoch seconds."""
        return self.id_of(index) - self._clock_offset

    @cached_property
    def _offsets(self) -> dict[str, float]:
        limit = min(self.traits.interval * 0.6, 180.0)
        return {
            agent_id: Random(f"{self._seed}|{agent_id}|offset").uniform(2.0, limit)
            for agent_id in self.agents
        }

    @cached_property
    def _shuffled(self) -> list[str]:
        shuffled = list(self.agents)
        Random(f"{self._seed}|roles").shuffle(shuffled)
        return shuffled

    @property
    def _slow(self) -> tuple[str, ...]:
        return tuple(self._shuffled[: self.traits.slow_agents])

    @cached_property
    def _deaths(self) -> dict[str, int]:
        """Agent to the index of the first round without it. One agent at least stays alive."""
        figures = Random(f"{self._seed}|deaths")
        dying = self._shuffled[::-1][: min(self.traits.dead_agents, len(self.agents) - 1)]
        return {agent_id: round(self._past * figures.uniform(0.55, 0.9)) for agent_id in dying}

    @property
    def _release(self) -> int:
        fraction = self.traits.release_at
        return self._count if fraction is None else round(self._past * fraction)

    @cached_property
    def _outages(self) -> list[Outage]:
        figures = Random(f"{self._seed}|outages")
        outages = []
        for _ in range(self.traits.outages):
            first = figures.randrange(self._past)
            last = min(first + figures.randrange(6), self._past - 1)
            share = figures.choice((1.0, 0.6))
            affected = figures.sample(self.agents, max(round(len(self.agents) * share), 1))
            outages.append(Outage(first, last, frozenset(affected)))
        return sorted(outages, key=lambda outage: outage.first)

    def _series_of(self, agent_id: str) -> tuple[array[float], bytearray]:
        """Return factor and state of the agent in each round."""
        if agent_id not in self._series:
            self._series[agent_id] = self._make_series(agent_id)
        return self._series[agent_id]

    def _make_series(self, agent_id: str) -> tuple[array[float], bytearray]:
        traits, figures = self.traits, Random(f"{self._seed}|{agent_id}")
        base = traits.slow_factor if agent_id in self._slow else 1.0
        lag = self._longitudes[agent_id] / 360 * DAY
        factors, states = array("d"), bytearray(self._count)
        error = traits.error_share
        missing = error + traits.missing_share
        tail = missing + traits.tail_share
        for index in range(self._count):
            # The quietest hour is 3 a.m. local solar time.
            phase = ((self.id_of(index) + lag) % DAY / DAY - 3 / 24) * 2 * math.pi
            factor = base * (1 + traits.daily_swing * (1 - math.cos(phase)) / 2)
            factor *= math.exp(figures.gauss(0.0, traits.noise))
            if index >= self._release:
                factor *= traits.release_factor
            chance = figures.random()
            if chance < error:
                states[index] = _ERROR
            elif chance < missing:
                states[index] = _MISSING
            elif chance < tail:
                factor *= traits.tail_factor * math.exp(figures.gauss(0.0, 0.5))
            factors.append(factor)
        for outage in self._outages:
            if agent_id in outage.agents:
                for index in range(outage.first, outage.last + 1):
                    states[index] = _ERROR
        for index in range(self._deaths.get(agent_id, self._count), self._count):
            states[index] = _MISSING
        return factors, states


class GeneratedRound(Round):
    """A round of a generated history.

    :param history: its history.
    :param index: its position in the history.
    """

    def __init__(self, history: GeneratedHistory, index: int) -> None:
        self._history = history
        self._index = index
        self.number = -1 - index
        self.started = history.started(index)
        self.began = float(history.id_of(index))
        self.round_id = int(self.began)
        self.agents = history.agents

    def landing(self, agent_id: str, result_type: str) -> float | None:
        if not self._history.reports(agent_id, self._index):
            return None
        return self.started + self._history.offset(agent_id)

    def fails(self, agent_id: str, result_type: str) -> bool:
        return self._history.fails(agent_id, self._index)

    def condition(self, agent_id: str, result_type: str) -> Condition | None:
        return Condition("slow", self._history.factor(agent_id, self._index))

    def target_condition(self, host: str) -> Any:
        return None
