"""Choosing among the tests that ``GET /tests`` lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

LATITUDE = 60.0
"""Seconds that a test may say to have been created before it was asked for; clocks and rounding differ."""


def select_tests(
    tests: Iterable[Mapping[str, Any]],
    *,
    name: str | None = None,
    labels: str | Sequence[str] | None = None,
    test_type: str | None = None,
) -> list[dict[str, Any]]:
    """The tests that fit everything that is asked for.

    :param tests: as ThousandEyes lists them.
    :param name: a name, whatever the case; ``*`` stands for any characters, ``?`` for one.
    :param labels: a label or several, all of which a test must have; by name, whatever the case, or id.
    :param test_type: a test type.
    :raises ValueError: when labels are asked for and no test tells any.
    """
    listed = [dict(test) for test in tests]
    # Only `*` and `?` are special; `[` is as common in names as any other character.
    pattern = None if name is None else name.casefold().replace("[", "[[]")
    wanted = [labels] if isinstance(labels, str) else [str(label) for label in labels or ()]
    if wanted and listed and not any("labels" in test for test in listed):
        raise ValueError(
            f"labels {wanted!r}: ThousandEyes lists {len(listed)} tests and tells the labels of none"
        )
    return [
        test
        for test in listed
        if (test_type is None or test.get("type") == test_type)
        and (pattern is None or fnmatchcase(str(test.get("testName", "")).casefold(), pattern))
        and {label.casefold() for label in wanted} <= _labels_of(test)
    ]


def is_older(test: Mapping[str, Any], than: float) -> bool:
    """Whether a test says that it was created before a time, epoch seconds; one that does not say is not."""
    try:
        created = datetime.fromisoformat(str(test.get("createdDate")))
    except ValueError:
        return False
    return (created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp() < than - LATITUDE


def _labels_of(test: Mapping[str, Any]) -> set[str]:
    """The names, whatever the case, and ids of the labels of a test."""
    found: set[str] = set()
    told = test.get("labels")
    for label in told if isinstance(told, list) else ():
        members = (label.get("name"), label.get("labelId")) if isinstance(label, Mapping) else (label,)
        found |= {str(member).casefold() for member in members if member is not None}
    return found
