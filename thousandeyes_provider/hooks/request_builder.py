"""The requests that hooks send: built, and their arguments checked, in one place for both hooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.endpoints import Endpoint
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.api.urls import follow
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesConnectionError

SNAPSHOT_HOURS = (1, 2, 4, 6, 12, 24, 48)
"""Lengths that a snapshot may have (SPEC)."""

DIRECTIONS = ("to-target", "from-target", "bidirectional")
EXPANSIONS = ("header", "certificate")


@dataclass(frozen=True)
class ApiRequest:
    """One request, ready to be sent as often as needed.

    :param operation: which operation.
    :param label: how logs and errors name it.
    :param url: where it goes, with its query.
    :param body: JSON body.
    """

    operation: Endpoint
    label: str
    url: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class RequestBuilder:
    """Builds the requests for one base URL and account group.

    :param base_url: what paths are appended to.
    :param account_group_id: ``aid`` wherever an operation takes it; left out when ``None``.
    """

    base_url: str
    account_group_id: str | None

    def simple(self, operation: Endpoint) -> ApiRequest:
        """An operation without arguments."""
        return self._call(operation, operation.name)

    def run(self, test_id: str | int) -> ApiRequest:
        """A run of an instant test."""
        return self._call(endpoints.RUN, f"run of test {test_id}", parts={"test_id": test_id})

    def create(self, test_type: str, definition: Mapping[str, Any]) -> ApiRequest:
        """The creation of an instant test."""
        one_of("test_type", test_type, TEST_TYPES)
        name = definition.get("testName")
        label = f"creation of {test_type} test {name!r}" if name else f"creation of a {test_type} test"
        return self._call(endpoints.CREATE, label, parts={"test_type": test_type}, body=definition)

    def test(self, test_id: str | int, test_type: str) -> ApiRequest:
        """The definition of a test, with its agents."""
        one_of("test_type", test_type, TEST_TYPES)
        parts = {"test_type": test_type, "test_id": test_id}
        return self._call(endpoints.TEST, f"{test_type} test {test_id}", parts=parts)

    def results(
        self,
        test_id: str | int,
        result_type: str,
        *,
        window: str | int | None,
        start_date: str | datetime | None,
        end_date: str | datetime | None,
        direction: str | None,
        expand: str | Iterable[str] | None,
    ) -> ApiRequest:
        """The first page of the results of one type."""
        one_of("result_type", result_type, RESULT_TYPES)
        params = _period(window, start_date, end_date)
        if direction is not None:
            one_of("direction", direction, DIRECTIONS)
            params["direction"] = direction
        if expand:
            wanted = [
                name for text in ([expand] if isinstance(expand, str) else expand) for name in text.split(",")
            ]
            for name in wanted:
                one_of("expand", name, EXPANSIONS)
            params["expand"] = ",".join(wanted)
        label = f"{result_type} results of test {test_id}"
        return self._call(
            endpoints.RESULTS, label, parts={"test_id": test_id, "result_type": result_type}, params=params
        )

    def next_page(self, call: ApiRequest, url: str, link: str) -> ApiRequest:
        """The next page: the link as it is, with ``aid`` where it does not carry one.

        :param call: the call for the page before.
        :param url: where that page came from.
        :param link: its link to the next page.
        :raises ThousandEyesConnectionError: when the link leads to another origin.
        """
        try:
            target = follow(url, link)
        except ValueError as error:
            raise ThousandEyesConnectionError(f"{call.label}: next page: {error}; not followed") from None
        query = urlsplit(target).query
        if self.account_group_id is not None and not any(name == "aid" for name, _ in parse_qsl(query)):
            target += ("&" if query else "?") + urlencode({"aid": self.account_group_id})
        return ApiRequest(call.operation, call.label, target)

    def snapshot(
        self,
        test_id: str | int,
        display_name: str,
        start_date: str | datetime,
        end_date: str | datetime,
        is_public: bool,
    ) -> ApiRequest:
        """A share link for a range of results."""
        start, end = _date("start_date", start_date), _date("end_date", end_date)
        if (end - start).total_seconds() not in [hours * 3600 for hours in SNAPSHOT_HOURS]:
            raise ThousandEyesConfigurationError(
                f"start_date and end_date of a snapshot are {end - start} apart, "
                f"expected one of {', '.join(map(str, SNAPSHOT_HOURS))} hours"
            )
        body = {
            "displayName": display_name,
            "startDate": iso_time(start.timestamp()),
            "endDate": iso_time(end.timestamp()),
            "isPublic": is_public,
        }
        label = f"snapshot of test {test_id}"
        return self._call(endpoints.SNAPSHOT, label, parts={"test_id": test_id}, body=body)

    def _call(
        self,
        operation: Endpoint,
        label: str,
        *,
        parts: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> ApiRequest:
        try:
            path = operation.fill(**(parts or {}))
        except ValueError as error:
            raise ThousandEyesConfigurationError(str(error)) from None
        query = {**operation.params, **(params or {})}
        if operation.takes_account_group and self.account_group_id is not None:
            query["aid"] = self.account_group_id
        return ApiRequest(
            operation, label, self.base_url + path + (f"?{urlencode(query)}" if query else ""), body
        )


def one_of(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check an argument that has a few possible values.

    :raises ThousandEyesConfigurationError: naming the argument, the value and the choices.
    """
    if value not in tuple(choices):
        raise ThousandEyesConfigurationError(f"{name} {value!r} is not one of {', '.join(choices)}")


def _period(
    window: str | int | None, start: str | datetime | None, end: str | datetime | None
) -> dict[str, str]:
    if window is not None and (start is not None or end is not None):
        raise ThousandEyesConfigurationError("window and start_date or end_date exclude each other")
    if end is not None and start is None:
        raise ThousandEyesConfigurationError("end_date needs a start_date")
    if window is not None:
        text = str(window).strip()
        digits = text[:-1] if text[-1:] in tuple("smhdw") else text
        if not (digits.isascii() and digits.isdigit()):
            raise ThousandEyesConfigurationError(
                f"window {window!r} is not a number with s, m, h, d or w, such as 12h"
            )
        return {"window": text}
    told = {"startDate": ("start_date", start), "endDate": ("end_date", end)}
    return {
        key: iso_time(_date(name, value).timestamp())
        for key, (name, value) in told.items()
        if value is not None
    }


def _date(name: str, value: str | datetime) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ThousandEyesConfigurationError(
                f"{name} {value!r} is not a date and time in ISO 8601"
            ) from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
