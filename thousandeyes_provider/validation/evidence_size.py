"""Shortening of evidence to the size that every XCom backend stores. ``cut`` counts omitted entries by list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MAX_EVIDENCE_BYTES = 48 * 1024
"""Bytes of the evidence of a run or a suite as JSON."""

MIN_ENTRIES = 20
"""Entries that stay in each list until every list has been shortened to this length."""

MIN_NAMED_AGENTS = 3
"""Agents that stay in each list of a check row."""

_EMPTY_CUT = ', "cut": {}'
_COUNT = ', "": 999999'
"""An entry of ``cut`` without the name of the list."""


def size_of(evidence: Mapping[str, Any] | list[Any]) -> int:
    """Return the bytes of a value as JSON."""
    return len(json.dumps(evidence))


def fit(evidence: dict[str, Any], largest: int = MAX_EVIDENCE_BYTES) -> dict[str, Any]:
    """Shorten the lists of the evidence of a run until it has at most ``largest`` bytes of JSON, and return it.

    The least important lists are shortened first: the samples of the baseline, the expected agents, the agents that
    reported. The samples, which a later run may compare with, go before the lists that a person reads.
    """
    agents, metrics = evidence["agents"], evidence["metrics"]
    lists: list[tuple[str, dict[str, Any], str]] = [
        ("agents.expected", agents, "expected"),
        ("agents.reported", agents, "reported"),
        ("checks.agents", evidence, "checks"),
        ("samples", evidence, "samples"),
        *((f"metrics.{name}", metrics, name) for name in metrics),
        ("failed_agents", evidence, "failed_agents"),
        ("agents.missing", agents, "missing"),
        ("checks", evidence, "checks"),
    ]
    if "samples" in evidence.get("baseline", {}):
        lists.insert(0, ("baseline.samples", evidence["baseline"], "samples"))
    excess = size_of(evidence) - largest
    for least in (MIN_ENTRIES, 0):
        for name, holder, key in lists:
            if excess <= 0:
                return evidence
            if name == "checks.agents":
                _name_fewer_agents(evidence)
                excess = size_of(evidence) - largest
                continue
            if name == "checks":
                evidence["checks"].sort(key=lambda row: (row["passed"], row["severity"]))
            excess = shorten_list(evidence, name, holder, key, excess, least)
    return evidence


def shorten_list(
    evidence: dict[str, Any], name: str, holder: dict[str, Any], key: str, excess: int, least: int = 0
) -> int:
    """Leave out the last entries of a list or an object until the evidence fits, and return the excess that is left.

    :param name: the name of the list in ``cut``.
    :param holder: the object that has the list, under ``key``.
    :param excess: the bytes by which the evidence is too large.
    :param least: entries that stay in any case.
    """
    whole = holder[key]
    entries = list(whole.items()) if isinstance(whole, dict) else whole
    excess += len(_COUNT + name) + (0 if "cut" in evidence else len(_EMPTY_CUT))
    kept = len(entries)
    while excess > 0 and kept > least:
        middle = (least + kept) // 2
        # The brackets around these entries are as long as the comma and the space before them.
        size = size_of(type(whole)(entries[middle:kept]))
        if size < excess or kept - middle == 1:
            kept, excess = middle, excess - size
        else:
            least = middle
    holder[key] = type(whole)(entries[:kept])
    _count(evidence, name, len(entries) - kept)
    return excess


def _name_fewer_agents(evidence: dict[str, Any]) -> None:
    """Keep :data:`MIN_NAMED_AGENTS` agents in each list of each check row."""
    for row in evidence["checks"]:
        for name in ("failing_agents", "without_metric", "only_now", "only_before"):
            named = row.get(name, [])
            _count(evidence, "checks.agents", len(named[MIN_NAMED_AGENTS:]))
            del named[MIN_NAMED_AGENTS:]


def _count(evidence: dict[str, Any], name: str, left_out: int) -> None:
    if left_out:
        cut = evidence.setdefault("cut", {})
        cut[name] = cut.get(name, 0) + left_out
