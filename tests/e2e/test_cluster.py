"""A hundred instant tests on a cluster that loses several processes, under ThousandEyes' rate limits.

Each fault is injected after a number of verdicts, so that it affects running tasks on any machine. In the end, each
test has one correct verdict and one round, and no task or trigger is left.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml

from harness.cluster import Cluster, repeatedly
from harness.leaks import kinds_of_places
from thousandeyes_provider.simulator import Simulator

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("e2e")]

DEFERRED, WAITING = 70, 30
LONG = 1800
"""Time limit in seconds for any step, on a busy machine."""

DAGS = Path(__file__).parent / "dags" / "cluster"
CONNECTION = "thousandeyes_default"
VERDICT = re.compile(r'"event":"(PASSED|FAILED|INCOMPLETE|NO RESULTS): ')
"""Log line of a verdict on a round. A task that receives only 503 ends with ERROR, and Airflow retries it."""


@pytest.fixture(scope="module")
def thousandeyes(token):
    """A simulator with an organization's limits: 240 requests and 24 runs per minute."""
    with Simulator(
        tokens=[token], default_tests=False, listed_in_tests=True, round_ids="unambiguous"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(database_program, thousandeyes, throw_away):
    pytest.importorskip("airflow.providers.celery", reason="needs the Celery provider")
    pytest.importorskip("redis", reason="needs the Python package redis")
    with throw_away() as folder:
        running = Cluster(folder, DAGS)
        try:
            running.start()
            running.add_connection(CONNECTION, thousandeyes.connection())
            yield running
        finally:
            running.stop()


class Faults:
    """The faults of the cluster and of ThousandEyes, in their order.

    :param lost: task tries whose process was killed with its worker.
    """

    def __init__(self, cluster: Cluster, thousandeyes: Simulator, run_id: str) -> None:
        self._cluster, self._thousandeyes, self._run_id = cluster, thousandeyes, run_id
        self.lost: set[tuple[str, int, int]] = set()

    def kill_a_worker(self) -> None:
        """SIGKILL worker"""
        cluster, name = self._cluster, "worker-1"
        running = cluster.eventually(
            "the worker runs tasks", lambda: cluster.running_in(name, self._run_id), LONG
        )
        self.lost |= {(instance.task_id, instance.map_index, instance.try_number) for instance in running}
        cluster.processes.start(name, cluster.processes.kill(name))

    def kill_a_triggerer(self) -> None:
        """SIGKILL triggerer"""
        metadata = self._cluster.metadata
        # Either triggerer: the restart of PostgreSQL affects the tasks of the other.
        self._cluster.eventually(
            "both triggerers run triggers",
            lambda: len(metadata.triggerers_of(self._run_id) - {None}) == 2,
            LONG,
        )
        self._cluster.processes.start("triggerer-1", self._cluster.processes.kill("triggerer-1"))

    def kill_a_scheduler(self) -> None:
        """SIGKILL scheduler"""
        self._cluster.processes.start("scheduler-1", self._cluster.processes.kill("scheduler-1"))

    def restart_postgresql(self) -> None:
        """PostgreSQL restarted"""
        self._cluster.database.restart()

    def restart_redis(self) -> None:
        """Redis restarted"""
        self._cluster.redis.restart()

    def return_server_errors(self) -> None:
        """503 for 10 s"""
        fault = self._thousandeyes.fail("*", status=503, times=None)
        time.sleep(10)
        self._thousandeyes.clear_faults(fault)

    def cut_connections(self) -> None:
        """30 connections cut"""
        for started in (True, False, True, False):
            self._thousandeyes.fail("run", "cut", started=started)
        self._thousandeyes.fail("results", "cut", times=16)
        self._thousandeyes.fail("results", "cut-body", times=10)

    def throttle(self) -> None:
        """20 responses 429"""
        self._thousandeyes.throttle(10, 20, "run")
        self._thousandeyes.throttle(10, 20, "results")


def test_a_hundred_tests_on_a_cluster_that_loses_processes(cluster, thousandeyes, token, search, scenario):
    scenario.tasks = DEFERRED + WAITING
    expected = {}
    tests = {"deferred": [], "waiting": []}
    for number in range(DEFERRED + WAITING):
        verdict = "failed" if number % 10 == 9 else "passed"
        test_id = thousandeyes.add_test(
            "http-server",
            agents=3,
            delays=20 + number % 4 * 5,
            outcomes="error" if verdict == "failed" else "ok",
        )
        expected[test_id] = verdict
        tests["deferred" if number < DEFERRED else "waiting"].append(test_id)
    assert_connection_is_encrypted(cluster, token)

    report = cluster.folder / "gate.xml"
    run_id = cluster.run("hundred", {**tests, "report": str(report)})
    faults = Faults(cluster, thousandeyes, run_id)
    steps = (
        (5, faults.kill_a_worker),
        (15, faults.kill_a_triggerer),
        (25, faults.return_server_errors),
        (35, faults.kill_a_scheduler),
        (45, faults.restart_postgresql),
        (55, faults.cut_connections),
        (65, faults.restart_redis),
        (75, faults.throttle),
    )
    places: set[str] = set()
    try:
        with repeatedly(lambda: search.processes(cluster.processes.everything()), 5):
            for count, fault in steps:
                cluster.eventually(
                    f"{count} verdicts", lambda n=count: cluster.metadata.judged(run_id) >= n, LONG
                )
                search.database(cluster.metadata.connection, cluster.decrypt)
                if "decrypted triggers" not in places:
                    # Sometimes there is no trigger.
                    places |= kinds_of_places(CONNECTION, cluster, thousandeyes)
                fault()
                scenario.faults.append(fault.__doc__)
            states = cluster.ended(run_id, LONG)
            cluster.eventually("no trigger is left", lambda: not cluster.metadata.triggers(), LONG)
    finally:
        row(scenario, cluster, thousandeyes, run_id, list(expected))
        search.everywhere(cluster, thousandeyes)
        scenario.leaked = len(search.leaks)

    metadata = cluster.metadata
    assert scenario.stuck == 0
    assert metadata.verdicts(run_id) == expected
    by_task = {(which, index): test for which in tests for index, test in enumerate(tests[which])}
    ended = {"passed": "success", "failed": "failed"}
    assert {by_task[task]: states[task] for task in by_task} == {
        test: ended[verdict] for test, verdict in expected.items()
    }

    assert_suite_verdict(metadata.suite_evidence(run_id), report, expected)

    # If a try is killed after its verdict, the next try judges the round again.
    lost = {by_task[task_id, index] for task_id, index, _ in faults.lost if (task_id, index) in by_task}
    judged = verdicts_logged(cluster, run_id, by_task)
    begun = {
        test: [round_.round_id for round_ in thousandeyes.rounds(test) if round_.by == "api"]
        for test in expected
    }
    assert {test for test in expected if len(begun[test]) > 1} <= lost
    assert {test for test in expected if len(judged[test]) != len(begun[test])} <= lost
    assert all(len(judged[test]) >= len(begun[test]) for test in expected)
    evidence_of = {evidence["test_id"]: evidence for evidence in metadata.evidence(run_id)}
    for test, evidence in evidence_of.items():
        assert evidence["rounds"] == {"http-server": begun[test][-1]}
        assert set(judged[test]) == {expected[test]}
        assert 1 <= evidence["run_calls"] <= thousandeyes.run_calls(test)
    first_tries = {
        by_task[instance.task_id, instance.map_index]
        for instance in metadata.instances(run_id)
        if (instance.task_id, instance.map_index) in by_task and instance.try_number == 1
    }
    assert {test: evidence_of[test]["run_calls"] for test in first_tries} == {
        test: thousandeyes.run_calls(test) for test in first_tries
    }

    assert {"table xcom", "files", "simulator"} <= kinds_of_places("http-server", cluster, thousandeyes)
    assert "decrypted triggers" in places
    assert set(search.searched_bytes) >= {"arguments", "environments", "decrypted triggers"}
    assert not search.leaks


def assert_suite_verdict(evidence, report, expected):
    """Check that the suite has one verdict on all tests, and that its report can be parsed."""
    counts = Counter(expected.values())
    assert (evidence["verdict"], evidence["counts"]) == ("passed", counts)
    assert (evidence["expected_count"], evidence["missing"]) == (len(expected), [])
    (suite,) = JUnitXml.fromfile(str(report))
    failing = {case.classname for case in suite if any(isinstance(result, Failure) for result in case.result)}
    tests = [part.name for part in suite.properties() if part.name.endswith(": blocking")]
    assert (suite.name, len(tests), len(failing)) == ("verdict", len(expected), counts["failed"])


def assert_connection_is_encrypted(cluster, token):
    ((password, encrypted),) = cluster.metadata.query(
        "SELECT password, is_encrypted FROM connection WHERE conn_id = %s", CONNECTION
    )
    assert encrypted
    assert cluster.decrypt(password) == token


def verdicts_logged(cluster, run_id, by_task):
    """Return the verdicts that each task logged, over all its tries, by test."""
    verdicts = {test: [] for test in by_task.values()}
    for folder, text in cluster.task_logs(run_id).items():
        task_id = folder.parent.name.removeprefix("task_id=")
        index = int(folder.name.removeprefix("map_index=")) if folder.name.startswith("map_index=") else -1
        if (task_id, index) in by_task:
            verdicts[by_task[task_id, index]] += map(str.lower, VERDICT.findall(text))
    return verdicts


def row(scenario, cluster, thousandeyes, run_id, tests):
    """Return the figures of the scenario."""
    calls = [request for request in thousandeyes.requests if request.operation == "run"]
    responses = Counter(str(call.status or "cut") for call in calls)
    rounds = sum(round_.by == "api" for test in tests for round_ in thousandeyes.rounds(test))
    scenario.run_calls = len(calls)
    scenario.verdicts = Counter(cluster.metadata.verdicts(run_id).values())
    scenario.stuck = len(cluster.metadata.stuck(run_id))
    scenario.notes.append(
        f"{rounds} rounds started; run calls returned "
        + ", ".join(f"{response} ({count} x)" for response, count in sorted(responses.items()))
    )
    tries = Counter(instance.try_number for instance in cluster.metadata.instances(run_id))
    scenario.notes.append(
        "tries: " + ", ".join(f"{count} tasks had {tried}" for tried, count in sorted(tries.items()))
    )
    if cluster.processes.restarted:
        ended = ", ".join(f"{name} ({count} x)" for name, count in cluster.processes.restarted.items())
        scenario.notes.append(f"exited and restarted by the supervisor: {ended}")
