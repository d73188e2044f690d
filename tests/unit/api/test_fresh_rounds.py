"""Rounds of other clients: rows measured before the run call are never judged, and our round is never refused.

The tests use a small model of ThousandEyes with an exact clock. It varies what the documentation leaves open: round
ids, the time in ``Date``, the times in rows, and run calls while another run is in progress.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import event, given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
from thousandeyes_provider.api.rounds import (
    RowOrigin,
    measured_at,
    newest_round,
    row_origin,
    wait_for_next_minute,
)
from thousandeyes_provider.api.run import Plan, RunHandle

TOLERANCE = 1.0
TIMEOUT = 240.0
BASE = 1_790_000_040
"""A whole minute."""


@dataclass(frozen=True)
class Measurement:
    """A row with its true origin."""

    round_id: int
    agent: str
    at: float
    visible_at: float
    ours: bool
    tells_time: bool

    def row(self):
        time = math.floor(self.at) if self.tells_time else self.round_id
        return {
            "roundId": self.round_id,
            "startTime": time,
            "date": datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "agent": {"agentId": self.agent},
            "truth": self,
        }


@dataclass(frozen=True)
class World:
    """Undocumented behavior of ThousandEyes, and the events around our run."""

    minute_ids: bool
    tells_time: bool
    date_at_leaving: bool
    response_time: float
    travel_time: float
    remembered_at: float
    pause_before_call: float
    other_offsets: tuple[float, ...]
    delays: tuple[float, ...]
    publishing: float
    merged: bool
    replaces: bool

    def round_ids(self, starts):
        ids = []
        for start in starts:
            round_id = math.floor(start)
            if self.minute_ids:
                round_id -= round_id % 60
            else:
                while round_id in ids:
                    round_id += 1
            ids.append(round_id)
        return ids

    def measurements(self, our_start):
        starts = [(self.remembered_at + offset, False) for offset in self.other_offsets]
        starts += [] if our_start is None else [(our_start, True)]
        starts.sort()
        for (start, ours), round_id in zip(
            starts, self.round_ids([start for start, _ in starts]), strict=True
        ):
            for agent, delay in enumerate(self.delays):
                # The id of the later of two runs in the same second is the next second.
                at = max(start, round_id) + delay
                yield Measurement(round_id, str(agent), at, at + self.publishing, ours, self.tells_time)

    def shown(self, measurements, now):
        """Return the visible rows. If two runs share a round, the later row of an agent may replace the earlier row."""
        visible = sorted((row for row in measurements if row.visible_at <= now), key=lambda row: row.at)
        if self.replaces:
            visible = {(row.round_id, row.agent): row for row in visible}.values()
        return [row.row() for row in visible]

    def clock_error(self):
        """Return the error of the clock estimate after one earlier response."""
        received = self.remembered_at
        left = received - self.travel_time
        date = math.floor(left if self.date_at_leaving else left - self.response_time)
        return received - date


@dataclass(frozen=True)
class Run:
    """Our run and the result of the wait for its round."""

    sent_at: float
    clock_error: float
    history: tuple[RoundProgress, ...]
    state: WaitState
    measurements: tuple[Measurement, ...]

    @property
    def remembered(self):
        return self.history[-1].newest_remembered()


def run(world):
    """Remember the newest round, send the run call and poll, as the operator does."""
    others = list(world.measurements(None))
    error = world.clock_error()
    now = world.remembered_at
    remembered = newest_round(world.shown(others, now))
    while pause := wait_for_next_minute([remembered], now - error):
        now += pause + 0.1
        remembered = newest_round(world.shown(others, now))
    sent = now + world.pause_before_call
    arrival = sent + world.travel_time
    accepted = arrival + world.response_time + world.travel_time
    measurements = tuple(world.measurements(None if world.merged else arrival))
    plan = Plan(
        test_id="7",
        test_type="http-server",
        account_group_id=None,
        directions={"http-server": (None,)},
        rows_per_agent={"http-server": 1},
        expected=ExpectedAgents.of("test", [Agent(str(agent)) for agent in range(len(world.delays))]),
        remembered={"http-server": remembered},
    )
    handle = RunHandle(plan, sent - error, accepted - error, accepted - error + TIMEOUT, 1)
    progress = RoundProgress.for_run(
        handle,
        now=accepted,
        server_now=accepted - error,
        poll_interval=3.0,
        min_agents=None,
        grace=60.0,
        clock_tolerance=TOLERANCE,
    )
    history, now, state = [], accepted, WaitState.WAITING
    while state is WaitState.WAITING:
        now = progress.next_poll(now)
        progress = progress.poll({"http-server": world.shown(measurements, now)}, now)
        history.append(progress)
        state = progress.state(now)
    return Run(sent, error, tuple(history), state, measurements)


def is_indistinct(row):
    """Return whether a row cannot distinguish two runs in the same minute: all its times repeat a whole-minute id."""
    return row["roundId"] % 60 == 0 and measured_at(row) is None


def shares_its_round(progress):
    """Return whether a whole-minute round has rows from before the run call, so that two runs may share it.

    By our estimate of the clock, a call in the last second of a minute can belong to that round or to the next.
    """
    return any(other.measured_before and other.round_id % 60 == 0 for other in progress.other_rounds)


WORLDS = st.builds(
    World,
    minute_ids=st.booleans(),
    tells_time=st.booleans(),
    date_at_leaving=st.booleans(),
    response_time=st.sampled_from([0.0, 0.3, 2.6]) | st.floats(0, 20),
    travel_time=st.floats(0, 0.4),
    remembered_at=st.floats(BASE, BASE + 60),
    pause_before_call=st.sampled_from([0.0, 0.01]) | st.floats(0, 3),
    other_offsets=st.lists(st.floats(-58, -2) | st.floats(-120, 120), max_size=3).map(tuple),
    delays=st.lists(st.floats(0.1, 45), min_size=1, max_size=3).map(tuple),
    publishing=st.sampled_from([0.0, 4.0, 40.0]),
    merged=st.booleans(),
    replaces=st.booleans(),
)


@settings(max_examples=400)
@given(WORLDS)
def test_a_measurement_from_before_the_run_call_is_never_judged(world):
    ended = run(world)
    for progress in ended.history:
        for row in progress.rows().get("http-server", []):
            if is_indistinct(row):
                # The response cannot distinguish it. The log reports that, unless the minute began with the call.
                assert progress.is_indistinct() or row["roundId"] >= progress.sent_at - TOLERANCE
                continue
            # Times are whole seconds, and one response limits the accuracy of the clock.
            limit = ended.sent_at - ended.clock_error - max(TOLERANCE, 1.0)
            assert row["truth"].at >= limit


@settings(max_examples=400)
@given(WORLDS)
def test_a_round_that_started_before_the_run_call_is_never_judged_by_its_id(world):
    ended = run(world)
    for progress in ended.history:
        for round_id in progress.rounds().values():
            if round_id % 60:
                assert round_id >= ended.sent_at - ended.clock_error - TOLERANCE
            else:
                assert round_id >= (ended.sent_at - ended.clock_error) // 60 * 60


@settings(max_examples=400)
@given(WORLDS)
def test_our_own_round_is_never_refused(world):
    ended = run(world)
    ours = [row for row in ended.measurements if row.ours]
    progress = ended.history[-1]
    if ours and not shares_its_round(progress):
        assert ended.state is WaitState.COMPLETE
    for row in ours:
        origin = row_origin(
            row.row(),
            remembered=progress.newest_remembered(),
            sent_at=progress.sent_at,
            clock_tolerance=TOLERANCE,
        )
        assert origin is RowOrigin.OURS


@settings(max_examples=400)
@given(WORLDS)
def test_a_run_without_a_round_reports_the_reason(world):
    ended = run(world)
    event(ended.state.value)
    if ended.state is WaitState.COMPLETE:
        return
    assert ended.state is WaitState.DEADLINE
    assert world.merged or shares_its_round(ended.history[-1])
    why = ended.history[-1].describe_other_rounds()
    newer = [row.round_id for row in ended.measurements if row.round_id > (ended.remembered or 0)]
    if newer:
        assert "the run call was sent" in why
    else:
        assert "no round" in why


@given(WORLDS.filter(lambda world: world.tells_time), st.floats(1, 59), st.floats(0, 40))
def test_rows_of_another_run_in_our_minute_are_refused(world, seconds, before):
    """Two runs share a whole-minute round: its rows are separated by their times."""
    start = BASE + seconds - before
    if start < BASE or world.publishing <= 0:
        return
    sent_at = BASE + seconds
    rows = [Measurement(BASE, "0", start + delay, 0.0, False, True).row() for delay in world.delays]
    progress = RoundProgress(
        rows_per_agent={"http-server": 1},
        remembered={"http-server": BASE - 60},
        sent_at=sent_at,
        expected=ExpectedAgents.of("test", [Agent("0")]),
        deadline=TIMEOUT,
    ).poll({"http-server": rows}, 1.0)
    early = [row for row in rows if BASE < row["startTime"] < math.floor(sent_at)]
    judged = progress.rows().get("http-server", [])
    assert not [row for row in early if row in judged]
    assert bool(early) == ("measured before the run call was sent" in progress.describe_other_rounds())
