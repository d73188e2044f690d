"""The model of checks: the parsed form of a declaration, and its valid names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from thousandeyes_provider.api.coerce import name_matcher
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.metrics import expand_of

AGGREGATES = ("every", "any", "min", "max", "mean", "median", "p50", "p90", "p95", "p99", "count")
"""What turns the values of the agents into the compared value."""

AGENT_BY_AGENT = ("every", "any")
"""The aggregates that compare each agent separately."""

UPPER_BOUNDS = ("less_than", "leq_to")
LOWER_BOUNDS = ("greater_than", "geq_to")
CHANGES = ("change_leq_to", "change_geq_to")
"""Relative comparisons with the baseline: 0.2 is 20 % more."""
DELTAS = ("delta_leq_to", "delta_geq_to")
"""Absolute comparisons with the baseline, in the unit of the metric."""
TEXTS = ("one_of", "contains", "matches")
COMPARISONS = ("equal_to", *LOWER_BOUNDS, *UPPER_BOUNDS, *TEXTS, *CHANGES, *DELTAS)
OPTIONS = ("tolerance", "floor", "quorum", "severity", "where", "unlisted")

WHERE_FIELDS = ("agentId", "agentName", "countryId")
"""The fields of an agent that ``where`` may use."""


class Severity(StrEnum):
    """The effect of a failed check on the verdict."""

    ERROR = "error"
    """The verdict is ``failed``."""
    WARN = "warn"
    """The check is reported but never fails the run."""


@dataclass(frozen=True)
class Where:
    """The agents that a check covers; all agents when no field is given.

    :param agent_names: names of agents, in any case; ``*`` matches any characters, ``?`` matches one.
    :param country_ids: two-letter country codes, in any case.
    """

    agent_ids: tuple[str, ...] = ()
    agent_names: tuple[str, ...] = ()
    country_ids: tuple[str, ...] = ()

    def matcher(self) -> Callable[[Agent, str | None], bool] | None:
        """Return a predicate of an agent and its country, ``None`` for an unknown one; ``None`` for all agents."""
        if self == Where():
            return None
        patterns = [name_matcher(name) for name in self.agent_names]
        countries = {country.casefold() for country in self.country_ids}

        def matches(agent: Agent, country_id: str | None) -> bool:
            if countries and country_id is not None and country_id.casefold() not in countries:
                return False
            if self.agent_ids and agent.agent_id not in self.agent_ids:
                return False
            return not patterns or any(matches_name(agent.agent_name) for matches_name in patterns)

        return matches

    def to_json(self) -> dict[str, list[str]]:
        """Return the fields as in the declaration."""
        fields = zip(WHERE_FIELDS, (self.agent_ids, self.agent_names, self.country_ids), strict=True)
        return {name: list(values) for name, values in fields if values}


@dataclass(frozen=True)
class Term:
    """One comparison.

    :param comparison: one of :data:`COMPARISONS`.
    :param value: a number; for ``equal_to`` also a text or a boolean; for ``one_of`` a tuple of those; for
        ``contains`` and ``matches`` a text.
    """

    comparison: str
    value: float | str | bool | tuple[float | str | bool, ...]

    @property
    def on_text(self) -> bool:
        """Whether it compares texts or booleans; else numbers."""
        return self.comparison in TEXTS or (
            self.comparison == "equal_to" and isinstance(self.value, str | bool)
        )

    @property
    def needs_baseline(self) -> bool:
        """Whether it compares with the baseline."""
        return self.comparison in CHANGES or self.comparison in DELTAS


@dataclass(frozen=True)
class Check:
    """A rule that a round must meet: all of its terms.

    :param path: its position in the declaration: ``checks["http-server"]["responseTime"]["p95"]``.
    :param metric: the field, dotted into the row.
    :param aggregate: one of :data:`AGGREGATES`.
    :param tolerance: fraction by which a bound is widened, as in Airflow's SQL check operators; ``None`` for none.
    :param floor: smallest difference to the baseline that can fail, in the unit of the metric.
    :param quorum: for ``every``, the fraction of agents (more than 0, up to 1) that must pass.
    :param severity: effect of a failure on the verdict.
    :param where: the agents that it covers.
    :param unlisted: whether the metric may be one that this provider does not list.
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
    unlisted: bool = False

    @property
    def compares(self) -> bool:
        """Whether it needs a baseline."""
        return any(term.needs_baseline for term in self.terms)

    @property
    def on_text(self) -> bool:
        """Whether it compares texts or booleans; else numbers."""
        return any(term.on_text for term in self.terms)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as in the declaration, with the options that differ from their defaults."""
        comparison: dict[str, Any] = {term.comparison: json_value(term.value) for term in self.terms}
        for option in OPTIONS:
            value = getattr(self, option)
            if option != "severity" and value != getattr(Check, option):
                comparison[option] = value.to_json() if isinstance(value, Where) else json_value(value)
        return comparison


@dataclass(frozen=True)
class Checks:
    """Parsed checks, in the order of their declaration."""

    checks: tuple[Check, ...] = ()

    @property
    def result_types(self) -> tuple[str, ...]:
        """The result types that the checks name, in their order."""
        return tuple(dict.fromkeys(check.result_type for check in self.checks))

    @property
    def compares(self) -> bool:
        """Whether a check needs a baseline."""
        return any(check.compares for check in self.checks)

    def expand_for(self, result_type: str) -> tuple[str, ...]:
        """Return the values of ``expand=`` that a request needs for the metrics of the checks."""
        of_type = (check for check in self.checks if check.result_type == result_type)
        return tuple(sorted({value for check in of_type if (value := expand_of(result_type, check.metric))}))


NO_CHECKS = Checks()
"""The checks of a DAG without checks."""


def json_value(value: Any) -> Any:
    """Return a value for JSON: whole numbers without a point, tuples as lists."""
    if isinstance(value, tuple):
        return [json_value(part) for part in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value
