"""The two rate limits. Pure: the time is an argument, in real epoch seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Bucket:
    """A window of requests that opens with the first one and is over a fixed time later.

    Source: API-FACTS, "Rate limits".

    :param used: requests counted in the window.
    :param ends: when the window is over.
    """

    used: int = 0
    ends: float = 0.0

    def at(self, now: float) -> Bucket:
        """The bucket as it is at ``now``: a new one when the window is over."""
        return self if now < self.ends else Bucket()

    def counted(self, now: float, window: float) -> Bucket:
        """The bucket after one more request; ``window`` in real seconds is the length of a new window."""
        current = self.at(now)
        return replace(current, used=current.used + 1) if current.used else Bucket(1, now + window)

    def remaining(self, now: float, limit: int) -> int:
        """How many more requests the window has room for."""
        return max(limit - self.at(now).used, 0)

    def resets_at(self, now: float, window: float) -> float:
        """When the window is over; for one that no request has opened yet, if one did now."""
        current = self.at(now)
        return current.ends if current.used else now + window
