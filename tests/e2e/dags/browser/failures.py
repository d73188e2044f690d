"""A failing API test, and a mapped task of 20 tests, three of which fail."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

WAIT = {"poll_interval": 2, "timeout": 300}

with DAG("release_login", schedule=None):
    RunInstantTestOperator(task_id="verify_login", test_id="880001", **WAIT)

with DAG("release_services", schedule=None):
    # SQLite, which the browser tests use, locks with many tasks at a time.
    RunInstantTestOperator.partial(
        task_id="verify", test_type="http-server", max_active_tis_per_dag=3, **WAIT
    ).expand(test_id=[str(test_id) for test_id in range(881000, 881020)])
