"""The evidence as a file for other tools: JUnit XML for those that show tests, Markdown for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from thousandeyes_provider.validation import formatting

FORMATS: Mapping[str, str] = {".xml": "junit", ".md": "markdown"}
"""What a report is, by the ending of its file."""


def report_format(path: str) -> str:
    """The format of a report, ``junit`` or ``markdown``, by the ending of its file, whatever its case.

    :param path: where it is to be written; what stands behind ``?`` or ``#`` in an address does not count.
    :raises ValueError: when the ending says neither.
    """
    name = re.split(r"[?#]", path.strip(), maxsplit=1)[0].lower()
    for ending, format_ in FORMATS.items():
        if name.endswith(ending) and not name.endswith("/" + ending) and name != ending:
            return format_
    raise ValueError(
        f"{path!r} does not say what to write; expected a file that ends in .xml (JUnit) or .md (Markdown)"
    )


def report(evidence: Mapping[str, Any], format_: str) -> str:
    """The evidence as the text of a report.

    :param evidence: the evidence of a run.
    :param format_: ``junit`` or ``markdown``.
    :raises ValueError: for another format.
    """
    if format_ == "junit":
        return junit(evidence)
    if format_ == "markdown":
        return markdown(evidence)
    raise ValueError(f"unknown format of a report {format_!r}; one of {', '.join(FORMATS.values())}")


# -- JUnit -----------------------------------------------------------------------------------------------------------


def junit(evidence: Mapping[str, Any]) -> str:
    """JUnit XML that keeps to Jenkins' schema, and to Ant's, which knows no ``skipped``, as long as nothing is skipped.

    A suite for the run: a case for its round (an error when it is incomplete or has no results), a case for the errors
    of agents, a case for each check. A check of severity ``warn`` that does not hold is skipped, with its figures.
    """
    cases = [_round_case(evidence), _errors_case(evidence), *map(_check_case, evidence["checks"])]
    seconds = str(_seconds(evidence))
    suite = ElementTree.Element(
        "testsuite",
        {
            "id": "0",
            "name": _xml(_title(evidence)),
            "package": "thousandeyes",
            "hostname": "thousandeyes",
            "timestamp": evidence["started_at"].removesuffix("Z"),
            "time": seconds,
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": str(sum(case.find("error") is not None for case in cases)),
        },
    )
    if skipped := sum(case.find("skipped") is not None for case in cases):
        suite.set("skipped", str(skipped))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _facts(evidence):
        ElementTree.SubElement(properties, "property", {"name": _xml(name), "value": _xml(value)})
    for case in cases:
        case.set("time", seconds if case is cases[0] else "0")
        suite.append(case)
    ElementTree.SubElement(suite, "system-out").text = _xml(
        "\n".join(f"{name}: {link}" for name, link in evidence["links"].items())
    )
    ElementTree.SubElement(suite, "system-err")
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
    )


def _case(name: str, classname: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", {"name": _xml(name), "classname": _xml(classname)})


def _outcome(case: ElementTree.Element, kind: str, type_: str, lines: Sequence[str]) -> None:
    # Jenkins' schema has no attributes for what was skipped.
    attributes = {} if kind == "skipped" else {"message": _xml(lines[0]), "type": type_}
    ElementTree.SubElement(case, kind, attributes).text = _xml("\n".join(lines))


def _round_case(evidence: Mapping[str, Any]) -> ElementTree.Element:
    case = _case("round is complete", "thousandeyes")
    if evidence["verdict"] in ("incomplete", "no_results"):
        lines = [f"{evidence['verdict']}: {_reported(evidence)}"]
        lines += [f"{formatting.name(agent)} is missing" for agent in evidence["agents"]["missing"]]
        _outcome(case, "error", evidence["verdict"], lines)
    return case


def _errors_case(evidence: Mapping[str, Any]) -> ElementTree.Element:
    agents = evidence["agents"]
    count = _count(evidence, "failed")
    case = _case(f"at most {agents['allowed_errors']} agents with an error", "thousandeyes")
    if count > agents["allowed_errors"]:
        lines = [f"{count} agents with an error, {agents['allowed_errors']} allowed"]
        lines += [f"{formatting.name(agent)}: {'; '.join(agent['errors'])}" for agent in agents["failed"]]
        _outcome(case, "failure", "agent errors", lines)
    return case


def _check_case(row: Mapping[str, Any]) -> ElementTree.Element:
    case = _case(
        f"{row['metric']} {row['aggregate']} {formatting.expected(row)}", f"thousandeyes.{row['result_type']}"
    )
    if not row["passed"]:
        kind = "skipped" if row["severity"] == "warn" else "failure"
        _outcome(case, kind, "check", [formatting.sentence(row, 10)])
    return case


def _seconds(evidence: Mapping[str, Any]) -> int:
    start, end = (datetime.fromisoformat(evidence[name]) for name in ("started_at", "finished_at"))
    return max(int((end - start).total_seconds()), 0)


def _xml(text: str) -> str:
    """``text`` without the characters that XML 1.0 cannot have."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


