"""Check a voice path before phones use it, and open a ticket when calls would sound bad.

Use it in a contact center before the first call of the day, or after a QoS change. A *voice* test sends an RTP stream.
Its mean opinion score (MOS) describes what callers hear: 4 is good, and below 3.6 callers complain.
``on_failed="warn"`` lets the task succeed with a failed verdict, and later tasks read the evidence. An inconclusive
run fails the task, because nothing is known about the path.

To adapt: ``test_id``, a ``schedule``, and ``open_ticket``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_voice_path",
    schedule=None,
    tags=["thousandeyes"],
    params={"test_id": Param("202712", type="string", description="Voice test of the path")},
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
        """Continues only when the verdict is ``failed``."""
        return evidence["verdict"] == "failed"

    @task
    def open_ticket(evidence):
        """Replace with your ticket system. The failed checks name the agents."""
        for check in evidence["checks"]:
            if not check["passed"]:
                agents = [agent["agent_name"] for agent in check["failing_agents"]]
                print(
                    f"{check['metric']} is {check['actual']}: {'; '.join(agents)}, {evidence['links']['round']}"
                )

    sounds_bad(listen.output) >> open_ticket(listen.output)
