"""One execution of a task that judges a round: its parts, and how errors and the end of the task are handled.

Operators and the sensor use the same parts; they differ in how they wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from thousandeyes_provider.api.coerce import short_text
from thousandeyes_provider.api.rounds import ROUND_ID_LAG
from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesError
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.operators.argument_files import TemplatedTask, read_argument_files
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import Json, JudgeOptions, TaskLog, parse_options, task_label
from thousandeyes_provider.operators.outcome import Conclusion, Ending, final, has_retry_policy
from thousandeyes_provider.operators.session import Session
from thousandeyes_provider.operators.wait_record import FirstFailure, Spent, WaitRecord
from thousandeyes_provider.operators.xcoms import TaskXComs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from airflow.triggers.base import BaseTrigger
    from thousandeyes_provider.operators import judge as judging
    from thousandeyes_provider.operators import telemetry
    from thousandeyes_provider.operators.judge import Judge, Judged
    from thousandeyes_provider.triggers import instant_test as results_trigger
else:
    # Only what runs before the run call delays it.
    judging = LazyModule("thousandeyes_provider.operators.judge")
    telemetry = LazyModule("thousandeyes_provider.operators.telemetry")
    results_trigger = LazyModule("thousandeyes_provider.triggers.instant_test")

R = TypeVar("R")
O = TypeVar("O", bound=JudgeOptions)  # noqa: E741

DEFER_MARGIN = 60.0
"""Seconds after the deadline at which Airflow ends a deferral that no trigger has ended."""


@dataclass(frozen=True)
class Deferral:
    """The task waits in the triggerer.

    :param trigger: what waits.
    :param method_name: the method that resumes the task.
    :param timeout: when Airflow ends the wait.
    """

    trigger: BaseTrigger
    method_name: str
    timeout: timedelta


class JudgingTask(TemplatedTask, Protocol):
    """What an execution needs of an operator or sensor."""

    @property
    def log(self) -> TaskLog: ...
    @property
    def do_xcom_push(self) -> bool: ...


class Execution:
    """The parts of one execution of a task.

    :param task: the operator or sensor.
    :param options: its options.
    :param context: Airflow's context.
    :param account_group_id: the account group; ``None`` for the default.
    :param poll_interval: seconds between two polls; ``None`` for the adaptive schedule.
    :param test: what is known of the test from the arguments: ``test_id`` and ``test_type``.
    """

    def __init__(
        self,
        task: JudgingTask,
        options: JudgeOptions,
        context: Context,
        *,
        account_group_id: str | None,
        poll_interval: float | None,
        test: Mapping[str, str],
    ) -> None:
        self.context = context
        self._task = cast("BaseOperator", task)
        self.label = task_label(task)
        self.log = task.log
        self.first_failure: FirstFailure | None = None
        """The failed run that the present one has to confirm."""
        self.has_retry_policy = has_retry_policy(task)
        self.xcoms = TaskXComs(context, task.task_id, pushes_evidence=task.do_xcom_push)
        self.hook = BlockingThousandEyesHook(options.thousandeyes_conn_id, account_group_id)
        self.session = Session(
            options,
            label=self.label,
            hook=self.hook,
            xcoms=self.xcoms,
            log=task.log,
            poll_interval=poll_interval,
        )
        self.conclusion = Conclusion(
            options,
            self.xcoms,
            context=context,
            has_retry_policy=self.has_retry_policy,
            log=task.log,
        )
        self._options = options
        self._poll_interval = poll_interval
        self._test = test
        self._verdict = ""

    @cached_property
    def judge(self) -> Judge:
        """The judge of the rounds of this execution."""
        return judging.Judge(
            self._options,
            self.session,
            test=self._test,
            history_limit=_history_limit(self.context),
            log=self.log,
        )

    def guarded(self, act: Callable[[], R]) -> R | Ending:
        """Act, and turn an error of ours into the ending of the task. Close the hook afterwards."""
        try:
            return act()
        except ThousandEyesError as error:
            return self._end_with(error)
        except BaseException:
            # Airflow ends the task (execution_timeout, a kill): no further request, but the evidence is kept.
            self._keep_evidence()
            raise
        finally:
            self.hook.close()
            self._label_map_index()

    def conclude(self, judged: Judged) -> Ending:
        """End the task with a judged round."""
        result = self.judge.finish(judged)
        return self._announce(self.conclusion.of_verdict(result))

    # -- deferring -----------------------------------------------------------------------------------------------

    def defer_for_round(self, handle: RunHandle) -> Deferral:
        """Wait in the triggerer until the round is there."""
        self.push_wait(run=handle)
        progress = self.session.progress
        return Deferral(
            results_trigger.InstantTestResultsTrigger(
                run=handle.to_json(),
                thousandeyes_conn_id=self._options.thousandeyes_conn_id,
                poll_interval=self._poll_interval,
                min_agents=self.session.required_agents(handle.plan),
                grace=self._options.grace,
                run_limit=self.session.run_limit(),
                round_clock_tolerance=setting("round_clock_tolerance"),
                quota_load=self.session.reader.pace.load,
                sighting=progress.sighting.to_json() if progress else None,
            ),
            "execute_complete",
            # The trigger ends by itself; this is for the case that no triggerer runs it.
            timedelta(seconds=max(handle.deadline - self.hook.server_now(), 0.0) + DEFER_MARGIN),
        )

    def push_wait(self, **waits_for: object) -> None:
        """Store what the task has to know when it resumes.

        :param waits_for: ``run`` or ``queued``, see :class:`~thousandeyes_provider.operators.wait_record.WaitRecord`.
        """
        record = WaitRecord(
            spent=self.session.spent,
            first_failure=self.first_failure,
            **waits_for,  # type: ignore[arg-type]
        )
        self.xcoms.push_wait(record)

    def recall_wait(self, event: Mapping[str, object]) -> WaitRecord:
        """Return what the task stored before it was deferred, and add what the trigger has used."""
        record = self.xcoms.pull_wait()
        self.session.spent_before = record.spent + Spent.from_json(event)
        if "account_group_id" in event:
            self.session.take_default_account_group(short_text(event["account_group_id"]) or None)
        self.first_failure = record.first_failure
        return record

    def recall_run(self, event: Mapping[str, object]) -> RunHandle:
        """Return the run whose round the task waited for."""
        run = self.recall_wait(event).run
        if run is None:
            raise ThousandEyesError(f"{self.label}: resumed for a round, but the task waits for a turn")
        return run

    def known_event(self, event: object, states: tuple[str, ...] = ()) -> dict[str, object]:
        """Return the event of a trigger.

        :param states: the states that it may have; by default those of a wait for a round.
        :raises ThousandEyesError: when its state is another one.
        """
        states = states or results_trigger.EVENT_STATES
        if not isinstance(event, dict) or event.get("state") not in states:
            raise ThousandEyesError(
                f"{self.label}: resumed with an unknown event {str(event)[:200]!r}; "
                f"expected a state of {', '.join(states)}"
            )
        return event

    # -- ending --------------------------------------------------------------------------------------------------

    def _end_with(self, error: ThousandEyesError) -> Ending:
        if isinstance(error, ThousandEyesConfigurationError) and self.session.handle is None:
            # Nothing was sent: the error is complete.
            return Ending(error=final(error, self.has_retry_policy))
        result = self.judge.evidence_of_error(str(error))
        self.judge.publish(result)
        return self._announce(self.conclusion.of_error(error, result))

    def _announce(self, ending: Ending) -> Ending:
        """Report the verdict to the rest of Airflow: metrics, asset events, and the label of a mapped task."""
        evidence = cast("Json", ending.evidence)
        self._verdict = str(evidence["verdict"])
        telemetry.record_metrics(evidence, operator=self._task)
        telemetry.annotate_assets(self.context, evidence, operator=self._task)
        return ending

    def _keep_evidence(self) -> None:
        try:
            self.xcoms.keep(self.judge.evidence_of_timeout())
        except Exception as error:
            self.log.warning("Could not keep the evidence of the task: %s", error)

    def _label_map_index(self) -> None:
        """Set what ``map_index_template`` of the task can show; the name of the test is the default."""
        context, plan = cast("dict[str, object]", self.context), self.session.plan
        test_id = plan.test_id if plan else self._test["test_id"]
        context["test_id"] = test_id
        context["test_name"] = (plan.display_name if plan else "") or test_id
        context["verdict"] = self._verdict
        if cast("int", self.context["ti"].map_index) >= 0 and not context.get("map_index_template"):
            context["map_index_template"] = "{{ test_name }}"


def _history_limit(context: Context) -> float:
    """Until when rounds are older than the first try of a task, epoch seconds: infinite in that try.

    Airflow does not know when the first try started. The DAG run started before.
    """
    dag_run = context.get("dag_run")
    started = dag_run.start_date if dag_run and context["ti"].try_number > 1 else None
    return started.timestamp() - ROUND_ID_LAG if started else math.inf


def parsed_options(task: JudgingTask, options: type[O], context: Context) -> O | Ending:
    """Parse the arguments of a task that runs; return its ending when they are not valid.

    :param options: the class of its options.
    """
    try:
        return parse_options(task, options, read_argument_files(task, options, context))
    except ThousandEyesConfigurationError as error:
        return Ending(error=final(error, has_retry_policy(task)))
