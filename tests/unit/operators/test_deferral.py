"""Waiting in the triggerer: deferrals, events, turns, and resumption by a later try."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from tests.unit.operators.conftest import replace_sleep
from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesAuthError,
    ThousandEyesError,
    ThousandEyesRateLimitError,
    ThousandEyesServerError,
)
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.operators.judge import Judge
from thousandeyes_provider.triggers.instant_test import InstantTestResultsTrigger
from thousandeyes_provider.triggers.turns import RunTurnTrigger

ZURICH = "zurich-branch-2"
QUICK = {"poll_interval": 0.2, "timeout": 3}


def deferral_of(worker, test_id, **arguments):
    operator = RunInstantTestOperator(
        task_id="validate", test_id=test_id, deferrable=True, **{**QUICK, **arguments}
    )
    worker.operator = operator
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(worker.context)
    return deferred.value


def resume(worker, event, method="execute_complete"):
    return worker.operator.resume_execution(method, {"event": event}, worker.context)


class TestTrigger:
    def test_the_worker_sends_the_run_and_the_trigger_only_reads(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id)
        assert simulator.run_calls(test_id) == 1
        asyncio.run(anext(deferral.trigger.run()))
        assert simulator.run_calls(test_id) == 1
        assert {request.method for request in simulator.requests if request.operation != "run"} == {"GET"}

    def test_arguments_are_small_plain_json_without_the_token(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id, timeout=600)
        text = json.dumps(deferral.trigger.serialize()[1])
        assert "t0ken" not in text
        assert len(text) < 2000
        assert 600 < deferral.timeout.total_seconds() < 700

    def test_the_event_has_ids_and_a_state_and_no_rows(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id)
        event = asyncio.run(anext(deferral.trigger.run())).payload
        assert event == {
            "state": "complete",
            "test_id": test_id,
            "account_group_id": "1001",
            "reported": 5,
            "requests": event["requests"],
            "throttled_seconds": 0.0,
            "paced_seconds": event["paced_seconds"],
            "sighting": {
                "rounds": {"http-server": simulator.rounds(test_id)[-1].round_id},
                "rows": {"http-server": 5},
                "arrived_after": event["sighting"]["arrived_after"],
            },
        }
        assert len(event["sighting"]["arrived_after"]) == 5

    def test_a_trigger_that_starts_after_the_deadline_polls_once(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id, timeout=1)
        time.sleep(1.5)
        before = simulator.count("results")
        event = asyncio.run(anext(deferral.trigger.run())).payload
        assert event["state"] == "complete"
        assert simulator.count("results") == before + 1

    def test_two_copies_of_a_trigger_start_no_second_run(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id)

        async def both():
            again = InstantTestResultsTrigger(**deferral.trigger.serialize()[1])
            return await asyncio.gather(anext(deferral.trigger.run()), anext(again.run()))

        first, second = asyncio.run(both())
        assert first.payload["state"] == second.payload["state"] == "complete"
        assert simulator.run_calls(test_id) == 1

    def test_the_worker_raises_the_typed_error_of_a_refused_token(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id)
        simulator.fail("results", status=403, times=None, detail="not for you")
        event = asyncio.run(anext(deferral.trigger.run())).payload
        assert event["state"] == "refused"
        with pytest.raises(ThousandEyesAuthError, match="not for you") as failure:
            resume(triggerer, event)
        assert isinstance(failure.value, AirflowFailException)
        assert triggerer.evidence["verdict"] == "error"

    def test_the_window_of_a_poll_covers_the_whole_wait(self, simulator, triggerer, monkeypatch):
        deferral = deferral_of(triggerer, simulator.add_test("http-server"), timeout=600)
        asyncio.run(anext(deferral.trigger.run()))
        windows = [int(r.query["window"][:-1]) for r in simulator.requests if "window" in r.query]
        assert min(windows) >= 600


class TestResuming:
    @pytest.mark.parametrize(
        "event", [None, {}, "complete", {"state": "waiting"}, {"state": "fine"}, [1], {"status": "success"}]
    )
    def test_an_unknown_event_is_an_error(self, simulator, triggerer, event):
        deferral_of(triggerer, simulator.add_test("http-server"))
        with pytest.raises(ThousandEyesError, match="resumed with an unknown event"):
            resume(triggerer, event)

    def test_a_deferral_that_timed_out_is_judged_by_a_last_read(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        deferral_of(triggerer, test_id, timeout=1)
        time.sleep(1.5)
        evidence = triggerer.operator.resume_execution(
            "__fail__", {"error": "Trigger timeout"}, triggerer.context
        )
        assert evidence["verdict"] == "passed"

    @pytest.mark.parametrize(
        ("silent", "error"), [([ZURICH], InstantTestIncomplete), (None, InstantTestNoResults)]
    )
    def test_a_deferral_that_timed_out_raises_the_typed_error_with_evidence(
        self, simulator, triggerer, silent, error
    ):
        test_id = simulator.add_test("http-server")
        everybody = [agent.name for agent in simulator.agents]
        simulator.change_test(test_id, silent=silent or everybody, delays=1)
        deferral_of(triggerer, test_id, timeout=1)
        time.sleep(1.5)
        with pytest.raises(error):
            triggerer.operator.resume_execution("__fail__", {"error": "Trigger timeout"}, triggerer.context)
        assert triggerer.evidence["verdict"] in ("incomplete", "no_results")

    def test_a_deferral_that_ended_just_before_the_deadline_counts_as_timed_out(self, simulator, triggerer):
        test_id = simulator.add_test("http-server", delays=500)
        deferral_of(triggerer, test_id, timeout=4)
        with pytest.raises(InstantTestNoResults):
            triggerer.operator.resume_execution("__fail__", {"error": "Trigger timeout"}, triggerer.context)
        assert triggerer.evidence["verdict"] == "no_results"

    def test_a_trigger_that_failed_before_the_deadline_leaves_evidence_and_the_failure(
        self, simulator, triggerer
    ):
        test_id = simulator.add_test("http-server", delays=100)
        deferral_of(triggerer, test_id, timeout=60)
        with pytest.raises(ThousandEyesError, match="wait in the triggerer failed: Trigger failure"):
            triggerer.operator.resume_execution("__fail__", {"error": "Trigger failure"}, triggerer.context)
        assert triggerer.evidence["verdict"] == "error"
        assert "Trigger failure" in triggerer.evidence["reason"]

    def test_a_failed_last_read_is_no_verdict(self, simulator, triggerer, connection):
        connection(retry_limit=1)
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id)
        event = asyncio.run(anext(deferral.trigger.run())).payload
        simulator.fail("results", status=500, times=None)
        with pytest.raises(ThousandEyesServerError):
            resume(triggerer, event)

    def test_a_finished_run_is_not_deferred(self, simulator, triggerer):
        test_id = simulator.add_test("http-server", delays=1)
        simulator.fail("run", status=502, started=True)
        evidence = triggerer.rerun(test_id)
        assert (evidence["verdict"], triggerer.deferrals) == ("passed", [])

    def test_the_evidence_counts_requests_of_worker_and_triggerer(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        evidence = triggerer.rerun(test_id)
        assert evidence["requests"] == len(simulator.requests)


class TestTurns:
    def test_the_first_tasks_of_a_mapped_task_start_without_a_turn(self, simulator, triggerer):
        triggerer.map_index = RUNS_WITHOUT_TURN - 1
        test_id = simulator.add_test("http-server")
        assert triggerer.rerun(test_id)["verdict"] == "passed"
        assert [type(deferral.trigger) for deferral in triggerer.deferrals] == [InstantTestResultsTrigger]

    def test_a_later_mapped_task_waits_for_a_turn_before_any_request(self, simulator, triggerer):
        triggerer.map_index = RUNS_WITHOUT_TURN
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id)
        assert isinstance(deferral.trigger, RunTurnTrigger)
        assert simulator.requests == []
        triggerer.operator.execute = lambda context: (_ for _ in ()).throw(deferral)
        assert triggerer.execute(triggerer.operator)["verdict"] == "passed"
        assert [type(deferral.trigger) for deferral in triggerer.deferrals] == [
            RunTurnTrigger,
            InstantTestResultsTrigger,
        ]

    def test_a_long_rate_limit_is_waited_out_in_the_triggerer(self, simulator, triggerer, log):
        test_id = simulator.add_test("http-server")
        simulator.throttle(1, 200, "run")
        evidence = triggerer.rerun(test_id)
        assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 2)
        assert evidence["throttled_seconds"] > 6
        (waited,) = re.findall(r"Turn to run the test after (\d+) s \(\d+ s of rate-limit waits\)", log())
        assert int(waited) > 5
        first = triggerer.deferrals[0].trigger
        assert isinstance(first, RunTurnTrigger)
        assert first.limit == 24
        assert first.not_before > time.time() - 10
        assert simulator.run_calls(test_id) == 2

    def test_a_short_rate_limit_is_slept_out(self, simulator, triggerer):
        test_id = simulator.add_test("http-server")
        simulator.throttle(1, 10, "run")
        assert triggerer.rerun(test_id)["run_calls"] == 2
        assert [type(deferral.trigger) for deferral in triggerer.deferrals] == [InstantTestResultsTrigger]

    def test_a_turn_that_airflow_timed_out_is_too_late(self, simulator, triggerer):
        triggerer.map_index = RUNS_WITHOUT_TURN
        deferral_of(triggerer, simulator.add_test("http-server"))
        with pytest.raises(ThousandEyesRateLimitError, match="no turn"):
            triggerer.operator.resume_execution("__fail__", {"error": "Trigger timeout"}, triggerer.context)

    def test_a_turn_that_comes_after_queue_timeout_is_not_waited_for(self, simulator, triggerer):
        triggerer.map_index = RUNS_WITHOUT_TURN
        test_id = simulator.add_test("http-server")
        deferral = deferral_of(triggerer, test_id, queue_timeout=0)
        time.sleep(0.1)
        event = asyncio.run(anext(deferral.trigger.run())).payload
        assert event["state"] == "too late"
        with pytest.raises(
            ThousandEyesRateLimitError, match="no turn to run the test within queue_timeout 0 s"
        ):
            resume(triggerer, event, "execute_in_turn")
        assert simulator.run_calls(test_id) == 0


class LostWorker(BaseException):
    """The worker is lost with its memory."""


class TestReattach:
    def lose(self, tries, monkeypatch, test_id, sleeps=2, **arguments):
        """Execute a try whose worker is lost while it waits."""
        left = [sleeps]

        def sleep(seconds):
            left[0] -= 1
            if not left[0]:
                raise LostWorker
            time.sleep(seconds)

        with monkeypatch.context() as patch:
            replace_sleep(patch, sleep)
            with pytest.raises(LostWorker):
                tries.rerun(test_id, **{"deferrable": False, **arguments})

    def test_a_retry_resumes_the_run_of_a_lost_worker(self, simulator, tries, monkeypatch):
        test_id = simulator.add_test("http-server", delays=45)
        self.lose(tries, monkeypatch, test_id)
        evidence = tries.rerun(test_id)
        assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 1)
        assert simulator.run_calls(test_id) == 1
        assert tries.store.kept == {}

    def test_a_retry_judges_the_round_of_a_worker_that_was_lost_while_judging(
        self, simulator, tries, monkeypatch
    ):
        def lose_worker(*_):
            raise LostWorker

        test_id = simulator.add_test("http-server")
        with monkeypatch.context() as patch:
            patch.setattr(Judge, "publish", lose_worker)
            with pytest.raises(LostWorker):
                tries.rerun(test_id)
        assert tries.rerun(test_id)["verdict"] == "passed"
        assert simulator.run_calls(test_id) == 1
        assert tries.store.kept == {}

    def test_a_retry_after_the_deadline_polls_once(self, simulator, tries, monkeypatch):
        test_id = simulator.add_test("http-server", delays=30)
        self.lose(tries, monkeypatch, test_id, timeout=1)
        time.sleep(1.6)
        assert tries.rerun(test_id, timeout=1)["verdict"] == "passed"
        assert simulator.run_calls(test_id) == 1

    def test_a_run_that_may_have_been_sent_is_verified(self, simulator, tries, monkeypatch):

        test_id = simulator.add_test("http-server")
        run = BlockingThousandEyesHook.run_instant_test

        def run_and_lose_worker(hook, *arguments, **more):
            run(hook, *arguments, **more)
            raise LostWorker

        with monkeypatch.context() as patch:
            patch.setattr(BlockingThousandEyesHook, "run_instant_test", run_and_lose_worker)
            with pytest.raises(LostWorker):
                tries.rerun(test_id)
        assert tries.rerun(test_id)["verdict"] == "passed"
        assert simulator.run_calls(test_id) == 1

    def test_a_run_that_was_never_sent_is_sent(self, simulator, tries, monkeypatch, configure):
        configure(settle_time=0.5)

        test_id = simulator.add_test("http-server")

        def lose_worker(*_, **__):
            raise LostWorker

        with monkeypatch.context() as patch:
            patch.setattr(BlockingThousandEyesHook, "run_instant_test", lose_worker)
            with pytest.raises(LostWorker):
                tries.rerun(test_id)
        evidence = tries.rerun(test_id)
        assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 1)
        assert simulator.run_calls(test_id) == 1

    def test_a_refused_run_is_not_resumed(self, simulator, tries):
        test_id = simulator.add_test("http-server", history=[])
        simulator.throttle(1, 9000, operation="run")
        with pytest.raises(ThousandEyesRateLimitError):
            tries.rerun(test_id, queue_timeout=60, deferrable=False)
        assert tries.store.kept == {}
        theirs = simulator.run(test_id, delays=0, outcomes="error")
        time.sleep(1.1)
        evidence = tries.rerun(test_id)
        assert (evidence["verdict"], simulator.run_calls(test_id)) == ("passed", 2)
        assert evidence["rounds"]["http-server"] > theirs

    def test_a_retry_with_another_test_resumes_nothing(self, simulator, tries, monkeypatch):
        lost, other = simulator.add_test("http-server", delays=None), simulator.add_test("http-server")
        self.lose(tries, monkeypatch, lost)
        evidence = tries.rerun(other)
        assert (evidence["test_id"], simulator.run_calls(other)) == (other, 1)

    def test_a_cleared_task_starts_a_new_run(self, simulator, tries, monkeypatch):
        test_id = simulator.add_test("http-server", next_runs=[{"delays": None}, {}])
        self.lose(tries, monkeypatch, test_id)
        tries.max_tries += 1
        assert tries.rerun(test_id)["verdict"] == "passed"
        assert simulator.run_calls(test_id) == 2

    def test_durable_false_starts_a_new_run(self, simulator, tries, monkeypatch, configure):
        configure(durable=False)
        test_id = simulator.add_test("http-server", next_runs=[{"delays": None}, {}])
        self.lose(tries, monkeypatch, test_id)
        assert tries.store.kept == {}
        tries.rerun(test_id)
        assert simulator.run_calls(test_id) == 2

    def test_a_failed_verdict_clears_the_stored_run(self, simulator, tries):
        test_id = simulator.add_test("http-server", outcomes="error")
        with pytest.raises(InstantTestFailed):
            tries.rerun(test_id)
        assert tries.store.kept == {}

    def test_an_error_keeps_the_stored_run_for_the_next_try(self, simulator, tries, connection):
        connection(retry_limit=1)
        test_id = simulator.add_test("http-server")
        simulator.fail("results", status=403, skip=1, times=None)
        with pytest.raises(ThousandEyesAuthError):
            tries.rerun(test_id)
        assert tries.store.kept["thousandeyes_run"]["accepted"] is True

    def test_an_unavailable_store_is_a_warning(self, simulator, tries, log):
        class Broken:
            def __getattr__(self, name):
                raise RuntimeError("no store today")

        tries.store = Broken()
        assert tries.rerun(simulator.add_test("http-server"))["verdict"] == "passed"
        # Each execution may warn for a read and a write. A deferred task has two executions.
        assert log().count("no store today") <= (4 if tries.deferrable else 2)
