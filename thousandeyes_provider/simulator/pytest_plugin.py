"""pytest fixtures that test DAGs without a ThousandEyes account.

pytest discovers them when the package is installed. The simulator is imported when a test requests a fixture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thousandeyes_provider.simulator import Simulator


@pytest.fixture
def thousandeyes_simulator() -> Iterator[Simulator]:
    """A simulated ThousandEyes API on a free loopback port. It stops after the test."""
    from thousandeyes_provider.simulator import Simulator

    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def thousandeyes_run_dag(
    thousandeyes_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """A function that runs a DAG with ``dag.test()`` against ``thousandeyes_simulator`` and returns the DAG run.

    ``thousandeyes_run_dag(dag, test_id=…)`` takes the DAG and the configuration of its run. The connection
    ``thousandeyes_default`` points to the simulator. Airflow's tables are created if the database has none. Set
    ``AIRFLOW_HOME`` to a separate folder to keep test runs out of your own database. Airflow 3 reads the DAG from its
    file again, so the DAG must be defined at the top level of a file.
    """
    monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(thousandeyes_simulator.connection()))

    def run_dag(dag: Any, **conf: Any) -> Any:
        from sqlalchemy import inspect

        from airflow import settings
        from airflow.configuration import AIRFLOW_HOME

        # Airflow 3.0 does not create the folder before it opens the database in it.
        Path(AIRFLOW_HOME).mkdir(parents=True, exist_ok=True)
        if not inspect(settings.engine).get_table_names():
            from airflow.utils.db import initdb

            initdb()
        bundle = {
            "name": "thousandeyes-run-dag",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": dag.fileloc},
        }
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        return dag.test(run_conf=conf)

    return run_dag
