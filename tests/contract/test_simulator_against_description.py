"""Every response of the simulator is valid by ThousandEyes' OpenAPI description, with any switches.

Tests call the service directly, without a socket, and set the time.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.simulator.injected_faults import InjectedFault
from thousandeyes_provider.simulator.model import World
from thousandeyes_provider.simulator.operations import ReceivedRequest
from thousandeyes_provider.simulator.responses import SimulatedResponse
from thousandeyes_provider.simulator.routes import DETAIL_TYPES
from thousandeyes_provider.simulator.service import Service
from thousandeyes_provider.simulator.switches import Switches

pytestmark = pytest.mark.xdist_group("description")

NOW = 1_800_000_015.0
AGENTS = ("14410", "14412", "14419", "281474976710801")

# All examples of a test share the fixtures: the description does not change, and the tally adds up.
SWEEP = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

DEPARTURES = ("numbers_as_text", "error_type_spelling", "extra_fields", "sip_credentials")
"""Switches whose purpose is to violate the description."""


def words(switch: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a switch."""
    if switch.metadata["choices"]:
        return st.sampled_from(switch.metadata["choices"])
    if isinstance(switch.default, bool):
        return st.booleans()
    if switch.name == "page_size":
        return st.integers(0, 4)
    if switch.name in ("organization_limit", "instant_limit"):
        return st.integers(1, 30)
    if switch.name == "clock_offset":
        return st.sampled_from([0.0, -7200.0, 7200.5])
    return st.floats(0.5, 300)


SWITCHES = st.fixed_dictionaries(
    {}, optional={switch.name: words(switch) for switch in fields(Switches) if switch.name not in DEPARTURES}
)


class Api:
    """The simulated API at a given time."""

    def __init__(self, description: Any, tally: dict[str, int], **switches: Any) -> None:
        self.world = World(NOW, Switches().changed(switches), default_tests=False)
        self.service = Service(self.world, ["good"])
        self.now = NOW
        self._description, self._tally = description, tally

    def ask(self, method: str, url: str, body: Any = None, token: str = "good") -> SimulatedResponse:
        """Send a request and validate the response."""
        call, response = self.send(method, url, body, token)
        operation = self._description.operation(method, call.path)
        assert operation is not None, call.path
        assert self._description.errors_of_response(call, response) == [], (call, response)
        for key in ("answers", f"operation {operation} {response.status}"):
            self._tally[key] = self._tally.get(key, 0) + 1
        return response

    def send(
        self, method: str, url: str, body: Any = None, token: str = "good"
    ) -> tuple[ReceivedRequest, SimulatedResponse]:
        """Send a request."""
        parts = urlsplit(url)
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        call = ReceivedRequest(
            method,
            parts.path,
            tuple(parts.path.split("/")[1:]),
            "https://api.thousandeyes.com/v7",
            dict(parse_qsl(parts.query)),
            f"Bearer {token}",
            "pytest",
            sent,
        )
        response = self.service.handle(call, self.now).response
        assert response is not None
        return call, response

    def pages(self, url: str, most: int = 6) -> None:
        """Read the pages of results, at most ``most``."""
        for _ in range(most):
            response = self.ask("GET", url)
            if response.status != 200:
                return
            following = json.loads(response.body)["_links"].get("next")
            if following is None:
                return
            parts = urlsplit(following["href"])
            url = f"{parts.path.removeprefix('/v7')}?{parts.query}"


OUTCOMES = st.dictionaries(
    st.sampled_from([*AGENTS, *RESULT_TYPES]), st.sampled_from(["ok", "error"]), max_size=3
)
CONDITIONS = st.sampled_from([None, "slow:1.7", "lossy:12.5", "certificate", "down"])
QUERIES = st.sampled_from(
    [
        "",
        "?window=1h",
        "?expand=header,certificate",
        "?window=5s&aid=1001",
        "?startDate=2027-01-15T07:00:00Z",
        "?startDate=2027-01-15T07:00:00Z&endDate=2027-01-15T09:00:00Z",
        "?window=nonsense",
        "?window=1h&startDate=2027-01-15T07:00:00Z",
        "?aid=9999",
        "?cursor=nonsense",
    ]
)


