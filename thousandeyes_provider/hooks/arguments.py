"""Checks of the arguments of a hook's methods, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from thousandeyes_provider.api.redaction import describe
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError


def one_of(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check an argument that has a few possible values.

    :raises ThousandEyesConfigurationError: naming the argument, the value and the choices.
    """
    if value not in tuple(choices):
        raise ThousandEyesConfigurationError(
            f"{name} must be one of {', '.join(choices)}, got {describe(value)}"
        )


def period(
    window: str | int | None, start: str | datetime | None, end: str | datetime | None
) -> dict[str, str]:
    """The query parameters of a period.

    :raises ThousandEyesConfigurationError: when the arguments are invalid or exclude each other.
    """
    if window is not None and (start is not None or end is not None):
        raise ThousandEyesConfigurationError("give either window, or start_date and end_date, not both")
    if end is not None and start is None:
        raise ThousandEyesConfigurationError("end_date requires start_date")
    if window is not None:
        text = str(window).strip()
        digits = text[:-1] if text[-1:] in tuple("smhdw") else text
        if not (digits.isascii() and digits.isdigit()):
            raise ThousandEyesConfigurationError(
                f"window must be a number with s, m, h, d or w, such as 12h, got {describe(window)}"
            )
        return {"window": text}
    dates = {"startDate": ("start_date", start), "endDate": ("end_date", end)}
    return {
        key: iso_time(date_of(name, value).timestamp())
        for key, (name, value) in dates.items()
        if value is not None
    }


def date_of(name: str, value: str | datetime) -> datetime:
    """A date that may be ISO 8601 text; in UTC without a zone.

    :raises ThousandEyesConfigurationError: naming the argument and the value.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ThousandEyesConfigurationError(
                f"{name} must be a date and time in ISO 8601, got {describe(value)}"
            ) from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
