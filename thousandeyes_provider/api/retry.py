"""What to do after an answer, or after none: accept it, wait and send again, find out, or give up.

:class:`Attempts` is told what happened to one request and answers what to do next, together with the state
for the attempt after it. It never sends, sleeps or reads a clock; the hooks do. Both hooks use it, so that a
retry is decided in one place. The rules are those of DESIGN, "Fixed: retry rules".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

from thousandeyes_provider.api.rate_limits import RateLimitReset, exhausted_reset
from thousandeyes_provider.api.response import NoResponse, Response, iso_time, retry_after

FIRST_BACKOFF = 1.0
"""Longest first backoff, seconds; it doubles with each further one."""

LONGEST_BACKOFF = 30.0
"""Longest backoff, seconds."""

_LOST = frozenset({500, 502, 503, 504})


class RequestKind(Enum):
    """What sending the same request twice would do."""

    READ = "read"
    """Nothing: it may be repeated."""
    RUN = "run"
    """Start a second round."""
    CREATE = "create"
    """Create a second test."""
    SNAPSHOT = "snapshot"
    """Use up one more of the five snapshots that an organization has in five minutes."""


@dataclass(frozen=True)
class Accept:
    """The answer is the result.

    :param warning: what is odd about it, for the log.
    """

    warning: str | None = None


@dataclass(frozen=True)
class Wait:
    """Wait, then send again.

    :param seconds: how long.
    :param reason: why, in a few words.
    :param throttled: whether a rate limit (429) refused the request. Nothing was carried out.
    :param busy: whether a busy test (409) refused the run. Nothing was carried out.
    """

    seconds: float
    reason: str
    throttled: bool = False
    busy: bool = False


@dataclass(frozen=True)
class GiveUp:
    """Raise: nothing more is sent.

    :param reason: why, in a few words.
    :param reset: the rate limit that was not waited for, if that is why.
    """

    reason: str
    reset: RateLimitReset | None = None


@dataclass(frozen=True)
class VerifyOutcome:
    """The answer is lost: whether the request was carried out is to be found out before anything else.

    :param reason: how it got lost.
    :param otherwise: what to do when it turns out that it was not carried out.
    """

    reason: str
    otherwise: Wait | GiveUp


Decision = Accept | Wait | GiveUp | VerifyOutcome


@dataclass(frozen=True)
class Attempts:
    """The attempts at one request, up to now.

    :param sending: what kind of request it is.
    :param retry_limit: how often it may be sent, not counting sends that a rate limit refused; at least 1.
    :param queue_timeout: seconds that it may spend waiting out rate limits, in all.
    :param failures: attempts that failed so far.
    :param refusals: times that a rate limit, or a busy test, refused it so far.
    :param queued: seconds waited for those so far.
    """

    sending: RequestKind
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
        chance: float,
        unusable: str | None = None,
        time_left: float = math.inf,
    ) -> tuple[Decision, Attempts]:
        """Decide what to do after one send.

        :param outcome: what came back.
        :param now: local epoch seconds, used only where the answer has no ``Date``.
        :param chance: a random number from 0 to 1, for the jitter.
        :param unusable: why a success is not what the operation returns, when it is not.
        :param time_left: seconds until the caller has no more use for an answer; no wait goes beyond.
        :return: the decision, and the state to decide the next time with.
        """
        if isinstance(outcome, NoResponse):
            if outcome.final:
                return GiveUp(outcome.reason), self
            return self._failed(outcome.reason, None, chance, time_left, lost=outcome.sent)
        status = outcome.status
        if outcome.success:
            if unusable is None:
                return Accept(), self
            if self.sending is RequestKind.RUN:
                return Accept(f"accepted, though the answer is {unusable}"), self
            return self._failed(f"{status}, but {unusable}", None, chance, time_left, lost=True)
        if status == 429:
            return self._throttled(outcome, now, chance, time_left)
        if status == 409 and self.sending is RequestKind.RUN:
            asked = retry_after(outcome, now)
            seconds = self._backoff(self.refusals + 1, chance) if asked is None else asked + _jitter(chance)
            return self._queue(Wait(seconds, "409, the test is busy", busy=True), None, time_left)
        if status in _LOST:
            return self._failed(str(status), retry_after(outcome, now), chance, time_left, lost=True)
        return GiveUp(str(status)), self

    def _throttled(
        self, answer: Response, now: float, chance: float, time_left: float
    ) -> tuple[Decision, Attempts]:
        reset, asked = exhausted_reset(answer, now), retry_after(answer, now)
        if reset is not None and reset.wait > 0:
            reason = f"429, the {reset.bucket} limit resets in {reset.wait:.0f} s"
            return self._queue(_throttled(reset.wait + _jitter(chance), reason), reset, time_left)
        if asked is not None:
            bucket = reset.bucket if reset else "unnamed"
            reset = RateLimitReset(bucket, answer.time(now) + asked, asked)
            pause = _throttled(asked + _jitter(chance), f"429, Retry-After {asked:.0f} s")
            return self._queue(pause, reset, time_left)
        why = "no usable reset" if reset is None else "its reset is past"
        seconds = self._backoff(self.refusals + 1, chance) + _jitter(chance)
        return self._queue(_throttled(seconds, f"429, {why}"), reset, time_left)

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
        self, reason: str, asked: float | None, chance: float, time_left: float, *, lost: bool
    ) -> tuple[Decision, Attempts]:
        failed = replace(self, failures=self.failures + 1)
        seconds = self._backoff(failed.failures, chance) if asked is None else asked + _jitter(chance)
        again: Wait | GiveUp = Wait(seconds, reason)
        if failed.failures >= self.retry_limit:
            again = GiveUp(f"{reason}, on attempt {failed.failures} of {self.retry_limit}")
        elif asked is not None and seconds > self.queue_timeout:
            again = GiveUp(f"{reason}, Retry-After {seconds:.0f} s is longer than queue_timeout allows")
        elif seconds > time_left:
            again = GiveUp(f"{reason}, and no time is left to try again")
        if not lost or self.sending is RequestKind.READ:
            return again, failed
        if self.sending is RequestKind.SNAPSHOT:
            again = GiveUp(f"{reason}; not sent again, since the snapshot may exist")
            return again, failed
        return VerifyOutcome(reason, again), failed

    def _backoff(self, nth: int, chance: float) -> float:
        return chance * min(FIRST_BACKOFF * 2.0 ** min(nth - 1, 10), LONGEST_BACKOFF)


def _throttled(seconds: float, reason: str) -> Wait:
    return Wait(seconds, reason, throttled=True)


def _jitter(chance: float) -> float:
    """A little over the announced time, always: 0.1 to 0.6 s."""
    return 0.1 + 0.5 * chance


def _readable(epoch: float) -> str:
    try:
        return iso_time(epoch)
    except (OverflowError, ValueError, OSError):
        return f"{epoch:g}"
