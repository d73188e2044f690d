"""Checks of what people pass in. They raise ValueErrors that say what would have been right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def check_names(given: Iterable[Any], known: Collection[str], what: str) -> None:
    """:raises ValueError: naming the ``known`` names when ``given`` has another one."""
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} {', '.join(map(str, unknown))}; known: {', '.join(known)}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """:raises ValueError: when ``value`` is none of the ``choices``, naming them."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}: {value!r} is none of {', '.join(known)}")


def check_number(name: str, value: Any, low: float | None = None) -> None:
    """:raises ValueError: when ``value`` is no finite number, or one below ``low``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: {value!r} is no number")
    if low is not None and value < low:
        raise ValueError(f"{name}: {value!r} is out of range, {low:g} at least")


def check_whole(name: str, value: Any, low: int | None = None) -> None:
    """:raises ValueError: when ``value`` is no whole number, or one below ``low``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}: {value!r} is no whole number")
    check_number(name, value, low)


def check_boolean(name: str, value: Any) -> None:
    """:raises ValueError: when ``value`` is neither true nor false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: {value!r} is neither true nor false")


def check_dict(name: str, value: Any) -> None:
    """:raises ValueError: when ``value`` is no dict."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: {value!r} is no dict")


def check_text(name: str, value: Any) -> None:
    """:raises ValueError: when ``value`` is no text, or an empty one."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: {value!r} is no text")
