"""A PostgreSQL server for the test session."""

from __future__ import annotations

import contextlib
import glob
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.processes import Unprivileged, eventually, family, free_port, signal_all

ROLE = "airflow"


class Postgres:
    """A PostgreSQL server in a folder, owned by an unprivileged user.

    :param folder: the folder, which is created and owned by that user.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.password = folder, free_port(), secrets.token_hex(16)
        self._user = Unprivileged("postgres", "nobody")
        self._server: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program(name: str) -> str | None:
        """Return the path of a server program; on Debian it is not on the PATH."""
        paths = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
        return shutil.which(name) or (paths[-1] if paths else None)

    def start(self) -> None:
        """Create a database cluster with an empty database and start the server."""
        self.folder.mkdir()
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        for path in (self.folder, password_file):
            self._user.give(path)
        initdb = [self.program("initdb"), "-D", self.folder / "data", "-U", ROLE, "-A", "scram-sha-256", "-N"]
        with self._log() as log:
            subprocess.run(
                [*initdb, "-E", "UTF8", "--locale=C", f"--pwfile={password_file}"],
                check=True,
                timeout=60,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._user.options,
            )
        password_file.unlink()
        self._serve()
        with contextlib.closing(self.connect("postgres")) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE airflow")

    def _log(self) -> Any:
        return (self.folder / "postgres.log").open("ab")

    def _serve(self) -> None:
        import psycopg2

        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        command = [self.program("postgres"), "-D", self.folder / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log() as log:
            self._server = subprocess.Popen(
                command,
                start_new_session=True,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._user.options,
            )

        def answers() -> bool:
            try:
                self.connect("postgres").close()
            except psycopg2.OperationalError:
                return False
            return True

        eventually("PostgreSQL answers", 60, answers, self._check)

    def _check(self) -> None:
        if self._server is not None and self._server.poll() is not None:
            pytest.fail((self.folder / "postgres.log").read_text())

    def restart(self) -> None:
        """Restart without waiting for clients, like ``pg_ctl restart -m fast``."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        self._server.wait(60)
        self._serve()

    def connect(self, database: str = "airflow") -> Any:
        """Return a connection that commits each statement."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=ROLE, password=self.password, dbname=database
        )
        connection.autocommit = True
        return connection

    @property
    def url(self) -> str:
        """Address for Airflow."""
        return f"postgresql+psycopg2://{ROLE}:{self.password}@127.0.0.1:{self.port}/airflow"

    def stop(self) -> None:
        """Stop immediately."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            signal_all(family(self._server.pid), signal.SIGKILL)
            self._server.wait(10)
