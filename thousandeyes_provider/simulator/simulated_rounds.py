"""The rounds of a test, and the rows that the API shows of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.simulator.agent_behavior import AgentBehavior
from thousandeyes_provider.simulator.conditions import Condition


class Round(ABC):
    """One round of a test.

    A round stores when the rows of each agent land. It does not store the rows: their values are derived from seed,
    test, agent and round.

    :param number: number of the round, unique within the test. The values are derived from it.
    :param round_id: epoch seconds by the simulator's clock, as the API reports it.
    :param started: start in real epoch seconds.
    :param began: start by the simulator's clock.
    :param agents: ids of its agents.
    """

    number: int
    round_id: int
    started: float
    began: float
    agents: tuple[str, ...]

    @abstractmethod
    def landing(self, agent_id: str, result_type: str) -> float | None:
        """Return the real time at which the agent's rows of this type land; ``None``: never."""

    @abstractmethod
    def fails(self, agent_id: str, result_type: str) -> bool:
        """Return whether the agent's measurement of this type fails."""

    @abstractmethod
    def condition(self, agent_id: str, result_type: str) -> Condition | None:
        """Return the condition of the target that this round sets for the agent."""

    @abstractmethod
    def target_condition(self, host: str) -> Any:
        """Return the condition, or tree of conditions, that a host had when the round began."""

    def failed_step(self, agent_id: str, result_type: str) -> int | None:
        """Return the number of the step that fails, if the agent's measurement of this type fails."""
        return None

    def changes(self, agent_id: str, result_type: str, names: frozenset[str]) -> Mapping[str, Any]:
        """Return fields to set in the agent's row."""
        return {}

    def landed(self, agent_id: str, result_type: str, now: float) -> bool:
        """Return whether the rows of the agent have landed at ``now``."""
        landing = self.landing(agent_id, result_type)
        return landing is not None and landing <= now

    def measured_at(self, agent_id: str, result_type: str) -> int:
        """Return the second of the agent's measurement on the simulator's clock: halfway between start and landing."""
        landing = self.landing(agent_id, result_type)
        return math.floor(self.began + (0.0 if landing is None else (landing - self.started) / 2))

    def has_rows(self, result_type: str, now: float) -> bool:
        """Return whether any row of this type has landed."""
        return any(self.landed(agent_id, result_type, now) for agent_id in self.agents)

    def is_complete(self, result_type: str, now: float) -> bool:
        """Return whether the rows of all agents have landed. Always false with a silent agent."""
        return all(self.landed(agent_id, result_type, now) for agent_id in self.agents)


@dataclass(frozen=True)
class TriggeredRound(Round):
    """A round that a run started, or an initial round of the test.

    :param by: the client that started it.
    :param lands: agent and result type to the real time at which the rows land; ``None``: never.
    :param behavior: behavior of the agents.
    :param targets: condition of each target when the round began.
    """

    number: int
    round_id: int
    started: float
    began: float
    agents: tuple[str, ...]
    by: str
    lands: Mapping[tuple[str, str], float | None]
    behavior: AgentBehavior
    targets: Mapping[str, Any] = field(default_factory=dict)

    def landing(self, agent_id: str, result_type: str) -> float | None:
        return self.lands.get((agent_id, result_type))

    def fails(self, agent_id: str, result_type: str) -> bool:
        return self.behavior.fails(agent_id, result_type)

    def condition(self, agent_id: str, result_type: str) -> Condition | None:
        return self.behavior.condition_of(agent_id, result_type)

    def target_condition(self, host: str) -> Any:
        return self.targets.get(host)

    def failed_step(self, agent_id: str, result_type: str) -> int | None:
        return self.behavior.step(agent_id, result_type)

    def changes(self, agent_id: str, result_type: str, names: frozenset[str]) -> Mapping[str, Any]:
        return self.behavior.changes(agent_id, result_type, names)

    def last_landing(self) -> float:
        """Return the real time of the last report; agents that never report are ignored."""
        return max((when for when in self.lands.values() if when is not None), default=self.started)

    def state(self, result_types: tuple[str, ...], now: float) -> RoundState:
        """Return the state of the round."""
        reported = {
            name: tuple(agent_id for agent_id in self.agents if self.landed(agent_id, name, now))
            for name in result_types
        }
        missing = {
            name: tuple(agent_id for agent_id in self.agents if agent_id not in reported[name])
            for name in result_types
        }
        return RoundState(self.round_id, self.started, self.by, reported, missing)


@dataclass(frozen=True)
class RoundState:
    """The state of a round.

    :param round_id: as in the API's rows.
    :param started: real epoch seconds.
    :param by: the client that started it: ``"api"``, ``"history"``, or the ``by`` of :meth:`Simulator.run`.
    :param reported: result type to the ids of the agents whose rows have landed.
    :param missing: result type to the ids of the agents whose rows have not landed.
    """

    round_id: int
    started: float
    by: str
    reported: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, tuple[str, ...]]

    @property
    def complete(self) -> bool:
        """Whether the rows of every agent and result type have landed."""
        return not any(self.missing.values())


@dataclass(frozen=True)
class VisibleRow:
    """A row that the API shows.

    :param round: its round.
    :param agent_id: its agent.
    :param key: its DNS server or direction, for agents with several rows.
    """

    round: Round
    agent_id: str
    key: str


def shown_rounds(
    rounds: list[Round], result_type: str, now: float, newest_round: str, *, only_newest: bool
) -> list[Round]:
    """Return the rounds with rows to show.

    :param rounds: rounds, oldest first.
    :param newest_round: value of the switch ``newest_round``. ``previous`` hides an incomplete round until a newer
        round is complete.
    :param only_newest: whether the request has no period.
    """
    shown = [round_ for round_ in rounds if round_.has_rows(result_type, now)]
    if newest_round == "previous":
        complete = [position for position, round_ in enumerate(shown) if round_.is_complete(result_type, now)]
        shown = shown[: complete[-1] + 1] if complete else []
    if not (only_newest and shown):
        return shown
    ids = {shown[-1].round_id}
    if newest_round == "both" and not shown[-1].is_complete(result_type, now):
        ids.update([round_.round_id for round_ in shown if round_.round_id not in ids][-1:])
    return [round_ for round_ in shown if round_.round_id in ids]
