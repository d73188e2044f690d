"""Evidence for the report pages: good, bad, inconclusive, shortened, hostile, and suites of any size.

The format is that of the provider. All values are deterministic, so that a page always looks the same.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from thousandeyes_provider.validation.summary import headline

CITIES = (
    ("Singapore", "SG"),
    ("London, England", "GB"),
    ("Frankfurt, Germany", "DE"),
    ("Ashburn, VA", "US"),
    ("San Jose, CA (Trial)", "US"),
    ("São Paulo, Brazil", "BR"),
    ("Mumbai, India", "IN"),
    ("Tokyo, Japan", "JP"),
    ("Sydney, Australia", "AU"),
    ("Johannesburg, South Africa", "ZA"),
    ("Toronto, Canada", "CA"),
    ("Paris, France", "FR"),
    ("Stockholm, Sweden", "SE"),
    ("Dubai, UAE", "AE"),
)
START = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)

METRICS = {"http-server": ("responseTime", "availability"), "api": ("apiTransactionTime", "completion")}
"""Test type (and result type) to its time metric and its success metric."""

FAILURES: dict[str, dict[str, Any]] = {
    "http-server": {"errors": ["http-server: Connect: Connection refused"]},
    "api": {
        "errors": ["api: Assertion: Step 2: assertion failed"],
        "step": {
            "kind": "request",
            "name": "Log in",
            "message": "assertion failed: status-code is 200",
            "number": 2,
            "url": "https://api.example.com/v2/login",
        },
    },
}
"""Test type to the report of an agent with a failed measurement."""

HOSTILE_NAME = '<img src=x onerror="window.hacked=1">'
HOSTILE_LINK = "javascript:window.hacked=1"


def agents(count: int) -> list[dict[str, str]]:
    """Return agents around the world."""
    return [
        {
            "agent_id": str(1000 + index),
            "agent_name": CITIES[index % len(CITIES)][0]
            + (f" {index // len(CITIES) + 1}" if index >= len(CITIES) else ""),
            "country": CITIES[index % len(CITIES)][1],
        }
        for index in range(count)
    ]


def response_time(agent: int, run: int = 0, slower: float = 1.0) -> int:
    """Return the response time of an agent in a run, in milliseconds."""
    base = 140 + 61 * ((agent * 7) % 11)
    return round(base * slower * (1 + 0.07 * math.sin(agent * 3 + run * 1.7)))


def run_evidence(
    *,
    count: int = 12,
    failed: int = 0,
    missing: int = 0,
    slower: float = 1.0,
    run: int = 0,
    limit: int = 800,
    at: datetime = START,
    test_id: str = "202703",
    test_name: str = "Checkout",
    baseline: bool = True,
    test_type: str = "http-server",
) -> dict[str, Any]:
    """Return the evidence of a run.

    :param failed: number of agents with a failed measurement, from the first agent on.
    :param missing: number of agents without a report, from the last agent on.
    :param slower: factor of all response times.
    """
    everybody = agents(count)
    gone = everybody[count - missing :]
    there = everybody[: count - missing]
    measured = there[failed:]
    values = {agent["agent_id"]: response_time(everybody.index(agent), run, slower) for agent in measured}
    over = sorted(
        ((value, agent) for agent in measured if (value := values[agent["agent_id"]]) > limit),
        key=lambda pair: -pair[0],
    )
    middle = sorted(values.values())[len(values) // 2] if values else None
    before = {key: response_time(int(key) - 1000, run + 1) for key in values}
    before_middle = sorted(before.values())[len(before) // 2] if before else None
    metric, success = METRICS[test_type]
    failed_agents = [{**agent, **FAILURES[test_type]} for agent in there[:failed]]
    checks = [
        {
            "result_type": test_type,
            "metric": metric,
            "aggregate": "every",
            "comparison": {"leq_to": limit},
            "passed": not over,
            "severity": "error",
            "actual": len(measured) - len(over),
            "agents": len(measured),
            "needed": len(measured),
            "failing_count": len(over),
            "failing_agents": [{**agent, "actual": value} for value, agent in over[:10]],
            "without_metric_count": failed,
            "without_metric": [
                {"agent_id": agent["agent_id"], "agent_name": agent["agent_name"]} for agent in there[:failed]
            ],
        },
        {
            "result_type": test_type,
            "metric": metric,
            "aggregate": "median",
            "comparison": {"change_leq_to": 0.25},
            "passed": middle is not None and middle <= (before_middle or 0) * 1.25,
            "severity": "warn",
            "actual": middle,
            "agents": len(measured),
            "before": before_middle,
            "delta": (middle or 0) - (before_middle or 0),
            "change": ((middle or 0) - (before_middle or 0)) / (before_middle or 1),
            "failing_count": 0,
            "failing_agents": [],
            "without_metric_count": 0,
            "without_metric": [],
        },
        {
            "result_type": test_type,
            "metric": success,
            "aggregate": "mean",
            "comparison": {"geq_to": 99},
            "passed": failed == 0,
            "severity": "error",
            "actual": round(100 * len(measured) / max(len(there), 1), 2),
            "agents": len(there),
            "failing_count": failed,
            "failing_agents": [{**agent, "actual": 0} for agent in there[:failed]][:10],
            "without_metric_count": 0,
            "without_metric": [],
        },
    ]
    bad = bool(failed or over)
    verdict = "incomplete" if missing else "failed" if bad else "passed"
    finished = at + timedelta(seconds=620 if missing else 74)
    evidence = {
        "verdict": verdict,
        "summary": "",
        "test_id": test_id,
        "test_name": test_name,
        "test_type": test_type,
        "account_group_id": "1234",
        "failed_agents": failed_agents,
        "checks": checks,
        "agents": {
            "expected": [{key: agent[key] for key in ("agent_id", "agent_name")} for agent in everybody],
            "expected_count": count,
            "expected_source": "test",
            "ok_count": len(measured) - len(over),
            "reported": [
                {**agent, "arrived_after": round(9 + 41 * ((index * 5) % 13) / 13 + index * 0.4, 1)}
                for index, agent in enumerate(there)
            ],
            "missing": [
                {**agent, "state": "offline", "missing_rows": f"{test_type} 0 of 1"} for agent in gone
            ],
            "allowed_errors": 0,
        },
        "sent_at": _iso(at),
        "started_at": _iso(at + timedelta(seconds=1)),
        "finished_at": _iso(finished),
        "rounds": {test_type: int(at.timestamp())},
        "run_calls": 1,
        "requests": 11,
        "throttled_seconds": 4.2 if bad else 0.0,
        "paced_seconds": 0.0,
        "metrics": {
            test_type: {
                metric: {
                    "min": min(values.values()),
                    "mean": round(sum(values.values()) / len(values), 3),
                    "max": max(values.values()),
                }
            }
        }
        if values
        else {},
        "samples": {
            **{
                key: {f"{test_type}.{metric}": value, f"{test_type}.{success}": 100}
                for key, value in values.items()
            },
            **{agent["agent_id"]: {f"{test_type}.{success}": 0} for agent in there[:failed]},
        },
        "baseline": {
            "source": f"the run of test {test_id} at 2026-11-24T18:00:00Z",
            "samples": {key: {f"{test_type}.{metric}": value} for key, value in before.items()},
        }
        if baseline
        else None,
        "links": {
            "round": f"https://app.thousandeyes.com/view/tests?testId={test_id}&roundId={int(at.timestamp())}",
            "test": f"https://app.thousandeyes.com/view/tests?testId={test_id}",
        },
    }
    evidence["summary"] = headline(evidence)
    return evidence


def cut_evidence() -> dict[str, Any]:
    """Return evidence that was shortened to the maximum size."""
    evidence = run_evidence(count=30, failed=4)
    evidence["agents"]["expected"] = []
    evidence["samples"] = dict(list(evidence["samples"].items())[:12])
    evidence["cut"] = {"agents.expected": 480, "samples": 488}
    return evidence


def hostile_evidence() -> dict[str, Any]:
    """Return evidence with markup and scripts in every text from ThousandEyes."""
    evidence = run_evidence(failed=2, test_name=f"{HOSTILE_NAME}</script><script>window.hacked=1</script>")
    evidence["failed_agents"][0]["agent_name"] = HOSTILE_NAME
    evidence["failed_agents"][0]["errors"] = ["<script>window.hacked=1</script>", "</script><!--"]
    evidence["failed_agents"][0]["step"] = {
        "kind": "page",
        "name": HOSTILE_NAME,
        "message": HOSTILE_NAME,
        "url": HOSTILE_LINK,
        "console": [HOSTILE_NAME],
    }
    evidence["agents"]["reported"][0]["agent_name"] = HOSTILE_NAME
    evidence["agents"]["reported"][1]["country"] = "__proto__"
    evidence["checks"][0]["metric"] = "constructor"
    evidence["summary"] = f"FAILED: {HOSTILE_NAME}"
    evidence["links"] = {
        "round": HOSTILE_LINK,
        "test": "data:text/html,<script>window.hacked=1</script>",
        HOSTILE_NAME: "https://app.thousandeyes.com/view/tests?testId=1",
    }
    return evidence


def suite_evidence(evidences: list[dict[str, Any]], task_id: str = "run_test") -> dict[str, Any]:
    """Return the evidence of a suite of these runs, as the provider computes it. Every tenth test is not blocking."""
    from thousandeyes_provider.validation.suite_evidence import SuiteRules, suite_evidence

    runs = [evidence | {"task_id": task_id, "map_index": index} for index, evidence in enumerate(evidences)]
    optional = tuple(evidence["test_id"] for evidence in evidences[9::10])
    finished = max(datetime.fromisoformat(evidence["finished_at"]) for evidence in evidences)
    return suite_evidence(runs, SuiteRules(non_blocking=optional), judged_at=finished.timestamp())


def suite_runs(count: int, agents_each: int = 8) -> list[dict[str, Any]]:
    """Return runs for a suite. Most are good; some are slow, refuse connections or lack agents."""
    services = (
        "Checkout",
        "Search",
        "Login",
        "Catalog API",
        "Payments API",
        "Static assets",
        "Account",
        "Orders",
    )
    return [
        run_evidence(
            count=agents_each,
            failed=2 if index % 23 == 3 else 0,
            missing=1 if index % 31 == 7 else 0,
            slower=1.35 if index % 17 == 5 else 0.9,
            run=index,
            test_id=str(300000 + index),
            test_name=f"{services[index % len(services)]} {index // len(services) + 1:02d}",
            baseline=False,
        )
        for index in range(count)
    ]


def trend(runs: int) -> list[dict[str, Any]]:
    """Return runs of a test over days. It is slower from the middle on, fails at the end, and is incomplete once."""
    return [
        run_evidence(
            count=10,
            run=index,
            slower=1.0 + max(0, index - runs // 2) * 0.04,
            missing=1 if index == runs // 3 else 0,
            at=START - timedelta(hours=8 * (runs - 1 - index)),
        )
        for index in range(runs)
    ]


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
