"""How a verdict ends the task: success, skip, or an error with or without Airflow's retries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowSkipException
from thousandeyes_provider.config import setting
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesNotFoundError,
    ThousandEyesRequestError,
    without_retry,
)
from thousandeyes_provider.operators.options import Json, JudgeOptions, TaskLog
from thousandeyes_provider.operators.xcoms import TaskXComs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

MISTAKES = (
    ThousandEyesConfigurationError,
    ThousandEyesAuthError,
    ThousandEyesNotFoundError,
    ThousandEyesRequestError,
)
"""Errors that a person has to correct. Any other error makes a run inconclusive: ``on_inconclusive`` covers it."""


@dataclass(frozen=True)
class Ending:
    """How a task ends: with a value, or with an error to raise.

    :param value: the return value.
    :param error: the error; raised where it leaves the task, so that its traceback is short.
    :param evidence: the evidence, whatever the ending; ``None`` when the task ends without one.
    """

    value: Json | None = None
    error: Exception | None = None
    evidence: Json | None = None


@dataclass(frozen=True)
class Conclusion:
    """Turn verdicts and errors of one task into its ending.

    :param options: the options of the task.
    :param xcoms: the XComs of the task.
    :param context: Airflow's context of the task.
    :param has_retry_policy: whether the task has a ``retry_policy`` (Airflow 3.3), which decides about retries.
    :param log: the log of the task.
    """

    options: JudgeOptions
    xcoms: TaskXComs
    context: Context
    has_retry_policy: bool
    log: TaskLog

    def of_verdict(self, evidence: Json) -> Ending:
        """Return the ending of a run that was judged, or that nothing could be judged of."""
        evidence = _in_shadow(evidence)
        verdict, summary = evidence["verdict"], str(evidence["summary"])
        if verdict == "passed":
            return succeed(evidence, self.xcoms)
        if verdict == "failed":
            policy: str = self.options.on_failed
            error: ThousandEyesError = InstantTestFailed(summary, evidence)
            if policy != "retry":
                error = final(error, self.has_retry_policy)
            return apply_policy(policy, "on_failed", evidence, error, self.xcoms, self.log)
        kind = InstantTestNoResults if verdict == "no_results" else InstantTestIncomplete
        reason = evidence.get("reason")
        return self._of_inconclusive(evidence, kind(f"{summary}. {reason}" if reason else summary, evidence))

    def of_error(self, error: ThousandEyesError, evidence: Json) -> Ending:
        """Return the ending of a run that an error ended.

        :param evidence: its evidence, with the verdict ``error``.
        """
        if not isinstance(error, MISTAKES):
            return self._of_inconclusive(_in_shadow(evidence), error)
        self.xcoms.keep(evidence)
        return Ending(error=final(error, self.has_retry_policy), evidence=evidence)

    def _of_inconclusive(self, evidence: Json, error: ThousandEyesError) -> Ending:
        """Airflow's retries come first; the policy applies to the last try."""
        policy = self.options.on_inconclusive or setting("on_inconclusive")
        error = without_chain(error)
        # ``task.retries`` is wrong after a task was cleared.
        instance = self.context["ti"]
        if instance.try_number <= instance.max_tries:
            self.xcoms.keep(evidence)
            return Ending(error=error, evidence=evidence)
        return apply_policy(policy, "on_inconclusive", evidence, error, self.xcoms, self.log)


def apply_policy(
    policy: str, argument: str, evidence: Json, error: ThousandEyesError, xcoms: TaskXComs, log: TaskLog
) -> Ending:
    """Return the ending of a task with a bad verdict, and push the evidence when the task does not succeed.

    :param policy: ``fail``, ``retry``, ``skip`` or ``warn``.
    :param argument: the argument that sets the policy, for the log.
    :param evidence: of a run or a suite; ``shadow`` in it lets the task succeed.
    :param error: the error of a task that fails.
    """
    shadow = evidence.get("shadow")
    if shadow or policy == "warn":
        reason = "Shadow mode" if shadow else f"{argument}='warn'"
        log.warning("%s, the task succeeds: %s", reason, evidence["summary"])
        return succeed(evidence, xcoms)
    xcoms.keep(evidence)
    if policy == "skip":
        log.warning("%s='skip', the task is skipped: %s", argument, evidence["summary"])
        return Ending(error=AirflowSkipException(evidence["summary"]), evidence=evidence)
    return Ending(error=error, evidence=evidence)


def succeed(evidence: Json, xcoms: TaskXComs) -> Ending:
    """Return the ending of a task that succeeds with its evidence."""
    xcoms.push_index(evidence)
    return Ending(value=evidence, evidence=evidence)


def _in_shadow(evidence: Json) -> Json:
    """The evidence, marked when ``[thousandeyes] shadow`` keeps a bad verdict from ending the task."""
    return {**evidence, "shadow": True} if setting("shadow") else evidence


def has_retry_policy(task: object) -> bool:
    """Return whether a task has a ``retry_policy`` (Airflow 3.3)."""
    return bool(getattr(task, "retry_policy", None))


def final(error: ThousandEyesError, has_retry_policy: bool) -> ThousandEyesError:
    """Return an error without its causes, as one that spends no retry when a retry cannot correct it.

    :param has_retry_policy: whether the task's ``retry_policy`` decides about retries.
    """
    return without_chain(error if has_retry_policy else without_retry(error))


def without_chain(error: ThousandEyesError) -> ThousandEyesError:
    """Return an error without traceback, cause and context: its message is complete."""
    error.__cause__ = error.__context__ = None
    error.__suppress_context__ = True
    return error.with_traceback(None)
