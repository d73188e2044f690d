"""A proposal keeps its promise on its own history, states its reasons, and is valid input for the operators."""

from __future__ import annotations

import functools
import math
import random
import re

import pytest
import yaml

from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.validation.backtest import Gate, backtest
from thousandeyes_provider.validation.history import History
from thousandeyes_provider.validation.proposal import (
    episodes,
    poisson_at_most,
    poisson_upper,
    propose,
    rate_upper,
    tail_limit,
)

pytestmark = pytest.mark.xdist_group("proposal")  # the tests share histories

START = 1_790_000_400

VALUES = {
    "network": {"loss": 0.0, "avgLatency": 40.0, "jitter": 6.0},
    "page-load": {"pageLoadTime": 2000.0, "domLoadTime": 900.0, "responseTime": 200.0},
    "http-server": {"responseTime": 200.0, "totalTime": 260.0, "responseCode": 200, "errorType": "None"},
    "web-transactions": {"transactionTime": 3000.0, "errorType": "None"},
    "api": {"apiTransactionTime": 400.0, "completion": 100.0, "errorType": "None"},
    "ftp-server": {"responseTime": 150.0, "totalTime": 300.0, "responseCode": 226, "errorType": "None"},
    "dns-server": {"resolutionTime": 20.0, "mappings": ["192.0.2.1"]},
    "dns-trace": {"finalQueryTime": 30.0, "queries": 4, "mappings": ["192.0.2.1"]},
    "dnssec": {"isValid": True},
    "sip-server": {"availability": 100.0, "totalTime": 90.0, "responseCode": 200, "errorType": "None"},
    "rtp-server": {"mos": 4.2, "loss": 0.0, "latency": 40.0, "pdv": 5.0},
}
NOISY = {"Time", "Latency", "jitter", "latency", "pdv", "mos"}


def rows_of(result_type, round_id, agents, chance, factor=1.0, **changes):
    rows = []
    for agent in range(agents):
        values = {
            name: round(value * factor * math.exp(chance.gauss(0, 0.06)), 3)
            if any(name.endswith(end) for end in NOISY)
            else value
            for name, value in VALUES[result_type].items()
        }
        who = {"agentId": str(agent), "agentName": f"Agent {agent}", "countryId": "DE"}
        rows.append({"agent": who, "roundId": round_id, **values, **changes.get(f"agent_{agent}", {})})
    return rows


def history(
    test_type="api", *, rounds=2000, agents=5, seed=1, level=lambda place: 1.0, changes=lambda place: {}
):
    """Return rounds every ten minutes. ``level`` scales all times, ``changes`` sets values of single agents."""
    built, chance = History("7", test_type, "Checkout"), random.Random(seed)
    for result_type in TEST_TYPES[test_type].default:
        for place in range(rounds):
            given = changes(place)
            rows = rows_of(result_type, START + 600 * place, agents, chance, level(place), **given)
            built.add(result_type, [row for row in rows if not row.get("silent")])
    return built


@functools.cache
def usual(test_type="api", rounds=2000):
    """Return the history of a healthy test and its proposal."""
    built = history(test_type, rounds=rounds)
    return built, propose(built)


@pytest.mark.parametrize("test_type", TEST_TYPES)
def test_the_file_of_each_type_is_valid_and_keeps_its_promise(test_type):
    built, proposal = usual(test_type, 1000)
    arguments = yaml.safe_load(proposal.to_yaml())
    assert arguments == proposal.arguments()
    operator = RunInstantTestOperator(task_id="gate", test_id="7", test_type=test_type, **arguments)
    assert (operator.max_agent_errors, operator.min_agents) == (1, 4)
    assert operator.confirm_failures == proposal.confirm_failures
    assert ("checks" in arguments) == (test_type != "dnssec")
    outcome = backtest(built, Gate.from_arguments(arguments))
    assert proposal.promised
    assert len(outcome.failed) <= 1000 / 500
    assert outcome.inconclusive == []
    for check in proposal.checks:
        assert check.why.startswith("Fails when more than ")
        assert re.search(r"From 99\d rounds; would have failed \d", check.why)


