"""Killed processes of Airflow lead to one run and one verdict per test, as counted by the simulator.

Processes are killed with SIGKILL while instant tests wait. ``conftest.py`` lists the requirements. The tests require
Airflow 3.3, in which a retry resumes the run of the previous try.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from harness.leaks import kinds_of_places

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("e2e")]

MANY = 20
LONG = 400
"""Time limit in seconds for any step, on a busy machine. The scenarios wait for events, not for durations."""
VERDICT = re.compile(r'"event":"(PASSED|FAILED): ')
RESUMED = "resuming the run of an earlier try"


@pytest.fixture(autouse=True)
def left(airflow, simulator, scenario, search):
    """After each test, write its row, end its triggerers and search for the token."""
    known = simulator.count("run")
    yield
    run_id = airflow.metadata.newest_run()
    scenario.run_calls = simulator.count("run") - known
    scenario.verdicts = Counter(airflow.metadata.verdicts(run_id).values())
    scenario.stuck = len(airflow.metadata.stuck(run_id))
    search.everywhere(airflow, simulator)
    airflow.kill_triggerers()
    scenario.leaked = len(search.leaks)
    assert not search.leaks


def runs(simulator, tests):
    return [simulator.run_calls(test_id) for test_id in tests]


def is_polled(simulator, test_id, times=1):
    """Return whether a task has polled for the results of an accepted run."""
    operations = [request.operation for request in simulator.requests if request.test_id == test_id]
    return "run" in operations and operations[operations.index("run") :].count("results") >= times


def judged_in(airflow, run_id):
    """Return the number of verdicts that each task logged."""
    return [len(VERDICT.findall(text)) for text in airflow.task_logs(run_id).values()]


def held(simulator, count=1, **spec):
    """Add tests without results (404) until the fault is cleared."""
    tests = [simulator.add_test("http-server", history=[], **spec) for _ in range(count)]
    return tests, [simulator.fail("results", status=404, test_id=test_id, times=None) for test_id in tests]


def test_a_triggerer_is_killed_while_twenty_tests_wait(airflow, simulator, scenario, search):
    scenario.tasks = MANY
    tests, holds = held(simulator, MANY)
    first = airflow.triggerer("triggerer-1")
    run_id = airflow.run("deferred", tests)

    def has_all(job):
        return lambda: len(metadata.waiting(run_id)) == MANY and metadata.triggerers_of(run_id) == {job}

    metadata = airflow.metadata
    airflow.eventually("all wait in the triggerer", has_all(first), LONG)
    airflow.processes.kill("triggerer-1")
    scenario.faults.append("SIGKILL triggerer")
    search.everywhere(airflow, simulator)
    assert "table trigger" in kinds_of_places("thousandeyes_default", airflow, simulator)
    assert "files" in kinds_of_places("run accepted at", airflow, simulator)
    assert "simulator" in kinds_of_places(f"/tests/{tests[0]}/run", airflow, simulator)
    assert len(metadata.waiting(run_id)) == MANY
    second = airflow.triggerer("triggerer-2")
    airflow.eventually("all are in the new triggerer", has_all(second), LONG)
    simulator.clear_faults(*holds)

    states = airflow.ended(run_id, LONG)
    assert set(states.values()) == {"success"}
    assert metadata.verdicts(run_id) == dict.fromkeys(tests, "passed")
    assert judged_in(airflow, run_id) == [1] * MANY
    assert runs(simulator, tests) == [1] * MANY


def test_two_triggerers_run_the_same_triggers_and_one_is_killed(airflow, simulator, scenario):
    """Freeze one triggerer. The other takes over while the child of the frozen one continues, so both fire.

    Then kill the other triggerer. The first one takes over the remaining triggers.
    """
    scenario.tasks = 10
    early, early_holds = held(simulator, 5)
    late, late_holds = held(simulator, 5)
    tests, metadata = [*early, *late], airflow.metadata
    jobs = {airflow.triggerer(name): name for name in ("triggerer-3", "triggerer-4")}
    run_id = airflow.run("mapped", tests)

    def all_are_in(triggerers):
        return lambda: (
            len(metadata.waiting(run_id, "validate")) == len(tests)
            and metadata.triggerers_of(run_id) <= triggerers
        )

    airflow.eventually("all are in a triggerer", all_are_in(set(jobs)), LONG)
    # A triggerer that is frozen before it runs triggers would not fire. A resumed task polls once.
    airflow.eventually(
        "all are polled by a triggerer",
        lambda: all(is_polled(simulator, test_id, times=3) for test_id in tests),
        LONG,
    )
    holders = [instance.triggerer for instance in metadata.waiting(run_id)]
    frozen = max(jobs, key=holders[: len(early)].count)
    (other,) = set(jobs) - {frozen}
    twice = {index for index, holder in enumerate(holders[: len(early)]) if holder == frozen}
    assert twice
    airflow.processes.freeze(jobs[frozen])
    scenario.faults.append("SIGSTOP triggerer")
    airflow.eventually("all are in the other triggerer", all_are_in({other}), LONG)
    simulator.clear_faults(*early_holds)
    airflow.eventually("the first are judged", lambda: set(early) <= set(metadata.verdicts(run_id)), LONG)
    airflow.processes.thaw(jobs[frozen])
    airflow.eventually("both have fired", lambda: twice <= airflow.fired(run_id, jobs[frozen], frozen), LONG)
    assert airflow.fired(run_id, jobs[other], other) == set(range(len(early)))
    assert len(metadata.waiting(run_id)) == len(late)
    airflow.processes.kill(jobs[other])
    scenario.faults.append("SIGKILL triggerer")
    simulator.clear_faults(*late_holds)
    states = airflow.ended(run_id, LONG)
    assert set(states.values()) == {"success"}
    assert metadata.verdicts(run_id) == dict.fromkeys(tests, "passed")
    assert sorted(judged_in(airflow, run_id)) == [0] + [1] * len(tests), (
        "the task that returns the tests has no verdict"
    )
    assert runs(simulator, tests) == [1] * len(tests)


def test_a_worker_is_killed_while_it_waits(airflow, simulator, scenario):
    """Kill the process of the task alone, and with its worker, which Airflow detects by missing heartbeats."""
    scenario.tasks = 2
    tests, holds = held(simulator, 2)
    run_id = airflow.run("retried", tests)

    airflow.eventually("both wait", lambda: all(is_polled(simulator, test_id) for test_id in tests), LONG)
    airflow.kill_task(run_id, "task")
    airflow.kill_task(run_id, "worker", with_worker=True)
    scenario.faults += ["SIGKILL task", "SIGKILL worker and task"]
    simulator.clear_faults(*holds)

    states = airflow.ended(run_id, LONG)
    assert set(states.values()) == {"success"}
    assert [instance.try_number for instance in airflow.metadata.instances(run_id)] == [2, 2]
    assert airflow.metadata.verdicts(run_id) == dict.fromkeys(tests, "passed")
    assert [evidence["run_calls"] for evidence in airflow.metadata.evidence(run_id)] == [1, 1]
    assert runs(simulator, tests) == [1, 1]
    for log in airflow.task_logs(run_id).values():
        assert RESUMED in log
        assert len(VERDICT.findall(log)) == 1


def test_a_cleared_task_starts_a_new_run(airflow, simulator, scenario):
    """It does so with a stored run as well: killed on its last try, or cleared while it waits in the triggerer."""
    bad = {"outcomes": {"Singapore": "error"}}
    judged = [simulator.add_test("http-server", next_runs=[{}, bad]) for _ in range(2)]
    (killed, deferred), holds = held(simulator, 2, next_runs=[{}, bad])
    tests, metadata = [*judged, killed, deferred], airflow.metadata
    scenario.tasks = len(tests)
    airflow.triggerer("triggerer-5")
    run_id = airflow.run("cleared", tests)

    airflow.eventually("the third waits", lambda: is_polled(simulator, killed), LONG)
    airflow.kill_task(run_id, "killed")
    scenario.faults.append("SIGKILL task")
    expected = {"judged": "success", "judged_deferred": "success", "killed": "failed", "deferred": "deferred"}
    airflow.eventually(
        "a task can be cleared",
        lambda: (
            {instance.task_id: instance.state for instance in metadata.instances(run_id)} == expected
            and len(metadata.waiting(run_id)) == 1
            and simulator.rounds(killed)[-1].complete
        ),
        LONG,
    )
    assert metadata.verdicts(run_id) == dict.fromkeys(judged, "passed")
    assert runs(simulator, tests) == [1, 1, 1, 1]
    airflow.clear("cleared", run_id)
    scenario.faults.append("cleared")
    simulator.clear_faults(*holds)

    states = airflow.ended(run_id, LONG)
    assert set(states.values()) == {"failed"}
    assert metadata.verdicts(run_id) == dict.fromkeys(tests, "failed")
    assert runs(simulator, tests) == [2, 2, 2, 2]
    for evidence in metadata.evidence(run_id):
        assert evidence["rounds"] == {"http-server": simulator.rounds(evidence["test_id"])[-1].round_id}
    assert not any(RESUMED in log for log in airflow.task_logs(run_id).values())
