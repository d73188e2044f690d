"""The data of a run: before the run call (:class:`Plan`), and once the call was accepted (:class:`RunHandle`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.coerce import number, printable, short_text, shorten, whole_number
from thousandeyes_provider.api.expected_agents import DIRECTIONS, SOURCES, Agent, ExpectedAgents
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.api.rounds import ROUND_ID_LAG, YEAR_10000

MAX_HANDLE_BYTES = 48 * 1024
"""Bytes of a run handle as JSON. XComs and trigger arguments have to hold it."""


@dataclass(frozen=True)
class Plan:
    """What was learned of a test before its run.

    :param test_id: the test.
    :param test_type: a key of :data:`~thousandeyes_provider.api.result_types.TEST_TYPES`.
    :param account_group_id: the account group in force; ``None`` for the token's default.
    :param directions: the result types to wait for, and the ``direction`` of each query that a type takes (``None``:
        without the parameter).
    :param rows_per_agent: how many rows of each result type an agent has; ``None`` when that is unknown.
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
        """The name that people know the test by: of the test that it was made from, else its own."""
        return self.from_test_name or self.test_name


@dataclass(frozen=True)
class RunHandle:
    """A run that ThousandEyes accepted, and everything that is needed to wait for its round.

    Times are epoch seconds by ThousandEyes' clock.

    :param plan: what was learned before the run.
    :param sent_at: when the run call was sent, as a lower bound: the round cannot have started before. When responses
        were lost, this is the time of the first call whose response was lost.
    :param accepted_at: when the response arrived.
    :param deadline: until when the results are waited for.
    :param run_calls: how many times the call was sent.
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
        names what was left out: ``names`` or ``agents``.
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
        :raises ValueError: naming what is missing or wrong.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"a run handle is a JSON object, not {type(value).__name__}")
        required = (
            "test_id",
            "test_type",
            "accepted_at",
            "deadline",
            "result_types",
            "remembered",
            "run_calls",
        )
        absent = [name for name in required if name not in value]
        if absent:
            raise ValueError(f"the run handle has no {', '.join(absent)}")
        if str(value["test_type"]) not in TEST_TYPES:
            raise ValueError(
                f"test_type {_shown(value['test_type'])} of the run handle is not one of {', '.join(TEST_TYPES)}"
            )
        result_types = value["result_types"]
        valid = isinstance(result_types, list) and all(str(name) in RESULT_TYPES for name in result_types)
        if not valid or not result_types:
            raise ValueError(
                f"result_types {_shown(result_types)} of the run handle are not among {', '.join(RESULT_TYPES)}"
            )
        accepted_at, deadline = _seconds(value["accepted_at"]), _seconds(value["deadline"])
        sent_at = _seconds(value.get("sent_at", accepted_at))
        if accepted_at is None or deadline is None or sent_at is None:
            raise ValueError("sent_at, accepted_at and deadline of the run handle must be epoch seconds")
        directions = _by_result_type(value, "directions")
        rows = _by_result_type(value, "rows_per_agent")
        remembered = _by_result_type(value, "remembered")
        return cls(
            Plan(
                test_id=short_text(value["test_id"]),
                test_type=str(value["test_type"]),
                account_group_id=_account_group(value.get("account_group_id")),
                directions={name: _directions(directions.get(name)) for name in result_types},
                rows_per_agent={name: whole_number(rows.get(name, 1)) for name in result_types},
                expected=_expected(value.get("expected_agents"), value.get("expected_source", "unknown")),
                remembered={name: _round(remembered.get(name)) for name in result_types},
                round_length=_seconds(value.get("round_length")),
                test_name=short_text(value.get("test_name")),
                test_link=str(value.get("test_link", "")),
                from_test=short_text(value.get("from_test")),
                from_test_name=short_text(value.get("from_test_name")),
            ),
            sent_at=sent_at,
            accepted_at=accepted_at,
            deadline=deadline,
            run_calls=whole_number(value["run_calls"]) or 1,
        )


def _seconds(value: Any) -> float | None:
    seconds = number(value)
    return seconds if seconds is not None and 0 <= seconds < YEAR_10000 else None


def _round(value: Any) -> int | None:
    round_id = whole_number(value)
    if value is not None and (round_id is None or not 0 < round_id < YEAR_10000):
        raise ValueError(f"remembered of the run handle must be round ids, got {_shown(value)}")
    return round_id


def _account_group(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not short_text(value):
        raise ValueError(f"account_group_id of the run handle must be an id, got {_shown(value)}")
    return short_text(value)


def _directions(value: Any) -> tuple[str | None, ...]:
    directions = value or [None]
    if not isinstance(directions, list) or not all(
        direction is None or direction in DIRECTIONS for direction in directions
    ):
        raise ValueError(
            f"directions of the run handle must be a list of {', '.join(DIRECTIONS)}, got {_shown(value)}"
        )
    return tuple(directions)


def _by_result_type(handle: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = handle.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} of the run handle must be an object by result type, got {_shown(value)}")
    return value


def _expected(value: Any, source: Any) -> ExpectedAgents:
    if source not in SOURCES:
        raise ValueError(
            f"expected_source of the run handle is not one of {', '.join(SOURCES)}, got {_shown(source)}"
        )
    if isinstance(value, list):
        if not all(isinstance(agent, Mapping | str) for agent in value):
            raise ValueError(f"expected_agents of the run handle must be objects or ids, got {_shown(value)}")
        return ExpectedAgents.of(source, map(_agent, value))
    count = whole_number(value)
    return ExpectedAgents(source, count=count) if count else ExpectedAgents("unknown")


def _agent(value: Mapping[str, Any] | str) -> Agent:
    if isinstance(value, str):
        return Agent(printable(value))
    return Agent(printable(str(value.get("agent_id", ""))), printable(str(value.get("agent_name", ""))))


def _shown(value: Any) -> str:
    """A damaged value for an error."""
    return shorten(repr(value), 91)
