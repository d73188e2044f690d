"""Run the settings of a scheduled test once against a new release, and compare with the history of that test.

``from_test`` copies agents, headers and timeouts of an existing test. ``overrides`` changes the address to the release
before it receives traffic. ``compare_with`` uses the last 24 hours of the scheduled test as the baseline, so no
fixed limit is needed. The scheduled test itself does not change. Traffic is switched only after a passing run.

To adapt: ``test_id``, ``url``, and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator

with DAG(
    "thousandeyes_scheduled_test_now",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param("202703", type="string", description="Scheduled HTTP server test"),
        "url": Param("https://green.example.com/", type="string", description="Address of the new release"),
    },
    doc_md=__doc__,
):
    validate = CreateInstantTestOperator(
        task_id="validate",
        from_test="{{ params.test_id }}",
        test_type="http-server",
        overrides={"url": "{{ params.url }}"},
        checks={
            "http-server": {
                "responseCode": {"equal_to": 200},
                "responseTime": {"median": {"change_leq_to": 0.25, "floor": 20}},
            }
        },
        compare_with={"test_id": "{{ params.test_id }}", "window": "24h"},
    )

    @task
    def switch_traffic(params=None):
        """Runs after a passing run."""
        print(f"Users are routed to {params['url']}")

    validate >> switch_traffic()
