"""Validation of arguments. Every error states the expectation and the value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def check_names(given: Iterable[Any], known: Collection[str], what: str) -> None:
    """Check that all names are known.

    :param what: what the names are, for the error.
    :raises ValueError: for an unknown name; the message lists the known ones.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} {', '.join(map(str, unknown))}; known: {', '.join(known)}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check that a value is one of the choices.

    :raises ValueError: for any other value; the message lists the choices.
    """
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def check_number(name: str, value: Any, low: float | None = None) -> None:
    """Check that a value is a finite number.

    :param low: lowest valid number.
    :raises ValueError: for any other value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if low is not None and value < low:
        raise ValueError(f"{name} must be at least {low:g}, got {value!r}")


def check_whole(name: str, value: Any, low: int | None = None) -> None:
    """Check that a value is a whole number.

    :param low: lowest valid number.
    :raises ValueError: for any other value.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    check_number(name, value, low)


def check_boolean(name: str, value: Any) -> None:
    """Check that a value is a boolean.

    :raises ValueError: for any other value.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")


def check_dict(name: str, value: Any) -> None:
    """Check that a value is a dict.

    :raises ValueError: for any other value.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a dict, got {value!r}")


def check_text(name: str, value: Any) -> None:
    """Check that a value is a string that is not empty.

    :raises ValueError: for any other value.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a non-empty string, got {value!r}")
