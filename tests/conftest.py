"""A temporary Airflow home for the test session.

Tests must not use the home, database and connections of the user's Airflow. Airflow reads the environment at its first
import, so the environment is set before.
"""

from __future__ import annotations

import copy
import gc
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_CHUNK = 8
"""Number of tests without a group that pytest-xdist sends to a process at once."""

_AIRFLOW_HOME = tempfile.mkdtemp(prefix="thousandeyes-tests-")

for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME
# The processes of pytest-xdist inherit the variable and share the folder of the process that starts them.
os.environ.setdefault("THOUSANDEYES_SHARED_FOLDER", _AIRFLOW_HOME)
Path(_AIRFLOW_HOME, "dags").mkdir()
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(_AIRFLOW_HOME, "dags"))
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS"] = "False"
# Thirty simulated seconds pass per second.
os.environ["AIRFLOW__THOUSANDEYES__SETTLE_TIME"] = "1.5"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without garbage collection, which would take half of the time of each process.

    Objects of imports and collection live until the end, so later garbage collections skip them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests of several processes so that no processor idles, neither during waits nor at the end.

    Groups start first, above all those that use a real Airflow. Tests with a simulator mostly wait, so they alternate
    with tests that compute, which also come last.
    """
    if not hasattr(config, "workerinput"):
        return
    groups, waiting, computing = [], [], []
    for item in items:
        if item.get_closest_marker("xdist_group"):
            groups.append(item)
        elif "simulator" in getattr(item, "fixturenames", ()):
            waiting.append(item)
        else:
            computing.append(item)
    groups.sort(key=lambda item: item.get_closest_marker("system") is None)
    alternating = [(0.9 * place / len(waiting), item) for place, item in enumerate(waiting)]
    alternating += [(place / len(computing), item) for place, item in enumerate(computing)]
    alternating.sort(key=lambda entry: entry[0])
    items[:] = [*groups, *(item for _, item in alternating)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Send tests without a group to the processes in chunks; one message for each test costs processor time."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class ChunkScheduling(LoadGroupScheduling):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._scopes: dict[str, str] = {}
            self._counts: Counter[str] = Counter()

        def _split_scope(self, nodeid: str) -> str:
            if nodeid not in self._scopes:
                scope: str = super()._split_scope(nodeid)
                if scope == nodeid:
                    file = nodeid.partition("::")[0]
                    scope = f"{file} {self._counts[file] // _CHUNK}"
                    self._counts[file] += 1
                self._scopes[nodeid] = scope
            return self._scopes[nodeid]

    return ChunkScheduling(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of comparisons with ThousandEyes' SDK and API description.

    The numbers are properties of test reports, which pytest-xdist collects from its workers.
    """
    counted: Counter[str] = Counter()
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for report in reports:
        for name, figures in getattr(report, "user_properties", ()):
            if name == "contract" and report.when == "call":
                counted.update({**figures, "failed": int(report.failed)})
    if not counted:
        return
    described = {key.split()[1] for key in counted if key.startswith("operation ")}
    terminalreporter.section("contract")
    terminalreporter.write_line(
        f"SDK: {counted['types']} test types created, run and read; {counted['models']} responses and requests parsed;"
        f" {counted['requests']} requests of the hooks equal the SDK's"
    )
    terminalreporter.write_line(
        f"API description: {counted['answers']} responses of {len(described)} operations validated"
        if described
        else "API description: not available, no response validated"
    )
    terminalreporter.write_line(f"contract tests with errors: {counted['failed']}")


_SMALLEST = {
    "agent-to-server": {"server": "pr-17.example.com:443"},
    "agent-to-agent": {"targetAgentId": "vienna-office-1"},
    "http-server": {"url": "https://pr-17.example.com"},
    "page-load": {"url": "https://pr-17.example.com"},
    "web-transactions": {"url": "https://pr-17.example.com", "transactionScript": "return true;"},
    "api": {
        "url": "https://pr-17.example.com",
        "requests": [{"name": "health", "url": "https://pr-17.example.com/health"}],
    },
    "ftp-server": {
        "url": "ftp://pr-17.example.com",
        "requestType": "list",
        "username": "anonymous",
        "password": "guest-password",
    },
    "dns-server": {"domain": "pr-17.example.com A", "dnsServers": ["ns1.example.net", "ns2.example.net"]},
    "dns-trace": {"domain": "pr-17.example.com A"},
    "dnssec": {"domain": "pr-17.example.com A"},
    "sip-server": {"targetSipCredentials": {"port": 5060, "sipRegistrar": "sip.example.com"}},
    "voice": {"targetAgentId": "vienna-office-1"},
}


@pytest.fixture
def definitions() -> dict[str, dict[str, Any]]:
    """A minimal definition of each test type, without agents."""
    return copy.deepcopy(_SMALLEST)
