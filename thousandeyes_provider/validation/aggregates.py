"""Aggregates of the values of many agents. Results are rounded to 12 digits before anything compares them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from thousandeyes_provider.validation.samples import tidy

_LARGE = 1e290
"""Numbers beyond are scaled down, so that no intermediate result overflows."""

_SCALE = 2.0**-100


def median(values: Iterable[float]) -> float:
    """Return the median: the middle value, or the mean of the two middle values.

    :param values: at least one.
    """
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return low if low == high else mean((low, high))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, linear between the two nearest ranks (``PERCENTILE.INC`` of spreadsheets).

    The sorted values have the ranks 0 to n - 1; p95 has the rank ``0.95 * (n - 1)``. p95 of one value is that value.

    :param values: at least one.
    :param percent: from 1 to 99.
    """
    if len(values) == 1:
        return values[0]
    return _scaled(lambda data: statistics.quantiles(data, n=100, method="inclusive")[percent - 1], values)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean.

    :param values: at least one.
    """
    return _scaled(statistics.fmean, values)


def relative_change(now: float, before: float) -> float:
    """Return the change from ``before`` to ``now`` as a fraction of ``before``.

    From zero, any change is infinite and no change is zero.
    """
    if now == before:
        return 0.0
    if before == 0:
        return math.copysign(math.inf, now)
    return tidy((now - before) / abs(before))


def _scaled(aggregate: Callable[[Sequence[float]], float], values: Sequence[float]) -> float:
    """Aggregate without overflow; the result is never outside of the values."""
    least, most = min(values), max(values)
    if most < _LARGE and least > -_LARGE:
        result = tidy(aggregate(values))
    else:
        result = aggregate([value * _SCALE for value in values]) / _SCALE
    return max(least, min(most, result))


AGGREGATORS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": mean,
    "median": median,
    **{f"p{percent}": partial(percentile, percent=percent) for percent in (50, 90, 95, 99)},
}
"""The function of each aggregate that makes one number of many."""
