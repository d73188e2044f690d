"""The evidence as text: a headline, a summary for exceptions and notifications, a table for the task log.

:func:`worst_agent` defines the worst agent of a run for the headline, the round link and the suite.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import SEPARATOR, shorten
from thousandeyes_provider.api.metrics import unit_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.validation.formatting import (
    agent_label,
    agent_reason,
    check_agents,
    check_expectation,
    check_outcome,
    check_sentence,
    check_state,
    check_subject,
    format_number,
    format_value,
    left_out,
    missing_label,
    missing_reason,
    verdict_label,
)

MAX_TABLE_AGENTS = 20
"""Agents in a table without checks."""

MAX_TABLE_AGENTS_WITH_CHECKS = 12
"""Agents in a table with checks, so that the table fits on a screen."""

MAX_TABLE_CHECKS = 14
"""Checks in a table; failed checks come first."""

MAX_TABLE_METRICS = 8
"""Metrics in a table."""

MAX_TABLE_LINKS = 4
"""Links below a table."""

MAX_LISTED = 5
"""Checks, failed agents and missing agents that a summary lists; the others are counted."""

MAX_SENTENCE = 500
"""Characters of a line of a summary."""

MAX_HEADLINE_NAME = 30
"""Characters of an agent name in a headline: verdict, agent and the start of the reason fit in 80."""

MAX_HEADLINE_REASON = 120
"""Characters of a reason in a headline."""

Evidence = Mapping[str, Any]
"""What :func:`thousandeyes_provider.validation.evidence.evidence` returns."""


# -- the worst agent -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgentProblem:
    """An agent that is not ok, and why.

    :param key: the id, else the name.
    :param label: the name, else ``agent`` and the id.
    :param reason: the first error, failed check or missing state, on one line.
    """

    key: str
    label: str
    reason: str


def worst_agent(evidence: Evidence) -> AgentProblem | None:
    """Return the agent that explains the verdict best; ``None`` when every agent is ok."""
    return next(iter(agents_by_severity(evidence)), None)


def agents_by_severity(evidence: Evidence) -> list[AgentProblem]:
    """Return the agents that are not ok, the worst first.

    An inconclusive verdict is explained by missing agents, so they come first. For any other verdict the order is:
    agents with an error, when there are more of them than ``max_agent_errors`` allows; agents by the number of failed
    checks; agents with a tolerated error; agents by the number of warnings; missing agents.
    """
    by_severity = {
        "FAILED": _agents_of_checks(evidence, "FAILED"),
        "error": [(agent, error_reason(agent)) for agent in evidence["failed_agents"]],
        "warning": _agents_of_checks(evidence, "warning"),
        "missing": [(agent, missing_reason(agent)) for agent in evidence["agents"]["missing"]],
    }
    too_many = _total(evidence, "failed_agents") > evidence["agents"]["allowed_errors"]
    order = ["error", "FAILED"] if too_many else ["FAILED", "error"]
    order += ["warning", "missing"]
    counts: dict[str, Counter[str]] = {}
    problems: dict[str, AgentProblem] = {}
    for problem in order:  # the first reason of an agent is shown
        for agent, reason in by_severity[problem]:
            key = _key(agent)
            counts.setdefault(key, Counter())[problem] += 1
            problems.setdefault(key, AgentProblem(key, agent_label(agent), reason))
    if evidence["verdict"] not in ("passed", "failed"):
        order.insert(0, "missing")
    return [problems[key] for key in sorted(problems, key=lambda key: [-counts[key][name] for name in order])]


def error_reason(agent: Mapping[str, Any]) -> str:
    """Return why a failed agent failed, in as few words as possible: the failed step, else its first error.

    The result type is left out, and the error type as well when the details contain it:
    ``http-server: Connect: Connection refused`` becomes ``Connection refused``.
    """
    if step := agent.get("step"):
        return step_label(step)
    reason = str(agent["errors"][0]).partition(": ")[2] or str(agent["errors"][0])
    error_type, _, details = reason.partition(": ")
    return details if details and error_type.casefold() in details.casefold() else reason


def step_label(step: Mapping[str, Any]) -> str:
    """Describe a failed step: ``request 'Log in': assertion failed: status code 500``."""
    name = f" {step['name']!r}" if step.get("name") else ""
    message = f": {step['message']}" if step.get("message") else ""
    return f"{step['kind']}{name}{message}"


# -- headline and summary --------------------------------------------------------------------------------------------


def headline(evidence: Evidence) -> str:
    """Return the result in one line; its first 80 characters have verdict, worst agent and reason.

    ``FAILED: Singapore: Connection refused; 4 of 5 agents ok. http-server test 202703 'Checkout'``
    """
    result = SEPARATOR.join(filter(None, (_cause(evidence), _result_counts(evidence))))
    parts = (
        f"{verdict_label(evidence['verdict'])}: {result}",
        test_label(evidence),
        _confirmation(evidence),
    )
    return ". ".join(filter(None, parts))


def _cause(evidence: Evidence) -> str:
    """The reason of the verdict: worst agent, failed check or error; empty for a passed run."""
    if evidence["verdict"] == "passed":
        return ""
    if evidence["verdict"] == "error":
        return shorten(str(evidence["reason"]), MAX_HEADLINE_REASON)
    if evidence["verdict"] == "no_results":
        return "no round of this run by the deadline"
    worst = worst_agent(evidence)
    failed = _failed_checks(evidence)
    # A check may fail without an agent to name: too few agents, nothing to compare with.
    named = not failed or any(check["failing_agents"] or check["without_metric"] for check in failed)
    errors_fail = _total(evidence, "failed_agents") > evidence["agents"]["allowed_errors"]
    if worst is not None and (named or errors_fail or evidence["verdict"] == "incomplete"):
        return f"{shorten(worst.label, MAX_HEADLINE_NAME)}: {shorten(worst.reason, MAX_HEADLINE_REASON)}"
    if failed:
        return shorten(check_sentence(failed[0], 1), MAX_HEADLINE_REASON)
    return "no agent could be judged"


def _result_counts(evidence: Evidence) -> str:
    """``4 of 5 agents ok, 1 of 3 checks failed``; the number of reporting agents for an inconclusive run."""
    agents = evidence["agents"]
    total = agents["expected_count"]
    if evidence["verdict"] in ("passed", "failed"):
        # More agents than expected may report when their number was given.
        reported = _total(evidence, "agents.reported")
        of = reported if total is None else max(total, reported)
        counts = f"{agents['ok_count']} of {of} agents ok"
    else:
        counts = _reported_count(evidence)
    return ", ".join(filter(None, (counts, check_counts(evidence))))


def _reported_count(evidence: Evidence) -> str:
    """``4 of 5 agents reported``; ``2 agents reported, 1 expected`` when other agents than expected reported."""
    reported, expected = _total(evidence, "agents.reported"), evidence["agents"]["expected_count"]
    if expected is None or reported > expected:
        return f"{reported} agents reported" + ("" if expected is None else f", {expected} expected")
    return f"{reported} of {expected} agents reported"


def summary(evidence: Evidence) -> str:
    """Return the headline, the first failed checks and agents, and the links, one a line."""
    failed_checks = _failed_checks(evidence)
    missing = evidence["agents"]["missing"]
    lines = [str(evidence["summary"]), f"  {agent_counts(evidence)}"]
    if evidence["verdict"] in ("incomplete", "no_results") and evidence.get("reason"):
        lines.append(f"  Not judged: {shorten(str(evidence['reason']), MAX_SENTENCE)}")
    lines += _first(
        [check_sentence(check, 3) for check in failed_checks[:MAX_LISTED]],
        len(failed_checks),
        "failed checks",
    )
    lines += _first(
        [
            f"{agent_label(agent)}: {SEPARATOR.join(error_lines(agent))}"
            for agent in evidence["failed_agents"][:MAX_LISTED]
        ],
        _total(evidence, "failed_agents"),
        "with an error",
    )
    lines += _first(
        [f"{agent_label(agent)}: {missing_reason(agent)}" for agent in missing[:MAX_LISTED]],
        _total(evidence, "agents.missing"),
        "missing",
    )
    links = evidence["links"]
    if link := links.get("round") or links.get("test"):
        lines.append(f"  ThousandEyes: {link}")
    if link := links.get("snapshot"):
        lines.append(f"  Snapshot: {link}")
    lines.append("  Evidence: XCom 'return_value' of this task")
    return "\n".join(lines)


def _first(lines: Sequence[str], total: int, what: str) -> list[str]:
    """The first lines of a list, shortened, and how many more there are."""
    more = total - len(lines)
    return [f"  {shorten(line, MAX_SENTENCE)}" for line in lines] + (
        [f"  and {more} more {what}"] if more else []
    )


def _failed_checks(evidence: Evidence) -> list[Mapping[str, Any]]:
    return [check for check in evidence["checks"] if check_state(check) == "FAILED"]


def error_lines(agent: Mapping[str, Any]) -> list[str]:
    """Return the errors of a failed agent, the failed step first where it is known."""
    steps = [step_label(agent["step"])] if agent.get("step") else []
    return [*steps, *agent["errors"]]


# -- the table -------------------------------------------------------------------------------------------------------


def table(evidence: Evidence) -> str:
    """Return :func:`table_lines` as one text; ``make demo`` prints it."""
    return "\n".join(line for _, line in table_lines(evidence))


def table_lines(evidence: Evidence) -> list[tuple[int, str]]:
    """Return the evidence as a table of at most 60 lines, each with its log level.

    Failed checks and agents are ``logging.ERROR``, warnings and missing agents ``logging.WARNING``, the rest is
    ``logging.INFO``.
    """
    lines = [(verdict_level(evidence), str(evidence["summary"])), *_info(text_columns(facts(evidence)))]
    if warning := (evidence.get("baseline") or {}).get("warning"):
        lines.append((logging.WARNING, f"warning: {warning}"))
    lines += [(logging.INFO, ""), *_check_lines(evidence), *_agent_lines(evidence)]
    lines += _info(_metric_lines(evidence))
    lines += _info(f"{name}: {link}" for name, link in list(evidence["links"].items())[:MAX_TABLE_LINKS])
    if cut := cut_label(evidence):
        lines += _info([f"left out for size: {shorten(cut, 200)}"])
    return lines


def facts(evidence: Evidence) -> list[tuple[str, str]]:
    """Return names and values of the facts of a run, without its test."""
    facts = [
        ("account group", evidence["account_group_id"] or "the token's default"),
        ("time", _times(evidence)),
        ("rounds", ", ".join(f"{name} {iso_time(at)}" for name, at in evidence["rounds"].items()) or "none"),
        ("requests", _requests(evidence)),
        ("agents", f"{agent_counts(evidence)}; {_EXPECTED_BY[evidence['agents']['expected_source']]}"),
        ("checks", check_counts(evidence)),
        ("baseline", _baseline_label(evidence)),
        ("confirmation", _confirmation(evidence)),
    ]
    return [(name, value) for name, value in facts if value]


def verdict_level(evidence: Evidence) -> int:
    """Return the log level of the headline of a run or a suite."""
    return {"passed": logging.INFO, "failed": logging.ERROR}.get(evidence["verdict"], logging.WARNING)


_CHECK_LEVELS = {"FAILED": logging.ERROR, "warning": logging.WARNING, "ok": logging.INFO}
_AGENT_LEVELS = {
    "ERROR": logging.ERROR,
    "failed checks": logging.ERROR,
    "MISSING": logging.WARNING,
    "warning": logging.WARNING,
}

_EXPECTED_BY = {
    "argument": "expected agents: from expected_agents",
    "test": "expected agents: from the test definition",
    "remembered": "expected agents: from the previous round",
    "unknown": "expected agents: unknown",
}


def _info(lines: Iterable[str]) -> list[tuple[int, str]]:
    return [(logging.INFO, line) for line in lines]


def _times(evidence: Evidence) -> str:
    names = (("sent", "sent_at"), ("accepted", "started_at"), ("finished", "finished_at"))
    return ", ".join(f"{word} {evidence[key]}" for word, key in names if evidence[key])


def _check_lines(evidence: Evidence) -> list[tuple[int, str]]:
    order = list(_CHECK_LEVELS)
    checks = sorted(evidence["checks"], key=lambda check: order.index(check_state(check)))
    if not checks:
        return []
    widths = (52, len("warning"), 60, 40, 80)
    shown = checks[:MAX_TABLE_CHECKS]
    rows = [tuple(map(shorten, check_cells(check, 3), widths)) for check in shown]
    levels = [logging.INFO, *(_CHECK_LEVELS[check_state(check)] for check in shown)]
    more = len(checks) - len(rows) + left_out(evidence, "checks")
    last = [f"and {more} more, counted above"] if more else []
    columns = text_columns([("check", "", "expected", "actual", "agents"), *rows])
    return [*zip(levels, columns, strict=True), *_info([*last, ""])]


def check_cells(check: Mapping[str, Any], limit: int) -> tuple[str, ...]:
    """Return the cells of a check in a table: subject, state, expected and actual value, agents.

    :param limit: agents to name.
    """
    return (
        check_subject(check),
        check_state(check),
        check_expectation(check),
        check_outcome(check),
        check_agents(check, limit),
    )


def _agent_lines(evidence: Evidence) -> list[tuple[int, str]]:
    rows = agent_rows(evidence)
    if not rows:
        return []
    limit = MAX_TABLE_AGENTS_WITH_CHECKS if evidence["checks"] else MAX_TABLE_AGENTS
    shown = [(shorten(name, 48), state, shorten(result, 160)) for name, state, result in rows[:limit]]
    levels = [_AGENT_LEVELS.get(state.partition(":")[0], logging.INFO) for _, state, _ in shown]
    columns = text_columns([("agent", "", "result"), *shown])
    lines = list(zip([logging.INFO, *levels], columns, strict=True))
    if any(left_out(evidence, name) for name in ("failed_agents", "agents.missing", "agents.reported")):
        lines += _info(["and more, counted above"])
    elif len(rows) > limit:
        lines += _info([f"and {len(rows) - limit} more"])
    return [*lines, (logging.INFO, "")]


def agent_rows(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Return name, state and result of each agent that the evidence lists, the worst first.

    The state is ``ERROR``, ``MISSING``, ``failed checks: 2``, ``warning``, ``ok``, or ``reported`` when the evidence
    does not name every agent that fails a check.
    """
    failed = {_key(agent) for agent in evidence["failed_agents"]}
    rows = [
        (agent_label(agent), "ERROR", SEPARATOR.join(error_lines(agent)))
        for agent in evidence["failed_agents"]
    ]
    rows += [(agent_label(agent), "MISSING", missing_label(agent)) for agent in evidence["agents"]["missing"]]
    if left_out(evidence, "failed_agents"):  # else an agent with an error could be shown as one without
        return rows
    failing, warned = (
        Counter(_key(agent) for agent, _ in _agents_of_checks(evidence, state))
        for state in ("FAILED", "warning")
    )
    good = "ok" if not failing | warned or _all_named(evidence) else "reported"

    def state(key: str) -> str:
        if key in failing:
            return f"failed checks: {failing[key]}"
        return "warning" if key in warned else good

    others = [agent for agent in evidence["agents"]["reported"] if _key(agent) not in failed]
    others.sort(key=lambda agent: (-failing[_key(agent)], _key(agent) not in warned))
    return rows + [
        (agent_label(agent), state(_key(agent)), _sample(evidence["samples"].get(_key(agent), {})))
        for agent in others
    ]


