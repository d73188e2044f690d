"""Reading the arguments of operators and sensors: the same checks when a DAG is parsed and when its task runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.api.coerce import boolean, seconds, whole_number
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError

# DAG files are parsed all the time: what reads an argument is imported when that argument is given.
if TYPE_CHECKING:
    from thousandeyes_provider.api.expected_agents import ExpectedAgents
    from thousandeyes_provider.api.run import RunHandle
    from thousandeyes_provider.validation.check_parser import Checks

LONGEST_TIME = 366 * 86400.0
"""Seconds; a longer one is taken for a mistake."""


def is_literal(value: Any) -> bool:
    """Whether a value is known when the DAG is parsed: neither a template nor another task's output."""
    if isinstance(value, str):
        # Airflow puts the text of a file in the place of its name.
        return not any(mark in value for mark in ("{{", "{%", "{#")) and not value.endswith(
            (".json", ".yaml")
        )
    if hasattr(value, "resolve"):
        # The output of another task, a parameter of the DAG, an argument of a mapped task group.
        return False
    if isinstance(value, Mapping):
        return all(map(is_literal, value.values()))
    return not isinstance(value, list | tuple | set) or all(map(is_literal, value))


class Undisclosed(ValueError):
    """An argument is not what it should be, and its value is not to be repeated: it may hold a password."""


def read(owner: str, name: str, value: Any, reader: Callable[[Any], Any]) -> Any:
    """Read an argument.

    :param owner: whose argument, for the error.
    :param name: its name.
    :param value: what the DAG gives.
    :param reader: makes of it what is needed, or raises ``ValueError`` with what was expected.
    :raises ThousandEyesConfigurationError: naming the task, the argument, the value and what was expected.
    """
    try:
        return reader(value)
    except ValueError as error:
        if hasattr(error, "faults"):
            # Each of them says where it is and what it should be.
            raise ThousandEyesConfigurationError(f"{owner}: {error}") from None
        if isinstance(error, Undisclosed):
            raise ThousandEyesConfigurationError(f"{owner}: {name}: {error}") from None
        raise ThousandEyesConfigurationError(f"{owner}: {name}={value!r}: {error}") from None


def an_id(value: Any) -> str:
    """The id of a test."""
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or text in ("", "None", ".", ".."):
        raise ValueError("expected the id of a test, such as '281474976710706'")
    return text


def an_optional_id(value: Any) -> str | None:
    """The id of an account group; ``None`` when it is left out."""
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected the id of an account group (aid)")
    return str(value).strip()


def an_optional_test(value: Any) -> str | None:
    """The id of a test; ``None`` when it is left out."""
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    return an_id(value)


def a_test_type(value: Any) -> str | None:
    """One of the twelve test types; ``None`` when it is left out."""
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    from thousandeyes_provider.api.result_types import TEST_TYPES

    return _one_of(value, TEST_TYPES)


def result_types(value: Any) -> tuple[str, ...] | None:
    """A result type, or a list of them, of which at least one can be judged; ``None`` when it is left out."""
    if value is None or value == "":
        return None
    from thousandeyes_provider.api.result_types import RESULT_TYPES

    named = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(named, list | tuple) or not named:
        raise ValueError(f"expected a list of {', '.join(RESULT_TYPES)}")
    found = tuple(dict.fromkeys(_one_of(name, RESULT_TYPES) for name in named))
    if not any(RESULT_TYPES[name].judged for name in found):
        raise ValueError("none of these can be judged, so that no run would ever pass")
    return found


def expected_agents(value: Any) -> ExpectedAgents | None:
    """A number of agents, or a list of their ids and names; ``None`` when it is left out."""
    if value is None:
        return None
    from thousandeyes_provider.api.expected_agents import expected_from_argument

    return expected_from_argument(value)


def min_agents(value: Any) -> Any:
    """A count of agents (1 or more) or a fraction; kept as it is, since a fraction needs to know of how many."""
    if value is None or value == "":
        return None
    from thousandeyes_provider.api.expected_agents import share_or_count

    if share_or_count(value, 1000, "min_agents") == 0:
        raise ValueError("expected at least one agent")
    return value


