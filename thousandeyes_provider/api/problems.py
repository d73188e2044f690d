"""The error bodies that ThousandEyes sends, read tolerantly (API-FACTS, "Errors and access")."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from thousandeyes_provider.api.response import Response

_LONGEST = 500
_MOST_SHOWN = 10
_MOST_KEPT = 1000


@dataclass(frozen=True)
class Problem:
    """What an error answer says.

    :param title: the short text.
    :param detail: the explanation of this occurrence, if any.
    :param errors: one ``{"code", "field", "message"}`` for each field that is wrong (400), 1000 at most.
    """

    title: str
    detail: str | None = None
    errors: tuple[dict[str, str], ...] = ()

    def __str__(self) -> str:
        text = self.title if self.detail in (None, self.title) else f"{self.title}: {self.detail}"
        fields = "; ".join(
            ": ".join(error[key] for key in ("field", "message") if key in error) or error["code"]
            for error in self.errors[:_MOST_SHOWN]
        )
        if len(self.errors) > _MOST_SHOWN:
            fields += f"; and {len(self.errors) - _MOST_SHOWN} more"
        return f"{text} [{fields}]" if fields else text


def read_problem(answer: Response) -> Problem:
    """The problem that an answer describes: problem+json, OAuth's shape, the older shape, or none at all."""
    title = _status_text(answer.status)
    try:
        body = answer.json()
    except ValueError:
        return Problem(title, _plain_text(answer))
    if not isinstance(body, dict):
        return Problem(title)
    told = _text(body, "title") or _text(body, "error") or _text(body, "errorMessage") or title
    detail = _text(body, "detail") or _text(body, "error_description") or _text(body, "message")
    errors = body.get("errors")
    fields = [_field_error(error) for error in errors[:_MOST_KEPT]] if isinstance(errors, list) else []
    return Problem(told, detail, tuple(error for error in fields if error))


def _field_error(error: Any) -> dict[str, str]:
    if not isinstance(error, dict):
        return {"message": error[:_LONGEST]} if isinstance(error, str) and error else {}
    return {key: text for key in ("code", "field", "message") if (text := _text(error, key))}


def _text(body: dict[str, Any], key: str) -> str | None:
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip()[:_LONGEST] or None


def _plain_text(answer: Response) -> str | None:
    """A short plain text body; pages of HTML say nothing that a log should hold."""
    if not answer.headers.get("content-type", "").startswith("text/plain"):
        return None
    return answer.body[:_LONGEST].decode("utf-8", "replace").strip() or None


def _status_text(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
