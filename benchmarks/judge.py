"""Time to evaluate a large round, and size of its evidence.

python benchmarks/judge.py [agents] [checks]
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
from thousandeyes_provider.validation.baseline import baseline_from_rows
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import Observed, evidence
from thousandeyes_provider.validation.summary import summary, table
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
RULES: list[tuple[str, dict[str, Any]]] = [
    ("responseCode", {"equal_to": 200}),
    ("responseTime", {"p95": {"leq_to": 800}}),
    ("responseTime", {"every": {"less_than": 950, "quorum": 0.8}}),
    ("responseTime", {"median": {"change_leq_to": 0.2, "floor": 10}}),
    ("headers.responseHeaders", {"contains": "x-app-version: 2.0"}),
    ("certificateDaysLeft", {"min": {"geq_to": 14, "severity": "warn"}}),
    ("totalTime", {"every": {"change_leq_to": 0.3, "where": {"countryId": ["DE", "AT"]}}}),
    ("dnsTime", {"p99": {"leq_to": 50, "where": {"agentName": "Agent 1*"}}}),
    ("sslVersion", {"one_of": ["TLSv1.2", "TLSv1.3"]}),
    ("healthScore", {"mean": {"geq_to": 0.9}}),
]


def row(nth: int, at: int, jitter: random.Random) -> dict[str, Any]:
    """Return a row of an agent: one in a hundred is an error, one in fifty is slow."""
    response = jitter.uniform(100, 400) * (3 if nth % 50 == 0 else 1)
    fields: dict[str, Any] = {
        "agent": {"agentId": str(10**14 + nth), "agentName": f"Agent {nth}, Somewhere", "countryId": "DE"},
        "roundId": at,
        "responseCode": 200,
        "responseTime": round(response, 1),
        "totalTime": str(round(response + 20, 1)),
        "dnsTime": jitter.randint(1, 40),
        "sslVersion": "TLSv1.3",
        "healthScore": 0.97,
        "headers": {
            "responseHeaders": "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-App-Version: 2.0\r\n"
        },
        "sslCertificates": [{"daysUntilExpiry": 60}, {"daysUntilExpiry": 400}],
        "errorType": "None",
    }
    if nth % 100 == 0:
        del fields["responseTime"], fields["responseCode"]
        fields |= {"errorType": "Connect", "errorDetails": "connection refused"}
    return fields


def main(agents: int, count: int) -> None:
    """Measure and print one line per step."""
    jitter = random.Random(1)
    rows = {"http-server": [row(nth, AT, jitter) for nth in range(agents)]}
    history = {
        "http-server": [row(nth, AT - 60 * back, jitter) for back in (1, 2, 3) for nth in range(agents)]
    }
    declared: dict[str, dict[str, list[Any]]] = {}
    for nth in range(count):
        metric, rules = RULES[nth % len(RULES)]
        for aggregate, rule in (
            rules if not set(rules) & {"equal_to", "contains", "one_of"} else {"every": rules}
        ).items():
            declared.setdefault(metric, {}).setdefault(aggregate, []).append(rule)

    spent: list[tuple[str, float]] = []

    def timed(name: str, started: float) -> None:
        spent.append((name, time.perf_counter() - started))

    started = time.perf_counter()
    checks = parse_checks({"http-server": declared})
    timed("parse the checks", started)
    started = time.perf_counter()
    before = baseline_from_rows(history, checks, "three rounds")
    timed("read the history", started)
    started = time.perf_counter()
    judgement = judge(rows, 0.05, checks, before)
    timed("evaluate", started)
    listed = [Agent(row_["agent"]["agentId"], row_["agent"]["agentName"]) for row_ in rows["http-server"]]
    started = time.perf_counter()
    result = evidence(
        Observed(
            test_id="7",
            test_name="Checkout",
            test_type="http-server",
            account_group_id=None,
            verdict=Verdict.PASSED if judgement.passed else Verdict.FAILED,
            started_at=AT,
            finished_at=AT + 60,
            rounds={"http-server": AT},
            run_calls=1,
            requests=9,
            throttled_seconds=0.0,
            expected=ExpectedAgents.of("test", listed),
            reported=listed,
            missing=[],
            judgement=judgement,
            links={},
        )
    )
    timed("evidence", started)
    started = time.perf_counter()
    lines = len(table(result).splitlines())
    summary(result)
    timed("texts", started)
    print(f"{agents} agents, {len(checks.checks)} checks, verdict {result['verdict']}")
    for name, seconds in [*spent, ("all", sum(seconds for _, seconds in spent))]:
        print(f"  {name.ljust(16)} {seconds:.3f} s")
    print(f"  evidence of {len(json.dumps(result).encode())} bytes, table of {lines} lines")


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["2000", "20"][len(sys.argv) - 1 :])))
