"""The API service: authentication, rate limits, faults, operations and the request log.

The service uses no sockets, sleeps or clocks; the time is an argument. Each request passes these steps in order: token
(401), rate limits (429), injected faults, operation. Requests that the first two steps refuse do not count towards the
rate limits.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thousandeyes_provider.simulator import responses
from thousandeyes_provider.simulator.injected_faults import OPERATIONS, InjectedFault, InjectedFaultQueue
from thousandeyes_provider.simulator.operations import Operations, ReceivedRequest
from thousandeyes_provider.simulator.quota import Bucket, window_end
from thousandeyes_provider.simulator.responses import Delivery, SimulatedResponse, problem
from thousandeyes_provider.simulator.routes import Route, route
from thousandeyes_provider.simulator.validators import check_choice, check_number, check_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thousandeyes_provider.simulator.model import World

LOG_LENGTH = 100_000
BUCKETS = ("organization", "instant")
_HEADER_FAMILIES = {"organization": "X-Organization-Rate-Limit", "instant": "X-Instant-Test-Rate-Limit"}


@dataclass(frozen=True)
class LoggedRequest:
    """An entry of the log, without token and body.

    :param seq: number of the request, from 1.
    :param at: time of arrival, real epoch seconds.
    :param method: ``GET``, ``POST``, …
    :param path: as the client sent it.
    :param query: value of each parameter; commas join the values of a repeated one.
    :param status: status of the response; ``None`` if the connection was cut.
    :param operation: a name from ``OPERATIONS``; ``None`` for an unknown path.
    :param test_id: the test in the path, if any.
    :param result_type: the result type in the path, if any.
    :param user_agent: the client's ``User-Agent``.
    """

    seq: int
    at: float
    method: str
    path: str
    query: Mapping[str, str]
    status: int | None
    operation: str | None
    test_id: str | None
    result_type: str | None
    user_agent: str


@dataclass
class _Throttle:
    times: int
    seconds: float
    operation: str | None
    bucket: str | None


class Service:
    """The API on a :class:`World`. Thread-safe.

    :param world: the state.
    :param tokens: accepted bearer tokens; ``None`` accepts any token.
    """

    def __init__(self, world: World, tokens: Iterable[str] | None = None) -> None:
        self.tokens = None if tokens is None else frozenset(tokens)
        self.lock = threading.RLock()
        self._begin(world)

    def reset(self, world: World) -> None:
        """Restart with ``world``, an empty log, full quota and no faults."""
        with self.lock:
            self._begin(world)

    def _begin(self, world: World) -> None:
        self.world = world
        self.faults = InjectedFaultQueue()
        self.log: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        self.buckets = {name: Bucket() for name in BUCKETS}
        self._operations = Operations(world)
        self._throttles: list[_Throttle] = []
        self._seq = 0

    # setup and inspection

    def throttle(
        self, times: int, seconds: float, operation: str | None = None, bucket: str | None = None
    ) -> None:
        """Refuse the next requests with 429.

        :param times: number of requests.
        :param seconds: simulated seconds until the announced reset.
        :param operation: only requests of this operation.
        :param bucket: exhausted rate limit that the response announces. By default that of instant tests for run and
            create, and that of the organization for all other operations.
        :raises ValueError: for an unknown name or a value out of range; the message lists the choices.
        """
        check_whole("times", times, 1)
        check_number("seconds", seconds)
        if operation is not None:
            check_choice("operation", operation, OPERATIONS)
        if bucket is not None:
            check_choice("bucket", bucket, BUCKETS)
        with self.lock:
            self._throttles.append(_Throttle(times, seconds, operation, bucket))

    @property
    def throttles_waiting(self) -> int:
        """Number of requests that :meth:`throttle` will still refuse."""
        return sum(throttle.times for throttle in self._throttles)

    def count(self, operation: str | None = None, test_id: str | None = None) -> int:
        """Return the number of requests received, with any response.

        :param operation: only requests of this operation.
        :param test_id: only requests for this test.
        :raises ValueError: for an unknown operation; the message lists the known ones.
        """
        if operation is not None:
            check_choice("operation", operation, (*OPERATIONS, "*"))
        with self.lock:
            return sum(
                (operation in (None, "*") or request.operation == operation)
                and (test_id is None or request.test_id == str(test_id))
                for request in self.log
            )

    # requests

    def handle(self, request: ReceivedRequest, now: float) -> Delivery:
        """Respond to a request.

        :param now: time of arrival, real epoch seconds.
        """
        with self.lock:
            target = route(request.segments)
            delivery = self._deliver(request, target, now)
            if delivery.response is not None:
                departure = self.world.switches.date_header == "departure"
                stamped = now + delivery.first_byte_after if departure else now
                date = {"Date": responses.http_date(self.world.clock(stamped))}
                delivery = replace(delivery, response=delivery.response.with_headers(date))
            self._seq += 1
            self.log.append(
                LoggedRequest(
                    self._seq,
                    now,
                    request.method,
                    request.path,
                    dict(request.query),
                    delivery.response.status if delivery.response else None,
                    target.operation,
                    target.test_id,
                    target.result_type,
                    request.user_agent,
                )
            )
            return delivery

    def _deliver(self, request: ReceivedRequest, target: Route, now: float) -> Delivery:
        if not self._authorized(request.authorization):
            return Delivery(responses.unauthorized())
        used = BUCKETS if target.operation in ("run", "create") else ("organization",)
        refusal = self._throttled(request, target, used, now) or self._exhausted(request, used, now)
        if refusal is not None:
            return Delivery(refusal)
        ends = self.quota_window_end(now)
        for name in used:
            self.buckets[name] = self.buckets[name].counted(now, ends)
        quota = self._quota_headers(used, now)
        fault = self.faults.take(target.operation, target.test_id, target.result_type)
        if fault is None:
            return Delivery(self._operations.respond(request, target, now, now).with_headers(quota))
        response = None
        if fault.processed:
            leaves = now + (fault.seconds if fault.kind == "slow-first-byte" else 0.0)
            response = self._operations.respond(request, target, now, leaves).with_headers(quota)
        return _with_fault(fault, response, request.path, quota)

    def _authorized(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or " " in token:
            return False
        return self.tokens is None or token in self.tokens

    # rate limits

    def quota_window_end(self, now: float) -> float:
        """Return the end of a rate limit window that a request opens at ``now``."""
        switches = self.world.switches
        return window_end(
            now,
            self.world.real(switches.quota_window),
            aligned=switches.quota_windows == "aligned",
            clock_offset=switches.clock_offset,
        )

    def _limit(self, name: str) -> int:
        switches = self.world.switches
        return switches.organization_limit if name == "organization" else switches.instant_limit

    def _throttled(
        self, request: ReceivedRequest, target: Route, used: tuple[str, ...], now: float
    ) -> SimulatedResponse | None:
        for throttle in self._throttles:
            if throttle.operation not in (None, target.operation):
                continue
            throttle.times -= 1
            if not throttle.times:
                self._throttles.remove(throttle)
            bucket = throttle.bucket or used[-1]
            reset = now + self.world.real(throttle.seconds)
            return self._too_many(request, tuple(dict.fromkeys((*used, bucket))), bucket, reset, now)
        return None

    def _exhausted(
        self, request: ReceivedRequest, used: tuple[str, ...], now: float
    ) -> SimulatedResponse | None:
        empty = [name for name in used if not self.buckets[name].remaining(now, self._limit(name))]
        if not empty:
            return None
        bucket = max(empty, key=lambda name: self.buckets[name].ends)
        return self._too_many(request, used, bucket, self.buckets[bucket].ends, now)

    def _too_many(
        self, request: ReceivedRequest, used: tuple[str, ...], bucket: str, reset: float, now: float
    ) -> SimulatedResponse:
        headers = self._quota_headers(used, now, exhausted={bucket: reset})
        style = self.world.switches.retry_after
        if style == "seconds":
            headers["Retry-After"] = str(max(math.ceil(reset - now), 0))
        elif style == "date":
            headers["Retry-After"] = responses.http_date(math.ceil(self.world.clock(reset)))
        limited = "the organization" if bucket == "organization" else "instant tests"
        return problem(429, f"Exhausted rate limit for {limited}", request.path).with_headers(headers)

    def _quota_headers(
        self, used: tuple[str, ...], now: float, exhausted: Mapping[str, float] | None = None
    ) -> dict[str, str]:
        switches, headers = self.world.switches, {}
        for name in used:
            if switches.quota_headers not in ("both", name):
                continue
            limit, bucket = self._limit(name), self.buckets[name]
            remaining = bucket.remaining(now, limit)
            reset = bucket.resets_at(now, self.quota_window_end(now))
            if exhausted and name in exhausted:
                remaining, reset = 0, exhausted[name]
            announced = self.world.clock(now) - 60 if switches.reset == "past" else self.world.clock(reset)
            headers[f"{_HEADER_FAMILIES[name]}-Limit"] = str(limit)
            if not switches.omit_remaining:
                headers[f"{_HEADER_FAMILIES[name]}-Remaining"] = str(remaining)
            headers[f"{_HEADER_FAMILIES[name]}-Reset"] = str(math.ceil(announced))
        return headers


def _with_fault(
    fault: InjectedFault, response: SimulatedResponse | None, path: str, quota: Mapping[str, str]
) -> Delivery:
    """Return the delivery of a response with a fault.

    :param response: response of the operation; ``None`` if the request was not processed.
    :param quota: the rate limit headers.
    """
    match fault.kind:
        case "cut":
            return Delivery(None)
        case "status":
            return Delivery(_error_of(fault, path).with_headers(quota).with_headers(fault.headers))
        case "html":
            page = responses.proxy_page(fault.status or 502)
            if fault.body is not None:
                page = replace(page, body=fault.body.encode())
            return Delivery(page.with_headers(fault.headers))
        case "empty":
            return Delivery(SimulatedResponse(200).with_headers(quota))
        case "not-json":
            body = '{"results": [' if fault.body is None else fault.body
            return Delivery(SimulatedResponse(200, body.encode(), responses.HAL).with_headers(quota))
    assert response is not None
    if fault.kind == "cut-body":
        # The response to a run has no body, so it announces a body that is never sent.
        return Delivery(response, cut_after=len(response.body) // 2)
    if fault.kind == "slow-first-byte" or not response.body:
        return Delivery(response, first_byte_after=fault.seconds)
    return Delivery(response, body_takes=fault.seconds)


def _error_of(fault: InjectedFault, path: str) -> SimulatedResponse:
    status = fault.status or 503
    if fault.body is not None:
        return SimulatedResponse(status, fault.body.encode(), "text/plain; charset=utf-8")
    if status == 401:
        return responses.unauthorized()
    if status < 400:
        return SimulatedResponse(status)
    if status == 500 and fault.operation in ("tags", "tag"):
        return responses.older_error(status, path)
    detail = fault.detail or f"Injected fault: {status}"
    return problem(status, detail, path, title=fault.title, errors=[] if status == 400 else None)