@settings(SWEEP, max_examples=120)
@given(
    switches=SWITCHES,
    test_type=st.sampled_from(list(TEST_TYPES)),
    result_type=st.sampled_from(list(RESULT_TYPES)),
    outcomes=OUTCOMES,
    condition=CONDITIONS,
    silent=st.lists(st.sampled_from(AGENTS), max_size=2, unique=True),
    query=QUERIES,
    seconds=st.sampled_from([0, 3, 400]),
    history=st.lists(st.integers(1, 900), max_size=3),
    tags=st.lists(st.sampled_from(["service:checkout", "tier:1"]), min_size=1, max_size=2, unique=True),
    failed_step=st.sampled_from([None, 1, 2, 5]),
)
def test_running_and_reading(
    description: Any,
    tally: Any,
    switches: dict[str, Any],
    test_type: str,
    result_type: str,
    outcomes: dict[str, str],
    condition: str | None,
    silent: list[str],
    query: str,
    seconds: int,
    history: list[int],
    tags: list[str],
    failed_step: int | None,
) -> None:
    api = Api(description, tally, **switches)
    test_id = api.world.add_test(
        NOW,
        test_type=test_type,
        agents=AGENTS,
        outcomes=outcomes,
        condition=condition,
        silent=silent,
        failed_step=failed_step,
        history=history,
    ).test_id
    api.ask("POST", f"/tests/{test_id}/run")
    api.ask("POST", f"/tests/{test_id}/run?aid=1001")
    api.now += seconds
    for name in dict.fromkeys((result_type, *TEST_TYPES[test_type].result_types)):
        api.pages(f"/test-results/{test_id}/{name}{query}")
    for name in DETAIL_TYPES:
        round_id = api.world.tests[test_id].rounds[-1].round_id
        for agent_id in (*AGENTS[:2], "1"):
            api.ask("GET", f"/test-results/{test_id}/{name}/agent/{agent_id}/round/{round_id}")
    scheduled = api.world.add_test(NOW, test_type=test_type, scheduled=True, tags=tags).test_id
    api.world.add_alert_rule("((loss >= 5 %))", [test_id, scheduled])
    for some_id in (test_id, scheduled):
        api.ask("GET", f"/tests/{test_type}/{some_id}?expand=agent,tag,alert-rule")
    api.ask("POST", f"/tests/{scheduled}/run")
    api.ask("GET", "/tests")


@settings(SWEEP, max_examples=20)
@given(
    switches=SWITCHES,
    failed_step=st.sampled_from([None, 1, 2]),
    outcome=st.sampled_from(["ok", "error"]),
)
def test_details_of_each_type_that_has_them(
    description: Any, tally: Any, switches: dict[str, Any], failed_step: int | None, outcome: str
) -> None:
    api = Api(description, tally, **switches)
    for test_type in ("api", "web-transactions", "page-load", "agent-to-agent"):
        test = api.world.add_test(
            NOW, test_type=test_type, agents=AGENTS, outcomes=outcome, failed_step=failed_step
        )
        for name in TEST_TYPES[test_type].result_types:
            url = f"/test-results/{test.test_id}/{name}/agent/{AGENTS[0]}/round/{test.rounds[0].round_id}"
            if name in DETAIL_TYPES:
                api.ask("GET", url)
            if name == "web-transactions":
                api.ask("GET", f"{url}/console-logs")


@settings(SWEEP, max_examples=30)
@given(
    switches=SWITCHES,
    lasted=st.sampled_from([None, 0, 600]),
    tag=st.sampled_from(["service:checkout", "a:b:c"]),
    mode=st.sampled_from(["any", "exact", "auto"]),
    percent=st.sampled_from([None, 50]),
    query=st.sampled_from(["window=1d", "window=1h&max=1", "startDate=2027-01-15T05:00:00Z"]),
)
def test_tags_alerts_and_events(
    description: Any,
    tally: Any,
    switches: dict[str, Any],
    lasted: float | None,
    tag: str,
    mode: str,
    percent: int | None,
    query: str,
) -> None:
    api = Api(description, tally, **switches)
    test_id = api.world.add_test(NOW, test_type="http-server", scheduled=True, tags=[tag]).test_id
    rule = api.world.add_alert_rule(
        '((errorType != "None"))', [test_id], rounds_mode=mode, minimum_sources_pct=percent
    )
    alert = api.world.add_alert(NOW, rule.rule_id, test_id, ago=900, lasted=lasted)
    api.world.add_alert(NOW, rule.rule_id, test_id, ago=300, lasted=lasted)
    api.world.add_event(NOW, "Outage", ago=900, lasted=lasted)
    api.world.add_event(NOW, "Slow DNS", ago=300, event_type="dns")
    (tag_id,) = api.world.tags
    for url in (
        "/tags",
        "/tags?expand=assignments",
        "/tags?aid=9999",
        f"/tags/{tag_id}?expand=assignments",
        "/tags/1",
        "/alerts/rules",
        f"/alerts/rules/{rule.rule_id}",
        "/alerts/rules/1",
        "/alerts",
        f"/alerts/{alert.alert_id}",
        "/alerts/1",
        "/events",
    ):
        api.ask("GET", url)
    for path in ("/alerts", "/events"):
        api.pages(f"{path}?{query}")


