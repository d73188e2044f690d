"""The trigger that waits for a round: arguments, event, and lines in the task log."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import closing
from contextvars import ContextVar

import pytest

from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.exceptions import ThousandEyesError
from thousandeyes_provider.hooks import shared_account
from thousandeyes_provider.hooks.results_reader import ResultsReader
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook
from thousandeyes_provider.simulator import Simulator
from thousandeyes_provider.triggers.instant_test import InstantTestResultsTrigger

TRIGGER_ID: ContextVar[int | None] = ContextVar("trigger_id", default=None)
"""Stand-in for the context variable by which Airflow routes a trigger's log lines. Airflow sets it before ``run``."""


class TaskLog(logging.Logger):
    """Records the log lines of the trigger with their context."""

    def __init__(self):
        super().__init__("trigger", logging.INFO)
        self.lines = []

    def handle(self, record):
        self.lines.append((TRIGGER_ID.get(), record.getMessage()))


@pytest.fixture
def simulator(monkeypatch):
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.01)
    with Simulator(speed=10, default_tests=False, organization_limit=100_000) as running:
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(running.connection()))
        yield running


@pytest.fixture
def start(simulator):
    """A function that runs a test and returns the trigger that waits for its round."""

    def start(test_id, timeout=6.0, **arguments):
        with closing(ThousandEyesHook()) as hook:
            reader = ResultsReader(hook, logging.getLogger("tests"))
            plan = reader.plan(test_id, test_type="http-server", result_types=None, expected=None)
            call = hook.run_instant_test(test_id)
        handle = RunHandle(plan, call.sent_at, call.accepted_at, call.accepted_at + timeout, 1)
        return InstantTestResultsTrigger(run=handle.to_json(), **{"poll_interval": 0.2, **arguments})

    return start


def fire(trigger):
    """Run the trigger as Airflow does: a new object with the same arguments, in its own asyncio task and context."""
    module, _, name = trigger.serialize()[0].rpartition(".")
    assert (module, name) == (InstantTestResultsTrigger.__module__, InstantTestResultsTrigger.__name__)
    task_log = TaskLog()

    class Recorded(InstantTestResultsTrigger):
        log = task_log

    async def run():
        TRIGGER_ID.set(7)
        return await anext(Recorded(**json.loads(json.dumps(trigger.serialize()[1]))).run())

    return asyncio.run(run()).payload, task_log.lines


def test_progress_is_logged_in_the_context_of_the_trigger(simulator, start):
    test_id = simulator.add_test("http-server", delays={"Singapore": 12}, silent=["zurich-branch-2"])
    event, lines = fire(start(test_id, min_agents=4, grace=0.1))
    assert event["state"] == "enough"
    texts = [text for _, text in lines]
    assert {trigger_id for trigger_id, _ in lines} == {7}
    assert texts[-1] == "4 of 5 agents reported (new: Singapore); missing: zurich-branch-2"
    assert len(texts) == len(set(texts)) <= 4


def test_round_of_another_run_is_logged_once(simulator, start):
    test_id = simulator.add_test("http-server", delays=8, switches={"round_ids": "unambiguous"})
    theirs = simulator.run(test_id, outcomes="error", delays=35)
    time.sleep(3)
    event, lines = fire(start(test_id))
    assert event["state"] == "complete"
    assert [text for _, text in lines if f"Ignoring round {theirs}" in text] != []
    assert len([text for _, text in lines if "Ignoring" in text]) == 1


def test_event_is_small_and_has_no_rows(simulator, start):
    event, _ = fire(start(simulator.add_test("http-server")))
    assert set(event) == {
        *("state", "test_id", "account_group_id", "reported"),
        *("requests", "throttled_seconds", "paced_seconds", "sighting"),
    }
    assert len(json.dumps(event)) < 1_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run": {}}, "the run handle has no test_id"),
        ({"run": None}, "a run handle is a JSON object, not NoneType"),
        ({"run": {"test_id": "7", "result_types": 5}}, "the run handle has no test_type"),
        ({"sighting": [1]}, "the sighting of the trigger must be an object, got list"),
    ],
)
def test_damaged_arguments_are_named(start, simulator, arguments, message):
    trigger = start(simulator.add_test("http-server"))
    damaged = InstantTestResultsTrigger(**{**trigger.serialize()[1], **arguments})
    with pytest.raises(ThousandEyesError, match=f"The arguments of the trigger are damaged: {message}"):
        asyncio.run(anext(damaged.run()))


def test_interval_is_adaptive_by_default(start, simulator):
    trigger = InstantTestResultsTrigger(run=start(simulator.add_test("http-server")).handle)
    assert trigger.serialize()[1]["poll_interval"] is None
