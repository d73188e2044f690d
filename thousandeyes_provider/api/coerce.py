"""Reading loosely typed values: numbers that arrive as text, booleans that arrive as words."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_LONGEST = 500


def number(value: Any) -> float | None:
    """The finite number that ``value`` is or spells; ``None`` when it is none (booleans are none)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            return None
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        found = float(value.strip())
    else:
        return None
    return found if math.isfinite(found) else None


def whole_number(value: Any) -> int | None:
    """The whole number that ``value`` is or spells; ``None`` when it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def boolean(value: Any) -> bool | None:
    """The boolean that ``value`` is or spells (``"false"`` is false); ``None`` when it is none."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def printable(text: str) -> str:
    """``text`` on one line, and such that every log and database takes it: what cannot be shown is a space.

    Line ends, control characters and halves of surrogate pairs, all of which JSON can spell, are among that.
    """
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def short_text(value: Any) -> str:
    """What a name, an id or a word is: a text, or a whole number, that can be shown, at most 500 characters.

    :return: empty for anything else (booleans, lists, objects).
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return printable(str(value)[:_LONGEST])


def seconds(value: Any) -> float | None:
    """A duration in seconds from a number, a text that spells one, or a timedelta; ``None`` otherwise."""
    return value.total_seconds() if isinstance(value, timedelta) else number(value)
