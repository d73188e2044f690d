"""The operations of ThousandEyes' API v7 that instant tests need, as blocking methods.

Operators use this class: the http provider's hook, which :class:`~.thousandeyes.ThousandEyesHook` extends, imports
``aiohttp``, and a task would import it before each run.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import BaseHook
from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.api.flows import (
    Clock,
    Flow,
    Pause,
    PausedCall,
    Reconnect,
    Send,
    TimeLeft,
    start_flow,
)
from thousandeyes_provider.api.response import NoResponse, Response, iso_time
from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.api.retry import Wait
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesRequestError,
)
from thousandeyes_provider.hooks import reads
from thousandeyes_provider.hooks.base_hook import SYSTEM_CLOCK, BaseThousandEyesHook, mask_secret
from thousandeyes_provider.hooks.connection import ConnectionSettings
from thousandeyes_provider.hooks.transport import open_session, send

if TYPE_CHECKING:
    from requests import Session


P = ParamSpec("P")
T = TypeVar("T")

SNAPSHOT_HOURS = (1, 2, 4, 6, 12, 24, 48)
"""Lengths of a snapshot, hours (docs/thousandeyes-api.md, "Snapshots")."""

_NEVER_REPEAT = "not sent again, because a definition without testName cannot be verified"


@dataclass(frozen=True)
class RunCall:
    """A run that ThousandEyes accepted. Times are epoch seconds of ThousandEyes' clock.

    :param sent_at: when the call that counts was sent, as a lower bound: the round cannot have started before. This is
        the first call whose response was lost, if a response was lost, else the accepted call.
    :param accepted_at: when the response arrived; ``sent_at`` when the response was lost.
    :param sent: number of times that the call was sent.
    """

    sent_at: float
    accepted_at: float
    sent: int


def blocking(flow: Callable[Concatenate[Any, P], Flow[T]]) -> Callable[Concatenate[Any, P], T]:
    """A method of the blocking hook that runs a flow to its result."""

    @functools.wraps(flow)
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = self.drive(flow(self, *args, **kwargs))
        return result

    return method


class BlockingThousandEyesHook(BaseThousandEyesHook, BaseHook):
    """The blocking operations; :class:`~.thousandeyes.ThousandEyesHook` documents rules and parameters."""

    def __init__(
        self,
        thousandeyes_conn_id: str = "thousandeyes_default",
        account_group_id: str | int | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        BaseHook.__init__(self)
        BaseThousandEyesHook.__init__(self, thousandeyes_conn_id, account_group_id, clock)
        self.sleep = sleep
        self._session: Session | None = None

    # -- the connection ------------------------------------------------------------------------------------------

    @property
    def settings(self) -> ConnectionSettings:
        """The settings of the connection; read with the first use.

        :raises ThousandEyesConfigurationError: when a field is invalid.
        """
        if self._settings is None:
            connection = self.get_connection(self.thousandeyes_conn_id)
            self._settings = self.read_settings(connection, connection.extra_dejson)
            for secret in self._settings.secrets:
                mask_secret(secret)
        return self._settings

    def get_conn(self) -> Session:
        """The HTTP session of this hook: one for its life, with the token and the options of the connection."""
        if self._session is None:
            self._session = open_session(self.settings)
        return self._session

    def close(self) -> None:
        """Close the HTTP session; the next request reads the connection again and opens another."""
        if self._session is not None:
            self._session.close()
        self._session = self._settings = None

    # -- reads ---------------------------------------------------------------------------------------------------

    get_test_results = blocking(reads.get_test_results)
    get_test_details = blocking(reads.get_test_details)
    get_console_logs = blocking(reads.get_console_logs)
    get_test = blocking(reads.get_test)
    list_tests = blocking(reads.list_tests)
    list_tags = blocking(reads.list_tags)
    list_agents = blocking(reads.list_agents)
    list_account_groups = blocking(reads.list_account_groups)
    get_default_account_group = blocking(reads.get_default_account_group)
    list_alert_rules = blocking(reads.list_alert_rules)
    list_alerts = blocking(reads.list_alerts)
    list_events = blocking(reads.list_events)
    find_created = blocking(reads.find_created)

    # -- writes --------------------------------------------------------------------------------------------------

    def run_instant_test(
        self,
        test_id: str | int,
        *,
        queue_timeout: float | None = None,
        verify: Callable[[float], bool] | None = None,
        wait: Callable[[Wait], bool] | None = None,
    ) -> RunCall | PausedCall:
        """Start another round of an instant test: ``POST /tests/{testId}/run``.

        Without ``verify`` the run is started *at least once*: after a lost response (5xx, timeout, connection lost) the
        hook backs off and sends the call again, at most ``retry_limit`` times, although the round may have started.

        :param queue_timeout: seconds that the call may spend on rate limits (429) and on a busy test (409); the
            connection's when ``None``.
        :param verify: called after a lost response with the ``sent_at`` of the first lost call; returns whether the
            round has started. The hook sends the call again only when it has not.
        :param wait: sleeps out a pause in place of the hook and returns ``True``; the hook then sends the call again.
            When it returns ``False``, the hook sends nothing more and returns a :class:`PausedCall`.
        :return: the accepted run, or the paused call.
        :raises ThousandEyesRateLimitError: when the limit lasts longer than ``queue_timeout``.
        :raises ThousandEyesAuthError: on 401 and 403.
        :raises ThousandEyesNotFoundError: on 404.
        :raises ThousandEyesRequestError: on 400 and other 4xx, and for a test that stays busy.
        :raises ThousandEyesServerError: on 5xx, also on the last attempt.
        :raises ThousandEyesConnectionError: when no response arrives, also on the last attempt.
        :raises ThousandEyesConfigurationError: for an invalid ``test_id`` or connection.
        """
        request = self.build(endpoints.RUN, f"run of test {test_id}", parts={"test_id": test_id})

        flow = start_flow(
            self.exchange(request, queue_timeout=queue_timeout),
            subject="the round",
            verify=(lambda lost_at: verify(self.server_clock.time_at(lost_at))) if verify else None,
            wait=wait,
        )
        started = self.drive(self.translated(flow))
        if isinstance(started, PausedCall):
            return started
        sent_at = self.server_clock.time_at(started.sent_at)
        return RunCall(sent_at, sent_at if started.response is None else self.server_now(), started.sent)

    def complete_definition(
        self, test_type: str, definition: Mapping[str, Any], *, time_left: TimeLeft | None = None
    ) -> dict[str, Any]:
        """Check the body that creates an instant test, and replace the names of agents by their ids.

        Agents in ``agents`` may be ids, names, or objects with ``agentId`` or ``agentName``; ``targetAgentId`` may be a
        name, too. The hook lists the agents once when there is a name. Its secrets are masked in logs from now on.

        :param test_type: one of the twelve types that have an instant form.
        :param definition: the body as the API defines it for the type.
        :param time_left: seconds until the caller's deadline; no retry waits longer.
        :raises ThousandEyesConfigurationError: with all problems of the definition, before anything is sent; for an
            unknown or ambiguous name of an agent, with similar ones.
        :raises ThousandEyesError: when the agents cannot be listed.
        """
        # Only tests that are created need the schema of definitions.
        from thousandeyes_provider.api import definition as definitions

        reads.one_of("test_type", test_type, TEST_TYPES)
        for secret in definitions.secrets_in(definition):
            self._secrets.add(secret)
            mask_secret(secret)
        try:
            body = definitions.read_definition(test_type, definition)
            if definitions.names_agents(body):
                body = definitions.with_agent_ids(body, self.list_agents(time_left=time_left))
        except DeclarationErrors as error:
            raise ThousandEyesConfigurationError(str(error)) from None
        return body

    def create_instant_test(
        self,
        test_type: str,
        definition: Mapping[str, Any],
        *,
        queue_timeout: float | None = None,
        wait: Callable[[Wait], bool] | None = None,
    ) -> dict[str, Any] | PausedCall:
        """Create an instant test, which runs it at once: ``POST /tests/{type}/instant?expand=agent``.

        After a lost response the hook looks for a test of this ``testName``, which is unique, before it sends the call
        again. It never sends a definition without a name again.

        :param test_type: one of the twelve types that have an instant form.
        :param definition: the body as the API defines it for the type; see :meth:`complete_definition`.
        :param queue_timeout: seconds that the call may wait for rate limits; the connection's when ``None``.
        :param wait: as for :meth:`run_instant_test`.
        :return: the created test, or the paused call.
        :raises ThousandEyesConfigurationError: when the definition is invalid; nothing is sent.
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        from thousandeyes_provider.api.definition import definition_warnings

        body = self.complete_definition(test_type, definition)
        for warning in definition_warnings(test_type, body):
            self.log.warning("%s", self.redact(warning))
        name, since = body.get("testName"), self.clock.now()
        created: dict[str, Any] | None = None
        is_lost = False

        def verify(_: float) -> bool:
            nonlocal created, is_lost
            is_lost = True
            created = self.find_created(test_type, str(name), lambda: self.clock.now() - since)
            return created is not None

        label = f"creation of {test_type} test {name!r}" if name else f"creation of a {test_type} test"
        request = self.build(endpoints.CREATE, label, parts={"test_type": test_type}, body=body)
        exchange = self.exchange(request, queue_timeout=queue_timeout)
        how: dict[str, Any] = {"verify": verify} if name else {"never_repeat": _NEVER_REPEAT}
        flow = start_flow(exchange, subject="the test", wait=wait, **how)
        try:
            started = self.drive(self.translated(flow))
        except ThousandEyesRequestError:
            # The test of the lost response may hold the name, although the list of tests did not show it yet. After a
            # call that a rate limit refused, the test of that name belongs to another client.
            if not is_lost or not verify(since):
                raise
            return created or {}
        if isinstance(started, PausedCall):
            return started
        return dict(started.response.json()) if started.response is not None else created or {}

    def create_snapshot(
        self,
        test_id: str | int,
        display_name: str,
        start_date: str | datetime,
        end_date: str | datetime,
        is_public: bool = False,
        *,
        queue_timeout: float | None = None,
    ) -> dict[str, Any]:
        """Share a range of results: ``POST /tests/{testId}/snapshot``.

        An organization has five snapshots in five minutes. The hook never sends the call again after a lost response.

        :param start_date: start of the range, ISO 8601 or a datetime (UTC without a zone).
        :param end_date: end of the range, not in the future; 1, 2, 4, 6, 12, 24 or 48 hours after ``start_date``.
        :param is_public: always sent, because ThousandEyes' descriptions of the default contradict each other.
        :param queue_timeout: seconds that the call may wait for rate limits; the connection's when ``None``.
        :return: the snapshot; its share link is ``["_links"]["appLink"]["href"]``.
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        start, end = reads.date_of("start_date", start_date), reads.date_of("end_date", end_date)
        if (end - start).total_seconds() not in [hours * 3600 for hours in SNAPSHOT_HOURS]:
            raise ThousandEyesConfigurationError(
                f"start_date and end_date of a snapshot must be {', '.join(map(str, SNAPSHOT_HOURS))} hours apart, "
                f"got {end - start}"
            )
        request = self.build(
            endpoints.SNAPSHOT,
            f"snapshot of test {test_id}",
            parts={"test_id": test_id},
            body={
                "displayName": display_name,
                "startDate": iso_time(start.timestamp()),
                "endDate": iso_time(end.timestamp()),
                "isPublic": is_public,
            },
        )
        return dict(self.drive(self.request(request, queue_timeout=queue_timeout)).json())

    # -- the driver ----------------------------------------------------------------------------------------------

    def drive(self, flow: Flow[T]) -> T:
        """Run a flow to its result: carry out its steps."""
        reply: Response | NoResponse | bool | None = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = None
            if isinstance(step, Send):
                reply = self._send(step)
            elif isinstance(step, Pause):
                reply = self._pause(step)
            elif isinstance(step, Reconnect):
                self.close()
            else:
                self._log_notice(step)

    def _send(self, step: Send) -> Response | NoResponse:
        session, sent_at = self.get_conn(), self.clock.now()
        self.requests_sent += 1
        return self._take(step, send(session, step.request, self._timeout(step)), sent_at)

    def _pause(self, step: Pause) -> bool:
        self._log_pause(step)
        if step.instead is None:
            self.sleep(step.wait.seconds)
        elif not step.instead(step.wait):
            return False
        self.throttled_seconds += step.wait.seconds if step.wait.throttled else 0.0
        return True
