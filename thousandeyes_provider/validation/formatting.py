"""The rows of the evidence's ``checks`` in words, for exceptions, logs and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thousandeyes_provider.api.metrics import unit_of

_SIGNS = {"equal_to": "=", "greater_than": ">", "geq_to": ">=", "less_than": "<", "leq_to": "<="}

Row = Mapping[str, Any]
"""A row of ``checks``."""


def subject(check: Row) -> str:
    """What a check is about: ``http-server responseTime p95``."""
    return f"{check['result_type']} {check['metric']} {check['aggregate']}"


def expected(check: Row) -> str:
    """What a check asks for: ``<= 800 ms``."""
    comparison, unit = check["comparison"], _unit(check)
    told = [_term(name, value, unit) for name, value in comparison.items() if name not in _OPTIONS]
    options = [f"{name} {_option(name, comparison[name], unit)}" for name in _OPTIONS if name in comparison]
    return " and ".join(told) + (f" ({', '.join(options)})" if options else "")


def actual(check: Row) -> str:
    """What came of a check, next to what it asks for: ``912 ms``, ``12 of 14 agents, 14 needed``."""
    if check["actual"] is None:
        return check.get("reason", "") or "no value"
    if "needed" in check:
        only = "only " if check["actual"] and not check["passed"] else ""
        told = f"{only}{check['actual']} of {check['agents']} agents"
        return told if check["needed"] == check["agents"] else f"{told}, {check['needed']} needed"
    told = value(check["actual"], _unit(check))
    if check.get("before") is None:
        return told
    change = check.get("change")
    moved = signed(check["delta"], _unit(check)) + ("" if change is None else f", {percent(change)}")
    return f"{told} ({moved} from {value(check['before'], _unit(check))})"


def state(check: Row) -> str:
    """``ok``, ``FAILED``, or ``warning`` for one that does not hold and does not matter to the verdict."""
    if check["passed"]:
        return "ok"
    return "warning" if check["severity"] == "warn" else "FAILED"


def culprits(check: Row, most: int) -> str:
    """The agents that broke a check with what they said, and those without the metric; empty when there are none.

    :param most: agents that are named of each, before the rest is only counted.
    """
    unit = _unit(check)
    told = []
    broken = [f"{name(one)} {_said(one, unit)}" for one in check["broken_by"][:most]]
    if broken:
        told.append(_listed(broken, check["broken"]))
    if check["lacking"]:
        lacking = [name(one) for one in check["without"][:most]]
        told.append(f"without it: {_listed(lacking, check['lacking'])}")
    for key, words in (("only_now", "not there before"), ("only_before", "only there before")):
        if check.get(key):
            told.append(
                f"{words}: {_listed([name(one) for one in check[key][:most]], check[f'{key}_count'])}"
            )
    return "; ".join(told)


def sentence(check: Row, most: int) -> str:
    """A check that does not hold, in one line: what, actual against expected, and the agents."""
    told = f"{subject(check)}: {actual(check)}, expected {expected(check)}"
    who = culprits(check, most)
    return f"{told}: {who}" if who else told


def name(agent: Mapping[str, Any]) -> str:
    """An agent, as people call it."""
    return str(agent["agent_name"] or f"agent {agent['agent_id']}")


def value(told: Any, unit: str = "") -> str:
    """A value with its unit; figures short, texts in quotes."""
    if isinstance(told, list):
        return "/".join(value(one) for one in told) + (f" {unit}" if unit else "")
    if isinstance(told, bool):
        return "true" if told else "false"
    if isinstance(told, int | float):
        return f"{figure(told)} {unit}".rstrip()
    return "nothing" if told is None else repr(told)


def figure(number: float) -> str:
    """A number with as many digits as a person wants to read: whole ones whole, others with six in all."""
    if float(number).is_integer() and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.6g}"


def signed(number: float | None, unit: str = "") -> str:
    """A difference with its sign and unit."""
    if number is None:
        return "?"
    return f"{'+' if number > 0 else ''}{figure(number)} {unit}".rstrip()


def percent(fraction: float) -> str:
    """A relative change as percent, with its sign."""
    return f"{'+' if fraction > 0 else ''}{figure(round(fraction * 100, 1))} %"


_OPTIONS = ("tolerance", "floor", "quorum", "where")


def _term(comparison: str, wanted: Any, unit: str) -> str:
    if comparison in _SIGNS:
        return f"{_SIGNS[comparison]} {value(wanted, unit)}"
    if comparison == "one_of":
        return f"one of {', '.join(map(value, wanted))}"
    if comparison.startswith("change"):
        return f"change {'<=' if comparison.endswith('leq_to') else '>='} {percent(wanted)}"
    if comparison.startswith("delta"):
        return f"change {'<=' if comparison.endswith('leq_to') else '>='} {signed(wanted, unit)}"
    return f"{comparison} {value(wanted)}"


def _option(option: str, given: Any, unit: str) -> str:
    if option == "where":
        return " and ".join(f"{field} {' or '.join(map(str, values))}" for field, values in given.items())
    if option == "floor":
        return value(given, unit)
    return f"{figure(given * 100)} %"


def _said(agent: Mapping[str, Any], unit: str) -> str:
    told = value(agent["actual"], unit)
    return f"{told} (before {value(agent['before'], unit)})" if "before" in agent else told


def _listed(names: Sequence[str], count: int) -> str:
    more = count - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _unit(check: Row) -> str:
    return "" if check["aggregate"] == "count" else unit_of(check["result_type"], check["metric"])
