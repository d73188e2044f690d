"""The recent rounds of one test as data: rows by round and result type, the agents over time, and the gaps."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thousandeyes_provider.api.expected_agents import Agent, agent_of
from thousandeyes_provider.api.result_types import Row
from thousandeyes_provider.api.rounds import app_link, round_of
from thousandeyes_provider.validation.aggregates import median
from thousandeyes_provider.validation.samples import row_identity

ABSENT_ROUNDS = 12
"""Rounds without a row, up to the end of the history, after which an agent counts as gone."""

ABSENT_SHARE = 0.05
"""The same as a share of all rounds; the larger of the two applies."""

_UNUSED = frozenset(("agent", "_links", "date", "startTime", "endTime", "roundId"))


@dataclass(frozen=True)
class AgentPresence:
    """An agent over the history.

    :param first: its first round, epoch seconds.
    :param last: its last round, epoch seconds.
    :param is_current: whether it still reported near the end of the history.
    """

    agent: Agent
    first: int
    last: int
    is_current: bool


class History:
    """The rounds of one test over a period. Rounds, agents and gaps stay as ThousandEyes reported them.

    :param keep: nested fields to keep (``headers``, ``sslCertificates``); other objects are dropped, since a history of
        100,000 rows has to fit into memory.
    """

    def __init__(
        self, test_id: str, test_type: str, test_name: str = "", *, keep: Collection[str] = ()
    ) -> None:
        self.test_id = test_id
        self.test_type = test_type
        self.test_name = test_name
        self._keep = frozenset(keep)
        self._rows: dict[int, dict[str, list[Row]]] = {}
        self._agents: dict[tuple[str, ...], Mapping[str, Any]] = {}

    def add(
        self, result_type: str, rows: Iterable[Row], *, since: float = 0, until: float = float("inf")
    ) -> int:
        """Add rows. Periods of several calls must not overlap: two rows of an agent in one round both count.

        :param rows: in any order.
        :param since: rounds before this time are ignored, epoch seconds.
        :param until: rounds from this time on are ignored.
        :return: number of rows taken.
        """
        taken = 0
        for row in rows:
            round_id = round_of(row)
            if round_id is None or not since <= round_id < until:
                continue
            of_type = self._rows.setdefault(round_id, {}).setdefault(result_type, [])
            of_type.append(self._compact(round_id, row))
            taken += 1
        if taken:
            for name in ("rounds", "agents", "interval"):
                self.__dict__.pop(name, None)
        return taken

    def _compact(self, round_id: int, row: Row) -> Row:
        """The row with shared agents and texts, and without what no check reads."""
        kept: dict[str, Any] = {"roundId": round_id}
        for name, value in row.items():
            if isinstance(value, str):
                value = sys.intern(value)
            if name not in _UNUSED and (name in self._keep or _is_plain(value)):
                kept[sys.intern(name)] = value
        agent = row.get("agent")
        if isinstance(agent, Mapping):
            known = {
                key: value
                for key in ("agentId", "agentName", "countryId", "location")
                if isinstance(value := agent.get(key), str | int)
            }
            kept["agent"] = self._agents.setdefault(tuple(map(str, known.items())), known)
        if link := app_link(row):
            kept["_links"] = {"appLink": {"href": link}}
        return kept

    # -- reading -------------------------------------------------------------------------------------------------

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        """The ids of all rounds, oldest first, epoch seconds."""
        return tuple(sorted(self._rows))

    def rows(self, round_id: int) -> Mapping[str, list[Row]]:
        """Return the rows of a round by result type; empty for an unknown round."""
        return self._rows.get(round_id, {})

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, list[Row]]]]:
        """Each round with its rows, oldest first."""
        for round_id in self.rounds:
            yield round_id, self.rows(round_id)

    def __len__(self) -> int:
        """The number of rounds."""
        return len(self._rows)

    def export(self, result_type: str, since: float, until: float) -> list[Row]:
        """The kept rows of a result type in a period, for a cache file."""
        return [
            row
            for round_id in self.rounds
            if since <= round_id < until
            for row in self._rows[round_id].get(result_type, ())
        ]

    @cached_property
    def interval(self) -> float:
        """Seconds between two rounds, as the median over the history; 0 with fewer than two rounds."""
        steps = [later - earlier for earlier, later in zip(self.rounds, self.rounds[1:], strict=False)]
        return median(steps) if steps else 0.0

    @property
    def days(self) -> float:
        """Days from the first round to the last."""
        return (self.rounds[-1] - self.rounds[0]) / 86400 if self._rows else 0.0

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Pairs of consecutive rounds that are more than one and a half intervals apart."""
        pairs = zip(self.rounds, self.rounds[1:], strict=False)
        return tuple((start, end) for start, end in pairs if end - start > 1.5 * self.interval)

    @cached_property
    def agents(self) -> dict[str, AgentPresence]:
        """All agents by id (by name where they have none), in the order in which they came."""
        seen: dict[str, list[int]] = {}
        named: dict[str, Agent] = {}
        for round_id in self.rounds:
            of_round = {row_identity(row): row for rows in self._rows[round_id].values() for row in rows}
            for key, row in of_round.items():
                seen.setdefault(key, []).append(round_id)
                named[key] = agent_of(row)
        # The last round in which an agent that still belongs to the test has reported at least once.
        absent = min(max(ABSENT_ROUNDS, round(ABSENT_SHARE * len(self.rounds))), len(self.rounds))
        recent = self.rounds[-absent] if self.rounds else 0
        return {
            key: AgentPresence(named[key], rounds[0], rounds[-1], rounds[-1] >= recent)
            for key, rounds in seen.items()
        }

    def expected(self, round_id: int) -> tuple[str, ...]:
        """The keys of the agents that belonged to the test when a round ran: between their first and last round."""
        return tuple(
            key
            for key, presence in self.agents.items()
            if presence.first <= round_id and (presence.is_current or round_id <= presence.last)
        )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, str | int | float) for part in value)
    return value is None or isinstance(value, str | int | float)
