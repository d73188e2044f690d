"""Waiting for our round: what has arrived, whether it is enough, when to look again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
from thousandeyes_provider.api.run import Plan, RunHandle

RUN_AT = 1_790_000_010
REMEMBERED = RUN_AT - 30
OURS = RUN_AT + 2
LATER = OURS + 1
DEADLINE = 600.0
HTTP = "http-server"


def row(agent, round_id=OURS, **more):
    return {"roundId": round_id, "agent": {"agentId": agent, "agentName": f"name {agent}"}, **more}


def rows(agents, round_id=OURS, **more):
    return [row(agent, round_id, **more) for agent in agents]


def known(agents):
    return ExpectedAgents.of("test", [Agent(one, f"name {one}") for one in agents])


def waiting(expected="abc", types=(HTTP,), per_agent=1, **more):
    settings = {
        "rows_per_agent": dict.fromkeys(types, per_agent),
        "remembered": dict.fromkeys(types, REMEMBERED),
        "started_after": float(RUN_AT),
        "expected": known(expected) if isinstance(expected, str) else expected,
        "deadline": DEADLINE,
        "poll_interval": 10.0,
    }
    return RoundProgress(**(settings | more))


def ids(agents):
    return "".join(sorted(agent.agent_id for agent in agents))


class TestOurRound:
    @pytest.mark.parametrize("old", [REMEMBERED, REMEMBERED - 300, RUN_AT - 61])
    def test_stale_round_is_never_judged(self, old):
        seen = waiting().look({HTTP: rows("abc", old)}, 10)
        assert (seen.rounds(), seen.rows(), seen.agents_seen()) == ({}, {}, ())
        assert seen.state(10) is WaitState.WAITING
        assert seen.state(DEADLINE) is WaitState.DEADLINE

    def test_rows_without_a_round_are_never_judged(self):
        assert waiting().look({HTTP: [{"agent": {"agentId": "a"}}]}, 10).rows() == {}

    def test_rows_that_name_no_agent_do_not_hide_one_another(self):
        bad, good = ({"roundId": OURS, "responseCode": code} for code in (500, 200))
        seen = waiting(UNKNOWN).look({HTTP: [bad]}, 10).look({HTTP: [good, dict(reversed(bad.items()))]}, 20)
        assert seen.rows() == {HTTP: [bad, good]}

    def test_old_and_new_may_be_served_together(self):
        seen = waiting().look({HTTP: rows("abc", REMEMBERED) + rows("ab")}, 10)
        assert seen.rounds() == {HTTP: OURS}
        assert ids(seen.reported()) == "ab"
        assert seen.state(10) is WaitState.WAITING

    def test_the_old_one_is_served_until_the_new_one_is_complete(self):
        seen = waiting().look({HTTP: rows("abc", REMEMBERED)}, 10).look({HTTP: []}, 20).look({}, 30)
        assert seen.state(30) is WaitState.WAITING
        assert seen.look({HTTP: rows("abc")}, 40).state(40) is WaitState.COMPLETE

    def test_a_later_round_does_not_complete_ours(self):
        seen = waiting().look({HTTP: rows("ab") + rows("abc", LATER)}, 10)
        assert seen.rounds() == {HTTP: OURS}
        assert ids(seen.missing()) == "c"
        assert seen.state(10) is WaitState.WAITING

    def test_a_later_round_does_not_replace_ours(self):
        seen = waiting().look({HTTP: rows("abc", loss=0)}, 10)
        after = seen.look({HTTP: rows("abc", LATER, loss=100)}, 20)
        assert after.rounds() == {HTTP: OURS}
        assert after.rows() == seen.rows()

    def test_ours_is_the_earliest_even_when_it_shows_up_last(self):
        seen = waiting().look({HTTP: rows("ab", LATER)}, 10).look({HTTP: rows("c")}, 20)
        assert seen.rounds() == {HTTP: OURS}
        assert ids(seen.reported()) == "c"

    @pytest.mark.parametrize("remembered", [None, {"page-load": REMEMBERED - 1, HTTP: REMEMBERED}])
    def test_each_result_type_has_its_own_where_the_one_before_had_too(self, remembered):
        remembered = remembered or dict.fromkeys(("page-load", HTTP))
        seen = waiting(types=("page-load", HTTP), remembered=remembered).look(
            {"page-load": rows("abc", LATER), HTTP: rows("abc", OURS)}, 10
        )
        assert seen.rounds() == {"page-load": LATER, HTTP: OURS}
        assert seen.state(10) is WaitState.COMPLETE

    def test_it_has_one_id_in_all_result_types_where_the_one_before_had(self):
        seen = waiting(types=("page-load", HTTP)).look(
            {"page-load": rows("abc", LATER), HTTP: rows("abc", OURS)}, 10
        )
        assert seen.rounds() == {HTTP: OURS}
        assert seen.state(10) is WaitState.WAITING
        seen = seen.look({"page-load": rows("abc", OURS)}, 20)
        assert seen.rounds() == {"page-load": OURS, HTTP: OURS}
        assert seen.state(20) is WaitState.COMPLETE

    def test_a_round_that_one_result_type_had_before_is_old_in_all(self):
        remembered = {"page-load": None, HTTP: OURS}
        seen = waiting(types=("page-load", HTTP), remembered=remembered).look(
            {"page-load": rows("abc", OURS), HTTP: rows("abc", LATER)}, 10
        )
        assert seen.rounds() == {HTTP: LATER}

    def test_what_was_seen_is_not_forgotten_when_a_later_look_lacks_it(self):
        seen = waiting().look({HTTP: rows("ab")}, 10).look({HTTP: rows("c")}, 20)
        assert seen.state(20) is WaitState.COMPLETE

    def test_the_network_of_each_dns_server_is_a_row_of_its_own(self):
        measured = [row("a", server="ns1:53", loss=100), row("a", server="ns2:53", loss=0)]
        assert waiting("a", types=("network",)).look({"network": measured}, 10).rows()["network"] == measured

    def test_a_row_that_is_served_again_is_read_anew(self):
        seen = waiting("a").look({HTTP: [row("a")]}, 10).look({HTTP: [row("a", responseTime=5)]}, 20)
        assert seen.rows()[HTTP] == [row("a", responseTime=5)]


class TestComplete:
    def test_every_expected_agent_has_reported(self):
        state = waiting().look({HTTP: rows("ab")}, 10)
        assert state.state(10) is WaitState.WAITING
        assert state.look({HTTP: rows("abc")}, 20).state(20) is WaitState.COMPLETE

    def test_a_silent_agent_is_missing_at_the_deadline(self):
        seen = waiting("abcde").look({HTTP: rows("abce")}, 10)
        assert seen.state(DEADLINE - 0.1) is WaitState.WAITING
        assert seen.state(DEADLINE) is WaitState.DEADLINE
        assert ids(seen.missing()) == "d"
        assert seen.lacking(Agent("d")) is None

    def test_one_dns_server_of_two_is_not_complete(self):
        dns = waiting("a", types=("dns-server",), per_agent=2)
        one = dns.look({"dns-server": [row("a", serverId="1"), row("a", serverId="1")]}, 10)
        assert one.state(10) is WaitState.WAITING
        assert ids(one.missing()) == "a"
        assert one.lacking(Agent("a")) == "dns-server 1 of 2"
        assert one.look({"dns-server": [row("a", serverId="2")]}, 20).state(20) is WaitState.COMPLETE

    def test_one_direction_of_two_is_not_complete(self):
        both = waiting("a", types=("network",), per_agent=2)
        one = both.look({"network": [row("a", direction="to-target")]}, 10)
        assert one.state(10) is WaitState.WAITING
        two = one.look({"network": [row("a", direction="from-target")]}, 20)
        assert two.state(20) is WaitState.COMPLETE

    def test_a_direction_of_a_later_round_does_not_complete_ours(self):
        both = waiting("a", types=("network",), per_agent=2)
        seen = both.look(
            {"network": [row("a", direction="to-target"), row("a", LATER, direction="from-target")]}, 10
        )
        assert seen.state(10) is WaitState.WAITING

    def test_one_result_type_of_two_is_not_complete(self):
        seen = waiting("ab", types=("page-load", HTTP)).look({"page-load": rows("ab"), HTTP: rows("a")}, 10)
        assert seen.state(10) is WaitState.WAITING
        assert ids(seen.missing()) == "b"
        assert seen.lacking(Agent("b")) == "http-server 0 of 1"
        assert seen.look({HTTP: rows("b")}, 20).state(20) is WaitState.COMPLETE

    @pytest.mark.parametrize("name", ["name a", "NAME A", " name a "])
    def test_agents_may_be_expected_by_name(self, name):
        expected = ExpectedAgents.of("argument", [Agent("", name), Agent("b", "")])
        seen = waiting(expected).look({HTTP: rows("b")}, 10)
        assert [str(agent) for agent in seen.missing()] == [name]
        assert seen.look({HTTP: rows("a")}, 20).state(20) is WaitState.COMPLETE

    def test_an_agent_that_nobody_expects_completes_nothing(self):
        seen = waiting("abc").look({HTTP: rows("abxyz")}, 10)
        assert seen.state(10) is WaitState.WAITING

    def test_a_count_is_met_by_any_agents(self):
        seen = waiting(ExpectedAgents("argument", count=3)).look({HTTP: rows("xy")}, 10)
        assert seen.state(10) is WaitState.WAITING
        assert seen.look({HTTP: rows("xyz")}, 20).state(20) is WaitState.COMPLETE

    def test_complete_at_the_deadline_is_complete(self):
        assert waiting().look({HTTP: rows("abc")}, DEADLINE + 5).state(DEADLINE + 5) is WaitState.COMPLETE


class TestUnknownAgents:
    def test_complete_when_60_s_bring_nothing_new_and_not_earlier(self):
        seen = waiting(UNKNOWN).look({HTTP: rows("ab")}, 10).look({HTTP: rows("ab")}, 69.9)
        assert seen.state(69.9) is WaitState.WAITING
        assert seen.look({HTTP: rows("ab")}, 70).state(70) is WaitState.QUIET

    def test_each_new_row_starts_the_60_s_anew(self):
        seen = waiting(UNKNOWN).look({HTTP: rows("a")}, 10).look({HTTP: rows("ab")}, 60)
        assert seen.look({HTTP: rows("ab")}, 119).state(119) is WaitState.WAITING
        assert seen.look({HTTP: rows("ab")}, 120).state(120) is WaitState.QUIET

    def test_a_later_round_is_nothing_new(self):
        seen = waiting(UNKNOWN).look({HTTP: rows("a")}, 10).look({HTTP: rows("abc", LATER)}, 50)
        assert seen.look({HTTP: []}, 70).state(70) is WaitState.QUIET

    def test_an_earlier_round_that_shows_up_late_starts_the_60_s_anew(self):
        seen = waiting(UNKNOWN).look({HTTP: rows("ab", LATER)}, 10).look({HTTP: rows("ab")}, 69)
        assert seen.look({HTTP: []}, 128).state(128) is WaitState.WAITING
        assert seen.look({HTTP: []}, 129).state(129) is WaitState.QUIET

    def test_looks_that_fail_are_no_quiet_minute(self):
        seen = waiting(UNKNOWN, types=("page-load", HTTP)).look({"page-load": rows("a"), HTTP: rows("a")}, 10)
        seen = seen.look({}, 40).look({HTTP: rows("a")}, 70)
        assert seen.state(70) is WaitState.WAITING
        assert seen.next_look(70) == 80
        assert seen.look({"page-load": [], HTTP: []}, 80).state(80) is WaitState.QUIET

    def test_nothing_at_all_is_not_quiet(self):
        seen = waiting(UNKNOWN).look({HTTP: []}, 10).look({HTTP: rows("a", REMEMBERED)}, 400)
        assert seen.state(400) is WaitState.WAITING
        assert seen.state(DEADLINE) is WaitState.DEADLINE

    def test_a_result_type_that_has_not_begun_is_waited_for(self):
        seen = waiting(UNKNOWN, types=("page-load", HTTP)).look({"page-load": rows("ab"), HTTP: []}, 10)
        seen = seen.look({"page-load": rows("ab"), HTTP: []}, 200)
        assert seen.state(200) is WaitState.WAITING

    def test_an_unknown_number_of_dns_servers_is_waited_for_likewise(self):
        dns = waiting("a", types=("dns-server",), per_agent=None)
        seen = dns.look({"dns-server": [row("a", serverId="1")]}, 10)
        assert seen.look({"dns-server": [row("a", serverId="1")]}, 69).state(69) is WaitState.WAITING
        assert seen.look({"dns-server": [row("a", serverId="1")]}, 70).state(70) is WaitState.QUIET

    @pytest.mark.parametrize("expected", ["abc", ExpectedAgents("argument", count=3)])
    def test_quiet_is_no_excuse_for_an_agent_that_is_known_and_silent(self, expected):
        dns = waiting(expected, types=("dns-server",), per_agent=None)
        seen = dns.look({"dns-server": rows("a", serverId="1")}, 10)
        seen = seen.look({"dns-server": rows("a", serverId="1")}, 400)
        assert seen.state(400) is WaitState.WAITING
        assert seen.look({}, DEADLINE).state(DEADLINE) is WaitState.DEADLINE


class TestEnough:
    def test_the_others_get_the_grace_time_and_no_more(self):
        seen = waiting("abcde", min_agents=4, grace=3).look({HTTP: rows("abcd")}, 10)
        assert seen.state(12.9) is WaitState.WAITING
        assert seen.state(13) is WaitState.ENOUGH
        assert ids(seen.missing()) == "e"

    def test_the_grace_time_runs_from_the_agent_that_made_it_enough(self):
        seen = waiting("abcde", min_agents=2, grace=30).look({HTTP: rows("a")}, 10)
        assert seen.enough_since is None
        seen = seen.look({HTTP: rows("ab")}, 20).look({HTTP: rows("abc")}, 40)
        assert seen.state(49) is WaitState.WAITING
        assert seen.state(50) is WaitState.ENOUGH

    def test_all_agents_end_it_at_once(self):
        assert (
            waiting("ab", min_agents=1, grace=60).look({HTTP: rows("ab")}, 10).state(10) is WaitState.COMPLETE
        )

    def test_an_agent_with_half_of_its_rows_is_not_one_of_them(self):
        dns = waiting("ab", types=("dns-server",), per_agent=2, min_agents=1, grace=0)
        seen = dns.look({"dns-server": [row("a", serverId="1"), row("b", serverId="1")]}, 10)
        assert seen.state(10) is WaitState.WAITING
        assert seen.look({"dns-server": [row("a", serverId="2")]}, 20).state(20) is WaitState.ENOUGH

    def test_agents_that_nobody_expects_are_not_among_them(self):
        seen = waiting("abc", min_agents=2, grace=0).look({HTTP: rows("axyz")}, 10)
        assert seen.state(10) is WaitState.WAITING
        assert seen.look({HTTP: rows("b")}, 20).state(20) is WaitState.ENOUGH

    def test_without_min_agents_there_is_no_grace(self):
        assert waiting("abc", grace=0).look({HTTP: rows("ab")}, 10).state(500) is WaitState.WAITING

    def test_works_for_agents_that_nobody_lists(self):
        seen = waiting(UNKNOWN, min_agents=2, grace=5).look({HTTP: rows("ab")}, 10)
        assert seen.state(15) is WaitState.ENOUGH


class TestNextLook:
    def test_the_first_look_comes_after_one_interval(self):
        assert waiting().next_look(0) == 10

    def test_the_quota_stretches_the_interval_and_never_shortens_it(self):
        assert waiting().next_look(0, pace=25) == 25
        assert waiting().next_look(0, pace=1) == 10

    def test_never_beyond_the_deadline(self):
        assert waiting().next_look(595) == DEADLINE
        assert waiting().next_look(500, pace=1e9) == DEADLINE

    def test_never_beyond_the_end_of_the_grace_time(self):
        seen = waiting("abc", min_agents=2, grace=3).look({HTTP: rows("ab")}, 10)
        assert seen.next_look(10) == 13

    def test_never_beyond_the_end_of_the_60_s(self):
        seen = waiting(UNKNOWN, poll_interval=45.0).look({HTTP: rows("ab")}, 10)
        assert seen.next_look(10) == 55
        assert seen.next_look(55) == 70


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
    st.builds(known, st.text("abcde", min_size=1, max_size=5)),
)
WAITINGS = st.builds(
    lambda expected, per_agent, min_agents, grace, interval: waiting(
        expected,
        types=("dns-server", "network"),
        rows_per_agent={"dns-server": per_agent, "network": 1},
        min_agents=min_agents,
        grace=grace,
        poll_interval=interval,
    ),
    EXPECTED,
    st.sampled_from([1, 2, None]),
    st.none() | st.integers(1, 5),
    st.floats(0, 100),
    st.floats(0.1, 200),
)


def found(told):
    by_type = {"dns-server": [], "network": []}
    for result_type, one in told:
        by_type[result_type].append(one)
    return by_type


def picture(seen, now):
    return (
        seen.state(now),
        seen.rounds(),
        {name: sorted(map(str, some)) for name, some in seen.rows().items()},
        ids(seen.reported()),
        ids(seen.missing()),
        ids(seen.agents_seen()),
    )


@given(WAITINGS, st.lists(ROWS, max_size=25), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_duplicates_and_pages_make_no_difference(start, told, chance, pages):
    at_once = start.look(found(told), 10)
    mixed = told + [one for one in told if chance.random() < 0.5]
    chance.shuffle(mixed)
    paged = start
    for page in range(pages):
        paged = paged.look(found(mixed[page::pages]), 10)
    for now in (10, 69.9, 70, 110, DEADLINE):
        assert picture(at_once.look(found([]), now), now) == picture(paged.look(found([]), now), now)


@given(WAITINGS, st.lists(st.lists(ROWS, max_size=8), max_size=8))
def test_only_fresh_rows_of_the_earliest_round_are_ever_there(start, looks):
    seen = start
    for nth, told in enumerate(looks):
        seen = seen.look(found(told), 10.0 * nth)
    every = [one for told in looks for one in told]
    for result_type, some in seen.rows().items():
        fresh = {one["roundId"] for name, one in every if name == result_type and one["roundId"] > REMEMBERED}
        assert {one["roundId"] for one in some} == {min(fresh)}


@given(
    WAITINGS,
    st.lists(st.tuples(st.lists(ROWS, max_size=6), st.booleans()), max_size=10),
    st.floats(0, 500),
)
def test_looks_always_move_forward_and_pass_no_turning_point(start, looks, pace):
    seen, now = start, 0.0
    for told, fails in looks:
        due = seen.next_look(now, pace)
        assert due > now
        assert due <= now + max(seen.poll_interval, pace)
        if now < DEADLINE:
            assert due <= DEADLINE
        if seen.enough_since is not None and now < seen.enough_since + seen.grace:
            assert due <= seen.enough_since + seen.grace
        now = due
        seen = seen.look({} if fails else found(told), now)
        if seen.state(now) is not WaitState.WAITING:
            return


@settings(max_examples=30)
@given(WAITINGS, st.integers(0, 2**32))
def test_the_waiting_always_ends_at_the_deadline_at_the_latest(start, seed):
    chance, seen, now = random.Random(seed), start, 0.0
    while seen.state(now) is WaitState.WAITING:
        now = seen.next_look(now, pace=5)
        told = [("network", row(chance.choice("abcde"))) for _ in range(chance.randint(0, 2))]
        seen = seen.look(found(told), now)
        assert now <= DEADLINE


def test_the_waiting_for_a_run_is_made_of_its_handle():
    plan = Plan(
        test_id="7",
        test_type=HTTP,
        account_group_id=None,
        directions={HTTP: (None,)},
        rows_per_agent={HTTP: 2},
        expected=known("ab"),
        remembered={HTTP: REMEMBERED},
    )
    run = RunHandle(plan, accepted_at=RUN_AT, earliest_start=RUN_AT - 2.0, deadline=9.0, run_calls=1)
    assert RoundProgress.for_run(
        run, deadline=DEADLINE, poll_interval=5, min_agents=1, grace=7
    ) == RoundProgress(
        rows_per_agent={HTTP: 2},
        remembered={HTTP: REMEMBERED},
        started_after=RUN_AT - 2.0,
        expected=known("ab"),
        deadline=DEADLINE,
        poll_interval=5,
        min_agents=1,
        grace=7,
    )


def test_agents_without_an_id_are_told_apart_by_their_names():
    named = [{"roundId": OURS, "agent": {"agentName": name}} for name in ("Oslo", "Rome")]
    expected = ExpectedAgents.of("argument", [Agent("", "Oslo"), Agent("", "Rome")])
    seen = waiting(expected).look({HTTP: named[:1]}, 10)
    assert seen.agents_seen() == (Agent("", "Oslo"),)
    assert seen.missing() == (Agent("", "Rome"),)
    assert seen.look({HTTP: named}, 20).state(20) is WaitState.COMPLETE


def test_an_agent_has_the_name_that_its_rows_say():
    assert waiting().look({HTTP: rows("a")}, 10).agents_seen() == (Agent("a", "name a"),)


def test_what_an_agent_lacks_is_told_of_every_result_type():
    seen = waiting(types=("page-load", HTTP, "network"), per_agent=None)
    seen = seen.look({HTTP: rows("a"), "page-load": [], "network": []}, 10)
    assert seen.lacking(Agent("a")) == "page-load 0 of 1, network 0 of 1"
    assert seen.lacking(Agent("b")) is None


def test_nothing_is_quiet_before_every_result_type_has_answered():
    seen = waiting(UNKNOWN, types=(HTTP, "network")).look({HTTP: rows("a")}, 10)
    assert seen.last_answer is None
    assert seen.state(DEADLINE - 1) is WaitState.WAITING
    assert waiting(UNKNOWN).look({HTTP: []}, 10).state(90) is WaitState.WAITING


def test_a_look_is_as_soon_as_the_interval_says_and_at_the_deadline_at_once():
    often = waiting(poll_interval=0.2)
    assert often.next_look(10.0) == 10.2
    assert often.next_look(10.0, pace=3.0) == 13.0
    assert often.next_look(DEADLINE) == DEADLINE
    assert often.next_look(DEADLINE - 0.1) == DEADLINE
