"""What is left of a run when a process of Airflow is killed, counted at the simulator: no second run, one verdict.

Real processes are killed with SIGKILL while instant tests wait; see ``conftest.py`` for what is needed, and how to run
this. Requires Airflow 3.3, where a retry picks up the run of the try before it.
"""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("e2e")]

MANY = 20
HIDDEN = "t0ken"
LOGGED = '"event":"verdict '


@pytest.fixture(autouse=True)
def left(airflow):
    """After each test: no triggerer, and the token in no log and not in the database, where other things are."""
    yield
    airflow.kill_triggerers()
    nothing_is_told(airflow, "thousandeyes_test_link")


def nothing_is_told(airflow, else_stored):
    """The token is neither in a log nor in the database, where other things are."""
    said, stored = airflow.said(), airflow.stored()
    assert "Run accepted at" in said
    assert else_stored in stored
    assert HIDDEN not in said
    assert HIDDEN not in stored


def runs(simulator, tests):
    return [simulator.run_calls(test_id) for test_id in tests]


def is_polled(simulator, test_id):
    """Whether somebody looks for the results of a run that was accepted."""
    operations = [request.operation for request in simulator.requests if request.test_id == test_id]
    return "run" in operations and "results" in operations[operations.index("run") :]


def judged_in(airflow, run_id):
    """How often each task has logged a verdict."""
    return [text.count(LOGGED) for text in airflow.task_logs(run_id).values()]


def test_a_triggerer_is_killed_while_twenty_tests_wait(airflow, simulator):
    tests = [simulator.add_test("http-server", delays=40) for _ in range(MANY)]
    first = airflow.triggerer("triggerer-1")
    run_id = airflow.run("deferred", tests)

    airflow.eventually("all wait", lambda: len(airflow.waiting(run_id)) == MANY, 90)
    airflow.eventually("they are in the triggerer", lambda: airflow.triggerers_of(run_id) == {first}, 15)
    airflow.kill("triggerer-1")
    nothing_is_told(airflow, "InstantTestResultsTrigger")
    assert len(airflow.waiting(run_id)) == MANY
    second = airflow.triggerer("triggerer-2")
    airflow.eventually("they are in the new one", lambda: airflow.triggerers_of(run_id) == {second}, 30)

    states = airflow.ended(run_id, 120)
    assert set(states.values()) == {"success"}
    assert airflow.verdicts(run_id) == dict.fromkeys(tests, "passed")
    assert judged_in(airflow, run_id) == [1] * MANY
    assert runs(simulator, tests) == [1] * MANY


def test_two_triggerers_have_the_same_triggers_and_one_is_killed(airflow, simulator):
    """One is frozen, so that the other takes over, while its child goes on with the triggers: both fire. Then the other
    is killed, and the first takes the rest back."""
    early = [simulator.add_test("http-server", delays=40) for _ in range(5)]
    late = [simulator.add_test("http-server", delays=60) for _ in range(5)]
    tests = [*early, *late]
    jobs = {airflow.triggerer(name): name for name in ("triggerer-3", "triggerer-4")}
    run_id = airflow.run("mapped", tests)

    airflow.eventually("all wait", lambda: len(airflow.waiting(run_id, "validate")) == len(tests), 90)
    airflow.eventually("all are in a triggerer", lambda: airflow.triggerers_of(run_id) <= set(jobs), 15)
    holders = [found.triggerer for found in airflow.waiting(run_id)]
    frozen = max(jobs, key=holders[: len(early)].count)
    (other,) = set(jobs) - {frozen}
    twice = {index for index, holder in enumerate(holders[: len(early)]) if holder == frozen}
    assert twice
    airflow.freeze(jobs[frozen])
    airflow.eventually("all are in the other one", lambda: airflow.triggerers_of(run_id) == {other}, 30)
    airflow.eventually("the first are judged", lambda: set(early) <= set(airflow.verdicts(run_id)), 60)
    airflow.thaw(jobs[frozen])
    airflow.eventually("both have fired", lambda: twice <= airflow.fired(run_id, frozen), 15)
    assert airflow.fired(run_id, other) == set(range(len(early)))
    assert len(airflow.waiting(run_id)) == len(late)
    airflow.kill(jobs[other])
    states = airflow.ended(run_id, 120)
    assert set(states.values()) == {"success"}
    assert airflow.verdicts(run_id) == dict.fromkeys(tests, "passed")
    assert sorted(judged_in(airflow, run_id)) == [0] + [1] * len(tests), "one task only names the tests"
    assert runs(simulator, tests) == [1] * len(tests)


def test_a_worker_is_killed_while_it_waits(airflow, simulator):
    """Once the task's process alone, and once with the worker above it, which only missing heartbeats tell."""
    tests = [simulator.add_test("http-server", delays=25) for _ in range(2)]
    run_id = airflow.run("retried", tests)

    airflow.eventually("both wait", lambda: all(is_polled(simulator, test_id) for test_id in tests), 60)
    airflow.kill_task(run_id, "task")
    airflow.kill_task(run_id, "worker", with_worker=True)

    states = airflow.ended(run_id, 120)
    assert set(states.values()) == {"success"}
    assert [found.try_number for found in airflow.instances(run_id)] == [2, 2]
    assert airflow.verdicts(run_id) == dict.fromkeys(tests, "passed")
    assert [told["run_calls"] for told in airflow.evidence(run_id)] == [1, 1]
    assert runs(simulator, tests) == [1, 1]
    for log in airflow.task_logs(run_id).values():
        assert "Picking up the run that an earlier try started" in log
        assert log.count(LOGGED) == 1


def test_a_cleared_task_runs_anew(airflow, simulator):
    """Also one that left something to pick up: killed on its last try, or cleared while it waits in the triggerer."""
    second = {"outcomes": {"Singapore": "error"}, "delays": 8}
    tests = [
        simulator.add_test("http-server", next_runs=[{"delays": delay}, second]) for delay in (8, 8, 8, 120)
    ]
    airflow.triggerer("triggerer-5")
    run_id = airflow.run("cleared", tests)

    airflow.eventually("the third waits", lambda: is_polled(simulator, tests[2]), 60)
    airflow.kill_task(run_id, "killed")
    expected = {"judged": "success", "judged_deferred": "success", "killed": "failed", "deferred": "deferred"}
    airflow.eventually(
        "there is something to clear",
        lambda: (
            {found.task_id: found.state for found in airflow.instances(run_id)} == expected
            and len(airflow.waiting(run_id)) == 1
            and simulator.rounds(tests[2])[-1].complete
        ),
        60,
    )
    assert airflow.verdicts(run_id) == dict.fromkeys(tests[:2], "passed")
    assert runs(simulator, tests) == [1, 1, 1, 1]
    airflow.clear("cleared", run_id)

    states = airflow.ended(run_id, 120)
    assert set(states.values()) == {"failed"}
    assert airflow.verdicts(run_id) == dict.fromkeys(tests, "failed")
    assert runs(simulator, tests) == [2, 2, 2, 2]
    for told in airflow.evidence(run_id):
        assert told["rounds"] == {"http-server": simulator.rounds(told["test_id"])[-1].round_id}
    assert not any("Picking up the run" in log for log in airflow.task_logs(run_id).values())
