"""The verdict of a suite of tests."""

from __future__ import annotations

import json
import logging
from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import Agent
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import Observed, evidence
from thousandeyes_provider.validation.evidence_size import MAX_EVIDENCE_BYTES
from thousandeyes_provider.validation.suite_evidence import (
    SuiteRules,
    collect_evidence,
    suite_evidence,
)
from thousandeyes_provider.validation.suite_reports import (
    suite_junit,
    suite_markdown,
    suite_report,
    suite_table_lines,
)
from thousandeyes_provider.validation.verdict import NOT_JUDGED, Verdict, judge

INCONCLUSIVE = ("incomplete", "no_results", "error")


AT = 1_764_064_800.0  # 2025-11-25T10:00:00Z


def run(test_id, verdict="passed", *, error="Connection refused", checks=None, **more):
    """Return the evidence of a run of two agents. Singapore has an error if the verdict is failed."""
    bad = {"errorType": "Connect", "errorDetails": error} if verdict == "failed" else {}
    rows = [
        {"agent": {"agentId": "1", "agentName": "Oslo"}, "roundId": 1_764_064_800, "responseTime": 80},
        {
            "agent": {"agentId": "2", "agentName": "Singapore"},
            "roundId": 1_764_064_800,
            "responseTime": 90,
            **bad,
        },
    ]
    judged = verdict in ("passed", "failed")
    observed = Observed(
        test_id=test_id,
        test_name=f"Test {test_id}",
        test_type="http-server",
        account_group_id=None,
        verdict=Verdict(verdict),
        started_at=AT + int(test_id),
        finished_at=AT + 600 + int(test_id),
        run_calls=1,
        requests=10,
        reported=[Agent("1", "Oslo"), Agent("2", "Singapore")],
        judgement=judge({"http-server": rows}, 0, parse_checks(checks)) if judged else NOT_JUDGED,
        links={"test": f"https://app.thousandeyes.com/test/{test_id}"},
        reason="rate limit" if verdict == "error" else "",
    )
    return evidence(observed) | more


def judged(runs, rules=SuiteRules(), **more):  # noqa: B008
    return suite_evidence(runs, rules, judged_at=AT + 900, **more)


def verdict_of(*verdicts, rules=SuiteRules(), **more):  # noqa: B008
    runs = [run(str(number), verdict) for number, verdict in enumerate(verdicts)]
    return judged(runs, rules, **more)["verdict"]


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
        result = judged([run("1"), run("2")], SuiteRules(), expected_ids=["1", "2", "3"])
        assert (result["verdict"], result["missing"], result["expected_count"]) == (
            "incomplete",
            ["3"],
            3,
        )

    def test_a_test_that_was_selected_twice_needs_two_runs(self):
        result = judged([run("1")], SuiteRules(), expected_ids=["1", "1"])
        assert result["missing"] == ["1"]

    def test_a_second_run_of_one_test_does_not_replace_another(self):
        result = judged([run("1"), run("1")], SuiteRules(2), expected_ids=["1", "2"])
        assert (result["verdict"], result["missing"], result["counts"]) == (
            "incomplete",
            ["2"],
            {"passed": 1},
        )

    def test_the_worst_of_surplus_runs_counts(self):
        result = judged([run("1"), run("1", "failed")], SuiteRules(1), expected_ids=["1"])
        assert (result["verdict"], result["counts"], result["expected_count"]) == ("failed", {"failed": 1}, 1)

    def test_a_run_of_a_test_that_was_not_selected_counts(self):
        result = judged([run("1"), run("2", "failed")], SuiteRules(), expected_ids=["1"])
        assert (result["verdict"], result["expected_count"]) == ("failed", 2)

    def test_a_run_made_from_a_scheduled_test_counts_for_that_test(self):
        result = judged(
            [run("900", from_test={"test_id": "1", "test_name": "One"})], SuiteRules(), expected_ids=["1"]
        )
        assert (result["verdict"], result["missing"]) == ("passed", [])

    def test_fewer_runs_than_task_instances_keep_a_suite_from_passing(self):
        result = judged([run("1")], SuiteRules(), expected_count=2)
        assert (result["verdict"], result["without_evidence_count"]) == ("incomplete", 1)
        assert "1 of 2 blocking tests have no verdict" in result["summary"]

    @given(
        st.lists(st.sampled_from(tuple(Verdict))), st.integers(0, 5), st.sampled_from([None, 1, 3, 0.5, 1.0])
    )
    def test_tests_without_a_verdict_never_make_a_suite_fail(self, verdicts, absent, min_passed):
        runs = [run(str(number), verdict) for number, verdict in enumerate(verdicts)]
        rules = SuiteRules(min_passed)
        result = judged(runs, rules, expected_count=len(runs) + absent)
        counts = Counter(verdicts)
        if result["verdict"] == "failed":
            total = len(runs) + absent
            assert total - counts["failed"] < rules.required(total)
        if result["verdict"] == "passed":
            assert counts["passed"] >= max(rules.required(len(runs) + absent), 1)


