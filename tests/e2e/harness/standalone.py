"""``airflow standalone`` of Airflow 3 or 2.11, its REST API, and an environment with Airflow 2.11."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from harness.postgres import Postgres
from harness.processes import Processes, eventually, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[3]
AIRFLOW_2 = "2.11.2"
VENV_2 = ROOT / f".venv-airflow-{AIRFLOW_2}"
TRACEBACK = "Traceback (most recent call last):"
STARTING = 600.0
"""Time limit in seconds until Airflow is ready, on a busy machine."""


@dataclass(frozen=True)
class Frame:
    """A frame of a traceback in a log.

    :param file: path of the source file.
    :param function: name of the function.
    """

    file: str
    function: str


@dataclass(frozen=True)
class TaskLog:
    """The log of a try of a task, as the REST API returns it.

    :param lines: messages without time, level and logger, and without the error of a failed task.
    :param error: class and message of the error of a failed task.
    :param frames: frames of its traceback.
    :param exceptions: number of exceptions in the traceback, more than 1 for a chain.
    :param after_error: text of the log below the error.
    """

    lines: list[str]
    error: str = ""
    frames: tuple[Frame, ...] = ()
    exceptions: int = 0
    after_error: tuple[str, ...] = ()


class Standalone:
    """An ``airflow standalone`` in a temporary home.

    :param folder: folder for all files.
    :param python: interpreter of an environment with Airflow and this provider.
    :param major: Airflow's major version: 2 or 3.
    :param dags: folders whose DAGs are copied.
    :param variables: additional environment variables, such as the connection.
    :param database: PostgreSQL database; ``None`` for SQLite. On SQLite, Airflow 2.11 runs one task at a time.
    """

    def __init__(
        self,
        folder: Path,
        python: Path,
        major: int,
        *,
        dags: Sequence[Path],
        variables: Mapping[str, str] | None = None,
        database: Postgres | None = None,
    ) -> None:
        self.folder, self._home, self._major = folder, folder / "airflow", major
        self._python = python
        dags_folder = folder / "dags"
        for source in dags:
            shutil.copytree(source, dags_folder, dirs_exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings: dict[str, Any] = {
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__DAGS_FOLDER": dags_folder,
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__TEST_CONNECTION": "Enabled",
            "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "LOGGING__TRIGGER_LOG_SERVER_PORT": free_port(),
            "LOGGING__WORKER_LOG_SERVER_PORT": free_port(),
        }
        if database is not None:
            settings |= {
                "CORE__EXECUTOR": "LocalExecutor",
                "CORE__PARALLELISM": 4,
                "DATABASE__SQL_ALCHEMY_CONN": database.url,
            }
        if major == 2:
            settings |= {
                "API__AUTH_BACKENDS": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth,"
                "airflow.api.auth.backend.session",
                "WEBSERVER__BASE_URL": self.url,
                "WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
                "WEBSERVER__WEB_SERVER_PORT": port,
                "WEBSERVER__WORKERS": 1,
            }
        else:
            settings |= {
                "API__BASE_URL": self.url,
                "API__HOST": "127.0.0.1",
                "API__PORT": port,
                "API__SECRET_KEY": secrets.token_hex(16),
                "API__WORKERS": 1,
                "API_AUTH__JWT_SECRET": secrets.token_hex(32),
                "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
                # Slow responses of a busy machine must not count as lost.
                "WORKERS__EXECUTION_API_TIMEOUT": 60,
            }
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "PYTEST_")) and "proxy" not in name.lower()
        }
        self.processes = Processes(
            folder,
            {
                **kept,
                **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
                "AIRFLOW_HOME": str(self._home),
                # `airflow standalone` starts its components with the command `airflow`.
                "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "NO_COLOR": "1",
                **(variables or {}),
            },
        )

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start Airflow and wait until it is ready."""
        self._home.mkdir()
        self.processes.start("standalone", [str(self._python), "-m", "airflow", "standalone"])
        log = self.folder / "standalone.log"
        self.eventually(
            "Airflow is ready", lambda: "Airflow is ready" in log.read_text(errors="replace"), STARTING
        )
        self.eventually("Airflow responds", self._responds, STARTING)

    def eventually(self, what: str, check: Callable[[], Any], seconds: float) -> Any:
        """Return the first true result of ``check``. Fail after ``seconds``, or if Airflow has exited."""
        return eventually(what, seconds, check, self.processes.check)

    def _responds(self) -> bool:
        with requests.Session() as session, contextlib.suppress(requests.ConnectionError):
            session.trust_env = False
            return session.get(self.url, timeout=30).ok
        return False

    def stop(self) -> None:
        """End all processes of Airflow."""
        self.processes.stop()

    # -- log in --------------------------------------------------------------------------------------------------

    @property
    def _password(self) -> str:
        """The generated password of the user ``admin``."""
        if self._major == 2:
            return (self._home / "standalone_admin_password.txt").read_text().strip()
        passwords = json.loads((self._home / "simple_auth_manager_passwords.json.generated").read_text())
        return str(passwords["admin"])

    def log_in(self, page: Page) -> None:
        """Log in as the administrator."""
        page.goto(f"{self.url}/login/" if self._major == 2 else self.url)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(self._password)
        page.locator("[type=submit]").click()
        page.wait_for_url(re.compile(rf"^{re.escape(self.url)}/(home)?(\?.*)?$"))

    # -- REST API ------------------------------------------------------------------------------------------------

    @cached_property
    def _api(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        if self._major == 2:
            session.auth = ("admin", self._password)
        else:
            body = {"username": "admin", "password": self._password}
            response = session.post(f"{self.url}/auth/token", json=body, timeout=60)
            assert response.ok, response.text
            session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        return session

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        version = "v1" if self._major == 2 else "v2"
        return self._api.request(method, f"{self.url}/api/{version}/{path}", timeout=60, **options)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a DAG run.

        :param conf: params of the run.
        :return: the run id.
        """
        self.eventually(f"{dag_id} is known", lambda: self._call("GET", f"dags/{dag_id}").ok, STARTING)
        body: dict[str, Any] = {"conf": dict(conf or {})}
        if self._major != 2:
            body["logical_date"] = None
        response = self._call("POST", f"dags/{dag_id}/dagRuns", json=body)
        assert response.ok, response.text
        return str(response.json()["dag_run_id"])

    def ended(self, dag_id: str, run_id: str, seconds: float) -> str:
        """Wait for the end of a DAG run.

        :return: its state.
        """

        def state() -> str | None:
            state_now = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}").json()["state"]
            return state_now if state_now in ("success", "failed") else None

        return str(self.eventually(f"{dag_id} ends", state, seconds))

    def tries(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> int:
        """Return the number of started tries of a task."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        response = self._call("GET", path if map_index < 0 else f"{path}/{map_index}")
        return int(response.json()["try_number"]) if response.ok else 0

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, attempt: int = 1
    ) -> TaskLog:
        """Return the log of a try of a task; empty until Airflow has a log."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        options = {"map_index": map_index, "full_content": "true"}
        accept = "text/plain" if self._major == 2 else "application/json"
        response = self._call("GET", path, params=options, headers={"Accept": accept})
        if response.status_code == 404:
            return TaskLog([])
        assert response.ok, response.text
        if self._major == 2:
            return task_log_of_text(response.text)
        return task_log_of_entries(response.json()["content"])


def task_log_of_entries(entries: Sequence[Mapping[str, Any]]) -> TaskLog:
    """Parse a log of Airflow 3: entries, in which an error has the frames of its traceback."""
    lines: list[str] = []
    for number, entry in enumerate(entries):
        errors = entry.get("error_detail")
        if not errors:
            lines.append(str(entry["event"]))
            continue
        return TaskLog(
            lines,
            error=f"{errors[-1]['exc_type']}: {errors[-1]['exc_value']}",
            frames=tuple(Frame(frame["filename"], frame["name"]) for frame in errors[-1]["frames"]),
            exceptions=len(errors),
            after_error=tuple(str(later["event"]) for later in entries[number + 1 :]),
        )
    return TaskLog(lines)


def task_log_of_text(text: str) -> TaskLog:
    """Parse a log of Airflow 2.11: lines of text.

    Airflow's task runner logs the error of a failed task a second time with its own frames, in a folded group. This
    does not count as a chain.
    """
    prefix = re.compile(r"^\[[-\d]+T[\d:.+]+\] \{.*?\} [A-Z]+ - ")
    lines = [prefix.sub("", line) for line in text.splitlines()]
    if TRACEBACK not in lines:
        return TaskLog(lines)
    start = lines.index(TRACEBACK)
    length = next(number for number, line in enumerate(lines[start + 1 :]) if not line.startswith(" "))
    error = start + 1 + length
    frames = (re.fullmatch(r'  File "(.+)", line \d+, in (.+)', line) for line in lines[start:error])
    chain = ("The above exception was the direct cause", "During handling of the above exception")
    return TaskLog(
        lines[:start],
        error=lines[error],
        frames=tuple(Frame(frame[1], frame[2]) for frame in frames if frame),
        exceptions=1 + sum(line.startswith(chain) for line in lines),
        after_error=tuple(lines[error + 1 :]),
    )


@contextlib.contextmanager
def running(folder: Path, major: int, *, postgres: bool = False, **options: Any) -> Iterator[Standalone]:
    """Run an ``airflow standalone``: Airflow 3 of this environment, or 2.11, which always uses PostgreSQL.

    :param folder: folder for all files. The user of PostgreSQL must be able to enter it.
    :param postgres: whether the database is PostgreSQL; else SQLite.
    :param options: DAGs and variables of :class:`Standalone`.
    """
    database = Postgres(folder / "postgres") if postgres or major == 2 else None
    python = airflow_2() if major == 2 else Path(sys.executable)
    airflow = Standalone(folder, python, major, database=database, **options)
    try:
        if database is not None:
            database.start()
        airflow.start()
        yield airflow
    finally:
        airflow.stop()
        if database is not None:
            database.stop()


def airflow_2() -> Path:
    """Return the interpreter of an environment with Airflow 2.11 and this provider.

    It is that in ``THOUSANDEYES_AIRFLOW_2``. Otherwise the environment is created once in the project folder. The test
    is skipped if uv or a Python version for Airflow 2.11 is missing.
    """
    named = os.environ.get("THOUSANDEYES_AIRFLOW_2")
    if named:
        return Path(named)
    uv = shutil.which("uv", path=os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")]))
    if uv is None:
        pytest.skip(
            "needs uv to create an environment with Airflow 2.11, or THOUSANDEYES_AIRFLOW_2 to name one"
        )
    python = VENV_2 / "bin" / "python"
    if not python.exists():
        _run(uv, "venv", "--quiet", "--python", _python_for_2(uv), str(VENV_2))
    # A repeated installation is fast, and completes an interrupted installation.
    install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    packages = ("apache-airflow-providers-fab", "psycopg2-binary")
    _run(*install, f"apache-airflow=={AIRFLOW_2}", *packages, "--editable", str(ROOT))
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot create an environment with Airflow {AIRFLOW_2}: {done.stderr.strip()[-500:]}")


def _python_for_2(uv: str) -> str:
    """Return the path of a Python version that Airflow 2.11 and this provider support."""
    if (3, 11) <= sys.version_info < (3, 13):
        return sys.executable
    for version in ("3.12", "3.11"):
        command = [uv, "python", "find", "--no-python-downloads", version]
        search = subprocess.run(command, capture_output=True, text=True, check=False)
        if not search.returncode:
            return search.stdout.strip()
    pytest.skip(f"Airflow {AIRFLOW_2} needs Python 3.11 or 3.12; neither is installed")
