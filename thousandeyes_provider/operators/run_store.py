"""What a task remembers of its run from one try to the next (Airflow 3.3 and later).

The task stores what is needed to wait for a run before the run call is sent, and again when the call was accepted. A
try that follows a lost worker resumes that run. A task that a user cleared does not: clearing changes ``max_tries`` of
a task instance, a retry does not. (A task that is cleared while it runs restarts without that change, so it resumes.)
There is no gap between storing and sending: a run that may have been sent is verified like one whose response was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.operators.options import Json, TaskLog

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

STORE_KEY = "thousandeyes_run"


class TaskStateStore(Protocol):
    """What is used of Airflow's task state store."""

    def get(self, key: str) -> object: ...
    def set(self, key: str, value: Json) -> object: ...
    def delete(self, key: str) -> object: ...


@dataclass(frozen=True)
class StoredRun:
    """What an earlier try stored.

    :param run: its run; the times are those of the store when it is unknown whether the run call was sent.
    :param accepted: whether ThousandEyes had accepted the run.
    """

    run: RunHandle
    accepted: bool


class RunStateStore:
    """The state store of a task instance. When it fails, the task goes on without it.

    :param durable: ``False``: nothing is stored.
    :param fingerprint: what the task is asked to run, plain JSON.
    :param log: logs failures of the store.
    """

    def __init__(
        self, context: Context, *, durable: bool, fingerprint: list[str | None], log: TaskLog
    ) -> None:
        self._store = cast("TaskStateStore | None", context.get("task_state_store") if durable else None)
        self._max_tries = getattr(context["ti"], "max_tries", None)
        self._fingerprint = fingerprint
        self._log = log

    @property
    def is_active(self) -> bool:
        """Whether a later try can read what is stored."""
        return self._store is not None

    def recall(self, result_types: Sequence[str]) -> StoredRun | None:
        """Return what an earlier try of this task stored; ``None`` when there is nothing to resume.

        :param result_types: the result types that the round must have.
        """
        stored = self._try(lambda store: store.get(STORE_KEY))
        if not isinstance(stored, Mapping) or stored.get("max_tries") != self._max_tries:
            return None
        try:
            run = RunHandle.from_json(stored.get("run"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._log.warning("Ignoring the stored run of an earlier try: %s", error)
            return None
        if stored.get("fingerprint") != self._fingerprint or not set(result_types) <= set(
            run.plan.directions
        ):
            self._log.info("The stored run was started with different arguments; starting a new run")
            return None
        return StoredRun(run, bool(stored.get("accepted")))

    def save_before_call(self, plan: Plan, now: float) -> None:
        """Store that the run call is about to be sent.

        :param now: ThousandEyes' clock, epoch seconds.
        """
        self._save(RunHandle(plan, sent_at=now, accepted_at=now, deadline=now, run_calls=0), accepted=False)

    def save_accepted(self, run: RunHandle) -> None:
        """Store that the run was accepted."""
        self._save(run, accepted=True)

    def forget(self) -> None:
        """Delete the stored run: a later try starts a new one."""
        self._try(lambda store: store.delete(STORE_KEY))

    def _save(self, run: RunHandle, *, accepted: bool) -> None:
        state: Json = {
            "run": run.to_json(),
            "accepted": accepted,
            "fingerprint": self._fingerprint,
            "max_tries": self._max_tries,
        }
        self._try(lambda store: store.set(STORE_KEY, state))

    def _try(self, operation: Callable[[TaskStateStore], object]) -> object:
        if self._store is None:
            return None
        try:
            return operation(self._store)
        except Exception as error:
            self._log.warning("Airflow's task state store failed; a retry would start a new run: %s", error)
            self._store = None
            return None
