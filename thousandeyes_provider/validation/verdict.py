"""The verdict on a round: allowed agent errors and checks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row, row_error
from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.check_model import Checks
from thousandeyes_provider.validation.evaluation import CheckResult, evaluate
from thousandeyes_provider.validation.samples import AgentRows, RoundRows


class Verdict(StrEnum):
    """The verdict on a run, as the evidence spells it."""

    PASSED = "passed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    """Agents were missing at the deadline."""
    NO_RESULTS = "no_results"
    """There was no round of this run at the deadline."""
    ERROR = "error"
    """Rate limits, server errors or missing responses kept the run from being judged."""


@dataclass(frozen=True)
class AgentError:
    """An agent whose measurement failed.

    :param key: what identifies the agent (:func:`~thousandeyes_provider.validation.samples.agent_key`).
    :param country_id: its country, two letters; empty when the rows have none.
    :param reasons: the error of each row: the result type, and the text of the row.
    """

    key: str
    agent: Agent
    country_id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """The judgement of the rows of a round.

    :param judged: number of agents with rows that can be judged.
    :param allowed: number of these agents that may have an error.
    :param errors: the agents with an error; those with most errors first.
    :param baseline: baseline of the checks; ``None``: no comparison.
    :param rows: the rows, with the values that were read.
    """

    judged: int = 0
    allowed: int = 0
    errors: tuple[AgentError, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    baseline: Baseline | None = field(default=None, repr=False)
    rows: RoundRows = field(default_factory=lambda: RoundRows({}), repr=False, compare=False)

    @property
    def too_many_errors(self) -> bool:
        """Whether more agents have an error than may."""
        return len(self.errors) > self.allowed

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The failed checks of severity ``error``."""
        return tuple(result for result in self.checks if result.fails_verdict)

    @property
    def failed_positions(self) -> tuple[int, ...]:
        """The positions of the failed checks in the declaration; they are the same in every run of a task."""
        return tuple(position for position, result in enumerate(self.checks) if result.fails_verdict)

    @property
    def passed(self) -> bool:
        """Whether the round passes. A round with nothing judged never passes."""
        return self.judged > 0 and not self.too_many_errors and not self.failed_checks


NOT_JUDGED = Judgement()
"""The judgement of a run without rows."""


def judge(
    rows: Mapping[str, Iterable[Row]],
    max_agent_errors: int | float,
    checks: Checks | None = None,
    baseline: Baseline | None = None,
) -> Judgement:
    """Judge the rows of a round by their errors and by the checks.

    Which rows are errors: `docs/thousandeyes-api.md`, "Result types and errors".

    :param max_agent_errors: number of agents that may have an error: a count (``int``), or a fraction of the judged
        agents (``float``, rounded down).
    """
    of_round = RoundRows(rows)
    judged: set[str] = set()
    agents: dict[str, AgentRows] = {}
    reasons: dict[str, list[str]] = {}
    for result_type in of_round.result_types:
        if not RESULT_TYPES[result_type].judged:
            continue
        for agent in of_round.agents(result_type):
            judged.add(agent.key)
            for row in agent.rows:
                if (reason := row_error(result_type, row)) is not None:
                    agents[agent.key] = agent
                    reasons.setdefault(agent.key, []).append(f"{result_type}: {reason[:200]}")
    errors = [
        AgentError(key, agents[key].agent, agents[key].country_id, tuple(reasons_of))
        for key, reasons_of in reasons.items()
    ]
    errors.sort(key=lambda error: (-len(error.reasons), error.agent.agent_name, error.key))
    allowed = (
        math.floor(max_agent_errors * len(judged) + 1e-9)
        if isinstance(max_agent_errors, float)
        else max_agent_errors
    )
    results = evaluate(checks, of_round, baseline) if checks else ()
    # Rows of path visualization are never errors: agents with only such rows are judged by the checks alone.
    count = len(judged) or max((result.agents - len(result.without_metric) for result in results), default=0)
    return Judgement(count, allowed, tuple(errors), results, baseline, of_round)


def verdict_of(state: WaitState, progress: RoundProgress, judgement: Judgement) -> Verdict:
    """Return the verdict on a round.

    A round without enough agents is ``incomplete`` while the wait goes on and at the deadline, whatever the agents
    that reported show.
    """
    if not progress.rows():
        return Verdict.NO_RESULTS
    enough = (
        state in (WaitState.COMPLETE, WaitState.ENOUGH, WaitState.QUIET) or progress.enough_since is not None
    )
    if not enough or not judgement.judged:
        return Verdict.INCOMPLETE
    return Verdict.PASSED if judgement.passed else Verdict.FAILED


def same_failure(failed: Collection[int], second: Judgement) -> bool:
    """Return whether a second run confirms the failure of a first run (``confirm_failures``).

    It does when a check that failed fails again, when too many agents have an error in the second run, or when
    nothing could be judged. Failures of different checks are not the same.

    :param failed: :attr:`Judgement.failed_positions` of the first run, as far as every later run confirmed them.
    :param second: the judgement of the second run, by the same checks.
    """
    if not second.judged or second.too_many_errors:
        return True
    return not set(failed).isdisjoint(second.failed_positions)
