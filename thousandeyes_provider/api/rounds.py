"""Which rows of results can belong to the round of our run.

The run call returns no id, so the round is recognized by what ThousandEyes showed before the call and by when the call
was sent. See ``docs/thousandeyes-api.md``, "Running a test" and "Results".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from thousandeyes_provider.api.coerce import inner_value, short_text, whole_number
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row

ROUND_CLOCK_TOLERANCE = 1.0
"""Seconds that a round id, unless it is a whole minute, may be before the time at which the run call was sent."""

YEAR_10000 = 253_402_300_800
"""Epoch seconds that no valid time reaches."""

_MINUTE = 60

ROUND_ID_LAG = 60.0
"""Seconds that a round id is at most before the call that started the round: ids may be whole minutes."""

_CLOCK_ERROR = 30.0
"""Seconds that our estimate of ThousandEyes' clock may be behind it: as long as a response may take."""

_WINDOW_MARGIN = 120.0
"""Seconds that a ``window`` reaches back beyond the time at which the run call was sent."""

_WINDOW_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

_WEB_ADDRESS = re.compile(r"https?://[\x21-\x7e]{1,1992}", re.IGNORECASE)


class RowOrigin(Enum):
    """Which round a row belongs to, as far as the row shows it."""

    OURS = "ours"
    """The row can belong to the round of our run."""
    PREVIOUS = "previous"
    """The round is the remembered one or an older one, or the row has no round id."""
    OTHER_ROUND = "other round"
    """The round is newer than the remembered one and started before the run call was sent."""
    OTHER_MEASUREMENT = "other measurement"
    """The round can be ours, but the row was measured before the run call was sent."""


def round_of(row: Row) -> int | None:
    """The round id of a row, the epoch second at which the round started; ``None`` without a valid ``roundId``."""
    round_id = whole_number(row.get("roundId"))
    return round_id if round_id is not None and 0 < round_id < YEAR_10000 else None


def newest_round(rows: Iterable[Row]) -> int | None:
    """The newest round id among ``rows``; ``None`` when no row has one."""
    return max((round_id for row in rows if (round_id := round_of(row)) is not None), default=None)


def measured_at(row: Row) -> float | None:
    """When a row was measured, epoch seconds; ``None`` when the row does not show it.

    ``startTime`` and ``date`` either repeat the round id or are the time of the agent's measurement. A time later than
    the round id is the time of the measurement; of two such times the earlier one counts.
    """
    round_id = round_of(row)
    if round_id is None:
        return None
    times = (epoch_seconds(row.get("startTime")), epoch_seconds(row.get("date")))
    return min((time for time in times if time is not None and time > round_id), default=None)


def round_length(rows: Iterable[Row]) -> float | None:
    """How long the newest round among ``rows`` took: the seconds from its start to its last measurement.

    :return: ``None`` when the rows have no time of measurement, or the round id is a whole minute, which need not be
        the start.
    """
    rows = list(rows)
    newest = newest_round(rows)
    if newest is None or newest % _MINUTE == 0:
        return None
    times = (measured_at(row) for row in rows if round_of(row) == newest)
    last = max((time for time in times if time is not None), default=None)
    return None if last is None else last - newest


def started_before(round_id: int, sent_at: float, clock_tolerance: float = ROUND_CLOCK_TOLERANCE) -> bool:
    """Whether a round started before a run call was sent.

    ThousandEyes may cut round ids to whole minutes, so a round id that is a whole minute is compared with the minute of
    the call.

    :param sent_at: when the run call was sent, epoch seconds by ThousandEyes' clock, as a lower bound.
    :param clock_tolerance: seconds that any other round id may be before ``sent_at``.
    """
    if round_id % _MINUTE == 0:
        return round_id < sent_at // _MINUTE * _MINUTE
    return round_id < sent_at - clock_tolerance


