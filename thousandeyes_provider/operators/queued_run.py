"""What a task has to know of its run when it resumes after waiting for its turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.exceptions import ThousandEyesError


@dataclass(frozen=True)
class QueuedRun:
    """A task that waits for its turn to run its test; what it has to know when it resumes.

    :param since: since when, epoch seconds of this machine.
    :param plan: what was learned of the test, if anything was.
    :param run_calls: how often the run call was sent, and refused.
    :param requests: how many requests were sent.
    :param throttled_seconds: how long was waited for rate limits.
    :param limit: runs a window, as the refusal told it.
    :param not_before: when the window is over, epoch seconds of this machine.
    :param sent_since: when an earlier try, of which nobody knows what became, can have sent it at the earliest; epoch
        seconds by ThousandEyes' clock.
    """

    since: float
    plan: Plan | None = None
    run_calls: int = 0
    requests: int = 0
    throttled_seconds: float = 0.0
    limit: float | None = None
    not_before: float | None = None
    sent_since: float | None = None

    def reset_at(self) -> datetime | None:
        """When the window of the last refusal is over, by the clock of this machine."""
        return None if self.not_before is None else datetime.fromtimestamp(self.not_before, tz=UTC)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for XCom."""
        plan = None if self.plan is None else RunHandle(self.plan, 0.0, 0.0, 0.0, 0).to_json()
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "plan": plan}

    @classmethod
    def from_json(cls, told: Any) -> QueuedRun:
        """What :meth:`to_json` wrote.

        :raises ThousandEyesError: when it is gone.
        """
        if not isinstance(told, Mapping) or "since" not in told:
            raise ThousandEyesError(f"What the task knew when it asked for its turn is gone: {told!r}")
        plan = told.get("plan")
        return cls(**{**told, "plan": None if plan is None else RunHandle.from_json(plan).plan})
