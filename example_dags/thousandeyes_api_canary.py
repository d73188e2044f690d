"""An API behind a canary: widen the release when its calls work from outside, withdraw it quietly when not.

For releases where a bad canary is an everyday result and no incident: ``on_failed="skip"`` ends the task
skipped, so that nothing downstream runs and nobody is paged; ``withdraw`` runs on that alone (``all_skipped``). A bad
round is shared as a private snapshot, whose link is in the log, for whoever looks into it in the morning. When the
round is incomplete or ThousandEyes cannot be asked, the task fails as ever: then a person decides.

To make it yours: ``test_id``, what the tasks do, and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_api_canary",
    schedule=None,
    tags=["thousandeyes"],
    params={"test_id": Param("202706", type="string", description="An API test that calls the canary")},
    doc_md=__doc__,
):

    @task
    def deploy_canary():
        """Stands for the release to a small part of the users."""
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
        snapshot_on_failure=True,
    )

    @task
    def widen():
        """Runs only after a good round."""
        print("All calls go to the new version")

    @task(trigger_rule="all_skipped")
    def withdraw():
        """Runs only after a bad one."""
        print("All calls go to the old version")

    deploy_canary() >> validate >> [widen(), withdraw()]