@settings(SWEEP, max_examples=40)
@given(
    switches=SWITCHES,
    direction=st.sampled_from(["to-target", "from-target", "bidirectional"]),
    asked=st.sampled_from(["to-target", "from-target", "bidirectional"]),
    outcomes=OUTCOMES,
)
def test_directions(
    description: Any,
    tally: Any,
    switches: dict[str, Any],
    direction: str,
    asked: str,
    outcomes: dict[str, str],
) -> None:
    api = Api(description, tally, **switches)
    test = api.world.add_test(NOW, test_type="agent-to-agent", direction=direction, outcomes=outcomes)
    for result_type in ("network", "path-vis"):
        api.pages(f"/test-results/{test.test_id}/{result_type}?direction={asked}")


@settings(SWEEP, max_examples=80)
@given(
    switches=SWITCHES,
    test_type=st.sampled_from(list(TEST_TYPES)),
    left_out=st.booleans(),
    wrong=st.sampled_from([None, 1, "", [], {}, ["x"], "nonsense", -1]),
    data=st.data(),
)
def test_creating(
    description: Any,
    tally: Any,
    definitions: Any,
    switches: dict[str, Any],
    test_type: str,
    left_out: bool,
    wrong: Any,
    data: st.DataObject,
) -> None:
    api = Api(description, tally, **switches)
    right = definitions[test_type]
    name = data.draw(st.sampled_from(sorted(right)))
    spoilt = {key: value for key, value in right.items() if key != name}
    if not left_out:
        spoilt[name] = wrong
    api.ask("POST", f"/tests/{test_type}/instant", spoilt)
    response = api.ask("POST", f"/tests/{test_type}/instant?expand=agent", right)
    api.ask("POST", f"/tests/{test_type}/instant", right)
    api.ask("POST", f"/tests/{test_type}/instant", b"no JSON")
    api.ask("GET", "/tests")
    if response.status == 201:
        test_id = json.loads(response.body)["testId"]
        api.ask("GET", f"/tests/{test_type}/{test_id}?expand=agent")


@settings(SWEEP, max_examples=20)
@given(
    switches=SWITCHES,
    hours=st.sampled_from([1, 2, 3, 48]),
    title=st.sampled_from(["A bad round", "", None]),
    states=st.lists(st.sampled_from(["online", "offline", "disabled"]), min_size=2, max_size=2),
)
def test_snapshots_agents_groups_and_the_user(
    description: Any,
    tally: Any,
    switches: dict[str, Any],
    hours: int,
    title: str | None,
    states: list[str],
) -> None:
    api = Api(description, tally, **switches)
    for name, state in zip(("vienna-office-1", "zurich-branch-2"), states, strict=True):
        api.world.change_agent(name, state)
    test_id = api.world.add_test(NOW, test_type="http-server").test_id
    wanted = {
        "displayName": title,
        "startDate": "2026-01-01T00:00:00Z",
        "endDate": f"2026-01-0{1 + hours // 24}T{hours % 24:02}:00:00Z",
        "isPublic": False,
    }
    for _ in range(6):
        api.ask("POST", f"/tests/{test_id}/snapshot", wanted)
    for url in ("/agents", "/agents?agentTypes=enterprise", "/account-groups", "/users/current"):
        api.ask("GET", url)


CALLS: Mapping[str, tuple[str, str, str]] = {
    "tests": ("GET", "/tests", "tests"),
    "test": ("GET", "/tests/{type}/{id}", "test"),
    "results": ("GET", "/test-results/{id}/{result}", "results"),
    "run": ("POST", "/tests/{id}/run", "run"),
    "create": ("POST", "/tests/{type}/instant", "create"),
    "snapshot": ("POST", "/tests/{id}/snapshot", "snapshot"),
    "details": ("GET", "/test-results/{id}/{detail}/agent/14410/round/1799999700", "details"),
    "tags": ("GET", "/tags", "tags"),
    "tag": ("GET", "/tags/{tag}", "tag"),
    "alert-rules": ("GET", "/alerts/rules", "alert-rules"),
    "alerts": ("GET", "/alerts", "alerts"),
    "events": ("GET", "/events?window=1d", "events"),
    "agents": ("GET", "/agents", "agents"),
    "account-groups": ("GET", "/account-groups", "account-groups"),
    "current-user": ("GET", "/users/current", "current-user"),
}


