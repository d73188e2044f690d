"""The hook: one method for each operation of ThousandEyes' API v7 that instant tests need.

It sends and sleeps. What to do after each answer is decided in :mod:`thousandeyes_provider.api.retry`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.http.hooks.http import HttpHook
from thousandeyes_provider.api import definition as definitions
from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.endpoints import Endpoint
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.api.retry import Accept, Attempts, Decision, GiveUp, VerifyOutcome, Wait
from thousandeyes_provider.api.test_search import is_older, select_tests
from thousandeyes_provider.exceptions import (
    ThousandEyesApiError,
    ThousandEyesConfigurationError,
    ThousandEyesRequestError,
)
from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook
from thousandeyes_provider.hooks.base import BaseThousandEyesHook, ResultPages, remaining
from thousandeyes_provider.hooks.connection import ConnectionSettings
from thousandeyes_provider.hooks.form import connection_form_widgets, ui_field_behaviour
from thousandeyes_provider.hooks.masking import mask_secret
from thousandeyes_provider.hooks.request_builder import ApiRequest, one_of
from thousandeyes_provider.hooks.transport import open_session, send

if TYPE_CHECKING:
    from requests import Session

__all__ = ["PausedCall", "RunCall", "ThousandEyesAsyncHook", "ThousandEyesHook"]


@dataclass(frozen=True)
class RunCall:
    """A run that ThousandEyes accepted. Times are epoch seconds of ThousandEyes' clock.

    :param sent_at: when the call that counts was sent, as a lower bound: the round cannot have started before. This is
        the first call whose response was lost, if a response was lost, else the accepted call.
    :param accepted_at: when the response arrived; ``sent_at`` when the response was lost.
    :param sent: how many times the call was sent.
    """

    sent_at: float
    accepted_at: float
    sent: int


@dataclass(frozen=True)
class PausedCall:
    """A call that is not sent again because the caller's ``wait`` returned ``False``.

    :param pause: the pause that the next call has to respect.
    :param sent: how many times the call was sent.
    """

    pause: Wait
    sent: int


class ThousandEyesHook(BaseThousandEyesHook, HttpHook):
    """Talk to ThousandEyes' API v7 through a connection of type ``thousandeyes``.

    Reads are retried after 5xx, timeouts and cut connections with backoff, at most ``retry_limit`` attempts; a 429 is
    waited out until the announced reset, within ``queue_timeout``. Writes follow the rules that each method states.
    The connection is read, and its fields are checked, with the first request.

    :param thousandeyes_conn_id: the connection: password = bearer token; host, schema, port and extra as documented.
    :param account_group_id: account group (``aid``) for every request; the connection's, else the token's default,
        when it is not given.
    """

    conn_name_attr = "thousandeyes_conn_id"
    default_conn_name = "thousandeyes_default"
    conn_type = "thousandeyes"
    hook_name = "ThousandEyes"

    _sleep = staticmethod(time.sleep)

    def __init__(
        self, thousandeyes_conn_id: str = default_conn_name, account_group_id: str | int | None = None
    ) -> None:
        super().__init__(http_conn_id=thousandeyes_conn_id)
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self._session: Session | None = None
        self.run_calls = 0
        """How often a call that starts a round (run, create) was sent."""
        self._begin(account_group_id)

    # -- the connection form of Airflow 2.11; 3.2 and later read it from the provider's metadata -----------------

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """How Airflow 2.11 draws the standard fields of the connection form."""
        return ui_field_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The fields that Airflow 2.11 adds to the connection form."""
        return connection_form_widgets()

    # -- the connection -----------------------------------------------------------------------------------------

    @property
    def settings(self) -> ConnectionSettings:
        """What the connection says; read with the first use.

        :raises ThousandEyesConfigurationError: when a field is not what it should be.
        """
        if self._settings is None:
            connection = self.get_connection(self.thousandeyes_conn_id)
            self._settings = self._settings_of(connection, connection.extra_dejson)
            for secret in self._settings.secrets():
                mask_secret(secret)
        return self._settings

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> Session:
        """The HTTP session of this hook: one for its life, with the token and the connection's options.

        :param headers: further headers for all its requests.
        :param extra_options: not used; this hook takes its options from the connection.
        """
        if self._session is None:
            self.base_url, self._base_url_initialized = self.settings.base_url, True
            self._session = open_session(self.settings)
        if headers:
            self._session.headers.update(headers)
        return self._session

    def close(self) -> None:
        """Close the HTTP session; the next request reads the connection anew and opens another."""
        if self._session is not None:
            self._session.close()
        self._session = self._settings = None

    # -- operations ---------------------------------------------------------------------------------------------

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

        :param test_id: the test.
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
        :raises ThousandEyesConnectionError: when no answer comes, also on the last attempt.
        :raises ThousandEyesConfigurationError: when ``test_id`` is no id, or the connection is not usable.
        """
        call, sent_before = self._calls().run(test_id), self.run_calls
        response, sent_at = self._start_round(
            call, self._attempts(call, queue_timeout), verify, wait, looking_for="the round"
        )
        sent = self.run_calls - sent_before
        if isinstance(response, Wait):
            return PausedCall(response, sent)
        sent_at += self.clock_offset
        return RunCall(sent_at, sent_at if response is None else self.server_now(), sent)

    def complete_definition(
        self, test_type: str, definition: Mapping[str, Any], *, time_left: Callable[[], float] | None = None
    ) -> dict[str, Any]:
        """The body that creates an instant test: checked, and with the ids of agents that are given by name.

        Agents in ``agents`` may be ids, names, or objects with ``agentId`` or ``agentName``; ``targetAgentId`` may be a
        name, too. The agents are listed once when there is a name. Secrets in it are masked in logs from now on.

        :param test_type: one of the twelve types that have an instant form.
        :param definition: the body as the API defines it for the type.
        :param time_left: seconds until an answer is of no more use; no retry waits beyond that.
        :raises ThousandEyesConfigurationError: with everything that is wrong with it, before anything is sent; for an
            agent that is not there, or a name that several have, with the near ones.
        :raises ThousandEyesError: when the agents cannot be listed.
        """
        one_of("test_type", test_type, TEST_TYPES)
        for secret in definitions.secrets_in(definition):
            self._confidential.add(secret)
            mask_secret(secret)
        try:
            body = definitions.read_definition(test_type, definition)
            if definitions.names_agents(body):
                body = definitions.with_agent_ids(body, self.list_agents(time_left=time_left))
        except definitions.DefinitionFaults as error:
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

        When the answer is lost, the test is looked for by ``testName``, which ThousandEyes keeps unique, before the
        call is sent again. A definition without a name is never sent again.

        :param test_type: one of the twelve types that have an instant form.
        :param definition: the body as the API defines it for the type; see :meth:`complete_definition`.
        :param queue_timeout: seconds that may be spent waiting out rate limits; the connection's when ``None``.
        :param wait: as for :meth:`run_instant_test`.
        :return: the created test, or the paused call.
        :raises ThousandEyesConfigurationError: when the definition is wrong; nothing is sent.
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        body = self.complete_definition(test_type, definition)
        for warning in definitions.unknown_fields(test_type, body):
            self.log.warning("%s", warning)
        call, name = self._calls().create(test_type, body), body.get("testName")
        found: dict[str, Any] = {}
        begun, lost, sent_before = time.monotonic(), [False], self.run_calls

        def verify(_: float) -> bool:
            lost[0] = True
            age = time.monotonic() - begun
            found.update(self.find_created(test_type, str(name), lambda: age) or {})
            return bool(found)

        try:
            answer, _ = self._start_round(
                call,
                self._attempts(call, queue_timeout),
                verify if name else None,
                wait,
                looking_for="the test",
                hopeless="" if name else _NAMELESS,
            )
        except ThousandEyesRequestError:
            # Its name is taken: it may be by the test whose answer was lost, and which was not to be seen yet. A call
            # that was refused, by a rate limit, has made none: then the test of that name is somebody else's.
            if not lost[0] or not verify(0.0):
                raise
            answer = None
        if isinstance(answer, Wait):
            return PausedCall(answer, self.run_calls - sent_before)
        return found if answer is None else dict(answer.json())

    def find_created(self, test_type: str, name: str, age: Callable[[], float]) -> dict[str, Any] | None:
        """The test that a creation whose answer was lost made after all; ``None`` when there is none of that name.

        :param test_type: its type.
        :param name: its unique name.
        :param age: seconds ago at which it can have been created at the earliest; asked for when the answer has told
            ThousandEyes' clock.
        :raises ThousandEyesError: when the tests cannot be listed.
        """
        for test in self.list_tests():
            if test.get("testName") != name or not test.get("testId"):
                continue
            if is_older(test, self.server_now() - age()):
                self.log.info("There is an older test %r, with the id %s", name, test["testId"])
                continue
            self.log.info("The test %r exists, its id is %s", name, test["testId"])
            try:
                return self.get_test(str(test["testId"]), test_type)
            except ThousandEyesApiError as error:
                # Whether an instant test can be had by its type is not documented; that it exists is known.
                self.log.info("The definition of test %s is not to be had: %s", test["testId"], error)
                return test
        return None

    def get_test_results(
        self,
        test_id: str | int,
        result_type: str,
        *,
        window: str | int | None = None,
        start_date: str | datetime | None = None,
        end_date: str | datetime | None = None,
        direction: str | None = None,
        expand: str | Iterable[str] | None = None,
        time_left: Callable[[], float] | None = None,
    ) -> dict[str, Any]:
        """All pages of ``GET /test-results/{testId}/{result_type}``.

        Without a window or dates ThousandEyes gives the newest round.

        :param test_id: the test.
        :param result_type: ``network``, ``http-server``, ...
        :param window: how far to look back: a number with ``s`` (the default), ``m``, ``h``, ``d`` or ``w``.
        :param start_date: instead of ``window``: from when, ISO 8601 or a datetime (UTC when it has no zone).
        :param end_date: with ``start_date``: until when; now when left out.
        :param direction: ``to-target``, ``from-target`` or ``bidirectional``, for network measurements.
        :param expand: ``header``, ``certificate`` or both, for ``http-server``.
        :param time_left: seconds until an answer is of no more use; no retry waits beyond that.
        :return: ``{"test": …, "results": […]}``; ``test`` is empty when the answer has none.
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        pages = ResultPages(
            self._calls(),
            test_id,
            result_type,
            window=window,
            start_date=start_date,
            end_date=end_date,
            direction=direction,
            expand=expand,
        )
        while pages.call is not None:
            pages.take(self._perform(pages.call, time_left=time_left), remaining(time_left))
        return pages.result()

    def get_test(
        self, test_id: str | int, test_type: str, *, time_left: Callable[[], float] | None = None
    ) -> dict[str, Any]:
        """The definition of a test with its agents: ``GET /tests/{type}/{testId}?expand=agent``.

        :param time_left: seconds until an answer is of no more use; no retry waits beyond that.
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        return dict(self._perform(self._calls().test(test_id, test_type), time_left=time_left).json())

    def list_tests(
        self,
        *,
        name: str | None = None,
        labels: str | Sequence[str] | None = None,
        test_type: str | None = None,
        time_left: Callable[[], float] | None = None,
    ) -> list[dict[str, Any]]:
        """The configured tests: ``GET /tests``. Whether instant tests are among them is not documented.

        The list can feed a mapped task::

            [{"from_test": test["testId"], "test_type": test["type"]} for test in hook.list_tests(labels="checkout")]

        :param name: only tests of this name, whatever the case; ``*`` stands for any characters, ``?`` for one.
        :param labels: only tests with this label, or with all of these; by name, whatever the case, or id.
        :param test_type: only tests of this type.
        :param time_left: seconds until an answer is of no more use; no retry waits beyond that.
        :raises ThousandEyesConfigurationError: when labels are asked for, and the list tells none of any test (SPEC
            does not promise them, and says that instant tests have none).
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        if test_type is not None:
            one_of("test_type", test_type, TEST_TYPES)
        listed = self._list(endpoints.TESTS, time_left)
        try:
            return select_tests(listed, name=name, labels=labels, test_type=test_type)
        except ValueError as error:
            raise ThousandEyesConfigurationError(str(error)) from None

    def list_agents(self, *, time_left: Callable[[], float] | None = None) -> list[dict[str, Any]]:
        """The cloud and enterprise agents, with the state of the latter: ``GET /agents``.

        :param time_left: seconds until an answer is of no more use; no retry waits beyond that.
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        return self._list(endpoints.AGENTS, time_left)

    def list_account_groups(self) -> list[dict[str, Any]]:
        """The account groups that the token can use: ``GET /account-groups``.

        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        return self._list(endpoints.ACCOUNT_GROUPS)

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

        An organization has five in five minutes, so the call is never sent again after a lost answer.

        :param test_id: the test.
        :param display_name: title of the snapshot.
        :param start_date: from when, ISO 8601 or a datetime (UTC when it has no zone).
        :param end_date: until when, not in the future; 1, 2, 4, 6, 12, 24 or 48 hours after ``start_date``.
        :param is_public: sent as it is; false unless asked for, since ThousandEyes' texts on it contradict each other.
        :param queue_timeout: seconds that may be spent waiting out rate limits; the connection's when ``None``.
        :return: the snapshot; its share link is ``["_links"]["appLink"]["href"]``.
        :raises ThousandEyesError: as :meth:`run_instant_test`.
        """
        call = self._calls().snapshot(test_id, display_name, start_date, end_date, is_public)
        return dict(self._perform(call, attempts=self._attempts(call, queue_timeout)).json())

    def test_connection(self) -> tuple[bool, str]:
        """Whether the connection works, for the Test button. Reads only; no test is run.

        :return: a flag, and a message that names the user, the account group in force and the quota left, or what
            is wrong.
        """
        try:
            user = self._at_once(endpoints.CURRENT_USER)
            groups = self._at_once(endpoints.ACCOUNT_GROUPS)["accountGroups"]
            return self._connection_report(user, groups)
        except Exception as error:
            return False, self._scrub(str(error))

    def _at_once(self, operation: Endpoint) -> dict[str, Any]:
        """The answer to an operation while a person waits: with little patience."""
        call = self._calls().simple(operation)
        usual = self._attempts(call)
        brief = replace(
            usual, retry_limit=min(usual.retry_limit, 2), queue_timeout=min(usual.queue_timeout, 5.0)
        )
        return dict(self._perform(call, attempts=brief).json())

    def _connection_report(self, user: dict[str, Any], groups: list[dict[str, Any]]) -> tuple[bool, str]:
        names = {str(group.get("aid")): str(group.get("accountGroupName")) for group in groups}
        aid = self.account_group_id
        how = "chosen by the connection"
        if aid is None:
            default = user.get("loginAccountGroup")
            default = default if isinstance(default, dict) else {}
            aid, how = str(default.get("aid", "unknown")), "the token's default"
            names.setdefault(aid, str(default.get("accountGroupName", "unknown")))
        elif aid not in names:
            known = ", ".join(f"{name!r} ({aid_})" for aid_, name in sorted(names.items())) or "none"
            return False, f"The account group {aid} is not among those of this token: {known}"
        name, email = user.get("name"), user.get("email")
        who = f"{name} ({email})" if name and email else str(name or email or "an unnamed user")
        quota = self.quota().get("organization")
        left = ""
        if quota and quota.remaining is not None:
            of = f" of {quota.limit:.0f}" if quota.limit else ""
            left = f"; {quota.remaining:.0f}{of} requests are left in this window"
        return True, (
            f"{self.settings.base_url} knows you as {who}; account group {names[aid]!r} ({aid}), {how}{left}"
        )

    # -- sending -------------------------------------------------------------------------------------------------

    def _start_round(
        self,
        call: ApiRequest,
        attempts: Attempts,
        verify: Callable[[float], bool] | None,
        wait: Callable[[Wait], bool] | None,
        *,
        looking_for: str,
        hopeless: str = "",
    ) -> tuple[Response | Wait | None, float]:
        """Send a call that starts a round, until it is accepted.

        :param verify: called after a lost response; see :meth:`run_instant_test`.
        :param wait: sleeps out a pause in place of the hook; see :meth:`run_instant_test`.
        :param looking_for: what ``verify`` looks for, for the log.
        :param hopeless: why the call must not be sent again after a lost response.
        :return: the response, ``None`` when it was lost and ``verify`` confirmed the call, the pause when ``wait``
            returned ``False``; and the time of the call that counts, epoch seconds of this machine's clock.
        """
        lost_at = None
        while True:
            begun = self._now()
            outcome, decision, attempts = self._attempt(call, attempts)
            self.run_calls += not (isinstance(outcome, NoResponse) and not outcome.sent)
            if isinstance(decision, VerifyOutcome):
                lost_at = begun if lost_at is None else lost_at
                if verify is not None:
                    self.log.warning(
                        "%s: response lost (%s); checking whether %s exists",
                        call.label,
                        self._scrub(decision.reason),
                        looking_for,
                    )
                    looked_since = time.monotonic()
                    if verify(lost_at + self.clock_offset):
                        return None, lost_at
                    self.log.info("%s: %s does not exist", call.label, looking_for)
                    if isinstance(decision.otherwise, Wait):
                        left = max(decision.otherwise.seconds - (time.monotonic() - looked_since), 0.0)
                        decision = replace(decision, otherwise=replace(decision.otherwise, seconds=left))
                decision = GiveUp(f"{decision.reason}; {hopeless}") if hopeless else decision.otherwise
            if isinstance(decision, GiveUp):
                raise self._error(call, outcome, decision)
            if isinstance(decision, Wait):
                if not self._wait(call, attempts, decision, wait):
                    return decision, begun
                continue
            assert isinstance(outcome, Response)
            return outcome, begun if lost_at is None else lost_at

    def _list(
        self, operation: Endpoint, time_left: Callable[[], float] | None = None
    ) -> list[dict[str, Any]]:
        answer = self._perform(self._calls().simple(operation), time_left=time_left)
        return list(answer.json()[operation.member])

    def _perform(
        self,
        call: ApiRequest,
        *,
        time_left: Callable[[], float] | None = None,
        attempts: Attempts | None = None,
    ) -> Response:
        """Send ``call`` until its answer is the result; for operations of which nothing is to be settled."""
        state = self._attempts(call) if attempts is None else attempts
        while True:
            outcome, decision, state = self._attempt(call, state, time_left)
            if isinstance(decision, Wait):
                self._wait(call, state, decision)
                continue
            if isinstance(decision, Accept) and isinstance(outcome, Response):
                return outcome
            raise self._error(call, outcome, decision)

    def _attempt(
        self, call: ApiRequest, attempts: Attempts, time_left: Callable[[], float] | None = None
    ) -> tuple[Response | NoResponse, Decision, Attempts]:
        """Send once, and decide what to do next."""
        session = self.get_conn()
        self.requests_sent += 1
        outcome = send(session, call, self._timeout(remaining(time_left)))
        return outcome, *self._decide(call, attempts, outcome, remaining(time_left))

    def _wait(
        self, call: ApiRequest, attempts: Attempts, wait: Wait, instead: Callable[[Wait], bool] | None = None
    ) -> bool:
        self._tell(call, attempts, wait)
        if instead is None:
            self._sleep(wait.seconds)
        elif not instead(wait):
            return False
        if wait.throttled:
            self.throttled_seconds += wait.seconds
        return True


_NAMELESS = "not sent again, since without a testName nobody can tell whether the test exists"
