"""Rerun an instant test as a step of a pipeline: run, wait for the round of this run, judge it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from airflow.providers.common.compat.sdk import BaseOperator, conf
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesRateLimitError,
)
from thousandeyes_provider.links.thousandeyes import ThousandEyesTestLink
from thousandeyes_provider.operators import arguments
from thousandeyes_provider.operators.rounds import LATE, LINKS, RoundTask, few

# DAG files are parsed all the time: what only a worker needs is imported where it is used.
if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.api.retry import Wait
    from thousandeyes_provider.api.run import Plan, RunHandle
    from thousandeyes_provider.api.waiting import State, Waiting
    from thousandeyes_provider.operators.memory import Remembered, RunMemory
    from thousandeyes_provider.operators.queued import Queued

LONG_WAIT = 5.0
"""Seconds of waiting for a turn after which the newest round is looked up once more before the run is sent."""


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
    :param checks: what must hold as well, see the reference of checks: result type, metric, aggregate over the agents,
        comparison. Templated; a ``.json`` or ``.yaml`` file may be named.
    :param compare_with: what ``change_*`` and ``delta_*`` compare with: the evidence of an earlier run, or
        ``{"test_id": …, "window": "24h"}`` for the recent history of a test. One that is missing or incomplete
        fails the checks that need it. Templated.
    :param on_failed_checks: what a failed verdict means: ``fail``; ``skip``, the task ends skipped; ``warn``, it
        succeeds and the evidence says failed. It does not cover missing agents.
    :param retry_on_failed_checks: whether Airflow's task retries are spent on a failed verdict.
    :param confirm_failures: how many further runs have to confirm a failed verdict: it stands when the same check, or
        an error, fails again.
    :param snapshot_on_failure: whether to share a bad round privately in ThousandEyes: a snapshot that lasts 30 days,
        whose link is in the evidence, the error and among the links of the task.
    :param report_path: where to write a report, any place that Airflow's ``ObjectStoragePath`` reaches: JUnit for
        ``.xml``, Markdown for ``.md``. Templated.
    :param dry_run: verify token, account group, test, agents and their states, and that the newest round has each
        metric of the checks, and run nothing. The return value says what was found; the task fails when something is
        amiss.
    :param poll_interval: seconds, or a timedelta, between two looks at the results; more when the organization's
        quota runs short, of which a fifth is left to others.
    :param timeout: seconds, or a timedelta, from the moment the run was accepted until its results must be there.
    :param settle_time: seconds, or a timedelta, to look for a fresh round when the answer to the run call was lost.
    :param queue_timeout: seconds, or a timedelta, that may be spent before the run is accepted on rate limits and a
        busy test.
    :param deferrable: wait in the triggerer instead of a worker, by default as Airflow's ``default_deferrable`` says.
        The run is sent, and its round judged, by a worker all the same.
        So is a long wait for a rate limit; and each of many mapped tasks asks for its turn before it sends its run.
    :param durable: on Airflow 3.3 and later, a try that takes the place of one that was lost picks up the run that
        it had started, instead of running the test again. A cleared task runs anew.
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
        "checks",
        "compare_with",
        "report_path",
    )
    template_ext: Sequence[str] = (".json", ".yaml")
    template_fields_renderers: ClassVar[dict[str, str]] = {"checks": "json", "compare_with": "json"}
    operator_extra_links = LINKS
    QUEUE_KEY = "thousandeyes_queue"
    CONFIRM_KEY = "thousandeyes_confirm"
    _run_memory: RunMemory | None = None
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
        checks: Mapping[str, Any] | str | None = None,
        compare_with: Mapping[str, Any] | str | None = None,
        confirm_failures: int = 0,
        on_failed_checks: str = "fail",
        retry_on_failed_checks: bool = False,
        snapshot_on_failure: bool = False,
        report_path: str | None = None,
        dry_run: bool = False,
        poll_interval: float | timedelta = 10,
        timeout: float | timedelta = 600,
        settle_time: float | timedelta = 120,
        queue_timeout: float | timedelta = 3600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        durable: bool = True,
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
        self.checks = checks
        self.compare_with = compare_with
        self.confirm_failures = confirm_failures
        self.on_failed_checks = on_failed_checks
        self.retry_on_failed_checks = retry_on_failed_checks
        self.snapshot_on_failure = snapshot_on_failure
        self.report_path = report_path
        # Airflow's own operators have a method of that name.
        self.only_verify = dry_run
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.settle_time = settle_time
        self.queue_timeout = queue_timeout
        self.deferrable = deferrable
        self.durable = durable
        self._check_arguments(literals_only=True)

    # -- the task ------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the test; wait for its round and judge it, unless ``wait_for_results`` is false.

        :param context: Airflow's.
        :return: the evidence, or the run handle.
        """

        from thousandeyes_provider.operators.queued import Queued

        with self._ending():
            self._check_arguments(literals_only=False)
            begun = time.time()
            self._reader.time_left = lambda: self._read("queue_timeout") - (time.time() - begun)
            if self._read("only_verify"):
                return self._verify(context)
            left = self._memory(context).recall()
            if left is not None:
                return self._pick_up(context, left)
            if self._read("deferrable") and cast("int", context["ti"].map_index) >= 0:
                # One of many: they would all be refused at once.
                self._wait_for_turn(context, Queued(since=time.time()))
            return self._start(context, Queued(since=time.time()))

    def execute_in_turn(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resume when it is this task's turn to run its test.

        :param event: what :class:`~thousandeyes_provider.triggers.turns.RunTurnTrigger` fired.
        :return: the evidence, or the run handle.
        """

        from thousandeyes_provider.operators.queued import Queued
        from thousandeyes_provider.triggers.turns import TOO_LATE, TURN

        with self._ending():
            queued = Queued.from_json(self._pull(context, self.QUEUE_KEY))
            if not isinstance(event, dict) or event.get("state") not in (TURN, TOO_LATE):
                raise ThousandEyesError(
                    f"{self._owner} was resumed with an event that it does not know: {event!r}"
                )
            waited = float(event.get("waited", 0.0))
            queued = replace(queued, throttled_seconds=queued.throttled_seconds + waited)
            if event["state"] == TOO_LATE:
                raise self._no_turn(queued)
            return self._start(context, queued)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; one for a turn that Airflow ended is the same as one that comes too late."""
        if next_method == "__fail__" and self._pull(context, self.RUN_KEY) is None:
            from thousandeyes_provider.operators.queued import Queued

            told = self._pull(context, self.QUEUE_KEY)
            if told is not None:
                with self._ending():
                    raise self._no_turn(Queued.from_json(told))
        return super().resume_execution(next_method, next_kwargs, context)

    def _no_turn(self, queued: Queued) -> ThousandEyesRateLimitError:
        return ThousandEyesRateLimitError(
            f"{self._owner}: no turn to run the test within queue_timeout {self._read('queue_timeout'):g} s; "
            f"it was asked for {queued.run_calls} time(s)",
            status=429,
            bucket="instant-test",
            reset_at=queued.reset_at(),
        )

    def _verify(self, context: Context) -> dict[str, Any]:
        """What a run would find, without the run.

        :raises ThousandEyesConfigurationError: naming everything that is amiss.
        """
        from thousandeyes_provider.validation.samples import values_of

        checks = self._read("checks")
        plan = self._plan(context)
        states = self._reader.states(plan.expected.agents)
        amiss = [f"{agent} is {state}" for agent, state in states.items() if state not in ("online", None)]
        if plan.expected.count is None and not any(plan.remembered.values()):
            amiss.append("ThousandEyes knows neither a definition nor a round of it")
        found = []
        for check in checks.checks:
            rows = self._reader.newest.get(check.result_type, [])
            has = any(value is not None for value in values_of(check.result_type, check.metric, rows))
            found.append({"result_type": check.result_type, "metric": check.metric, "in_newest_round": has})
            if rows and not has:
                amiss.append(f"no agent reported {check.metric} of {check.result_type} in the newest round")
        told = {
            "dry_run": True,
            "test_id": plan.test_id,
            "test_name": plan.test_name,
            "test_type": plan.test_type,
            "account_group_id": plan.account_group_id,
            "result_types": list(plan.directions),
            "newest_rounds": dict(plan.remembered),
            "agents": [
                {"agent_id": agent.agent_id, "agent_name": agent.agent_name, "state": states.get(agent)}
                for agent in plan.expected.agents
            ],
            "checks": found,
        }
        if amiss:
            self._push(context, told)
            raise ThousandEyesConfigurationError(
                f"{self._owner}: dry run of test {plan.test_id}: {'; '.join(amiss)}"
            )
        self.log.info("Dry run: everything is in place; nothing was run")
        return told

    def _start(self, context: Context, queued: Queued) -> dict[str, Any]:
        """Run the test, and wait for its round as the arguments say."""
        self._carried = (queued.requests, queued.throttled_seconds)
        plan = self._plan(context) if queued.plan is None else self._reader.remember(queued.plan)
        handle = self._run(context, plan, queued)
        if not self._read("wait_for_results"):
            self.log.info("Not waiting for the results; the run handle is this task's return value")
            return handle.to_json()
        return self._follow(context, handle)

    def _follow(self, context: Context, handle: RunHandle) -> dict[str, Any]:
        """Wait for the round of a run, here or in the triggerer, and judge it."""
        if self._read("deferrable"):
            return self._defer_or_judge(context, handle)
        return self._judge(context, handle, *self._wait_for_round(context, handle))

    def _pick_up(self, context: Context, left: Remembered) -> dict[str, Any]:
        """Go on with the run of an earlier try, or find out whether it was sent."""

        from thousandeyes_provider.api.http import iso_time
        from thousandeyes_provider.operators.queued import Queued

        run = left.run
        same = run.plan.test_id == self._test() and run.plan.account_group_id == self.hook.account_group_id
        if not same or not set(self._read("checks").result_types) <= set(run.plan.directions):
            self.log.info("An earlier try ran test %s for other arguments; running anew", run.plan.test_id)
            return self._start(context, Queued(since=time.time()))
        if left.accepted:
            self.log.info(
                "Picking up the run that an earlier try started; it was accepted at %s",
                iso_time(run.accepted_at),
            )
            return self._follow(context, run)
        self.log.info("An earlier try was about to run the test; looking whether the round has begun")
        if self._has_begun(run.plan, run.earliest_start):
            run = replace(run, deadline=run.accepted_at + self._read("timeout"), run_calls=1)
            self._memory(context).accepted(run)
            return self._follow(context, run)
        return self._start(context, Queued(since=time.time(), plan=run.plan, run_calls=1))

    def _memory(self, context: Context) -> RunMemory:
        """What this task remembers of its run from one try to the next."""

        from thousandeyes_provider.operators.memory import RunMemory

        if self._run_memory is None:
            durable = self._read("durable") and self._read("wait_for_results")
            self._run_memory = RunMemory(context, durable=durable, log=self.log)
        return self._run_memory

    def _judge(self, context: Context, handle: RunHandle, state: State, waiting: Waiting) -> dict[str, Any]:
        self._memory(context).forget()
        return super()._judge(context, handle, state, waiting)

    def _confirm(self, context: Context, handle: RunHandle, told: dict[str, Any]) -> dict[str, Any] | None:
        """Run the test once more when its verdict is bad; a failure that is not confirmed is none."""
        from thousandeyes_provider.operators.queued import Queued
        from thousandeyes_provider.validation.verdict import same_failure

        wanted = self._read("confirm_failures")
        if not wanted:
            return None
        first = self._pull(context, self.CONFIRM_KEY)
        if first is None:
            if told["verdict"] != "failed":
                return None
            kept = ("started_at", "rounds", "links")
            first = {
                "left": wanted,
                "failed": list(self._judgement.failed_positions),
                "run": {name: told[name] for name in kept},
            }
        else:
            told["confirms"] = first["run"]
            if told["verdict"] == "failed" and not same_failure(first["failed"], self._judgement):
                told |= {"verdict": "passed", "unconfirmed": True}
                self.log.warning(
                    "Another check failed than in the first run, so that no failure is confirmed"
                )
            if told["verdict"] != "failed":
                return None
            first["left"] -= 1
            if not first["left"]:
                return None
        context["ti"].xcom_push(key=self.CONFIRM_KEY, value=first)
        self.log.warning(
            "The verdict is failed; running the test once more to confirm it, %d left", first["left"]
        )
        queued = Queued(
            since=time.time(),
            plan=handle.plan,
            run_calls=handle.run_calls,
            requests=self._carried[0],
            throttled_seconds=self._carried[1],
        )
        return self._start(context, queued)

    def _account_group(self) -> str | None:
        found: str | None = self._read("account_group_id")
        return found

    def _test(self) -> str:
        return str(self._read("test_id"))

    # -- before the run ------------------------------------------------------------------------------------------

    def _plan(self, context: Context) -> Plan:
        from thousandeyes_provider.api.expectation import type_implied_by
        from thousandeyes_provider.api.run import RunHandle

        checked = self._read("checks").result_types
        plan = self._reader.plan(
            test_type=self._read("test_type") or type_implied_by(checked),
            result_types=self._read("result_types") or checked or None,
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

    def _run(self, context: Context, plan: Plan, queued: Queued) -> RunHandle:
        """Run the test, in a way that its round can be told from every other."""

        from thousandeyes_provider.api.http import iso_time
        from thousandeyes_provider.api.run import RunHandle

        plan = self._pass_the_minute(plan)
        current = [plan]
        settles = self._read("wait_for_results")
        lost = [False]

        def settle(lost_at: float) -> bool:
            lost[0] = True
            return self._has_begun(current[0], lost_at)

        def wait(pause: Wait) -> None:
            if pause.throttled and pause.seconds > LONG_WAIT and self._read("deferrable") and not lost[0]:
                # It was refused, so that there is nothing to pick up.
                self._memory(context).forget()
                self._wait_for_turn(context, self._queued(queued, current[0], pause))
            self.hook._sleep(pause.seconds)
            # After a long wait others may have run the test. Not once an answer was lost: then a newer round may be
            # our own.
            if pause.seconds > LONG_WAIT and not lost[0]:
                current[0] = self._pass_the_minute(self._reader.remember(current[0]))
                self._memory(context).sending(current[0], self.hook.server_now())

        patience = self._read("queue_timeout") - (time.time() - queued.since)
        self._memory(context).sending(plan, self.hook.server_now())
        try:
            call = self.hook.run_instant_test(
                plan.test_id, queue_timeout=max(patience, 0.0), settle=settle if settles else None, wait=wait
            )
        except ThousandEyesError:
            if not lost[0]:
                self._memory(context).forget()
            raise
        handle = RunHandle(
            current[0],
            accepted_at=call.accepted_at,
            earliest_start=call.earliest_start,
            deadline=call.accepted_at + self._read("timeout"),
            run_calls=call.sent + queued.run_calls,
        )
        self._memory(context).accepted(handle)
        self.log.info(
            "Run accepted at %s by ThousandEyes' clock, sent %d time(s); results are waited for until %s",
            iso_time(handle.accepted_at),
            handle.run_calls,
            iso_time(handle.deadline),
        )
        return handle

    def _queued(self, queued: Queued, plan: Plan, pause: Wait) -> Queued:
        """What has to be known when the turn has come."""
        quota = self.hook.quota().get("instant-test")
        return replace(
            queued,
            plan=plan,
            run_calls=queued.run_calls + self.hook.run_calls,
            requests=self._carried[0] + self.hook.requests_sent,
            throttled_seconds=self._carried[1] + self.hook.throttled_seconds,
            limit=quota.limit if quota else None,
            not_before=time.time() + pause.seconds,
        )

    def _wait_for_turn(self, context: Context, queued: Queued) -> NoReturn:
        """Wait in the triggerer until it is this task's turn to run its test."""
        from thousandeyes_provider.triggers.turns import RunTurnTrigger

        give_up_at = queued.since + self._read("queue_timeout")
        # What is wrong with the connection comes to light here, as the error that it is.
        _ = self.hook.settings
        context["ti"].xcom_push(key=self.QUEUE_KEY, value=queued.to_json())
        self.defer(
            trigger=RunTurnTrigger(
                thousandeyes_conn_id=self.thousandeyes_conn_id,
                give_up_at=give_up_at,
                limit=queued.limit,
                not_before=queued.not_before,
            ),
            method_name="execute_in_turn",
            timeout=timedelta(seconds=max(give_up_at - time.time(), 0.0) + LATE),
        )

    def _pass_the_minute(self, plan: Plan) -> Plan:
        """Wait for the next minute where our round could otherwise not be told from the remembered one."""

        from thousandeyes_provider.api.rounds import wait_for_next_minute

        pause = wait_for_next_minute(plan.remembered.values(), self.hook.server_now())
        if not pause:
            return plan
        self.log.info(
            "The newest round began this minute; waiting %.0f s for the next, to tell ours from it", pause
        )
        self.hook._sleep(pause + 0.1)
        return self._reader.remember(plan) if pause > LONG_WAIT else plan

    def _has_begun(self, plan: Plan, lost_at: float) -> bool:
        """Whether a fresh round shows up within ``settle_time`` after a run call whose answer was lost.

        When nothing could be read in that time, it is looked for as long once more.
        """

        from thousandeyes_provider.api.rounds import is_fresh

        settle_time: float = min(self._read("settle_time"), self._read("timeout"))
        newest = max((found for found in plan.remembered.values() if found is not None), default=None)
        ends: float = self._monotonic() + settle_time

        def time_left() -> float:
            return ends - self._monotonic()

        answered = extended = False
        while True:
            if time_left() <= 0:
                if answered or extended or not settle_time:
                    break
                self.log.warning("Nothing could be read in %g s; looking as long once more", settle_time)
                ends, extended = self._monotonic() + settle_time, True
            self.hook._sleep(min(max(self._read("poll_interval"), self._pace(plan)), time_left()))
            rows = self._reader.look(plan, lost_at, time_left).rows()
            answered = answered or len(rows) == len(plan.directions)
            if any(
                is_fresh(row, remembered=newest, started_after=lost_at)
                for found in rows.values()
                for row in found
            ):
                self.log.info("The round has begun: the run is not sent again")
                return True
        self.log.warning(
            "No fresh round within %g s%s",
            settle_time,
            "" if answered else ", but nothing could be read either",
        )
        return False

    # -- the round -----------------------------------------------------------------------------------------------

    def _defer_or_judge(self, context: Context, handle: RunHandle) -> dict[str, Any]:
        """Wait in the triggerer; a run that can be finished already is looked at before."""

        from thousandeyes_provider.api.waiting import State

        if self.hook.server_now() - handle.accepted_at > self._read("poll_interval"):
            state, waiting = self._last_read(context, handle, {})
            if state is not State.WAITING:
                return self._judge(context, handle, state, waiting)
        return self._wait_in_triggerer(context, handle)

    def _wait_for_round(self, context: Context, handle: RunHandle) -> tuple[State, Waiting]:
        """Look until the round is complete, or enough of it is there, or the time is up."""

        from thousandeyes_provider.api.waiting import State

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
        except BaseException:
            # Airflow's own time-out, a connection that is gone: no request more, but nothing is lost either.
            self._push(context, self._evidence(handle, waiting, State.WAITING, ask=False))
            raise
        return state, waiting

    _READERS: Mapping[str, Callable[[Any], Any]] = {
        "test_id": arguments.an_id,
        "test_type": arguments.a_test_type,
        "account_group_id": arguments.an_optional_id,
        "thousandeyes_conn_id": arguments.a_conn_id,
        "wait_for_results": arguments.a_flag,
        "result_types": arguments.result_types,
        "expected_agents": arguments.expected_agents,
        "min_agents": arguments.min_agents,
        "grace": arguments.a_time,
        **RoundTask.JUDGING,
        "only_verify": arguments.a_flag,
        "confirm_failures": arguments.a_small_count,
        "poll_interval": arguments.a_positive_time,
        "timeout": arguments.a_positive_time,
        "settle_time": arguments.a_time,
        "queue_timeout": arguments.a_time,
        "deferrable": arguments.a_flag,
        "durable": arguments.a_flag,
    }


def _expectation(plan: Plan) -> str:
    count, source = plan.expected.count, plan.expected.source
    if count is None:
        return "agents that nobody lists; complete when nothing new comes for 60 s"
    names = f": {few([str(agent) for agent in plan.expected.agents])}" if plan.expected.agents else ""
    return f"{count} agents (source: {source}){names}"
