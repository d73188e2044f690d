"""The cost of a backtest of two weeks: 14 days, 288 rounds per day, 20 agents.

python benchmarks/backtest.py

Prints processor time and memory of the evaluation. Then it reads the same history from the simulator, with the default
limit of 240 requests per minute, and prints requests, time and lowest remaining quota.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import time
from typing import Any

from thousandeyes_provider.validation.backtest import Gate, backtest
from thousandeyes_provider.validation.history import History

DAYS, ROUNDS, AGENTS = 14, 288, 20
GATE: dict[str, Any] = {
    "checks": {
        "http-server": {
            "responseTime": {
                "every": [{"leq_to": 220, "quorum": 0.5}, {"change_leq_to": 0.25, "floor": 5, "quorum": 0.5}],
                "p95": {"leq_to": 250},
            },
            "responseCode": {"less_than": 400},
        }
    },
    "compare_with": {"test_id": "7", "window": "24h"},
    "min_agents": 18,
    "max_agent_errors": 1,
}


def rows(at: int, chance: random.Random) -> list[dict[str, Any]]:
    """Return the rows of a round with the fields that ThousandEyes returns."""
    link = "https://app.thousandeyes.com/view/tests?__a=5&testId=7&roundId={}&agentId={}"
    return [
        {
            "agent": {"agentId": str(agent), "agentName": f"Agent {agent}, Somewhere", "countryId": "DE"},
            "roundId": at,
            "date": "2026-11-25T00:00:00Z",
            "startTime": at,
            "endTime": at + 1,
            "responseTime": chance.lognormvariate(5, 0.2),
            "totalTime": chance.lognormvariate(5.1, 0.2),
            **{f"{name}Time": chance.random() * 20 for name in ("dns", "connect", "ssl", "wait", "receive")},
            "wireSize": 1000,
            "responseCode": 200,
            "numRedirects": 0,
            "errorType": "None",
            "serverIp": "192.0.2.1",
            "healthScore": 0.9,
            "_links": {"appLink": {"href": link.format(at, agent)}},
        }
        for agent in range(1000, 1000 + AGENTS)
    ]


def measure_judging() -> None:
    """Judge a history in memory."""
    history, chance = History("7", "http-server", "Checkout"), random.Random(1)
    for place in range(DAYS * ROUNDS):
        history.add("http-server", rows(1_790_000_400 + 300 * place, chance))
    started = time.process_time()
    outcome = backtest(history, Gate.from_arguments(GATE))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"judging: {time.process_time() - started:.1f} s of processor time, {memory:.0f} MiB; {outcome.summary()}"
    )


def measure_reading() -> None:
    """Read a history of the same size from the simulator."""
    from thousandeyes_provider.cli.history_reader import HistoryReader
    from thousandeyes_provider.hooks.results_reader import ResultsReader
    from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook
    from thousandeyes_provider.simulator import Simulator

    with Simulator(default_tests=False) as simulator:
        names = [simulator.add_agent(f"Agent {agent}").agent_id for agent in range(AGENTS)]
        test_id = simulator.add_test("http-server", agents=names, name="Checkout")
        simulator.add_history(test_id, days=DAYS, interval=86400 // ROUNDS, seed=1)
        os.environ["AIRFLOW_CONN_THOUSANDEYES_DEFAULT"] = json.dumps(simulator.connection())
        hook = ThousandEyesHook()
        plan = ResultsReader(hook, logging.getLogger()).plan(
            test_id, test_type="http-server", result_types=None, expected=None
        )
        lowest = [1.0]

        def progress(done: int, total: int) -> None:
            quota = hook.quota().get("organization")
            if quota and quota.limit and quota.remaining is not None:
                lowest.append(quota.remaining / quota.limit)

        started = time.monotonic()
        history = HistoryReader(hook, plan, progress=progress).read(DAYS)
        print(
            f"reading: {len(history)} rounds with {hook.requests_sent} requests in {time.monotonic() - started:.0f} s, "
            f"{hook.paced_seconds:.0f} s of pacing included; at least {min(lowest):.0%} of the quota remained; "
            f"{hook.throttled_seconds:.0f} s of rate limits"
        )


if __name__ == "__main__":
    measure_judging()
    measure_reading()
