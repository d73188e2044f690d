"""A scheduled test, run once, now, against the new release, and compared with what it saw of the old one all day.

For the tests that a team has anyway: ``from_test`` takes over their agents, headers and timeouts, ``overrides`` says
what is other, here the address of the release before it gets traffic. ``compare_with`` is the history of the scheduled
test itself, so that nobody has to know what "slow" is. The scheduled test stays as it is.

To make it yours: ``test_id``, ``url``, and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator

with DAG(
    "thousandeyes_scheduled_test_now",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param("202703", type="string", description="A scheduled HTTP server test"),
        "url": Param("https://green.example.com/", type="string", description="The new release"),
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
        """Runs only when the new release is as good as the old one."""
        print(f"Users now get {params['url']}")

    validate >> switch_traffic()
