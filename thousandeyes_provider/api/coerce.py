"""Coercion of loosely typed values: numbers and booleans as text, objects as JSON or YAML, misspelt names."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from fnmatch import translate
from typing import Any

MAX_SHORT_TEXT = 500
"""Characters of :func:`short_text`."""

LARGEST_COUNT = 10**9
"""Largest count of agents or tests; larger whole numbers are none."""

MAX_CONFIRMATIONS = 5
"""Runs that may confirm a failed verdict: each is charged."""

MAX_YAML_TEXT = 64 * 1024
"""Characters of a text that is read as YAML; the parser takes almost a second for as many."""

MAX_DEPTH = 50
"""Levels of lists and objects in :func:`parse_structure` and :func:`check_structure`."""

MAX_VALUES = 100_000
"""Maximum number of values in a structure. Each alias counts with all its values."""

SEPARATOR = "; "
"""Separates agents in a list: their names contain commas."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def number(value: Any) -> float | None:
    """Return the finite number that ``value`` is or spells; ``None`` for anything else, booleans included."""
    if type(value) is float:  # by far the most values of large rounds
        return value if math.isfinite(value) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            result = float(value)
        except OverflowError:
            return None
    elif isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        result = float(value.strip())
    else:
        return None
    return result if math.isfinite(result) else None


def whole_number(value: Any) -> int | None:
    """Return the whole number that ``value`` is or spells; ``None`` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    result = number(value)
    return int(result) if result is not None and result.is_integer() else None


def boolean(value: Any) -> bool | None:
    """Return the boolean that ``value`` is or spells (``"false"`` is false); ``None`` for anything else."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def count_or_fraction(value: Any) -> int | float | None:
    """Return a count of 0 or more, or a fraction from 0.0 to 1.0; ``None`` for anything else.

    ``1`` counts one, ``1.0`` is the whole: a fraction is a ``float``, or a text with a point.
    """
    text = value.strip() if isinstance(value, str) else value
    is_fraction = isinstance(text, float) or "." in str(text)
    parsed = number(text) if is_fraction else whole_number(text)
    return parsed if parsed is not None and 0 <= parsed <= (1 if is_fraction else LARGEST_COUNT) else None


def parse_allowed_errors(value: object) -> int | float:
    """Parse ``max_agent_errors``: a count (whole number), or a fraction (0.0 to 1.0, with a point).

    :raises ValueError: for anything else.
    """
    parsed = count_or_fraction(value)
    if parsed is None:
        raise ValueError(f"{value!r} is neither a count of agents nor a fraction from 0.0 to 1.0")
    return parsed


def parse_confirm_failures(value: object) -> int:
    """Parse ``confirm_failures``, a number of confirming runs.

    :raises ValueError: for anything else.
    """
    count = whole_number(value)
    if count is None or not 0 <= count <= MAX_CONFIRMATIONS:
        raise ValueError(f"expected a whole number from 0 to {MAX_CONFIRMATIONS}")
    return count


def share(fraction: float, of: int) -> int:
    """Return a fraction of a count, rounded up: at least 1 for a fraction above 0."""
    # A share of 3.0000000000000004 things is 3 of them.
    return max(math.ceil(fraction * of - 1e-9), 1 if fraction and of else 0)


def seconds(value: Any) -> float | None:
    """Return the seconds of a number, a text that spells a number, or a timedelta; ``None`` for anything else."""
    return value.total_seconds() if isinstance(value, timedelta) else number(value)


def printable(text: str) -> str:
    """Return ``text`` with a space in place of each character that a log or a database may refuse.

    These are line ends, control characters and halves of surrogate pairs.
    """
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def shorten(text: str, limit: int) -> str:
    """Return ``text`` with at most ``limit`` characters; a cut text ends in an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def join_truncated(names: Sequence[str], limit: int = 8, count: int | None = None) -> str:
    """Join the first names with semicolons and count the others: ``Oslo; Rome and 3 more``.

    :param limit: maximum number of names.
    :param count: total number, if ``names`` is itself shortened.
    """
    shown = names[:limit]
    more = (len(names) if count is None else count) - len(shown)
    return SEPARATOR.join(shown) + (f" and {more} more" if more > 0 else "")


def name_matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether a name matches a pattern, regardless of case: ``*`` matches any characters, ``?`` matches one.

    The time is linear in the name. No other character is special: names contain brackets.
    """
    matches = re.compile(translate(pattern.strip().casefold().replace("[", "[[]"))).match
    return lambda name: matches(name.strip().casefold()) is not None


def short_text(value: Any) -> str:
    """Return a text or a whole number as printable text, at most :data:`MAX_SHORT_TEXT` characters.

    :return: empty for anything else (booleans, lists, objects).
    """
    if type(value) is not str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            return ""
        value = str(value)
    text: str = value if len(value) <= MAX_SHORT_TEXT else value[:MAX_SHORT_TEXT]
    return text if text.isprintable() else printable(text)


def inner_value(value: Any, *names: str) -> Any:
    """Return the value at a path of names in nested objects; ``None`` if it does not exist."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def objects_in(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a list, without other entries; an empty list for anything else."""
    if not isinstance(value, list):
        return []
    # Large rounds: the check of an abstract class takes longer than all the rest.
    return [entry for entry in value if type(entry) is dict or isinstance(entry, Mapping)]


