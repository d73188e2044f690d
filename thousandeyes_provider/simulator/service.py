"""The API itself: takes a request, gives an answer. No socket, no sleep, no clock; the time is an argument.

The order in which a request is looked at: token (401), rate limits (429), faults, path (404, 405), account
group (403), test (404), parameters (400). A request without a valid token counts in no rate limit, nor does
one that was refused with 429; every other one counts.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.simulator import responses, rows, test_templates
from thousandeyes_provider.simulator.agents import AGENT_TYPES
from thousandeyes_provider.simulator.injected_faults import OPERATIONS, InjectedFault, InjectedFaultQueue
from thousandeyes_provider.simulator.model import (
    RunInProgress,
    SimulatedTest,
    VisibleRow,
    World,
    dns_server_id,
    label_id,
)
from thousandeyes_provider.simulator.quota import Bucket, window_end
from thousandeyes_provider.simulator.responses import Delivery, SimulatedResponse, problem
from thousandeyes_provider.simulator.validators import check_choice, check_number, check_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LOG_LENGTH = 100_000
SNAPSHOT_HOURS = (1, 2, 4, 6, 12, 24, 48)
SNAPSHOTS = 5
SNAPSHOT_WINDOW = 300.0
LAST_SECOND = 253_402_300_800
BUCKETS = ("organization", "instant")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FAMILY = {"organization": "X-Organization-Rate-Limit", "instant": "X-Instant-Test-Rate-Limit"}


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it came in.

    :param method: in capitals.
    :param path: as it was sent, for the log.
    :param segments: the parts of the path, decoded one by one, without a leading ``v7``.
    :param base: scheme, host, port and ``/v7`` when that was asked for, for links.
    :param query: the value of each parameter; several of one name are joined with commas.
    :param authorization: that header, or ``""``. It is looked at and forgotten.
    :param user_agent: that header, or ``""``.
    :param body: the whole body. It is looked at and forgotten.
    """

    method: str
    path: str
    segments: tuple[str, ...]
    base: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    authorization: str = field(default="", repr=False)
    user_agent: str = ""
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Request:
    """A line of the log. It never has the token, nor a body.

    :param seq: counted from 1.
    :param at: when it came in, real epoch seconds.
    :param method: ``GET``, ``POST``, …
    :param path: as it was sent.
    :param query: the value of each parameter; several of one name are joined with commas.
    :param status: what was answered; ``None`` when the connection was cut.
    :param operation: a name from ``OPERATIONS``; ``None`` for a path that the API does not have.
    :param test_id: the test that it was about, if any.
    :param result_type: the result type that it asked for, if any.
    :param user_agent: what the client called itself.
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


@dataclass(frozen=True)
class Route:
    """What a path means.

    :param operation: a name from ``OPERATIONS``; ``None`` when there is no such path.
    :param method: the method that it wants.
    """

    operation: str | None
    method: str = "GET"
    test_id: str | None = None
    test_type: str | None = None
    result_type: str | None = None


@dataclass
class _Throttle:
    times: int
    seconds: float
    operation: str | None
    bucket: str | None


class _Refused(Exception):
    """A request that ends with an error answer."""

    def __init__(self, answer: SimulatedResponse) -> None:
        super().__init__(answer.status)
        self.answer = answer


def route(segments: tuple[str, ...]) -> Route:
    """What the path means, whatever the method."""
    match segments:
        case ("tests",):
            return Route("tests")
        case ("tests", test_id, "run"):
            return Route("run", "POST", test_id)
        case ("tests", test_id, "snapshot"):
            return Route("snapshot", "POST", test_id)
        case ("tests", test_type, "instant") if test_type in TEST_TYPES:
            return Route("create", "POST", None, test_type)
        case ("tests", test_type, test_id) if test_type in TEST_TYPES:
            return Route("test", "GET", test_id, test_type)
        case ("test-results", test_id, result_type) if result_type in RESULT_TYPES:
            return Route("results", "GET", test_id, None, result_type)
        case ("agents",):
            return Route("agents")
        case ("account-groups",):
            return Route("account-groups")
        case ("users", "current"):
            return Route("current-user")
    return Route(None)


class Service:
    """The API over a :class:`World`, with its rate limits, faults and log. Safe to use from several threads.

    :param world: the state.
    :param tokens: the bearer tokens that are accepted; ``None``: any.
    """

    def __init__(self, world: World, tokens: Iterable[str] | None = None) -> None:
        self.world = world
        self.tokens = None if tokens is None else frozenset(tokens)
        self.faults = InjectedFaultQueue()
        self.lock = threading.RLock()
        self.log: deque[Request] = deque(maxlen=LOG_LENGTH)
        self.buckets = {name: Bucket() for name in BUCKETS}
        self._throttles: list[_Throttle] = []
        self._snapshots: list[float] = []
        self._seq = 0

    def reset(self, world: World) -> None:
        """Begin anew with ``world``: no request seen, nothing spent, nothing about to fail."""
        with self.lock:
            self.world = world
            self.faults.clear()
            self.log.clear()
            self.buckets = {name: Bucket() for name in BUCKETS}
            self._throttles.clear()
            self._snapshots.clear()
            self._seq = 0

    # what a test of a client sets up

    def throttle(
        self, times: int, seconds: float, operation: str | None = None, bucket: str | None = None
    ) -> None:
        """Answer the next ``times`` requests (of an operation) with 429.

        :param seconds: how far ahead the announced reset is, in simulated seconds.
        :param bucket: whose quota is said to be exhausted; by itself the instant tests' for run and create,
            the organization's for the others.
        :raises ValueError: for anything that is not one of the choices.
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
        """How many requests are still to be throttled by :meth:`throttle`."""
        return sum(throttle.times for throttle in self._throttles)

    def count(self, operation: str | None = None, test_id: str | None = None) -> int:
        """How many requests of an operation (about a test) have come in, whatever was answered.

        :raises ValueError: for an unknown operation, naming the known ones.
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

    def handle(self, call: ReceivedRequest, now: float) -> Delivery:
        """Answer a request.

        :param now: the real time in epoch seconds.
        """
        with self.lock:
            asked = route(call.segments)
            delivery = self._deliver(call, asked, now)
            if delivery.answer is not None:
                leaves = now + delivery.first_byte_after
                stamped = leaves if self.world.switches.date_header == "departure" else now
                headers = {"Date": responses.http_date(self.world.clock(stamped))}
                delivery = Delivery(
                    delivery.answer.with_headers(headers),
                    delivery.first_byte_after,
                    delivery.body_takes,
                    delivery.cut_after,
                )
            self._seq += 1
            self.log.append(
                Request(
                    self._seq,
                    now,
                    call.method,
                    call.path,
                    dict(call.query),
                    delivery.answer.status if delivery.answer else None,
                    asked.operation,
                    asked.test_id,
                    asked.result_type,
                    call.user_agent,
                )
            )
            return delivery

    def _deliver(self, call: ReceivedRequest, asked: Route, now: float) -> Delivery:
        if not self._authorized(call.authorization):
            return Delivery(responses.unauthorized())
        drawn = ("organization", "instant") if asked.operation in ("run", "create") else ("organization",)
        refusal = self._throttled(call, asked, drawn, now) or self._exhausted(call, drawn, now)
        if refusal is not None:
            return Delivery(refusal)
        ends = self.quota_window_end(now)
        for name in drawn:
            self.buckets[name] = self.buckets[name].counted(now, ends)
        quota = self._quota_headers(drawn, now)
        fault = self.faults.take(asked.operation, asked.test_id, asked.result_type)
        if fault is None:
            return Delivery(self._answer(call, asked, now, now).with_headers(quota))
        leaves = now + (fault.seconds if fault.kind == "slow-first-byte" else 0.0)
        answer = self._answer(call, asked, now, leaves).with_headers(quota) if fault.processed else None
        return _spoilt(fault, answer, call.path, quota)

    def _authorized(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or " " in token:
            return False
        return self.tokens is None or token in self.tokens

    # rate limits

    def quota_window_end(self, now: float) -> float:
        """End of a rate limit window that a request opens at ``now``."""
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
        self, call: ReceivedRequest, asked: Route, drawn: tuple[str, ...], now: float
    ) -> SimulatedResponse | None:
        for throttle in self._throttles:
            if throttle.operation not in (None, asked.operation):
                continue
            throttle.times -= 1
            if not throttle.times:
                self._throttles.remove(throttle)
            bucket = throttle.bucket or drawn[-1]
            reset = now + self.world.real(throttle.seconds)
            return self._too_many(call, tuple(dict.fromkeys((*drawn, bucket))), bucket, reset, now)
        return None

    def _exhausted(
        self, call: ReceivedRequest, drawn: tuple[str, ...], now: float
    ) -> SimulatedResponse | None:
        empty = [name for name in drawn if not self.buckets[name].remaining(now, self._limit(name))]
        if not empty:
            return None
        bucket = max(empty, key=lambda name: self.buckets[name].ends)
        return self._too_many(call, drawn, bucket, self.buckets[bucket].ends, now)

    def _too_many(
        self, call: ReceivedRequest, drawn: tuple[str, ...], bucket: str, reset: float, now: float
    ) -> SimulatedResponse:
        headers = self._quota_headers(drawn, now, exhausted={bucket: reset})
        style = self.world.switches.retry_after
        if style == "seconds":
            headers["Retry-After"] = str(max(math.ceil(reset - now), 0))
        elif style == "date":
            headers["Retry-After"] = responses.http_date(math.ceil(self.world.clock(reset)))
        what = "the organization" if bucket == "organization" else "instant tests"
        return problem(429, f"Exhausted rate limit for {what}", call.path).with_headers(headers)

    def _quota_headers(
        self, drawn: tuple[str, ...], now: float, exhausted: Mapping[str, float] | None = None
    ) -> dict[str, str]:
        switches, headers = self.world.switches, {}
        for name in drawn:
            if switches.quota_headers not in ("both", name):
                continue
            limit, bucket = self._limit(name), self.buckets[name]
            remaining = bucket.remaining(now, limit)
            reset = bucket.resets_at(now, self.quota_window_end(now))
            if exhausted and name in exhausted:
                remaining, reset = 0, exhausted[name]
            announced = self.world.clock(now) - 60 if switches.reset == "past" else self.world.clock(reset)
            headers[f"{_FAMILY[name]}-Limit"] = str(limit)
            if not switches.omit_remaining:
                headers[f"{_FAMILY[name]}-Remaining"] = str(remaining)
            headers[f"{_FAMILY[name]}-Reset"] = str(math.ceil(announced))
        return headers

    # operations

    def _answer(self, call: ReceivedRequest, asked: Route, now: float, leaves: float) -> SimulatedResponse:
        """Answer a request that arrived at ``now``; the response leaves at ``leaves``."""
        try:
            if asked.operation is None:
                raise _Refused(problem(404, "There is no such URI", call.path))
            if call.method != asked.method:
                raise _Refused(
                    problem(405, f"Only {asked.method} is possible here", call.path).with_headers(
                        {"Allow": asked.method}
                    )
                )
            group = self._account_group(call)
            operations: Mapping[str, Callable[[ReceivedRequest, Route, str, float], SimulatedResponse]] = {
                "tests": self._tests,
                "test": self._test,
                "results": self._results,
                "run": partial(self._run, leaves=leaves),
                "create": partial(self._create, leaves=leaves),
                "snapshot": self._snapshot,
                "agents": self._agents,
                "account-groups": self._account_groups,
                "current-user": self._current_user,
            }
            return operations[asked.operation](call, asked, group, now)
        except _Refused as refused:
            return refused.answer

    def _account_group(self, call: ReceivedRequest) -> str:
        """The account group in force: the one asked for, or the user's own."""
        groups = [group.aid for group in self.world.account_groups]
        aid = call.query.get("aid", groups[0])
        if aid in groups:
            return aid
        if self.world.switches.foreign_aid == "404":
            raise _Refused(problem(404, "The account group id is wrong", call.path))
        raise _Refused(problem(403, "You are not assigned to this account group", call.path))

    def _known(self, call: ReceivedRequest, asked: Route, group: str) -> SimulatedTest:
        test = self.world.tests.get(asked.test_id or "")
        if test is None or test.account_group_id != group:
            raise _Refused(problem(404, "The test id is wrong", call.path))
        return test

    def _tests(self, call: ReceivedRequest, asked: Route, group: str, now: float) -> SimulatedResponse:
        listed = [
            self._simple(test, call)
            | (self._labels(test) if self.world.switches_of(test).labels_listed else {})
            for test in self.world.tests.values()
            if test.account_group_id == group
            and (test.scheduled or self.world.switches_of(test).listed_in_tests)
        ]
        return self._hal({"tests": listed}, call)

    def _test(self, call: ReceivedRequest, asked: Route, group: str, now: float) -> SimulatedResponse:
        test = self._known(call, asked, group)
        lookup = self.world.switches_of(test).typed_lookup
        if test.test_type != asked.test_type or lookup == "404":
            raise _Refused(problem(404, f"There is no {asked.test_type} test with this id", call.path))
        body = self._simple(test, call)
        expand = _words(
            call, "expand", ("agent", "alert-rule", "monitor", "label", "tag", "shared-with-account")
        )
        if "agent" in expand and lookup == "agents":
            body["agents"] = [self.world.agents[agent_id].as_listed() for agent_id in test.agents]
        if "label" in expand:
            body |= self._labels(test)
        return self._hal(self._embellished(test, body), call, links=False)

    def _run(
        self, call: ReceivedRequest, asked: Route, group: str, now: float, leaves: float
    ) -> SimulatedResponse:
        test = self._known(call, asked, group)
        refused = self.world.switches_of(test).run_scheduled
        if test.scheduled and refused == "404":
            raise _Refused(problem(404, "There is no instant test with this id", call.path))
        if test.scheduled and refused == "400":
            raise _invalid(call, [("testId", "the test is not an instant test")])
        try:
            self.world.run(test, self._round_start(test, now, leaves))
        except RunInProgress:
            raise _Refused(problem(409, "The test is running", call.path)) from None
        return SimulatedResponse(200)

    def _round_start(self, test: SimulatedTest, arrived: float, leaves: float) -> float:
        return leaves if self.world.switches_of(test).round_start == "departure" else arrived

    def _create(
        self, call: ReceivedRequest, asked: Route, group: str, now: float, leaves: float
    ) -> SimulatedResponse:
        assert asked.test_type is not None
        definition = _object(call)
        wrong = test_templates.mistakes(asked.test_type, definition)
        listed = [] if any(name.startswith("agents") for name, _ in wrong) else definition["agents"]
        agents = [agent["agentId"] for agent in listed]
        wrong += [
            ("agents", f"there is no agent {agent_id}")
            for agent_id in agents
            if agent_id not in self.world.agents
        ]
        target = definition.get("targetAgentId")
        towards_agent = test_templates.has_target_agent(asked.test_type)
        if towards_agent and isinstance(target, str) and target not in self.world.agents:
            wrong.append(("targetAgentId", f"there is no agent {target}"))
        name = definition.get("testName")
        if name is not None and name in [test.name for test in self.world.tests.values()]:
            wrong.append(("testName", "a test with this name exists"))
        if wrong:
            raise _invalid(call, wrong)
        expand = _words(call, "expand", ("agent",))
        test = self.world.add_test(
            now,
            test_type=asked.test_type,
            name=name,
            agents=agents,
            dns_servers=definition.get("dnsServers") if asked.test_type == "dns-server" else None,
            definition=test_templates.with_defaults(asked.test_type, definition),
            account_group_id=group,
            history=(),
        )
        self.world.run(test, self._round_start(test, now, leaves))
        body = self._defined(test, call)
        if "agent" in expand:
            body["agents"] = [self.world.agents[agent_id].as_listed() for agent_id in test.agents]
        made = responses.as_json(self._embellished(test, body), 201)
        return made.with_headers({"Location": body["_links"]["self"]["href"]})

    def _snapshot(self, call: ReceivedRequest, asked: Route, group: str, now: float) -> SimulatedResponse:
        test = self._known(call, asked, group)
        wanted = _object(call)
        title, public = wanted.get("displayName"), wanted.get("isPublic", False)
        start, end = _moment(wanted.get("startDate")), _moment(wanted.get("endDate"))
        wrong = []
        if not isinstance(title, str) or not title.strip():
            wrong.append(("displayName", "displayName is required"))
        if not isinstance(public, bool):
            wrong.append(("isPublic", "isPublic must be true or false"))
        wrong += [
            (name, f"{name} must be a date and time")
            for name, moment in (("startDate", start), ("endDate", end))
            if moment is None
        ]
        if start is not None and end is not None:
            if end - start not in [hours * 3600 for hours in SNAPSHOT_HOURS]:
                hours = ", ".join(map(str, SNAPSHOT_HOURS))
                wrong.append(("endDate", f"the range must be one of {hours} hours"))
            if end > self.world.clock(now):
                wrong.append(("endDate", "endDate must not be in the future"))
        if wrong or start is None or end is None:
            raise _invalid(call, wrong)
        recent = [when for when in self._snapshots if now - when < self.world.real(SNAPSHOT_WINDOW)]
        if len(recent) >= SNAPSHOTS:
            raise _Refused(problem(429, "At most 5 snapshots in 5 minutes are possible", call.path))
        self._snapshots = [*recent, now]
        share = "".join(
            Random(f"{self.world.seed}|{test.test_id}|{self._seq}").choices("abcdefghjkmnpqrs", k=7)
        )
        body = {
            "id": share,
            "displayName": title,
            "sourceTestId": test.test_id,
            "testId": str(281474976720000 + len(self._snapshots)),
            "uid": "245",
            "startRoundId": int(start),
            "endRoundId": int(end),
            "roundId": int(start),
            "shareDate": responses.iso(self.world.clock(now)),
            "test": {
                name: value
                for name, value in self._simple(test, call).items()
                if name not in test.definition and name != "dnsServers"
            },
            "_links": {
                "self": {"href": f"{call.base}/tests/{test.test_id}/snapshot"},
                "appLink": {"href": f"https://{share}.share.thousandeyes.com/"},
            },
        }
        return responses.as_json(body, 201)

    def _agents(self, call: ReceivedRequest, asked: Route, group: str, now: float) -> SimulatedResponse:
        types = _words(call, "agentTypes", (*AGENT_TYPES, "enterprise-cluster"))
        listed = []
        for agent in self.world.agents.values():
            if types and agent.agent_type not in types:
                continue
            told = agent.as_listed()
            if agent.agent_type == "enterprise":
                told |= {
                    "agentState": agent.state,
                    "hostname": f"{agent.name}.example.net",
                    "lastSeen": responses.iso(
                        self.world.clock(now) - (0 if agent.state == "online" else 7200)
                    ),
                    "createdDate": "2025-01-15T09:00:00Z",
                    "utilization": 12,
                    "ipv6Policy": "force-ipv4",
                    "keepBrowserCache": False,
                    "errorDetails": [],
                    "targetForTests": agent.address,
                    "accountGroups": [
                        {"aid": each.aid, "accountGroupName": each.name} for each in self.world.account_groups
                    ],
                }
            listed.append(told)
        return self._hal({"agents": listed}, call)

    def _account_groups(
        self, call: ReceivedRequest, asked: Route, group: str, now: float
    ) -> SimulatedResponse:
        default = self.world.account_groups[0].aid
        listed = [
            {
                "aid": each.aid,
                "accountGroupName": each.name,
                "isCurrentAccountGroup": each.aid == group,
                "isDefaultAccountGroup": each.aid == default,
                "organizationName": "Example Organization",
                "orgId": "5001",
            }
            for each in self.world.account_groups
        ]
        return self._hal({"accountGroups": listed}, call)

    def _current_user(self, call: ReceivedRequest, asked: Route, group: str, now: float) -> SimulatedResponse:
        groups = [{"aid": each.aid, "accountGroupName": each.name} for each in self.world.account_groups]
        role = {"name": "Regular User", "roleId": "57", "isBuiltin": True, "hasManagementPermissions": False}
        body = {
            "name": "Sam Simulated",
            "email": "sam@example.com",
            "uid": "245",
            "dateRegistered": "2025-01-15T09:00:00Z",
            "lastLogin": responses.iso(self.world.clock(now)),
            "loginAccountGroup": groups[0],
            "accountGroupRoles": [{"accountGroup": each, "roles": [role]} for each in groups],
            "allAccountGroupRoles": [],
        }
        return self._hal(body, call)

    # results

    def _results(self, call: ReceivedRequest, asked: Route, group: str, now: float) -> SimulatedResponse:
        assert asked.result_type is not None
        test, result_type = self._known(call, asked, group), asked.result_type
        switches = self.world.switches_of(test)
        body: dict[str, Any] = {"results": [], "test": self._simple(test, call)}
        if result_type not in test.result_types:
            if switches.missing_result_type == "404":
                raise _Refused(problem(404, f"The test has no {result_type} results", call.path))
            if switches.missing_result_type == "400":
                raise _invalid(call, [("testId", f"the test has no {result_type} results")])
            return self._hal(self._embellished(test, body), call)
        offset, shown_at = self._cursor(call, now)
        between = self._between(call, shown_at)
        directions = self._directions(call, test, result_type)
        expand = _words(call, "expand", tuple(rows.EXPANDED.values())) if result_type == "http-server" else ()
        if switches.before_first_data == "404" and not self.world.ever_seen(test, result_type, shown_at):
            raise _Refused(problem(404, "There is no data for this test", call.path))
        seen = self.world.seen_rows(test, result_type, shown_at, between=between, directions=directions)
        if switches.row_order == "shuffled":
            Random(f"{self.world.seed}|{test.test_id}|{result_type}|{shown_at}").shuffle(seen)
        if call.query.get("direction") == "bidirectional":
            seen = [VisibleRow(row.round, row.agent_id, "bidirectional") for row in seen]
        page_size = switches.page_size or max(len(seen), 1)
        # pages that never end begin anew, under cursors that are new every time
        first = offset % len(seen) if switches.endless_next and seen else offset
        body["results"] = [
            self._row(test, result_type, row, expand) for row in seen[first : first + page_size]
        ]
        if between is not None:
            body["startDate"], body["endDate"] = (responses.iso(moment) for moment in between)
        links = {"self": {"href": _with_query(f"{call.base}{_path(call)}", call.query)}}
        if offset + page_size < len(seen) or switches.endless_next:
            query = {name: value for name, value in call.query.items() if name != "cursor"}
            if not switches.links_carry_aid:
                query.pop("aid", None)
            query["cursor"] = _cursor(offset + page_size, shown_at)
            base = _elsewhere(call.base) if switches.foreign_next else call.base
            links["next"] = {"href": _with_query(f"{base}{_path(call)}", query)}
        body["_links"] = links
        return responses.as_json(self._embellished(test, body))

    def _row(
        self, test: SimulatedTest, result_type: str, seen: VisibleRow, expand: tuple[str, ...]
    ) -> dict[str, Any]:
        row, switches = self.world.row(test, result_type, seen), self.world.switches_of(test)
        row = {name: value for name, value in row.items() if rows.EXPANDED.get(name, "") in ("", *expand)}
        each = seen.round
        started = ended = each.measured_at(seen.agent_id, result_type)
        if switches.row_times == "round":
            started = each.round_id
            landing = each.lands[seen.agent_id, result_type] or each.started
            ended = started + max(math.ceil(landing - each.started), 1)
        link = {"testId": test.test_id, "roundId": each.round_id, "agentId": seen.agent_id}
        common = {
            "agent": self.world.agents[seen.agent_id].as_result(),
            "date": responses.iso(started),
            "roundId": each.round_id,
            "startTime": started,
            "endTime": ended,
            "_links": {"appLink": {"href": f"https://app.thousandeyes.com/view/tests/?{urlencode(link)}"}},
        }
        result = {**common, **row}
        if switches.numbers_as_text:
            result = rows.with_numbers_as_text(result)
        return self._embellished(test, result)

    def _cursor(self, call: ReceivedRequest, now: float) -> tuple[int, float]:
        """Where a page begins, and the moment that all pages show."""
        given = call.query.get("cursor")
        if not given:
            return 0, now
        try:
            offset, shown_at = json.loads(base64.urlsafe_b64decode(given.encode()))
            if isinstance(offset, int) and offset >= 0 and isinstance(shown_at, float):
                return offset, shown_at
        except (ValueError, TypeError, binascii.Error):
            pass
        raise _invalid(call, [("cursor", "the cursor is invalid")])

    def _between(self, call: ReceivedRequest, now: float) -> tuple[float, float] | None:
        window, start, end = (call.query.get(name) for name in ("window", "startDate", "endDate"))
        clock = self.world.clock(now)
        if window is not None:
            if start is not None or end is not None:
                raise _invalid(call, [("window", "window and startDate, endDate exclude each other")])
            match = re.fullmatch(r"(\d{1,9})([smhdw]?)", window, re.ASCII)
            if match is None:
                raise _invalid(call, [("window", "window must be a number and one of s m h d w")])
            return max(clock - int(match[1]) * _UNITS[match[2]], 0.0), clock
        if start is None and end is None:
            return None
        if start is None:
            raise _invalid(call, [("startDate", "endDate needs a startDate")])
        first, last = _moment(start), clock if end is None else _moment(end)
        wrong = [
            (name, f"{name} must be a date and time")
            for name, moment in (("startDate", first), ("endDate", last))
            if moment is None
        ]
        if first is not None and last is not None and first > last:
            wrong.append(("endDate", "endDate is before startDate"))
        if wrong or first is None or last is None:
            raise _invalid(call, wrong)
        return first, last

    def _directions(self, call: ReceivedRequest, test: SimulatedTest, result_type: str) -> tuple[str, ...]:
        if result_type not in ("network", "path-vis"):
            return ("to-target",)
        asked, both = call.query.get("direction"), len(test.directions) > 1
        if asked is None:
            if (
                both
                and result_type == "path-vis"
                and self.world.switches_of(test).path_vis_direction == "both"
            ):
                return test.directions
            return test.directions[:1]
        choices = test_templates.DIRECTIONS if result_type == "network" else test_templates.DIRECTIONS[:2]
        if asked not in choices:
            raise _invalid(call, [("direction", f"direction must be one of {', '.join(choices)}")])
        if asked not in test.directions and not (both and asked == "bidirectional"):
            raise _invalid(call, [("direction", f"the test does not measure {asked}")])
        return ("to-target",) if asked == "bidirectional" else (asked,)

    # bodies

    def _hal(self, body: dict[str, Any], call: ReceivedRequest, *, links: bool = True) -> SimulatedResponse:
        if links:
            body = {
                **body,
                "_links": {"self": {"href": _with_query(f"{call.base}{_path(call)}", call.query)}},
            }
        return responses.as_json(body)

    def _simple(self, test: SimulatedTest, call: ReceivedRequest) -> dict[str, Any]:
        """The test as lists and results tell it."""
        return {"interval": 120, "alertsEnabled": False, "enabled": True} | self._defined(test, call)

    def _labels(self, test: SimulatedTest) -> dict[str, Any]:
        """The labels of a test as a member of its definition; none for instant tests (SPEC)."""
        if not test.scheduled:
            return {}
        return {
            "labels": [{"labelId": label_id(name), "name": name, "isBuiltin": False} for name in test.labels]
        }

    def _defined(self, test: SimulatedTest, call: ReceivedRequest) -> dict[str, Any]:
        body = {
            "testId": test.test_id,
            "testName": test.name,
            "type": test.test_type,
            "createdBy": "sam@example.com",
            "createdDate": responses.iso(self.world.clock(test.created)),
            "description": "",
            "liveShare": False,
            "savedEvent": False,
            **test.definition,
            "_links": {
                "self": {"href": f"{call.base}/tests/{test.test_type}/{test.test_id}"},
                "testResults": [
                    {"href": f"{call.base}/test-results/{test.test_id}/{name}"} for name in test.result_types
                ],
            },
        }
        if test.test_type == "sip-server" and self.world.switches_of(test).sip_credentials == "nested":
            body["targetSipCredentials"] = {
                name: body.pop(name) for name in test_templates.SIP_CREDENTIALS if name in body
            }
        if test.dns_servers:
            body["dnsServers"] = [
                {"serverId": dns_server_id(name), "serverName": name} for name in test.dns_servers
            ]
        return body

    def _embellished(self, test: SimulatedTest, body: dict[str, Any]) -> dict[str, Any]:
        if not self.world.switches_of(test).extra_fields:
            return body
        return {**body, "simulatedNovelty": {"nested": [1, None, "two"]}, "anotherNovelty": 0.5}


