"""Create a preview environment, test it from outside, and remove it.

Use it for pull requests: the address is new each time, so there is no test to rerun. The environment is a setup task
and its removal a teardown task. It is removed regardless of the verdict, and ``validate`` decides the state of the DAG
run. The test is created for the address that ``create_environment`` returns. Its name contains the DAG, task and run,
and it stays in ThousandEyes with its results.

To adapt: the two tasks, ``agents`` (ids or names), and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator

with DAG(
    "thousandeyes_preview_environment",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "pull_request": Param(17, type="integer"),
        "slowest": Param(1000, type="integer", description="Limit of the response time in ms"),
    },
    doc_md=__doc__,
):

    @task
    def create_environment(params=None):
        """Replace with the creation of your environment; returns its address."""
        return f"https://pr-{params['pull_request']}.preview.example.com"

    @task
    def remove_environment(address):
        """Replace with the removal of your environment."""
        print(f"Removed {address}")

    address = create_environment()
    validate = CreateInstantTestOperator(
        task_id="validate",
        test_type="http-server",
        definition={
            "url": address,
            "agents": ["Frankfurt, Germany", "Singapore"],
            "httpTimeLimit": 10,
            "verifyCertificate": False,  # previews use a self-signed certificate
        },
        checks={
            "http-server": {
                "responseCode": {"equal_to": 200},
                "responseTime": {"max": {"leq_to": "{{ params.slowest }}"}},
            }
        },
    )
    address >> validate >> remove_environment(address).as_teardown(setups=address)
