"""Faults: what a server, a proxy or the way between can do to an answer."""

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
"""The names of the API's operations, in the log and in faults. ``*`` in a fault is any of them."""

KINDS: Mapping[str, str] = {
    "status": "a status with a problem+json body, or with `body`",
    "cut": "the connection is cut and nothing is answered",
    "cut-body": "the answer ends in the middle of its body",
    "slow-first-byte": "nothing comes for `seconds`",
    "slow-body": "the body trickles in over `seconds`",
    "html": "a proxy's HTML page, with `status` 200 or another",
    "empty": "200 with no body (on a run: what success looks like, and nothing started unless `started`)",
    "not-json": "200 with a body that is declared as JSON and is not",
}
"""The kinds of fault, and what each does."""

_PROCESSED = ("cut-body", "slow-first-byte", "slow-body")


@dataclass(frozen=True)
class InjectedFault:
    """Something that goes wrong with the next matching requests.

    :param operation: a name from :data:`OPERATIONS`, or ``*``.
    :param kind: a name from :data:`KINDS`.
    :param test_id: only requests about this test.
    :param result_type: only results of this type.
    :param times: how many requests; ``None``: for ever.
    :param skip: how many matching requests are let through before.
    :param status: the HTTP status, for ``status`` (503) and ``html`` (502).
    :param headers: further headers, for ``status`` and ``html``.
    :param body: the whole body as text, for ``status``, ``html`` and ``not-json``, instead of the usual one.
    :param title: the title of the problem+json body.
    :param detail: its detail.
    :param seconds: how slow, in real seconds (``speed`` does not divide them).
    :param started: whether the request was processed (the run started) although its answer was lost.
        ``None``: yes for the kinds that only delay or cut an answer, else no.
    :raises ValueError: for anything that is not one of the choices.
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
                raise ValueError("status: only for the kinds status, html")
            check_whole("status", self.status, 200)
            if self.status > 599:
                raise ValueError(f"status: {self.status!r} is no HTTP status from 200 to 599")
        if self.started is not None:
            check_boolean("started", self.started)
            if not self.started and self.kind in _PROCESSED:
                raise ValueError(f"started: a {self.kind} answer is one to a request that was processed")
        for name in ("test_id", "body", "title", "detail"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}: {getattr(self, name)!r} is no text")
        check_headers(self.headers)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> InjectedFault:
        """A fault from the control endpoint.

        :raises ValueError: for an unknown key, naming the known ones, and as the class does.
        """
        check_names(given, FAULT_FIELDS, "field of a fault")
        if "operation" not in given:
            raise ValueError(f"operation is missing; one of {', '.join(OPERATIONS)}, *")
        return cls(**given)

    @property
    def processed(self) -> bool:
        """Whether the API does what was asked, whatever becomes of the answer."""
        return self.kind in _PROCESSED if self.started is None else self.started

    def matches(self, operation: str | None, test_id: str | None, result_type: str | None) -> bool:
        """Whether this fault concerns such a request."""
        return (
            self.operation in (operation, "*")
            and self.test_id in (None, test_id)
            and self.result_type in (None, result_type)
        )


FAULT_FIELDS = tuple(part.name for part in fields(InjectedFault))


def check_headers(headers: Any) -> None:
    """:raises ValueError: when ``headers`` is no dict of texts."""
    if not isinstance(headers, Mapping) or not all(
        isinstance(part, str) for header in headers.items() for part in header
    ):
        raise ValueError("headers: names and values must be text")


class InjectedFaultQueue:
    """The faults that are still to come, in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, fault: InjectedFault) -> None:
        """Put a fault behind those that are waiting."""
        self._waiting.append(_Waiting(fault, fault.skip, fault.times))

    def take(
        self, operation: str | None, test_id: str | None, result_type: str | None
    ) -> InjectedFault | None:
        """The fault for this request, if any; it is used up by that."""
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
        """Forget them all."""
        self._waiting.clear()

    def remove(self, fault: InjectedFault) -> None:
        """Forget one, however often it was still to come; nothing when it is used up."""
        self._waiting = [waiting for waiting in self._waiting if waiting.fault is not fault]

    @property
    def waiting(self) -> list[tuple[InjectedFault, int | None]]:
        """The faults still to come, and how many times each (``None``: for ever)."""
        return [(waiting.fault, waiting.times) for waiting in self._waiting]


@dataclass
class _Waiting:
    fault: InjectedFault
    skip: int
    times: int | None
