"""The verdict on a round: how many agents may report an error before the run is bad, and which checks must hold."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from thousandeyes_provider.api.coerce import number, whole_number
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row, row_error
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.check_parser import Checks
from thousandeyes_provider.validation.evaluation import CheckResult, evaluate


class Verdict(StrEnum):
    """How a run ended, as the evidence spells it."""

    PASSED = "passed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    """At the deadline, agents were missing."""
    NO_RESULTS = "no_results"
    """At the deadline, there was no fresh round at all."""


@dataclass(frozen=True)
class AgentError:
    """An agent whose measurement failed.

    :param agent: who.
    :param reasons: why, one for each row that is an error: the result type, and what the row says.
    """

    agent: Agent
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """What a look at the rows of a round says.

    :param judged: how many agents have rows that can be judged.
    :param allowed: how many of them may have an error.
    :param errors: those that have one.
    :param checks: what came of each check.
    :param before: what the checks compared with, if anything.
    """

    judged: int
    allowed: int
    errors: tuple[AgentError, ...]
    checks: tuple[CheckResult, ...] = ()
    before: Baseline | None = field(default=None, repr=False)

    @property
    def too_many_errors(self) -> bool:
        """Whether more agents have an error than may."""
        return len(self.errors) > self.allowed

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The checks that make the round bad; those of severity ``warn`` never do."""
        return tuple(result for result in self.checks if result.fails_verdict)

    @property
    def failed_positions(self) -> tuple[int, ...]:
        """The same, by their places in the declaration, which are the same in every run of a task."""
        return tuple(place for place, result in enumerate(self.checks) if result.fails_verdict)

    @property
    def passed(self) -> bool:
        """Whether the round is good. Nothing judged is never a pass."""
        return self.judged > 0 and not self.too_many_errors and not self.failed_checks


def judge(
    rows: Mapping[str, Iterable[Row]],
    max_agent_errors: int | float,
    checks: Checks | None = None,
    before: Baseline | None = None,
) -> Judgement:
    """Judge the rows of a round: by the error table of API-FACTS, and by the checks.

    :param rows: the rows of our round, by result type.
    :param max_agent_errors: how many agents may have an error: a count (``int``), or a fraction of those that are
        judged (``float``, rounded down).
    :param checks: what must hold as well.
    :param before: what the checks compare with.
    """
    rows = {result_type: list(found) for result_type, found in rows.items()}
    agents: dict[str, Agent] = {}
    reasons: dict[str, list[str]] = {}
    for result_type, found in sorted(rows.items()):
        if not RESULT_TYPES[result_type].judged:
            continue
        for row in found:
            agent = Agent(agent_id_of(row), agent_name_of(row))
            key = agent.agent_id or agent.agent_name
            agents.setdefault(key, agent)
            error = row_error(result_type, row)
            if error is not None:
                reasons.setdefault(key, []).append(f"{result_type}: {error[:200]}")
    allowed = (
        math.floor(max_agent_errors * len(agents) + 1e-9)
        if isinstance(max_agent_errors, float)
        else max_agent_errors
    )
    errors = tuple(AgentError(agents[key], tuple(found)) for key, found in reasons.items())
    results = evaluate(checks, rows, before) if checks else ()
    # Where no row can be an error (path visualization), agents are judged by the checks alone.
    judged = len(agents) or max((result.agents - len(result.without) for result in results), default=0)
    return Judgement(judged, allowed, errors, results, before)


def same_failure(failed: Collection[int], second: Judgement) -> bool:
    """Whether a second run confirms the failure of a first one (``confirm_failures``).

    It does when a check that failed fails again, when too many agents have an error (again, or now), and when
    nothing could be judged. Failures of different checks are not the same.

    :param failed: :attr:`Judgement.failed_positions` of the judgement that failed.
    :param second: the one of the run after it, by the same checks.
    """
    if not second.judged or second.too_many_errors:
        return True
    return not set(failed).isdisjoint(second.failed_positions)


def allowed_errors(value: object) -> int | float:
    """``max_agent_errors`` as a DAG gives it: a count (whole number), or a fraction (0.0 to 1.0, with a point).

    :raises ValueError: when it is neither.
    """
    text = value.strip() if isinstance(value, str) else value
    fraction = isinstance(text, float) or (isinstance(text, str) and "." in text)
    found = number(text) if fraction else whole_number(text)
    if found is None or found < 0 or (fraction and found > 1):
        raise ValueError(f"{value!r} is neither a count of agents nor a fraction from 0.0 to 1.0")
    return found
