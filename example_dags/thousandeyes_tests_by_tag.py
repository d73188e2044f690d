"""Gate a release on all tests with a tag, with one verdict.

A team tags the tests of its service in ThousandEyes and needs no list of ids in the DAG. Each run selects the tests
that carry the tag at that time. A scheduled test cannot be started on demand, so each mapped task runs its settings
once as an instant test. Only ``gate.verdict`` fails, with a headline that names the failed tests.

To adapt: ``tag``, the limits in ``checks``, and ``promote``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.suite import instant_test_suite

with DAG(
    "thousandeyes_tests_by_tag",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "tag": Param("service:checkout", type="string", description="key:value"),
        "slowest": Param(1000, type="integer", description="Limit of the response time in ms"),
    },
    doc_md=__doc__,
):
    gate = instant_test_suite(
        "gate",
        tags="{{ params.tag }}",
        test_type="http-server",
        checks={"http-server": {"responseTime": {"p95": {"leq_to": "{{ params.slowest }}"}}}},
        min_agents=0.8,
    )

    @task
    def promote():
        """Continue the release."""

    gate >> promote()
