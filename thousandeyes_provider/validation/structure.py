"""Reading structures that arrive as text: JSON, or what a rendered template makes of a dict or a list."""

from __future__ import annotations

import ast
import json
from typing import Any


def structure(text: str) -> Any:
    """The value that a text spells, as JSON or as Python.

    :raises ValueError: when it is neither, or names a key of an object twice; the text says where.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            where = f"line {error.lineno} column {error.colno}"
            raise ValueError(f"not JSON: {error.msg} at {where}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{json.dumps(key)} is there twice in one object")
        found[key] = value
    return found
