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
    :param instead: sleeps it out in place of the driver.
    """

    request: ApiRequest
    attempt: int
    wait: Wait
    instead: Callable[[Wait], bool] | None = None


@dataclass(frozen=True)
class Notice:
    """Log a line.

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
    """A request is given up."""

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


def no_deadline() -> float:
    """The time left of a caller that has no deadline."""
    return math.inf


@dataclass
class Exchange:
    """A request and the attempts at it so far.

    :param time_left: seconds until the caller's deadline; no wait ends later.
    """

    request: ApiRequest
    attempts: Attempts
    clock: Clock
    time_left: TimeLeft = no_deadline

    def send(self) -> Flow[Response | NoResponse]:
        """Send once, following redirects within the origin."""
        target, started_at = self.request, self.clock.now()
        for _ in range(MAX_REDIRECTS + 1):
            spent = max(self.clock.now() - started_at, 0.0)
            outcome: Response | NoResponse = yield Send(target, self.time_left(), spent)
            if isinstance(outcome, NoResponse) or not _is_redirect(outcome, self.request.endpoint.method):
                return outcome
            try:
                target = replace(target, url=follow(target.url, outcome.headers["location"]))
            except ValueError as error:
                return NoResponse(f"{outcome.status}, {error}", sent=True, final=True)
        return NoResponse(f"more than {MAX_REDIRECTS} redirects", sent=True, final=True)

    def decide(self, outcome: Response | NoResponse) -> Decision:
        """Decide what follows from an outcome, which counts as an attempt."""
        is_success = isinstance(outcome, Response) and outcome.success
        decision, self.attempts = self.attempts.after(
            outcome,
            now=self.clock.now(),
            jitter=self.clock.jitter(),
            unusable=self.request.endpoint.unusable(outcome) if is_success else None,  # type: ignore[arg-type]
            time_left=self.time_left(),
        )
        return decision

    def pause(self, wait: Wait, instead: Callable[[Wait], bool] | None = None) -> Pause:
        """The step that waits for the next attempt."""
        return Pause(self.request, self.attempts.failures + self.attempts.refusals, wait, instead)


@dataclass(frozen=True)
class StartedCall:
    """A call that started a round.

    :param response: the response; ``None`` when it was lost but the call was carried out.
    :param sent_at: local time when the call that counts was sent, epoch seconds: the first lost one, else the last.
    :param sent: number of times that the call was sent.
    """

    response: Response | None
    sent_at: float
    sent: int


@dataclass(frozen=True)
class PausedCall:
    """A call that is not sent again because the caller's ``wait`` returned ``False``.

    :param pause: the pause that the next call has to respect.
    :param sent: number of times that the call was sent.
    """

    pause: Wait
    sent: int


def request_flow(exchange: Exchange) -> Flow[Response]:
    """Send a request until its response is usable. For reads, and for writes that nothing can verify.

    :raises RequestAbandoned: when nothing more is sent.
    """
    while True:
        outcome = yield from exchange.send()
        decision = exchange.decide(outcome)
        if isinstance(decision, GiveUp):
            raise RequestAbandoned(exchange.request, outcome, decision)
        if not isinstance(decision, Wait):
            return cast("Response", outcome)
        yield exchange.pause(decision)


Verify = Callable[[float], bool]
"""Takes the local time of the first lost call and returns whether it was carried out."""


def start_flow(
    exchange: Exchange,
    *,
    subject: str,
    verify: Verify | None = None,
    wait: Callable[[Wait], bool] | None = None,
    never_repeat: str = "",
) -> Flow[StartedCall | PausedCall]:
    """Send a call that starts a round until ThousandEyes has carried it out.

    :param subject: object that the call starts, for the log.
    :param verify: verifies a lost call; without it the call is sent again.
    :param wait: sleeps out a pause in place of the driver; ``False`` ends the flow.
    :param never_repeat: why the call must not be sent again after a lost response.
    :raises RequestAbandoned: when nothing more is sent.
    """
    lost_at: float | None = None
    sent = 0
    while True:
        sent_at = exchange.clock.now()
        outcome = yield from exchange.send()
        sent += isinstance(outcome, Response) or outcome.sent
        decision = exchange.decide(outcome)
        if isinstance(decision, VerifyOutcome):
            lost_at = sent_at if lost_at is None else lost_at
            if verify is None:
                reason = f"{decision.reason}; {never_repeat}"
                decision = GiveUp(reason) if never_repeat else decision.otherwise
            elif (otherwise := (yield from _verified(exchange, decision, subject, verify, lost_at))) is None:
                return StartedCall(None, lost_at, sent)
            else:
                decision = otherwise
        if isinstance(decision, GiveUp):
            raise RequestAbandoned(exchange.request, outcome, decision)
        if isinstance(decision, Accept):
            if decision.warning:
                yield Notice(f"{exchange.request.label}: {decision.warning}", True)
            return StartedCall(cast("Response", outcome), sent_at if lost_at is None else lost_at, sent)
        if not (yield exchange.pause(decision, wait)):
            return PausedCall(decision, sent)


def _verified(
    exchange: Exchange, lost: VerifyOutcome, subject: str, verify: Verify, lost_at: float
) -> Flow[Wait | GiveUp | None]:
    """What follows from a lost response; ``None`` when the call was carried out. Verifying is part of the backoff."""
    label, since = exchange.request.label, exchange.clock.now()
    yield Notice(f"{label}: response lost ({lost.reason}); checking for {subject}", True)
    if verify(lost_at):
        return None
    yield Notice(f"{label}: {subject} not found")
    if isinstance(lost.otherwise, GiveUp):
        return lost.otherwise
    spent = max(exchange.clock.now() - since, 0.0)
    return replace(lost.otherwise, seconds=max(lost.otherwise.seconds - spent, 0.0))


def pages_flow(first: Exchange, account_group_id: str | None) -> Flow[dict[str, Any]]:
    """Read all pages of a list. Each page has all attempts.

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
    request: ApiRequest | None = first.request
    while request is not None:
        response = yield from request_flow(replace(first, request=request))
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
            if first.time_left() < -MIN_REQUEST_TIME:
                raise _abandoned(request, "no time is left for further pages")
        request = following
    return {**content, str(first.request.endpoint.member): items}


def _is_redirect(response: Response, method: str) -> bool:
    """Whether a response redirects the same request to another address."""
    statuses = (301, 302, 303, 307, 308) if method == "GET" else (307, 308)
    return response.status in statuses and bool(response.headers.get("location"))


def _abandoned(request: ApiRequest, reason: str) -> RequestAbandoned:
    return RequestAbandoned(request, NoResponse(reason, sent=True, final=True), GiveUp(reason))


def _exceeded(size: int, values: int, rows: int) -> str:
    """The bound that a result exceeds; empty when it exceeds none."""
    if size > LARGEST_RESULT:
        return f"{LARGEST_RESULT} bytes"
    if values > MOST_RESULT_VALUES:
        return f"{MOST_RESULT_VALUES} JSON values"
    return f"{MOST_ROWS} rows" if rows > MOST_ROWS else ""
