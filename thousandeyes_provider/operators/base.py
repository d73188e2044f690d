"""What every operator that starts a round does: wait for its turn, send, wait for the round, judge it.

Which call starts the round, and what has to be known before, is the part of each operator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from airflow.providers.common.compat.sdk import BaseOperator
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import (
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesRateLimitError,
)
from thousandeyes_provider.operators import arguments
from thousandeyes_provider.operators.rounds import LATE, LINKS, RoundTask, few

# DAG files are parsed all the time: what only a worker needs is imported where it is used.
if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.api.retry import Wait
    from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
    from thousandeyes_provider.api.run import Plan, RunHandle
    from thousandeyes_provider.operators.queued_run import QueuedRun
    from thousandeyes_provider.operators.run_store import RunStateStore, StoredRun

LONG_WAIT = 5.0
"""Seconds of waiting for a turn after which the newest round is looked up once more before the run is sent."""


class BaseInstantTestOperator(RoundTask, BaseOperator):
    """Start a round of an instant test, wait for it, and judge it.

    The arguments are those of :class:`~thousandeyes_provider.operators.instant_test.RunInstantTestOperator`.
    """

    template_ext: Sequence[str] = (".json", ".yaml")
    template_fields_renderers: ClassVar[dict[str, str]] = {"checks": "json", "compare_with": "json"}
    operator_extra_links = LINKS
    QUEUE_KEY = "thousandeyes_queue"
    CONFIRM_KEY = "thousandeyes_confirm"
    _run_memory: RunStateStore | None = None
    ui_color = "#e8f4fa"

    def __init__(
        self,
        *,
        account_group_id: str | int | None,
        thousandeyes_conn_id: str,
        wait_for_results: bool,
        result_types: Sequence[str] | None,
        expected_agents: int | Sequence[str | int] | str | None,
        min_agents: int | float | None,
        grace: float | timedelta,
        max_agent_errors: int | float,
        checks: Mapping[str, Any] | str | None,
        compare_with: Mapping[str, Any] | str | None,
        confirm_failures: int,
        on_failed_checks: str,
        retry_on_failed_checks: bool,
        snapshot_on_failure: bool,
        report_path: str | None,
        dry_run: bool,
        poll_interval: float | timedelta,
        timeout: float | timedelta,
        queue_timeout: float | timedelta,
        deferrable: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        self.queue_timeout = queue_timeout
        self.deferrable = deferrable

    # -- the part of each operator -------------------------------------------------------------------------------

    def _begin(self, context: Context, queued: QueuedRun) -> RunHandle:
        """Start a round.

        :param queued: what is known already, from before a wait for a turn, or of the run that is to be confirmed.
        """
        raise NotImplementedError

    def _asked_for(self) -> list[str | None]:
        """What an earlier try must have started, so that it is picked up; plain JSON."""
        raise NotImplementedError

    def _find_begun(self, run: RunHandle) -> RunHandle | None:
        """The round that an earlier try was about to start; ``None`` when it has not begun."""
        raise NotImplementedError

    def _verify(self, context: Context) -> dict[str, Any]:
        """What a run would find, without the run.

        :raises ThousandEyesConfigurationError: naming everything that is amiss.
        """
        raise NotImplementedError

    def _verified(
        self, context: Context, what: str, told: dict[str, Any], amiss: Sequence[str]
    ) -> dict[str, Any]:
        """The end of a dry run.

        :param what: what was verified, for the log.
        :param told: what was found: the return value, pushed also when something is amiss.
        :raises ThousandEyesConfigurationError: naming everything that is amiss.
        """
        if amiss:
            self._push(context, told)
            raise ThousandEyesConfigurationError(f"{self._owner}: dry run of {what}: {'; '.join(amiss)}")
        self.log.info("Dry run of %s: nothing is amiss; it was not run", what)
        return told

    # -- the task ------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        """Start a round; wait for it and judge it, unless ``wait_for_results`` is false.

        :param context: Airflow's.
        :return: the evidence, or the run handle.
        """

        from thousandeyes_provider.operators.queued_run import QueuedRun

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
                self._wait_for_turn(context, QueuedRun(since=time.time()))
            return self._start(context, QueuedRun(since=time.time()))

    def execute_in_turn(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resume when it is this task's turn to run its test.

        :param event: what :class:`~thousandeyes_provider.triggers.turns.RunTurnTrigger` fired.
        :return: the evidence, or the run handle.
        """

        from thousandeyes_provider.operators.queued_run import QueuedRun
        from thousandeyes_provider.triggers.turns import TOO_LATE, TURN

        with self._ending():
            queued = QueuedRun.from_json(self._pull(context, self.QUEUE_KEY))
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
            from thousandeyes_provider.operators.queued_run import QueuedRun

            told = self._pull(context, self.QUEUE_KEY)
            if told is not None:
                with self._ending():
                    raise self._no_turn(QueuedRun.from_json(told))
        return super().resume_execution(next_method, next_kwargs, context)

    def _no_turn(self, queued: QueuedRun) -> ThousandEyesRateLimitError:
        return ThousandEyesRateLimitError(
            f"{self._owner}: no turn to run the test within queue_timeout {self._read('queue_timeout'):g} s; "
            "it was asked for " + ("once" if queued.run_calls == 1 else f"{queued.run_calls} times"),
            status=429,
            bucket="instant-test",
            reset_at=queued.reset_at(),
        )

    def _start(self, context: Context, queued: QueuedRun) -> dict[str, Any]:
        """Run the test, and wait for its round as the arguments say."""
        self._carried = (queued.requests, queued.throttled_seconds)
        handle = self._begin(context, queued)
        if not self._read("wait_for_results"):
            self.log.info("Not waiting for the results; the run handle is this task's return value")
            return handle.to_json()
        return self._follow(context, handle)

    def _follow(self, context: Context, handle: RunHandle) -> dict[str, Any]:
        """Wait for the round of a run, here or in the triggerer, and judge it."""
        if self._read("deferrable"):
            return self._defer_or_judge(context, handle)
        return self._judge(context, handle, *self._wait_for_round(context, handle))

    def _pick_up(self, context: Context, left: StoredRun) -> dict[str, Any]:
        """Go on with the run of an earlier try, or find out whether it was sent."""

        from thousandeyes_provider.api.response import iso_time
        from thousandeyes_provider.operators.queued_run import QueuedRun

        run = left.run
        same = left.asked_for == self._asked_for()
        if not same or not set(self._read("checks").result_types) <= set(run.plan.directions):
            self.log.info("An earlier try was about something else; running anew")
            return self._start(context, QueuedRun(since=time.time()))
        if left.accepted:
            self.log.info(
                "Picking up the run that an earlier try started; it was accepted at %s",
                iso_time(run.accepted_at),
            )
            return self._follow(context, run)
        self.log.info("An earlier try was about to run the test; looking whether the round has begun")
        begun = self._find_begun(run)
        if begun is not None:
            begun = replace(begun, deadline=begun.accepted_at + self._read("timeout"), run_calls=1)
            self._memory(context).accepted(begun)
            return self._follow(context, begun)
        again = QueuedRun(since=time.time(), plan=run.plan, run_calls=1, sent_since=run.sent_at)
        return self._start(context, again)

    def _memory(self, context: Context) -> RunStateStore:
        """What this task remembers of its run from one try to the next."""

        from thousandeyes_provider.operators.run_store import RunStateStore

        if self._run_memory is None:
            durable = setting("durable") and self._read("wait_for_results")
            self._run_memory = RunStateStore(
                context, durable=durable, asked_for=self._asked_for(), log=self.log
            )
        return self._run_memory

    def _decided(self, context: Context) -> None:
        self._memory(context).forget()

    def _confirm(self, context: Context, handle: RunHandle, told: dict[str, Any]) -> dict[str, Any] | None:
        """Run the test once more when its verdict is bad; a failure that is not confirmed is none."""
        from thousandeyes_provider.operators.queued_run import QueuedRun
        from thousandeyes_provider.validation.evidence import confirmed
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
            same = same_failure(first["failed"], self._judgement)
            failed = told["verdict"] == "failed"
            told |= confirmed(told, first["run"], same=same)
            if failed and not same:
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
        queued = QueuedRun(
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

    # -- before the run ------------------------------------------------------------------------------------------

    def _announce(self, plan: Plan) -> None:
        """Say what is waited for. Whatever would keep the task from waiting comes to light here, before the run."""
        from thousandeyes_provider.api.run import RunHandle

        self._enough(plan)
        json.dumps(RunHandle(plan, 0.0, 0.0, 0.0, 0).to_json())
        self.log.info(
            "Test %s%s, %s: waiting for %s from %s",
            plan.test_id or "(new)",
            f" {plan.test_name!r}" if plan.test_name else "",
            plan.test_type,
            ", ".join(plan.directions),
            _expectation(plan),
        )

    def _run(self, context: Context, plan: Plan, queued: QueuedRun) -> RunHandle:
        """Run the test, in a way that its round can be told from every other."""
        from thousandeyes_provider.hooks.thousandeyes import RunCall

        plan = self._pass_the_minute(plan)
        current = [plan]
        settles = self._read("wait_for_results")
        lost = [False]

        def settle(lost_at: float) -> bool:
            lost[0] = True
            return self._has_begun(current[0], lost_at)

        def wait(pause: Wait) -> bool:
            self._sit_out(context, queued, current[0], pause, lost=lost[0])
            # After a long wait others may have run the test. Not once an answer was lost: then a newer round may be
            # our own.
            if (pause.busy or pause.seconds > LONG_WAIT) and not lost[0]:
                current[0] = self._pass_the_minute(self._reader.remember(current[0]))
                self._memory(context).sending(current[0], self.hook.server_now())
            return True

        self._memory(context).sending(plan, self.hook.server_now())
        try:
            call = self.hook.run_instant_test(
                plan.test_id,
                queue_timeout=self._patience(queued),
                verify=settle if settles else None,
                wait=wait,
            )
            assert isinstance(call, RunCall)
        except ThousandEyesError:
            if not lost[0]:
                self._memory(context).forget()
            raise
        return self._accepted(context, current[0], queued, call.sent_at, call.accepted_at, call.sent)

    def _accepted(
        self,
        context: Context,
        plan: Plan,
        queued: QueuedRun,
        sent_at: float,
        accepted_at: float,
        sent: int,
    ) -> RunHandle:
        """The handle of a round that ThousandEyes has begun, stored and told.

        :param sent: how often this process sent the call.
        """
        from thousandeyes_provider.api.response import iso_time
        from thousandeyes_provider.api.run import RunHandle

        handle = RunHandle(
            plan,
            sent_at=sent_at,
            accepted_at=accepted_at,
            deadline=accepted_at + self._read("timeout"),
            run_calls=sent + queued.run_calls,
        )
        self._memory(context).accepted(handle)
        self.log.info(
            "Run accepted at %s by ThousandEyes' clock, sent %s; results are waited for until %s",
            iso_time(handle.accepted_at),
            "once" if handle.run_calls == 1 else f"{handle.run_calls} times",
            iso_time(handle.deadline),
        )
        return handle

    def _patience(self, queued: QueuedRun) -> float:
        """Seconds that the call which starts a round may still spend on rate limits."""
        return max(float(self._read("queue_timeout")) - (time.time() - queued.since), 0.0)

    def _sit_out(self, context: Context, queued: QueuedRun, plan: Plan, pause: Wait, *, lost: bool) -> None:
        """Wait before the call that starts a round is sent again: here, or, when that is long, in the triggerer.

        :param lost: whether an answer was lost, so that it is to be told by this process what became of it.
        """
        if pause.throttled and pause.seconds > LONG_WAIT and self._read("deferrable") and not lost:
            # It was refused, so that there is nothing to pick up.
            self._memory(context).forget()
            self._wait_for_turn(context, self._queued(queued, plan, pause))
        self.hook.sleep(pause.seconds)

    def _queued(self, queued: QueuedRun, plan: Plan, pause: Wait) -> QueuedRun:
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

    def _wait_for_turn(self, context: Context, queued: QueuedRun) -> NoReturn:
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
        self.hook.sleep(pause + 0.1)
        return self._reader.remember(plan) if pause > LONG_WAIT else plan

    def _has_begun(self, plan: Plan, lost_at: float) -> bool:
        """Whether a fresh round shows up within ``settle_time`` after a run call whose answer was lost.

        When nothing could be read in that time, it is looked for as long once more.
        """

        from thousandeyes_provider.api.rounds import is_fresh

        settle_time: float = min(setting("settle_time"), self._read("timeout"))
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
            self.hook.sleep(min(max(self._read("poll_interval"), self._pace(plan)), time_left()))
            rows = self._reader.poll(plan, lost_at, time_left).rows
            answered = answered or len(rows) == len(plan.directions)
            if any(
                is_fresh(
                    row, remembered=newest, sent_at=lost_at, clock_tolerance=setting("round_clock_tolerance")
                )
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

        from thousandeyes_provider.api.round_progress import WaitState

        if self.hook.server_now() - handle.accepted_at > self._read("poll_interval"):
            state, waiting = self._last_read(context, handle, {})
            if state is not WaitState.WAITING:
                return self._judge(context, handle, state, waiting)
        return self._wait_in_triggerer(context, handle)

    def _wait_for_round(self, context: Context, handle: RunHandle) -> tuple[WaitState, RoundProgress]:
        """Look until the round is complete, or enough of it is there, or the time is up."""

        from thousandeyes_provider.api.round_progress import WaitState

        now = self._monotonic()
        waiting = self._progress(handle, now)
        state, deadline = WaitState.WAITING, waiting.deadline

        def time_left() -> float:
            return deadline - self._monotonic()

        try:
            while state is WaitState.WAITING:
                now = self._monotonic()
                due = waiting.next_poll(now, self._pace(handle.plan))
                self.hook.sleep(max(due - now, 0.0))
                result = self._reader.poll(handle.plan, handle.sent_at, time_left)
                now = self._monotonic()
                before, waiting = waiting, waiting.poll(result.rows, now)
                state = waiting.state(now)
                self._tell(context, before, waiting)
        except ThousandEyesError:
            self._push(context, self._evidence(handle, waiting, WaitState.WAITING))
            raise
        except BaseException:
            # Airflow's own time-out, a connection that is gone: no request more, but nothing is lost either.
            self._push(context, self._evidence(handle, waiting, WaitState.WAITING, ask=False))
            raise
        return state, waiting

    _READERS: Mapping[str, Callable[[Any], Any]] = {
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
        "queue_timeout": arguments.a_time,
        "deferrable": arguments.a_flag,
    }


def _expectation(plan: Plan) -> str:
    """Who is expected, for the log."""
    count, source = plan.expected.count, plan.expected.source
    if count is None:
        return "agents that nobody lists; complete when nothing new comes for 60 s"
    names = f": {few([str(agent) for agent in plan.expected.agents])}" if plan.expected.agents else ""
    return f"{count} agents (source: {source}){names}"