def _agents_of_checks(evidence: Evidence, state: str) -> list[tuple[Mapping[str, Any], str]]:
    """The agents that the checks in a state name, each with the reason."""
    return [
        (agent, agent_reason(check, agent))
        for check in evidence["checks"]
        if check_state(check) == state
        for agent in (*check["failing_agents"], *check["without_metric"])
    ]


def _all_named(evidence: Evidence) -> bool:
    """Whether the checks name every agent that fails them, so that the others are known to be good."""
    return not left_out(evidence, "checks") and all(
        len(check["failing_agents"]) == check["failing_count"]
        and len(check["without_metric"]) == check["without_metric_count"]
        for check in evidence["checks"]
        if not check["passed"]
    )


def metric_rows(evidence: Evidence) -> list[tuple[str, ...]]:
    """Return name, minimum, mean, maximum and unit of each metric."""
    return [
        (
            f"{result_type} {metric}",
            *(format_number(figures[name]) for name in ("min", "mean", "max")),
            unit_of(result_type, metric),
        )
        for result_type, by_metric in evidence["metrics"].items()
        for metric, figures in by_metric.items()
    ]


def _metric_lines(evidence: Evidence) -> list[str]:
    rows = [(shorten(name, 60), *figures) for name, *figures in metric_rows(evidence)]
    if not rows:
        return []
    more = len(rows) - MAX_TABLE_METRICS
    last = [f"and {more} more"] if more > 0 else []
    header = ("metric", "min", "mean", "max", "")
    return [*text_columns([header, *rows[:MAX_TABLE_METRICS]]), *last, ""]


