"""Which rows are of our round: newer than what was there, and not begun long before the run."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.api.rounds import (
    agent_id_of,
    agent_name_of,
    all_that_is_said,
    app_link,
    is_fresh,
    newest_round,
    round_of,
    row_key,
    wait_for_next_minute,
    window_back_to,
)

RUN_AT = 1_790_000_010.0
MINUTE = 1_789_999_980
"""The full minute before."""


def row(round_id, agent_id="1", **more):
    return {"roundId": round_id, "agent": {"agentId": agent_id}, **more}


class TestRoundOfARow:
    @pytest.mark.parametrize("told", [1_384_309_800, "1384309800", 1_384_309_800.0])
    def test_is_its_round_id_also_as_text(self, told):
        assert round_of({"roundId": told}) == 1_384_309_800

    @pytest.mark.parametrize(
        "told", [None, "", "latest", True, 1.5, [], 0, -5, 253_402_300_800, 1_384_309_800_000, 10**30]
    )
    def test_else_when_it_started(self, told):
        assert round_of({"roundId": told, "startTime": 1_384_309_800}) == 1_384_309_800
        assert round_of({"startTime": "1384309800"}) == 1_384_309_800

    @pytest.mark.parametrize(
        "silent", [{}, {"roundId": None}, {"roundId": "x", "startTime": "y"}, {"roundId": 10**30}]
    )
    def test_else_nobody_knows_and_it_is_never_fresh(self, silent):
        assert round_of(silent) is None
        assert not is_fresh(silent, remembered=None, started_after=0)

    def test_the_newest_of_many_in_any_order(self):
        assert newest_round([row(30), row("50"), {}, row(40)]) == 50
        assert newest_round([{}]) is None
        assert newest_round([]) is None


def test_what_tells_rows_apart_that_nothing_else_does():
    endless: list = []
    for _ in range(100_000):
        endless = [endless]
    assert all_that_is_said({"b": 1, "a": [True, None]}) == ("a [True, None]", "b 1")
    assert all_that_is_said({"a": 10**5000, "b": endless, "c": "x"}) == ("a ", "b ", "c 'x'")


class TestFresh:
    @pytest.mark.parametrize(
        ("round_id", "fresh"),
        [(RUN_AT + 5, True), (RUN_AT, True), (RUN_AT - 59, True), (RUN_AT - 60, True), (RUN_AT - 61, False)],
    )
    def test_a_round_may_have_begun_60_s_before_the_run_was_accepted_and_not_more(self, round_id, fresh):
        assert is_fresh(row(int(round_id)), remembered=None, started_after=RUN_AT) is fresh

    @pytest.mark.parametrize(
        ("newer_by", "fresh"), [(-30, False), (-1, False), (0, False), (1, True), (30, True)]
    )
    def test_the_remembered_round_is_never_taken_again(self, newer_by, fresh):
        remembered = int(RUN_AT) - 20
        assert is_fresh(row(remembered + newer_by), remembered=remembered, started_after=RUN_AT) is fresh

    def test_newer_than_remembered_is_not_enough(self):
        assert not is_fresh(row(int(RUN_AT) - 600), remembered=int(RUN_AT) - 900, started_after=RUN_AT)

    def test_not_older_than_a_minute_is_not_enough(self):
        assert not is_fresh(row(int(RUN_AT)), remembered=int(RUN_AT), started_after=RUN_AT)

    @given(st.integers(1, 2**33), st.none() | st.integers(1, 2**33), st.floats(0, 2**33))
    def test_a_fresh_round_is_newer_and_recent_always(self, round_id, remembered, started):
        fresh = is_fresh(row(round_id), remembered=remembered, started_after=started)
        assert fresh == ((remembered is None or round_id > remembered) and round_id >= started - 60)


class TestWaitForTheNextMinute:
    @pytest.mark.parametrize(
        ("now", "wait"),
        [
            (MINUTE, 60),
            (MINUTE + 0.5, 59.5),
            (MINUTE + 59, 1),
            (MINUTE + 59.75, 0.25),
            (MINUTE + 60, 0),
            (MINUTE + 61, 0),
            (MINUTE + 7200, 0),
        ],
    )
    def test_a_round_of_this_minute_is_waited_past(self, now, wait):
        assert wait_for_next_minute([MINUTE], now) == wait

    @pytest.mark.parametrize("remembered", [[], [None], [MINUTE + 1], [MINUTE + 59, None], [MINUTE - 60]])
    def test_otherwise_nothing_is_waited_for(self, remembered):
        assert wait_for_next_minute(remembered, MINUTE + 5.0) == 0

    @pytest.mark.parametrize("behind", [0.1, 1, 2.5, 5])
    def test_a_clock_that_is_read_a_little_late_does_not_hide_the_round_of_this_minute(self, behind):
        assert wait_for_next_minute([MINUTE], MINUTE - behind) == pytest.approx(60 + behind)

    def test_a_round_of_the_far_future_is_not_waited_for(self):
        assert wait_for_next_minute([MINUTE + 3600], MINUTE) == 0

    def test_one_result_type_of_this_minute_is_enough(self):
        assert wait_for_next_minute([MINUTE - 60, None, MINUTE], MINUTE + 20) == 40

    @given(st.lists(st.none() | st.integers(MINUTE - 300, MINUTE + 300)), st.floats(MINUTE, MINUTE + 60))
    def test_after_the_wait_a_floored_round_can_be_told_from_every_remembered_one(self, remembered, now):
        remembered = [found for found in remembered if found is None or found <= now]
        wait = wait_for_next_minute(remembered, now)
        assert 0 <= wait <= 60
        ours = (now + wait) // 60 * 60
        assert all(found != ours for found in remembered)


class TestWindow:
    @pytest.mark.parametrize(
        ("ago", "window"), [(0, "120s"), (0.2, "121s"), (300, "420s"), (-50, "120s"), (86400, "86520s")]
    )
    def test_reaches_back_to_the_run_with_the_tolerance_and_some_air(self, ago, window):
        assert window_back_to(RUN_AT, RUN_AT + ago) == window

    @given(st.floats(0, 1e10), st.floats(0, 1e10))
    def test_is_what_the_api_takes_and_covers_every_fresh_round(self, started, now):
        window = window_back_to(started, now)
        assert re.fullmatch(r"\d+[smhdw]?", window)
        assert now - int(window[:-1]) <= started - 60


class TestWhoSentARow:
    def test_id_and_name(self):
        found = {"agent": {"agentId": 7, "agentName": "Oslo, Norway"}}
        assert (agent_id_of(found), agent_name_of(found)) == ("7", "Oslo, Norway")

    @pytest.mark.parametrize("agent", [None, {}, [], "Oslo", {"agentId": None}, {"agentId": True}])
    def test_a_row_that_does_not_say(self, agent):
        assert (agent_id_of({"agent": agent}), agent_name_of({"agent": agent})) == ("", "")

    def test_the_id_tells_agents_apart_and_the_name_where_there_is_none(self):
        assert row_key("http-server", {"agent": {"agentId": "1", "agentName": "a"}}) == ("1",)
        assert row_key("http-server", {"agent": {"agentName": "a"}}) == ("a",)

    @pytest.mark.parametrize(
        ("result_type", "one", "other"),
        [
            ("dns-server", {"serverId": "1", "server": "a"}, {"serverId": "2", "server": "b"}),
            ("dns-server", {"server": "a"}, {"server": "b"}),
            ("network", {"direction": "to-target"}, {"direction": "from-target"}),
            ("network", {"server": "ns1.example:53"}, {"server": "ns2.example:53"}),
            ("path-vis", {"direction": "to-target"}, {"direction": "from-target"}),
        ],
    )
    def test_servers_and_directions_are_rows_of_their_own(self, result_type, one, other):
        assert row_key(result_type, row(1, **one)) != row_key(result_type, row(1, **other))

    @pytest.mark.parametrize("result_type", RESULT_TYPES)
    def test_the_round_and_the_figures_do_not_tell_rows_apart(self, result_type):
        assert row_key(result_type, row(1, loss=1)) == row_key(result_type, row(2, loss=2))


class TestDeepLink:
    def test_of_a_row(self):
        link = "https://app.thousandeyes.com/view/tests?testId=1"
        assert app_link({"_links": {"appLink": {"href": link}}}) == link

    @pytest.mark.parametrize(
        "links",
        [
            *(None, {}, [], {"appLink": None}, {"appLink": "https://x"}, {"appLink": {"href": None}}),
            *({"appLink": {"href": "javascript:alert(1)"}}, {"appLink": {"href": "/relative"}}),
        ],
    )
    def test_only_a_web_address_is_a_link(self, links):
        assert app_link({"_links": links}) is None
