"""The example that asks a person about an inconclusive gate, in a real Airflow."""

from __future__ import annotations

import threading
import time

import pytest

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]
pytest.importorskip(
    "airflow.providers.standard.operators.hitl", reason="Airflow 3.1 and later", exc_type=Exception
)

DECIDED = ("promote", "roll_back", "validate_again", "hold")


class Person(threading.Thread):
    """Somebody who answers the first request in *Required Actions* through Airflow's REST API.

    :param option: the decision.
    """

    def __init__(self, option: str) -> None:
        super().__init__(daemon=True)
        self.option = option
        self.seen: dict[str, object] = {}

    def run(self) -> None:
        from fastapi.testclient import TestClient

        from airflow.api_fastapi.app import create_app

        with TestClient(create_app(apps="core")) as browser:
            token = browser.get("/auth/token").json()["access_token"]
            browser.headers["Authorization"] = f"Bearer {token}"
            requests = (
                "/api/v2/dags/thousandeyes_human_decision/dagRuns/~/hitlDetails?response_received=false"
            )
            for _ in range(240):
                if details := browser.get(requests).json()["hitl_details"]:
                    break
                time.sleep(0.25)
            (self.seen,) = details
            instance = self.seen["task_instance"]
            path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/ask/-1/hitlDetails"
            answer = browser.patch(path.format(**instance), json={"chosen_options": [self.option]})
            answer.raise_for_status()


@pytest.fixture
def run(run_dag, monkeypatch):
    """Run the example and return the states of its last tasks."""
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")

    def quick(dag):
        for task in dag.tasks:
            if hasattr(task, "poll_interval"):
                task.poll_interval, task.timeout, task.deferrable = 0.2, 2, False

    def run(test_id):
        outcome = run_dag("thousandeyes_human_decision", quick, test_id=test_id)
        return outcome.states["ask", -1], {name for name in DECIDED if outcome.states[name, -1] == "success"}

    return run


@pytest.mark.parametrize(
    ("conditions", "ends"), [({}, "promote"), ({"outcomes": {"Singapore": "error"}}, "roll_back")]
)
def test_nobody_is_asked_about_a_verdict(simulator, run, conditions, ends):
    assert run(simulator.add_test("http-server", **conditions)) == ("skipped", {ends})


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
    assert run(test_id) == ("success", ends)
    person.join(timeout=30)
    body = person.seen["body"]
    assert "INCOMPLETE" in body
    assert name not in body
    assert r"\<img src=x\>" in body
