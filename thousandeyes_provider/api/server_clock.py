"""ThousandEyes' clock as far as the ``Date`` of its responses shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from thousandeyes_provider.api.response import Response

_TOLERANCE = 1.0
"""Seconds by which two responses may disagree before the newer one counts alone: servers update ``Date`` each second,
and the servers behind one address differ."""


@dataclass(frozen=True)
class ServerClock:
    """Bounds of the offset of ThousandEyes' clock from the local clock.

    ``Date`` is cut to whole seconds and set at some time between sending and receiving, so one response bounds the
    offset from below and from above. Further responses narrow the bounds.

    :param offset: lower bound, seconds. Local time plus this offset is never later than ThousandEyes' clock.
    :param latest_offset: upper bound, seconds.
    """

    offset: float = -math.inf
    latest_offset: float = math.inf

    @property
    def is_known(self) -> bool:
        """Whether a response had a usable ``Date``."""
        return self.offset > -math.inf

    def time_at(self, local: float) -> float:
        """ThousandEyes' time at a local time, as a lower bound; the local time before the first usable ``Date``."""
        return local + (self.offset if self.is_known else 0.0)

    def after(self, response: Response, *, sent_at: float, received_at: float) -> ServerClock:
        """The clock after one more response.

        :param sent_at: local epoch seconds when the request was sent.
        :param received_at: local epoch seconds when the response arrived.
        """
        date = response.time(math.nan)
        # A gateway between here and ThousandEyes responds with a 5xx of its own, and with its own time.
        if math.isnan(date) or (self.is_known and response.status >= 500):
            return self
        lowest, highest = date - received_at, date + 1.0 - min(sent_at, received_at)
        if lowest > self.latest_offset + _TOLERANCE or highest < self.offset - _TOLERANCE:
            return ServerClock(lowest, highest)
        return ServerClock(max(self.offset, lowest), max(min(self.latest_offset, highest), lowest))
