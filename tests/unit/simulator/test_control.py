from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from thousandeyes_provider.simulator.control import Control

MakeApi = Callable[..., Any]
HTTP = "202703"


def ask(api: Any, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    raw = b"" if body is None else json.dumps(body).encode()
    response = Control(api.service).handle(method, tuple(path.split("/")) if path else (), raw, api.now)
    return response.status, json.loads(response.body)


def test_the_state_has_tests_agents_quota_and_switches(make_api: MakeApi) -> None:
    api = make_api(page_size=3)
    api.run(HTTP)
    status, state = ask(api, "GET", "")
    assert status == 200
    assert state["switches"]["page_size"] == 3
    assert state["quota"]["instant"] == {"limit": 24, "remaining": 23, "reset": api.now + 45}
    assert state["agents"][0]["name"] == "Frankfurt, Germany"
    test = next(test for test in state["tests"] if test["test_id"] == HTTP)
    assert (test["test_type"], test["running"], len(test["rounds"])) == ("http-server", True, 2)
    assert [round_["complete"] for round_ in test["rounds"]] == [True, False]
    assert [round_["by"] for round_ in test["rounds"]] == ["history", "api"]


def test_control_requests_are_not_limited_or_logged(make_api: MakeApi) -> None:
    api = make_api(organization_limit=1)
    for _ in range(5):
        assert ask(api, "GET", "")[0] == 200
    assert api.status("GET", "/tests") == 200
    assert len(api.service.log) == 1


def test_the_log_can_be_read_and_cleared(make_api: MakeApi) -> None:
    api = make_api()
    api.run(HTTP)
    (request,) = ask(api, "GET", "requests")[1]["requests"]
    assert (request["operation"], request["test_id"], request["status"]) == ("run", HTTP, 200)
    assert ask(api, "DELETE", "requests") == (200, {"cleared": 1})
    assert ask(api, "GET", "requests")[1] == {"requests": []}


def test_a_test_can_be_added_changed_and_run(make_api: MakeApi) -> None:
    api = make_api()
    status, made = ask(
        api, "POST", "tests", {"test_type": "dnssec", "name": "Signed", "agents": 2, "delays": 1}
    )
    assert (status, made["name"], made["agents"]) == (201, "Signed", ["Frankfurt, Germany", "Ashburn, VA"])
    test_id = made["test_id"]
    change = {"outcomes": {"Ashburn, VA": "error"}, "switches": {"row_order": "shuffled"}}
    assert ask(api, "PATCH", f"tests/{test_id}", change)[1]["switches"] == {"row_order": "shuffled"}
    assert ask(api, "POST", f"tests/{test_id}/run") == (200, {"round_id": 1_800_000_000})
    api.now += 1
    assert {row["isValid"] for row in api.rows(test_id, "dnssec")} == {True, False}
    assert api.service.buckets["instant"].used == 0
    assert ask(api, "GET", f"tests/{test_id}")[1]["rounds"][-1]["by"] == "another client"


def test_faults_and_throttles_can_be_injected(make_api: MakeApi) -> None:
    api = make_api()
    assert ask(api, "POST", "faults", {"operation": "run", "kind": "cut", "started": True})[0] == 201
    assert ask(api, "POST", "faults", {"operation": "tests", "status": 502, "times": None})[0] == 201
    assert ask(api, "POST", "throttle", {"times": 2, "seconds": 5, "operation": "agents"})[1] == {
        "throttles_waiting": 2
    }
    assert [fault["operation"] for fault in ask(api, "GET", "")[1]["faults"]] == ["run", "tests"]
    assert api.send("POST", f"/tests/{HTTP}/run").response is None
    assert api.status("GET", "/tests") == 502
    assert api.status("GET", "/agents") == 429
    assert ask(api, "DELETE", "faults") == (200, {"cleared": 1})
    assert api.status("GET", "/tests") == 200


def test_switches_can_be_changed(make_api: MakeApi) -> None:
    api = make_api()
    assert (
        ask(api, "PATCH", "switches", {"clock_offset": 60, "newest_round": "both"})[1]["newest_round"]
        == "both"
    )
    assert api.world.clock(100) == 160


def test_agents_can_be_added_and_taken_offline(make_api: MakeApi) -> None:
    api = make_api()
    status, agent = ask(api, "POST", "agents", {"name": "lab-1", "agent_type": "enterprise"})
    assert status == 201
    assert ask(api, "PATCH", f"agents/{agent['agent_id']}", {"state": "offline"})[1]["state"] == "offline"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("GET", "nothing", None, 404, "Unknown action or object"),
        ("PATCH", "tests/1", {}, 404, "Unknown action or object"),
        ("PUT", "switches", {}, 405, "GET, PATCH"),
        ("PATCH", "switches", {"newest_rounds": "both"}, 400, "known: newest_round"),
        ("PATCH", "switches", {"newest_round": "old"}, 400, "partial, previous, both"),
        ("POST", "tests", {"type": "http-server"}, 400, "known: test_type"),
        ("PATCH", f"tests/{HTTP}", {"outcome": "error"}, 400, "known: name"),
        ("PATCH", f"tests/{HTTP}", {"switches": {"reset": "past"}}, 400, "unknown switch of a test"),
        ("POST", f"tests/{HTTP}/run", {"who": "me"}, 400, "known: by"),
        ("POST", "faults", {"operation": "run", "kind": "x"}, 400, "kind must be one of status, cut"),
        ("POST", "faults", {"kind": "cut"}, 400, "operation is required"),
        ("POST", "throttle", {"count": 2}, 400, "known: times, seconds, operation, bucket"),
        ("POST", "agents", {"title": "x"}, 400, "known: agent_id"),
        ("PATCH", "agents/14410", {"name": "x"}, 400, "known: state"),
        ("POST", "faults", [1], 400, "must be a JSON object"),
    ],
)
def test_the_error_of_an_invalid_request_states_what_is_expected(
    make_api: MakeApi, method: str, path: str, body: Any, status: int, expected: str
) -> None:
    received, problem = ask(make_api(), method, path, body)
    assert received == status
    assert expected in problem["detail"]


def test_a_run_while_running_can_be_409(make_api: MakeApi) -> None:
    api = make_api(run_while_running="409")
    assert ask(api, "POST", f"tests/{HTTP}/run")[0] == 200
    assert ask(api, "POST", f"tests/{HTTP}/run")[0] == 409
