"""The evidence of a run: one JSON object that says what was asked, seen and decided. It goes to XCom."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thousandeyes_provider.api.expectation import Agent, Expected
from thousandeyes_provider.api.http import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row
from thousandeyes_provider.api.rounds import agent_id_of, agent_name_of
from thousandeyes_provider.api.values import number
from thousandeyes_provider.validation.verdict import Judgement, Verdict

LARGEST = 48 * 1024
"""Bytes of the evidence as JSON: it has to fit where XComs are kept."""

LONGEST_TEXT = 200
"""Characters of any one text; a longer one ends in an ellipsis."""

MOST_ERRORS = 10
"""Errors that are told of one agent, before the rest is only counted."""

LEAST_KEPT = 20
"""Entries that stay of each list until every list is down to them: of everything a person wants to see some."""

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
    expected: Expected
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
    told: dict[str, Any] = {
        "test_id": _line(seen.test_id),
        "test_name": _line(seen.test_name),
        "test_type": seen.test_type,
        "account_group_id": None if seen.account_group_id is None else _line(seen.account_group_id),
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
                _agent(missing.agent, state=missing.state and _line(missing.state))
                | ({"lacking": _line(missing.lacking)} if missing.lacking else {})
                for missing in seen.missing
            ],
            "failed": [_agent(error.agent, errors=_errors(error.reasons)) for error in seen.judgement.errors],
            "allowed_errors": seen.judgement.allowed,
        },
        "checks": [],
        "metrics": _metrics(seen.rows),
        "samples": _samples(seen.rows),
        "links": links,
    }
    if len(links) < len(seen.links):
        told["cut"] = {"links": len(seen.links) - len(links)}
    return fit(told)


def fit(told: dict[str, Any], largest: int = LARGEST) -> dict[str, Any]:
    """``told`` in at most ``largest`` bytes of JSON: the least important lists are shortened first.

    What was cut stands in ``cut``: where, and how many entries.
    """
    agents = told["agents"]
    places: list[tuple[str, Any, str]] = [
        ("samples", told, "samples"),
        ("agents.expected", agents, "expected"),
        ("agents.reported", agents, "reported"),
        ("agents.failed", agents, "failed"),
        ("agents.missing", agents, "missing"),
    ]
    for least in (LEAST_KEPT, 0):
        for name, holder, key in places:
            if _size(told) <= largest:
                return told
            if len(holder[key]) > least:
                _shorten(told, name, holder, key, largest, least)
    return told


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
    return {"agent_id": _line(agent.agent_id), "agent_name": _line(agent.agent_name), **more}


def _errors(reasons: Sequence[str]) -> list[str]:
    told = [_line(reason) for reason in reasons[:MOST_ERRORS]]
    return told if len(reasons) <= MOST_ERRORS else [*told, f"and {len(reasons) - MOST_ERRORS} more"]


def _line(text: str) -> str:
    """``text`` as one line of at most :data:`LONGEST_TEXT` characters, without any that a log could not show."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text[: 4 * LONGEST_TEXT]).split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _values(rows: Mapping[str, Sequence[Row]]) -> Iterable[tuple[str, str, Row, float]]:
    for result_type, found in sorted(rows.items()):
        for metric, _ in RESULT_TYPES[result_type].metrics:
            for row in found:
                value = number(row.get(metric))
                if value is not None:
                    yield result_type, metric, row, value


def _metrics(rows: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, dict[str, float]]]:
    """Least, mean and greatest value of each metric over the rows that have it, by result type."""
    values: dict[tuple[str, str], list[float]] = {}
    for result_type, metric, _, value in _values(rows):
        values.setdefault((result_type, metric), []).append(value)
    told: dict[str, dict[str, dict[str, float]]] = {}
    for (result_type, metric), found in values.items():
        told.setdefault(result_type, {})[metric] = {
            "min": min(found),
            "mean": round(sum(value / len(found) for value in found), 3),
            "max": max(found),
        }
    return told


def _samples(rows: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, float | list[float]]]:
    """The values of each agent, by ``result type.metric``; a list where it has several rows."""
    told: dict[str, dict[str, Any]] = {}
    for result_type, metric, row, value in _values(rows):
        of_agent = told.setdefault(_line(agent_id_of(row) or agent_name_of(row)), {})
        name = f"{result_type}.{metric}"
        if name not in of_agent:
            of_agent[name] = value
        elif isinstance(of_agent[name], list):
            of_agent[name].append(value)
        else:
            of_agent[name] = [of_agent[name], value]
    return told
