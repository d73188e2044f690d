"""Ask a person when a gate is inconclusive (Airflow 3.1 and later).

A good round promotes the release and a bad round rolls it back. When the run could not be judged, because agents are
missing or ThousandEyes did not respond, nobody is woken up by a rollback: the task ``ask`` shows the headline in
Airflow's *Required Actions* and waits for a decision. *Run again* starts a second gate, which has to pass. Without a
decision within two hours the release is held: ``hold`` runs, and nothing else happens. Airflow records who decided.

To adapt it, change ``test_id``, what ``promote``, ``roll_back`` and ``hold`` do, and how long to wait for a decision.
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
        # Text of the API is data: without the filter, an agent's name could add markup to the request.
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
            """Promote a good round, roll back a bad one, and ask about anything else."""
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
        # Nothing loops in a DAG, so that a further run is a task of its own. It has to pass.
        validate_again = RunInstantTestOperator(
            task_id="validate_again", test_id="{{ params.test_id }}", deferrable=True
        )

        @task(trigger_rule="none_failed_min_one_success")
        def promote():
            """Continue the release."""

        @task(trigger_rule="none_failed_min_one_success")
        def roll_back():
            """Bring back the version before. Runs for a bad round, or because a person decided so."""

        @task
        def hold():
            """Leave the release as it is, and notify the team."""

        after_gate, after_person = route(validate.output), [promote(), roll_back()]
        after_gate >> [*after_person, ask]
        ask >> [*after_person, validate_again, hold()]
        validate_again >> after_person[0]


if HITLBranchOperator is not None:
    human_decision()
