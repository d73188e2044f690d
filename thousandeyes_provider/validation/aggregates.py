"""What is made of the values of many agents. Computed values are rounded to 12 digits before anything compares them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from thousandeyes_provider.validation.samples import tidy


def median(values: Iterable[float]) -> float:
    """The median: the middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else tidy(low / 2 + high / 2)


def percentile(values: Iterable[float], fraction: float) -> float:
    """The value below which a fraction of the values lies, linear between the two nearest ranks.

    The sorted values stand at the ranks 0 to n - 1; the percentile is at rank ``fraction * (n - 1)``. Of one value it
    is that value; of two, 0.95 lies at 95 % of the way from the lower to the higher; 0.5 is the median.

    :param values: at least one.
    :param fraction: from 0 to 1.
    """
    ordered = sorted(values)
    rank = tidy(fraction * (len(ordered) - 1))
    low = math.floor(rank)
    share = rank - low
    if not share or ordered[low] == ordered[low + 1]:
        return ordered[low]
    return tidy(ordered[low] * (1 - share) + ordered[low + 1] * share)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; never outside of the values."""
    try:
        found = tidy(math.fsum(values) / len(values))
    except OverflowError:
        # Halves cannot overflow, and twice their sum is infinite at most.
        found = 2 * math.fsum(value / len(values) / 2 for value in values)
    return max(min(values), min(max(values), found))


def relative_change(now: float, before: float) -> float:
    """The change from ``before`` to ``now`` as a fraction of ``before``; from zero, anything else is infinitely more
    or less, and zero is no change."""
    if now == before:
        return 0.0
    if before == 0:
        return math.copysign(math.inf, now)
    return tidy((now - before) / abs(before))


AGGREGATORS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": mean,
    "median": median,
    "p50": lambda values: percentile(values, 0.5),
    "p90": lambda values: percentile(values, 0.9),
    "p95": lambda values: percentile(values, 0.95),
    "p99": lambda values: percentile(values, 0.99),
}
"""What makes one number of many, by the name of the aggregate."""