class TestNonBlockingTests:
    @pytest.mark.parametrize("pattern", ["2", "Test 2", "TES? 2", "test *2"])
    def test_non_blocking_tests_never_fail_the_suite(self, pattern):
        result = judged([run("1"), run("2", "failed")], SuiteRules(non_blocking=(pattern,)))
        assert result["verdict"] == "passed"
        assert [row["blocking"] for row in result["tests"]] == [True, False]
        assert result["counts"] == {"passed": 1, "failed": 1}

    @pytest.mark.parametrize(
        ("blocking", "expected"),
        [
            ((("Test *", False),), "passed"),
            ((("Test *", False), ("test 2", True)), "failed"),
            ((("test 2", True), ("Test *", False)), "passed"),
        ],
    )
    def test_the_last_rule_that_fits_takes_precedence(self, blocking, expected):
        rules = SuiteRules(None, blocking=(*blocking, ("1", True)))
        assert judged([run("1"), run("2", "failed")], rules)["verdict"] == expected

    def test_a_rule_for_one_test_takes_precedence_over_non_blocking(self):
        rules = SuiteRules(None, ("*",), (("2", True),))
        assert judged([run("1", "failed"), run("2", "failed")], rules)["verdict"] == "failed"
        assert judged([run("1", "failed"), run("2")], rules)["verdict"] == "passed"

    @pytest.mark.parametrize(
        ("blocking", "expected"),
        [((("*", False), ("Checkout", True)), "incomplete"), ((("*", False), ("1", True)), "passed")],
    )
    def test_a_test_of_unknown_name_is_blocking_if_it_may_be(self, blocking, expected):
        result = judged(
            [run("1")], SuiteRules(None, blocking=(*blocking, ("1", True))), expected_ids=["1", "2"]
        )
        assert result["verdict"] == expected

    def test_a_failed_creation_is_named_by_the_test_that_it_was_made_from(self):
        reason = {"test_id": "", "from_test": {"test_id": "7", "test_name": "Flaky search"}}
        runs = collect_evidence([run("1"), run("2", "error") | reason])
        result = judged(runs, SuiteRules(), expected_ids=["1", "7"])
        assert (result["verdict"], result["missing"]) == ("incomplete", [])
        assert [(row["test_id"], row["test_name"]) for row in result["tests"]] == [
            ("7", "Flaky search"),
            ("1", "Test 1"),
        ]
        assert "rate limit" in result["tests"][0]["summary"]
        result = judged(runs, SuiteRules(None, ("Flaky*",)), expected_ids=["1", "7"])
        assert result["verdict"] == "passed"
        document = ElementTree.fromstring(suite_junit(result, runs, name="gate"))
        assert document.findall(".//error") == []

    def test_a_suite_of_non_blocking_tests_is_inconclusive(self):
        result = judged([run("1")], SuiteRules(non_blocking=("*",)))
        assert (result["verdict"], result["reason"]) == ("no_results", "the suite has no blocking test")

    def test_a_run_from_a_scheduled_test_is_named_by_the_scheduled_test(self):
        made = run("900", "failed", from_test={"test_id": "7", "test_name": "Seven"})
        result = judged(
            [made, run("1")],
            SuiteRules(non_blocking=("7",)),
        )
        assert result["verdict"] == "passed"


class TestHeadline:
    def test_the_headline_begins_with_verdict_and_worst_agent(self):
        result = judged([run("2"), run("1", "failed"), run("3", "incomplete")], SuiteRules())
        assert result["summary"] == (
            "FAILED: Test 1: Singapore: Connection refused. 3 tests: 1 failed, 1 incomplete, 1 passed"
        )

    def test_the_headline_counts_tests_that_it_does_not_name(self):
        result = judged([run(str(number), "failed") for number in range(5)], SuiteRules())
        assert "Test 2: Singapore: Connection refused; and 2 more" in result["summary"]

    def test_the_headline_of_an_empty_suite(self):
        assert judged([], SuiteRules())["summary"] == (
            "NO RESULTS: the suite has no blocking test. 0 tests: none ran"
        )


