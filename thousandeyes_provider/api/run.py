"""The data of a run: before the run call (:class:`Plan`), and once the call was accepted (:class:`RunHandle`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from thousandeyes_provider.api.coerce import number, printable, short_text, shorten, whole_number
from thousandeyes_provider.api.expected_agents import DIRECTIONS, SOURCES, UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.api.rounds import ROUND_ID_LAG, YEAR_10000

T = TypeVar("T")

MAX_HANDLE_BYTES = 48 * 1024
"""Bytes of a run handle as JSON. XComs and trigger arguments have to hold it."""


@dataclass(frozen=True)
class Plan:
    """The properties of a test that are known before its run.

    :param test_type: a key of :data:`~thousandeyes_provider.api.result_types.TEST_TYPES`.
    :param account_group_id: the account group in force; ``None`` for the token's default.
    :param directions: the result types to wait for, and the ``direction`` of each query that a type takes (``None``:
        without the parameter).
    :param rows_per_agent: rows per agent of each result type; ``None``: unknown.
    :param expected: the agents that should report.
    :param remembered: the newest round of each result type; ``None`` when there was none.
    :param round_length: how long the remembered round took, in seconds; ``None`` when that is unknown.
    :param test_name: empty when it is not known yet.
    :param test_link: deep link to the test; empty when it is not known yet.
    :param from_test: id of the test whose settings were taken over; empty for none.
    :param from_test_name: its name.
    """

    test_id: str
    test_type: str
    account_group_id: str | None
    directions: Mapping[str, tuple[str | None, ...]]
    rows_per_agent: Mapping[str, int | None]
    expected: ExpectedAgents
    remembered: Mapping[str, int | None]
    round_length: float | None = None
    test_name: str = ""
    test_link: str = field(default="", repr=False)
    from_test: str = ""
    from_test_name: str = ""

    @property
    def display_name(self) -> str:
        """The display name: that of the source test, or its own."""
        return self.from_test_name or self.test_name


@dataclass(frozen=True)
class RunHandle:
    """A run that ThousandEyes accepted, and everything that is needed to wait for its round.

    Times are epoch seconds by ThousandEyes' clock.

    :param sent_at: when the run call was sent, as a lower bound: the round cannot have started before. When responses
        were lost, this is the time of the first call whose response was lost.
    :param accepted_at: when the response arrived.
    :param run_calls: number of times that the run call was sent.
    """

    plan: Plan
    sent_at: float
    accepted_at: float
    deadline: float
    run_calls: int

    def history_end(self, test_id: str) -> float:
        """The newest round of a test, at most, that is older than this run, epoch seconds.

        Round ids may be whole minutes: a round of the test that was run is older only when it was there before.
        """
        if test_id != self.plan.test_id:
            return self.sent_at
        before = [round_id for round_id in self.plan.remembered.values() if round_id is not None]
        return max(before, default=self.sent_at - ROUND_ID_LAG)

    def to_json(self) -> dict[str, Any]:
        """The handle as a JSON object of at most :data:`MAX_HANDLE_BYTES`, for XCom and trigger arguments.

        A list of agents that is too long is replaced by a list of ids, or by the number of agents. ``expected_cut``
        names the omitted part: ``names`` or ``agents``.
        """
        agents = self.plan.expected.agents
        full = [{"agent_id": agent.agent_id, "agent_name": agent.agent_name} for agent in agents]
        short = [agent.agent_id or {"agent_name": agent.agent_name} for agent in agents]
        for expected, cut in ((full or self.plan.expected.count, None), (short, "names")):
            handle = self._to_json(expected, cut)
            if len(json.dumps(handle)) <= MAX_HANDLE_BYTES:
                return handle
        return self._to_json(self.plan.expected.count, "agents")

    def _to_json(self, expected_agents: Any, expected_cut: str | None) -> dict[str, Any]:
        plan = self.plan
        return {
            "test_id": plan.test_id,
            "test_type": plan.test_type,
            "test_name": plan.test_name,
            "account_group_id": plan.account_group_id,
            "sent_at": self.sent_at,
            "accepted_at": self.accepted_at,
            "deadline": self.deadline,
            "result_types": list(plan.directions),
            "directions": {name: list(directions) for name, directions in plan.directions.items()},
            "rows_per_agent": dict(plan.rows_per_agent),
            "remembered": dict(plan.remembered),
            "round_length": plan.round_length,
            "expected_agents": expected_agents,
            "expected_source": plan.expected.source,
            **({"expected_cut": expected_cut} if expected_cut else {}),
            "run_calls": self.run_calls,
            "test_link": plan.test_link,
            "from_test": plan.from_test,
            "from_test_name": plan.from_test_name,
        }

    @classmethod
    def from_json(cls, value: Any) -> RunHandle:
        """The handle that :meth:`to_json` returned.

        :param value: the JSON object. ``sent_at`` defaults to ``accepted_at``.
        :raises ValueError: for a missing or invalid field, with its name.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"a run handle is a JSON object, not {type(value).__name__}")
        if absent := [name for name in _REQUIRED if name not in value]:
            raise ValueError(f"the run handle has no {', '.join(absent)}")
        test_type, types = str(value["test_type"]), value["result_types"]
        _check("test_type", value["test_type"], test_type in TEST_TYPES, f"one of {', '.join(TEST_TYPES)}")
        are_known = isinstance(types, list) and types and all(str(name) in RESULT_TYPES for name in types)
        _check("result_types", types, are_known, f"a list of {', '.join(RESULT_TYPES)}")
        return cls(
            Plan(
                test_id=short_text(value["test_id"]),
                test_type=test_type,
                account_group_id=_account_group(value.get("account_group_id")),
                directions=_by_result_type(value, "directions", _directions),
                rows_per_agent=_by_result_type(value, "rows_per_agent", _row_count, default=1),
                expected=_expected(value.get("expected_agents"), value.get("expected_source", "unknown")),
                remembered=_by_result_type(value, "remembered", _round),
                round_length=bounded_seconds(value.get("round_length")),
                test_name=short_text(value.get("test_name")),
                test_link=str(value.get("test_link", "")),
                from_test=short_text(value.get("from_test")),
                from_test_name=short_text(value.get("from_test_name")),
            ),
            sent_at=_time("sent_at", value.get("sent_at", value["accepted_at"])),
            accepted_at=_time("accepted_at", value["accepted_at"]),
            deadline=_time("deadline", value["deadline"]),
            run_calls=whole_number(value["run_calls"]) or 1,
        )


