"""RunInstantTestOperator in a real Airflow: states, retries, XCom, links, rendered fields, mapping."""

from __future__ import annotations

import pytest

from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN

pytestmark = pytest.mark.system

VALIDATE = ("validate", -1)
LINKS = ("thousandeyes_test_link", "thousandeyes_round_link")


def test_a_good_round_ends_in_success_with_evidence_and_links(simulator, run_dag):
    test_id = simulator.add_test("http-server")
    outcome = run_dag("rerun", test_id=test_id)
    assert outcome.states[VALIDATE] == "success"
    evidence = outcome.xcoms[*VALIDATE, "return_value"]
    assert (evidence["verdict"], evidence["account_group_id"]) == ("passed", "1001")
    assert [outcome.xcoms[*VALIDATE, link] for link in LINKS] == [
        evidence["links"]["test"],
        evidence["links"]["round"],
    ]
    assert outcome.rendered[VALIDATE]["test_id"] == test_id


def test_a_bad_round_fails_at_once_with_evidence_and_links(simulator, run_dag):
    test_id = simulator.add_test("http-server", outcomes={"Singapore": "error"})
    outcome = run_dag("rerun", test_id=test_id)
    assert outcome.states[VALIDATE] == "failed"
    assert outcome.tries[VALIDATE] == 1, "no task retry is spent"
    evidence = outcome.xcoms[*VALIDATE, "return_value"]
    assert evidence["verdict"] == "failed"
    assert [agent["agent_name"] for agent in evidence["failed_agents"]] == ["Singapore"]
    assert outcome.xcoms[*VALIDATE, LINKS[1]] == evidence["links"]["round"]
    assert simulator.run_calls(test_id) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_permanent_error_is_not_retried(simulator, run_dag, status):
    test_id = simulator.add_test("http-server")
    simulator.fail("run", status=status, times=None)
    outcome = run_dag("rerun", test_id=test_id)
    assert (outcome.states[VALIDATE], outcome.tries[VALIDATE]) == ("failed", 1)
    assert simulator.run_calls(test_id) == 1


def test_an_invalid_rendered_argument_is_not_retried_and_sends_no_request(simulator, run_dag):
    outcome = run_dag("rerun", test_id="1", type="htp-server")
    assert (outcome.states[VALIDATE], outcome.tries[VALIDATE]) == ("failed", 1)
    assert simulator.requests == []


def test_an_incomplete_round_is_retried(simulator, run_dag):
    test_id = simulator.add_test("http-server", next_runs=[{"silent": ["Singapore"]}, {}])
    outcome = run_dag("rerun", test_id=test_id)
    if outcome.states[VALIDATE] == "up_for_retry":
        pytest.skip("this Airflow's dag.test() does not retry")
    assert (outcome.states[VALIDATE], outcome.tries[VALIDATE]) == ("success", 2)
    assert simulator.run_calls(test_id) == 2


def test_an_incomplete_round_names_the_silent_agent_in_xcom(simulator, run_dag):
    simulator.change_agent("zurich-branch-2", "offline")
    test_id = simulator.add_test("http-server")
    outcome = run_dag("rerun", test_id=test_id)
    assert outcome.states[VALIDATE] in ("failed", "up_for_retry")
    (missing,) = outcome.xcoms[*VALIDATE, "return_value"]["agents"]["missing"]
    assert (missing["agent_name"], missing["state"]) == ("zurich-branch-2", "offline")


def test_mapped_tasks_each_have_their_own_evidence_and_links(simulator, run_dag):
    good = simulator.add_test("http-server")
    bad = simulator.add_test("dns-trace", outcomes={"Singapore": "error"})
    outcome = run_dag("mapped", tests=[{"test_id": good}, {"test_id": bad, "test_type": "dns-trace"}])
    assert outcome.states["validate", 0] == "success"
    assert outcome.states["validate", 1] == "failed"
    for index, (test_id, verdict) in enumerate([(good, "passed"), (bad, "failed")]):
        evidence = outcome.xcoms["validate", index, "return_value"]
        assert (evidence["test_id"], evidence["verdict"]) == (test_id, verdict)
        assert test_id in outcome.xcoms["validate", index, LINKS[1]]


def test_a_deferred_run_ends_like_a_synchronous_run(simulator, run_dag):
    good = simulator.add_test("http-server")
    bad = simulator.add_test("http-server", outcomes={"Singapore": "error"})
    for test_id, state, verdict in ((good, "success", "passed"), (bad, "failed", "failed")):
        outcome = run_dag("deferred", test_id=test_id)
        assert outcome.states[VALIDATE] == state
        assert outcome.xcoms[*VALIDATE, "return_value"]["verdict"] == verdict
        assert test_id in outcome.xcoms[*VALIDATE, LINKS[1]]
        assert simulator.run_calls(test_id) == 1


def test_mapped_deferred_runs_wait_for_turns(simulator, run_dag):
    tests = [simulator.add_test("http-server") for _ in range(RUNS_WITHOUT_TURN + 1)]
    outcome = run_dag("deferred_and_mapped", tests=[{"test_id": test_id} for test_id in tests])
    for index, test_id in enumerate(tests):
        assert outcome.states["validate", index] == "success"
        assert outcome.xcoms["validate", index, "return_value"]["test_id"] == test_id
        assert simulator.run_calls(test_id) == 1


def test_a_sensor_waits_for_a_run_of_another_task_in_every_mode(simulator, run_dag):
    test_id = simulator.add_test("http-server")
    outcome = run_dag("sensed", test_id=test_id)
    for way in ("poke", "reschedule", "defer"):
        assert outcome.states[way, -1] == "success", way
        assert outcome.xcoms[way, -1, "return_value"]["verdict"] == "passed"
    assert simulator.run_calls(test_id) == 1


def test_do_xcom_push_false_stores_no_evidence(simulator, run_dag):
    test_id = simulator.add_test("http-server", outcomes={"Singapore": "error"})
    outcome = run_dag("without_xcom", test_id=test_id)
    assert outcome.states[VALIDATE] == "failed"
    assert (*VALIDATE, "return_value") not in outcome.xcoms


def test_without_waiting_the_handle_is_in_xcom(simulator, run_dag):
    test_id = simulator.add_test("http-server")
    handle = run_dag("handle", test_id=test_id).xcoms["start", -1, "return_value"]
    assert handle["test_id"] == test_id
    assert handle["remembered"] == {"http-server": simulator.rounds(test_id)[0].round_id}


def test_the_token_does_not_leak(simulator, run_dag, apart_from_messages, capsys, caplog):
    caplog.set_level("DEBUG")
    test_id = simulator.add_test("http-server", outcomes={"Singapore": "error"})
    simulator.throttle(1, 5, "run")
    outcome = run_dag("rerun", test_id=test_id)
    said = "".join(capsys.readouterr()) + caplog.text
    assert "FAILED: Singapore" in said
    outcome_when_deferred = run_dag("deferred", test_id=test_id)
    said += "".join(capsys.readouterr()) + caplog.text
    for text in (apart_from_messages(said), repr(outcome), repr(outcome_when_deferred)):
        assert "t0ken" not in text
