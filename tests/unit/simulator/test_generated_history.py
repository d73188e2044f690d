from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import pytest

from thousandeyes_provider.simulator.generated_history import DAY

NOW = 1_800_000_015.0
NEWEST = 1_800_000_000
QUIET: dict[str, Any] = {
    "slow_agents": 0,
    "tail_share": 0.0,
    "error_share": 0.0,
    "missing_share": 0.0,
    "outages": 0,
    "dead_agents": 0,
    "release_at": None,
    "daily_swing": 0.0,
    "noise": 0.0,
}

MakeApi = Callable[..., Any]


def with_history(api: Any, **traits: Any) -> tuple[Any, Any]:
    """Add a scheduled http-server test with a history. Return the test and the summary of the history."""
    agents = traits.pop("agents", 5)
    test = api.world.add_test(NOW, test_type="http-server", scheduled=True, agents=agents)
    return test, api.world.add_history(NOW, test, **traits)


def read(api: Any, test: Any, query: str) -> list[dict[str, Any]]:
    """Return the rows of all pages."""
    rows, url = [], f"/test-results/{test.test_id}/http-server?{query}"
    while True:
        page = api.get(url)
        rows += page["results"]
        if "next" not in page["_links"]:
            return rows
        parts = urlsplit(page["_links"]["next"]["href"])
        url = f"{parts.path}?{parts.query}"


