"""Waiting for a round: what has arrived, whether that is enough, and when to look again.

:class:`RoundProgress` is told the rows of each look and the time, and answers what to do. Every look gives the next
state; nothing here sends, sleeps or reads a clock, so that worker and triggerer wait by the same rules
(DESIGN, "Fixed: waiting").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.api.rounds import (
    agent_id_of,
    agent_name_of,
    all_that_is_said,
    is_fresh,
    round_of,
    row_key,
)
from thousandeyes_provider.api.run import RunHandle

Key = tuple[int, tuple[str, ...]]
"""What tells a row from all others: its round, and what tells it from the other rows of that."""

QUIET = 60.0
"""Seconds without anything new after which a round of unknown agents counts as complete."""


class WaitState(Enum):
    """Where the waiting stands."""

    WAITING = "waiting"
    COMPLETE = "complete"
    """Every expected row is there."""
    ENOUGH = "enough"
    """``min_agents`` have reported, and the grace time for the others is over."""
    QUIET = "quiet"
    """Nobody knows which rows there should be; all known agents have reported, and nothing new has come for a while."""
    DEADLINE = "deadline"
    """The time is up."""


@dataclass(frozen=True)
class RoundProgress:
    """One round that is waited for.

    Times are seconds on any one clock that goes forward at a steady pace, except ``started_after``.

    :param rows_per_agent: result types to wait for, and how many rows each agent has of it (``None``: unknown).
    :param remembered: newest round of each result type before the run.
    :param started_after: when the run was accepted, epoch seconds by ThousandEyes' clock.
    :param expected: who should report.
    :param deadline: when the waiting ends.
    :param poll_interval: seconds between two looks, when nothing asks for more.
    :param min_agents: how many of the expected agents are enough; ``None`` for all.
    :param grace: seconds that the others are waited for after that.
    :param seen: fresh rows so far, by result type and what tells them apart.
    :param last_news: when something new was last seen.
    :param last_answer: when every result type was last answered.
    :param enough_since: since when ``min_agents`` have reported.
    """

    rows_per_agent: Mapping[str, int | None]
    remembered: Mapping[str, int | None]
    started_after: float
    expected: ExpectedAgents
    deadline: float
    poll_interval: float
    min_agents: int | None = None
    grace: float = 60.0
    seen: Mapping[str, Mapping[Key, Row]] = field(default_factory=dict)
    last_news: float | None = None
    last_answer: float | None = None
    enough_since: float | None = None

    @classmethod
    def for_run(
        cls, run: RunHandle, *, deadline: float, poll_interval: float, min_agents: int | None, grace: float
    ) -> RoundProgress:
        """The waiting for the round of a run.

        :param run: the run.
        :param deadline: when the waiting ends, by the clock that the other methods are told.
        """
        return cls(
            rows_per_agent=run.plan.rows_per_agent,
            remembered=run.plan.remembered,
            started_after=run.earliest_start,
            expected=run.plan.expected,
            deadline=deadline,
            poll_interval=poll_interval,
            min_agents=min_agents,
            grace=grace,
        )

    def look(self, found: Mapping[str, Iterable[Row]], now: float) -> RoundProgress:
        """The state after a look at the results.

        :param found: the rows of each result type that was answered, fresh or not.
        :param now: the time.
        """
        remembered = self.newest_remembered()
        seen = dict(self.seen)
        for result_type, rows in found.items():
            fresh = {
                (round_id, _key(result_type, row)): row
                for row in rows
                if is_fresh(row, remembered=remembered, started_after=self.started_after)
                and (round_id := round_of(row)) is not None
            }
            seen[result_type] = {**seen.get(result_type, {}), **fresh}
        after = replace(self, seen=seen)
        enough = self.min_agents is not None and after._expected_and_reported() >= self.min_agents
        return replace(
            after,
            last_news=now if after._ours() != self._ours() else self.last_news,
            last_answer=now if self.rows_per_agent.keys() <= found.keys() else self.last_answer,
            enough_since=(self.enough_since if self.enough_since is not None else now) if enough else None,
        )

    def newest_remembered(self) -> int | None:
        """The newest round before the run, of whatever result type: nothing that began with it, or before, is ours."""
        return max((found for found in self.remembered.values() if found is not None), default=None)

    def rounds(self) -> dict[str, int]:
        """Our round of each result type: the earliest fresh one.

        Where the remembered round had one id in all result types, so has ours: then a later round of somebody else is
        not taken for ours in a type in which ours has no rows yet.
        """
        found = {
            result_type: min(round_id for round_id, _ in rows)
            for result_type, rows in sorted(self.seen.items())
            if rows
        }
        remembered = {self.remembered.get(result_type) for result_type in self.rows_per_agent}
        if len(remembered) == 1 and None not in remembered and found:
            ours = min(found.values())
            found = {name: round_id for name, round_id in found.items() if round_id == ours}
        return found

    def rows(self) -> dict[str, list[Row]]:
        """The rows of our round, by result type; rows of later rounds are left out."""
        return {
            result_type: [row for (found, _), row in self.seen[result_type].items() if found == round_id]
            for result_type, round_id in self.rounds().items()
        }

    def agents_seen(self) -> tuple[Agent, ...]:
        """Every agent that has sent at least one row of our round."""
        found: dict[str, Agent] = {}
        for rows in self.rows().values():
            for row in rows:
                agent = Agent(agent_id_of(row), agent_name_of(row))
                found.setdefault(agent.agent_id or agent.agent_name, agent)
        return tuple(found.values())

    def reported(self) -> tuple[Agent, ...]:
        """The agents that have sent every row that is expected of an agent."""
        counts = self._counts()
        return tuple(
            agent
            for agent in self.agents_seen()
            if all(
                counts[result_type].get(agent.agent_id or agent.agent_name, 0) >= (needed or 1)
                for result_type, needed in self.rows_per_agent.items()
            )
        )

    def missing(self) -> tuple[Agent, ...]:
        """The expected agents, where they are known one by one, of which rows are missing."""
        rows = self.rows()
        reported = {agent.agent_id or agent.agent_name for agent in self.reported()}
        heard = [
            row
            for found in rows.values()
            for row in found
            if (agent_id_of(row) or agent_name_of(row)) in reported
        ]
        ids = {agent_id_of(row) for row in heard}
        names = {agent_name_of(row).strip().casefold() for row in heard}
        return tuple(
            agent
            for agent in self.expected.agents
            if not (agent.agent_id in ids if agent.agent_id else agent.agent_name.strip().casefold() in names)
        )

    def lacking(self, agent: Agent) -> str | None:
        """Which rows of an agent are missing, in words; ``None`` when it has sent none at all."""
        rows = self.rows()
        had = {
            result_type: len([row for row in rows.get(result_type, []) if agent.sent(row)])
            for result_type in self.rows_per_agent
        }
        if not any(had.values()):
            return None
        return ", ".join(
            f"{result_type} {had[result_type]} of {needed or 1}"
            for result_type, needed in self.rows_per_agent.items()
            if had[result_type] < (needed or 1)
        )

    def known_extent(self) -> bool:
        """Whether it is known which rows a complete round has."""
        return self.expected.count is not None and None not in self.rows_per_agent.values()

    def complete(self) -> bool:
        """Whether every expected row is there."""
        return self.known_extent() and any(self.seen.values()) and self._everybody_reported()

    def state(self, now: float) -> WaitState:
        """What to do at ``now``, right after a look."""
        if self.complete():
            return WaitState.COMPLETE
        if self.enough_since is not None and now >= self.enough_since + self.grace:
            return WaitState.ENOUGH
        # A look that failed brought nothing new either, but says nothing about what is there.
        if self._quiet_at() <= (-math.inf if self.last_answer is None else self.last_answer):
            return WaitState.QUIET
        return WaitState.DEADLINE if now >= self.deadline else WaitState.WAITING

    def next_look(self, now: float, pace: float = 0.0) -> float:
        """When to look again: after the interval or what the quota asks for, and never beyond a turning point.

        :param now: the time.
        :param pace: least seconds until the next look, so that others keep their share of the quota.
        """
        due = now + max(self.poll_interval, pace)
        turning = [self.deadline, self._quiet_at()]
        if self.enough_since is not None:
            turning.append(self.enough_since + self.grace)
        if now >= self.deadline:
            return now
        return min([due, *(point for point in turning if point > now)])

    def _expected_and_reported(self) -> int:
        """How many of those who are expected have reported; of all, where they are not known one by one."""
        if self.expected.agents:
            return len(self.expected.agents) - len(self.missing())
        return len(self.reported())

    def _everybody_reported(self) -> bool:
        """Whether no expected agent is missing, as far as it is known who is expected."""
        if self.expected.agents:
            return not self.missing()
        if self.expected.count is None:
            return len(self.reported()) == len(self.agents_seen()) > 0
        return len(self.reported()) >= self.expected.count

    def _quiet_at(self) -> float:
        """When the round counts as complete although nobody knows its extent, should nothing new come."""
        if self.known_extent() or self.last_news is None or not self.rows():
            return math.inf
        if set(self.rows()) != set(self.rows_per_agent) or not self._everybody_reported():
            return math.inf
        return self.last_news + QUIET

    def _ours(self) -> set[tuple[str, Key]]:
        """What tells apart the rows of our round that are there."""
        return {
            (name, key)
            for name, round_id in self.rounds().items()
            for key in self.seen[name]
            if key[0] == round_id
        }

    def _counts(self) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {name: {} for name in self.rows_per_agent}
        for result_type, rows in self.rows().items():
            of_type = counts.setdefault(result_type, {})
            for row in rows:
                key = agent_id_of(row) or agent_name_of(row)
                of_type[key] = of_type.get(key, 0) + 1
        return counts


def _key(result_type: str, row: Row) -> tuple[str, ...]:
    """What tells a row from the others of its round; one that names no agent is told by all that it says.

    By its empty name alone the last of such rows would stand for all of them, and a good one hide a bad one.
    """
    key = row_key(result_type, row)
    return key if key[0] else (*key, *all_that_is_said(row))
