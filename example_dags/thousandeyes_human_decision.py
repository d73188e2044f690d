"""Ask a person when a gate is inconclusive (Airflow 3.1 and later).

A passed run promotes the release and a failed run rolls it back. When the run is inconclusive, because agents are
missing or ThousandEyes did not respond, the task ``ask`` shows the headline in Airflow's *Required Actions* and waits
for a decision. *Run again* starts a second gate, which must pass. Without a decision within two hours, ``hold`` runs
and the release stays where it is. Airflow records who decided.

To adapt: ``test_id``, the tasks ``promote``, ``roll_back`` and ``hold``, and ``response_timeout``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowOptionalProviderFeatureException,
    Param,
    task,
)
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.validation.reports import escape_markdown

try:
    from airflow.providers.standard.operators.hitl import HITLBranchOperator
except (ImportError, AirflowOptionalProviderFeatureException):  # before Airflow 3.1
    HITLBranchOperator = None

BODY = """
{% set gate = ti.xcom_pull(task_ids="validate") %}
**{{ gate["summary"] | markdown }}**

{% for agent in gate["agents"]["missing"] %}
* {{ agent["agent_name"] | markdown }} is missing ({{ agent["state"] | default("state unknown", true) | markdown }})
{% endfor %}
"""


def human_decision():
    """Build the DAG."""
    with DAG(
        "thousandeyes_human_decision",
        schedule=None,
        tags=["thousandeyes"],
        params={"test_id": Param("202703", type="string", description="Instant test of the application")},
        # Without the filter, markup in the name of an agent would change the request.
        user_defined_filters={"markdown": escape_markdown},
        doc_md=__doc__,
    ):
        validate = RunInstantTestOperator(
            task_id="validate",
            test_id="{{ params.test_id }}",
            on_failed="warn",
            on_inconclusive="warn",
            deferrable=True,
        )

        @task.branch
        def route(evidence):
            """Promote a passed run, roll back a failed one, and ask about an inconclusive one."""
            return {"passed": "promote", "failed": "roll_back"}.get(evidence["verdict"], "ask")

        ask = HITLBranchOperator(
            task_id="ask",
            subject="The gate is inconclusive: promote the release?",
            body=BODY,
            options=["Promote", "Roll back", "Run again", "Hold"],
            options_mapping={
                "Promote": "promote",
                "Roll back": "roll_back",
                "Run again": "validate_again",
                "Hold": "hold",
            },
            defaults="Hold",
            response_timeout=timedelta(hours=2),
        )
        # A DAG has no loops, so the second run is a separate task. It must pass.
        validate_again = RunInstantTestOperator(
            task_id="validate_again", test_id="{{ params.test_id }}", deferrable=True
        )

        @task(trigger_rule="none_failed_min_one_success")
        def promote():
            """Continue the release."""

        @task(trigger_rule="none_failed_min_one_success")
        def roll_back():
            """Restore the previous version. Runs when the verdict is ``failed`` or a person chose it."""

        @task
        def hold():
            """Leave the release as it is, and notify the team."""

        after_gate, after_person = route(validate.output), [promote(), roll_back()]
        after_gate >> [*after_person, ask]
        ask >> [*after_person, validate_again, hold()]
        validate_again >> after_person[0]


if HITLBranchOperator is not None:
    human_decision()