# -- Markdown --------------------------------------------------------------------------------------------------------


def markdown(evidence: Mapping[str, Any]) -> str:
    """Markdown: the verdict, the figures, a table of checks, one of agents that are bad or missing, the links."""
    parts = [
        f"# {_md(_title(evidence))}: {_md(evidence['verdict'])}",
        _table(("Fact", "Value"), _facts(evidence)),
    ]
    if evidence["checks"]:
        rows = [
            (
                formatting.subject(row),
                formatting.state(row),
                formatting.expected(row),
                formatting.actual(row),
                formatting.culprits(row, 10),
            )
            for row in evidence["checks"]
        ]
        parts += ["## Checks", _table(("Check", "State", "Expected", "Actual", "Agents"), rows)]
    agents = evidence["agents"]
    bad = [(formatting.name(agent), "error", "; ".join(agent["errors"])) for agent in agents["failed"]]
    bad += [(formatting.name(agent), "missing", _missing(agent)) for agent in agents["missing"]]
    if bad:
        parts += ["## Agents", _table(("Agent", "State", "What it says"), bad)]
    figures = [
        (f"{result_type} {metric}", *(formatting.figure(of[name]) for name in ("min", "mean", "max")))
        for result_type, of_type in evidence["metrics"].items()
        for metric, of in of_type.items()
    ]
    if figures:
        parts += ["## Metrics", _table(("Metric", "Min", "Mean", "Max"), figures)]
    if evidence.get("cut"):
        cut = ", ".join(f"{count} of {name}" for name, count in evidence["cut"].items())
        parts.append(f"Left out of the evidence for size: {_md(cut)}.")
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header)]
    told = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([*told, *("| " + " | ".join(map(_md, cells)) + " |" for cells in rows)])


def _md(text: str) -> str:
    """``text`` as Markdown shows it letter by letter, on one line; addresses stay as they are, to be followed."""
    line = " ".join(text.split())
    if re.fullmatch(r"https?://[^\s|<>`]+", line):
        return f"<{line}>"
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&])", r"\\\1", line)


def _missing(agent: Mapping[str, Any]) -> str:
    told = [f"state {agent['state']}"] if agent.get("state") else []
    return ", ".join(told + ([f"has {agent['lacking']}"] if agent.get("lacking") else []))


# -- both ------------------------------------------------------------------------------------------------------------


def _title(evidence: Mapping[str, Any]) -> str:
    return f"{evidence['test_type']} test {evidence['test_id']} {evidence['test_name']}".strip()


def _facts(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("verdict", evidence["verdict"]),
        ("test", f"{evidence['test_id']} {evidence['test_name']}".strip()),
        ("test type", evidence["test_type"]),
        ("account group", evidence["account_group_id"] or "the token's default"),
        ("started at", evidence["started_at"]),
        ("finished at", evidence["finished_at"]),
        ("agents", _reported(evidence)),
        (
            "agents with an error",
            f"{_count(evidence, 'failed')}, {evidence['agents']['allowed_errors']} allowed",
        ),
    ]
    if evidence.get("compared_with"):
        facts.append(("compared with", evidence["compared_with"]))
    return facts + [(f"link to the {name}", link) for name, link in evidence["links"].items()]


def _reported(evidence: Mapping[str, Any]) -> str:
    expected = evidence["agents"]["expected_count"]
    of = "" if expected is None else f" of {expected}"
    return f"{_count(evidence, 'reported')}{of} reported"


def _count(evidence: Mapping[str, Any], name: str) -> int:
    """How many agents there were, those that were left out for size among them."""
    return len(evidence["agents"][name]) + int(evidence.get("cut", {}).get(f"agents.{name}", 0))
