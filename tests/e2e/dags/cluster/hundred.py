"""A suite of a hundred instant tests with task retries, most of them deferrable."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.operators.suite import SuiteVerdictOperator

RETRIED = {"retries": 5, "retry_delay": timedelta(seconds=5)}

with DAG(
    "hundred",
    schedule=None,
    params={"tests": {"deferred": [], "waiting": [], "report": ""}},
    default_args=RETRIED,
):

    @task
    def named(which, params=None):
        return [{"test_id": test_id} for test_id in params["tests"][which]]

    runs = []
    for which, deferrable in {"deferred": True, "waiting": False}.items():
        selected = named.override(task_id=f"name_{which}")(which)
        run = RunInstantTestOperator.partial(
            task_id=which,
            test_type="http-server",
            deferrable=deferrable,
            timeout=900,
            queue_timeout=1800,
            # These tasks occupy a worker slot while they wait, so their number is limited.
            max_active_tis_per_dag=64 if deferrable else 10,
        ).expand_kwargs(selected)
        runs.append(run.output)

    SuiteVerdictOperator(
        task_id="verdict", results=runs, min_passed=0.9, report_path="{{ params.tests.report }}"
    )
