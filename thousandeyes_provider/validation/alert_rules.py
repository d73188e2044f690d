"""ThousandEyes alert rules as checks.

An alert rule describes a failure, a check the expectation: ``((responseTime >= 500 ms))`` becomes ``less_than: 500``.
The agents' condition (``minimumSources``) becomes a ``quorum``. A gate judges one round, so "X of Y rounds" has no
counterpart for X above 1. What has no counterpart is listed with the reason.

The grammar is documented in ``docs/thousandeyes-api.md``, "Alerts and events".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.coerce import whole_number
from thousandeyes_provider.api.metrics import METRICS, unit_of
from thousandeyes_provider.api.result_types import TEST_TYPES

RESULT_TYPES_OF: Mapping[str, str] = {
    "page-load": "page-load",
    "http-server": "http-server",
    "end-to-end-server": "network",
    "end-to-end-agent": "network",
    "voice": "rtp-server",
    "dns-server": "dns-server",
    "dns-trace": "dns-trace",
    "dnssec": "dnssec",
    "path-trace": "path-vis",
    "ftp": "ftp-server",
    "sip-server": "sip-server",
    "web-transactions": "web-transactions",
    "web-transaction": "web-transactions",
    "api": "api",
}
"""Alert type to result type."""

_NAMES: Mapping[tuple[str, str], str] = {
    ("http-server", "redirectCount"): "numRedirects",
    ("http-server", "responseHeaders"): "headers.responseHeaders",
    ("ftp-server", "ftpReplyCode"): "responseCode",
    ("sip-server", "sipResponseCode"): "responseCode",
    ("network", "latency"): "avgLatency",
    ("network", "availBwCs"): "availableBandwidth",
    ("network", "capCs"): "capacity",
    ("page-load", "timeToFirstByte"): "responseTime",
    ("page-load", "onContentLoadTime"): "domLoadTime",
    ("page-load", "onLoadTime"): "pageLoadTime",
    ("page-load", "errorCount"): "numErrors",
    ("web-transactions", "duration"): "transactionTime",
    ("api", "duration"): "apiTransactionTime",
    ("dns-server", "delay"): "resolutionTime",
    ("path-vis", "pathMtu"): "pathTraces.pathMtu",
    ("path-vis", "mss"): "pathTraces.mss",
    ("path-vis", "pathLength"): "pathTraces.numberOfHops",
}
"""Metrics that alert rules call by another name than results."""

_ERRORS = frozenset(("errorType", "ftpErrorType", "sipErrorType", "probDetail"))
"""Conditions "there is an error", which ``max_agent_errors`` covers; so does ``responseCode == 0``, no response."""

_GOOD = {">=": "less_than", ">": "leq_to", "<=": "greater_than", "<": "geq_to", "!=": "equal_to"}
"""The comparison that holds exactly when the alert's does not."""

_FACTORS: Mapping[str, Mapping[str, float]] = {
    "ms": {"ms": 1, "s": 1000},
    "%": {"%": 1, "": 1},
    "Mbps": {"Mbps": 1, "kbps": 0.001, "Gbps": 1000},
    "B": {"B": 1, "kB": 1000, "MB": 1e6},
    "B/s": {"kbps": 125, "Mbps": 125_000, "B/s": 1, "kB/s": 1000},
    "": {"": 1},
}
"""Units of alert rules for each unit of a metric, with the factor between them."""

_TERM = re.compile(r"(!?\w+)\s*(>=|<=|==|!=|=~|!~|=|>|<|!in\b|in\b)\s*(.+)", re.DOTALL)
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z%/]*)")


@dataclass(frozen=True)
class Unconverted:
    """A part of an alert rule without a counterpart.

    :param rule: name of the rule.
    :param part: the expression or condition.
    :param reason: why it has none.
    """

    rule: str
    part: str
    reason: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.part}: {self.reason}"


@dataclass
class ConvertedRules:
    """What alert rules became.

    :param checks: a declaration of checks.
    :param max_agent_errors: agents that may report an error, from rules about errors; ``None`` without such a rule.
    :param unconverted: what has no counterpart.
    """

    checks: dict[str, dict[str, dict[str, list[Any]]]] = field(default_factory=dict)
    max_agent_errors: int | None = None
    unconverted: list[Unconverted] = field(default_factory=list)

    def arguments(self) -> dict[str, Any]:
        """As arguments of an operator."""
        arguments: dict[str, Any] = {"checks": self.checks} if self.checks else {}
        if self.max_agent_errors is not None:
            arguments["max_agent_errors"] = self.max_agent_errors
        return arguments

    def to_yaml(self) -> str:
        """Return a YAML file. Comments at the top list the parts that were not converted."""
        import yaml  # type: ignore[import-untyped,unused-ignore]

        lines = [f"# Not converted: {' '.join(str(part).split())}" for part in self.unconverted]
        arguments = self.arguments()
        return "\n".join([*lines, yaml.safe_dump(arguments, sort_keys=False) if arguments else "{}\n"])


def checks_from_rules(rules: Iterable[Mapping[str, Any]], test_type: str, agents: int) -> ConvertedRules:
    """Convert alert rules to checks.

    :param rules: entries of ``GET /alerts/rules`` that apply to the test.
    :param test_type: the test's type; rules about result types that it does not have are listed.
    :param agents: number of agents of the test, for the agents' condition.
    """
    converted = ConvertedRules()
    for rule in rules:
        _convert(rule, test_type, agents, converted)
    return converted


