"""The error bodies that ThousandEyes sends, parsed tolerantly (docs/thousandeyes-api.md, "Errors and access")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from thousandeyes_provider.api.coerce import shorten
from thousandeyes_provider.api.response import Response

MAX_LISTED = 5
"""Field errors that a message lists."""

_MAX_KEPT = 1000
_MAX_LISTED_TEXT = 120
_MAX_PLAIN_TEXT = 64 * 1024


@dataclass(frozen=True)
class Problem:
    """The content of an error response. Its texts can be shown.

    :param title: the short text.
    :param detail: the explanation of this occurrence, if any.
    :param errors: one ``{"code", "field", "message"}`` for each invalid field (400), at most 1000.
    """

    title: str
    detail: str | None = None
    errors: tuple[dict[str, str], ...] = ()

    def __str__(self) -> str:
        text = self.title if self.detail in (None, self.title) else f"{self.title}: {self.detail}"
        fields = "; ".join(
            shorten(
                ": ".join(error[key] for key in ("field", "message") if key in error) or error["code"],
                _MAX_LISTED_TEXT,
            )
            for error in self.errors[:MAX_LISTED]
        )
        if len(self.errors) > MAX_LISTED:
            fields += f"; and {len(self.errors) - MAX_LISTED} more"
        return f"{text} [{fields}]" if fields else text


def read_problem(response: Response, redact: Callable[[str], str]) -> Problem:
    """The problem that a response describes: problem+json, the OAuth shape, the older shape, or none at all.

    :param redact: makes a text fit to be shown; called with each whole text.
    """

    def text_of(body: dict[str, Any], *keys: str) -> str | None:
        for key in keys:
            value = body.get(key)
            if isinstance(value, str | int) and not isinstance(value, bool) and (text := redact(str(value))):
                return text
        return None

    def field_error(error: Any) -> dict[str, str]:
        if isinstance(error, str):
            error = {"message": error}
        if not isinstance(error, dict):
            return {}
        return {key: text for key in ("code", "field", "message") if (text := text_of(error, key))}

    title = _status_text(response.status)
    try:
        body = response.json()
    except ValueError:
        return Problem(title, redact(_plain_text(response)) or None)
    if not isinstance(body, dict):
        return Problem(title)
    errors = body.get("errors")
    fields = [field_error(error) for error in errors[:_MAX_KEPT]] if isinstance(errors, list) else []
    return Problem(
        text_of(body, "title", "error", "errorMessage") or title,
        text_of(body, "detail", "error_description", "message"),
        tuple(error for error in fields if error),
    )


def _plain_text(response: Response) -> str:
    """A short plain text body. HTML pages and long texts do not explain an error."""
    is_plain = response.headers.get("content-type", "").startswith("text/plain")
    if not is_plain or len(response.body) > _MAX_PLAIN_TEXT:
        return ""
    return response.body.decode("utf-8", "replace")


def _status_text(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