def test_the_worst_tests_come_first_and_keep_agent_check_and_link():
    checks = {"http-server": {"responseTime": {"max": {"leq_to": 50}}}}
    result = judged([run("1"), run("2", "failed", checks=checks)], SuiteRules())
    worst = result["tests"][0]
    assert (worst["test_id"], worst["worst_check"]["actual"]) == ("2", 90)
    assert "needed" not in worst["worst_check"]
    every = {"http-server": {"responseTime": {"every": {"leq_to": 50}}}}
    (row,) = judged([run("3", "failed", checks=every)], SuiteRules())["tests"]
    assert (row["worst_check"]["agents"], row["worst_check"]["needed"]) == (2, 2)
    assert worst["worst_agent"] == {"agent_name": "Singapore", "reason": "Connection refused"}
    assert worst["link"] == "https://app.thousandeyes.com/test/2"
    assert result["started_at"] == "2025-11-25T10:00:01Z"
    assert (result["run_calls"], result["requests"]) == (2, 20)


@pytest.mark.parametrize("count", [100, 400, 2000])
def test_the_evidence_of_a_large_suite_fits_into_48_kib(count):
    names = "Checkout of the shop in a far away country "
    runs = [
        run(f"{number:06}", "failed" if number % 40 == 0 else "passed", test_name=names)
        for number in range(count)
    ]
    result = judged(runs, SuiteRules(), expected_ids=[f"{number:06}" for number in range(count + 3)])
    assert len(json.dumps(result).encode()) <= MAX_EVIDENCE_BYTES
    assert sum(row["verdict"] == "failed" for row in result["tests"]) == count // 40 + (count % 40 > 0)
    assert result["counts"]["passed"] + result["counts"]["failed"] == count


def test_tests_of_a_mapped_task_name_the_task_once():
    runs = [run("1", task_id="gate.run", map_index=0), run("2", task_id="gate.run", map_index=1)]
    result = judged(runs)
    assert result["run_task_id"] == "gate.run"
    assert [(row["map_index"], "task_id" in row) for row in result["tests"]] == [(0, False), (1, False)]


def test_tests_of_several_tasks_name_their_tasks():
    result = judged([run("1", task_id="a", map_index=-1), run("2", task_id="b", map_index=-1), run("3")])
    assert [row.get("task_id") for row in result["tests"]] == ["a", "b", None]
    assert "run_task_id" not in result


def test_400_tests_of_a_mapped_task_keep_their_rows():
    runs = [
        run(f"{number:06}", "failed" if number % 40 == 0 else "passed", task_id="gate.run", map_index=number)
        for number in range(400)
    ]
    result = judged(runs)
    assert len(json.dumps(result).encode()) <= MAX_EVIDENCE_BYTES
    assert "cut" not in result
    assert {row["map_index"] for row in result["tests"]} == set(range(400))


class TestCollecting:
    @pytest.mark.parametrize(
        "results",
        [
            run("1"),
            [run("1")],
            [[run("1")], None],
            (run("1") for _ in range(1)),
            json.dumps([run("1")]),
            str([run("1")]),
            [str(run("1")), "None"],
            [
                run("1"),
                {"test_id": "2", "accepted_at": 1.0},
                "not JSON",
                7,
                {"verdict": "fine", "test_id": "3"},
            ],
        ],
        ids=[
            "single",
            "list",
            "nested",
            "generator",
            "JSON",
            "rendered",
            "rendered entries",
            "with other values",
        ],
    )
    def test_evidence_is_collected_from_any_nesting(self, results):
        assert [evidence["test_id"] for evidence in collect_evidence(results)] == ["1"]

    @pytest.mark.parametrize("key", ["verdict", "test_id", "summary", "agents", "checks", "failed_agents"])
    @pytest.mark.parametrize("damage", [None, 7, "text"])
    def test_damaged_evidence_counts_as_none(self, key, damage):
        assert collect_evidence([run("1") | {key: damage}]) == [] or key in ("test_id", "summary")

    @pytest.mark.parametrize("key", ["started_at", "run_calls", "requests", "links", "test_type"])
    @pytest.mark.parametrize("damage", [None, 7, "text", ["text"]])
    def test_damaged_figures_keep_the_verdict(self, key, damage):
        runs = [run("1"), run("2", "failed") | {key: damage}]
        assert judged(collect_evidence(runs), SuiteRules())["verdict"] == "failed"

    def test_evidence_with_damaged_rows_keeps_its_verdict(self):
        damaged = run("1", "failed") | {"checks": [{"passed": False}], "failed_agents": [7]}
        assert judged(collect_evidence([damaged]), SuiteRules())["verdict"] == "failed"

    @pytest.mark.parametrize("results", [None, "", [], {}, "[" * 10_000, b"x"])
    def test_results_without_evidence_are_empty(self, results):
        assert collect_evidence(results) == []


