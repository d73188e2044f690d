"""The operations of the API: they turn a routed request into a response without sockets, sleeps or clocks."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from thousandeyes_provider.simulator import responses, rows, test_templates
from thousandeyes_provider.simulator.agents import AGENT_TYPES
from thousandeyes_provider.simulator.model import (
    RunInProgress,
    SimulatedTest,
    World,
    dns_server_id,
)
from thousandeyes_provider.simulator.responses import SimulatedResponse, problem
from thousandeyes_provider.simulator.routes import Route
from thousandeyes_provider.simulator.simulated_alerts import SimulatedAlert, SimulatedEvent
from thousandeyes_provider.simulator.simulated_rounds import VisibleRow

SNAPSHOT_HOURS = (1, 2, 4, 6, 12, 24, 48)
SNAPSHOTS = 5
SNAPSHOT_WINDOW = 300.0
ALERT_DAYS = 90
"""Days that ``GET /alerts`` covers without a window or dates."""

_LAST_SECOND = 253_402_300_800
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_EXPAND_TEST = ("agent", "alert-rule", "monitor", "label", "tag", "shared-with-account")

_Listed = TypeVar("_Listed")


@dataclass(frozen=True)
class ReceivedRequest:
    """A request to the API.

    :param method: in upper case.
    :param path: as the client sent it, for the log.
    :param segments: parts of the path, decoded one by one, without a leading ``v7``.
    :param base: scheme, host, port, and ``/v7`` if the client sent it; links start with it.
    :param query: value of each parameter; commas join the values of a repeated one.
    :param authorization: ``Authorization`` header, or ``""``. It is checked and not stored.
    :param user_agent: ``User-Agent`` header, or ``""``.
    :param body: whole body. It is processed and not stored.
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
class RoutedRequest:
    """A request that an operation handles.

    :param request: the request.
    :param route: route of its path.
    :param now: time of arrival, real epoch seconds.
    :param leaves: time at which the response is sent, real epoch seconds.
    :param account_group_id: account group of the request.
    """

    request: ReceivedRequest
    route: Route
    now: float
    leaves: float
    account_group_id: str = ""


class Refusal(Exception):
    """Raised to end a request with an error response."""

    def __init__(self, response: SimulatedResponse) -> None:
        super().__init__(response.status)
        self.response = response


