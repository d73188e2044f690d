"""Waiting for the round of a run, in a worker.

A session polls, counts and logs. It neither defers nor pushes evidence: every method returns the next step of the task,
and the task decides at its top level what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thousandeyes_provider.api.expected_agents import share_or_count
from thousandeyes_provider.api.poll_schedule import Arrivals, PollSchedule
from thousandeyes_provider.api.rounds import app_link, wait_for_next_minute
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError, ThousandEyesError
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.hooks.results_reader import PollResult, ResultsReader
from thousandeyes_provider.links.thousandeyes import ThousandEyesRoundLink
from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import Json, JudgeOptions, TaskLog
from thousandeyes_provider.operators.run_store import QueuedRun, Spent
from thousandeyes_provider.operators.xcoms import TaskXComs

if TYPE_CHECKING:
    from thousandeyes_provider.api import round_progress
    from thousandeyes_provider.api.round_progress import RoundProgress, TriggerSighting, WaitState
else:
    # Imported after the run call, which it would delay.
    round_progress = LazyModule("thousandeyes_provider.api.round_progress")

LONG_WAIT = 5.0
"""Seconds of waiting after which the newest round is read again before a run is sent."""

MAX_MINUTE_WAITS = 3
"""Maximum number of waits for the next minute after another run in the same minute."""

MIN_FINAL_POLL = 5.0
"""Seconds for the one poll of a task that resumes at its deadline or after it."""


@dataclass(frozen=True)
class Done:
    """The wait for a round is over."""

    handle: RunHandle
    state: WaitState
    progress: RoundProgress


class Session:
    """Reads of one task, and the wait for its round.

    :param xcoms: where links are pushed as soon as they are known.
    :param plan: properties of the test from the arguments.
    :param poll_interval: seconds between two polls; ``None`` for the adaptive schedule.
    """

    def __init__(
        self,
        options: JudgeOptions,
        *,
        label: str,
        hook: BlockingThousandEyesHook,
        xcoms: TaskXComs,
        log: TaskLog,
        plan: Plan,
        poll_interval: float | None,
    ) -> None:
        checked = options.checks.result_types
        expand = {name: fields for name in checked if (fields := options.checks.expand_for(name))}
        self.hook = hook
        self.log = log
        self.xcoms = xcoms
        self.reader = ResultsReader(hook, log, expand=expand)
        self.spent_before = Spent()
        """The usage of the task before it was deferred."""
        self.plan = plan
        """The known properties of the test."""
        self.handle: RunHandle | None = None
        """The run, once it was accepted."""
        self.progress: RoundProgress | None = None
        """What has arrived of its round."""
        self.minute_waits = 0.0
        """Seconds that the run waited for the next minute in this process."""
        self._default_account_group: str | None = None
        self._knows_account_group = False
        self._calls_before = 0
        self._options = options
        self.label = label
        self.poll_interval = poll_interval

    @property
    def spent(self) -> Spent:
        """The usage of the task so far, in all its processes."""
        hook = self.hook
        return self.spent_before + Spent(hook.requests_sent, hook.throttled_seconds, hook.paced_seconds)

    @property
    def run_calls(self) -> int:
        """Number of times that the call that starts the round was sent, in all processes of the task."""
        return self._calls_before + self.hook.run_calls

    @property
    def account_group_id(self) -> str | None:
        """The account group in force as far as it is known: the configured one, else the token's default."""
        return self.plan.account_group_id or self._default_account_group

    def take_default_account_group(self, account_group_id: str | None) -> None:
        """Keep the token's default account group; ``None`` when it could not be read, which is tried once."""
        self._default_account_group, self._knows_account_group = account_group_id, True

    def learn_account_group(self) -> str | None:
        """Return the account group in force; read the token's default one, once, when none is configured."""
        if not self._knows_account_group and self.hook.account_group_id is None:
            self.take_default_account_group(self.hook.get_default_account_group())
        return self.hook.account_group_id or self.account_group_id

    # -- before the run ------------------------------------------------------------------------------------------

    def expect_run(self, queued: QueuedRun) -> None:
        """Forget an earlier run: the task starts another one."""
        self.plan, self.handle, self.progress = queued.plan or self.plan, None, None
        self._calls_before = queued.run_calls - self.hook.run_calls
        self.minute_waits = 0.0

    def required_agents(self, plan: Plan) -> int | None:
        """Return ``min_agents`` as a count; ``None`` for all agents.

        :raises ThousandEyesConfigurationError: when it does not fit the number of expected agents.
        """
        required, total = self._options.min_agents, plan.expected.count
        if required is None:
            return None
        count = share_or_count(required, total)
        if count is None:
            raise ThousandEyesConfigurationError(
                f"{self.label}: min_agents={required!r} is a fraction, but the number of agents is unknown; "
                "give expected_agents= too, or a count"
            )
        if total is not None and count > total:
            raise ThousandEyesConfigurationError(
                f"{self.label}: min_agents={required!r}, but only {total} agents are expected"
            )
        return count

    def remember(self, plan: Plan) -> Plan:
        """Return the plan with the rounds that are the newest now, in a minute in which our round gets another id."""
        return self.wait_for_next_minute(self.reader.remember(plan))

    def wait_for_next_minute(self, plan: Plan) -> Plan:
        """Wait where our round could otherwise get the id of the remembered one.

        Another run may start in the minute that was waited for, so the wait is repeated, at most
        :data:`MAX_MINUTE_WAITS` times.
        """
        for _ in range(MAX_MINUTE_WAITS):
            pause = wait_for_next_minute(plan.remembered.values(), self.hook.server_now())
            if not pause:
                break
            self.log.info("Waiting %.0f s for the next minute: the newest round started in this one", pause)
            self.pace(pause + 0.1)
            self.minute_waits += pause + 0.1
            if pause <= LONG_WAIT:
                break
            plan = self.reader.remember(plan)
        return plan

    def pace(self, duration: float) -> None:
        """Sleep for a reason other than a rate limit."""
        self.hook.sleep(duration)
        self.hook.paced_seconds += duration

    def has_started(self, plan: Plan, sent_at: float, timeout: float) -> bool:
        """Poll for a fresh round after the response to a run call was lost.

        The poll lasts for the configured ``settle_time``, and as long again when no poll succeeds.

        :param sent_at: when the call was sent, epoch seconds of ThousandEyes' clock.
        :param timeout: seconds that the task waits for results at most.
        """
        settle_time = min(setting("settle_time"), timeout)
        run = RunHandle(plan, sent_at=sent_at, accepted_at=sent_at, deadline=sent_at + timeout, run_calls=0)
        progress, polls = self.progress_of(run), 0
        for attempt in range(2):
            ends = time.monotonic() + settle_time

            def time_left(ends: float = ends) -> float:
                return ends - time.monotonic()

            while time_left() > 0:
                now = time.monotonic()
                interval = progress.next_poll(now, self.reader.pace) - now
                self.hook.sleep(max(min(interval, time_left()), 0.0))
                result = self.reader.poll(plan, sent_at, time_left)
                progress = progress.poll(result.rows, time.monotonic())
                polls += result.error is None
                if progress.rounds():
                    self.log.info("The round has started; the run is not sent again")
                    return True
            if polls or not settle_time:
                break
            if not attempt:
                self.log.warning(
                    "No poll succeeded within %g s; polling for another %g s", settle_time, settle_time
                )
        failed = "" if polls else "; no poll succeeded"
        self.log.warning("No fresh round within %g s%s; sending the run again", settle_time, failed)
        return False

    # -- the round -----------------------------------------------------------------------------------------------

    def progress_of(
        self, handle: RunHandle, *, sighting: TriggerSighting | None = None, deadline: float | None = None
    ) -> RoundProgress:
        """Return the progress of a run before its first poll.

        :param sighting: the rows of the round that a trigger has seen.
        :param deadline: when the wait ends, by the monotonic clock; that of the run when ``None``.
        """
        return round_progress.RoundProgress.for_run(
            handle,
            now=time.monotonic(),
            server_now=self.hook.server_now(),
            poll_interval=self.poll_interval,
            min_agents=self.required_agents(handle.plan),
            grace=self._options.grace,
            clock_tolerance=setting("round_clock_tolerance"),
            sighting=sighting,
            deadline=deadline,
        )

    def wait(self, handle: RunHandle) -> Done:
        """Poll until the round is complete, enough of it has arrived, or the deadline has passed.

        :raises ThousandEyesError: if a poll fails permanently, or the last poll before the deadline failed.
        """
        progress, state, error = self.follow(handle), round_progress.WaitState.WAITING, None
        deadline = progress.deadline
        while state is round_progress.WaitState.WAITING:
            now = time.monotonic()
            due = progress.next_poll(now, self.reader.pace)
            self.hook.paced_seconds += max(due - progress.next_poll(now), 0.0)
            self.learn_account_group()
            self.hook.sleep(max(due - time.monotonic(), 0.0))
            progress, error = self.poll(handle, progress, lambda: deadline - time.monotonic())
            state = progress.state(time.monotonic())
        if error is not None and state is round_progress.WaitState.DEADLINE:
            raise error
        return Done(handle, state, progress)

    def poll(
        self, handle: RunHandle, progress: RoundProgress, time_left: Callable[[], float] | None = None
    ) -> tuple[RoundProgress, ThousandEyesError | None]:
        """Poll once, log the news, and push the link of a round that appears.

        :param time_left: returns the seconds until the deadline; ``None``: no deadline.
        :return: the progress, and the error of a poll that failed in part.
        """
        result = self.reader.poll(handle.plan, handle.sent_at, time_left)
        return self._take(progress, result), result.error

    def _take(self, before: RoundProgress, result: PollResult) -> RoundProgress:
        """The progress after a poll."""
        progress = self.progress = before.poll(result.rows, time.monotonic())
        for line in progress.describe_news(before):
            self.log.info("%s", line)
        if progress.rounds() and not before.rounds():
            rows = (row for of_type in progress.rows().values() for row in of_type)
            self.xcoms.push_link(
                ThousandEyesRoundLink, next((url for row in rows if (url := app_link(row))), None)
            )
        return progress

    def read_once(self, handle: RunHandle, event: Json) -> RunHandle | Done:
        """Poll once after a wait in the triggerer, or before one.

        :param event: how that wait ended; empty when that is unknown.
        :return: the run when its round is not finished and there is time.
        :raises ThousandEyesError: when rows that the trigger saw cannot be read, or the poll at the deadline fails.
        """
        wait_state = round_progress.WaitState
        trigger_state = next((state for state in wait_state if state.value == event.get("state")), None)
        try:
            sighting = round_progress.TriggerSighting.from_json(event.get("sighting"))
        except ValueError as damage:
            raise ThousandEyesError(f"{self.label}: the trigger's event is damaged: {damage}") from None
        self.follow(handle, sighting=sighting)
        ends = time.monotonic() + max(handle.deadline - self.hook.server_now(), MIN_FINAL_POLL)
        result = self.reader.poll(handle.plan, handle.sent_at, lambda: ends - time.monotonic())
        # ThousandEyes' clock, by which the deadline is set, is known from the first response on.
        progress = self._take(self.follow(handle, sighting=sighting), result)
        error, state = result.error, progress.resumed_state(trigger_state, time.monotonic())
        arrived = trigger_state in (
            wait_state.COMPLETE,
            wait_state.ENOUGH,
            wait_state.QUIET,
        )
        if error is not None and (state is wait_state.DEADLINE or (arrived and state is wait_state.WAITING)):
            raise error
        return handle if state is wait_state.WAITING else Done(handle, state, progress)

    def read_after_failure(self, handle: RunHandle, reason: str) -> Done:
        """Poll once after Airflow ended the wait in the triggerer.

        :raises ThousandEyesError: when the round is not finished and there is time.
        """
        self.log.warning("Airflow ended the wait in the triggerer (%s); polling once more", reason)
        step = self.read_once(handle, {})
        if isinstance(step, Done):
            return step
        if handle.deadline - self.hook.server_now() > MIN_FINAL_POLL or self.progress is None:
            raise ThousandEyesError(f"{self.label}: the wait in the triggerer failed: {reason}")
        return Done(handle, round_progress.WaitState.DEADLINE, self.progress)

    def may_be_finished(self, handle: RunHandle) -> bool:
        """Return whether a run is so old that its round may be finished."""
        age = self.hook.server_now() - handle.accepted_at
        return age > PollSchedule(self.poll_interval).seconds(Arrivals(age=0.0))

    def run_limit(self) -> float | None:
        """Return the runs a minute that the newest response stated."""
        quota = self.hook.quota().get("instant-test")
        return quota.limit if quota else None

    def follow(
        self, handle: RunHandle, *, sighting: TriggerSighting | None = None, deadline: float | None = None
    ) -> RoundProgress:
        """Take a run as the one that the task waits for, and return its progress before the first poll."""
        self.handle, self.plan = handle, handle.plan
        self.reader.update_pace(handle.plan)
        self.progress = self.progress_of(handle, sighting=sighting, deadline=deadline)
        return self.progress
