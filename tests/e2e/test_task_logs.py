"""What the log of a task says in a real Airflow 3 and 2.11, read through Airflow's REST API."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from harness.standalone import Standalone, airflow_2
from thousandeyes_provider.simulator import Simulator

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("task logs")]

DAGS = Path(__file__).parent / "dags" / "logs"
RESET = 40
"""Seconds until the simulator's rate limit resets."""
LONG = 600
"""Time limit in seconds for a DAG run, on a busy machine."""

AGENTS = ["Frankfurt, Germany", "Singapore", "Ashburn, VA", "vienna-office-1", "zurich-branch-2"]
HEADLINE = "FAILED: Singapore: Connection refused; 4 of 5 agents ok. http-server test 700021 'Login'"
MOST_FRAMES = {3: 7, 2: 5}
"""Airflow's own frames by major version, and one of the provider."""


@pytest.fixture(scope="module")
def thousandeyes(token):
    """A simulator whose agents report one by one."""
    with Simulator(tokens=[token], default_tests=False, listed_in_tests=True, round_ids="second") as running:
        running.add_test(
            "http-server",
            "700001",
            name="Checkout",
            agents=AGENTS,
            delays={name: 5 + 10 * number for number, name in enumerate(AGENTS)},
        )
        for test_id in ("700011", "700012", "700013"):
            running.add_test("http-server", test_id, delays=8)
        running.add_test(
            "http-server", "700021", name="Login", agents=AGENTS, outcomes={"Singapore": "error"}, delays=10
        )
        yield running


@pytest.fixture(scope="module", params=[3, 2], ids=["Airflow 3", "Airflow 2.11"])
def major(request):
    """The major version of Airflow."""
    return request.param


@pytest.fixture(scope="module")
def airflow(major, thousandeyes, throw_away):
    python = Path(sys.executable) if major == 3 else airflow_2()
    connection = {"AIRFLOW_CONN_THOUSANDEYES_DEFAULT": json.dumps(thousandeyes.connection())}
    with throw_away() as folder:
        running = Standalone(folder, python, major, dags=[DAGS], variables=connection)
        try:
            running.start()
            yield running
        finally:
            running.stop()


def keep(artifacts, name, lines):
    (artifacts / f"{name}.txt").write_text("\n".join(lines) + "\n")


def test_the_triggerer_logs_the_progress_of_a_round(airflow, major, artifacts):
    run_id = airflow.trigger("progress")
    assert airflow.ended("progress", run_id, LONG) == "success"
    lines = airflow.task_log("progress", run_id, "validate").lines
    keep(artifacts, f"log of a deferred run, Airflow {major}", lines)
    begin = next(number for number, line in enumerate(lines) if "run accepted at" in line)
    end = next(number for number, line in enumerate(lines) if "fired" in line)
    progress = [line for line in lines[begin:end] if "agents reported" in line]
    assert progress == [
        "1 of 5 agents reported (new: Frankfurt, Germany); "
        "missing: Singapore; Ashburn, VA; vienna-office-1; zurich-branch-2",
        "2 of 5 agents reported (new: Singapore); missing: Ashburn, VA; vienna-office-1; zurich-branch-2",
        "3 of 5 agents reported (new: Ashburn, VA); missing: vienna-office-1; zurich-branch-2",
        "4 of 5 agents reported (new: vienna-office-1); missing: zurich-branch-2",
        "5 of 5 agents reported (new: zurich-branch-2)",
    ]
    assert "PASSED: 5 of 5 agents ok. http-server test 700001 'Checkout'" in lines[end:]


ANNOUNCED = re.compile(r"Waiting for a turn to run the test: about (\d+) s \(the rate limit was exceeded\)")
CAME = re.compile(r"Turn to run the test after (\d+) s \((\d+) s of rate-limit waits\)")


def test_the_log_announces_how_long_a_task_waits_for_its_turn(airflow, major, thousandeyes, artifacts):
    thousandeyes.throttle(1, RESET, "run")
    run_id = airflow.trigger("turns")

    def lines_of(index):
        """The logs of all tries of a mapped task."""
        tries = airflow.tries("turns", run_id, "validate", index)
        logs = [
            airflow.task_log("turns", run_id, "validate", index, attempt) for attempt in range(1, tries + 1)
        ]
        return [line for log in logs for line in log.lines]

    def announced():
        """The mapped task whose run was refused, and its log while it waits."""
        for index in range(3):
            lines = lines_of(index)
            if ANNOUNCED.search("\n".join(lines)):
                return index, lines
        return None

    index, lines = airflow.eventually("a task announces its turn", announced, LONG)
    keep(artifacts, f"log of a task that waits for its turn, Airflow {major}", lines)
    assert "Waiting in the triggerer for a turn to start the run" in lines
    assert 1 <= int(ANNOUNCED.search("\n".join(lines))[1]) <= RESET + 3

    # Airflow 3 overwrites the announcement when the task is deferred again; what the worker logs stays.
    assert airflow.ended("turns", run_id, LONG) == "success"
    lines = lines_of(index)
    waits = [(int(waited), int(throttled)) for waited, throttled in CAME.findall("\n".join(lines))]
    assert any(waited >= throttled > 0 for waited, throttled in waits), waits
    for other in {0, 1, 2} - {index}:
        assert CAME.search("\n".join(lines_of(other)))


@pytest.mark.parametrize("dag_id", ["failed_on_the_worker", "failed_after_deferral"])
def test_the_traceback_of_a_failed_run_has_one_frame_of_the_provider(airflow, major, artifacts, dag_id):
    run_id = airflow.trigger(dag_id)
    assert airflow.ended(dag_id, run_id, LONG) == "failed"
    log = airflow.task_log(dag_id, run_id, "validate")
    keep(
        artifacts,
        f"{dag_id}, Airflow {major}",
        [*log.lines, *map(str, log.frames), log.error, *log.after_error],
    )
    assert log.exceptions == 1, "the error has no cause or context"
    assert len(log.frames) <= MOST_FRAMES[major]
    (ours,) = [frame for frame in log.frames if "thousandeyes_provider" in frame.file]
    assert ours == log.frames[-1]
    assert re.fullmatch(rf"([\w.]+\.)?InstantTestFailed: {re.escape(HEADLINE)}.*", log.error)
    if major == 3:
        assert not [line for line in log.after_error if "InstantTestFailed" in line]
