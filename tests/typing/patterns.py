"""A DAG with every documented pattern of arguments. Type checkers accept it, and Airflow parses it."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.argument_types import Checks
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator, RunInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

CHECKS: Checks = {"http-server": {"responseTime": {"p95": {"leq_to": 800}}}}
NEW_ADDRESS = {"mappings": {"contains": "{{ params.address }}"}}

with DAG("typed", schedule=None):

    @task
    def ids() -> list[str]:
        return ["1", "2"]

    @task
    def address() -> str:
        return "https://example.com"

    before = RunInstantTestOperator(task_id="before", test_id=202703, on_failed="warn")
    RunInstantTestOperator(
        task_id="checks",
        test_id="{{ params.test_id }}",
        test_type="{{ params.test_type }}",
        checks={
            "http-server": {
                "responseCode": {"equal_to": 200},
                "responseTime": {"p95": {"leq_to": 800}, "every": {"less_than": 2000, "quorum": 0.8}},
                "headers.responseHeaders": {"contains": "x-app-version: 1.0"},
                "certificateDaysLeft": {"min": {"geq_to": 14, "severity": "warn"}},
            },
            "network": {
                "loss": {"mean": [{"leq_to": 1, "severity": "warn"}, {"leq_to": 5}]},
                "avgLatency": [
                    {"leq_to": 80, "where": {"countryId": ["AT", "DE"]}},
                    {"leq_to": 250, "where": {"agentName": "Sing*"}},
                ],
                "jitter": {"median": {"change_leq_to": 0.2, "floor": 10}},
                "newField": {"leq_to": 3, "unlisted": True},
            },
        },
        compare_with=before.output,
        expected_agents=["Frankfurt, Germany", 14419],
        min_agents=0.8,
        grace=timedelta(minutes=2),
        max_agent_errors=1,
        confirm_failures=1,
        on_failed="skip",
        on_inconclusive="warn",
        snapshot_on_failure=True,
        report_path="s3://reports/{{ run_id }}.xml",
        poll_interval=5,
        timeout=300.0,
        queue_timeout=timedelta(hours=1),
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=5),
        map_index_template="{{ test_name }}",
    )
    RunInstantTestOperator(
        task_id="history", test_id="1", checks=CHECKS, compare_with={"test_id": "1", "window": "24h"}
    )
    RunInstantTestOperator(task_id="variable", test_id="1", checks={"dns-trace": NEW_ADDRESS})
    RunInstantTestOperator(task_id="file", test_id="1", checks="checks.yaml", result_types=["http-server"])
    RunInstantTestOperator(
        task_id="template", test_id="1", checks="{{ params.checks }}", result_types="network"
    )
    RunInstantTestOperator(task_id="dry", test_id="1", dry_run=True, account_group_id=1001)
    RunInstantTestOperator.partial(task_id="mapped", deferrable=True).expand(test_id=ids())
    preview = CreateInstantTestOperator(
        task_id="preview",
        test_type="http-server",
        definition={"url": address(), "agents": ["Singapore"], "httpTimeLimit": 10},
    )
    CreateInstantTestOperator(task_id="copy", from_test="1", overrides={"url": "https://green.example.com"})
    CreateInstantTestOperator(task_id="of_file", test_type="api", definition="preview.yaml")
    start = RunInstantTestOperator(task_id="start", test_id="1", wait_for_results=False)
    InstantTestResultsSensor(
        task_id="wait",
        run=start.output,
        min_agents=4,
        grace=0,
        poke_interval=30,
        timeout=900,
        mode="reschedule",
        soft_fail=True,
        checks=CHECKS,
    )

    @task.branch
    def decide(evidence: dict[str, str]) -> str:
        return {"passed": "promote", "failed": "roll_back"}.get(evidence["verdict"], "hold")

    decide(before.output)  # type: ignore[arg-type]
