"""Read the rounds of a test: what ThousandEyes shows before a run, and what has arrived since."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
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
    from thousandeyes_provider.hooks.base_hook import BaseThousandEyesHook
    from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook

AGENT_LOOKUP_TIMEOUT = 5.0
"""Seconds that the lookup of the states of missing agents may take: the evidence waits for it."""

SETTLED_ROUND_AGE = 300.0
"""Seconds after which a round counts as complete, so that its agents are those of the next round."""

LATE_MEASUREMENTS = 900
"""Seconds that a read goes beyond its last round: agents measure up to minutes after the round began."""

_TYPES_WITH_ROW_COUNT = ("dns-server", "agent-to-agent")
"""Test types whose definition determines the number of rows per agent."""


@dataclass(frozen=True)
class PollResult:
    """What one poll returned.

    :param rows: the rows of each result type whose queries all succeeded, fresh or not.
    :param error: the last query that failed; ``None`` when all succeeded.
    """

    rows: Mapping[str, Sequence[Row]]
    error: ThousandEyesError | None = None


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

    :raises ThousandEyesConfigurationError: for a result type that a test of this type does not have.
    """
    wanted = tuple(result_types or result_types_of(test_type, test))
    unknown = [name for name in wanted if name not in TEST_TYPES[test_type].result_types]
    if unknown:
        raise ThousandEyesConfigurationError(
            f"result_types {', '.join(unknown)}: a test of type {test_type} has only "
            f"{', '.join(TEST_TYPES[test_type].result_types)}"
        )
    return wanted


def _learned_rows_per_agent(
    test_type: str, result_type: str, test: Mapping[str, Any], rows: Sequence[Row], settled: bool
) -> int | None:
    """Return the rows per agent of a result type; ``None`` if only an unsettled round has rows."""
    count = rows_per_agent(test_type, result_type, test, rows)
    return count if settled or count == rows_per_agent(test_type, result_type, test, ()) else None


def _with_direction(rows: Sequence[Row], direction: str | None) -> list[Row]:
    """Rows with the direction that they were queried with, where they have none."""
    return [{"direction": direction, **row} for row in rows] if direction else list(rows)


@dataclass
class RoundPoller:
    """Poll the rounds of a test, with either hook.

    :param pace: the pace that the quota allowed after the last response.
    :param expand: the ``expand`` parameter by result type.
    :param has_reconnected: whether the connection was read again because ThousandEyes refused its token.
    """

    hook: BaseThousandEyesHook
    log: logging.Logger | Any
    pace: QuotaPace = field(default_factory=QuotaPace)
    expand: Mapping[str, Sequence[str]] = field(default_factory=dict)
    has_reconnected: bool = field(default=False, init=False)

    def poll_flow(self, plan: Plan, sent_at: float, time_left: TimeLeft | None) -> Flow[PollResult]:
        """Read every result type of a plan once.

        A 404 means that there are no rows yet. Any other failed query is a warning, and its result type is left out.
        At the first 401 the connection is read again, in case its token was renewed.

        :param sent_at: when the run call was sent, epoch seconds by ThousandEyes' clock.
        :param time_left: seconds until the deadline; no retry waits longer.
        :raises ThousandEyesAuthError: on 403, and on a second 401.
        :raises ThousandEyesConfigurationError: when the connection that was read again is not usable.
        """
        rows: dict[str, list[Row]] = {name: [] for name in plan.directions}
        failed: dict[str, ThousandEyesError] = {}
        for result_type, directions in plan.directions.items():
            for direction in directions:
                try:
                    response = yield from self._query(
                        plan.test_id, result_type, direction, sent_at, time_left
                    )
                    rows[result_type] += _with_direction(response["results"], direction)
                except ThousandEyesNotFoundError:
                    continue
                except (ThousandEyesAuthError, ThousandEyesConfigurationError):
                    raise
                except ThousandEyesError as error:
                    self.log.warning("Could not read the %s results, polling again: %s", result_type, error)
                    failed[result_type] = error
        self.update_pace(plan)
        complete = {name: arrived for name, arrived in rows.items() if name not in failed}
        return PollResult(complete, next(reversed(failed.values()), None))

    def _query(
        self,
        test_id: str,
        result_type: str,
        direction: str | None,
        sent_at: float,
        time_left: TimeLeft | None,
    ) -> Flow[Mapping[str, Any]]:
        def query() -> Flow[Mapping[str, Any]]:
            # The window covers the run also when a retry sends the query at the deadline.
            latest = self.hook.server_now() + (max(time_left(), 0.0) if time_left else 0.0)
            return reads.get_test_results(
                self.hook,
                test_id,
                result_type,
                window=window_back_to(sent_at, latest),
                direction=direction,
                expand=self.expand.get(result_type),
                time_left=time_left,
            )

        try:
            return (yield from query())
        except ThousandEyesAuthError as error:
            if error.status != 401 or self.has_reconnected:
                raise
            self.log.warning("401: reading the connection again in case its token was renewed: %s", error)
        self.has_reconnected = True
        yield Reconnect()
        return (yield from query())

    def update_pace(self, plan: Plan) -> None:
        """Set the pace by the newest response.

        :param plan: the plan of the run: its queries are the requests of a poll.
        """
        self.pace = self.pace.after_response(
            self.hook.quota().get("organization"),
            server_now=self.hook.server_now(),
            requests=sum(map(len, plan.directions.values())),
            reserved_share=self.hook.reserved_share,
        )


