"""When to poll the results of a run: by the age of the wait, what has arrived, and the quota of the organization.

Pure functions: nothing sends, sleeps or reads a clock. Worker and triggerer use the same
schedule. ``benchmarks/schedule.py`` compares it with others. See ``docs/thousandeyes-api.md``, "Rate limits".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from thousandeyes_provider.api.rate_limits import RateLimit

MIN_INTERVAL = 2.0
"""Seconds between two polls of the adaptive schedule, at least."""

MAX_INTERVAL = 10.0
"""Seconds between two polls of the adaptive schedule, at most, while the quota is not exceeded."""

_EARLY_INTERVAL = 3.8
"""Seconds between two polls in the first half minute, and while several agents are missing."""

_LATER_INTERVAL = 2.5
"""Seconds between two polls after half a minute without a row, until :data:`_PATIENCE` makes it longer."""

_SPARSE_INTERVAL = 4.4
"""Seconds between two polls long before the expected end of a round."""

_PATIENCE = 40.0
"""Without a row, the interval is at least the age of the wait divided by this."""

_QUIET_PATIENCE = 6.0
"""After the first row, the interval is at least the time since the last new row divided by this."""

_WINDOW = 60.0
"""Seconds of a rate-limit window."""

_USUAL_LOAD = 0.75
"""Load of the quota up to which the interval is not stretched."""

_HIGH_LOAD = 0.9
"""Load at which the interval is :data:`_HIGH_STRETCH` times as long."""

_HIGH_STRETCH = 4.0

_EXCESS_LOAD = 1.15
"""Load above which the interval may exceed :data:`MAX_INTERVAL`."""

_EXCESS_SECONDS = 60.0
"""Seconds by which the longest interval grows for a load of 1 above :data:`_EXCESS_LOAD`."""

_MAX_EXCESS_INTERVAL = 30.0

_LOAD_MEMORY = 20.0
"""Seconds of the window for which the load of an earlier response counts."""


@dataclass(frozen=True)
class Arrivals:
    """What has arrived of a round.

    :param age: seconds since the run call.
    :param reported: number of agents with at least one row.
    :param missing: number of agents that have not reported every row; ``None``: unknown.
    :param quiet: seconds since the last new row; without meaning before the first.
    """

    age: float
    reported: int = 0
    missing: int | None = None
    quiet: float = 0.0


@dataclass(frozen=True)
class QuotaPace:
    """The polling pace that the organization's quota permits, from the rate-limit headers.

    The load is the pace at which all clients use the quota: 1 uses up what is not reserved by the end of the window. A
    wait does not know how many others there are, but all of them see the same load, so they slow down together.

    :param least: seconds to the next poll, at least, so that the reserved share stays free.
    :param load: the load, smoothed over windows.
    """

    least: float = 0.0
    load: float = _USUAL_LOAD

    def after_response(
        self, quota: RateLimit | None, *, server_now: float, requests: int, reserved_share: float
    ) -> QuotaPace:
        """The pace after a response.

        :param quota: the organization's rate limit in the newest response.
        :param server_now: ThousandEyes' clock, epoch seconds.
        :param requests: number of requests of a poll.
        :param reserved_share: share of the limit that polling leaves to others, 0 to 1.
        """
        window = quota.window(server_now) if quota else None
        if window is None:
            return replace(self, least=0.0)
        available = max((1 - reserved_share) * window.limit, 1.0)
        used = window.limit - window.remaining
        spare = available - used
        elapsed = max(_WINDOW - window.lasts, 0.0)
        load = (used / available * _WINDOW + self.load * _LOAD_MEMORY) / (elapsed + _LOAD_MEMORY)
        least = window.lasts if spare < requests else requests * window.lasts / spare
        return QuotaPace(least, max(load, 0.0))

    def stretched(self, interval: float) -> float:
        """An interval of the adaptive schedule, in seconds, as the load allows it."""
        if self.load <= _USUAL_LOAD:
            return interval
        share = (self.load - _USUAL_LOAD) / (_HIGH_LOAD - _USUAL_LOAD)
        excess = max(self.load - _EXCESS_LOAD, 0.0) * _EXCESS_SECONDS
        longest = min(MAX_INTERVAL + excess, _MAX_EXCESS_INTERVAL)
        return max(interval, min(interval * (1 + (_HIGH_STRETCH - 1) * share), longest))


@dataclass(frozen=True)
class PollSchedule:
    """The seconds between two polls of a wait.

    The adaptive schedule polls every 2.5 to 4.4 s while no row has arrived, every 2 s around the time at which the
    previous round was complete, every 3.8 s while several agents are missing and every 2 s while one is. It polls every
    10 s when nothing has come for long, and when all clients together use nearly all of the quota.

    :param interval: a fixed interval in seconds; ``None`` for the adaptive schedule.
    :param round_length: how long the previous round took, in seconds; ``None`` when that is unknown.
    """

    interval: float | None = None
    round_length: float | None = None

    def seconds(self, arrivals: Arrivals, pace: QuotaPace | None = None) -> float:
        """Seconds until the next poll.

        :param pace: the pace that the quota allows; no limit when ``None``.
        """
        pace = pace or QuotaPace()
        if self.interval is not None:
            return max(self.interval, pace.least)
        before_rows = self._before_the_first_row(arrivals.age)
        interval = _while_agents_report(arrivals, before_rows) if arrivals.reported else before_rows
        return max(pace.stretched(interval), pace.least)

    def _before_the_first_row(self, age: float) -> float:
        length = self.round_length
        if length is not None and age < 1.3 * length + 5:
            dense_from = 0.9 * length
            if age >= dense_from:
                return MIN_INTERVAL
            return min(max(dense_from - age, MIN_INTERVAL), _SPARSE_INTERVAL)
        usual = _EARLY_INTERVAL if age < 30 else _LATER_INTERVAL
        return min(max(usual, age / _PATIENCE), MAX_INTERVAL)


def _while_agents_report(arrivals: Arrivals, before_rows: float) -> float:
    """Not sparser than without a row, dense for the last agent, and sparser the longer no new row arrives."""
    dense = MIN_INTERVAL if arrivals.missing == 1 else min(_EARLY_INTERVAL, before_rows)
    return min(max(dense, arrivals.quiet / _QUIET_PATIENCE), MAX_INTERVAL)
