"""A preview environment that exists for an hour: create it, look at it from outside, take it away again.

For pull requests, where there is no test to rerun because the address is new each time. The environment is a setup
task, and its end a teardown: whatever the verdict, nothing is left running, and the DAG run is as good as ``validate``.
The test is created against the address that ``create_environment`` returns. It is named after this task and run, and
stays in ThousandEyes with its results.

To make it yours: what the two tasks do, ``agents`` (ids or names), and the limits in ``checks``.
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
        """Stands for what brings the environment up; returns its address."""
        return f"https://pr-{params['pull_request']}.preview.example.com"

    @task
    def remove_environment(address):
        """Stands for what takes it away."""
        print(f"{address} is gone")

    address = create_environment()
    validate = CreateInstantTestOperator(
        task_id="validate",
        test_type="http-server",
        definition={
            "url": address,
            "agents": ["Frankfurt, Germany", "Singapore"],
            "httpTimeLimit": 10,
            "verifyCertificate": False,  # previews have one of their own
        },
        checks={
            "http-server": {
                "responseCode": {"equal_to": 200},
                "responseTime": {"max": {"leq_to": "{{ params.slowest }}"}},
            }
        },
    )
    address >> validate >> remove_environment(address).as_teardown(setups=address)
