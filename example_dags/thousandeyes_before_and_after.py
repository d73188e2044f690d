"""Run a test before and after a deployment, and roll back when the new version is slower than the old one.

Use it for applications without a fixed limit for "slow". Each agent is compared with itself. The median may be 20 %
slower and a single agent 50 %; differences below 20 ms always pass. When the run before is inconclusive,
nothing is deployed. An inconclusive run after the deployment holds the release.

To adapt: ``test_id``, the tasks, and the two limits.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_before_and_after",
    schedule=None,
    tags=["thousandeyes"],
    params={"test_id": Param("202703", type="string", description="HTTP server test of the application")},
    doc_md=__doc__,
):
    before = RunInstantTestOperator(
        task_id="before",
        test_id="{{ params.test_id }}",
        on_failed="warn",  # a release that repairs the current version must be possible
    )

    @task
    def deploy():
        """Replace with your deployment; returns the version that it replaced."""
        return "1.4.1"

    after = RunInstantTestOperator(
        task_id="after",
        test_id="{{ params.test_id }}",
        checks={
            "http-server": {
                "responseTime": {
                    "median": {"change_leq_to": 0.2, "floor": 20},
                    "every": {"change_leq_to": 0.5, "floor": 20},
                }
            }
        },
        compare_with=before.output,
    )

    @task
    def finish():
        """Runs when the new version is as fast as the old one."""
        print("The new version stays")

    @task.branch(trigger_rule="one_failed")
    def decide(evidence):
        """Route on the verdict. Without evidence, ``after`` did not run or ended without a verdict."""
        return "roll_back" if evidence and evidence["verdict"] == "failed" else "hold"

    @task
    def roll_back(replaced):
        """Runs only when the verdict is ``failed``."""
        print(f"Rolled back to {replaced}")

    @task
    def hold(ti=None):
        """Runs when a run was inconclusive, or when nothing was deployed."""
        evidence = ti.xcom_pull(task_ids="after")
        print("On hold:", evidence["summary"] if evidence else "there is no verdict about the new version")

    deployed = deploy()
    before >> deployed >> after >> finish()
    decide(after.output) >> [roll_back(deployed), hold()]
