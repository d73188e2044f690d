"""Wait for the round of a run that another task started, and judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from thousandeyes_provider.exceptions import ThousandEyesError
from thousandeyes_provider.operators.base import JudgingOperator
from thousandeyes_provider.operators.options import (
    Json,
    SensorOptions,
    check_literals,
    unknown_arguments,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Context, XComArg
    from thousandeyes_provider.operators.argument_types import (
        Checks,
        Duration,
        HistoryBaseline,
        OnFailed,
        OnInconclusive,
        SensorOwnArguments,
    )
    from thousandeyes_provider.operators.outcome import Ending


class InstantTestResultsSensor(JudgingOperator, BaseSensorOperator):
    """Wait for the round of a run that was started with ``wait_for_results=False``, and evaluate it.

    ``timeout``, ``poke_interval``, ``soft_fail`` and ``mode`` are those of every sensor; ``timeout`` counts from the
    start of the sensor. The return value is the evidence, as that of
    :class:`~thousandeyes_provider.operators.instant_test.RunInstantTestOperator`, and so are the errors. An operator
    with ``deferrable=True`` needs no sensor and is the better choice unless other tasks must run in between.

    :param run: the run handle: the return value of the task that started the run. Templated.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``. Templated.
    :param min_agents: number of agents that are sufficient; see
        :class:`~thousandeyes_provider.operators.base.BaseInstantTestOperator`, also for the arguments below.
    :param grace: seconds, or a timedelta, to wait for the other agents once ``min_agents`` have reported. With
        ``mode="reschedule"`` and ``min_agents`` it must be 0, since nothing measures it between two pokes.
    :param max_agent_errors: number of agents that may report an error.
    :param checks: pass criteria. Templated. They may name only result types that the run waits for.
    :param compare_with: what checks compare with. Templated.
    :param on_failed: effect of a failed verdict on the task: ``fail``, ``retry``, ``skip`` or ``warn``.
    :param on_inconclusive: effect of an inconclusive run on the task: ``fail``, ``skip`` or ``warn``.
    :param snapshot_on_failure: share a failed round privately in ThousandEyes.
    :param report_path: path or URL of a report. Templated.
    :param deferrable: wait in the triggerer; by default Airflow's ``default_deferrable``.
    """

    template_fields: Sequence[str] = ("run", "thousandeyes_conn_id", "checks", "compare_with", "report_path")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "run": "json",
        "checks": "json",
        "compare_with": "json",
    }
    options_class = SensorOptions
    _ending: Ending | None = None

    def __init__(
        self,
        *,
        run: Mapping[str, object] | str | XComArg,
        thousandeyes_conn_id: str | XComArg = "thousandeyes_default",
        min_agents: int | float | None = None,
        grace: Duration = 60,
        max_agent_errors: int | float = 0,
        checks: Checks | str | XComArg | None = None,
        compare_with: Mapping[str, object] | HistoryBaseline | str | XComArg | None = None,
        on_failed: OnFailed = "fail",
        on_inconclusive: OnInconclusive | None = None,
        snapshot_on_failure: bool = False,
        report_path: str | XComArg | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Unpack[SensorOwnArguments],
    ) -> None:
        unknown = unknown_arguments(BaseSensorOperator, kwargs)
        of_airflow: Json = {name: value for name, value in kwargs.items() if name not in unknown}
        super().__init__(**of_airflow)
        self.run = run
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.min_agents = min_agents
        self.grace = grace
        self.max_agent_errors = max_agent_errors
        self.checks = checks
        self.compare_with = compare_with
        self.on_failed = on_failed
        self.on_inconclusive = on_inconclusive
        self.snapshot_on_failure = snapshot_on_failure
        self.report_path = report_path
        self.deferrable = deferrable
        check_literals(self, SensorOptions, unknown)

    def execute(self, context: Context) -> Any:
        """Wait, and judge."""
        ending = self._perform(context, "execute", {}) or self._poke_until_done(context)
        if ending.error is not None:
            raise ending.error
        return ending.value

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the results once; judge them when they are complete. ``execute`` raises the error of a bad verdict."""
        self._ending = self._perform(context, "poke", {})
        if self.silent_fail and self._ending is not None and self._ending.error is not None:
            raise self._ending.error
        return PokeReturnValue(self._ending is not None, self._ending and self._ending.value)

    def _poke_until_done(self, context: Context) -> Ending:
        """Poke as every sensor does; at the sensor's timeout, judge what has arrived."""
        try:
            BaseSensorOperator.execute(self, context)
        except (AirflowSensorTimeout, AirflowSkipException):
            self._ending = self._perform(context, "at_timeout", {})
        assert self._ending is not None
        return self._ending

    def _get_next_poke_interval(self, *arguments: Any) -> float:
        """The sensor's interval, or a longer one that leaves the reserved share of the quota free."""
        interval: float = super()._get_next_poke_interval(*arguments)
        return max(interval, self._execution.poll_gap if self._execution else 0.0)

    def _perform(self, context: Context, method: str, arguments: dict[str, Any]) -> Ending | None:
        """Perform one entry point of the sensor; ``soft_fail`` and ``never_fail`` skip it in place of an error."""
        ending = super()._perform(context, method, arguments)
        if ending is None or not isinstance(ending.error, ThousandEyesError):
            return ending
        if self.soft_fail or self.never_fail:
            name = "soft_fail" if self.soft_fail else "never_fail"
            message = f"{name} is set, the sensor is skipped: {ending.error}"
            return replace(ending, error=AirflowSkipException(message))
        return ending
