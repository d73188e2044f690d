"""The evidence of a run: a JSON object with the verdict, its reasons and the figures behind it.

The evidence is the return value of the task (XCom), and what notifications, reports, the suite and the report pages
read. Its keys are in order of importance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.metrics import Kind, kind_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.api.rounds import app_link
from thousandeyes_provider.validation.aggregates import mean
from thousandeyes_provider.validation.evaluation import agent_entry
from thousandeyes_provider.validation.formatting import one_line
from thousandeyes_provider.validation.samples import AgentRows, RoundRows, agent_key, plain
from thousandeyes_provider.validation.summary import agents_by_severity, headline
from thousandeyes_provider.validation.verdict import NOT_JUDGED, AgentError, Judgement, Verdict

MAX_EVIDENCE_BYTES = 48 * 1024
"""Bytes of the evidence as JSON: an XCom backend has to store it."""

MAX_ERRORS = 10
"""Errors of one agent; the others are counted."""

MIN_ENTRIES = 20
"""Entries that stay in each list until every list has been shortened to this length."""

MIN_NAMED_AGENTS = 3
"""Agents that stay in each list of a check row."""

MAX_SAMPLE_TEXT = 80
"""Characters of a text sample; a longer text is no sample."""

MAX_LINK = 2000
"""Characters of a link; a longer link is left out, since a shortened link does not work."""

MAX_LIST = 1500
"""Entries of any list before the size is measured: no more of them fit into :data:`MAX_EVIDENCE_BYTES`."""


@dataclass(frozen=True)
class MissingAgent:
    """An expected agent with missing rows.

    :param agent: the agent.
    :param state: its state in ThousandEyes: ``online``, ``offline``, ``disabled``, ``unknown`` (not listed), or
        ``None`` when the state could not be read.
    :param missing_rows: which rows are missing, when the agent sent some: ``dns-server 1 of 2``.
    """

    agent: Agent
    state: str | None = None
    missing_rows: str | None = None


@dataclass(frozen=True)
class Observed:
    """What evidence is made of. Times are epoch seconds by ThousandEyes' clock.

    Use :func:`dataclasses.replace` to change a part, and :func:`evidence` to build the evidence again.

    :param test_id: the test; empty when it was not created.
    :param test_name: its name; empty when it is not known.
    :param test_type: a key of :data:`~thousandeyes_provider.api.result_types.TEST_TYPES`; empty when it is not known.
    :param account_group_id: the account group in force; ``None`` when it is not known.
    :param verdict: the verdict.
    :param finished_at: when the run was judged.
    :param sent_at: when the run call was sent; ``None`` when it was not.
    :param started_at: when ThousandEyes accepted the run; ``None`` when it did not.
    :param rounds: the round of each result type.
    :param run_calls: how often the run call was sent.
    :param requests: requests of the task in all.
    :param throttled_seconds: time spent on rate limits (429).
    :param paced_seconds: time spent on our own spacing of requests.
    :param expected: the expected agents.
    :param reported: the agents that sent every row.
    :param missing: the expected agents with missing rows.
    :param arrived_at: when the last row of an agent was first seen, by
        :func:`~thousandeyes_provider.validation.samples.agent_key`.
    :param judgement: the judgement; it also holds the rows of the round.
    :param steps: the failed step of an agent by agent key, as
        :func:`~thousandeyes_provider.validation.steps.failed_step` returns it.
    :param links: ``test`` and ``snapshot``, where known. ``round`` is added: the round at the worst agent.
    :param from_test: id of the test whose settings were taken over; empty for none.
    :param from_test_name: its name.
    :param task_id: the task that judged it; empty outside of Airflow.
    :param map_index: its map index; -1 for a task that is not mapped.
    :param reason: why the run could not be judged, for inconclusive verdicts: the error, or the rounds of other runs.
    """

    test_id: str
    test_name: str
    test_type: str
    account_group_id: str | None
    verdict: Verdict
    finished_at: float
    sent_at: float | None = None
    started_at: float | None = None
    rounds: Mapping[str, int] = field(default_factory=dict)
    run_calls: int = 0
    requests: int = 0
    throttled_seconds: float = 0.0
    paced_seconds: float = 0.0
    expected: ExpectedAgents = UNKNOWN
    reported: Sequence[Agent] = ()
    missing: Sequence[MissingAgent] = ()
    arrived_at: Mapping[str, float] = field(default_factory=dict)
    judgement: Judgement = NOT_JUDGED
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    from_test: str = ""
    from_test_name: str = ""
    task_id: str = ""
    map_index: int = -1


def evidence(observed: Observed) -> dict[str, Any]:
    """Build the evidence of a run, at most :data:`MAX_EVIDENCE_BYTES` of JSON.

    Texts of the API are one printable line each. ``cut`` counts the entries that were left out for size.
    """
    judgement = observed.judgement
    links = {name: link for name, link in observed.links.items() if _is_short_link(link)}
    cut: dict[str, int] = (
        {"links": len(observed.links) - len(links)} if len(links) < len(observed.links) else {}
    )
    countries = {
        agent.key: agent.country_id
        for result_type in reversed(judgement.rows.result_types)
        for agent in judgement.rows.agents(result_type)
    }

    def listed(name: str, entries: Sequence[Any], entry: Any) -> list[Any]:
        if len(entries) > MAX_LIST:
            cut[name] = len(entries) - MAX_LIST
        return [entry(value) for value in islice(entries, MAX_LIST)]

    samples, samples_left_out = _samples(judgement)
    result: dict[str, Any] = {
        "verdict": observed.verdict.value,
        "summary": "",
        "reason": one_line(observed.reason, 2 * MAX_SAMPLE_TEXT),
        "test_id": one_line(observed.test_id),
        "test_name": one_line(observed.test_name),
        "test_type": observed.test_type,
        "from_test": {
            "test_id": one_line(observed.from_test),
            "test_name": one_line(observed.from_test_name),
        },
        "account_group_id": (
            None if observed.account_group_id is None else one_line(observed.account_group_id)
        ),
        "failed_agents": listed(
            "failed_agents",
            judgement.errors,
            lambda error: _failed_entry(error, observed.steps.get(error.key)),
        ),
        "checks": [check.to_json() for check in judgement.checks],
        "agents": {
            "expected": listed("agents.expected", observed.expected.agents, agent_entry),
            "expected_count": observed.expected.count,
            "expected_source": observed.expected.source,
            "reported": listed(
                "agents.reported",
                observed.reported,
                lambda agent: (
                    agent_entry(agent)
                    | {
                        "country": one_line(countries.get(agent_key(agent), "")) or None,
                        "arrived_after": _seconds_between(
                            observed.sent_at, observed.arrived_at.get(agent_key(agent))
                        ),
                    }
                ),
            ),
            "missing": listed("agents.missing", observed.missing, _missing_entry),
            "ok_count": _ok_count(observed.reported, judgement),
            "allowed_errors": judgement.allowed,
        },
        "sent_at": _iso(observed.sent_at),
        "started_at": _iso(observed.started_at),
        "finished_at": _iso(observed.finished_at),
        "rounds": dict(observed.rounds),
        "run_calls": observed.run_calls,
        "requests": observed.requests,
        "throttled_seconds": round(observed.throttled_seconds, 1),
        "paced_seconds": round(observed.paced_seconds, 1),
        "task_id": one_line(observed.task_id),
        "map_index": observed.map_index,
        "metrics": _metrics(judgement),
        "samples": samples,
    }
    inconclusive = observed.verdict not in (Verdict.PASSED, Verdict.FAILED)
    if observed.verdict is not Verdict.ERROR and not (inconclusive and observed.reason):
        del result["reason"]
    if not observed.from_test:
        del result["from_test"]
    if not observed.task_id:
        del result["task_id"], result["map_index"]
    if judgement.baseline is not None:
        result["baseline"] = _baseline(judgement)
    if round_link := links.pop("round", "") or _worst_round_link(result, judgement.rows):
        links = {"round": round_link} | links
    result["links"] = links
    if samples_left_out:
        cut["samples"] = samples_left_out
    if cut:
        result["cut"] = cut
    result["summary"] = headline(result)
    return fit(result)


def confirmed(evidence: Mapping[str, Any], first: Mapping[str, Any], *, same: bool) -> dict[str, Any]:
    """Return the evidence of a run that repeats a failed run (``confirm_failures``), with its headline.

    A failure that is not the same is not confirmed: the verdict becomes ``passed``, with ``unconfirmed``.

    :param evidence: the evidence of the repeated run.
    :param first: what to show of the first run, as ``confirms``: ``started_at``, ``rounds``, ``links``.
    :param same: whether the failures are the same (:func:`~thousandeyes_provider.validation.verdict.same_failure`).
    """
    result = {**evidence, "confirms": dict(first)}
    if result["verdict"] == Verdict.FAILED and not same:
        result |= {"verdict": Verdict.PASSED.value, "unconfirmed": True}
    result["summary"] = headline(result)
    return fit(result)


# -- size ------------------------------------------------------------------------------------------------------------


def fit(evidence: dict[str, Any], largest: int = MAX_EVIDENCE_BYTES) -> dict[str, Any]:
    """Shorten the lists of ``evidence`` until it has at most ``largest`` bytes of JSON, and return it.

    The least important lists are shortened first: the samples of the baseline, the expected agents, the agents that
    reported. The samples, which a later run may compare with, go before the lists that a person reads. ``cut``
    counts the entries of each list that were left out.
    """
    size = len(json.dumps(evidence))
    if size <= largest:
        return evidence
    agents = evidence["agents"]
    holders: list[tuple[str, dict[str, Any], str]] = [
        ("agents.expected", agents, "expected"),
        ("agents.reported", agents, "reported"),
        ("samples", evidence, "samples"),
        *((f"metrics.{name}", evidence["metrics"], name) for name in evidence["metrics"]),
        ("failed_agents", evidence, "failed_agents"),
        ("agents.missing", agents, "missing"),
        ("checks", evidence, "checks"),
    ]
    if "samples" in evidence.get("baseline", {}):
        holders.insert(0, ("baseline.samples", evidence["baseline"], "samples"))
    for least in (MIN_ENTRIES, 0):
        for name, holder, key in holders:
            if size <= largest:
                return evidence
            if name == "checks":
                evidence["checks"].sort(key=lambda row: (row["passed"], row["severity"]))
            if name == "samples" and _name_fewer_agents(evidence):
                size = len(json.dumps(evidence))
            if size > largest and len(holder[key]) > least:
                size = _shorten(evidence, name, holder, key, size, largest, least)
    return evidence


def _shorten(
    evidence: dict[str, Any], name: str, holder: dict[str, Any], key: str, size: int, largest: int, least: int
) -> int:
    """Keep the first entries of a list, as many as fit and at least ``least``; return the new size of the evidence.

    :param size: the size of the evidence.
    :param largest: the size that it may have.
    """
    whole = holder[key]
    entries: list[Any] = list(whole.items()) if isinstance(whole, dict) else list(whole)
    size -= _cut_size(evidence)
    cut = evidence.setdefault("cut", {})
    before = cut.get(name, 0)
    # The count has most digits when everything goes: with room for that, whatever is kept fits.
    cut[name] = before + len(entries)
    kept, removed = _most_kept(entries, type(whole), size + _cut_size(evidence) - largest, least)
    holder[key] = type(whole)(entries[:kept])
    cut[name] = before + len(entries) - kept
    return size - removed + _cut_size(evidence)


def _most_kept(entries: Sequence[Any], kind: type, excess: int, least: int) -> tuple[int, int]:
    """How many of the first entries can stay when the others have to make up ``excess`` bytes; at least ``least``.

    :param entries: the entries of a list, or the items of a dict.
    :param kind: ``list`` or ``dict``.
    :return: how many stay, and how many bytes the others take up.
    """

    def measure(first: int, end: int) -> int:
        # The brackets of these entries are as long as the comma and the space that go with them.
        return len(json.dumps(kind(entries[first:end])))

    low, high, removed = least, len(entries), 0
    while high - low > 1:
        middle = (low + high) // 2
        size = measure(middle, high)
        if removed + size >= excess:
            low = middle
        else:
            high, removed = middle, removed + size
    removed += measure(low, high)
    return low, removed if low else removed - len(", ")


def _cut_size(evidence: Mapping[str, Any]) -> int:
    """The bytes of ``cut`` with its key, the comma before it, and the spaces."""
    return len(json.dumps({"cut": evidence["cut"]})) if "cut" in evidence else 0


def _name_fewer_agents(evidence: dict[str, Any]) -> bool:
    """Keep :data:`MIN_NAMED_AGENTS` agents in each list of each check row; return whether any list was longer."""
    cut = 0
    for row in evidence["checks"]:
        for name in ("failing_agents", "without_metric", "only_now", "only_before"):
            named = row.get(name, [])
            cut += max(len(named) - MIN_NAMED_AGENTS, 0)
            del named[MIN_NAMED_AGENTS:]
    if cut:
        counts = evidence.setdefault("cut", {})
        counts["checks.agents"] = counts.get("checks.agents", 0) + cut
    return cut > 0


# -- parts -----------------------------------------------------------------------------------------------------------


def _failed_entry(error: AgentError, step: Mapping[str, Any] | None) -> dict[str, Any]:
    entry = agent_entry(error.agent) | {
        "country": one_line(error.country_id) or None,
        "errors": _errors(error.reasons),
    }
    return entry | ({"step": dict(step)} if step else {})


def _missing_entry(missing: MissingAgent) -> dict[str, Any]:
    entry = agent_entry(missing.agent) | {"state": missing.state and one_line(missing.state)}
    return entry | ({"missing_rows": one_line(missing.missing_rows)} if missing.missing_rows else {})


def _errors(reasons: Sequence[str]) -> list[str]:
    errors = [one_line(reason) for reason in reasons[:MAX_ERRORS]]
    return errors if len(reasons) <= MAX_ERRORS else [*errors, f"and {len(reasons) - MAX_ERRORS} more"]


def _ok_count(reported: Sequence[Agent], judgement: Judgement) -> int:
    """How many agents that reported have no error and fail no check of severity ``error``."""
    bad = {error.key for error in judgement.errors}
    for check in judgement.failed_checks:
        bad.update(agent_key(value.agent) for value in check.failing_agents)
        bad.update(map(agent_key, check.without_metric))
    return sum(agent_key(agent) not in bad for agent in reported)


def _worst_round_link(evidence: Mapping[str, Any], rows: RoundRows) -> str:
    """The deep link to the round at the worst agent that has one; of any agent when every agent is ok."""
    by_key: dict[str, AgentRows] = {}
    for result_type in rows.result_types:
        for agent in rows.agents(result_type):
            by_key.setdefault(agent.key, agent)
    worst = (by_key[problem.key] for problem in agents_by_severity(evidence) if problem.key in by_key)
    for agents in (worst, by_key.values()):
        for agent in agents:
            for row in agent.rows:
                if (link := app_link(row)) and _is_short_link(link):
                    return link
    return ""


def _is_short_link(link: str) -> bool:
    return link.isascii() and len(link) <= MAX_LINK


def _iso(time: float | None) -> str | None:
    return None if time is None else iso_time(time)


def _seconds_between(sent_at: float | None, arrived_at: float | None) -> float | None:
    return None if sent_at is None or arrived_at is None else round(max(arrived_at - sent_at, 0.0), 1)


def _judged_metrics(judgement: Judgement) -> Iterator[tuple[str, str]]:
    """The judged metrics of each result type: those that the checks name, else those that summarize a row."""
    for result_type in judgement.rows.result_types:
        named = [
            result.check.metric for result in judgement.checks if result.check.result_type == result_type
        ]
        for metric in dict.fromkeys(named or [name for name, _ in RESULT_TYPES[result_type].metrics]):
            yield result_type, metric


def _metrics(judgement: Judgement) -> dict[str, dict[str, dict[str, float]]]:
    """Minimum, mean and maximum of each judged metric over all rows with a number."""
    metrics: dict[str, dict[str, dict[str, float]]] = {}
    for result_type, metric in _judged_metrics(judgement):
        if kind_of(result_type, metric) in (Kind.NUMBER, None):
            numbers = judgement.rows.numbers(result_type, metric).sorted_numbers
            if numbers:
                figures = {"min": numbers[0], "mean": round(mean(numbers), 3), "max": numbers[-1]}
                metrics.setdefault(result_type, {})[one_line(metric)] = {
                    figure: plain(value) for figure, value in figures.items()
                }
    return metrics


def _samples(judgement: Judgement) -> tuple[dict[str, dict[str, Any]], int]:
    """The values of each judged metric by agent, and how many agents were left out."""
    rows = judgement.rows
    samples: dict[str, dict[str, Any]] = {}
    left_out: set[str] = set()
    for result_type, metric in _judged_metrics(judgement):
        name = f"{result_type}.{one_line(metric)}"
        is_number = kind_of(result_type, metric) is Kind.NUMBER
        of_metric = (rows.numbers if is_number else rows.values)(result_type, metric)
        as_sample = plain if is_number else _sample
        for agent, values in zip(rows.agents(result_type), of_metric.values, strict=True):
            if type(values) is tuple:
                shown = [sample for value in values if (sample := as_sample(value)) is not None]
                sample = shown[0] if len(shown) == 1 else shown or None
            else:
                sample = as_sample(values)
            if sample is None:
                continue
            of_agent = samples.get(agent.key)
            if of_agent is None:
                if len(samples) >= MAX_LIST:
                    left_out.add(agent.key)
                    continue
                of_agent = samples[agent.key] = {}
            of_agent[name] = sample
    return samples, len(left_out)


def _sample(value: Any) -> float | str | bool | None:
    """A value as a sample: a number, also when it is spelled, a boolean, or a short text."""
    if value is None or isinstance(value, bool):
        return value
    if (as_number := number(value)) is not None:
        sample: float = plain(as_number)
        return sample
    fits = isinstance(value, str) and 0 < len(value) <= MAX_SAMPLE_TEXT and value.isprintable()
    return value if fits and one_line(value) == value else None


def _baseline(judgement: Judgement) -> dict[str, Any]:
    """The baseline: its source, why it is not usable, and the values that the checks compared with."""
    baseline = judgement.baseline
    assert baseline is not None
    result: dict[str, Any] = {"source": one_line(baseline.source)}
    if baseline.unusable:
        return result | {"reason": one_line(baseline.unusable)}
    if baseline.warning:
        result["warning"] = one_line(baseline.warning)
    samples: dict[str, dict[str, Any]] = {}
    compared = dict.fromkeys(
        (result.check.result_type, result.check.metric)
        for result in judgement.checks
        if result.check.compares
    )
    for result_type, metric in compared:
        for key, values in islice(baseline.of(result_type, metric).items(), MAX_LIST):
            shown = [plain(value) for value in values]
            name = f"{result_type}.{one_line(metric)}"
            samples.setdefault(key, {})[name] = shown[0] if len(shown) == 1 else shown
    return result | {"samples": samples}
