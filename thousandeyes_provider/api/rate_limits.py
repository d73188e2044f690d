"""ThousandEyes' rate limits as the response headers announce them, and the pace that they allow.

Two sets exist, one for the organization and one for instant tests (docs/thousandeyes-api.md, "Rate limits"). ``Reset``
is in epoch seconds of ThousandEyes' clock, so it is always compared with the ``Date`` of the same response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.response import Response

BUCKETS: Mapping[str, str] = {
    "organization": "x-organization-rate-limit-",
    "instant-test": "x-instant-test-rate-limit-",
}
"""Name of each set of limits, and the prefix of its headers."""

RUNS_PER_MINUTE = 24
"""Runs that an organization may start in a minute (docs/thousandeyes-api.md, "Rate limits")."""

RUNS_WITHOUT_TURN = 6
"""Number of tasks of a mapped task that start their run at once. The others wait for a turn in the triggerer.

A quarter of :data:`RUNS_PER_MINUTE`: a small map saves the way through the triggerer.
"""

LONGEST_WINDOW = 600.0
"""Seconds; a reset that is further ahead is ignored where it would only slow polling down."""


@dataclass(frozen=True)
class RateLimit:
    """One set of limits from the headers of one response. A missing or invalid value is ``None``.

    :param bucket: a key of :data:`BUCKETS`.
    :param limit: requests a window.
    :param remaining: requests left in this window.
    :param reset: when the window ends, epoch seconds by ThousandEyes' clock.
    """

    bucket: str
    limit: float | None
    remaining: float | None
    reset: float | None

    def window(self, now: float) -> Window | None:
        """The window that is open now; ``None`` when a header is missing or the reset is not plausible.

        :param now: ThousandEyes' clock, epoch seconds.
        """
        if self.limit is None or self.remaining is None or self.reset is None:
            return None
        lasts = max(self.reset - now, 0.0)
        return None if lasts > LONGEST_WINDOW else Window(self.limit, self.remaining, lasts)


class Window(NamedTuple):
    """The open window of a rate limit.

    :param limit: requests a window.
    :param remaining: requests left.
    :param lasts: seconds until it ends.
    """

    limit: float
    remaining: float
    lasts: float


@dataclass(frozen=True)
class RateLimitReset:
    """When a rate limit that refused a request ends.

    :param bucket: set of limits, a key of :data:`BUCKETS`.
    :param at: epoch seconds by ThousandEyes' clock.
    :param wait: seconds from the response until the reset, negative when it is past.
    """

    bucket: str
    at: float
    wait: float


@dataclass(frozen=True)
class PollingPace:
    """The pace of reads that a response allows.

    :param gap: seconds between two requests.
    :param lasts: seconds until the window ends, and the pace with it.
    """

    gap: float
    lasts: float


def quotas(response: Response) -> dict[str, RateLimit]:
    """The sets of limits for which the response has a usable header, by bucket."""
    limits = {bucket: _quota(response, bucket) for bucket in BUCKETS}
    return {bucket: quota for bucket, quota in limits.items() if quota is not None}


def _quota(response: Response, bucket: str) -> RateLimit | None:
    limit, remaining, reset = (
        number(response.headers.get(BUCKETS[bucket] + field)) for field in ("limit", "remaining", "reset")
    )
    if limit is not None and limit <= 0:
        limit = None
    return None if limit is remaining is reset is None else RateLimit(bucket, limit, remaining, reset)


def exhausted_reset(response: Response, now: float) -> RateLimitReset | None:
    """The reset to wait for after a 429: that of the exhausted set, the later one when that is unclear.

    :param now: local epoch seconds, for a response without a ``Date``.
    :return: ``None`` when the headers name no usable reset.
    """
    limits = quotas(response).values()
    for candidates in (
        [quota for quota in limits if quota.remaining is not None and quota.remaining <= 0],
        [quota for quota in limits if quota.remaining is None],
        list(limits),
    ):
        resets = [(quota.reset, quota.bucket) for quota in candidates if quota.reset is not None]
        if resets:
            at, bucket = max(resets)
            return RateLimitReset(bucket, at, at - response.time(now))
        if candidates:
            return None
    return None


def polling_pace(quota: RateLimit | None, now: float, reserved_share: float) -> PollingPace | None:
    """The pace that leaves a share of the organization's limit to others until the window ends.

    :param now: ThousandEyes' clock, epoch seconds.
    :param reserved_share: share of the limit that stays free, 0 to 1.
    :return: a gap of ``(reset - now) / max(remaining - reserved_share x limit, 1)``; ``None`` for an unknown window.
    """
    window = quota.window(now) if quota else None
    if window is None:
        return None
    return PollingPace(
        window.lasts / max(window.remaining - reserved_share * window.limit, 1.0), window.lasts
    )
