"""The declaration of checks: what a DAG says "good" is, read into data, with everything that is wrong found at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.metrics import (
    METRICS,
    Kind,
    expand_of,
    kind_of,
    nearest_metric,
)
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.validation.structure import structure

AGGREGATES = ("every", "any", "min", "max", "mean", "median", "p50", "p90", "p95", "p99", "count")
"""What is made of the values of the agents before they are compared."""

UPPER_BOUNDS = ("less_than", "leq_to")
LOWER_BOUNDS = ("greater_than", "geq_to")
CHANGES = ("change_leq_to", "change_geq_to")
"""Comparisons with before, relative: 0.2 is 20 % more."""
DELTAS = ("delta_leq_to", "delta_geq_to")
"""Comparisons with before, absolute, in the unit of the metric."""
TEXTS = ("one_of", "contains", "matches")
COMPARISONS = ("equal_to", *LOWER_BOUNDS, *UPPER_BOUNDS, *TEXTS, *CHANGES, *DELTAS)
OPTIONS = ("tolerance", "floor", "quorum", "severity", "where")

_TOLERANT = ("equal_to", *LOWER_BOUNDS, *UPPER_BOUNDS)
_AGENT_BY_AGENT = ("every", "any")
_WHERE = ("agentId", "agentName", "countryId")

_MEANT = {
    "lt": "less_than",
    "<": "less_than",
    "le": "leq_to",
    "lte": "leq_to",
    "<=": "leq_to",
    "leq": "leq_to",
    "gt": "greater_than",
    ">": "greater_than",
    "ge": "geq_to",
    "gte": "geq_to",
    ">=": "geq_to",
    "geq": "geq_to",
    "eq": "equal_to",
    "==": "equal_to",
    "=": "equal_to",
    "equals": "equal_to",
    "is": "equal_to",
    "in": "one_of",
    "regex": "matches",
    "regexp": "matches",
    "match": "matches",
    "like": "contains",
    "avg": "mean",
    "average": "mean",
    "all": "every",
    "each": "every",
    "some": "any",
    "minimum": "min",
    "maximum": "max",
    "p99.9": "p99",
    "warning": "warn",
    "err": "error",
    "fail": "error",
    "country": "countryId",
    "agent": "agentName",
}
"""What people write who know another tool, and what it is called here."""


class Severity(StrEnum):
    """What it means when a check does not hold."""

    ERROR = "error"
    """The verdict is ``failed``."""
    WARN = "warn"
    """It is told, and the verdict does not change."""


class CheckFaults(DeclarationErrors):
    """A declaration of checks is wrong."""


@dataclass(frozen=True)
class Where:
    """The agents that a check is about; all of them when nothing is said.

    :param agent_ids: ids, of which one must be the agent's.
    :param agent_names: names, of which one must be the agent's, whatever the case; ``*`` stands for any characters,
        ``?`` for one.
    :param country_ids: two-letter codes of countries, of which one must be the agent's, whatever the case.
    """

    agent_ids: tuple[str, ...] = ()
    agent_names: tuple[str, ...] = ()
    country_ids: tuple[str, ...] = ()

    def matcher(self) -> Callable[[Agent, str], bool] | None:
        """Return a function of an agent and its country that says whether both match; ``None`` when all agents do."""
        if self == Where():
            return None
        patterns = [_name_pattern(name) for name in self.agent_names]
        countries = {country.casefold() for country in self.country_ids}

        def matches(agent: Agent, country_id: str) -> bool:
            name = agent.agent_name.strip().casefold()
            return (
                (not self.agent_ids or agent.agent_id in self.agent_ids)
                and (not patterns or any(pattern.fullmatch(name) for pattern in patterns))
                and (not countries or country_id.casefold() in countries)
            )

        return matches

    def to_json(self) -> dict[str, list[str]]:
        """As in the declaration."""
        told = zip(_WHERE, (self.agent_ids, self.agent_names, self.country_ids), strict=True)
        return {name: list(values) for name, values in told if values}


@dataclass(frozen=True)
class Term:
    """One comparison: what is compared how with what.

    :param comparison: one of :data:`COMPARISONS`.
    :param value: a number; for ``equal_to`` also a text or a boolean; for ``one_of`` a tuple of those; for
        ``contains`` and ``matches`` a text.
    """

    comparison: str
    value: float | str | bool | tuple[float | str | bool, ...]


@dataclass(frozen=True)
class Check:
    """A rule that a round has to keep: all of its terms must hold.

    :param path: where it stands in the declaration.
    :param result_type: which rows it is about.
    :param metric: the field, dotted into the row.
    :param aggregate: one of :data:`AGGREGATES`.
    :param terms: the comparisons.
    :param tolerance: fraction by which a bound is widened, as in Airflow's SQL check operators; ``None`` for none.
    :param floor: differences to before that are smaller never break, in the unit of the metric.
    :param quorum: for ``every``, the fraction of agents (more than 0, up to 1) for which it has to hold.
    :param severity: what it means when it does not hold.
    :param where: the agents that it is about.
    """

    path: str
    result_type: str
    metric: str
    aggregate: str
    terms: tuple[Term, ...]
    tolerance: float | None = None
    floor: float = 0.0
    quorum: float = 1.0
    severity: Severity = Severity.ERROR
    where: Where = Where()

    @property
    def compares(self) -> bool:
        """Whether it needs a before."""
        return any(term.comparison in CHANGES + DELTAS for term in self.terms)

    @property
    def on_text(self) -> bool:
        """Whether it compares texts or booleans; else numbers."""
        return any(
            term.comparison in TEXTS or (term.comparison == "equal_to" and isinstance(term.value, str | bool))
            for term in self.terms
        )

    def to_json(self) -> dict[str, Any]:
        """The comparison as in the declaration, with what differs from its defaults."""
        told: dict[str, Any] = {term.comparison: _plain(term.value) for term in self.terms}
        if self.tolerance is not None:
            told["tolerance"] = _plain(self.tolerance)
        if self.floor:
            told["floor"] = _plain(self.floor)
        if self.quorum != 1:
            told["quorum"] = _plain(self.quorum)
        if self.where != Where():
            told["where"] = self.where.to_json()
        return told


@dataclass(frozen=True)
class Checks:
    """A declaration that has no faults.

    :param checks: its checks, in the order in which they are declared.
    :param warnings: what may be wrong with it, such as the name of a metric that is not known.
    """

    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def result_types(self) -> tuple[str, ...]:
        """The result types that the checks name, in their order."""
        return tuple(dict.fromkeys(check.result_type for check in self.checks))

    @property
    def compares(self) -> bool:
        """Whether a check needs a before."""
        return any(check.compares for check in self.checks)

    def metrics(self, result_type: str) -> tuple[str, ...]:
        """The metrics of a result type that the checks name, in their order."""
        return tuple(dict.fromkeys(check.metric for check in self.checks if check.result_type == result_type))

    def expand_for(self, result_type: str) -> tuple[str, ...]:
        """What ``expand=`` has to ask for, so that the metrics that the checks name are there (SPEC)."""
        found = (expand_of(result_type, metric) for metric in self.metrics(result_type))
        return tuple(sorted({word for word in found if word}))


NO_CHECKS = Checks()
"""What a DAG without checks declares."""


def parse_checks(declaration: Any, *, literals_only: bool = False) -> Checks:
    """Read a declaration of checks, as DESIGN has it ("Fixed: checks and verdict").

    :param declaration: result type → metric → aggregate → comparison, or a list of them; a comparison straight under
        a metric means ``every``. As dicts, or as the text of one (JSON, or what a rendered template gives); the same
        goes for every part of it. ``None`` and an empty one are no checks.
    :param literals_only: leave out what is known only when the task runs: templates, files, the output of other tasks.
    :raises CheckFaults: with all faults.
    """
    reader = _Reader(literals_only)
    checks = tuple(reader.declaration(declaration))
    if reader.faults:
        raise CheckFaults(reader.faults)
    return Checks(checks, tuple(reader.warnings))


class _Reader:
    """Reads a declaration from the outside in, and remembers what is wrong with it."""

    def __init__(self, literals_only: bool) -> None:
        self._literals_only = literals_only
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def declaration(self, value: Any) -> list[Check]:
        if value is None or (isinstance(value, str) and value.strip() in ("", "None", "null")):
            return []
        if (
            self._literals_only
            and isinstance(value, str)
            and value.strip().endswith((".json", ".yaml", ".yml"))
        ):
            return []
        found: list[Check] = []
        for name, metrics in self._dict(value, "checks", "{result type: {metric: comparison}}"):
            path = _inner("checks", name)
            if name in RESULT_TYPES:
                found += self._metrics(metrics, path, name)
            else:
                self._unknown("checks", "result type", name, RESULT_TYPES, _result_type_meant(name))
        return found

    def _metrics(self, value: Any, path: str, result_type: str) -> list[Check]:
        found: list[Check] = []
        for metric, rules in self._dict(value, path, "{metric: comparison}", empty="names no metric"):
            if not metric.strip():
                self._fault(path, "a metric without a name")
                continue
            if metric not in METRICS[result_type]:
                near = nearest_metric(result_type, metric)
                hint = f"did you mean {_quoted(near)}?" if near else "see the list in the docs"
                self.warnings.append(f"{path}: unknown metric {_quoted(metric)}; {hint}")
            found += self._aggregates(rules, _inner(path, metric), result_type, metric)
        return found

    def _aggregates(self, value: Any, path: str, result_type: str, metric: str) -> list[Check]:
        value = self._structured(value, path)
        if self._later(value):
            return []
        if isinstance(value, list | tuple):
            return self._comparisons(value, path, result_type, metric, "every")
        if not isinstance(value, Mapping):
            self._fault(path, f'expected a comparison such as {{"equal_to": 200}}, got {_shown(value)}')
            return []
        names = [name for name in value if isinstance(name, str)]
        aggregates = [name for name in names if name in AGGREGATES]
        comparisons = [name for name in names if name in COMPARISONS or name in OPTIONS]
        if aggregates and comparisons:
            self._fault(
                path,
                f"an aggregate ({_quoted(aggregates[0])}) beside a comparison ({_quoted(comparisons[0])}); "
                'put the comparison into an aggregate, "every" for each agent',
            )
            return []
        if not aggregates and (comparisons or not value or _looks_like_comparison(value)):
            return self._comparisons(value, path, result_type, metric, "every")
        found: list[Check] = []
        for name, rules in self._dict(value, path, "{aggregate: comparison}"):
            if name in AGGREGATES:
                found += self._comparisons(rules, _inner(path, name), result_type, metric, name)
            else:
                self._unknown(path, "aggregate", name, AGGREGATES)
        return found

    def _comparisons(
        self, value: Any, path: str, result_type: str, metric: str, aggregate: str
    ) -> list[Check]:
        value = self._structured(value, path)
        if not isinstance(value, list | tuple):
            one = self._comparison(value, path, result_type, metric, aggregate)
            return [one] if one else []
        if not value:
            self._fault(path, "an empty list of comparisons")
        found = [
            self._comparison(part, f"{path}[{place}]", result_type, metric, aggregate)
            for place, part in enumerate(value)
        ]
        return [one for one in found if one]

    def _comparison(
        self, value: Any, path: str, result_type: str, metric: str, aggregate: str
    ) -> Check | None:
        value = self._structured(value, path)
        if self._later(value):
            return None
        if not isinstance(value, Mapping):
            self._fault(path, f'expected a comparison such as {{"leq_to": 800}}, got {_shown(value)}')
            return None
        before = len(self.faults)
        terms: list[Term] = []
        options: dict[str, Any] = {}
        later = False
        for name, given in self._dict(value, path, "{comparison: value}"):
            inner = _inner(path, name)
            if name not in COMPARISONS and name not in OPTIONS:
                self._unknown(path, "comparison", name, COMPARISONS, choices_of_options=True)
            elif self._later_inside(given):
                later = True
            elif name in OPTIONS:
                options[name] = self._option(name, given, inner)
            elif (found := self._value(name, given, inner)) is not None:
                terms.append(Term(name, found))
        self._fit(value, path, aggregate, terms)
        if later or len(self.faults) > before:
            return None
        check = Check(path, result_type, metric, aggregate, tuple(terms), **options)
        kind = kind_of(result_type, metric)
        if kind is not None and kind is not Kind.NUMBER and not check.on_text and aggregate != "count":
            self.warnings.append(f"{path}: compares numbers, but {metric} is a {kind.value}")
        return check

    # -- the parts of a comparison -----------------------------------------------------------------------------------

    def _value(self, comparison: str, given: Any, path: str) -> Any:
        if comparison == "equal_to":
            if (found := _scalar(given)) is None:
                self._fault(path, f"expected a number, a text or a boolean, got {_shown(given)}")
            return found
        if comparison == "one_of":
            return self._choices(given, path)
        if comparison in TEXTS:
            text = given if isinstance(given, str) else _text(given)
            if text is None or not text:
                self._fault(path, f"expected a text, got {_shown(given)}")
                return None
            return self._pattern(text, path) if comparison == "matches" else text
        return self._number(given, path, "a number")

    def _choices(self, given: Any, path: str) -> Any:
        given = self._structured(given, path)
        if not isinstance(given, list | tuple | set | frozenset) or not given:
            self._fault(path, f"expected a list of values, got {_shown(given)}")
            return None
        # A text stays one, whatever it spells: it is compared letter by letter.
        found = [part if isinstance(part, str) else _scalar(part) for part in given]
        for place, (part, value) in enumerate(zip(given, found, strict=True)):
            if value is None:
                self._fault(f"{path}[{place}]", f"expected a number, a text or a boolean, got {_shown(part)}")
        return tuple(found)

    def _pattern(self, text: str, path: str) -> str | None:
        try:
            re.compile(text, re.MULTILINE)
        except (re.error, OverflowError, RecursionError) as error:
            self._fault(path, f"not a regular expression: {error}")
            return None
        return text

    def _option(self, name: str, given: Any, path: str) -> Any:
        if name == "severity":
            return self._severity(given, path)
        if name == "where":
            return self._where(given, path)
        if name == "floor":
            return self._number(given, path, "a number, 0 or more, in the unit of the metric", low=0)
        if name == "tolerance":
            return self._number(given, path, "a fraction from 0 to 1, such as 0.1 for 10 %", low=0, high=1)
        found = self._number(given, path, "a fraction of the agents, such as 0.8 for 80 %", low=0, high=1)
        if found == 0:
            self._fault(path, "expected a fraction of the agents, such as 0.8 for 80 %, got 0")
        return found

    def _severity(self, given: Any, path: str) -> Severity | None:
        text = given.strip().lower() if isinstance(given, str) else given
        if text in list(Severity):
            return Severity(text)
        self._unknown(path, "severity", given, list(Severity))
        return None

    def _where(self, given: Any, path: str) -> Where | None:
        found: dict[str, tuple[str, ...]] = {}
        for name, values in self._dict(
            given, path, '{"agentName": "Berlin*"}', empty="says nothing about agents"
        ):
            inner = _inner(path, name)
            if name not in _WHERE:
                self._unknown(path, "field of an agent", name, _WHERE)
                continue
            values = self._structured(values, inner)
            listed = values if isinstance(values, list | tuple | set | frozenset) else [values]
            texts = [_text(value) for value in listed if not isinstance(value, bool)]
            if not texts or len(texts) < len(listed) or not all(text and text.strip() for text in texts):
                self._fault(inner, f"expected a text or a list of texts, got {_shown(values)}")
                continue
            found[name] = tuple(text.strip() for text in texts if text)
        return Where(*(found.get(name, ()) for name in _WHERE))

    def _number(
        self, given: Any, path: str, expected: str, *, low: float | None = None, high: float | None = None
    ) -> float | None:
        found = number(given)
        if found is None or (low is not None and found < low) or (high is not None and found > high):
            self._fault(path, f"expected {expected}, got {_shown(given)}")
            return None
        return found

    # -- what must fit together --------------------------------------------------------------------------------------

    def _fit(self, given: Mapping[Any, Any], path: str, aggregate: str, terms: Sequence[Term]) -> None:
        """Faults of a comparison as a whole."""
        named = [name for name in given if name in COMPARISONS]
        if not named and all(name in OPTIONS for name in given):
            beside = f" beside {', '.join(map(_quoted, given))}" if given else ""
            self._fault(path, f"no comparison{beside}; one of {', '.join(COMPARISONS)}")
            return
        of_text = [
            term.comparison
            for term in terms
            if term.comparison in TEXTS
            or (term.comparison == "equal_to" and isinstance(term.value, str | bool))
        ]
        of_numbers = [term.comparison for term in terms if term.comparison not in of_text]
        if of_text and of_numbers:
            self._fault(
                path, f"compares text ({_quoted(of_text[0])}) and numbers ({_quoted(of_numbers[0])}) at once"
            )
        if of_text and aggregate not in _AGENT_BY_AGENT:
            self._fault(
                path,
                f"{_quoted(of_text[0])} compares text, which has no {_quoted(aggregate)}; "
                f"one of {', '.join(_AGENT_BY_AGENT)}",
            )
        self._fit_options(given, path, aggregate, named, of_text)
        self._fit_bounds(path, {term.comparison: term.value for term in terms})

    def _fit_options(
        self,
        given: Mapping[Any, Any],
        path: str,
        aggregate: str,
        named: Sequence[str],
        of_text: Sequence[str],
    ) -> None:
        if "quorum" in given and aggregate != "every":
            self._fault(_inner(path, "quorum"), f'goes with "every" only, which {_quoted(aggregate)} is not')
        if "tolerance" in given and not any(name in _TOLERANT and name not in of_text for name in named):
            self._fault(_inner(path, "tolerance"), f"goes only with numbers in {', '.join(_TOLERANT)}")
        if "floor" in given and not any(name in CHANGES + DELTAS for name in named):
            self._fault(_inner(path, "floor"), f"goes only with {', '.join(CHANGES + DELTAS)}")

    def _fit_bounds(self, path: str, values: Mapping[str, Any]) -> None:
        """Bounds that say the same twice, or leave nothing between them, as Airflow's SQL check operators see it."""
        for strict, loose in (LOWER_BOUNDS, UPPER_BOUNDS):
            if strict in values and loose in values:
                self._fault(path, f"both {_quoted(strict)} and {_quoted(loose)}; one of them is enough")
                return
        pairs = [(low, high) for low in LOWER_BOUNDS for high in UPPER_BOUNDS]
        pairs += [("change_geq_to", "change_leq_to"), ("delta_geq_to", "delta_leq_to")]
        for low, high in pairs:
            if low not in values or high not in values:
                continue
            least, most = values[low], values[high]
            touching = low in ("greater_than",) or high in ("less_than",)
            if least > most or (touching and least == most):
                self._fault(
                    path,
                    f"{_quoted(low)} {_shown(_plain(least))} and {_quoted(high)} {_shown(_plain(most))} "
                    "leave no value that passes",
                )

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _dict(
        self, value: Any, path: str, expected: str, *, empty: str | None = None
    ) -> Iterable[tuple[str, Any]]:
        """The entries of a dict whose keys are texts; a fault for anything else."""
        value = self._structured(value, path)
        if self._later(value):
            return []
        if not isinstance(value, Mapping):
            self._fault(path, f"expected a dict {expected}, got {_shown(value)}")
            return []
        if not value and empty:
            self._fault(path, empty)
        for key in value:
            if not isinstance(key, str):
                self._fault(path, f"expected names as keys, got {_shown(key)}")
        return [(key, part) for key, part in value.items() if isinstance(key, str)]

    def _structured(self, value: Any, path: str) -> Any:
        """The dict or list that a text spells, where it looks like one; else the value itself."""
        if not isinstance(value, str) or self._later(value) or not value.strip().startswith(("{", "[")):
            return value
        try:
            return structure(value)
        except ValueError as error:
            self._fault(path, str(error))
            return _FAULTY

    def _later(self, value: Any) -> bool:
        """Whether a value is to be passed over: a template or another task's output, or found wrong already."""
        if value is _FAULTY:
            return True
        if not self._literals_only:
            return False
        if isinstance(value, str):
            return any(mark in value for mark in ("{{", "{%", "{#"))
        plain = (Mapping, list, tuple, set, frozenset, int, float)
        return value is not None and not isinstance(value, plain)

    def _later_inside(self, value: Any) -> bool:
        if isinstance(value, Mapping):
            return any(map(self._later_inside, value.values()))
        if isinstance(value, list | tuple | set | frozenset):
            return any(map(self._later_inside, value))
        return self._later(value)

    def _unknown(
        self,
        path: str,
        what: str,
        given: Any,
        choices: Iterable[str],
        near: str | None = None,
        *,
        choices_of_options: bool = False,
    ) -> None:
        known = list(choices)
        meant = near or _nearest(given, [*known, *(OPTIONS if choices_of_options else ())])
        hint = f"; did you mean {_quoted(meant)}?" if meant else ""
        options = f" (options: {', '.join(OPTIONS)})" if choices_of_options else ""
        self._fault(path, f"unknown {what} {_shown(given)}; one of {', '.join(known)}{options}{hint}")

    def _fault(self, path: str, text: str) -> None:
        self.faults.append(f"{path}: {text}")


