"""Behavior that depends on Airflow's version: resuming a run, and extra links in the web interface."""

from __future__ import annotations

from importlib import metadata

import pytest

from thousandeyes_provider.operators.session import Session

pytestmark = pytest.mark.system

AIRFLOW = tuple(map(int, metadata.version("apache-airflow").split(".")[:2]))
VALIDATE = ("validate", -1)


@pytest.fixture
def first_try_is_lost(monkeypatch):
    """End the first try between acceptance and verdict, like a try with a lost worker."""
    wait, lost = Session.wait, []

    def wait_or_be_lost(self, handle):
        if not lost:
            lost.append(handle)
            raise ConnectionAbortedError("the worker is gone")
        return wait(self, handle)

    monkeypatch.setattr(Session, "wait", wait_or_be_lost)


@pytest.mark.usefixtures("first_try_is_lost")
@pytest.mark.parametrize("durable", [True, False])
def test_a_retry_resumes_the_run_where_airflow_stores_task_state(simulator, run_dag, durable, monkeypatch):
    test_id = simulator.add_test("http-server")
    monkeypatch.setenv("AIRFLOW__THOUSANDEYES__DURABLE", str(durable))
    outcome = run_dag("rerun", test_id=test_id)
    assert (outcome.states[VALIDATE], outcome.tries[VALIDATE]) == ("success", 2)
    evidence = outcome.xcoms[*VALIDATE, "return_value"]
    picked_up = durable and AIRFLOW >= (3, 3)
    assert simulator.run_calls(test_id) == (1 if picked_up else 2)
    assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 1)


def links_in_the_web_interface(dag, task_id, map_index):
    """Return the extra links of the newest task instance, as Airflow's web server builds them."""
    from sqlalchemy import select

    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:  # before Airflow 3.2
        from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

    task = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).get_task(task_id)
    with create_session() as session:
        instance = session.scalars(
            select(TaskInstance)
            .where(
                TaskInstance.dag_id == dag.dag_id,
                TaskInstance.task_id == task_id,
                TaskInstance.map_index == map_index,
            )
            .order_by(TaskInstance.run_id.desc())
        ).first()
        return {name: task.get_extra_links(instance, name) for name in task.extra_links}


@pytest.mark.parametrize("dag_id", ["rerun", "mapped"])
def test_the_web_interface_shows_the_links_of_a_failed_task(simulator, run_dag, dag_id):
    test_id = simulator.add_test("http-server", outcomes={"Singapore": "error"})
    dags = []
    outcome = run_dag(dag_id, dags.append, test_id=test_id, tests=[{"test_id": test_id}])
    map_index = 0 if dag_id == "mapped" else -1
    evidence = outcome.xcoms["validate", map_index, "return_value"]
    links = links_in_the_web_interface(dags[0], "validate", map_index)
    assert links["ThousandEyes test"] == evidence["links"]["test"]
    assert links["ThousandEyes round"] == evidence["links"]["round"]
    assert not links["ThousandEyes snapshot"]
