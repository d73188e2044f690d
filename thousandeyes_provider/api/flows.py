"""Requests with retries, calls that start a round, and paging as generators: each rule once, for both hooks.

A flow yields steps (:class:`Send`, :class:`Pause`, :class:`Notice`, :class:`Reconnect`), receives the outcome of each
step, and returns its result. A driver of a few lines carries the steps out: one blocks, the other awaits. Flows nest
with ``yield from``. They never send, sleep or log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from thousandeyes_provider.api.body import LARGEST_RESULT, MOST_PAGES, MOST_RESULT_VALUES, MOST_ROWS
from thousandeyes_provider.api.endpoints import ApiRequest
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.retry import Accept, Attempts, Decision, GiveUp, VerifyOutcome, Wait
from thousandeyes_provider.api.urls import follow

MAX_REDIRECTS = 5

MIN_REQUEST_TIME = 3.0
"""Seconds that a request has for its response when the caller's deadline is nearer, or past."""

TimeLeft = Callable[[], float]
"""Returns the seconds until the caller's deadline."""


@dataclass(frozen=True)
class Send:
    """Send a request once. The driver replies with a :class:`Response` or a :class:`NoResponse`.

    :param request: the request.
    :param time_left: seconds until the caller's deadline; infinite without one.
    :param spent: seconds that the redirects to this address took. They count as part of the request.
    """

    request: ApiRequest
    time_left: float = math.inf
    spent: float = 0.0


@dataclass(frozen=True)
class Pause:
    """Wait before the next attempt. The driver replies whether to go on.

    :param request: the request that is sent again afterwards.
    :param attempt: attempts so far.
    :param wait: the pause.
    :param instead: sleeps it out in place of the driver.
    """

    request: ApiRequest
    attempt: int
    wait: Wait
    instead: Callable[[Wait], bool] | None = None


@dataclass(frozen=True)
class Notice:
    """Log a line.

    :param text: the line.
    :param is_warning: warning, else information.
    """

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Reconnect:
    """Read the connection again before the next request."""


T = TypeVar("T")
Flow = Generator[Send | Pause | Notice | Reconnect, Any, T]


class RequestAbandoned(Exception):
    """A request is given up.

    :param request: the request.
    :param outcome: its last outcome.
    :param decision: why nothing more is sent.
    """

    def __init__(self, request: ApiRequest, outcome: Response | NoResponse, decision: GiveUp) -> None:
        super().__init__(request, outcome, decision)
        self.request = request
        self.outcome = outcome
        self.decision = decision


@dataclass(frozen=True)
class Clock:
    """The time and the randomness of a flow.

    :param now: local time, epoch seconds.
    :param jitter: random number from 0 to 1.
    """

    now: Callable[[], float]
    jitter: Callable[[], float]


@dataclass(frozen=True)
class StartedCall:
    """The end of a call that starts a round.

    :param response: the response; ``None`` when it was lost but the call was carried out, or when the call is paused.
    :param pause: the pause after which the call would be sent again, when the caller does not wait.
    :param sent_at: local time when the call that counts was sent, epoch seconds: the first lost one, else the last.
    :param sent: how many times the call was sent.
    """

    response: Response | None
    pause: Wait | None
    sent_at: float
    sent: int


def request_flow(
    request: ApiRequest, attempts: Attempts, clock: Clock, time_left: TimeLeft | None = None
) -> Flow[Response]:
    """Send a request until its response is usable. For reads, and for writes that nothing can verify.

    :raises RequestAbandoned: when nothing more is sent.
    """
    while True:
        outcome = yield from _send(request, clock, time_left)
        decision, attempts = _decide(request, attempts, outcome, clock, time_left)
        if isinstance(decision, GiveUp):
            raise RequestAbandoned(request, outcome, decision)
        if not isinstance(decision, Wait):
            return cast("Response", outcome)
        yield _pause(request, attempts, decision)


def start_flow(
    request: ApiRequest,
    attempts: Attempts,
    clock: Clock,
    *,
    subject: str,
    verify: Callable[[float], bool | Flow[bool]] | None = None,
    wait: Callable[[Wait], bool] | None = None,
    never_repeat: str = "",
) -> Flow[StartedCall]:
    """Send a call that starts a round until ThousandEyes has carried it out.

    :param subject: what the call starts, for the log.
    :param verify: takes the local time of the first lost call and returns whether it was carried out, also as a flow.
    :param wait: sleeps out a pause in place of the driver; ``False`` ends the flow.
    :param never_repeat: why the call must not be sent again after a lost response.
    :raises RequestAbandoned: when nothing more is sent.
    """
    lost_at: float | None = None
    sent = 0
    while True:
        sent_at = clock.now()
        outcome = yield from _send(request, clock)
        sent += isinstance(outcome, Response) or outcome.sent
        decision, attempts = _decide(request, attempts, outcome, clock)
        if isinstance(decision, VerifyOutcome):
            lost_at = sent_at if lost_at is None else lost_at
            reason, decision = decision.reason, decision.otherwise
            if never_repeat:
                decision = GiveUp(f"{reason}; {never_repeat}")
            if verify is not None:
                verified_since = clock.now()
                yield Notice(f"{request.label}: response lost ({reason}); checking for {subject}", True)
                verdict = verify(lost_at)
                if isinstance(verdict, Generator):
                    verdict = yield from verdict
                if verdict:
                    return StartedCall(None, None, lost_at, sent)
                yield Notice(f"{request.label}: {subject} not found")
                if isinstance(decision, Wait):
                    spent = max(clock.now() - verified_since, 0.0)
                    decision = replace(decision, seconds=max(decision.seconds - spent, 0.0))
        if isinstance(decision, GiveUp):
            raise RequestAbandoned(request, outcome, decision)
        counted_at = sent_at if lost_at is None else lost_at
        if isinstance(decision, Accept):
            if decision.warning:
                yield Notice(f"{request.label}: {decision.warning}", True)
            return StartedCall(cast("Response", outcome), None, counted_at, sent)
        if not (yield _pause(request, attempts, decision, wait)):
            return StartedCall(None, decision, counted_at, sent)


