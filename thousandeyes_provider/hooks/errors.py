"""What an answer, or none, amounts to as an exception: the decisions of ``api/`` translated for DAGs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from thousandeyes_provider.api.problems import read_problem
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.retry import GiveUp
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
from thousandeyes_provider.hooks.request_builder import ApiRequest


def error_for(
    call: ApiRequest, outcome: Response | NoResponse, decision: GiveUp, scrub: Callable[[str], str]
) -> ThousandEyesError:
    """The exception for a call that is given up, with everything that is known about it.

    :param call: what was sent.
    :param outcome: what came back last.
    :param decision: why nothing more is sent.
    :param scrub: takes secrets out of a text, should a server or a library repeat one.
    """
    method = call.operation.method
    if isinstance(outcome, NoResponse) or outcome.status < 300:
        return ThousandEyesConnectionError(scrub(f"{call.label}: {decision.reason} ({method} {call.url})"))
    problem = read_problem(outcome)
    more = "" if decision.reason == str(outcome.status) else f"; {decision.reason}"
    message = scrub(f"{call.label}: {outcome.status} {problem}{more} ({method} {outcome.url})")
    known: dict[str, Any] = {
        "status": outcome.status,
        "title": scrub(problem.title),
        "detail": scrub(problem.detail) if problem.detail else None,
        "errors": [{key: scrub(text) for key, text in error.items()} for error in problem.errors],
        "url": scrub(outcome.url),
    }
    if outcome.status == 429:
        reset = decision.reset
        return ThousandEyesRateLimitError(
            message,
            reset_at=_datetime(reset.at) if reset else None,
            bucket=reset.bucket if reset else None,
            **known,
        )
    return _error_class(outcome.status)(message, **known)


def _error_class(status: int) -> type[ThousandEyesApiError]:
    if status in (401, 403):
        return ThousandEyesAuthError
    if status == 404:
        return ThousandEyesNotFoundError
    if 400 <= status < 500:
        return ThousandEyesRequestError
    return ThousandEyesServerError if status >= 500 else ThousandEyesApiError


def _datetime(epoch: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(epoch, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return None
