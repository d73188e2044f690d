"""The progress of a round: which rows have arrived, whether they are enough, and when to poll again.

:class:`RoundProgress` takes the rows of each poll and the time, and returns the next state. It sends nothing, never
sleeps and reads no clock, so worker and triggerer wait by the same rules.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

from thousandeyes_provider.api.coerce import join_truncated, number, whole_number
from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents, agent_of, is_among
from thousandeyes_provider.api.poll_schedule import Arrivals, PollSchedule, QuotaPace
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.api.rounds import (
    ROUND_CLOCK_TOLERANCE,
    RowOrigin,
    measured_at,
    round_of,
    row_content,
    row_key,
    row_origin,
)
from thousandeyes_provider.api.run import RunHandle

RowKey = tuple[int, tuple[str, ...]]
"""The round id of a row, and what distinguishes the row from the other rows of that round."""

QUIET_PERIOD = 60.0
"""Seconds without a new row after which a round of unknown agents counts as complete."""

MAX_OTHER_ROUNDS = 20
"""Rounds of other runs that are remembered for the log and the error."""

MAX_ARRIVAL_TIMES = 50
"""Agents whose arrival times a :class:`TriggerSighting` carries; the event is logged in full."""


class WaitState(Enum):
    """The state of a wait."""

    WAITING = "waiting"
    COMPLETE = "complete"
    """Every expected row has arrived."""
    ENOUGH = "enough"
    """``min_agents`` have reported, and the grace time for the others is over."""
    QUIET = "quiet"
    """The expected rows are unknown, all known agents have reported, and no row has arrived for the quiet period."""
    DEADLINE = "deadline"
    """The deadline has passed."""


class OtherRound(NamedTuple):
    """A round, or a part of one, that another run produced.

    :param measured_before: ``False``: the round started before our run call was sent; ``True``: the round can be ours,
        but these rows were measured before the call was sent.
    """

    round_id: int
    measured_before: bool

    def describe(self, rows: int) -> str:
        """Describe it for the log.

        :param rows: maximum number of its rows in one poll.
        """
        what = f"round {self.round_id} ({iso_time(self.round_id)})"
        if self.measured_before:
            return f"{rows} row{'s'[: rows != 1]} of {what}, measured before the run call was sent"
        return f"{what}, started before the run call was sent"


@dataclass(frozen=True)
class TriggerSighting:
    """The rows of a round that a trigger has seen. The resumed worker must judge at least these.

    :param rounds: our round of each result type.
    :param rows: number of rows of that round, by result type.
    :param arrived_after: seconds from the run call to the last row of an agent, by agent key.
    """

    rounds: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    arrived_after: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The sighting as a small JSON object."""
        return {
            "rounds": dict(self.rounds),
            "rows": dict(self.rows),
            "arrived_after": dict(list(self.arrived_after.items())[:MAX_ARRIVAL_TIMES]),
        }

    @classmethod
    def from_json(cls, value: Any) -> TriggerSighting:
        """The sighting that :meth:`to_json` returned.

        :raises ValueError: for an invalid value, with the reason.
        """
        value = {} if value is None else value
        if not isinstance(value, Mapping):
            raise ValueError(f"the sighting of the trigger must be an object, got {type(value).__name__}")
        figures: dict[str, dict[str, Any]] = {}
        for name, read in (("rounds", whole_number), ("rows", whole_number), ("arrived_after", number)):
            entries = value.get(name) or {}
            if not isinstance(entries, Mapping) or any(read(entry) is None for entry in entries.values()):
                raise ValueError(
                    f"{name} of the trigger's sighting must be an object of numbers, got {entries!r}"
                )
            figures[name] = {str(key): read(entry) for key, entry in entries.items()}
        return cls(**figures)


