"""Wait for the round of a run that another task started, and judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesError
from thousandeyes_provider.operators import arguments
from thousandeyes_provider.operators.rounds import LINKS, RoundTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class InstantTestResultsSensor(RoundTask, BaseSensorOperator):
    """Wait for the round of a run that was started with ``wait_for_results=False``, and judge it.

    ``timeout``, ``poke_interval``, ``soft_fail`` and ``mode`` are those of every sensor; ``timeout`` counts from when
    the sensor starts. The return value is the evidence, as that of
    :class:`~thousandeyes_provider.operators.instant_test.RunInstantTestOperator`, and so are the errors.

    :param run: the run handle, the return value of the task that ran the test. Templated.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``. Templated.
    :param min_agents: how many agents are enough: a count, or a fraction of the expected. All when left out.
    :param grace: seconds, or a timedelta, to wait for the others when ``min_agents`` have reported. In mode
        ``reschedule`` it has to be 0 where ``min_agents`` is given, since nobody counts it between two pokes.
    :param max_agent_errors: how many agents may report an error: a count, or a fraction of those that reported.
    :param checks: as those of the operator; so the next four. Templated. They may name only result types that the run
        waits for.
    :param compare_with: what checks compare with. Templated.
    :param on_failed_checks: what a failed verdict means: ``fail``, ``skip`` or ``warn``.
    :param retry_on_failed_checks: whether Airflow's task retries are spent on a failed verdict.
    :param snapshot_on_failure: whether to share a bad round privately in ThousandEyes.
    :param report_path: where to write a report. Templated.
    :param deferrable: wait in the triggerer, by default as Airflow's ``default_deferrable`` says.
    """

    template_fields: Sequence[str] = ("run", "thousandeyes_conn_id", "checks", "compare_with", "report_path")
    template_ext: Sequence[str] = (".json", ".yaml")
    operator_extra_links = LINKS
    ui_color = "#e8f4fa"

    def __init__(
        self,
        *,
        run: Mapping[str, Any] | Any,
        thousandeyes_conn_id: str = "thousandeyes_default",
        min_agents: int | float | None = None,
        grace: float | timedelta = 60,
        max_agent_errors: int | float = 0,
        checks: Mapping[str, Any] | str | None = None,
        compare_with: Mapping[str, Any] | str | None = None,
        on_failed_checks: str = "fail",
        retry_on_failed_checks: bool = False,
        snapshot_on_failure: bool = False,
        report_path: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.min_agents = min_agents
        self.grace = grace
        self.max_agent_errors = max_agent_errors
        self.checks = checks
        self.compare_with = compare_with
        self.on_failed_checks = on_failed_checks
        self.retry_on_failed_checks = retry_on_failed_checks
        self.snapshot_on_failure = snapshot_on_failure
        self.report_path = report_path
        self.deferrable = deferrable
        self._so_far: RoundProgress | None = None
        self._check_arguments(literals_only=True)

    @property
    def poll_interval(self) -> Any:
        """The sensor's own interval, under the name that the waiting knows it by."""
        return self.poke_interval

    def execute(self, context: Context) -> Any:
        """Wait, and judge.

        :return: the evidence.
        """
        with self._ending():
            self._check_arguments(literals_only=False)
            handle = self._handle()
            self._enough(handle.plan)
            unfit = [name for name in self._read("checks").result_types if name not in handle.plan.directions]
            if unfit:
                raise ThousandEyesConfigurationError(
                    f"{self._owner}: checks on {', '.join(unfit)}, but the run waits for "
                    f"{', '.join(handle.plan.directions)}; name result_types= in the task that runs the test"
                )
            if self.mode == "reschedule":
                self._check_reschedule(handle)
            try:
                if self._read("deferrable"):
                    # The first look tells what time it is for ThousandEyes, by which the deadline is set.
                    first = self.poke(context)
                    if first.is_done:
                        return first.xcom_value
                    deadline = self.hook.server_now() + arguments.a_positive_time(self.timeout)
                    self._wait_in_triggerer(context, replace(handle, deadline=deadline))
                return super().execute(context)
            except (AirflowSensorTimeout, AirflowSkipException) as error:
                if self._judged or self._so_far is None:
                    raise
                return self._judge_at_timeout(context, handle, self._so_far, error)
            except (ThousandEyesError, AirflowTaskTimeout):
                if not self._judged:
                    waiting = self._so_far or self._progress(handle, self._monotonic(), deadline=inf)
                    self._push(context, self._evidence(handle, waiting, WaitState.WAITING, ask=False))
                raise

    def _judge_at_timeout(
        self, context: Context, handle: RunHandle, waiting: RoundProgress, error: Exception
    ) -> dict[str, Any]:
        """What there is at the sensor's own timeout; skipped where it fails softly."""
        try:
            return self._judge(context, handle, WaitState.DEADLINE, waiting)
        except ThousandEyesError as verdict:
            if isinstance(error, AirflowSkipException):
                raise error from verdict
            raise

    def _get_next_poke_interval(self, *arguments: Any) -> float:
        """The sensor's interval, stretched by what the quota asks for."""
        usual: float = super()._get_next_poke_interval(*arguments)
        return max(usual, self._pace(self._handle().plan))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; a sensor that fails softly is skipped."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except ThousandEyesError as error:
            if self.soft_fail:
                raise AirflowSkipException("Skipping due to soft_fail is set to True.") from error
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the results once; judge them when they are complete."""
        handle = self._handle()
        before = self._so_far or self._progress(handle, self._monotonic(), deadline=inf)
        with self._raising():
            result = self._reader.poll(handle.plan, handle.sent_at)
            now = self._monotonic()
            self._so_far = before.poll(result.rows, now)
            self._tell(context, before, self._so_far)
            state = self._so_far.state(now)
            if state is WaitState.WAITING:
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=self._judge(context, handle, state, self._so_far))

    def _check_reschedule(self, handle: RunHandle) -> None:
        """What waits for a while cannot be left and taken up again."""
        if not self._progress(handle, self._monotonic(), deadline=inf).has_known_extent():
            raise ThousandEyesConfigurationError(
                f"{self._owner}: mode='reschedule' needs to know which agents report; give expected_agents= to the "
                "task that runs the test, or use mode='poke'"
            )
        if self._read("min_agents") is not None and self._read("grace"):
            raise ThousandEyesConfigurationError(
                f"{self._owner}: mode='reschedule' with min_agents= needs grace=0, or use mode='poke'"
            )

    def _handle(self) -> RunHandle:
        handle: RunHandle = self._read("run")
        return handle

    def _account_group(self) -> str | None:
        return self._handle().plan.account_group_id

    _READERS: Mapping[str, Callable[[Any], Any]] = {
        "run": arguments.a_run,
        "thousandeyes_conn_id": arguments.a_conn_id,
        "min_agents": arguments.min_agents,
        "grace": arguments.a_time,
        **RoundTask.JUDGING,
        "poll_interval": arguments.a_positive_time,
        "deferrable": arguments.a_flag,
    }
