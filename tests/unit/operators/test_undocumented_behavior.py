"""The main job under both sides of what ThousandEyes does not document, beginning with the simulator's defaults.

The other tests of operators use the sides with which a run ends soonest.
"""

from __future__ import annotations

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
    "defaults": {},
    "round ids to the second": {"round_ids": "second"},
    "rows repeat the round id": {"row_times": "round"},
    "rows repeat the round id to the second": {"row_times": "round", "round_ids": "second"},
    "rounds start at departure": {"round_start": "departure", "round_ids": "second"},
    "quota windows open with a request": {"quota_windows": "first-request"},
    "Date at arrival": {"date_header": "arrival"},
    "instant tests are listed": {"listed_in_tests": True},
    "no definitions": {"typed_lookup": "404"},
}


@pytest.fixture(params=OTHER_SIDES)
def simulator(request):
    with Simulator(tokens=[TOKEN], speed=20, default_tests=False, **OTHER_SIDES[request.param]) as running:
        yield running


@pytest.fixture
def worker(simulator, connection, configure, monkeypatch):
    """Executes tasks that wait in the triggerer and judge in the worker, so that both read the round."""
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.01)
    connection()
    configure(settle_time=1)
    return Worker(deferrable=True)


@pytest.fixture
def add_test(simulator):
    """Adds a test whose newest round is so old that its agents are known and no run waits for the next minute."""

    def add_test(**fields):
        return simulator.add_test("http-server", history=[600], agents=[SINGAPORE, ZURICH], **fields)

    return add_test


def test_sides_are_other_than_the_defaults():
    defaults = Switches()
    for sides in OTHER_SIDES.values():
        assert all(getattr(defaults, name) != side for name, side in sides.items())


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
        worker.rerun(add_test(next_runs=[{"silent": [ZURICH]}]), timeout=1.5)
    assert [agent["agent_name"] for agent in worker.evidence["agents"]["missing"]] == [ZURICH]


def test_without_a_round_there_are_no_results(worker, add_test):
    with pytest.raises(InstantTestNoResults):
        worker.rerun(add_test(delays=500), timeout=1)


def test_older_round_is_never_judged(worker, add_test):
    """The round before was good; ours is bad and comes late."""
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


def test_rate_limit_beyond_the_queue_time_is_an_error(simulator, worker, add_test):
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
    """Where instant tests are not listed, the created test cannot be found, and its name is taken."""
    definition = {"url": "https://a.example", "agents": [SINGAPORE]}
    simulator.fail("create", kind="cut", started=True, times=1)
    if simulator.switches.listed_in_tests:
        assert worker.create("http-server", definition=definition)["verdict"] == "passed"
    else:
        with pytest.raises(ThousandEyesRequestError, match="a test with this name exists"):
            worker.create("http-server", definition=definition)
    assert len(simulator.tests) == 1
