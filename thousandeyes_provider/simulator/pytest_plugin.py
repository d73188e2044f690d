"""pytest fixtures for tests of DAGs without a ThousandEyes account.

pytest finds them once the package is installed. Only pytest is imported until a test uses one of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thousandeyes_provider.simulator import Simulator


@pytest.fixture
def thousandeyes_simulator() -> Iterator[Simulator]:
    """A new simulated ThousandEyes on a free loopback port, stopped after the test."""
    from thousandeyes_provider.simulator import Simulator

    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def thousandeyes_run_dag(
    thousandeyes_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """A function that runs a DAG with ``dag.test()`` against ``thousandeyes_simulator`` and returns the DAG run.

    ``thousandeyes_run_dag(dag, test_id=…)`` takes the DAG and the configuration of its run. The connection
    ``thousandeyes_default`` leads to the simulator. A database without tables gets Airflow's tables; ``AIRFLOW_HOME``
    chooses the database, and a folder of its own keeps test runs apart from others. Airflow 3 reads the DAG again from
    its file, so the DAG must be at the top level of a file, the test's own or another.
    """
    monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(thousandeyes_simulator.connection()))

    def run_dag(dag: Any, **conf: Any) -> Any:
        from sqlalchemy import inspect

        from airflow import settings

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
