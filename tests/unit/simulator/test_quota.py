from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.simulator.quota import Bucket, window_end


def test_a_window_can_open_with_its_first_request() -> None:
    assert window_end(1_800_000_015.0, 60, aligned=False) == 1_800_000_075.0


@pytest.mark.parametrize(
    ("now", "length", "offset", "end"),
    [
        (1_800_000_015.0, 60, 0.0, 1_800_000_060.0),
        (1_800_000_060.0, 60, 0.0, 1_800_000_120.0),
        (1_800_000_015.0, 6, 0.0, 1_800_000_018.0),
        (1_800_000_015.0, 60, 20.0, 1_800_000_040.0),
    ],
)
def test_a_window_can_be_aligned_to_the_clock_of_the_simulator(
    now: float, length: float, offset: float, end: float
) -> None:
    assert window_end(now, length, aligned=True, clock_offset=offset) == end


def test_only_the_first_request_of_a_window_sets_its_end() -> None:
    bucket = Bucket().counted(1000.0, 1060.0).counted(1030.0, 1090.0)
    assert bucket == Bucket(used=2, ends=1060.0)
    assert bucket.remaining(1059.9, 3) == 1
    assert bucket.remaining(1060.0, 3) == 3
    assert bucket.counted(1075.0, 1135.0) == Bucket(used=1, ends=1135.0)


def test_a_bucket_without_a_window_resets_at_the_end_of_the_next_window() -> None:
    assert Bucket().resets_at(1000.0, 1060.0) == 1060.0
    assert Bucket().counted(990.0, 1050.0).resets_at(1000.0, 1060.0) == 1050.0


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10), st.booleans())
def test_no_window_allows_more_requests_than_the_limit(gaps: list[float], limit: int, aligned: bool) -> None:
    bucket, now, let_through = Bucket(), 1000.0, dict[float, int]()
    for gap in gaps:
        now += gap
        if bucket.remaining(now, limit):
            bucket = bucket.counted(now, window_end(now, 60, aligned=aligned))
            let_through[bucket.ends] = let_through.get(bucket.ends, 0) + 1
    assert all(count <= limit for count in let_through.values())
