"""The processor time of judging a large round, and the sizes of its evidence and its run handle.

``python benchmarks/large_rounds.py [agents]`` prints a profile.
"""

from __future__ import annotations

import cProfile
import gc
import json
import pstats
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from world import Row, median, ratio

from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.validation.baseline import baseline_from_rows
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import Observed, evidence
from thousandeyes_provider.validation.verdict import Judgement, Verdict, judge

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
    """Return a row of an agent. 1 of 100 rows is an error, 1 of 50 is slow."""
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


def declared_checks(count: int) -> dict[str, Any]:
    """Return a declaration of that many checks of http-server results."""
    declared: dict[str, dict[str, list[Any]]] = {}
    for nth in range(count):
        metric, rules = RULES[nth % len(RULES)]
        for aggregate, rule in (
            rules if not set(rules) & {"equal_to", "contains", "one_of"} else {"every": rules}
        ).items():
            declared.setdefault(metric, {}).setdefault(aggregate, []).append(rule)
    return {"http-server": declared}


class Round:
    """A round of http-server results, with a history of three rounds.

    :param agents: number of agents of each round.
    """

    def __init__(self, agents: int) -> None:
        jitter = random.Random(1)
        self.rows = [row(nth, AT, jitter) for nth in range(agents)]
        self.history = [row(nth, AT - 60 * back, jitter) for back in (1, 2, 3) for nth in range(agents)]
        self.agents = [Agent(row_["agent"]["agentId"], row_["agent"]["agentName"]) for row_ in self.rows]

    def judged(self, count: int) -> Judgement:
        """Read the history and judge the round by that many checks."""
        checks = parse_checks(declared_checks(count))
        baseline = baseline_from_rows({"http-server": self.history}, checks, "three rounds")
        return judge({"http-server": self.rows}, 0.05, checks, baseline)

    def evidence(self, judgement: Judgement) -> dict[str, Any]:
        """Build the evidence of the judged round."""
        return evidence(
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
                expected=ExpectedAgents.of("test", self.agents),
                reported=self.agents,
                missing=[],
                judgement=judgement,
                links={},
            )
        )

    def handle(self) -> dict[str, Any]:
        """Return the handle of the run that produced the round."""
        plan = Plan(
            test_id="7",
            test_type="http-server",
            account_group_id=None,
            directions={"http-server": (None,)},
            rows_per_agent={"http-server": 1},
            expected=ExpectedAgents.of("test", self.agents),
            remembered={"http-server": AT - 60},
        )
        return RunHandle(plan, AT, AT, AT + 600, 1).to_json()


def spent(work: Callable[[], Any], repeats: int) -> float:
    """Return the processor milliseconds of ``work``: the median, with garbage of earlier work collected."""
    took = []
    for _ in range(repeats):
        gc.collect()
        began = time.process_time()
        work()
        took.append((time.process_time() - began) * 1000)
    return median(took)


def size(value: Any) -> float:
    """Return the KiB of a value as JSON."""
    return len(json.dumps(value).encode()) / 1024


def large_rounds(repeats: int = 7) -> list[Row]:
    """Measure processor time and sizes for rounds of 1,000 and 10,000 agents.

    Judging reads a history of three rounds and evaluates 20 checks, four of which compare with the history. The
    yardstick beside each time is ``json.loads`` of the same rows, which every client needs. Sizes are those of the JSON
    in Airflow's database.
    """
    rows = []
    for agents, evidence_limit in ((1_000, 30), (10_000, 300)):
        measured = Round(agents)
        response, history = json.dumps(measured.rows), json.dumps(measured.history)
        reading = spent(lambda text=response: json.loads(text), repeats)
        reading_all = reading + spent(lambda text=history: json.loads(text), repeats)
        judgement = measured.judged(20)
        judging = spent(lambda measured=measured: measured.judged(20), repeats)
        building = spent(lambda measured=measured, judgement=judgement: measured.evidence(judgement), repeats)
        many = f"{agents:,} agents"
        rows += [
            Row(
                f"{many}: judging, 20 checks with history (ms)",
                f"{judging:.0f}",
                f"{reading_all:.0f} json.loads of the rows",
                ratio(judging, reading_all),
                "<= 300 ms" if agents == 10_000 else "",
                judging <= 300 if agents == 10_000 else None,
            ),
            Row(
                f"{many}: evidence (ms)",
                f"{building:.0f}",
                f"{reading:.0f} json.loads of the rows",
                ratio(building, reading),
                f"<= {evidence_limit} ms",
                building <= evidence_limit,
            ),
        ]
        for what, kib in (
            ("evidence", size(measured.evidence(judgement))),
            ("run handle", size(measured.handle())),
        ):
            rows.append(Row(f"{many}: {what} (KiB)", f"{kib:.1f}", target="<= 48 KiB", met=kib <= 48))
    return rows


def main(agents: int) -> None:
    """Print a profile of judging."""
    measured = Round(agents)
    profile = cProfile.Profile()
    profile.runcall(lambda: measured.evidence(measured.judged(20)))
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