# -- misspelt names --------------------------------------------------------------------------------------------------


def closest(value: Any, choices: Iterable[str], aliases: Mapping[str, str] | None = None) -> str | None:
    """Return the choice that ``value`` most likely means; ``None`` when none is close.

    Case, spaces and hyphens do not count.

    :param choices: the valid names.
    :param aliases: lower-case names from other tools to the corresponding choice.
    """
    names = list(choices)
    text = str(value).strip()
    meant = (aliases or {}).get(text.lower())
    if meant in names:
        return meant
    return next(iter(closest_names(text, names, limit=1, cutoff=0.6)), None)


def closest_names(value: str, choices: Iterable[str], *, limit: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return the choices that are most like ``value``, the closest first.

    :param limit: maximum number of results.
    :param cutoff: how alike they must be, from 0 to 1.
    """
    import difflib  # only an error needs it

    by_spelling: dict[str, str] = {}
    for choice in choices:
        by_spelling.setdefault(_spelling(choice), choice)
    spellings = difflib.get_close_matches(_spelling(value[:MAX_SHORT_TEXT]), by_spelling, limit, cutoff)
    return [by_spelling[spelling] for spelling in spellings]


def did_you_mean(value: Any, choices: Iterable[str]) -> str:
    """Return ``; did you mean 'name'?``; empty when no choice is close."""
    name = closest(value, choices)
    return f"; did you mean {name!r}?" if name else ""


def _spelling(name: str) -> str:
    return re.sub(r"[\s-]", "_", name.strip().casefold())


# -- objects and lists as text ---------------------------------------------------------------------------------------


def parse_structure(text: str, *, yaml: bool = False) -> Any:
    """Return the value that a text spells as JSON or as a Python literal, the form of a rendered template.

    :param yaml: whether to read a text that is neither as YAML. Aliases count with all their values.
    :raises ValueError: when the text cannot be read, an object has a key twice, or the structure is too deep or too
        large; the message has the position.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        not_json = f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
    else:
        check_structure(value)
        return value
    try:
        tree = ast.parse(text.strip(), mode="eval")
        value = ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if not yaml:
            raise ValueError(not_json) from None
        value = _parse_yaml(text)
    else:
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                _unique_keys([(ast.literal_eval(key), None) for key in node.keys if key is not None])
    check_structure(value)
    return value


_SCALARS = (str, int, float, type(None))


def check_structure(value: Any) -> None:
    """Check that a structure of lists and objects is a tree of bounded size.

    Visits at most :data:`MAX_VALUES` values, so that aliases of aliases and references to itself end quickly.

    :raises ValueError: when it is nested more than :data:`MAX_DEPTH` levels deep, which includes a reference to
        itself, or when it has more than :data:`MAX_VALUES` values.
    """
    count = 0
    open_levels = [iter((value,))]
    while open_levels:
        for part in open_levels[-1]:
            count += 1
            if count > MAX_VALUES:
                raise ValueError(f"more than {MAX_VALUES} values, aliases included")
            if isinstance(part, _SCALARS):
                continue
            if isinstance(part, Mapping | list | tuple | set | frozenset):
                if len(open_levels) > MAX_DEPTH:
                    raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
                open_levels.append(iter(part.values() if isinstance(part, Mapping) else part))
                break
        else:
            open_levels.pop()


def _unique_keys(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"duplicate key {_quoted(key)} in one object")
        result[key] = value
    return result


def _quoted(key: Any) -> str:
    return json.dumps(key) if isinstance(key, str) else repr(key)


def _parse_yaml(text: str) -> Any:
    if len(text) > MAX_YAML_TEXT:
        raise ValueError(f"neither JSON nor YAML of at most {MAX_YAML_TEXT} characters, got {len(text)}")
    import yaml  # type: ignore[import-untyped,unused-ignore]

    try:
        # The constructor refuses control characters.
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"neither JSON nor YAML: {error}") from None
    if node is None:
        return None
    _check_yaml_node(node, {})
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        # An impossible date is a ValueError, an object as the key of another a TypeError.
        raise ValueError(f"neither JSON nor YAML: {error}") from None


def _check_yaml_node(node: Any, sizes: dict[int, int], depth: int = 0) -> int:
    """Return the number of values below a YAML node with all aliases expanded, which merge keys (``<<``) do.

    :raises ValueError: when there are too many values or levels, or when an object has a key twice.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    known = sizes.get(id(node))
    if known is not None:
        return known
    size = 1
    if node.id == "mapping":
        _check_yaml_keys(node)
    if node.id != "scalar":
        for part in node.value:
            for inner in part if isinstance(part, tuple) else (part,):
                size += _check_yaml_node(inner, sizes, depth + 1)
    if size > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values, aliases included")
    sizes[id(node)] = size
    return size


def _check_yaml_keys(mapping: Any) -> None:
    """Refuse a mapping with a key twice: YAML would drop the first. The merge key ``<<`` loses nothing."""
    keys = set()
    for key, _ in mapping.value:
        if key.id != "scalar" or key.tag == "tag:yaml.org,2002:merge":
            continue
        if (key.tag, key.value) in keys:
            raise ValueError(
                f"duplicate key {_quoted(key.value)} in one object, line {key.start_mark.line + 1}"
            )
        keys.add((key.tag, key.value))