def _convert(rule: Mapping[str, Any], test_type: str, agents: int, into: ConvertedRules) -> None:
    name = str(rule.get("ruleName") or rule.get("ruleId") or "unnamed rule")
    expression = str(rule.get("expression") or "").strip()

    def leave(part: str, reason: str) -> None:
        into.unconverted.append(Unconverted(name, part, reason))

    alert_type = str(rule.get("alertType") or "")
    result_type = RESULT_TYPES_OF.get(alert_type)
    if result_type is None:
        leave(expression, f"alert type {alert_type!r} has no result type of an instant test")
        return
    if result_type not in TEST_TYPES[test_type].result_types:
        leave(expression, f"a test of type {test_type} has no {result_type} results")
        return
    try:
        operator, terms = _terms(expression)
    except ValueError as error:
        leave(expression, str(error))
        return
    if operator == "&&":
        leave(expression, "all conditions at once: a check fails when one condition holds")
        return
    sources = _sources(rule, agents)
    required = whole_number(rule.get("roundsViolatingRequired")) or 1
    if required > 1:
        out_of = whole_number(rule.get("roundsViolatingOutOf")) or required
        leave(
            f"{required} of {out_of} rounds",
            f"a run has one round, which is judged alone; confirm_failures={min(required - 1, 5)} comes close",
        )
    if rule.get("direction") == "from-target":
        leave("direction from-target", "a check judges the rows of every direction")
    for term in terms:
        reason = _add(term, result_type, sources, agents, into)
        if reason:
            leave(term, reason)


def _sources(rule: Mapping[str, Any], agents: int) -> int:
    """Return the number of agents that must meet the condition for the alert to fire."""
    percent = whole_number(rule.get("minimumSourcesPct"))
    if percent:
        return max(math.ceil(agents * percent / 100), 1)
    return max(whole_number(rule.get("minimumSources")) or 1, 1)


def _terms(expression: str) -> tuple[str, list[str]]:
    """The conditions of an expression and what joins them.

    :raises ValueError: when it is not a flat list of conditions.
    """
    inner = _unwrapped(expression)
    if not inner:
        raise ValueError("empty expression")
    operators, parts, depth, start, quote = set(), [], 0, 0, ""
    place = 0
    while place < len(inner):
        sign = inner[place]
        if quote:
            if sign == "\\":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in '"/' and (sign == '"' or inner[:place].rstrip().endswith(("=~", "!~"))):
            quote = sign
        elif sign in "({":
            depth += 1
        elif sign in ")}":
            depth -= 1
        elif depth == 0 and inner[place : place + 2] in ("&&", "||"):
            operators.add(inner[place : place + 2])
            parts.append(inner[start:place])
            place += 1
            start = place + 1
        place += 1
    if depth or quote:
        raise ValueError("unbalanced expression")
    if len(operators) > 1:
        raise ValueError("&& and || at once")
    return (operators or {"||"}).pop(), [_unwrapped(part) for part in [*parts, inner[start:]]]


def _unwrapped(text: str) -> str:
    """An expression without the parentheses around all of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for place, sign in enumerate(text):
            depth += (sign == "(") - (sign == ")")
            if not depth and place < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text


def _add(term: str, result_type: str, sources: int, agents: int, into: ConvertedRules) -> str:
    """Convert one condition.

    :return: why it has no counterpart; empty when it was converted.
    """
    if term.startswith("Auto("):
        return "ThousandEyes computes the limit of Auto(...); it cannot be recomputed"
    match = _TERM.fullmatch(term)
    if match is None or "(" in term.split('"')[0].split("/")[0]:
        return "not a comparison of a metric of a row"
    name, operator, value = match[1], match[2], match[3].strip()
    is_error = name in _ERRORS and operator == "!=" and value.strip('"') in ("", "None")
    if is_error or (name.endswith("esponseCode") and operator == "==" and value == "0"):
        allowed = min(sources, agents) - 1
        known = into.max_agent_errors
        into.max_agent_errors = allowed if known is None else min(known, allowed)
        return ""
    metric = _NAMES.get((result_type, name), name)
    if metric not in METRICS[result_type]:
        return f"{result_type} results have no {name}"
    good = _comparison(operator, value, unit_of(result_type, metric))
    if isinstance(good, str):
        return good
    if sources > agents:
        return f"needs {sources} agents, the test has {agents}"
    # The alert fires when so many agents meet the condition, so the check has to hold for all but one less.
    holding = agents - sources + 1
    if holding < agents:
        good["quorum"] = math.floor(1000 * holding / agents) / 1000
    into.checks.setdefault(result_type, {}).setdefault(metric, {"every": []})["every"].append(good)
    return ""


def _comparison(operator: str, value: str, unit: str) -> dict[str, Any] | str:
    """Return the negation of the alert's comparison, or the reason why it has none as text."""
    if operator in ("=~", "!~"):
        pattern = value[1:-1] if len(value) > 1 and value[0] == value[-1] == "/" else None
        if operator == "=~" or pattern is None:
            return "no comparison says that a text does not match"
        try:
            re.compile(pattern)
        except re.error as error:
            return f"not a regular expression of Python: {error}"
        return {"matches": pattern}
    if operator not in _GOOD:
        return f"no comparison is the opposite of {operator}"
    match = _NUMBER.fullmatch(value)
    if match is None:
        text = value.strip('"')
        return {"equal_to": text} if operator == "!=" and text else "not a number"
    factor = _FACTORS.get(unit, {"": 1.0}).get(match[2])
    if factor is None:
        return f"unit {match[2]!r} does not fit the metric, which is in {unit or 'no unit'}"
    number = float(f"{float(match[1]) * factor:.12g}")
    return {_GOOD[operator]: int(number) if number.is_integer() else number}
