"""ThousandEyes' rate limits as the response headers announce them, and the pace that they allow.

Two sets exist, one for the organization and one for instant tests (API-FACTS, "Rate limits"; source DEV).
``Reset`` is in epoch seconds by ThousandEyes' clock, so it is always read against the ``Date`` of the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.response import Response

BUCKETS: Mapping[str, str] = {
    "organization": "x-organization-rate-limit-",
    "instant-test": "x-instant-test-rate-limit-",
}
"""Name of each set of limits, and what its header names begin with."""

RESERVED_SHARE = 0.2
"""Share of the organization's requests that polling leaves to everybody else."""


LONGEST_WINDOW = 600.0
"""Seconds; a reset that is further ahead is taken for garbage where it would only slow polling down."""


@dataclass(frozen=True)
class RateLimit:
    """One set of limits, as one answer told it. What the answer did not say, or garbled, is ``None``.

    :param bucket: a key of :data:`BUCKETS`.
    :param limit: requests a window.
    :param remaining: requests left in this window.
    :param reset: when the window ends, epoch seconds by ThousandEyes' clock.
    """

    bucket: str
    limit: float | None
    remaining: float | None
    reset: float | None


@dataclass(frozen=True)
class RateLimitReset:
    """When a rate limit that refused a request ends.

    :param bucket: whose limit, a key of :data:`BUCKETS`.
    :param at: epoch seconds by ThousandEyes' clock.
    :param wait: seconds from the answer to then, negative when it is past.
    """

    bucket: str
    at: float
    wait: float


@dataclass(frozen=True)
class PollingPace:
    """The pace of reads that an answer allows.

    :param gap: seconds between two requests.
    :param lasts: seconds until the window is over, and with it what the answer told.
    """

    gap: float
    lasts: float


def quotas(answer: Response) -> dict[str, RateLimit]:
    """The sets of limits of which the answer says something usable, by bucket."""
    told = {bucket: _quota(answer, bucket) for bucket in BUCKETS}
    return {bucket: quota for bucket, quota in told.items() if quota is not None}


def _quota(answer: Response, bucket: str) -> RateLimit | None:
    limit, remaining, reset = (
        number(answer.headers.get(BUCKETS[bucket] + field)) for field in ("limit", "remaining", "reset")
    )
    if limit is not None and limit <= 0:
        limit = None
    return None if limit is remaining is reset is None else RateLimit(bucket, limit, remaining, reset)


def exhausted_reset(answer: Response, now: float) -> RateLimitReset | None:
    """The reset to wait for after a 429: that of the exhausted set, the later one when that is unclear.

    :param answer: the 429.
    :param now: local epoch seconds, used when the answer has no ``Date``.
    :return: ``None`` when the headers name no usable reset.
    """
    told = quotas(answer).values()
    for candidates in (
        [quota for quota in told if quota.remaining is not None and quota.remaining <= 0],
        [quota for quota in told if quota.remaining is None],
        list(told),
    ):
        resets = [(quota.reset, quota.bucket) for quota in candidates if quota.reset is not None]
        if resets:
            at, bucket = max(resets)
            return RateLimitReset(bucket, at, at - answer.time(now))
        if candidates:
            return None
    return None


def polling_pace(answer: Response, now: float) -> PollingPace | None:
    """The pace that leaves a fifth of the organization's budget to others, until the window's end.

    :param answer: the newest answer; its headers tell what is left.
    :param now: local epoch seconds, used when the answer has no ``Date``.
    :return: with a gap of ``(reset - Date) / max(remaining - 0.2 x limit, 1)``; ``None`` when the headers do not say.
    """
    quota = _quota(answer, "organization")
    if quota is None or quota.limit is None or quota.remaining is None or quota.reset is None:
        return None
    lasts = max(quota.reset - answer.time(now), 0.0)
    if lasts > LONGEST_WINDOW:
        return None
    return PollingPace(lasts / max(quota.remaining - RESERVED_SHARE * quota.limit, 1.0), lasts)


def polling_gap(answer: Response, now: float) -> float:
    """Seconds between two requests as :func:`polling_pace` has them; 0 when the headers do not say."""
    pace = polling_pace(answer, now)
    return 0.0 if pace is None else pace.gap
