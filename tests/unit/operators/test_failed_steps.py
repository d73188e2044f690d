"""The failed step of an agent (request, page or component) is read after a failed verdict."""

from __future__ import annotations

import pytest

from thousandeyes_provider.exceptions import InstantTestFailed
from thousandeyes_provider.hooks.base_hook import BaseThousandEyesHook

FRANKFURT, SINGAPORE = "Frankfurt, Germany", "Singapore"


def requests_of(simulator, operation):
    return [request for request in simulator.requests if request.operation == operation]


@pytest.mark.parametrize(
    ("test_type", "kind"), [("api", "request"), ("web-transactions", "page"), ("page-load", "component")]
)
def test_the_failed_step_is_in_evidence_and_headline(simulator, worker, test_type, kind):
    test_id = simulator.add_test(test_type, outcomes={SINGAPORE: "error"})
    with pytest.raises(InstantTestFailed) as failure:
        worker.rerun(test_id, test_type=test_type)
    (agent,) = worker.evidence["failed_agents"]
    assert (agent["agent_name"], agent["step"]["kind"]) == (SINGAPORE, kind)
    assert agent["step"]["message"]
    assert f"{SINGAPORE}: {kind} " in str(failure.value)
    assert worker.evidence["requests"] == len(simulator.requests)
    (request,) = requests_of(simulator, "details")
    assert str(worker.evidence["rounds"][agent["errors"][0].split(":")[0]]) in request.path


def test_the_console_of_a_failed_web_transaction_is_read(simulator, worker):
    test_id = simulator.add_test("web-transactions", outcomes={SINGAPORE: "error"})
    with pytest.raises(InstantTestFailed):
        worker.rerun(test_id, test_type="web-transactions")
    (agent,) = worker.evidence["failed_agents"]
    assert agent["step"]["console"]
    assert len(requests_of(simulator, "console-logs")) == 1


def test_an_unreadable_console_keeps_the_step(simulator, worker, connection):
    connection(retry_limit=1)
    simulator.fail("console-logs", times=None, status=404)
    test_id = simulator.add_test("web-transactions", outcomes={SINGAPORE: "error"})
    with pytest.raises(InstantTestFailed):
        worker.rerun(test_id, test_type="web-transactions")
    (agent,) = worker.evidence["failed_agents"]
    assert agent["step"]["message"]
    assert not agent["step"].get("console")


def test_details_of_at_most_five_agents_are_read(simulator, worker):
    for number in range(6):
        simulator.add_agent(f"Branch {number}")
    test_id = simulator.add_test("api", outcomes="error", agents=[agent.name for agent in simulator.agents])
    with pytest.raises(InstantTestFailed):
        worker.rerun(test_id, test_type="api")
    assert len(worker.evidence["failed_agents"]) > 5
    assert len(requests_of(simulator, "details")) == 5


@pytest.mark.parametrize("test_type", ["http-server", "dns-server", "voice"])
def test_no_details_are_read_for_a_type_without_details(simulator, worker, test_type):
    test_id = simulator.add_test(test_type, outcomes={SINGAPORE: "error"})
    with pytest.raises(InstantTestFailed):
        worker.rerun(test_id, test_type=test_type)
    assert requests_of(simulator, "details") == []


def test_no_details_are_read_for_a_good_round(simulator, worker):
    worker.rerun(simulator.add_test("api"), test_type="api")
    assert requests_of(simulator, "details") == []


@pytest.mark.parametrize(
    "fault", [{"status": 404}, {"status": 403}, {"status": 500}, {"kind": "html", "status": 200}]
)
def test_unreadable_details_do_not_change_the_verdict(simulator, worker, connection, fault):
    connection(retry_limit=1)
    simulator.fail("details", times=None, **fault)
    test_id = simulator.add_test("api", outcomes={SINGAPORE: "error"})
    with pytest.raises(InstantTestFailed):
        worker.rerun(test_id, test_type="api")
    (agent,) = worker.evidence["failed_agents"]
    assert "step" not in agent
    assert worker.evidence["verdict"] == "failed"


def test_details_are_not_read_with_little_quota(simulator, worker, monkeypatch):
    monkeypatch.setattr(BaseThousandEyesHook, "polling_gap", lambda hook: 30.0)
    test_id = simulator.add_test("api", outcomes={SINGAPORE: "error"})
    with pytest.raises(InstantTestFailed):
        worker.rerun(test_id, test_type="api")
    assert requests_of(simulator, "details") == []


def test_a_confirmed_failure_keeps_its_confirmation(simulator, worker):
    test_id = simulator.add_test("api", outcomes={SINGAPORE: "error"})
    with pytest.raises(InstantTestFailed):
        worker.rerun(test_id, test_type="api", confirm_failures=1)
    assert worker.evidence["confirms"]["rounds"]
    assert worker.evidence["failed_agents"][0]["step"]["kind"] == "request"
    assert len(requests_of(simulator, "details")) == 1, "only the details of the last round are read"
