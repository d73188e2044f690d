"""Waiting for a turn to run a test: an organization has 24 runs a minute for everybody.

The trigger sends nothing. It gives out turns at the pace of the instant tests' window, first come first served, and a
worker sends the run.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from thousandeyes_provider.triggers.loading import load_hooks

TURN = "turn"
"""State of the event when it is this task's turn."""

TOO_LATE = "too late"
"""State of the event when its turn would come after ``queue_timeout``."""


class RunTurnTrigger(BaseTrigger):
    """Wait for a turn to run a test.

    Fires ``{"state": "turn" | "too late", "waited"}``, ``waited`` in seconds. All such triggers of a triggerer share
    one line for each account.

    :param thousandeyes_conn_id: connection of type ``thousandeyes``; tells the account.
    :param give_up_at: epoch seconds of this machine; a turn that comes later is not waited for.
    :param limit: runs a window, as the answer that refused the run told it; ``None`` when it did not.
    :param not_before: epoch seconds of this machine; when the announced reset of that answer is.
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
        """The class and its arguments, as plain JSON."""
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
        """Wait, then fire."""
        await load_hooks()
        from thousandeyes_provider.hooks.async_thousandeyes import ThousandEyesAsyncHook

        begun = time.monotonic()
        hook = ThousandEyesAsyncHook(self.thousandeyes_conn_id, shared=True)
        try:
            await hook.load()
            pause = max((self.not_before or 0.0) - time.time(), 0.0)
            came = await hook.account.turn(
                limit=self.limit, pause=pause, patience=self.give_up_at - time.time()
            )
        finally:
            await hook.close()
        waited = round(time.monotonic() - begun, 1)
        yield TriggerEvent(  # type: ignore[no-untyped-call,unused-ignore]
            {"state": TURN if came else TOO_LATE, "waited": waited}
        )
