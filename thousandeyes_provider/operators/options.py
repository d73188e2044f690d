"""The arguments of operators and sensors as typed, frozen options.

Arguments are parsed twice by the same rules: when the DAG is parsed, as far as they are known then
(:func:`check_literals`), and when the task runs (:func:`parse_options`). One error reports all invalid arguments.

DAG files are parsed all the time, so a parser imports what it needs when its argument is given.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, dataclass_transform

from thousandeyes_provider.api.coerce import (
    LARGEST_COUNT,
    boolean,
    check_structure,
    did_you_mean,
    parse_structure,
    seconds,
    shorten,
    whole_number,
)
from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, without_retry
from thousandeyes_provider.operators.lazy import LazyModule

if TYPE_CHECKING:
    from types import FrameType

    from thousandeyes_provider.api import definition, expected_agents, result_types, rounds, run
    from thousandeyes_provider.api.expected_agents import ExpectedAgents
    from thousandeyes_provider.api.run import RunHandle
    from thousandeyes_provider.operators.argument_types import OnFailed, OnInconclusive
    from thousandeyes_provider.validation import check_model, check_parser, reports, verdict
    from thousandeyes_provider.validation.check_model import Checks
else:
    definition = LazyModule("thousandeyes_provider.api.definition")
    expected_agents = LazyModule("thousandeyes_provider.api.expected_agents")
    result_types = LazyModule("thousandeyes_provider.api.result_types")
    rounds = LazyModule("thousandeyes_provider.api.rounds")
    run = LazyModule("thousandeyes_provider.api.run")
    check_model = LazyModule("thousandeyes_provider.validation.check_model")
    check_parser = LazyModule("thousandeyes_provider.validation.check_parser")
    reports = LazyModule("thousandeyes_provider.validation.reports")
    verdict = LazyModule("thousandeyes_provider.validation.verdict")

Json = dict[str, Any]
"""A JSON object: evidence, a run handle, a definition."""


class TaskLog(Protocol):
    """What is used of a task's log, which is a logger of Python or of Airflow."""

    def info(self, message: str, /, *args: object) -> object: ...
    def warning(self, message: str, /, *args: object) -> object: ...
    def error(self, message: str, /, *args: object) -> object: ...
    def log(self, level: int, message: str, /, *args: object) -> object: ...


T = TypeVar("T")
O = TypeVar("O", bound="Options")  # noqa: E741

MAX_DURATION = 366 * 86400.0
"""Seconds; a longer duration is taken for a mistake."""

MAX_CONFIRMATIONS = 5
"""Runs that may confirm a failed verdict: each is charged."""

FILE_SUFFIXES = (".json", ".yaml")
"""Endings of an argument that names a file."""

FILE_ARGUMENTS = frozenset({"checks", "compare_with", "definition", "expected_agents", "overrides"})
"""Arguments that may name a file as a whole."""


class ConfidentialArgument(ValueError):
    """The value of the argument is not repeated in the error, because it may hold a password."""


# -- parsers ---------------------------------------------------------------------------------------------------------
# Each returns the parsed value, or raises ValueError with what was expected.


def parse_test_id(value: object) -> str:
    """Parse the id of a test."""
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or text in ("", "None", ".", ".."):
        raise ValueError("expected the id of a test, such as '281474976710706'")
    return text


def parse_account_group_id(value: object) -> str:
    """Parse the id of an account group."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected the id of an account group (aid)")
    return str(value).strip()


def parse_conn_id(value: object) -> str:
    """Parse the id of a connection."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected the id of a connection, such as 'thousandeyes_default'")
    return value.strip()


def parse_test_type(value: object) -> str:
    """Parse one of the twelve test types."""
    return choice(value, result_types.TEST_TYPES)


