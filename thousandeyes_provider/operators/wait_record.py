"""What a deferred task has to know when it resumes: the one internal XCom of a task.

A deferred task resumes as a new object in another process, and Airflow does not always return what was given to
``defer``, so the task stores what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from thousandeyes_provider.api.coerce import number, whole_number
from thousandeyes_provider.api.rounds import YEAR_10000
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.exceptions import ThousandEyesError
from thousandeyes_provider.operators.options import Json

XCOM_KEY = "thousandeyes_wait"


@dataclass(frozen=True)
class Spent:
    """What a task has used so far.

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
    :param plan: what is known of the test; ``None`` before the first request.
    :param run_calls: how many times the call was sent.
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
        return {**figures, "plan": None if self.plan is None else _handle_of(self.plan).to_json()}

    @classmethod
    def from_json(cls, value: object) -> QueuedRun:
        """Return what :meth:`to_json` wrote.

        :raises ValueError: naming what is wrong.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"the queued run is no object, but {type(value).__name__}")
        since = number(value.get("since"))
        if since is None:
            raise ValueError("the queued run has no time 'since'")
        plan = value.get("plan")
        return cls(
            since=since,
            plan=None if plan is None else RunHandle.from_json(plan).plan,
            run_calls=max(whole_number(value.get("run_calls")) or 0, 0),
            limit=number(value.get("limit")),
            not_before=_time(value.get("not_before")),
            sent_since=number(value.get("sent_since")),
        )


@dataclass(frozen=True)
class FirstFailure:
    """A failed run that further runs have to confirm (``confirm_failures``).

    :param remaining: how many runs still have to confirm it.
    :param failed_positions: the positions of its failed checks.
    :param history_end: the newest round that it was compared with, at most, epoch seconds: what the further runs are
        compared with must not contain its round.
    :param run: what the evidence shows of it: ``started_at``, ``rounds`` and ``links``.
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

        :raises ValueError: naming what is wrong.
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
    :param spent: what the task had used when it was deferred.
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
                QueuedRun.from_json(queued) if run is None else RunHandle.from_json(run),
                Spent.from_json(value),
                None if failure is None else FirstFailure.from_json(failure),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ThousandEyesError(f"{damaged}: {error}") from None


def _time(value: object) -> float | None:
    """Return epoch seconds that a date can have; ``None`` for anything else."""
    epoch = number(value)
    return epoch if epoch is not None and 0 <= epoch < YEAR_10000 else None


def _handle_of(plan: Plan) -> RunHandle:
    return RunHandle(plan, sent_at=0.0, accepted_at=0.0, deadline=0.0, run_calls=0)
