"""Processes by name: started, killed, frozen, and started anew when they end by themselves."""

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
    """A port of loopback that nobody listens on."""
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


def signal_all(processes: Sequence[psutil.Process], signum: int) -> None:
    """Send a signal to processes, in their order, those that are gone left out."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


class Unprivileged:
    """How to start a server that refuses to run as root, and may write to one folder only."""

    def __init__(self, *names: str) -> None:
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        self._user = next(known[name] for name in names if name in known) if os.geteuid() == 0 else None

    def give(self, path: Path) -> None:
        """Let a file or folder belong to that user, and to no other."""
        path.chmod(0o700)
        if self._user is not None:
            shutil.chown(path, self._user.pw_name)

    @property
    def options(self) -> dict[str, Any]:
        """For :mod:`subprocess`."""
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


class Processes:
    """Processes with one environment; what each says goes to a file of its name.

    :param folder: where they run, and their logs are.
    :param environment: of all of them.
    :param supervised: start anew what ends by itself, as systemd or Kubernetes do; otherwise that is a failure.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, supervised: bool = False) -> None:
        self.folder, self.environment = folder, dict(environment)
        self._supervised = supervised
        self._running: dict[str, tuple[Sequence[str], subprocess.Popen[bytes]]] = {}
        self.restarted: Counter[str] = Counter()
        """How often each was started anew by the supervisor."""

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
        """Those that were started, and not killed."""
        return [name for name in self._running if name.startswith(begin)]

    def pid(self, name: str) -> int:
        """The process id of one."""
        return self._running[name][1].pid

    def family(self, name: str) -> list[psutil.Process]:
        """One, and all that come from it."""
        return family(self.pid(name))

    def kill(self, name: str) -> Sequence[str]:
        """SIGKILL for a process and its children.

        :return: the command that started it.
        """
        command, process = self._running.pop(name)
        signal_all(family(process.pid), signal.SIGKILL)
        process.wait(10)
        return command

    def freeze(self, name: str) -> None:
        """Stop a process without its noticing, but not its children."""
        self._running[name][1].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        self._running[name][1].send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Start anew what has ended by itself, or fail."""
        for name, (command, process) in list(self._running.items()):
            if process.poll() is None:
                continue
            if not self._supervised:
                pytest.fail(f"{name} has ended with {process.returncode}:\n{self._said(name)[-3000:]}")
            self.restarted[name] += 1
            signal_all(list(self.of_session(process.pid)), signal.SIGKILL)
            self.start(name, command)

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    @staticmethod
    def of_session(leader: int) -> Iterator[psutil.Process]:
        """What is left of the children of a process that was started here and is gone."""
        for found in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(found.pid) == leader:
                    yield found

    def everything(self) -> list[psutil.Process]:
        """All processes that have this environment's ``AIRFLOW_HOME``, also those that have lost their parents."""
        home, found = self.environment["AIRFLOW_HOME"], []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("AIRFLOW_HOME") == home:
                    found.append(process)
        return found

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for name in list(self._running):
            self.kill(name)
        signal_all(self.everything(), signal.SIGKILL)
