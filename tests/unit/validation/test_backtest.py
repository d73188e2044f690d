"""The verdict of a backtest on each round is that of the operator."""

from __future__ import annotations

import random

import pytest

from thousandeyes_provider.validation.backtest import (
    Gate,
    Incident,
    RollingBaseline,
    backtest,
    incidents_from,
    judge_rounds,
)
from thousandeyes_provider.validation.baseline import baseline_from_rows
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.history import History
from thousandeyes_provider.validation.verdict import Verdict

START = 1_790_000_400
LINK = "https://app.thousandeyes.com/view/tests?testId=7&roundId={}&agentId={}"
LIMIT = {"checks": {"http-server": {"responseTime": {"leq_to": 200}}}}


def row(place, agent="1", **values):
    at = START + 300 * place
    return {
        "agent": {"agentId": agent, "agentName": f"Agent {agent}", "countryId": "DE"},
        "roundId": at,
        "responseTime": 100.0,
        "numRedirects": 0,
        "errorType": "None",
        "_links": {"appLink": {"href": LINK.format(at, agent)}},
        **values,
    }


def history(rounds=20, agents=("1", "2", "3"), **changes):
    """Return rounds of three agents. ``changes`` maps ``r<round>a<agent>`` to values, or to None for a silent agent."""
    built = History("7", "http-server", "Checkout")
    for place in range(rounds):
        rows = [
            row(place, agent, **(changes.get(f"r{place}a{agent}") or {}))
            for agent in agents
            if changes.get(f"r{place}a{agent}", {}) is not None
        ]
        built.add("http-server", rows)
    return built


def judged(built, **arguments):
    return backtest(built, Gate.from_arguments(arguments))


