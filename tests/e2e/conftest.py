"""A whole Airflow of real processes in a throw-away home, to be killed in parts, and a simulated ThousandEyes.

API server, scheduler (LocalExecutor), DAG processor and triggerers are each ``python -m airflow …``, on loopback ports,
over a PostgreSQL server of its own in a temporary folder: with SQLite, several processes that write are no match for
what is tested here. Needed beside Airflow: ``initdb`` and ``postgres`` (Debian's package ``postgresql``, which need not
be running), and the Python packages ``psycopg2-binary`` and ``asyncpg``. What is missing is the reason of a skip.

All of this takes minutes, so it runs only when it is asked for::

    THOUSANDEYES_E2E=1 python -m pytest tests/e2e -n0

With ``THOUSANDEYES_E2E=keep``, the folder with all logs is left and named at the end. Trigger arguments are not
encrypted here (there is no Fernet key), so that a token would be seen in them.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from thousandeyes_provider.simulator import Simulator

ROOT = Path(__file__).resolve().parents[2]
DAGS = Path(__file__).parent / "dags"
TOKEN = "t0ken-that-nobody-may-see"
ASKED_FOR = os.environ.get("THOUSANDEYES_E2E", "")
ROLE = "airflow"
KEPT = pytest.StashKey[Path]()

_STARTING = 90.0
"""Seconds that a process may take until it is up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if ASKED_FOR:
        return
    skip = pytest.mark.skip(reason="takes minutes and whole processes; set THOUSANDEYES_E2E=1 to run it")
    for item in items:
        if item.path.parent == DAGS.parent:
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if KEPT in config.stash:
        terminalreporter.write_line(f"What Airflow said is in {config.stash[KEPT]}")