@dataclass
class AsyncResultsReader(RoundPoller):
    """Poll the rounds of a test without blocking an event loop."""

    hook: ThousandEyesAsyncHook

    async def poll(self, plan: Plan, sent_at: float, time_left: TimeLeft | None = None) -> PollResult:
        """Read every result type of a plan once; see :meth:`RoundPoller.poll_flow`."""
        return await self.hook.drive(self.poll_flow(plan, sent_at, time_left))


@dataclass
class ResultsReader(RoundPoller):
    """Read the rounds of a test, before the run and after it.

    :param time_left: seconds that are left for the reads before the run; unlimited when ``None``.
    :param newest: the rows of the newest rounds before the run, by result type.
    """

    hook: BlockingThousandEyesHook
    time_left: TimeLeft | None = None
    newest: Mapping[str, Sequence[Row]] = field(default_factory=dict, init=False)

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
        self.newest, known = self._newest_rounds(test_id, test_type, wanted, known)
        actual_type = short_text(known.get("type"))
        if actual_type in TEST_TYPES and actual_type != test_type:
            raise ThousandEyesConfigurationError(
                f"test_type {test_type!r}: test {test_id} is of type {actual_type!r}"
            )
        rows = [row for of_type in self.newest.values() for row in of_type]
        newest = newest_round(rows)
        settled = newest is not None and self.hook.server_now() - newest >= SETTLED_ROUND_AGE
        expected = expected or expected_from_test(known)
        return Plan(
            test_id=test_id,
            test_type=test_type,
            account_group_id=self.hook.account_group_id,
            directions={name: directions_of(test_type, name, known) for name in wanted},
            rows_per_agent={
                name: _learned_rows_per_agent(test_type, name, known, self.newest[name], settled)
                for name in wanted
            },
            expected=expected_from_rows(rows) if expected == UNKNOWN and settled else expected,
            remembered={name: newest_round(of_type) for name, of_type in self.newest.items()},
            round_length=round_length(rows) if settled else None,
            test_name=short_text(known.get("testName")),
            test_link=next((link for row in rows if (link := app_link(row))), ""),
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
        start_date: datetime | None = None,
        end_date: datetime | None = None,
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
                    start_date=start_date,
                    end_date=end_date,
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

    def poll(self, plan: Plan, sent_at: float, time_left: TimeLeft | None = None) -> PollResult:
        """Read every result type of a plan once; see :meth:`RoundPoller.poll_flow`."""
        return self.hook.drive(self.poll_flow(plan, sent_at, time_left))

    def history(
        self, plan: Plan, test_id: str, result_types: Sequence[str], window: str, end: float
    ) -> dict[str, list[Row]]:
        """The rows of the rounds of a test in the window before a time.

        :param plan: the plan of our run: its directions.
        :param test_id: the test whose history is read: the one that was run, or another.
        :param window: period before the run, for example ``24h``.
        :param end: the newest round to read, epoch seconds by ThousandEyes' clock.
        :raises ThousandEyesError: when a read fails.
        """
        rows: dict[str, list[Row]] = {}
        end = min(end, self.hook.server_now())
        start = datetime.fromtimestamp(max(end - window_seconds(window), 0.0), UTC)
        last = datetime.fromtimestamp(end + LATE_MEASUREMENTS, UTC)
        for result_type in result_types:
            directions = plan.directions.get(result_type, (None,))
            of_type, _ = self._read_rows(test_id, result_type, directions, start_date=start, end_date=last)
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
        states: dict[tuple[str, str], str] = {}
        for entry in reversed(listed):  # of agents of one name, the first counts
            agent = Agent(short_text(entry.get("agentId")), short_text(entry.get("agentName")))
            states["id", agent.agent_id] = states["name", agent.folded_name()] = _agent_state(entry)

        def state(agent: Agent) -> str:
            key = ("id", agent.agent_id) if agent.agent_id else ("name", agent.folded_name())
            return states.get(key, "unknown")

        return {agent: state(agent) for agent in agents}


def _agent_state(listed: Mapping[str, Any]) -> str:
    if listed.get("enabled") is False:
        return "disabled"
    return short_text(listed.get("agentState")) or "online"
