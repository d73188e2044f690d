"""Many tests with one verdict: select tests, run each as a mapped task, and evaluate the runs together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator, TaskGroup, XComArg
from thousandeyes_provider.api.coerce import did_you_mean
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.links.report import report_links
from thousandeyes_provider.operators.argument_parsers import BLOCKING, parse_expected, parse_overrides
from thousandeyes_provider.operators.instant_test import (
    CreateInstantTestOperator,
    MaskedArgument,
    RunInstantTestOperator,
    mask_definition,
)
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import SelectOptions, SuiteOptions, check_literals, is_literal

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.operators import suite_run, telemetry
    from thousandeyes_provider.operators.argument_types import OnInconclusive
    from thousandeyes_provider.operators.options import Json
else:
    suite_run = LazyModule("thousandeyes_provider.operators.suite_run")
    telemetry = LazyModule("thousandeyes_provider.operators.telemetry")


def _mask_arguments(value: object) -> object:
    """Return arguments of a run, with the secrets of its definition masked in logs and rendered fields from now on."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: mask_definition(argument) if name in ("definition", "overrides") else argument
        for name, argument in value.items()
    }


def _mask_overrides(value: object) -> object:
    """Return arguments of runs by test, with the secrets of their definitions masked from now on."""
    if not isinstance(value, Mapping):
        return value
    return {test: _mask_arguments(arguments) for test, arguments in value.items()}


def _without_arguments(value: object) -> object:
    """Return the ids of selected tests without the arguments of their runs, which a rendered field would show."""
    if not isinstance(value, list | tuple | str) or not is_literal(value):
        return value
    try:
        return parse_expected(value)
    except ValueError:
        # The error is raised when the arguments are checked.
        return value


