"""DAGs with suites that the system tests run in a real Airflow."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.suite import SuiteVerdictOperator, instant_test_suite

QUICK = {"poll_interval": 0.07, "timeout": 4, "deferrable": False}

with DAG("suite_of_reruns", schedule=None, params={"test_ids": [], "non_blocking": []}):
    gate = instant_test_suite(
        "gate",
        test_ids="{{ params.test_ids }}",
        non_blocking="{{ params.non_blocking | join(',') }}",
        report_path="{{ params.report | default('') }}",
        **QUICK,
    )

    @task
    def promote():
        """Continue the release."""

    gate >> promote()

with DAG("suite_of_scheduled_tests", schedule=None, params={"names": [], "exclude": [], "tags": []}):
    instant_test_suite(
        "gate",
        names="{{ params.names }}",
        tags="{{ params.tags }}",
        exclude="{{ params.exclude }}",
        min_passed=0.5,
        on_failed="warn",
        on_inconclusive="skip",
        overrides={
            "Slow *": {"checks": {"http-server": {"responseTime": {"leq_to": 1}}}},
            "Quick *": {"blocking": False},
        },
        **QUICK,
    )

with DAG("suite_preview", schedule=None, params={"test_ids": []}):
    instant_test_suite("gate", test_ids="{{ params.test_ids }}", dry_run=True)

with DAG("suite_of_evidence", schedule=None, params={"evidence": [], "expected": None, "shadow": False}):

    @task
    def evidence(params=None):
        return params["evidence"]

    SuiteVerdictOperator(task_id="verdict", results=[evidence(), None], expected=["1", "2"], shadow=False)
    SuiteVerdictOperator(task_id="shadow", results=evidence(), expected=["1", "2"], shadow=True)
