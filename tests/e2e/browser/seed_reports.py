"""Write DAG runs with ThousandEyes evidence to the database of an Airflow without running tasks.

The interpreter of that Airflow runs this script after ``airflow dags reserialize``. The report pages read the XComs as
if tasks had pushed them. Writing 30 DAG runs of 400 tests takes seconds.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import report_fixtures as fixtures

from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from thousandeyes_provider.links.report import ThousandEyesReportLink
from thousandeyes_provider.operators.xcoms import INDEX_FIELDS

LINK = ThousandEyesReportLink()

DAGS = """
from airflow.sdk import DAG
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

for dag_id, tasks in {dags!r}.items():
    with DAG(dag_id, schedule=None) as dag:
        for task in tasks:
            RunInstantTestOperator(task_id=task, test_id=202703)
    globals()[dag_id] = dag
"""
"""The DAG file. Its tasks never run; their operator adds the extra link "Report"."""

GATES: dict[str, list[str]] = {
    "release_checkout": ["verify_checkout"],
    "release_search": ["verify_search"],
    "release_api": ["verify_login"],
    "release_mobile": ["verify_mobile"],
    "big_report": ["verify_cut"],
    "hostile": ["verify_hostile"],
    "nightly_100": ["run_test", "verdict"],
    "nightly_400": ["run_test", "verdict"],
    "gate_20_by_50": ["run_test"],
}


def index_of(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return the index entry that a task pushes in addition to its evidence."""
    return {name: evidence.get(name) for name in INDEX_FIELDS}


def seed(dag_id: str, run_id: str, at: datetime, results: dict[str, Any]) -> None:
    """Add a DAG run with these results: evidence by task, or a list of evidence for a mapped task."""
    with create_session() as session:
        dag = SerializedDagModel.get_dag(dag_id, session=session)
        dag_run = dag.create_dagrun(
            run_id=run_id,
            logical_date=at,
            data_interval=(at, at),
            run_after=at,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            start_date=at,
            session=session,
        )
        instances = {ti.task_id: ti for ti in dag_run.get_task_instances(session=session)}
        bad = False
        for task_id, result in results.items():
            first = instances[task_id]
            for index, evidence in enumerate(result if isinstance(result, list) else [result]):
                map_index = index if isinstance(result, list) else -1
                if map_index <= 0:
                    instance, first.map_index = first, map_index
                    session.flush()
                else:
                    instance = TaskInstance(
                        dag.get_task(task_id),
                        run_id=run_id,
                        map_index=map_index,
                        dag_version_id=first.dag_version_id,
                    )
                    session.add(instance)
                passed = evidence["verdict"] == "passed"
                bad |= not passed
                instance.state = TaskInstanceState.SUCCESS if passed else TaskInstanceState.FAILED
                instance.start_date, instance.end_date = at, at + timedelta(seconds=75)
                session.flush()
                pushed = {
                    "return_value": evidence,
                    "thousandeyes_verdict": index_of(evidence),
                    LINK.xcom_key: LINK.get_link(
                        None, ti_key=instance.key
                    ),  # as a worker does after each task
                }
                for key, value in pushed.items():
                    XComModel.set(
                        key=key,
                        value=value,
                        dag_id=dag_id,
                        task_id=task_id,
                        run_id=run_id,
                        map_index=map_index,
                        session=session,
                    )
        dag_run.state = DagRunState.FAILED if bad else DagRunState.SUCCESS
        dag_run.end_date = at + timedelta(seconds=80)


def main() -> None:
    """Add every gate, and 30 runs of one gate."""
    at = fixtures.START
    for number, evidence in enumerate(fixtures.trend(30)):
        due = at - timedelta(hours=8 * (29 - number))
        seed("release_checkout", f"run_{number:02d}", due, {"verify_checkout": evidence})
    search = {"test_id": "202710", "test_name": "Search"}
    good, bad = (
        fixtures.run_evidence(slower=0.8, **search),
        fixtures.run_evidence(failed=2, slower=1.1, **search),
    )
    seed("release_search", "good", at, {"verify_search": good})
    seed("release_search", "bad", at + timedelta(hours=1), {"verify_search": bad})
    steps = fixtures.run_evidence(failed=1, count=8, test_id="202711", test_name="Login API", test_type="api")
    seed("release_api", "bad", at, {"verify_login": steps})
    inconclusive = fixtures.run_evidence(missing=2, test_name="Mobile API")
    seed("release_mobile", "inconclusive", at, {"verify_mobile": inconclusive})
    seed("big_report", "cut", at, {"verify_cut": fixtures.cut_evidence()})
    seed("hostile", "hostile", at, {"verify_hostile": fixtures.hostile_evidence()})
    for count in (100, 400):
        evidences = fixtures.suite_runs(count)
        seed(
            f"nightly_{count}",
            "nightly",
            at,
            {"run_test": evidences, "verdict": fixtures.suite_evidence(evidences)},
        )
    seed("gate_20_by_50", "gate", at, {"run_test": fixtures.suite_runs(20, agents_each=50)})


if __name__ == "__main__":
    if sys.argv[1:2] == ["dags"]:
        Path(sys.argv[2], "reports.py").write_text(DAGS.format(dags=GATES))
    else:
        main()