def by_round(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    rounds: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        rounds.setdefault(row["roundId"], []).append(row)
    return rounds


def test_rounds_have_a_constant_interval_and_continue(make_api: MakeApi) -> None:
    api = make_api()
    test, summary = with_history(api, days=1, interval=300, **QUIET)
    api.now += 200
    ids = sorted(by_round(read(api, test, "window=2d")))
    assert ids == list(range(NEWEST - 287 * 300, NEWEST + 1, 300))
    assert (summary.first_round_id, summary.last_round_id) == (ids[0], ids[-1])
    assert api.get("/tests")["tests"][0]["interval"] == 300
    api.now += 300
    assert max(by_round(read(api, test, "window=2d"))) == NEWEST + 300
    api.now += 2 * DAY
    assert max(by_round(read(api, test, "window=9d"))) == NEWEST + DAY, (
        "the history ends a day after it was added"
    )


def test_a_request_without_a_period_returns_the_newest_round(make_api: MakeApi) -> None:
    api = make_api()
    test, _ = with_history(api, days=1, **QUIET)
    api.now += 200
    assert set(by_round(read(api, test, ""))) == {NEWEST}


def test_a_run_adds_a_round_to_the_history(make_api: MakeApi) -> None:
    api = make_api(run_scheduled="new-round")
    test, _ = with_history(api, days=1, **QUIET)
    api.now += 61
    assert api.run(test.test_id) == 200
    api.now += 150
    assert sorted(by_round(read(api, test, "window=10m"))) == [NEWEST - 300, NEWEST, NEWEST + 60]
    assert set(by_round(read(api, test, ""))) == {NEWEST + 60}


def test_rows_land_agent_by_agent_after_the_start_of_the_round(make_api: MakeApi) -> None:
    api = make_api()
    test, _ = with_history(api, days=1, **QUIET)
    rows = read(api, test, "window=1d")
    lag = {row["startTime"] - row["roundId"] for row in rows}
    assert len(lag) > 3
    assert min(lag) >= 0
    assert max(lag) <= 180


def test_the_same_seed_gives_the_same_history(make_api: MakeApi) -> None:
    def times(seed: int) -> list[tuple[int, Any]]:
        api = make_api()
        test, _ = with_history(api, days=0.5, seed=seed)
        return [(row["roundId"], row.get("responseTime")) for row in read(api, test, "window=1d")]

    assert times(1) == times(1)
    assert times(1) != times(2)


def test_pages_and_periods_give_the_same_rows(make_api: MakeApi) -> None:
    api = make_api(page_size=100)
    test, _ = with_history(api, days=1)
    at_once = read(api, test, "window=1d")
    halves = [
        read(api, test, f"startDate=2027-01-{first}Z&endDate=2027-01-{last}Z")
        for first, last in (("14T08:00:15", "14T20:00:14"), ("14T20:00:15", "15T08:00:15"))
    ]
    assert [row for half in halves for row in half] == at_once
    assert len(at_once) > 1300


def test_the_daily_cycle_follows_the_longitude_of_the_agent(make_api: MakeApi) -> None:
    api = make_api()
    test, _ = with_history(
        api, agents=["Frankfurt, Germany", "Singapore"], days=2, **{**QUIET, "daily_swing": 1.0}
    )
    slowest: dict[str, list[float]] = {}
    for name in ("Frankfurt, Germany", "Singapore"):
        rows = [row for row in read(api, test, "window=2d") if row["agent"]["agentName"] == name]
        limit = quantiles([row["waitTime"] for row in rows], n=10)[-1]
        slowest[name] = [row["roundId"] % DAY / 3600 for row in rows if row["waitTime"] >= limit]
    assert median(slowest["Frankfurt, Germany"]) == pytest.approx(14.4, abs=2)
    assert median(slowest["Singapore"]) == pytest.approx(8.1, abs=2)


def test_a_release_makes_everything_slower(make_api: MakeApi) -> None:
    api = make_api()
    traits = {**QUIET, "release_at": 0.5, "release_factor": 2.0}
    test, summary = with_history(api, days=1, **traits)
    rows = read(api, test, "window=1d")
    before, after = (
        median(row["responseTime"] for row in rows if (row["roundId"] >= summary.release) == late)
        for late in (False, True)
    )
    assert after / before == pytest.approx(2, rel=0.1)


def test_slow_agents_are_slow_throughout(make_api: MakeApi) -> None:
    api = make_api()
    fast, _ = with_history(api, days=0.5, **QUIET)
    slow, summary = with_history(api, days=0.5, **{**QUIET, "slow_agents": 5, "slow_factor": 3.0})
    assert set(summary.slow_agents) == set(slow.agents)
    fast_median, slow_median = (
        median(row["responseTime"] for row in read(api, test, "window=1d")) for test in (fast, slow)
    )
    assert slow_median / fast_median > 1.5


def test_an_agent_stops_reporting_for_good(make_api: MakeApi) -> None:
    api = make_api()
    test, summary = with_history(api, days=1, **{**QUIET, "dead_agents": 1})
    ((agent_id, since),) = summary.dead_agents.items()
    of_agent = [row for row in read(api, test, "window=1d") if row["agent"]["agentId"] == agent_id]
    assert max(row["roundId"] for row in of_agent) == since - 300
    assert min(row["roundId"] for row in of_agent) == summary.first_round_id


def test_at_least_one_agent_keeps_reporting(make_api: MakeApi) -> None:
    _, summary = with_history(make_api(), agents=2, days=1, dead_agents=5)
    assert len(summary.dead_agents) == 1


def test_outages_fail_most_agents_for_some_rounds(make_api: MakeApi) -> None:
    api = make_api()
    test, summary = with_history(api, days=1, seed=3, **{**QUIET, "outages": 3})
    failed = {
        round_id: {row["agent"]["agentId"] for row in rows if row["errorType"] != "None"}
        for round_id, rows in by_round(read(api, test, "window=1d")).items()
    }
    expected: dict[int, set[str]] = {}
    for first, last, agents in summary.outages:
        for round_id in range(first, last + 1, 300):
            expected.setdefault(round_id, set()).update(agents)
    assert {round_id: agents for round_id, agents in failed.items() if agents} == expected
    assert len(summary.outages) == 3


def test_single_measurements_fail_go_missing_or_are_slow(make_api: MakeApi) -> None:
    api = make_api()
    traits = {**QUIET, "error_share": 0.05, "missing_share": 0.1, "tail_share": 0.05, "tail_factor": 10.0}
    test, _ = with_history(api, days=2, **traits)
    rows = read(api, test, "window=2d")
    expected = 2 * 288 * 5
    assert len(rows) / expected == pytest.approx(0.9, abs=0.03)
    assert sum(row["errorType"] != "None" for row in rows) / expected == pytest.approx(0.05, abs=0.02)
    times = [row["waitTime"] for row in rows if "waitTime" in row]
    assert sum(time > 4 * median(times) for time in times) / expected == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    "test_type", ["agent-to-server", "voice", "dns-server", "dnssec", "api", "page-load"]
)
def test_every_test_type_can_have_a_history(make_api: MakeApi, test_type: str) -> None:
    api = make_api()
    test = api.world.add_test(NOW, test_type=test_type, scheduled=True)
    api.world.add_history(NOW, test, days=0.1)
    api.now += 200
    for result_type in test.result_types:
        rows = api.get(f"/test-results/{test.test_id}/{result_type}?window=2h")["results"]
        assert len(rows) > 20


@pytest.mark.parametrize(
    ("traits", "message"),
    [
        ({"days": 0}, "days"),
        ({"days": 90}, "days must be at most 60"),
        ({"interval": 250}, "interval must be one of 60, 120"),
        ({"seed": "x"}, "seed"),
        ({"outages": -1}, "outages"),
        ({"error_share": 0.9, "missing_share": 0.2}, "must add up to at most 1"),
        ({"mood": "bad"}, "unknown trait of a history mood; known: days"),
    ],
)
def test_an_invalid_trait_is_refused_with_the_choices(
    make_api: MakeApi, traits: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        with_history(make_api(), **traits)


def test_a_page_generates_its_own_rows_only(make_api: MakeApi) -> None:
    api = make_api()
    started = time.process_time()
    test, _ = with_history(api, agents=20, days=14)
    assert time.process_time() - started < 0.5
    page = api.get(f"/test-results/{test.test_id}/http-server?window=14d")
    assert (len(page["results"]), "next" in page["_links"]) == (1000, True)
    rows = read(api, test, "startDate=2027-01-10T00:00:00Z&endDate=2027-01-10T11:59:59Z")
    assert time.process_time() - started < 5
    assert 2600 < len(rows) <= 144 * 20
    assert len({(row["roundId"], row["agent"]["agentId"]) for row in rows}) == len(rows)
