"""The comparisons of a check as predicates: whether a value passes, and by how much it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from thousandeyes_provider.api.coerce import boolean, number
from thousandeyes_provider.validation.aggregates import relative_change
from thousandeyes_provider.validation.check_model import CHANGES, Check, Term
from thousandeyes_provider.validation.patterns import compile_pattern
from thousandeyes_provider.validation.samples import Values, as_tuple, plain, tidy


@dataclass(frozen=True)
class Predicate:
    """The terms of a check, ready for values.

    :param absolute: each returns by how much a value fails a term; ``None`` when it passes.
    :param relative: each returns the same for a value and its value in the baseline.
    """

    absolute: tuple[Callable[[Any], float | None], ...]
    relative: tuple[Callable[[float, float], float | None], ...]

    def breach(self, value: Any, before: float | None = None) -> float | None:
        """Return by how much a value fails; ``None`` when it passes.

        :param before: the value in the baseline; without it the relative terms do not apply.
        """
        breaches = [breach for test in self.absolute if (breach := test(value)) is not None]
        if before is not None:
            breaches += [breach for test in self.relative if (breach := test(value, before)) is not None]
        return max(breaches, default=None)

    def worst(self, values: Values, before: Sequence[float] = ()) -> float | None:
        """Return by how much the values of one agent fail; ``None`` when all pass.

        :param before: the values in the baseline; empty when the relative terms do not apply.
        """
        pairs = zip_longest(as_tuple(values), before)
        breaches = [breach for pair in pairs if (breach := self.breach(*pair)) is not None]
        return max(breaches, default=None)

    def breaches(self, values: Iterable[Values], before: Iterable[Sequence[float]]) -> list[float | None]:
        """Return :meth:`worst` for each agent."""
        if len(self.absolute) == 1 and not self.relative:
            test = self.absolute[0]
            return [self.worst(value) if type(value) is tuple else test(value) for value in values]
        if len(self.relative) == 1 and not self.absolute:
            compare = self.relative[0]
            return [
                self.worst(value, then) if type(value) is tuple else compare(value, then[0])
                for value, then in zip(values, before, strict=True)
            ]
        return list(map(self.worst, values, before))


def predicate_for(check: Check) -> Predicate:
    """Return the predicate of a check."""
    absolute = [_absolute(term, check.tolerance) for term in check.terms if not term.needs_baseline]
    relative = [_relative(term, check.floor) for term in check.terms if term.needs_baseline]
    return Predicate(tuple(absolute), tuple(relative))


def _absolute(term: Term, tolerance: float | None) -> Callable[[Any], float | None]:
    name, wanted = term.comparison, term.value
    if isinstance(wanted, float) and name in ("equal_to", "greater_than", "geq_to", "less_than", "leq_to"):
        # As in Airflow's SQL check operators: the tolerance widens a bound by that fraction of its absolute value.
        margin = 0.0 if tolerance is None else abs(wanted) * tolerance
        low, high = (tidy(wanted - margin), tidy(wanted + margin)) if margin else (wanted, wanted)
        breaches: Mapping[str, Callable[[float], float | None]] = {
            "equal_to": lambda value: None if low <= value <= high else abs(value - wanted),
            "greater_than": lambda value: None if value > low else low - value,
            "geq_to": lambda value: None if value >= low else low - value,
            "less_than": lambda value: None if value < high else value - high,
            "leq_to": lambda value: None if value <= high else value - high,
        }
        return breaches[name]
    # Many agents report the same text. Typed: 1, 1.0 and True are different texts.
    return lru_cache(maxsize=None, typed=True)(_text_breach(name, wanted))


def _text_breach(comparison: str, wanted: Any) -> Callable[[Any], float | None]:
    if comparison == "matches":
        search = compile_pattern(str(wanted))
        return lambda value: None if search(as_text(value)) else 0.0
    if comparison == "contains":
        part = as_text(wanted).casefold()
        return lambda value: None if part in as_text(value).casefold() else 0.0
    choices = wanted if isinstance(wanted, tuple) else (wanted,)
    return lambda value: None if any(_same(value, choice) for choice in choices) else 0.0


def _relative(term: Term, floor: float) -> Callable[[float, float], float | None]:
    bound = float(term.value) if isinstance(term.value, int | float) else math.nan
    sign = 1.0 if term.comparison.endswith("leq_to") else -1.0
    is_change = term.comparison in CHANGES
    margin = 1e-9 * max(abs(bound), 1.0)

    def breach(now: float, before: float) -> float | None:
        scale = abs(before) if is_change else 1.0
        if sign * (now - before - bound * scale) < -margin * scale:
            return None  # clearly within the bound: most agents of a large round, without rounding
        if abs(_difference(now, before)) < floor:
            return None
        measured = relative_change(now, before) if is_change else _difference(now, before)
        beyond = sign * (measured - bound)
        return None if beyond <= 0 else beyond

    return breach


def _difference(now: float, before: float) -> float:
    return tidy(now - before)


def _same(value: Any, wanted: Any) -> bool:
    """Whether a reported value is the wanted one; numbers and booleans may be spelled."""
    if isinstance(wanted, bool):
        return boolean(value) is wanted if isinstance(value, bool | str) else False
    if isinstance(value, bool):
        return isinstance(wanted, str) and boolean(wanted) is value
    if isinstance(wanted, str):
        return as_text(value) == as_text(wanted)
    return bool(number(value) == wanted)


def as_text(value: Any) -> str:
    """Return a value as text; HTTP line ends become ``\\n``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.replace("\r\n", "\n")
    if isinstance(value, float):
        value = plain(value)
    try:
        return "" if value is None else str(value)
    except ValueError:  # Python refuses to spell a number of thousands of digits
        return ""
