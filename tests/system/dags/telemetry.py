"""The suite whose metrics, asset events and OpenLineage events a system test captures."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Asset
from thousandeyes_provider.operators.suite import instant_test_suite

with DAG("suite_with_telemetry", schedule=None, params={"test_ids": []}):
    instant_test_suite(
        "gate",
        test_ids="{{ params.test_ids }}",
        outlets=[Asset("thousandeyes://release")],
        poll_interval=0.07,
        timeout=4,
        deferrable=False,
    )
