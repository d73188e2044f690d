"""Progress of a round: rows that arrived, completeness, and the time of the next poll."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.poll_schedule import PollSchedule, QuotaPace
from thousandeyes_provider.api.round_progress import RoundProgress, TriggerSighting, WaitState
from thousandeyes_provider.api.run import Plan, RunHandle

RUN_AT = 1_790_000_010
REMEMBERED = RUN_AT - 30
OURS = RUN_AT + 2
LATER = OURS + 1
DEADLINE = 600.0
HTTP = "http-server"


def row(agent, round_id=OURS, **fields):
    return {"roundId": round_id, "agent": {"agentId": agent, "agentName": f"name {agent}"}, **fields}


def rows(agents, round_id=OURS, **fields):
    return [row(agent, round_id, **fields) for agent in agents]


def listed(agents):
    return ExpectedAgents.of("test", [Agent(agent, f"name {agent}") for agent in agents])


def progress(expected="abc", types=(HTTP,), per_agent=1, **changes):
    fields = {
        "rows_per_agent": dict.fromkeys(types, per_agent),
        "remembered": dict.fromkeys(types, REMEMBERED),
        "sent_at": float(RUN_AT),
        "expected": listed(expected) if isinstance(expected, str) else expected,
        "deadline": DEADLINE,
        "schedule": PollSchedule(10.0),
    }
    return RoundProgress(**(fields | changes))


def ids(agents):
    return "".join(sorted(agent.agent_id for agent in agents))


class TestOurRound:
    @pytest.mark.parametrize("old", [REMEMBERED, REMEMBERED - 300, RUN_AT - 8, RUN_AT - 61])
    def test_stale_round_is_never_judged(self, old):
        polled = progress().poll({HTTP: rows("abc", old)}, 10)
        assert (polled.rounds(), polled.rows(), polled.reported()) == ({}, {}, ())
        assert polled.state(10) is WaitState.WAITING
        assert polled.state(DEADLINE) is WaitState.DEADLINE

    def test_earlier_round_of_another_run_does_not_delay_ours(self):
        polled = progress().poll({HTTP: rows("abc", RUN_AT - 8) + rows("abc")}, 10)
        assert polled.rounds() == {HTTP: OURS}
        assert polled.state(10) is WaitState.COMPLETE

    def test_rows_of_our_minute_that_another_run_measured_are_never_judged(self):
        minute = RUN_AT // 60 * 60 + 60
        started = progress(sent_at=minute + 30.5)
        early = rows("ab", minute, startTime=minute + 12, errorType="Connect")
        polled = started.poll({HTTP: early}, 10)
        assert polled.rows() == {}
        ours = rows("abc", minute, startTime=minute + 33, errorType="None")
        polled = polled.poll({HTTP: early + ours}, 20)
        assert polled.state(20) is WaitState.COMPLETE
        assert polled.rows() == {HTTP: ours}

    def test_exact_round_with_an_early_measurement_belongs_to_another_run(self):
        early = RUN_AT - 4
        started = progress(clock_tolerance=10, sent_at=float(RUN_AT))
        polled = started.poll(
            {HTTP: [row("a", early, startTime=early + 1), row("b", early, startTime=RUN_AT)]}, 5
        )
        assert polled.rounds() == {}
        polled = polled.poll({HTTP: rows("abc")}, 10)
        assert (polled.rounds(), polled.state(10)) == ({HTTP: OURS}, WaitState.COMPLETE)

    def test_rows_without_a_round_are_never_judged(self):
        assert progress().poll({HTTP: [{"agent": {"agentId": "a"}, "startTime": OURS}]}, 10).rows() == {}

    def test_rows_without_an_agent_do_not_hide_each_other(self):
        bad, good = ({"roundId": OURS, "responseCode": code} for code in (500, 200))
        polled = progress(UNKNOWN).poll({HTTP: [bad]}, 10)
        polled = polled.poll({HTTP: [good, dict(reversed(bad.items()))]}, 20)
        assert polled.rows() == {HTTP: [bad, good]}

    def test_old_and_new_round_may_be_served_together(self):
        polled = progress().poll({HTTP: rows("abc", REMEMBERED) + rows("ab")}, 10)
        assert polled.rounds() == {HTTP: OURS}
        assert ids(polled.reported()) == "ab"
        assert polled.state(10) is WaitState.WAITING

    def test_old_round_may_be_served_until_the_new_one_is_complete(self):
        polled = progress().poll({HTTP: rows("abc", REMEMBERED)}, 10).poll({HTTP: []}, 20).poll({}, 30)
        assert polled.state(30) is WaitState.WAITING
        assert polled.poll({HTTP: rows("abc")}, 40).state(40) is WaitState.COMPLETE

    def test_later_round_does_not_complete_ours(self):
        polled = progress().poll({HTTP: rows("ab") + rows("abc", LATER)}, 10)
        assert polled.rounds() == {HTTP: OURS}
        assert ids(polled.missing()) == "c"
        assert polled.state(10) is WaitState.WAITING

    def test_later_round_does_not_replace_ours(self):
        polled = progress().poll({HTTP: rows("abc", loss=0)}, 10)
        after = polled.poll({HTTP: rows("abc", LATER, loss=100)}, 20)
        assert after.rounds() == {HTTP: OURS}
        assert after.rows() == polled.rows()

    def test_ours_is_the_earliest_even_if_it_appears_last(self):
        polled = progress().poll({HTTP: rows("ab", LATER)}, 10).poll({HTTP: rows("c")}, 20)
        assert polled.rounds() == {HTTP: OURS}
        assert ids(polled.reported()) == "c"

    @pytest.mark.parametrize("remembered", [None, {"page-load": REMEMBERED - 1, HTTP: REMEMBERED}])
    def test_result_types_have_separate_rounds_if_the_remembered_rounds_differ(self, remembered):
        remembered = remembered or dict.fromkeys(("page-load", HTTP))
        polled = progress(types=("page-load", HTTP), remembered=remembered).poll(
            {"page-load": rows("abc", LATER), HTTP: rows("abc", OURS)}, 10
        )
        assert polled.rounds() == {"page-load": LATER, HTTP: OURS}
        assert polled.state(10) is WaitState.COMPLETE

    def test_result_types_share_a_round_if_the_remembered_round_is_the_same(self):
        polled = progress(types=("page-load", HTTP)).poll(
            {"page-load": rows("abc", LATER), HTTP: rows("abc", OURS)}, 10
        )
        assert polled.rounds() == {HTTP: OURS}
        assert polled.state(10) is WaitState.WAITING
        polled = polled.poll({"page-load": rows("abc", OURS)}, 20)
        assert polled.rounds() == {"page-load": OURS, HTTP: OURS}
        assert polled.state(20) is WaitState.COMPLETE

    def test_round_that_is_old_for_one_result_type_is_old_for_all(self):
        remembered = {"page-load": None, HTTP: OURS}
        polled = progress(types=("page-load", HTTP), remembered=remembered).poll(
            {"page-load": rows("abc", OURS), HTTP: rows("abc", LATER)}, 10
        )
        assert polled.rounds() == {HTTP: LATER}

    def test_rows_stay_when_a_later_response_lacks_them(self):
        polled = progress().poll({HTTP: rows("ab")}, 10).poll({HTTP: rows("c")}, 20)
        assert polled.state(20) is WaitState.COMPLETE

    def test_network_rows_of_two_dns_servers_are_two_rows(self):
        measured = [row("a", server="ns1:53", loss=100), row("a", server="ns2:53", loss=0)]
        assert progress("a", types=("network",)).poll({"network": measured}, 10).rows()["network"] == measured


class TestRowsOfOneAgent:
    BAD, GOOD = row("a", errorType="Connect"), row("a", errorType="None")

    @pytest.mark.parametrize("order", [[BAD, GOOD], [GOOD, BAD], [BAD, GOOD, BAD]])
    def test_rows_that_differ_in_one_response_both_count(self, order):
        polled = progress("a").poll({HTTP: order}, 10)
        assert sorted(map(str, polled.rows()[HTTP])) == sorted(map(str, [self.BAD, self.GOOD]))
        assert polled.state(10) is WaitState.COMPLETE

    def test_equal_rows_in_one_response_count_once(self):
        assert progress("a").poll({HTTP: [self.BAD, self.BAD]}, 10).rows()[HTTP] == [self.BAD]

    def test_differing_rows_of_a_server_count_as_one_expected_row(self):
        polled = progress("a", types=("dns-server",), per_agent=2)
        polled = polled.poll({"dns-server": [row("a", serverId="1"), row("a", serverId="1", rtt=5)]}, 10)
        assert polled.state(10) is WaitState.WAITING
        assert polled.missing_rows() == {Agent("a", "name a"): "dns-server 1 of 2"}

    def test_later_response_replaces_an_earlier_one(self):
        polled = progress("a").poll({HTTP: [self.BAD, self.GOOD]}, 10)
        assert polled.poll({HTTP: [row("a", responseTime=5)]}, 20).rows()[HTTP] == [row("a", responseTime=5)]


class TestComplete:
    def test_every_expected_agent_has_reported(self):
        polled = progress().poll({HTTP: rows("ab")}, 10)
        assert polled.state(10) is WaitState.WAITING
        assert polled.poll({HTTP: rows("abc")}, 20).state(20) is WaitState.COMPLETE

    def test_silent_agent_is_missing_at_the_deadline(self):
        polled = progress("abcde").poll({HTTP: rows("abce")}, 10)
        assert polled.state(DEADLINE - 0.1) is WaitState.WAITING
        assert polled.state(DEADLINE) is WaitState.DEADLINE
        assert ids(polled.missing()) == "d"
        assert polled.missing_rows() == {}

    def test_one_dns_server_of_two_is_not_complete(self):
        dns = progress("a", types=("dns-server",), per_agent=2)
        polled = dns.poll({"dns-server": [row("a", serverId="1"), row("a", serverId="1")]}, 10)
        assert polled.state(10) is WaitState.WAITING
        assert ids(polled.missing()) == "a"
        assert polled.missing_rows() == {Agent("a", "name a"): "dns-server 1 of 2"}
        assert polled.poll({"dns-server": [row("a", serverId="2")]}, 20).state(20) is WaitState.COMPLETE

    def test_one_direction_of_two_is_not_complete(self):
        both = progress("a", types=("network",), per_agent=2)
        polled = both.poll({"network": [row("a", direction="to-target")]}, 10)
        assert polled.state(10) is WaitState.WAITING
        polled = polled.poll({"network": [row("a", direction="from-target")]}, 20)
        assert polled.state(20) is WaitState.COMPLETE

    def test_direction_of_a_later_round_does_not_complete_ours(self):
        both = progress("a", types=("network",), per_agent=2)
        polled = both.poll(
            {"network": [row("a", direction="to-target"), row("a", LATER, direction="from-target")]}, 10
        )
        assert polled.state(10) is WaitState.WAITING

    def test_one_result_type_of_two_is_not_complete(self):
        polled = progress("ab", types=("page-load", HTTP))
        polled = polled.poll({"page-load": rows("ab"), HTTP: rows("a")}, 10)
        assert polled.state(10) is WaitState.WAITING
        assert ids(polled.missing()) == "b"
        assert polled.missing_rows() == {Agent("b", "name b"): "http-server 0 of 1"}
        assert polled.poll({HTTP: rows("b")}, 20).state(20) is WaitState.COMPLETE

    @pytest.mark.parametrize("name", ["name a", "NAME A", " name a "])
    def test_agents_may_be_expected_by_name(self, name):
        expected = ExpectedAgents.of("argument", [Agent("", name), Agent("b", "")])
        polled = progress(expected).poll({HTTP: rows("b")}, 10)
        assert [str(agent) for agent in polled.missing()] == [name]
        assert polled.poll({HTTP: rows("a")}, 20).state(20) is WaitState.COMPLETE

    def test_missing_rows_of_an_agent_that_is_expected_by_name(self):
        expected = ExpectedAgents.of("argument", [Agent("", "NAME A")])
        polled = progress(expected, types=(HTTP, "network")).poll({HTTP: rows("a"), "network": []}, 10)
        assert polled.missing_rows() == {Agent("", "NAME A"): "network 0 of 1"}

    def test_unexpected_agent_completes_nothing(self):
        polled = progress("abc").poll({HTTP: rows("abxyz")}, 10)
        assert polled.state(10) is WaitState.WAITING

    def test_number_of_agents_is_met_by_any_agents(self):
        polled = progress(ExpectedAgents("argument", count=3)).poll({HTTP: rows("xy")}, 10)
        assert polled.state(10) is WaitState.WAITING
        assert polled.poll({HTTP: rows("xyz")}, 20).state(20) is WaitState.COMPLETE

    def test_complete_at_the_deadline_is_complete(self):
        assert progress().poll({HTTP: rows("abc")}, DEADLINE + 5).state(DEADLINE + 5) is WaitState.COMPLETE

    def test_missing_rows_name_every_result_type(self):
        polled = progress(types=("page-load", HTTP, "network"), per_agent=None)
        polled = polled.poll({HTTP: rows("a"), "page-load": [], "network": []}, 10)
        assert polled.missing_rows() == {Agent("a", "name a"): "page-load 0 of 1, network 0 of 1"}

    def test_agents_without_an_id_are_distinguished_by_name(self):
        named = [{"roundId": OURS, "agent": {"agentName": name}} for name in ("Oslo", "Rome")]
        expected = ExpectedAgents.of("argument", [Agent("", "Oslo"), Agent("", "Rome")])
        polled = progress(expected).poll({HTTP: named[:1]}, 10)
        assert polled.reported() == (Agent("", "Oslo"),)
        assert polled.missing() == (Agent("", "Rome"),)
        assert polled.poll({HTTP: named}, 20).state(20) is WaitState.COMPLETE

    def test_agent_has_the_name_of_its_rows(self):
        assert progress().poll({HTTP: rows("a")}, 10).reported() == (Agent("a", "name a"),)


class TestUnknownAgents:
    def test_complete_after_60_s_without_a_new_row_and_not_earlier(self):
        polled = progress(UNKNOWN).poll({HTTP: rows("ab")}, 10).poll({HTTP: rows("ab")}, 69.9)
        assert polled.state(69.9) is WaitState.WAITING
        assert polled.poll({HTTP: rows("ab")}, 70).state(70) is WaitState.QUIET

    def test_each_new_row_restarts_the_quiet_period(self):
        polled = progress(UNKNOWN).poll({HTTP: rows("a")}, 10).poll({HTTP: rows("ab")}, 60)
        assert polled.poll({HTTP: rows("ab")}, 119).state(119) is WaitState.WAITING
        assert polled.poll({HTTP: rows("ab")}, 120).state(120) is WaitState.QUIET

    def test_later_round_does_not_restart_it(self):
        polled = progress(UNKNOWN).poll({HTTP: rows("a")}, 10).poll({HTTP: rows("abc", LATER)}, 50)
        assert polled.poll({HTTP: []}, 70).state(70) is WaitState.QUIET

    def test_earlier_round_that_appears_late_restarts_it(self):
        polled = progress(UNKNOWN).poll({HTTP: rows("ab", LATER)}, 10).poll({HTTP: rows("ab")}, 69)
        assert polled.poll({HTTP: []}, 128).state(128) is WaitState.WAITING
        assert polled.poll({HTTP: []}, 129).state(129) is WaitState.QUIET

    def test_failed_polls_do_not_count_as_quiet(self):
        polled = progress(UNKNOWN, types=("page-load", HTTP))
        polled = polled.poll({"page-load": rows("a"), HTTP: rows("a")}, 10)
        polled = polled.poll({}, 40).poll({HTTP: rows("a")}, 70)
        assert polled.state(70) is WaitState.WAITING
        assert polled.next_poll(70) == 80
        assert polled.poll({"page-load": [], HTTP: []}, 80).state(80) is WaitState.QUIET

    def test_quiet_period_needs_a_row(self):
        polled = progress(UNKNOWN).poll({HTTP: []}, 10).poll({HTTP: rows("a", REMEMBERED)}, 400)
        assert polled.state(400) is WaitState.WAITING
        assert polled.state(DEADLINE) is WaitState.DEADLINE

    def test_result_type_without_rows_is_waited_for(self):
        polled = progress(UNKNOWN, types=("page-load", HTTP))
        polled = polled.poll({"page-load": rows("ab"), HTTP: []}, 10)
        polled = polled.poll({"page-load": rows("ab"), HTTP: []}, 200)
        assert polled.state(200) is WaitState.WAITING

    def test_quiet_period_starts_after_every_result_type_was_read(self):
        polled = progress(UNKNOWN, types=(HTTP, "network")).poll({HTTP: rows("a")}, 10)
        assert polled.state(DEADLINE - 1) is WaitState.WAITING
        assert progress(UNKNOWN).poll({HTTP: []}, 10).state(90) is WaitState.WAITING

    def test_unknown_number_of_dns_servers_waits_for_the_quiet_period(self):
        dns = progress("a", types=("dns-server",), per_agent=None)
        polled = dns.poll({"dns-server": [row("a", serverId="1")]}, 10)
        assert polled.poll({"dns-server": [row("a", serverId="1")]}, 69).state(69) is WaitState.WAITING
        assert polled.poll({"dns-server": [row("a", serverId="1")]}, 70).state(70) is WaitState.QUIET

    @pytest.mark.parametrize("expected", ["abc", ExpectedAgents("argument", count=3)])
    def test_quiet_period_does_not_excuse_an_expected_agent(self, expected):
        dns = progress(expected, types=("dns-server",), per_agent=None)
        polled = dns.poll({"dns-server": rows("a", serverId="1")}, 10)
        polled = polled.poll({"dns-server": rows("a", serverId="1")}, 400)
        assert polled.state(400) is WaitState.WAITING
        assert polled.poll({}, DEADLINE).state(DEADLINE) is WaitState.DEADLINE


class TestEnough:
    def test_other_agents_get_the_grace_time_and_no_more(self):
        polled = progress("abcde", min_agents=4, grace=3).poll({HTTP: rows("abcd")}, 10)
        assert polled.state(12.9) is WaitState.WAITING
        assert polled.state(13) is WaitState.ENOUGH
        assert ids(polled.missing()) == "e"

    def test_grace_time_starts_with_the_agent_that_reaches_min_agents(self):
        polled = progress("abcde", min_agents=2, grace=30).poll({HTTP: rows("a")}, 10)
        assert polled.state(45) is WaitState.WAITING
        polled = polled.poll({HTTP: rows("ab")}, 20).poll({HTTP: rows("abc")}, 40)
        assert polled.state(49) is WaitState.WAITING
        assert polled.state(50) is WaitState.ENOUGH

    def test_all_agents_end_the_grace_time(self):
        polled = progress("ab", min_agents=1, grace=60).poll({HTTP: rows("ab")}, 10)
        assert polled.state(10) is WaitState.COMPLETE

    def test_agent_with_half_of_its_rows_does_not_count(self):
        dns = progress("ab", types=("dns-server",), per_agent=2, min_agents=1, grace=0)
        polled = dns.poll({"dns-server": [row("a", serverId="1"), row("b", serverId="1")]}, 10)
        assert polled.state(10) is WaitState.WAITING
        assert polled.poll({"dns-server": [row("a", serverId="2")]}, 20).state(20) is WaitState.ENOUGH

    def test_unexpected_agents_do_not_count(self):
        polled = progress("abc", min_agents=2, grace=0).poll({HTTP: rows("axyz")}, 10)
        assert polled.state(10) is WaitState.WAITING
        assert polled.poll({HTTP: rows("b")}, 20).state(20) is WaitState.ENOUGH

    def test_grace_time_needs_min_agents(self):
        assert progress("abc", grace=0).poll({HTTP: rows("ab")}, 10).state(500) is WaitState.WAITING

    def test_min_agents_works_for_unknown_agents(self):
        polled = progress(UNKNOWN, min_agents=2, grace=5).poll({HTTP: rows("ab")}, 10)
        assert polled.state(15) is WaitState.ENOUGH


class TestResuming:
    """A worker that resumes after a deferral judges at least the rows that the trigger saw."""

    @staticmethod
    def resume(trigger, response, state, **changes):
        sighting = TriggerSighting.from_json(trigger.to_sighting().to_json())
        polled = progress(**{"sighting": sighting, **changes}).poll(response, 300)
        return polled, polled.resumed_state(state, 300)

    @pytest.mark.parametrize("state", [WaitState.QUIET, WaitState.DEADLINE, None])
    def test_quiet_round_of_unknown_agents(self, state):
        trigger = progress(UNKNOWN).poll({HTTP: rows("abc")}, 10)
        polled, resumed = self.resume(trigger, {HTTP: rows("a")}, state, expected=UNKNOWN)
        assert resumed is (WaitState.DEADLINE if state is WaitState.DEADLINE else WaitState.WAITING)
        polled = polled.poll({HTTP: rows("abc")}, 310)
        assert polled.resumed_state(WaitState.QUIET, 310) is WaitState.QUIET

    def test_number_of_agents_that_fewer_rows_would_reach(self):
        expected = ExpectedAgents("argument", count=1)
        trigger = progress(expected).poll({HTTP: rows("abc")}, 10)
        polled, resumed = self.resume(trigger, {HTTP: rows("a")}, WaitState.COMPLETE, expected=expected)
        assert resumed is WaitState.WAITING
        assert polled.poll({HTTP: rows("abc")}, 310).state(310) is WaitState.COMPLETE

    def test_expected_agents_with_unexpected_agents(self):
        trigger = progress("a").poll({HTTP: rows("abc")}, 10)
        polled, resumed = self.resume(trigger, {HTTP: rows("a")}, WaitState.COMPLETE, expected=listed("a"))
        assert resumed is WaitState.WAITING
        assert polled.resumed_state(WaitState.DEADLINE, 300) is WaitState.DEADLINE

    def test_enough_agents_that_are_fewer_than_the_trigger_saw(self):
        trigger = progress("abcde", min_agents=2, grace=0).poll({HTTP: rows("abcd")}, 10)
        polled, resumed = self.resume(
            trigger, {HTTP: rows("ab")}, WaitState.ENOUGH, expected=listed("abcde"), min_agents=2, grace=0
        )
        assert resumed is WaitState.WAITING
        assert polled.enough_since is None
        polled = polled.poll({HTTP: rows("cd")}, 310)
        assert polled.resumed_state(WaitState.ENOUGH, 310) is WaitState.ENOUGH

    def test_one_row_of_two(self):
        trigger = progress("a", types=("dns-server",), per_agent=None)
        trigger = trigger.poll({"dns-server": [row("a", serverId="1"), row("a", serverId="2")]}, 10)
        _, resumed = self.resume(
            trigger,
            {"dns-server": [row("a", serverId="2")]},
            WaitState.QUIET,
            expected=listed("a"),
            types=("dns-server",),
            per_agent=None,
        )
        assert resumed is WaitState.WAITING

    def test_later_round_does_not_replace_the_round_that_the_trigger_saw(self):
        trigger = progress(UNKNOWN).poll({HTTP: rows("ab")}, 10)
        polled, resumed = self.resume(trigger, {HTTP: rows("abc", LATER)}, WaitState.QUIET, expected=UNKNOWN)
        assert (polled.rounds(), resumed) == ({}, WaitState.WAITING)

    def test_earlier_round_that_appears_is_ours(self):
        trigger = progress().poll({HTTP: rows("abc", LATER)}, 10)
        polled, resumed = self.resume(trigger, {HTTP: rows("abc")}, WaitState.COMPLETE)
        assert (polled.rounds(), resumed) == ({HTTP: OURS}, WaitState.COMPLETE)

    def test_state_of_a_trigger_without_rows_is_ignored(self):
        assert progress(UNKNOWN).poll({HTTP: []}, 10).resumed_state(WaitState.QUIET, 10) is WaitState.WAITING
        enough = progress(min_agents=1).poll({HTTP: []}, 10)
        assert enough.resumed_state(WaitState.ENOUGH, 10) is WaitState.WAITING

    def test_second_trigger_keeps_the_sighting_of_the_first(self):
        first = progress(UNKNOWN).poll({HTTP: rows("abc")}, 10)
        second = progress(UNKNOWN, sighting=first.to_sighting()).poll({HTTP: rows("a")}, 20)
        assert second.to_sighting().rows == {HTTP: 3}
        nothing = progress(UNKNOWN, sighting=first.to_sighting()).poll({HTTP: []}, 20)
        assert nothing.to_sighting() == first.to_sighting()
        earlier = progress(UNKNOWN, sighting=first.to_sighting()).poll({HTTP: rows("a", OURS - 1)}, 20)
        assert (earlier.to_sighting().rounds, earlier.to_sighting().rows) == ({HTTP: OURS - 1}, {HTTP: 1})

    def test_sighting_is_small_for_any_number_of_agents(self):
        many = [f"agent-{n}" for n in range(5_000)]
        trigger = progress(UNKNOWN).poll({HTTP: rows(many)}, 10)
        text = json.dumps(trigger.to_sighting().to_json())
        assert len(text) < 2_000
        assert TriggerSighting.from_json(json.loads(text)).rows == {HTTP: 5_000}

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ([], "must be an object, got list"),
            ("x", "must be an object, got str"),
            ({"rounds": 7}, "rounds of the trigger's sighting must be an object of numbers, got 7"),
            ({"rows": {HTTP: "many"}}, "rows of the trigger's sighting must be an object of numbers"),
            ({"arrived_after": {"a": None}}, "arrived_after of the trigger's sighting must be"),
        ],
    )
    def test_damaged_sighting_is_refused(self, value, message):
        with pytest.raises(ValueError, match=message):
            TriggerSighting.from_json(value)

    @pytest.mark.parametrize("value", [None, {}, {"rounds": None}])
    def test_sighting_may_be_empty(self, value):
        assert TriggerSighting.from_json(value) == TriggerSighting()


class TestArrivalTimes:
    def test_seconds_from_the_run_call_to_the_poll_that_saw_the_last_row(self):
        polled = progress(started=100.0, types=(HTTP, "network")).poll({HTTP: rows("a")}, 104.26)
        polled = polled.poll({HTTP: rows("ab"), "network": rows("b")}, 110).poll({HTTP: rows("ab")}, 130)
        assert polled.arrived_after() == {"a": 4.3, "b": 10.0}
        assert polled.poll({"network": rows("a")}, 140).arrived_after() == {"a": 40.0, "b": 10.0}

    def test_times_of_the_trigger_are_kept(self):
        trigger = progress(started=100.0).poll({HTTP: rows("ab")}, 104)
        resumed = progress(started=100.0, sighting=trigger.to_sighting()).poll({HTTP: rows("abc")}, 120)
        assert resumed.arrived_after() == {"a": 4.0, "b": 4.0, "c": 20.0}

    def test_rows_of_later_rounds_have_no_time(self):
        polled = progress().poll({HTTP: rows("a") + rows("b", LATER)}, 5)
        assert polled.arrived_after() == {"a": 5.0}


class TestLogLines:
    def test_agents_that_reported_and_that_are_missing(self):
        before = progress().poll({HTTP: rows("a")}, 10)
        after = before.poll({HTTP: rows("ab")}, 20)
        assert after.describe_news(before) == ("2 of 3 agents reported (new: name b); missing: name c",)
        done = after.poll({HTTP: rows("abc")}, 30)
        assert done.describe_news(after) == ("3 of 3 agents reported (new: name c)",)
        assert done.describe_news(done) == ()

    def test_agent_that_completed_its_rows(self):
        before = progress("a", types=(HTTP, "network")).poll({HTTP: rows("a")}, 10)
        assert before.describe_news(progress("a")) == (
            "0 of 1 agent reported (new: name a); missing: name a",
        )
        after = before.poll({"network": rows("a")}, 20)
        assert after.describe_news(before) == ("1 of 1 agent reported",)

    def test_unknown_agents_have_no_total(self):
        polled = progress(UNKNOWN).poll({HTTP: rows("ab")}, 10)
        assert polled.describe_news(progress(UNKNOWN)) == ("2 agents reported (new: name a; name b)",)

    def test_many_agents_are_counted(self):
        names = "abcdefghijklmno"
        polled = progress(names).poll({HTTP: rows(names)}, 10)
        assert polled.describe_news(progress(names)) == (
            "15 of 15 agents reported (new: name a; name b; name c; name d; name e; name f; name g; name h and 7 more)",
        )

    def test_round_of_another_run_is_named_once(self):
        other = RUN_AT - 8
        before = progress().poll({HTTP: rows("ab", other)}, 10)
        assert before.describe_news(progress()) == (
            f"Ignoring round {other} (2026-09-21T14:13:22Z), started before the run call was sent: "
            "another run of this test",
        )
        assert before.poll({HTTP: rows("abc", other)}, 20).describe_news(before) == ()

    def test_rows_of_another_run_in_our_minute_are_named_once(self):
        minute = RUN_AT // 60 * 60 + 60
        start = progress(sent_at=minute + 30.5)
        before = start.poll({HTTP: rows("ab", minute, startTime=minute + 12)}, 10)
        assert before.describe_news(start) == (
            f"Ignoring 2 rows of round {minute} (2026-09-21T14:14:00Z), measured before the run call was sent: "
            "another run of this test",
        )
        assert before.poll({HTTP: rows("abc", minute, startTime=minute + 12)}, 20).describe_news(before) == ()

    def test_indistinct_round_is_named_once(self):
        minute = RUN_AT // 60 * 60 + 60
        start = progress(sent_at=minute + 30.5)
        polled = start.poll({HTTP: rows("a", minute, startTime=minute)}, 10)
        assert polled.describe_news(start)[0] == (
            f"Round {minute} (2026-09-21T14:14:00Z): the id is a whole minute and the rows have no other time, so "
            "an earlier run of this test in that minute cannot be told apart"
        )
        after = polled.poll({HTTP: rows("abc", minute, startTime=minute)}, 20)
        assert after.describe_news(polled) == ("3 of 3 agents reported (new: name b; name c)",)

    @pytest.mark.parametrize(
        ("seconds", "measured"), [(0.5, 0), (30.5, 40)], ids=["minute of the call", "rows with a time"]
    )
    def test_distinct_round_is_not_named(self, seconds, measured):
        minute = RUN_AT // 60 * 60 + 60
        start = progress(sent_at=minute + seconds)
        polled = start.poll({HTTP: rows("abc", minute, startTime=minute + measured)}, 10)
        assert len(polled.describe_news(start)) == 1
        assert not polled.is_indistinct()

    def test_error_names_rounds_of_other_runs(self):
        others = [RUN_AT - age for age in (9, 7, 5, 3)]
        polled = progress().poll({HTTP: [row("a", other) for other in others]}, 10)
        described = polled.describe_other_rounds()
        assert [str(other) in described for other in others] == [False, True, True, True]
        assert described.endswith("; and 1 more")

    def test_error_without_any_newer_round(self):
        polled = progress().poll({HTTP: rows("abc", REMEMBERED)}, 10)
        assert polled.describe_other_rounds() == (
            f"no round newer than {REMEMBERED} (2026-09-21T14:13:00Z), from before the run call"
        )
        assert progress(remembered={HTTP: None}).describe_other_rounds() == "no round at all"
        assert polled.poll({HTTP: rows("ab")}, 20).describe_other_rounds() == ""

    def test_number_of_other_rounds_is_bounded(self):
        polled = progress(remembered={HTTP: None})
        polled = polled.poll({HTTP: [row("a", RUN_AT - age) for age in range(2, 500)]}, 10)
        assert len(polled.other_rounds) == 20
        assert max(other.round_id for other in polled.other_rounds) == RUN_AT - 2


class TestNextPoll:
    def test_first_poll_comes_after_one_interval(self):
        assert progress().next_poll(0) == 10

    def test_quota_stretches_the_interval_and_never_shortens_it(self):
        assert progress().next_poll(0, QuotaPace(least=25)) == 25
        assert progress().next_poll(0, QuotaPace(least=1)) == 10

    def test_never_after_the_deadline(self):
        assert progress().next_poll(595) == DEADLINE
        assert progress().next_poll(500, QuotaPace(least=1e9)) == DEADLINE

    def test_never_after_the_end_of_the_grace_time(self):
        polled = progress("abc", min_agents=2, grace=3).poll({HTTP: rows("ab")}, 10)
        assert polled.next_poll(10) == 13

    def test_never_after_the_end_of_the_quiet_period(self):
        polled = progress(UNKNOWN, schedule=PollSchedule(45.0)).poll({HTTP: rows("ab")}, 10)
        assert polled.next_poll(10) == 55
        assert polled.next_poll(55) == 70

    def test_short_interval_and_immediate_poll_at_the_deadline(self):
        often = progress(schedule=PollSchedule(0.2))
        assert often.next_poll(10.0) == 10.2
        assert often.next_poll(10.0, QuotaPace(least=3.0)) == 13.0
        assert often.next_poll(DEADLINE) == DEADLINE
        assert often.next_poll(DEADLINE - 0.1) == DEADLINE


ROWS = st.builds(
    lambda result_type, agent, round_id, place: (result_type, row(agent, round_id, **place)),
    st.sampled_from(["dns-server", "network"]),
    st.sampled_from("abcde"),
    st.sampled_from([REMEMBERED - 60, REMEMBERED, RUN_AT - 10, OURS, LATER, LATER + 60]),
    st.sampled_from(
        [{"serverId": "1", "direction": "to-target"}, {"serverId": "2", "direction": "from-target"}]
    ),
)
EXPECTED = st.one_of(
    st.just(UNKNOWN),
    st.builds(lambda count: ExpectedAgents("argument", count=count), st.integers(1, 5)),
    st.builds(listed, st.text("abcde", min_size=1, max_size=5)),
)
WAITS = st.builds(
    lambda expected, per_agent, min_agents, grace, interval: progress(
        expected,
        types=("dns-server", "network"),
        rows_per_agent={"dns-server": per_agent, "network": 1},
        min_agents=min_agents,
        grace=grace,
        schedule=PollSchedule(interval),
    ),
    EXPECTED,
    st.sampled_from([1, 2, None]),
    st.none() | st.integers(1, 5),
    st.floats(0, 100),
    st.floats(0.1, 200),
)


def by_type(typed_rows):
    response = {"dns-server": [], "network": []}
    for result_type, typed_row in typed_rows:
        response[result_type].append(typed_row)
    return response


def outcome(polled, now):
    return (
        polled.state(now),
        polled.rounds(),
        {name: sorted(map(str, of_type)) for name, of_type in polled.rows().items()},
        ids(polled.reported()),
        ids(polled.missing()),
        polled.missing_rows(),
    )


@given(WAITS, st.lists(ROWS, max_size=25), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_duplicates_and_pages_make_no_difference(start, typed_rows, chance, pages):
    at_once = start.poll(by_type(typed_rows), 10)
    mixed = typed_rows + [typed_row for typed_row in typed_rows if chance.random() < 0.5]
    chance.shuffle(mixed)
    paged = start
    for page in range(pages):
        paged = paged.poll(by_type(mixed[page::pages]), 10)
    for now in (10, 69.9, 70, 110, DEADLINE):
        assert outcome(at_once.poll(by_type([]), now), now) == outcome(paged.poll(by_type([]), now), now)


@given(WAITS, st.lists(st.lists(ROWS, max_size=8), max_size=8))
def test_only_fresh_rows_of_the_earliest_round_are_judged(start, polls):
    polled = start
    for nth, typed_rows in enumerate(polls):
        polled = polled.poll(by_type(typed_rows), 10.0 * nth)
    every = [typed_row for typed_rows in polls for typed_row in typed_rows]
    for result_type, of_type in polled.rows().items():
        fresh = {
            sent["roundId"] for name, sent in every if name == result_type and sent["roundId"] >= RUN_AT - 1
        }
        assert {judged["roundId"] for judged in of_type} == {min(fresh)}


@given(
    WAITS,
    st.lists(st.tuples(st.lists(ROWS, max_size=6), st.booleans()), max_size=10),
    st.builds(QuotaPace, st.floats(0, 500), st.floats(0, 5)),
    st.booleans(),
)
def test_polls_move_forward_and_never_skip_an_end(start, polls, pace, adaptive):
    polled, now = replace(start, schedule=PollSchedule()) if adaptive else start, 0.0
    for typed_rows, fails in polls:
        due = polled.next_poll(now, pace)
        assert due > now
        assert due <= now + max(polled.schedule.interval or 30, pace.least)
        if now < DEADLINE:
            assert due <= DEADLINE
        if polled.enough_since is not None and now < polled.enough_since + polled.grace:
            assert due <= polled.enough_since + polled.grace
        now = due
        polled = polled.poll({} if fails else by_type(typed_rows), now)
        if polled.state(now) is not WaitState.WAITING:
            return


@settings(max_examples=30)
@given(WAITS, st.integers(0, 2**32))
def test_wait_ends_at_the_deadline_at_the_latest(start, seed):
    chance, polled, now = random.Random(seed), start, 0.0
    while polled.state(now) is WaitState.WAITING:
        now = polled.next_poll(now, QuotaPace(least=5))
        typed_rows = [("network", row(chance.choice("abcde"))) for _ in range(chance.randint(0, 2))]
        polled = polled.poll(by_type(typed_rows), now)
        assert now <= DEADLINE


@given(WAITS, st.lists(ROWS, max_size=20), st.lists(ROWS, max_size=20))
def test_resumed_worker_never_judges_fewer_agents_than_the_trigger_saw(start, first, second):
    trigger = start.poll(by_type(first), 10)
    sighting = TriggerSighting.from_json(trigger.to_sighting().to_json())
    worker = RoundProgress(
        **{name: getattr(start, name) for name in ("rows_per_agent", "remembered", "sent_at", "expected")},
        deadline=DEADLINE,
        min_agents=start.min_agents,
        grace=start.grace,
        sighting=sighting,
    ).poll(by_type(second), 70)
    for trigger_state in (*WaitState, None):
        state = worker.resumed_state(trigger_state, 70)
        if state in (WaitState.COMPLETE, WaitState.ENOUGH, WaitState.QUIET):
            for name, round_id in sighting.rounds.items():
                assert worker.rounds()[name] <= round_id
                if worker.rounds()[name] == round_id:
                    assert len(worker.rows()[name]) >= sighting.rows[name]


def test_progress_is_created_from_the_run_handle():
    plan = Plan(
        test_id="7",
        test_type=HTTP,
        account_group_id=None,
        directions={HTTP: (None,)},
        rows_per_agent={HTTP: 2},
        expected=listed("ab"),
        remembered={HTTP: REMEMBERED},
        round_length=12.0,
    )
    run = RunHandle(plan, sent_at=RUN_AT - 2.0, accepted_at=RUN_AT, deadline=RUN_AT + 598.0, run_calls=1)
    made = RoundProgress.for_run(
        run, now=5.0, server_now=RUN_AT + 3.0, poll_interval=5, min_agents=1, grace=7, clock_tolerance=2.5
    )
    assert made == RoundProgress(
        rows_per_agent={HTTP: 2},
        remembered={HTTP: REMEMBERED},
        sent_at=RUN_AT - 2.0,
        expected=listed("ab"),
        deadline=600.0,
        started=0.0,
        schedule=PollSchedule(5, 12.0),
        min_agents=1,
        grace=7,
        clock_tolerance=2.5,
    )
    later = RoundProgress.for_run(
        run, now=5.0, server_now=RUN_AT + 3.0, poll_interval=5, min_agents=1, grace=7, deadline=77.0
    )
    assert later.deadline == 77.0


def test_half_of_ten_thousand_agents_may_be_missing():
    agents = [f"{10_000 + n}" for n in range(10_000)]
    start = progress(listed(agents), types=(HTTP, "network"))
    polled = start.poll({HTTP: rows(agents), "network": rows(agents[::2])}, 10)
    assert polled.state(10) is WaitState.WAITING
    assert len(polled.missing_rows()) == len(polled.missing()) == 5_000
    assert len(polled.describe_news(start)) == 1
