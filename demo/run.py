"""The demonstration: a deployment pipeline in a real Airflow, validated by a ThousandEyes instant test.

Without an account it asks the simulator, which is made to throttle and to lose an answer: the first pipeline gets
through and is promoted; the second meets an agent that reports an error, and is rolled back. With
AIRFLOW_CONN_THOUSANDEYES_DEFAULT set, the first pipeline runs once against that account and the test TEST_ID.

Airflow's own command line runs the pipelines, in a throw-away home below .demo.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo" / "airflow"
LOG = ROOT / ".demo" / "airflow.log"
PIPELINE = "thousandeyes_deployment_pipeline"
CONNECTION = "AIRFLOW_CONN_THOUSANDEYES_DEFAULT"

_RECORD = re.compile(
    r"\d{4}-\d\d-\d\dT(?P<time>\d\d:\d\d:\d\d)\S* \[\w+ *\] (?P<text>.*?) *\[(?P<logger>[\w.]+)\]"
)
_TASK = re.compile(r"\[DAG TEST\] starting task_id=(\w+)")


def main() -> int:
    """Run the demonstration.

    :return: the exit status: 0 when everything went as it should.
    """
    os.environ.update(
        AIRFLOW_HOME=str(HOME),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "example_dags"),
        AIRFLOW__LOGGING__COLORED_CONSOLE_LOG="False",
        PYTHONUNBUFFERED="1",
        NO_COLOR="1",
    )
    own_account = CONNECTION in os.environ
    test_id = own_test_id() if own_account else ""
    if own_account and not test_id:
        return 2

    heading("Setting up a throw-away Airflow")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    begun = time.monotonic()
    airflow("db", "migrate")
    say(
        f"its database is ready after {time.monotonic() - begun:.0f} s; everything Airflow says is in {shown(LOG)}"
    )
    return on_own_account(test_id) if own_account else on_simulator()


def own_test_id() -> str:
    """The instant test to rerun on somebody's own account."""
    say(f"{CONNECTION} is set: the pipeline runs against that account, and its units are charged.")
    test_id = os.environ.get("TEST_ID", "").strip()
    if not test_id and sys.stdin.isatty():
        test_id = input("Which instant test shall be rerun? TEST_ID = ").strip()
    if not test_id:
        print(f"TEST_ID is not set: name the instant test to rerun, as in\n\n  TEST_ID=281474976710706 make demo\n\n"
              f"or unset {CONNECTION} to see the demonstration against the simulator.", file=sys.stderr)  # fmt: skip
    return test_id


def on_own_account(test_id: str) -> int:
    """The pipeline, once, against a real account."""
    heading(f"Deploying, validated by instant test {test_id} of your account")
    states, evidence = run_pipeline(test_id, "1.4.2")
    report({"your account": (states, evidence)})
    return 0 if states.get("validate") == "success" else 1


def on_simulator() -> int:
    """Both pipelines, against a simulated ThousandEyes."""
    from thousandeyes_provider.simulator import Simulator

    test_id = "202703"
    # Ten simulated seconds pass in one.
    with Simulator(speed=10) as simulator:
        os.environ[CONNECTION] = json.dumps(simulator.connection())
        say(f"a simulated ThousandEyes answers at {simulator.url}")

        heading("1 of 2: a good deployment, on a bad day for the API (one 429, one 502)")
        simulator.change_test(
            test_id,
            delays={
                "Frankfurt, Germany": 30,
                "Ashburn, VA": 60,
                "Singapore": 80,
                "vienna-office-1": 110,
                "zurich-branch-2": 140,
            },
        )
        simulator.throttle(1, 40, "run")
        simulator.fail("run", status=502, started=True)
        good = run_pipeline(test_id, "1.4.2")

        heading("2 of 2: a bad deployment: Singapore cannot connect")
        # A test of its own: a rerun in the minute of the first round would wait for the next minute.
        test_id = simulator.add_test(
            "http-server", name="Demo checkout", outcomes={"Singapore": "error"}, delays=20
        )
        bad = run_pipeline(test_id, "1.5.0")

    report({"good deployment": good, "bad deployment": bad})
    expected = (
        {
            "deploy": "success",
            "validate": "success",
            "promote": "success",
            "roll_back": "skipped",
            "hold": "skipped",
        },
        {
            "deploy": "success",
            "validate": "failed",
            "promote": "upstream_failed",
            "roll_back": "success",
            "hold": "skipped",
        },
    )
    if (good[0], bad[0]) != expected:
        print("The pipelines did not end as they should.", file=sys.stderr)
        return 1
    say("Both pipelines ended as they should: the good one was promoted, the bad one rolled back.")
    return 0


