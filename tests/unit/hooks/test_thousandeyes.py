"""The hook against a simulated ThousandEyes over HTTP: requests, retries and errors."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
import time
from importlib import metadata

import pytest
import requests

from airflow.models.connection import Connection
from airflow.providers.http.hooks.http import HttpHook
from thousandeyes_provider import __version__
from thousandeyes_provider.api.flows import Clock
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.exceptions import (
    ThousandEyesApiError,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesConnectionError,
    ThousandEyesError,
    ThousandEyesNotFoundError,
    ThousandEyesRateLimitError,
    ThousandEyesRequestError,
    ThousandEyesServerError,
    without_retry,
)
from thousandeyes_provider.hooks.thousandeyes import PausedCall, ThousandEyesHook

BROKEN_IS_ABSENT = pytest.mark.skipif(
    metadata.version("apache-airflow").startswith(("3.0.", "3.1.")),
    reason="Airflow 3.0 and 3.1 report a connection with an invalid extra as missing",
)
HTTP_TEST, NETWORK_TEST = "202703", "202701"
SNAPSHOT = ("it", "2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z")


class TestOperations:
    def test_the_constructor_does_not_read_the_connection(self, monkeypatch):
        monkeypatch.setattr(
            ThousandEyesHook, "get_connection", lambda *_: pytest.fail("reads the connection")
        )
        assert isinstance(ThousandEyesHook("nowhere"), HttpHook)

    def test_run_is_a_post_without_a_body_and_returns_the_server_time(self, simulator, hook):
        before = time.time()
        call = hook.run_instant_test(HTTP_TEST)
        assert before - 2 <= call.sent_at <= call.accepted_at <= time.time()
        assert call.sent == 1
        request = simulator.requests[-1]
        assert (request.method, request.path) == ("POST", f"/v7/tests/{HTTP_TEST}/run")
        assert request.user_agent == f"airflow-provider-thousandeyes/{__version__}"
        assert len(simulator.rounds(HTTP_TEST)) == 2

    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_get_test_has_the_agents(self, hook, test_type):
        listed = next(test for test in hook.list_tests() if test["type"] == test_type)
        test = hook.get_test(listed["testId"], test_type)
        assert test["testId"] == listed["testId"]
        assert test["agents"]

    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_results_have_rows_and_the_test(self, hook, test_type):
        listed = next(test for test in hook.list_tests() if test["type"] == test_type)
        for result_type in TEST_TYPES[test_type].result_types:
            results = hook.get_test_results(listed["testId"], result_type)
            assert results["test"]["type"] == test_type
            assert results["results"]

    def test_lists(self, hook):
        assert len(hook.list_tests()) == 12
        assert {agent["agentName"] for agent in hook.list_agents()} >= {"Frankfurt, Germany"}
        assert [group["aid"] for group in hook.list_account_groups()] == ["1001", "1002"]

    def test_create_adds_and_runs_a_test(self, simulator, hook):
        definition = {"testName": "new", "url": "https://example.com", "agents": [{"agentId": "14410"}]}
        created = hook.create_instant_test("http-server", definition)
        assert created["testName"] == "new"
        assert [agent["agentId"] for agent in created["agents"]] == ["14410"]
        assert len(simulator.rounds(created["testId"])) == 1

    def test_agents_may_be_given_by_name(self, simulator, hook):
        definition = {"url": "https://example.com", "agents": ["Frankfurt, Germany"]}
        assert hook.complete_definition("http-server", definition)["agents"] == [{"agentId": "14410"}]

    def test_an_invalid_definition_is_refused_before_any_request(self, simulator, hook):
        with pytest.raises(ThousandEyesConfigurationError, match="2 errors"):
            hook.complete_definition("http-server", {"password": "pa55word", "followRedirects": True})
        assert simulator.requests == []
        assert hook.redact("the pa55word") == "the ***"

    def test_closing_twice_is_allowed(self, hook):
        hook.list_tests()
        assert hook.server_clock.is_known
        hook.close()
        hook.close()

    def test_an_unknown_field_is_a_warning(self, simulator, hook, log):
        definition = {"url": "https://example.com", "agents": ["14410"], "httpTimeLimt": 5}
        hook.create_instant_test("http-server", definition)
        assert "is not known for http-server tests; did you mean 'httpTimeLimit'?" in log()

    def test_a_refused_creation_is_not_verified(self, simulator, hook):
        simulator.fail("create", status=400)
        with pytest.raises(ThousandEyesRequestError):
            hook.create_instant_test("http-server", {"testName": "new", "url": "u", "agents": ["14410"]})
        assert [request.operation for request in simulator.requests] == ["create"]

    def test_a_name_conflict_returns_the_test_that_is_listed_late(self, simulator, hook, sleeps):
        simulator.fail("create", "cut", started=True)
        simulator.fail("tests", status=200, body='{"tests": []}')
        definition = {"testName": "new", "url": "https://example.com", "agents": [{"agentId": "14410"}]}
        created = hook.create_instant_test("http-server", definition)
        assert created["testName"] == "new"
        assert [request.operation for request in simulator.requests][:4] == [
            "create",
            "tests",
            "create",
            "tests",
        ]

    def test_pages_that_link_back_are_an_error(self, simulator, hook):
        page = '{"results": [], "_links": {"next": {"href": "?page=2"}}}'
        simulator.fail("results", status=200, body=page, times=None)
        with pytest.raises(ThousandEyesConnectionError, match="the pages link back to themselves"):
            hook.get_test_results(HTTP_TEST, "http-server")

    def test_no_page_is_read_after_the_deadline(self, simulator, hook):
        simulator.set_switches(page_size=1)
        with pytest.raises(ThousandEyesConnectionError, match="no time is left for further pages"):
            hook.get_test_results(HTTP_TEST, "http-server", time_left=lambda: -10.0)
        assert len(simulator.requests) == 1

    def test_an_older_test_with_the_name_is_not_the_created_test(self, simulator, hook, log):
        listed = {
            "testId": "1",
            "testName": "new",
            "type": "http-server",
            "createdDate": "2020-01-01T00:00:00Z",
        }
        simulator.fail("tests", status=200, body=json.dumps({"tests": [listed, {"testName": "new"}]}))
        assert hook.find_created("http-server", "new", lambda: 5.0) is None
        assert "Test 1: name 'new' is the same, but the test is older" in log()

    def test_tests_can_be_selected_by_name_and_type(self, hook):
        assert [test["type"] for test in hook.list_tests(test_type="dnssec", name="demo*")] == ["dnssec"]

    def test_snapshot_returns_a_share_link(self, hook):
        snapshot = hook.create_snapshot(HTTP_TEST, *SNAPSHOT)
        assert snapshot["_links"]["appLink"]["href"].startswith("https://")

    def test_period_direction_and_expansion_are_sent(self, simulator, hook):
        hook.get_test_results(HTTP_TEST, "http-server", window="2h", expand=["header", "certificate"])
        hook.get_test_results(
            NETWORK_TEST, "network", start_date="2026-11-01T00:00:00+01:00", direction="to-target"
        )
        first, second = (request.query for request in simulator.requests)
        assert first == {"window": "2h", "expand": "header,certificate"}
        assert second == {"startDate": "2026-10-31T23:00:00Z", "direction": "to-target"}

    @pytest.mark.parametrize("prefix", ["https://", "http://"])
    def test_tcp_keepalive_is_on(self, hook, prefix):
        options = hook.get_conn().get_adapter(prefix).poolmanager.connection_pool_kw["socket_options"]
        with socket.socket() as kept:
            for option in options:
                kept.setsockopt(*option)
            assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_a_hook_has_one_session(self, hook):
        assert hook.get_conn() is hook.get_conn()
        session = hook.get_conn()
        hook.list_tests()
        assert hook.get_conn() is session


class TestRetries:
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    @pytest.mark.parametrize("limit", [1, 3])
    def test_run_is_sent_at_most_retry_limit_times(self, simulator, connect, status, limit):
        hook = connect(retry_limit=limit)
        simulator.fail("run", status=status, times=None, detail="down for maintenance")
        with pytest.raises(ThousandEyesServerError, match="down for maintenance") as failure:
            hook.run_instant_test(HTTP_TEST)
        assert simulator.run_calls(HTTP_TEST) == limit
        assert failure.value.status == status

    @pytest.mark.parametrize("started", [True, False])
    def test_run_without_verify_is_sent_at_least_once(self, simulator, hook, started):
        simulator.fail("run", status=502, started=started)
        call = hook.run_instant_test(HTTP_TEST)
        assert call.sent == simulator.run_calls(HTTP_TEST) == 2
        assert len(simulator.rounds(HTTP_TEST)) == 2 + started

    def test_a_slow_response_does_not_move_the_time_of_sending(self, simulator, hook):
        simulator.fail("run", "slow-first-byte", seconds=1.6, started=True)
        before = time.time()
        call = hook.run_instant_test(HTTP_TEST)
        assert before - 3 <= call.sent_at <= before
        assert call.accepted_at - call.sent_at >= 1.6

    @pytest.mark.parametrize("offset", [-7200, 7200])
    def test_the_time_of_sending_uses_thousandeyes_clock(self, simulator, hook, offset):
        simulator.set_switches(clock_offset=offset)
        before = time.time() + offset
        assert before - 2 <= hook.run_instant_test(HTTP_TEST).sent_at <= before + 0.01

    def test_verify_decides_whether_a_lost_call_is_sent_again(self, simulator, hook, sleeps):
        simulator.fail("run", "cut", started=True)
        asked = []
        before = time.time()
        call = hook.run_instant_test(HTTP_TEST, verify=lambda sent_at: not asked.append(sent_at))
        assert (call.sent, simulator.run_calls(HTTP_TEST), sleeps) == (1, 1, [])
        assert before <= asked[0] <= time.time()
        assert call.sent_at == call.accepted_at

    def test_the_time_of_sending_is_that_of_the_first_lost_call(self, simulator, hook):
        simulator.fail("run", "cut", started=True)
        hook.list_tests()
        before = hook.server_now()

        def verify(sent_at):
            time.sleep(1.2)
            return False

        call = hook.run_instant_test(HTTP_TEST, verify=verify)
        assert before - 0.1 <= call.sent_at <= before + 1
        assert (call.sent, simulator.run_calls(HTTP_TEST)) == (2, 2)

    @pytest.mark.parametrize("status", [409, 429, 502])
    def test_a_caller_that_does_not_wait_gets_a_paused_call(self, simulator, hook, sleeps, status):
        simulator.fail("run", status=status)
        paused = hook.run_instant_test(HTTP_TEST, wait=lambda pause: False)
        assert isinstance(paused, PausedCall)
        assert (paused.sent, simulator.run_calls(HTTP_TEST), sleeps) == (1, 1, [])
        assert (paused.pause.throttled, paused.pause.busy) == (status == 429, status == 409)
        assert hook.throttled_seconds == 0

    def test_a_creation_can_be_paused_too(self, simulator, hook):
        simulator.throttle(1, 20, operation="create")
        definition = {"testName": "new", "url": "https://example.com", "agents": ["14410"]}
        paused = hook.create_instant_test("http-server", definition, wait=lambda pause: False)
        assert isinstance(paused, PausedCall)
        assert paused.sent == 1
        assert 19 < paused.pause.seconds < 22

    def test_a_caller_may_wait_in_place_of_the_hook(self, simulator, hook, sleeps):
        simulator.fail("run", status=429)
        pauses = []
        hook.run_instant_test(HTTP_TEST, wait=lambda pause: pauses.append(pause) or True)
        assert (len(pauses), sleeps) == (1, [])
        assert hook.throttled_seconds == pauses[0].seconds > 0

    def test_no_call_is_sent_after_the_last_attempt(self, simulator, connect):
        simulator.fail("run", status=500, times=None)
        with pytest.raises(ThousandEyesServerError, match="on attempt 1 of 1"):
            connect(retry_limit=1).run_instant_test(HTTP_TEST, verify=lambda sent_at: False)
        assert simulator.run_calls(HTTP_TEST) == 1

    def test_only_a_429_counts_as_throttled(self, simulator, hook, sleeps):
        simulator.fail("run", status=409, times=2)
        assert hook.run_instant_test(HTTP_TEST).sent == 3
        assert (len(sleeps), hook.throttled_seconds) == (2, 0)

    def test_a_body_in_the_response_to_a_run_is_a_warning(self, simulator, hook, log):
        simulator.fail("run", status=200, body='{"roundId": 1}', started=True)
        hook.run_instant_test(HTTP_TEST)
        assert simulator.run_calls(HTTP_TEST) == 1
        assert "accepted, though the response is not the empty one" in log()

    LOST = {
        "502": ("create", {"status": 502}),
        "cut connection": ("create", {"kind": "cut"}),
        "cut short": ("create", {"kind": "cut-body"}),
        "a proxy's page": ("create", {"kind": "html", "status": 200}),
    }

    @pytest.mark.parametrize("listed", [True, False])
    @pytest.mark.parametrize("how", LOST)
    def test_a_creation_with_a_lost_response_adds_one_test(self, simulator, hook, sleeps, how, listed):
        simulator.set_switches(listed_in_tests=listed)
        operation, fault = self.LOST[how]
        simulator.fail(operation, started=True, **fault)
        definition = {"testName": "once", "url": "https://example.com", "agents": [{"agentId": "14410"}]}
        before = set(simulator.tests)
        if listed:
            assert hook.create_instant_test("http-server", definition)["testName"] == "once"
        else:
            # The test is not listed, so the call is sent again. The unique name prevents a second test.
            with pytest.raises(ThousandEyesRequestError, match="a test with this name exists"):
                hook.create_instant_test("http-server", definition)
        (made,) = set(simulator.tests) - before
        assert len(simulator.rounds(made)) == 1
        assert simulator.count("create") == (1 if listed else 2)

    @pytest.mark.parametrize("listed", [True, False])
    @pytest.mark.parametrize("fault", [{"status": 502}, {"kind": "cut"}])
    def test_a_creation_that_never_arrived_adds_one_test(self, simulator, hook, sleeps, fault, listed):
        simulator.set_switches(listed_in_tests=listed)
        simulator.fail("create", started=False, **fault)
        definition = {"testName": "once", "url": "https://example.com", "agents": [{"agentId": "14410"}]}
        before = set(simulator.tests)
        created = hook.create_instant_test("http-server", definition)
        assert set(simulator.tests) - before == {created["testId"]}
        assert simulator.count("create") == 2

    def test_a_created_test_without_a_definition_is_the_listed_test(self, simulator, hook, log):
        simulator.fail("create", status=503, started=True)
        simulator.fail("test", status=404, times=None)
        definition = {"testName": "listed", "url": "https://example.com", "agents": ["14410"]}
        test = hook.create_instant_test("http-server", definition)
        assert test["testName"] == "listed"
        assert f"Test {test['testId']}: the definition is not available" in log()

    def test_a_creation_that_was_not_processed_is_retried(self, simulator, hook):
        definition = {"testName": "once", "url": "https://example.com", "agents": [{"agentId": "14410"}]}
        simulator.fail("create", "cut", started=False)
        assert hook.create_instant_test("http-server", definition)["testName"] == "once"
        assert simulator.count("create") == 2

    def test_a_creation_without_a_name_is_not_retried(self, simulator, hook):
        simulator.fail("create", status=502, started=True)
        with pytest.raises(ThousandEyesServerError, match="a definition without testName cannot be verified"):
            hook.create_instant_test(
                "http-server", {"url": "https://example.com", "agents": [{"agentId": "14410"}]}
            )
        assert simulator.count("create") == 1

    def test_a_snapshot_is_not_retried(self, simulator, hook):
        simulator.fail("snapshot", status=502, started=True)
        with pytest.raises(ThousandEyesServerError, match="may exist"):
            hook.create_snapshot(HTTP_TEST, *SNAPSHOT)
        assert simulator.count("snapshot") == 1


class TestRateLimits:
    @pytest.mark.parametrize("local_clock_is_off_by", [0, -7200, 7200])
    def test_the_wait_for_the_reset_uses_the_servers_clock(self, simulator, connect, local_clock_is_off_by):
        hook = connect(clock=Clock(lambda: time.time() + local_clock_is_off_by, lambda: 0.01))
        simulator.throttle(1, 3, operation="results")
        hook.get_test_results(HTTP_TEST, "http-server")
        first, second = simulator.requests
        assert 3 <= second.at - first.at <= 5
        assert 3 <= hook.throttled_seconds <= 5

    def test_a_run_succeeds_after_eight_429s(self, simulator, hook, sleeps):
        simulator.throttle(8, 20, operation="run")
        hook.run_instant_test(HTTP_TEST)
        assert simulator.run_calls(HTTP_TEST) == 9
        assert len(sleeps) == 8
        assert all(19 < seconds < 22 for seconds in sleeps)

    @pytest.mark.parametrize("families", ["both", "organization", "instant", "none"])
    @pytest.mark.parametrize("retry_after", ["none", "seconds", "date"])
    def test_a_run_succeeds_with_any_rate_limit_headers(self, simulator, hook, sleeps, families, retry_after):
        simulator.set_switches(quota_headers=families, retry_after=retry_after, reset="past")
        simulator.throttle(1, 20, operation="run")
        hook.run_instant_test(HTTP_TEST)
        assert simulator.run_calls(HTTP_TEST) == 2
        (seconds,) = sleeps
        assert seconds < 2 if retry_after == "none" else 18 < seconds < 22

    def test_a_reset_beyond_queue_timeout_fails_at_once_with_the_reset(self, simulator, connect):
        hook = connect(queue_timeout=10)
        simulator.throttle(9, 60, operation="run", bucket="instant")
        begun = time.time()
        with pytest.raises(ThousandEyesRateLimitError, match="longer than queue_timeout 10 s") as failure:
            hook.run_instant_test(HTTP_TEST)
        assert time.time() - begun < 1
        assert failure.value.bucket == "instant-test"
        assert abs(failure.value.reset_at.timestamp() - begun - 60) < 3
        assert simulator.run_calls(HTTP_TEST) == 1

    def test_an_impossible_reset_is_none(self, simulator, hook):
        exhausted = {"X-Instant-Test-Rate-Limit-Remaining": "0", "X-Instant-Test-Rate-Limit-Reset": "1e300"}
        simulator.fail("run", status=429, headers=exhausted)
        with pytest.raises(ThousandEyesRateLimitError) as failure:
            hook.run_instant_test(HTTP_TEST)
        assert failure.value.reset_at is None


class TestErrors:
    STATUSES = {
        400: ThousandEyesRequestError,
        401: ThousandEyesAuthError,
        403: ThousandEyesAuthError,
        404: ThousandEyesNotFoundError,
        418: ThousandEyesRequestError,
    }

    @pytest.mark.parametrize("status", STATUSES)
    def test_an_error_is_not_retried_and_has_thousandeyes_message(self, simulator, hook, status):
        body = {"title": "Nope", "status": status, "detail": "because of this", "instance": "/v7"}
        if status == 400:
            body["errors"] = [{"code": "X-1", "field": "window", "message": "is wrong"}]
        simulator.fail("run", status=status, body=json.dumps(body))
        with pytest.raises(self.STATUSES[status]) as failure:
            hook.run_instant_test(HTTP_TEST)
        assert simulator.run_calls(HTTP_TEST) == 1
        error = failure.value
        assert (error.status, error.title, error.detail) == (status, "Nope", "because of this")
        assert "because of this" in str(error)
        assert error.url.startswith(simulator.url)
        if status == 400:
            assert error.errors == [{"code": "X-1", "field": "window", "message": "is wrong"}]
            assert "window: is wrong" in str(error)

    def test_an_invalid_token(self, simulator, connect, monkeypatch):
        connect()
        fields = {**simulator.connection(), "password": "another-token"}
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))
        with pytest.raises(ThousandEyesAuthError, match="invalid_token") as failure:
            ThousandEyesHook().list_tests()
        assert "another-token" not in str(failure.value) + repr(failure.value)

    @pytest.mark.parametrize(
        "test_id", ["../agents?", "1/../../agents", "1?x=1", "1#", "1%2f..%2fagents", "a b"]
    )
    def test_no_test_id_reaches_another_endpoint(self, simulator, hook, test_id):
        with pytest.raises(ThousandEyesError):
            hook.run_instant_test(test_id)
        for request in simulator.requests:
            assert request.operation in ("run", None)
            assert request.query == {}

    @pytest.mark.parametrize("test_id", ["", " ", ".", "..", None, True])
    def test_an_invalid_id_is_refused_before_any_request(self, simulator, hook, test_id):
        with pytest.raises(ThousandEyesConfigurationError, match="test_id"):
            hook.run_instant_test(test_id)
        assert simulator.requests == []

    @pytest.mark.parametrize(
        ("call", "says"),
        [
            (
                lambda hook: hook.get_test("1", "http"),
                "test_type must be one of agent-to-server.* got 'http'",
            ),
            (
                lambda hook: hook.get_test_results("1", "https"),
                "result_type must be one of network.* got 'https'",
            ),
            (
                lambda hook: hook.get_test_results("1", "network", direction="up"),
                "direction must .* got 'up'",
            ),
            (
                lambda hook: hook.get_test_results("1", "http-server", expand="body"),
                "expand must .* got 'body'",
            ),
            (lambda hook: hook.get_test_results("1", "network", window="1y"), "window must .* got '1y'"),
            (
                lambda hook: hook.get_test_results("1", "network", window="1h", start_date="2026-01-01"),
                "not both",
            ),
            (
                lambda hook: hook.get_test_results("1", "network", end_date="2026-01-01"),
                "requires start_date",
            ),
            (
                lambda hook: hook.get_test_results("1", "network", start_date="today"),
                "start_date must .* got 'today'",
            ),
            (lambda hook: hook.create_instant_test("bgp", {}), "test_type must .* got 'bgp'"),
            (
                lambda hook: hook.create_snapshot("1", "n", "2026-01-01T00:00", "2026-01-01T03:00"),
                "hours apart, got 3:00:00",
            ),
        ],
    )
    def test_invalid_arguments_are_refused_before_any_request(self, simulator, hook, call, says):
        with pytest.raises(ThousandEyesConfigurationError, match=says):
            call(hook)
        assert simulator.requests == []

    def test_errors_survive_pickling(self):
        error = ThousandEyesRateLimitError("m", status=429, title="t", bucket="organization")
        for raised in (error, without_retry(ThousandEyesNotFoundError("m", status=404))):
            same = pickle.loads(pickle.dumps(raised))
            assert (type(same), str(same), same.__dict__) == (type(raised), str(raised), raised.__dict__)

    def test_the_hierarchy_of_errors(self):
        assert issubclass(ThousandEyesApiError, ThousandEyesError)
        assert issubclass(ThousandEyesConfigurationError, ValueError)


class TestConnection:
    FIELDS = {"conn_type": "thousandeyes", "password": "s3cret-token"}

    def hook_on(self, monkeypatch, value):
        monkeypatch.setenv("AIRFLOW_CONN_TE", value if isinstance(value, str) else json.dumps(value))
        return ThousandEyesHook("te")

    def test_a_connection_can_be_json(self, monkeypatch):
        settings = self.hook_on(
            monkeypatch, {**self.FIELDS, "extra": {"account_group_id": 7, "timeout": "5"}}
        ).settings
        assert settings.base_url == "https://api.thousandeyes.com/v7"
        assert (settings.token, settings.account_group_id, settings.timeout) == ("s3cret-token", "7", 5.0)

    @pytest.mark.parametrize(
        ("uri", "base_url"),
        [
            ("thousandeyes://:s3cret-token@", "https://api.thousandeyes.com/v7"),
            ("thousandeyes://:s3cret-token@/?timeout=5", "https://api.thousandeyes.com/v7"),
            ("thousandeyes://:s3cret-token@127.0.0.1:8080/http?timeout=5", "http://127.0.0.1:8080/v7"),
            ("thousandeyes://https://:s3cret-token@te.example:444/?timeout=5", "https://te.example:444/v7"),
            ("thousandeyes://:s3cret-token@te.example%2Fgateway/https", "https://te.example/gateway"),
        ],
    )
    def test_a_connection_can_be_a_uri(self, monkeypatch, uri, base_url):
        settings = self.hook_on(monkeypatch, uri).settings
        assert (settings.base_url, settings.token) == (base_url, "s3cret-token")
        assert settings.timeout == (5.0 if "timeout" in uri else 30.0)

    def test_a_uri_written_by_airflow_is_read_back(self, monkeypatch):
        fields = {**self.FIELDS, "host": "http://127.0.0.1:9/te", "extra": json.dumps({"retry_limit": 2})}
        settings = self.hook_on(monkeypatch, Connection(conn_id="te", **fields).get_uri()).settings
        assert (settings.base_url, settings.retry_limit) == ("http://127.0.0.1:9/te", 2)

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"password": ""}, "API token is missing"),
            ({"password": "two words"}, "API token must not contain"),
            ({"host": "te.example", "schema": "http"}, "plain http to te.example"),
            ({"host": "http://te.example"}, "plain http to te.example"),
            ({"schema": "ftp"}, "got 'ftp'"),
            (
                {"extra": {"timeout": "soon", "retry_limit": 0}},
                "'timeout' must .*'soon'.*'retry_limit' must .*0",
            ),
            pytest.param({"extra": "[1]"}, "extra must be a JSON object, got a list", marks=BROKEN_IS_ABSENT),
            pytest.param(
                {"extra": "{not json"},
                "extra must be a JSON object, got invalid JSON",
                marks=BROKEN_IS_ABSENT,
            ),
            ({"extra": {"verify": "/no/such/file"}}, "'verify': no file at /no/such/file"),
            ({"extra": {"cert": ["/no/cert", "/no/key"]}}, "'cert': no file at /no/cert"),
        ],
    )
    def test_an_invalid_connection_is_refused_before_any_request(self, monkeypatch, fields, says):
        monkeypatch.setattr(requests.Session, "request", lambda *_, **__: pytest.fail("sent"))
        hook = self.hook_on(monkeypatch, {**self.FIELDS, **fields})
        with pytest.raises(ThousandEyesConfigurationError, match=says) as failure:
            hook.list_tests()
        assert "'te'" in str(failure.value)

    def test_plain_http_to_other_hosts_can_be_allowed(self, monkeypatch):
        fields = {**self.FIELDS, "host": "te.example", "schema": "http", "extra": {"allow_http": "true"}}
        assert self.hook_on(monkeypatch, fields).settings.base_url == "http://te.example/v7"

    def test_an_unknown_extra_is_a_warning_and_not_a_header(self, monkeypatch, log):
        hook = self.hook_on(monkeypatch, {**self.FIELDS, "extra": {"timout": 5, "X-Evil": "1"}})
        assert "X-Evil" not in hook.get_conn().headers
        assert "did you mean 'timeout'" in log()

    def test_options_of_requests_work_as_in_the_http_provider(self, monkeypatch, tmp_path, certificate):
        ca = tmp_path / "ca.pem"
        shutil.copy(certificate, ca)
        extra = {
            "verify": str(ca),
            "cert": str(ca),
            "trust_env": "false",
            "proxies": {"https": "http://u:pa55word@p:3128"},
        }
        hook = self.hook_on(monkeypatch, {**self.FIELDS, "extra": extra})
        session = hook.get_conn()
        assert (session.verify, session.cert, session.trust_env) == (str(ca), str(ca), False)
        assert session.proxies == {"https": "http://u:pa55word@p:3128"}
        in_base64 = "dTpwYTU1d29yZA=="  # u:pa55word in base64, as in the header to the proxy
        assert hook.settings.secrets == ("s3cret-token", "pa55word", in_base64)
        assert "pa55word" not in repr(hook.settings)
        assert "s3cret" not in repr(vars(session)) + repr(hook.settings)


class TestTestConnection:
    def test_the_message_has_user_default_account_group_and_quota(self, simulator, connect):
        ok, message = connect().test_connection()
        assert ok
        assert "Sam Simulated (sam@example.com)" in message
        assert "account group 'Network Operations' (1001), default of the token" in message
        assert "238 of 240 requests left in this window" in message
        assert {request.method for request in simulator.requests} == {"GET"}

    def test_the_message_has_the_account_group_of_the_connection(self, connect):
        ok, message = connect(aid="1002").test_connection()
        assert ok
        assert "(1002), set in the connection" in message

    def test_an_inaccessible_account_group_lists_the_accessible_ones(self, connect):
        ok, message = connect(aid="999").test_connection()
        assert not ok
        assert (
            "This token has no access to account group 999; it can use: 'Network Operations' (1001)"
            in message
        )

    def test_without_rate_limit_headers_the_message_has_no_quota(self, simulator, connect):
        simulator.set_switches(quota_headers="none")
        ok, message = connect(aid="1001").test_connection()
        assert ok
        assert message.endswith("account group 'Network Operations' (1001), set in the connection")

    def test_an_unreachable_server(self, simulator, connect):
        hook = connect(retry_limit=1)
        simulator.stop()
        ok, message = hook.test_connection()
        assert not ok
        assert "could not connect" in message

    def test_an_invalid_connection(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_TE", json.dumps({"conn_type": "thousandeyes"}))
        ok, message = ThousandEyesHook("te").test_connection()
        assert not ok
        assert "API token is missing" in message


def test_the_hook_reads_every_result_type():
    assert set(RESULT_TYPES) >= {name for test_type in TEST_TYPES.values() for name in test_type.result_types}
