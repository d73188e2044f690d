"""What is known of a run: before it is sent (:class:`Plan`), and once it was accepted (:class:`RunHandle`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.coerce import number, short_text, whole_number
from thousandeyes_provider.api.expected_agents import DIRECTIONS, Agent, ExpectedAgents
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.api.rounds import YEAR_10000


@dataclass(frozen=True)
class Plan:
    """What was learned of a test before its run.

    :param test_id: the test.
    :param test_type: a key of :data:`~thousandeyes_provider.api.result_types.TEST_TYPES`.
    :param account_group_id: account group in force; ``None`` for the token's default.
    :param directions: the result types to wait for, and the ``direction`` of each query that it takes
        (``None``: without the parameter).
    :param rows_per_agent: how many rows of each result type an agent has; ``None`` when nobody knows.
    :param expected: who should report.
    :param remembered: newest round of each result type; ``None`` when there was none.
    :param test_name: empty when it is not known yet.
    :param test_link: deep link to the test; empty when it is not known yet.
    """

    test_id: str
    test_type: str
    account_group_id: str | None
    directions: Mapping[str, tuple[str | None, ...]]
    rows_per_agent: Mapping[str, int | None]
    expected: ExpectedAgents
    remembered: Mapping[str, int | None]
    test_name: str = ""
    test_link: str = field(default="", repr=False)


@dataclass(frozen=True)
class RunHandle:
    """A run that ThousandEyes accepted, and everything that is needed to wait for its round.

    Times are epoch seconds by ThousandEyes' clock.

    :param plan: what was learned before.
    :param accepted_at: when it was accepted.
    :param earliest_start: when its round can have begun at the earliest; before ``accepted_at`` when the answer to
        an earlier send was lost.
    :param deadline: until when its results are waited for.
    :param run_calls: how often it was sent.
    """

    plan: Plan
    accepted_at: float
    earliest_start: float
    deadline: float
    run_calls: int

    def to_json(self) -> dict[str, Any]:
        """The handle as a JSON object, for XCom."""
        plan = self.plan
        return {
            "test_id": plan.test_id,
            "test_type": plan.test_type,
            "test_name": plan.test_name,
            "account_group_id": plan.account_group_id,
            "accepted_at": self.accepted_at,
            "earliest_start": self.earliest_start,
            "deadline": self.deadline,
            "result_types": list(plan.directions),
            "directions": {name: list(found) for name, found in plan.directions.items()},
            "rows_per_agent": dict(plan.rows_per_agent),
            "remembered": dict(plan.remembered),
            "expected_agents": (
                [
                    {"agent_id": agent.agent_id, "agent_name": agent.agent_name}
                    for agent in plan.expected.agents
                ]
                or plan.expected.count
            ),
            "expected_source": plan.expected.source,
            "run_calls": self.run_calls,
            "test_link": plan.test_link,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> RunHandle:
        """The handle that :meth:`to_json` wrote.

        :raises ValueError: naming what is missing or wrong.
        """
        if not isinstance(told, Mapping):
            raise ValueError(f"a run handle is a JSON object, not {type(told).__name__}")
        needed = (
            "test_id",
            "test_type",
            "accepted_at",
            "deadline",
            "result_types",
            "remembered",
            "run_calls",
        )
        missing = [name for name in needed if name not in told]
        if missing:
            raise ValueError(f"the run handle has no {', '.join(missing)}")
        if str(told["test_type"]) not in TEST_TYPES:
            raise ValueError(
                f"test_type {told['test_type']!r} of the run handle is not one of {', '.join(TEST_TYPES)}"
            )
        result_types = told["result_types"]
        known = isinstance(result_types, list) and all(str(name) in RESULT_TYPES for name in result_types)
        if not known or not result_types:
            raise ValueError(
                f"result_types {result_types!r} of the run handle are not among {', '.join(RESULT_TYPES)}"
            )
        accepted_at, deadline = _time(told["accepted_at"]), _time(told["deadline"])
        if accepted_at is None or deadline is None:
            raise ValueError("accepted_at and deadline of the run handle are not epoch seconds")
        earliest = _time(told.get("earliest_start"))
        directions = _by_result_type(told, "directions")
        rows = _by_result_type(told, "rows_per_agent")
        remembered = _by_result_type(told, "remembered")
        return cls(
            Plan(
                test_id=str(told["test_id"]),
                test_type=told["test_type"],
                account_group_id=_account_group(told.get("account_group_id")),
                directions={name: _directions(directions.get(name)) for name in result_types},
                rows_per_agent={name: whole_number(rows.get(name, 1)) for name in result_types},
                expected=_expected(told.get("expected_agents"), str(told.get("expected_source", "unknown"))),
                remembered={name: whole_number(remembered.get(name)) for name in result_types},
                test_name=str(told.get("test_name", "")),
                test_link=str(told.get("test_link", "")),
            ),
            accepted_at=accepted_at,
            earliest_start=accepted_at if earliest is None else earliest,
            deadline=deadline,
            run_calls=whole_number(told["run_calls"]) or 1,
        )


def _time(told: Any) -> float | None:
    found = number(told)
    return found if found is not None and 0 <= found < YEAR_10000 else None


def _account_group(told: Any) -> str | None:
    if told is None or isinstance(told, str):
        return told
    if not short_text(told):
        raise ValueError(f"account_group_id of the run handle is {told!r}, expected an id")
    return short_text(told)


def _directions(told: Any) -> tuple[str | None, ...]:
    found = told or [None]
    if not isinstance(found, list) or not all(one in (None, *DIRECTIONS) for one in found):
        raise ValueError(
            f"directions of the run handle have {told!r}, expected a list of {', '.join(DIRECTIONS)}"
        )
    return tuple(found)


def _by_result_type(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} of the run handle is {found!r}, expected an object by result type")
    return found


def _expected(told: Any, source: str) -> ExpectedAgents:
    if isinstance(told, list):
        if not all(isinstance(agent, Mapping) for agent in told):
            raise ValueError(f"expected_agents of the run handle are {told!r}, expected objects")
        return ExpectedAgents.of(
            source,
            (Agent(str(agent.get("agent_id", "")), str(agent.get("agent_name", ""))) for agent in told),
        )
    count = whole_number(told)
    return ExpectedAgents(source, count=count) if count else ExpectedAgents("unknown")
