"""The control endpoint: sets the simulator up from outside, and tells what it has seen.

It wants no token and counts in no rate limit. Its names are those of the Python handle.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.simulator import responses
from thousandeyes_provider.simulator.agent_behavior import BEHAVIOR_FIELDS, readable
from thousandeyes_provider.simulator.injected_faults import InjectedFault
from thousandeyes_provider.simulator.model import RunInProgress, SimulatedTest
from thousandeyes_provider.simulator.responses import SimulatedResponse, problem
from thousandeyes_provider.simulator.service import BUCKETS, Service
from thousandeyes_provider.simulator.validators import check_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_JSON = "application/json"


class Control:
    """The control endpoint of a :class:`Service`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def handle(self, method: str, segments: tuple[str, ...], body: bytes, now: float) -> SimulatedResponse:
        """Answer a request to ``/control/…``.

        :param segments: the parts of the path behind ``control``.
        :param now: the real time in epoch seconds.
        """
        path = "/".join(("/control", *segments))
        found = self._found(segments)
        if not found:
            return problem(404, "There is no such control", path)
        if method not in found:
            return problem(405, f"Possible here: {', '.join(found)}", path).with_headers(
                {"Allow": ", ".join(found)}
            )
        try:
            given = json.loads(body) if body.strip() else {}
            if not isinstance(given, dict):
                raise ValueError("the body must be a JSON object")
            with self._service.lock:
                status, told = found[method](given, now)
        except RunInProgress:
            return problem(409, "The test is running", path)
        except (ValueError, TypeError) as error:
            return problem(400, str(error), path, title="Bad Request")
        return responses.as_json(told, status, _JSON)

    def _found(
        self, segments: tuple[str, ...]
    ) -> Mapping[str, Callable[[dict[str, Any], float], tuple[int, Any]]]:
        tests, world = self._service.world.tests, self._service.world
        match segments:
            case () | ("",):
                return {"GET": lambda given, now: (200, self.state(now))}
            case ("requests",):
                return {"GET": self._requests, "DELETE": self._forget}
            case ("tests",):
                return {"POST": self._add_test}
            case ("tests", test_id) if test_id in tests:
                return {
                    "GET": lambda given, now: (200, self._test(tests[test_id], now)),
                    "PATCH": lambda given, now: self._change(tests[test_id], given, now),
                }
            case ("tests", test_id, "run") if test_id in tests:
                return {"POST": lambda given, now: self._run(tests[test_id], given, now)}
            case ("tests", test_id, "history") if test_id in tests:
                return {"POST": lambda given, now: self._add_history(tests[test_id], given, now)}
            case ("agents",):
                return {"POST": lambda given, now: (201, asdict(world.add_agent(**given)))}
            case ("agents", ref) if ref in world.agents:
                return {"PATCH": lambda given, now: self._change_agent(ref, given)}
            case ("targets",):
                return {"POST": self._target, "DELETE": self._mend}
            case ("tags",):
                return {"POST": self._add_tag}
            case ("alert-rules",):
                return {"POST": self._add_alert_rule}
            case ("alerts",):
                return {"POST": self._add_alert}
            case ("events",):
                return {"POST": self._add_event}
            case ("faults",):
                return {"POST": self._fail, "DELETE": self._no_more_faults}
            case ("throttle",):
                return {"POST": self._throttle}
            case ("switches",):
                return {"GET": lambda given, now: (200, asdict(world.switches)), "PATCH": self._switch}
        return {}

    def state(self, now: float) -> dict[str, Any]:
        """All that can be seen from outside."""
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

    def _requests(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        return 200, {"requests": [asdict(request) for request in self._service.log]}

    def _forget(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        count = len(self._service.log)
        self._service.log.clear()
        return 200, {"forgotten": count}

    def _add_test(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        return 201, self._test(self._service.world.add_test(now, **given), now)

    def _change(self, test: SimulatedTest, given: dict[str, Any], now: float) -> tuple[int, Any]:
        self._service.world.change_test(test, **given)
        return 200, self._test(test, now)

    def _change_agent(self, ref: str, given: dict[str, Any]) -> tuple[int, Any]:
        check_names(given, ("state",), "field of an agent to change")
        return 200, asdict(self._service.world.change_agent(ref, given.get("state", "")))

    def _run(self, test: SimulatedTest, given: dict[str, Any], now: float) -> tuple[int, Any]:
        check_names(given, ("by", *BEHAVIOR_FIELDS), "field of a run")
        started = self._service.world.run(test, now, **{"by": "somebody else", **given})
        return 200, {"round_id": None if started is None else started.round_id}

    def _add_history(self, test: SimulatedTest, given: dict[str, Any], now: float) -> tuple[int, Any]:
        summary = asdict(self._service.world.add_history(now, test, **given))
        outages = [
            {"first_round_id": first, "last_round_id": last, "agent_ids": sorted(agents)}
            for first, last, agents in summary["outages"]
        ]
        return 201, {**summary, "outages": outages}

    def _targets(self) -> dict[str, Any]:
        return {name: readable(condition) for name, condition in self._service.world.targets.items()}

    def _target(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        check_names(given, ("target", "condition"), "field of a target")
        self._service.world.set_target(given.get("target", ""), given.get("condition"))
        return 201, {"targets": self._targets()}

    def _mend(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        count = len(self._service.world.targets)
        self._service.world.targets = {}
        return 200, {"forgotten": count}

    def _add_tag(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        check_names(given, ("tag", "tests", "account_group_id"), "field of a tag")
        tag = self._service.world.add_tag(
            now,
            given.get("tag", ""),
            given.get("tests", ()),
            account_group_id=given.get("account_group_id"),
        )
        return 201, {"tag_id": tag.tag_id, "tag": tag.text, "tests": list(tag.test_ids)}

    def _add_alert_rule(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        return 201, asdict(self._service.world.add_alert_rule(**{"expression": "", "tests": (), **given}))

    def _add_alert(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        required = {"rule_id": "", "test_id": "", "ago": None}
        return 201, asdict(self._service.world.add_alert(now, **{**required, **given}))

    def _add_event(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        return 201, asdict(self._service.world.add_event(now, **{"title": "", "ago": None, **given}))

    def _fail(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        fault = InjectedFault.from_json(given)
        self._service.faults.add(fault)
        return 201, asdict(fault)

    def _no_more_faults(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        count = len(self._service.faults.waiting)
        self._service.faults.clear()
        return 200, {"forgotten": count}

    def _throttle(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        check_names(given, ("times", "seconds", "operation", "bucket"), "field of a throttle")
        self._service.throttle(
            given.get("times", 1), given.get("seconds", 60.0), given.get("operation"), given.get("bucket")
        )
        return 201, {"throttles_waiting": self._service.throttles_waiting}

    def _switch(self, given: dict[str, Any], now: float) -> tuple[int, Any]:
        world = self._service.world
        world.switches = world.switches.changed(given)
        return 200, asdict(world.switches)
