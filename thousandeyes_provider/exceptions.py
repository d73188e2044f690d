"""Every error of this provider that a DAG can meet.

Hooks raise the plain classes. Operators and sensors raise the errors that no retry can fix as a subclass that is
an ``AirflowFailException`` as well (:func:`without_retry`), so that Airflow spends no task retry on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class ThousandEyesError(AirflowException):
    """Base of all errors of this provider."""


class ThousandEyesConfigurationError(ThousandEyesError, ValueError):
    """An argument or a field of the connection is not what it should be; nothing was sent because of it."""


class ThousandEyesApiError(ThousandEyesError):
    """ThousandEyes answered with an error.

    :param message: the whole story in a line.
    :param status: HTTP status.
    :param title: ThousandEyes' short text.
    :param detail: ThousandEyes' explanation, if it gave one.
    :param errors: one ``{"code", "field", "message"}`` for each wrong field, if it named any.
    :param url: what was asked for.
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
    """401 or 403: the token is not valid, or may not do this."""


class ThousandEyesNotFoundError(ThousandEyesApiError):
    """404: there is no such test, or not in this account group."""


class ThousandEyesRequestError(ThousandEyesApiError):
    """400 or another 4xx: ThousandEyes does not take the request; ``errors`` has each wrong field."""


class ThousandEyesRateLimitError(ThousandEyesApiError):
    """429 for longer than may be waited (``queue_timeout``, or the deadline).

    :param reset_at: when the limit ends, by ThousandEyes' clock, in UTC; ``None`` when it did not say.
    :param bucket: whose limit: ``organization``, ``instant-test`` or ``unnamed``.
    """

    def __init__(
        self, message: str = "", *, reset_at: datetime | None = None, bucket: str | None = None, **answer: Any
    ) -> None:
        super().__init__(message, **answer)
        self.reset_at = reset_at
        self.bucket = bucket


class ThousandEyesServerError(ThousandEyesApiError):
    """5xx, also on the last attempt."""


class ThousandEyesConnectionError(ThousandEyesError):
    """No usable answer, also on the last attempt: no connection, a timeout, a cut or garbled answer."""


class _Judged(ThousandEyesError):
    """A run that ended without a pass; carries what is known of it.

    :param evidence: the same dict that is pushed to XCom.
    """

    def __init__(self, message: str = "", evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.evidence = dict(evidence or {})


class InstantTestFailed(_Judged):
    """The round was judged and found bad."""


class InstantTestInconclusive(_Judged):
    """The run could not be judged, so it says nothing about the deployment."""


class InstantTestIncomplete(InstantTestInconclusive):
    """At the deadline, agents were missing."""


class InstantTestNoResults(InstantTestInconclusive):
    """At the deadline, there was no fresh round at all."""


class _WithoutRetry(AirflowFailException):
    """Makes an error one on which Airflow spends no task retry, and keeps it so through pickling."""

    def __reduce__(self) -> tuple[Any, ...]:
        plain = type(self).__mro__[1]
        return _rebuild, (plain, self.args, self.__dict__)


class _ConfigurationFailure(ThousandEyesConfigurationError, _WithoutRetry):
    pass


class _AuthFailure(ThousandEyesAuthError, _WithoutRetry):
    pass


class _NotFoundFailure(ThousandEyesNotFoundError, _WithoutRetry):
    pass


class _RequestFailure(ThousandEyesRequestError, _WithoutRetry):
    pass


class _InstantTestFailure(InstantTestFailed, _WithoutRetry):
    pass


_FINAL: Mapping[type[ThousandEyesError], type[ThousandEyesError]] = {
    ThousandEyesConfigurationError: _ConfigurationFailure,
    ThousandEyesAuthError: _AuthFailure,
    ThousandEyesNotFoundError: _NotFoundFailure,
    ThousandEyesRequestError: _RequestFailure,
    InstantTestFailed: _InstantTestFailure,
}
for _plain, _final in _FINAL.items():
    # What a person reads in a log is the documented name.
    _final.__name__ = _final.__qualname__ = _plain.__name__


def without_retry(error: ThousandEyesError) -> ThousandEyesError:
    """The same error as one on which Airflow spends no task retry; ``error`` itself when a retry may help.

    That it is raised in place of another is up to the caller (``raise without_retry(error) from …``).
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
