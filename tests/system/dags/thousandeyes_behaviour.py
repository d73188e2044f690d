"""DAGs that the system tests run in a real Airflow."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

QUICK = {"poll_interval": 0.07, "timeout": 2}

with DAG("rerun", schedule=None, params={"test_id": "", "min_agents": "", "type": "http-server"}):
    RunInstantTestOperator(
        task_id="validate",
        test_id="{{ params.test_id }}",
        test_type="{{ params.type }}",
        account_group_id="1001",
        retries=1,
        retry_delay=timedelta(seconds=0),
        **QUICK,
    )

with DAG("deferred", schedule=None, params={"test_id": ""}):
    RunInstantTestOperator(task_id="validate", test_id="{{ params.test_id }}", deferrable=True, **QUICK)

with DAG("deferred_and_mapped", schedule=None, params={"tests": []}):

    @task
    def named_too(params=None):
        return params["tests"]

    RunInstantTestOperator.partial(task_id="validate", deferrable=True, **QUICK).expand_kwargs(named_too())

with DAG("sensed", schedule=None, params={"test_id": "", "deferrable": False}):
    start = RunInstantTestOperator(
        task_id="start", test_id="{{ params.test_id }}", wait_for_results=False, **QUICK
    )
    for way, more in {
        "poke": {},
        "reschedule": {"mode": "reschedule"},
        "defer": {"deferrable": True},
    }.items():
        InstantTestResultsSensor(task_id=way, run=start.output, poke_interval=1, timeout=10, **more)

with DAG("mapped", schedule=None, params={"tests": []}):

    @task
    def named(params=None):
        return params["tests"]

    RunInstantTestOperator.partial(task_id="validate", **QUICK).expand_kwargs(named())

with DAG("without_xcom", schedule=None, params={"test_id": ""}):
    RunInstantTestOperator(task_id="validate", test_id="{{ params.test_id }}", do_xcom_push=False, **QUICK)

with DAG("handle", schedule=None, params={"test_id": ""}):
    RunInstantTestOperator(task_id="start", test_id="{{ params.test_id }}", wait_for_results=False, **QUICK)

with DAG("reported", schedule=None, params={"test_id": "", "reports": []}):

    @task
    def wanted(params=None):
        return params["reports"]

    RunInstantTestOperator.partial(
        task_id="validate",
        test_id="{{ params.test_id }}",
        checks={
            "http-server": {
                "responseTime": {"max": [{"leq_to": 1000}, {"leq_to": 1, "severity": "warn"}]},
                "responseCode": {"equal_to": 200},
            }
        },
        **QUICK,
    ).expand(report_path=wanted())
