"""A deployment that is validated from outside: deploy, rerun an instant test, promote or roll back.

``validate`` fails when the agents report errors, when one of them does not report in time, or when ThousandEyes cannot
be asked. Then ``promote`` does not run, and ``roll_back`` does.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_deployment_pipeline",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param(
            "202703", type="string", description="The instant test that looks at the application"
        ),
        "version": Param("1.4.2", type="string", description="What is deployed"),
    },
    doc_md=__doc__,
):

    @task
    def deploy(params=None):
        """Stands for what brings the new version out."""
        print(f"Deployed version {params['version']}")

    validate = RunInstantTestOperator(
        task_id="validate",
        test_id="{{ params.test_id }}",
        poll_interval=5,
        timeout=300,
    )

    @task
    def promote(evidence):
        """Runs only after a good round; the evidence of the run is what ``validate`` returned."""
        print(
            f"Promoted: {len(evidence['agents']['reported'])} agents see it well, {evidence['links']['round']}"
        )

    @task(trigger_rule="one_failed")
    def roll_back(params=None):
        """Runs only when the validation failed."""
        print(f"Rolled back version {params['version']}")

    deploy() >> validate >> [promote(validate.output), roll_back()]
