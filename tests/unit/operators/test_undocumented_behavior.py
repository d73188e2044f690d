"""Operators with every pair of choices for behavior that ThousandEyes does not document.

The other operator tests use the choices with which runs end soonest.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.unit.operators.conftest import TOKEN, Worker
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesRateLimitError,
    ThousandEyesRequestError,
)
from thousandeyes_provider.hooks import shared_account
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor
from thousandeyes_provider.simulator import Simulator
from thousandeyes_provider.simulator.switches import Switches

SINGAPORE, ZURICH = "Singapore", "zurich-branch-2"
OTHER_SIDES = {
    "round_ids": "unambiguous",
    "row_times": "round",
    "round_start": "departure",
    "quota_windows": "first-request",
    "date_header": "arrival",
    "listed_in_tests": True,
    "typed_lookup": "404",
}
COMBINATIONS = (
    (),
    ("round_ids", "row_times", "round_start", "quota_windows", "date_header", "listed_in_tests"),
    ("round_ids", "row_times", "round_start", "typed_lookup"),
    ("round_ids", "quota_windows", "date_header", "typed_lookup"),
    ("row_times", "quota_windows", "listed_in_tests", "typed_lookup"),
    ("round_start", "date_header", "listed_in_tests"),
)
"""The switches with a non-default choice: a minimal set of combinations that covers every pair of switches."""


@pytest.fixture(params=COMBINATIONS, ids=lambda switches: " ".join(switches) or "defaults")
def simulator(request):
    sides = {name: OTHER_SIDES[name] for name in request.param}
    with Simulator(tokens=[TOKEN], speed=50, default_tests=False, **sides) as running:
        yield running


@pytest.fixture
def worker(simulator, connection, configure, monkeypatch):
    """A worker whose tasks wait in the triggerer and judge in the worker, so that both read the round."""
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.01)
    connection()
    configure(settle_time=0.5)
    return Worker(deferrable=True)


@pytest.fixture
def add_test(simulator):
    """A function that adds a test with an old newest round.

    Its agents are known, and no run waits for the next minute.
    """

    def add_test(**fields):
        return simulator.add_test("http-server", history=[600], agents=[SINGAPORE, ZURICH], **fields)

    return add_test


def test_combinations_use_non_default_choices():
    defaults = Switches()
    assert all(getattr(defaults, name) != side for name, side in OTHER_SIDES.items())


def test_combinations_cover_every_pair():
    for pair in combinations(OTHER_SIDES, 2):
        assert len({tuple(switch in other for switch in pair) for other in COMBINATIONS}) == 4, pair


def test_good_round_passes(simulator, worker, add_test):
    test_id = add_test()
    evidence = worker.rerun(test_id)
    assert evidence["verdict"] == "passed"
    assert (evidence["run_calls"], simulator.run_calls(test_id)) == (1, 1)
    assert len(evidence["agents"]["reported"]) == evidence["agents"]["expected_count"] == 2


def test_bad_agent_fails(worker, add_test):
    with pytest.raises(InstantTestFailed, match=f"^FAILED: {SINGAPORE}"):
        worker.rerun(add_test(outcomes={SINGAPORE: "error"}))


def test_silent_agent_is_incomplete(worker, add_test):
    with pytest.raises(InstantTestIncomplete):
        worker.rerun(add_test(next_runs=[{"silent": [ZURICH]}]), timeout=2)
    assert [agent["agent_name"] for agent in worker.evidence["agents"]["missing"]] == [ZURICH]


def test_without_a_round_there_are_no_results(worker, add_test):
    with pytest.raises(InstantTestNoResults):
        worker.rerun(add_test(delays=500), timeout=0.5)


def test_older_round_is_never_judged(worker, add_test):
    """The previous round is good. Our round is bad and arrives late."""
    with pytest.raises(InstantTestFailed):
        worker.rerun(add_test(delays=10, outcomes={SINGAPORE: "error"}))


def test_lost_response_starts_no_second_round(simulator, worker, add_test):
    test_id = add_test()
    simulator.fail("run", kind="cut", started=True, times=1)
    assert worker.rerun(test_id)["verdict"] == "passed"
    assert simulator.run_calls(test_id) == 1


def test_lost_request_is_sent_again(simulator, worker, add_test):
    test_id = add_test()
    simulator.fail("run", status=503, started=False, times=1)
    assert worker.rerun(test_id)["verdict"] == "passed"
    assert simulator.run_calls(test_id) == 2


def test_rate_limit_is_waited_out(simulator, worker, add_test):
    simulator.throttle(1, 0.5, operation="run")
    evidence = worker.rerun(add_test())
    assert evidence["verdict"] == "passed"
    assert evidence["throttled_seconds"] > 0


def test_rate_limit_beyond_queue_timeout_is_an_error(simulator, worker, add_test):
    simulator.throttle(9, 9000, operation="run")
    with pytest.raises(ThousandEyesRateLimitError):
        worker.rerun(add_test(), queue_timeout=1)


def test_run_and_sensor_are_two_tasks(worker, add_test):
    run = worker.rerun(add_test(), wait_for_results=False)
    sensor = InstantTestResultsSensor(task_id="results", run=run, poke_interval=0.2, deferrable=True)
    assert worker.execute(sensor)["verdict"] == "passed"


def test_created_test_is_judged(worker):
    definition = {"url": "https://a.example", "agents": [SINGAPORE, ZURICH]}
    assert worker.create("http-server", definition=definition)["verdict"] == "passed"


def test_lost_creation_is_not_repeated(simulator, worker):
    """If GET /tests does not list instant tests, the created test is not found, and its name is in use."""
    definition = {"url": "https://a.example", "agents": [SINGAPORE]}
    simulator.fail("create", kind="cut", started=True, times=1)
    if simulator.switches.listed_in_tests:
        assert worker.create("http-server", definition=definition)["verdict"] == "passed"
    else:
        with pytest.raises(ThousandEyesRequestError, match="a test with this name exists"):
            worker.create("http-server", definition=definition)
    assert len(simulator.tests) == 1
