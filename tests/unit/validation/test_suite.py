"""One verdict for many tests."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.validation.suite import (
    LARGEST_SUITE_EVIDENCE,
    SuiteRules,
    collect_evidence,
    parse_min_passed,
    suite_evidence,
)
from thousandeyes_provider.validation.verdict import Verdict

INCONCLUSIVE = ("incomplete", "no_results", "error")


def run(test_id, verdict="passed", **more):
    """The evidence of one run, as far as a suite reads it."""
    evidence = {
        "verdict": verdict,
        "summary": f"{verdict.upper()}: test {test_id}",
        "test_id": test_id,
        "test_name": f"Test {test_id}",
        "test_type": "http-server",
        "failed_agents": [],
        "checks": [],
        "started_at": f"2026-11-25T10:0{test_id[-1]}:00Z",
        "finished_at": f"2026-11-25T10:1{test_id[-1]}:00Z",
        "run_calls": 1,
        "requests": 10,
        "links": {"round": f"https://app.thousandeyes.com/round/{test_id}"},
    }
    return evidence | more


def verdict_of(*verdicts, rules=SuiteRules(), **more):  # noqa: B008
    runs = [run(str(number), verdict) for number, verdict in enumerate(verdicts)]
    return suite_evidence(runs, rules, **more)["verdict"]


@pytest.mark.parametrize(
    ("verdicts", "min_passed", "expected"),
    [
        (["passed", "passed"], None, "passed"),
        (["passed", "failed"], None, "failed"),
        (["passed", "incomplete"], None, "incomplete"),
        (["passed", "error"], None, "incomplete"),
        (["error", "no_results"], None, "no_results"),
        (["failed", "error"], None, "failed"),
        (["passed", "failed"], 1, "passed"),
        (["failed", "incomplete"], 1, "incomplete"),
        (["failed", "failed", "incomplete"], 2, "failed"),
        (["passed", "passed", "failed"], 0.66, "passed"),
        (["passed", "passed", "failed"], 0.7, "failed"),
        (["passed", "incomplete", "incomplete"], 0.3, "passed"),
        (["passed", "passed"], 3, "incomplete"),
        ([], None, "no_results"),
        ([], 1, "no_results"),
    ],
)
def test_a_suite_passes_when_enough_tests_passed(verdicts, min_passed, expected):
    assert verdict_of(*verdicts, rules=SuiteRules(min_passed)) == expected


class TestInconclusiveTests:
    def test_a_selected_test_without_evidence_keeps_a_suite_from_passing(self):
        evidence = suite_evidence([run("1"), run("2")], SuiteRules(), expected_ids=["1", "2", "3"])
        assert (evidence["verdict"], evidence["missing"], evidence["expected_count"]) == (
            "incomplete",
            ["3"],
            3,
        )

    def test_a_test_that_was_selected_twice_has_to_leave_two_pieces_of_evidence(self):
        evidence = suite_evidence([run("1")], SuiteRules(), expected_ids=["1", "1"])
        assert evidence["missing"] == ["1"]

    def test_a_run_made_from_a_scheduled_test_counts_for_that_test(self):
        evidence = suite_evidence([run("900", from_test="1")], SuiteRules(), expected_ids=["1"])
        assert (evidence["verdict"], evidence["missing"]) == ("passed", [])

    def test_fewer_runs_than_task_instances_keep_a_suite_from_passing(self):
        evidence = suite_evidence([run("1")], SuiteRules(), expected_count=2)
        assert (evidence["verdict"], evidence["without_evidence_count"]) == ("incomplete", 1)
        assert "1 of 2 blocking tests have no verdict" in evidence["summary"]

    @given(
        st.lists(st.sampled_from(tuple(Verdict))), st.integers(0, 5), st.sampled_from([None, 1, 3, 0.5, 1.0])
    )
    def test_tests_without_a_verdict_never_make_a_suite_fail(self, verdicts, absent, min_passed):
        runs = [run(str(number), verdict) for number, verdict in enumerate(verdicts)]
        rules = SuiteRules(min_passed)
        evidence = suite_evidence(runs, rules, expected_count=len(runs) + absent)
        counts = Counter(verdicts)
        if evidence["verdict"] == "failed":
            total = len(runs) + absent
            assert total - counts["failed"] < rules.required(total)
        if evidence["verdict"] == "passed":
            assert counts["passed"] >= max(rules.required(len(runs) + absent), 1)


class TestNonBlockingTests:
    @pytest.mark.parametrize("pattern", ["2", "Test 2", "TES? 2", "test *2", "Test [2]"])
    def test_they_are_reported_and_never_fail_the_suite(self, pattern):
        evidence = suite_evidence([run("1"), run("2", "failed")], SuiteRules(non_blocking=(pattern,)))
        assert evidence["verdict"] == "passed"
        assert [row["blocking"] for row in evidence["tests"]] == [True, False]
        assert evidence["counts"] == {"passed": 1, "failed": 1}

    def test_a_suite_of_nothing_else_is_inconclusive(self):
        evidence = suite_evidence([run("1")], SuiteRules(non_blocking=("*",)))
        assert (evidence["verdict"], evidence["reason"]) == ("no_results", "the suite has no blocking test")

    def test_a_run_from_a_scheduled_test_is_named_by_the_scheduled_test(self):
        evidence = suite_evidence(
            [run("900", "failed", from_test="7"), run("1")], SuiteRules(non_blocking=("7",))
        )
        assert evidence["verdict"] == "passed"


class TestHeadline:
    def test_it_leads_with_the_verdict_and_the_worst_agent(self):
        bad = run(
            "1", "failed", failed_agents=[{"agent_name": "Singapore", "errors": ["Connection refused"]}]
        )
        evidence = suite_evidence([run("2"), bad, run("3", "incomplete")], SuiteRules())
        assert evidence["summary"] == (
            "FAILED: Test 1: Singapore: Connection refused. 3 tests: 1 failed, 1 incomplete, 1 passed"
        )

    def test_it_counts_the_tests_that_it_does_not_name(self):
        evidence = suite_evidence([run(str(number), "failed") for number in range(5)], SuiteRules())
        assert "Test 2: failed; and 2 more" in evidence["summary"]

    def test_an_empty_suite_says_so(self):
        assert suite_evidence([], SuiteRules())["summary"] == (
            "NO RESULTS: the suite has no blocking test. 0 tests: none ran"
        )


def test_the_worst_tests_come_first_and_keep_agent_check_and_link():
    check = {
        "result_type": "http-server",
        "metric": "responseTime",
        "aggregate": "p95",
        "comparison": {"leq_to": 500},
        "actual": 900,
        "passed": False,
        "severity": "error",
    }
    evidence = suite_evidence([run("1"), run("2", "failed", checks=[check])], SuiteRules())
    worst = evidence["tests"][0]
    assert (worst["test_id"], worst["worst_check"]["actual"]) == ("2", 900)
    assert worst["link"] == "https://app.thousandeyes.com/round/2"
    assert evidence["started_at"] == "2026-11-25T10:01:00Z"
    assert (evidence["run_calls"], evidence["requests"]) == (2, 20)


@pytest.mark.parametrize("count", [100, 400, 2000])
def test_the_evidence_of_a_large_suite_fits_into_48_kib(count):
    names = "Checkout of the shop in a far away country "
    runs = [
        run(f"{number:06}", "failed" if number % 40 == 0 else "passed", test_name=names)
        for number in range(count)
    ]
    evidence = suite_evidence(
        runs, SuiteRules(), expected_ids=[f"{number:06}" for number in range(count + 3)]
    )
    assert len(json.dumps(evidence).encode()) <= LARGEST_SUITE_EVIDENCE
    assert sum(row["verdict"] == "failed" for row in evidence["tests"]) == count // 40 + (count % 40 > 0)
    assert evidence["counts"]["passed"] + evidence["counts"]["failed"] == count


class TestCollecting:
    @pytest.mark.parametrize(
        "results",
        [
            run("1"),
            [run("1")],
            [[run("1")], None],
            (run("1") for _ in range(1)),
            json.dumps([run("1")]),
            [
                run("1"),
                {"test_id": "2", "accepted_at": 1.0},
                "not JSON",
                7,
                {"verdict": "fine", "test_id": "3"},
            ],
        ],
        ids=["one", "list", "nested", "generator", "JSON", "with other values"],
    )
    def test_evidence_is_found_in_any_nesting(self, results):
        assert [evidence["test_id"] for evidence in collect_evidence(results)] == ["1"]

    @pytest.mark.parametrize("results", [None, "", [], {}, "[" * 10_000, b"x"])
    def test_results_without_evidence_are_empty(self, results):
        assert collect_evidence(results) == []


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [(None, None), ("", None), ("None", None), (3, 3), ("3", 3), (0.8, 0.8), ("0.8", 0.8), (1.0, 1.0)],
)
def test_min_passed_is_a_count_or_a_fraction(given_value, expected):
    assert parse_min_passed(given_value) == expected


@pytest.mark.parametrize("value", [0, -1, 0.0, 1.5, "1.5", True, [], "most"])
def test_other_values_of_min_passed_are_refused(value):
    with pytest.raises(ValueError, match=r"expected a count from 1 or a fraction above 0\.0 and up to 1\.0"):
        parse_min_passed(value)
