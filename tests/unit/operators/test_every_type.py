"""Each test type and a combined example: verdicts and agents of good, bad and incomplete rounds."""

from __future__ import annotations

import pytest

from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.exceptions import InstantTestFailed, InstantTestIncomplete
from thousandeyes_provider.simulator import Simulator

FRANKFURT, ASHBURN, SINGAPORE = "Frankfurt, Germany", "Ashburn, VA", "Singapore"
AGENTS = [FRANKFURT, ASHBURN, SINGAPORE]

JUDGED = {
    "agent-to-server": ("network", "avgLatency", {"leq_to": 100}, 20, 140),
    "agent-to-agent": ("network", "loss", {"leq_to": 1}, 0, 7.5),
    "http-server": ("http-server", "responseTime", {"less_than": 800}, 200, 900),
    "page-load": ("page-load", "pageLoadTime", {"leq_to": 4000}, 900, 4500),
    "web-transactions": ("web-transactions", "transactionTime", {"leq_to": 6000}, 2000, 9000),
    "api": ("api", "apiTransactionTime", {"leq_to": 1000}, 200, 1200),
    "ftp-server": ("ftp-server", "responseCode", {"equal_to": 226}, 226, 230),
    "dns-server": ("dns-server", "mappings", {"contains": "192.0.2.10"}, "192.0.2.10", "203.0.113.7"),
    "dns-trace": ("dns-trace", "finalQueryTime", {"leq_to": 100}, 30, 400),
    "dnssec": ("dnssec", "isValid", {"equal_to": True}, True, False),
    "sip-server": ("sip-server", "responseCode", {"one_of": [200, 202]}, 200, 408),
    "voice": ("rtp-server", "mos", {"geq_to": 3.6}, 4.2, 2.9),
}
"""Test type to result type, metric, comparison, a passing value and a failing value."""


@pytest.fixture
def simulator():
    with Simulator(tokens=["token"], speed=40, default_tests=False, organization_limit=100_000) as running:
        yield running


@pytest.fixture
def judge(simulator, worker_alone):
    """A function that runs a test of a type with checks of a severity and returns the evidence."""

    def run(test_type, severity="error", metrics=None, expected=None, **more):
        result_type, metric, comparison, good, _ = JUDGED[test_type]
        behavior = {key: more.pop(key) for key in ("silent",) if key in more}
        test_id = simulator.add_test(
            test_type, agents=AGENTS, metrics={metric: good, **(metrics or {})}, **behavior
        )
        checks = {result_type: {metric: comparison | {"severity": severity}}}
        arguments = {"test_type": test_type, "checks": checks, "poll_interval": 0.1, **more}
        if expected is None:
            return worker_alone.rerun(test_id, **arguments)
        with pytest.raises(expected) as failure:
            worker_alone.rerun(test_id, **arguments)
        return worker_alone.evidence | {"text": str(failure.value)}

    return run


def one_bad(test_type):
    _, metric, _, _, bad = JUDGED[test_type]
    return {SINGAPORE: {metric: bad}}


def named(agents):
    return [agent["agent_name"] for agent in agents]


@pytest.mark.parametrize("test_type", TEST_TYPES)
class TestEachType:
    def test_a_good_round_passes(self, judge, test_type):
        evidence = judge(test_type)
        assert (evidence["verdict"], evidence["test_type"]) == ("passed", test_type)
        (row,) = evidence["checks"]
        assert (row["result_type"], row["metric"]) == JUDGED[test_type][:2]
        assert (row["passed"], row["actual"], row["agents"]) == (True, 3, 3)
        assert sorted(named(evidence["agents"]["reported"])) == sorted(AGENTS)

    def test_a_bad_round_fails_and_names_the_failing_agent(self, judge, test_type):
        # An invalid dnssec row is an error as well. Errors are allowed here, so that the check decides.
        evidence = judge(
            test_type, metrics=one_bad(test_type), expected=InstantTestFailed, max_agent_errors=1
        )
        (row,) = evidence["checks"]
        assert (evidence["verdict"], row["passed"], row["actual"]) == ("failed", False, 2)
        assert named(row["failing_agents"]) == [SINGAPORE]
        assert evidence["text"].startswith(f"FAILED: {SINGAPORE}: {row['metric']} ")
        assert "2 of 3 agents ok, 1 of 1 checks failed" in evidence["text"]

    def test_a_warning_passes_and_names_the_failing_agent(self, judge, test_type):
        evidence = judge(test_type, "warn", metrics=one_bad(test_type), max_agent_errors=1)
        (row,) = evidence["checks"]
        assert (evidence["verdict"], row["passed"], row["severity"]) == ("passed", False, "warn")
        assert named(row["failing_agents"]) == [SINGAPORE]

    def test_an_incomplete_round_names_the_missing_agents(self, judge, test_type):
        evidence = judge(test_type, silent=[ASHBURN], expected=InstantTestIncomplete, timeout=2)
        assert evidence["verdict"] == "incomplete"
        assert named(evidence["agents"]["missing"]) == [ASHBURN]
        assert sorted(named(evidence["agents"]["reported"])) == sorted([FRANKFURT, SINGAPORE])
        assert f"{ASHBURN}: missing" in evidence["text"]

    def test_an_incomplete_round_is_judged_with_min_agents(self, judge, test_type):
        evidence = judge(
            test_type,
            metrics=one_bad(test_type),
            silent=[ASHBURN],
            expected=InstantTestFailed,
            min_agents=2,
            grace=0,
            max_agent_errors=1,
        )
        (row,) = evidence["checks"]
        assert (row["actual"], row["agents"], named(row["failing_agents"])) == (1, 2, [SINGAPORE])
        assert named(evidence["agents"]["missing"]) == [ASHBURN]


