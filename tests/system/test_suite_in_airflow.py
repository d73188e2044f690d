"""Suites in a real Airflow: selection, mapped runs, and the one verdict."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.system

VERDICT = ("gate.verdict", -1)


def verdict_of(outcome, task="gate.verdict"):
    return outcome.xcoms[task, -1, "return_value"]


class TestReruns:
    def test_a_good_suite_lets_the_pipeline_continue(self, simulator, run_dag, tmp_path):
        tests = [simulator.add_test("http-server") for _ in range(2)]
        report = tmp_path / "gate.xml"
        outcome = run_dag("suite_of_reruns", test_ids=tests, report=str(report))
        assert (outcome.states[VERDICT], outcome.states["promote", -1]) == ("success", "success")
        evidence = verdict_of(outcome)
        assert (evidence["verdict"], evidence["counts"]) == ("passed", {"passed": 2})
        assert outcome.xcoms[*VERDICT, "thousandeyes_verdict"]["verdict"] == "passed"
        suite = ElementTree.parse(report).getroot().find("testsuite")
        assert (suite.get("failures"), suite.get("errors")) == ("0", "0")

    def test_one_bad_test_fails_only_the_verdict(self, simulator, run_dag):
        good, bad = (
            simulator.add_test("http-server"),
            simulator.add_test("http-server", outcomes={"Singapore": "error"}),
        )
        outcome = run_dag("suite_of_reruns", test_ids=[good, bad])
        states = [outcome.states["gate.run", index] for index in range(2)]
        assert (states, outcome.states[VERDICT]) == (["success", "success"], "failed")
        assert outcome.states["promote", -1] == "upstream_failed"
        assert outcome.tries[VERDICT] == 1
        evidence = verdict_of(outcome)
        assert evidence["verdict"] == "failed"
        assert [row["test_id"] for row in evidence["tests"]] == [bad, good]
        assert "Singapore" in evidence["summary"]

    def test_a_bad_non_blocking_test_is_reported(self, simulator, run_dag):
        good, bad = (
            simulator.add_test("http-server"),
            simulator.add_test("http-server", outcomes={"Singapore": "error"}),
        )
        outcome = run_dag("suite_of_reruns", test_ids=[good, bad], non_blocking=[bad])
        assert outcome.states["promote", -1] == "success"
        assert verdict_of(outcome)["counts"] == {"passed": 1, "failed": 1}

    def test_a_run_without_evidence_makes_the_suite_inconclusive(self, simulator, run_dag):
        good = simulator.add_test("http-server")
        outcome = run_dag("suite_of_reruns", test_ids=[good, "999"])
        assert outcome.states[VERDICT] == "failed"
        evidence = verdict_of(outcome)
        assert (evidence["verdict"], evidence["counts"].get("failed")) == ("incomplete", None)

    def test_an_empty_selection_is_an_error_before_any_request(self, simulator, run_dag):
        outcome = run_dag("suite_of_reruns", test_ids=[])
        assert outcome.states["gate.select", -1] == "failed"
        assert (outcome.states[VERDICT], verdict_of(outcome)["verdict"]) == ("failed", "no_results")
        assert simulator.requests == []


class TestScheduledTests:
    def test_tests_are_selected_by_name_with_overrides(self, simulator, run_dag):
        for name in ("Slow shop", "Good shop", "Quick shop", "Other"):
            simulator.add_test("http-server", name=name, scheduled=True)
        outcome = run_dag("suite_of_scheduled_tests", names=["* shop"], exclude=["Quick*"])
        evidence = verdict_of(outcome)
        assert outcome.states[VERDICT] == "success"
        assert {row["test_name"].split()[0]: row["verdict"] for row in evidence["tests"]} == {
            "Slow": "failed",
            "Good": "passed",
        }
        assert (evidence["verdict"], evidence["required"]) == ("passed", 1)

    def test_a_wildcard_without_a_match_selects_nothing(self, simulator, run_dag):
        simulator.add_test("http-server", name="Shop", scheduled=True)
        outcome = run_dag("suite_of_scheduled_tests", names=["Checkout*"])
        assert (outcome.states[VERDICT], verdict_of(outcome)["verdict"]) == ("skipped", "no_results")

    def test_an_unknown_name_fails_the_selection(self, simulator, run_dag):
        simulator.add_test("http-server", name="Checkout", scheduled=True)
        outcome = run_dag("suite_of_scheduled_tests", names=["Chekout"])
        assert outcome.states["gate.select", -1] == "failed"
        assert not [request for request in simulator.requests if request.method == "POST"]


def test_a_dry_run_runs_nothing(simulator, run_dag):
    tests = [simulator.add_test("http-server") for _ in range(3)]
    outcome = run_dag("suite_preview", test_ids=tests)
    assert outcome.states == {("gate.select", -1): "success"}
    assert [run["test_id"] for run in outcome.xcoms["gate.select", -1, "return_value"]] == tests
    assert simulator.requests == []


def test_a_shadow_suite_reports_and_never_blocks(simulator, run_dag):
    outcome = run_dag("suite_of_evidence", evidence=[])
    assert (outcome.states["verdict", -1], outcome.states["shadow", -1]) == ("failed", "success")
    evidence = verdict_of(outcome, "shadow")
    assert (evidence["verdict"], evidence["shadow"], evidence["missing"]) == ("no_results", True, ["1", "2"])
