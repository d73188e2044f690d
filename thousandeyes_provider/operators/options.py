"""The arguments of operators and sensors as typed, frozen options.

Arguments are parsed twice by the same rules: when the DAG is parsed, as far as they are known then
(:func:`check_literals`), and when the task runs (:func:`parse_options`). One error reports all invalid arguments.

DAG files are parsed all the time, so a parser imports what it needs when its argument is given.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeVar, cast, dataclass_transform

from jinja2 import TemplateError

from thousandeyes_provider.api.coerce import (
    check_structure,
    did_you_mean,
    parse_allowed_errors,
    parse_confirm_failures,
    shorten,
)
from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, without_retry
from thousandeyes_provider.operators import argument_parsers as parsers
from thousandeyes_provider.operators.argument_parsers import Json as Json
from thousandeyes_provider.operators.lazy import LazyModule

if TYPE_CHECKING:
    from types import FrameType

    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from thousandeyes_provider.api import definition, result_types
    from thousandeyes_provider.api.expected_agents import ExpectedAgents
    from thousandeyes_provider.api.run import RunHandle
    from thousandeyes_provider.operators.argument_types import OnFailed, OnInconclusive
    from thousandeyes_provider.validation import check_parser
    from thousandeyes_provider.validation.check_model import Checks
else:
    definition = LazyModule("thousandeyes_provider.api.definition")
    result_types = LazyModule("thousandeyes_provider.api.result_types")
    check_parser = LazyModule("thousandeyes_provider.validation.check_parser")


class TaskLog(Protocol):
    """The used methods of a task's log, which is a logger of Python or of Airflow."""

    def info(self, message: str, /, *args: object) -> object: ...
    def warning(self, message: str, /, *args: object) -> object: ...
    def error(self, message: str, /, *args: object) -> object: ...
    def log(self, level: int, message: str, /, *args: object) -> object: ...


T = TypeVar("T")
O = TypeVar("O", bound="Options")  # noqa: E741


class Option:
    """An option as its class declares it."""

    def __init__(self, parse: Callable[[object], object], attribute: str, *, may_name_file: bool) -> None:
        self.parse = parse
        self.attribute = attribute
        self._may_name_file = may_name_file

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.attribute = self.attribute or name

    def names_file(self, value: object) -> bool:
        """Whether the argument as a whole names a file."""
        if not self._may_name_file or not isinstance(value, str):
            return False
        text = value.strip()
        return text.endswith((".json", ".yaml")) and "\n" not in text and not text.startswith(("{", "["))


def option(parse: Callable[[object], T], *, attribute: str = "", may_name_file: bool = False) -> T:
    """Declare an option.

    :param attribute: attribute of the operator that holds the argument, when its name differs.
    :param may_name_file: whether the argument may name a ``.json`` or ``.yaml`` file.
    """
    return cast("T", Option(parse, attribute, may_name_file=may_name_file))


def optional(parse: Callable[[object], T], *, may_name_file: bool = False) -> T | None:
    """Declare an option that is ``None``, or what a template makes of it, when the argument is not given."""

    def parse_optional(value: object) -> T | None:
        return None if parsers.is_absent(value) else parse(value)

    return option(parse_optional, may_name_file=may_name_file)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option, optional))