class TestPromises:
    def test_the_comment_matches_the_backtest(self):
        built = history(level=lambda place: 1.5 if place % 400 < 4 else 1.0)
        proposal = propose(built, rate=1 / 20)
        outcome = backtest(built, Gate.from_arguments(proposal.arguments()))
        learned = range(START + 86400, START + 600 * (2000 - proposal.confirm_failures))
        failed = [judged for judged in outcome.failed if judged.round_id in learned]
        assert len(failed) == round(proposal.expected_rate * (2000 - 144)) > 0

    def test_later_rounds_keep_the_promise(self):
        proposal = propose(usual()[0], rate=1 / 200)
        fresh = backtest(history(seed=2), Gate.from_arguments(proposal.arguments()))
        assert proposal.promised
        assert len(fresh.failed) <= 2 * 2000 / 200

    def test_a_regression_is_caught(self):
        _, proposal = usual()
        assert proposal.slowdowns.caught == pytest.approx(1.0, abs=0.02)
        assert 0.05 < proposal.slowdowns.smallest < 0.25
        assert "The smallest that would have failed 9 in 10 rounds" in proposal.to_yaml()
        released = history(rounds=500, seed=2, level=lambda place: 1.3 if place == 450 else 1.0)
        outcome = backtest(released, Gate.from_arguments(proposal.arguments()))
        assert START + 600 * 450 in [failed.round_id for failed in outcome.failed]

    @pytest.mark.parametrize(
        "lost",
        [
            {"errorType": "Connect", "apiTransactionTime": None, "completion": None},
            {"silent": True},
            {"apiTransactionTime": 9000.0},
        ],
        ids=["error", "silent", "slow"],
    )
    def test_the_outage_of_one_agent_does_not_block(self, lost):
        gate = Gate.from_arguments(usual()[1].arguments())
        outage = history(
            rounds=400, seed=3, changes=lambda place: {"agent_2": lost} if 300 <= place < 350 else {}
        )
        outcome = backtest(outage, gate)
        during = range(START + 600 * 300, START + 600 * 350)
        assert [
            outcome_row
            for outcome_row in outcome.failed + outcome.inconclusive
            if outcome_row.round_id in during
        ] == []

    def test_a_short_history_promises_nothing(self):
        proposal = propose(history(rounds=300))
        assert not proposal.promised
        assert proposal.checks
        assert any("History too short or too irregular: 294 rounds" in note for note in proposal.notes)
        assert "# No promise: the history does not support 1 false alarm in 500 rounds." in proposal.to_yaml()

    def test_rounds_in_which_all_agents_fail_now_and_then_leave_no_promise(self):
        error = {"errorType": "Connect", "completion": None, "apiTransactionTime": None}
        down = {f"agent_{agent}": error for agent in range(5)}
        proposal = propose(history(changes=lambda place: down if place % 30 == 29 else {}))
        assert not proposal.promised
        too_irregular = "Too irregular to promise 1 in 500: with 95 % confidence the rate is below 1 in 24."
        assert too_irregular in proposal.notes
        assert "False alarms in this history: 1 in 30 rounds." in proposal.summary()

    def test_a_limit_that_nothing_could_exceed_is_not_proposed(self):
        lack = {f"agent_{agent}": {"totalTime": None} for agent in range(5)}
        built = history("http-server", rounds=850, changes=lambda place: lack if place == 500 else {})
        proposal = propose(built)
        assert (
            "No fixed limit for http-server totalTime: it would fail too often with any value."
            in proposal.notes
        )
        assert {check.metric for check in proposal.checks} == {"responseTime", "responseCode"}
        assert proposal.promised
        assert backtest(built, Gate.from_arguments(yaml.safe_load(proposal.to_yaml()))).failed == []

    def test_a_very_short_history_gives_no_limits(self):
        proposal = propose(history(rounds=40))
        assert (proposal.checks, proposal.promised) == ((), False)
        assert any("100 are needed" in note for note in proposal.notes)
        assert yaml.safe_load(proposal.to_yaml()) == proposal.arguments()

    @pytest.mark.parametrize("rounds", [1, 3])
    def test_a_history_shorter_than_a_baseline_gives_no_limits(self, rounds):
        proposal = propose(history(rounds=rounds))
        assert (proposal.checks, proposal.promised) == ((), False)
        assert any("History too short: 0 usable rounds" in note for note in proposal.notes)

    def test_an_empty_history_gives_no_limits(self):
        proposal = propose(History("7", "api"))
        assert (proposal.checks, proposal.promised, proposal.min_agents) == ((), False, None)
        assert "min_agents" not in proposal.arguments()

    @pytest.mark.parametrize("rate", [0, -1, 0.9])
    def test_a_rate_out_of_range_is_refused(self, rate):
        with pytest.raises(ValueError, match="expected a number above 0"):
            propose(History("7", "api"), rate=rate)


