"""A Redis server for the test session, as the broker of Celery."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

import pytest

from harness.processes import Unprivileged, eventually, free_port


class Redis:
    """A Redis server in a folder. Its data is on disk and survives a restart.

    :param folder: the folder, which is created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._user = Unprivileged("redis", "nobody")
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for Celery."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it responds."""
        import redis

        self.folder.mkdir(exist_ok=True)
        self._user.give(self.folder)
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.folder,
            "appendonly": "yes",
            "save": "",
        }
        command = ["redis-server"]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        with (self.folder / "redis.log").open("ab") as log:
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
                with contextlib.closing(redis.Redis(port=self.port, socket_timeout=5)) as client:
                    return bool(client.ping())
            except redis.RedisError:
                return False

        eventually("Redis answers", 60, answers, self._check)

    def _check(self) -> None:
        if self._server is not None and self._server.poll() is not None:
            pytest.fail((self.folder / "redis.log").read_text())

    def stop(self) -> None:
        """Stop the server with SIGTERM."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(30)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait(10)

    def restart(self) -> None:
        """Restart the server with its data."""
        self.stop()
        self.start()
