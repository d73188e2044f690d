"""A voice path before the phones are used: open a ticket when calls would sound bad, and fail nothing.

For a contact centre that wants to know before the first call of the day, or after a change of QoS. A *voice* test
sends a stream of RTP; its mean opinion score (MOS) is what people hear, with 4 good and below 3.6 a call that they
complain about. ``on_failed="warn"`` lets the task succeed whatever the checks say: what to do about it is up to
the tasks that read the evidence. Missing agents still fail it: nothing is known then.

To make it yours: ``test_id``, a ``schedule``, and what ``open_ticket`` does.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_voice_path",
    schedule=None,
    tags=["thousandeyes"],
    params={"test_id": Param("202712", type="string", description="A voice test of the path")},
    doc_md=__doc__,
):
    listen = RunInstantTestOperator(
        task_id="listen",
        test_id="{{ params.test_id }}",
        test_type="voice",
        checks={
            "rtp-server": {
                "mos": {"min": {"geq_to": 3.6}, "median": {"geq_to": 4}},
                "loss": {"every": {"leq_to": 1, "quorum": 0.8}},
                "pdv": {"p95": {"leq_to": 30}},
                "dscpName": {"contains": "EF"},
            }
        },
        on_failed="warn",
    )

    @task.short_circuit
    def sounds_bad(evidence):
        """Goes on only when a check failed."""
        return evidence["verdict"] == "failed"

    @task
    def open_ticket(evidence):
        """Stands for the ticket; the rows of the failed checks name the agents."""
        for check in evidence["checks"]:
            if not check["passed"]:
                agents = [agent["agent_name"] for agent in check["failing_agents"]]
                print(
                    f"{check['metric']} is {check['actual']}: {', '.join(agents)}, {evidence['links']['round']}"
                )

    sounds_bad(listen.output) >> open_ticket(listen.output)