def pages_flow(
    first: ApiRequest,
    attempts: Attempts,
    clock: Clock,
    account_group_id: str | None,
    time_left: TimeLeft | None = None,
) -> Flow[dict[str, Any]]:
    """Read all pages of a list.

    :param first: the request for the first page.
    :param account_group_id: ``aid`` for links that carry none.
    :return: the first page, with the items of all pages.
    :raises RequestAbandoned: when a page cannot be read, when its link leads to another origin, when the pages have no
        end, and when all pages together exceed a bound.
    """
    items: list[dict[str, Any]] = []
    content: dict[str, Any] = {}
    seen: set[str] = set()
    size = values = 0
    request: ApiRequest | None = first
    while request is not None:
        response = yield from request_flow(request, attempts, clock, time_left)
        size += len(response.body)
        values += response.value_count
        items += request.items(response)
        content = content or response.json()
        seen.add(request.url)
        too_much = _exceeded(size, values, len(items))
        if too_much:
            raise _abandoned(request, f"more than {too_much} on {len(seen)} pages")
        try:
            following = request.next_page(response, account_group_id)
        except ValueError as error:
            raise _abandoned(request, f"next page: {error}; not followed") from None
        if following is not None:
            if following.url in seen:
                raise _abandoned(request, "the pages link back to themselves")
            if len(seen) >= MOST_PAGES:
                raise _abandoned(request, f"more than {MOST_PAGES} pages")
            if time_left is not None and time_left() < -MIN_REQUEST_TIME:
                raise _abandoned(request, "no time is left for further pages")
        request = following
    return {**content, str(first.endpoint.member): items}


def _send(
    request: ApiRequest, clock: Clock, time_left: TimeLeft | None = None
) -> Flow[Response | NoResponse]:
    """Send once, following redirects within the origin."""
    target, started_at = request, clock.now()
    for _ in range(MAX_REDIRECTS + 1):
        left = math.inf if time_left is None else time_left()
        outcome: Response | NoResponse = yield Send(target, left, max(clock.now() - started_at, 0.0))
        if isinstance(outcome, NoResponse) or not _is_redirect(outcome, request.endpoint.method):
            return outcome
        try:
            target = replace(request, url=follow(target.url, outcome.headers["location"]))
        except ValueError as error:
            return NoResponse(f"{outcome.status}, {error}", sent=True, final=True)
    return NoResponse(f"more than {MAX_REDIRECTS} redirects", sent=True, final=True)


def _decide(
    request: ApiRequest,
    attempts: Attempts,
    outcome: Response | NoResponse,
    clock: Clock,
    time_left: TimeLeft | None = None,
) -> tuple[Decision, Attempts]:
    is_success = isinstance(outcome, Response) and outcome.success
    return attempts.after(
        outcome,
        now=clock.now(),
        jitter=clock.jitter(),
        unusable=request.endpoint.unusable(outcome) if is_success else None,  # type: ignore[arg-type]
        time_left=math.inf if time_left is None else time_left(),
    )


def _is_redirect(response: Response, method: str) -> bool:
    """Whether a response redirects the same request to another address."""
    statuses = (301, 302, 303, 307, 308) if method == "GET" else (307, 308)
    return response.status in statuses and bool(response.headers.get("location"))


def _pause(
    request: ApiRequest, attempts: Attempts, wait: Wait, instead: Callable[[Wait], bool] | None = None
) -> Pause:
    return Pause(request, attempts.failures + attempts.refusals, wait, instead)


def _abandoned(request: ApiRequest, reason: str) -> RequestAbandoned:
    return RequestAbandoned(request, NoResponse(reason, sent=True, final=True), GiveUp(reason))


def _exceeded(size: int, values: int, rows: int) -> str:
    """The bound that a result exceeds; empty when it exceeds none."""
    if size > LARGEST_RESULT:
        return f"{LARGEST_RESULT} bytes"
    if values > MOST_RESULT_VALUES:
        return f"{MOST_RESULT_VALUES} JSON values"
    return f"{MOST_ROWS} rows" if rows > MOST_ROWS else ""