def max_agent_errors(value: Any) -> int | float:
    """A count of agents, or a fraction of those that report."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    from thousandeyes_provider.validation.verdict import parse_allowed_errors

    return parse_allowed_errors(value)


def a_run(value: Any) -> RunHandle:
    """A run handle, as an object or as JSON text."""
    from thousandeyes_provider.api.run import RunHandle

    try:
        return RunHandle.from_json(_structure(value))
    except ValueError as error:
        raise ValueError(
            f"{error}; expected the return value of a task that runs a test without waiting"
        ) from None


def checks(value: Any) -> Checks:
    """A declaration of checks; text is read as YAML, which JSON is, too."""
    from thousandeyes_provider.validation.check_parser import parse_checks

    return parse_checks(_structure(value))


def literal_checks(value: Any) -> Checks:
    """The part of a declaration of checks that is known when the DAG is parsed."""
    from thousandeyes_provider.validation.check_parser import parse_checks

    return parse_checks(value if isinstance(value, Mapping) else None, literals_only=True)


def compare_with(value: Any) -> dict[str, Any] | None:
    """The evidence of an earlier run, or ``{"test_id", "window"}`` for the history of a test; ``None`` for neither."""
    value = _structure(value)
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise ValueError("expected the evidence of an earlier run, or {'test_id': …, 'window': '24h'}")
    if "verdict" in value:
        return dict(value)
    unknown = [name for name in value if name not in ("test_id", "window", "test_type")]
    if unknown or "test_id" not in value or "window" not in value:
        raise ValueError(
            "expected the evidence of an earlier run (it has a verdict), or {'test_id': …, 'window': '24h'}"
        )
    an_id(value["test_id"])
    if not re.fullmatch(r"\d+[smhdw]?", str(value["window"]).strip(), re.ASCII):
        raise ValueError(f"window {value['window']!r} is not a number with s, m, h, d or w, such as 24h")
    return dict(value)


def definition(value: Any) -> dict[str, Any] | None:
    """The body that creates a test, or what changes one: a dict, JSON or YAML text, or a model of the official SDK."""
    try:
        value = plain(_structure(value))
    except ValueError:
        raise Undisclosed("neither JSON nor YAML") from None
    if value is None or value == "":
        return None
    if not isinstance(value, Mapping):
        raise Undisclosed(f"expected a dict as the API has it, not {type(value).__name__}")
    return dict(value)


def plain(value: Any) -> Any:
    """A model of the official SDK as the dict that it stands for; anything else as it is."""
    if hasattr(value, "model_dump") and hasattr(value, "to_dict"):
        return value.to_dict()
    return value


def on_failed_checks(value: Any) -> str:
    """What a failed verdict means for the task."""
    return _one_of(value, dict.fromkeys(("fail", "skip", "warn")))


def report_path(value: Any) -> str | None:
    """Where to write the report; its ending says which."""
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    from thousandeyes_provider.validation.reports import report_format

    if not isinstance(value, str):
        raise ValueError("expected a path or address that ends in .xml (JUnit) or .md (Markdown)")
    report_format(value)
    return value.strip()


def _structure(value: Any) -> Any:
    """What a text says, of a file or a rendered template; anything else as it is."""
    if not isinstance(value, str):
        return value
    from thousandeyes_provider.validation.structure import structure

    try:
        # A rendered template gives JSON, or Python's own spelling.
        return structure(value)
    except ValueError:
        pass
    import yaml  # type: ignore[import-untyped,unused-ignore]

    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"neither JSON nor YAML: {error}") from None


def a_small_count(value: Any) -> int:
    """A whole number from 0 to 5: each further run is charged."""
    found = whole_number(value)
    if found is None or not 0 <= found <= 5:
        raise ValueError("expected a whole number from 0 to 5")
    return found


def a_flag(value: Any) -> bool:
    """True or false."""
    found = boolean(value)
    if found is None:
        raise ValueError("expected True or False")
    return found


def a_conn_id(value: Any) -> str:
    """The id of a connection."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected the id of a connection, such as 'thousandeyes_default'")
    return value.strip()


def a_positive_time(value: Any) -> float:
    """Seconds or a timedelta, more than 0."""
    found = seconds(value)
    if found is None or not 0 < found <= LONGEST_TIME:
        raise ValueError("expected seconds or a timedelta, more than 0, at most a year")
    return found


def a_time(value: Any) -> float:
    """Seconds or a timedelta, 0 or more."""
    found = seconds(value)
    if found is None or not 0 <= found <= LONGEST_TIME:
        raise ValueError("expected seconds or a timedelta, 0 or more, at most a year")
    return found


def _one_of(value: Any, choices: Mapping[str, Any]) -> str:
    import difflib

    text = value.strip() if isinstance(value, str) else value
    if text in choices:
        return str(text)
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"{hint}expected one of {', '.join(choices)}")
