"""Check after a deployment that browsers receive the new version everywhere, in time, with a valid certificate.

Use it when a healthy cluster is not enough, because of a CDN, certificates, or a load balancer that still serves the
old version. A *page-load* test opens the page in a browser. The checks require the new version in the response headers
of every agent. A second run must confirm a failure, so one flaky agent does not roll back. The run writes a JUnit
report.

Both policies are ``warn``: ``validate`` succeeds with every verdict, and ``decide`` rolls back only on ``failed``.

To adapt: ``test_id``, the tasks, and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_web_application",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param("202704", type="string", description="Page-load test of the application"),
        "version": Param("1.0.0", type="string", description="Deployed version, expected in the headers"),
        "report": Param(
            "/tmp/thousandeyes.xml",
            description="Path or address for ObjectStoragePath, such as s3://bucket/key.xml",
        ),
    },
    doc_md=__doc__,
):

    @task
    def deploy(params=None):
        """Replace with your deployment."""
        print(f"Deployed version {params['version']}")

    validate = RunInstantTestOperator(
        task_id="validate",
        test_id="{{ params.test_id }}",
        test_type="page-load",
        checks={
            "page-load": {"pageLoadTime": {"p95": {"leq_to": 4000}}},
            "http-server": {
                "responseCode": {"equal_to": 200},
                "headers.responseHeaders": {"contains": "x-app-version: {{ params.version }}"},
                "certificateDaysLeft": {"min": {"geq_to": 14, "severity": "warn"}},
            },
        },
        confirm_failures=1,
        on_failed="warn",
        on_inconclusive="warn",
        report_path="{{ params.report }}",
    )

    @task.branch
    def decide(evidence):
        """Route on the verdict."""
        return {"passed": "promote", "failed": "roll_back"}.get(evidence["verdict"], "hold")

    @task
    def promote(params=None):
        """Runs when every agent receives the new version."""
        print(f"Promoted version {params['version']}")

    @task
    def roll_back(params=None):
        """Runs only when the verdict is ``failed``."""
        print(f"Rolled back version {params['version']}")

    @task
    def hold(evidence):
        """Runs when the run was inconclusive."""
        print("Release on hold:", evidence["summary"])

    deploy() >> validate >> decide(validate.output) >> [promote(), roll_back(), hold(validate.output)]