_REQUIRED = ("test_id", "test_type", "accepted_at", "deadline", "result_types", "remembered", "run_calls")


def _check(name: str, value: Any, is_valid: object, expected: str) -> None:
    if not is_valid:
        raise ValueError(f"{name} of the run handle must be {expected}, got {shorten(repr(value), 91)}")


def bounded_seconds(value: Any) -> float | None:
    """Return seconds, 0 or more, that a date can have; ``None`` for anything else."""
    seconds = number(value)
    return seconds if seconds is not None and 0 <= seconds < YEAR_10000 else None


def _time(name: str, value: Any) -> float:
    seconds = bounded_seconds(value)
    _check(name, value, seconds is not None, "epoch seconds")
    return seconds or 0.0


def _round(value: Any) -> int | None:
    round_id = whole_number(value)
    is_round = round_id is not None and 0 < round_id < YEAR_10000
    _check("remembered", value, value is None or is_round, "round ids")
    return round_id


def _row_count(value: Any) -> int | None:
    count = whole_number(value)
    _check("rows_per_agent", value, value is None or (count or 0) > 0, "counts")
    return count


def _account_group(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    _check("account_group_id", value, short_text(value), "an id")
    return short_text(value)


def _directions(value: Any) -> tuple[str | None, ...]:
    names = value or [None]
    are_known = isinstance(names, list) and all(name is None or name in DIRECTIONS for name in names)
    _check("directions", value, are_known, f"a list of {', '.join(DIRECTIONS)}")
    return tuple(names)


def _by_result_type(
    handle: Mapping[str, Any], name: str, read: Callable[[Any], T], default: Any = None
) -> dict[str, T]:
    entries = handle.get(name) or {}
    _check(name, entries, isinstance(entries, Mapping), "an object by result type")
    return {result_type: read(entries.get(result_type, default)) for result_type in handle["result_types"]}


def _expected(value: Any, source: Any) -> ExpectedAgents:
    _check("expected_source", source, source in SOURCES, f"one of {', '.join(SOURCES)}")
    if isinstance(value, list):
        are_agents = all(isinstance(agent, Mapping | str) for agent in value)
        _check("expected_agents", value, are_agents, "objects or ids")
        return ExpectedAgents.of(source, map(_agent, value))
    count = whole_number(value or 0)
    _check("expected_agents", value, count is not None and count >= 0, "a list of agents or a count")
    return ExpectedAgents(source, count=count) if count else UNKNOWN


def _agent(value: Mapping[str, Any] | str) -> Agent:
    if isinstance(value, str):
        return Agent(printable(value))
    return Agent(printable(str(value.get("agent_id", ""))), printable(str(value.get("agent_name", ""))))
