"""The account group in the evidence: the configured group, or the default group of the token."""

from __future__ import annotations

import asyncio

import pytest

from airflow.providers.common.compat.sdk import TaskDeferred
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor


def test_the_default_group_of_the_token_is_read_once(simulator, worker):
    evidence = worker.rerun(simulator.add_test("http-server"), confirm_failures=1)
    assert evidence["account_group_id"] == "1001"
    assert simulator.count("account-groups") == 1
    assert evidence["requests"] == len(simulator.requests)


def test_a_confirming_run_does_not_read_it_again(simulator, worker_alone):
    test_id = simulator.add_test("http-server", outcomes="error")
    with pytest.raises(Exception, match="FAILED"):
        worker_alone.rerun(test_id, confirm_failures=1)
    assert simulator.run_calls(test_id) == 2
    assert worker_alone.evidence["account_group_id"] == "1001"
    assert simulator.count("account-groups") == 1


def test_a_configured_account_group_needs_no_read(simulator, worker, connection):
    connection(account_group_id="1002")
    test_id = simulator.add_test("http-server", account_group_id="1002")
    assert worker.rerun(test_id)["account_group_id"] == "1002"
    assert not simulator.count("account-groups")


@pytest.mark.parametrize(("configured", "in_force"), [({}, "1001"), ({"account_group_id": "1002"}, "1002")])
def test_a_dry_run_reports_the_account_group(simulator, worker, connection, configured, in_force):
    connection(**configured)
    test_id = simulator.add_test("http-server", **configured)
    definition = {"interval": 60, "url": "https://preview.example.com", "agents": [{"agentId": "14410"}]}
    assert worker.rerun(test_id, dry_run=True)["account_group_id"] == in_force
    assert worker.create("http-server", definition=definition, dry_run=True)["account_group_id"] == in_force


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401},
        {"status": 403},
        {"status": 404},
        {"status": 503},
        {"status": 429, "headers": {"Retry-After": "60"}},
        {"kind": "slow-first-byte", "seconds": 30},
        {"kind": "cut"},
        {"kind": "not-json"},
        {"kind": "empty"},
        {"status": 200, "body": '{"accountGroups": []}'},
        {"status": 200, "body": '{"accountGroups": [{"aid": "1", "isCurrentAccountGroup": "yes"}]}'},
        {"status": 200, "body": '{"accountGroups": [{"isCurrentAccountGroup": true}]}'},
    ],
    ids=str,
)
def test_a_failed_read_has_no_other_effect(simulator, worker, fault):
    simulator.fail("account-groups", times=None, **fault)
    evidence = worker.rerun(simulator.add_test("http-server"))
    assert (evidence["verdict"], evidence["account_group_id"]) == ("passed", None)
    if fault != {"kind": "cut"}:  # aiohttp retries a request after its keep-alive connection was closed
        assert simulator.count("account-groups") == 1


def test_contradictory_flags_leave_the_group_unknown(simulator, worker):
    body = '{"accountGroups": [{"aid": 1, "isCurrentAccountGroup": true}, {"aid": 2, "isDefaultAccountGroup": true}]}'
    simulator.fail("account-groups", status=200, body=body)
    assert worker.rerun(simulator.add_test("http-server"))["account_group_id"] is None


def test_the_group_is_not_read_with_little_quota(simulator, worker_alone, monkeypatch):
    monkeypatch.setattr(BlockingThousandEyesHook, "polling_gap", lambda hook: 30.0)
    assert worker_alone.rerun(simulator.add_test("http-server"))["account_group_id"] is None
    assert not simulator.count("account-groups")


def test_the_read_does_not_delay_the_first_poll(simulator, worker_alone):
    simulator.fail("account-groups", "slow-first-byte", seconds=0.8, started=True)
    evidence = worker_alone.rerun(simulator.add_test("http-server"), poll_interval=1.5)
    assert evidence["account_group_id"] == "1001"
    operations = [(request.operation, request.at) for request in simulator.requests]
    accepted = next(at for operation, at in operations if operation == "run")
    polled = next(at for operation, at in operations if operation == "results" and at > accepted)
    assert polled - accepted < 2.0


def test_triggers_of_an_account_share_the_read(simulator, triggerer):
    deferrals = []
    for _ in range(3):
        operator = RunInstantTestOperator(
            task_id="validate", test_id=simulator.add_test("http-server"), deferrable=True, poll_interval=0.2
        )
        triggerer.operator = operator
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute(triggerer.context)
        deferrals.append(deferred.value)

    async def fire():
        return await asyncio.gather(*(anext(deferral.trigger.run()) for deferral in deferrals))

    events = asyncio.run(fire())
    assert [event.payload["account_group_id"] for event in events] == ["1001"] * 3
    assert simulator.count("account-groups") == 1


def test_the_sensor_reads_the_group_once(simulator, worker_alone):
    test_id = simulator.add_test("http-server")
    handle = worker_alone.rerun(test_id, wait_for_results=False)
    assert not simulator.count("account-groups")
    sensor = InstantTestResultsSensor(
        task_id="sense", run=handle, poke_interval=0.2, timeout=6, deferrable=False
    )
    assert worker_alone.execute(sensor)["account_group_id"] == "1001"
    assert simulator.count("account-groups") == 1


def test_a_creation_that_read_the_clock_does_not_read_again(simulator, tries):
    evidence = tries.create("http-server", definition={"url": "https://example.com", "agents": ["14410"]})
    assert evidence["account_group_id"] == "1001"
    assert simulator.count("account-groups") == (2 if tries.deferrable else 1)
