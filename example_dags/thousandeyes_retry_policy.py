"""Which failure is worth another try: a retry policy decides by the exception (Airflow 3.3 and later).

For teams that want other rules than ours. By itself the operator spends task retries on everything that time may
mend (agents missing, no results, throttled, no answer), and none on a bad round, a wrong token or a wrong argument.
With a ``retry_policy`` it leaves *all* of that to the policy, hence ``default=FAIL`` here: what is not named is not
tried again. This one gives an agent that is rebooting ten minutes, and lets a rate limit pass.

Earlier versions of Airflow have no retry policies; there the operator's own rules hold.
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
                    reason="ThousandEyes is busy or away",
                ),
            ],
            default=RetryAction.FAIL,
        )
    }

with DAG("thousandeyes_retry_policy", schedule=None, tags=["thousandeyes"], params={"test_id": "202703"}):
    RunInstantTestOperator(task_id="validate", test_id="{{ params.test_id }}", retries=3, **policy)
