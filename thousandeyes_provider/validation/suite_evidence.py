"""The verdict of a suite: the evidence of its tests, the required passes, and non-blocking tests.

Evidence is matched by test id and never by position, because a run that left no evidence leaves a gap and no empty
entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import inner_value, parse_structure, share, whole_number
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.test_search import matches_test
from thousandeyes_provider.validation.evidence_size import MAX_EVIDENCE_BYTES, shorten_list, size_of
from thousandeyes_provider.validation.formatting import verdict_label
from thousandeyes_provider.validation.summary import display_name, worst_agent
from thousandeyes_provider.validation.verdict import Verdict

MAX_HEADLINE_TESTS = 3
"""Tests that the headline names before it counts the rest."""

_SEVERITY = (Verdict.FAILED, Verdict.ERROR, Verdict.NO_RESULTS, Verdict.INCOMPLETE, Verdict.PASSED)
"""Order of the rows of a suite: the verdicts that need a person first."""

_LESS_IMPORTANT = (
    ("link", True),
    ("summary", False),
    ("worst_check", False),
    ("link", False),
    ("test_type", True),
)
"""Keys of a row in the order in which a large suite drops them, and whether only rows of passed tests lose the key."""

MAX_NAME = 80
"""Characters of a test's name in a row."""


@dataclass(frozen=True)
class SuiteRules:
    """What makes a suite pass.

    :param min_passed: number of blocking tests that must pass: a count from 1 (``int``), a fraction of them (``float``,
        0.0 to 1.0, rounded up), or ``None`` for all.
    :param non_blocking: tests that are reported and never fail the suite: ids, and names with the wildcards ``*`` and
        ``?``, regardless of case.
    :param blocking: tests in the same form, and whether they can fail the suite. The last one that fits a test takes
        precedence, also over ``non_blocking``.
    """

    min_passed: int | float | None = None
    non_blocking: tuple[str, ...] = ()
    blocking: tuple[tuple[str, bool], ...] = ()

    def is_blocking(self, test_id: str, test_name: str) -> bool:
        """Whether the verdict of a test counts.

        :param test_name: empty when it is not known. Then the test counts if it may have the name of a blocking test.
        """
        rules = (*((pattern, False) for pattern in self.non_blocking), *self.blocking)
        is_blocking = True
        for pattern, blocks in rules:
            may_fit = blocks and not test_name and not pattern.isdecimal()
            if may_fit or matches_test(pattern, test_id, test_name):
                is_blocking = blocks
        return is_blocking

    def required(self, blocking: int) -> int:
        """Return the number of ``blocking`` tests that must pass."""
        if self.min_passed is None:
            return blocking
        if isinstance(self.min_passed, float):
            return share(self.min_passed, blocking)
        return self.min_passed


def collect_evidence(results: Any) -> list[Mapping[str, Any]]:
    """Return the evidence among the results of tasks, in any nesting.

    :param results: an evidence, ``None``, the text of one as JSON or as a template renders it, or an iterable of these,
        such as the output of a mapped task. Anything without a verdict and a test id is left out: it belongs to a run
        without evidence.
    """
    return list(_evidence_in(results, depth=0))


def _evidence_in(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, str):
        try:
            value = parse_structure(value)
        except ValueError:
            return
    if isinstance(value, Mapping):
        if _is_evidence(value):
            yield value
    elif isinstance(value, Iterable) and not isinstance(value, bytes) and depth < 8:
        for item in value:
            yield from _evidence_in(item, depth + 1)


def _is_evidence(value: Mapping[str, Any]) -> bool:
    return (
        value.get("verdict") in tuple(Verdict)
        and isinstance(value.get("from_test") or {}, Mapping)
        and bool(selected_id(value))
        and isinstance(value.get("agents"), Mapping)
        and isinstance(value.get("checks"), list)
        and isinstance(value.get("failed_agents"), list)
    )


def selected_id(evidence: Mapping[str, Any]) -> str:
    """Return the id by which the test of a run was selected: that of the test that the run was made from, or its own.

    A run whose creation failed has no id of its own.
    """
    return str(inner_value(evidence, "from_test", "test_id") or evidence.get("test_id") or "")


