"""Telemetry of verdicts: metrics, asset events and OpenLineage facets.

Each function takes an evidence, of a run or of a suite, and never changes a verdict: a failure here is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from thousandeyes_provider.validation import formatting

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

PREFIX = "thousandeyes"
"""First part of every metric's name."""

_ASSET_KEYS = ("verdict", "summary", "test_id", "test_name")
"""Keys of an evidence that an asset event carries as its extra."""


def record_metrics(evidence: Mapping[str, Any], *, operator: BaseOperator) -> None:
    """Report a verdict through Airflow's metrics (``[metrics]``: StatsD, OpenTelemetry).

    ==================================== ======= ====================================================
    metric                               type    meaning
    ==================================== ======= ====================================================
    ``thousandeyes.verdict.<verdict>``   counter one for each verdict
    ``thousandeyes.time_to_verdict``     timer   from the accepted run to the verdict
    ``thousandeyes.throttled_time``      timer   waits that a 429 caused
    ``thousandeyes.run_calls``           counter calls that start a run, refused ones included
    ==================================== ======= ====================================================

    The tags are ``kind`` (``run`` or ``suite``) and ``test_type``: both have few values, so that the number of series
    is bounded.
    """
    try:
        from airflow.providers.common.compat.sdk import Stats

        is_suite = "tests" in evidence
        tags = {"kind": "suite" if is_suite else "run"}
        if not is_suite:
            tags["test_type"] = str(evidence.get("test_type"))
        Stats.incr(f"{PREFIX}.verdict.{evidence['verdict']}", tags=tags)
        if (elapsed := formatting.elapsed(evidence)) is not None:
            Stats.timing(f"{PREFIX}.time_to_verdict", elapsed, tags=tags)
        if not is_suite:  # the runs of a suite have reported theirs
            throttled = timedelta(seconds=float(evidence.get("throttled_seconds") or 0))
            Stats.timing(f"{PREFIX}.throttled_time", throttled, tags=tags)
            Stats.incr(f"{PREFIX}.run_calls", count=int(evidence.get("run_calls") or 0), tags=tags)
    except Exception as error:
        operator.log.warning("Metrics of the verdict not reported: %s", error)


def annotate_assets(context: Context, evidence: Mapping[str, Any], *, operator: BaseOperator) -> None:
    """Put verdict and summary into the events of the task's outlets, as their ``extra``.

    A run whose bad verdict only warned emits an event like a good one; ``extra["verdict"]`` is the difference. Airflow
    emits no event for a task that fails or is skipped. Call this in the process that finishes the task: what an
    earlier process set before a deferral is lost.

    :param operator: has the outlets, and logs a failure.
    """
    if not operator.outlets:
        return
    try:
        for outlet in operator.outlets:
            context["outlet_events"][outlet].extra.update(
                {key: evidence[key] for key in _ASSET_KEYS if key in evidence}
            )
    except Exception as error:
        operator.log.warning("Asset events do not carry the verdict: %s", error)


def openlineage_facets(evidence: Mapping[str, Any] | None) -> Any:
    """The checks of a run, or the tests of a suite, as OpenLineage's ``TestRunFacet``.

    :param evidence: of a run or a suite; ``None`` when the task ended before a verdict.
    :return: an ``OperatorLineage``, or ``None`` where the OpenLineage provider is not installed, or is too old for the
        facet.
    """
    try:
        from openlineage.client.facet_v2 import test_run

        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    if evidence is None:
        return OperatorLineage()
    rows = _suite_tests(evidence) if "tests" in evidence else _run_tests(evidence)
    return OperatorLineage(
        run_facets={"test": test_run.TestRunFacet(tests=[test_run.TestExecution(**row) for row in rows])}
    )


def _run_tests(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The verdict on the agents' errors, and one entry for each check."""
    agents = evidence["agents"]
    errors = len(evidence["failed_agents"])
    judged = evidence["verdict"] in ("passed", "failed")
    # A failure that was not confirmed has the verdict passed.
    fail = "skip" if evidence.get("unconfirmed") else "fail"
    name = f"{evidence['test_name'] or evidence['test_id']}"
    tests = [
        {
            "name": f"{name}: agents without an error",
            "status": "skip" if not judged else fail if errors > agents["allowed_errors"] else "pass",
            "severity": "error",
            "type": "agent_errors",
            "expected": f"at most {agents['allowed_errors']} agents with an error",
            "actual": str(errors),
            "description": evidence["summary"],
        }
    ]
    tests += [
        {
            "name": f"{name}: {formatting.check_subject(check)}",
            "status": "skip" if not judged else "pass" if check["passed"] else fail,
            "severity": check["severity"],
            "type": f"{check['result_type']}.{check['metric']}",
            "expected": formatting.check_expectation(check),
            "actual": formatting.check_outcome(check),
        }
        for check in evidence["checks"]
    ]
    return tests


def _suite_tests(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each test of a suite."""
    status = {"passed": "pass", "failed": "fail"}
    return [
        {
            "name": row["test_name"] or row["test_id"],
            "status": status.get(row["verdict"], "skip"),
            "severity": "error" if row["blocking"] else "warn",
            "type": str(row.get("test_type")),
            "actual": row["verdict"],
            "description": row.get("summary"),
        }
        for row in evidence["tests"]
    ]
