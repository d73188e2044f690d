"""Which rows of results belong to the round that our run produced.

The run call returns no id (SPEC), so the round is recognized by what was there before: the newest round is
remembered before the run, and a row is fresh when its round is newer than that and did not start long before the
run was accepted, both by ThousandEyes' clock. DESIGN, "Fixed: waiting".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from thousandeyes_provider.api.coerce import short_text, whole_number
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row

TOLERANCE = 60.0
"""Seconds that our round may have begun before the run was accepted; round ids may be floored to the minute."""

_MINUTE = 60

YEAR_10000 = 253_402_300_800
"""Epoch seconds that no date of ours reaches."""

_WEB = re.compile(r"https?://[\x21-\x7e]{1,1992}", re.IGNORECASE)

_CLOCK_ERROR = 5.0
"""Seconds that our reading of ThousandEyes' clock may be behind it: ``Date`` is cut to the second."""


def round_of(row: Row) -> int | None:
    """The round of a row, the epoch second at which it started; ``None`` for a row that says no date."""
    told = (whole_number(row.get(key)) for key in ("roundId", "startTime"))
    return next((found for found in told if found is not None and 0 < found < YEAR_10000), None)


def newest_round(rows: Iterable[Row]) -> int | None:
    """The newest round among ``rows``."""
    return max((found for row in rows if (found := round_of(row)) is not None), default=None)


def is_fresh(row: Row, *, remembered: int | None, started_after: float) -> bool:
    """Whether a row can be of a round that was run after ``remembered`` was the newest.

    :param remembered: the newest round before the run, if there was one.
    :param started_after: when the run was accepted, epoch seconds by ThousandEyes' clock.
    """
    found = round_of(row)
    if found is None or (remembered is not None and found <= remembered):
        return False
    return found >= started_after - TOLERANCE


def wait_for_next_minute(remembered: Iterable[int | None], now: float) -> float:
    """Seconds to wait before a run, so that its round can be told from the remembered one.

    Where ThousandEyes floors round ids to the minute, a run in the minute of the remembered round would get that
    round's id.

    :param remembered: the newest round of each result type.
    :param now: ThousandEyes' clock, epoch seconds.
    :return: 0 unless a remembered round began on a full minute, and that minute is not over. One that is yet to
        begin by our reading of the clock has begun, if it is near.
    """
    ends = (found + _MINUTE for found in remembered if found is not None and found % _MINUTE == 0)
    return max((end - now for end in ends if 0 < end - now <= _MINUTE + _CLOCK_ERROR), default=0.0)


def window_back_to(started: float, now: float) -> str:
    """The ``window`` that reaches back to a round that began at ``started``, with the tolerance and some air.

    :param started: when the run was accepted, epoch seconds by ThousandEyes' clock.
    :param now: ThousandEyes' clock, epoch seconds.
    """
    return f"{math.ceil(max(now - started, 0.0) + 2 * TOLERANCE)}s"


def agent_id_of(row: Row) -> str:
    """The id of the agent that a row is from; empty when it does not say."""
    return _agent_text(row, "agentId")


def agent_name_of(row: Row) -> str:
    """The name of the agent that a row is from; empty when it does not say."""
    return _agent_text(row, "agentName")


def row_key(result_type: str, row: Row) -> tuple[str, ...]:
    """What tells a row from the other rows of its round: the agent, and its server or direction."""
    keys = RESULT_TYPES[result_type].row_keys
    return (agent_id_of(row) or agent_name_of(row), *(short_text(row.get(key)) for key in keys))


def all_that_is_said(row: Row) -> tuple[str, ...]:
    """What a row says, spelled out in an order of its own, to tell rows apart that nothing else does."""
    return tuple(sorted(f"{name} {_spelled(value)}" for name, value in row.items()))


def app_link(row: Row) -> str | None:
    """The deep link of a row into ThousandEyes' web application, when it is one to the web, as a browser takes it."""
    links = row.get("_links")
    link = links.get("appLink") if isinstance(links, Mapping) else None
    href = link.get("href") if isinstance(link, Mapping) else None
    return href if isinstance(href, str) and _WEB.fullmatch(href) else None


def _agent_text(row: Row, key: str) -> str:
    agent: Any = row.get("agent")
    return short_text(agent.get(key)) if isinstance(agent, Mapping) else ""


def _spelled(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists without an end
        return ""
