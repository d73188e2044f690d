"""DAGs for the test of task logs: progress and turns in the triggerer, and errors."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

WAIT = {"poll_interval": 2, "timeout": 300}

with DAG("progress", schedule=None):
    RunInstantTestOperator(task_id="validate", test_id="700001", deferrable=True, **WAIT)

with DAG("refused", schedule=None):
    RunInstantTestOperator(task_id="validate", test_id="700011", deferrable=True, **WAIT)

with DAG("turns", schedule=None):
    # An immediate turn may fail the task on Airflow 3.3 (docs/known-issues.md), so tasks need retries.
    RunInstantTestOperator.partial(
        task_id="validate",
        test_type="http-server",
        deferrable=True,
        retries=3,
        retry_delay=timedelta(seconds=0),
        **WAIT,
    ).expand(test_id=[str(700012 + index) for index in range(RUNS_WITHOUT_TURN + 2)])

with DAG("failed_on_the_worker", schedule=None):
    RunInstantTestOperator(task_id="validate", test_id="700021", deferrable=False, **WAIT)

with DAG("failed_after_deferral", schedule=None):
    RunInstantTestOperator(task_id="validate", test_id="700021", deferrable=True, **WAIT)
