"""Reading rounds through the hook: what there was before a run, and what has come of it since."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.api.coerce import short_text
from thousandeyes_provider.api.expected_agents import (
    Agent,
    ExpectedAgents,
    directions_of,
    expected_from_rows,
    expected_from_test,
    result_types_of,
    rows_per_agent,
)
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, Row
from thousandeyes_provider.api.rounds import app_link, newest_round, round_of, window_back_to
from thousandeyes_provider.api.run import Plan
from thousandeyes_provider.exceptions import (
    ThousandEyesApiError,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesNotFoundError,
    ThousandEyesRequestError,
)

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook
    from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

EXPLAINING = 5.0
"""Seconds that learning the state of missing agents may take: the evidence waits for it."""

IN_PROGRESS = 60.0
"""Seconds for which a round may still be incomplete, so that its agents say nothing of who should report."""

_MULTIPLIED = ("dns-server", "agent-to-agent")
"""Test types of which the definition says how many rows an agent has."""


@dataclass
class TokenRefresh:
    """Whether the connection was read once more because its token was refused; that is done once for a wait."""

    done: bool = False


class PollResult:
    """One look at the results, told what each read gave. Both hooks' readers use it.

    :param plan: which result types to look at, in which directions.
    :param log: where it says what could not be read.
    :param renewal: whether the token was renewed already.
    """

    def __init__(self, plan: Plan, log: Any, renewal: TokenRefresh) -> None:
        self.queries = [(name, direction) for name, found in plan.directions.items() for direction in found]
        """What to read: result type and direction of each query."""
        self.error: ThousandEyesError | None = None
        """The last read that failed."""
        self._log = log
        self._renewal = renewal
        self._rows: dict[str, list[Row]] = {}
        self._failed: set[str] = set()

    def answered(self, result_type: str, direction: str | None, rows: Sequence[Row]) -> None:
        """Take the rows of one query."""
        self._rows.setdefault(result_type, []).extend(_directed(rows, direction))

    def failed(self, result_type: str, error: ThousandEyesError) -> bool:
        """Take the error of one query. 404 means "not yet"; any other is no verdict, and a warning.

        :return: whether to read the connection again, and ask once more: at the first 401, in case the token was
            renewed.
        :raises ThousandEyesAuthError: on 403, and on a second 401.
        :raises ThousandEyesConfigurationError: when the connection that was read again is not usable.
        """
        if isinstance(error, ThousandEyesNotFoundError):
            self._rows.setdefault(result_type, [])
            return False
        if isinstance(error, ThousandEyesConfigurationError):
            raise error
        if isinstance(error, ThousandEyesAuthError):
            if error.status != 401 or self._renewal.done:
                raise error
            self._renewal.done = True
            self._log.warning(
                "The token was refused; reading the connection once more, it may be new: %s", error
            )
            return True
        self._log.warning("The %s results could not be read this time: %s", result_type, error)
        self._failed.add(result_type)
        self.error = error
        return False

    def rows(self) -> dict[str, list[Row]]:
        """The rows of each result type of which every query was answered, fresh or not."""
        return {name: rows for name, rows in self._rows.items() if name not in self._failed}


def plan_of_new(
    test_id: str,
    test_type: str,
    account_group_id: str | None,
    definition: Mapping[str, Any],
    *,
    result_types: Sequence[str] | None,
    expected: ExpectedAgents | None,
) -> Plan:
    """The plan for a test that has no rounds yet.

    :param test_id: empty when it is yet to be created.
    :param definition: what is known of it.
    :param result_types: what to wait for, if the DAG says it.
    :param expected: who should report, if the DAG says it.
    :raises ThousandEyesConfigurationError: when a result type does not fit.
    """
    wanted = _wanted(test_type, result_types, definition)
    measured = TEST_TYPES[test_type].default
    unmeasured = [name for name in wanted if name not in measured and name in ("network", "path-vis")]
    if unmeasured and definition.get("networkMeasurements") is False:
        raise ThousandEyesConfigurationError(
            f"result_types {', '.join(unmeasured)}: the definition says networkMeasurements is false"
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


def _wanted(
    test_type: str, result_types: Sequence[str] | None, known: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """The result types to wait for.

    :raises ThousandEyesConfigurationError: when a test of this type does not have one that the DAG names.
    """
    wanted = tuple(result_types or result_types_of(test_type, known))
    unfit = [name for name in wanted if name not in TEST_TYPES[test_type].result_types]
    if unfit:
        raise ThousandEyesConfigurationError(
            f"result_types {', '.join(unfit)}: a test of type {test_type} has only "
            f"{', '.join(TEST_TYPES[test_type].result_types)}"
        )
    return wanted


def _window(since: float, now: float, time_left: Callable[[], float] | None) -> str:
    """The window of a read that may be sent later than now: it still reaches back to the run at the deadline."""
    return window_back_to(since, now + (max(time_left(), 0.0) if time_left else 0.0))


def _directed(rows: Sequence[Row], direction: str | None) -> list[Row]:
    """Rows that say which direction they were asked for in."""
    return [{"direction": direction, **row} for row in rows] if direction else list(rows)


@dataclass
class ResultsReader:
    """Reads the rounds of a test.

    :param hook: what it reads through.
    :param log: where it says what it does.
    :param time_left: seconds that are left for what is read before the run.
    :param expand: what to ask for in addition, by result type.
    """

    hook: ThousandEyesHook
    log: logging.Logger | Any
    time_left: Callable[[], float] | None = None
    expand: Mapping[str, Sequence[str]] = field(default_factory=dict)
    newest: Mapping[str, Sequence[Row]] = field(default_factory=dict, init=False)
    _renewal: TokenRefresh = field(default_factory=TokenRefresh, init=False)

    # -- before the run ------------------------------------------------------------------------------------------

    def plan(
        self,
        test_id: str,
        *,
        test_type: str | None,
        result_types: Sequence[str] | None,
        expected: ExpectedAgents | None,
    ) -> Plan:
        """Learn what has to be known before a test is run, with as few requests as that takes.

        :param test_id: the test.
        :param test_type: the type, if the DAG says it.
        :param result_types: what to wait for, if the DAG says it; else what is judged by default for the type.
        :param expected: who should report, if the DAG says it.
        :raises ThousandEyesConfigurationError: when the type cannot be learned, or does not fit.
        :raises ThousandEyesError: when ThousandEyes does not let us read.
        """
        known: Mapping[str, Any] = {}
        if test_type is None:
            test_type, known = self.learn_type(test_id)
        if expected is None or test_type in _MULTIPLIED:
            known = {**known, **(self.definition(test_id, test_type) or {})}
        wanted = _wanted(test_type, result_types, known)
        rows, known = self._newest(test_id, test_type, wanted, known)
        self.newest = rows
        told = short_text(known.get("type"))
        if told in TEST_TYPES and told != test_type:
            raise ThousandEyesConfigurationError(
                f"test_type {test_type!r}: ThousandEyes says that test {test_id} is of type {told!r}"
            )
        if expected is None:
            expected = expected_from_test(known)
        if expected.source == "unknown":
            newest = max(
                (at for found in rows.values() if (at := newest_round(found)) is not None), default=None
            )
            if newest is not None and self.hook.server_now() - newest > IN_PROGRESS:
                expected = expected_from_rows([row for found in rows.values() for row in found])
        link = next((href for found in rows.values() for row in found if (href := app_link(row))), "")
        plan = Plan(
            test_id=test_id,
            test_type=test_type,
            account_group_id=self.hook.account_group_id,
            directions={name: directions_of(test_type, name, known) for name in wanted},
            rows_per_agent={name: rows_per_agent(test_type, name, known, rows[name]) for name in wanted},
            expected=expected,
            remembered={name: newest_round(found) for name, found in rows.items()},
            test_name=short_text(known.get("testName")),
            test_link=link,
        )
        return plan

    def remember(self, plan: Plan) -> Plan:
        """The plan with the newest rounds of now."""
        rows = {
            name: self._newest_rows(plan.test_id, name, found)[0] for name, found in plan.directions.items()
        }
        return replace(plan, remembered={name: newest_round(found) for name, found in rows.items()})

    def learn_type(self, test_id: str) -> tuple[str, Mapping[str, Any]]:
        """The type of a test: from the list of tests, else from whichever results it has; and what is known of it then.

        :raises ThousandEyesConfigurationError: when it cannot be learned, or has no instant form.
        """
        known = ", ".join(TEST_TYPES)
        try:
            for test in self.hook.list_tests(time_left=self.time_left):
                if short_text(test.get("testId")) == test_id:
                    return self._fit(test_id, test.get("type"), "the list of tests"), test
        except (ThousandEyesNotFoundError, ThousandEyesRequestError) as error:
            self.log.info("The list of tests does not help: %s", error)
        except ThousandEyesAuthError as error:
            if error.status != 403:
                raise
            self.log.info("The list of tests is not open to this token: %s", error)
        for result_type in RESULT_TYPES:
            try:
                test = self.hook.get_test_results(test_id, result_type, time_left=self.time_left)["test"]
            except (ThousandEyesNotFoundError, ThousandEyesRequestError):
                continue
            if test.get("type"):
                return self._fit(test_id, test["type"], f"its {result_type} results"), test
        raise ThousandEyesConfigurationError(
            f"The type of test {test_id} cannot be learned: it is not in the list of tests, and has no results. "
            f"Check the id and the account group ({self.hook.account_group_id or 'the default of the token'}), "
            f"or give test_type=, one of {known}"
        )

    def _fit(self, test_id: str, told: Any, source: str) -> str:
        test_type = short_text(told)
        if test_type not in TEST_TYPES:
            raise ThousandEyesConfigurationError(
                f"Test {test_id} is of type {test_type!r}, of which there are no instant tests; "
                f"one of {', '.join(TEST_TYPES)}"
            )
        self.log.info("Test %s is of type %s, says %s", test_id, test_type, source)
        return test_type

    def definition(self, test_id: str, test_type: str) -> Mapping[str, Any] | None:
        """The test's definition, where ThousandEyes gives it."""
        try:
            return self.hook.get_test(test_id, test_type, time_left=self.time_left)
        except ThousandEyesApiError as error:
            if error.status not in (400, 403, 404):
                raise
            self.log.info("The definition of test %s is not to be had: %s", test_id, error)
            return None

    def _newest(
        self, test_id: str, test_type: str, wanted: Sequence[str], known: Mapping[str, Any]
    ) -> tuple[dict[str, list[Row]], Mapping[str, Any]]:
        """The rows of the newest rounds, and what is known of the test with what its results say of it."""
        rows: dict[str, list[Row]] = {}
        for result_type in wanted:
            directions = directions_of(test_type, result_type, known)
            found, test = self._newest_rows(test_id, result_type, directions)
            newest = newest_round(found)
            rows[result_type] = [row for row in found if round_of(row) == newest]
            known = {**test, **known}
        return rows, known

    def _newest_rows(
        self, test_id: str, result_type: str, directions: Sequence[str | None]
    ) -> tuple[list[Row], Mapping[str, Any]]:
        rows: list[Row] = []
        test: Mapping[str, Any] = {}
        for direction in directions:
            try:
                found = self.hook.get_test_results(
                    test_id,
                    result_type,
                    direction=direction,
                    expand=self.expand.get(result_type),
                    time_left=self.time_left,
                )
            except ThousandEyesNotFoundError:
                continue
            rows += found["results"]
            test = test or found["test"]
        return rows, test

    # -- after the run -------------------------------------------------------------------------------------------

    def look(self, plan: Plan, since: float, time_left: Callable[[], float] | None = None) -> PollResult:
        """One look at every result type of ``plan``.

        :param plan: which result types, in which directions.
        :param since: when the run was accepted, epoch seconds by ThousandEyes' clock.
        :param time_left: seconds until the deadline; no retry waits beyond that.
        :return: what was found.
        :raises ThousandEyesAuthError: see :meth:`PollResult.failed`.
        """
        look = PollResult(plan, self.log, self._renewal)
        for result_type, direction in look.queries:
            again = True
            while again:
                window = _window(since, self.hook.server_now(), time_left)
                try:
                    found = self.hook.get_test_results(
                        plan.test_id,
                        result_type,
                        window=window,
                        direction=direction,
                        expand=self.expand.get(result_type),
                        time_left=time_left,
                    )
                except ThousandEyesError as error:
                    again = look.failed(result_type, error)
                    if again:
                        self.hook.close()
                else:
                    look.answered(result_type, direction, found["results"])
                    again = False
        return look

    def history(
        self, plan: Plan, test_id: str, result_types: Sequence[str], window: str, started: float
    ) -> dict[str, list[Row]]:
        """The rows of a test's recent rounds, to compare our round with. Ours, and what came after it, is left out.

        :param plan: of our run: its directions, and the newest round before it.
        :param test_id: whose history; that of the test that was run, or of another.
        :param result_types: which results.
        :param window: how far to look back, such as ``24h``.
        :param started: when the run was accepted, epoch seconds by ThousandEyes' clock.
        :raises ThousandEyesError: when they cannot be read.
        """
        # A round of our own test is from before only when it was seen before: ids may be floored to the minute.
        remembered = max((at for at in plan.remembered.values() if at is not None), default=-1)
        last = remembered if test_id == plan.test_id else started
        rows: dict[str, list[Row]] = {}
        for result_type in result_types:
            found = rows.setdefault(result_type, [])
            for direction in plan.directions.get(result_type, (None,)):
                try:
                    told = self.hook.get_test_results(
                        test_id,
                        result_type,
                        window=window,
                        direction=direction,
                        expand=self.expand.get(result_type),
                    )["results"]
                except ThousandEyesNotFoundError:
                    continue
                found += _directed(told, direction)
            rows[result_type] = [row for row in found if (at := round_of(row)) is not None and at <= last]
        return rows

    def states(self, agents: Sequence[Agent]) -> dict[Agent, str | None]:
        """What ThousandEyes says of agents that are missing: ``online``, ``offline``, ``disabled``, or ``unknown``.

        ``None`` for all when the agents cannot be listed: a missing explanation is no reason to lose the evidence.
        """
        if not agents:
            return {}
        try:
            ends = time.monotonic() + EXPLAINING
            listed = self.hook.list_agents(time_left=lambda: ends - time.monotonic())
        except ThousandEyesError as error:
            self.log.warning("The state of the missing agents could not be learned: %s", error)
            return dict.fromkeys(agents)
        return {
            agent: next((_state(one) for one in listed if _is(agent, one)), "unknown") for agent in agents
        }


