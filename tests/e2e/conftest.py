"""Fixtures for whole deployments, and the table at the end of the test run.

``make e2e`` installs the requirements and runs the tests. They take many minutes and run only on request::

    THOUSANDEYES_E2E=1 python -m pytest -n0 tests/e2e

Requirements besides Airflow 3.3 and its Celery provider: PostgreSQL (``initdb``, ``postgres``), ``redis-server``, and
the packages in ``requirements/e2e.txt``. Tests with a missing requirement are skipped. The folder with all logs is kept
after a failed test, or if ``THOUSANDEYES_E2E`` is ``keep``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.deployment import ROOT, Airflow
from harness.leaks import Search, Secret
from harness.postgres import Postgres
from harness.report import Scenario, aligned, markdown
from thousandeyes_provider.simulator import Simulator

HERE = Path(__file__).parent
ASKED_FOR = os.environ.get("THOUSANDEYES_E2E", "")
TOKEN = "t0ken/that+nobody=may~see"
"""A token whose URL-encoded forms differ from the token."""

SCENARIOS = pytest.StashKey[list[Scenario]]()
SESSION = pytest.StashKey[pytest.Session]()
KEPT = pytest.StashKey[list[Path]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[SESSION] = session


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SCENARIOS] = []
    config.stash[KEPT] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if ASKED_FOR:
        return
    skip = pytest.mark.skip(
        reason="starts whole deployments and takes minutes; set THOUSANDEYES_E2E=1 to run it"
    )
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    scenarios = config.stash[SCENARIOS]
    if scenarios:
        terminalreporter.section("faults and results of each scenario")
        for line in aligned(scenarios):
            terminalreporter.write_line(line)
        report = _artifacts() / "report.md"
        report.write_text(markdown(scenarios))
        terminalreporter.write_line(f"\nThe table is also in {report.relative_to(ROOT)}")
    for folder in config.stash[KEPT]:
        terminalreporter.write_line(f"Airflow's logs are in {folder}")


def _artifacts() -> Path:
    folder = ROOT / ".e2e"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder for files that outlive the tests."""
    return _artifacts()


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """The test's row of the final table, which the test fills in."""
    row = Scenario(request.node.name.removeprefix("test_").replace("_", " "))
    request.config.stash[SCENARIOS].append(row)
    return row


@pytest.fixture(scope="session")
def token() -> str:
    """The token as a secret to search for."""
    return TOKEN


@pytest.fixture(scope="session")
def secret() -> Secret:
    """The token in all forms to search for."""
    return Secret(TOKEN)


@pytest.fixture
def search(secret: Secret) -> Search:
    """A search for the token."""
    return Search(secret)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """A simulator with high rate limits."""
    with Simulator(
        tokens=[TOKEN],
        default_tests=False,
        organization_limit=6000,
        instant_limit=600,
        listed_in_tests=True,
        round_ids="unambiguous",
    ) as running:
        yield running


@contextlib.contextmanager
def _throw_away_folder(config: pytest.Config) -> Iterator[Path]:
    """Create a folder that other users can enter. It is kept after a failure."""
    folder = Path(tempfile.mkdtemp(prefix="thousandeyes-e2e-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if ASKED_FOR == "keep" or config.stash[SESSION].testsfailed:
            config.stash[KEPT].append(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def throw_away(pytestconfig: pytest.Config) -> Callable[[], contextlib.AbstractContextManager[Path]]:
    """A function that creates a folder for a deployment."""
    return lambda: _throw_away_folder(pytestconfig)


@pytest.fixture(scope="session")
def database_program() -> None:
    """Skip the tests if a requirement of every deployment is missing."""
    from airflow import __version__

    if tuple(int(part) for part in __version__.split(".")[:2]) < (3, 3):
        pytest.skip(f"a retry resumes a run on Airflow 3.3 and later; this is {__version__}")
    for package in ("psycopg2", "asyncpg"):
        pytest.importorskip(package, reason=f"needs the Python package {package}")
    for program in ("initdb", "postgres"):
        if Postgres.program(program) is None:
            pytest.skip(f"needs PostgreSQL's {program} (Debian's package postgresql)")


@pytest.fixture(scope="module")
def airflow(
    database_program: None,
    simulator: Simulator,
    throw_away: Callable[[], contextlib.AbstractContextManager[Path]],
) -> Iterator[Airflow]:
    """An Airflow with LocalExecutor, whose triggerers the tests start.

    There is no Fernet key. Trigger arguments are plain text, so that a token in them would be visible. The connection
    is an environment variable.
    """
    with throw_away() as folder:
        database = Postgres(folder / "postgres")
        running = Airflow(
            folder,
            database,
            dags=HERE / "dags" / "crashes",
            settings={
                "CORE__EXECUTOR": "LocalExecutor",
                "CORE__FERNET_KEY": "",
                "CORE__MAX_ACTIVE_TASKS_PER_DAG": 32,
                "CORE__PARALLELISM": 6,
                "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.3,
                "THOUSANDEYES__SETTLE_TIME": 10,
                "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 30,
                "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 2,
                "TRIGGERER__JOB_HEARTBEAT_SEC": 1,
                "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 10,
                "WORKERS__MIN_HEARTBEAT_INTERVAL": 2,
            },
            variables={"AIRFLOW_CONN_THOUSANDEYES_DEFAULT": json.dumps(simulator.connection(timeout=5))},
        )
        try:
            database.start()
            running.start()
            running.scheduler()
            yield running
        finally:
            running.stop()
            database.stop()
