"""Waiting for the round of a run in the triggerer.

The trigger only reads, and never runs a test, so that a triggerer that is restarted, or runs it twice, does no harm.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from thousandeyes_provider.api.round_progress import RoundProgress, WaitState
from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.exceptions import ThousandEyesAuthError
from thousandeyes_provider.triggers.loading import load_hooks

REFUSED = "refused"
"""State of the event of a trigger whose token was refused: the worker meets the error itself, and raises it."""

EVENT_STATES = (*(state.value for state in WaitState if state is not WaitState.WAITING), REFUSED)
"""The states that an event can have."""


class InstantTestResultsTrigger(BaseTrigger):
    """Wait until a round is complete, or enough of it is there, or its time is up.

    Fires one event, ``{"state", "test_id", "rounds", "reported", "requests", "throttled_seconds"}``: ids, figures and a
    state, never rows. It looks at least once, also when it starts after the deadline. All such triggers of a triggerer
    share connections and pace for each account.

    :param run: the run handle, as :class:`~thousandeyes_provider.operators.instant_test.RunInstantTestOperator` returns
        it without waiting.
    :param thousandeyes_conn_id: connection of type ``thousandeyes``; read in the triggerer, so no secret is stored.
    :param poll_interval: seconds between two looks, when the quota does not ask for more.
    :param min_agents: how many agents are enough, as a count; ``None`` for all.
    :param grace: seconds that the others are waited for after that.
    :param run_limit: runs a window, as the answer to the run call told it: it sets the pace of others' turns.
    """

    def __init__(
        self,
        *,
        run: dict[str, Any],
        thousandeyes_conn_id: str = "thousandeyes_default",
        poll_interval: float = 10.0,
        min_agents: int | None = None,
        grace: float = 60.0,
        run_limit: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.handle = run
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.poll_interval = poll_interval
        self.min_agents = min_agents
        self.grace = grace
        self.run_limit = run_limit

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
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        await load_hooks()
        from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook
        from thousandeyes_provider.hooks.results_reader import AsyncResultsReader

        handle = RunHandle.from_json(self.handle)
        hook = ThousandEyesAsyncHook(self.thousandeyes_conn_id, handle.plan.account_group_id, shared=True)
        reader = AsyncResultsReader(hook, self.log)
        waiting = RoundProgress.for_run(
            handle,
            deadline=time.monotonic() + handle.deadline - hook.server_now(),
            poll_interval=self.poll_interval,
            min_agents=self.min_agents,
            grace=self.grace,
        )
        state = WaitState.WAITING

        def time_left() -> float:
            return handle.deadline - hook.server_now()

        try:
            await hook.load()
            hook.account.pace.learn_run_limit(self.run_limit)
            while state is WaitState.WAITING:
                now = time.monotonic()
                await hook._sleep(max(waiting.next_look(now) - now, 0.0))
                look = await reader.look(handle.plan, handle.earliest_start, time_left)
                now = time.monotonic()
                # What time it is for ThousandEyes is known only once it has answered, so the deadline is set anew.
                waiting = replace(waiting.look(look.rows(), now), deadline=now + time_left())
                state = waiting.state(now)
            told = state.value
        except ThousandEyesAuthError as error:
            self.log.warning("ThousandEyes refuses the token: %s", error)
            told = REFUSED
        finally:
            await hook.close()
        yield TriggerEvent(  # type: ignore[no-untyped-call,unused-ignore]
            {
                "state": told,
                "test_id": handle.plan.test_id,
                "rounds": waiting.rounds(),
                "reported": len(waiting.reported()),
                "requests": hook.requests_sent,
                "throttled_seconds": round(hook.throttled_seconds, 1),
            }
        )
