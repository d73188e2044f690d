"""Deploy, rerun an instant test, and promote, roll back or hold.

``validate`` fails when the agents report errors, and its error names them. Then ``decide`` routes on the verdict: it
rolls back only when the verdict is ``failed``. When agents are missing or ThousandEyes is unavailable, nothing is known
about the deployment, so the release is held and a person is notified. The DAG run fails in both cases.

To adapt: ``test_id``, and the tasks that deploy, promote, roll back and notify.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_deployment_pipeline",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param("202703", type="string", description="Instant test of the application"),
        "version": Param("1.4.2", type="string", description="Version to deploy"),
    },
    doc_md=__doc__,
):

    @task
    def deploy(params=None):
        """Replace with your deployment."""
        print(f"Deployed version {params['version']}")

    validate = RunInstantTestOperator(
        task_id="validate",
        test_id="{{ params.test_id }}",
        poll_interval=5,
        timeout=300,
    )

    @task
    def promote(evidence):
        """Runs after a passing run."""
        print(f"Promoted: {len(evidence['agents']['reported'])} agents passed, {evidence['links']['round']}")

    @task.branch(trigger_rule="one_failed")
    def decide(evidence):
        """Route on the verdict. An error without evidence, such as a wrong token, holds the release as well."""
        return "roll_back" if evidence and evidence["verdict"] == "failed" else "hold"

    @task
    def roll_back(params=None):
        """Runs only when the verdict is ``failed``."""
        print(f"Rolled back version {params['version']}")

    @task
    def hold(ti=None):
        """Runs when the run was inconclusive: keeps the deployed version and notifies a person."""
        evidence = ti.xcom_pull(task_ids="validate")
        print("Release on hold:", evidence["summary"] if evidence else "validation ended without a verdict")

    deploy() >> validate >> promote(validate.output)
    decide(validate.output) >> [roll_back(), hold()]
