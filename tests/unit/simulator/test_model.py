from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.simulator.model import RunInProgress, SimulatedTest, World
from thousandeyes_provider.simulator.switches import Switches

NOW = 1_800_000_015.0
A, B, C = "Frankfurt, Germany", "Ashburn, VA", "Singapore"
A_ID, B_ID, C_ID = "14410", "14412", "14419"


def world(speed: float = 1.0, **switches: Any) -> World:
    """Return a world without tests. By default, runs in the same minute have different round ids."""
    chosen = {"round_ids": "second", **switches}
    return World(NOW, Switches().changed(chosen), speed=speed, default_tests=False)


def http_test(where: World, **spec: Any) -> SimulatedTest:
    """Add a test with a complete round. Its agents A and B take 1 and 3 seconds."""
    return where.add_test(
        NOW,
        **{"test_type": "http-server", "agents": [A, B], "delays": {A: 1, B: 3}, "history": [300], **spec},
    )


def seen(where: World, test: SimulatedTest, now: float, **how: Any) -> list[tuple[int, str]]:
    rows = where.visible_rows(test, "http-server", now, **how)
    return [(row.round.number, row.agent_id) for row in rows]


class TestNewestRound:
    def test_partial_shows_the_rows_so_far(self) -> None:
        here = world(newest_round="partial")
        test = http_test(here)
        here.run(test, NOW)
        assert seen(here, test, NOW + 0.9) == [(0, A_ID), (0, B_ID)], (
            "no row has landed: still the previous round"
        )
        assert seen(here, test, NOW + 1) == [(1, A_ID)]
        assert seen(here, test, NOW + 3) == [(1, A_ID), (1, B_ID)]

    def test_previous_shows_the_previous_round_until_the_new_round_is_complete(self) -> None:
        here = world(newest_round="previous")
        test = http_test(here)
        here.run(test, NOW)
        assert seen(here, test, NOW + 2.9) == [(0, A_ID), (0, B_ID)]
        assert seen(here, test, NOW + 3) == [(1, A_ID), (1, B_ID)]

    def test_both_shows_the_partial_and_the_previous_round(self) -> None:
        here = world(newest_round="both")
        test = http_test(here)
        here.run(test, NOW)
        assert seen(here, test, NOW + 2) == [(0, A_ID), (0, B_ID), (1, A_ID)]
        assert seen(here, test, NOW + 3) == [(1, A_ID), (1, B_ID)]

    @pytest.mark.parametrize(
        ("newest_round", "rounds"), [("partial", {0, 1}), ("previous", {0}), ("both", {0, 1})]
    )
    def test_a_window_follows_the_same_rule(self, newest_round: str, rounds: set[int]) -> None:
        here = world(newest_round=newest_round)
        test = http_test(here)
        here.run(test, NOW)
        visible = seen(here, test, NOW + 2, between=(NOW - 600, NOW + 2))
        assert {number for number, _ in visible} == rounds

    def test_previous_shows_an_incomplete_round_once_a_newer_round_is_complete(self) -> None:
        here = world(newest_round="previous")
        test = http_test(here)
        here.run(test, NOW, silent=[B])
        assert seen(here, test, NOW + 60) == [(0, A_ID), (0, B_ID)]
        here.run(test, NOW + 60)
        assert seen(here, test, NOW + 70, between=(NOW - 1, NOW + 70)) == [(1, A_ID), (2, A_ID), (2, B_ID)]

    def test_a_test_can_override_a_switch(self) -> None:
        here = world(newest_round="partial")
        test = http_test(here, switches={"newest_round": "previous"})
        here.run(test, NOW)
        assert seen(here, test, NOW + 2) == [(0, A_ID), (0, B_ID)]