def suite_evidence(
    evidences: Sequence[Mapping[str, Any]],
    rules: SuiteRules,
    *,
    judged_at: float,
    expected_ids: Sequence[str] | None = None,
    expected_count: int | None = None,
    shadow: bool = False,
) -> dict[str, Any]:
    """Judge a suite.

    The suite passes when enough blocking tests passed. It fails when it cannot reach that number, even if every test
    without a verdict had passed. Otherwise it is inconclusive: ``incomplete``, or ``no_results`` when no blocking test
    has a verdict at all. An inconclusive test never makes a suite fail.

    :param evidences: the evidence of each run, in any order.
    :param judged_at: now, epoch seconds.
    :param expected_ids: the tests that were selected, by test id (or by the id of the test that a run was made from).
    :param expected_count: expected number of runs, if the ids are unknown.
    :param shadow: whether the suite only reports.
    :return: the evidence of the suite, at most 48 KiB of JSON.
    """
    rows = _without_surplus(
        sorted((_row(evidence, rules) for evidence in evidences), key=_rank), expected_ids or ()
    )
    missing = _missing_ids(rows, expected_ids)
    expected = max(len(rows) + len(missing), expected_count or 0)
    unnamed = expected - len(rows) - len(missing)
    blocking = [row for row in rows if row["blocking"]]
    absent = unnamed + sum(rules.is_blocking(test_id, "") for test_id in missing)
    verdict, reason = _verdict(Counter(row["verdict"] for row in blocking), absent, rules)
    evidence: dict[str, Any] = {
        "verdict": verdict.value,
        "summary": "",
        "reason": reason,
        "counts": dict(Counter(row["verdict"] for row in rows)),
        "expected_count": expected,
        "without_evidence_count": unnamed + len(missing),
        "required": rules.required(len(blocking) + absent),
        "min_passed": rules.min_passed,
        "shadow": shadow,
        "tests": rows,
        "missing": missing,
        **_figures(evidences, judged_at),
    }
    evidence["summary"] = suite_headline(evidence)
    _share_task_id(evidence)
    return _fit(evidence)


