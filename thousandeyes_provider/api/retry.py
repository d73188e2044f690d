"""The decision after each outcome of a request: accept, wait and send again, verify, or give up.

:class:`Attempts` takes the outcome of one send and returns the decision with the state for the next attempt. It never
sends, sleeps or reads a clock. See docs/thousandeyes-api.md, "Errors and access" and "Rate limits".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from thousandeyes_provider.api.rate_limits import RateLimitReset, exhausted_reset
from thousandeyes_provider.api.response import NoResponse, Response, iso_time, retry_after

FIRST_BACKOFF = 1.0
"""Upper bound of the first backoff, seconds; it doubles with each further one."""

LONGEST_BACKOFF = 30.0
"""Upper bound of every backoff, seconds."""

_LOST_STATUSES = frozenset({500, 502, 503, 504})


class RequestKind(Enum):
    """The effect of sending the same request twice."""

    READ = "read"
    """None: a read may be repeated."""
    RUN = "run"
    """A second round."""
    CREATE = "create"
    """A second test."""
    SNAPSHOT = "snapshot"
    """One more of the five snapshots that an organization has in five minutes."""


@dataclass(frozen=True)
class Accept:
    """The response is the result.

    :param warning: description of an anomaly, for the log.
    """

    warning: str | None = None


@dataclass(frozen=True)
class Wait:
    """Wait, then send again.

    :param throttled: whether a rate limit (429) refused the request. Nothing was carried out.
    :param busy: whether a busy test (409) refused the run. Nothing was carried out.
    """

    seconds: float
    reason: str
    throttled: bool = False
    busy: bool = False


@dataclass(frozen=True)
class GiveUp:
    """Raise an error: nothing more is sent.

    :param reset: the rate limit whose reset is too far ahead, if that is the reason.
    """

    reason: str
    reset: RateLimitReset | None = None


@dataclass(frozen=True)
class VerifyOutcome:
    """The response is lost: verify whether the request was carried out before anything else.

    :param reason: how it was lost.
    :param otherwise: the decision when the request was not carried out.
    """

    reason: str
    otherwise: Wait | GiveUp


Decision = Accept | Wait | GiveUp | VerifyOutcome


@dataclass(frozen=True)
class Attempts:
    """The attempts at one request so far.

    :param kind: effect of sending the request twice.
    :param retry_limit: attempts, at least 1. Sends that a rate limit or a busy test refused do not count.
    :param queue_timeout: seconds that the request may wait for rate limits and a busy test in total.
    :param refusals: refusals by a rate limit or a busy test so far.
    :param queued: seconds waited for those so far.
    """

    kind: RequestKind
    retry_limit: int = 5
    queue_timeout: float = 300.0
    failures: int = 0
    refusals: int = 0
    queued: float = 0.0

    def after(
        self,
        outcome: Response | NoResponse,
        *,
        now: float,
        jitter: float,
        unusable: str | None = None,
        time_left: float = math.inf,
    ) -> tuple[Decision, Attempts]:
        """Decide what to do after one send.

        :param now: local epoch seconds, for a response without a ``Date``.
        :param jitter: random number from 0 to 1.
        :param unusable: reason why a successful response is unusable, if it is.
        :param time_left: seconds until the caller's deadline; no wait ends later.
        :return: the decision, and the state for the next one.
        """
        if isinstance(outcome, NoResponse):
            if outcome.final:
                return GiveUp(outcome.reason), self
            return self._failed(outcome.reason, None, jitter, time_left, lost=outcome.sent)
        status = outcome.status
        if outcome.success:
            if unusable is None:
                return Accept(), self
            if self.kind is RequestKind.RUN:
                return Accept(f"accepted, though the response is {unusable}"), self
            return self._failed(f"{status}, but {unusable}", None, jitter, time_left, lost=True)
        if status == 429:
            return self._throttled(outcome, now, jitter, time_left)
        if status == 409 and self.kind is RequestKind.RUN:
            asked = retry_after(outcome, now)
            seconds = self._backoff(self.refusals + 1, jitter) if asked is None else asked + _margin(jitter)
            return self._queue(Wait(seconds, "409, the test is busy", busy=True), None, time_left)
        if status in _LOST_STATUSES:
            return self._failed(str(status), retry_after(outcome, now), jitter, time_left, lost=True)
        return GiveUp(str(status)), self

    def _throttled(
        self, response: Response, now: float, jitter: float, time_left: float
    ) -> tuple[Decision, Attempts]:
        reset, asked = exhausted_reset(response, now), retry_after(response, now)
        if reset is not None and reset.wait > 0:
            reason = f"429, the {reset.bucket} limit resets in {reset.wait:.0f} s"
            return self._queue(_rate_limit_wait(reset.wait + _margin(jitter), reason), reset, time_left)
        if asked is not None:
            bucket = reset.bucket if reset else "unnamed"
            reset = RateLimitReset(bucket, response.time(now) + asked, asked)
            pause = _rate_limit_wait(asked + _margin(jitter), f"429, Retry-After {asked:.0f} s")
            return self._queue(pause, reset, time_left)
        why = "no usable reset" if reset is None else "its reset is past"
        seconds = self._backoff(self.refusals + 1, jitter) + _margin(jitter)
        return self._queue(_rate_limit_wait(seconds, f"429, {why}"), reset, time_left)

    def _queue(
        self, pause: Wait, reset: RateLimitReset | None, time_left: float
    ) -> tuple[Decision, Attempts]:
        seconds, reason = pause.seconds, pause.reason
        if self.queued + seconds > self.queue_timeout:
            spent = f", after {self.queued:.0f} s of waiting" if self.queued else ""
            why = f"{reason}: longer than queue_timeout {self.queue_timeout:g} s allows{spent}"
        elif seconds > time_left:
            why = f"{reason}: longer than the {max(time_left, 0):.0f} s left until the deadline"
        else:
            waited = replace(self, refusals=self.refusals + 1, queued=self.queued + seconds)
            return pause, waited
        if reset is not None and reset.wait > 0:
            why += f" (resets at {_readable(reset.at)})"
        return GiveUp(why, reset), self

    def _failed(
        self, reason: str, asked: float | None, jitter: float, time_left: float, *, lost: bool
    ) -> tuple[Decision, Attempts]:
        failed = replace(self, failures=self.failures + 1)
        seconds = self._backoff(failed.failures, jitter) if asked is None else asked + _margin(jitter)
        next_step: Wait | GiveUp = Wait(seconds, reason)
        if failed.failures >= self.retry_limit:
            next_step = GiveUp(f"{reason}, on attempt {failed.failures} of {self.retry_limit}")
        elif asked is not None and seconds > self.queue_timeout:
            next_step = GiveUp(f"{reason}, Retry-After {seconds:.0f} s is longer than queue_timeout allows")
        elif seconds > time_left:
            next_step = GiveUp(f"{reason}, and no time is left to try again")
        if not lost or self.kind is RequestKind.READ:
            return next_step, failed
        if self.kind is RequestKind.SNAPSHOT:
            next_step = GiveUp(f"{reason}; not sent again, since the snapshot may exist")
            return next_step, failed
        return VerifyOutcome(reason, next_step), failed

    def _backoff(self, nth: int, jitter: float) -> float:
        return jitter * min(FIRST_BACKOFF * 2.0 ** min(nth - 1, 10), LONGEST_BACKOFF)


def _rate_limit_wait(seconds: float, reason: str) -> Wait:
    return Wait(seconds, reason, throttled=True)


def _margin(jitter: float) -> float:
    """Seconds added to an announced wait, always positive: 0.1 to 0.6 s."""
    return 0.1 + 0.5 * jitter


def _readable(epoch: float) -> str:
    try:
        return iso_time(epoch)
    except (OverflowError, ValueError, OSError):
        return f"{epoch:g}"
