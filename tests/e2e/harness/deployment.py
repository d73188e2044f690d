"""The processes of an Airflow, its API and its logs."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from harness.metadata import Metadata
from harness.postgres import Postgres
from harness.processes import Processes, eventually, free_port, signal_all

ROOT = Path(__file__).resolve().parents[3]
STARTING = 180.0
"""Time limit in seconds until a process is ready, on a busy machine."""


class Airflow:
    """An Airflow of real processes on a PostgreSQL server.

    :param folder: folder for all files.
    :param database: the database.
    :param dags: folder of the DAGs, which is copied.
    :param settings: additional settings of Airflow as ``SECTION__OPTION``.
    :param variables: additional environment variables, such as the connection.
    :param supervised: whether processes that exit are restarted.
    """

    def __init__(
        self,
        folder: Path,
        database: Postgres,
        *,
        dags: Path,
        settings: Mapping[str, Any],
        variables: Mapping[str, str] | None = None,
        supervised: bool = False,
    ) -> None:
        self.folder, self.home, self._port = folder, folder / "airflow", free_port()
        self.metadata = Metadata(database)
        self.variables = dict(variables or {})
        self._http = requests.Session()
        self._http.trust_env = False
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "PYTEST_")) and "proxy" not in name.lower()
        }
        all_settings = {
            "API__SECRET_KEY": secrets.token_hex(16),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__DAGS_FOLDER": shutil.copytree(dags, folder / "dags"),
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._port}/execution/",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 600,
            "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "DATABASE__SQL_ALCHEMY_CONN": database.url,
            # Slow responses of a busy machine must not count as lost.
            "WORKERS__EXECUTION_API_TIMEOUT": 30,
            **settings,
        }
        self.processes = Processes(
            folder,
            {
                **kept,
                **{f"AIRFLOW__{name}": str(value) for name, value in all_settings.items()},
                "AIRFLOW_HOME": str(self.home),
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "NO_COLOR": "1",
                **self.variables,
            },
            supervised=supervised,
        )

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Migrate the database, start API server and DAG processor, and wait until the DAGs are available."""
        self.home.mkdir(parents=True)
        with (self.folder / "migrate.log").open("wb") as log:
            subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                check=True,
                timeout=STARTING,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.processes.environment,
                cwd=self.folder,
            )
        self.airflow("api-server", "--host", "127.0.0.1", "--port", str(self._port))
        self.airflow("dag-processor")
        self.eventually("the API responds", self._responds, STARTING)

    def airflow(self, *command: str, name: str | None = None) -> None:
        """Start ``airflow …`` in a process."""
        self.processes.start(name or command[0], [sys.executable, "-m", "airflow", *command])

    def scheduler(self, name: str = "scheduler") -> int:
        """Start a scheduler.

        :return: its job id once it is ready.
        """
        return self._job("SchedulerJob", name, "scheduler", "--skip-serve-logs")

    def triggerer(self, name: str) -> int:
        """Start a triggerer.

        :return: its job id once it is ready.
        """
        return self._job("TriggererJob", name, "triggerer", "--skip-serve-logs")

    def _job(self, job_type: str, name: str, *command: str) -> int:
        known = self.metadata.jobs(job_type)
        self.airflow(*command, name=name)
        new_jobs = self.eventually(f"{name} is ready", lambda: self.metadata.jobs(job_type) - known, STARTING)
        return int(max(new_jobs))

    def kill_triggerers(self) -> None:
        """Kill all triggerers with SIGKILL."""
        for name in self.processes.names("triggerer"):
            self.processes.kill(name)

    def kill_task(self, run_id: str, task_id: str, *, with_worker: bool = False) -> None:
        """Kill the process of a running task with SIGKILL.

        :param with_worker: whether to kill LocalExecutor's process for it first.
        """
        (instance,) = self.metadata.instances(run_id, task_id)
        assert (instance.state, instance.pid is not None) == ("running", True)
        process = psutil.Process(instance.pid)
        worker = process.parent()
        assert worker is not None
        assert worker.parent() == psutil.Process(self.processes.pid("scheduler"))
        signal_all([worker, process] if with_worker else [process], signal.SIGKILL)

    def stop(self) -> None:
        """End all processes, in any state."""
        self._http.close()
        self.processes.stop()
        self.metadata.close()

    def eventually(self, what: str, check: Callable[[], Any], seconds: float) -> Any:
        """Return the first true result of ``check``; fail after ``seconds``, or when a process has exited."""
        try:
            return eventually(what, seconds, check, self.processes.check)
        except pytest.fail.Exception as failure:
            newest = self.metadata.newest_run()
            states = self.metadata.instances(newest) if newest else []
            pytest.fail("\n".join([str(failure), *map(str, states)]), pytrace=False)

    def decrypt(self, text: str) -> str:
        """Decrypt a value from the database, such as arguments of triggers. Without a key, return it unchanged."""
        return text

    # -- the API -------------------------------------------------------------------------------------------------

    def _responds(self) -> bool:
        try:
            return self._http.get(f"http://127.0.0.1:{self._port}/api/v2/version", timeout=5).ok
        except requests.RequestException:
            return False

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        response = self._http.post(f"http://127.0.0.1:{self._port}/api/v2/{path}", json=body, timeout=60)
        assert response.ok, response.text
        return response.json()

    def run(self, dag_id: str, tests: Mapping[str, Any] | list[str]) -> str:
        """Start a DAG run.

        :return: the run id.
        """
        self.eventually(f"{dag_id} is known", lambda: dag_id in self.metadata.dags(), STARTING)
        created = self._post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": {"tests": tests}})
        return str(created["dag_run_id"])

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run through the API."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        self._post(f"dags/{dag_id}/clearTaskInstances", body)

    def add_connection(self, conn_id: str, fields: Mapping[str, Any]) -> None:
        """Add a connection through the API; the database encrypts it when there is a Fernet key.

        :param fields: as returned by :meth:`~thousandeyes_provider.simulator.Simulator.connection`.
        """
        extra = json.dumps(fields["extra"])
        self._post("connections", {**fields, "connection_id": conn_id, "extra": extra})

    def ended(self, run_id: str, seconds: float) -> dict[tuple[str, int], str | None]:
        """Wait for the end of a run and return the state of each task instance."""
        self.eventually(
            f"{run_id} ends", lambda: self.metadata.state(run_id) in ("success", "failed"), seconds
        )
        return {
            (instance.task_id, instance.map_index): instance.state
            for instance in self.metadata.instances(run_id)
        }

    # -- logs ----------------------------------------------------------------------------------------------------

    def task_logs(self, run_id: str) -> dict[Path, str]:
        """Return the logs of all tries of a run's tasks, by folder."""
        logs: dict[Path, str] = {}
        for path in sorted((self.home / "logs").glob(f"dag_id=*/run_id={run_id}/**/attempt=*.log")):
            if ".trigger." not in path.name:
                logs[path.parent] = logs.get(path.parent, "") + path.read_text(errors="replace")
        return logs

    def fired(self, run_id: str, triggerer: str, job: int) -> set[int]:
        """Return the map indexes of the tasks for which a triggerer fired a results event.

        Airflow logs it in the log of the task, or in the triggerer's log if the former is already closed.

        :param triggerer: name of the triggerer.
        :param job: its job id.
        """
        logs = (self.home / "logs").glob(f"dag_id=*/run_id={run_id}/**/attempt=*.log.trigger.{job}.log")
        lines = [
            line
            for path in (*logs, self.folder / f"{triggerer}.log")
            for line in path.read_text(errors="replace").splitlines()
            if "Trigger fired event" in line and "'rounds'" in line
        ]
        name = re.compile(rf"/{re.escape(run_id)}/\w+/(\d+)/\d+ \(ID ")
        return {int(match[1]) for line in lines if (match := name.search(line))}
