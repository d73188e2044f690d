"""A WAN failover: move the traffic to the other carrier, and go back unless the branches are served well by it.

For planned work on a circuit. An *agent to server* test measures loss and latency from the branches. Distance decides
what a good latency is, so each region has its own limit (``where``). A branch that is itself offline must not hold up
the night: four of five agents are enough, two minutes after the fourth has reported. The wait takes no worker
(``deferrable``).

To make it yours: ``test_id``, what the tasks do, and the limits of your regions.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_wan_failover",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param("202701", type="string", description="An agent to server test across the WAN"),
        "carrier": Param("B", type="string", description="Where the traffic goes"),
    },
    doc_md=__doc__,
):

    @task
    def fail_over(params=None):
        """Stands for the change of the route."""
        print(f"Traffic goes through carrier {params['carrier']}")

    validate = RunInstantTestOperator(
        task_id="validate",
        test_id="{{ params.test_id }}",
        checks={
            "network": {
                "loss": {"mean": [{"leq_to": 0.5, "severity": "warn"}, {"leq_to": 2}]},
                "avgLatency": [
                    {"leq_to": 80, "where": {"countryId": ["AT", "CH", "DE"]}},
                    {"leq_to": 250, "where": {"countryId": ["SG", "US"]}},
                ],
                "jitter": {"p95": {"leq_to": 10}},
            }
        },
        min_agents=0.8,
        grace=120,
        deferrable=True,
    )

    @task
    def close_change(evidence):
        """Runs only when the other carrier serves well; the evidence knows who did not report."""
        absent = [agent["agent_name"] for agent in evidence["agents"]["missing"]]
        print(f"Done; not heard of: {', '.join(absent) or 'nobody'}")

    @task(trigger_rule="one_failed")
    def fail_back():
        """Runs when it does not, or when too few branches reported."""
        print("Traffic goes through carrier A again")

    fail_over() >> validate >> [close_change(validate.output), fail_back()]
