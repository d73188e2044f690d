"""The execution of suite operators. The operators import this module when they execute."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import conf
from thousandeyes_provider.api.coerce import did_you_mean, join_truncated
from thousandeyes_provider.api.rate_limits import RUNS_PER_MINUTE
from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.api.test_search import matches_test, select_tests
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesError,
)
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook
from thousandeyes_provider.operators.argument_parsers import BLOCKING
from thousandeyes_provider.operators.judge import write_report
from thousandeyes_provider.operators.options import (
    Json,
    SelectOptions,
    SuiteOptions,
    parse_options,
    task_label,
)
from thousandeyes_provider.operators.outcome import Conclusion, Ending, final
from thousandeyes_provider.operators.xcoms import TaskXComs
from thousandeyes_provider.validation.reports import report_format
from thousandeyes_provider.validation.suite_evidence import SuiteRules, collect_evidence, suite_evidence
from thousandeyes_provider.validation.suite_reports import suite_report, suite_table_lines

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

# -- selecting -------------------------------------------------------------------------------------------------------


def select(task: BaseOperator, context: Context) -> tuple[list[Json], ThousandEyesError | None]:
    """Select the tests of a suite.

    :param task: the operator, with rendered arguments.
    :return: the arguments of each run, and the error that ends the task.
    """
    hook: ThousandEyesHook | None = None
    try:
        options = parse_options(task, SelectOptions, context)
        key = "test_id" if options.test_ids else "from_test"
        if options.test_ids:
            tests = _instant_tests(task, options)
        else:
            hook = ThousandEyesHook(options.thousandeyes_conn_id, options.account_group_id)
            tests = _scheduled_tests(task, options, hook)
        for argument, pattern in _patterns_without_match(options, tests):
            task.log.warning("%s: %r matches none of the %d selected tests", argument, pattern, len(tests))
        tests = [test for test in tests if not _fits_any(options.exclude, test)]
        _check_size(task, options, len(tests))
        minutes = math.ceil(len(tests) / RUNS_PER_MINUTE)
        task.log.info(
            "%d tests selected: %d runs, each charged by ThousandEyes; at least %d min at %d runs a minute",
            len(tests),
            len(tests),
            minutes,
            RUNS_PER_MINUTE,
        )
        for test in tests:
            task.log.info("Test %s %s %s", test["testId"], test.get("type", ""), test.get("testName", ""))
        return [_run_arguments(key, test, options) for test in tests], None
    except ThousandEyesError as error:
        return [], final(error, task)
    finally:
        if hook is not None:
            hook.close()


def _instant_tests(task: BaseOperator, options: SelectOptions) -> list[Mapping[str, Any]]:
    """The instant tests to rerun. Only their ids are known, so every pattern has to match one."""
    tests: list[Mapping[str, Any]] = [{"testId": test_id} for test_id in options.test_ids]
    problems = [
        f"{argument}: no id {pattern!r} in test_ids, whose names are not known"
        f"{did_you_mean(pattern, options.test_ids)}"
        for argument, pattern in _patterns_without_match(options, tests)
    ]
    if problems:
        raise ThousandEyesConfigurationError(f"{task_label(task)}: {'; '.join(problems)}")
    return tests


def _scheduled_tests(
    task: BaseOperator, options: SelectOptions, hook: ThousandEyesHook
) -> list[Mapping[str, Any]]:
    """The scheduled tests that are selected and have an instant form."""
    listed = hook.list_tests()
    tags = hook.list_tags() if options.tags else []
    by_id = {str(test.get("testId")): test for test in listed}
    problems = [
        _unknown("from_tests", test_id, by_id) for test_id in options.from_tests if test_id not in by_id
    ]
    names = {str(test.get("testName")).casefold(): str(test.get("testName")) for test in listed}
    problems += [
        _unknown("names", name, names.values())
        for name in options.names
        if not _has_wildcard(name) and name.casefold() not in names
    ]
    problems += [
        f"from_tests: test {test_id} {by_id[test_id].get('testName')!r} is of type {by_id[test_id].get('type')}, "
        f"but test_type={options.test_type!r}"
        for test_id in options.from_tests
        if options.test_type and test_id in by_id and by_id[test_id].get("type") != options.test_type
    ]
    problems += [
        _unknown(argument, pattern, (*names.values(), *by_id))
        for argument, pattern in _patterns_without_match(options, listed)
        if not _has_wildcard(pattern)
    ]
    if problems:
        raise ThousandEyesConfigurationError(f"{task_label(task)}: {'; '.join(problems)}")
    selected = {test_id: by_id[test_id] for test_id in options.from_tests}
    if options.names or options.tags or not options.from_tests:
        for name in options.names or (None,):
            try:
                matching = select_tests(
                    listed,
                    name=name,
                    tags=options.tags,
                    known_tags=tags,
                    match_tags=options.match_tags,
                    test_type=options.test_type,
                )
            except ValueError as error:
                raise ThousandEyesConfigurationError(f"{task_label(task)}: {error}") from None
            selected |= {str(test["testId"]): test for test in matching}
    without_form = [test for test in selected.values() if test.get("type") not in TEST_TYPES]
    if without_form:
        task.log.warning(
            "%d tests left out, their types have no instant form: %s",
            len(without_form),
            join_truncated([f"{test.get('testName')} ({test.get('type')})" for test in without_form]),
        )
    return [test for test in selected.values() if test.get("type") in TEST_TYPES]


def _unknown(argument: str, value: str, known: Iterable[str]) -> str:
    return f"{argument}: no test {value!r} in GET /tests{did_you_mean(value, known)}"


def _has_wildcard(name: str) -> bool:
    return "*" in name or "?" in name


def _patterns_without_match(
    options: SelectOptions, tests: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """The ids and names in exclude and overrides that mean none of the tests, each after its argument."""
    return [
        (argument, pattern)
        for argument, patterns in (("exclude", options.exclude), ("overrides", options.overrides))
        for pattern in patterns
        if not any(_fits_any((pattern,), test) for test in tests)
    ]


def _fits_any(patterns: Sequence[str], test: Mapping[str, Any]) -> bool:
    return any(
        matches_test(pattern, str(test["testId"]), str(test.get("testName") or "")) for pattern in patterns
    )


def _check_size(task: BaseOperator, options: SelectOptions, count: int) -> None:
    """Refuse more tests than the DAG, Airflow or the organization allows."""
    limits = {
        "max_tests": options.max_tests,
        "[core] max_map_length": conf.getint("core", "max_map_length", fallback=1024),
        "[thousandeyes] max_runs_per_dag_run": setting("max_runs_per_dag_run") or None,
    }
    for name, limit in limits.items():
        if limit is not None and count > limit:
            raise ThousandEyesConfigurationError(
                f"{task_label(task)}: {count} tests selected, {name} allows {limit}; nothing was run"
            )


def _run_arguments(key: str, test: Mapping[str, Any], options: SelectOptions) -> Json:
    """The arguments of one run."""
    arguments: Json = {key: str(test["testId"])}
    if test.get("type"):
        arguments["test_type"] = str(test["type"])
    arguments |= options.defaults
    for pattern, overrides in options.overrides.items():
        if _fits_any((pattern,), test):
            arguments |= {name: value for name, value in overrides.items() if name != BLOCKING}
    return arguments


# -- judging ---------------------------------------------------------------------------------------------------------


def judge(task: BaseOperator, context: Context, source_task_ids: Sequence[str]) -> Ending:
    """Judge a suite.

    :param task: the operator, with rendered arguments.
    """
    try:
        return _judge(task, parse_options(task, SuiteOptions, context), context, source_task_ids)
    except ThousandEyesError as error:
        return Ending(error=final(error, task))


def _judge(
    task: BaseOperator, options: SuiteOptions, context: Context, source_task_ids: Sequence[str]
) -> Ending:
    runs = collect_evidence(options.results)
    expected_ids = options.expected if isinstance(options.expected, tuple) else None
    expected_count = options.expected if isinstance(options.expected, int) else None
    if options.expected is None:
        expected_count = _instance_count(context, source_task_ids)
    evidence = suite_evidence(
        runs,
        SuiteRules(options.min_passed, options.non_blocking, options.blocking),
        judged_at=time.time(),
        expected_ids=expected_ids,
        expected_count=expected_count,
        shadow=setting("shadow") if options.shadow is None else options.shadow,
    )
    if path := options.report_path:
        write_report(
            path, lambda: suite_report(evidence, runs, report_format(path), name=task.task_id), task.log
        )
    for level, line in suite_table_lines(evidence):
        task.log.log(level, "%s", line)
    return Conclusion(task, context, options, TaskXComs(task, context)).of_suite(evidence)


def _instance_count(context: Context, task_ids: Sequence[str]) -> int | None:
    """Return the number of instances of the judged tasks in this DAG run; ``None``: no known task."""
    if not task_ids:
        return None
    instance: Any = context["ti"]
    if hasattr(instance, "get_ti_count"):  # Airflow 3
        return cast(
            "int",
            instance.get_ti_count(dag_id=instance.dag_id, task_ids=list(task_ids), run_ids=[instance.run_id]),
        )
    run: Any = context["dag_run"]
    return sum(other.task_id in task_ids for other in run.get_task_instances())
