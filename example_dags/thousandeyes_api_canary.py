"""Widen the release of an API when its canary passes, and withdraw the canary when it fails.

Use it when a failed canary is an everyday result and not an incident. ``on_failed="skip"`` skips the task and
everything downstream, so that nobody is paged; only ``withdraw`` runs (``all_skipped``). A private snapshot preserves
the failed round; its link is in the log. An inconclusive run fails the task: a person decides, and ``withdraw`` does
not run.

To adapt: ``test_id``, the tasks, and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_api_canary",
    schedule=None,
    tags=["thousandeyes"],
    params={"test_id": Param("202706", type="string", description="API test that calls the canary")},
    doc_md=__doc__,
):

    @task
    def deploy_canary():
        """Replace with the release to a small share of users."""
        print("One call in twenty goes to the new version")

    validate = RunInstantTestOperator(
        task_id="validate",
        test_id="{{ params.test_id }}",
        test_type="api",
        checks={
            "api": {
                "completion": {"equal_to": 100},
                "apiTransactionTime": {
                    "p95": {"leq_to": 2000},
                    "median": {"leq_to": 800, "severity": "warn"},
                },
            }
        },
        max_agent_errors=1,
        on_failed="skip",
        on_inconclusive="fail",
        snapshot_on_failure=True,
    )

    @task
    def widen():
        """Runs after a passing run."""
        print("All calls go to the new version")

    @task(trigger_rule="all_skipped")
    def withdraw():
        """Runs only when the verdict is ``failed``."""
        print("All calls go to the old version")

    deploy_canary() >> validate >> [widen(), withdraw()]
