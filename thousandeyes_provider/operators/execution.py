"""One execution of a task that judges a round: everything between Airflow's call and the task's end or deferral.

This module is the part that only a worker needs. Operators and sensor import it when they execute.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from thousandeyes_provider.api.coerce import short_text
from thousandeyes_provider.api.expected_agents import UNKNOWN
from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.rounds import ROUND_ID_LAG
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.config import check_settings, setting
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesRateLimitError,
)
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import (
    Json,
    JudgeOptions,
    RunOptions,
    SensorOptions,
    StartOptions,
    parse_options,
    task_label,
    without_default,
)
from thousandeyes_provider.operators.outcome import Conclusion, Ending, final
from thousandeyes_provider.operators.run_store import FirstFailure, QueuedRun, Spent, StoredRun, WaitRecord
from thousandeyes_provider.operators.session import Done, Session
from thousandeyes_provider.operators.starters import queue_timeout_of, starter_of
from thousandeyes_provider.operators.xcoms import TaskXComs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, Context
    from airflow.triggers.base import BaseTrigger
    from thousandeyes_provider.api import round_progress
    from thousandeyes_provider.api.round_progress import RoundProgress
    from thousandeyes_provider.operators import judge as judging
    from thousandeyes_provider.operators.judge import Judge, Judged
    from thousandeyes_provider.triggers import instant_test as results_trigger
    from thousandeyes_provider.triggers import turns
else:
    # Only what runs before the run call delays it.
    round_progress = LazyModule("thousandeyes_provider.api.round_progress")
    judging = LazyModule("thousandeyes_provider.operators.judge")
    results_trigger = LazyModule("thousandeyes_provider.triggers.instant_test")
    turns = LazyModule("thousandeyes_provider.triggers.turns")

O = TypeVar("O", bound=JudgeOptions)  # noqa: E741
W = TypeVar("W", QueuedRun, RunHandle)

ARGUMENTS_OF_THE_VERDICT = (
    "min_agents",
    "grace",
    "max_agent_errors",
    "compare_with",
    "on_failed",
    "snapshot_on_failure",
    "report_path",
)
"""Arguments that an accepted run needs only when the task waits for its results. ``checks`` select the result types."""

DEFER_MARGIN = 60.0
"""Seconds after the deadline at which Airflow ends a deferral that no trigger has ended."""


@dataclass(frozen=True)
class Deferral:
    """The task waits in the triggerer.

    :param seconds: time until the deadline of the trigger, which ends on its own.
    """

    trigger: BaseTrigger
    method_name: str
    seconds: float

    @property
    def timeout(self) -> timedelta:
        """When Airflow ends the wait, in case that no triggerer runs the trigger."""
        return timedelta(seconds=max(self.seconds, 0.0) + DEFER_MARGIN)


Step = RunHandle | Done | Deferral | Ending | None
"""The stage of a task: an accepted run, a finished wait for its round, a deferral, its end, or the next poke."""


class Execution(Generic[O]):
    """The parts of one execution, and what operators and sensor have in common.

    :param plan: properties of the test from the arguments.
    :param poll_interval: seconds between two polls; ``None`` for the adaptive schedule.
    """

    def __init__(
        self,
        task: BaseOperator,
        options: O,
        context: Context,
        *,
        plan: Plan,
        poll_interval: float | None,
    ) -> None:
        self._task = task
        self._context = context
        self._options = options
        self._label = task_label(task)
        self._log = task.log
        self._first_failure: FirstFailure | None = None
        """The failed run that the present one has to confirm."""
        self._judged: Judged | None = None
        """The round whose verdict is final."""
        self._xcoms = TaskXComs(task, context)
        self._hook = BlockingThousandEyesHook(options.thousandeyes_conn_id, plan.account_group_id)
        self._session = Session(
            options,
            label=self._label,
            hook=self._hook,
            xcoms=self._xcoms,
            log=self._log,
            plan=plan,
            poll_interval=poll_interval,
        )
        self._conclusion = Conclusion(task, context, options, self._xcoms)

    @cached_property
    def _judge(self) -> Judge:
        limit = _history_limit(self._context)
        return judging.Judge(self._options, self._session, history_limit=limit)

    @property
    def poll_gap(self) -> float:
        """The seconds between two polls that leave the reserved share of the quota free."""
        return self._session.reader.pace.least

    def perform(self, method: str, arguments: Mapping[str, object]) -> Ending | Deferral | None:
        """Perform one entry point of the task.

        :param method: ``execute``, or what Airflow resumes; the sensor also has ``poke`` and ``at_timeout``.
        :param arguments: Airflow's: the ``event`` of the trigger, or the ``error`` that ended the deferral.
        :return: ``None`` when the sensor has to poke, again or for the first time.
        """
        result: Ending | Deferral | None = None
        try:
            result = self._advance(self._first_step(method, arguments))
        except ThousandEyesError as error:
            result = self._end_with(error)
        except BaseException:
            # Airflow ends the task (execution_timeout, a kill): no further request, but the evidence is kept.
            self._keep_evidence()
            raise
        finally:
            self._hook.close()
            self._label_map_index(result)
        return result

    def _first_step(self, method: str, arguments: Mapping[str, object]) -> Step:
        if method == "execute_complete":
            return self._resume_round(arguments.get("event"))
        return self._resume_failed(str(arguments.get("error") or "unknown reason"))

    def _advance(self, step: Step) -> Ending | Deferral | None:
        """Take step after step, until the task ends or has to wait."""
        while isinstance(step, RunHandle | Done):
            step = self._wait(step) if isinstance(step, RunHandle) else self._conclude(step)
        return step

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait(self, handle: RunHandle) -> Step:
        """Wait in the triggerer until the round is there."""
        progress = self._session.progress
        self._push_wait(handle)
        return Deferral(
            results_trigger.InstantTestResultsTrigger(
                run=handle.to_json(),
                thousandeyes_conn_id=self._options.thousandeyes_conn_id,
                poll_interval=self._session.poll_interval,
                min_agents=self._session.required_agents(handle.plan),
                grace=self._options.grace,
                run_limit=self._session.run_limit(),
                round_clock_tolerance=setting("round_clock_tolerance"),
                quota_load=self._session.reader.pace.load,
                sighting=progress.sighting.to_json() if progress else None,
            ),
            "execute_complete",
            handle.deadline - self._hook.server_now(),
        )

    def _push_wait(self, waits_for: QueuedRun | RunHandle) -> None:
        self._xcoms.push_wait(WaitRecord(waits_for, self._session.spent, self._first_failure))

    # -- resuming ------------------------------------------------------------------------------------------------

    def _resume_round(self, event: object) -> RunHandle | Done:
        known = self._known_event(event, results_trigger.EVENT_STATES)
        step = self._session.read_once(self._recall(RunHandle, known), known)
        if isinstance(step, RunHandle):
            self._log.info("The round is not complete yet; waiting on")
        return step

    def _resume_failed(self, reason: str) -> Done:
        """Poll once more after Airflow ended the wait in the triggerer."""
        return self._session.read_after_failure(self._recall(RunHandle, {}), reason)

    def _known_event(self, event: object, states: tuple[str, ...]) -> Json:
        """The event of a trigger.

        :raises ThousandEyesError: when its state is not one of ``states``.
        """
        if not isinstance(event, dict) or event.get("state") not in states:
            raise ThousandEyesError(
                f"{self._label}: resumed with an unknown event {str(event)[:200]!r}; "
                f"expected a state of {', '.join(states)}"
            )
        return event

    def _recall_wait(self, event: Json) -> QueuedRun | RunHandle:
        """Return the awaited record, with the trigger's usage added to that of the task."""
        record = self._xcoms.pull_wait()
        self._session.spent_before = record.spent + Spent.from_json(event)
        if "account_group_id" in event:
            self._session.take_default_account_group(short_text(event["account_group_id"]) or None)
        self._first_failure = record.first_failure
        return record.waits_for

    def _recall(self, kind: type[W], event: Json) -> W:
        waits_for = self._recall_wait(event)
        if not isinstance(waits_for, kind):
            names: dict[type, str] = {QueuedRun: "a turn", RunHandle: "a round"}
            raise ThousandEyesError(
                f"{self._label}: resumed for {names[kind]}, but the task waits for {names[type(waits_for)]}"
            )
        return waits_for

    # -- ending --------------------------------------------------------------------------------------------------

    def _conclude(self, done: Done) -> Step:
        """End the task with the verdict on its round."""
        self._judged = self._judge.judge(done)
        return self._conclusion.of_run(self._judge.finish(self._judged))

    def _end_with(self, error: ThousandEyesError) -> Ending:
        was_sent = self._session.handle is not None or self._first_failure is not None
        if isinstance(error, ThousandEyesConfigurationError) and not was_sent:
            # Nothing was sent: the error is complete.
            return Ending(error=final(error, self._task))
        evidence = self._judge.evidence_of_error(str(error), self._first_failure)
        self._judge.publish(evidence)
        return self._conclusion.of_error(error, evidence)

    def _keep_evidence(self) -> None:
        try:
            judged = self._judged
            evidence = judged.evidence if judged else self._judge.evidence_of_timeout(self._first_failure)
            self._xcoms.push_index(evidence)
            self._xcoms.push_evidence(evidence)
        except Exception as error:
            self._log.warning("Could not keep the evidence of the task: %s", error)

    def _label_map_index(self, result: Ending | Deferral | None) -> None:
        """Set what ``map_index_template`` of the task can show; the name of the test is the default."""
        context, plan = cast("dict[str, object]", self._context), self._session.plan
        evidence = result.evidence if isinstance(result, Ending) else None
        context["test_id"] = plan.test_id
        context["test_name"] = plan.display_name or plan.test_id
        context["verdict"] = str(evidence["verdict"]) if evidence else ""
        if self._xcoms.map_index >= 0 and not context.get("map_index_template"):
            context["map_index_template"] = "{{ test_name }}"


