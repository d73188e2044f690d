"""Choosing among the tests that ``GET /tests`` lists, by name, type and tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from thousandeyes_provider.api.coerce import closest_names, name_matcher, objects_in

CREATED_AT_TOLERANCE = 60.0
"""Seconds by which a test may claim to be older than the call that created it: clocks and rounding differ."""

MAX_SIMILAR = 3
"""Tags that an error about an unknown tag suggests."""


def select_tests(
    tests: Iterable[Mapping[str, Any]],
    *,
    name: str | None = None,
    tags: str | Sequence[str] = (),
    known_tags: Sequence[Mapping[str, Any]] = (),
    match_tags: str = "all",
    test_type: str | None = None,
) -> list[dict[str, Any]]:
    """The tests that match every condition.

    :param name: a name, regardless of case; ``*`` matches any characters, ``?`` exactly one.
    :param tags: tags, each ``key:value``, ``key`` or an id, regardless of case.
    :param known_tags: the tags that exist, with their assignments (docs/thousandeyes-api.md, "Tags").
    :param match_tags: ``all`` or ``any`` of the tags.
    :raises ValueError: when no such tag exists.
    """
    matches_name = None if name is None else name_matcher(name)
    wanted = [tags] if isinstance(tags, str) else list(tags)
    tagged = [_tagged_tests(tag, known_tags) for tag in wanted]
    combine = set.intersection if match_tags == "all" else set.union
    chosen = combine(*tagged) if tagged else None
    return [
        dict(test)
        for test in tests
        if (test_type is None or test.get("type") == test_type)
        and (matches_name is None or matches_name(str(test.get("testName", ""))))
        and (chosen is None or str(test.get("testId")) in chosen)
    ]


def matches_test(pattern: str, test_id: str, test_name: str) -> bool:
    """Whether a pattern means a test.

    :param pattern: an id, or a name regardless of case; ``*`` matches any characters, ``?`` exactly one.
    :param test_name: name of the test; empty when it is not known.
    """
    return pattern == test_id or name_matcher(pattern)(test_name)


def is_older(test: Mapping[str, Any], than: float) -> bool:
    """Whether a test was created before a time, epoch seconds; ``False`` when it has no creation date."""
    try:
        created = datetime.fromisoformat(str(test.get("createdDate")))
    except ValueError:
        return False
    return (
        created if created.tzinfo else created.replace(tzinfo=UTC)
    ).timestamp() < than - CREATED_AT_TOLERANCE


def _tagged_tests(wanted: str, known_tags: Sequence[Mapping[str, Any]]) -> set[str]:
    """The ids of the tests that carry a tag.

    :raises ValueError: when no such tag exists.
    """
    matching = [tag for tag in known_tags if _normalized(wanted) in _spellings(tag)]
    if not matching:
        names = {_normalized(name): name for tag in known_tags if (name := _name(tag))}
        similar = [
            names[near] for near in closest_names(_normalized(wanted), names, limit=MAX_SIMILAR, cutoff=0.6)
        ]
        hint = f"did you mean {', '.join(map(repr, similar))}?" if similar else f"{len(names)} tags exist"
        raise ValueError(f"tags: no tag {wanted!r} exists; {hint}")
    return {
        str(assignment.get("id"))
        for tag in matching
        for assignment in objects_in(tag.get("assignments"))
        if assignment.get("type", "test") == "test"
    }


def _spellings(tag: Mapping[str, Any]) -> set[str]:
    spellings = (_name(tag), tag.get("key"), tag.get("id"))
    return {_normalized(str(spelling)) for spelling in spellings if spelling}


def _name(tag: Mapping[str, Any]) -> str:
    key, value = tag.get("key"), tag.get("value")
    return f"{key}:{value}" if value not in (None, "") else str(key or "")


def _normalized(text: str) -> str:
    """A tag without differences in case and in spaces around the colon."""
    key, colon, value = text.casefold().partition(":")
    return f"{key.strip()}{colon}{value.strip()}"
