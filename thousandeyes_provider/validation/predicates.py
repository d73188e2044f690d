"""The comparisons of a check, held against a value: whether it keeps them, and by how much it does not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import boolean, number
from thousandeyes_provider.validation.aggregates import relative_change
from thousandeyes_provider.validation.check_parser import CHANGES, DELTAS, Check, Term
from thousandeyes_provider.validation.samples import plain, tidy


@dataclass(frozen=True)
class Predicate:
    """The terms of a check, ready to be held against values.

    :param alone: say of a value, by itself, how badly it breaks a term; ``None`` when it holds.
    :param changed: say the same of a value and the one before.
    """

    alone: tuple[Callable[[Any], float | None], ...]
    changed: tuple[Callable[[float, float], float | None], ...]

    def breach(self, value: Any, before: float | None = None) -> float | None:
        """How badly a value breaks the rule; ``None`` when it keeps it. Without a before, changes are left out."""
        found = [broken for holds in self.alone if (broken := holds(value)) is not None]
        if before is not None:
            found += [broken for holds in self.changed if (broken := holds(value, before)) is not None]
        return max(found, default=None)

    def worst(self, values: Sequence[Any], before: Sequence[float]) -> float | None:
        """How badly the values of one agent break the rule; ``None`` when all keep it.

        :param values: one for each of its rows.
        :param before: the same before; empty to leave changes out.
        """
        then: Sequence[float | None] = before or [None] * len(values)
        found = [
            breach
            for value, earlier in zip(values, then, strict=True)
            if (breach := self.breach(value, earlier)) is not None
        ]
        return max(found, default=None)


def predicate_for(check: Check) -> Predicate:
    """The rule that the terms of a check are."""
    alone = [_alone(term, check.tolerance) for term in check.terms if term.comparison not in CHANGES + DELTAS]
    changed = [_changed(term, check.floor) for term in check.terms if term.comparison in CHANGES + DELTAS]
    return Predicate(tuple(alone), tuple(changed))


def _alone(term: Term, tolerance: float | None) -> Callable[[Any], float | None]:
    name, value = term.comparison, term.value
    if isinstance(value, float) and name in ("equal_to", "greater_than", "geq_to", "less_than", "leq_to"):
        # As in Airflow's SQL check operators: the tolerance widens a bound by that fraction of its absolute value.
        air = 0.0 if tolerance is None else abs(value) * tolerance
        low, high = (tidy(value - air), tidy(value + air)) if air else (value, value)
        breaks: Mapping[str, Callable[[float], float | None]] = {
            "equal_to": lambda found: None if low <= found <= high else abs(found - value),
            "greater_than": lambda found: None if found > low else low - found,
            "geq_to": lambda found: None if found >= low else low - found,
            "less_than": lambda found: None if found < high else found - high,
            "leq_to": lambda found: None if found <= high else found - high,
        }
        return breaks[name]
    if name == "matches":
        pattern = re.compile(str(value), re.MULTILINE)
        return lambda found: None if pattern.search(spelled(found)) else 0.0
    if name == "contains":
        part = spelled(value).casefold()
        return lambda found: None if part in spelled(found).casefold() else 0.0
    choices = value if isinstance(value, tuple) else (value,)
    return lambda found: None if any(_same(found, choice) for choice in choices) else 0.0


def _changed(term: Term, floor: float) -> Callable[[float, float], float | None]:
    bound = float(term.value) if isinstance(term.value, int | float) else math.nan
    measure = relative_change if term.comparison in CHANGES else _difference
    upward = term.comparison.endswith("leq_to")

    def holds(now: float, before: float) -> float | None:
        if abs(_difference(now, before)) < floor:
            return None
        found = measure(now, before)
        beyond = found - bound if upward else bound - found
        return None if beyond <= 0 else beyond

    return holds


def _difference(now: float, before: float) -> float:
    return tidy(now - before)


def _same(found: Any, wanted: Any) -> bool:
    """Whether a reported value is the wanted one: numbers and booleans also where they are spelled."""
    if isinstance(wanted, bool):
        return boolean(found) is wanted if isinstance(found, bool | str) else False
    if isinstance(found, bool):
        return isinstance(wanted, str) and boolean(wanted) is found
    if isinstance(wanted, str):
        return spelled(found) == spelled(wanted)
    return bool(number(found) == wanted)


def spelled(value: Any) -> str:
    """A value as text; lines end as in text files, whatever HTTP makes of them."""
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
