"""A simulated ThousandEyes, and the execution of operators against it as on a worker."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
from types import SimpleNamespace

import pytest

from airflow.providers.common.compat.sdk import TaskDeferred
from thousandeyes_provider.hooks import shared_account
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator, RunInstantTestOperator
from thousandeyes_provider.simulator import Simulator

TOKEN = "t0ken-that-nobody-may-see"


class Store:
    """A stand-in for Airflow's task state store."""

    def __init__(self):
        self.kept = {}

    def get(self, key):
        return self.kept.get(key)

    def set(self, key, value):
        self.kept[key] = json.loads(json.dumps(value))

    def delete(self, key):
        self.kept.pop(key, None)


class LostWorker(BaseException):
    """The worker is lost with its memory."""


class Worker:
    """Executes operators as Airflow does, and records pushed XComs.

    A deferred task is resumed with the event of its trigger and a new operator object, as in another process.
    """

    def __init__(self, deferrable):
        self.pushed = {}
        self.operator = self.parsed = None
        self.deferrable = deferrable
        self.deferrals = []
        self.map_index = -1
        self.max_tries = 0
        self.try_number = 1
        self.store = None
        self.dag_run = None

    def xcom_push(self, key, value):
        self.pushed[key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids, key, map_indexes):
        assert (task_ids, map_indexes) == (self.operator.task_id, self.map_index)
        return self.pushed.get(key)

    @property
    def context(self):
        instance = SimpleNamespace(
            xcom_push=self.xcom_push,
            xcom_pull=self.xcom_pull,
            map_index=self.map_index,
            max_tries=self.max_tries,
            dag_id="deploy",
            run_id="manual__2026-11-24",
            try_number=self.try_number,
        )
        context = {"ti": instance, "dag_run": self.dag_run}
        return context | ({} if self.store is None else {"task_state_store": self.store})

    def execute(self, operator):
        self.operator, self.parsed = operator, copy.copy(operator)
        deferral = None
        while True:
            # Airflow resumes a task in another process, so no exception is being handled at that time.
            try:
                if deferral is None:
                    return operator.execute(self.context)
                return self.resume(deferral)
            except TaskDeferred as another:
                deferral = another

    def resume(self, deferral):
        self.deferrals.append(deferral)
        classpath, arguments = deferral.trigger.serialize()
        module, _, name = classpath.rpartition(".")
        trigger = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
        event = asyncio.run(anext(trigger.run()))
        self.operator = copy.copy(self.parsed)
        arguments = {"event": json.loads(json.dumps(event.payload))}
        return self.operator.resume_execution(deferral.method_name, arguments, self.context)

    def rerun(self, test_id, **arguments):
        """Execute RunInstantTestOperator with short waits and return its value."""
        return self.execute(
            RunInstantTestOperator(task_id="validate", test_id=test_id, **{**self._quick, **arguments})
        )

    def create(self, test_type=None, **arguments):
        """Execute CreateInstantTestOperator with short waits and return its value."""
        return self.execute(
            CreateInstantTestOperator(task_id="preview", test_type=test_type, **{**self._quick, **arguments})
        )

    @property
    def _quick(self):
        return {"poll_interval": 0.07, "timeout": 6, "deferrable": self.deferrable}

    @property
    def evidence(self):
        """The pushed evidence of a failed task."""
        return self.pushed["return_value"]


def replace_sleep(patch, sleep):
    """Replace the sleep function of hooks."""
    patch.setitem(BlockingThousandEyesHook.__init__.__kwdefaults__, "sleep", sleep)


@pytest.fixture
def simulator():
    # Runs in the minute of the previous round start at once. The type of a test takes one request.
    with Simulator(
        tokens=[TOKEN],
        speed=30,
        default_tests=False,
        organization_limit=100_000,
        round_ids="unambiguous",
        listed_in_tests=True,
    ) as running:
        yield running


@pytest.fixture
def connection(simulator, monkeypatch):
    """A function that sets the connection with further extras."""

    def set_connection(**extra):
        fields = simulator.connection(**{"timeout": 3, **extra})
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))

    return set_connection


@pytest.fixture
def configure(monkeypatch):
    """A function that sets options of the section ``[thousandeyes]`` in Airflow's configuration."""

    def set_options(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__THOUSANDEYES__{name.upper()}", str(value))

    return set_options


@pytest.fixture(params=["worker", "triggerer"])
def worker(request, connection, monkeypatch):
    """Executes tasks that wait in the worker, or in the triggerer."""
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.01)
    connection()
    return Worker(deferrable=request.param == "triggerer")


@pytest.fixture
def worker_alone(connection):
    """Executes tasks that wait in the worker."""
    connection()
    return Worker(deferrable=False)


@pytest.fixture
def triggerer(connection, monkeypatch):
    """Executes tasks that wait in the triggerer."""
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.01)
    connection()
    return Worker(deferrable=True)


@pytest.fixture
def tries(worker):
    """Executes the tries of one task, which share a state store."""
    worker.store = Store()
    return worker
