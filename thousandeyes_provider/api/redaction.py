"""Text that may be shown: without secrets, on one line, and short, in this order.

A text that is shortened first can end in the middle of a secret, which no replacement finds then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from thousandeyes_provider.api.coerce import printable, shorten

MAX_TEXT = 500
"""Characters of a text of a server that an error or a log line repeats."""

_MAX_SCALAR = 20


class Redactor:
    """Makes texts of servers and libraries fit for logs and errors.

    :param secrets: what to replace, also as URLs, JSON and Python spell it, whatever the case: a host name that holds a
        secret comes back in lower case.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None

    def __call__(self, text: str, limit: int = MAX_TEXT) -> str:
        """Replace the secrets in ``text``, put it on one line and shorten it to ``limit`` characters."""
        if self._pattern is not None:
            text = self._pattern.sub("***", text)
        return shorten(printable(text).strip(), limit)


@lru_cache(maxsize=64)
def redactor_of(secrets: frozenset[str]) -> Redactor:
    """The redactor of some secrets: each poll of each wait needs one, and most have the secrets of one connection."""
    return Redactor(secrets)


def describe(value: Any) -> str:
    """A value of an unexpected shape, for an error.

    Numbers, booleans and short words are repeated. Anything else may hold a secret and is described by its type.
    """
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**_MAX_SCALAR else "a long number"
    if isinstance(value, str):
        is_word = len(value) <= _MAX_SCALAR and value.isprintable()
        return repr(value) if is_word else f"text of {len(value)} characters"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as an echo can spell it."""
    forms = {
        secret,
        quote(secret, errors="replace"),
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }
    return {form for form in forms if form.strip()}
