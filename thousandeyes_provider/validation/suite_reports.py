"""The evidence of a suite as text: a table for the task log, JUnit, Markdown."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from thousandeyes_provider.api.coerce import shorten
from thousandeyes_provider.validation.formatting import left_out, verdict_label
from thousandeyes_provider.validation.reports import (
    duration,
    escape_markdown,
    junit_case,
    junit_cases,
    junit_document,
    junit_outcome,
    markdown_table,
    report,
    skip_outcome,
)
from thousandeyes_provider.validation.suite_evidence import selected_id, worst_reason
from thousandeyes_provider.validation.summary import test_label, text_columns, verdict_level

MAX_TABLE_TESTS = 40
"""Tests in a table; the worst come first."""


def suite_table_lines(evidence: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return the evidence of a suite as a table, each line with its log level.

    A failed blocking test is ``logging.ERROR``, any other test that did not pass ``logging.WARNING``, the rest
    ``logging.INFO``.
    """
    shown = evidence["tests"][:MAX_TABLE_TESTS]
    columns = text_columns([("test", "id", "", "verdict", "result"), *map(_cells, shown)])
    lines = [(verdict_level(evidence), str(evidence["summary"]))]
    lines += [(logging.INFO, fact) for fact in text_columns(_facts(evidence)[1:])]
    lines += [(logging.INFO, ""), *zip([logging.INFO, *map(_level, shown)], columns, strict=True)]
    if (more := len(evidence["tests"]) + left_out(evidence, "tests") - len(shown)) > 0:
        lines.append((logging.INFO, f"and {more} more, counted above"))
    lines += [
        (logging.WARNING, f"test {test_id}: no evidence") for test_id in evidence["missing"][:MAX_TABLE_TESTS]
    ]
    if (more := len(evidence["missing"]) + left_out(evidence, "missing") - MAX_TABLE_TESTS) > 0:
        lines.append((logging.WARNING, f"and {more} more without evidence"))
    return lines


def suite_report(
    evidence: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], format_: str, *, name: str
) -> str:
    """Return the evidence of a suite as the text of a report.

    :param format_: ``junit``, ``markdown`` or ``html``.
    """
    if format_ == "junit":
        return suite_junit(evidence, runs, name=name)
    if format_ == "markdown":
        return suite_markdown(evidence)
    return report(evidence, format_)


def suite_junit(evidence: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], *, name: str) -> str:
    """Return one JUnit test suite with the cases of every run: its round, its agents' errors and its checks.

    A case of a test that is not blocking is skipped where it did not pass. A run without evidence is an error.
    """
    blocking = {row.get("from_test") or row["test_id"]: row["blocking"] for row in evidence["tests"]}
    cases = []
    properties = _facts(evidence)
    for run in runs:
        label = test_label(run)
        is_blocking = blocking.get(selected_id(run), True)
        properties.append((f"{label}: blocking", "true" if is_blocking else "false"))
        properties += [(f"{label}: {kind}", link) for kind, link in run["links"].items()]
        for case in junit_cases(run):
            case.set("classname", f"thousandeyes.{run['test_name'] or run['test_id']}")
            if not is_blocking:
                skip_outcome(case, "not blocking")
            cases.append(case)
    absent = [f"test {test_id}" for test_id in evidence["missing"]]
    absent += ["a run of an unknown test"] * (evidence["without_evidence_count"] - len(absent))
    for label in absent:
        case = junit_case(f"{label} left evidence", "thousandeyes.suite")
        junit_outcome(case, "error", "no evidence", [f"{label}: no evidence"])
        cases.append(case)
    return junit_document(
        name,
        cases,
        properties=properties,
        output=[str(evidence["summary"])],
        started_at=str(evidence["started_at"] or evidence["finished_at"]),
        seconds=duration(evidence),
    )


def suite_markdown(evidence: Mapping[str, Any]) -> str:
    """Return the evidence of a suite as Markdown: headline, facts, and a table of the tests."""
    rows = [
        (
            row["test_name"] or row["test_id"],
            row["test_id"],
            verdict_label(row["verdict"]).lower(),
            "yes" if row["blocking"] else "no",
            _result(row),
            row.get("link") or "",
        )
        for row in evidence["tests"]
    ]
    rows += [("", test_id, "no evidence", "", "", "") for test_id in evidence["missing"]]
    parts = [
        f"# {escape_markdown(str(evidence['summary']))}",
        markdown_table(("Fact", "Value"), _facts(evidence)),
    ]
    if rows:
        header = ("Test", "Id", "Verdict", "Blocking", "Result", "ThousandEyes")
        parts += ["## Tests", markdown_table(header, rows)]
    return "\n\n".join(parts) + "\n"


def _facts(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("verdict", str(evidence["verdict"])),
        ("tests", str(evidence["expected_count"])),
        ("required", f"{evidence['required']} blocking tests have to pass"),
        ("time", f"{evidence['started_at']} to {evidence['finished_at']}" if evidence["started_at"] else ""),
        ("requests", f"{evidence['requests']}, {evidence['run_calls']} run calls"),
        ("shadow", "the verdict does not block" if evidence["shadow"] else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    blocking = "" if row["blocking"] else "non-blocking"
    verdict = verdict_label(row["verdict"])
    return (shorten(row["test_name"], 40), row["test_id"], blocking, verdict, shorten(_result(row), 120))


def _result(row: Mapping[str, Any]) -> str:
    return "" if row["verdict"] == "passed" else worst_reason(row) or str(row.get("summary") or "")


def _level(row: Mapping[str, Any]) -> int:
    if row["verdict"] == "passed":
        return logging.INFO
    return logging.ERROR if row["verdict"] == "failed" and row["blocking"] else logging.WARNING
