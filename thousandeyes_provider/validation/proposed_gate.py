"""A proposed gate: arguments of an operator, the reason of each, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.validation import formatting
from thousandeyes_provider.validation.history import History

CONFIDENCE = 0.95
"""Probability that the true rate of false alarms is below twice the promised one, given the history."""

REGRESSION = 0.3
"""The slowdown of all agents that the checks should catch."""


@dataclass(frozen=True)
class ProposedCheck:
    """One proposed comparison.

    :param comparison: the comparison with its options, as in ``checks``, under ``every``.
    :param why: the reason in one line, with the rounds that it was learned from and in which it would have failed.
    """

    result_type: str
    metric: str
    comparison: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class Slowdowns:
    """Which slowdowns of all agents would have failed the gate.

    :param caught: share of rounds in which :data:`REGRESSION` would have failed the gate.
    :param smallest: the smallest slowdown that would have failed 9 in 10 rounds.
    """

    caught: float
    smallest: float


@dataclass(frozen=True)
class Proposal:
    """A proposed gate.

    :param history: what it was learned from.
    :param rate: requested false-alarm rate per round.
    :param window: seconds that the baseline reaches back; ``None`` when no check compares.
    :param expected_rate: false alarms per round, as counted in the history.
    :param promised: whether the history supports ``rate``.
    :param slowdowns: the slowdowns that it catches; ``None`` without a check of a time.
    :param comments: the reason of each argument, by its name.
    :param notes: notes for the user, one sentence each.
    """

    history: History
    rate: float
    checks: tuple[ProposedCheck, ...]
    window: float | None
    confirm_failures: int
    min_agents: int | None
    max_agent_errors: int
    expected_rate: float
    promised: bool
    slowdowns: Slowdowns | None
    comments: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """The proposal as arguments of an operator."""
        checks: dict[str, dict[str, dict[str, list[Any]]]] = {}
        for check in self.checks:
            of_metric = checks.setdefault(check.result_type, {}).setdefault(check.metric, {"every": []})
            of_metric["every"].append(dict(check.comparison))
        proposed: dict[str, Any] = {"checks": checks} if checks else {}
        if self.window:
            proposed["compare_with"] = {"test_id": self.history.test_id, "window": window_text(self.window)}
        if self.confirm_failures:
            proposed["confirm_failures"] = self.confirm_failures
        if self.min_agents is not None:
            proposed["min_agents"] = self.min_agents
        proposed["max_agent_errors"] = self.max_agent_errors
        return proposed

    def summary(self) -> list[str]:
        """The text for the user, one sentence per line."""
        history, rounds = self.history, self.history.rounds
        span = f", {iso_time(rounds[0])} to {iso_time(rounds[-1])}" if rounds else ""
        current = sum(presence.is_current for presence in history.agents.values())
        name = f" {history.test_name!r}" if history.test_name else ""
        lines = [
            f"Test {history.test_id}{name} ({history.test_type}): {len(rounds)} rounds{span}, {current} agents.",
            f"Promise: at most 1 false alarm in {one_in(self.rate)} rounds while rounds stay like these; with "
            f"{percent(CONFIDENCE)} confidence at most 1 in {one_in(2 * self.rate)}."
            if self.promised
            else f"No promise: the history does not support 1 false alarm in {one_in(self.rate)} rounds.",
            f"False alarms in this history: 1 in {one_in(self.expected_rate)} rounds."
            if self.expected_rate
            else "False alarms in this history: none.",
        ]
        if self.slowdowns:
            lines.append(
                f"A slowdown of {percent(REGRESSION)} at all agents would have failed "
                f"{percent(self.slowdowns.caught)} of the rounds. The smallest that would have failed 9 in 10 rounds: "
                f"{percent(self.slowdowns.smallest)}."
            )
        return lines + list(self.notes)

    def to_yaml(self) -> str:
        """The proposal as a YAML file with the reason of every line as a comment."""
        lines = [f"# {line}" for line in self.summary()]
        if self.checks:
            lines.append("checks:")
        above: tuple[str, str] = ("", "")
        for check in self.checks:
            if check.result_type != above[0]:
                lines.append(f"  {check.result_type}:")
            if (check.result_type, check.metric) != above:
                lines += [f"    {check.metric}:", "      every:"]
            above = check.result_type, check.metric
            lines.append(f"        # {check.why}")
            for place, (name, value) in enumerate(check.comparison.items()):
                lines.append(f"        {'  ' if place else '- '}{name}: {value}")
        for name, value in self.arguments().items():
            if name != "checks":
                # JSON is YAML, and keeps the id of a test a text.
                lines += [f"# {self.comments[name]}", f"{name}: {json.dumps(value)}"]
        return "\n".join([*lines, ""])

    def to_json(self) -> dict[str, Any]:
        """For JSON output and the report page."""
        return {
            "test_id": self.history.test_id,
            "test_name": self.history.test_name,
            "test_type": self.history.test_type,
            "rounds": len(self.history),
            "rate": self.rate,
            "promised": self.promised,
            "expected_rate": self.expected_rate,
            "slowdowns": asdict(self.slowdowns) if self.slowdowns else None,
            "arguments": self.arguments(),
            "checks": [asdict(check) for check in self.checks],
            "notes": list(self.notes),
        }


def one_in(rate: float) -> int:
    """The N of "1 in N"."""
    return round(1 / rate)


def percent(share: float) -> str:
    """A share as text: ``12.5 %``."""
    return f"{formatting.format_number(round(100 * share, 1))} %"


def window_text(seconds: float) -> str:
    """A window in whole hours: ``24h``."""
    return f"{seconds / 3600:g}h"
