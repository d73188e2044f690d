"""The evidence of a run: one JSON object that says what was asked, seen and decided. It goes to XCom."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
from thousandeyes_provider.api.metrics import Kind, kind_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row
from thousandeyes_provider.validation.aggregates import mean
from thousandeyes_provider.validation.lines import one_line
from thousandeyes_provider.validation.samples import agent_key, by_agent, plain, values_of
from thousandeyes_provider.validation.verdict import Judgement, Verdict

LARGEST = 48 * 1024
"""Bytes of the evidence as JSON: it has to fit where XComs are kept."""

MOST_ERRORS = 10
"""Errors that are told of one agent, before the rest is only counted."""

LEAST_KEPT = 20
"""Entries that stay of each list until every list is down to them: of everything a person wants to see some."""

LEAST_NAMED = 3
"""Agents that stay named in each list of a check, when that has to be shortened."""

LONGEST_SAMPLE = 80
"""Characters of a text that an agent reported; a longer one is no sample."""

LONGEST_LINK = 2000
"""Characters of a link; a longer one is left out, since half a link leads nowhere."""


@dataclass(frozen=True)
class Missing:
    """An expected agent of which rows are missing.

    :param agent: who.
    :param state: what ThousandEyes says of it: ``online``, ``offline``, ``disabled``, ``unknown`` (not listed), or
        ``None`` when that could not be learned.
    :param lacking: which rows, when it has sent some.
    """

    agent: Agent
    state: str | None = None
    lacking: str | None = None


@dataclass(frozen=True)
class Observed:
    """Everything that evidence is made of.

    Times are epoch seconds by ThousandEyes' clock; the rest is named as in the evidence.
    """

    test_id: str
    test_name: str
    test_type: str
    account_group_id: str | None
    verdict: Verdict
    started_at: float
    finished_at: float
    rounds: Mapping[str, int]
    run_calls: int
    requests: int
    throttled_seconds: float
    expected: ExpectedAgents
    reported: Sequence[Agent]
    missing: Sequence[Missing]
    judgement: Judgement
    rows: Mapping[str, Sequence[Row]] = field(repr=False)
    links: Mapping[str, str]


def evidence(seen: Observed) -> dict[str, Any]:
    """The evidence of a run, at most :data:`LARGEST` bytes of JSON; ``cut`` says what was left out to get there.

    Texts are one line each, whatever ThousandEyes sent, and end in an ellipsis where they were longer.
    """
    links = {name: link for name, link in seen.links.items() if link.isascii() and len(link) <= LONGEST_LINK}
    values = list(_judged_values(seen))
    told: dict[str, Any] = {
        "test_id": one_line(seen.test_id),
        "test_name": one_line(seen.test_name),
        "test_type": seen.test_type,
        "account_group_id": None if seen.account_group_id is None else one_line(seen.account_group_id),
        "verdict": seen.verdict.value,
        "started_at": iso_time(seen.started_at),
        "finished_at": iso_time(seen.finished_at),
        "rounds": dict(seen.rounds),
        "run_calls": seen.run_calls,
        "requests": seen.requests,
        "throttled_seconds": round(seen.throttled_seconds, 1),
        "agents": {
            "expected": [_agent(agent) for agent in seen.expected.agents],
            "expected_count": seen.expected.count,
            "expected_source": seen.expected.source,
            "reported": [_agent(agent) for agent in seen.reported],
            "missing": [
                _agent(missing.agent, state=missing.state and one_line(missing.state))
                | ({"lacking": one_line(missing.lacking)} if missing.lacking else {})
                for missing in seen.missing
            ],
            "failed": [_agent(error.agent, errors=_errors(error.reasons)) for error in seen.judgement.errors],
            "allowed_errors": seen.judgement.allowed,
        },
        "checks": [result.to_json() for result in seen.judgement.checks],
        "metrics": _metrics(values),
        "samples": _samples(values),
        "links": links,
    }
    before = seen.judgement.before
    if before is not None:
        told["compared_with"] = one_line(before.unusable or before.source)
    if len(links) < len(seen.links):
        told["cut"] = {"links": len(seen.links) - len(links)}
    return fit(told)


def fit(told: dict[str, Any], largest: int = LARGEST) -> dict[str, Any]:
    """``told`` in at most ``largest`` bytes of JSON: the least important lists are shortened first.

    What can be learned from the rest goes first: who was expected, then who reported. The samples, which a later run
    may compare with, go before what a person reads. What was cut stands in ``cut``: where, and how many entries.
    """
    agents, metrics = told["agents"], told["metrics"]
    lists: list[tuple[str, Any, str]] = [
        ("agents.expected", agents, "expected"),
        ("agents.reported", agents, "reported"),
        ("samples", told, "samples"),
        *((f"metrics.{name}", metrics, name) for name in metrics),
        ("agents.failed", agents, "failed"),
        ("agents.missing", agents, "missing"),
        ("checks", told, "checks"),
    ]
    for least in (LEAST_KEPT, 0):
        for name, holder, key in lists:
            if _size(told) <= largest:
                return told
            if name == "checks":
                told["checks"].sort(key=lambda row: (row["passed"], row["severity"]))
            if name == "samples" and _name_fewer(told) and _size(told) <= largest:
                return told
            if len(holder[key]) > least:
                _shorten(told, name, holder, key, largest, least)
    return told


def _name_fewer(told: dict[str, Any]) -> bool:
    """Name :data:`LEAST_NAMED` agents in each list of each check, where there are more: whether there were.

    Their numbers stand beside the lists.
    """
    gone = 0
    for row in told["checks"]:
        for name in ("broken_by", "without", "only_now", "only_before"):
            named = row.get(name, [])
            gone += max(len(named) - LEAST_NAMED, 0)
            del named[LEAST_NAMED:]
    if gone:
        told.setdefault("cut", {})["checks.agents"] = gone
    return gone > 0


def _shorten(
    told: dict[str, Any], name: str, holder: dict[str, Any], key: str, largest: int, least: int
) -> None:
    """Keep as many entries of ``holder[key]`` as fit, from the beginning, and ``least`` in any case."""
    whole = holder[key]
    entries = list(whole.items()) if isinstance(whole, dict) else list(whole)
    cut = told.setdefault("cut", {})
    gone = cut.get(name, 0)

    def keep(count: int) -> bool:
        """Keep ``count`` entries; whether that is too much."""
        kept = entries[:count]
        holder[key], cut[name] = dict(kept) if isinstance(whole, dict) else kept, gone + len(entries) - count
        return _size(told) > largest

    # The least number that is too much is one more than the greatest that fits.
    keep(least + bisect_left(range(least + 1, len(entries)), True, key=keep))


def _size(told: Mapping[str, Any]) -> int:
    return len(json.dumps(told).encode())


def _agent(agent: Agent, **more: Any) -> dict[str, Any]:
    return {"agent_id": one_line(agent.agent_id), "agent_name": one_line(agent.agent_name), **more}


def _errors(reasons: Sequence[str]) -> list[str]:
    told = [one_line(reason) for reason in reasons[:MOST_ERRORS]]
    return told if len(reasons) <= MOST_ERRORS else [*told, f"and {len(reasons) - MOST_ERRORS} more"]


def _judged_values(seen: Observed) -> Iterable[tuple[str, str, Agent, list[Any]]]:
    """The values of each judged metric of each agent: of those that checks name, else of what sums a row up."""
    for result_type, rows in sorted(seen.rows.items()):
        named = [one.check.metric for one in seen.judgement.checks if one.check.result_type == result_type]
        metrics = dict.fromkeys(named or [name for name, _ in RESULT_TYPES[result_type].metrics])
        agents = by_agent(result_type, rows)
        for metric in metrics:
            sample = number if kind_of(result_type, metric) is Kind.NUMBER else _sample
            for one in agents:
                found = map(sample, values_of(result_type, metric, one.rows))
                yield (
                    result_type,
                    one_line(metric),
                    one.agent,
                    [value for value in found if value is not None],
                )


def _sample(value: Any) -> float | str | bool | None:
    """A value as a sample: a number, also one that is spelled, a boolean, or a short text."""
    found = number(value)
    if found is not None or isinstance(value, bool):
        return value if found is None else found
    fits = isinstance(value, str) and 0 < len(value) <= LONGEST_SAMPLE and one_line(value) == value
    return value if fits else None


def _metrics(values: Sequence[tuple[str, str, Agent, list[Any]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Least, mean and greatest value of each metric over the rows that have it, by result type."""
    numbers: dict[tuple[str, str], list[float]] = {}
    for result_type, metric, _, found in values:
        numbers.setdefault((result_type, metric), []).extend(one for one in found if isinstance(one, float))
    told: dict[str, dict[str, dict[str, float]]] = {}
    for (result_type, metric), of_metric in numbers.items():
        if of_metric:
            figures = {"min": min(of_metric), "mean": round(mean(of_metric), 3), "max": max(of_metric)}
            told.setdefault(result_type, {})[metric] = {name: plain(one) for name, one in figures.items()}
    return told


def _samples(values: Sequence[tuple[str, str, Agent, list[Any]]]) -> dict[str, dict[str, Any]]:
    """The values of each agent, by ``result type.metric``; a list where it has several rows."""
    told: dict[str, dict[str, Any]] = {}
    for result_type, metric, agent, found in values:
        if found:
            listed = [plain(value) for value in found]
            name = f"{result_type}.{metric}"
            told.setdefault(agent_key(agent), {})[name] = listed[0] if len(listed) == 1 else listed
    return told
