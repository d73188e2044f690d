"""Text for people: one-line texts, agents, values and check rows, for exceptions, logs and reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from thousandeyes_provider.api.coerce import SEPARATOR, join_truncated, printable, shorten
from thousandeyes_provider.api.metrics import unit_of

MAX_TEXT = 200
"""Characters of any text that the API or a DAG supplies; a longer text ends in an ellipsis."""

CheckRow = Mapping[str, Any]
"""A row of ``checks`` in the evidence."""

_SIGNS = {"equal_to": "=", "greater_than": ">", "geq_to": ">=", "less_than": "<", "leq_to": "<="}
_OPTIONS = ("tolerance", "floor", "quorum", "where")
_NO_TERMS = (*_OPTIONS, "unlisted")


# -- any text --------------------------------------------------------------------------------------------------------


def one_line(text: str, longest: int = MAX_TEXT) -> str:
    """Return ``text`` as one line of at most ``longest`` characters, all of them printable."""
    if len(text) <= longest and text.isalnum():  # the ids of a large round
        return text
    if len(text) <= longest and text.isprintable() and "  " not in text and text == text.strip():
        return text
    return shorten(" ".join(printable(text[: 4 * longest]).split()), longest)


def verdict_label(verdict: Any) -> str:
    """Return a verdict for reading: ``NO RESULTS``."""
    return str(verdict).replace("_", " ").upper()


def left_out(evidence: Mapping[str, Any], name: str) -> int:
    """Return the number of entries of a list that the evidence omits for its size."""
    return int(evidence.get("cut", {}).get(name, 0))


def elapsed(evidence: Mapping[str, Any]) -> timedelta | None:
    """Return the time from the accepted run to the verdict, or that of a suite; ``None`` when nothing was run."""
    started, finished = evidence.get("started_at"), evidence.get("finished_at")
    if not started or not finished:
        return None
    return max(datetime.fromisoformat(finished) - datetime.fromisoformat(started), timedelta(0))


# -- agents and values -----------------------------------------------------------------------------------------------


def agent_label(agent: Mapping[str, Any]) -> str:
    """Return the name of an agent in the evidence, else ``agent`` and its id."""
    return str(agent["agent_name"] or f"agent {agent['agent_id']}")


def missing_label(agent: Mapping[str, Any]) -> str:
    """Describe a missing agent: ``state offline, has http-server 0 of 1``; empty when nothing is known."""
    parts = [f"state {agent['state']}"] if agent.get("state") else []
    parts += [f"has {agent['missing_rows']}"] if agent.get("missing_rows") else []
    return ", ".join(parts)


def missing_reason(agent: Mapping[str, Any]) -> str:
    """Describe a missing agent as a reason: ``missing, state offline``."""
    return ", ".join(filter(None, ("missing", missing_label(agent))))


def format_value(value: Any, unit: str = "") -> str:
    """Format a value with its unit; numbers short, texts in quotes, a list with slashes."""
    if isinstance(value, list):
        return f"{'/'.join(map(format_value, value))} {unit}".rstrip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{format_number(value)} {unit}".rstrip()
    return "nothing" if value is None else repr(value)


def format_number(number: float) -> str:
    """Format a number for reading: integers without a point, others with six significant digits."""
    if float(number).is_integer() and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.6g}"


def format_difference(number: float | None, unit: str = "") -> str:
    """Format a difference with its sign and unit; ``?`` when no float can hold it."""
    if number is None:
        return "?"
    return f"{'+' if number > 0 else ''}{format_number(number)} {unit}".rstrip()


def format_percent(fraction: float) -> str:
    """Format a relative change as percent with its sign."""
    return f"{'+' if fraction > 0 else ''}{format_number(round(fraction * 100, 1))} %"


# -- check rows ------------------------------------------------------------------------------------------------------


def check_subject(check: CheckRow) -> str:
    """Return result type, metric and aggregate of a check: ``http-server responseTime p95``."""
    return f"{check['result_type']} {check['metric']} {check['aggregate']}"


def check_expectation(check: CheckRow) -> str:
    """Return the comparison of a check: ``<= 800 ms``."""
    comparison, unit = check["comparison"], _unit(check)
    terms = [_term(name, value, unit) for name, value in comparison.items() if name not in _NO_TERMS]
    options = [f"{name} {_option(name, comparison[name], unit)}" for name in _OPTIONS if name in comparison]
    return " and ".join(terms) + (f" ({', '.join(options)})" if options else "")


def check_outcome(check: CheckRow) -> str:
    """Return the actual value of a check: ``912 ms``, ``12 of 14 agents, 14 needed``."""
    if check["actual"] is None:
        return check.get("reason", "") or "no value"
    if "needed" in check:
        only = "only " if check["actual"] and not check["passed"] else ""
        outcome = f"{only}{check['actual']} of {check['agents']} agents"
        return outcome if check["needed"] == check["agents"] else f"{outcome}, {check['needed']} needed"
    outcome = format_value(check["actual"], _unit(check))
    if check.get("before") is None:
        return outcome
    change = check.get("change")
    difference = format_difference(check["delta"], _unit(check))
    difference += "" if change is None else f", {format_percent(change)}"
    return f"{outcome} ({difference} from {format_value(check['before'], _unit(check))})"


def check_state(check: CheckRow) -> str:
    """Return ``ok``, ``FAILED``, or ``warning`` for a failed check of severity ``warn``."""
    if check["passed"]:
        return "ok"
    return "warning" if check["severity"] == "warn" else "FAILED"


def check_agents(check: CheckRow, limit: int) -> str:
    """List the agents that a check names: failing, without the metric, on one side of the comparison only.

    :param limit: agents that are named of each; the others are counted.
    """
    unit = _unit(check)
    parts = []
    failing = [f"{agent_label(agent)} {agent_value(agent, unit)}" for agent in check["failing_agents"]]
    if failing:
        parts.append(join_truncated(failing, limit, check["failing_count"]))
    for key, words in (
        ("without_metric", "no value"),
        ("only_now", "no earlier value"),
        ("only_before", "only an earlier value"),
    ):
        if count := check.get(f"{key}_count"):
            parts.append(f"{words}: {join_truncated(list(map(agent_label, check[key])), limit, count)}")
    return SEPARATOR.join(parts)


def check_sentence(check: CheckRow, limit: int) -> str:
    """Describe a failed check in one line: subject, actual and expected value, agents."""
    sentence = f"{check_subject(check)}: {check_outcome(check)}, expected {check_expectation(check)}"
    agents = check_agents(check, limit)
    return f"{sentence}: {agents}" if agents else sentence


def agent_value(agent: Mapping[str, Any], unit: str) -> str:
    """Return the value of an agent in a check row, with the earlier value where there is one."""
    value = format_value(agent["actual"], unit)
    return f"{value} (before {format_value(agent['before'], unit)})" if "before" in agent else value


def agent_reason(check: CheckRow, agent: Mapping[str, Any]) -> str:
    """Describe why an agent fails a check: ``responseTime 912 ms, expected p95 <= 800 ms``.

    :param agent: an entry of ``failing_agents`` or ``without_metric``.
    """
    aggregate = "" if check["aggregate"] in ("every", "any") else f"{check['aggregate']} "
    metric = check["metric"]
    actual = f"{metric} {agent_value(agent, _unit(check))}" if "actual" in agent else f"no {metric}"
    return f"{actual}, expected {aggregate}{check_expectation(check)}"


def _term(comparison: str, wanted: Any, unit: str) -> str:
    if comparison in _SIGNS:
        return f"{_SIGNS[comparison]} {format_value(wanted, unit)}"
    if comparison == "one_of":
        return f"one of {', '.join(map(format_value, wanted))}"
    if comparison.startswith(("change", "delta")):
        sign = "<=" if comparison.endswith("leq_to") else ">="
        is_relative = comparison.startswith("change")
        return f"change {sign} {format_percent(wanted) if is_relative else format_difference(wanted, unit)}"
    return f"{comparison} {format_value(wanted)}"


def _option(option: str, value: Any, unit: str) -> str:
    if option == "where":
        return " and ".join(f"{field} {' or '.join(map(str, values))}" for field, values in value.items())
    if option == "floor":
        return format_value(value, unit)
    return f"{format_number(value * 100)} %"


def _unit(check: CheckRow) -> str:
    return "" if check["aggregate"] == "count" else unit_of(check["result_type"], check["metric"])
