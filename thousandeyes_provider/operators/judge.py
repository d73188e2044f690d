"""The judgement of a round: evidence, snapshot, report, and the table in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import ObjectStoragePath
from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.api.round_progress import WaitState
from thousandeyes_provider.api.rounds import app_link
from thousandeyes_provider.api.run import RunHandle
from thousandeyes_provider.exceptions import ThousandEyesError
from thousandeyes_provider.hooks.blocking_hook import SNAPSHOT_HOURS
from thousandeyes_provider.links.thousandeyes import (
    ThousandEyesRoundLink,
    ThousandEyesSnapshotLink,
    ThousandEyesTestLink,
    test_url,
)
from thousandeyes_provider.operators.failed_steps import StepReader
from thousandeyes_provider.operators.options import Json, JudgeOptions, StartOptions, TaskLog
from thousandeyes_provider.operators.run_store import FirstFailure
from thousandeyes_provider.operators.session import Done, Session
from thousandeyes_provider.validation.baseline import (
    Baseline,
    baseline_from_evidence,
    baseline_from_rows,
)
from thousandeyes_provider.validation.evidence import MissingAgent, Observed, confirmed, evidence
from thousandeyes_provider.validation.reports import report, report_format
from thousandeyes_provider.validation.summary import table_lines
from thousandeyes_provider.validation.verdict import (
    NOT_JUDGED,
    Judgement,
    Verdict,
    judge,
    same_failure,
    verdict_of,
)

SNAPSHOT_QUEUE_TIMEOUT = 30.0
"""Seconds that a snapshot may wait for rate limits: an organization has five in five minutes."""


@dataclass(frozen=True)
class Judged:
    """A judged round.

    :param history_end: the newest round that it was compared with, at most, epoch seconds.
    """

    done: Done
    judgement: Judgement
    observed: Observed
    evidence: Json
    history_end: float

    @property
    def has_failed(self) -> bool:
        """Whether the verdict is ``failed``."""
        return bool(self.evidence["verdict"] == Verdict.FAILED.value)


class Judge:
    """Judge the rounds of one task.

    :param history_limit: until when rounds are older than the first try of the task, epoch seconds.
    """

    def __init__(self, options: JudgeOptions, session: Session, *, history_limit: float) -> None:
        self._options = options
        self._session = session
        self._history_limit = history_limit
        self._log = session.log

    # -- evidence ------------------------------------------------------------------------------------------------

    def judge(self, done: Done, first: FirstFailure | None = None) -> Judged:
        """Judge a round that was waited for.

        :param first: the failed run that it has to confirm: both are compared with the same history.
        """
        rows = done.progress.rows()
        history_end = first.history_end if first else self._history_end(done.handle)
        baseline = self._baseline(done.handle, history_end) if rows else None
        judgement = judge(rows, self._options.max_agent_errors, self._options.checks, baseline)
        verdict = verdict_of(done.state, done.progress, judgement)
        states = self._session.reader.agent_states(done.progress.missing())
        self._session.learn_account_group()
        observed = self._observed(verdict, judgement, states)
        return Judged(done, judgement, observed, evidence(observed), history_end)

    def evidence_of_error(self, reason: str, first: FirstFailure | None = None) -> Json:
        """Return the evidence of a run that an error ended, without a further request.

        :param first: the failed run that it had to confirm.
        """
        observed = self._observed(Verdict.ERROR, self._judgement_so_far(), {})
        return _with_first_failure(evidence(replace(observed, reason=reason)), first)

    def evidence_of_timeout(self, first: FirstFailure | None = None) -> Json:
        """Return the evidence of a run that Airflow ended, without a further request.

        The verdict is inconclusive when it needs a baseline, which is not read, or a confirming run.

        :param first: the failed run that it had to confirm.
        """
        if self._session.handle is None or self._session.progress is None:
            return self.evidence_of_error("Airflow ended the task before its run was accepted", first)
        options, judgement = self._options, self._judgement_so_far()
        verdict = verdict_of(WaitState.WAITING, self._session.progress, judgement)
        is_undecided = options.checks.compares or first is not None
        if verdict is Verdict.FAILED and isinstance(options, StartOptions):
            is_undecided = is_undecided or options.confirm_failures > 0
        if is_undecided and verdict in (Verdict.PASSED, Verdict.FAILED):
            verdict = Verdict.INCOMPLETE
        return _with_first_failure(evidence(self._observed(verdict, judgement, {})), first)

    def _judgement_so_far(self) -> Judgement:
        options, progress = self._options, self._session.progress
        rows = progress.rows() if progress else {}
        if not rows:
            return NOT_JUDGED
        unread = Baseline("compare_with", unusable="the task ended before the baseline was read")
        baseline = unread if options.checks.compares else None
        return judge(rows, options.max_agent_errors, options.checks, baseline)

    def _observed(
        self, verdict: Verdict, judgement: Judgement, states: Mapping[Agent, str | None]
    ) -> Observed:
        session, handle, progress = self._session, self._session.handle, self._session.progress
        plan, spent = session.plan, session.spent
        observed = Observed(
            test_id=plan.test_id,
            test_name=plan.test_name,
            test_type=plan.test_type,
            from_test=plan.from_test,
            from_test_name=plan.from_test_name,
            account_group_id=session.account_group_id,
            verdict=verdict,
            finished_at=session.hook.server_now(),
            requests=spent.requests,
            throttled_seconds=spent.throttled_seconds,
            paced_seconds=spent.paced_seconds,
            sent_at=handle.sent_at if handle else None,
            started_at=handle.accepted_at if handle else None,
            run_calls=handle.run_calls if handle else session.run_calls,
            expected=plan.expected,
            judgement=judgement,
            links=self._links(),
            task_id=session.xcoms.task_id,
            map_index=session.xcoms.map_index,
        )
        if progress is None:
            return observed
        missing_rows = progress.missing_rows()
        return replace(
            observed,
            rounds=progress.rounds() or dict(progress.sighting.rounds),
            reason=progress.describe_other_rounds(),
            reported=progress.reported(),
            missing=[
                MissingAgent(agent, states.get(agent), missing_rows.get(agent))
                for agent in progress.missing()
            ],
            arrived_at={key: progress.sent_at + seconds for key, seconds in progress.arrived_after().items()},
        )

    def _links(self) -> dict[str, str]:
        """The link to the test; the link to the round is part of the evidence of every round with rows."""
        plan, progress = self._session.plan, self._session.progress
        rows = [row for of_type in (progress.rows() if progress else {}).values() for row in of_type]
        url = test_url(plan.test_link or next((url for row in rows if (url := app_link(row))), ""))
        return {"test": url} if url else {}

    def _history_end(self, handle: RunHandle) -> float:
        """Return the time after which rounds are not part of the history, epoch seconds."""
        source = self._options.compare_with or {}
        return min(handle.history_end(str(source.get("test_id"))), self._history_limit)

    def _baseline(self, handle: RunHandle, history_end: float) -> Baseline | None:
        """The baseline of the checks. An unreadable baseline fails the checks that need it."""
        options = self._options
        if not options.checks.compares:
            return None
        source = options.compare_with
        if source is None or "verdict" in source:
            return baseline_from_evidence(source, test_id=handle.plan.test_id)
        test_id, window = str(source["test_id"]), str(source["window"])
        label = f"the last {window} of test {test_id}"
        try:
            rows = self._session.reader.history(
                handle.plan, test_id, options.checks.result_types, window, history_end
            )
        except ThousandEyesError as error:
            self._log.warning("Could not read %s: %s", label, error)
            return Baseline(label, unusable=f"{label} could not be read")
        return baseline_from_rows(rows, options.checks, label)

    # -- confirmation --------------------------------------------------------------------------------------------

    def confirm(
        self, judged: Judged, first: FirstFailure | None, confirmations: int
    ) -> tuple[Judged, FirstFailure | None]:
        """Compare a round with the failed run that it has to confirm.

        :param first: that run; ``None`` for the first run of the task.
        :param confirmations: number of runs that must confirm a failure.
        :return: the judged round with the outcome of the confirmation, and the failure that a further run must confirm;
            ``None``: the verdict is final.
        """
        if first is None:
            if not confirmations or not judged.has_failed:
                return judged, None
            shown = {name: judged.evidence[name] for name in ("started_at", "rounds", "links")}
            positions = judged.judgement.failed_positions
            return judged, FirstFailure(confirmations, positions, judged.history_end, shown)
        same = same_failure(first.failed_positions, judged.judgement)
        if judged.has_failed and not same:
            self._log.warning("No check failed in every run so far: the failure is not confirmed")
        confirming = replace(judged, evidence=confirmed(judged.evidence, first.run, same=same))
        remaining = first.remaining - 1
        if not confirming.has_failed or not remaining:
            return confirming, None
        positions = first.failed_positions
        if not judged.judgement.too_many_errors:
            positions = tuple(sorted({*positions} & {*judged.judgement.failed_positions}))
        return confirming, replace(first, remaining=remaining, failed_positions=positions)

    # -- after the verdict ---------------------------------------------------------------------------------------

    def finish(self, judged: Judged) -> Json:
        """Read the failed steps of a bad round, share it, write the report, log the table; return the evidence."""
        if judged.has_failed:
            judged = self._with_steps(judged)
        result = judged.evidence
        if judged.has_failed and self._options.snapshot_on_failure:
            result = self._with_snapshot(judged)
        self._session.xcoms.push_link(ThousandEyesRoundLink, result["links"].get("round"))
        self._session.xcoms.push_link(ThousandEyesTestLink, result["links"].get("test"))
        self.publish(result)
        return result

    def publish(self, result: Json) -> None:
        """Write the report, and log the evidence as a table: one record a line, so that columns are aligned."""
        if path := self._options.report_path:
            write_report(path, lambda: report(result, report_format(path)), self._log)
        for level, line in table_lines(result):
            if line:
                self._log.log(level, "%s", line)

    def _with_steps(self, judged: Judged) -> Judged:
        """The round with the failed steps of its worst agents in the evidence."""
        steps = StepReader(self._session).read(
            judged.done.handle.plan, judged.judgement, judged.done.progress.rounds()
        )
        if not steps:
            return judged
        requests = self._session.spent.requests
        result = evidence(replace(judged.observed, steps=steps, requests=requests))
        if "confirms" in judged.evidence:
            result = confirmed(result, judged.evidence["confirms"], same=True)
        return replace(judged, evidence=result)

    def _with_snapshot(self, judged: Judged) -> Json:
        """Return the evidence with the link of the private snapshot, if there is one."""
        result, handle = judged.evidence, judged.done.handle
        hook = self._session.hook
        now = datetime.fromtimestamp(int(hook.server_now()), tz=UTC)
        age = now.timestamp() - min(result["rounds"].values(), default=handle.accepted_at)
        hours = next((hours for hours in SNAPSHOT_HOURS if hours * 3600 > age), SNAPSHOT_HOURS[-1])
        name = f"{result['test_name'] or result['test_id']}: {result['verdict']} at {result['started_at']}"
        try:
            snapshot = hook.create_snapshot(
                handle.plan.test_id,
                name,
                now - timedelta(hours=hours),
                now,
                is_public=False,
                queue_timeout=SNAPSHOT_QUEUE_TIMEOUT,
            )
        except ThousandEyesError as error:
            self._log.warning("Could not create a snapshot of the round: %s", error)
            return result
        link = app_link(snapshot)
        if not link:
            return result
        self._session.xcoms.push_link(ThousandEyesSnapshotLink, link)
        return {**result, "links": {**result["links"], "snapshot": link}}


def _with_first_failure(result: Json, first: FirstFailure | None) -> Json:
    """The evidence of an inconclusive run, with the failed run that it had to confirm."""
    return confirmed(result, first.run, same=False) if first else result


def write_report(path: str, text: Callable[[], str], log: TaskLog) -> None:
    """Write a report; one that cannot be made or written is logged and changes no verdict.

    :param path: where, any place that Airflow's ``ObjectStoragePath`` reaches.
    :param text: makes the text of the report.
    """
    try:
        # Airflow 3.0 fails on file:// with universal-pathlib 0.3.
        target = ObjectStoragePath(path.removeprefix("file://") if path.startswith("file:///") else path)
        target.write_text(text())
    except Exception as error:
        log.error("Could not write the report to %s: %s", path, error)
    else:
        log.info("Report written to %s", path)
