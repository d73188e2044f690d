"""Parsing of checks: a declaration as dicts or text becomes :class:`Checks`, or one error that lists every problem."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from thousandeyes_provider.api.coerce import (
    boolean,
    check_structure,
    closest,
    number,
    parse_structure,
    shorten,
)
from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.api.metrics import METRICS, Kind, closest_metric, kind_of, unit_of
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.validation.check_model import (
    AGENT_BY_AGENT,
    AGGREGATES,
    CHANGES,
    COMPARISONS,
    DELTAS,
    LOWER_BOUNDS,
    NO_CHECKS,
    OPTIONS,
    TEXTS,
    UPPER_BOUNDS,
    WHERE_FIELDS,
    Check,
    Checks,
    Severity,
    Term,
    Where,
    json_value,
)
from thousandeyes_provider.validation.patterns import pattern_error

_AGGREGATE_NAMES = frozenset(AGGREGATES)
_NUMBER_COMPARISONS = ("equal_to", *LOWER_BOUNDS, *UPPER_BOUNDS)

MIN_QUORUM = 1e-9
"""The smallest fraction of the agents that a check may require."""

_ALIASES = {
    alias: name
    for name, aliases in {
        "less_than": "lt <",
        "leq_to": "le lte leq <=",
        "greater_than": "gt >",
        "geq_to": "ge gte geq >=",
        "equal_to": "eq equals is = ==",
        "one_of": "in",
        "matches": "match regex regexp",
        "contains": "like",
        "mean": "avg average",
        "every": "all each",
        "any": "some",
        "min": "minimum",
        "max": "maximum",
        "p99": "p99.9",
        "warn": "warning",
        "error": "err fail",
        "countryId": "country",
        "agentName": "agent",
    }.items()
    for alias in aliases.split()
}
"""Names from other tools, and their names here."""

_ALIASES |= {name: test_type.default[0] for name, test_type in TEST_TYPES.items() if name not in RESULT_TYPES}


def parse_checks(declaration: Any, *, literals_only: bool = False) -> Checks:
    """Parse a declaration of checks.

    :param declaration: result type → metric → aggregate → comparison, or a list of them; a comparison directly below a
        metric means ``every``. Dicts, or the text of one (JSON, or what a rendered template gives); the same goes for
        every part of it. ``None`` and an empty declaration mean no checks.
    :param literals_only: whether to leave out what is known only when the task runs: templates, the names of files,
        the output of other tasks.
    :raises DeclarationErrors: with every problem.
    """
    parser = _Parser(literals_only)
    checks = tuple(parser.declaration(declaration))
    if parser.errors:
        raise DeclarationErrors(parser.errors)
    return Checks(checks) if checks else NO_CHECKS


def is_simple(declaration: Any, test_type: Any = None) -> bool:
    """Return whether a declaration is valid at first sight: bounds of numbers, with a quorum or a severity.

    Most checks are, and DAG files are parsed all the time: this takes a tenth of :func:`parse_checks`. ``False`` does
    not mean that the declaration is invalid.

    :param declaration: see :func:`parse_checks`.
    :param test_type: the type of the test, whose results the checks may name; ``None`` when it is not known yet.
    """
    if type(declaration) is not dict:
        return False
    if test_type is not None and not (
        type(test_type) is str
        and test_type in TEST_TYPES
        and declaration.keys() <= set(TEST_TYPES[test_type].result_types)
    ):
        return False
    for result_type, metrics in declaration.items():
        listed = METRICS.get(result_type)
        if not listed or type(metrics) is not dict or not metrics:
            return False
        for metric, rules in metrics.items():
            if metric not in listed or listed[metric].kind is not Kind.NUMBER:
                return False
            if type(rules) is not dict or not rules:
                return False
            by_aggregate = rules if rules.keys() <= _AGGREGATE_NAMES else {"every": rules}
            for aggregate, comparison in by_aggregate.items():
                if not _is_simple_comparison(aggregate, comparison):
                    return False
    return True


def _is_simple_comparison(aggregate: str, comparison: Any) -> bool:
    if type(comparison) is not dict:
        return False
    bounds = 0
    for name, value in comparison.items():
        if name in _NUMBER_COMPARISONS:
            bounds += 1
            if type(value) not in (int, float) or not -1e15 < value < 1e15:
                return False
        elif name == "quorum":
            if aggregate != "every" or type(value) not in (int, float) or not MIN_QUORUM <= value <= 1:
                return False
        elif name != "severity" or value not in ("error", "warn"):
            return False
    # Two bounds may exclude each other.
    return bounds == 1


def check_conflicts(
    checks: Checks, *, test_type: str | None = None, has_compare_with: bool | None = None
) -> list[str]:
    """Return the problems that checks have with other arguments of the task.

    :param test_type: the type of the test; ``None`` when it is not known yet.
    :param has_compare_with: whether the task has ``compare_with``; ``None`` when it is not known yet.
    """
    problems = []
    known = TEST_TYPES.get(test_type or "")
    allowed = known.result_types if known else tuple(RESULT_TYPES)
    for result_type in checks.result_types:
        if result_type not in allowed:
            problems.append(
                f"{_inner('checks', result_type)}: {test_type} tests have no {result_type} results; "
                f"expected one of {', '.join(allowed)}"
            )
    for check in checks.checks if has_compare_with is False else ():
        for term in check.terms:
            if term.needs_baseline:
                problems.append(f"{_inner(check.path, term.comparison)}: needs compare_with")
    return problems


_A_SCALAR = "a number, a text or a boolean"

_BOUNDS: Mapping[str, tuple[str, float] | tuple[str, float, float]] = {
    "floor": ("a number, 0 or more, in the unit of the metric", 0),
    "tolerance": ("a fraction from 0 to 1, such as 0.1 for 10 %", 0, 1),
    "quorum": ("a fraction of the agents, such as 0.8 for 80 %", MIN_QUORUM, 1),
}
"""Option with a number to its expectation, and its lowest and highest value."""


class _Target(NamedTuple):
    """The metric, aggregate and position of a comparison.

    :param path: the position of the comparison in the declaration.
    :param aggregate: ``every`` when the declaration names none.
    """

    path: str
    result_type: str
    metric: str
    aggregate: str = "every"


class _Parser:
    """Parses a declaration from the outside in, and collects the errors."""

    def __init__(self, literals_only: bool) -> None:
        self._literals_only = literals_only
        self._may_be_unlisted = False
        self.errors: list[str] = []

    def declaration(self, value: Any) -> list[Check]:
        if value is None or (isinstance(value, str) and value.strip() in ("", "None", "null")):
            return []
        if (
            self._literals_only
            and isinstance(value, str)
            and value.strip().endswith((".json", ".yaml", ".yml"))
        ):
            return []  # the name of a file
        try:
            check_structure(value)
        except ValueError as error:
            self._error("checks", str(error))
            return []
        checks: list[Check] = []
        for name, metrics in self._dict(value, "checks", "{result type: {metric: comparison}}"):
            if name in RESULT_TYPES:
                checks += self._metrics(metrics, _inner("checks", name), name)
            else:
                self._unknown("checks", "result type", name, RESULT_TYPES)
        return checks

    def _metrics(self, value: Any, path: str, result_type: str) -> list[Check]:
        checks: list[Check] = []
        for metric, rules in self._dict(value, path, "{metric: comparison}", empty="names no metric"):
            if not metric.strip():
                self._error(path, "a metric without a name")
                continue
            self._may_be_unlisted = False
            checks += self._aggregates(rules, _Target(_inner(path, metric), result_type, metric))
            if metric not in METRICS[result_type] and not self._may_be_unlisted:
                close = closest_metric(result_type, metric)
                hint = f"did you mean {_quoted(close)}?" if close else "docs/checks.md lists the metrics."
                self._error(
                    path,
                    f"unknown metric {_quoted(metric)}; {hint} "
                    'For a field that is not listed, add "unlisted": True beside the comparison',
                )
        return checks

    def _aggregates(self, value: Any, target: _Target) -> list[Check]:
        path, value = target.path, self._structured(value, target.path)
        if self._is_later(value):
            return []
        if isinstance(value, (list, tuple)):
            return self._comparisons(value, target)
        if not _is_mapping(value):
            self._expected(path, 'a comparison such as {"equal_to": 200}', value)
            return []
        names = [name for name in value if isinstance(name, str)]
        aggregates = [name for name in names if name in AGGREGATES]
        comparisons = [name for name in names if name in COMPARISONS or name in OPTIONS]
        if aggregates and comparisons:
            self._error(
                path,
                f"an aggregate ({_quoted(aggregates[0])}) beside a comparison ({_quoted(comparisons[0])}); "
                'put the comparison into an aggregate, "every" for each agent',
            )
            return []
        if not aggregates and (comparisons or not value or _looks_like_comparison(value)):
            return self._comparisons(value, target)
        checks: list[Check] = []
        for name, rules in self._dict(value, path, "{aggregate: comparison}"):
            if name in AGGREGATES:
                checks += self._comparisons(rules, target._replace(path=_inner(path, name), aggregate=name))
            else:
                self._unknown(path, "aggregate", name, AGGREGATES)
        return checks

    def _comparisons(self, value: Any, target: _Target) -> list[Check]:
        value = self._structured(value, target.path)
        if not isinstance(value, list | tuple):
            check = self._comparison(value, target)
            return [check] if check else []
        if not value:
            self._error(target.path, "an empty list of comparisons")
        checks = (
            self._comparison(part, target._replace(path=f"{target.path}[{position}]"))
            for position, part in enumerate(value)
        )
        return [check for check in checks if check]

    def _comparison(self, value: Any, target: _Target) -> Check | None:
        path, value = target.path, self._structured(value, target.path)
        if self._is_later(value):
            return None
        if not _is_mapping(value):
            self._expected(path, 'a comparison such as {"leq_to": 800}', value)
            return None
        errors_before = len(self.errors)
        terms: list[Term] = []
        options: dict[str, Any] = {}
        is_complete = True
        for name, given in self._dict(value, path, "{comparison: value}"):
            inner = _inner(path, name)
            if name == "unlisted" and given is not False:
                self._may_be_unlisted = True
            if name not in COMPARISONS and name not in OPTIONS:
                self._unknown(path, "comparison", name, COMPARISONS, options=OPTIONS)
            elif self._has_skipped_part(given):
                is_complete = False
            elif name in OPTIONS:
                options[name] = self._option(name, given, inner)
            elif (wanted := self._value(name, given, inner)) is not None:
                terms.append(Term(name, wanted))
        self._fit(value, target, terms)
        if len(self.errors) == errors_before:
            self._fit_metric(target, terms)
        if not is_complete or len(self.errors) > errors_before:
            return None
        return Check(path, target.result_type, target.metric, target.aggregate, tuple(terms), **options)

    # -- the parts of a comparison -----------------------------------------------------------------------------------

    def _value(self, comparison: str, given: Any, path: str) -> Any:
        if comparison == "equal_to":
            wanted = _scalar(given)
            return self._expected(path, _A_SCALAR, given) if wanted is None else wanted
        if comparison == "one_of":
            return self._choices(given, path)
        if comparison not in TEXTS:
            return self._number(given, path, "a number")
        text = _as_text(given)
        if not text:
            return self._expected(path, "a text", given)
        if comparison == "matches" and (problem := pattern_error(text)):
            return self._error(path, problem)
        return text

    def _choices(self, given: Any, path: str) -> Any:
        given = self._structured(given, path)
        if not isinstance(given, list | tuple | set | frozenset) or not given:
            return self._expected(path, "a list of values", given)
        # Texts are compared exactly, also texts that spell a number.
        choices = [part if isinstance(part, str) else _scalar(part) for part in given]
        for position, (part, choice) in enumerate(zip(given, choices, strict=True)):
            if choice is None:
                self._expected(f"{path}[{position}]", _A_SCALAR, part)
        return tuple(choices)

    def _option(self, name: str, given: Any, path: str) -> Any:
        if name == "severity":
            text = given.strip().lower() if isinstance(given, str) else given
            if text in list(Severity):
                return Severity(text)
            return self._unknown(path, "severity", given, list(Severity))
        if name == "where":
            return self._where(given, path)
        if name == "unlisted":
            flag = boolean(given)
            return self._expected(path, "True or False", given) if flag is None else flag
        return self._number(given, path, *_BOUNDS[name])

    def _where(self, given: Any, path: str) -> Where | None:
        fields: dict[str, tuple[str, ...]] = {}
        for name, values in self._dict(
            given, path, '{"agentName": "Berlin*"}', empty="names no field of an agent"
        ):
            inner = _inner(path, name)
            if name not in WHERE_FIELDS:
                self._unknown(path, "field of an agent", name, WHERE_FIELDS)
                continue
            values = self._structured(values, inner)
            listed = list(values) if isinstance(values, list | tuple | set | frozenset) else [values]
            texts = [text.strip() for value in listed if (text := _as_text(value)) and text.strip()]
            if not texts or len(texts) < len(listed):
                self._expected(inner, "a text or a list of texts", values)
            fields[name] = tuple(texts)
        return Where(*(fields.get(name, ()) for name in WHERE_FIELDS))

    def _number(
        self, given: Any, path: str, expected: str, low: float = -math.inf, high: float = math.inf
    ) -> float | None:
        value = number(given)
        return value if value is not None and low <= value <= high else self._expected(path, expected, given)

    # -- what must fit together --------------------------------------------------------------------------------------

    def _fit(self, given: Mapping[Any, Any], target: _Target, terms: Sequence[Term]) -> None:
        """Check that the parts of a comparison fit together."""
        path, aggregate = target.path, target.aggregate
        named = [name for name in given if name in COMPARISONS]
        if not named and all(name in OPTIONS for name in given):
            beside = f" beside {', '.join(map(_quoted, given))}" if given else ""
            self._error(path, f"no comparison{beside}; one of {', '.join(COMPARISONS)}")
            return
        texts = [term.comparison for term in terms if term.on_text]
        numbers = [term.comparison for term in terms if not term.on_text]
        if texts and numbers:
            self._error(
                path, f"compares text ({_quoted(texts[0])}) and numbers ({_quoted(numbers[0])}) at once"
            )
        if texts and aggregate not in AGENT_BY_AGENT:
            self._error(
                path,
                f"{_quoted(texts[0])} compares text, which has no {_quoted(aggregate)}; "
                f"one of {', '.join(AGENT_BY_AGENT)}",
            )
        if "quorum" in given and aggregate != "every":
            self._error(_inner(path, "quorum"), f'works with "every" only, not with {_quoted(aggregate)}')
        comparisons = {name for name in named if name not in texts}
        if "tolerance" in given and comparisons.isdisjoint(_NUMBER_COMPARISONS):
            usable = ", ".join(_NUMBER_COMPARISONS)
            self._error(_inner(path, "tolerance"), f"works only with numbers in {usable}")
        if "floor" in given and comparisons.isdisjoint(CHANGES + DELTAS):
            self._error(_inner(path, "floor"), f"works only with {', '.join(CHANGES + DELTAS)}")
        self._fit_bounds(path, {term.comparison: term.value for term in terms})

    def _fit_bounds(self, path: str, values: Mapping[str, Any]) -> None:
        """Check that two bounds do not repeat each other or exclude every value."""
        for strict, loose in (LOWER_BOUNDS, UPPER_BOUNDS):
            if strict in values and loose in values:
                self._error(path, f"both {_quoted(strict)} and {_quoted(loose)}; keep one of them")
                return
        pairs = [*product(LOWER_BOUNDS, UPPER_BOUNDS), CHANGES[::-1], DELTAS[::-1]] if len(values) > 1 else ()
        for low, high in pairs:
            if low not in values or high not in values:
                continue
            least, most = values[low], values[high]
            excludes_end = low == "greater_than" or high == "less_than"
            if least > most or (excludes_end and least == most):
                self._error(
                    path,
                    f"{_quoted(low)} {_shown(json_value(least))} and {_quoted(high)} {_shown(json_value(most))} "
                    "leave no value that passes",
                )

    def _fit_metric(self, target: _Target, terms: Sequence[Term]) -> None:
        """Check that the comparisons fit the values of the metric."""
        metric, kind = target.metric, kind_of(target.result_type, target.metric)
        if kind is None or target.aggregate == "count":
            return
        is_code = kind is Kind.NUMBER and not unit_of(target.result_type, metric)
        for term in terms:
            name, value = term.comparison, term.value
            choices = value if isinstance(value, tuple) else (value,)
            inner = _inner(target.path, name)
            if kind is Kind.NUMBER and name in ("contains", "matches"):
                # Codes such as responseCode have a meaning digit by digit.
                if not is_code:
                    self._error(inner, f"compares text, but {metric} is a number")
            elif kind is Kind.NUMBER and term.on_text:
                for wrong in [choice for choice in choices if number(choice) is None]:
                    self._error(inner, f"{_shown(wrong)} is compared with {metric}, which is a number")
            elif kind is Kind.BOOLEAN and name in ("equal_to", "one_of"):
                for wrong in [choice for choice in choices if not _spells_boolean(choice)]:
                    self._error(
                        inner, f"{_shown(json_value(wrong))} is compared with {metric}, which is a boolean"
                    )
            elif kind is not Kind.NUMBER and not term.on_text and name != "equal_to":
                self._error(inner, f"compares numbers, but {metric} is a {kind.value}")

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _dict(
        self, value: Any, path: str, expected: str, *, empty: str | None = None
    ) -> Iterable[tuple[str, Any]]:
        """The entries of a dict with texts as keys; an error for anything else."""
        value = self._structured(value, path)
        if self._is_skipped(value):
            return []
        if not _is_mapping(value):
            self._expected(path, f"a dict {expected}", value)
            return []
        if not value and empty:
            self._error(path, empty)
        for key in value:
            if not isinstance(key, str):
                self._expected(path, "names as keys", key)
        return [(key, part) for key, part in value.items() if isinstance(key, str)]

    def _structured(self, value: Any, path: str) -> Any:
        """Return the dict or list in a text; return any other value unchanged."""
        if not isinstance(value, str) or self._is_skipped(value) or not value.strip().startswith(("{", "[")):
            return value
        try:
            return parse_structure(value)
        except ValueError as error:
            self._error(path, str(error))
            return _INVALID

    def _is_skipped(self, value: Any) -> bool:
        """Whether a value is a template or the output of another task, or is known to be invalid."""
        if value is _INVALID:
            return True
        if not self._literals_only:
            return False
        if isinstance(value, str):
            return "{{" in value or "{%" in value or "{#" in value
        plain = (Mapping, list, tuple, set, frozenset, int, float)
        return value is not None and not isinstance(value, plain)

    def _is_later(self, value: Any) -> bool:
        """Return whether the rules of a metric are skipped. Skipped rules may permit an unlisted metric."""
        is_skipped = self._is_skipped(value)
        self._may_be_unlisted |= is_skipped and value is not _INVALID
        return is_skipped

    def _has_skipped_part(self, value: Any) -> bool:
        if isinstance(value, str | int | float):
            return self._is_skipped(value)
        if isinstance(value, Mapping):
            return any(map(self._has_skipped_part, value.values()))
        if isinstance(value, list | tuple | set | frozenset):
            return any(map(self._has_skipped_part, value))
        return self._is_skipped(value)

    def _unknown(
        self, path: str, what: str, given: Any, choices: Iterable[str], options: Sequence[str] = ()
    ) -> Any:
        known = list(choices)
        meant = closest(given, [*known, *options], _ALIASES)
        hint = f"; did you mean {_quoted(meant)}?" if meant else ""
        or_options = f" (options: {', '.join(options)})" if options else ""
        return self._error(
            path, f"unknown {what} {_shown(given)}; one of {', '.join(known)}{or_options}{hint}"
        )

    def _expected(self, path: str, expected: str, given: Any) -> Any:
        return self._error(path, f"expected {expected}, got {_shown(given)}")

    def _error(self, path: str, text: str) -> Any:
        """Report an error; returns ``None``, the value of the part that has it."""
        self.errors.append(f"{path}: {text}")


def _is_mapping(value: Any) -> bool:
    """Whether a value is a mapping; nearly all are dicts, for which the check of the abstract class is slow."""
    return type(value) is dict or isinstance(value, Mapping)


_INVALID = object()
"""A placeholder for a part whose error was already reported."""


def _looks_like_comparison(value: Mapping[Any, Any]) -> bool:
    """Whether a dict of unknown names is a comparison rather than aggregates: it has plain values."""
    return not any(isinstance(part, Mapping | list | tuple) for part in value.values())


def _scalar(value: Any) -> float | str | bool | None:
    """A boolean, a number (also one that is spelled), or a text; ``None`` for anything else."""
    if isinstance(value, bool):
        return value
    as_number = number(value)
    if as_number is not None:
        return as_number
    return value if isinstance(value, str) else None


def _as_text(value: Any) -> str | None:
    """A text, or the text of a number; ``None`` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or number(value) is None:
        return None
    return str(json_value(value))


def _spells_boolean(value: Any) -> bool:
    return isinstance(value, bool | str) and boolean(value) is not None


def _inner(path: str, key: str) -> str:
    return f"{path}[{_quoted(key)}]"


@lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    return json.dumps(shorten(text, 60), ensure_ascii=False)


def _shown(value: Any) -> str:
    """A value in an error, short and on one line."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        kind = "dict" if isinstance(value, Mapping) else "list"
        return f"an empty {kind}" if not value else f"a {kind}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    try:
        return shorten(repr(value), 60)
    except ValueError:  # Python refuses to spell a number of thousands of digits
        return "a huge number"
