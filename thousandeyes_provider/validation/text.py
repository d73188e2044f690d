"""Evidence for people: a line for an exception, and a table for a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thousandeyes_provider.api.http import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES

MOST_AGENTS = 20
"""Rows of a table that name agents, before the rest is only counted."""


def summary(evidence: Mapping[str, Any]) -> str:
    """What someone reads at night: verdict, test, figures, the first few agents, the link, where the rest is."""
    agents = evidence["agents"]
    lines = [f"{_title(evidence)}: {evidence['verdict']}. {_counts(evidence)}."]
    failed, missing = agents["failed"], agents["missing"]
    lines += [f"  {_name(agent)}: {'; '.join(agent['errors'])}" for agent in failed[:5]]
    if (more := _total(evidence, "failed") - len(failed[:5])) > 0:
        lines.append(f"  and {more} more with an error")
    lines += [f"  {_name(agent)} is missing{_state(agent)}" for agent in missing[:5]]
    if (more := _total(evidence, "missing") - len(missing[:5])) > 0:
        lines.append(f"  and {more} more missing")
    link = evidence["links"].get("round") or evidence["links"].get("test")
    if link:
        lines.append(f"  ThousandEyes: {link}")
    lines.append("  The whole evidence is this task's XCom 'return_value'.")
    return "\n".join(lines)


def table(evidence: Mapping[str, Any]) -> str:
    """The evidence as a table of at most some forty lines, whatever the number of agents."""
    facts = [
        ("verdict", evidence["verdict"].upper()),
        ("test", _title(evidence)),
        ("account group", evidence["account_group_id"] or "the token's default"),
        ("time", f"{evidence['started_at']} to {evidence['finished_at']}"),
        ("rounds", ", ".join(f"{name} {iso_time(at)}" for name, at in evidence["rounds"].items()) or "none"),
        ("run calls", f"{evidence['run_calls']} of {evidence['requests']} requests"),
        ("throttled", f"{evidence['throttled_seconds']:g} s"),
        ("agents", _counts(evidence)),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts]
    lines += ["", *_agent_rows(evidence), *_metric_rows(evidence["metrics"])]
    for name, link in evidence["links"].items():
        lines.append(f"{name}: {link}")
    if evidence.get("cut"):
        cut = ", ".join(f"{count} of {name}" for name, count in evidence["cut"].items())
        lines.append(f"left out for size: {cut}")
    return "\n".join(lines)


def _agent_rows(evidence: Mapping[str, Any]) -> list[str]:
    agents = evidence["agents"]
    failed = {_key(agent) for agent in agents["failed"]}
    rows = [(_name(agent), "ERROR", "; ".join(agent["errors"])) for agent in agents["failed"]]
    rows += [(_name(agent), "MISSING", _state(agent).strip(" ,")) for agent in agents["missing"]]
    if not _cut(evidence, "failed"):  # else an agent with an error could be taken for one without
        rows += [
            (_name(agent), "ok", _sample(evidence["samples"].get(_key(agent), {})))
            for agent in agents["reported"]
            if _key(agent) not in failed
        ]
    shown = [
        ("agent", "", "result"),
        *((_clip(name, 48), state, _clip(result, 160)) for name, state, result in rows[:MOST_AGENTS]),
    ]
    if any(_cut(evidence, name) for name in ("failed", "missing", "reported")):
        shown.append(("and more, counted above", "", ""))
    elif len(rows) > MOST_AGENTS:
        shown.append((f"and {len(rows) - MOST_AGENTS} more", "", ""))
    return [*_columns(shown), ""] if rows else []


def _metric_rows(metrics: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    rows = [
        (
            f"{result_type} {metric}",
            f"{of['min']:g}",
            f"{of['mean']:g}",
            f"{of['max']:g}",
            _unit(result_type, metric),
        )
        for result_type, by_metric in metrics.items()
        for metric, of in by_metric.items()
    ]
    return [*_columns([("metric", "min", "mean", "max", ""), *rows]), ""] if rows else []


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
        shown = "/".join(f"{one:g}" for one in (value if isinstance(value, list) else [value]))
        told.append(f"{metric} {shown} {_unit(result_type, metric)}".rstrip())
    return ", ".join(told)


def _unit(result_type: str, metric: str) -> str:
    return dict(RESULT_TYPES[result_type].metrics).get(metric, "")


def _title(evidence: Mapping[str, Any]) -> str:
    name = f" {evidence['test_name']!r}" if evidence["test_name"] else ""
    return f"{evidence['test_type']} test {evidence['test_id']}{name}"


def _counts(evidence: Mapping[str, Any]) -> str:
    agents = evidence["agents"]
    of = "" if agents["expected_count"] is None else f" of {agents['expected_count']}"
    reported, failed = _total(evidence, "reported"), _total(evidence, "failed")
    said = f"{reported}{of} agents reported (expected by: {agents['expected_source']})"
    return f"{said}, {failed} with an error, {agents['allowed_errors']} allowed"


def _total(evidence: Mapping[str, Any], name: str) -> int:
    """How many agents there were, those that were left out for size among them."""
    return len(evidence["agents"][name]) + _cut(evidence, name)


def _cut(evidence: Mapping[str, Any], name: str) -> int:
    return int(evidence.get("cut", {}).get(f"agents.{name}", 0))


def _name(agent: Mapping[str, Any]) -> str:
    return str(agent["agent_name"] or f"agent {agent['agent_id']}")


def _key(agent: Mapping[str, Any]) -> str:
    return str(agent["agent_id"] or agent["agent_name"])


def _state(agent: Mapping[str, Any]) -> str:
    told = [f"state {agent['state']}"] if agent.get("state") else []
    told += [f"has {agent['lacking']}"] if agent.get("lacking") else []
    return f", {', '.join(told)}" if told else ""
