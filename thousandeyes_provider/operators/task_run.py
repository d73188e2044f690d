"""One execution of a task that starts a round: everything between Airflow's call and the task's end or deferral.

This module is the part that only a worker needs. The operators import it when they execute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesRateLimitError,
)
from thousandeyes_provider.operators.execution import (
    DEFER_MARGIN,
    Deferral,
    Execution,
    JudgingTask,
    parsed_options,
)
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import StartOptions
from thousandeyes_provider.operators.outcome import Ending
from thousandeyes_provider.operators.run_store import RunStateStore, StoredRun
from thousandeyes_provider.operators.session import Done, NeedsTurn, Started, Step
from thousandeyes_provider.operators.starters import queue_timeout_of, starter_of
from thousandeyes_provider.operators.wait_record import FirstFailure, QueuedRun, Spent
from thousandeyes_provider.triggers.turns import TOO_LATE, TURN, RunTurnTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.api import definition as definitions
    from thousandeyes_provider.operators.judge import Judged
else:
    definitions = LazyModule("thousandeyes_provider.api.definition")


class TaskRun:
    """One execution of a task, from its start or its resumption to its end or its deferral.

    :param task: the operator.
    :param options: its options.
    :param context: Airflow's context.
    """

    def __init__(self, task: JudgingTask, options: StartOptions, context: Context) -> None:
        self._options = options
        self._execution = Execution(
            task,
            options,
            context,
            account_group_id=options.account_group_id,
            poll_interval=options.poll_interval,
            test={
                "test_id": str(getattr(options, "test_id", "")),
                "test_type": options.test_type or "",
            },
        )
        self._log = task.log
        self._session = self._execution.session
        self._run_store: RunStateStore | None = None
        instance = context["ti"]
        self._map_index = cast("int", instance.map_index)
        self._starter = starter_of(
            options,
            self._session,
            label=self._execution.label,
            default_name=lambda: definitions.default_name(
                instance.dag_id,
                task.task_id,
                instance.run_id,
                cast("int", instance.map_index),
                instance.try_number,
            ),
        )

    def perform(self, method: str, arguments: Mapping[str, object]) -> Ending | Deferral:
        """Perform one entry point of the task.

        :param method: ``execute``, or what Airflow resumes.
        :param arguments: Airflow's: the ``event`` of the trigger, or the ``error`` that ended the deferral.
        """
        event = arguments.get("event")
        first_step: dict[str, Callable[[], Ending | Step]] = {
            "execute": self._begin,
            "execute_in_turn": lambda: self._take_turn(event),
            "execute_complete": lambda: self._resume_round(event),
            "__fail__": lambda: self._resume_failed(str(arguments.get("error") or "unknown reason")),
        }
        return self._execution.guarded(lambda: self._advance(first_step[method]()))

    def _advance(self, step: Ending | Step) -> Ending | Deferral:
        """Take step after step, until the task ends or is deferred."""
        while not isinstance(step, Ending):
            if isinstance(step, NeedsTurn):
                return self._defer_for_turn(step.queued)
            if isinstance(step, Started):
                if not self._options.wait_for_results:
                    self._log.info("Not waiting for the results: the run handle is the return value")
                    return Ending(value=step.handle.to_json())
                finished = self._read_finished(step.handle)
                if finished is None and self._options.deferrable:
                    return self._execution.defer_for_round(step.handle)
                step = finished or self._session.wait(step.handle)
            judge, first = self._execution.judge, self._execution.first_failure
            judged, failure = judge.confirm(judge.judge(step, first), first, self._options.confirm_failures)
            step = self._conclude(judged) if failure is None else self._confirm_by_run(judged, failure)
        return step

    # -- starting ------------------------------------------------------------------------------------------------

    def _begin(self) -> Ending | Step:
        started_at = time.time()
        limit = queue_timeout_of(self._options)
        self._session.reader.time_left = lambda: limit - (time.time() - started_at)
        if self._options.dry_run:
            return self._dry_run()
        stored = self._store().recall()
        if stored is not None:
            return self._resume_stored(stored)
        queued = QueuedRun(since=time.time())
        if self._options.deferrable and self._map_index >= RUNS_WITHOUT_TURN:
            # Mapped tasks start together, and many would be refused together.
            return NeedsTurn(queued)
        return self._start(queued)

    def _start(self, queued: QueuedRun) -> NeedsTurn | Started:
        self._session.expect_run(queued)
        return self._starter.start(queued, self._store())

    def _store(self) -> RunStateStore:
        if self._run_store is None:
            self._run_store = RunStateStore(
                self._execution.context,
                durable=setting("durable") and self._options.wait_for_results,
                fingerprint=self._starter.fingerprint(),
                log=self._log,
            )
        return self._run_store

    def _resume_stored(self, stored: StoredRun) -> Step:
        """Resume the run of an earlier try, or verify whether it was sent."""
        store, run = self._store(), stored.run
        checked = set(self._options.checks.result_types)
        if not store.matches(stored) or not checked <= set(run.plan.directions):
            self._log.info("The stored run was started with different arguments; starting a new run")
            return self._start(QueuedRun(since=time.time()))
        if stored.accepted:
            self._log.info(
                "Test %s: resuming the run of an earlier try, accepted at %s",
                run.plan.test_id,
                iso_time(run.accepted_at),
            )
            return Started(run)
        self._log.info("An earlier try may have sent the run; polling for its round")
        started = self._starter.find_started(run)
        if started is not None:
            deadline = started.accepted_at + self._options.timeout
            started = replace(started, deadline=deadline, run_calls=1)
            store.save_accepted(started)
            return Started(started)
        return self._start(QueuedRun(since=time.time(), plan=run.plan, sent_since=run.sent_at))

    def _read_finished(self, run: RunHandle) -> Done | None:
        """Poll the round of an older run once: a round that is finished needs no triggerer."""
        if not self._options.deferrable or not self._session.may_be_finished(run):
            return None
        step = self._session.read_once(run, {})
        return step if isinstance(step, Done) else None

    def _confirm_by_run(self, judged: Judged, failure: FirstFailure) -> Step:
        self._execution.first_failure = failure
        self._log.warning("Verdict failed: running the test again to confirm it, %d left", failure.remaining)
        handle = judged.done.handle
        return self._start(QueuedRun(since=time.time(), plan=handle.plan, run_calls=handle.run_calls))

    def _dry_run(self) -> Ending:
        result = self._starter.dry_run()
        if result.problems:
            self._execution.xcoms.push_evidence(result.report)
            raise ThousandEyesConfigurationError(
                f"{self._execution.label}: dry run of {result.subject}: {'; '.join(result.problems)}"
            )
        self._log.info("Dry run of %s passed; no test was started", result.subject)
        return Ending(value=result.report)

    def _defer_for_turn(self, queued: QueuedRun) -> Deferral:
        """Wait in the triggerer until it is this task's turn to run its test."""
        give_up_at = queued.since + queue_timeout_of(self._options)
        # A connection that is not usable is an error of the worker.
        _ = self._execution.hook.settings
        self._log.info("Waiting in the triggerer for a turn to start the run")
        self._execution.push_wait(queued=queued)
        return Deferral(
            RunTurnTrigger(
                thousandeyes_conn_id=self._options.thousandeyes_conn_id,
                give_up_at=give_up_at,
                limit=queued.limit,
                not_before=queued.not_before,
            ),
            "execute_in_turn",
            timedelta(seconds=max(give_up_at - time.time(), 0.0) + DEFER_MARGIN),
        )

    # -- resuming ------------------------------------------------------------------------------------------------

    def _take_turn(self, event: object) -> Step:
        known = self._execution.known_event(event, (TURN, TOO_LATE))
        queued = self._execution.recall_wait(known).queued
        if queued is None:
            raise ThousandEyesError(
                f"{self._execution.label}: resumed for a turn, but the task waits for a round"
            )
        if known["state"] == TOO_LATE:
            raise self._no_turn(queued)
        # Airflow 3 overwrites what the trigger logged as soon as the task is deferred again.
        spent = Spent.from_json(known)
        self._log.info(
            "Turn to run the test after %.0f s (%.0f s of rate-limit waits)",
            spent.throttled_seconds + spent.paced_seconds,
            spent.throttled_seconds,
        )
        return self._start(queued)

    def _resume_round(self, event: object) -> Step:
        known = self._execution.known_event(event)
        step = self._session.read_once(self._execution.recall_run(known), known)
        if isinstance(step, Started):
            self._log.info("The round is not complete yet; waiting on")
        return step

    def _resume_failed(self, reason: str) -> Step:
        record = self._execution.recall_wait({})
        if record.queued is not None:
            raise self._no_turn(record.queued)
        return self._session.read_after_failure(self._execution.recall_run({}), reason)

    def _no_turn(self, queued: QueuedRun) -> ThousandEyesRateLimitError:
        self._session.expect_run(queued)
        return ThousandEyesRateLimitError(
            f"{self._execution.label}: no turn to run the test within queue_timeout "
            f"{queue_timeout_of(self._options):g} s; run call sent {queued.run_calls} times",
            status=429,
            bucket="instant-test",
            reset_at=queued.reset_at(),
        )

    # -- ending --------------------------------------------------------------------------------------------------

    def _conclude(self, judged: Judged) -> Ending:
        ending = self._execution.conclude(judged)
        # As late as possible: a try that is lost before leaves its round to the next one.
        self._store().forget()
        return ending


def perform(
    task: JudgingTask,
    options: type[StartOptions],
    context: Context,
    method: str,
    arguments: Mapping[str, object],
) -> Ending | Deferral:
    """Parse the arguments of a task, and perform one of its entry points.

    :param task: the operator.
    :param options: the class of its options.
    :param context: Airflow's context.
    :param method: and ``arguments``: see :meth:`TaskRun.perform`.
    """
    parsed = parsed_options(task, options, context)
    return parsed if isinstance(parsed, Ending) else TaskRun(task, parsed, context).perform(method, arguments)


__all__ = ["Deferral", "perform"]
