"""The arguments of the operators of a suite as typed, frozen options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from thousandeyes_provider.operators.argument_types import OnInconclusive
from thousandeyes_provider.operators.options import (
    Json,
    Options,
    one_of,
    option,
    optional,
    parse_account_group_id,
    parse_bool,
    parse_conn_id,
    parse_report_path,
    parse_test_type,
    read_structure,
)

BLOCKING = "blocking"
"""Key of an entry of ``overrides`` that is no argument of the run: whether the test can fail the suite."""

SELECTORS = ("test_ids", "from_tests", "names", "tags")
"""Arguments of which a selection needs at least one."""


def parse_texts(value: object) -> tuple[str, ...]:
    """Parse ids, names or tags: a list, a JSON list, or a text with commas; empty when not given."""
    if value is None:
        return ()
    if isinstance(value, str):
        text = value.strip()
        value = read_structure(text) if text.startswith("[") else text.split(",")
    if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes | str):
        raise ValueError("expected a list of texts")
    texts = list(value)
    if not all(isinstance(text, str | int) and not isinstance(text, bool) for text in texts):
        raise ValueError("expected a list of texts")
    return tuple(dict.fromkeys(text for item in texts if (text := str(item).strip()) not in ("", "None")))


def parse_max_tests(value: object) -> int:
    """Parse the largest number of tests."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("expected a whole number, 1 or more")
    return value


def parse_arguments(value: object) -> Json:
    """Parse arguments of a run by name; empty when not given."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError("expected a dict of arguments by name")
    return dict(value)


def parse_overrides(value: object) -> dict[str, Json]:
    """Parse arguments by test id or name; empty when not given."""
    overrides = {test: parse_arguments(arguments) for test, arguments in parse_arguments(value).items()}
    for test, arguments in overrides.items():
        if not isinstance(arguments.get(BLOCKING, True), bool):
            raise ValueError(f"{test!r}: {BLOCKING!r} is True or False")
    return overrides


def parse_expected(value: object) -> int | tuple[str, ...] | None:
    """Parse what should have run: a number, ids, or arguments of runs; ``None`` when not given."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        items = list(value)
        if all(isinstance(item, Mapping) for item in items):
            return tuple(str(item.get("from_test") or item.get("test_id") or "") for item in items)
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return tuple(map(str, items))  # a test that is run twice is expected twice
    raise ValueError("expected a number, a list of test ids, or the output of SelectTestsOperator")


def parse_min_passed(value: object) -> int | float | None:
    """Parse a count of tests, or a fraction of them; ``None`` for all."""
    from thousandeyes_provider.validation import suite_evidence

    return suite_evidence.parse_min_passed(value)


def parse_results(value: object) -> object:
    """Return the results as they are: what is no evidence counts as a run without."""
    return value


class SelectOptions(Options):
    """The options of :class:`~thousandeyes_provider.operators.suite.SelectTestsOperator`."""

    test_ids: tuple[str, ...] = option(parse_texts)
    from_tests: tuple[str, ...] = option(parse_texts)
    names: tuple[str, ...] = option(parse_texts)
    tags: tuple[str, ...] = option(parse_texts)
    match_tags: Literal["all", "any"] = option(one_of("all", "any"))
    exclude: tuple[str, ...] = option(parse_texts)
    test_type: str | None = option(optional(parse_test_type))
    max_tests: int | None = option(optional(parse_max_tests))
    overrides: Mapping[str, Json] = option(parse_overrides)
    defaults: Json = option(parse_arguments)
    account_group_id: str | None = option(optional(parse_account_group_id))
    thousandeyes_conn_id: str = option(parse_conn_id)

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

    results: Any = option(parse_results)
    expected: int | tuple[str, ...] | None = option(parse_expected)
    min_passed: int | float | None = option(parse_min_passed)
    non_blocking: tuple[str, ...] = option(parse_texts)
    on_failed: Literal["fail", "skip", "warn"] = option(one_of("fail", "skip", "warn"))
    on_inconclusive: OnInconclusive | None = option(optional(one_of("fail", "skip", "warn")))
    shadow: bool | None = option(optional(parse_bool))
    report_path: str | None = option(optional(parse_report_path))
