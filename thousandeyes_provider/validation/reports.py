"""The evidence as a file for other tools: JUnit XML for those that show tests, Markdown for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from thousandeyes_provider.api.coerce import SEPARATOR
from thousandeyes_provider.validation.formatting import (
    agent_label,
    check_expectation,
    check_sentence,
    elapsed,
    left_out,
    missing_reason,
)
from thousandeyes_provider.validation.html_report import html_report
from thousandeyes_provider.validation.summary import (
    agent_rows,
    check_cells,
    cut_label,
    error_lines,
    facts,
    metric_rows,
    test_label,
)

FORMATS: Mapping[str, str] = {".xml": "junit", ".md": "markdown", ".html": "html"}
"""File suffix to report format."""


def report_format(path: str) -> str:
    """Return the format of a report, ``junit``, ``markdown`` or ``html``, by the ending of its file in any case.

    :param path: path or address of the file; ``?`` and ``#`` end it.
    :raises ValueError: for a suffix that is not in :data:`FORMATS`.
    """
    file_name = re.split(r"[?#]", path.strip(), maxsplit=1)[0].lower().rpartition("/")[2]
    stem, _, ending = file_name.rpartition(".")
    if stem and f".{ending}" in FORMATS:
        return FORMATS[f".{ending}"]
    raise ValueError(
        f"{path!r} does not say what to write; expected a file that ends in .xml (JUnit), "
        ".md (Markdown) or .html (report page)"
    )


def report(evidence: Mapping[str, Any], format_: str) -> str:
    """Return the evidence as the text of a report.

    :param format_: ``junit``, ``markdown`` or ``html``.
    :raises ValueError: for another format.
    """
    writers = {"junit": junit, "markdown": markdown, "html": html_report}
    if format_ not in writers:
        raise ValueError(f"unknown format of a report {format_!r}; one of {', '.join(writers)}")
    return writers[format_](evidence)


# -- JUnit -----------------------------------------------------------------------------------------------------------


def junit(evidence: Mapping[str, Any]) -> str:
    """Return the evidence as JUnit XML, valid by Jenkins' schema; by Ant's as well unless a check is skipped.

    The run is a test suite with a case for its round (an error unless it was judged), a case for the errors of agents,
    and a case for each check. A failed check of severity ``warn`` is skipped.
    """
    seconds = duration(evidence)
    cases = junit_cases(evidence)
    cases[0].set("time", str(seconds))
    return junit_document(
        test_label(evidence),
        cases,
        properties=_facts(evidence),
        output=[f"{name}: {link}" for name, link in evidence["links"].items()],
        started_at=evidence["started_at"] or evidence["finished_at"],
        seconds=seconds,
    )


def junit_cases(evidence: Mapping[str, Any]) -> list[ElementTree.Element]:
    """Return the test cases of a run: its round, the errors of its agents, and each check.

    Only a failed run has failures. What an inconclusive or an unconfirmed run shows of its agents is skipped.
    """
    of_agents = [_errors_case(evidence), *map(_check_case, evidence["checks"])]
    if evidence["verdict"] != "failed":
        for case in of_agents:
            skip_outcome(case, "not confirmed" if evidence["verdict"] == "passed" else "not judged")
    return [_round_case(evidence), *of_agents]


def junit_document(
    name: str,
    cases: Sequence[ElementTree.Element],
    *,
    properties: Sequence[tuple[str, str]],
    output: Sequence[str],
    started_at: str,
    seconds: int,
) -> str:
    """Return a JUnit file with one test suite.

    :param properties: names and values of its properties.
    :param output: lines of its ``system-out``.
    :param started_at: ISO time at which the suite started.
    :param seconds: how long the suite took.
    """
    suite = ElementTree.Element(
        "testsuite",
        {
            "id": "0",
            "name": xml_text(name),
            "package": "thousandeyes",
            "hostname": "thousandeyes",
            "timestamp": started_at.removesuffix("Z"),
            "time": str(seconds),
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
        },
    )
    if skipped := sum(case.find("skipped") is not None for case in cases):
        suite.set("skipped", str(skipped))
    holder = ElementTree.SubElement(suite, "properties")
    for key, value in properties:
        ElementTree.SubElement(holder, "property", {"name": xml_text(key), "value": xml_text(value)})
    for case in cases:
        case.attrib.setdefault("time", "0")
        suite.append(case)
    ElementTree.SubElement(suite, "system-out").text = xml_text("\n".join(output))
    ElementTree.SubElement(suite, "system-err")
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
    )


def junit_case(name: str, classname: str) -> ElementTree.Element:
    """Return a test case that passed."""
    return ElementTree.Element("testcase", {"name": xml_text(name), "classname": xml_text(classname)})


def junit_outcome(case: ElementTree.Element, kind: str, type_: str, lines: Sequence[str]) -> None:
    """Set the outcome of a test case.

    :param kind: ``failure``, ``error`` or ``skipped``.
    :param type_: the type of a failure or an error.
    :param lines: what happened; the first line is the message.
    """
    # Jenkins' schema has no attributes for skipped cases.
    attributes = {} if kind == "skipped" else {"message": xml_text(lines[0]), "type": type_}
    ElementTree.SubElement(case, kind, attributes).text = xml_text("\n".join(lines))


def skip_outcome(case: ElementTree.Element, why: str) -> None:
    """Turn the failure or error of a test case into a skip with the same text."""
    for kind in ("failure", "error"):
        if (outcome := case.find(kind)) is not None:
            case.remove(outcome)
            junit_outcome(case, "skipped", "", [f"{why}: {outcome.text}"])


def _round_case(evidence: Mapping[str, Any]) -> ElementTree.Element:
    case = junit_case("round is complete", "thousandeyes")
    if evidence["verdict"] not in ("passed", "failed"):
        missing = [
            f"{agent_label(agent)}: {missing_reason(agent)}" for agent in evidence["agents"]["missing"]
        ]
        lines = [evidence["summary"], *missing]
        junit_outcome(case, "error", evidence["verdict"], lines)
    return case


def _errors_case(evidence: Mapping[str, Any]) -> ElementTree.Element:
    allowed, failed = evidence["agents"]["allowed_errors"], evidence["failed_agents"]
    count = len(failed) + left_out(evidence, "failed_agents")
    case = junit_case(f"at most {allowed} agents with an error", "thousandeyes")
    if count > allowed:
        lines = [f"{count} agents with an error, {allowed} allowed"]
        lines += [f"{agent_label(agent)}: {SEPARATOR.join(error_lines(agent))}" for agent in failed]
        junit_outcome(case, "failure", "agent errors", lines)
    return case


def _check_case(check: Mapping[str, Any]) -> ElementTree.Element:
    name = f"{check['metric']} {check['aggregate']} {check_expectation(check)}"
    case = junit_case(name, f"thousandeyes.{check['result_type']}")
    if not check["passed"]:
        outcome = "skipped" if check["severity"] == "warn" else "failure"
        junit_outcome(case, outcome, "check", [check_sentence(check, 10)])
    return case


def duration(evidence: Mapping[str, Any]) -> int:
    """Return the whole seconds of a run or a suite; 0 when it did not start."""
    took = elapsed(evidence)
    return int(took.total_seconds()) if took else 0


def xml_text(text: str) -> str:
    """Replace the characters that XML 1.0 does not allow."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


