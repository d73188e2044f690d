"""The requests of both hooks: their arguments are checked and their addresses built here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.coerce import printable
from thousandeyes_provider.api.endpoints import ApiRequest, Endpoint
from thousandeyes_provider.api.redaction import describe, shorten
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError

SNAPSHOT_HOURS = (1, 2, 4, 6, 12, 24, 48)
"""Lengths of a snapshot, hours (docs/thousandeyes-api.md, "Snapshots")."""

DIRECTIONS = ("to-target", "from-target", "bidirectional")
EXPANSIONS = ("header", "certificate")

_MAX_LABEL = 200


@dataclass(frozen=True)
class RequestBuilder:
    """Builds the requests for one base URL and account group.

    :param base_url: address that paths are appended to.
    :param account_group_id: ``aid`` of every operation that has the parameter; left out when ``None``.
    """

    base_url: str
    account_group_id: str | None

    def simple(self, operation: Endpoint) -> ApiRequest:
        """The request of an operation without arguments."""
        return self._request(operation, operation.name)

    def run(self, test_id: str | int) -> ApiRequest:
        """The request that runs an instant test."""
        return self._request(endpoints.RUN, f"run of test {test_id}", parts={"test_id": test_id})

    def create(self, test_type: str, definition: Mapping[str, Any]) -> ApiRequest:
        """The request that creates an instant test."""
        one_of("test_type", test_type, TEST_TYPES)
        name = definition.get("testName")
        label = f"creation of {test_type} test {name!r}" if name else f"creation of a {test_type} test"
        return self._request(endpoints.CREATE, label, parts={"test_type": test_type}, body=definition)

    def test(self, test_id: str | int, test_type: str) -> ApiRequest:
        """The request for the definition of a test with its agents."""
        one_of("test_type", test_type, TEST_TYPES)
        parts = {"test_type": test_type, "test_id": test_id}
        return self._request(endpoints.TEST, f"{test_type} test {test_id}", parts=parts)

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
        """The request for the first page of the results of one type."""
        one_of("result_type", result_type, RESULT_TYPES)
        params = _period(window, start_date, end_date)
        if direction is not None:
            one_of("direction", direction, DIRECTIONS)
            params["direction"] = direction
        if expand:
            texts = [expand] if isinstance(expand, str) else expand
            names = [name for text in texts for name in text.split(",")]
            for name in names:
                one_of("expand", name, EXPANSIONS)
            params["expand"] = ",".join(names)
        label = f"{result_type} results of test {test_id}"
        return self._request(
            endpoints.RESULTS, label, parts={"test_id": test_id, "result_type": result_type}, params=params
        )

    def details(
        self, test_id: str | int, result_type: str, agent_id: str | int, round_id: str | int
    ) -> ApiRequest:
        """The request for the details of one agent in one round."""
        one_of("result_type", result_type, endpoints.DETAILED)
        parts = {
            "test_id": test_id,
            "result_type": result_type,
            "agent_id": agent_id,
            "round_id": round_id,
        }
        label = f"{result_type} details of test {test_id}, agent {agent_id}, round {round_id}"
        return self._request(endpoints.DETAILS, label, parts=parts)

    def console_logs(self, test_id: str | int, agent_id: str | int, round_id: str | int) -> ApiRequest:
        """The request for the browser's console of one agent in one round."""
        parts = {"test_id": test_id, "agent_id": agent_id, "round_id": round_id}
        label = f"console logs of test {test_id}, agent {agent_id}, round {round_id}"
        return self._request(endpoints.CONSOLE_LOGS, label, parts=parts)

    def alert_rule(self, rule_id: Any) -> ApiRequest:
        """The request for the details of an alert rule."""
        return self._request(endpoints.ALERT_RULE, f"alert rule {rule_id}", parts={"rule_id": rule_id})

    def period(
        self,
        operation: Endpoint,
        *,
        window: str | int | None,
        start_date: str | datetime | None,
        end_date: str | datetime | None,
        params: Mapping[str, str] | None = None,
    ) -> ApiRequest:
        """The request for the first page of a list that is limited by time."""
        params = {**_period(window, start_date, end_date), **(params or {})}
        return self._request(operation, operation.name, params=params)

    def snapshot(
        self,
        test_id: str | int,
        display_name: str,
        start_date: str | datetime,
        end_date: str | datetime,
        is_public: bool,
    ) -> ApiRequest:
        """The request for a share link to a range of results."""
        start, end = _date("start_date", start_date), _date("end_date", end_date)
        if (end - start).total_seconds() not in [hours * 3600 for hours in SNAPSHOT_HOURS]:
            raise ThousandEyesConfigurationError(
                f"start_date and end_date of a snapshot must be {', '.join(map(str, SNAPSHOT_HOURS))} hours apart, "
                f"got {end - start}"
            )
        body = {
            "displayName": display_name,
            "startDate": iso_time(start.timestamp()),
            "endDate": iso_time(end.timestamp()),
            "isPublic": is_public,
        }
        label = f"snapshot of test {test_id}"
        return self._request(endpoints.SNAPSHOT, label, parts={"test_id": test_id}, body=body)

    def _request(
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
            operation,
            shorten(printable(label), _MAX_LABEL),
            self.base_url + path + (f"?{urlencode(query)}" if query else ""),
            body,
        )


def one_of(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check an argument that has a few possible values.

    :raises ThousandEyesConfigurationError: naming the argument, the value and the choices.
    """
    if value not in tuple(choices):
        raise ThousandEyesConfigurationError(
            f"{name} must be one of {', '.join(choices)}, got {describe(value)}"
        )


def _period(
    window: str | int | None, start: str | datetime | None, end: str | datetime | None
) -> dict[str, str]:
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
        key: iso_time(_date(name, value).timestamp())
        for key, (name, value) in dates.items()
        if value is not None
    }


def _date(name: str, value: str | datetime) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ThousandEyesConfigurationError(
                f"{name} must be a date and time in ISO 8601, got {describe(value)}"
            ) from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
