"""The demonstration: a deployment pipeline in a real Airflow, validated by a ThousandEyes instant test.

Without an account it runs against the simulator. The first pipeline meets a 429 and a lost response, passes, and is
promoted. The second is gated by a suite of three tests. An agent of one test reports an error, and the release is
rolled back. At the end, checks are proposed from the history of a test. With AIRFLOW_CONN_THOUSANDEYES_DEFAULT set, the
first pipeline runs once against that account and the test TEST_ID.

Airflow's own command line runs the pipelines, in a temporary home below .demo.
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
SUITE_PIPELINE = "thousandeyes_release_gate"
GATES = {PIPELINE: "validate", SUITE_PIPELINE: "gate.verdict"}
"""The task of each pipeline whose evidence is shown."""
CONNECTION = "AIRFLOW_CONN_THOUSANDEYES_DEFAULT"

_RECORD = re.compile(
    r"\d{4}-\d\d-\d\dT(?P<time>\d\d:\d\d:\d\d)\S* \[\w+ *\] (?P<text>.*?) *\[(?P<logger>[\w.]+)\]"
)
_TASK = re.compile(r"\[DAG TEST\] starting task_id=([\w.]+)(?: map_index=(-?\d+))?")


def main() -> int:
    """Run the demonstration.

    :return: the exit status; 0 if all runs ended as expected.
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

    heading("Setting up a temporary Airflow")
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    begun = time.monotonic()
    airflow("db", "migrate")
    say(f"Its database is ready after {time.monotonic() - begun:.0f} s; the full output is in {shown(LOG)}")
    return on_own_account(test_id) if own_account else on_simulator()


def own_test_id() -> str:
    """Return the instant test to rerun on the user's own account."""
    say(f"{CONNECTION} is set: the pipeline runs against that account, and its units are charged.")
    test_id = os.environ.get("TEST_ID", "").strip()
    if not test_id and sys.stdin.isatty():
        test_id = input("Instant test to rerun: TEST_ID = ").strip()
    if not test_id:
        print(f"TEST_ID is not set: name the instant test to rerun, as in\n\n  TEST_ID=281474976710706 make demo\n\n"
              f"or unset {CONNECTION} to see the demonstration against the simulator.", file=sys.stderr)  # fmt: skip
    return test_id


def on_own_account(test_id: str) -> int:
    """Run the first pipeline against a real account."""
    heading(f"Deploying, validated by instant test {test_id} of your account")
    states, evidence = run_pipeline(PIPELINE, test_id=test_id, version="1.4.2")
    report({"your account": (states, evidence)})
    return 0 if states.get("validate") == "success" else 1


def on_simulator() -> int:
    """Run both pipelines and propose checks, against a simulated ThousandEyes."""
    from thousandeyes_provider.simulator import Simulator

    test_id = "202703"
    # Ten simulated seconds pass per second.
    with Simulator(speed=10) as simulator:
        os.environ[CONNECTION] = json.dumps(simulator.connection())
        say(f"A simulated ThousandEyes responds at {simulator.url}")

        heading("1 of 3: a good deployment, while the API returns a 429 and a 502")
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
        good = run_pipeline(PIPELINE, test_id=test_id, version="1.4.2")

        heading("2 of 3: a bad deployment, gated by three tests: one passes, one fails, one is inconclusive")
        tests = [
            simulator.add_test("http-server", name="Demo search", delays=20),
            simulator.add_test(
                "http-server", name="Demo checkout", outcomes={"Singapore": "error"}, delays=20
            ),
            simulator.add_test("dns-server", name="Demo names", silent=["zurich-branch-2"], delays=20),
        ]
        bad = run_pipeline(SUITE_PIPELINE, test_ids=tests, timeout=15, version="1.5.0")

        heading("3 of 3: checks for the demo's test, proposed from its rounds of two weeks")
        simulator.add_history(test_id, days=14, seed=2)
        proposed = propose(test_id)

    report({"good deployment": good, "bad deployment": bad})
    route = ("promote", "roll_back", "hold")
    ends = [tuple(states[task] for task in route) for states, _ in (good, bad)]
    verdicts = [evidence.get("verdict") for _, evidence in (good, bad)]
    expected = [("success", "skipped", "skipped"), ("skipped", "failed", "skipped")]
    if (ends, verdicts, proposed) != (expected, ["passed", "failed"], 0):
        print("The demonstration did not end as it should.", file=sys.stderr)
        return 1
    say("Both pipelines ended as they should: the good one was promoted, the bad one rolled back.")
    return 0


