"""Waiting in the triggerer for a turn to run a test: all runs of an organization share 24 runs a minute.

The trigger sends nothing. It hands out turns in order of arrival, at the pace of the instant tests' rate limit, and a
worker sends the run.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from thousandeyes_provider.triggers.loading import load_hooks

TURN = "turn"
"""State of the event when it is the task's turn."""

TOO_LATE = "too late"
"""State of the event when the turn would come after ``queue_timeout``."""


class RunTurnTrigger(BaseTrigger):
    """Wait for a turn to run a test.

    Fires ``{"state": "turn" | "too late", "throttled_seconds", "paced_seconds"}``: the seconds until the reset of the
    rate limit that refused the run, and the seconds of our own spacing after it. All such triggers of a triggerer share
    one queue for each account.

    :param thousandeyes_conn_id: connection of type ``thousandeyes``; it determines the account.
    :param give_up_at: latest time of a turn, epoch seconds of this machine.
    :param limit: runs a minute, as the response that refused the run stated it; ``None`` when it did not.
    :param not_before: when the rate limit that refused the run resets, epoch seconds of this machine.
    """

    def __init__(
        self,
        *,
        thousandeyes_conn_id: str,
        give_up_at: float,
        limit: float | None = None,
        not_before: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self.give_up_at = give_up_at
        self.limit = limit
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, as plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "thousandeyes_conn_id": self.thousandeyes_conn_id,
                "give_up_at": self.give_up_at,
                "limit": self.limit,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the turn, then fire."""
        await load_hooks()
        from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook

        started_at = time.monotonic()
        hook = ThousandEyesAsyncHook(self.thousandeyes_conn_id, shared=True)
        try:
            await hook.load()
            pause = max((self.not_before or 0.0) - time.time(), 0.0)
            self.log.info(
                "Waiting for a turn to run the test: about %.0f s (%s)",
                hook.account.expected_wait_for_turn(pause),
                "the rate limit was exceeded"
                if self.not_before
                else "runs are spaced to stay within the rate limit",
            )
            came = await hook.account.turn(
                limit=self.limit, pause=pause, patience=self.give_up_at - time.time()
            )
        finally:
            await hook.close()
        waited = time.monotonic() - started_at
        throttled = min(waited, pause)
        yield TriggerEvent(  # type: ignore[no-untyped-call,unused-ignore]
            {
                "state": TURN if came else TOO_LATE,
                "throttled_seconds": round(throttled, 1),
                "paced_seconds": round(waited - throttled, 1),
            }
        )
