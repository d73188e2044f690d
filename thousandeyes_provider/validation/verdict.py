"""The verdict on a round: how many agents may report an error before the run is bad."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from thousandeyes_provider.api.expectation import Agent
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row, row_error
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of
from thousandeyes_provider.api.values import number, whole_number


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
    """

    judged: int
    allowed: int
    errors: tuple[AgentError, ...]

    @property
    def passed(self) -> bool:
        """Whether the round is good. Nothing judged is never a pass."""
        return self.judged > 0 and len(self.errors) <= self.allowed


def judge(rows: Mapping[str, Iterable[Row]], max_agent_errors: int | float) -> Judgement:
    """Judge the rows of a round by the error table of API-FACTS.

    :param rows: the rows of our round, by result type.
    :param max_agent_errors: how many agents may have an error: a count (``int``), or a fraction of those that are
        judged (``float``, rounded down).
    """
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
    return Judgement(len(agents), allowed, errors)


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
