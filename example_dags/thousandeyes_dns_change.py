"""A DNS change: wait until the world resolves the name to the new address, then take the old one away.

For a move to another address. First a *DNS trace*, which asks the authoritative servers from the root down: what is
wrong there will not mend itself, so it fails at once and the record is put back. Then a *DNS server* test, which asks
resolvers that may keep the old answer until its time to live is over: a failed verdict is retried, once every five
minutes, for half an hour. Only then does the old address go.

To make it yours: the two test ids, ``address``, and what the tasks do.
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
        "trace_test_id": Param("202709", type="string", description="A DNS trace test of the name"),
        "resolver_test_id": Param("202708", type="string", description="A DNS server test of the name"),
        "address": Param("192.0.2.10", type="string", description="The new address"),
    },
    doc_md=__doc__,
):

    @task
    def change_record(params=None):
        """Stands for the change at the DNS provider."""
        print(f"The name now points to {params['address']}")

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
        """Runs only when every agent gets the new address from every resolver."""
        print("Nobody asks for the old address any more")

    @task(trigger_rule="one_failed")
    def put_record_back():
        """Runs when the authoritative servers have it wrong, or a resolver keeps the old address for too long."""
        print("The name points to the old address again")

    change_record() >> authority >> resolvers >> retire_old_address()
    [authority, resolvers] >> put_record_back()