def eventually(what: str, seconds: float, check: Callable[[], Any], alive: Callable[[], None]) -> Any:
    """The first result of ``check`` that is true.

    :param alive: raises when waiting on is of no use.
    """
    ends = time.monotonic() + seconds
    while not (found := check()):
        alive()
        if time.monotonic() > ends:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.2)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def family(pid: int) -> list[psutil.Process]:
    """A process and all that come from it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_all(pid: int, signum: int) -> None:
    """Send a signal to a process and all that come from it, the process first."""
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


class Postgres:
    """A PostgreSQL server in a folder, for this test session only; it belongs to a user without rights.

    :param folder: where; made, and owned by that user.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.password = folder, free_port(), secrets.token_hex(16)
        self._user = self._unprivileged() if os.geteuid() == 0 else None
        self._server: subprocess.Popen[bytes] | None = None
        self._log: Any = None

    @staticmethod
    def program(name: str) -> str | None:
        """Where a program of the server is; Debian keeps them out of the PATH."""
        found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
        return shutil.which(name) or (found[-1] if found else None)

    @staticmethod
    def _unprivileged() -> str:
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"

    def start(self) -> None:
        """Make the database cluster, and serve."""
        import psycopg2

        self.folder.mkdir()
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        for path in (self.folder, password_file):
            path.chmod(0o700)
            if self._user:
                shutil.chown(path, self._user)
        data = self.folder / "data"
        log = self._log = (self.folder / "postgres.log").open("wb")
        options: dict[str, Any] = {"cwd": self.folder, "stdout": log, "stderr": subprocess.STDOUT}
        if self._user:
            entry = pwd.getpwnam(self._user)
            options |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        initdb = [self.program("initdb"), "-D", data, "-U", ROLE, "-A", "scram-sha-256", "-N"]
        subprocess.run(
            [*initdb, "-E", "UTF8", "--locale=C", f"--pwfile={password_file}"],
            check=True,
            timeout=60,
            **options,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        command = [self.program("postgres"), "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._server = subprocess.Popen(command, start_new_session=True, **options)

        def answers() -> bool:
            try:
                self.connect("postgres").close()
            except psycopg2.OperationalError:
                return False
            return True

        eventually("PostgreSQL answers", 30, answers, self._check)
        with contextlib.closing(self.connect("postgres")) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE airflow")

    def _check(self) -> None:
        if self._server is not None and self._server.poll() is not None:
            pytest.fail((self.folder / "postgres.log").read_text())

    def connect(self, database: str = "airflow") -> Any:
        """A connection that commits each statement."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=ROLE, password=self.password, dbname=database
        )
        connection.autocommit = True
        return connection

    @property
    def url(self) -> str:
        """What Airflow is to connect to."""
        return f"postgresql+psycopg2://{ROLE}:{self.password}@127.0.0.1:{self.port}/airflow"

    def stop(self) -> None:
        """Stop at once."""
        if self._log is not None:
            self._log.close()
        if self._server is None:
            return
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            signal_all(self._server.pid, signal.SIGKILL)
            self._server.wait(10)


@dataclass(frozen=True)
class Instance:
    """A task instance as the database has it."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    pid: int | None
    trigger: str | None
    triggerer: int | None
    trigger_id: int | None


class Airflow:
    """The processes of an Airflow, its database and its API.

    :param folder: where everything is kept.
    :param database: its database.
    :param connection: what ``thousandeyes_default`` is.
    """

    def __init__(self, folder: Path, database: Postgres, connection: dict[str, Any]) -> None:
        self._folder, self._database = folder, database
        self._home, self._port = folder / "airflow", free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._needed: set[str] = set()
        self._connection: Any = None
        self._http = requests.Session()
        self._http.trust_env = False
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "PYTEST_")) and "proxy" not in name.lower()
        }
        settings = {
            "API__SECRET_KEY": secrets.token_hex(16),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__DAGS_FOLDER": DAGS,
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._port}/execution/",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__FERNET_KEY": "",
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__MAX_ACTIVE_TASKS_PER_DAG": 32,
            "CORE__PARALLELISM": 6,
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 600,
            "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "DATABASE__SQL_ALCHEMY_CONN": database.url,
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.3,
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 15,
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 2,
            "TRIGGERER__JOB_HEARTBEAT_SEC": 1,
            "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 6,
            "WORKERS__MIN_HEARTBEAT_INTERVAL": 2,
        }
        self._environment = {
            **kept,
            **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW_CONN_THOUSANDEYES_DEFAULT": json.dumps(connection),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
        }

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Migrate the database, and start all processes but triggerers."""
        self._home.mkdir(parents=True)
        with (self._folder / "migrate.log").open("wb") as log:
            subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                check=True,
                timeout=120,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
            )
        self._connection = self._database.connect()
        self._start("api-server", "--host", "127.0.0.1", "--port", str(self._port))
        self._start("scheduler", "--skip-serve-logs")
        self._start("dag-processor")
        dags = {"deferred", "mapped", "retried", "cleared"}
        self.eventually("the API answers", self._answers, _STARTING)
        self.eventually("all DAGs are known", lambda: self._dags() == dags, _STARTING)

    def _start(self, *command: str, name: str | None = None) -> int:
        name = name or command[0]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        self._needed.add(name)
        return self._processes[name].pid

    def triggerer(self, name: str) -> int:
        """Start a triggerer.

        :return: its job id, when it is up.
        """
        known = self._triggerers()
        self._start("triggerer", "--skip-serve-logs", name=name)
        (found,) = self.eventually(f"{name} is up", lambda: self._triggerers() - known, _STARTING)
        return found

    def _triggerers(self) -> set[int]:
        return {found for (found,) in self.query("SELECT id FROM job WHERE job_type = 'TriggererJob'")}

    def freeze(self, name: str) -> None:
        """Stop a process without its noticing, but not its children: a triggerer's go on with its triggers."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def kill(self, name: str) -> None:
        """SIGKILL for a process and its children."""
        self._needed.discard(name)
        process = self._processes.pop(name)
        signal_all(process.pid, signal.SIGKILL)
        process.wait(10)

    def kill_triggerers(self) -> None:
        """SIGKILL for all triggerers."""
        for name in [name for name in self._processes if name.startswith("triggerer")]:
            self.kill(name)

    def kill_task(self, run_id: str, task_id: str, *, with_worker: bool = False) -> None:
        """SIGKILL for the process of a task that runs.

        :param with_worker: also, and before, for the process of LocalExecutor that watches over it.
        """
        (found,) = self.instances(run_id, task_id)
        assert (found.state, found.pid is not None) == ("running", True)
        process = psutil.Process(found.pid)
        worker = process.parent()
        assert worker is not None
        assert worker.parent() == psutil.Process(self._processes["scheduler"].pid)
        if with_worker:
            worker.kill()
        process.kill()

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        self._http.close()
        running = [found for process in self._processes.values() for found in family(process.pid)]
        groups = {process.pid for process in self._processes.values()}
        for found in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.kill()
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        # Children of what was killed on purpose are known by their home alone.
        for found in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if found.environ().get("AIRFLOW_HOME") == str(self._home):
                    found.kill()
        for process in self._processes.values():
            process.wait(10)
        if self._connection is not None:
            self._connection.close()

    def check(self) -> None:
        """Fail when a process has ended by itself."""
        for name in self._needed:
            if self._processes[name].poll() is not None:
                tail = (self._folder / f"{name}.log").read_text(errors="replace")[-3000:]
                pytest.fail(f"{name} has ended with {self._processes[name].returncode}:\n{tail}")

    def eventually(self, what: str, check: Callable[[], Any], seconds: float) -> Any:
        """The first result of ``check`` that is true; fails after ``seconds``, or when a process has ended."""
        try:
            return eventually(what, seconds, check, self.check)
        except pytest.fail.Exception as failure:
            newest = "SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1"
            states = [found for (run_id,) in self.query(newest) for found in self.instances(run_id)]
            pytest.fail("\n".join([str(failure), *map(str, states)]), pytrace=False)

    # -- the API -------------------------------------------------------------------------------------------------

    def _answers(self) -> bool:
        try:
            return self._http.get(f"http://127.0.0.1:{self._port}/api/v2/version", timeout=5).ok
        except requests.ConnectionError:
            return False

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._http.post(f"http://127.0.0.1:{self._port}/api/v2/dags/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def run(self, dag_id: str, tests: list[str]) -> str:
        """Start a DAG run.

        :return: its run id.
        """
        told = self._post(f"{dag_id}/dagRuns", {"logical_date": None, "conf": {"tests": tests}})
        return str(told["dag_run_id"])

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run, as a user does."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        self._post(f"{dag_id}/clearTaskInstances", body)

    # -- the database --------------------------------------------------------------------------------------------

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a statement finds."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def _dags(self) -> set[str]:
        return {found for (found,) in self.query("SELECT dag_id FROM serialized_dag")}

    def instances(self, run_id: str, like: str = "%") -> list[Instance]:
        """The task instances of a run whose task ids are like that."""
        found = self.query(
            "SELECT i.task_id, i.map_index, i.state, i.try_number, i.pid, t.classpath, t.triggerer_id, t.id"
            " FROM task_instance i LEFT JOIN trigger t ON t.id = i.trigger_id"
            " WHERE i.run_id = %s AND i.task_id LIKE %s ORDER BY i.task_id, i.map_index",
            run_id,
            like,
        )
        return [Instance(*row) for row in found]

    def waiting(self, run_id: str, like: str = "%") -> list[Instance]:
        """Those of them that wait for results in the triggerer."""
        return [
            found
            for found in self.instances(run_id, like)
            if found.state == "deferred" and (found.trigger or "").endswith("InstantTestResultsTrigger")
        ]

    def triggerers_of(self, run_id: str) -> set[int | None]:
        """The job ids of the triggerers that have those that wait."""
        return {found.triggerer for found in self.waiting(run_id)}

    def evidence(self, run_id: str) -> list[dict[str, Any]]:
        """What the instant tests of a run have returned."""
        found = self.query(
            "SELECT value FROM xcom WHERE run_id = %s AND key = 'return_value' ORDER BY task_id, map_index",
            run_id,
        )
        values = [json.loads(value) if isinstance(value, str) else value for (value,) in found]
        return [value for value in values if isinstance(value, dict)]

    def verdicts(self, run_id: str) -> dict[str, str]:
        """The verdict on each test."""
        told = self.evidence(run_id)
        assert len({one["test_id"] for one in told}) == len(told)
        return {one["test_id"]: one["verdict"] for one in told}

    def ended(self, run_id: str, seconds: float) -> dict[tuple[str, int], str | None]:
        """The state of each task instance when the run has ended."""

        def over() -> bool:
            ((state,),) = self.query("SELECT state FROM dag_run WHERE run_id = %s", run_id)
            return state in ("success", "failed")

        self.eventually(f"{run_id} ends", over, seconds)
        return {(found.task_id, found.map_index): found.state for found in self.instances(run_id)}

    # -- what has been said and stored ---------------------------------------------------------------------------

    def said(self) -> str:
        """All logs: those of the processes and those of the tasks."""
        files = [*self._folder.glob("*.log"), *(self._home / "logs").rglob("*")]
        return "\n".join(path.read_text(errors="replace") for path in files if path.is_file())

    def task_logs(self, run_id: str) -> dict[Path, str]:
        """What all tries of each task of a run have said, by the folder of their logs."""
        found: dict[Path, str] = {}
        for path in sorted((self._home / "logs").glob(f"dag_id=*/run_id={run_id}/**/attempt=*.log")):
            if ".trigger." not in path.name:
                found[path.parent] = found.get(path.parent, "") + path.read_text(errors="replace")
        return found

    def fired(self, run_id: str, job: int) -> set[int]:
        """The map indexes of the tasks for which a triggerer, by its job id, has fired an event of our results."""
        logs = (self._home / "logs").glob(f"dag_id=*/run_id={run_id}/**/attempt=*.log.trigger.{job}.log")
        fired = [
            path.parent.name.removeprefix("map_index=")
            for path in logs
            if "'rounds'" in path.read_text(errors="replace")
        ]
        return {int(found) for found in fired}

    def stored(self) -> str:
        """The whole database as text."""
        tables = self.query("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        dump = io.StringIO()
        with self._connection.cursor() as cursor:
            for (table,) in tables:
                cursor.copy_expert(f"COPY {table} TO STDOUT", dump)
        return dump.getvalue()


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(
        tokens=[TOKEN], default_tests=False, organization_limit=6000, instant_limit=600
    ) as running:
        yield running


@pytest.fixture(scope="session")
def airflow(simulator: Simulator, pytestconfig: pytest.Config) -> Iterator[Airflow]:
    from airflow import __version__

    if tuple(int(part) for part in __version__.split(".")[:2]) < (3, 3):
        pytest.skip(f"a retry picks up a run on Airflow 3.3 and later only; this is {__version__}")
    for package in ("psycopg2", "asyncpg"):
        pytest.importorskip(package, reason=f"needs the Python package {package}")
    for program in ("initdb", "postgres"):
        if Postgres.program(program) is None:
            pytest.skip(f"needs PostgreSQL's {program} (Debian's package postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="thousandeyes-e2e-"))
    folder.chmod(0o755)
    database = Postgres(folder / "postgres")
    running = Airflow(folder, database, simulator.connection(timeout=5))
    try:
        database.start()
        running.start()
        yield running
    finally:
        running.stop()
        database.stop()
        if ASKED_FOR == "keep":
            pytestconfig.stash[KEPT] = folder
        else:
            shutil.rmtree(folder, ignore_errors=True)