def row_origin(
    row: Row, *, remembered: int | None, sent_at: float, clock_tolerance: float = ROUND_CLOCK_TOLERANCE
) -> RowOrigin:
    """Which round a row belongs to.

    The times of a row are whole seconds, so the measurement is compared with the second in which the call was sent.

    :param remembered: the newest round before the run; ``None`` when there was none.
    :param sent_at: when the run call was sent, epoch seconds by ThousandEyes' clock, as a lower bound.
    :param clock_tolerance: see :func:`started_before`.
    """
    round_id = round_of(row)
    if round_id is None or (remembered is not None and round_id <= remembered):
        return RowOrigin.PREVIOUS
    if started_before(round_id, sent_at, clock_tolerance):
        return RowOrigin.OTHER_ROUND
    measured = measured_at(row)
    if measured is not None and measured < math.floor(sent_at):
        return RowOrigin.OTHER_MEASUREMENT
    return RowOrigin.OURS


def wait_for_next_minute(remembered: Iterable[int | None], now: float) -> float:
    """Seconds to wait before a run, so that its round id differs from the remembered one.

    Where ThousandEyes cuts round ids to whole minutes, a run in the minute of the remembered round would get the id of
    that round.

    :param remembered: the newest round of each result type.
    :param now: ThousandEyes' clock, epoch seconds.
    :return: 0 unless the id of a remembered round is a whole minute and that minute is not over. A round that starts in
        the near future by our estimate of the clock has started.
    """
    ends = (round_id + _MINUTE for round_id in remembered if round_id is not None and round_id % _MINUTE == 0)
    return max((end - now for end in ends if 0 < end - now <= _MINUTE + _CLOCK_ERROR), default=0.0)


def window_seconds(window: object) -> float:
    """The seconds of a ThousandEyes ``window``: a number with an optional ``s``, ``m``, ``h``, ``d`` or ``w``.

    :raises ValueError: when it is not one.
    """
    match = re.fullmatch(r"(\d+)([smhdw]?)", str(window).strip(), re.ASCII)
    if match is None or not int(match[1]):
        raise ValueError(f"window {window!r} is not a number with s, m, h, d or w, such as 24h")
    return float(int(match[1]) * _WINDOW_UNITS[match[2]])


def window_back_to(sent_at: float, now: float) -> str:
    """The ``window`` parameter that covers the round of a run.

    :param sent_at: when the run call was sent, epoch seconds by ThousandEyes' clock.
    :param now: ThousandEyes' clock, epoch seconds.
    """
    return f"{math.ceil(max(now - sent_at, 0.0) + _WINDOW_MARGIN)}s"


def agent_id_of(row: Row) -> str:
    """The id of the agent of a row; empty when the row has none."""
    return _agent_field(row, "agentId")


def agent_name_of(row: Row) -> str:
    """The name of the agent of a row; empty when the row has none."""
    return _agent_field(row, "agentName")


def row_key(result_type: str, row: Row) -> tuple[str, ...]:
    """What distinguishes a row from the other rows of its round: the agent, and its server or direction."""
    keys = RESULT_TYPES[result_type].row_keys
    return (agent_id_of(row) or agent_name_of(row), *(short_text(row.get(key)) for key in keys))


def row_content(row: Row) -> tuple[str, ...]:
    """All fields of a row as sortable text, to compare rows that have the same :func:`row_key`."""
    return tuple(sorted(f"{name} {_repr(value)}" for name, value in row.items()))


def app_link(row: Row) -> str | None:
    """The deep link of a row into ThousandEyes' web application; ``None`` unless it is a web address."""
    href = inner_value(row, "_links", "appLink", "href")
    return href if isinstance(href, str) and _WEB_ADDRESS.fullmatch(href) else None


def _agent_field(row: Row, name: str) -> str:
    agent: Any = row.get("agent")
    # Large rounds: the check of an abstract class takes longer than all the rest.
    return short_text(agent.get(name)) if type(agent) is dict or isinstance(agent, Mapping) else ""


def epoch_seconds(value: Any) -> float | None:
    """Epoch seconds of a number, a text that spells one, or an ISO 8601 text (UTC without a zone)."""
    seconds = whole_number(value)
    if seconds is None and isinstance(value, str) and len(value) <= 40:
        try:
            moment = datetime.fromisoformat(value.strip())
            return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, OverflowError):
            return None
    return float(seconds) if seconds is not None and 0 < seconds < YEAR_10000 else None


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists nested without end
        return ""
