"""The exceptions of this provider.

Hooks raise the documented classes. Operators and sensors raise permanent errors as subclasses that also derive from
``AirflowFailException`` (:func:`without_retry`), so that Airflow does not retry the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class ThousandEyesError(AirflowException):
    """Base class of all errors of this provider."""


class ThousandEyesConfigurationError(ThousandEyesError, ValueError):
    """An argument or a connection field is invalid. The request was not sent."""


class ThousandEyesApiError(ThousandEyesError):
    """ThousandEyes returned an error response.

    :param message: complete error message in one line.
    :param status: HTTP status.
    :param title: title of the error in the response.
    :param detail: explanation in the response, if any.
    :param errors: a dict of ``code``, ``field`` and ``message`` for each invalid field in the response.
    :param url: URL of the request.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        title: str = "",
        detail: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        url: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.url = url


class ThousandEyesAuthError(ThousandEyesApiError):
    """401 or 403: the token is invalid or has no permission."""


class ThousandEyesNotFoundError(ThousandEyesApiError):
    """404: the object does not exist, or belongs to another account group."""


class ThousandEyesRequestError(ThousandEyesApiError):
    """400 or another 4xx: ThousandEyes rejected the request. ``errors`` lists the invalid fields."""


class ThousandEyesRateLimitError(ThousandEyesApiError):
    """429: the rate limit resets after ``queue_timeout`` or the deadline.

    :param reset_at: reset of the limit by ThousandEyes' clock, in UTC; ``None``: not announced.
    :param bucket: the exhausted limit: ``organization``, ``instant-test`` or ``unnamed``.
    """

    def __init__(
        self,
        message: str = "",
        *,
        reset_at: datetime | None = None,
        bucket: str | None = None,
        **response: Any,
    ) -> None:
        super().__init__(message, **response)
        self.reset_at = reset_at
        self.bucket = bucket


class ThousandEyesServerError(ThousandEyesApiError):
    """5xx on every attempt."""


class ThousandEyesConnectionError(ThousandEyesError):
    """No usable response on any attempt: no connection, a timeout, or a truncated or invalid response."""


class _Judged(ThousandEyesError):
    """A run that did not pass.

    :param evidence: evidence of the run, as pushed to XCom.
    """

    def __init__(self, message: str = "", evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.evidence = dict(evidence or {})


class InstantTestFailed(_Judged):
    """The round does not meet the criteria."""


class InstantTestInconclusive(_Judged):
    """The run neither passed nor failed, so nothing is known about the deployment."""


class InstantTestIncomplete(InstantTestInconclusive):
    """Agents were missing at the deadline."""


class InstantTestNoResults(InstantTestInconclusive):
    """No new round appeared before the deadline."""


class _WithoutRetry(AirflowFailException):
    """Prevents Airflow's task retries, and preserves this through pickling."""

    def __reduce__(self) -> tuple[Any, ...]:
        plain = type(self).__mro__[1]
        return _rebuild, (plain, self.args, self.__dict__)


MISTAKES: tuple[type[ThousandEyesError], ...] = (
    ThousandEyesConfigurationError,
    ThousandEyesAuthError,
    ThousandEyesNotFoundError,
    ThousandEyesRequestError,
)
"""Errors that a person has to correct. Any other error makes a run inconclusive: ``on_inconclusive`` covers it."""

_FINAL: Mapping[type[ThousandEyesError], type[ThousandEyesError]] = {
    plain: cast("type[ThousandEyesError]", type(plain.__name__, (plain, _WithoutRetry), {}))
    for plain in (*MISTAKES, InstantTestFailed)
}
"""The subclass of each permanent error that Airflow does not retry. Logs show the documented name."""


def without_retry(error: ThousandEyesError) -> ThousandEyesError:
    """Return a permanent error as a subclass that Airflow does not retry; return a transient error unchanged.

    The caller sets the cause of the returned error (``raise without_retry(error) from …``).
    """
    if type(error) not in _FINAL:
        return error
    return _rebuild(type(error), error.args, error.__dict__).with_traceback(error.__traceback__)


def _rebuild(
    plain: type[ThousandEyesError], args: tuple[Any, ...], attributes: Mapping[str, Any]
) -> ThousandEyesError:
    final = _FINAL[plain]
    same = final.__new__(final)
    same.args = args
    same.__dict__.update(attributes)
    return same
