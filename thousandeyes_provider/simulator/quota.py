"""The two rate limits. All functions are pure; times are real epoch seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


def window_end(now: float, length: float, *, aligned: bool, clock_offset: float = 0.0) -> float:
    """Return the end of a window that a request opens at ``now``.

    :param length: length of the window in real seconds.
    :param aligned: the window ends at the next multiple of ``length`` on the simulator's clock. Otherwise it ends
        ``length`` seconds after ``now``.
    :param clock_offset: seconds by which the simulator's clock is ahead of the real one.
    """
    if not aligned:
        return now + length
    return (math.floor((now + clock_offset) / length) + 1) * length - clock_offset


@dataclass(frozen=True)
class Bucket:
    """Requests counted in the current rate limit window. docs/thousandeyes-api.md, "Rate limits".

    :param used: requests counted in the window.
    :param ends: end of the window.
    """

    used: int = 0
    ends: float = 0.0

    def at(self, now: float) -> Bucket:
        """Return the bucket at ``now``; an empty bucket after the end of the window."""
        return self if now < self.ends else Bucket()

    def counted(self, now: float, ends: float) -> Bucket:
        """Return the bucket after one more request.

        :param ends: end of the window, if this request opens one.
        """
        current = self.at(now)
        return replace(current, used=current.used + 1) if current.used else Bucket(1, ends)

    def remaining(self, now: float, limit: int) -> int:
        """Return the number of further requests that the window allows."""
        return max(limit - self.at(now).used, 0)

    def resets_at(self, now: float, ends: float) -> float:
        """Return the end of the window; ``ends`` if no window is open."""
        current = self.at(now)
        return current.ends if current.used else ends