class Operations:
    """All operations of the API on a :class:`World`.

    :param world: the state.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._snapshots: list[float] = []
        self._listing: tuple[tuple[Any, ...], list[VisibleRow]] = ((), [])
        self._by_name: Mapping[str, Callable[[RoutedRequest], SimulatedResponse]] = {
            "tests": self._tests,
            "test": self._test,
            "results": self._results,
            "details": self._details,
            "console-logs": self._console_logs,
            "run": self._run,
            "create": self._create,
            "snapshot": self._snapshot,
            "tags": self._tags,
            "tag": self._tag,
            "alert-rules": self._alert_rules,
            "alert-rule": self._alert_rule,
            "alerts": self._alerts,
            "alert": self._alert,
            "events": self._events,
            "agents": self._agents,
            "account-groups": self._account_groups,
            "current-user": self._current_user,
        }

    def respond(self, request: ReceivedRequest, route: Route, now: float, leaves: float) -> SimulatedResponse:
        """Handle a request.

        Checks path (404), method (405), account group (403), test (404) and parameters (400), in this order.

        :param now: time of arrival, real epoch seconds.
        :param leaves: time at which the response is sent, real epoch seconds.
        """
        try:
            if route.operation is None:
                raise Refusal(problem(404, "There is no such URI", request.path))
            if request.method != route.method:
                refused = problem(405, f"Only {route.method} is allowed here", request.path)
                raise Refusal(refused.with_headers({"Allow": route.method}))
            group = self._account_group(request)
            return self._by_name[route.operation](RoutedRequest(request, route, now, leaves, group))
        except Refusal as refusal:
            return refusal.response

    def _account_group(self, request: ReceivedRequest) -> str:
        """Return the account group of a request: ``aid``, or the user's login account group."""
        groups = [group.aid for group in self.world.account_groups]
        aid = request.query.get("aid", groups[0])
        if aid in groups:
            return aid
        if self.world.switches.foreign_aid == "404":
            raise Refusal(problem(404, "The account group id is wrong", request.path))
        raise Refusal(problem(403, "You are not assigned to this account group", request.path))

    def _test_of(self, routed: RoutedRequest) -> SimulatedTest:
        test = self.world.tests.get(routed.route.test_id or "")
        if test is None or test.account_group_id != routed.account_group_id:
            raise Refusal(problem(404, "The test id is wrong", routed.request.path))
        return test

    # tests

    def _tests(self, routed: RoutedRequest) -> SimulatedResponse:
        listed = [
            self._listed_test(test, routed.request)
            for test in self.world.tests.values()
            if test.account_group_id == routed.account_group_id
            and (test.scheduled or self.world.switches_of(test).listed_in_tests)
        ]
        return _with_self_link({"tests": listed}, routed.request)

    def _test(self, routed: RoutedRequest) -> SimulatedResponse:
        test, request = self._test_of(routed), routed.request
        lookup = self.world.switches_of(test).typed_lookup
        if test.test_type != routed.route.test_type or lookup == "404":
            detail = f"There is no {routed.route.test_type} test with this id"
            raise Refusal(problem(404, detail, request.path))
        body = self._listed_test(test, request)
        expand = _expansions(request, _EXPAND_TEST)
        if "agent" in expand and lookup == "agents":
            body["agents"] = [self.world.agents[agent_id].as_listed() for agent_id in test.agents]
        if "tag" in expand and test.scheduled:
            tags = self.world.tags.values()
            body["tags"] = [tag.as_expanded() for tag in tags if test.test_id in tag.test_ids]
        if "alert-rule" in expand:
            rules = self.world.alert_rules.values()
            body["alertRules"] = [rule.as_expanded() for rule in rules if test.test_id in rule.test_ids]
        return responses.as_json(self._extended(test, body))

    def _run(self, routed: RoutedRequest) -> SimulatedResponse:
        test, request = self._test_of(routed), routed.request
        refused = self.world.switches_of(test).run_scheduled
        if test.scheduled and refused == "404":
            raise Refusal(problem(404, "There is no instant test with this id", request.path))
        if test.scheduled and refused == "400":
            raise _invalid(request, [("testId", "the test is not an instant test")])
        try:
            self.world.run(test, self._round_start(test, routed))
        except RunInProgress:
            raise Refusal(problem(409, "The test is running", request.path)) from None
        return SimulatedResponse(200)

    def _round_start(self, test: SimulatedTest, routed: RoutedRequest) -> float:
        departure = self.world.switches_of(test).round_start == "departure"
        return routed.leaves if departure else routed.now

    def _create(self, routed: RoutedRequest) -> SimulatedResponse:
        request, test_type = routed.request, routed.route.test_type
        assert test_type is not None
        definition = _json_object(request)
        wrong = test_templates.mistakes(test_type, definition)
        listed = [] if any(name.startswith("agents") for name, _ in wrong) else definition["agents"]
        agents = [agent["agentId"] for agent in listed]
        wrong += [
            ("agents", f"there is no agent {agent_id}")
            for agent_id in agents
            if agent_id not in self.world.agents
        ]
        target = definition.get("targetAgentId")
        towards_agent = test_templates.has_target_agent(test_type)
        if towards_agent and isinstance(target, str) and target not in self.world.agents:
            wrong.append(("targetAgentId", f"there is no agent {target}"))
        name = definition.get("testName")
        if name is not None and name in [test.name for test in self.world.tests.values()]:
            wrong.append(("testName", "a test with this name exists"))
        if wrong:
            raise _invalid(request, wrong)
        expand = _expansions(request, ("agent",))
        test = self.world.add_test(
            routed.now,
            test_type=test_type,
            name=name,
            agents=agents,
            dns_servers=definition.get("dnsServers") if test_type == "dns-server" else None,
            definition=test_templates.with_defaults(test_type, definition),
            account_group_id=routed.account_group_id,
            history=(),
        )
        self.world.run(test, self._round_start(test, routed))
        body = self._defined_test(test, request)
        if "agent" in expand:
            body["agents"] = [self.world.agents[agent_id].as_listed() for agent_id in test.agents]
        created = responses.as_json(self._extended(test, body), 201)
        return created.with_headers({"Location": body["_links"]["self"]["href"]})

    def _snapshot(self, routed: RoutedRequest) -> SimulatedResponse:
        test, request, now = self._test_of(routed), routed.request, routed.now
        wanted = _json_object(request)
        title, start, end = self._snapshot_arguments(wanted, request, now)
        recent = [when for when in self._snapshots if now - when < self.world.real(SNAPSHOT_WINDOW)]
        if len(recent) >= SNAPSHOTS:
            raise Refusal(
                problem(429, f"At most {SNAPSHOTS} snapshots in 5 minutes are allowed", request.path)
            )
        self._snapshots = [*recent, now]
        figures = Random(f"{self.world.seed}|{test.test_id}|{now}")
        share = "".join(figures.choices("abcdefghjkmnpqrs", k=7))
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
                for name, value in self._listed_test(test, request).items()
                if name not in test.definition and name != "dnsServers"
            },
            "_links": {
                "self": {"href": f"{request.base}/tests/{test.test_id}/snapshot"},
                "appLink": {"href": f"https://{share}.share.thousandeyes.com/"},
            },
        }
        return responses.as_json(body, 201)

    def _snapshot_arguments(
        self, wanted: Mapping[str, Any], request: ReceivedRequest, now: float
    ) -> tuple[str, float, float]:
        """Return title, start and end of a snapshot."""
        title, start, end = (
            wanted.get("displayName"),
            *map(_moment, map(wanted.get, ("startDate", "endDate"))),
        )
        wrong = []
        if not isinstance(title, str) or not title.strip():
            wrong.append(("displayName", "displayName is required"))
        if not isinstance(wanted.get("isPublic", False), bool):
            wrong.append(("isPublic", "isPublic must be true or false"))
        wrong += _wrong_moments(("startDate", start), ("endDate", end))
        if start is not None and end is not None:
            if end - start not in [hours * 3600 for hours in SNAPSHOT_HOURS]:
                hours = ", ".join(map(str, SNAPSHOT_HOURS))
                wrong.append(("endDate", f"the range must be one of {hours} hours"))
            if end > self.world.clock(now):
                wrong.append(("endDate", "endDate must not be in the future"))
        if wrong or start is None or end is None:
            raise _invalid(request, wrong)
        return str(title), start, end

    def _listed_test(self, test: SimulatedTest, request: ReceivedRequest) -> dict[str, Any]:
        """Return the test as it appears in lists and results."""
        return {"interval": 120, "alertsEnabled": False, "enabled": True} | self._defined_test(test, request)

    def _defined_test(self, test: SimulatedTest, request: ReceivedRequest) -> dict[str, Any]:
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
                "self": {"href": f"{request.base}/tests/{test.test_type}/{test.test_id}"},
                "testResults": [
                    {"href": f"{request.base}/test-results/{test.test_id}/{name}"}
                    for name in test.result_types
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

    def _extended(self, test: SimulatedTest, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body, with undocumented fields if the switch ``extra_fields`` is on."""
        if not self.world.switches_of(test).extra_fields:
            return body
        return {**body, "simulatedNovelty": {"nested": [1, None, "two"]}, "anotherNovelty": 0.5}

    # results

    def _results(self, routed: RoutedRequest) -> SimulatedResponse:
        test, request, result_type = self._test_of(routed), routed.request, routed.route.result_type
        assert result_type is not None
        switches = self.world.switches_of(test)
        body: dict[str, Any] = {"results": [], "test": self._listed_test(test, request)}
        if self._lacks(test, result_type, request):
            return _with_self_link(self._extended(test, body), request)
        offset, shown_at = _read_cursor(request, routed.now)
        between = _period(request, self.world.clock(shown_at))
        directions = self._directions(request, test, result_type)
        expand = _expansions(request, tuple(rows.EXPANDED.values())) if result_type == "http-server" else ()
        if switches.before_first_data == "404" and not self.world.has_rows(test, result_type, shown_at):
            raise Refusal(problem(404, "There is no data for this test", request.path))
        visible = self._visible_rows(test, result_type, shown_at, between, directions)
        if request.query.get("direction") == "bidirectional":
            visible = [VisibleRow(row.round, row.agent_id, "bidirectional") for row in visible]
        # Endless pages start over, each with a new cursor.
        first = offset % len(visible) if switches.endless_next and visible else offset
        size = switches.page_size or max(len(visible), 1)
        body["results"] = [
            self._result(test, result_type, row, expand) for row in visible[first : first + size]
        ]
        if between is not None:
            body["startDate"], body["endDate"] = (responses.iso(moment) for moment in between)
        body["_links"] = {"self": {"href": _own_url(request)}}
        if offset + size < len(visible) or switches.endless_next:
            body["_links"]["next"] = {"href": self._next_page(test, request, offset + size, shown_at)}
        return responses.as_json(self._extended(test, body))

    def _visible_rows(
        self,
        test: SimulatedTest,
        result_type: str,
        shown_at: float,
        between: tuple[float, float] | None,
        directions: tuple[str, ...],
    ) -> list[VisibleRow]:
        """Return the rows on all pages of a list.

        The rows of a long history are cached until another list is requested, so that a page generates its own rows
        only.
        """
        switches = self.world.switches_of(test)
        key = (test.test_id, test.history, result_type, shown_at, between, directions, switches)
        if self._listing[0] == key:
            return self._listing[1]
        visible = self.world.visible_rows(test, result_type, shown_at, between=between, directions=directions)
        if switches.row_order == "shuffled":
            Random(f"{self.world.seed}|{test.test_id}|{result_type}|{shown_at}").shuffle(visible)
        if test.history is not None:
            self._listing = (key, visible)
        return visible

    def _lacks(self, test: SimulatedTest, result_type: str, request: ReceivedRequest) -> bool:
        """Return whether the test lacks the result type and the response is an empty list.

        :raises Refusal: if the test lacks it and the response is an error.
        """
        if result_type in test.result_types:
            return False
        missing = self.world.switches_of(test).missing_result_type
        if missing == "404":
            raise Refusal(problem(404, f"The test has no {result_type} results", request.path))
        if missing == "400":
            raise _invalid(request, [("testId", f"the test has no {result_type} results")])
        return True

    def _next_page(self, test: SimulatedTest, request: ReceivedRequest, offset: int, shown_at: float) -> str:
        switches = self.world.switches_of(test)
        query = dict(request.query)
        if not switches.links_carry_aid:
            query.pop("aid", None)
        query["cursor"] = _cursor(offset, shown_at)
        base = _elsewhere(request.base) if switches.foreign_next else request.base
        return _with_query(f"{base}{_path(request)}", query)

    def _result(
        self, test: SimulatedTest, result_type: str, row: VisibleRow, expand: tuple[str, ...]
    ) -> dict[str, Any]:
        fields = self.world.row(test, result_type, row)
        shown = {
            name: value for name, value in fields.items() if rows.EXPANDED.get(name, "") in ("", *expand)
        }
        return self._result_of(test, result_type, row, shown)

    def _result_of(
        self, test: SimulatedTest, result_type: str, row: VisibleRow, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return a row with agent, round, times and link."""
        switches, the_round = self.world.switches_of(test), row.round
        started = ended = the_round.measured_at(row.agent_id, result_type)
        if switches.row_times == "round":
            started = the_round.round_id
            landing = the_round.landing(row.agent_id, result_type) or the_round.started
            ended = started + max(math.ceil(landing - the_round.started), 1)
        query = f"testId={quote(test.test_id)}&roundId={the_round.round_id}&agentId={quote(row.agent_id)}"
        result = {
            "agent": self.world.agents[row.agent_id].as_result(),
            "date": responses.iso(started),
            "roundId": the_round.round_id,
            "startTime": started,
            "endTime": ended,
            "_links": {"appLink": {"href": f"https://app.thousandeyes.com/view/tests/?{query}"}},
            **fields,
        }
        if switches.numbers_as_text:
            result = rows.with_numbers_as_text(result)
        return self._extended(test, result)

    def _directions(self, request: ReceivedRequest, test: SimulatedTest, result_type: str) -> tuple[str, ...]:
        if result_type not in ("network", "path-vis"):
            return ("to-target",)
        asked, both = request.query.get("direction"), len(test.directions) > 1
        if asked is None:
            path_vis = result_type == "path-vis"
            if both and path_vis and self.world.switches_of(test).path_vis_direction == "both":
                return test.directions
            return test.directions[:1]
        choices = test_templates.DIRECTIONS if result_type == "network" else test_templates.DIRECTIONS[:2]
        if asked not in choices:
            raise _invalid(request, [("direction", f"direction must be one of {', '.join(choices)}")])
        if asked not in test.directions and not (both and asked == "bidirectional"):
            raise _invalid(request, [("direction", f"the test does not measure {asked}")])
        return ("to-target",) if asked == "bidirectional" else (asked,)

    # details of one agent in one round

    def _details(self, routed: RoutedRequest) -> SimulatedResponse:
        test, result_type = self._test_of(routed), routed.route.result_type
        assert result_type is not None
        body: dict[str, Any] = {"results": [], "test": self._listed_test(test, routed.request)}
        if not self._lacks(test, result_type, routed.request):
            body["results"] = [
                self._result_of(test, result_type, row, self.world.details(test, result_type, row))
                for row in self._rows_of_agent(routed, test, result_type)
            ]
        return _with_self_link(self._extended(test, body), routed.request)

    def _console_logs(self, routed: RoutedRequest) -> SimulatedResponse:
        test, result_type = self._test_of(routed), "web-transactions"
        body: dict[str, Any] = {"results": [], "test": self._listed_test(test, routed.request)}
        if not self._lacks(test, result_type, routed.request):
            for row in self._rows_of_agent(routed, test, result_type):
                logs = {"consoleLogs": self.world.console_logs(test, row)}
                result = self._result_of(test, result_type, row, logs)
                body["results"].append(
                    {name: value for name, value in result.items() if name not in ("startTime", "endTime")}
                )
        return _with_self_link(self._extended(test, body), routed.request)

    def _rows_of_agent(
        self, routed: RoutedRequest, test: SimulatedTest, result_type: str
    ) -> list[VisibleRow]:
        """Return the rows of the agent and the round in the path."""
        route, request = routed.route, routed.request
        if not re.fullmatch(r"\d{1,12}", route.round_id, re.ASCII):
            raise _invalid(request, [("roundId", "roundId must be epoch seconds")])
        round_id = int(route.round_id)
        directions = self._directions(request, test, result_type)
        visible = self.world.visible_rows(
            test, result_type, routed.now, between=(round_id, round_id), directions=directions
        )
        rows = [row for row in visible if (row.agent_id, row.round.round_id) == (route.agent_id, round_id)]
        if not rows and self.world.switches_of(test).before_first_data == "404":
            raise Refusal(problem(404, "There is no data of this agent in this round", request.path))
        return rows

    # tags

    def _tags(self, routed: RoutedRequest) -> SimulatedResponse:
        assignments = "assignments" in _expansions(routed.request, ("assignments",))
        listed = [
            tag.as_listed(assignments=assignments)
            for tag in self.world.tags.values()
            if tag.account_group_id == routed.account_group_id
        ]
        return _with_self_link({"tags": listed}, routed.request)

    def _tag(self, routed: RoutedRequest) -> SimulatedResponse:
        assignments = "assignments" in _expansions(routed.request, ("assignments",))
        tag = self.world.tags.get(routed.route.object_id)
        if tag is None or tag.account_group_id != routed.account_group_id:
            raise Refusal(problem(404, "The tag id is wrong", routed.request.path))
        return _with_self_link(tag.as_listed(assignments=assignments), routed.request)

    # alerts and events

    def _alert_rules(self, routed: RoutedRequest) -> SimulatedResponse:
        listed = [
            rule.as_listed()
            for rule in self.world.alert_rules.values()
            if rule.account_group_id == routed.account_group_id
        ]
        return _with_self_link({"alertRules": listed}, routed.request)

    def _alert_rule(self, routed: RoutedRequest) -> SimulatedResponse:
        rule = self.world.alert_rules.get(routed.route.object_id)
        if rule is None or rule.account_group_id != routed.account_group_id:
            raise Refusal(problem(404, "The rule id is wrong", routed.request.path))
        tests = [self._listed_test(self.world.tests[test_id], routed.request) for test_id in rule.test_ids]
        body = {**rule.as_listed(), "testIds": list(rule.test_ids), "tests": tests, "notifications": {}}
        return _with_self_link(body, routed.request)

    def _alerts(self, routed: RoutedRequest) -> SimulatedResponse:
        request = routed.request
        offset, shown_at = _read_cursor(request, routed.now)
        clock = self.world.clock(shown_at)
        state = request.query.get("state")
        if state not in (None, "trigger", "clear"):
            raise _invalid(request, [("state", "state must be one of clear, trigger")])
        between = _period(request, clock)
        if between is None:
            between, state = (clock - ALERT_DAYS * 86400, clock), state or "trigger"
        alerts = [
            alert
            for alert in self.world.alerts.values()
            if alert.rule.account_group_id == routed.account_group_id
            and _matches(alert, state, between, clock)
        ]
        alerts.sort(key=lambda alert: alert.started, reverse=True)
        return self._page(
            "alerts", alerts, lambda alert: alert.as_listed(request.base, clock), request, offset, shown_at
        )

    def _alert(self, routed: RoutedRequest) -> SimulatedResponse:
        alert = self.world.alerts.get(routed.route.object_id)
        if alert is None or alert.rule.account_group_id != routed.account_group_id:
            raise Refusal(problem(404, "The alert id is wrong", routed.request.path))
        clock = self.world.clock(routed.now)
        return responses.as_json(alert.as_detail(routed.request.base, clock))

    def _events(self, routed: RoutedRequest) -> SimulatedResponse:
        request = routed.request
        offset, shown_at = _read_cursor(request, routed.now)
        clock = self.world.clock(shown_at)
        between = _period(request, clock)
        if between is None:
            raise _invalid(request, [("window", "window, or startDate and endDate, is required")])
        ongoing = request.query.get("ongoing")
        if ongoing not in (None, "true", "false"):
            raise _invalid(request, [("ongoing", "ongoing must be true or false")])
        events = [
            event
            for event in self.world.events.values()
            if event.account_group_id == routed.account_group_id and _overlaps(event, between, clock, ongoing)
        ]
        events.sort(key=lambda event: event.started, reverse=True)
        further = {
            "aid": routed.account_group_id,
            "startDate": responses.iso(between[0]),
            "endDate": responses.iso(between[1]),
        }
        return self._page(
            "events",
            events,
            lambda event: event.as_listed(request.base, clock),
            request,
            offset,
            shown_at,
            further,
        )

    def _page(
        self,
        name: str,
        listed: list[_Listed],
        as_listed: Callable[[_Listed], dict[str, Any]],
        request: ReceivedRequest,
        offset: int,
        shown_at: float,
        further: Mapping[str, Any] | None = None,
    ) -> SimulatedResponse:
        """Return one page of a list. ``max`` sets its size, by default the switch ``page_size``."""
        wanted = request.query.get("max", str(self.world.switches.page_size))
        if not re.fullmatch(r"\d{1,6}", wanted, re.ASCII):
            raise _invalid(request, [("max", "max must be a whole number")])
        size = int(wanted) or max(len(listed), 1)
        links = {"self": {"href": _own_url(request)}}
        if offset + size < len(listed):
            query = {**request.query, "cursor": _cursor(offset + size, shown_at)}
            links["next"] = {"href": _with_query(f"{request.base}{_path(request)}", query)}
        page = [as_listed(entry) for entry in listed[offset : offset + size]]
        return responses.as_json({**(further or {}), name: page, "_links": links})

    # agents, account groups and the user

    def _agents(self, routed: RoutedRequest) -> SimulatedResponse:
        types = _expansions(routed.request, (*AGENT_TYPES, "enterprise-cluster"), "agentTypes")
        listed = []
        for agent in self.world.agents.values():
            if types and agent.agent_type not in types:
                continue
            body = agent.as_listed()
            if agent.agent_type == "enterprise":
                last_seen = self.world.clock(routed.now) - (0 if agent.state == "online" else 7200)
                body |= {
                    "agentState": agent.state,
                    "hostname": f"{agent.name}.example.net",
                    "lastSeen": responses.iso(last_seen),
                    "createdDate": "2025-01-15T09:00:00Z",
                    "utilization": 12,
                    "ipv6Policy": "force-ipv4",
                    "keepBrowserCache": False,
                    "errorDetails": [],
                    "targetForTests": agent.address,
                    "accountGroups": [
                        {"aid": group.aid, "accountGroupName": group.name}
                        for group in self.world.account_groups
                    ],
                }
            listed.append(body)
        return _with_self_link({"agents": listed}, routed.request)

    def _account_groups(self, routed: RoutedRequest) -> SimulatedResponse:
        default = self.world.account_groups[0].aid
        listed = [
            {
                "aid": group.aid,
                "accountGroupName": group.name,
                "isCurrentAccountGroup": group.aid == routed.account_group_id,
                "isDefaultAccountGroup": group.aid == default,
                "organizationName": "Example Organization",
                "orgId": "5001",
            }
            for group in self.world.account_groups
        ]
        return _with_self_link({"accountGroups": listed}, routed.request)

    def _current_user(self, routed: RoutedRequest) -> SimulatedResponse:
        groups = [{"aid": group.aid, "accountGroupName": group.name} for group in self.world.account_groups]
        role = {"name": "Regular User", "roleId": "57", "isBuiltin": True, "hasManagementPermissions": False}
        body = {
            "name": "Sam Simulated",
            "email": "sam@example.com",
            "uid": "245",
            "dateRegistered": "2025-01-15T09:00:00Z",
            "lastLogin": responses.iso(self.world.clock(routed.now)),
            "loginAccountGroup": groups[0],
            "accountGroupRoles": [{"accountGroup": group, "roles": [role]} for group in groups],
            "allAccountGroupRoles": [],
        }
        return _with_self_link(body, routed.request)


def _matches(alert: SimulatedAlert, state: str | None, between: tuple[float, float], clock: float) -> bool:
    """Return whether ``GET /alerts`` lists the alert. docs/thousandeyes-api.md, "Alerts and events"."""
    first, last = between
    active = alert.is_active(clock)
    if active:
        return state != "clear" and alert.started <= last and (state is None or first <= alert.started)
    return state != "trigger" and alert.ended is not None and first <= alert.ended <= last


def _overlaps(event: SimulatedEvent, between: tuple[float, float], clock: float, ongoing: str | None) -> bool:
    """Return whether ``GET /events`` lists the event."""
    active = event.is_active(clock)
    if ongoing == "true":
        return active and between[0] <= event.started <= between[1]
    if active and ongoing == "false":
        return False
    ended = clock if event.ended is None else event.ended
    return event.started <= between[1] and between[0] <= ended


# requests


def _invalid(request: ReceivedRequest, wrong: Iterable[tuple[str, str]]) -> Refusal:
    return Refusal(problem(400, "Your request object contains invalid fields.", request.path, errors=wrong))


def _json_object(request: ReceivedRequest) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _invalid(request, [("body", "the body must be a JSON object")])
    return body


def _expansions(request: ReceivedRequest, known: tuple[str, ...], name: str = "expand") -> tuple[str, ...]:
    """Return the values of a comma-separated parameter."""
    words = tuple(word.strip() for word in request.query.get(name, "").split(",") if word.strip())
    if any(word not in known for word in words):
        raise _invalid(request, [(name, f"{name} must be one of {', '.join(known)}")])
    return words


def _period(request: ReceivedRequest, clock: float) -> tuple[float, float] | None:
    """Return start and end of ``window``, or of ``startDate`` and ``endDate``; ``None`` without these parameters."""
    window, start, end = (request.query.get(name) for name in ("window", "startDate", "endDate"))
    if window is not None:
        if start is not None or end is not None:
            raise _invalid(request, [("window", "window cannot be combined with startDate and endDate")])
        match = re.fullmatch(r"(\d{1,9})([smhdw]?)", window, re.ASCII)
        if match is None:
            raise _invalid(request, [("window", "window must be a number followed by s, m, h, d or w")])
        return max(clock - int(match[1]) * _SECONDS[match[2]], 0.0), clock
    if start is None and end is None:
        return None
    if start is None:
        raise _invalid(request, [("startDate", "endDate requires startDate")])
    first, last = _moment(start), clock if end is None else _moment(end)
    wrong = _wrong_moments(("startDate", first), ("endDate", last))
    if first is not None and last is not None and first > last:
        wrong.append(("endDate", "endDate is before startDate"))
    if wrong or first is None or last is None:
        raise _invalid(request, wrong)
    return first, last


def _wrong_moments(*moments: tuple[str, float | None]) -> list[tuple[str, str]]:
    return [(name, f"{name} must be a date and time") for name, moment in moments if moment is None]


def _moment(text: Any) -> float | None:
    """Return a date and time as epoch seconds, in UTC unless it has another time zone.

    :returns: ``None`` for any other text, and for a time before 1970.
    """
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        epoch = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return epoch if 0 <= epoch < _LAST_SECOND else None


# pages and links


def _read_cursor(request: ReceivedRequest, now: float) -> tuple[int, float]:
    """Return the offset of a page and the time of the first request for the list."""
    given = request.query.get("cursor")
    if not given:
        return 0, now
    try:
        offset, shown_at = json.loads(base64.urlsafe_b64decode(given.encode()))
        if isinstance(offset, int) and offset >= 0 and isinstance(shown_at, float):
            return offset, shown_at
    except (ValueError, TypeError, binascii.Error):
        pass
    raise _invalid(request, [("cursor", "the cursor is invalid")])


def _cursor(offset: int, shown_at: float) -> str:
    return base64.urlsafe_b64encode(json.dumps([offset, shown_at]).encode()).decode()


def _with_self_link(body: dict[str, Any], request: ReceivedRequest) -> SimulatedResponse:
    return responses.as_json({**body, "_links": {"self": {"href": _own_url(request)}}})


def _own_url(request: ReceivedRequest) -> str:
    return _with_query(f"{request.base}{_path(request)}", request.query)


def _path(request: ReceivedRequest) -> str:
    return "/" + "/".join(quote(part, safe="") for part in request.segments)


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}?{urlencode(query)}" if query else url


def _elsewhere(base: str) -> str:
    """Return another origin of the same server, so that the log shows requests of clients that follow it."""
    for here, there in (("//127.0.0.1", "//localhost"), ("//localhost", "//127.0.0.1")):
        if here in base:
            return base.replace(here, there, 1)
    return "http://elsewhere.invalid/v7"