def propose(test_id: str) -> int:
    """Print the checks that the history of a test supports.

    :return: the exit status of the command.
    """
    command = [sys.executable, "-m", "thousandeyes_provider", "propose", test_id]
    options = ["--days", "14", "--one-in", "100"]
    say(f"$ {' '.join(['python', *command[1:], *options])}")
    return subprocess.run([*command, *options], cwd=ROOT, check=False).returncode


def run_pipeline(dag_id: str, **conf: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Run a pipeline with Airflow's command line, and print what happens in it.

    :return: the state of each task, and the evidence of the gate.
    """
    file = ROOT / "example_dags" / f"{dag_id}.py"
    command = [
        sys.executable,
        "-m",
        "airflow",
        "dags",
        "test",
        dag_id,
        "-f",
        str(file),
        "-c",
        json.dumps(conf),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        for line in progress(running.stdout or ()):
            say(line)
    return outcome(dag_id)


def progress(lines: Any) -> Iterator[str]:
    """Select the relevant lines of Airflow's output: starts of tasks, log lines of this provider, output of tasks."""
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
                    index = "" if task[2] in (None, "-1") else f"[{task[2]}]"
                    yield f"{record['time']}  -- {task[1]}{index}"
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


def outcome(dag_id: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Read the states of the tasks of the newest run, and the evidence that its gate left in XCom."""
    # Airflow reads its environment when it is imported.
    from sqlalchemy import select

    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        newest = session.scalars(
            select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)
        ).one()
        instances = newest.get_task_instances(session=session)
        states = {
            instance.task_id + (f"[{instance.map_index}]" if instance.map_index >= 0 else ""): str(
                instance.state
            )
            for instance in sorted(
                instances, key=lambda instance: (instance.end_date is None, instance.end_date)
            )
        }
        stored = session.scalars(
            XComModel.get_many(
                key="return_value", run_id=newest.run_id, dag_ids=dag_id, task_ids=GATES[dag_id]
            )
        ).first()
        evidence = XComModel.deserialize_value(stored) if stored else {}
    return states, evidence


def report(runs: Mapping[str, tuple[Mapping[str, str], Mapping[str, Any]]]) -> None:
    """Print the evidence of each run as a table, and the states of its tasks."""
    from thousandeyes_provider.validation.suite_reports import suite_table_lines
    from thousandeyes_provider.validation.summary import table

    for name, (_, evidence) in runs.items():
        heading(f"Evidence of the {name}, as it is in XCom")
        if "tests" in evidence:
            print("\n".join(line for _, line in suite_table_lines(evidence)))
        else:
            print(table(evidence) if evidence else "none")
    heading("How the tasks ended")
    width = max(map(len, runs))
    for name, (states, _) in runs.items():
        print(f"{name.ljust(width)}  " + "  ".join(f"{task}: {state}" for task, state in states.items()))
    print(flush=True)


def airflow(*arguments: str) -> None:
    """Run a command of Airflow.

    :raises SystemExit: when it fails, with its output.
    """
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    LOG.write_text(done.stdout + done.stderr)
    if done.returncode:
        sys.exit(f"airflow {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def heading(text: str) -> None:
    """Print the title of a part."""
    print(f"\n=== {text}", flush=True)


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, flush=True)


def shown(path: Path) -> str:
    """Return a path relative to the project."""
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