class TestRounds:
    def test_a_round_id_is_a_whole_minute_by_default(self) -> None:
        here = World(NOW, default_tests=False)
        started = here.run(http_test(here), NOW)
        assert started is not None
        assert started.round_id == 1_800_000_000

    def test_a_round_id_can_be_the_second_of_the_start_on_the_simulators_clock(self) -> None:
        here = world(clock_offset=3600.0)
        started = here.run(http_test(here), NOW + 0.7)
        assert started is not None
        assert started.round_id == 1_800_003_615

    def test_two_runs_in_the_same_second_are_two_rounds(self) -> None:
        here = world()
        test = http_test(here)
        ids = [started.round_id for started in (here.run(test, NOW), here.run(test, NOW + 0.5)) if started]
        assert ids == [1_800_000_015, 1_800_000_016]

    @pytest.mark.parametrize(
        ("round_ids", "expected"), [("second", 1_800_000_000), ("unambiguous", 1_800_000_001)]
    )
    def test_id_of_a_round_that_starts_with_the_minute(self, round_ids: str, expected: int) -> None:
        here = world(round_ids=round_ids)
        started = here.run(http_test(here, history=[]), 1_800_000_000.5)
        assert started is not None
        assert started.round_id == expected

    def test_rounds_in_the_same_minute_share_a_minute_id(self) -> None:
        here = world(round_ids="minute")
        test = http_test(here, history=[])
        ids = [started.round_id for at in (0, 10, 45) if (started := here.run(test, NOW + at))]
        assert ids == [1_800_000_000, 1_800_000_000, 1_800_000_060]
        assert seen(here, test, NOW + 9) == [(0, A_ID), (0, B_ID)]
        assert seen(here, test, NOW + 12) == [(1, A_ID), (0, B_ID)], "a later row replaces an earlier row"
        assert seen(here, test, NOW + 20) == [(1, A_ID), (1, B_ID)]

    def test_rows_of_the_history_have_landed_with_any_delays(self) -> None:
        here = world()
        test = http_test(here, delays=1000, history=[600, 10])
        assert [state.complete for state in here.round_states(test, NOW)] == [True, True]
        assert [state.round_id for state in here.round_states(test, NOW)] == [1_799_999_415, 1_800_000_005]

    def test_history_rounds_can_have_their_own_behavior(self) -> None:
        here = world()
        test = http_test(here, history=[{"ago": 600, "outcomes": "error", "silent": [B]}])
        (row,) = here.visible_rows(test, "http-server", NOW)
        assert here.row(test, "http-server", row)["errorType"] == "Connect"
        assert here.round_states(test, NOW)[0].missing["http-server"] == (B_ID,)

    def test_speed_divides_delays_but_not_the_clock(self) -> None:
        here = world(speed=20)
        test = http_test(here, history=[300])
        here.run(test, NOW)
        assert seen(here, test, NOW + 0.04) == [(0, A_ID), (0, B_ID)]
        assert seen(here, test, NOW + 0.05) == [(1, A_ID)]
        assert seen(here, test, NOW + 0.15) == [(1, A_ID), (1, B_ID)]
        assert test.rounds[0].round_id == 1_799_999_715, "the age of the history is not divided"

    def test_by_default_each_agent_takes_two_to_six_seconds(self) -> None:
        here = world()
        test = here.add_test(NOW, test_type="http-server", agents=40, history=[])
        started = here.run(test, NOW)
        assert started is not None
        delays = {when - NOW for when in started.lands.values() if when is not None}
        assert len(delays) == 40
        assert min(delays) >= 2
        assert max(delays) <= 6


