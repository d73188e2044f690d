"""Rows of our round are newer than the remembered round and measured after the run call was sent."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.api.rounds import (
    RowOrigin,
    agent_id_of,
    agent_name_of,
    app_link,
    measured_at,
    newest_round,
    round_length,
    round_of,
    row_content,
    row_key,
    row_origin,
    wait_for_next_minute,
    window_back_to,
    window_seconds,
)

SENT_AT = 1_790_000_010.4
MINUTE = 1_789_999_980
"""The previous whole minute."""


def row(round_id, agent_id="1", **fields):
    return {"roundId": round_id, "agent": {"agentId": agent_id}, **fields}


def iso(epoch):
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def origin(round_id, remembered=None, sent_at=SENT_AT, tolerance=1.0, **fields):
    return row_origin(
        row(round_id, **fields), remembered=remembered, sent_at=sent_at, clock_tolerance=tolerance
    )


class TestRoundOfRow:
    @pytest.mark.parametrize("round_id", [1_384_309_800, "1384309800", 1_384_309_800.0])
    def test_round_id_may_be_text(self, round_id):
        assert round_of({"roundId": round_id}) == 1_384_309_800

    @pytest.mark.parametrize(
        "round_id", [None, "", "latest", True, 1.5, [], 0, -5, 253_402_300_800, 1_384_309_800_000, 10**30]
    )
    def test_no_other_field_replaces_an_invalid_round_id(self, round_id):
        invalid = {"roundId": round_id, "startTime": 1_384_309_800, "date": iso(1_384_309_800)}
        assert round_of(invalid) is None
        assert measured_at(invalid) is None
        assert row_origin(invalid, remembered=None, sent_at=0) is RowOrigin.PREVIOUS

    def test_newest_round_of_rows_in_any_order(self):
        assert newest_round([row(30), row("50"), {}, row(40)]) == 50
        assert newest_round([{}]) is None
        assert newest_round([]) is None


class TestMeasurementTime:
    @pytest.mark.parametrize(
        "fields",
        [
            {"startTime": MINUTE + 42},
            {"startTime": str(MINUTE + 42)},
            {"date": iso(MINUTE + 42)},
            {"date": iso(MINUTE + 42).replace("T", " ").rstrip("Z")},
            {"date": iso(MINUTE + 42), "startTime": MINUTE},
            {"date": iso(MINUTE), "startTime": MINUTE + 42},
            {"date": iso(MINUTE + 90), "startTime": MINUTE + 42},
        ],
    )
    def test_earliest_time_after_the_round_id(self, fields):
        assert measured_at(row(MINUTE, **fields)) == MINUTE + 42

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"startTime": MINUTE, "date": iso(MINUTE)},
            {"startTime": MINUTE - 30, "date": iso(MINUTE - 30)},
            {"startTime": (MINUTE + 42) * 1000, "date": "yesterday"},
            {"startTime": True, "date": MINUTE},
            {"startTime": [], "date": "9" * 5000},
            {"date": "0001-01-01T00:00:00+23:00"},
        ],
    )
    def test_unknown_when_a_row_repeats_its_round_id_or_has_no_valid_time(self, fields):
        assert measured_at(row(MINUTE, **fields)) is None


class TestRoundLength:
    EXACT = MINUTE + 7

    def test_seconds_from_the_start_to_the_last_measurement(self):
        rows = [row(self.EXACT, startTime=self.EXACT + 5), row(self.EXACT, date=iso(self.EXACT + 21))]
        assert round_length([row(self.EXACT - 300, startTime=self.EXACT - 100), *rows]) == 21

    @pytest.mark.parametrize(
        "rows",
        [
            [],
            [{}],
            [row(EXACT)],
            [row(EXACT, startTime=EXACT)],
            [row(MINUTE, startTime=MINUTE + 21)],
        ],
    )
    def test_unknown_without_measurement_times_or_an_exact_start(self, rows):
        assert round_length(rows) is None


class TestOrigin:
    @pytest.mark.parametrize("round_id", [int(SENT_AT) - 1, int(SENT_AT), int(SENT_AT) + 5])
    def test_exact_round_id_may_be_the_tolerance_before_the_call(self, round_id):
        expected = RowOrigin.OURS if round_id >= SENT_AT - 1 else RowOrigin.OTHER_ROUND
        assert origin(round_id) is expected

    @pytest.mark.parametrize(("tolerance", "ours"), [(0, False), (0.3, False), (0.4, True), (5, True)])
    def test_tolerance_is_configurable(self, tolerance, ours):
        assert (origin(int(SENT_AT), tolerance=tolerance) is RowOrigin.OURS) is ours

    @pytest.mark.parametrize("age", [2, 8, 31, 58, 59, 61, 300])
    def test_round_that_started_before_the_call_is_another_run(self, age):
        assert origin(int(SENT_AT) - age) is RowOrigin.OTHER_ROUND

    @pytest.mark.parametrize("seconds", [0, 0.4, 30, 59.9])
    def test_whole_minute_is_compared_with_the_minute_of_the_call(self, seconds):
        assert origin(MINUTE, sent_at=MINUTE + seconds) is RowOrigin.OURS
        assert origin(MINUTE + 60, sent_at=MINUTE + seconds) is RowOrigin.OURS
        assert origin(MINUTE - 60, sent_at=MINUTE + seconds) is RowOrigin.OTHER_ROUND

    def test_slow_response_across_the_end_of_a_minute_does_not_lose_our_round(self):
        assert origin(MINUTE, sent_at=MINUTE + 58.2) is RowOrigin.OURS

    def test_row_measured_before_the_call_is_another_run_in_the_round_of_ours(self):
        sent_at = MINUTE + 30.6
        assert origin(MINUTE, sent_at=sent_at, startTime=MINUTE + 29) is RowOrigin.OTHER_MEASUREMENT
        assert origin(MINUTE, sent_at=sent_at, date=iso(MINUTE + 29)) is RowOrigin.OTHER_MEASUREMENT
        assert origin(MINUTE, sent_at=sent_at, startTime=MINUTE + 29, date=iso(MINUTE + 40)) is (
            RowOrigin.OTHER_MEASUREMENT
        )

    @pytest.mark.parametrize("measured", [30, 31, 95])
    def test_row_measured_in_the_second_of_the_call_or_later_is_ours(self, measured):
        assert origin(MINUTE, sent_at=MINUTE + 30.6, startTime=MINUTE + measured) is RowOrigin.OURS

    def test_row_that_repeats_its_round_id_is_judged_by_the_round_alone(self):
        assert origin(MINUTE, sent_at=MINUTE + 30.6, startTime=MINUTE, date=iso(MINUTE)) is RowOrigin.OURS

    @pytest.mark.parametrize("newer_by", [-300, -30, 0])
    def test_remembered_round_and_older_rounds_are_previous(self, newer_by):
        remembered = int(SENT_AT)
        assert origin(remembered + newer_by, remembered=remembered) is RowOrigin.PREVIOUS
        assert origin(remembered + 1, remembered=remembered) is RowOrigin.OURS

    def test_newer_than_the_remembered_round_is_not_enough(self):
        assert origin(int(SENT_AT) - 20, remembered=int(SENT_AT) - 900) is RowOrigin.OTHER_ROUND

    @given(st.integers(1, 2**33), st.none() | st.integers(1, 2**33), st.floats(0, 2**33))
    def test_fresh_round_is_newer_than_the_remembered_round_and_the_call(self, round_id, remembered, sent_at):
        fresh = row_origin(row(round_id), remembered=remembered, sent_at=sent_at) is RowOrigin.OURS
        newer = remembered is None or round_id > remembered
        earliest = sent_at - sent_at % 60 if round_id % 60 == 0 else sent_at - 1
        assert fresh == (newer and round_id >= earliest)


class TestWaitForNextMinute:
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
    def test_remembered_round_of_this_minute_delays_the_run(self, now, wait):
        assert wait_for_next_minute([MINUTE], now) == wait

    @pytest.mark.parametrize("remembered", [[], [None], [MINUTE + 1], [MINUTE + 59, None], [MINUTE - 60]])
    def test_other_rounds_do_not_delay_the_run(self, remembered):
        assert wait_for_next_minute(remembered, MINUTE + 5.0) == 0

    @pytest.mark.parametrize("behind", [0.1, 1, 2.5, 5, 29])
    def test_late_estimate_of_the_clock_does_not_hide_the_round_of_this_minute(self, behind):
        assert wait_for_next_minute([MINUTE], MINUTE - behind) == pytest.approx(60 + behind)

    def test_round_of_the_far_future_does_not_delay_the_run(self):
        assert wait_for_next_minute([MINUTE + 3600], MINUTE) == 0

    def test_one_result_type_of_this_minute_is_enough(self):
        assert wait_for_next_minute([MINUTE - 60, None, MINUTE], MINUTE + 20) == 40

    @given(st.lists(st.none() | st.integers(MINUTE - 300, MINUTE + 300)), st.floats(MINUTE, MINUTE + 60))
    def test_whole_minute_id_after_the_wait_differs_from_every_remembered_id(self, remembered, now):
        remembered = [round_id for round_id in remembered if round_id is None or round_id <= now]
        wait = wait_for_next_minute(remembered, now)
        assert 0 <= wait <= 60
        ours = (now + wait) // 60 * 60
        assert all(round_id != ours for round_id in remembered)


class TestWindow:
    @pytest.mark.parametrize(
        ("ago", "window"), [(0, "120s"), (0.2, "121s"), (300, "420s"), (-50, "120s"), (86400, "86520s")]
    )
    def test_reaches_back_to_the_run_call_with_a_margin(self, ago, window):
        assert window_back_to(SENT_AT, SENT_AT + ago) == window

    @given(st.floats(0, 1e10), st.floats(0, 1e10))
    def test_is_valid_and_covers_every_fresh_round(self, sent_at, now):
        window = window_back_to(sent_at, now)
        assert re.fullmatch(r"\d+[smhdw]?", window)
        assert now - int(window[:-1]) <= sent_at - 60

    @pytest.mark.parametrize(
        ("window", "seconds"),
        [("24h", 86400), ("90", 90), (60, 60), ("2w", 1209600), (" 5m ", 300), ("1d", 86400)],
    )
    def test_has_a_unit(self, window, seconds):
        assert window_seconds(window) == seconds

    @pytest.mark.parametrize("window", ["0h", "", "a day", "-1h", "1.5h", "1y"])
    def test_without_a_number_and_unit_is_refused(self, window):
        with pytest.raises(ValueError, match="is not a number with s, m, h, d or w, such as 24h"):
            window_seconds(window)


class TestAgentOfRow:
    def test_id_and_name(self):
        agent = {"agent": {"agentId": 7, "agentName": "Oslo, Norway"}}
        assert (agent_id_of(agent), agent_name_of(agent)) == ("7", "Oslo, Norway")

    @pytest.mark.parametrize("agent", [None, {}, [], "Oslo", {"agentId": None}, {"agentId": True}])
    def test_row_without_an_agent(self, agent):
        assert (agent_id_of({"agent": agent}), agent_name_of({"agent": agent})) == ("", "")

    def test_key_is_the_id_or_the_name(self):
        assert row_key("http-server", {"agent": {"agentId": "1", "agentName": "a"}}) == ("1",)
        assert row_key("http-server", {"agent": {"agentName": "a"}}) == ("a",)

    @pytest.mark.parametrize(
        ("result_type", "first", "second"),
        [
            ("dns-server", {"serverId": "1", "server": "a"}, {"serverId": "2", "server": "b"}),
            ("dns-server", {"server": "a"}, {"server": "b"}),
            ("network", {"direction": "to-target"}, {"direction": "from-target"}),
            ("network", {"server": "ns1.example:53"}, {"server": "ns2.example:53"}),
            ("path-vis", {"direction": "to-target"}, {"direction": "from-target"}),
        ],
    )
    def test_servers_and_directions_have_separate_keys(self, result_type, first, second):
        assert row_key(result_type, row(1, **first)) != row_key(result_type, row(1, **second))

    @pytest.mark.parametrize("result_type", RESULT_TYPES)
    def test_round_and_metrics_are_not_in_the_key(self, result_type):
        assert row_key(result_type, row(1, loss=1)) == row_key(result_type, row(2, loss=2))

    def test_content_compares_rows_that_have_the_same_key(self):
        endless: list = []
        for _ in range(100_000):
            endless = [endless]
        assert row_content({"b": 1, "a": [True, None]}) == ("a [True, None]", "b 1")
        assert row_content({"a": 10**5000, "b": endless, "c": "x"}) == ("a ", "b ", "c 'x'")


class TestDeepLink:
    def test_link_of_a_row(self):
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
