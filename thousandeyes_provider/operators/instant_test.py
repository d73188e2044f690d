"""Rerun an instant test as a step of a pipeline: run, wait for the round of this run, judge it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator, conf
from thousandeyes_provider.api.http import iso_time
from thousandeyes_provider.api.rounds import is_fresh, wait_for_next_minute
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.api.waiting import State, Waiting
from thousandeyes_provider.exceptions import ThousandEyesError
from thousandeyes_provider.links.thousandeyes import ThousandEyesTestLink
from thousandeyes_provider.operators import arguments
from thousandeyes_provider.operators.rounds import LINKS, RoundTask, few

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.api.retry import Wait

LONG_WAIT = 5.0
"""Seconds of waiting for a turn after which the newest round is looked up once more before the run is sent."""


LATE = 60.0
"""Seconds after the deadline at which Airflow ends a deferral that no trigger has ended."""


class RunInstantTestOperator(RoundTask, BaseOperator):
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
    :param deferrable: wait in the triggerer instead of a worker, by default as Airflow's ``default_deferrable`` says.
        The run is sent, and its round judged, by a worker all the same.
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
    operator_extra_links = LINKS
    ui_color = "#e8f4fa"

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
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
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
        self.deferrable = deferrable
        self._check_arguments(literals_only=True)

    # -- the task ------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the test; wait for its round and judge it, unless ``wait_for_results`` is false.

        :param context: Airflow's.
        :return: the evidence, or the run handle.
        """
        with self._ending():
            self._check_arguments(literals_only=False)
            plan = self._plan(context)
            handle = self._run(plan)
            if not self._read("wait_for_results"):
                self.log.info("Not waiting for the results; the run handle is this task's return value")
                return handle.to_json()
            if self._read("deferrable"):
                return self._defer_or_judge(context, handle)
            return self._judge(context, handle, *self._wait_for_round(context, handle))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resume when the trigger has fired: read the rows once more and judge them.

        :param event: what :class:`~thousandeyes_provider.triggers.instant_test.InstantTestResultsTrigger` fired.
        :return: the evidence.
        """
        from thousandeyes_provider.triggers.instant_test import EVENT_STATES

        with self._ending():
            if not isinstance(event, dict) or event.get("state") not in EVENT_STATES:
                raise ThousandEyesError(
                    f"{self._owner} was resumed with an event that it does not know: {event!r}"
                )
            return self._resume(context, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; also when Airflow ended it because the triggerer was down past the deadline.

        Then the task still reads once more, and judges what there is.
        """
        if next_method != "__fail__":
            return super().resume_execution(next_method, next_kwargs, context)
        reason = (next_kwargs or {}).get("error")
        self.log.warning("The wait in the triggerer ended early (%s); reading the results once more", reason)
        with self._ending():
            return self._resume(context, {})

    def _resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        carried = context["ti"].xcom_pull(
            task_ids=self.task_id, key=self.RUN_KEY, map_indexes=context["ti"].map_index
        )
        if not isinstance(carried, Mapping) or "run" not in carried:
            raise ThousandEyesError(
                f"{self._owner}: the XCom {self.RUN_KEY!r} of its run is gone: {carried!r}"
            )
        handle = RunHandle.from_json(carried["run"])
        self._carried = (
            int(carried["requests"]) + int(event.get("requests", 0)),
            float(carried["throttled_seconds"]) + float(event.get("throttled_seconds", 0)),
        )
        state, waiting = self._last_read(context, handle, event)
        if state is State.WAITING:
            self.log.info("The round is not complete yet after all; waiting on")
            self._wait_in_triggerer(context, handle)
        return self._judge(context, handle, state, waiting)

    def _account_group(self) -> str | None:
        found: str | None = self._read("account_group_id")
        return found

    def _test(self) -> str:
        return str(self._read("test_id"))

    # -- before the run ------------------------------------------------------------------------------------------

    def _plan(self, context: Context) -> Plan:
        plan = self._reader.plan(
            test_type=self._read("test_type"),
            result_types=self._read("result_types"),
            expected=self._read("expected_agents"),
        )
        self._enough(plan)
        # Whatever would keep the task from waiting comes to light before the run.
        json.dumps(RunHandle(plan, 0.0, 0.0, 0.0, 0).to_json())
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
            look = self._reader.look(plan, lost_at, lambda: ends - self._monotonic())
            for result_type, rows in look.rows().items():
                remembered = plan.remembered[result_type]
                if any(is_fresh(row, remembered=remembered, started_after=lost_at) for row in rows):
                    self.log.info("The round has begun: the run is not sent again")
                    return True
        self.log.warning("No fresh round within %g s", self._read("settle_time"))
        return False

    # -- the round -----------------------------------------------------------------------------------------------

    def _defer_or_judge(self, context: Context, handle: RunHandle) -> dict[str, Any]:
        """Wait in the triggerer; a run that can be finished already is looked at before."""
        if self.hook.server_now() - handle.accepted_at > self._read("poll_interval"):
            state, waiting = self._last_read(context, handle, {})
            if state is not State.WAITING:
                return self._judge(context, handle, state, waiting)
        return self._wait_in_triggerer(context, handle)

    def _wait_in_triggerer(self, context: Context, handle: RunHandle) -> NoReturn:
        """Defer until the round is there."""
        from thousandeyes_provider.triggers.instant_test import InstantTestResultsTrigger

        requests, throttled = self._carried
        context["ti"].xcom_push(
            key=self.RUN_KEY,
            value={
                "run": handle.to_json(),
                "requests": self.hook.requests_sent + requests,
                "throttled_seconds": self.hook.throttled_seconds + throttled,
            },
        )
        left = max(handle.deadline - self.hook.server_now(), 0.0)
        self.hook.close()
        self.defer(
            trigger=InstantTestResultsTrigger(
                run=handle.to_json(),
                thousandeyes_conn_id=self.thousandeyes_conn_id,
                poll_interval=self._read("poll_interval"),
                min_agents=self._enough(handle.plan),
                grace=self._read("grace"),
            ),
            method_name="execute_complete",
            # The trigger ends by itself; this is for the case that there is no triggerer to run it.
            timeout=timedelta(seconds=left + LATE),
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
                look = self._reader.look(handle.plan, handle.earliest_start, time_left)
                now = self._monotonic()
                before, waiting = waiting, waiting.look(look.rows(), now)
                state = waiting.state(now)
                self._tell(context, before, waiting)
        except ThousandEyesError:
            self._push(context, self._evidence(handle, waiting, State.WAITING))
            raise
        return state, waiting

    def _pace(self, plan: Plan) -> float:
        """Seconds that one look at all result types should keep from the next."""
        return self.hook.polling_gap() * sum(map(len, plan.directions.values()))

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
        "deferrable": arguments.a_flag,
    }


def _expectation(plan: Plan) -> str:
    count, source = plan.expected.count, plan.expected.source
    if count is None:
        return "agents that nobody lists; complete when nothing new comes for 60 s"
    names = f": {few([str(agent) for agent in plan.expected.agents])}" if plan.expected.agents else ""
    return f"{count} agents (source: {source}){names}"
