"""A real Airflow in a temporary home with its own database, and a simulator."""

from __future__ import annotations

import fcntl
import functools
import itertools
import json
import operator
import os
import re
import shutil
import sqlite3
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from thousandeyes_provider.simulator import Simulator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DAG_FILES = [*(ROOT / "tests" / "system" / "dags").glob("*.py"), *(ROOT / "example_dags").glob("*.py")]
DAGS = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
"""The DAGs folder. It contains only the file of the running test, because dag.test() parses and stores all DAGs."""

TOKEN = "t0ken-that-nobody-may-see"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Distribute the tests with an Airflow to three processes. Starting Airflow takes 7 s of processor time."""
    tests = [item for item in items if "airflow" in item.fixturenames and item.path.is_relative_to(HERE)]
    families = [list(family) for _, family in itertools.groupby(tests, key=lambda item: item.parent)]
    sizes = {"airflow 1": 0, "airflow 2": 0, "airflow 3": 0}
    for family in sorted(families, key=len, reverse=True):
        group = min(sizes, key=sizes.get)
        sizes[group] += len(family)
        for item in family:
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def airflow():
    """Airflow with a migrated database.

    The first process of pytest-xdist that requests it migrates a database. The other processes copy it.
    """
    _share_api_server()
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "connect", _do_not_sync)
    shared, own = Path(os.environ["THOUSANDEYES_SHARED_FOLDER"], "migrated.db"), DAGS.parent / "airflow.db"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shared.exists():
            _copy_database(shared, own)
            return
        from airflow.utils.db import initdb

        initdb()
        _copy_database(own, shared)


def _share_api_server():
    """Let all tasks of dag.test() use the same API server, as Airflow 3.3 does.

    Airflow 3.0 to 3.2 build a server for each task, which takes most of the processor time of these tests.
    """
    try:
        from airflow.sdk.execution_time import supervisor
    except ImportError:  # Airflow 2 has no API server for tasks
        return
    supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


def _do_not_sync(connection, _):
    """Commit without waiting for the disk. A DAG run commits about fifty times, and nothing outlives the session."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def _copy_database(source, target):
    with sqlite3.connect(source) as reading, sqlite3.connect(target) as writing:
        reading.backup(writing)
    reading.close()
    writing.close()


@pytest.fixture
def simulator():
    # Runs in the minute of the previous round start at once. The type of a test takes one request.
    with Simulator(
        tokens=[TOKEN], speed=30, default_tests=False, listed_in_tests=True, round_ids="unambiguous"
    ) as running:
        yield running


@dataclass(frozen=True)
class Outcome:
    """The results of a DAG run.

    :param states: state of each task instance by task id and map index.
    :param tries: try number of each task instance.
    :param xcoms: XComs by task id, map index and key.
    :param rendered: rendered fields by task id and map index.
    """

    states: dict[tuple[str, int], str]
    tries: dict[tuple[str, int], int]
    xcoms: dict[tuple[str, int, str], Any]
    rendered: dict[tuple[str, int], Any]


@pytest.fixture
def run_dag(airflow, simulator, monkeypatch):
    """A function that runs a DAG of ``tests/system/dags`` or an example DAG with a configuration."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection(timeout=3, retry_limit=3))
    )

    def run(dag_id, change=lambda dag: None, **conf):
        os.environ["NO_PROXY"] = "127.0.0.1"
        dag = _dag(dag_id)
        change(dag)
        return _outcome(dag.test(run_conf=conf))

    yield run
    for file in DAGS.glob("*.py"):
        file.unlink()


def _dag(dag_id):
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    (file,) = (path for path in DAG_FILES if re.search(rf'DAG\(\s*"{dag_id}"', path.read_text()))
    bag = DagBag(dag_folder=shutil.copy(file, DAGS))
    assert not bag.import_errors
    return bag.dags[dag_id]


def _outcome(dag_run):
    from sqlalchemy import select

    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session

    try:
        from airflow.models.xcom import XComModel
    except ImportError:  # Airflow 2.11, which deserializes values when it loads them
        from airflow.models.xcom import BaseXCom as XComModel

        value_of = operator.attrgetter("value")
    else:
        value_of = XComModel.deserialize_value
    with create_session() as session:
        instances = [
            value for value in dag_run.get_task_instances(session=session) if value.dag_id == dag_run.dag_id
        ]
        xcoms = session.scalars(
            select(XComModel).where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id)
        )
        fields = {
            (instance.task_id, instance.map_index): RenderedTaskInstanceFields.get_templated_fields(
                instance, session=session
            )
            for instance in instances
        }
        return Outcome(
            {(instance.task_id, instance.map_index): str(instance.state) for instance in instances},
            {(instance.task_id, instance.map_index): instance.try_number for instance in instances},
            {(instance.task_id, instance.map_index, instance.key): value_of(instance) for instance in xcoms},
            {key: value for key, value in fields.items() if value is not None},
        )


@pytest.fixture
def apart_from_messages():
    """Remove the messages between task and supervisor, which Airflow 3.0 logs in full at DEBUG.

    They contain registered secrets and unmasked rendered fields; see docs/known-issues.md.
    """
    if not metadata.version("apache-airflow").startswith("3.0."):
        return lambda said: said
    message = re.compile(r" msg=[A-Z]\w+\(")
    return lambda said: "\n".join(line for line in said.splitlines() if not message.search(line))
