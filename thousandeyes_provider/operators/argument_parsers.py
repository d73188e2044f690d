"""Parsers of arguments: each returns the parsed value, or raises ``ValueError`` with the expectation.

DAG files are parsed all the time, so a parser imports what it needs when its argument is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from thousandeyes_provider.api.coerce import (
    boolean,
    count_or_fraction,
    did_you_mean,
    parse_structure,
    seconds,
    shorten,
)
from thousandeyes_provider.operators.lazy import LazyModule

if TYPE_CHECKING:
    from thousandeyes_provider.api import expected_agents, result_types, rounds, run
    from thousandeyes_provider.api.expected_agents import ExpectedAgents
    from thousandeyes_provider.api.run import RunHandle
    from thousandeyes_provider.validation import check_model, check_parser, reports
    from thousandeyes_provider.validation.check_model import Checks
else:
    expected_agents = LazyModule("thousandeyes_provider.api.expected_agents")
    result_types = LazyModule("thousandeyes_provider.api.result_types")
    rounds = LazyModule("thousandeyes_provider.api.rounds")
    run = LazyModule("thousandeyes_provider.api.run")
    check_model = LazyModule("thousandeyes_provider.validation.check_model")
    check_parser = LazyModule("thousandeyes_provider.validation.check_parser")
    reports = LazyModule("thousandeyes_provider.validation.reports")

Json = dict[str, Any]
"""A JSON object: evidence, a run handle, a definition."""

MAX_DURATION = 366 * 86400.0
"""Seconds; a longer duration is taken for a mistake."""


class ConfidentialArgument(ValueError):
    """The value of the argument is not repeated in the error, because it may hold a password."""


def is_absent(value: object) -> bool:
    """Whether a value is ``None``, or the text that a template makes of it."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


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
    if expected_agents.share_or_count(value, 1000) == 0:
        raise ValueError("expected at least one agent")
    return cast("int | float | str", value)


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
    if set(value) != {"test_id", "window"}:
        raise ValueError(f"expected {expected}")
    rounds.window_seconds(value["window"])
    return {"test_id": parse_test_id(value["test_id"]), "window": value["window"]}


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


# -- arguments of a suite --------------------------------------------------------------------------------------------


BLOCKING = "blocking"
"""Key in ``overrides`` that is not an argument of the run: whether the test can fail the suite."""


def parse_texts(value: object) -> tuple[str, ...]:
    """Parse ids, names or tags: a list, a JSON list, or a text with commas; empty when not given.

    Only a text with commas may have empty entries. In a list they are templates that rendered to nothing.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith("["):
            return tuple(
                dict.fromkeys(entry for item in text.split(",") if not is_absent(entry := item.strip()))
            )
        value = read_structure(text)
    if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes | str):
        raise ValueError("expected a list of texts")
    entries = list(value)
    for number, entry in enumerate(entries, 1):
        if is_absent(entry):
            raise ValueError(f"entry {number} is empty; expected an id, a name or a tag")
        if isinstance(entry, bool) or not isinstance(entry, str | int):
            raise ValueError("expected a list of texts")
    return tuple(dict.fromkeys(str(entry).strip() for entry in entries))


def parse_max_tests(value: object) -> int:
    """Parse the largest number of tests."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("expected a whole number, 1 or more")
    return value


def parse_arguments(value: object) -> Json:
    """Parse arguments of a run by name; empty when not given."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfidentialArgument(f"expected a dict of arguments by name, got {type(value).__name__}")
    for name in value:
        if not isinstance(name, str):
            raise ConfidentialArgument(f"expected names as text, got {shorten(repr(name), 80)}")
    return dict(value)


def parse_overrides(value: object) -> dict[str, Json]:
    """Parse arguments by test id or name; empty when not given."""
    overrides: dict[str, Json] = {}
    for test, arguments in parse_arguments(value).items():
        try:
            overrides[test] = parse_arguments(arguments)
        except ConfidentialArgument as error:
            raise ConfidentialArgument(f"{test!r}: {error}") from None
        if not isinstance(overrides[test].get(BLOCKING, True), bool):
            raise ConfidentialArgument(f"{test!r}: {BLOCKING!r} is True or False")
    return overrides


def parse_blocking(value: object) -> tuple[tuple[str, bool], ...]:
    """Parse whether tests can fail the suite, by test id or name; empty when not given."""
    blocking = parse_arguments(value)
    if not all(isinstance(flag, bool) for flag in blocking.values()):
        raise ValueError("expected True or False for each test id or name")
    return tuple(blocking.items())


def parse_expected(value: object) -> int | tuple[str, ...] | None:
    """Parse what should have run: a number, ids, or arguments of runs, also as text; ``None`` when not given."""
    expected = "expected a number, a list of test ids, or the output of SelectTestsOperator"
    if is_absent(value):
        return None
    if isinstance(value, str):
        try:
            value = parse_structure(value)
        except ValueError:
            raise ConfidentialArgument(expected) from None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        items = list(value)
        if all(isinstance(item, Mapping) for item in items):
            return tuple(str(item.get("from_test") or item.get("test_id") or "") for item in items)
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return tuple(map(str, items))  # a test that is run twice is expected twice
    raise (ValueError if isinstance(value, int | float) else ConfidentialArgument)(expected)


def parse_results(value: object) -> object:
    """Parse outputs of tasks; a text is the output of a task, or a list of them."""
    if not isinstance(value, str) or is_absent(value):
        return value
    try:
        return parse_structure(value)
    except ValueError as error:
        raise ValueError(f"{error}; expected the evidence of runs, such as the output of a task") from None


def parse_min_passed(value: object) -> int | float:
    """Parse a count of tests, or a fraction (with a point) of them."""
    parsed = count_or_fraction(value)
    if not parsed:
        raise ValueError(f"expected a count from 1 or a fraction above 0.0 and up to 1.0, got {value!r}")
    return parsed
