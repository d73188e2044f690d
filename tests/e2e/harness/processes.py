"""Named processes that can be started, killed, frozen and restarted."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest


def eventually(what: str, seconds: float, check: Callable[[], Any], alive: Callable[[], None]) -> Any:
    """Return the first true result of ``check``.

    :param alive: raises to end the wait early.
    """
    ends = time.monotonic() + seconds
    while not (result := check()):
        alive()
        if time.monotonic() > ends:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.2)
    return result


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_all(processes: Sequence[psutil.Process], signum: int) -> None:
    """Send a signal to processes in their order; ignore exited ones."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


class Unprivileged:
    """An unprivileged user with one writable folder, to start a server as."""

    def __init__(self, *names: str) -> None:
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        self._user = next(known[name] for name in names if name in known) if os.geteuid() == 0 else None

    def give(self, path: Path) -> None:
        """Make a file or folder private to that user."""
        path.chmod(0o700)
        if self._user is not None:
            shutil.chown(path, self._user.pw_name)

    @property
    def options(self) -> dict[str, Any]:
        """Return the arguments for :mod:`subprocess`."""
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


class Processes:
    """Processes with a common environment. Each one logs to a file with its name.

    :param folder: working folder and folder of the logs.
    :param environment: environment variables.
    :param supervised: whether to restart processes that exit, as systemd does. Otherwise an exit is a failure.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, supervised: bool = False) -> None:
        self.folder, self.environment = folder, dict(environment)
        self._supervised = supervised
        self._running: dict[str, tuple[Sequence[str], subprocess.Popen[bytes]]] = {}
        self.restarted: Counter[str] = Counter()
        """Restarts of each process by the supervisor."""

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        self._running[name] = (command, process)

    def names(self, begin: str = "") -> list[str]:
        """Return the names of the processes that were started and not killed."""
        return [name for name in self._running if name.startswith(begin)]

    def pid(self, name: str) -> int:
        """Return the process id of a process."""
        return self._running[name][1].pid

    def family(self, name: str) -> list[psutil.Process]:
        """Return a process and its descendants."""
        return family(self.pid(name))

    def kill(self, name: str) -> Sequence[str]:
        """Kill a process and its children with SIGKILL.

        :return: the command that started the process.
        """
        command, process = self._running.pop(name)
        signal_all(family(process.pid), signal.SIGKILL)
        process.wait(10)
        return command

    def freeze(self, name: str) -> None:
        """Freeze a process, but not its children."""
        self._running[name][1].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Continue a frozen process."""
        self._running[name][1].send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Restart exited processes, or fail."""
        for name, (command, process) in list(self._running.items()):
            if process.poll() is None:
                continue
            if not self._supervised:
                pytest.fail(f"{name} exited with {process.returncode}:\n{self._log_text(name)[-3000:]}")
            self.restarted[name] += 1
            signal_all(list(self.of_session(process.pid)), signal.SIGKILL)
            self.start(name, command)

    def _log_text(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    @staticmethod
    def of_session(leader: int) -> Iterator[psutil.Process]:
        """Return the remaining children of an exited process."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == leader:
                    yield process

    def everything(self) -> list[psutil.Process]:
        """Return all processes with this ``AIRFLOW_HOME``, including orphans."""
        home, processes = self.environment["AIRFLOW_HOME"], []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("AIRFLOW_HOME") == home:
                    processes.append(process)
        return processes

    def stop(self) -> None:
        """End all processes, in any state."""
        for name in list(self._running):
            self.kill(name)
        signal_all(self.everything(), signal.SIGKILL)