def parse_result_types(value: object) -> tuple[str, ...]:
    """Parse a result type, or a list of them; at least one must be judged."""
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"expected a list of {', '.join(result_types.RESULT_TYPES)}")
    chosen = tuple(dict.fromkeys(choice(name, result_types.RESULT_TYPES) for name in names))
    if not any(result_types.RESULT_TYPES[name].judged for name in chosen):
        raise ValueError("none of these can be judged, so no run could pass; add a judged result type")
    return chosen


def parse_expected_agents(value: object) -> ExpectedAgents | None:
    """Parse a number of agents, or a list of ids and names; a text with line ends is that of a file."""
    if isinstance(value, str) and "\n" in value.strip():
        structure = read_structure(value)
        value = structure if isinstance(structure, list) else value
    return expected_agents.expected_from_argument(value)


def parse_min_agents(value: object) -> int | float | str:
    """Parse a count of agents (1 or more) or a fraction. The value is returned as given: a fraction needs a total."""
    if expected_agents.share_or_count(value, 1000, "min_agents") == 0:
        raise ValueError("expected at least one agent")
    return cast("int | float | str", value)


def parse_max_agent_errors(value: object) -> int | float:
    """Parse a count of agents, or a fraction of those that report."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT:
        return value
    return verdict.parse_allowed_errors(value)


def parse_run(value: object) -> RunHandle:
    """Parse a run handle, as an object or as JSON text."""
    try:
        return run.RunHandle.from_json(cast("Json", read_structure(value)))
    except ValueError as error:
        raise ValueError(
            f"{error}; expected the return value of a task with wait_for_results=False"
        ) from None


def parse_checks(value: object) -> Checks:
    """Parse a declaration of checks; text is read as YAML, which includes JSON."""
    if value is None:
        return check_model.NO_CHECKS
    return check_parser.parse_checks(read_structure(value))


def parse_literal_checks(value: object) -> Checks:
    """Parse the part of a declaration of checks that is known when the DAG is parsed."""
    return check_parser.parse_checks(value if isinstance(value, Mapping) else None, literals_only=True)


def parse_compare_with(value: object) -> Json | None:
    """Parse the evidence of an earlier run, or ``{"test_id", "window"}``; ``None`` when it is not given."""
    expected = "the evidence of an earlier run (it has a verdict), or {'test_id': …, 'window': '24h'}"
    value = read_structure(value)
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"expected {expected}")
    if "verdict" in value:
        return dict(value)
    unknown = [name for name in value if name not in ("test_id", "window", "test_type")]
    if unknown or "test_id" not in value or "window" not in value:
        raise ValueError(f"expected {expected}")
    parse_test_id(value["test_id"])
    rounds.window_seconds(value["window"])
    return dict(value)


def parse_definition(value: object) -> Json | None:
    """Parse the body that creates a test: a dict, JSON or YAML text, or a model of the official SDK."""
    try:
        value = plain_definition(read_structure(value))
    except ValueError:
        raise ConfidentialArgument("expected JSON or YAML") from None
    if value is None or value == "":
        return None
    if not isinstance(value, Mapping):
        raise ConfidentialArgument(f"expected a dict as the API documents it, got {type(value).__name__}")
    return dict(value)


def plain_definition(value: object) -> object:
    """Return a model of the official SDK as a dict; any other value as it is."""
    if hasattr(value, "model_dump") and hasattr(value, "to_dict"):
        return value.to_dict()
    return value


def parse_report_path(value: object) -> str:
    """Parse where to write the report; the suffix selects the format."""
    if not isinstance(value, str):
        raise ValueError(
            "expected a path or URL that ends in .xml (JUnit), .md (Markdown) or .html (report page)"
        )
    reports.report_format(value)
    return value.strip()


def parse_confirm_failures(value: object) -> int:
    """Parse a number of confirming runs."""
    count = whole_number(value)
    if count is None or not 0 <= count <= MAX_CONFIRMATIONS:
        raise ValueError(f"expected a whole number from 0 to {MAX_CONFIRMATIONS}")
    return count


def parse_bool(value: object) -> bool:
    """Parse true or false."""
    flag = boolean(value)
    if flag is None:
        raise ValueError("expected True or False")
    return flag


def parse_positive_duration(value: object) -> float:
    """Parse seconds or a timedelta, more than 0."""
    duration = seconds(value)
    if duration is None or not 0 < duration <= MAX_DURATION:
        raise ValueError("expected seconds or a timedelta, more than 0, at most a year")
    return duration


def parse_duration(value: object) -> float:
    """Parse seconds or a timedelta, 0 or more."""
    duration = seconds(value)
    if duration is None or not 0 <= duration <= MAX_DURATION:
        raise ValueError("expected seconds or a timedelta, 0 or more, at most a year")
    return duration


def optional(parse: Callable[[object], T]) -> Callable[[object], T | None]:
    """Return a parser that also takes ``None``, or what a template makes of it, for an argument that is not given."""

    def parse_optional(value: object) -> T | None:
        is_absent = value is None or (isinstance(value, str) and value.strip() in ("", "None"))
        return None if is_absent else parse(value)

    return parse_optional


def choice(value: object, choices: Iterable[str]) -> str:
    """Parse one of a few texts."""
    known = list(choices)
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text in known:
        return text
    raise ValueError(f"expected one of {', '.join(known)}{did_you_mean(value, known)}")


def one_of(*choices: str) -> Callable[[object], Any]:
    """Return a parser of one of a few texts."""
    return lambda value: choice(value, choices)


def read_structure(value: object) -> object:
    """The structure that a text spells, of a file or a rendered template; any other value as it is."""
    return parse_structure(value, yaml=True) if isinstance(value, str) else value


# -- options ---------------------------------------------------------------------------------------------------------


class Option:
    """An option as its class declares it.

    :param parse: parses the argument.
    :param attribute: attribute of the operator that holds the argument.
    """

    __slots__ = ("attribute", "name", "parse")

    def __init__(self, parse: Callable[[object], object], attribute: str) -> None:
        self.parse = parse
        self.attribute = attribute

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.attribute = self.attribute or name


def option(parse: Callable[[object], T], *, attribute: str = "") -> T:
    """Declare an option.

    :param parse: parses the argument.
    :param attribute: attribute of the operator that holds the argument, when its name differs.
    """
    return cast("T", Option(parse, attribute))


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
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
        """Return what is wrong with arguments that are valid one by one.

        :param values: the parsed arguments; those that are not known yet are left out.
        """
        return []


class JudgeOptions(Options):
    """The options of every task that judges a round. Durations are seconds."""

    thousandeyes_conn_id: str = option(parse_conn_id)
    min_agents: int | float | str | None = option(optional(parse_min_agents))
    grace: float = option(parse_duration)
    max_agent_errors: int | float = option(parse_max_agent_errors)
    checks: Checks = option(parse_checks)
    compare_with: Json | None = option(parse_compare_with)
    on_failed: OnFailed = option(one_of("fail", "retry", "skip", "warn"))
    on_inconclusive: OnInconclusive | None = option(optional(one_of("fail", "skip", "warn")))
    snapshot_on_failure: bool = option(parse_bool)
    report_path: str | None = option(optional(parse_report_path))
    deferrable: bool = option(parse_bool)

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

    account_group_id: str | None = option(optional(parse_account_group_id))
    test_type: str | None = option(optional(parse_test_type))
    wait_for_results: bool = option(parse_bool)
    result_types: tuple[str, ...] | None = option(optional(parse_result_types))
    expected_agents: ExpectedAgents | None = option(optional(parse_expected_agents))
    confirm_failures: int = option(parse_confirm_failures)
    # Airflow's operators have a method of the name dry_run.
    dry_run: bool = option(parse_bool, attribute="is_dry_run")
    poll_interval: float | None = option(optional(parse_positive_duration))
    timeout: float = option(parse_positive_duration)
    queue_timeout: float | None = option(optional(parse_duration))

    @classmethod
    def conflicts(cls, values: Mapping[str, object]) -> list[str]:
        """Also compare result types with the test type."""
        conflicts = super().conflicts(values)
        test_type = values.get("test_type")
        if isinstance(test_type, str):
            available = result_types.TEST_TYPES[test_type].result_types
            named = cast("tuple[str, ...]", values.get("result_types") or ())
            unfit = [name for name in named if name not in available]
            if unfit:
                conflicts.append(
                    f"result_types: a test of type {test_type} has no {', '.join(unfit)}; "
                    f"expected one of {', '.join(available)}"
                )
        return conflicts


class RunOptions(StartOptions):
    """The options of ``RunInstantTestOperator``."""

    test_id: str = option(parse_test_id)


class CreateOptions(StartOptions):
    """The options of ``CreateInstantTestOperator``."""

    definition: Json | None = option(parse_definition)
    from_test: str | None = option(optional(parse_test_id))
    overrides: Json | None = option(parse_definition)

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

    run: RunHandle = option(parse_run)
    poke_interval: float = option(parse_positive_duration)


def _absent(values: Mapping[str, object], name: str) -> bool:
    """Whether an argument is known and not given."""
    return name in values and values[name] is None


# -- parsing ---------------------------------------------------------------------------------------------------------


class _Task(Protocol):
    """What parsing reads of an operator or sensor."""

    @property
    def task_id(self) -> str: ...


def task_label(task: _Task) -> str:
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


def names_file(name: str, value: object) -> bool:
    """Whether an argument as a whole names a file."""
    return (
        name in FILE_ARGUMENTS
        and isinstance(value, str)
        and value.strip().endswith(FILE_SUFFIXES)
        and "\n" not in value.strip()
        and not value.strip().startswith(("{", "["))
    )


def parse_options(task: _Task, options: type[O], files: Mapping[str, object]) -> O:
    """Parse all arguments of a task that runs.

    :param task: the operator or sensor.
    :param options: the class of its options.
    :param files: the contents of arguments that name a file.
    :return: the options.
    :raises ThousandEyesConfigurationError: with every invalid argument.
    """
    values: Json = {}
    problems: list[str] = []
    for option in options.declared:
        value = files.get(option.name, getattr(task, option.attribute))
        try:
            _check_bounds(option.name, value)
            values[option.name] = option.parse(value)
        except (ValueError, TypeError) as error:
            problems += _problems(option.name, value, error)
    problems = problems or options.conflicts(values)
    if problems:
        raise _error(task_label(task), problems)
    return options(**values)


def check_literals(task: _Task, options: type[Options], unknown: Sequence[str] = ()) -> None:
    """Check the arguments that are known when the DAG is parsed.

    :param task: the operator or sensor.
    :param options: the class of its options.
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
        if names_file(name, value):
            continue
        if name == "checks" and check_parser.is_simple(value, getattr(task, "test_type", None)):
            continue
        try:
            _check_bounds(name, value)
            if is_literal(value):
                values[name] = option.parse(value)
            elif name == "checks":
                values[name] = parse_literal_checks(value)
            if name in ("definition", "overrides") and isinstance(value, Mapping):
                definitions[name] = value
        except (ValueError, TypeError) as error:
            problems += _problems(name, value, error)
    problems += _definition_problems(values.get("test_type"), definitions) + options.conflicts(values)
    if problems:
        mistake = _error(_dag_file_line() + task_label(task), problems)
        # Mapped tasks are created when they run: then a retry does not correct the arguments either.
        raise mistake if getattr(task, "retry_policy", None) else without_retry(mistake)


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
    """What is wrong with the fields of definitions that are known; templates are left out."""
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
        # Each names its place and what is expected there.
        return list(error.errors)
    if isinstance(error, ConfidentialArgument):
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