class TestCombinedExample:
    CHECKS = {
        "http-server": {
            "responseCode": {"equal_to": 200},
            "responseTime": {"p95": {"leq_to": 800}, "every": {"less_than": 2000, "quorum": 0.8}},
            "headers.responseHeaders": {"contains": "x-app-version: 1.0"},
            "certificateDaysLeft": {"min": {"geq_to": 14, "severity": "warn"}},
        },
        "network": {
            "loss": {"mean": [{"leq_to": 1, "severity": "warn"}, {"leq_to": 5}]},
            "avgLatency": {
                "p95": {"leq_to": 40, "where": {"countryId": ["DE", "AT"]}},
                "median": {"change_leq_to": 0.2, "floor": 10},
            },
        },
    }
    GOOD = {"responseTime": 300, "avgLatency": 30, "loss": 0}

    @pytest.fixture
    def run(self, simulator, worker_alone):
        def run(**now):
            expected = now.pop("expected", None)
            silent = now.pop("silent", [])
            test_id = simulator.add_test(
                "http-server",
                history=[{"ago": 300, "metrics": self.GOOD, "silent": []}],
                metrics={**self.GOOD, **now},
                silent=silent,
            )
            arguments = {
                "checks": self.CHECKS,
                "compare_with": {"test_id": test_id, "window": "24h"},
                "poll_interval": 0.1,
                "timeout": 1 if silent else 6,
            }
            if expected is None:
                return worker_alone.rerun(test_id, **arguments)
            with pytest.raises(expected):
                worker_alone.rerun(test_id, **arguments)
            return worker_alone.evidence

        return run

    def broken(self, evidence):
        return {
            (row["metric"], row["aggregate"], row["severity"]): named(row["failing_agents"])
            for row in evidence["checks"]
            if not row["passed"]
        }

    def test_a_good_round_passes_every_check(self, run):
        evidence = run()
        assert (evidence["verdict"], len(evidence["checks"]), self.broken(evidence)) == ("passed", 9, {})

    def test_one_slow_agent_of_five_fails_the_percentile_but_not_the_quorum(self, run):
        evidence = run(**{SINGAPORE: {"responseTime": 2500}}, expected=InstantTestFailed)
        assert self.broken(evidence) == {("responseTime", "p95", "error"): [SINGAPORE]}

    def test_where_limits_the_latency_check_to_two_countries(self, run):
        evidence = run(**{FRANKFURT: {"avgLatency": 60}}, expected=InstantTestFailed)
        assert self.broken(evidence) == {("avgLatency", "p95", "error"): [FRANKFURT]}
        assert run(**{SINGAPORE: {"avgLatency": 60}})["verdict"] == "passed"

    def test_a_slowdown_by_more_than_a_fifth_fails_above_the_floor(self, run):
        evidence = run(avgLatency=39.9)
        assert evidence["verdict"] == "passed", "less than the floor"
        evidence = run(avgLatency=45, expected=InstantTestFailed)
        assert ("avgLatency", "median", "error") in self.broken(evidence)

    def test_a_little_loss_is_a_warning_and_more_is_a_failure(self, run):
        evidence = run(loss=2)
        assert (evidence["verdict"], list(self.broken(evidence))) == ("passed", [("loss", "mean", "warn")])
        evidence = run(loss=8, expected=InstantTestFailed)
        assert {severity for _, _, severity in self.broken(evidence)} == {"warn", "error"}

    def test_a_missing_agent_is_incomplete(self, run):
        evidence = run(silent=[SINGAPORE], expected=InstantTestIncomplete)
        assert named(evidence["agents"]["missing"]) == [SINGAPORE]
