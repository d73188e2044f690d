"""What a task remembers of its run from one try to the next (Airflow 3.3 and later).

What is needed to wait for a run is stored before it is sent, and again when it was accepted. So a try that takes the
place of one whose worker was lost picks up the run that it had started. It does not for a task that a user cleared:
clearing changes the ``max_tries`` of a task instance, a retry does not. (A task that is cleared while it runs is
restarted without that change, so that it picks up its run.) Between the store and the run call there is no gap: a run
that may have been sent is looked for, like one whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.api.run import Plan, RunHandle

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

KEY = "thousandeyes_run"


@dataclass(frozen=True)
class StoredRun:
    """What an earlier try left.

    :param run: its run, with the plan; its times are those of the store when it is not known whether it was sent.
    :param accepted: whether ThousandEyes had accepted it.
    :param asked_for: what that try was asked to run.
    """

    run: RunHandle
    accepted: bool
    asked_for: Any


class RunStateStore:
    """The state store of a task instance, with one warning when it does not answer.

    :param context: Airflow's.
    :param durable: ``False``: nothing is stored.
    :param asked_for: what the task is asked to run, plain JSON; stored with the run.
    :param log: where it says so.
    """

    def __init__(self, context: Context, *, durable: bool, asked_for: Any, log: Any) -> None:
        self._store: Any = context.get("task_state_store") if durable else None
        self._tries = getattr(context["ti"], "max_tries", None)
        self._asked_for = asked_for
        self._log = log

    @property
    def stores(self) -> bool:
        """Whether a further try will know of what is stored."""
        return self._store is not None

    def recall(self) -> StoredRun | None:
        """What an earlier try of this task left; ``None`` when there is nothing to pick up."""
        told = self._do("get", KEY)
        if not isinstance(told, Mapping) or told.get("max_tries") != self._tries:
            return None
        try:
            return StoredRun(
                RunHandle.from_json(told["run"]), bool(told.get("accepted")), told.get("asked_for")
            )
        except (KeyError, ValueError) as error:
            self._log.warning("What an earlier try left of its run is not readable: %s", error)
            return None

    def sending(self, plan: Plan, now: float) -> None:
        """Store that the run is about to be sent.

        :param now: ThousandEyes' clock, epoch seconds.
        """
        self._keep(RunHandle(plan, sent_at=now, accepted_at=now, deadline=now, run_calls=0), accepted=False)

    def accepted(self, run: RunHandle) -> None:
        """Store that the run was accepted."""
        self._keep(run, accepted=True)

    def forget(self) -> None:
        """There is a verdict: a further try is to run the test anew."""
        self._do("delete", KEY)

    def _keep(self, run: RunHandle, *, accepted: bool) -> None:
        told = {"run": run.to_json(), "accepted": accepted, "asked_for": self._asked_for}
        self._do("set", KEY, {**told, "max_tries": self._tries})

    def _do(self, what: str, *arguments: Any) -> Any:
        if self._store is None:
            return None
        try:
            return getattr(self._store, what)(*arguments)
        except Exception as error:
            self._log.warning(
                "Airflow's task state store does not answer, so that a retry would run the test anew: %s",
                error,
            )
            self._store = None
            return None
