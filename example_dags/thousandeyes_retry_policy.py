"""Decide by exception class which failures are worth another try (Airflow 3.3 and later).

By default the operator spends task retries on inconclusive runs and none on failed verdicts, wrong tokens or invalid
arguments. With a ``retry_policy`` it leaves all of these decisions to the policy, hence ``default=FAIL``: classes that
no rule names are not retried. This policy gives a rebooting agent ten minutes, and waits half an hour when
ThousandEyes is unavailable.

Earlier versions of Airflow have no retry policies and use the operator's default.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from thousandeyes_provider.exceptions import (
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesConnectionError,
    ThousandEyesRateLimitError,
    ThousandEyesServerError,
)
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

try:
    from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
except ImportError:
    policy = {}
else:
    policy = {
        "retry_policy": ExceptionRetryPolicy(
            rules=[
                RetryRule(
                    [InstantTestIncomplete, InstantTestNoResults],
                    retry_delay=timedelta(minutes=10),
                    reason="Agents may come back",
                ),
                RetryRule(
                    [ThousandEyesRateLimitError, ThousandEyesServerError, ThousandEyesConnectionError],
                    retry_delay=timedelta(minutes=30),
                    reason="ThousandEyes is busy or unavailable",
                ),
            ],
            default=RetryAction.FAIL,
        )
    }

with DAG("thousandeyes_retry_policy", schedule=None, tags=["thousandeyes"], params={"test_id": "202703"}):
    RunInstantTestOperator(task_id="validate", test_id="{{ params.test_id }}", retries=3, **policy)
