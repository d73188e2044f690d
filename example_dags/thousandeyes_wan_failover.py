"""Move traffic to another carrier, and move it back when latency or loss at the branches is too high.

Use it for planned work on a circuit. An *agent-to-server* test measures loss and latency from the branches. Acceptable
latency depends on distance, so each region has its own limit (``where``). One offline branch must not block the change:
four of five agents are enough, two minutes after the fourth has reported. The wait needs no worker (``deferrable``).
With too few branches the run is inconclusive: traffic stays where it is and a person is notified.

To adapt: ``test_id``, the tasks, and the limits of your regions.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator

with DAG(
    "thousandeyes_wan_failover",
    schedule=None,
    tags=["thousandeyes"],
    params={
        "test_id": Param("202701", type="string", description="Agent to server test across the WAN"),
        "carrier": Param("B", type="string", description="Carrier that takes over the traffic"),
    },
    doc_md=__doc__,
):

    @task
    def fail_over(params=None):
        """Replace with the change of the route."""
        print(f"Traffic uses carrier {params['carrier']}")

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
        on_failed="warn",
        on_inconclusive="warn",
        deferrable=True,
    )

    @task.branch
    def decide(evidence):
        """Route on the verdict."""
        return {"passed": "close_change", "failed": "fail_back"}.get(evidence["verdict"], "hold")

    @task
    def close_change(evidence):
        """Runs after a passing run; the evidence lists branches that did not report."""
        missing = [agent["agent_name"] for agent in evidence["agents"]["missing"]]
        print(f"Change closed; missing branches: {'; '.join(missing) or 'none'}")

    @task
    def fail_back():
        """Runs only when the verdict is ``failed``."""
        print("Traffic uses carrier A again")

    @task
    def hold(evidence):
        """Runs when the run was inconclusive, for example with too few branches."""
        print("Change on hold:", evidence["summary"])

    routes = [close_change(validate.output), fail_back(), hold(validate.output)]
    fail_over() >> validate >> decide(validate.output) >> routes