def test_a_tiny_fraction_still_needs_a_passed_test():
    assert judged([run("1", "failed"), run("2", "failed")], SuiteRules(1e-12))["verdict"] == "failed"


# -- reports ----------------------------------------------------------------------------------------------------------

RUNS = [run("1"), run("2", "failed"), run("3", "incomplete"), run("4", "failed")]


@pytest.fixture
def suite():
    return suite_evidence(
        RUNS, SuiteRules(non_blocking=("4",)), expected_ids=["1", "2", "3", "4", "5"], judged_at=AT
    )


def test_the_table_shows_the_worst_test_first_at_its_log_level(suite):
    lines = suite_table_lines(suite)
    levels = {line.split()[2]: level for level, line in lines if line.startswith("Test ")}
    assert lines[0] == (logging.ERROR, suite["summary"])
    assert levels == {"2": logging.ERROR, "3": logging.WARNING, "1": logging.INFO, "4": logging.WARNING}
    assert list(levels) == ["2", "3", "1", "4"]
    assert (logging.WARNING, "test 5: no evidence") in lines
    assert any("Singapore: Connection refused" in line for _, line in lines)


def test_a_table_of_many_tests_counts_the_rest():
    many = [run(str(number)) for number in range(100)]
    lines = [line for _, line in suite_table_lines(suite_evidence(many, SuiteRules(), judged_at=AT))]
    assert "and 60 more, counted above" in lines


def test_junit_has_a_case_for_each_round_check_and_missing_run(suite):
    document = ElementTree.fromstring(suite_junit(suite, RUNS, name="gate"))
    cases = document.findall(".//testcase")
    assert document.find("testsuite").get("name") == "gate"
    assert len(cases) == 2 * len(RUNS) + 1
    failed = [case.get("classname") for case in cases if case.find("failure") is not None]
    assert failed == ["thousandeyes.Test 2"]
    errors = [case.get("classname") for case in cases if case.find("error") is not None]
    assert errors == ["thousandeyes.Test 3", "thousandeyes.suite"]
    skipped = [case for case in cases if case.find("skipped") is not None]
    assert [case.get("classname") for case in skipped] == ["thousandeyes.Test 4"]
    assert "Connection refused" in skipped[0].find("skipped").text


def test_junit_properties_have_links_and_blocking_state(suite):
    document = ElementTree.fromstring(suite_junit(suite, RUNS, name="gate"))
    properties = {entry.get("name"): entry.get("value") for entry in document.iter("property")}
    assert properties["http-server test 4 'Test 4': blocking"] == "false"
    assert properties["http-server test 2 'Test 2': test"] == "https://app.thousandeyes.com/test/2"


def test_markdown_has_a_row_for_each_test_and_escapes_their_names():
    hostile = run("7", "failed", test_name="<b>|*x*")
    text = suite_markdown(suite_evidence([hostile], SuiteRules(), expected_ids=["7", "8"], judged_at=AT))
    assert text.startswith("# FAILED: ")
    assert r"\<b\>\|\*x\*" in text
    assert "| 8 | no evidence |" in text


def test_an_empty_suite_has_reports():
    suite = suite_evidence([], SuiteRules(), judged_at=AT)
    assert "no results" in suite_markdown(suite).lower()
    assert ElementTree.fromstring(suite_junit(suite, [], name="gate")).find("testsuite").get("tests") == "0"
    assert suite_table_lines(suite)[0][0] == logging.WARNING


def test_a_report_has_the_requested_format():
    runs = [run("1"), run("2", "failed")]
    suite = suite_evidence(runs, SuiteRules(), judged_at=AT)
    assert suite_report(suite, runs, "junit", name="gate") == suite_junit(suite, runs, name="gate")
    assert suite_report(suite, runs, "markdown", name="gate") == suite_markdown(suite)
    with pytest.raises(ValueError, match="unknown format of a report 'pdf'"):
        suite_report(suite, runs, "pdf", name="gate")


def test_many_runs_without_evidence_are_counted():
    suite = suite_evidence([], SuiteRules(), judged_at=AT, expected_ids=[str(n) for n in range(60)])
    lines = [line for _, line in suite_table_lines(suite)]
    assert "test 0: no evidence" in lines
    assert lines[-1] == "and 20 more without evidence"


def test_a_warning_is_not_the_worst_check():
    checks = {
        "http-server": {"responseTime": {"max": [{"leq_to": 1, "severity": "warn"}, {"leq_to": 2}]}},
    }
    (row,) = suite_evidence([run("1", "failed", checks=checks)], SuiteRules(), judged_at=AT)["tests"]
    assert row["worst_check"]["comparison"] == {"leq_to": 2}