class TestNotes:
    def test_a_rising_level_gets_no_fixed_limit(self):
        proposal = propose(history(level=lambda place: 1 + place / 2000))
        assert [set(check.comparison) & {"leq_to"} for check in proposal.checks] == [set()]
        assert any("No fixed limit for api apiTransactionTime" in note for note in proposal.notes)

    def test_a_slow_rise_gets_no_fixed_limit_either(self):
        proposal = propose(history(rounds=1200, level=lambda place: 1 + place / 8500))
        assert any("level rose by" in note for note in proposal.notes)
        assert all("change_leq_to" in check.comparison for check in proposal.checks)

    def test_a_level_that_rises_from_zero_gets_no_fixed_limit(self):
        chance = random.Random(1)

        def jitter(place):
            usual = 0.0 if place < 300 else 0.3
            values = {n: 3 * chance.random() if chance.random() < 0.3 else usual for n in range(5)}
            return {f"agent_{n}": {"jitter": value} for n, value in values.items()}

        notes = propose(history("agent-to-server", rounds=600, changes=jitter)).notes
        assert any("network jitter: its level rose above 0 from the first half" in note for note in notes)

    def test_noisy_agents_need_repeated_runs(self):
        chance = random.Random(5)

        def noisy(place):
            return {
                f"agent_{n}": {"apiTransactionTime": 400 * math.exp(chance.gauss(0, 0.15))} for n in range(5)
            }

        proposal = propose(history(rounds=1200, changes=noisy))
        arguments = yaml.safe_load(proposal.to_yaml())
        assert arguments["confirm_failures"] == proposal.confirm_failures > 0
        assert (
            "# A failed run is repeated, and fails only when the same check fails each time."
            in proposal.to_yaml()
        )
        operator = RunInstantTestOperator(task_id="gate", test_id="7", test_type="api", **arguments)
        assert operator.confirm_failures == proposal.confirm_failures
        assert proposal.to_json()["slowdowns"]["caught"] == proposal.slowdowns.caught

    def test_a_daily_cycle_is_noted(self):
        built = history(level=lambda place: 1.5 + 0.5 * math.sin(2 * math.pi * place / 144))
        assert any(note.startswith("Day and night matter") for note in propose(built).notes)

    def test_an_hour_without_values_is_not_the_busiest(self):
        lack = {f"agent_{agent}": {"totalTime": None} for agent in range(5)}

        def nightly(place):
            return lack if (START + 600 * place) % 86400 // 3600 == 3 else {}

        proposal = propose(history("http-server", rounds=1000, changes=nightly), rate=1 / 10)
        assert any("totalTime" in check.metric for check in proposal.checks)
        assert [note for note in proposal.notes if "inf" in note] == []

    def test_outages_are_not_learned(self):
        down = {f"agent_{agent}": {"errorType": "Connect", "completion": None} for agent in range(5)}
        proposal = propose(history(changes=lambda place: down if 500 <= place < 600 else {}))
        assert any("100 rounds are outages" in note for note in proposal.notes)
        assert proposal.promised

    def test_an_agent_that_left_is_named_and_not_counted(self):
        proposal = propose(
            history(changes=lambda place: {"agent_4": {"silent": True}} if place > 1000 else {})
        )
        assert any("Agent 4 has not reported since" in note for note in proposal.notes)
        assert proposal.min_agents == 3

    def test_frequent_single_errors_raise_max_agent_errors(self):
        error = {"errorType": "Connect", "completion": None}
        chance = random.Random(4)
        often = {
            place: {f"agent_{chance.randrange(7)}": error} for place in range(2000) if chance.random() < 0.2
        }
        rare = propose(history(rounds=850, agents=7))
        frequent = propose(history(agents=7, changes=lambda place: often.get(place, {})))
        assert rare.max_agent_errors == 1
        assert frequent.max_agent_errors >= 2

    def test_agents_that_are_often_silent_are_reported(self):
        chance = random.Random(3)
        often = {
            place: {f"agent_{n}": {"silent": True} for n in range(3)}
            for place in range(900)
            if chance.random() < 0.06
        }
        proposal = propose(history(rounds=900, changes=lambda place: often.get(place, {})))
        assert any(re.match(r"Agents are often silent: \d\d of \d+ rounds", note) for note in proposal.notes)

    def test_an_agent_without_one_result_type_is_silent(self):
        built, chance = History("7", "page-load", "Checkout"), random.Random(1)
        for place in range(400):
            round_id = START + 600 * place
            pages = rows_of("page-load", round_id, 6, chance)
            built.add("page-load", pages[2:] if place % 10 == 0 else pages)
            built.add("http-server", rows_of("http-server", round_id, 6, chance))
        arguments = propose(built).arguments()
        assert arguments["min_agents"] <= 4
        assert backtest(built, Gate.from_arguments(arguments)).inconclusive == []

    def test_a_metric_that_two_of_five_agents_often_lack_does_not_fail_the_gate(self):
        chance = random.Random(3)
        lack = {f"agent_{n}": {"totalTime": None} for n in range(2)}
        often = {place for place in range(900) if chance.random() < 0.1}
        proposal = propose(
            history("http-server", rounds=900, changes=lambda place: lack if place in often else {})
        )
        quorums = [check.comparison["quorum"] for check in proposal.checks if check.metric == "totalTime"]
        assert quorums
        assert max(quorums) <= 0.6

    def test_a_metric_that_all_agents_often_lack_gets_no_limit(self):
        chance = random.Random(3)
        lack = {f"agent_{n}": {"totalTime": None} for n in range(5)}
        often = {place for place in range(900) if chance.random() < 0.05}
        proposal = propose(
            history("http-server", rounds=900, changes=lambda place: lack if place in often else {})
        )
        assert "totalTime" not in [check.metric for check in proposal.checks]
        reason = "for http-server totalTime: it would fail too often with any value."
        assert f"No fixed limit {reason}" in proposal.notes

    def test_spells_of_slow_rounds_are_noted(self):
        slow = {start + n for start in range(200, 1200, 90) for n in range(6)}
        proposal = propose(
            history(rounds=1200, level=lambda place: 2.0 if place in slow else 1.0), rate=1 / 20
        )
        (note,) = (note for note in proposal.notes if note.startswith("Spells of slow rounds"))
        assert re.match(r"Spells .*: 1\d in \d days; with 95 % confidence at most one in \d\d hours\.", note)
        assert note.endswith("the promise counts these.")

    def test_a_test_with_one_agent_tolerates_no_failure(self):
        proposal = propose(history(rounds=850, agents=1))
        assert (proposal.min_agents, proposal.max_agent_errors) == (1, 0)
        assert all("quorum" not in check.comparison for check in proposal.checks)

    def test_frequent_error_codes_get_no_limit(self):
        built = history(
            "http-server", changes=lambda place: {f"agent_{n}": {"responseCode": 403} for n in range(5)}
        )
        proposal = propose(built)
        assert "responseCode" not in [check.metric for check in proposal.checks]
        assert any("codes from 400 on are usual" in note for note in proposal.notes)

    def test_a_lower_is_worse_metric_gets_a_lower_bound(self):
        checks = {check.metric: check.comparison for check in usual("voice", 850)[1].checks}
        assert 3 < checks["mos"]["geq_to"] < 4.2


class TestStatistics:
    def test_the_upper_bound_of_a_count_matches_table_values(self):
        # One-sided 95 % limits of a Poisson mean from a table.
        assert [round(poisson_upper(count), 2) for count in (0, 1, 5, 10)] == [3.0, 4.74, 10.51, 16.96]
        assert poisson_at_most(2, 1.0) == pytest.approx(2.5 / math.e)

    def test_rounds_in_a_row_are_one_event(self):
        assert episodes([5, 6, 7, 40, 43, 90]) == [5, 40, 90]

    def test_long_events_raise_the_bound(self):
        assert rate_upper(range(0, 10), 1000) > rate_upper(range(0, 1000, 100), 1000)

    def test_the_tail_fit_extrapolates_beyond_the_data(self):
        chance = random.Random(1)
        values = sorted((chance.expovariate(1) for _ in range(2000)), reverse=True)
        assert tail_limit(values, 1e-4) == pytest.approx(math.log(1e4), rel=0.25)
