"""An API server below a base path, with DAG runs whose evidence was written to the database.

It has an administrator and a reader. :data:`HIDDEN` is hidden from the reader.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from harness.processes import Processes, eventually, free_port

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

HERE = Path(__file__).parent
BASE_PATH = "/team/airflow"
HIDDEN = "release_search"
"""The DAG that :mod:`browser.dag_permissions` hides from readers."""
STARTING = 600.0
"""Time limit in seconds until the API server is ready, on a busy machine."""


class ReportAirflow:
    """Airflow's API server over a database with evidence.

    :param folder: folder for all files.
    :param python: the interpreter of an environment with Airflow 3.1 or later and this provider.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder, self._python = folder, python
        self._dags = folder / "dags"
        self._dags.mkdir()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}{BASE_PATH}"
        passwords = folder / "passwords.json"
        passwords.write_text(json.dumps({"admin": "admin", "reader": "reader"}))
        settings = {
            "API__BASE_URL": self.url,
            "API__HOST": "127.0.0.1",
            "API__PORT": port,
            "API__SECRET_KEY": secrets.token_hex(16),
            "API__WORKERS": 1,
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "CORE__AUTH_MANAGER": "browser.dag_permissions.OneDagHidden",
            "CORE__DAGS_FOLDER": self._dags,
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords,
            "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,reader:viewer",
        }
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "PYTEST_")) and "proxy" not in name.lower()
        }
        environment = {
            **kept,
            **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
            "AIRFLOW_HOME": str(folder / "airflow"),
            "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(HERE.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
        }
        self.processes = Processes(folder, environment)

    def start(self) -> None:
        """Write the evidence, start the API server, and wait until it responds."""
        self._run("-m", "airflow", "db", "migrate")
        self._run(str(HERE / "seed_reports.py"), "dags", str(self._dags))
        self._run("-m", "airflow", "dags", "reserialize")
        self._run(str(HERE / "seed_reports.py"))
        self.processes.start("api-server", [str(self._python), "-m", "airflow", "api-server"])
        eventually("the API server responds", STARTING, self._responds, self.processes.check)

    def _run(self, *arguments: str) -> None:
        with (self.folder / "setup.log").open("ab") as log:
            subprocess.run(
                [str(self._python), *arguments],
                env=self.processes.environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=STARTING,
                check=True,
            )

    def _responds(self) -> bool:
        with requests.Session() as session, contextlib.suppress(requests.ConnectionError):
            session.trust_env = False
            return session.get(f"{self.url}/api/v2/version", timeout=30).ok
        return False

    def log_in(self, context: BrowserContext, user: str) -> None:
        """Log in a user in a browser context."""
        response = context.request.post(f"{self.url}/auth/token", data={"username": user, "password": user})
        assert response.ok, response.text()
        context.add_cookies([{"name": "_token", "value": response.json()["access_token"], "url": self.url}])

    def stop(self) -> None:
        """End the API server."""
        self.processes.stop()
