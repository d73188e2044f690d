"""Wait for the round of a run in the triggerer.

The trigger only reads. It never runs a test, so a triggerer may restart it or run it twice.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from thousandeyes_provider.api.poll_schedule import QuotaPace
from thousandeyes_provider.api.round_progress import RoundProgress, TriggerSighting, WaitState
from thousandeyes_provider.api.rounds import ROUND_CLOCK_TOLERANCE
from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.exceptions import ThousandEyesAuthError, ThousandEyesError
from thousandeyes_provider.triggers.loading import load_hooks

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.results_reader import AsyncResultsReader

REFUSED = "refused"
"""State of the event of a trigger whose token was refused: the worker gets the error itself, and raises it."""

EVENT_STATES = (*(state.value for state in WaitState if state is not WaitState.WAITING), REFUSED)
"""The states of an event."""


class InstantTestResultsTrigger(BaseTrigger):
    """Wait until a round is complete, or enough of it has arrived, or its deadline has passed.

    Fires one event of ids, figures and a state, never rows: ``{"state", "test_id", "account_group_id", "reported",
    "requests", "throttled_seconds", "paced_seconds", "sighting"}``. The trigger polls at least once, also when it
    starts after the deadline. All such triggers of a triggerer share connections, pace and the read of the default
    account group for each account. The progress of the round appears in the log of the task.

    :param run: the run handle, as :class:`~thousandeyes_provider.operators.instant_test.RunInstantTestOperator` returns
        it without waiting.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``; read in the triggerer, so no secret is stored.
    :param poll_interval: seconds between two polls, unless the quota requires more; ``None`` for the adaptive
        schedule.
    :param min_agents: number of agents that are sufficient; ``None``: all.
    :param grace: seconds to wait for the other agents after that.
    :param run_limit: runs in a rate-limit window, from the response to the run call; it spaces the queued runs.
    :param round_clock_tolerance: seconds that the id of our round may be before the run call.
    :param quota_load: how much of the quota all clients use, as the worker saw it.
    :param sighting: what an earlier trigger saw of this round, as its event has it.
    """

    def __init__(
        self,
        *,
        run: dict[str, Any],
        thousandeyes_conn_id: str = "thousandeyes_default",
        poll_interval: float | None = None,
        min_agents: int | None = None,
        grace: float = 60.0,
        run_limit: float | None = None,
        round_clock_tolerance: float = ROUND_CLOCK_TOLERANCE,
        quota_load: float | None = None,
        sighting: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.handle = run
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.poll_interval = poll_interval
        self.min_agents = min_agents
        self.grace = grace
        self.run_limit = run_limit
        self.round_clock_tolerance = round_clock_tolerance
        self.quota_load = quota_load
        self.sighting = sighting

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, as plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "run": self.handle,
                "thousandeyes_conn_id": self.thousandeyes_conn_id,
                "poll_interval": self.poll_interval,
                "min_agents": self.min_agents,
                "grace": self.grace,
                "run_limit": self.run_limit,
                "round_clock_tolerance": self.round_clock_tolerance,
                "quota_load": self.quota_load,
                "sighting": self.sighting,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire.

        :raises ThousandEyesError: when an argument is damaged.
        """
        await load_hooks()
        from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook
        from thousandeyes_provider.hooks.results_reader import AsyncResultsReader

        try:
            handle = RunHandle.from_json(self.handle)
            sighting = TriggerSighting.from_json(self.sighting)
        except ValueError as error:
            raise ThousandEyesError(f"The arguments of the trigger are damaged: {error}") from None
        hook = ThousandEyesAsyncHook(self.thousandeyes_conn_id, handle.plan.account_group_id, shared=True)
        pace = QuotaPace() if self.quota_load is None else QuotaPace(load=self.quota_load)
        progress = RoundProgress.for_run(
            handle,
            now=time.monotonic(),
            server_now=hook.server_now(),
            poll_interval=self.poll_interval,
            min_agents=self.min_agents,
            grace=self.grace,
            clock_tolerance=self.round_clock_tolerance,
            sighting=sighting,
        )
        wait = _RoundWait(handle, AsyncResultsReader(hook, self.log, pace), progress)
        try:
            await hook.load()
            hook.account.pace.learn_run_limit(self.run_limit)
            while (state := await wait.poll_when_due()) is WaitState.WAITING:
                pass
            event = wait.event(state.value)
        except ThousandEyesAuthError as error:
            self.log.warning("ThousandEyes refused the token: %s", error)
            event = wait.event(REFUSED)
        finally:
            await hook.close()
        yield TriggerEvent(event)  # type: ignore[no-untyped-call,unused-ignore]


@dataclass(slots=True)
class _RoundWait:
    """The polls of a round, and what has arrived of it."""

    handle: RunHandle
    reader: AsyncResultsReader
    progress: RoundProgress
    account_group_id: str | None = None

    async def poll_when_due(self) -> WaitState:
        hook, now = self.reader.hook, time.monotonic()
        due = self.progress.next_poll(now, self.reader.pace)
        hook.paced_seconds += max(due - self.progress.next_poll(now), 0.0)
        self.account_group_id = hook.account_group_id or await hook.get_default_account_group()
        await hook.sleep(max(due - time.monotonic(), 0.0))
        result = await self.reader.poll(self.handle.plan, self.handle.sent_at, self._time_left)
        now = time.monotonic()
        # ThousandEyes' clock is known from the first response on, so both times are set again.
        started = now + self.handle.sent_at - hook.server_now()
        before = replace(self.progress, deadline=now + self._time_left(), started=started)
        self.progress = before.poll(result.rows, now)
        for line in self.progress.describe_news(before):
            self.reader.log.info("%s", line)
        return self.progress.state(now)

    def _time_left(self) -> float:
        return self.handle.deadline - self.reader.hook.server_now()

    def event(self, state: str) -> dict[str, Any]:
        """The event of the trigger."""
        hook = self.reader.hook
        return {
            "state": state,
            "test_id": self.handle.plan.test_id,
            "account_group_id": self.account_group_id,
            "reported": len(self.progress.reported()),
            "requests": hook.requests_sent,
            "throttled_seconds": round(hook.throttled_seconds, 1),
            "paced_seconds": round(hook.paced_seconds, 1),
            "sighting": self.progress.to_sighting().to_json(),
        }
