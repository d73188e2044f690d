"""Before and after for many tests at once: each of them is compared with its own "before".

For a change that touches everything, such as a new load balancer or an upgrade of a cluster. The tests run as mapped
tasks that wait without a worker and take turns at the quota of the account; ``expand_kwargs`` pairs each test with the
evidence of its own run before the change.

To make it yours: ``test_ids``, what ``change`` does, and the limit.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator


def same_test_again(evidence):
    """The arguments of the run after the change, from the evidence of the one before."""
    return {"test_id": evidence["test_id"], "test_type": evidence["test_type"], "compare_with": evidence}


with DAG(
    "thousandeyes_many_before_and_after",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_ids": Param(["202703", "202704"], type="array", description="HTTP server or page load tests")
    },
    doc_md=__doc__,
):

    @task
    def chosen(params=None):
        """The tests; a list of the hook's would do as well."""
        return params["test_ids"]

    before = RunInstantTestOperator.partial(
        task_id="before", result_types=["http-server"], on_failed="warn", deferrable=True
    ).expand(test_id=chosen())

    @task
    def change():
        """Stands for the change."""
        print("Changed")

    after = RunInstantTestOperator.partial(
        task_id="after",
        checks={"http-server": {"responseTime": {"median": {"change_leq_to": 0.2, "floor": 20}}}},
        deferrable=True,
    ).expand_kwargs(before.output.map(same_test_again))

    before >> change() >> after
