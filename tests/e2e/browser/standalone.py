"""``airflow standalone``, as somebody starts it who tries Airflow out, and an environment for an older one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page

from harness.processes import Processes, eventually, free_port

ROOT = Path(__file__).resolve().parents[3]
AIRFLOW_2 = "2.11.2"
MADE = ROOT / f".venv-airflow-{AIRFLOW_2}"
STARTING = 600.0
"""Seconds that it may take until it is ready; a machine may have other things to do."""


class Standalone:
    """An ``airflow standalone`` in a throw-away home, with the example DAGs and the Test button of connections.

    :param folder: where everything is kept.
    :param python: the interpreter of an environment with Airflow and this provider.
    :param major: Airflow's major version: 2 or 3.
    """

    def __init__(self, folder: Path, python: Path, major: int) -> None:
        self.folder, self._home, self._major = folder, folder / "airflow", major
        self._python = python
        dags = shutil.copytree(ROOT / "example_dags", folder / "dags")
        shutil.copytree(ROOT / "tests" / "e2e" / "dags" / "browser", dags, dirs_exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings: dict[str, Any] = {
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__DAGS_FOLDER": dags,
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__TEST_CONNECTION": "Enabled",
            "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "LOGGING__TRIGGER_LOG_SERVER_PORT": free_port(),
            "LOGGING__WORKER_LOG_SERVER_PORT": free_port(),
        }
        if major == 2:
            settings |= {
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
                "WORKERS__EXECUTION_API_TIMEOUT": 60,  # a busy machine is no lost one
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
                # There it finds its own command, to start its parts.
                "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "NO_COLOR": "1",
            },
        )

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._home.mkdir()
        self.processes.start("standalone", [str(self._python), "-m", "airflow", "standalone"])
        log = self.folder / "standalone.log"
        self._eventually("it is ready", lambda: "Airflow is ready" in log.read_text(errors="replace"))
        self._eventually("it answers", self._answers)

    def _eventually(self, what: str, check: Any) -> None:
        eventually(what, STARTING, check, self.processes.check)

    def _answers(self) -> bool:
        with requests.Session() as session, contextlib.suppress(requests.ConnectionError):
            session.trust_env = False
            return session.get(self.url, timeout=30).ok
        return False

    def log_in(self, page: Page) -> None:
        """Log in as the administrator, whose password Airflow has made up."""
        if self._major == 2:
            password = (self._home / "standalone_admin_password.txt").read_text().strip()
            page.goto(f"{self.url}/login/")
        else:
            passwords = (self._home / "simple_auth_manager_passwords.json.generated").read_text()
            password = json.loads(passwords)["admin"]
            page.goto(self.url)
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(password)
        page.locator("[type=submit]").click()
        page.wait_for_url(re.compile(rf"^{re.escape(self.url)}/(home)?(\?.*)?$"))

    def stop(self) -> None:
        """End all its processes."""
        self.processes.stop()


def airflow_2() -> Path:
    """The interpreter of an environment with Airflow 2.11 and this provider.

    It is the one that ``THOUSANDEYES_AIRFLOW_2`` names; else one is made below the project, once, where there is uv and
    a Python that Airflow 2.11 runs on. Skips when there is none.
    """
    named = os.environ.get("THOUSANDEYES_AIRFLOW_2")
    if named:
        return Path(named)
    uv = shutil.which("uv", path=os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", "")]))
    if uv is None:
        pytest.skip(
            "needs uv to make an environment with Airflow 2.11, or THOUSANDEYES_AIRFLOW_2 to name one"
        )
    python = MADE / "bin" / "python"
    if not python.exists():
        _run(uv, "venv", "--quiet", "--python", _python_for_2(uv), str(MADE))
    # Said again, it takes a moment, and mends what was left half done.
    install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    _run(*install, f"apache-airflow=={AIRFLOW_2}", "apache-airflow-providers-fab", "--editable", str(ROOT))
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot make an environment with Airflow {AIRFLOW_2}: {done.stderr.strip()[-500:]}")


def _python_for_2(uv: str) -> str:
    """A Python that Airflow 2.11 and this provider run on."""
    if (3, 11) <= sys.version_info < (3, 13):
        return sys.executable
    for version in ("3.12", "3.11"):
        command = [uv, "python", "find", "--no-python-downloads", version]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if not found.returncode:
            return found.stdout.strip()
    pytest.skip(f"Airflow {AIRFLOW_2} needs Python 3.11 or 3.12, and there is none")
