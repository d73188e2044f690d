"""Read the rounds of a test: what ThousandEyes shows before a run, and what has arrived since."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.api.coerce import short_text
from thousandeyes_provider.api.expected_agents import (
    UNKNOWN,
    Agent,
    ExpectedAgents,
    directions_of,
    expected_from_rows,
    expected_from_test,
    result_types_of,
    rows_per_agent,
)
from thousandeyes_provider.api.flows import Flow, Reconnect, TimeLeft
from thousandeyes_provider.api.poll_schedule import QuotaPace
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, Row
from thousandeyes_provider.api.rounds import (
    app_link,
    newest_round,
    round_length,
    round_of,
    window_back_to,
    window_seconds,
)
from thousandeyes_provider.api.run import Plan
from thousandeyes_provider.exceptions import (
    ThousandEyesApiError,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesNotFoundError,
    ThousandEyesRequestError,
)
from thousandeyes_provider.hooks import reads

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook
    from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook

AGENT_LOOKUP_TIMEOUT = 5.0
"""Seconds that the lookup of the states of missing agents may take: the evidence waits for it."""

SETTLED_ROUND_AGE = 300.0
"""Seconds after which a round counts as complete, so that its agents are those of the next round."""

_TYPES_WITH_ROW_COUNT = ("dns-server", "agent-to-agent")
"""Test types whose definition determines how many rows an agent has."""


@dataclass(frozen=True)
class PollResult:
    """What one poll returned.

    :param rows: the rows of each result type whose queries all succeeded, fresh or not.
    :param error: the last query that failed; ``None`` when all succeeded.
    """

    rows: Mapping[str, Sequence[Row]]
    error: ThousandEyesError | None = None


def poll_flow(
    reader: ResultsReader | AsyncResultsReader,
    plan: Plan,
    sent_at: float,
    time_left: TimeLeft | None,
    expand: Mapping[str, Sequence[str]] | None = None,
) -> Flow[PollResult]:
    """Read every result type of a plan once.

    A 404 means that there are no rows yet. Any other failed query is a warning, and its result type is left out. At the
    first 401 of a reader the connection is read again, in case its token was renewed.

    :param plan: the result types and their directions.
    :param sent_at: when the run call was sent, epoch seconds by ThousandEyes' clock.
    :param time_left: seconds until the deadline; no retry waits longer.
    :param expand: the ``expand`` parameter by result type.
    :raises ThousandEyesAuthError: on 403, and on a second 401.
    :raises ThousandEyesConfigurationError: when the connection that was read again is not usable.
    """
    hook, log = reader.hook, reader.log

    def query(result_type: str, direction: str | None) -> Flow[Mapping[str, Any] | ThousandEyesError]:
        # The window covers the run also when a retry sends the query at the deadline.
        latest = hook.server_now() + (max(time_left(), 0.0) if time_left else 0.0)
        try:
            return (
                yield from reads.get_test_results(
                    hook,
                    plan.test_id,
                    result_type,
                    window=window_back_to(sent_at, latest),
                    direction=direction,
                    expand=(expand or {}).get(result_type),
                    time_left=time_left,
                )
            )
        except ThousandEyesError as error:
            return error

    rows: dict[str, list[Row]] = {}
    failed: dict[str, ThousandEyesError] = {}
    for result_type, directions in plan.directions.items():
        rows[result_type] = []
        for direction in directions:
            outcome = yield from query(result_type, direction)
            is_refused = isinstance(outcome, ThousandEyesAuthError) and outcome.status == 401
            if is_refused and not reader.has_reconnected:
                reader.has_reconnected = True
                log.warning("401: reading the connection again in case its token was renewed: %s", outcome)
                yield Reconnect()
                outcome = yield from query(result_type, direction)
            if isinstance(outcome, ThousandEyesAuthError | ThousandEyesConfigurationError):
                raise outcome
            if not isinstance(outcome, ThousandEyesError):
                rows[result_type] += _with_direction(outcome["results"], direction)
            elif not isinstance(outcome, ThousandEyesNotFoundError):
                log.warning("Could not read the %s results, polling again: %s", result_type, outcome)
                failed[result_type] = outcome
    complete = {name: arrived for name, arrived in rows.items() if name not in failed}
    return PollResult(complete, next(reversed(failed.values()), None))


def plan_of_new(
    test_id: str,
    test_type: str,
    account_group_id: str | None,
    definition: Mapping[str, Any],
    *,
    result_types: Sequence[str] | None,
    expected: ExpectedAgents | None,
) -> Plan:
    """The plan for a test without rounds.

    :param test_id: empty when the test is yet to be created.
    :param definition: the definition, as far as it is known.
    :param result_types: the result types to wait for; the defaults of the test type when ``None``.
    :param expected: the agents that should report; those of the definition when ``None``.
    :raises ThousandEyesConfigurationError: when the test does not have a result type.
    """
    wanted = _wanted_result_types(test_type, result_types, definition)
    measured = TEST_TYPES[test_type].default
    unmeasured = [name for name in wanted if name not in measured and name in ("network", "path-vis")]
    if unmeasured and definition.get("networkMeasurements") is False:
        raise ThousandEyesConfigurationError(
            f"result_types {', '.join(unmeasured)}: networkMeasurements is false in the definition"
        )
    return Plan(
        test_id=test_id,
        test_type=test_type,
        account_group_id=account_group_id,
        directions={name: directions_of(test_type, name, definition) for name in wanted},
        rows_per_agent={name: rows_per_agent(test_type, name, definition, ()) for name in wanted},
        expected=expected or expected_from_test(definition),
        remembered=dict.fromkeys(wanted),
        test_name=str(definition.get("testName") or "")[:200],
    )


def _wanted_result_types(
    test_type: str, result_types: Sequence[str] | None, test: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """The result types to wait for.

    :raises ThousandEyesConfigurationError: when a test of this type does not have one of them.
    """
    wanted = tuple(result_types or result_types_of(test_type, test))
    unknown = [name for name in wanted if name not in TEST_TYPES[test_type].result_types]
    if unknown:
        raise ThousandEyesConfigurationError(
            f"result_types {', '.join(unknown)}: a test of type {test_type} has only "
            f"{', '.join(TEST_TYPES[test_type].result_types)}"
        )
    return wanted


def _pace_after_response(
    pace: QuotaPace, hook: BlockingThousandEyesHook | ThousandEyesAsyncHook, plan: Plan
) -> QuotaPace:
    return pace.after_response(
        hook.quota().get("organization"),
        server_now=hook.server_now(),
        requests=sum(map(len, plan.directions.values())),
        reserved_share=hook.reserved_share,
    )


def _learned_rows_per_agent(
    test_type: str, result_type: str, test: Mapping[str, Any], rows: Sequence[Row], settled: bool
) -> int | None:
    """How many rows of a result type an agent has; ``None`` when only an unsettled round shows it."""
    count = rows_per_agent(test_type, result_type, test, rows)
    return count if settled or count == rows_per_agent(test_type, result_type, test, ()) else None


def _with_direction(rows: Sequence[Row], direction: str | None) -> list[Row]:
    """Rows with the direction that they were queried with, where they have none."""
    return [{"direction": direction, **row} for row in rows] if direction else list(rows)


@dataclass
class ResultsReader:
    """Read the rounds of a test.

    :param hook: the hook that sends the requests.
    :param log: where the reader logs.
    :param time_left: seconds that are left for the reads before the run; unlimited when ``None``.
    :param expand: the ``expand`` parameter by result type.
    :param newest: the rows of the newest rounds before the run, by result type.
    :param pace: the pace that the quota allowed after the last response.
    :param has_reconnected: whether the connection was read again because ThousandEyes refused its token.
    """

    hook: BlockingThousandEyesHook
    log: logging.Logger | Any
    time_left: Callable[[], float] | None = None
    expand: Mapping[str, Sequence[str]] = field(default_factory=dict)
    newest: Mapping[str, Sequence[Row]] = field(default_factory=dict, init=False)
    pace: QuotaPace = field(default_factory=QuotaPace, init=False)
    has_reconnected: bool = field(default=False, init=False)

    # -- before the run ------------------------------------------------------------------------------------------

    def plan(
        self,
        test_id: str,
        *,
        test_type: str | None,
        result_types: Sequence[str] | None,
        expected: ExpectedAgents | None,
    ) -> Plan:
        """Read what has to be known before a test is run, with as few requests as possible.

        :param test_id: the test.
        :param test_type: the type; read from ThousandEyes when ``None``.
        :param result_types: the result types to wait for; the defaults of the test type when ``None``.
        :param expected: the agents that should report. When ``None``: the agents of the definition, else those of the
            newest round when it is at least 5 minutes old, else unknown.
        :raises ThousandEyesConfigurationError: when the type cannot be determined or is not that of the test.
        :raises ThousandEyesError: when a read fails.
        """
        known: Mapping[str, Any] = {}
        if test_type is None:
            test_type, known = self.find_test_type(test_id)
        if expected is None or test_type in _TYPES_WITH_ROW_COUNT:
            known = {**known, **(self.definition(test_id, test_type) or {})}
        wanted = _wanted_result_types(test_type, result_types, known)
        rows, known = self._newest_rounds(test_id, test_type, wanted, known)
        self.newest = rows
        actual_type = short_text(known.get("type"))
        if actual_type in TEST_TYPES and actual_type != test_type:
            raise ThousandEyesConfigurationError(
                f"test_type {test_type!r}: test {test_id} is of type {actual_type!r}"
            )
        settled = self._are_settled(rows)
        if expected is None:
            expected = expected_from_test(known)
        if expected == UNKNOWN and settled:
            expected = expected_from_rows([row for of_type in rows.values() for row in of_type])
        link = next((href for of_type in rows.values() for row in of_type if (href := app_link(row))), "")
        return Plan(
            test_id=test_id,
            test_type=test_type,
            account_group_id=self.hook.account_group_id,
            directions={name: directions_of(test_type, name, known) for name in wanted},
            rows_per_agent={
                name: _learned_rows_per_agent(test_type, name, known, rows[name], settled) for name in wanted
            },
            expected=expected,
            remembered={name: newest_round(of_type) for name, of_type in rows.items()},
            round_length=round_length(row for of_type in rows.values() for row in of_type)
            if settled
            else None,
            test_name=short_text(known.get("testName")),
            test_link=link,
        )

    def remember(self, plan: Plan) -> Plan:
        """The plan with the rounds that are the newest now."""
        rows = {
            name: self._read_rows(plan.test_id, name, directions, time_left=self.time_left)[0]
            for name, directions in plan.directions.items()
        }
        return replace(plan, remembered={name: newest_round(of_type) for name, of_type in rows.items()})

    def find_test_type(self, test_id: str) -> tuple[str, Mapping[str, Any]]:
        """The type of a test, from ``GET /tests``, else from the first results that the test has.

        :return: the type, and the test as the response has it.
        :raises ThousandEyesConfigurationError: when the type cannot be determined or has no instant form.
        """
        try:
            for test in self.hook.list_tests(time_left=self.time_left):
                if short_text(test.get("testId")) == test_id:
                    return self._instant_type(test_id, test.get("type"), "GET /tests"), test
        except (ThousandEyesNotFoundError, ThousandEyesRequestError) as error:
            self.log.info("Could not determine the test type from GET /tests: %s", error)
        except ThousandEyesAuthError as error:
            if error.status != 403:
                raise
            self.log.info("The token has no permission for GET /tests: %s", error)
        for result_type in RESULT_TYPES:
            try:
                test = self.hook.get_test_results(test_id, result_type, time_left=self.time_left)["test"]
            except (ThousandEyesNotFoundError, ThousandEyesRequestError):
                continue
            if test.get("type"):
                return self._instant_type(test_id, test["type"], f"its {result_type} results"), test
        raise ThousandEyesConfigurationError(
            f"Could not determine the type of test {test_id}: it is not in GET /tests and has no results. "
            f"Check the id and the account group ({self.hook.account_group_id or 'the default of the token'}), "
            f"or set test_type= to one of {', '.join(TEST_TYPES)}"
        )

    def _instant_type(self, test_id: str, test_type: Any, source: str) -> str:
        name = short_text(test_type)
        if name not in TEST_TYPES:
            raise ThousandEyesConfigurationError(
                f"Test {test_id} is of type {name!r}, which has no instant tests; expected one of "
                f"{', '.join(TEST_TYPES)}"
            )
        self.log.info("Test %s: type %s (from %s)", test_id, name, source)
        return name

    def definition(self, test_id: str, test_type: str) -> Mapping[str, Any] | None:
        """The definition of a test; ``None`` when ThousandEyes does not return it."""
        try:
            return self.hook.get_test(test_id, test_type, time_left=self.time_left)
        except ThousandEyesApiError as error:
            if error.status not in (400, 403, 404):
                raise
            self.log.info("The definition of test %s is not available: %s", test_id, error)
            return None

    def _are_settled(self, rows: Mapping[str, Sequence[Row]]) -> bool:
        """Whether the newest round is so old that no agent reports for it any more."""
        newest = newest_round(row for of_type in rows.values() for row in of_type)
        return newest is not None and self.hook.server_now() - newest >= SETTLED_ROUND_AGE

    def _newest_rounds(
        self, test_id: str, test_type: str, wanted: Sequence[str], known: Mapping[str, Any]
    ) -> tuple[dict[str, list[Row]], Mapping[str, Any]]:
        """The rows of the newest rounds, and ``known`` with the fields of the test in the responses."""
        rows: dict[str, list[Row]] = {}
        for result_type in wanted:
            directions = directions_of(test_type, result_type, known)
            of_type, test = self._read_rows(test_id, result_type, directions, time_left=self.time_left)
            newest = newest_round(of_type)
            rows[result_type] = [row for row in of_type if round_of(row) == newest]
            known = {**test, **known}
        return rows, known

    def _read_rows(
        self,
        test_id: str,
        result_type: str,
        directions: Sequence[str | None],
        *,
        window: str | None = None,
        time_left: TimeLeft | None = None,
    ) -> tuple[list[Row], Mapping[str, Any]]:
        """The rows of a result type, by default of the newest round, and the test as the responses have it."""
        rows: list[Row] = []
        test: Mapping[str, Any] = {}
        for direction in directions:
            try:
                response = self.hook.get_test_results(
                    test_id,
                    result_type,
                    window=window,
                    direction=direction,
                    expand=self.expand.get(result_type),
                    time_left=time_left,
                )
            except ThousandEyesNotFoundError:
                continue
            rows += _with_direction(response["results"], direction)
            test = test or response["test"]
        return rows, test

    # -- after the run -------------------------------------------------------------------------------------------

    def update_pace(self, plan: Plan) -> None:
        """Set the pace by the newest response.

        :param plan: the plan of the run: its queries are the requests of a poll.
        """
        self.pace = _pace_after_response(self.pace, self.hook, plan)

    def poll(self, plan: Plan, sent_at: float, time_left: Callable[[], float] | None = None) -> PollResult:
        """Read every result type of a plan once.

        :param plan: the result types and their directions.
        :param sent_at: when the run call was sent, epoch seconds by ThousandEyes' clock.
        :param time_left: seconds until the deadline; no retry waits longer.
        :raises ThousandEyesAuthError: see :func:`poll_flow`.
        """
        result = self.hook.drive(poll_flow(self, plan, sent_at, time_left, self.expand))
        self.update_pace(plan)
        return result

    def history(
        self, plan: Plan, test_id: str, result_types: Sequence[str], window: str, end: float
    ) -> dict[str, list[Row]]:
        """The rows of the rounds of a test in the window before a time.

        :param plan: the plan of our run: its directions.
        :param test_id: the test whose history is read: the one that was run, or another.
        :param result_types: the result types to read.
        :param window: how far to reach back, for example ``24h``.
        :param end: the newest round to read, epoch seconds by ThousandEyes' clock.
        :raises ThousandEyesError: when a read fails.
        """
        rows: dict[str, list[Row]] = {}
        reach = f"{math.ceil(window_seconds(window) + max(self.hook.server_now() - end, 0.0))}s"
        for result_type in result_types:
            directions = plan.directions.get(result_type, (None,))
            of_type, _ = self._read_rows(test_id, result_type, directions, window=reach)
            rows[result_type] = [row for row in of_type if (at := round_of(row)) is not None and at <= end]
        return rows

    def agent_states(self, agents: Sequence[Agent]) -> dict[Agent, str | None]:
        """The states of some agents: ``online``, ``offline``, ``disabled``, or ``unknown`` for one that is not listed.

        All are ``None`` when the agents cannot be listed: the evidence does not depend on that request.
        """
        if not agents:
            return {}
        try:
            ends = time.monotonic() + AGENT_LOOKUP_TIMEOUT
            listed = self.hook.list_agents(time_left=lambda: ends - time.monotonic())
        except ThousandEyesError as error:
            self.log.warning("Could not read the states of %d missing agents: %s", len(agents), error)
            return dict.fromkeys(agents)
        by_id: dict[str, str] = {}
        by_name: dict[str, str] = {}
        for entry in listed:
            agent = Agent(short_text(entry.get("agentId")), short_text(entry.get("agentName")))
            state = _agent_state(entry)
            by_id.setdefault(agent.agent_id, state)
            by_name.setdefault(agent.folded_name(), state)
        return {
            agent: (
                by_id.get(agent.agent_id, "unknown")
                if agent.agent_id
                else by_name.get(agent.folded_name(), "unknown")
            )
            for agent in agents
        }


@dataclass
class AsyncResultsReader:
    """Poll the rounds of a test without blocking an event loop.

    :param hook: the hook that sends the requests.
    :param log: where the reader logs.
    :param pace: the pace that the quota allowed after the last response.
    """

    hook: ThousandEyesAsyncHook
    log: logging.Logger | Any
    pace: QuotaPace = field(default_factory=QuotaPace)
    has_reconnected: bool = field(default=False, init=False)

    async def poll(
        self, plan: Plan, sent_at: float, time_left: Callable[[], float] | None = None
    ) -> PollResult:
        """Read every result type of a plan once; see :meth:`ResultsReader.poll`."""
        result = await self.hook.drive(poll_flow(self, plan, sent_at, time_left))
        self.pace = _pace_after_response(self.pace, self.hook, plan)
        return result


def _agent_state(listed: Mapping[str, Any]) -> str:
    if listed.get("enabled") is False:
        return "disabled"
    return short_text(listed.get("agentState")) or "online"
