from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.simulator.quota import Bucket


def test_the_window_opens_with_the_first_request_and_is_over_a_minute_later() -> None:
    bucket = Bucket().counted(1000.0, 60).counted(1030.0, 60)
    assert bucket == Bucket(used=2, ends=1060.0)
    assert bucket.remaining(1059.9, 3) == 1
    assert bucket.remaining(1060.0, 3) == 3
    assert bucket.counted(1075.0, 60) == Bucket(used=1, ends=1135.0)


def test_a_window_that_is_not_open_would_be_over_a_minute_from_now() -> None:
    assert Bucket().resets_at(1000.0, 60) == 1060.0
    assert Bucket().counted(990.0, 60).resets_at(1000.0, 60) == 1050.0


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10))
def test_no_window_ever_lets_more_requests_through_than_the_limit(gaps: list[float], limit: int) -> None:
    bucket, now, let_through = Bucket(), 1000.0, dict[float, int]()
    for gap in gaps:
        now += gap
        if bucket.remaining(now, limit):
            bucket = bucket.counted(now, 60)
            let_through[bucket.ends] = let_through.get(bucket.ends, 0) + 1
    assert all(count <= limit for count in let_through.values())
