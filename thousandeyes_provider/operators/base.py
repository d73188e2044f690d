"""The common base of the operators: arguments, templates, links, deferral and errors.

Everything that only a worker needs is imported when a task runs, since DAG files are parsed all the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, conf
from thousandeyes_provider.links.report import report_links
from thousandeyes_provider.links.thousandeyes import (
    ThousandEyesRoundLink,
    ThousandEyesSnapshotLink,
    ThousandEyesTestLink,
)
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import Json, JudgeOptions, unknown_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, XComArg
    from thousandeyes_provider.operators import execution, outcome, telemetry
    from thousandeyes_provider.operators.argument_types import (
        Checks,
        Duration,
        HistoryBaseline,
        OnFailed,
        OnInconclusive,
        ResultType,
    )
    from thousandeyes_provider.operators.execution import RunExecution, SensorExecution
    from thousandeyes_provider.operators.outcome import Ending
else:
    execution = LazyModule("thousandeyes_provider.operators.execution")
    outcome = LazyModule("thousandeyes_provider.operators.outcome")
    telemetry = LazyModule("thousandeyes_provider.operators.telemetry")

RESUMPTIONS = ("execute_in_turn", "execute_complete", "__fail__")
"""What Airflow resumes: a task whose turn has come, one whose round is there, one whose deferral Airflow ended."""

POKES = ("poke", "at_timeout")
"""Entry points of a sensor that continue an execution of the same process."""


class JudgingOperator(BaseOperator):
    """What operators and sensor have in common: how Airflow starts, defers and resumes them, and their links.

    It has no constructor, each of which costs time whenever a DAG file is parsed.
    """

    # Airflow would read a file for each text inside an argument that ends in .json; see options.
    template_ext: Sequence[str] = ()
    operator_extra_links = (
        *report_links(),
        ThousandEyesRoundLink(),
        ThousandEyesTestLink(),
        ThousandEyesSnapshotLink(),
    )
    ui_color = "#e8f4fa"
    options_class: ClassVar[type[JudgeOptions]]
    evidence: Json | None = None
    """The evidence of the run, in the process that ends the task."""
    _execution: RunExecution | SensorExecution | None = None

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, also when Airflow ended it because of a failed trigger or a missing triggerer."""
        if next_method not in RESUMPTIONS:
            return super().resume_execution(next_method, next_kwargs, context)
        ending = self._perform(context, next_method, next_kwargs or {})
        assert ending is not None
        # Errors are raised here, and not where they occur: the traceback in the task's log has one line of ours.
        if ending.error is not None:
            raise ending.error
        return ending.value

    def _perform(self, context: Context, method: str, arguments: dict[str, Any]) -> Ending | None:
        """Perform one entry point of the task, and defer the task when it has to wait; ``None``: poke again."""
        if self._execution is None or method not in POKES:
            started = execution.execution_of(self, self.options_class, context)
            if isinstance(started, outcome.Ending):
                return started
            self._execution = started
        result = self._execution.perform(method, arguments)
        if isinstance(result, execution.Deferral):
            self.defer(trigger=result.trigger, method_name=result.method_name, timeout=result.timeout)
        self.evidence = result.evidence if result else None
        return result

    def get_openlineage_facets_on_complete(self, task_instance: object) -> object:
        """Return the checks of the run as OpenLineage's test-run facet, where its provider is installed."""
        return telemetry.openlineage_facets(self.evidence)

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete


