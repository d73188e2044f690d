"""What everything that waits for a round has in common: operators that run a test, and the sensor that does not.

One place for the arguments, for the evidence, for what is pushed to XCom, and for which error ends a task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesConfigurationError,
    ThousandEyesError,
    without_retry,
)
from thousandeyes_provider.links.thousandeyes import (
    PushedLink,
    ThousandEyesRoundLink,
    ThousandEyesSnapshotLink,
    ThousandEyesTestLink,
)
from thousandeyes_provider.operators import arguments

# DAG files are parsed all the time: what only a worker needs is imported where it is used.
if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from thousandeyes_provider.api.round_progress import RoundProgress, TriggerSighting, WaitState
    from thousandeyes_provider.api.run import Plan, RunHandle
    from thousandeyes_provider.hooks.results_reader import ResultsReader
    from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook
    from thousandeyes_provider.validation.baseline import Baseline
    from thousandeyes_provider.validation.check_parser import Checks
    from thousandeyes_provider.validation.verdict import Judgement

LINKS = (ThousandEyesTestLink(), ThousandEyesRoundLink(), ThousandEyesSnapshotLink())
"""The extra links of everything that waits for a round."""

_ERRORS: Mapping[str, type[InstantTestFailed | InstantTestIncomplete | InstantTestNoResults]] = {
    "failed": InstantTestFailed,
    "incomplete": InstantTestIncomplete,
    "no_results": InstantTestNoResults,
}
"""The error of each verdict but ``passed``."""

LATE = 60.0
"""Seconds after the deadline at which Airflow ends a deferral that no trigger has ended."""


SHARING = 30.0
"""Seconds that a snapshot may wait for rate limits; an organization has five in five minutes."""

LAST_READ = 5.0
"""Seconds that the one more read of a task has that resumes at its deadline, or after it."""


class RoundTask:
    """The part of an operator or sensor that judges a round. Goes before Airflow's base class.

    A task that was deferred resumes as a new object in another process: what it has to know of its run is pushed as the
    XCom :attr:`RUN_KEY`, since Airflow does not always bring back what was given to ``defer``.
    """

    RUN_KEY = "thousandeyes_run"

    _READERS: Mapping[str, Callable[[Any], Any]]
    _judgement: Judgement
    _judged = False
    _carried: tuple[int, float] = (0, 0.0)  # requests sent, and seconds throttled, before a deferral
    _monotonic = staticmethod(time.monotonic)

    # What Airflow's base class and the class itself bring.
    task_id: str
    log: Any
    do_xcom_push: bool
    thousandeyes_conn_id: str
    min_agents: Any
    defer: Callable[..., NoReturn]

    @cached_property
    def hook(self) -> ThousandEyesHook:
        """The hook, on the task's connection and account group."""
        from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

        return ThousandEyesHook(self.thousandeyes_conn_id, self._account_group())

    def _account_group(self) -> str | None:
        raise NotImplementedError

    @cached_property
    def _reader(self) -> ResultsReader:
        from thousandeyes_provider.hooks.results_reader import ResultsReader

        checks = self._read("checks")
        expand = {name: asked for name in checks.result_types if (asked := checks.expand_for(name))}
        return ResultsReader(self.hook, self.log, expand=expand)

    @contextmanager
    def _raising(self) -> Iterator[None]:
        """Raise errors as ones that spend no task retry if none can mend them and no retry policy decides that."""
        try:
            yield
        except ThousandEyesError as error:
            if getattr(self, "retry_policy", None):
                raise
            if type(error) is InstantTestFailed and self._read("retry_on_failed_checks"):
                raise
            raise without_retry(error) from error.__cause__

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Raise errors as :meth:`_raising` does, and close the hook when the task ends or is deferred."""
        try:
            with self._raising():
                yield
        finally:
            if "hook" in self.__dict__:
                self.hook.close()

    # -- waiting -------------------------------------------------------------------------------------------------

    def _enough(self, plan: Plan) -> int | None:
        """``min_agents`` as a count, checked against how many there are."""

        from thousandeyes_provider.api.expected_agents import share_or_count

        of = plan.expected.count
        count = None
        if self._read("min_agents") is not None:
            count = share_or_count(self.min_agents, of, "min_agents")
            if count is None:
                raise ThousandEyesConfigurationError(
                    f"{self._owner}: min_agents={self.min_agents!r} is a fraction of a number of agents that neither "
                    "the test nor an earlier round tells; give expected_agents= as well, or a count"
                )
            if of is not None and count > of:
                raise ThousandEyesConfigurationError(
                    f"{self._owner}: min_agents={self.min_agents!r}, but only {of} agents are expected"
                )
        return count

    def _progress(
        self,
        handle: RunHandle,
        now: float,
        *,
        deadline: float | None = None,
        sighting: TriggerSighting | None = None,
    ) -> RoundProgress:
        """The progress of a round before the first poll.

        :param now: the time, by the clock that the progress is used with.
        :param deadline: when the wait ends, by the same clock; that of the run when ``None``.
        :param sighting: what the trigger saw.
        """
        from thousandeyes_provider.api.round_progress import RoundProgress

        return RoundProgress.for_run(
            handle,
            now=now,
            server_now=self.hook.server_now(),
            deadline=deadline,
            clock_tolerance=setting("round_clock_tolerance"),
            sighting=sighting,
            poll_interval=self._read("poll_interval"),
            min_agents=self._enough(handle.plan),
            grace=self._read("grace"),
        )

    def _pace(self, plan: Plan) -> float:
        """Seconds that one look at all result types should keep from the next."""
        return self.hook.polling_gap() * sum(map(len, plan.directions.values()))

    def _tell(self, context: Context, before: RoundProgress, now: RoundProgress) -> None:
        """One line, and the link, when something new has arrived."""
        if now.agents_seen() and not before.agents_seen():
            self._push_round_link(context, now)
        for line in now.describe_news(before):
            self.log.info("%s", line)

    def _last_read(
        self, context: Context, handle: RunHandle, event: Mapping[str, Any]
    ) -> tuple[WaitState, RoundProgress]:
        """Read the rows of a round that was waited for elsewhere.

        :param event: how that wait ended; empty when nobody knows.
        :return: how it stands by these rows: ``WAITING`` when they do not bear out what was told, and there is time.
        :raises ThousandEyesError: when they cannot be read; the evidence is pushed before.
        """

        from thousandeyes_provider.api.round_progress import TriggerSighting, WaitState

        told = event.get("state")
        try:
            sighting = TriggerSighting.from_json(event.get("sighting"))
        except ValueError as error:
            raise ThousandEyesError(f"{self._owner} was resumed with a damaged event: {error}") from None
        waiting = self._progress(handle, self.hook.server_now(), sighting=sighting)
        ends = self._monotonic() + max(handle.deadline - self.hook.server_now(), LAST_READ)
        try:
            result = self._reader.poll(handle.plan, handle.sent_at, lambda: ends - self._monotonic())
        except ThousandEyesError:
            seen = self._evidence(handle, waiting, WaitState.WAITING)
            if sighting.rounds:
                seen |= {"verdict": "incomplete", "rounds": dict(sighting.rounds)}
            self._push(context, seen)
            raise
        now = self.hook.server_now()
        # The first response tells ThousandEyes' clock, by which the deadline is set.
        waiting = self._progress(handle, now, sighting=sighting)
        before, waiting = waiting, waiting.poll(result.rows, now)
        self._tell(context, before, waiting)
        ended = (WaitState.COMPLETE.value, WaitState.ENOUGH.value, WaitState.QUIET.value)
        known = (*ended, WaitState.DEADLINE.value)
        state = waiting.resumed_state(WaitState(told) if told in known else None, now)
        if result.error is not None and told in ended and state in (WaitState.WAITING, WaitState.DEADLINE):
            # The rows were there; that they cannot be read now is no verdict on them.
            self._push(context, self._evidence(handle, waiting, state))
            raise result.error
        return state, waiting

    # -- the triggerer -------------------------------------------------------------------------------------------

    def _wait_in_triggerer(
        self, context: Context, handle: RunHandle, sighting: TriggerSighting | None = None
    ) -> NoReturn:
        """Defer until the round is there.

        :param sighting: what an earlier trigger saw.
        """
        from thousandeyes_provider.triggers.instant_test import InstantTestResultsTrigger

        context["ti"].xcom_push(
            key=self.RUN_KEY,
            value={
                "run": handle.to_json(),
                "requests": self.hook.requests_sent + self._carried[0],
                "throttled_seconds": self.hook.throttled_seconds + self._carried[1],
            },
        )
        quota = self.hook.quota().get("instant-test")
        self.defer(
            trigger=InstantTestResultsTrigger(
                run=handle.to_json(),
                thousandeyes_conn_id=self.thousandeyes_conn_id,
                poll_interval=self._read("poll_interval"),
                min_agents=self._enough(handle.plan),
                grace=self._read("grace"),
                run_limit=quota.limit if quota else None,
                round_clock_tolerance=setting("round_clock_tolerance"),
                sighting=None if sighting is None else sighting.to_json(),
            ),
            method_name="execute_complete",
            # The trigger ends by itself; this is for the case that there is no triggerer to run it.
            timeout=timedelta(seconds=max(handle.deadline - self.hook.server_now(), 0.0) + LATE),
        )

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resume when the trigger has fired: read the rows once more and judge them.

        :param event: what :class:`~thousandeyes_provider.triggers.instant_test.InstantTestResultsTrigger` fired.
        :return: the evidence.
        """
        from thousandeyes_provider.api.round_progress import WaitState
        from thousandeyes_provider.triggers.instant_test import EVENT_STATES

        with self._ending():
            if not isinstance(event, dict) or event.get("state") not in EVENT_STATES:
                raise ThousandEyesError(
                    f"{self._owner} was resumed with an event that it does not know: {event!r}"
                )
            handle, state, waiting = self._resumed(context, event)
            if state is WaitState.WAITING:
                self.log.info("The round is not complete yet after all; waiting on")
                self._wait_in_triggerer(context, handle, waiting.sighting)
            return self._judge(context, handle, state, waiting)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; also when Airflow ended it because the triggerer was down past the deadline.

        Then the results are read once more, and judged, or the evidence of what there is is pushed.
        """

        from thousandeyes_provider.api.round_progress import WaitState

        if next_method != "__fail__" or self._pull(context, self.RUN_KEY) is None:
            return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]
        reason = (next_kwargs or {}).get("error")
        self.log.warning("The wait in the triggerer was ended (%s); reading the results once more", reason)
        with self._ending():
            handle, state, waiting = self._resumed(context, {})
            if state is not WaitState.WAITING:
                return self._judge(context, handle, state, waiting)
            self._push(context, self._evidence(handle, waiting, state))
        return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]

    def _resumed(
        self, context: Context, event: Mapping[str, Any]
    ) -> tuple[RunHandle, WaitState, RoundProgress]:
        """The run that was waited for, and how it stands by one more read."""

        from thousandeyes_provider.api.run import RunHandle

        carried = self._pull(context, self.RUN_KEY)
        if not isinstance(carried, Mapping) or "run" not in carried:
            raise ThousandEyesError(
                f"{self._owner}: the XCom {self.RUN_KEY!r} of its run is gone: {carried!r}"
            )
        handle = RunHandle.from_json(carried["run"])
        self._carried = (
            int(carried["requests"]) + int(event.get("requests", 0)),
            float(carried["throttled_seconds"]) + float(event.get("throttled_seconds", 0)),
        )
        return handle, *self._last_read(context, handle, event)

    # -- judging -------------------------------------------------------------------------------------------------

    def _judge(
        self, context: Context, handle: RunHandle, state: WaitState, waiting: RoundProgress
    ) -> dict[str, Any]:
        """The evidence of a good round; the exception for any other, with the evidence pushed before."""

        from thousandeyes_provider.validation.summary import summary, table

        self._judged = True
        told = self._evidence(handle, waiting, state)
        self._push_link(context, ThousandEyesRoundLink, told["links"].get("round", ""))
        again = self._confirm(context, handle, told)
        if again is not None:
            return again
        if told["verdict"] == "failed" and self._read("snapshot_on_failure"):
            self._snapshot(context, handle, told)
        self._report(told)
        # A record for each line, so that the columns stand below each other in every log view.
        for line in filter(None, table(told).splitlines()):
            self.log.info("%s", line)
        failed = told["verdict"] != "passed"
        lets_pass = told["verdict"] == "failed" and self._read("on_failed_checks") != "fail"
        if failed and not lets_pass:
            self._push(context, told)
        # As late as can be: a try that is lost before this leaves its round to be judged by the next.
        self._decided(context)
        if lets_pass:
            return self._let_pass(context, told)
        if failed:
            raise _ERRORS[told["verdict"]](summary(told), told)
        return told

    def _decided(self, context: Context) -> None:
        """There is a verdict, and it has been said."""

    def _confirm(self, context: Context, handle: RunHandle, told: dict[str, Any]) -> dict[str, Any] | None:
        """What a further run says of a failed verdict; ``None`` when there is none, and ``told`` says the last word."""
        return None

    def _snapshot(self, context: Context, handle: RunHandle, told: dict[str, Any]) -> None:
        """Share the bad round privately; that it cannot be shared makes nothing worse."""
        from datetime import UTC, datetime

        from thousandeyes_provider.api.rounds import app_link

        now = datetime.fromtimestamp(int(self.hook.server_now()), tz=UTC)
        age = now.timestamp() - min(told["rounds"].values(), default=handle.accepted_at)
        hours = next((hours for hours in (1, 2, 4, 6, 12, 24, 48) if hours * 3600 > age), 48)
        name = f"{told['test_name'] or told['test_id']}: {told['verdict']} at {told['started_at']}"
        try:
            made = self.hook.create_snapshot(
                handle.plan.test_id,
                name,
                now - timedelta(hours=hours),
                now,
                is_public=False,
                queue_timeout=SHARING,
            )
            link = app_link(made)
        except ThousandEyesError as error:
            self.log.warning("There is no snapshot of this round: %s", error)
            return
        if link:
            told["links"]["snapshot"] = link
            self._push_link(context, ThousandEyesSnapshotLink, link)

    def _let_pass(self, context: Context, told: dict[str, Any]) -> dict[str, Any]:
        """A failed verdict that is not to fail the task: the evidence, or the end of the task as skipped."""
        from airflow.providers.common.compat.sdk import AirflowSkipException
        from thousandeyes_provider.validation.summary import summary

        self.log.warning("on_failed_checks=%r: %s", self._read("on_failed_checks"), summary(told))
        if self._read("on_failed_checks") == "warn":
            return told
        self._push(context, told)
        raise AirflowSkipException(summary(told))

    def _report(self, told: dict[str, Any]) -> None:
        """Write the report; that it cannot be written changes no verdict."""
        path = self._read("report_path")
        if path is None:
            return
        from airflow.providers.common.compat.sdk import ObjectStoragePath
        from thousandeyes_provider.validation.reports import report, report_format

        try:
            # Airflow 3.0 fails on file:// with universal-pathlib 0.3.
            place = ObjectStoragePath(path.removeprefix("file://") if path.startswith("file:///") else path)
            place.write_text(report(told, report_format(path)))
        except Exception as error:
            self.log.error("The report could not be written to %s: %s", path, error)
        else:
            self.log.info("Report: %s", path)

    def _before(self, handle: RunHandle, checks: Checks) -> Baseline | None:
        """What the checks compare with; one that cannot be had says why, and fails the checks that need it."""
        told = self._read("compare_with")
        if not checks.compares:
            return None
        from thousandeyes_provider.validation.baseline import (
            Baseline,
            baseline_from_evidence,
            baseline_from_rows,
        )

        if told is None or "verdict" in told:
            return baseline_from_evidence(told)
        source = f"the last {told['window']} of test {told['test_id']}"
        try:
            rows = self._reader.history(
                handle.plan,
                str(told["test_id"]),
                checks.result_types,
                str(told["window"]),
                handle.sent_at,
            )
        except ThousandEyesError as error:
            self.log.warning("%s cannot be read: %s", source, error)
            return Baseline(source, unusable=f"{source} cannot be read")
        return baseline_from_rows(rows, checks, source)

    def _evidence(
        self, handle: RunHandle, waiting: RoundProgress, state: WaitState, *, ask: bool = True
    ) -> dict[str, Any]:
        """The evidence as things stand.

        :param ask: whether to ask ThousandEyes for the state of missing agents.
        """

        from thousandeyes_provider.validation.evidence import MissingAgent, Observed, evidence
        from thousandeyes_provider.validation.verdict import judge, verdict_of

        plan, rows = handle.plan, waiting.rows()
        checks = self._read("checks")
        before = self._before(handle, checks) if ask and rows else None
        judgement = self._judgement = judge(rows, self._read("max_agent_errors"), checks, before)
        missing = waiting.missing()
        states = self._reader.agent_states(missing) if ask else {}
        missing_rows = waiting.missing_rows()
        told = evidence(
            Observed(
                test_id=plan.test_id,
                test_name=plan.test_name,
                test_type=plan.test_type,
                account_group_id=plan.account_group_id,
                verdict=verdict_of(state, waiting, judgement),
                sent_at=handle.sent_at,
                started_at=handle.accepted_at,
                finished_at=self.hook.server_now(),
                rounds=waiting.rounds(),
                run_calls=handle.run_calls,
                requests=self.hook.requests_sent + self._carried[0],
                throttled_seconds=self.hook.throttled_seconds + self._carried[1],
                expected=plan.expected,
                reported=waiting.reported(),
                missing=[
                    MissingAgent(agent, states.get(agent), missing_rows.get(agent)) for agent in missing
                ],
                judgement=judgement,
                arrived_at={key: handle.sent_at + after for key, after in waiting.arrived_after().items()},
                links={"test": plan.test_link} if plan.test_link else {},
                reason=waiting.describe_other_rounds(),
            )
        )
        if "round" in told["links"]:
            told["links"].setdefault("test", told["links"]["round"])
        return told

    # -- XCom ----------------------------------------------------------------------------------------------------

    def _push(self, context: Context, told: dict[str, Any]) -> None:
        """Push the evidence of a task that is about to fail, where Airflow puts the value of one that succeeds."""
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=told)

    def _pull(self, context: Context, key: str) -> Any:
        """An XCom of this very task instance."""
        return context["ti"].xcom_pull(task_ids=self.task_id, key=key, map_indexes=context["ti"].map_index)

    def _push_link(self, context: Context, link: type[PushedLink], address: str) -> None:
        if address:
            context["ti"].xcom_push(key=link.xcom_key, value=address)

    def _push_round_link(self, context: Context, waiting: RoundProgress) -> None:
        from thousandeyes_provider.api.rounds import app_link

        rows = [row for found in waiting.rows().values() for row in found]
        link = next((href for row in rows if (href := app_link(row))), "")
        self._push_link(context, ThousandEyesRoundLink, link)
        if not any(waiting.remembered.values()):
            # Before this round, nothing was known that leads to the test.
            self._push_link(context, ThousandEyesTestLink, link)

    # -- arguments -----------------------------------------------------------------------------------------------

    @property
    def _owner(self) -> str:
        return f"{type(self).__name__} {self.task_id!r}"

    def _read(self, name: str) -> Any:
        return arguments.read(self._owner, name, getattr(self, name), self._READERS[name])

    JUDGING: Mapping[str, Callable[[Any], Any]] = {
        "max_agent_errors": arguments.max_agent_errors,
        "checks": arguments.checks,
        "compare_with": arguments.compare_with,
        "on_failed_checks": arguments.on_failed_checks,
        "retry_on_failed_checks": arguments.a_flag,
        "report_path": arguments.report_path,
        "snapshot_on_failure": arguments.a_flag,
    }
    """How the arguments about judging are read."""

    checks: Any

    def _check_arguments(self, *, literals_only: bool) -> None:
        # A wrong argument of a mapped task comes to light in the constructor; that is not mended by a retry either.
        with self._raising():
            for name in self._READERS:
                if not literals_only or arguments.is_literal(getattr(self, name)):
                    self._read(name)
            if literals_only and self.checks is not None:
                arguments.read(self._owner, "checks", self.checks, arguments.literal_checks)
            elif not literals_only:
                for warning in self._read("checks").warnings:
                    self.log.warning("%s", warning)


def few(names: list[str], most: int = 8) -> str:
    """The first of some names, and how many more there are."""
    shown = "; ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
