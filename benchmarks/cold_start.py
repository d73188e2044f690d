"""The processor time of a task until it sends its run call, compared with the alternatives of a user."""

from __future__ import annotations

import gc
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from world import TOKEN, Row, World, median

_DAG = """
import os
from datetime import datetime
from airflow.sdk import DAG, task
{imports}

with DAG("measured", schedule=None, start_date=datetime(2025, 1, 1)):
    {task}
"""

_REQUESTS_TASK = """
    @task(task_id="task")
    def run():
        import requests

        url = os.environ["BENCH_URL"] + "/v7/tests/{test_id}/run"
        requests.post(url, headers={{"Authorization": "Bearer {token}"}}, timeout=30).raise_for_status()

    run()
"""

_SDK_TASK = """
    @task(task_id="task")
    def run():
        from thousandeyes_sdk.core import ApiClient, Configuration
        from thousandeyes_sdk.instant_tests import InstantTestsApi

        configuration = Configuration(host=os.environ["BENCH_URL"] + "/v7", access_token="{token}")
        with ApiClient(configuration) as client:
            InstantTestsApi(client).run_instant_test("{test_id}")

    run()
"""

_FILES = {
    "ours": (
        "from thousandeyes_provider.operators.instant_test import RunInstantTestOperator",
        'RunInstantTestOperator(task_id="task", test_id="{test_id}", test_type="http-server")',
    ),
    "HttpOperator": (
        "from airflow.providers.http.operators.http import HttpOperator",
        'HttpOperator(task_id="task", endpoint="v7/tests/{test_id}/run", method="POST")',
    ),
    "@task with requests": ("", _REQUESTS_TASK),
    "@task with the official SDK": ("", _SDK_TASK),
}


def until_post(path: str, result: int) -> None:
    """Parse the file and execute the task like a task runner, until it sends a ``POST``.

    :param path: the DAG file.
    :param result: file descriptor that receives the processor seconds of this process.
    """
    from airflow.sdk.execution_time import task_runner  # noqa: F401

    try:
        from airflow.dag_processing.dagbag import BundleDagBag
    except ImportError:
        from airflow.models.dagbag import DagBag

        bag = DagBag(path, include_examples=False)
    else:
        folder = os.path.dirname(path)
        bag = BundleDagBag(
            dag_folder=path,
            safe_mode=False,
            load_op_links=False,
            bundle_path=Path(folder),
            bundle_name="bench",
        )
    assert not bag.import_errors, bag.import_errors
    from workers import _context

    send = http.client.HTTPConnection.putrequest

    def putrequest(connection: Any, method: str, *arguments: Any, **options: Any) -> Any:
        if method == "POST":
            os.write(result, f"{time.process_time()}".encode())
            os._exit(0)
        return send(connection, method, *arguments, **options)

    http.client.HTTPConnection.putrequest = putrequest  # type: ignore[method-assign]
    bag.dags["measured"].get_task("task").execute(_context())


def fork_runners(paths: list[str], rounds: int) -> list[list[float]]:
    """Import the modules of an executor's worker and fork task runners, one path after another.

    :return: the processor seconds of each path's task runners.
    """
    import workers  # noqa: F401

    import airflow.executors.local_executor
    import airflow.sdk.execution_time.supervisor  # noqa: F401

    gc.freeze()  # like LocalExecutor before it forks
    took: list[list[float]] = [[] for _ in paths]
    for number in range(rounds + 1):
        for path, figures in zip(paths, took, strict=True):
            reader, writer = os.pipe()
            pid = os.fork()
            if not pid:
                try:
                    until_post(path, writer)
                finally:
                    os._exit(1)
            os.close(writer)
            with os.fdopen(reader) as stream:
                text = stream.read()
            os.waitpid(pid, 0)
            if number:  # the first round fills the caches of the file system
                figures.append(float(text))
    return took


def cold_start(rounds: int = 9) -> list[Row]:
    """Measure the processor time from a forked task runner to the run call.

    A process imports what a worker of Airflow's executor imports. For each figure it forks a process, as an executor
    does for a task. The forked process imports Airflow's task runner, parses a DAG file with one task and executes the
    task until it writes the ``POST`` to a TLS connection. The alternatives send the run call only. The operator also
    reads the definition of the test and its newest round before the call. The four take turns.
    """
    with World(tls=True) as world, tempfile.TemporaryDirectory() as folder:
        world.connections()
        os.environ["BENCH_URL"] = world.url
        test_id = world.add_test(history=[300])["test_id"]
        paths = []
        for number, (imports, task) in enumerate(_FILES.values()):
            paths.append(str(Path(folder) / f"file_{number}.py"))
            filled = task.format(test_id=test_id, token=TOKEN)
            Path(paths[-1]).write_text(_DAG.format(imports=imports, task=filled))
        # This process has imported HTTP libraries for the simulator, unlike a worker.
        command = [sys.executable, __file__, str(rounds), *paths]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    ours, *others = json.loads(done.stdout.splitlines()[-1])
    rows = []
    for name, other in zip(list(_FILES)[1:], others, strict=True):
        target = "<= 1 x" if name == "HttpOperator" else ""
        # The median of the ratios of adjacent figures: temporary load affects both figures.
        times = median(our / their for our, their in zip(ours, other, strict=True))
        rows.append(
            Row(
                "processor time until the run call (ms)",
                f"{median(ours) * 1000:.0f}",
                f"{median(other) * 1000:.0f} {name}",
                f"{times:.2f} x",
                target,
                times <= 1 if target else None,
            )
        )
    return rows


if __name__ == "__main__":
    print(json.dumps(fork_runners(sys.argv[2:], int(sys.argv[1]))))
