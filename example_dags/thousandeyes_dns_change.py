"""Move a name to a new address, and retire the old address once all resolvers return the new one.

A *dns-trace* test queries the authoritative servers from the root down. A wrong answer there does not expire,
so the record is restored. A *dns-server* test queries resolvers, which may return the old address until its time to
live expires: ``on_failed="retry"`` spends Airflow's retries, one every five minutes for half an hour. The record is
restored only when the verdict is ``failed``; an inconclusive run holds the change.

To adapt: the two test ids, ``address``, and the tasks.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

NEW_ADDRESS = {"mappings": {"contains": "{{ params.address }}"}}

with DAG(
    "thousandeyes_dns_change",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "trace_test_id": Param("202709", type="string", description="DNS trace test of the name"),
        "resolver_test_id": Param("202708", type="string", description="DNS server test of the name"),
        "address": Param("192.0.2.10", type="string", description="New address"),
    },
    doc_md=__doc__,
):

    @task
    def change_record(params=None):
        """Replace with the change at your DNS provider."""
        print(f"The name now resolves to {params['address']}")

    authority = RunInstantTestOperator(
        task_id="authority",
        test_id="{{ params.trace_test_id }}",
        checks={"dns-trace": NEW_ADDRESS},
    )
    resolvers = RunInstantTestOperator(
        task_id="resolvers",
        test_id="{{ params.resolver_test_id }}",
        checks={
            "dns-server": NEW_ADDRESS | {"resolutionTime": {"median": {"leq_to": 500, "severity": "warn"}}}
        },
        on_failed="retry",
        retries=6,
        retry_delay=timedelta(minutes=5),
    )

    @task
    def retire_old_address():
        """Runs when every agent receives the new address from every resolver."""
        print("The old address is retired")

    @task.branch(trigger_rule="one_failed")
    def decide(of_authority, of_resolvers):
        """Restore the record only after a failed verdict."""
        verdicts = [evidence["verdict"] for evidence in (of_authority, of_resolvers) if evidence]
        return "restore_record" if "failed" in verdicts else "hold"

    @task
    def restore_record():
        """Runs only when a verdict is ``failed``."""
        print("The name resolves to the old address again")

    @task
    def hold():
        """Runs when a run was inconclusive: both addresses stay in service."""
        print("Both addresses stay in service until a person decides")

    change_record() >> authority >> resolvers >> retire_old_address()
    decide(authority.output, resolvers.output) >> [restore_record(), hold()]