class SelectTestsOperator(BaseOperator):
    """Select the tests of a suite, and return the arguments of each run.

    Either ``test_ids`` names instant tests to rerun, or the other arguments select scheduled tests, each of which is
    run once as an instant test with its own settings. A test is selected when ``from_tests`` names it, or when it fits
    ``names`` and ``tags``, as far as they are given. Tests of a type without an instant form are left out with a
    warning. The log previews the number of runs and the minutes of quota that they take. This task runs nothing.

    :param test_ids: ids of instant tests to rerun. Templated.
    :param from_tests: ids of tests whose settings are run once. Templated.
    :param names: names of tests, regardless of case; ``*`` matches any characters, ``?`` exactly one. A name without a
        wildcard must exist. Templated.
    :param tags: tags as ``key:value``, such as ``service:checkout``, or ``key`` for any value. Each must exist; a tag
        that no test carries selects nothing. Templated.
    :param match_tags: whether a test must carry ``all`` of the tags or ``any`` of them.
    :param exclude: ids and names of tests to leave out, with wildcards; together with ``test_ids`` only ids. A name or
        id without a wildcard must exist. Templated.
    :param test_type: select only tests of this type; an error if ``from_tests`` names a test of another type.
    :param max_tests: largest number of tests, from 1 to Airflow's ``[core] max_map_length``, which is the default. More
        tests are an error, before anything is run.
    :param overrides: arguments of single tests, by id or by name as in ``exclude``. Where several fit, the later wins:
        ``{"Checkout*": {"checks": {…}}, "281474976710706": {"min_agents": 3}}``. The return value in XCom holds them
        as they are, credentials included. Templated.
    :param defaults: arguments of every run that ``overrides`` may replace. Templated.
    :param account_group_id: account group (``aid``) of the tests. Templated.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``. Templated.
    """

    template_fields: Sequence[str] = (
        "test_ids",
        "from_tests",
        "names",
        "tags",
        "exclude",
        "overrides",
        "defaults",
        "account_group_id",
        "thousandeyes_conn_id",
    )
    ui_color = "#e8f4fa"
    overrides = MaskedArgument(_mask_overrides)
    defaults = MaskedArgument(_mask_arguments)

    def __init__(
        self,
        *,
        test_ids: Sequence[str | int] | XComArg | str | None = None,
        from_tests: Sequence[str | int] | XComArg | str | None = None,
        names: Sequence[str] | XComArg | str | None = None,
        tags: Sequence[str] | XComArg | str | None = None,
        match_tags: Literal["all", "any"] = "all",
        exclude: Sequence[str | int] | XComArg | str | None = None,
        test_type: str | None = None,
        max_tests: int | None = None,
        overrides: Mapping[str, Mapping[str, object]] | None = None,
        defaults: Mapping[str, object] | None = None,
        account_group_id: str | int | None = None,
        thousandeyes_conn_id: str = "thousandeyes_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.test_ids = test_ids
        self.from_tests = from_tests
        self.names = names
        self.tags = tags
        self.match_tags = match_tags
        self.exclude = exclude
        self.test_type = test_type
        self.max_tests = max_tests
        self.overrides = overrides
        self.defaults = defaults
        self.account_group_id = account_group_id
        self.thousandeyes_conn_id = thousandeyes_conn_id
        check_literals(self, SelectOptions)

    def execute(self, context: Context) -> list[Json]:
        """Select the tests.

        :return: one dict of arguments for each run, for ``expand_kwargs``.
        :raises ThousandEyesConfigurationError: for invalid arguments, for a name, an id or a tag that does not exist,
            and for too many tests.
        :raises ThousandEyesError: when tests or tags cannot be listed.
        """
        runs, error = suite_run.select(self, context)
        if error is not None:
            raise error
        return runs


class SuiteVerdictOperator(BaseOperator):
    """Evaluate many runs together: one verdict, one evidence, one report.

    The suite passes when enough blocking tests passed, and fails when it cannot reach that number, even if every test
    without a verdict had passed. Otherwise it is inconclusive, and so is a suite that is empty or smaller than what was
    selected. Runs are matched by test id. The task runs when every upstream task is done, also after failed and
    skipped ones; it starts no run itself.

    :param results: outputs of tasks that evaluate a round, mapped or single, or a list of evidence. Templated.
    :param expected: what should have run: a number, test ids, or the output of :class:`SelectTestsOperator`. By default
        the task instances behind ``results``, as Airflow counts them. Templated.
    :param min_passed: number of blocking tests that must pass: a count (``3``) or a fraction (``0.9``, rounded up); by
        default all. Templated.
    :param non_blocking: tests that are reported but never fail the suite: ids, or names with wildcards. Templated.
    :param blocking: whether single tests can fail the suite, by id or by name with wildcards:
        ``{"Checkout*": False, "Checkout payment": True}``. Where several fit, the later wins. Takes precedence over
        ``non_blocking``.
    :param on_failed: effect of a failed suite on the task: ``fail``, ``skip`` or ``warn``. No retry is spent: it would
        evaluate the same evidence.
    :param on_inconclusive: effect of an inconclusive suite on the task: ``fail``, ``skip`` or ``warn``; by default
        ``[thousandeyes] on_inconclusive`` (fail).
    :param shadow: report the verdict in the evidence and never block; by default ``[thousandeyes] shadow`` (false).
    :param report_path: path or URL of a report of all tests: JUnit for ``.xml``, Markdown for ``.md``, a page for
        ``.html``. Templated.
    :param trigger_rule: Airflow's; ``all_done``, so that the suite is evaluated after failed runs as well.
    """

    template_fields: Sequence[str] = ("results", "expected", "min_passed", "non_blocking", "report_path")
    ui_color = "#e8f4fa"
    operator_extra_links = report_links()
    expected = MaskedArgument(_without_arguments)

    def __init__(
        self,
        *,
        results: XComArg | Sequence[object] | Mapping[str, object] | str,
        expected: int | Sequence[object] | XComArg | str | None = None,
        min_passed: int | float | str | None = None,
        non_blocking: Sequence[str | int] | XComArg | str | None = None,
        blocking: Mapping[str, bool] | None = None,
        on_failed: Literal["fail", "skip", "warn"] = "fail",
        on_inconclusive: OnInconclusive | None = None,
        shadow: bool | None = None,
        report_path: str | None = None,
        trigger_rule: str = "all_done",
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule=trigger_rule, **kwargs)
        self.results = results
        self.expected = expected
        self.min_passed = min_passed
        self.non_blocking = non_blocking
        self.blocking = blocking
        self.on_failed = on_failed
        self.on_inconclusive = on_inconclusive
        self.shadow = shadow
        self.report_path = report_path
        # Rendering replaces the references by their values.
        self._source_task_ids = [task.task_id for task, _ in XComArg.iter_xcom_references(results)]
        self.evidence: Json | None = None
        """The evidence of the suite, in the process that ends the task."""
        check_literals(self, SuiteOptions)

    def execute(self, context: Context) -> Json | None:
        """Evaluate the suite.

        :raises InstantTestFailed: the suite failed.
        :raises InstantTestInconclusive: the suite has no verdict.
        :raises ThousandEyesConfigurationError: for invalid arguments.
        """
        ending = suite_run.judge(self, context, self._source_task_ids)
        self.evidence = ending.evidence
        if ending.error is not None:
            raise ending.error
        return ending.value

    def get_openlineage_facets_on_complete(self, task_instance: object) -> object:
        """Return the tests of the suite as OpenLineage's test-run facet, where its provider is installed."""
        return telemetry.openlineage_facets(self.evidence)

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete


RESERVED = frozenset(
    {"on_failed", "on_inconclusive", "report_path", "wait_for_results", "test_id", "from_test", "task_id"}
)
"""Arguments that the runs of a suite cannot have."""


def instant_test_suite(
    group_id: str,
    *,
    test_ids: Sequence[str | int] | XComArg | str | None = None,
    from_tests: Sequence[str | int] | XComArg | str | None = None,
    names: Sequence[str] | XComArg | str | None = None,
    tags: Sequence[str] | XComArg | str | None = None,
    match_tags: Literal["all", "any"] = "all",
    exclude: Sequence[str | int] | XComArg | str | None = None,
    test_type: str | None = None,
    max_tests: int | None = None,
    overrides: Mapping[str, Mapping[str, object]] | None = None,
    min_passed: int | float | str | None = None,
    non_blocking: Sequence[str | int] | XComArg | str | None = None,
    on_failed: Literal["fail", "skip", "warn"] = "fail",
    on_inconclusive: OnInconclusive | None = None,
    shadow: bool | None = None,
    report_path: str | None = None,
    dry_run: bool = False,
    account_group_id: str | int | None = None,
    thousandeyes_conn_id: str = "thousandeyes_default",
    **run_arguments: Any,
) -> TaskGroup:
    """Run many tests, and gate the pipeline on one verdict: a task group with ``select``, ``run`` and ``verdict``.

    .. code-block:: python

        gate = instant_test_suite("gate", tags="service:checkout", min_agents=0.8)
        deploy >> gate >> promote

    ``select`` is a :class:`SelectTestsOperator`. ``run`` is one mapped task for each selected test: a
    ``RunInstantTestOperator`` for ``test_ids``, else a ``CreateInstantTestOperator`` with ``from_test``. A failed
    or inconclusive test only warns there; ``verdict``, a :class:`SuiteVerdictOperator`, is the task that fails. Its
    evidence is ``gate.get_child_by_label("verdict").output``. The group cannot be part of a mapped task group.

    :param group_id: id of the task group.
    :param test_ids: and the arguments up to ``overrides``: see :class:`SelectTestsOperator`. An entry of ``overrides``
        may have the arguments of the run's operator, without those of Airflow, and ``"blocking"``: whether the test can
        fail the suite, which takes precedence over ``non_blocking``.
    :param min_passed: and the arguments up to ``report_path``: see :class:`SuiteVerdictOperator`.
    :param dry_run: only select the tests and log the cost of a run. The group then consists of ``select``.
    :param account_group_id: account group (``aid``) of all tasks.
    :param thousandeyes_conn_id: connection of all tasks.
    :param run_arguments: arguments of every run: those of the operator (``checks``, ``min_agents``, ``timeout``, …) and
        of Airflow (``pool``, ``retries``, …). ``deferrable`` is true unless given.
    :raises ThousandEyesConfigurationError: for invalid arguments, and inside a mapped task group.
    """
    if misplaced := RESERVED & run_arguments.keys():
        raise ThousandEyesConfigurationError(
            f"instant_test_suite {group_id!r}: {', '.join(sorted(misplaced))} cannot be set for the runs of a suite"
        )
    try:
        per_test = parse_overrides(overrides)
    except ValueError as error:
        raise ThousandEyesConfigurationError(f"instant_test_suite {group_id!r}: overrides: {error}") from None
    overridden = {name for arguments in per_test.values() for name in arguments}
    operator = CreateInstantTestOperator if test_ids is None else RunInstantTestOperator
    connection: Json = {
        "account_group_id": account_group_id,
        "thousandeyes_conn_id": thousandeyes_conn_id,
    }
    for_all_runs = RESERVED | connection.keys() | {"definition"}
    available = [
        *sorted({option.name for option in operator.options_class.declared} - for_all_runs),
        BLOCKING,
    ]
    if unavailable := sorted(overridden.difference(available)):
        raise ThousandEyesConfigurationError(
            f"instant_test_suite {group_id!r}: overrides cannot set "
            f"{', '.join(f'{name!r}{did_you_mean(name, available)}' for name in unavailable)}; expected some of "
            f"{', '.join(available)}"
        )
    run_arguments.setdefault("deferrable", True)
    with TaskGroup(group_id) as group:
        select = SelectTestsOperator(
            task_id="select",
            test_ids=test_ids,
            from_tests=from_tests,
            names=names,
            tags=tags,
            match_tags=match_tags,
            exclude=exclude,
            test_type=test_type,
            max_tests=max_tests,
            overrides=overrides,
            # Airflow rejects an argument in both partial() and expand_kwargs().
            defaults={name: run_arguments.pop(name) for name in overridden & run_arguments.keys()},
            **connection,
        )
        if dry_run:
            return group
        SuiteVerdictOperator(
            task_id="verdict",
            results=_mapped_runs(group_id, operator, select.output, {**connection, **run_arguments}),
            expected=select.output,
            min_passed=min_passed,
            non_blocking=non_blocking,
            blocking={
                test: arguments[BLOCKING] for test, arguments in per_test.items() if BLOCKING in arguments
            },
            on_failed=on_failed,
            on_inconclusive=on_inconclusive,
            shadow=shadow,
            report_path=report_path,
        )
    return group


def _mapped_runs(
    group_id: str,
    operator: type[CreateInstantTestOperator | RunInstantTestOperator],
    selected: XComArg,
    arguments: Json,
) -> XComArg:
    """Create the mapped task of a suite, one run for each selected test, and return its outputs."""
    arguments = {**arguments, "on_failed": "warn", "on_inconclusive": "warn"}
    try:
        return operator.partial(task_id="run", **arguments).expand_kwargs(selected).output
    except NotImplementedError:
        raise ThousandEyesConfigurationError(
            f"instant_test_suite {group_id!r}: cannot stand inside a mapped task group, because Airflow does "
            "not map tasks there; map the arguments of the suite, such as test_ids, instead"
        ) from None