_FAULTY = object()
"""Stands for a part that was found wrong already."""


def _looks_like_comparison(value: Mapping[Any, Any]) -> bool:
    """Whether a dict of unknown names is rather a comparison than aggregates: it leads to plain values."""
    return not any(isinstance(part, Mapping | list | tuple) for part in value.values())


def _nearest(given: Any, known: Sequence[str]) -> str | None:
    text = str(given).strip()
    meant = _MEANT.get(text.lower())
    if meant in known:
        return meant
    by_text = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(text.casefold().replace("-", "_").replace(" ", "_"), by_text, n=1)
    near = near or difflib.get_close_matches(text.casefold(), by_text, n=1)
    return by_text[near[0]] if near else None


def _result_type_meant(name: str) -> str | None:
    test_type = TEST_TYPES.get(name)
    return test_type.default[0] if test_type else None


def _name_pattern(name: str) -> re.Pattern[str]:
    """The pattern of an agent name with wildcards, for names in lower case."""
    parts = re.sub(r"\*+", "*", name.casefold())
    regex = [".*" if part == "*" else "." if part == "?" else re.escape(part) for part in parts]
    return re.compile("".join(regex), re.DOTALL)


def _scalar(value: Any) -> float | str | bool | None:
    """A boolean, a number (also one that is spelled), or a text; ``None`` for anything else."""
    if isinstance(value, bool):
        return value
    found = number(value)
    if found is not None:
        return found
    return value if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    """A text, or the one of a whole number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or number(value) is None:
        return None
    return str(_plain(value))


def _plain(value: Any) -> Any:
    """A value as JSON shows it best: whole numbers without a point, tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _inner(path: str, key: str) -> str:
    return f"{path}[{_quoted(key)}]"


def _quoted(text: str) -> str:
    return json.dumps(text if len(text) <= 60 else text[:59] + "\N{HORIZONTAL ELLIPSIS}", ensure_ascii=False)


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
        text = repr(value)
    except ValueError:  # Python refuses to spell a number of thousands of digits
        return "a huge number"
    return text if len(text) <= 60 else text[:59] + "\N{HORIZONTAL ELLIPSIS}"
