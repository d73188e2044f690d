"""Rate limits in response headers, and the pace that reserves a fifth for other clients."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.rate_limits import (
    BUCKETS,
    PollingPace,
    exhausted_reset,
    polling_pace,
    quotas,
)
from thousandeyes_provider.api.response import Response

NOW = 1_790_000_000.0
ORG, RUNS = BUCKETS["organization"], BUCKETS["instant-test"]


def pace_of(response, now):
    """Return the pace with a fifth of the limit reserved, at the time of a response."""
    return polling_pace(quotas(response).get("organization"), response.time(now), 0.2)


def polling_gap(response, now):
    """Return the seconds between two requests with a fifth of the limit reserved; 0 without headers."""
    pace = pace_of(response, now)
    return 0.0 if pace is None else pace.gap


def response_with(*, org=None, runs=None, date=NOW, status=200):
    """Return a response with headers of the given families, each (limit, remaining, reset)."""
    headers = {}
    for prefix, family in ((ORG, org), (RUNS, runs)):
        for field, value in zip(("limit", "remaining", "reset"), family or (), strict=False):
            if value is not None:
                headers[prefix + field] = str(value)
    if date is not None:
        headers["date"] = formatdate(date, usegmt=True)
    return Response(status, headers, b"", "")


class TestReading:
    def test_both_header_families_are_read(self):
        limits = quotas(response_with(org=(240, 200, NOW + 5), runs=(24, 3, NOW + 9)))
        assert {name: (q.limit, q.remaining, q.reset) for name, q in limits.items()} == {
            "organization": (240, 200, NOW + 5),
            "instant-test": (24, 3, NOW + 9),
        }

    def test_without_headers_there_are_no_limits(self):
        assert quotas(response_with()) == {}

    @pytest.mark.parametrize("garbage", ["", "many", "-", "nan", "inf", "1e999", "true"])
    def test_invalid_headers_are_ignored(self, garbage):
        assert quotas(response_with(org=(garbage, garbage, garbage))) == {}
        assert quotas(response_with(org=(240, garbage, garbage)))["organization"].remaining is None

    def test_headers_of_other_families_are_ignored(self):
        answer = Response(429, {"x-template-deploy-rate-limit-reset": "30"}, b"", "")
        assert quotas(answer) == {}
        assert exhausted_reset(answer, NOW) is None


class TestResetOfARefusal:
    @pytest.mark.parametrize(
        ("refused", "bucket", "wait"),
        [
            (response_with(org=(240, 0, NOW + 20)), "organization", 20),
            (response_with(runs=(24, 0, NOW + 30)), "instant-test", 30),
            (response_with(org=(240, 100, NOW + 50), runs=(24, 0, NOW + 30)), "instant-test", 30),
            (response_with(org=(240, 0, NOW + 50), runs=(24, 0, NOW + 30)), "organization", 50),
            (response_with(org=(240, 7, NOW + 50), runs=(24, 7, NOW + 60)), "instant-test", 60),
            (response_with(org=(240, None, NOW + 50), runs=(24, 7, NOW + 60)), "organization", 50),
            (response_with(org=(240, 0, NOW - 50)), "organization", -50),
        ],
    )
    def test_it_is_that_of_the_exhausted_limit_or_the_later_reset(self, refused, bucket, wait):
        reset = exhausted_reset(refused, now=0)
        assert reset is not None
        assert (reset.bucket, reset.wait, reset.at) == (bucket, wait, NOW + wait)

    def test_an_exhausted_limit_without_a_reset_is_not_replaced_by_another(self):
        assert exhausted_reset(response_with(org=(240, 200, NOW + 50), runs=(24, 0, None)), NOW) is None


class TestPace:
    @pytest.mark.parametrize(
        ("family", "gap"),
        [
            ((240, 240, NOW + 60), 60 / 192),
            ((240, 148, NOW + 50), 0.5),
            ((240, 49, NOW + 30), 30),
            ((240, 48, NOW + 30), 30),
            ((240, 0, NOW + 30), 30),
            ((240, 100, NOW), 0),
            ((240, 100, NOW - 500), 0),
            ((240, None, NOW + 30), 0),
            ((None, 100, NOW + 30), 0),
            ((240, 100, None), 0),
            ((0, 0, NOW + 30), 0),
            ((240, 100, "later"), 0),
        ],
    )
    def test_a_fifth_of_the_limit_is_reserved(self, family, gap):
        assert polling_gap(response_with(org=family), now=0) == pytest.approx(gap)

    def test_reads_ignore_the_instant_test_limit(self):
        assert polling_gap(response_with(runs=(24, 0, NOW + 3000)), NOW) == 0

    @pytest.mark.parametrize("wrong_by", [-7200, 7200])
    def test_wrong_clocks_have_no_effect(self, wrong_by):
        here = polling_gap(response_with(org=(240, 48, NOW + 30)), NOW + wrong_by)
        there = polling_gap(response_with(org=(240, 48, NOW + wrong_by + 30), date=NOW + wrong_by), NOW)
        assert here == there == 30

    def test_a_paced_client_leaves_a_fifth_of_the_limit(self):
        remaining, at = 240.0, NOW
        while (
            gap := polling_gap(response_with(org=(240, remaining, NOW + 60), date=int(at)), at)
        ) and at < NOW + 60:
            at += gap
            remaining -= 1
        assert remaining >= 0.2 * 240 - 2

    @given(
        st.dictionaries(
            st.sampled_from(
                [prefix + of for prefix in (ORG, RUNS) for of in ("limit", "remaining", "reset")]
            ),
            st.text(max_size=8) | st.integers().map(str) | st.floats().map(str),
        )
    )
    def test_the_gap_is_finite_and_not_negative(self, headers):
        gap = polling_gap(Response(200, headers, b"", ""), NOW)
        assert math.isfinite(gap)
        assert gap >= 0


def test_a_limit_of_1_and_a_remainder_of_1_are_valid():
    assert quotas(response_with(org=(1, 1, NOW)))["organization"].limit == 1
    assert quotas(response_with(org=(0, 1, NOW)))["organization"].limit is None
    refused = response_with(org=(240, 1, NOW + 50), runs=(24, 0, NOW + 5), status=429)
    assert exhausted_reset(refused, NOW).bucket == "instant-test"


def test_pace_and_length_of_a_window():
    assert pace_of(response_with(org=(240, 108, NOW + 600)), NOW) == PollingPace(10.0, 600.0)
    assert pace_of(response_with(org=(240, 108, NOW + 601)), NOW) is None
