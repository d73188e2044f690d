"""The control endpoint: the methods of :class:`Simulator` over HTTP.

Its requests need no token and are exempt from rate limits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from thousandeyes_provider.simulator import responses
from thousandeyes_provider.simulator.agent_behavior import BEHAVIOR_FIELDS, readable
from thousandeyes_provider.simulator.injected_faults import InjectedFault
from thousandeyes_provider.simulator.model import RunInProgress, SimulatedTest
from thousandeyes_provider.simulator.responses import SimulatedResponse, problem
from thousandeyes_provider.simulator.service import BUCKETS, Service
from thousandeyes_provider.simulator.validators import check_names

_JSON = "application/json"

StatusAndBody = tuple[int, Any]
"""Status and JSON body of a response."""


@dataclass(frozen=True)
class ControlAction:
    """An action of the control endpoint.

    :param method: HTTP method.
    :param path: path below the base URL; ``ID`` is a placeholder for an id.
    :param about: description.
    :param example: example of a request body; empty: the action takes no body.
    :param call: method that performs the action. Its arguments are the endpoint, the id, the body and the time.
    """

    method: str
    path: str
    about: str
    example: str
    call: Callable[[Control, str, dict[str, Any], float], StatusAndBody]

    def id_in(self, segments: tuple[str, ...]) -> str | None:
        """Return the id in a path, ``""`` for a path without one; ``None`` if it is another path."""
        pattern = self.path.split("/")[2:]
        given = segments if segments != ("",) else ()
        if len(pattern) != len(given):
            return None
        object_id = ""
        for expected, part in zip(pattern, given, strict=True):
            if expected == "ID":
                object_id = part
            elif expected != part:
                return None
        return object_id


class Control:
    """The control endpoint of a :class:`Service`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def handle(self, method: str, segments: tuple[str, ...], body: bytes, now: float) -> SimulatedResponse:
        """Respond to a request to ``/control/…``.

        :param segments: parts of the path after ``control``.
        :param now: real epoch seconds.
        """
        path = "/".join(("/control", *segments))
        actions = {
            action.method: (action, object_id)
            for action in ACTIONS
            if (object_id := action.id_in(segments)) is not None and self._exists(action.path, object_id)
        }
        if not actions:
            known = "; ".join(f"{action.method} {action.path}" for action in ACTIONS)
            return problem(404, f"Unknown action or object. Actions: {known}", path)
        if method not in actions:
            allowed = ", ".join(actions)
            return problem(405, f"Allowed methods: {allowed}", path).with_headers({"Allow": allowed})
        action, object_id = actions[method]
        try:
            given = json.loads(body) if body.strip() else {}
            if not isinstance(given, dict):
                raise ValueError("the body must be a JSON object")
            with self._service.lock:
                status, result = action.call(self, object_id, given, now)
        except RunInProgress:
            return problem(409, "The test is running", path)
        except (ValueError, TypeError) as error:
            return problem(400, str(error), path, title="Bad Request")
        return responses.as_json(result, status, _JSON)

    def _exists(self, path: str, object_id: str) -> bool:
        world = self._service.world
        if path.startswith("/control/tests/ID"):
            return object_id in world.tests
        return object_id in world.agents if path == "/control/agents/ID" else True

    def state(self, now: float) -> dict[str, Any]:
        """Return the state of the simulator."""
        service, world = self._service, self._service.world
        limits = {"organization": world.switches.organization_limit, "instant": world.switches.instant_limit}
        window_end = service.quota_window_end(now)
        return {
            "now": now,
            "clock": world.clock(now),
            "speed": world.speed,
            "seed": world.seed,
            "requests": service.count(),
            "quota": {
                name: {
                    "limit": limits[name],
                    "remaining": service.buckets[name].remaining(now, limits[name]),
                    "reset": world.clock(service.buckets[name].resets_at(now, window_end)),
                }
                for name in BUCKETS
            },
            "throttles_waiting": service.throttles_waiting,
            "faults": [{**asdict(fault), "times": times} for fault, times in service.faults.waiting],
            "switches": asdict(world.switches),
            "targets": self._targets(),
            "tags": {tag.text: list(tag.test_ids) for tag in world.tags.values()},
            "account_groups": [asdict(group) for group in world.account_groups],
            "agents": [asdict(agent) for agent in world.agents.values()],
            "tests": [self._test(test, now) for test in world.tests.values()],
        }

    def _test(self, test: SimulatedTest, now: float) -> dict[str, Any]:
        world = self._service.world
        return {
            "test_id": test.test_id,
            "test_type": test.test_type,
            "name": test.name,
            "account_group_id": test.account_group_id,
            "scheduled": test.scheduled,
            "tags": [tag.text for tag in world.tags.values() if test.test_id in tag.test_ids],
            "agents": [world.agents[agent_id].name for agent_id in test.agents],
            "agent_ids": list(test.agents),
            "dns_servers": list(test.dns_servers),
            "directions": list(test.directions),
            "result_types": list(test.result_types),
            "switches": test.switches,
            "running": world.is_running(test, now),
            "rounds": [
                {**asdict(state), "complete": state.complete} for state in world.round_states(test, now)
            ],
        }

    def _read_state(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        return 200, self.state(now)

    def _read_requests(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        return 200, {"requests": [asdict(request) for request in self._service.log]}

    def _clear_requests(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        count = len(self._service.log)
        self._service.log.clear()
        return 200, {"cleared": count}

    def _add_test(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        return 201, self._test(self._service.world.add_test(now, **given), now)

    def _read_test(self, test_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        return 200, self._test(self._service.world.tests[test_id], now)

    def _change_test(self, test_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        self._service.world.change_test(self._service.world.tests[test_id], **given)
        return self._read_test(test_id, given, now)

    def _run_test(self, test_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        check_names(given, ("by", *BEHAVIOR_FIELDS), "field of a run")
        world = self._service.world
        started = world.run(world.tests[test_id], now, **{"by": "another client", **given})
        return 200, {"round_id": None if started is None else started.round_id}

    def _add_history(self, test_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        world = self._service.world
        summary = asdict(world.add_history(now, world.tests[test_id], **given))
        outages = [
            {"first_round_id": first, "last_round_id": last, "agent_ids": sorted(agents)}
            for first, last, agents in summary["outages"]
        ]
        return 201, {**summary, "outages": outages}

    def _add_agent(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        return 201, asdict(self._service.world.add_agent(**given))

    def _change_agent(self, agent_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        check_names(given, ("state",), "field of an agent to change")
        return 200, asdict(self._service.world.change_agent(agent_id, given.get("state", "")))

    def _targets(self) -> dict[str, Any]:
        return {name: readable(condition) for name, condition in self._service.world.targets.items()}

    def _set_target(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        check_names(given, ("target", "condition"), "field of a target")
        self._service.world.set_target(given.get("target", ""), given.get("condition"))
        return 201, {"targets": self._targets()}

    def _clear_targets(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        count = len(self._service.world.targets)
        self._service.world.targets = {}
        return 200, {"cleared": count}

    def _add_tag(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        check_names(given, ("tag", "tests", "account_group_id"), "field of a tag")
        tag = self._service.world.add_tag(
            now,
            given.get("tag", ""),
            given.get("tests", ()),
            account_group_id=given.get("account_group_id"),
        )
        return 201, {"tag_id": tag.tag_id, "tag": tag.text, "tests": list(tag.test_ids)}

    def _add_alert_rule(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        rule = self._service.world.add_alert_rule(**{"expression": "", "tests": (), **given})
        return 201, asdict(rule)

    def _add_alert(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        required = {"rule_id": "", "test_id": "", "ago": None}
        return 201, asdict(self._service.world.add_alert(now, **{**required, **given}))

    def _add_event(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        return 201, asdict(self._service.world.add_event(now, **{"title": "", "ago": None, **given}))

    def _inject_fault(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        fault = InjectedFault.from_json(given)
        self._service.faults.add(fault)
        return 201, asdict(fault)

    def _clear_faults(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        count = len(self._service.faults.waiting)
        self._service.faults.clear()
        return 200, {"cleared": count}

    def _throttle(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        check_names(given, ("times", "seconds", "operation", "bucket"), "field of a throttle")
        self._service.throttle(
            given.get("times", 1), given.get("seconds", 60.0), given.get("operation"), given.get("bucket")
        )
        return 201, {"throttles_waiting": self._service.throttles_waiting}

    def _read_switches(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        return 200, asdict(self._service.world.switches)

    def _set_switches(self, object_id: str, given: dict[str, Any], now: float) -> StatusAndBody:
        world = self._service.world
        world.switches = world.switches.changed(given)
        return self._read_switches(object_id, given, now)


ACTIONS = tuple(
    ControlAction(method, f"/control{path}", about, example, call)
    for method, path, about, example, call in (
        ("GET", "", "read the state: clock, quota, tests, rounds, faults, switches", "", Control._read_state),
        ("GET", "/requests", "read the log of requests to the API", "", Control._read_requests),
        ("DELETE", "/requests", "clear the log", "", Control._clear_requests),
        (
            "POST",
            "/tests",
            "add a test",
            '{"test_type": "http-server", "outcomes": {"Singapore": "error"}}',
            Control._add_test,
        ),
        ("GET", "/tests/ID", "read a test and its rounds", "", Control._read_test),
        ("PATCH", "/tests/ID", "change a test", '{"silent": ["Singapore"]}', Control._change_test),
        ("POST", "/tests/ID/run", "run a test as another client", '{"outcomes": "error"}', Control._run_test),
        (
            "POST",
            "/tests/ID/history",
            "generate several weeks of history for a test",
            '{"days": 14, "seed": 1}',
            Control._add_history,
        ),
        ("POST", "/agents", "add an agent", '{"name": "lab-1"}', Control._add_agent),
        ("PATCH", "/agents/ID", "set the state of an agent", '{"state": "offline"}', Control._change_agent),
        (
            "POST",
            "/targets",
            "set the condition of a target",
            '{"target": "www.example.com", "condition": "slow:1.3"}',
            Control._set_target,
        ),
        ("DELETE", "/targets", "clear the conditions of all targets", "", Control._clear_targets),
        (
            "POST",
            "/tags",
            "add a tag, or assign it to scheduled tests",
            '{"tag": "service:checkout", "tests": ["202801"]}',
            Control._add_tag,
        ),
        (
            "POST",
            "/alert-rules",
            "add an alert rule to tests",
            '{"expression": "((responseTime >= 500 ms))", "tests": ["202703"]}',
            Control._add_alert_rule,
        ),
        (
            "POST",
            "/alerts",
            "add an alert",
            '{"rule_id": "100001", "test_id": "202703", "ago": 900, "lasted": 300}',
            Control._add_alert,
        ),
        (
            "POST",
            "/events",
            "add an event",
            '{"title": "Network outage", "ago": 900, "lasted": 300}',
            Control._add_event,
        ),
        (
            "POST",
            "/faults",
            "inject a fault",
            '{"operation": "run", "status": 502, "times": 1}',
            Control._inject_fault,
        ),
        ("DELETE", "/faults", "clear all faults", "", Control._clear_faults),
        (
            "POST",
            "/throttle",
            "refuse requests with 429",
            '{"times": 1, "seconds": 20, "operation": "run"}',
            Control._throttle,
        ),
        ("GET", "/switches", "read the switches", "", Control._read_switches),
        ("PATCH", "/switches", "set switches", '{"newest_round": "previous"}', Control._set_switches),
    )
)
"""All actions of the control endpoint."""
