"""Rerun an instant test as a step of a pipeline: run, wait for the round of this run, judge it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator
from thousandeyes_provider.api.expectation import share_or_count
from thousandeyes_provider.api.http import iso_time
from thousandeyes_provider.api.rounds import app_link, is_fresh, wait_for_next_minute
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.api.waiting import State, Waiting
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesConfigurationError,
    ThousandEyesError,
    without_retry,
)
from thousandeyes_provider.links.thousandeyes import ThousandEyesRoundLink, ThousandEyesTestLink
from thousandeyes_provider.operators import arguments
from thousandeyes_provider.validation.evidence import Missing, Observed, evidence
from thousandeyes_provider.validation.text import summary, table
from thousandeyes_provider.validation.verdict import Verdict, judge

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.api.retry import Wait
    from thousandeyes_provider.hooks.rounds import RoundReader
    from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

LONG_WAIT = 5.0
"""Seconds of waiting for a turn after which the newest round is looked up once more before the run is sent."""


class RunInstantTestOperator(BaseOperator):
    """Rerun a ThousandEyes instant test, wait for what its agents see, and fail when that is bad.

    The round of this run is told from older ones by what was there before it, so that an old result is never judged.
    A rate limit (429) is waited out until its announced reset. When the answer to the run call is lost (5xx, a cut
    connection) the operator first looks whether the round has begun, and runs the test again only when it has not.

    The return value is the *evidence*, a JSON object with the verdict, the agents, metrics and links. It is in XCom
    also when the task fails.

    :param test_id: the instant test to rerun. Templated.
    :param test_type: its type, such as ``http-server``; learned from ThousandEyes when left out, which takes one to a
        few requests more. Templated.
    :param account_group_id: account group (``aid``); the connection's, else the token's default, when left out.
        Templated.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``. Templated.
    :param wait_for_results: ``False``: return once the run is accepted, with the *run handle* for a sensor to wait on.
        The run is then sent at least once: after a lost answer it is sent again.
    :param result_types: what to wait for and judge; by default what the type of the test is about.
    :param expected_agents: who should report: ids and names, or a number of agents. By default the agents of the
        test's definition, else those of its newest round; when nobody knows, a round is complete when nothing new has
        come for 60 seconds. Templated.
    :param min_agents: how many agents are enough: a count (``4``), or a fraction of the expected (``0.8``). All when
        left out.
    :param grace: seconds, or a timedelta, to wait for the others when ``min_agents`` have reported.
    :param max_agent_errors: how many agents may report an error: a count, or a fraction (``0.2``) of those that
        reported.
    :param poll_interval: seconds, or a timedelta, between two looks at the results; more when the organization's
        quota runs short, of which a fifth is left to others.
    :param timeout: seconds, or a timedelta, from the moment the run was accepted until its results must be there.
    :param settle_time: seconds, or a timedelta, to look for a fresh round when the answer to the run call was lost.
    :param queue_timeout: seconds, or a timedelta, that may be spent before the run is accepted on rate limits and a
        busy test.
    :raises InstantTestFailed: the round is bad. No task retry is spent.
    :raises InstantTestIncomplete: at the deadline, agents were missing.
    :raises InstantTestNoResults: at the deadline, there was no fresh round.
    :raises ThousandEyesAuthError: 401 or 403. No task retry is spent; likewise for the next two.
    :raises ThousandEyesNotFoundError: 404, there is no such test.
    :raises ThousandEyesRequestError: another 4xx.
    :raises ThousandEyesConfigurationError: an argument or the connection is not what it should be.
    :raises ThousandEyesRateLimitError: a rate limit lasts longer than ``queue_timeout``.
    :raises ThousandEyesServerError: 5xx, also on the last attempt.
    :raises ThousandEyesConnectionError: no answer, also on the last attempt.
    """

    template_fields: Sequence[str] = (
        "test_id",
        "test_type",
        "account_group_id",
        "thousandeyes_conn_id",
        "expected_agents",
    )
    operator_extra_links = (ThousandEyesTestLink(), ThousandEyesRoundLink())
    ui_color = "#e8f4fa"

    _monotonic = staticmethod(time.monotonic)

    def __init__(
        self,
        *,
        test_id: str | int,
        test_type: str | None = None,
        account_group_id: str | int | None = None,
        thousandeyes_conn_id: str = "thousandeyes_default",
        wait_for_results: bool = True,
        result_types: Sequence[str] | None = None,
        expected_agents: int | Sequence[str | int] | str | None = None,
        min_agents: int | float | None = None,
        grace: float | timedelta = 60,
        max_agent_errors: int | float = 0,
        poll_interval: float | timedelta = 10,
        timeout: float | timedelta = 600,
        settle_time: float | timedelta = 120,
        queue_timeout: float | timedelta = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.test_id = test_id
        self.test_type = test_type
        self.account_group_id = account_group_id
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.wait_for_results = wait_for_results
        self.result_types = result_types
        self.expected_agents = expected_agents
        self.min_agents = min_agents
        self.grace = grace
        self.max_agent_errors = max_agent_errors
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.settle_time = settle_time
        self.queue_timeout = queue_timeout
        self._check_arguments(literals_only=True)

    # -- the task ------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the test; wait for its round and judge it, unless ``wait_for_results`` is false.

        :param context: Airflow's.
        :return: the evidence, or the run handle.
        """
        try:
            self._check_arguments(literals_only=False)
            plan = self._plan(context)
            handle = self._run(plan)
            if not self._read("wait_for_results"):
                self.log.info("Not waiting for the results; the run handle is this task's return value")
                return handle.to_json()
            return self._judge(context, handle, *self._wait_for_round(context, handle))
        except ThousandEyesError as error:
            self._raise(error)
        finally:
            if "hook" in self.__dict__:
                self.hook.close()

    @cached_property
    def hook(self) -> ThousandEyesHook:
        """The hook, on the task's connection and account group."""
        from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

        return ThousandEyesHook(self.thousandeyes_conn_id, self._read("account_group_id"))

    @cached_property
    def _reader(self) -> RoundReader:
        from thousandeyes_provider.hooks.rounds import RoundReader

        return RoundReader(self.hook, self._read("test_id"), self.log)

    def _raise(self, error: ThousandEyesError) -> NoReturn:
        """Raise ``error``, as one that spends no task retry if none can mend it and no retry policy decides that."""
        if getattr(self, "retry_policy", None):
            raise error
        raise without_retry(error) from error.__cause__

    # -- before the run ------------------------------------------------------------------------------------------

    def _plan(self, context: Context) -> Plan:
        plan = self._reader.plan(
            test_type=self._read("test_type"),
            result_types=self._read("result_types"),
            expected=self._read("expected_agents"),
        )
        self._enough(plan)
        self.log.info(
            "Test %s%s, %s: waiting for %s from %s",
            plan.test_id,
            f" {plan.test_name!r}" if plan.test_name else "",
            plan.test_type,
            ", ".join(plan.directions),
            _expectation(plan),
        )
        self._push_link(context, ThousandEyesTestLink, plan.test_link)
        return plan

    def _enough(self, plan: Plan) -> int | None:
        """``min_agents`` as a count, checked against how many there are."""
        of = plan.expected.count
        count = None
        if self._read("min_agents") is not None:
            count = share_or_count(self.min_agents, of, "min_agents")
            if count is None:
                raise ThousandEyesConfigurationError(
                    f"{self._owner}: min_agents={self.min_agents!r} is a fraction of a number of agents that neither "
                    "the test nor an earlier round tells; give expected_agents= as well, or a count"
                )
            if of is not None and count > of:
                raise ThousandEyesConfigurationError(
                    f"{self._owner}: min_agents={self.min_agents!r}, but only {of} agents are expected"
                )
        return count

    def _run(self, plan: Plan) -> RunHandle:
        """Run the test, in a way that its round can be told from every other."""
        plan = self._pass_the_minute(plan)
        current = [plan]
        settles = self._read("wait_for_results")
        lost = [False]

        def settle(lost_at: float) -> bool:
            lost[0] = True
            return self._has_begun(current[0], lost_at)

        def wait(pause: Wait) -> None:
            self.hook._sleep(pause.seconds)
            # After a long wait others may have run the test. Not once an answer was lost: then a newer round may be
            # our own.
            if pause.seconds > LONG_WAIT and not lost[0]:
                current[0] = self._pass_the_minute(self._reader.remember(current[0]))

        call = self.hook.run_instant_test(
            plan.test_id,
            queue_timeout=self._read("queue_timeout"),
            settle=settle if settles else None,
            wait=wait,
        )
        handle = RunHandle(
            current[0],
            accepted_at=call.accepted_at,
            earliest_start=call.earliest_start,
            deadline=call.accepted_at + self._read("timeout"),
            run_calls=call.sent,
        )
        self.log.info(
            "Run accepted at %s by ThousandEyes' clock, sent %d time(s); results are waited for until %s",
            iso_time(handle.accepted_at),
            handle.run_calls,
            iso_time(handle.deadline),
        )
        return handle

    def _pass_the_minute(self, plan: Plan) -> Plan:
        """Wait for the next minute where our round could otherwise not be told from the remembered one."""
        pause = wait_for_next_minute(plan.remembered.values(), self.hook.server_now())
        if not pause:
            return plan
        self.log.info(
            "The newest round began this minute; waiting %.0f s for the next, to tell ours from it", pause
        )
        self.hook._sleep(pause + 0.1)
        return self._reader.remember(plan) if pause > LONG_WAIT else plan

    def _has_begun(self, plan: Plan, lost_at: float) -> bool:
        """Whether a fresh round shows up within ``settle_time`` after a run call whose answer was lost."""
        ends = self._monotonic() + min(self._read("settle_time"), self._read("timeout"))
        while (left := ends - self._monotonic()) > 0:
            pause = max(self._read("poll_interval"), self._pace(plan))
            self.hook._sleep(min(pause, left))
            found = self._reader.look(plan, lost_at, lambda: ends - self._monotonic())
            for result_type, rows in found.items():
                remembered = plan.remembered[result_type]
                if any(is_fresh(row, remembered=remembered, started_after=lost_at) for row in rows):
                    self.log.info("The round has begun: the run is not sent again")
                    return True
        self.log.warning("No fresh round within %g s", self._read("settle_time"))
        return False

    # -- the round -----------------------------------------------------------------------------------------------

    def _waiting(self, handle: RunHandle, deadline: float) -> Waiting:
        plan = handle.plan
        return Waiting(
            rows_per_agent=plan.rows_per_agent,
            remembered=plan.remembered,
            started_after=handle.earliest_start,
            expected=plan.expected,
            deadline=deadline,
            poll_interval=self._read("poll_interval"),
            min_agents=self._enough(plan),
            grace=self._read("grace"),
        )

    def _wait_for_round(self, context: Context, handle: RunHandle) -> tuple[State, Waiting]:
        """Look until the round is complete, or enough of it is there, or the time is up."""
        now = self._monotonic()
        waiting = self._waiting(handle, now + handle.deadline - self.hook.server_now())
        state, deadline = State.WAITING, waiting.deadline

        def time_left() -> float:
            return deadline - self._monotonic()

        try:
            while state is State.WAITING:
                now = self._monotonic()
                due = waiting.next_look(now, self._pace(handle.plan))
                self.hook._sleep(max(due - now, 0.0))
                found = self._reader.look(handle.plan, handle.earliest_start, time_left)
                now = self._monotonic()
                before, waiting = waiting, waiting.look(found, now)
                state = waiting.state(now)
                self._tell(context, before, waiting)
        except ThousandEyesError:
            self._push(context, self._evidence(handle, waiting, _cut_short(waiting)))
            raise
        return state, waiting

    def _pace(self, plan: Plan) -> float:
        """Seconds that one look at all result types should keep from the next."""
        return self.hook.polling_gap() * sum(map(len, plan.directions.values()))

    def _tell(self, context: Context, before: Waiting, now: Waiting) -> None:
        """One line, and the link, when something new has arrived."""
        had, have = before.agents_seen(), now.agents_seen()
        if have and not had:
            rows = [row for found in now.rows().values() for row in found]
            link = next((href for row in rows if (href := app_link(row))), "")
            self._push_link(context, ThousandEyesRoundLink, link)
            if not any(before.remembered.values()):
                self._push_link(context, ThousandEyesTestLink, link)
        reported = now.reported()
        if len(have) == len(had) and len(reported) == len(before.reported()):
            return
        new = [str(agent) for agent in have if agent not in had]
        missing = [str(agent) for agent in now.missing()]
        self.log.info(
            "%d%s agents reported%s%s",
            len(reported),
            "" if now.expected.count is None else f" of {now.expected.count}",
            f": new {_few(new)}" if new else "",
            f". Waiting for {_few(missing)}" if missing else "",
        )

    def _judge(self, context: Context, handle: RunHandle, state: State, waiting: Waiting) -> dict[str, Any]:
        """The evidence of a good round; the exception for any other, with the evidence pushed before."""
        judgement = judge(waiting.rows(), self._read("max_agent_errors"))
        enough = state is not State.DEADLINE or waiting.enough_since is not None
        if not waiting.rows():
            verdict = Verdict.NO_RESULTS
        elif not enough or not judgement.judged:
            verdict = Verdict.INCOMPLETE
        else:
            verdict = Verdict.PASSED if judgement.passed else Verdict.FAILED
        told = self._evidence(handle, waiting, verdict)
        # A record for each line, so that the columns stand below each other in every log view.
        for line in filter(None, table(told).splitlines()):
            self.log.info("%s", line)
        if verdict is Verdict.PASSED:
            return told
        self._push(context, told)
        raise _ERRORS[verdict](summary(told), told)

    def _evidence(self, handle: RunHandle, waiting: Waiting, verdict: Verdict) -> dict[str, Any]:
        plan, rows = handle.plan, waiting.rows()
        missing = waiting.missing()
        states = self._reader.states(missing)
        round_link = next((href for found in rows.values() for row in found if (href := app_link(row))), "")
        links = {"test": plan.test_link or round_link, "round": round_link}
        return evidence(
            Observed(
                test_id=plan.test_id,
                test_name=plan.test_name,
                test_type=plan.test_type,
                account_group_id=plan.account_group_id,
                verdict=verdict,
                started_at=handle.accepted_at,
                finished_at=self.hook.server_now(),
                rounds=waiting.rounds(),
                run_calls=handle.run_calls,
                requests=self.hook.requests_sent,
                throttled_seconds=self.hook.throttled_seconds,
                expected=plan.expected,
                reported=waiting.reported(),
                missing=[Missing(agent, states.get(agent), waiting.lacking(agent)) for agent in missing],
                judgement=judge(rows, self._read("max_agent_errors")),
                rows=rows,
                links={name: link for name, link in links.items() if link},
            )
        )

    # -- XCom ----------------------------------------------------------------------------------------------------

    def _push(self, context: Context, told: dict[str, Any]) -> None:
        """Push the evidence of a task that is about to fail, where Airflow puts the value of one that succeeds."""
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=told)

    def _push_link(
        self, context: Context, link: type[ThousandEyesTestLink] | type[ThousandEyesRoundLink], address: str
    ) -> None:
        if address:
            context["ti"].xcom_push(key=link.xcom_key, value=address)

    # -- arguments -----------------------------------------------------------------------------------------------

    _READERS: Mapping[str, Callable[[Any], Any]] = {
        "test_id": arguments.an_id,
        "test_type": arguments.a_test_type,
        "account_group_id": arguments.an_optional_id,
        "wait_for_results": arguments.a_flag,
        "result_types": arguments.result_types,
        "expected_agents": arguments.expected_agents,
        "min_agents": arguments.min_agents,
        "grace": arguments.a_time,
        "max_agent_errors": arguments.max_agent_errors,
        "poll_interval": arguments.a_positive_time,
        "timeout": arguments.a_positive_time,
        "settle_time": arguments.a_time,
        "queue_timeout": arguments.a_time,
    }

    @property
    def _owner(self) -> str:
        return f"{type(self).__name__} {self.task_id!r}"

    def _read(self, name: str) -> Any:
        return arguments.read(self._owner, name, getattr(self, name), self._READERS[name])

    def _check_arguments(self, *, literals_only: bool) -> None:
        for name in self._READERS:
            if not literals_only or arguments.is_literal(getattr(self, name)):
                self._read(name)


_ERRORS: Mapping[Verdict, type[InstantTestFailed | InstantTestIncomplete | InstantTestNoResults]] = {
    Verdict.FAILED: InstantTestFailed,
    Verdict.INCOMPLETE: InstantTestIncomplete,
    Verdict.NO_RESULTS: InstantTestNoResults,
}


def _cut_short(waiting: Waiting) -> Verdict:
    """The verdict on a round that could not be read to its end."""
    return Verdict.INCOMPLETE if waiting.rows() else Verdict.NO_RESULTS


def _expectation(plan: Plan) -> str:
    count, source = plan.expected.count, plan.expected.source
    if count is None:
        return "agents that nobody lists; complete when nothing new comes for 60 s"
    names = f": {_few([str(agent) for agent in plan.expected.agents])}" if plan.expected.agents else ""
    return f"{count} agents (source: {source}){names}"


def _few(names: Sequence[str], most: int = 8) -> str:
    shown = "; ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