def _rank(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The place of a test in the suite: blocking tests first, the worst verdict first."""
    return not row["blocking"], _SEVERITY.index(row["verdict"]), row["test_name"], row["test_id"]


def _figures(evidences: Sequence[Mapping[str, Any]], judged_at: float) -> dict[str, Any]:
    """When the suite started and finished, and the requests of all runs."""
    started = [text for item in evidences if isinstance(text := item.get("started_at"), str)]
    return {
        "started_at": min(started, default=None),
        "finished_at": iso_time(judged_at),
        "run_calls": sum(whole_number(item.get("run_calls")) or 0 for item in evidences),
        "requests": sum(whole_number(item.get("requests")) or 0 for item in evidences),
    }


def _share_task_id(evidence: dict[str, Any]) -> None:
    """Name the task of all tests once, as ``run_task_id``, where it is the same, as in a mapped task."""
    task_ids = {row.get("task_id") for row in evidence["tests"]}
    if len(task_ids) == 1 and None not in task_ids:
        evidence["run_task_id"] = task_ids.pop()
        for row in evidence["tests"]:
            del row["task_id"]


def _verdict(counts: Mapping[str, int], absent: int, rules: SuiteRules) -> tuple[Verdict, str]:
    """The verdict on the blocking tests, and the reason for an inconclusive one."""
    passed, failed = counts.get(Verdict.PASSED, 0), counts.get(Verdict.FAILED, 0)
    total = sum(counts.values()) + absent
    undecided = total - passed - failed
    required = rules.required(total)
    if total == 0:
        return Verdict.NO_RESULTS, "the suite has no blocking test"
    if required > total:
        return Verdict.INCOMPLETE, f"min_passed={rules.min_passed} exceeds the {total} blocking tests"
    if passed >= required:
        return Verdict.PASSED, ""
    if passed + undecided < required:
        return Verdict.FAILED, ""
    reason = f"{undecided} of {total} blocking tests have no verdict"
    return (Verdict.INCOMPLETE if passed + failed else Verdict.NO_RESULTS), reason


def _row(evidence: Mapping[str, Any], rules: SuiteRules) -> dict[str, Any]:
    """The row of a test in the suite: verdict, worst agent and worst check."""
    source_id, test_name = selected_id(evidence), display_name(evidence)
    test_id = str(evidence.get("test_id") or source_id)
    row: dict[str, Any] = {
        "test_id": test_id,
        "test_name": test_name[:MAX_NAME],
        "test_type": evidence.get("test_type"),
        "verdict": str(evidence["verdict"]),
        "blocking": rules.is_blocking(source_id, test_name),
    }
    if inner_value(evidence, "from_test", "test_id"):
        row["from_test"] = source_id
    if row["verdict"] != Verdict.PASSED:
        row["summary"] = str(evidence.get("summary") or "")
        row["worst_agent"] = _worst_agent(evidence)
        row["worst_check"] = _worst_check(evidence)
    if task_id := evidence.get("task_id"):
        # Where the evidence of the run is: its report page is opened from the page of the suite.
        row |= {"task_id": str(task_id), "map_index": evidence.get("map_index", -1)}
    row["link"] = inner_value(evidence, "links", "round") or inner_value(evidence, "links", "test")
    return row


def _worst_agent(evidence: Mapping[str, Any]) -> dict[str, Any] | None:
    """Name and reason of the agent that explains the verdict of a run; ``None`` when every agent is ok."""
    try:
        problem = worst_agent(evidence)
    except (AttributeError, KeyError, TypeError):  # an XCom from other code
        return None
    return None if problem is None else {"agent_name": problem.label, "reason": problem.reason}


def _worst_check(evidence: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first failed check of a run; ``None`` when every check passes."""
    keys = ("result_type", "metric", "aggregate", "comparison", "actual", "agents", "needed")
    for check in evidence["checks"]:
        if isinstance(check, Mapping) and not check.get("passed") and check.get("severity") != "warn":
            return {key: value for key in keys if (value := check.get(key)) is not None}
    return None


def _without_surplus(rows: Sequence[dict[str, Any]], expected_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows, each selected test at most as often as it was selected; the first, worst rows count."""
    selected = Counter(map(str, expected_ids))
    seen: Counter[str] = Counter()
    kept = []
    for row in rows:
        test_id = row.get("from_test") or row["test_id"]
        seen[test_id] += 1
        if test_id not in selected or seen[test_id] <= selected[test_id]:
            kept.append(row)
    return kept


def _missing_ids(rows: Sequence[Mapping[str, Any]], expected_ids: Sequence[str] | None) -> list[str]:
    """The selected tests without the evidence of a run, as often as a test was selected."""
    left = Counter(str(test_id) for test_id in expected_ids or ())
    left.subtract(row.get("from_test") or row["test_id"] for row in rows)
    return sorted(left.elements())


def suite_headline(evidence: Mapping[str, Any]) -> str:
    """Return the result of a suite in one line; its first 80 characters have the verdict and the worst test.

    ``FAILED: 1 of 3 tests failed: Checkout: Singapore: Connection refused. 1 passed, 1 incomplete.``
    """
    counts = evidence["counts"] | {"without evidence": evidence["without_evidence_count"]}
    figures = ", ".join(
        f"{counts[name]} {verdict_label(name).lower()}"
        for name in (*_SEVERITY, "without evidence")
        if counts.get(name)
    )
    bad = [row for row in evidence["tests"] if row["verdict"] != Verdict.PASSED and row["blocking"]]
    if evidence["verdict"] == Verdict.FAILED:
        bad = [row for row in bad if row["verdict"] == Verdict.FAILED]
    named = [_named(row) for row in bad[:MAX_HEADLINE_TESTS]]
    if len(bad) > len(named):
        named.append(f"and {len(bad) - len(named)} more")
    parts = [
        "; ".join(named),
        evidence.get("reason", ""),
        f"{evidence['expected_count']} tests: {figures or 'none ran'}",
    ]
    return f"{verdict_label(evidence['verdict'])}: {'. '.join(part for part in parts if part)}"


def worst_reason(row: Mapping[str, Any]) -> str:
    """Return the worst agent of a test and its reason; empty when every agent is ok."""
    worst = row.get("worst_agent")
    return f"{worst['agent_name']}: {worst['reason']}" if worst and worst["reason"] else ""


def _named(row: Mapping[str, Any]) -> str:
    name = row["test_name"] or f"test {row['test_id']}"
    return f"{name}: {worst_reason(row) or verdict_label(row['verdict']).lower()}"


def _fit(evidence: dict[str, Any]) -> dict[str, Any]:
    """``evidence`` in at most :data:`MAX_EVIDENCE_BYTES`; ``cut`` counts the rows that were left out."""
    for key, only_passed in _LESS_IMPORTANT:
        if size_of(evidence) <= MAX_EVIDENCE_BYTES:
            return evidence
        for row in evidence["tests"]:
            if row["verdict"] == Verdict.PASSED or not only_passed:
                row.pop(key, None)
    for name in ("tests", "missing"):
        if (excess := size_of(evidence) - MAX_EVIDENCE_BYTES) > 0:
            shorten_list(evidence, name, evidence, name, excess)
    return evidence