class TestAgents:
    def test_a_silent_agent_never_reports(self) -> None:
        here = world()
        test = http_test(here, silent=[B])
        here.run(test, NOW)
        assert seen(here, test, NOW + 1e6) == [(1, A_ID)]

    @pytest.mark.parametrize("state", ["offline", "disabled"])
    def test_an_agent_that_is_not_online_reports_nothing(self, state: str) -> None:
        here = world()
        test = http_test(here, agents=[A, "vienna-office-1"])
        here.change_agent("vienna-office-1", state)
        here.run(test, NOW)
        assert seen(here, test, NOW + 1e6) == [(1, A_ID)]

    def test_delays_can_be_by_result_type_and_agent(self) -> None:
        here = world()
        test = here.add_test(
            NOW,
            test_type="page-load",
            agents=[A, B],
            history=[],
            delays={"page-load": {A: 9, B: None}, "http-server": 1, B: {"network": 4}},
        )
        here.run(test, NOW)

        def missing(now: float, result_type: str) -> tuple[str, ...]:
            return here.round_states(test, now)[0].missing[result_type]

        assert missing(NOW + 1, "http-server") == ()
        assert missing(NOW + 8.9, "page-load") == (A_ID, B_ID)
        assert missing(NOW + 9, "page-load") == (B_ID,)
        assert missing(NOW + 1e6, "page-load") == (B_ID,)
        assert B_ID in missing(NOW + 3.9, "network")
        assert B_ID not in missing(NOW + 4, "network")

    def test_a_number_adds_agents(self) -> None:
        here = world()
        test = here.add_test(NOW, test_type="http-server", agents=60)
        assert len(set(test.agents)) == 60
        assert len({here.agents[agent_id].name for agent_id in test.agents}) == 60

    def test_the_target_agent_measures_only_if_named(self) -> None:
        here = world()
        test = here.add_test(NOW, test_type="agent-to-agent", agents=3, target_agent=A)
        assert test.agents == (B_ID, C_ID, "281474976710801")
        assert test.definition["targetAgentId"] == A_ID


class TestRunWhileRunning:
    def test_a_new_round_each_time(self) -> None:
        here = world(run_while_running="new-round")
        test = http_test(here)
        assert here.run(test, NOW)
        assert here.run(test, NOW + 1)

    def test_a_run_is_merged_into_the_current_round(self) -> None:
        here = world(run_while_running="merge")
        test = http_test(here)
        here.run(test, NOW)
        assert here.run(test, NOW + 2.9) is None
        assert here.run(test, NOW + 3) is not None

    def test_a_second_run_is_refused(self) -> None:
        here = world(run_while_running="409")
        test = http_test(here)
        here.run(test, NOW)
        with pytest.raises(RunInProgress):
            here.run(test, NOW + 2.9)
        assert len(test.rounds) == 2
        assert here.run(test, NOW + 3) is not None

    def test_run_busy_sets_how_long_a_run_is_in_progress(self) -> None:
        here = world(run_while_running="merge", run_busy=30.0, speed=10)
        test = http_test(here)
        here.run(test, NOW)
        assert here.run(test, NOW + 2.9) is None
        assert here.run(test, NOW + 3) is not None

    def test_a_silent_agent_does_not_keep_a_run_in_progress(self) -> None:
        here = world(run_while_running="409")
        test = http_test(here, silent=[B])
        here.run(test, NOW)
        assert here.is_running(test, NOW + 0.9)
        assert not here.is_running(test, NOW + 1)