class RunExecution(Execution[StartOptions]):
    """One execution of an operator: start a run, wait for its round, and judge it."""

    def __init__(self, task: BaseOperator, options: StartOptions, context: Context) -> None:
        plan = Plan(
            test_id=options.test_id if isinstance(options, RunOptions) else "",
            test_type=options.test_type or "",
            account_group_id=options.account_group_id,
            directions={},
            rows_per_agent={},
            expected=UNKNOWN,
            remembered={},
        )
        super().__init__(task, options, context, plan=plan, poll_interval=options.poll_interval)
        self._starter = starter_of(options, self._session, task, context)

    def _first_step(self, method: str, arguments: Mapping[str, object]) -> Step:
        if method == "execute":
            return self._begin()
        if method == "execute_in_turn":
            return self._take_turn(arguments.get("event"))
        return super()._first_step(method, arguments)

    # -- starting ------------------------------------------------------------------------------------------------

    def _begin(self) -> Step:
        if self._options.dry_run:
            return Ending(value=self._starter.dry_run())
        stored = self._starter.store.recall(self._options.checks.result_types)
        if stored is not None:
            return self._resume_stored(stored)
        queued = QueuedRun(since=time.time())
        if self._options.deferrable and self._xcoms.map_index >= RUNS_WITHOUT_TURN:
            # Mapped tasks start together, and many would be refused together.
            return self._wait_for_turn(queued)
        return self._start(queued)

    def _start(self, queued: QueuedRun) -> RunHandle | Deferral:
        self._session.expect_run(queued)
        started = self._starter.start(queued)
        return started if isinstance(started, RunHandle) else self._wait_for_turn(started)

    def _resume_stored(self, stored: StoredRun) -> Step:
        """Resume the run of an earlier try, or verify whether it was sent."""
        run = stored.run
        if stored.accepted:
            self._log.info(
                "Test %s: resuming the run of an earlier try, accepted at %s",
                run.plan.test_id,
                iso_time(run.accepted_at),
            )
            return run
        self._log.info("An earlier try may have sent the run; polling for its round")
        started = self._starter.find_started(run)
        if started is not None:
            deadline = started.accepted_at + self._options.timeout
            started = replace(started, deadline=deadline, run_calls=1)
            self._starter.store.save_accepted(started)
            return started
        return self._start(QueuedRun(since=time.time(), plan=run.plan, sent_since=run.sent_at))

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait_for_turn(self, queued: QueuedRun) -> Deferral:
        """Wait in the triggerer until it is this task's turn to run its test."""
        give_up_at = queued.since + queue_timeout_of(self._options)
        # A connection that is not usable is an error of the worker.
        _ = self._hook.settings
        self._log.info("Waiting in the triggerer for a turn to start the run")
        self._push_wait(queued)
        return Deferral(
            turns.RunTurnTrigger(
                thousandeyes_conn_id=self._options.thousandeyes_conn_id,
                give_up_at=give_up_at,
                limit=queued.limit,
                not_before=queued.not_before,
            ),
            "execute_in_turn",
            give_up_at - time.time(),
        )

    def _wait(self, handle: RunHandle) -> Step:
        if not self._options.wait_for_results:
            self._log.info("Not waiting for the results: the run handle is the return value")
            if unused := without_default(self._task, self._options, ARGUMENTS_OF_THE_VERDICT):
                self._log.warning(
                    "No effect with wait_for_results=False: %s. Give them to InstantTestResultsSensor",
                    ", ".join(unused),
                )
            return Ending(value=handle.to_json())
        if not self._options.deferrable:
            return self._session.wait(handle)
        # The round of an older run may be finished, and needs no triggerer then.
        step = self._session.read_once(handle, {}) if self._session.may_be_finished(handle) else handle
        return step if isinstance(step, Done) else super()._wait(handle)

    # -- resuming ------------------------------------------------------------------------------------------------

    def _take_turn(self, event: object) -> RunHandle | Deferral:
        known = self._known_event(event, (turns.TURN, turns.TOO_LATE))
        queued = self._recall(QueuedRun, known)
        if known["state"] == turns.TOO_LATE:
            raise self._no_turn(queued)
        # Airflow 3 overwrites the log of the trigger when the task is deferred again.
        spent = Spent.from_json(known)
        self._log.info(
            "Turn to run the test after %.0f s (%.0f s of rate-limit waits)",
            spent.throttled_seconds + spent.paced_seconds,
            spent.throttled_seconds,
        )
        return self._start(queued)

    def _resume_failed(self, reason: str) -> Done:
        waits_for = self._recall_wait({})
        if isinstance(waits_for, QueuedRun):
            raise self._no_turn(waits_for)
        return super()._resume_failed(reason)

    def _no_turn(self, queued: QueuedRun) -> ThousandEyesRateLimitError:
        self._session.expect_run(queued)
        return ThousandEyesRateLimitError(
            f"{self._label}: no turn to run the test within queue_timeout "
            f"{queue_timeout_of(self._options):g} s; run call sent {queued.run_calls} times",
            status=429,
            bucket="instant-test",
            reset_at=queued.reset_at(),
        )

    # -- ending --------------------------------------------------------------------------------------------------

    def _conclude(self, done: Done) -> Step:
        """Judge the round, and run the test again where a failure has to be confirmed."""
        judge, first = self._judge, self._first_failure
        judged, failure = judge.confirm(judge.judge(done, first), first, self._options.confirm_failures)
        self._judged = None if failure else judged
        if failure is not None:
            self._first_failure = failure
            self._log.warning(
                "Verdict failed: running the test again to confirm it, %d left", failure.remaining
            )
            handle = judged.done.handle
            return self._start(QueuedRun(since=time.time(), plan=handle.plan, run_calls=handle.run_calls))
        ending = self._conclusion.of_run(judge.finish(judged))
        # As late as possible: a try that is lost before leaves its round to the next one.
        self._starter.store.forget()
        return ending