@dataclass
class AsyncResultsReader:
    """Looks at the rounds of one test without blocking an event loop.

    :param hook: what it reads through.
    :param log: where it says what could not be read.
    """

    hook: ThousandEyesAsyncHook
    log: logging.Logger | Any
    _renewal: TokenRefresh = field(default_factory=TokenRefresh, init=False)

    async def look(
        self, plan: Plan, since: float, time_left: Callable[[], float] | None = None
    ) -> PollResult:
        """One look at every result type of ``plan``; see :meth:`ResultsReader.look`."""
        look = PollResult(plan, self.log, self._renewal)
        for result_type, direction in look.queries:
            again = True
            while again:
                window = _window(since, self.hook.server_now(), time_left)
                try:
                    found = await self.hook.get_test_results(
                        plan.test_id, result_type, window=window, direction=direction, time_left=time_left
                    )
                except ThousandEyesError as error:
                    again = look.failed(result_type, error)
                    if again:
                        await self.hook.close()
                else:
                    look.answered(result_type, direction, found["results"])
                    again = False
        return look


def _is(agent: Agent, listed: Mapping[str, Any]) -> bool:
    if agent.agent_id:
        return short_text(listed.get("agentId")) == agent.agent_id
    return short_text(listed.get("agentName")).strip().casefold() == agent.agent_name.strip().casefold()


def _state(listed: Mapping[str, Any]) -> str:
    if listed.get("enabled") is False:
        return "disabled"
    return short_text(listed.get("agentState")) or "online"