class TestBehavior:
    def rows(self, here: World, test: SimulatedTest, result_type: str) -> dict[str, dict[str, Any]]:
        visible = here.visible_rows(test, result_type, NOW + 100)
        return {row.agent_id: here.row(test, result_type, row) for row in visible}

    def test_one_agent_can_fail(self) -> None:
        here = world()
        test = http_test(here, outcomes={B: "error"})
        here.run(test, NOW)
        rows = self.rows(here, test, "http-server")
        assert rows[A_ID]["errorType"] == "None"
        assert rows[B_ID]["errorType"] == "Connect"
        assert "responseTime" not in rows[B_ID]

    def test_metrics_apply_to_rows_with_such_a_field(self) -> None:
        here = world()
        test = http_test(
            here, metrics={"responseTime": 900, B: {"responseTime": 1500}, "network": {"loss": 2}}
        )
        here.run(test, NOW)
        assert self.rows(here, test, "http-server")[A_ID]["responseTime"] == 900
        assert self.rows(here, test, "http-server")[B_ID]["responseTime"] == 1500
        assert self.rows(here, test, "network")[A_ID]["loss"] == 2
        assert "responseTime" not in self.rows(here, test, "network")[A_ID]

    def test_a_metric_can_be_removed_or_added(self) -> None:
        here = world()
        test = http_test(
            here, metrics={"http-server": {"responseTime": None, "novelty": 1, A: {"novelty": 2}}}
        )
        here.run(test, NOW)
        rows = self.rows(here, test, "http-server")
        assert "responseTime" not in rows[A_ID]
        assert (rows[A_ID]["novelty"], rows[B_ID]["novelty"]) == (2, 1)

    def test_a_part_of_an_object_can_be_changed(self) -> None:
        here = world()
        test = http_test(here, metrics={"headers": {"responseHeaders": "x-app-version: 2"}})
        here.run(test, NOW)
        headers = self.rows(here, test, "http-server")[A_ID]["headers"]
        assert headers["responseHeaders"] == "x-app-version: 2"
        assert headers["requestHeaders"]

    def test_a_change_applies_to_later_rounds(self) -> None:
        here = world()
        test = http_test(here)
        here.run(test, NOW)
        here.change_test(test, outcomes="error")
        assert self.rows(here, test, "http-server")[A_ID]["errorType"] == "None"
        here.run(test, NOW + 10)
        assert self.rows(here, test, "http-server")[A_ID]["errorType"] == "Connect"

    def test_next_runs_sets_the_behavior_of_each_run(self) -> None:
        here = world()
        test = http_test(here, next_runs=[{"outcomes": "error"}, {"silent": [B]}])
        behaviors = [started.behavior for at in range(3) if (started := here.run(test, NOW + at))]
        assert [(behavior.outcomes, behavior.silent) for behavior in behaviors] == [
            ("error", ()),
            ("ok", (B_ID,)),
            ("ok", ()),
        ]

    def test_a_behavior_can_be_for_one_run(self) -> None:
        here = world()
        test = http_test(here)
        here.run(test, NOW, outcomes={"http-server": "error"})
        here.run(test, NOW + 5)
        assert [round_.behavior.outcomes for round_ in test.rounds] == [
            "ok",
            {":type:http-server": "error"},
            "ok",
        ]


class TestMistakes:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ({"test_type": "bgp"}, "test_type must be one of agent-to-server"),
            ({"agents": ["Atlantis"]}, "unknown agent 'Atlantis'; known: 'Frankfurt, Germany'"),
            ({"agents": []}, "agents"),
            ({"agents": 0}, "agents"),
            ({"agents": 10**9}, "agents: a number must be from 1 to 1000, got 1000000000"),
            ({"name": 5}, "name"),
            ({"test_id": ["1"]}, "test_id"),
            ({"definition": "url"}, "definition"),
            ({"switches": ["page_size"]}, "switches"),
            ({"next_runs": {"outcomes": "error"}}, "next_runs"),
            ({"agents": "Singapore"}, "agents"),
            ({"outcomes": "bad"}, "outcomes must be one of ok, error, got 'bad'"),
            ({"outcomes": {"http": "error"}}, "outcomes: 'http' is neither a result type nor an agent"),
            ({"delays": {A: -1}}, "delays"),
            ({"delays": "slow"}, "delays"),
            (
                {"metrics": {"http": {"responseTime": 1}}},
                "metrics: 'http' is neither a result type nor an agent",
            ),
            ({"metrics": 5}, "metrics"),
            ({"silent": A}, "silent"),
            ({"history": 300}, "history"),
            ({"history": [-1]}, "history"),
            ({"history": [{"ago": 5, "mood": "bad"}]}, "unknown field of a round mood; known: outcomes"),
            ({"direction": "to-target"}, "direction"),
            ({"dns_servers": ["ns1"]}, "dns_servers"),
            ({"target_agent": A}, "target_agent"),
            ({"account_group_id": "9"}, "account_group_id must be one of 1001, 1002, got '9'"),
            ({"network_measurements": "no"}, "network_measurements"),
            ({"switches": {"clock_offset": 5.0}}, "unknown switch of a test clock_offset"),
            ({"next_runs": [{"outcome": "error"}]}, "unknown behavior outcome; known: outcomes, condition"),
            ({"colour": "red"}, "unknown field of a test colour; known: test_type"),
        ],
    )
    def test_an_invalid_test_is_refused_with_the_choices(self, spec: dict[str, Any], message: str) -> None:
        here = world()
        with pytest.raises(ValueError, match=message):
            here.add_test(NOW, **{"test_type": "http-server", **spec})
        assert here.tests == {}

    def test_ids_and_names_are_unique(self) -> None:
        here = world()
        test = http_test(here, test_id="1", name="Shop")
        with pytest.raises(ValueError, match="test_id '1' is already in use"):
            http_test(here, test_id="1")
        with pytest.raises(ValueError, match="name 'Shop' is already in use"):
            http_test(here, name="Shop")
        with pytest.raises(ValueError, match="name 'Singapore' is already in use"):
            here.add_agent(name=C)
        assert list(here.tests) == [test.test_id]

    def test_a_change_that_is_refused_changes_nothing(self) -> None:
        here = world()
        test = http_test(here, name="Shop")
        with pytest.raises(ValueError, match="outcomes"):
            here.change_test(test, name="Other", agents=[C], outcomes="bad")
        assert (test.name, test.agents) == ("Shop", (A_ID, B_ID))