class Options:
    """The parsed arguments of a task. A subclass declares each with :func:`option`.

    To a type checker it is a frozen dataclass. The methods of dataclasses, which nothing needs here, would take most
    of the time of the first import.
    """

    declared: ClassVar[tuple[Option, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.declared += tuple(value for value in vars(cls).values() if isinstance(value, Option))

    def __init__(self, **values: object) -> None:
        vars(self).update(values)

    @classmethod
    def conflicts(cls, values: Mapping[str, object]) -> list[str]:
        """Return the problems of arguments that are valid individually.

        :param values: the parsed arguments; those that are not known yet are left out.
        """
        return []


class JudgeOptions(Options):
    """The options of every task that judges a round. Durations are seconds."""

    thousandeyes_conn_id: str = option(parsers.parse_conn_id)
    min_agents: int | float | str | None = optional(parsers.parse_min_agents)
    grace: float = option(parsers.parse_duration)
    max_agent_errors: int | float = option(parse_allowed_errors)
    checks: Checks = option(parsers.parse_checks, may_name_file=True)
    compare_with: Json | None = option(parsers.parse_compare_with, may_name_file=True)
    on_failed: OnFailed = option(parsers.one_of("fail", "retry", "skip", "warn"))
    on_inconclusive: OnInconclusive | None = optional(parsers.one_of("fail", "skip", "warn"))
    snapshot_on_failure: bool = option(parsers.parse_bool)
    report_path: str | None = optional(parsers.parse_report_path)
    deferrable: bool = option(parsers.parse_bool)

    @classmethod
    def conflicts(cls, values: Mapping[str, object]) -> list[str]:
        """Compare checks with the test type and with compare_with."""
        checks = values.get("checks")
        if not checks:
            return []
        return check_parser.check_conflicts(
            cast("Checks", checks),
            test_type=cast("str | None", values.get("test_type")),
            has_compare_with="compare_with" not in values or values["compare_with"] is not None,
        )


class StartOptions(JudgeOptions):
    """The options of every task that starts a round."""

    account_group_id: str | None = optional(parsers.parse_account_group_id)
    test_type: str | None = optional(parsers.parse_test_type)
    wait_for_results: bool = option(parsers.parse_bool)
    result_types: tuple[str, ...] | None = optional(parsers.parse_result_types)
    expected_agents: ExpectedAgents | None = optional(parsers.parse_expected_agents, may_name_file=True)
    confirm_failures: int = option(parse_confirm_failures)
    # Airflow's operators have a method of the name dry_run.
    dry_run: bool = option(parsers.parse_bool, attribute="is_dry_run")
    poll_interval: float | None = optional(parsers.parse_positive_duration)
    timeout: float = option(parsers.parse_positive_duration)
    queue_timeout: float | None = optional(parsers.parse_duration)

    @classmethod
    def conflicts(cls, values: Mapping[str, object]) -> list[str]:
        """Also compare result types with the test type and the checks, and confirmations with the wait."""
        conflicts = super().conflicts(values)
        test_type = values.get("test_type")
        named = cast("tuple[str, ...]", values.get("result_types") or ())
        checks = cast("Checks | None", values.get("checks"))
        absent = [name for name in checks.result_types if name not in named] if named and checks else []
        if absent:
            conflicts.append(
                f"result_types: {', '.join(named)} lacks {', '.join(absent)}, which checks name; "
                "add it, or leave result_types out: then the checks select the result types"
            )
        if values.get("wait_for_results") is False and values.get("confirm_failures"):
            conflicts.append(
                f"confirm_failures: {values['confirm_failures']} confirming runs need wait_for_results=True; "
                "InstantTestResultsSensor starts no runs"
            )
        if isinstance(test_type, str):
            available = result_types.TEST_TYPES[test_type].result_types
            unfit = [name for name in named if name not in available]
            if unfit:
                conflicts.append(
                    f"result_types: a test of type {test_type} has no {', '.join(unfit)}; "
                    f"expected one of {', '.join(available)}"
                )
        return conflicts


class RunOptions(StartOptions):
    """The options of ``RunInstantTestOperator``."""

    test_id: str = option(parsers.parse_test_id)


class CreateOptions(StartOptions):
    """The options of ``CreateInstantTestOperator``."""

    definition: Json | None = option(parsers.parse_definition, may_name_file=True)
    from_test: str | None = optional(parsers.parse_test_id)
    overrides: Json | None = option(parsers.parse_definition, may_name_file=True)

    @classmethod
    def conflicts(cls, values: Mapping[str, object]) -> list[str]:
        """Also compare definition, from_test, overrides and test_type with each other."""
        conflicts = super().conflicts(values)
        absent = {
            name for name in ("definition", "from_test", "overrides", "test_type") if _absent(values, name)
        }
        given = {name for name in ("definition", "from_test", "overrides") if name not in absent}
        if {"definition", "from_test"} <= given:
            conflicts.append("definition, from_test: give one of them, not both")
        if {"definition", "from_test"} <= absent:
            conflicts.append(
                "definition, from_test: give one of them; definition= creates a new test, from_test= takes over the "
                "settings of an existing test"
            )
        if "overrides" in given and "from_test" in absent:
            conflicts.append(
                "overrides: changes the settings of from_test=, which is not given; use definition="
            )
        if "definition" in given and "test_type" in absent:
            conflicts.append(f"definition: needs test_type=, one of {', '.join(result_types.TEST_TYPES)}")
        return conflicts


class SensorOptions(JudgeOptions):
    """The options of ``InstantTestResultsSensor``."""

    run: RunHandle = option(parsers.parse_run)
    poke_interval: float = option(parsers.parse_positive_duration)


SELECTORS = ("test_ids", "from_tests", "names", "tags")
"""Arguments of which a selection needs at least one."""


class SelectOptions(Options):
    """The options of :class:`~thousandeyes_provider.operators.suite.SelectTestsOperator`."""

    test_ids: tuple[str, ...] = option(parsers.parse_texts)
    from_tests: tuple[str, ...] = option(parsers.parse_texts)
    names: tuple[str, ...] = option(parsers.parse_texts)
    tags: tuple[str, ...] = option(parsers.parse_texts)
    match_tags: Literal["all", "any"] = option(parsers.one_of("all", "any"))
    exclude: tuple[str, ...] = option(parsers.parse_texts)
    test_type: str | None = optional(parsers.parse_test_type)
    max_tests: int | None = optional(parsers.parse_max_tests)
    overrides: Mapping[str, Json] = option(parsers.parse_overrides)
    defaults: Json = option(parsers.parse_arguments)
    account_group_id: str | None = optional(parsers.parse_account_group_id)
    thousandeyes_conn_id: str = option(parsers.parse_conn_id)

    @classmethod
    def conflicts(cls, values: Mapping[str, object]) -> list[str]:
        """Compare the ways to select with each other."""
        scheduled = [name for name in ("from_tests", "names", "tags", "test_type") if values.get(name)]
        if values.get("test_ids") and scheduled:
            return [
                f"test_ids, {', '.join(scheduled)}: test_ids reruns instant tests, the others run scheduled tests; use "
                "two suites, or judge the outputs of both with one SuiteVerdictOperator"
            ]
        if values.keys() >= set(SELECTORS) and not any(values[name] for name in SELECTORS):
            return [f"{', '.join(SELECTORS)}: give at least one of them"]
        return []


class SuiteOptions(Options):
    """The options of :class:`~thousandeyes_provider.operators.suite.SuiteVerdictOperator`."""

    # What is no evidence counts as a run without.
    results: object = option(parsers.parse_results)
    expected: int | tuple[str, ...] | None = option(parsers.parse_expected)
    min_passed: int | float | None = optional(parsers.parse_min_passed)
    non_blocking: tuple[str, ...] = option(parsers.parse_texts)
    blocking: tuple[tuple[str, bool], ...] = option(parsers.parse_blocking)
    on_failed: Literal["fail", "skip", "warn"] = option(parsers.one_of("fail", "skip", "warn"))
    on_inconclusive: OnInconclusive | None = optional(parsers.one_of("fail", "skip", "warn"))
    shadow: bool | None = optional(parsers.parse_bool)
    report_path: str | None = optional(parsers.parse_report_path)


def _absent(values: Mapping[str, object], name: str) -> bool:
    """Whether an argument is known and not given."""
    return name in values and values[name] is None


# -- parsing ---------------------------------------------------------------------------------------------------------


def task_label(task: BaseOperator) -> str:
    """Name a task in errors and logs: ``RunInstantTestOperator 'validate'``."""
    return f"{type(task).__name__} {task.task_id!r}"


MAX_PROBLEMS = 40
"""Invalid arguments that an error lists."""

MAX_SHOWN = 200
"""Characters of an invalid argument that an error repeats."""

_PLAIN = (int, float, type(None))
"""Types of values that hold no others, texts left out; a bool is an int."""


def is_literal(value: object) -> bool:
    """Whether a value is known when the DAG is parsed: neither a template nor the output of a task."""
    if isinstance(value, str):
        return not ("{{" in value or "{%" in value or "{#" in value)
    if isinstance(value, _PLAIN):
        return True
    if hasattr(value, "resolve"):
        # The output of a task, a parameter of the DAG, or an argument of a mapped task group.
        return False
    if isinstance(value, Mapping):
        return all(map(is_literal, value.values()))
    return not isinstance(value, list | tuple | set) or all(map(is_literal, value))


def parse_options(task: BaseOperator, options: type[O], context: Context) -> O:
    """Parse all arguments of a task that runs.

    :param context: Airflow's context, for templates in the files that arguments name.
    :raises ThousandEyesConfigurationError: with every invalid argument.
    """
    values: Json = {}
    problems: list[str] = []
    for option in options.declared:
        value = given = getattr(task, option.attribute)
        try:
            if option.names_file(given):
                value = _file_text(task, given.strip(), context)
            _check_bounds(option.name, value)
            values[option.name] = option.parse(value)
        except (ValueError, TypeError) as error:
            problems += _problems(option.name, given, error)
    problems = problems or options.conflicts(values)
    if problems:
        raise _error(task_label(task), problems)
    return options(**values)


def _file_text(task: BaseOperator, path: str, context: Context) -> str:
    """The rendered text of a file that an argument as a whole names.

    Airflow's ``template_ext`` would also read a file for a text *inside* an argument that ends in ``.json``, such as a
    URL in a definition. So the operators leave it empty.
    """
    try:
        return task.get_template_env().get_template(path).render(dict(context))
    except (TemplateError, OSError, TypeError) as error:
        raise ValueError(
            "cannot read this file in the DAG's folder or its template_searchpath: "
            f"{type(error).__name__}: {error}"
        ) from None


def check_literals(task: BaseOperator, options: type[Options], unknown: Sequence[str] = ()) -> None:
    """Check the arguments that are known when the DAG is parsed.

    :param unknown: names of arguments that the task does not have.
    :raises ThousandEyesConfigurationError: with every invalid argument.
    """
    defaults = _parameters(type(task))
    values: Json = {}
    problems = [_unknown_argument(type(task), name) for name in unknown]
    definitions: dict[str, Mapping[str, object]] = {}
    for option in options.declared:
        name, value = option.name, getattr(task, option.attribute)
        if value is defaults.get(name, inspect.Parameter.empty):
            # Most arguments of most tasks have their defaults, which are valid.
            values[name] = value
            continue
        if option.names_file(value):
            continue
        if (
            name == "checks"
            and getattr(task, "result_types", None) is None
            and check_parser.is_simple(value, getattr(task, "test_type", None))
        ):
            continue
        try:
            _check_bounds(name, value)
            if is_literal(value):
                values[name] = option.parse(value)
            elif name == "checks":
                given = value if isinstance(value, Mapping) else None
                values[name] = check_parser.parse_checks(given, literals_only=True)
            if name in ("definition", "overrides") and isinstance(value, Mapping):
                definitions[name] = value
        except (ValueError, TypeError) as error:
            problems += _problems(name, value, error)
    problems += _definition_problems(values.get("test_type"), definitions) + options.conflicts(values)
    if problems:
        mistake = _error(_dag_file_line() + task_label(task), problems)
        # Mapped tasks are created when they run: then a retry does not correct the arguments either.
        raise mistake if getattr(task, "retry_policy", None) else without_retry(mistake)


def without_default(task: BaseOperator, options: Options, names: Sequence[str]) -> list[str]:
    """Return the names of the arguments whose parsed value is not the default of the operator."""
    defaults = _parameters(type(task))
    return [name for name in names if getattr(options, name) != defaults.get(name)]


def unknown_arguments(base: type, arguments: Mapping[str, object]) -> list[str]:
    """Return the names of keyword arguments that a class of Airflow does not take.

    :param base: the class whose constructor gets the arguments.
    """
    return [name for name in arguments if name not in _parameters(base)]


@cache
def _parameters(operator: type) -> dict[str, object]:
    """The arguments of an operator and of its base classes, with their defaults."""
    initializers = (vars(base)["__init__"] for base in reversed(operator.__mro__) if "__init__" in vars(base))
    return {
        name: parameter.default
        for initializer in initializers
        for name, parameter in list(inspect.signature(initializer).parameters.items())[1:]
        # On Airflow 2.11, task_id can be positional.
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }


def _unknown_argument(operator: type, name: str) -> str:
    return f"{name}: unknown argument{did_you_mean(name, sorted(_parameters(operator)))}"


def _check_bounds(name: str, value: object) -> None:
    """Check that a parser can walk through an argument: not too deep, not too large, and not within itself.

    :raises DeclarationErrors: when it cannot.
    """
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        try:
            check_structure(value)
        except ValueError as error:
            raise DeclarationErrors([f"{name}: {error}"]) from None


def _definition_problems(test_type: str | None, definitions: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return the problems of the known fields of definitions; templates are skipped."""
    problems: list[str] = []
    for name, given in definitions.items() if test_type else ():
        try:
            definition.read_definition(
                str(test_type), given, name=name, partial=name == "overrides", known=is_literal
            )
        except (ValueError, TypeError) as error:
            problems += _problems(name, given, error)
    return problems


def _problems(name: str, value: object, error: Exception) -> list[str]:
    if isinstance(error, DeclarationErrors):
        # Each names its place and the expectation.
        return list(error.errors)
    if isinstance(error, parsers.ConfidentialArgument):
        return [f"{name}: {error}"]
    try:
        shown = shorten(repr(value), MAX_SHOWN)
    except ValueError:  # an integer of thousands of digits
        shown = f"({type(value).__name__})"
    return [f"{name}={shown}: {shorten(str(error), MAX_SHOWN * 2)}"]


def _error(label: str, problems: Sequence[str]) -> ThousandEyesConfigurationError:
    if len(problems) == 1:
        return ThousandEyesConfigurationError(f"{label}: {problems[0]}")
    lines = "".join(f"\n- {problem}" for problem in problems[:MAX_PROBLEMS])
    if len(problems) > MAX_PROBLEMS:
        lines += f"\n- and {len(problems) - MAX_PROBLEMS} more"
    return ThousandEyesConfigurationError(f"{label}: {len(problems)} invalid arguments:{lines}")


def _dag_file_line() -> str:
    """The line of the DAG file that creates the task: ``/opt/dags/release.py:12: ``."""
    frame: FrameType = sys._getframe(1)
    while frame.f_back is not None and _package(frame) in _CALLERS:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}: "


_CALLERS = ("airflow", "thousandeyes_provider", "functools", "contextlib")
"""Packages between a DAG file and the check of its arguments."""


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
