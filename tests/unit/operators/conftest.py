"""A simulated ThousandEyes, and a way to execute an operator against it as a worker does."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.simulator import Simulator

TOKEN = "t0ken-that-nobody-may-see"


class Worker:
    """Executes operators, and keeps what they pushed."""

    def __init__(self):
        self.pushed = {}
        self.operator = None

    def xcom_push(self, key, value):
        self.pushed[key] = json.loads(json.dumps(value))

    def execute(self, operator):
        self.operator = operator
        return operator.execute({"ti": SimpleNamespace(xcom_push=self.xcom_push)})

    def rerun(self, test_id, **arguments):
        """The value that RunInstantTestOperator returns, with waiting times for tests."""
        quick = {"poll_interval": 0.2, "timeout": 6, "settle_time": 1.5}
        return self.execute(
            RunInstantTestOperator(task_id="validate", test_id=test_id, **{**quick, **arguments})
        )

    @property
    def evidence(self):
        """The evidence that was pushed before the task failed."""
        return self.pushed["return_value"]


@pytest.fixture
def simulator():
    with Simulator(tokens=[TOKEN], speed=10, default_tests=False) as running:
        yield running


@pytest.fixture
def connection(simulator, monkeypatch):
    """Sets the connection, with further extras."""

    def set_connection(**extra):
        fields = simulator.connection(**{"timeout": 3, **extra})
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))

    return set_connection


@pytest.fixture
def worker(connection):
    connection()
    return Worker()
