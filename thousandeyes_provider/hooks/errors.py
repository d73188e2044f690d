"""The exception for a request that is given up: the decisions of ``api/`` translated for DAGs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from thousandeyes_provider.api.flows import RequestAbandoned
from thousandeyes_provider.api.problems import read_problem
from thousandeyes_provider.api.response import NoResponse
from thousandeyes_provider.exceptions import (
    ThousandEyesApiError,
    ThousandEyesAuthError,
    ThousandEyesConnectionError,
    ThousandEyesError,
    ThousandEyesNotFoundError,
    ThousandEyesRateLimitError,
    ThousandEyesRequestError,
    ThousandEyesServerError,
)

_MAX_MESSAGE = 2000

_BY_STATUS = {401: ThousandEyesAuthError, 403: ThousandEyesAuthError, 404: ThousandEyesNotFoundError}
_BY_CLASS = {4: ThousandEyesRequestError, 5: ThousandEyesServerError}


def error_for(abandoned: RequestAbandoned, conn_id: str, redact: Callable[..., str]) -> ThousandEyesError:
    """The exception for a request that is given up.

    :param redact: makes a text fit to be shown, ``(text, limit)``.
    """
    request, outcome, decision = abandoned.request, abandoned.outcome, abandoned.decision
    source = f"({request.endpoint.method} {request.url}, connection {conn_id!r})"
    if isinstance(outcome, NoResponse) or outcome.status < 300:
        return ThousandEyesConnectionError(
            redact(f"{request.label}: {decision.reason} {source}", _MAX_MESSAGE)
        )
    problem = read_problem(outcome, redact)
    reason = "" if decision.reason == str(outcome.status) else f"; {decision.reason}"
    message = redact(f"{request.label}: {outcome.status} {problem}{reason} {source}", _MAX_MESSAGE)
    details: dict[str, Any] = {
        "status": outcome.status,
        "title": problem.title,
        "detail": problem.detail,
        "errors": problem.errors,
        "url": redact(outcome.url),
    }
    if outcome.status == 429:
        reset = decision.reset
        return ThousandEyesRateLimitError(
            message,
            reset_at=_datetime(reset.at) if reset else None,
            bucket=reset.bucket if reset else None,
            **details,
        )
    kind = _BY_STATUS.get(outcome.status) or _BY_CLASS.get(
        min(outcome.status // 100, 5), ThousandEyesApiError
    )
    return kind(message, **details)


def _datetime(epoch: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(epoch, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return None
