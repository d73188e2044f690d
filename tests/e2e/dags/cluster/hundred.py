"""A hundred instant tests, as a careful user has them run: in the triggerer for the most part, with task retries."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

RETRIED = {"retries": 5, "retry_delay": timedelta(seconds=5)}

with DAG(
    "hundred",
    schedule=None,
    params={"tests": {"deferred": [], "waiting": []}},
    default_args=RETRIED,
):

    @task
    def named(which, params=None):
        return [{"test_id": test_id} for test_id in params["tests"][which]]

    for which, deferrable in {"deferred": True, "waiting": False}.items():
        RunInstantTestOperator.partial(
            task_id=which,
            test_type="http-server",
            deferrable=deferrable,
            timeout=900,
            queue_timeout=1800,
            # A worker's slot is taken for all of the waiting, so that the others must be left some.
            max_active_tis_per_dag=64 if deferrable else 10,
        ).expand_kwargs(named.override(task_id=f"name_{which}")(which))