# -- Markdown --------------------------------------------------------------------------------------------------------


def markdown(evidence: Mapping[str, Any]) -> str:
    """Return the evidence as Markdown: headline, facts, checks, agents, metrics and links."""
    parts = [f"# {escape_markdown(evidence['summary'])}", markdown_table(("Fact", "Value"), _facts(evidence))]
    if evidence["checks"]:
        rows = [check_cells(check, 10) for check in evidence["checks"]]
        parts += ["## Checks", markdown_table(("Check", "State", "Expected", "Actual", "Agents"), rows)]
    if agents := agent_rows(evidence):
        parts += ["## Agents", markdown_table(("Agent", "State", "Result"), agents)]
    if figures := [row[:4] for row in metric_rows(evidence)]:
        parts += ["## Metrics", markdown_table(("Metric", "Min", "Mean", "Max"), figures)]
    if cut := cut_label(evidence):
        parts.append(f"Left out of the evidence for size: {escape_markdown(cut)}.")
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose cells are text."""
    lines = [header, ["---"] * len(header), *(list(map(escape_markdown, cells)) for cells in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def escape_markdown(text: str) -> str:
    """Escape ``text`` for one line of Markdown; addresses become links."""
    line = " ".join(text.split())
    if re.fullmatch(r"https?://[^\s|<>`]+", line):
        return f"<{line}>"
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&])", r"\\\1", line)


# -- both ------------------------------------------------------------------------------------------------------------


def _facts(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    links = [(f"{name} link", link) for name, link in evidence["links"].items()]
    return [("verdict", evidence["verdict"]), ("test", test_label(evidence)), *facts(evidence), *links]
