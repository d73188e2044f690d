"""Evidence for people: a line for an exception, and a table for a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thousandeyes_provider.api.metrics import unit_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.validation import formatting

MOST_AGENTS = 20
"""Rows of a table that name agents, before the rest is only counted."""

MOST_AGENTS_BESIDE_CHECKS = 12
"""The same where the table has checks as well, so that all of it fits on a screen."""

MOST_CHECKS = 14
"""Rows of a table that are checks; those that do not hold come first."""

MOST_METRICS = 8
"""Rows of a table that are metrics."""

MOST_LINKS = 4
"""Links below a table."""

FIRST = 5
"""Checks, and agents of each sort, that an exception tells of, before the rest is only counted."""

LONGEST_SENTENCE = 500
"""Characters of what an exception says of one check."""


def summary(evidence: Mapping[str, Any]) -> str:
    """What someone reads at night: verdict, test, figures, the first failed checks, the first few agents, the link,
    where the rest is."""
    agents = evidence["agents"]
    figures = [_check_counts(evidence), _counts(evidence), _confirmation(evidence)]
    verdict = evidence["verdict"].replace("_", " ")
    lines = [f"{_title(evidence)}: {verdict}. {'. '.join(filter(None, figures))}."]
    bad = [row for row in evidence["checks"] if not row["passed"] and row["severity"] != "warn"]
    lines += [f"  {_clip(formatting.sentence(row, 3), LONGEST_SENTENCE)}" for row in bad[:FIRST]]
    if len(bad) > FIRST:
        lines.append(f"  and {len(bad) - FIRST} more failed checks")
    failed, missing = agents["failed"], agents["missing"]
    lines += [f"  {formatting.name(agent)}: {'; '.join(agent['errors'])}" for agent in failed[:FIRST]]
    if (more := _total(evidence, "failed") - len(failed[:FIRST])) > 0:
        lines.append(f"  and {more} more with an error")
    lines += [f"  {formatting.name(agent)} is missing{_state(agent)}" for agent in missing[:FIRST]]
    if (more := _total(evidence, "missing") - len(missing[:FIRST])) > 0:
        lines.append(f"  and {more} more missing")
    link = evidence["links"].get("round") or evidence["links"].get("test")
    if link:
        lines.append(f"  ThousandEyes: {link}")
    if evidence["links"].get("snapshot"):
        lines.append(f"  Snapshot: {evidence['links']['snapshot']}")
    lines.append("  The whole evidence is this task's XCom 'return_value'.")
    return "\n".join(lines)


def table(evidence: Mapping[str, Any]) -> str:
    """The evidence as a table of at most 60 lines, whatever the number of checks and agents."""
    facts = [
        ("verdict", evidence["verdict"].upper()),
        ("test", _title(evidence)),
        ("account group", evidence["account_group_id"] or "the token's default"),
        ("time", f"{evidence['started_at']} to {evidence['finished_at']}"),
        ("rounds", ", ".join(f"{name} {iso_time(at)}" for name, at in evidence["rounds"].items()) or "none"),
        ("requests", _requests(evidence)),
        ("agents", f"{_counts(evidence)}; {_EXPECTED_BY[evidence['agents']['expected_source']]}"),
        ("checks", _check_counts(evidence)),
        ("compared with", evidence.get("compared_with")),
        ("confirmation", _confirmation(evidence)),
    ]
    facts = [(name, value) for name, value in facts if value]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts]
    lines += ["", *_check_rows(evidence), *_agent_rows(evidence), *_metric_rows(evidence["metrics"])]
    for name, link in list(evidence["links"].items())[:MOST_LINKS]:
        lines.append(f"{name}: {link}")
    if evidence.get("cut"):
        cut = ", ".join(f"{count} of {name}" for name, count in evidence["cut"].items())
        lines.append(f"left out for size: {_clip(cut, 200)}")
    return "\n".join(lines)


def _check_rows(evidence: Mapping[str, Any]) -> list[str]:
    order = {"FAILED": 0, "warning": 1, "ok": 2}
    checks = sorted(evidence["checks"], key=lambda row: order[formatting.state(row)])
    rows = [
        (
            _clip(formatting.subject(row), 52),
            formatting.state(row),
            _clip(formatting.expected(row), 60),
            _clip(formatting.actual(row), 40),
            _clip(formatting.culprits(row, 3), 80),
        )
        for row in checks[:MOST_CHECKS]
    ]
    if not rows:
        return []
    more = len(checks) - len(rows) + int(evidence.get("cut", {}).get("checks", 0))
    last = [f"and {more} more, counted above"] if more else []
    return [*_columns([("check", "", "expected", "actual", "agents"), *rows]), *last, ""]


def _agent_rows(evidence: Mapping[str, Any]) -> list[str]:
    agents = evidence["agents"]
    failed = {_key(agent) for agent in agents["failed"]}
    rows = [(formatting.name(agent), "ERROR", "; ".join(agent["errors"])) for agent in agents["failed"]]
    rows += [(formatting.name(agent), "MISSING", _state(agent).strip(" ,")) for agent in agents["missing"]]
    if not _cut(evidence, "failed"):  # else an agent with an error could be taken for one without
        broke, warned = _broke(evidence, "FAILED"), _broke(evidence, "warning")
        good = "ok" if not broke | warned or _all_named(evidence) else "reported"

        def state(agent: Mapping[str, Any]) -> str:
            if _key(agent) in broke:
                return f"broke {broke[_key(agent)]}"
            return "warning" if _key(agent) in warned else good

        others = [agent for agent in agents["reported"] if _key(agent) not in failed]
        others.sort(key=lambda agent: (-broke.get(_key(agent), 0), _key(agent) not in warned))
        rows += [
            (formatting.name(agent), state(agent), _sample(evidence["samples"].get(_key(agent), {})))
            for agent in others
        ]
    most = MOST_AGENTS_BESIDE_CHECKS if evidence["checks"] else MOST_AGENTS
    shown = [
        ("agent", "", "result"),
        *((_clip(name, 48), state, _clip(result, 160)) for name, state, result in rows[:most]),
    ]
    if any(_cut(evidence, name) for name in ("failed", "missing", "reported")):
        shown.append(("and more, counted above", "", ""))
    elif len(rows) > most:
        shown.append((f"and {len(rows) - most} more", "", ""))
    return [*_columns(shown), ""] if rows else []


def _broke(evidence: Mapping[str, Any], state: str) -> dict[str, int]:
    """How many of the checks in that state each agent broke, as far as they name it."""
    broke: dict[str, int] = {}
    for row in evidence["checks"]:
        for agent in [*row["broken_by"], *row["without"]] if formatting.state(row) == state else ():
            broke[_key(agent)] = broke.get(_key(agent), 0) + 1
    return broke


def _all_named(evidence: Mapping[str, Any]) -> bool:
    """Whether the checks name every agent that broke them, so that the others are known to be good."""
    return "checks" not in evidence.get("cut", {}) and all(
        len(row["broken_by"]) == row["broken"] and len(row["without"]) == row["lacking"]
        for row in evidence["checks"]
        if not row["passed"]
    )


def _metric_rows(metrics: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    rows = [
        (
            _clip(f"{result_type} {metric}", 60),
            formatting.figure(of["min"]),
            formatting.figure(of["mean"]),
            formatting.figure(of["max"]),
            unit_of(result_type, metric),
        )
        for result_type, by_metric in metrics.items()
        for metric, of in by_metric.items()
    ]
    more = len(rows) - MOST_METRICS
    last = [f"and {more} more"] if more > 0 else []
    header = ("metric", "min", "mean", "max", "")
    return [*_columns([header, *rows[:MOST_METRICS]]), *last, ""] if rows else []


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _sample(values: Mapping[str, Any]) -> str:
    told = []
    for name, value in values.items():
        result_type, _, metric = name.partition(".")
        told.append(f"{metric} {formatting.value(value, unit_of(result_type, metric))}")
    return ", ".join(told)


def _title(evidence: Mapping[str, Any]) -> str:
    name = f" {evidence['test_name']!r}" if evidence["test_name"] else ""
    return f"{evidence['test_type']} test {evidence['test_id']}{name}"


_EXPECTED_BY = {
    "argument": "expected_agents= says who is expected",
    "test": "the test says who is expected",
    "remembered": "the round before says who is expected",
    "unknown": "nobody says who is expected",
}


def _counts(evidence: Mapping[str, Any]) -> str:
    expected, allowed = evidence["agents"]["expected_count"], evidence["agents"]["allowed_errors"]
    of = "" if expected is None else f" of {expected}"
    told = [f"{_total(evidence, 'reported')}{of} agents reported"]
    if missing := _total(evidence, "missing"):
        told.append(f"{missing} missing")
    if failed := _total(evidence, "failed"):
        told.append(f"{failed} with an error ({allowed or 'none'} allowed)")
    else:
        told.append("none with an error")
    return ", ".join(told)


def _requests(evidence: Mapping[str, Any]) -> str:
    calls, throttled = evidence["run_calls"], evidence["throttled_seconds"]
    told = f"{evidence['requests']}, the run was sent {'once' if calls == 1 else f'{calls} times'}"
    return told + (f"; {throttled:g} s of waiting for rate limits" if throttled else "")


def _confirmation(evidence: Mapping[str, Any]) -> str:
    """What a further run says of the one before; empty where there was none."""
    if "confirms" not in evidence:
        return ""
    first = f"the run at {evidence['confirms']['started_at']}"
    if evidence["verdict"] == "failed":
        return f"The failure is confirmed: {first} failed as well"
    if evidence.get("unconfirmed"):
        return f"No failure is confirmed: in {first} something else failed"
    return f"No failure is confirmed: {first} failed, this one did not"


def _check_counts(evidence: Mapping[str, Any]) -> str:
    """How many checks there are and how many do not hold; empty where there are none."""
    states = [formatting.state(row) for row in evidence["checks"]]
    if not states:
        return ""
    cut = int(evidence.get("cut", {}).get("checks", 0))
    told = f"{states.count('FAILED')} of {len(states) + cut} checks failed"
    warnings = states.count("warning")
    return told + (f", {warnings} warning{'s' if warnings > 1 else ''}" if warnings else "")


def _total(evidence: Mapping[str, Any], name: str) -> int:
    """How many agents there were, those that were left out for size among them."""
    return len(evidence["agents"][name]) + _cut(evidence, name)


def _cut(evidence: Mapping[str, Any], name: str) -> int:
    return int(evidence.get("cut", {}).get(f"agents.{name}", 0))


def _key(agent: Mapping[str, Any]) -> str:
    return str(agent["agent_id"] or agent["agent_name"])


def _state(agent: Mapping[str, Any]) -> str:
    told = [f"state {agent['state']}"] if agent.get("state") else []
    told += [f"has {agent['lacking']}"] if agent.get("lacking") else []
    return f", {', '.join(told)}" if told else ""