def run_pipeline(test_id: str, version: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Run the pipeline with Airflow's command line, and tell what happens in it.

    :return: the state of each task, and the evidence of the validation.
    """
    conf = json.dumps({"test_id": test_id, "version": version})
    file = ROOT / "example_dags" / f"{PIPELINE}.py"
    command = [sys.executable, "-m", "airflow", "dags", "test", PIPELINE, "-f", str(file), "-c", conf]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        for line in progress(running.stdout or ()):
            say(line)
    return outcome()


def progress(lines: Any) -> Iterator[str]:
    """Of all that Airflow says, what a person wants to follow: tasks, this provider, what tasks print."""
    in_task = in_traceback = in_table = False
    with LOG.open("a") as log:
        for line in lines:
            log.write(line)
            text = line.rstrip()
            record = _RECORD.match(text)
            if record:
                in_traceback = False
                task = _TASK.search(text)
                if task:
                    in_task, in_table = True, False
                    yield f"{record['time']}  -- {task[1]}"
                elif "thousandeyes_provider" in record["logger"] and not in_table:
                    # The rest of the table is shown at the end.
                    in_table = record["text"].startswith("verdict")
                    yield f"{record['time']}     {record['text']}"
            elif text.startswith("Traceback"):
                in_traceback = True
            elif text.startswith("thousandeyes_provider.exceptions."):
                in_traceback = False
                yield f"              {text.removeprefix('thousandeyes_provider.exceptions.')}"
            elif in_task and text and not in_traceback:
                yield f"              {text}"


def outcome() -> tuple[dict[str, str], dict[str, Any]]:
    """The states of the tasks of the newest run, and the evidence that its validation left in XCom."""
    # Only now, since Airflow reads its environment when it is imported.
    from sqlalchemy import select

    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        newest = session.scalars(
            select(DagRun).where(DagRun.dag_id == PIPELINE).order_by(DagRun.id.desc()).limit(1)
        ).one()
        states = {
            instance.task_id: str(instance.state) for instance in newest.get_task_instances(session=session)
        }
        found = session.scalars(
            XComModel.get_many(
                key="return_value", run_id=newest.run_id, dag_ids=PIPELINE, task_ids="validate"
            )
        ).first()
        evidence = XComModel.deserialize_value(found) if found else {}
    order = ("deploy", "validate", "promote", "roll_back", "hold")
    return {name: states.get(name, "missing") for name in order}, evidence


def report(runs: Mapping[str, tuple[Mapping[str, str], Mapping[str, Any]]]) -> None:
    """The evidence of each run as a table, and how its tasks ended."""
    from thousandeyes_provider.validation.summary import table

    for name, (_, evidence) in runs.items():
        heading(f"Evidence of the {name}, as it is in XCom")
        print(table(evidence) if evidence else "none")
    heading("How the tasks ended")
    width = max(map(len, runs))
    for name, (states, _) in runs.items():
        print(f"{name.ljust(width)}  " + "  ".join(f"{task}: {state}" for task, state in states.items()))
    print(flush=True)


def airflow(*arguments: str) -> None:
    """Run a command of Airflow.

    :raises SystemExit: when it fails, with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    LOG.write_text(done.stdout + done.stderr)
    if done.returncode:
        sys.exit(f"airflow {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def heading(text: str) -> None:
    """Begin a part."""
    print(f"\n=== {text}", flush=True)


def say(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)


def shown(path: Path) -> str:
    """A path as seen from the project."""
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