def _spoilt(
    fault: InjectedFault, answer: SimulatedResponse | None, path: str, quota: Mapping[str, str]
) -> Delivery:
    """What becomes of an answer (``None``: the request was not processed) under a fault."""
    if fault.kind == "cut":
        return Delivery(None)
    if fault.kind == "status":
        status = fault.status or 503
        if fault.body is not None:
            spoilt = SimulatedResponse(status, fault.body.encode(), "text/plain; charset=utf-8")
        elif status == 401:
            spoilt = responses.unauthorized()
        elif status < 400:
            spoilt = SimulatedResponse(status)
        else:
            spoilt = problem(
                status,
                fault.detail or "The simulator was told to answer this",
                path,
                title=fault.title,
                errors=[] if status == 400 else None,
            )
        return Delivery(spoilt.with_headers(quota).with_headers(fault.headers))
    if fault.kind == "html":
        page = responses.proxy_page(fault.status or 502)
        if fault.body is not None:
            page = SimulatedResponse(page.status, fault.body.encode(), page.content_type)
        return Delivery(page.with_headers(fault.headers))
    if fault.kind == "empty":
        return Delivery(SimulatedResponse(200).with_headers(quota))
    if fault.kind == "not-json":
        body = '{"results": [' if fault.body is None else fault.body
        return Delivery(SimulatedResponse(200, body.encode(), responses.HAL).with_headers(quota))
    assert answer is not None
    if fault.kind == "cut-body":
        # an answer with no body (run) gets one that is announced and never comes
        return Delivery(answer, cut_after=len(answer.body) // 2)
    if fault.kind == "slow-first-byte" or not answer.body:
        return Delivery(answer, first_byte_after=fault.seconds)
    return Delivery(answer, body_takes=fault.seconds)


def _invalid(call: ReceivedRequest, wrong: Iterable[tuple[str, str]]) -> _Refused:
    return _Refused(problem(400, "Your request object contains invalid fields.", call.path, errors=wrong))


def _object(call: ReceivedRequest) -> dict[str, Any]:
    """The body, which must be a JSON object."""
    try:
        body = json.loads(call.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _invalid(call, [("body", "the body must be a JSON object")])
    return body


def _words(call: ReceivedRequest, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a parameter that takes several, separated by commas."""
    words = tuple(word.strip() for word in call.query.get(name, "").split(",") if word.strip())
    if any(word not in known for word in words):
        raise _invalid(call, [(name, f"{name} must be of {', '.join(known)}")])
    return words


def _moment(text: Any) -> float | None:
    """The epoch seconds of a date and time; UTC when it does not say otherwise.

    ``None`` when it is none, or one before 1970.
    """
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        epoch = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return epoch if 0 <= epoch < LAST_SECOND else None


def _cursor(offset: int, shown_at: float) -> str:
    return base64.urlsafe_b64encode(json.dumps([offset, shown_at]).encode()).decode()


def _path(call: ReceivedRequest) -> str:
    return "/" + "/".join(quote(part, safe="") for part in call.segments)


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}?{urlencode(query)}" if query else url


def _elsewhere(base: str) -> str:
    """Another origin for ``base`` that leads to the same server: what follows the link shows in the log."""
    for here, there in (("//127.0.0.1", "//localhost"), ("//localhost", "//127.0.0.1")):
        if here in base:
            return base.replace(here, there, 1)
    return "http://elsewhere.invalid/v7"
