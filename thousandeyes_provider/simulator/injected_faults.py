"""Faults that a server, a proxy or the network can cause in a response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.simulator.validators import (
    check_boolean,
    check_choice,
    check_names,
    check_number,
    check_whole,
)

OPERATIONS = (
    "tests",
    "test",
    "results",
    "details",
    "console-logs",
    "run",
    "create",
    "snapshot",
    "tags",
    "tag",
    "alert-rules",
    "alert-rule",
    "alerts",
    "alert",
    "events",
    "agents",
    "account-groups",
    "current-user",
)
"""Names of the API's operations, in the log and in faults. ``*`` in a fault matches any operation."""

KINDS: Mapping[str, str] = {
    "status": "error status with a problem+json body, or with `body`",
    "cut": "the connection is closed without a response",
    "cut-body": "the connection is closed in the middle of the response body",
    "slow-first-byte": "the response starts after `seconds`",
    "slow-body": "the response body takes `seconds`",
    "html": "HTML page of a proxy, with any `status`",
    "empty": "200 without a body (for a run: looks like success, but no run starts unless `started`)",
    "not-json": "200 with a JSON content type and a body that is not JSON",
}
"""Kind of fault to description."""

_PROCESSED = ("cut-body", "slow-first-byte", "slow-body")


@dataclass(frozen=True)
class InjectedFault:
    """A fault in the responses to the next matching requests.

    :param operation: a name from :data:`OPERATIONS`, or ``*``.
    :param kind: a name from :data:`KINDS`.
    :param test_id: only requests for this test.
    :param result_type: only results of this type.
    :param times: number of requests; ``None``: no limit.
    :param skip: number of matching requests without the fault before it applies.
    :param status: HTTP status of ``status`` (default 503) and ``html`` (default 502).
    :param headers: further headers of ``status`` and ``html``.
    :param body: whole body of ``status``, ``html`` and ``not-json``, in place of the default one.
    :param title: title of the problem+json body.
    :param detail: detail of the problem+json body.
    :param seconds: delay in real seconds (``speed`` does not divide it).
    :param started: whether the request is processed (the run starts) although its response is lost. By default true
        for the kinds that only delay or cut a response, otherwise false.
    :raises ValueError: for an unknown name or an invalid value; the message lists the choices.
    """

    operation: str
    kind: str = "status"
    test_id: str | None = None
    result_type: str | None = None
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    title: str | None = None
    detail: str | None = None
    seconds: float = 0.0
    started: bool | None = None

    def __post_init__(self) -> None:
        check_choice("operation", self.operation, (*OPERATIONS, "*"))
        check_choice("kind", self.kind, KINDS)
        if self.result_type is not None:
            check_choice("result_type", self.result_type, RESULT_TYPES)
        if self.times is not None:
            check_whole("times", self.times, 1)
        check_whole("skip", self.skip, 0)
        check_number("seconds", self.seconds, 0)
        if self.status is not None:
            if self.kind not in ("status", "html"):
                raise ValueError(f"status applies to the kinds status and html only, got kind {self.kind!r}")
            check_whole("status", self.status, 200)
            if self.status > 599:
                raise ValueError(f"status must be from 200 to 599, got {self.status!r}")
        if self.started is not None:
            check_boolean("started", self.started)
            if not self.started and self.kind in _PROCESSED:
                raise ValueError(
                    f"started must not be false for kind {self.kind!r}: its requests are processed"
                )
        for name in ("test_id", "body", "title", "detail"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a string, got {getattr(self, name)!r}")
        check_headers(self.headers)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> InjectedFault:
        """Return a fault from fields given by name.

        :raises ValueError: for an unknown field or an invalid value; the message lists the choices.
        """
        check_names(given, FAULT_FIELDS, "field of a fault")
        if "operation" not in given:
            raise ValueError(f"operation is required: one of {', '.join(OPERATIONS)}, *")
        return cls(**given)

    @property
    def processed(self) -> bool:
        """Whether the API processes the request despite the fault."""
        return self.kind in _PROCESSED if self.started is None else self.started

    def matches(self, operation: str | None, test_id: str | None, result_type: str | None) -> bool:
        """Return whether the fault applies to such a request."""
        return (
            self.operation in (operation, "*")
            and self.test_id in (None, test_id)
            and self.result_type in (None, result_type)
        )


FAULT_FIELDS = tuple(part.name for part in fields(InjectedFault))


def check_headers(headers: Any) -> None:
    """Check that headers are a dict of strings.

    :raises ValueError: for any other value.
    """
    if not isinstance(headers, Mapping) or not all(
        isinstance(part, str) for header in headers.items() for part in header
    ):
        raise ValueError(f"headers must be a dict of strings, got {headers!r}")


class InjectedFaultQueue:
    """Pending faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, fault: InjectedFault) -> None:
        """Append a fault."""
        self._waiting.append(_Waiting(fault, fault.skip, fault.times))

    def take(
        self, operation: str | None, test_id: str | None, result_type: str | None
    ) -> InjectedFault | None:
        """Consume and return the first fault that applies to a request, if any."""
        for waiting in self._waiting:
            if not waiting.fault.matches(operation, test_id, result_type):
                continue
            if waiting.skip:
                waiting.skip -= 1
                continue
            if waiting.times is not None:
                waiting.times -= 1
                if not waiting.times:
                    self._waiting.remove(waiting)
            return waiting.fault
        return None

    def clear(self) -> None:
        """Remove all faults."""
        self._waiting.clear()

    def remove(self, fault: InjectedFault) -> None:
        """Remove a fault, however many times it would still occur. Ignores a fault that is used up."""
        self._waiting = [waiting for waiting in self._waiting if waiting.fault is not fault]

    @property
    def waiting(self) -> list[tuple[InjectedFault, int | None]]:
        """Each pending fault with the number of times it will occur; ``None``: no limit."""
        return [(waiting.fault, waiting.times) for waiting in self._waiting]


@dataclass
class _Waiting:
    fault: InjectedFault
    skip: int
    times: int | None
