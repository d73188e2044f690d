"""The example with a human decision after an inconclusive gate, in a real Airflow."""

from __future__ import annotations

import os
import threading
import time

import pytest

pytestmark = pytest.mark.system
pytest.importorskip(
    "airflow.providers.standard.operators.hitl", reason="Airflow 3.1 and later", exc_type=Exception
)

DECIDED = ("promote", "roll_back", "validate_again", "hold")


class Person(threading.Thread):
    """A user who responds to the first request in *Required Actions* through Airflow's REST API.

    :param option: the decision.
    """

    def __init__(self, option: str) -> None:
        super().__init__(daemon=True)
        self.option = option
        self.seen: dict[str, object] = {}

    def run(self) -> None:
        from fastapi.testclient import TestClient

        from airflow.api_fastapi.app import create_app

        with TestClient(create_app(apps="core"), raise_server_exceptions=False) as browser:
            while not (token := _json(browser.get("/auth/token")).get("access_token")):
                time.sleep(0.25)
            browser.headers["Authorization"] = f"Bearer {token}"
            waiting = "/api/v2/dags/thousandeyes_human_decision/dagRuns/~/hitlDetails?response_received=false"
            # SQLite can refuse a request while the DAG run writes, so failed requests are repeated until the response
            # is stored. A response before the task waits does not resume the task.
            while not (details := _json(browser.get(waiting)).get("hitl_details")) or details[0][
                "task_instance"
            ]["state"] not in ("awaiting_input", "deferred"):
                time.sleep(0.25)
            (self.seen,) = details
            path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/ask/-1/hitlDetails"
            address = path.format(**self.seen["task_instance"])
            while not _json(browser.patch(address, json={"chosen_options": [self.option]})):
                time.sleep(0.25)


def _json(response) -> dict[str, object]:
    """Return the body of a successful response; empty for any other response."""
    return response.json() if response.is_success else {}


@pytest.fixture
def run(run_dag, monkeypatch):
    """Run the example and return the states of its last tasks."""
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")

    def run(test_id, timeout):
        def quick(dag):
            for task in dag.tasks:
                if hasattr(task, "poll_interval"):
                    task.poll_interval, task.timeout, task.deferrable = 0.07, timeout, False

        outcome = run_dag("thousandeyes_human_decision", quick, test_id=test_id)
        return outcome.states["ask", -1], {name for name in DECIDED if outcome.states[name, -1] == "success"}

    return run


@pytest.mark.parametrize(
    ("conditions", "ends"), [({}, "promote"), ({"outcomes": {"Singapore": "error"}}, "roll_back")]
)
def test_no_decision_is_requested_after_a_verdict(simulator, run, conditions, ends):
    assert run(simulator.add_test("http-server", **conditions), timeout=60) == ("skipped", {ends})


@pytest.mark.skipif(
    "THOUSANDEYES_E2E" not in os.environ, reason="dag.test() waits without limit for the answer"
)
@pytest.mark.parametrize(
    ("option", "ends"),
    [
        ("Promote", {"promote"}),
        ("Roll back", {"roll_back"}),
        ("Hold", {"hold"}),
        ("Run again", set()),
    ],
)
def test_a_person_decides_about_an_inconclusive_run(simulator, run, option, ends):
    name = "Agent <img src=x> *bold*"
    agent = simulator.add_agent(name)
    test_id = simulator.add_test("http-server", agents=["Singapore", agent.name], silent=[agent.name])
    person = Person(option)
    person.start()
    assert run(test_id, timeout=2) == ("success", ends)
    person.join(timeout=30)
    body = person.seen["body"]
    assert "INCOMPLETE" in body
    assert name not in body
    assert r"\<img src=x\>" in body
