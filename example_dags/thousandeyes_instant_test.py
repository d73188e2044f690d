"""The shortest useful DAG: rerun an instant test, and fail when its agents report errors."""

from airflow.providers.common.compat.sdk import DAG
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG("thousandeyes_instant_test", schedule=None, tags=["thousandeyes"], params={"test_id": "202703"}):
    RunInstantTestOperator(task_id="rerun", test_id="{{ params.test_id }}")
