"""The state that a task stores: its run for the next try, and its wait for the resumption after a deferral.

**Tries** (Airflow 3.3 and later). The task stores the state of its wait before it sends the run call, and again when
the call is accepted. A try that follows a lost worker resumes that run. A task that a user cleared does
not: clearing changes ``max_tries`` of a task instance, a retry does not. (A task that is cleared while it runs restarts
without that change, so it resumes.) There is no gap between storing and sending: a run that may have been sent is
verified like one whose response was lost.

**Deferrals**. A deferred task resumes as a new object in another process, and Airflow does not always return the
arguments of ``defer``, so the task stores them in its one internal XCom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, cast

from thousandeyes_provider.api.coerce import number, whole_number
from thousandeyes_provider.api.run import Plan, RunHandle, bounded_seconds
from thousandeyes_provider.exceptions import ThousandEyesError
from thousandeyes_provider.operators.options import Json, TaskLog

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

STORE_KEY = "thousandeyes_run"
XCOM_KEY = "thousandeyes_wait"


class TaskStateStore(Protocol):
    """The used methods of Airflow's task state store."""

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
    :param fingerprint: the requested run as plain JSON.
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
        """Whether a later try can read the stored state."""
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
        self._save(_unsent(plan, now), accepted=False)

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


@dataclass(frozen=True)
class Spent:
    """The usage of a task so far.

    :param throttled_seconds: seconds spent on rate limits (429).
    :param paced_seconds: seconds spent on our own spacing of requests and runs.
    """

    requests: int = 0
    throttled_seconds: float = 0.0
    paced_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.requests + other.requests,
            self.throttled_seconds + other.throttled_seconds,
            self.paced_seconds + other.paced_seconds,
        )

    @classmethod
    def from_json(cls, value: object) -> Spent:
        """Read the figures of an XCom or of a trigger's event; a figure that is missing or no number counts as 0."""
        figures = value if isinstance(value, Mapping) else {}
        return cls(
            max(whole_number(figures.get("requests")) or 0, 0),
            max(number(figures.get("throttled_seconds")) or 0.0, 0.0),
            max(number(figures.get("paced_seconds")) or 0.0, 0.0),
        )


@dataclass(frozen=True)
class QueuedRun:
    """A run that is not accepted yet.

    :param since: since when the task waits for it, epoch seconds of this machine.
    :param plan: known properties of the test; ``None`` before the first request.
    :param run_calls: number of times that the run call was sent.
    :param limit: runs a minute, as a response stated it.
    :param not_before: when the rate limit that refused the call resets, epoch seconds of this machine.
    :param sent_since: when an earlier try may have sent the call at the earliest, epoch seconds of ThousandEyes' clock.
    """

    since: float
    plan: Plan | None = None
    run_calls: int = 0
    limit: float | None = None
    not_before: float | None = None
    sent_since: float | None = None

    def reset_at(self) -> datetime | None:
        """When the rate limit that refused the call resets, by the clock of this machine."""
        return None if self.not_before is None else datetime.fromtimestamp(self.not_before, tz=UTC)

    def to_json(self) -> Json:
        """Return the queued run as plain JSON."""
        figures = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "plan"}
        return {**figures, "plan": None if self.plan is None else _unsent(self.plan, 0.0).to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> QueuedRun:
        """Return what :meth:`to_json` wrote.

        :raises ValueError: for an invalid value, with the reason.
        """
        since = number(value.get("since"))
        if since is None:
            raise ValueError("the queued run has no time 'since'")
        plan = value.get("plan")
        return cls(
            since=since,
            plan=None if plan is None else RunHandle.from_json(plan).plan,
            run_calls=max(whole_number(value.get("run_calls")) or 0, 0),
            limit=number(value.get("limit")),
            not_before=bounded_seconds(value.get("not_before")),
            sent_since=number(value.get("sent_since")),
        )


@dataclass(frozen=True)
class FirstFailure:
    """A failed run that further runs have to confirm (``confirm_failures``).

    :param remaining: number of runs that must still confirm it.
    :param failed_positions: the positions of the checks that failed in it and in every run that confirmed it so far.
    :param history_end: the newest round that it was compared with, at most, epoch seconds: what the further runs are
        compared with must not contain its round.
    :param run: facts of the run for the evidence: ``started_at``, ``rounds`` and ``links``.
    """

    remaining: int
    failed_positions: tuple[int, ...]
    history_end: float
    run: Json

    def to_json(self) -> Json:
        """Return the failure as plain JSON."""
        return {
            "remaining": self.remaining,
            "failed_positions": list(self.failed_positions),
            "history_end": self.history_end,
            "run": self.run,
        }

    @classmethod
    def from_json(cls, value: object) -> FirstFailure:
        """Return what :meth:`to_json` wrote.

        :raises ValueError: for an invalid value, with the reason.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"the first failure is no object, but {type(value).__name__}")
        positions, run = value["failed_positions"], value["run"]
        if not all(isinstance(position, int) for position in positions):
            raise ValueError("failed_positions of the first failure are not whole numbers")
        return cls(
            int(value["remaining"]),
            tuple(positions),
            float(value["history_end"]),
            {
                "started_at": str(run["started_at"]),
                "rounds": dict(run["rounds"]),
                "links": dict(run["links"]),
            },
        )


@dataclass(frozen=True)
class WaitRecord:
    """The state of a deferred task.

    :param waits_for: a queued run waits for its turn, an accepted run for its round.
    :param spent: usage of the task before the deferral.
    :param first_failure: the failed run that this one has to confirm.
    """

    waits_for: QueuedRun | RunHandle
    spent: Spent = Spent()
    first_failure: FirstFailure | None = None

    def to_json(self) -> Json:
        """Return the record as plain JSON."""
        return {
            "queued" if isinstance(self.waits_for, QueuedRun) else "run": self.waits_for.to_json(),
            "requests": self.spent.requests,
            "throttled_seconds": self.spent.throttled_seconds,
            "paced_seconds": self.spent.paced_seconds,
            "first_failure": self.first_failure and self.first_failure.to_json(),
        }

    @classmethod
    def from_json(cls, value: object) -> WaitRecord:
        """Return what :meth:`to_json` wrote.

        :raises ThousandEyesError: when the record is missing or damaged.
        """
        damaged = f"XCom {XCOM_KEY!r} of this task is missing or damaged"
        if not isinstance(value, Mapping):
            raise ThousandEyesError(f"{damaged}: expected an object, got {type(value).__name__}")
        queued, run, failure = value.get("queued"), value.get("run"), value.get("first_failure")
        if (queued is None) == (run is None):
            raise ThousandEyesError(f"{damaged}: expected either queued or run")
        try:
            return cls(
                QueuedRun.from_json(value["queued"]) if run is None else RunHandle.from_json(run),
                Spent.from_json(value),
                None if failure is None else FirstFailure.from_json(failure),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ThousandEyesError(f"{damaged}: {error}") from None


def _unsent(plan: Plan, now: float) -> RunHandle:
    """A plan in the form of a run handle, which is the one that is stored."""
    return RunHandle(plan, sent_at=now, accepted_at=now, deadline=now, run_calls=0)
