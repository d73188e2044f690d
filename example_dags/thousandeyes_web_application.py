"""A web application after a deployment: is the *new* version what browsers get, everywhere, and is it quick enough?

For a release where green pods are not the whole truth (CDN, certificates, a load balancer that still serves the old
version). A *page load* test opens the page in a real browser; the checks want the new version in the response headers
of every agent, and a page that is there in time. One flaky agent is no reason to roll back: a bad round has to be
confirmed by another. The round is also written as a JUnit report, for whoever collects those.

To make it yours: ``test_id``, what ``deploy`` and ``roll_back`` do, and the limits in ``checks``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_web_application",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param("202704", type="string", description="A page load test of the application"),
        "version": Param("1.0.0", type="string", description="What is deployed, and has to be answered"),
        "report": Param(
            "/tmp/thousandeyes.xml", description="Any place that ObjectStoragePath reaches, as s3://…"
        ),
    },
    doc_md=__doc__,
):

    @task
    def deploy(params=None):
        """Stands for what brings the new version out."""
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
        report_path="{{ params.report }}",
    )

    @task
    def promote(params=None):
        """Runs only when the new version is seen, and good."""
        print(f"Promoted version {params['version']}")

    @task(trigger_rule="one_failed")
    def roll_back(params=None):
        """Runs when the round was bad, was not complete in time, or could not be had."""
        print(f"Rolled back version {params['version']}")

    deploy() >> validate >> [promote(), roll_back()]
