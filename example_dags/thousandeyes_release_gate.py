"""Gate a release on many tests: promote, roll back or hold, on one verdict.

The suite reruns every test in ``test_ids``. It passes when all of them pass, and fails when one of them fails. An
inconclusive test makes the suite inconclusive, unless another test fails. Both policies are ``warn``, so that ``route``
decides: it rolls back only when the verdict is ``failed``. The DAG run fails when the release is not promoted.

To adapt: ``test_ids``, and the tasks that deploy, promote, roll back and notify.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task
from thousandeyes_provider.operators.suite import instant_test_suite

with DAG(
    "thousandeyes_release_gate",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_ids": Param(["202703", "202706"], type="array", description="Instant tests of the application"),
        "timeout": Param(300, type="integer", description="Seconds to wait for the results of a test"),
        "version": Param("1.4.2", type="string", description="Version to deploy"),
    },
    doc_md=__doc__,
):

    @task
    def deploy(params=None):
        """Replace with your deployment."""
        print(f"Deployed version {params['version']}")

    gate = instant_test_suite(
        "gate",
        test_ids="{{ params.test_ids }}",
        overrides={"*": {"timeout": "{{ params.timeout }}"}},
        on_failed="warn",
        on_inconclusive="warn",
    )

    @task.branch
    def route(evidence):
        """Route on the verdict of the suite."""
        return {"passed": "promote", "failed": "roll_back"}.get(evidence["verdict"], "hold")

    @task
    def promote(params=None):
        """Runs when the suite passed."""
        print(f"Promoted version {params['version']}")

    @task
    def roll_back(params=None):
        """Runs only when the verdict is ``failed``. Replace ``print``; the exception fails the DAG run."""
        print(f"Rolled back version {params['version']}")
        raise AirflowFailException("The release was rolled back")

    @task
    def hold():
        """Runs when the suite is inconclusive: keeps the deployed version and notifies a person."""
        raise AirflowFailException("The release is on hold")

    deploy() >> gate
    route(gate.get_child_by_label("verdict").output) >> [promote(), roll_back(), hold()]