@pytest.mark.parametrize("test_type", TEST_TYPES)
def test_every_test_type_has_rows_of_all_its_result_types(test_type: str) -> None:
    here = world()
    test = here.add_test(NOW, test_type=test_type)
    assert test.result_types == TEST_TYPES[test_type].result_types
    assert all(here.visible_rows(test, result_type, NOW) for result_type in test.result_types)


def test_network_measurements_can_be_off() -> None:
    here = world()
    off = {"network_measurements": False}
    assert here.add_test(NOW, test_type="page-load", **off).result_types == ("page-load", "http-server")
    assert here.add_test(NOW, test_type="agent-to-server", **off).result_types == ("network", "path-vis")


def test_a_dns_test_has_a_row_for_each_server() -> None:
    here = world()
    test = here.add_test(NOW, test_type="dns-server", agents=[A, B], dns_servers=["ns1", "ns2", "ns3"])
    rows = [here.row(test, "dns-server", row) for row in here.visible_rows(test, "dns-server", NOW)]
    assert [row["server"] for row in rows] == ["ns1", "ns2", "ns3"] * 2
    assert len({row["serverId"] for row in rows}) == 3


@given(
    st.sampled_from(["partial", "previous", "both"]),
    st.sampled_from(["second", "minute"]),
    st.lists(st.tuples(st.floats(0, 90), st.floats(0, 20), st.floats(0, 20)), max_size=6),
    st.floats(0, 600),
    st.booleans(),
)
def test_no_row_is_visible_before_it_landed_or_twice(
    newest_round: str, round_ids: str, runs: list[tuple[float, float, float]], look: float, window: bool
) -> None:
    here = world(newest_round=newest_round, round_ids=round_ids)
    test = http_test(here)
    at = NOW
    for gap, first, second in runs:
        at += gap
        here.run(test, at, delays={A: first, B: second})
    now = NOW + look
    test.rounds = [round_ for round_ in test.rounds if round_.started <= now]
    rows = here.visible_rows(test, "http-server", now, between=(0, now) if window else None)
    assert rows, "the previous round is always visible"
    assert all(row.round.landed(row.agent_id, "http-server", now) for row in rows)
    keys = [(row.round.round_id, row.agent_id) for row in rows]
    assert len(keys) == len(set(keys))
    if newest_round == "previous" and not window and round_ids == "second":
        assert len({round_id for round_id, _ in keys}) == 1
        assert {agent_id for _, agent_id in keys} == {A_ID, B_ID}
