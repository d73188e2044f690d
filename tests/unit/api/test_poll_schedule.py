"""Polling schedule: dense while agents arrive, never after the deadline, never beyond the reserved quota."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.schedule import alone, fixed_10, ours, simulated_rounds, together
from thousandeyes_provider.api.poll_schedule import Arrivals, PollSchedule, QuotaPace
from thousandeyes_provider.api.rate_limits import RateLimit

NOW = 1_790_000_000.0
ADAPTIVE = PollSchedule()

AGES = st.floats(0, 5_000)
LENGTHS = st.none() | st.floats(0.1, 600)
LOADS = st.floats(0, 5)


def quota(remaining, *, lasts=30.0, limit=240.0):
    return RateLimit("organization", limit, remaining, NOW + lasts)


def after(limit, *, pace=None, requests=1, reserved=0.2, now=NOW):
    pace = pace or QuotaPace()
    return pace.after_response(limit, server_now=now, requests=requests, reserved_share=reserved)


class TestAdaptiveSchedule:
    @given(AGES, LENGTHS, st.integers(0, 20), st.none() | st.integers(0, 20), AGES)
    def test_interval_is_between_2_and_10_s(self, age, length, reported, missing, quiet):
        seconds = PollSchedule(round_length=length).seconds(Arrivals(age, reported, missing, quiet))
        assert 2 <= seconds <= 10

    @given(AGES, LENGTHS, st.integers(1, 20), st.none() | st.integers(1, 20))
    def test_an_arriving_agent_never_lengthens_the_interval(self, age, length, reported, missing):
        schedule = PollSchedule(round_length=length)
        before, arrived = Arrivals(age), Arrivals(age, reported, missing, 0.0)
        assert schedule.seconds(arrived) <= schedule.seconds(before)

    @given(AGES, st.integers(1, 20), st.integers(2, 20), st.floats(0, 10))
    def test_the_last_agent_shortens_the_interval(self, age, reported, missing, quiet):
        assert ADAPTIVE.seconds(Arrivals(age, reported, 1, quiet)) == 2
        assert ADAPTIVE.seconds(Arrivals(age, reported, 1, quiet)) < ADAPTIVE.seconds(
            Arrivals(min(age, 29), reported, missing, quiet)
        )

    @given(AGES, st.integers(1, 20), st.integers(1, 20), AGES, AGES)
    def test_silence_never_shortens_the_interval(self, age, reported, missing, first, second):
        first, second = sorted((first, second))
        assert ADAPTIVE.seconds(Arrivals(age, reported, missing, first)) <= ADAPTIVE.seconds(
            Arrivals(age, reported, missing, second)
        )

    def test_a_silent_agent_is_polled_every_10_s(self):
        assert ADAPTIVE.seconds(Arrivals(300, 4, 1, 60)) == 10
        assert ADAPTIVE.seconds(Arrivals(400)) == 10

    def test_known_round_is_polled_densely_around_its_end(self):
        schedule = PollSchedule(round_length=60)
        assert schedule.seconds(Arrivals(10)) == 4.4
        assert schedule.seconds(Arrivals(51)) == 3.0
        assert {schedule.seconds(Arrivals(age)) for age in (54, 60, 80)} == {2}
        assert schedule.seconds(Arrivals(84)) == ADAPTIVE.seconds(Arrivals(84))


class TestFixedInterval:
    @given(st.floats(0.1, 600), AGES, st.integers(0, 9), LOADS)
    def test_a_fixed_interval_ignores_arrivals_and_load(self, interval, age, reported, load):
        assert PollSchedule(interval).seconds(Arrivals(age, reported), QuotaPace(load=load)) == interval

    def test_the_reserved_share_lengthens_a_fixed_interval(self):
        assert PollSchedule(5.0).seconds(Arrivals(1), QuotaPace(least=30.0)) == 30


class TestQuota:
    @given(AGES, st.integers(0, 9), LOADS, st.floats(0, 600))
    def test_the_interval_is_never_shorter_than_the_quota_requires(self, age, reported, load, least):
        arrivals = Arrivals(age, reported, 1)
        seconds = ADAPTIVE.seconds(arrivals, QuotaPace(least, load))
        assert seconds >= max(least, ADAPTIVE.seconds(arrivals))

    @given(AGES, LOADS, LOADS)
    def test_load_never_shortens_the_interval(self, age, first, second):
        first, second = sorted((first, second))
        seconds = [ADAPTIVE.seconds(Arrivals(age), QuotaPace(load=load)) for load in (first, second)]
        assert seconds[0] <= seconds[1] <= 30

    @given(
        remaining=st.floats(0, 240),
        lasts=st.floats(0, 60),
        requests=st.integers(1, 5),
        reserved=st.floats(0, 0.9),
    )
    def test_a_single_wait_never_uses_the_reserve(self, remaining, lasts, requests, reserved):
        """Polls from any time until the reset, at the interval that each response requires."""
        pace, polls = after(quota(remaining, lasts=lasts), requests=requests, reserved=reserved), 0
        while (lasts := lasts - ADAPTIVE.seconds(Arrivals(10), pace)) > 1e-3:
            polls += 1
            remaining -= requests
            assert remaining >= reserved * 240 - 1e-3
            pace = after(quota(remaining, lasts=lasts), pace=pace, requests=requests, reserved=reserved)
        assert polls <= 30

    def test_exhausted_quota_waits_for_the_reset(self):
        assert after(quota(48, lasts=41)).least == 41
        assert after(quota(50, lasts=41), requests=3).least == 41

    @pytest.mark.parametrize(
        "unusable",
        [
            None,
            RateLimit("organization", None, 10, NOW + 30),
            RateLimit("organization", 240, None, NOW + 30),
            RateLimit("organization", 240, 10, None),
            quota(0, lasts=3600),
        ],
    )
    def test_unusable_headers_have_no_effect(self, unusable):
        pace = after(unusable, pace=QuotaPace(least=30.0, load=0.9))
        assert (pace.least, pace.load) == (0.0, 0.9)

    def test_a_past_reset_has_no_effect(self):
        assert after(quota(0, lasts=-5)).least == 0

    def test_load_is_what_all_clients_use(self):
        pace = QuotaPace()
        for elapsed in range(5, 60, 5):
            pace = after(quota(240 - 3.2 * elapsed, lasts=60 - elapsed), pace=pace, now=NOW)
        assert pace.load == pytest.approx(1.0, abs=0.05)
        idle = QuotaPace()
        for elapsed in range(5, 60, 5):
            idle = after(quota(240 - 0.3 * elapsed, lasts=60 - elapsed), pace=idle, now=NOW)
        assert idle.load < 0.3


class TestGoals:
    """The goals of the schedule, on simulated rounds."""

    @pytest.mark.parametrize("partial", [True, False])
    @pytest.mark.parametrize("known", [True, False])
    def test_verdict_comes_soon_after_the_last_row_with_few_polls(self, partial, known):
        outcome = alone(ours, simulated_rounds(1, 1000, 3, 120, partial=partial, known=known))
        assert outcome.median <= 1.5
        assert outcome.p95 <= 4.5
        assert alone(ours, simulated_rounds(2, 500, 30, 30, partial=partial, known=known)).polls <= 9

    def test_24_runs_a_minute_are_no_slower_than_a_fixed_interval_and_never_refused(self):
        rounds = simulated_rounds(3, 600, 3, 60)
        adaptive, quota = together(ours, rounds, 24)
        fixed, _ = together(fixed_10, rounds, 24)
        assert quota.refused == 0
        assert adaptive.median <= 1.05 * fixed.median
        assert adaptive.p95 <= 1.1 * fixed.p95
