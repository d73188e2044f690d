"""How a task ends: success, skip, or an error with or without Airflow's retries, and what Airflow learns of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowSkipException
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import (
    MISTAKES,
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesError,
    without_retry,
)
from thousandeyes_provider.operators import telemetry
from thousandeyes_provider.operators.options import Json, JudgeOptions, SuiteOptions
from thousandeyes_provider.operators.xcoms import TaskXComs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

ERRORS = {
    "failed": InstantTestFailed,
    "incomplete": InstantTestIncomplete,
    "no_results": InstantTestNoResults,
}
"""The error of each bad verdict."""


@dataclass(frozen=True)
class Ending:
    """How a task ends: with a value, or with an error to raise.

    :param error: the error; raised where it leaves the task, so that its traceback is short.
    :param evidence: the evidence; ``None``: the task ends without evidence.
    """

    value: Json | None = None
    error: Exception | None = None
    evidence: Json | None = None


@dataclass(frozen=True)
class Conclusion:
    """Turn the verdict or the error of a task into its ending: XComs, policy, metrics and asset events.

    :param options: its options, with ``on_failed`` and ``on_inconclusive``.
    """

    task: BaseOperator
    context: Context
    options: JudgeOptions | SuiteOptions
    xcoms: TaskXComs

    def of_run(self, evidence: Json) -> Ending:
        """Return the ending of a run that was judged, or that nothing could be judged of."""
        evidence = _in_shadow(evidence)
        verdict, message, reason = evidence["verdict"], str(evidence["summary"]), evidence.get("reason")
        if verdict == "passed":
            return self._succeed(evidence)
        if verdict == "failed":
            error: ThousandEyesError = InstantTestFailed(message, evidence)
            if self.options.on_failed != "retry":
                error = final(error, self.task)
            return self._apply_policy(self.options.on_failed, "on_failed", evidence, error)
        error = ERRORS[verdict](f"{message}. {reason}" if reason else message, evidence)
        return self._retry_or_apply_policy(evidence, error)

    def of_error(self, error: ThousandEyesError, evidence: Json) -> Ending:
        """Return the ending of a run that an error ended.

        :param evidence: its evidence, with the verdict ``error``.
        """
        if not isinstance(error, MISTAKES):
            return self._retry_or_apply_policy(_in_shadow(evidence), error)
        return self._fail(evidence, final(error, self.task))

    def of_suite(self, evidence: Json) -> Ending:
        """Return the ending of a suite. It spends no retry, which would judge the same evidence."""
        verdict = evidence["verdict"]
        if verdict == "passed":
            return self._succeed(evidence)
        error = without_chain(without_retry(ERRORS[verdict](str(evidence["summary"]), evidence)))
        if verdict == "failed":
            return self._apply_policy(self.options.on_failed, "on_failed", evidence, error)
        return self._apply_policy(self._on_inconclusive(), "on_inconclusive", evidence, error)

    def _retry_or_apply_policy(self, evidence: Json, error: ThousandEyesError) -> Ending:
        """Airflow's retries come first; ``on_inconclusive`` applies to the last try."""
        policy, error = self._on_inconclusive(), without_chain(error)
        # ``task.retries`` is wrong after a task was cleared.
        instance = self.context["ti"]
        if instance.try_number <= instance.max_tries:
            return self._fail(evidence, error)
        return self._apply_policy(policy, "on_inconclusive", evidence, error)

    def _on_inconclusive(self) -> str:
        return self.options.on_inconclusive or setting("on_inconclusive")

    def _apply_policy(self, policy: str, argument: str, evidence: Json, error: Exception) -> Ending:
        """End a task with a bad verdict; ``shadow`` in the evidence lets it succeed.

        :param argument: the argument that sets the policy, for the log.
        """
        log, shadow, summary = self.task.log, evidence.get("shadow"), evidence["summary"]
        if shadow or policy == "warn":
            reason = "Shadow mode" if shadow else f"{argument}='warn'"
            log.warning("%s, the task succeeds: %s", reason, summary)
            return self._succeed(evidence)
        if policy == "skip":
            log.warning("%s='skip', the task is skipped: %s", argument, summary)
            error = AirflowSkipException(summary)
        return self._fail(evidence, error)

    def _succeed(self, evidence: Json) -> Ending:
        self._report(evidence)
        return Ending(value=evidence, evidence=evidence)

    def _fail(self, evidence: Json, error: Exception) -> Ending:
        self.xcoms.push_evidence(evidence)
        self._report(evidence)
        return Ending(error=error, evidence=evidence)

    def _report(self, evidence: Json) -> None:
        """Report the verdict to the rest of Airflow: index entry, metrics and asset events."""
        self.xcoms.push_index(evidence)
        telemetry.record_metrics(evidence, operator=self.task)
        telemetry.annotate_assets(self.context, evidence, operator=self.task)


def _in_shadow(evidence: Json) -> Json:
    """The evidence, marked when ``[thousandeyes] shadow`` keeps a bad verdict from ending the task."""
    return {**evidence, "shadow": True} if setting("shadow") else evidence


def final(error: ThousandEyesError, task: object) -> ThousandEyesError:
    """Return an error without its causes, as one that spends no retry when a retry cannot correct it.

    The ``retry_policy`` of a task (Airflow 3.3) decides about retries, where there is one.
    """
    return without_chain(error if getattr(task, "retry_policy", None) else without_retry(error))


def without_chain(error: ThousandEyesError) -> ThousandEyesError:
    """Return an error without traceback, cause and context: its message is complete."""
    error.__cause__ = error.__context__ = None
    error.__suppress_context__ = True
    return error.with_traceback(None)