@dataclass(frozen=True)
class RoundProgress:
    """The progress of one round.

    Times are seconds on one monotonic clock, except ``sent_at``.

    :param rows_per_agent: the result types to wait for, with the rows per agent (``None``: unknown).
    :param remembered: the newest round of each result type before the run.
    :param sent_at: when the run call was sent, epoch seconds by ThousandEyes' clock, as a lower bound.
    :param expected: the agents that should report.
    :param started: ``sent_at`` on the clock of the other times.
    :param min_agents: number of expected agents that are sufficient; ``None``: all.
    :param grace: seconds to wait for the others after that.
    :param clock_tolerance: seconds that the id of our round may be before ``sent_at``.
    :param sighting: the rows that the trigger saw before this process took over.
    :param seen: the fresh rows so far, by result type and key. Rows of one key that differ in one response all count.
    :param other_rounds: newer rounds of other runs that were seen, with the rows of each that one poll had at most.
    :param first_seen: when each row was seen first, by result type and key.
    :param last_news: when a new row was last seen.
    :param last_response: when the results of every type were last read.
    :param enough_since: since when ``min_agents`` have reported.
    """

    rows_per_agent: Mapping[str, int | None]
    remembered: Mapping[str, int | None]
    sent_at: float
    expected: ExpectedAgents
    deadline: float
    schedule: PollSchedule = field(default_factory=PollSchedule)
    started: float = 0.0
    min_agents: int | None = None
    grace: float = 60.0
    clock_tolerance: float = ROUND_CLOCK_TOLERANCE
    sighting: TriggerSighting = field(default_factory=TriggerSighting)
    seen: Mapping[str, Mapping[RowKey, tuple[Row, ...]]] = field(default_factory=dict)
    other_rounds: Mapping[OtherRound, int] = field(default_factory=dict)
    first_seen: Mapping[tuple[str, RowKey], float] = field(default_factory=dict)
    last_news: float | None = None
    last_response: float | None = None
    enough_since: float | None = None

    @classmethod
    def for_run(
        cls,
        run: RunHandle,
        *,
        now: float,
        server_now: float,
        poll_interval: float | None = None,
        min_agents: int | None = None,
        grace: float = 60.0,
        deadline: float | None = None,
        clock_tolerance: float = ROUND_CLOCK_TOLERANCE,
        sighting: TriggerSighting | None = None,
    ) -> RoundProgress:
        """The progress of the round of a run, before the first poll.

        :param now: the time, by the clock that the other methods are called with.
        :param server_now: the same moment by ThousandEyes' clock.
        :param poll_interval: seconds between two polls; ``None`` for the adaptive schedule.
        :param deadline: when the wait ends, by the clock of ``now``; that of the run when ``None``.
        :param sighting: the rows that a trigger has seen.
        """
        return cls(
            rows_per_agent=run.plan.rows_per_agent,
            remembered=run.plan.remembered,
            sent_at=run.sent_at,
            expected=run.plan.expected,
            deadline=now + run.deadline - server_now if deadline is None else deadline,
            started=now + run.sent_at - server_now,
            schedule=PollSchedule(poll_interval, run.plan.round_length),
            min_agents=min_agents,
            grace=grace,
            clock_tolerance=clock_tolerance,
            sighting=sighting or TriggerSighting(),
        )

    # -- polls ---------------------------------------------------------------------------------------------------

    def poll(self, responses: Mapping[str, Iterable[Row]], now: float) -> RoundProgress:
        """The progress after a poll. A row replaces those that an earlier poll returned for the same key.

        :param responses: the rows of each result type that was read, fresh or not.
        """
        seen, first_seen, others = dict(self.seen), dict(self.first_seen), dict(self.other_rounds)
        for result_type, rows in responses.items():
            fresh, foreign = self._sorted_by_origin(result_type, rows)
            seen[result_type] = {**seen.get(result_type, {}), **fresh}
            for other, count in foreign.items():
                others[other] = max(others.get(other, 0), count)
            for key in fresh:
                first_seen.setdefault((result_type, key), now)
        newest = dict(sorted(others.items())[-MAX_OTHER_ROUNDS:])
        after = replace(self, seen=seen, first_seen=first_seen, other_rounds=newest)
        enough = self.min_agents is not None and after._expected_and_reported() >= self.min_agents
        enough = enough and after.covers_sighting()
        return replace(
            after,
            last_news=now if after._our_keys() != self._our_keys() else self.last_news,
            last_response=now if self.rows_per_agent.keys() <= responses.keys() else self.last_response,
            enough_since=(self.enough_since if self.enough_since is not None else now) if enough else None,
        )

    def _sorted_by_origin(
        self, result_type: str, rows: Iterable[Row]
    ) -> tuple[dict[RowKey, tuple[Row, ...]], Counter[OtherRound]]:
        """The fresh rows of one response by key, and how many rows of each newer round belong to other runs."""
        remembered = self.newest_remembered()
        fresh: dict[RowKey, list[Row]] = {}
        foreign: Counter[OtherRound] = Counter()
        for row in rows:
            origin = row_origin(
                row, remembered=remembered, sent_at=self.sent_at, clock_tolerance=self.clock_tolerance
            )
            round_id = round_of(row)
            if round_id is None or origin is RowOrigin.PREVIOUS:
                continue
            if origin is RowOrigin.OURS:
                fresh.setdefault((round_id, _key_in_round(result_type, row)), []).append(row)
            else:
                foreign[OtherRound(round_id, origin is RowOrigin.OTHER_MEASUREMENT)] += 1
        return {key: _distinct(same_key) for key, same_key in fresh.items()}, foreign

    # -- our round -----------------------------------------------------------------------------------------------

    def newest_remembered(self) -> int | None:
        """The newest round before the run, of any result type. That round and older ones are not ours."""
        return max((round_id for round_id in self.remembered.values() if round_id is not None), default=None)

    def rounds(self) -> dict[str, int]:
        """Our round of each result type: the earliest fresh one.

        Where the remembered round has one id in all result types, so has ours: then a later round of another run is not
        taken for ours in a type in which ours has no rows yet. The same holds for the round that a trigger has seen.
        """
        return dict(self._tally.rounds)

    def rows(self) -> dict[str, list[Row]]:
        """The rows of our round, by result type."""
        return {result_type: self._tally.rows_of(result_type) for result_type in self._tally.keys}

    def reported(self) -> tuple[Agent, ...]:
        """The agents with every row that is expected of an agent."""
        tally = self._tally
        return tuple(agent for key, agent in tally.agents.items() if key in tally.reported)

    def missing(self) -> tuple[Agent, ...]:
        """The expected agents, where they are listed, that have not reported every row."""
        return self._tally.missing

    def missing_rows(self) -> dict[Agent, str]:
        """Which rows of the missing agents have not arrived, for example ``http-server 0 of 1``.

        Agents without any row are left out.
        """
        arrived: Counter[tuple[str, str, str]] = Counter()
        for name, rows in self._tally.keys.items():
            for row, *_ in rows.values():
                agent = agent_of(row)
                arrived[name, "id", agent.agent_id] += 1
                arrived[name, "name", agent.folded_name()] += 1
        described: dict[Agent, str] = {}
        for agent in self.missing():
            known_as = ("id", agent.agent_id) if agent.agent_id else ("name", agent.folded_name())
            counts = {name: arrived[name, *known_as] for name in self.rows_per_agent}
            if any(counts.values()):
                described[agent] = ", ".join(
                    f"{name} {counts[name]} of {needed or 1}"
                    for name, needed in self.rows_per_agent.items()
                    if counts[name] < (needed or 1)
                )
        return described

    def arrived_after(self) -> dict[str, float]:
        """Seconds from the run call until the last row of each agent of our round was seen first, by agent key.

        For the agents that a trigger saw, the times are those of the trigger.
        """
        arrived: dict[str, float] = {}
        for name, round_id in self.rounds().items():
            for key in self._tally.keys[name]:
                after = round(max(self.first_seen[name, (round_id, key)] - self.started, 0.0), 1)
                arrived[key[0]] = max(arrived.get(key[0], 0.0), after)
        known = {key: after for key, after in self.sighting.arrived_after.items() if key in arrived}
        return {**arrived, **known}

    def to_sighting(self) -> TriggerSighting:
        """Return the rows that the next process must see at least, including those of an earlier trigger."""
        before, rounds = self.sighting, {**self.sighting.rounds, **self.rounds()}
        rows = {name: len(self._tally.keys[name]) for name in self.rounds()}
        for name, count in before.rows.items():
            if rounds.get(name) == before.rounds.get(name):
                rows[name] = max(rows.get(name, 0), count)
        return TriggerSighting(rounds, rows, {**before.arrived_after, **self.arrived_after()})

    def covers_sighting(self) -> bool:
        """Whether this process has seen every row of our round that the trigger had seen."""
        rounds, keys = self.rounds(), self._tally.keys
        return all(
            name in rounds and (rounds[name] < round_id or len(keys[name]) >= self.sighting.rows.get(name, 0))
            for name, round_id in self.sighting.rounds.items()
        )

    # -- the state -----------------------------------------------------------------------------------------------

    def has_known_extent(self) -> bool:
        """Whether it is known which rows a complete round has."""
        return self.expected.count is not None and None not in self.rows_per_agent.values()

    def is_complete(self) -> bool:
        """Whether every expected row has arrived."""
        return (
            self.has_known_extent()
            and bool(self.rounds())
            and self._everybody_reported()
            and self.covers_sighting()
        )

    def state(self, now: float) -> WaitState:
        """The state right after a poll."""
        if self.is_complete():
            return WaitState.COMPLETE
        if self.enough_since is not None and now >= self.enough_since + self.grace:
            return WaitState.ENOUGH
        # A failed poll brings nothing new either, but it does not show that nothing has arrived.
        if self._quiet_at() <= (-math.inf if self.last_response is None else self.last_response):
            return WaitState.QUIET
        return WaitState.DEADLINE if now >= self.deadline else WaitState.WAITING

    def resumed_state(self, trigger_state: WaitState | None, now: float) -> WaitState:
        """The state of the worker that polled once after a deferral.

        The worker cannot observe the grace time or the quiet period again. It accepts both from the trigger, provided
        that it has seen what the trigger saw.

        :param trigger_state: how the trigger's wait ended; ``None`` when that is unknown.
        """
        state = self.state(now)
        if state not in (WaitState.WAITING, WaitState.DEADLINE):
            return state
        confirmed = {
            WaitState.ENOUGH: self.enough_since is not None,
            WaitState.QUIET: bool(self.rounds()) and self.covers_sighting(),
        }
        if trigger_state is not None and confirmed.get(trigger_state):
            return trigger_state
        return WaitState.DEADLINE if trigger_state is WaitState.DEADLINE else state

    def next_poll(self, now: float, pace: QuotaPace | None = None) -> float:
        """When to poll again: by the schedule, but not after the deadline or the end of a period.

        :param pace: the pace that the quota allows; no limit when ``None``.
        """
        due = now + self.schedule.seconds(self._arrivals(now), pace)
        turning_points = [self.deadline, self._quiet_at()]
        if self.enough_since is not None:
            turning_points.append(self.enough_since + self.grace)
        if now >= self.deadline:
            return now
        return min([due, *(point for point in turning_points if point > now)])

    def _arrivals(self, now: float) -> Arrivals:
        missing = None
        if self.expected.count is not None:
            missing = max(self.expected.count - self._expected_and_reported(), 0)
        quiet = 0.0 if self.last_news is None else now - self.last_news
        return Arrivals(now - self.started, len(self._tally.agents), missing, quiet)

    # -- the log -------------------------------------------------------------------------------------------------

    def describe_news(self, before: RoundProgress) -> tuple[str, ...]:
        """Return log lines about the news of a poll: agents that reported, and rounds of other runs.

        :param before: the progress before that poll.
        """
        lines = [
            f"Ignoring {other.describe(rows)}: another run of this test"
            for other, rows in self.other_rounds.items()
            if other not in before.other_rounds
        ]
        if self.is_indistinct() and not before.is_indistinct():
            round_id = min(self.rounds().values())
            lines.append(
                f"Round {round_id} ({iso_time(round_id)}): the id is a whole minute and the rows have no other time, "
                "so an earlier run of this test in that minute cannot be told apart"
            )
        had, have = before._tally, self._tally
        if have.agents.keys() != had.agents.keys() or have.reported != had.reported:
            lines.append(
                self._describe_agents([have.agents[key] for key in have.agents if key not in had.agents])
            )
        return tuple(lines)

    def is_indistinct(self) -> bool:
        """Whether our round looks like a run that others started earlier in the same minute.

        That is so when its id is the whole minute of the run call, and a row of it repeats the id as its only time.
        """
        return any(
            round_id % 60 == 0 and round_id < self.sent_at - self.clock_tolerance and measured_at(row) is None
            for name, round_id in self.rounds().items()
            for row in self._tally.rows_of(name)
        )

    def describe_other_rounds(self) -> str:
        """The three newest rounds that are not ours, for the evidence of an inconclusive run.

        Empty when our round has rows and ThousandEyes shows nothing of other runs.
        """
        if self.other_rounds:
            newest = [other.describe(rows) for other, rows in self.other_rounds.items()][-3:]
            more = len(self.other_rounds) - len(newest)
            return "; ".join([*newest, *([f"and {more} more"] if more else [])])
        if self.rounds():
            return ""
        remembered = self.newest_remembered()
        if remembered is None:
            return "no round at all"
        return f"no round newer than {remembered} ({iso_time(remembered)}), from before the run call"

    def _describe_agents(self, new: Sequence[Agent]) -> str:
        reported, missing = self._expected_and_reported(), self.missing()
        of = "" if self.expected.count is None else f" of {self.expected.count}"
        noun = "agent" if (self.expected.count or reported) == 1 else "agents"
        line = f"{reported}{of} {noun} reported"
        line += f" (new: {join_truncated(list(map(str, new)))})" if new else ""
        return line + (f"; missing: {join_truncated(list(map(str, missing)))}" if missing else "")

    # -- counting ------------------------------------------------------------------------------------------------

    @cached_property
    def _tally(self) -> _Tally:
        return _Tally.of(self)

    def _our_rounds(self) -> dict[str, int]:
        rounds = {}
        # Runs share a round only where its id is a whole minute. Any other round with an early measurement is not ours.
        started = {
            other.round_id for other in self.other_rounds if other.measured_before and other.round_id % 60
        }
        for result_type, rows in sorted(self.seen.items()):
            sighted = self.sighting.rounds.get(result_type, math.inf)
            candidates = [round_id for round_id, _ in rows if round_id <= sighted and round_id not in started]
            if candidates:
                rounds[result_type] = min(candidates)
        remembered = {self.remembered.get(result_type) for result_type in self.rows_per_agent}
        if len(remembered) == 1 and None not in remembered and rounds:
            ours = min(rounds.values())
            rounds = {name: round_id for name, round_id in rounds.items() if round_id == ours}
        return rounds

    def _our_keys(self) -> set[tuple[str, RowKey]]:
        rounds = self.rounds()
        return {(name, (rounds[name], key)) for name, keys in self._tally.keys.items() for key in keys}

    def _expected_and_reported(self) -> int:
        """How many of the expected agents have reported; of all agents, where the expected ones are not listed."""
        if self.expected.agents:
            return len(self.expected.agents) - len(self.missing())
        return len(self._tally.reported)

    def _everybody_reported(self) -> bool:
        """Whether no expected agent is missing, as far as the expected agents are known."""
        if self.expected.agents:
            return not self.missing()
        if self.expected.count is None:
            return len(self._tally.reported) == len(self._tally.agents) > 0
        return len(self._tally.reported) >= self.expected.count

    def _quiet_at(self) -> float:
        """When the quiet period ends if no new row arrives; infinite when the period does not apply."""
        if self.has_known_extent() or self.last_news is None or not self.rounds():
            return math.inf
        if set(self.rounds()) != set(self.rows_per_agent) or not self._everybody_reported():
            return math.inf
        return self.last_news + QUIET_PERIOD if self.covers_sighting() else math.inf