WITHOUT_502 = ("account-groups", "current-user", "tags", "tag", "alert-rules", "alerts")
"""Operations without a 502 in the description."""


@pytest.mark.parametrize("operation", CALLS)
def test_errors(description: Any, tally: Any, operation: str) -> None:
    method, template, _ = CALLS[operation]
    for test_type, known in TEST_TYPES.items() if "{type}" in template else [("http-server", None)]:
        api = Api(description, tally)
        test_id = api.world.add_test(NOW, test_type=test_type).test_id
        result_type = known.default[0] if known else "http-server"
        url = template.format(
            type=test_type,
            id=test_id,
            result=result_type,
            detail="path-vis",
            tag=api.world.add_tag(NOW, "service:checkout").tag_id,
        )
        api.ask(method, url, token="wrong")
        api.service.throttle(1, 60, operation)
        assert api.ask(method, url).status == 429
        documented = [403, 404, 500] if operation in WITHOUT_502 else [403, 404, 500, 502]
        for status in documented:
            api.service.faults.add(InjectedFault(operation, status=status))
            assert api.ask(method, url).status == status
        if "{id}" in template:
            assert api.ask(method, url.replace(test_id, "1")).status == 404


class TestValidation:
    """The validation detects errors."""

    @pytest.mark.parametrize(
        ("switch", "value"),
        [("numbers_as_text", True), ("error_type_spelling", "null"), ("extra_fields", True)],
    )
    def test_a_switch_that_violates_the_description_is_detected(
        self, description: Any, switch: str, value: Any
    ) -> None:
        api = Api(description, {}, **{switch: value})
        test_id = api.world.add_test(NOW, test_type="http-server").test_id
        with pytest.raises(AssertionError, match="InvalidData"):
            api.ask("GET", f"/test-results/{test_id}/http-server")

    def test_an_unknown_enumeration_value_is_detected(self, description: Any) -> None:
        api = Api(description, {}, error_type_spelling="unknown")
        test_id = api.world.add_test(NOW, test_type="sip-server", outcomes="error").test_id
        with pytest.raises(AssertionError, match="quic-migration"):
            api.ask("GET", f"/test-results/{test_id}/sip-server")

    def test_nested_credentials_are_detected(self, description: Any) -> None:
        api = Api(description, {}, sip_credentials="nested")
        test_id = api.world.add_test(NOW, test_type="sip-server").test_id
        with pytest.raises(AssertionError, match="targetSipCredentials"):
            api.ask("GET", f"/tests/sip-server/{test_id}")

    @settings(SWEEP, max_examples=60)
    @given(test_type=st.sampled_from(list(TEST_TYPES)), data=st.data())
    def test_a_field_of_the_wrong_type_is_detected(
        self, description: Any, test_type: str, data: st.DataObject
    ) -> None:
        api = Api(description, {})
        test_id = api.world.add_test(NOW, test_type=test_type).test_id
        result_type = data.draw(st.sampled_from(TEST_TYPES[test_type].result_types))
        call, response = api.send("GET", f"/test-results/{test_id}/{result_type}")
        body = json.loads(response.body)
        row = body["results"][0]
        name = data.draw(st.sampled_from(sorted(row)))
        spoilt = copy.deepcopy(body)
        spoilt["results"][0][name] = 17 if isinstance(row[name], str | list | dict | bool) else "seventeen"
        assert description.errors_of_response(call, response) == []
        for broken in (spoilt, {**body, "results": [{**row, f"{name}s": row[name]}]}):
            assert description.errors_of_response(
                call,
                SimulatedResponse(200, json.dumps(broken).encode(), response.content_type, response.headers),
            )

    def test_a_wrong_status_media_type_or_body_is_detected(self, description: Any) -> None:
        api = Api(description, {})
        test_id = api.world.add_test(NOW, test_type="dnssec").test_id
        call, response = api.send("GET", f"/test-results/{test_id}/dnssec")
        right = response.body
        for wrong in (
            SimulatedResponse(200, right, "text/html"),
            SimulatedResponse(200, right[:-9], response.content_type),
            SimulatedResponse(401, b'{"error": 5}', "application/problem+json"),
            SimulatedResponse(400, b'{"errors": "none"}', "application/problem+json"),
        ):
            assert description.errors_of_response(call, wrong)
