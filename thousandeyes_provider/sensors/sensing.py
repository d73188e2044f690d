"""One execution of the sensor: everything between Airflow's call and the sensor's end, poke or deferral.

This module is the part that only a worker needs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesError
from thousandeyes_provider.operators.execution import Deferral, Execution, JudgingTask, parsed_options
from thousandeyes_provider.operators.options import SensorOptions
from thousandeyes_provider.operators.outcome import Ending
from thousandeyes_provider.operators.session import Done, Started

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SensingTask(JudgingTask, Protocol):
    """What an execution needs of the sensor."""

    @property
    def mode(self) -> str: ...
    @property
    def timeout(self) -> float: ...


class Sensing:
    """One execution of the sensor.

    :param task: the sensor.
    :param options: its options.
    :param context: Airflow's context.
    """

    def __init__(self, task: SensingTask, options: SensorOptions, context: Context) -> None:
        self._options = options
        self._mode = task.mode
        self._timeout = task.timeout
        plan = options.run.plan
        self._execution = Execution(
            task,
            options,
            context,
            account_group_id=plan.account_group_id,
            poll_interval=options.poke_interval,
            test={"test_id": plan.test_id, "test_type": plan.test_type},
        )
        self._session = self._execution.session
        self._progress: RoundProgress | None = None
        self._error: ThousandEyesError | None = None
        self._log = task.log

    def perform(self, method: str, arguments: Mapping[str, object]) -> Ending | Deferral | None:
        """Perform one entry point of the sensor.

        :param method: ``execute``, ``poke``, ``at_timeout``, or what Airflow resumes.
        :param arguments: Airflow's: the ``event`` of the trigger, or the ``error`` that ended the deferral.
        :return: ``None`` when the sensor has to poke, again or for the first time.
        """
        step: dict[str, Callable[[], Ending | Deferral | None]] = {
            "execute": self._begin,
            "poke": self._poke,
            "at_timeout": self._judge_at_timeout,
            "execute_complete": lambda: self._resume(arguments.get("event")),
            "__fail__": lambda: self._resume_failed(str(arguments.get("error") or "unknown reason")),
        }
        return self._execution.guarded(step[method])

    def poll_gap(self) -> float:
        """Return the seconds between two pokes that leave the reserved share of the quota free."""
        return self._session.reader.pace.least

    def _begin(self) -> Ending | Deferral | None:
        run = self._options.run
        self._session.required_agents(run.plan)
        self._check_result_types(run)
        if self._mode == "reschedule":
            self._check_reschedule(run)
        if not self._options.deferrable:
            return None
        # ThousandEyes' clock, by which the deadline is set, is known from the first poll on.
        ending = self._poke()
        if ending is not None:
            return ending
        deadline = self._execution.hook.server_now() + self._timeout
        return self._execution.defer_for_round(replace(run, deadline=deadline))

    def _poke(self) -> Ending | None:
        run = self._options.run
        progress = self._progress or self._session.follow(run, deadline=math.inf)
        self._progress, self._error = self._session.poll(run, progress)
        state = self._progress.state(time.monotonic())
        return None if state is WaitState.WAITING else self._judge(Done(run, state, self._progress))

    def _judge_at_timeout(self) -> Ending:
        run = self._options.run
        if self._error is not None:
            raise self._error
        progress = self._progress or self._session.follow(run, deadline=math.inf)
        return self._judge(Done(run, WaitState.DEADLINE, progress))

    def _resume(self, event: object) -> Ending | Deferral:
        known = self._execution.known_event(event)
        step = self._session.read_once(self._execution.recall_run(known), known)
        if isinstance(step, Started):
            self._log.info("The round is not complete yet; waiting on")
            return self._execution.defer_for_round(step.handle)
        return self._judge(step)

    def _resume_failed(self, reason: str) -> Ending:
        return self._judge(self._session.read_after_failure(self._execution.recall_run({}), reason))

    def _judge(self, done: Done) -> Ending:
        return self._execution.conclude(self._execution.judge.judge(done))

    def _check_result_types(self, run: RunHandle) -> None:
        unfit = [name for name in self._options.checks.result_types if name not in run.plan.directions]
        if unfit:
            raise ThousandEyesConfigurationError(
                f"{self._execution.label}: checks on {', '.join(unfit)}, but the run waits for "
                f"{', '.join(run.plan.directions)}; give result_types= to the task that starts the run"
            )

    def _check_reschedule(self, run: RunHandle) -> None:
        """A wait that counts seconds cannot continue in another process."""
        if not self._session.progress_of(run).has_known_extent():
            raise ThousandEyesConfigurationError(
                f"{self._execution.label}: mode='reschedule' needs the expected agents; give expected_agents= to the "
                "task that starts the run, or use mode='poke'"
            )
        if self._options.min_agents is not None and self._options.grace:
            raise ThousandEyesConfigurationError(
                f"{self._execution.label}: mode='reschedule' with min_agents= needs grace=0, or use mode='poke'"
            )


def perform(
    task: SensingTask,
    context: Context,
    sensing: Sensing | None,
    method: str,
    arguments: Mapping[str, object],
) -> tuple[Ending | Deferral | None, Sensing | None]:
    """Perform one entry point of the sensor.

    :param task: the sensor.
    :param context: Airflow's context.
    :param sensing: the execution of an earlier poke in this process; ``None`` for a new one.
    :param method: and ``arguments``: see :meth:`Sensing.perform`.
    :return: what the entry point returned, and the execution for the next poke.
    """
    if sensing is None:
        options = parsed_options(task, SensorOptions, context)
        if isinstance(options, Ending):
            return options, None
        sensing = Sensing(task, options, context)
    return sensing.perform(method, arguments), sensing


__all__ = ["Deferral", "Ending", "Sensing", "perform"]
