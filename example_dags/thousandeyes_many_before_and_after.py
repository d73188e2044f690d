"""Run many tests before and after a change, and compare each test with its own earlier run.

Use it for changes that affect everything, such as a new load balancer or a cluster upgrade. The tests run as mapped
tasks that wait without a worker and take turns within the quota of the account. ``expand_kwargs`` pairs each test with
the evidence of its run before the change.

To adapt: ``test_ids``, ``change``, and the limit.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator


def same_test_again(evidence):
    """Return the arguments of the run after the change, from the evidence of the run before."""
    return {"test_id": evidence["test_id"], "test_type": evidence["test_type"], "compare_with": evidence}


with DAG(
    "thousandeyes_many_before_and_after",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_ids": Param(["202703", "202704"], type="array", description="HTTP server or page-load tests")
    },
    doc_md=__doc__,
):

    @task
    def selected(params=None):
        """Return the ids of the tests."""
        return params["test_ids"]

    before = RunInstantTestOperator.partial(
        task_id="before", result_types=["http-server"], on_failed="warn", deferrable=True
    ).expand(test_id=selected())

    @task
    def change():
        """Replace with your change."""
        print("Changed")

    after = RunInstantTestOperator.partial(
        task_id="after",
        checks={"http-server": {"responseTime": {"median": {"change_leq_to": 0.2, "floor": 20}}}},
        deferrable=True,
    ).expand_kwargs(before.output.map(same_test_again))

    before >> change() >> after