class SensorExecution(Execution[SensorOptions]):
    """One execution of the sensor: wait for the round of a run that another task started, and judge it."""

    def __init__(self, task: BaseSensorOperator, options: SensorOptions, context: Context) -> None:
        super().__init__(task, options, context, plan=options.run.plan, poll_interval=options.poke_interval)
        self._sensor = task
        self._error: ThousandEyesError | None = None

    def _first_step(self, method: str, arguments: Mapping[str, object]) -> Step:
        own = {"execute": self._begin, "poke": self._poke, "at_timeout": self._give_up}
        return own[method]() if method in own else super()._first_step(method, arguments)

    def _begin(self) -> RunHandle | Done | None:
        run = self._options.run
        self._session.required_agents(run.plan)
        self._check_result_types(run)
        if self._sensor.mode == "reschedule":
            self._check_reschedule(run)
        if not self._options.deferrable:
            return None
        # ThousandEyes' clock, by which the deadline is set, is known from the first poll on.
        return self._poke() or replace(run, deadline=self._hook.server_now() + self._sensor.timeout)

    def _poke(self) -> Done | None:
        run = self._options.run
        progress, self._error = self._session.poll(run, self._progress())
        state = progress.state(time.monotonic())
        return None if state is round_progress.WaitState.WAITING else Done(run, state, progress)

    def _give_up(self) -> Done:
        """Judge what has arrived at the sensor's timeout."""
        if self._error is not None:
            raise self._error
        return Done(self._options.run, round_progress.WaitState.DEADLINE, self._progress())

    def _progress(self) -> RoundProgress:
        return self._session.progress or self._session.follow(self._options.run, deadline=math.inf)

    def _check_result_types(self, run: RunHandle) -> None:
        unfit = [name for name in self._options.checks.result_types if name not in run.plan.directions]
        if unfit:
            raise ThousandEyesConfigurationError(
                f"{self._label}: checks on {', '.join(unfit)}, but the run waits for "
                f"{', '.join(run.plan.directions)}; give result_types= to the task that starts the run"
            )

    def _check_reschedule(self, run: RunHandle) -> None:
        """A wait that counts seconds cannot continue in another process."""
        if not self._session.progress_of(run).has_known_extent():
            raise ThousandEyesConfigurationError(
                f"{self._label}: mode='reschedule' needs the expected agents; give expected_agents= to the "
                "task that starts the run, or use mode='poke'"
            )
        if self._options.min_agents is not None and self._options.grace:
            raise ThousandEyesConfigurationError(
                f"{self._label}: mode='reschedule' with min_agents= needs grace=0, or use mode='poke'"
            )


def _history_limit(context: Context) -> float:
    """Until when rounds are older than the first try of a task, epoch seconds: infinite in that try.

    Airflow does not know when the first try started. The DAG run started before.
    """
    dag_run = context.get("dag_run")
    started = dag_run.start_date if dag_run and context["ti"].try_number > 1 else None
    return started.timestamp() - ROUND_ID_LAG if started else math.inf


def execution_of(
    task: BaseOperator, options: type[JudgeOptions], context: Context
) -> RunExecution | SensorExecution | Ending:
    """Return an execution of a task, or its ending when its arguments are not valid."""
    try:
        parsed = parse_options(task, options, context)
        check_settings()
    except ThousandEyesConfigurationError as error:
        return Ending(error=final(error, task))
    if isinstance(parsed, SensorOptions):
        return SensorExecution(cast("BaseSensorOperator", task), parsed, context)
    return RunExecution(task, cast("StartOptions", parsed), context)
