"""Task logs in a real Airflow 3 and 2.11, read through Airflow's REST API."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness import standalone
from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
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
"""Major version of Airflow to the maximum number of frames: those of Airflow and one of the provider."""


@pytest.fixture(scope="module")
def thousandeyes(token):
    """A simulator whose agents report one after another."""
    with Simulator(
        tokens=[token], default_tests=False, listed_in_tests=True, round_ids="unambiguous"
    ) as running:
        running.add_test(
            "http-server",
            "700001",
            name="Checkout",
            agents=AGENTS,
            delays={name: 5 + 10 * number for number, name in enumerate(AGENTS)},
        )
        for test_id in range(700011, 700020):
            running.add_test("http-server", str(test_id), delays=8)
        running.add_test(
            "http-server", "700021", name="Login", agents=AGENTS, outcomes={"Singapore": "error"}, delays=10
        )
        yield running


@pytest.fixture(scope="module", params=[3, 2], ids=["Airflow 3", "Airflow 2.11"])
def major(request):
    """The major version of Airflow."""
    return request.param


@pytest.fixture(scope="module")
def airflow(database_program, major, thousandeyes, throw_away):
    connection = {"AIRFLOW_CONN_THOUSANDEYES_DEFAULT": json.dumps(thousandeyes.connection())}
    with (
        throw_away() as folder,
        standalone.running(folder, major, dags=[DAGS], variables=connection) as airflow,
    ):
        yield airflow


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


def test_the_log_announces_how_long_a_refused_run_waits(airflow, major, thousandeyes, artifacts):
    thousandeyes.throttle(1, RESET, "run")
    run_id = airflow.trigger("refused")

    def lines_with_announcement():
        lines = airflow.task_log("refused", run_id, "validate").lines
        return lines if ANNOUNCED.search("\n".join(lines)) else None

    lines = airflow.eventually("the task announces its turn", lines_with_announcement, LONG)
    keep(artifacts, f"log of a refused run, Airflow {major}", lines)
    assert "Waiting in the triggerer for a turn to start the run" in lines
    assert 1 <= int(ANNOUNCED.search("\n".join(lines))[1]) <= RESET + 3

    # Airflow 3 overwrites the announcement when the task is deferred again. Lines of the worker stay.
    assert airflow.ended("refused", run_id, LONG) == "success"
    lines = airflow.task_log("refused", run_id, "validate").lines
    keep(artifacts, f"log of a refused run that ended, Airflow {major}", lines)
    ((waited, throttled),) = CAME.findall("\n".join(lines))
    assert int(waited) >= int(throttled) > 0


def test_mapped_tasks_log_how_long_they_waited_for_turns(airflow):
    run_id = airflow.trigger("turns")

    def turns():
        """Return the seconds that each mapped task with a turn waited, in any of its tries."""
        waits = []
        for index in range(RUNS_WITHOUT_TURN, RUNS_WITHOUT_TURN + 2):
            tries = range(1, airflow.tries("turns", run_id, "validate", index) + 1)
            logs = [airflow.task_log("turns", run_id, "validate", index, attempt) for attempt in tries]
            waits.append([wait for log in logs for wait in CAME.findall("\n".join(log.lines))])
        return waits if all(waits) else None

    waits = airflow.eventually("each task has had its turn", turns, LONG)
    assert {throttled for of_task in waits for _, throttled in of_task} == {"0"}


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
