"""How a verdict ends the task: success, skip, or an error with or without Airflow's retries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

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
"""Errors that somebody has to correct. Any other error makes a run inconclusive: ``on_inconclusive`` covers it."""


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


class Conclusion:
    """Turn verdicts and errors of one task into its ending.

    :param options: the options of the task.
    :param xcoms: the XComs of the task.
    :param context: Airflow's context of the task.
    :param has_retry_policy: whether the task has a ``retry_policy`` (Airflow 3.3), which decides about retries.
    :param log: the log of the task.
    """

    def __init__(
        self,
        options: JudgeOptions,
        xcoms: TaskXComs,
        *,
        context: Context,
        has_retry_policy: bool,
        log: TaskLog,
    ) -> None:
        self._options = options
        self._xcoms = xcoms
        self._context = context
        self._has_retry_policy = has_retry_policy
        self._log = log

    def of_verdict(self, evidence: Json) -> Ending:
        """Return the ending of a run that was judged, or that nothing could be judged of."""
        evidence = self._in_shadow(evidence)
        verdict, summary = evidence["verdict"], str(evidence["summary"])
        if verdict == "passed":
            return self._succeed(evidence)
        if verdict == "failed":
            policy: str = self._options.on_failed
            error: ThousandEyesError = InstantTestFailed(summary, evidence)
            if policy != "retry":
                error = final(error, self._has_retry_policy)
            return self._apply(policy, "on_failed", evidence, error)
        kind = InstantTestNoResults if verdict == "no_results" else InstantTestIncomplete
        reason = evidence.get("reason")
        return self._of_inconclusive(evidence, kind(f"{summary}. {reason}" if reason else summary, evidence))

    def of_error(self, error: ThousandEyesError, evidence: Json) -> Ending:
        """Return the ending of a run that an error ended.

        :param evidence: its evidence, with the verdict ``error``.
        """
        if not isinstance(error, MISTAKES):
            return self._of_inconclusive(self._in_shadow(evidence), error)
        self.keep(evidence)
        return Ending(error=final(error, self._has_retry_policy), evidence=evidence)

    @staticmethod
    def _in_shadow(evidence: Json) -> Json:
        """The evidence, marked when ``[thousandeyes] shadow`` keeps a bad verdict from ending the task."""
        return {**evidence, "shadow": True} if setting("shadow") else evidence

    def keep(self, evidence: Json) -> None:
        """Push the evidence of a task that does not succeed."""
        self._xcoms.push_index(evidence)
        self._xcoms.push_evidence(evidence)

    def _of_inconclusive(self, evidence: Json, error: ThousandEyesError) -> Ending:
        """Airflow's retries come first; the policy applies to the last try."""
        policy = self._options.on_inconclusive or setting("on_inconclusive")
        error = without_chain(error)
        if not self._is_last_try():
            self.keep(evidence)
            return Ending(error=error, evidence=evidence)
        return self._apply(policy, "on_inconclusive", evidence, error)

    def _apply(self, policy: str, name: str, evidence: Json, error: ThousandEyesError) -> Ending:
        if evidence.get("shadow"):
            self._log.warning("Shadow mode, the task succeeds: %s", evidence["summary"])
            return self._succeed(evidence)
        if policy == "warn":
            self._log.warning("%s='warn', the task succeeds: %s", name, evidence["summary"])
            return self._succeed(evidence)
        self.keep(evidence)
        if policy == "skip":
            self._log.warning("%s='skip', the task is skipped: %s", name, evidence["summary"])
            return Ending(error=AirflowSkipException(evidence["summary"]), evidence=evidence)
        return Ending(error=error, evidence=evidence)

    def _succeed(self, evidence: Json) -> Ending:
        self._xcoms.push_index(evidence)
        return Ending(value=evidence, evidence=evidence)

    def _is_last_try(self) -> bool:
        """Whether Airflow does not retry the task. ``task.retries`` is wrong after a task was cleared."""
        instance = self._context["ti"]
        tries, most = getattr(instance, "try_number", None), getattr(instance, "max_tries", None)
        return tries is None or most is None or cast("int", tries) > cast("int", most)


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