def text_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _sample(values: Mapping[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        result_type, _, metric = name.partition(".")
        parts.append(f"{metric} {format_value(value, unit_of(result_type, metric))}")
    return ", ".join(parts)


# -- facts that several texts share ----------------------------------------------------------------------------------


def test_label(evidence: Evidence) -> str:
    """Return type, id and name of the test: ``http-server test 202703 'Checkout'``."""
    name = f" {display_name(evidence)!r}" if display_name(evidence) else ""
    return f"{evidence['test_type']} test {evidence['test_id']}{name}".strip()


def display_name(evidence: Evidence) -> str:
    """Return the display name: that of the source test, or its own."""
    return str((evidence.get("from_test") or {}).get("test_name") or evidence.get("test_name") or "")


def agent_counts(evidence: Evidence) -> str:
    """Return the numbers of agents that reported, are missing and have an error."""
    allowed = evidence["agents"]["allowed_errors"]
    parts = [_reported_count(evidence)]
    if missing := _total(evidence, "agents.missing"):
        parts.append(f"{missing} missing")
    failed = _total(evidence, "failed_agents")
    parts.append(f"{failed} with an error ({allowed or 'none'} allowed)" if failed else "none with an error")
    return ", ".join(parts)


def check_counts(evidence: Evidence) -> str:
    """Return the number of failed checks: ``1 of 3 checks failed, 1 warning``; empty without checks."""
    states = [check_state(check) for check in evidence["checks"]]
    if not states:
        return ""
    total = len(states) + left_out(evidence, "checks")
    failed, warnings = states.count("FAILED"), states.count("warning")
    passed = total - failed - warnings
    text = f"{failed} of {total} checks failed" if failed else f"{passed} check{'s'[: passed != 1]} passed"
    return text + (f", {warnings} warning{'s'[: warnings > 1]}" if warnings else "")


def _baseline_label(evidence: Evidence) -> str:
    """The baseline of the checks, or why it is not usable; empty when nothing was compared."""
    baseline = evidence.get("baseline") or {}
    return str(baseline.get("reason") or baseline.get("source") or "")


def cut_label(evidence: Evidence) -> str:
    """Return the parts that the evidence omits for its size; empty: none."""
    return ", ".join(f"{count} of {name}" for name, count in evidence.get("cut", {}).items())


def _requests(evidence: Evidence) -> str:
    calls = evidence["run_calls"]
    text = f"{evidence['requests']}, run call sent {'once' if calls == 1 else f'{calls} times'}"
    for name, words in (("throttled_seconds", "rate-limit waits"), ("paced_seconds", "own pacing")):
        text += f"; {evidence[name]:g} s of {words}" if evidence[name] else ""
    return text


def _confirmation(evidence: Evidence) -> str:
    """Return the result of a confirmation run; empty without one."""
    if "confirms" not in evidence:
        return ""
    first = f"the run at {evidence['confirms']['started_at']}"
    if evidence["verdict"] == "failed":
        return f"Failure confirmed: {first} failed as well"
    if evidence.get("unconfirmed"):
        return f"Failure not confirmed: no check failed in every run since {first}"
    this = "did not" if evidence["verdict"] == "passed" else "was not judged"
    return f"Failure not confirmed: {first} failed, this run {this}"


def _total(evidence: Evidence, name: str) -> int:
    """The length of a list of the evidence, with the entries that were left out for size."""
    holder = evidence["agents"] if name.startswith("agents.") else evidence
    return len(holder[name.removeprefix("agents.")]) + left_out(evidence, name)


def _key(agent: Mapping[str, Any]) -> str:
    return str(agent["agent_id"] or agent["agent_name"])
