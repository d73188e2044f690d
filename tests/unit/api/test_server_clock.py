"""The estimate of ThousandEyes' clock from ``Date`` headers is a lower bound that every response improves."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.response import Response
from thousandeyes_provider.api.server_clock import ServerClock

NOW = 1_790_000_000.0


def response(date, status=200):
    return Response(status, {"date": formatdate(math.floor(date), usegmt=True)}, b"", "")


def test_before_the_first_response_the_local_clock_is_used():
    clock = ServerClock()
    assert not clock.is_known
    assert clock.time_at(NOW) == NOW
    assert clock.after(Response(200, {}, b"", ""), sent_at=NOW, received_at=NOW) == clock


@given(
    offset=st.floats(-10_000, 10_000),
    exchanges=st.lists(
        st.tuples(st.floats(0, 50), st.floats(0, 20), st.floats(0, 1)), min_size=1, max_size=8
    ),
)
def test_estimate_is_a_lower_bound_for_any_time_of_the_date(offset, exchanges):
    clock, local = ServerClock(), NOW
    for gap, took, share in exchanges:
        sent_at = local + gap
        received_at = sent_at + took
        date = sent_at + took * share + offset
        clock = clock.after(response(date), sent_at=sent_at, received_at=received_at)
        local = received_at
        assert clock.is_known
        assert clock.time_at(local) <= local + offset + 1e-6


def test_the_best_of_several_responses_is_used():
    clock = ServerClock().after(response(NOW + 0.9), sent_at=NOW, received_at=NOW + 5)
    assert clock.offset == -5
    clock = clock.after(response(NOW + 10), sent_at=NOW + 10, received_at=NOW + 10.1)
    assert clock.offset == pytest.approx(-0.1)
    slow = clock.after(response(NOW + 20), sent_at=NOW + 20, received_at=NOW + 26)
    assert slow.offset == pytest.approx(-0.1)


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_change_resets_the_estimate(step):
    clock = ServerClock().after(response(NOW), sent_at=NOW, received_at=NOW)
    moved = clock.after(response(NOW + 10 + step), sent_at=NOW + 10, received_at=NOW + 10)
    assert moved.offset == pytest.approx(step)


@pytest.mark.parametrize("step", [-3600, 0.5, 3600])
def test_the_time_of_a_gateway_is_ignored_once_the_clock_is_known(step):
    clock = ServerClock().after(response(NOW), sent_at=NOW, received_at=NOW + 5)
    gateway = response(NOW + 10 + step, status=502)
    assert clock.after(gateway, sent_at=NOW + 10, received_at=NOW + 10) == clock
    assert ServerClock().after(gateway, sent_at=NOW + 10, received_at=NOW + 10).is_known