class TestVerdicts:
    def test_good_rounds_pass(self):
        outcome = judged(history(), **LIMIT)
        assert outcome.summary() == "would have failed 0 of 20 rounds; 0 inconclusive"

    def test_a_failed_round_names_check_agent_values_and_the_link_of_the_worst_agent(self):
        outcome = judged(history(r5a2={"responseTime": 450}), **LIMIT)
        (failed,) = outcome.failed
        assert failed.checks == ("http-server responseTime every <= 200 ms",)
        assert failed.agents == ("Agent 2",)
        assert "Agent 2" in failed.reason
        assert "450 ms" in failed.reason
        assert failed.link == LINK.format(START + 1500, 2)

    def test_errors_count_against_max_agent_errors(self):
        error = {"errorType": "Connect", "errorDetails": "connection refused", "responseTime": None}
        built = history(r5a2=error)
        assert judged(built, max_agent_errors=1).failed == []
        (failed,) = judged(built).failed
        assert failed.checks == ("max_agent_errors",)
        assert "connection refused" in failed.reason

    def test_the_next_rounds_must_confirm_a_failure_by_the_same_check(self):
        slow, error = {"responseTime": 450}, {"errorType": "Connect", "responseTime": None}
        built = history(
            r3a2=slow,  # the next round is good
            r7a2=slow,
            r8a2=slow,
            r9a1=error,  # confirms as well: too many errors
            r12a2=slow,
            r13a1=None,  # not judged
            r16a2=slow,
            r17a2={"numRedirects": 5},  # fails, but by another check
        )
        checks = {"http-server": {"responseTime": {"leq_to": 200}, "numRedirects": {"every": {"leq_to": 1}}}}
        outcome = judged(built, checks=checks, confirm_failures=1)
        assert [(failed.round_id - START) // 300 for failed in outcome.failed] == [7, 8]
        assert [(judged.round_id - START) // 300 for judged in outcome.inconclusive] == [12, 13]
        assert outcome.summary() == (
            "would have failed 2 of 20 rounds (1 in 10) in 1 episode; 2 inconclusive; 4 failures not confirmed"
        )
        assert outcome.to_json()["unconfirmed"] == 4

    def test_one_check_must_fail_in_every_repetition(self):
        built = history(
            r5a2={"responseTime": 450, "numRedirects": 5},
            r6a2={"responseTime": 450},
            r7a2={"numRedirects": 5},
        )
        checks = {"http-server": {"responseTime": {"leq_to": 200}, "numRedirects": {"every": {"leq_to": 1}}}}
        assert judged(built, checks=checks, confirm_failures=2).failed == []
        assert len(judged(built, checks=checks, confirm_failures=1).failed) == 1

    def test_repetitions_are_compared_with_the_baseline_of_the_failed_round(self):
        slow = {f"r{place}a{agent}": {"responseTime": 150} for place in range(15, 20) for agent in "123"}
        check = {"checks": {"http-server": {"responseTime": {"change_leq_to": 0.3}}}}
        compare = {"compare_with": {"test_id": "7", "window": "15m"}}
        failed = judged(history(**slow), **check, **compare, confirm_failures=3).failed
        # With a baseline of three rounds, the third slow round would pass on its own.
        assert [(judged.round_id - START) // 300 for judged in failed] == [15, 16]

    @pytest.mark.parametrize("value", ["twice", 9, -1])
    def test_confirm_failures_is_a_small_whole_number(self, value):
        with pytest.raises(ValueError, match=r"confirm_failures=.*: expected a whole number from 0 to 5"):
            Gate.from_arguments({"confirm_failures": value})

    def test_a_silent_agent_makes_a_round_inconclusive_unless_the_others_are_enough(self):
        built = history(r5a2=None)
        (incomplete,) = judged(built, **LIMIT).inconclusive
        assert (incomplete.verdict, incomplete.agents) == (Verdict.INCOMPLETE, ("Agent 2",))
        assert incomplete.reason == "2 of 3 agents reported, 3 needed; missing: Agent 2"
        assert judged(built, **LIMIT, min_agents=2).inconclusive == []
        assert judged(built, **LIMIT, min_agents=0.6).inconclusive == []

    @pytest.mark.parametrize(
        ("expected", "verdict"),
        [(2, "passed"), (3, "incomplete"), (["agent 1", "3"], "passed"), (["Agent 2", "3"], "incomplete")],
    )
    def test_expected_agents_replace_those_of_the_history(self, expected, verdict):
        built = history(4, r2a2=None)
        outcome = judged(built, **LIMIT, expected_agents=expected)
        assert outcome.judged[2].verdict.value == verdict

    def test_a_round_without_rows_of_a_required_type_has_no_results(self):
        built = History("7", "page-load")
        built.add("http-server", [row(0)])
        (none,) = judged(built, checks={"page-load": {"pageLoadTime": {"leq_to": 3000}}}).inconclusive
        assert none.verdict is Verdict.NO_RESULTS

    def test_a_warning_is_counted_but_never_fails(self):
        checks = {"http-server": {"responseTime": {"leq_to": 200, "severity": "warn"}}}
        outcome = judged(history(r5a2={"responseTime": 450}), checks=checks)
        assert outcome.failed == []
        assert outcome.to_json()["warned"] == {"http-server responseTime every <= 200 ms": 1}

    def test_failures_are_counted_by_check_and_by_agent(self):
        built = history(r5a2={"responseTime": 450}, r6a2={"responseTime": 450}, r9a1={"responseTime": 300})
        outcome = judged(built, **LIMIT)
        assert outcome.to_json()["by_check"] == {"http-server responseTime every <= 200 ms": 3}
        assert outcome.to_json()["by_agent"] == {"Agent 2": 2, "Agent 1": 1}


class TestBaselines:
    CHANGE = {
        "checks": {"http-server": {"responseTime": {"change_leq_to": 0.5, "quorum": 0.5}}},
        "compare_with": {"test_id": "7", "window": "25m"},
    }

    def test_a_change_is_judged_against_the_rounds_before(self):
        slow = {f"r{place}a{agent}": {"responseTime": 180} for place in (10, 11) for agent in "123"}
        outcome = judged(history(**slow), **self.CHANGE)
        assert [failed.round_id for failed in outcome.failed] == [START + 3000, START + 3300]

    def test_the_rounds_of_the_first_window_are_baseline_only(self):
        assert judged(history(), **self.CHANGE).to_json()["rounds"] == 15

    @pytest.mark.parametrize("seed", range(5))
    def test_the_moving_baseline_equals_that_of_the_operator(self, seed):
        chance = random.Random(seed)
        checks = parse_checks({"dns-server": {"resolutionTime": {"change_leq_to": 0.2}}})
        rolling, rounds = RollingBaseline([("dns-server", "resolutionTime")], 1500), []
        for place in range(40):
            rows = [
                row(
                    place,
                    agent,
                    server=server,
                    resolutionTime=chance.choice([None, 5.0, chance.uniform(1, 90)]),
                )
                for agent in "12"
                for server in ("ns1", "ns2")
                if chance.random() < 0.8
            ]
            at = START + 300 * place
            window = [earlier for past in rounds for earlier in past if at - 1500 <= earlier["roundId"] < at]
            expected = baseline_from_rows({"dns-server": window}, checks, "the history")
            assert rolling.before(at).values == expected.values
            rolling.add(at, {"dns-server": rows})
            rounds.append(rows)
        long_after = rolling.before(START + 86400)
        assert long_after.values == {}
        assert long_after.unusable.endswith("h before has no values to compare with")


class TestEpisodes:
    SLOW = {f"r{place}a2": {"responseTime": 450} for place in (3, 4, 5, 9)}

    def test_consecutive_failures_are_one_episode(self):
        outcome = judged(history(**self.SLOW), **LIMIT)
        assert [episode["rounds"] for episode in outcome.episodes] == [3, 1]
        assert outcome.summary() == "would have failed 4 of 20 rounds (1 in 5) in 2 episodes; 0 inconclusive"

    def test_alerts_and_events_at_the_same_time_are_named(self):
        alert = {
            "alertType": "http-server",
            "startDate": "2026-09-21T14:26:00Z",
            "endDate": "2026-09-21T14:40:00Z",
        }
        incidents = incidents_from("alert", [alert, {"startDate": "soon"}, {}], now=START + 9000)
        outcome = backtest(history(**self.SLOW), Gate.from_arguments(LIMIT), incidents=incidents)
        first, second = outcome.to_json()["episodes"]
        assert (first["incidents"], second["incidents"]) == (["alert http-server"], [])

    def test_an_incident_without_an_end_lasts_until_now(self):
        (incident,) = incidents_from(
            "event", [{"typeName": "Network Issue", "startDate": START}], now=START + 60
        )
        assert incident == Incident("event", "Network Issue", START, START + 60)


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"compare_with": {"test_id": "7", "window": "soon"}},
            {"compare_with": {"test_id": "7"}},
            {"compare_with": {"window": "1h"}},
            {"checks": {"http-server": {"responseTime": {"change_leq_to": 0.2}}}},
            {"compare_with": {"test_id": "7", "window": "0h"}},
            {"max_agent_errors": -1},
            {"min_agents": "many"},
            {"checks": {"http-server": {"responseTime": {"leq_to": "fast"}}}},
        ],
    )
    def test_invalid_arguments_are_refused(self, arguments):
        with pytest.raises(ValueError, match=r"."):
            Gate.from_arguments(arguments)

    def test_an_empty_history_has_no_verdicts(self):
        assert list(judge_rounds(History("7", "http-server"), Gate())) == []
        assert backtest(History("7", "http-server"), Gate()).to_json()["rounds"] == 0
