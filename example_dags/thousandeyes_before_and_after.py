"""Before and after a deployment: stop when the new version is noticeably slower than the old one was minutes ago.

For applications without a fixed limit for "slow", which is most of them: the same test runs before and after, and each
agent is compared with itself. The median may be a fifth slower, a single agent by half; less than 20 ms more is noise
whatever the percentage. When "before" could not be measured nothing is deployed, as nothing could be compared.

To make it yours: ``test_id``, what ``deploy`` and ``roll_back`` do, and the two limits.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_before_and_after",
    schedule=None,
    tags=["thousandeyes"],
    params={"test_id": Param("202703", type="string", description="An HTTP server test of the application")},
    doc_md=__doc__,
):
    before = RunInstantTestOperator(
        task_id="before",
        test_id="{{ params.test_id }}",
        on_failed="warn",  # a release that mends what is broken now must be possible
    )

    @task
    def deploy():
        """Stands for what brings the new version out; says which one it replaced."""
        return "1.4.1"

    after = RunInstantTestOperator(
        task_id="after",
        test_id="{{ params.test_id }}",
        checks={
            "http-server": {
                "responseTime": {
                    "median": {"change_leq_to": 0.2, "floor": 20},
                    "every": {"change_leq_to": 0.5, "floor": 20},
                }
            }
        },
        compare_with=before.output,
    )

    @task(trigger_rule="one_failed")
    def roll_back(replaced):
        """Runs when the new version is slower or broken, and also when there was no "before" and so no deployment."""
        print(f"Rolled back to {replaced}" if replaced else "Nothing was deployed")

    deployed = deploy()
    before >> deployed >> after >> roll_back(deployed)