class BaseInstantTestOperator(JudgingOperator):
    """Start a round of an instant test, wait for it, and judge it.

    :param account_group_id: account group (``aid``); by default the one of the connection, else the token's. Templated.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``. Templated.
    :param result_types: result types to wait for and to evaluate; by default those that the checks name, else those of
        the test type.
    :param expected_agents: agents that have to report: ids and names, or a number. By default the agents of the test's
        definition, else those of its newest round when it is at least 5 minutes old. When they are unknown, a round is
        complete after 60 s without a new row. Templated.
    :param min_agents: number of agents that are sufficient: a count (``4``) or a fraction of the expected (``0.8``);
        by default all.
    :param grace: seconds, or a timedelta, to wait for the other agents once ``min_agents`` have reported.
    :param max_agent_errors: number of agents that may report an error: a count, or a fraction (``0.2``) of those that
        reported.
    :param checks: pass criteria, see the reference of checks: result type, metric, aggregate over the agents,
        comparison. Templated; may name a ``.json`` or ``.yaml`` file.
    :param compare_with: what ``change_*`` and ``delta_*`` compare with: the evidence of an earlier run, or
        ``{"test_id": …, "window": "24h"}`` for the recent history of a test. A baseline that is missing or incomplete
        fails the checks that need it. Templated.
    :param confirm_failures: number of further runs, 0 to 5, that must confirm a failed verdict. It is kept if the same
        check, or an error, fails in each of them.
    :param on_failed: effect of a failed verdict on the task: ``fail``; ``retry``, fail and use Airflow's retries;
        ``skip``; ``warn``, succeed with a failed verdict in the evidence.
    :param on_inconclusive: effect of an inconclusive run on the task: ``fail``, ``skip`` or ``warn``; by
        default ``[thousandeyes] on_inconclusive`` (fail). Airflow's retries come first; the policy applies to the last
        try. It does not cover configuration, permission, not-found and request errors.
    :param snapshot_on_failure: share a failed round privately in ThousandEyes for 30 days; the link is in the evidence
        and among the links of the task.
    :param report_path: path or URL of a report, as Airflow's ``ObjectStoragePath`` supports it: JUnit for ``.xml``,
        Markdown for ``.md``, a page for ``.html``. Templated.
    :param wait_for_results: ``False`` returns the run handle once the run is accepted, for a sensor to wait on. A run
        whose response was lost is then sent again without verification. ``checks`` then only select the result types,
        and the other criteria and policies have no effect: give them to the sensor.
    :param dry_run: verify everything that a run needs, and start none. The task fails when the run could not start.
    :param poll_interval: seconds, or a timedelta, between two polls; by default adaptive. Polls are further apart when
        the organization's quota runs short.
    :param timeout: seconds, or a timedelta, from when the run was accepted until its results must be complete.
    :param queue_timeout: seconds, or a timedelta, to wait for rate limits and a busy test before the run is accepted;
        by default ``[thousandeyes] queue_timeout`` (3600 s).
    :param deferrable: wait in the triggerer instead of a worker; by default Airflow's ``default_deferrable``. A worker
        sends the run and judges its round. Mapped tasks also wait for their turn in the triggerer.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"checks": "json", "compare_with": "json"}
    default_label: ClassVar[str]
    """Label of a mapped task while it runs, as a template; the name of the test replaces it at the end."""
    unknown_arguments: Sequence[str] = ()
    """Misspelt arguments. They are reported together with all other problems."""

    def __init__(
        self,
        *,
        account_group_id: str | int | XComArg | None = None,
        thousandeyes_conn_id: str | XComArg = "thousandeyes_default",
        result_types: Sequence[ResultType] | ResultType | None = None,
        expected_agents: int | Sequence[str | int] | str | XComArg | None = None,
        min_agents: int | float | None = None,
        grace: Duration = 60,
        max_agent_errors: int | float = 0,
        checks: Checks | str | XComArg | None = None,
        compare_with: Mapping[str, object] | HistoryBaseline | str | XComArg | None = None,
        confirm_failures: int = 0,
        on_failed: OnFailed = "fail",
        on_inconclusive: OnInconclusive | None = None,
        snapshot_on_failure: bool = False,
        report_path: str | XComArg | None = None,
        wait_for_results: bool = True,
        dry_run: bool = False,
        poll_interval: Duration | None = None,
        timeout: Duration = 600,
        queue_timeout: Duration | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        if unknown := unknown_arguments(BaseOperator, kwargs):
            self.unknown_arguments = unknown
            kwargs = {name: value for name, value in kwargs.items() if name not in unknown}
        if kwargs.get("map_index_template") is None:
            kwargs["map_index_template"] = self.default_label
        super().__init__(**kwargs)
        self.account_group_id = account_group_id
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.result_types = result_types
        self.expected_agents = expected_agents
        self.min_agents = min_agents
        self.grace = grace
        self.max_agent_errors = max_agent_errors
        self.checks = checks
        self.compare_with = compare_with
        self.confirm_failures = confirm_failures
        self.on_failed = on_failed
        self.on_inconclusive = on_inconclusive
        self.snapshot_on_failure = snapshot_on_failure
        self.report_path = report_path
        self.wait_for_results = wait_for_results
        # Airflow's operators have a method of the name dry_run.
        self.is_dry_run = dry_run
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.queue_timeout = queue_timeout
        self.deferrable = deferrable

    def execute(self, context: Context) -> Json | None:
        """Start a round; wait for it and judge it, unless ``wait_for_results`` is false.

        :return: the evidence, or the run handle.
        """
        ending = self._perform(context, "execute", {})
        assert ending is not None
        if ending.error is not None:
            raise ending.error
        return ending.value