@dataclass(frozen=True)
class _Tally:
    """The rows of our round, counted once for each progress.

    :param rounds: our round of each result type.
    :param keys: its rows by key, by result type.
    :param agents: every agent with a row, by agent key.
    :param reported: the keys of the agents with every expected row.
    :param missing: the expected agents that are listed and have not reported.
    """

    rounds: Mapping[str, int]
    keys: Mapping[str, Mapping[tuple[str, ...], tuple[Row, ...]]]
    agents: Mapping[str, Agent]
    reported: frozenset[str]
    missing: tuple[Agent, ...]

    @classmethod
    def of(cls, progress: RoundProgress) -> _Tally:
        rounds = progress._our_rounds()
        keys: dict[str, dict[tuple[str, ...], tuple[Row, ...]]] = {}
        spellings: dict[str, list[Agent]] = {}
        counts: Counter[tuple[str, str]] = Counter()
        for result_type, round_id in rounds.items():
            keys[result_type] = {
                key: same_key for (at, key), same_key in progress.seen[result_type].items() if at == round_id
            }
            for (agent_key, *_), (row, *_) in keys[result_type].items():
                spellings.setdefault(agent_key, []).append(agent_of(row))
                counts[result_type, agent_key] += 1
        reported = frozenset(
            agent_key
            for agent_key in spellings
            if all(
                counts[result_type, agent_key] >= (needed or 1)
                for result_type, needed in progress.rows_per_agent.items()
            )
        )
        has_reported = is_among(agent for key in reported for agent in spellings[key])
        missing = tuple(agent for agent in progress.expected.agents if not has_reported(agent))
        agents = {key: spelled[0] for key, spelled in spellings.items()}
        return cls(rounds, keys, agents, reported, missing)

    def rows_of(self, result_type: str) -> list[Row]:
        """The rows of our round of a result type."""
        return [row for same_key in self.keys[result_type].values() for row in same_key]


def _key_in_round(result_type: str, row: Row) -> tuple[str, ...]:
    """What distinguishes a row from the others of its round.

    Rows without an agent are distinguished by their content. Under one empty key the last would hide the others.
    """
    key = row_key(result_type, row)
    return key if key[0] else (*key, *row_content(row))


def _distinct(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows of one key, each content once."""
    if len(rows) == 1:
        return tuple(rows)
    return tuple({row_content(row): row for row in rows}.values())
