"""What is learned of a test before it is run, from a simulated ThousandEyes that tells more or less of it."""

from __future__ import annotations

import logging

import pytest

from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.exceptions import (
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesServerError,
)
from thousandeyes_provider.hooks.results_reader import ResultsReader

HTTP_TEST = "202703"


@pytest.fixture
def reader(hook):
    return ResultsReader(hook, logging.getLogger("thousandeyes"))


class TestType:
    def test_is_what_the_list_of_tests_says(self, simulator, reader):
        assert reader.learn_type(HTTP_TEST)[0] == "http-server"
        assert [request.path for request in simulator.requests] == ["/v7/tests"]

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (404, "The list of tests does not help: list tests: 404 "),
            (400, "The list of tests does not help: list tests: 400 "),
            (403, "The list of tests is not open to this token: list tests: 403 "),
        ],
    )
    def test_else_what_its_results_say(self, simulator, reader, caplog, status, said):
        caplog.set_level("INFO")
        simulator.fail("tests", status=status)
        test_type, test = reader.learn_type(HTTP_TEST)
        assert (test_type, test["testName"]) == ("http-server", "Demo http-server")
        assert said in caplog.text
        assert f"Test {HTTP_TEST} is of type http-server, says its network results" in caplog.text

    def test_a_refused_token_ends_the_search(self, simulator, reader):
        simulator.fail("tests", status=401, times=None)
        with pytest.raises(ThousandEyesAuthError):
            reader.learn_type(HTTP_TEST)
        assert {request.path for request in simulator.requests} == {"/v7/tests"}

    def test_results_that_do_not_say_it_are_passed_over(self, simulator, reader):
        simulator.set_switches(listed_in_tests=False)
        simulator.fail("results", body='{"results": []}', status=200, times=1)
        assert reader.learn_type(HTTP_TEST)[0] == "http-server"

    def test_one_that_nobody_knows_is_told_with_what_to_check(self, reader):
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            reader.learn_type("999")
        assert str(failure.value).startswith(
            "The type of test 999 cannot be learned: it is not in the list of tests, and has no results. "
            "Check the id and the account group (the default of the token), or give test_type=, one of agent-to-"
        )

    def test_one_without_an_instant_form_is_refused(self, simulator, reader):
        simulator.fail("tests", status=200, body='{"tests": [{"testId": "5", "type": "bgp"}]}')
        with pytest.raises(
            ThousandEyesConfigurationError, match="Test 5 is of type 'bgp', of which there are no"
        ):
            reader.learn_type("5")


class TestDefinition:
    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_may_be_kept_from_us(self, simulator, reader, caplog, status):
        caplog.set_level("INFO")
        simulator.fail("test", status=status)
        assert reader.definition(HTTP_TEST, "http-server") is None
        assert (
            f"The definition of test {HTTP_TEST} is not to be had: http-server test {HTTP_TEST}: {status} "
            in caplog.text
        )

    def test_any_other_error_is_one(self, simulator, reader):
        simulator.fail("test", status=500, times=None)
        with pytest.raises(ThousandEyesServerError):
            reader.definition(HTTP_TEST, "http-server")


def test_missing_agents_are_explained_by_id_or_name(reader):
    by_id, by_name, nobody = Agent("14410"), Agent("", "singapore"), Agent("", "Nowhere")
    assert reader.states([by_id, by_name, nobody]) == {by_id: "online", by_name: "online", nobody: "unknown"}
    assert reader.states([]) == {}


def test_a_connection_that_became_wrong_ends_the_wait(reader, monkeypatch):
    plan = reader.plan(HTTP_TEST, test_type=None, result_types=None, expected=None)
    reader.hook.close()
    monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", '{"conn_type": "thousandeyes"}')
    renewed = type(reader.hook)()
    with pytest.raises(ThousandEyesConfigurationError, match="there is no token"):
        ResultsReader(renewed, reader.log).look(plan, 0.0)
