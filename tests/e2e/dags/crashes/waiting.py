"""Instant tests that wait while processes are killed."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

MANY = 20
WAITING = {"test_type": "http-server", "poll_interval": 2, "timeout": 900}
RETRIED = {"retries": 1, "retry_delay": timedelta(seconds=0)}

with DAG("deferred", schedule=None, params={"tests": []}):
    for number in range(MANY):
        RunInstantTestOperator(
            task_id=f"validate_{number}",
            test_id=f"{{{{ params.tests[{number}] }}}}",
            deferrable=True,
            **WAITING,
        )

with DAG("mapped", schedule=None, params={"tests": []}):

    @task
    def named(params=None):
        return [{"test_id": test_id} for test_id in params["tests"]]

    # The first turns resume immediately. Airflow may then take the end of the deferring process for the end of the
    # resumed task and fail it before it starts (apache/airflow#67287, #71580), so tasks need retries.
    RunInstantTestOperator.partial(
        task_id="validate", deferrable=True, retries=20, retry_delay=timedelta(seconds=0), **WAITING
    ).expand_kwargs(named())

with DAG("retried", schedule=None, params={"tests": []}):
    for number, killed in enumerate(("task", "worker")):
        RunInstantTestOperator(
            task_id=killed,
            test_id=f"{{{{ params.tests[{number}] }}}}",
            deferrable=False,
            **WAITING,
            **RETRIED,
        )

with DAG("cleared", schedule=None, params={"tests": []}):
    for number, (task_id, deferrable) in enumerate(
        {"judged": False, "judged_deferred": True, "killed": False, "deferred": True}.items()
    ):
        RunInstantTestOperator(
            task_id=task_id,
            test_id=f"{{{{ params.tests[{number}] }}}}",
            deferrable=deferrable,
            retries=0,
            **WAITING,
        )
