"""The results reader: the plan before a run, and polls after it."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest

from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.exceptions import (
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesServerError,
)
from thousandeyes_provider.hooks.results_reader import (
    AsyncResultsReader,
    ResultsReader,
    plan_of_new,
)
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook, ThousandEyesHook

HTTP_TEST = "202703"


@pytest.fixture
def reader(hook):
    return ResultsReader(hook, logging.getLogger("thousandeyes"))


class TestType:
    def test_is_read_from_the_list_of_tests(self, simulator, reader):
        assert reader.find_test_type(HTTP_TEST)[0] == "http-server"
        assert [request.path for request in simulator.requests] == ["/v7/tests"]

    @pytest.mark.parametrize(
        ("status", "line"),
        [
            (404, "Could not determine the test type from GET /tests: list tests: 404 "),
            (400, "Could not determine the test type from GET /tests: list tests: 400 "),
            (403, "The token has no permission for GET /tests: list tests: 403 "),
        ],
    )
    def test_is_read_from_results_when_the_list_fails(self, simulator, reader, caplog, status, line):
        caplog.set_level("INFO")
        simulator.fail("tests", status=status)
        test_type, test = reader.find_test_type(HTTP_TEST)
        assert (test_type, test["testName"]) == ("http-server", "Demo http-server")
        assert line in caplog.text
        assert f"Test {HTTP_TEST}: type http-server (from its network results)" in caplog.text

    def test_refused_token_ends_the_search(self, simulator, reader):
        simulator.fail("tests", status=401, times=None)
        with pytest.raises(ThousandEyesAuthError):
            reader.find_test_type(HTTP_TEST)
        assert {request.path for request in simulator.requests} == {"/v7/tests"}

    def test_results_without_a_type_are_skipped(self, simulator, reader):
        simulator.set_switches(listed_in_tests=False)
        simulator.fail("results", body='{"results": []}', status=200, times=1)
        assert reader.find_test_type(HTTP_TEST)[0] == "http-server"

    def test_unknown_test_is_an_error_with_what_to_check(self, reader):
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            reader.find_test_type("999")
        assert str(failure.value).startswith(
            "Could not determine the type of test 999: it is not in GET /tests and has no results. "
            "Check the id and the account group (the default of the token), or set test_type= to one of agent-to-"
        )

    def test_type_without_an_instant_form_is_an_error(self, simulator, reader):
        simulator.fail("tests", status=200, body='{"tests": [{"testId": "5", "type": "bgp"}]}')
        with pytest.raises(
            ThousandEyesConfigurationError, match="Test 5 is of type 'bgp', which has no instant tests"
        ):
            reader.find_test_type("5")


class TestDefinition:
    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_may_be_unavailable(self, simulator, reader, caplog, status):
        caplog.set_level("INFO")
        simulator.fail("test", status=status)
        assert reader.definition(HTTP_TEST, "http-server") is None
        assert (
            f"The definition of test {HTTP_TEST} is not available: http-server test {HTTP_TEST}: {status} "
            in caplog.text
        )

    def test_any_other_error_is_raised(self, simulator, reader):
        simulator.fail("test", status=500, times=None)
        with pytest.raises(ThousandEyesServerError):
            reader.definition(HTTP_TEST, "http-server")


class TestExpectedAgents:
    """The newest round determines the agents only if no agent can still report for it."""

    @pytest.fixture
    def plan(self, simulator, reader):
        def plan(test_type, ago):
            test_id = simulator.add_test(test_type, history=[ago], switches={"typed_lookup": "404"})
            return reader.plan(test_id, test_type=test_type, result_types=None, expected=None)

        return plan

    @pytest.mark.parametrize(("ago", "count"), [(70, None), (290, None), (310, 5), (3600, 5)])
    def test_round_must_be_five_minutes_old(self, plan, ago, count):
        expected = plan("http-server", ago).expected
        assert expected.count == count
        assert (expected == UNKNOWN) == (count is None)

    @pytest.mark.parametrize(("ago", "rows"), [(70, None), (310, 2)])
    def test_rows_of_an_agent_are_counted_in_a_settled_round(self, simulator, reader, ago, rows):
        agent, round_id = {"agentId": "1", "agentName": "Oslo"}, int(time.time()) - ago
        results = [{"roundId": round_id, "agent": agent, "serverId": server} for server in ("1", "2")]
        simulator.fail("results", status=200, body=json.dumps({"test": {}, "results": results}), times=None)
        simulator.fail("test", status=404, times=None)
        plan = reader.plan(HTTP_TEST, test_type="dns-server", result_types=None, expected=None)
        assert plan.rows_per_agent == {"dns-server": rows}


class TestPlan:
    def test_a_wrong_test_type_is_an_error(self, reader):
        with pytest.raises(
            ThousandEyesConfigurationError, match="test_type 'api': test 202703 is of type 'http-server'"
        ):
            reader.plan(HTTP_TEST, test_type="api", result_types=["network"], expected=None)

    def test_a_result_type_that_the_test_lacks_is_an_error(self, reader):
        with pytest.raises(
            ThousandEyesConfigurationError, match="result_types dnssec: a test of type http-server has only"
        ):
            reader.plan(HTTP_TEST, test_type="http-server", result_types=["dnssec"], expected=None)

    def test_given_agents_need_no_definition(self, simulator, reader):
        expected = ExpectedAgents.of("argument", [Agent("1")])
        plan = reader.plan(HTTP_TEST, test_type="http-server", result_types=None, expected=expected)
        assert plan.expected == expected
        assert [request.operation for request in simulator.requests] == ["results"]

    def test_the_newest_round_can_be_read_again(self, simulator, reader):
        test_id = simulator.add_test("http-server", history=[3600])
        plan = reader.plan(test_id, test_type="http-server", result_types=None, expected=None)
        simulator.run(test_id)
        time.sleep(0.1)
        simulator.fail("results", status=404)
        assert reader.remember(plan).remembered == {"http-server": None}
        assert reader.remember(plan).remembered["http-server"] >= plan.remembered["http-server"]

    def test_a_new_test_has_no_rounds(self):
        plan = plan_of_new("", "http-server", "7", {"testName": "x"}, result_types=None, expected=None)
        assert (plan.remembered, plan.expected, plan.account_group_id) == (
            {"http-server": None},
            UNKNOWN,
            "7",
        )

    def test_a_new_test_without_network_measurements_has_none(self):
        with pytest.raises(
            ThousandEyesConfigurationError, match="networkMeasurements is false in the definition"
        ):
            plan_of_new(
                "",
                "api",
                None,
                {"networkMeasurements": False},
                result_types=["api", "network"],
                expected=None,
            )


class TestHistory:
    def test_it_ends_with_the_named_round(self, simulator, reader):
        test_id = simulator.add_test("http-server", history=[300, 600])
        plan = reader.plan(test_id, test_type="http-server", result_types=None, expected=None)
        simulator.run(test_id, delays=0)
        older, newest, _ = (state.round_id for state in simulator.rounds(test_id))
        rows = reader.history(plan, test_id, ["http-server"], "24h", newest)
        assert {row["roundId"] for row in rows["http-server"]} == {older, newest}

    def test_any_window_can_be_read(self, simulator, reader):
        test_id = simulator.add_test("http-server", history=[600])
        plan = reader.plan(test_id, test_type="http-server", result_types=None, expected=None)
        assert reader.history(plan, test_id, ["http-server"], "999999999w", 1e11)["http-server"]

    def test_window_ends_where_the_history_ends(self, simulator, reader):
        test_id = simulator.add_test("http-server", history=[600, 1200, 1800, 2400])
        plan = reader.plan(test_id, test_type="http-server", result_types=None, expected=None)
        end = time.time() - 900
        rows = reader.history(plan, test_id, ["http-server"], "20m", end)
        rounds = {row["roundId"] for row in rows["http-server"]}
        assert sorted(round(end - at) // 300 for at in rounds) == [1, 3]

    def test_history_of_another_test_ends_at_the_given_time(self, simulator, reader):
        plan = reader.plan(HTTP_TEST, test_type="http-server", result_types=None, expected=None)
        other = simulator.add_test("http-server", history=[300, 900])
        sent_at = time.time() - 600
        rows = reader.history(plan, other, ["http-server"], "24h", sent_at)
        assert {row["roundId"] <= sent_at for row in rows["http-server"]} == {True}

    def test_history_of_a_test_without_results_is_empty(self, simulator, reader):
        plan = reader.plan(HTTP_TEST, test_type="http-server", result_types=None, expected=None)
        simulator.fail("results", status=404)
        assert reader.history(plan, "1", ["http-server"], "24h", time.time()) == {"http-server": []}


def test_agent_states_are_unknown_if_the_list_fails(simulator, reader, caplog):
    simulator.fail("agents", status=403)
    assert reader.agent_states([Agent("1")]) == {Agent("1"): None}
    assert "Could not read the states of 1 missing agents: list agents: 403" in caplog.text


def test_a_disabled_agent_is_disabled(simulator, reader):
    listed = {"agents": [{"agentId": "1", "agentName": "Oslo", "enabled": False, "agentState": "online"}]}
    simulator.fail("agents", status=200, body=json.dumps(listed))
    assert reader.agent_states([Agent("1")]) == {Agent("1"): "disabled"}


def test_states_of_missing_agents_by_id_or_name(reader):
    by_id, by_name, nobody = Agent("14410"), Agent("", "singapore"), Agent("", "Nowhere")
    assert reader.agent_states([by_id, by_name, nobody]) == {
        by_id: "online",
        by_name: "online",
        nobody: "unknown",
    }
    assert reader.agent_states([]) == {}


def test_states_of_ten_thousand_agents_are_looked_up_once_each(reader, monkeypatch):
    lookups = []

    class Entry(dict):
        def get(self, key, default=None):
            lookups.append(key)
            return super().get(key, default)

    listed = [Entry(agentId=str(n), agentName=f"agent {n}", agentState="offline") for n in range(10_000)]
    monkeypatch.setattr(type(reader.hook), "list_agents", lambda self, *, time_left: listed)
    agents = [Agent(str(n)) for n in range(10_000)]
    assert set(reader.agent_states(agents).values()) == {"offline"}
    assert len(lookups) <= 5 * len(listed)


class TestPoll:
    """A poll through the readers of both hooks."""

    TYPES = ("http-server", "network")

    @pytest.fixture
    def plan(self, reader):
        return reader.plan(HTTP_TEST, test_type=None, result_types=list(self.TYPES), expected=None)

    @pytest.fixture
    def poll(self, plan, connect_either):
        """A function that polls with the same reader, so that polls share their state."""
        hook = connect_either(retry_limit=1)
        if isinstance(hook, ThousandEyesHook):
            reader = ResultsReader(hook, logging.getLogger("thousandeyes"))
            return lambda: reader.poll(plan, time.time())
        reader = AsyncResultsReader(hook.hook, logging.getLogger("thousandeyes"))
        return lambda: hook.run(reader.poll(plan, time.time()))

    def test_returns_the_rows_of_every_result_type(self, simulator, poll):
        simulator.fail("results", status=200, body='{"results": [{"roundId": 1}]}', result_type="http-server")
        simulator.fail("results", status=200, body='{"results": []}', result_type="network")
        polled = poll()
        assert (polled.rows, polled.error) == ({"http-server": [{"roundId": 1}], "network": []}, None)

    def test_404_means_no_rows_yet(self, simulator, poll):
        simulator.fail("results", status=404, times=None)
        polled = poll()
        assert (polled.rows, polled.error) == ({"http-server": [], "network": []}, None)

    def test_failed_query_leaves_its_result_type_out(self, simulator, poll, caplog):
        simulator.fail("results", status=500, result_type="http-server", times=None)
        polled = poll()
        assert set(polled.rows) == {"network"}
        assert isinstance(polled.error, ThousandEyesServerError)
        assert (
            "Could not read the http-server results, polling again: http-server results of test 202703: 500"
            in caplog.text
        )

    def test_first_401_reads_the_connection_again_and_retries(self, simulator, poll, caplog):
        simulator.fail("results", status=401)
        assert set(poll().rows) == set(self.TYPES)
        assert caplog.text.count("401: reading the connection again in case its token was renewed") == 1
        simulator.fail("results", status=401)
        with pytest.raises(ThousandEyesAuthError, match="401"):
            poll()

    def test_403_ends_the_wait(self, simulator, poll):
        simulator.fail("results", status=403)
        with pytest.raises(ThousandEyesAuthError, match="403"):
            poll()

    def test_an_invalid_connection_after_a_401_ends_the_wait(self, simulator, poll, monkeypatch):
        poll()
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", '{"conn_type": "thousandeyes"}')
        simulator.fail("results", status=401)
        with pytest.raises(ThousandEyesConfigurationError, match="API token is missing") as refused:
            poll()
        assert refused.value.__context__ is None


def test_both_readers_send_the_same_requests(simulator, reader):
    test_id = simulator.add_test("agent-to-agent", direction="bidirectional")
    plan = reader.plan(test_id, test_type=None, result_types=["network", "path-vis"], expected=None)

    async def poll_async():
        hook = ThousandEyesAsyncHook()
        try:
            return await AsyncResultsReader(hook, reader.log).poll(plan, 0.0, lambda: 30.0)
        finally:
            await hook.close()

    def queries():
        return [
            (request.path, {name: value for name, value in request.query.items() if name != "window"})
            for request in simulator.requests
        ]

    before = len(queries())
    polled = reader.poll(plan, 0.0, lambda: 30.0)
    sync_queries = queries()[before:]
    before = len(queries())
    assert asyncio.run(poll_async()).rows == polled.rows
    assert queries()[before:] == sync_queries
    assert len(sync_queries) == 4
