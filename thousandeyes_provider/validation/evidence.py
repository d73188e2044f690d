"""The evidence of a run: a JSON object with the verdict, its reasons and the figures behind it.

The evidence is the return value of the task (XCom), and what notifications, reports, the suite and the report pages
read. Its keys are in order of importance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.metrics import Kind, kind_of
from thousandeyes_provider.api.response import iso_time
from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.api.rounds import app_link
from thousandeyes_provider.validation.aggregates import mean
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.evaluation import agent_entry
from thousandeyes_provider.validation.evidence_size import fit
from thousandeyes_provider.validation.formatting import one_line
from thousandeyes_provider.validation.samples import AgentRows, RoundRows, agent_key, plain
from thousandeyes_provider.validation.summary import agents_by_severity, headline
from thousandeyes_provider.validation.verdict import NOT_JUDGED, AgentError, Judgement, Verdict

T = TypeVar("T")

MAX_ERRORS = 10
"""Errors of one agent; the others are counted."""

MAX_SAMPLE_TEXT = 80
"""Maximum characters of a text sample. Longer texts are omitted."""

MAX_LINK = 2000
"""Characters of a link; a longer link is left out, since a shortened link does not work."""

MAX_LIST = 1500
"""Entries of any list before the size is measured: no more of them fit into the evidence."""


@dataclass(frozen=True)
class MissingAgent:
    """An expected agent with missing rows.

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
    :param finished_at: when the run was judged.
    :param sent_at: when the run call was sent; ``None`` when it was not.
    :param started_at: when ThousandEyes accepted the run; ``None`` when it did not.
    :param rounds: the round of each result type.
    :param run_calls: number of times that the run call was sent.
    :param requests: requests of the task in all.
    :param throttled_seconds: time spent on rate limits (429).
    :param paced_seconds: time spent on our own spacing of requests.
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
    """Build the evidence of a run, at most 48 KiB of JSON.

    Texts of the API are one printable line each. ``cut`` counts the entries that were left out for size.
    """
    judgement, cut = observed.judgement, dict[str, int]()
    links = {name: link for name, link in observed.links.items() if _is_short_link(link)}
    if len(links) < len(observed.links):
        cut["links"] = len(observed.links) - len(links)
    result: dict[str, Any] = {
        "verdict": observed.verdict.value,
        "summary": "",
        **_identity(observed),
        "failed_agents": _listed(
            cut,
            "failed_agents",
            judgement.errors,
            lambda error: _failed_entry(error, observed.steps.get(error.key)),
        ),
        "checks": [check.to_json() for check in judgement.checks],
        "agents": _agents(observed, cut),
        **_course(observed),
        "metrics": _metrics(judgement),
        "samples": _samples(judgement, cut),
    }
    if judgement.baseline is not None:
        result["baseline"] = _baseline(judgement, judgement.baseline)
    if round_link := links.pop("round", "") or _worst_round_link(result, judgement.rows):
        links = {"round": round_link} | links
    result["links"] = links
    if cut:
        result["cut"] = cut
    result["summary"] = headline(result)
    return fit(result)


def confirmed(evidence: Mapping[str, Any], first: Mapping[str, Any], *, same: bool) -> dict[str, Any]:
    """Return the evidence of a run that repeats a failed run (``confirm_failures``), with its headline.

    A failure that is not the same is not confirmed: the verdict becomes ``passed``, with ``unconfirmed``.

    :param first: what to show of the first run, as ``confirms``: ``started_at``, ``rounds``, ``links``.
    :param same: whether the failures are the same (:func:`~thousandeyes_provider.validation.verdict.same_failure`).
    """
    result = {**evidence, "confirms": dict(first)}
    if result["verdict"] == Verdict.FAILED and not same:
        result |= {"verdict": Verdict.PASSED.value, "unconfirmed": True}
    result["summary"] = headline(result)
    return fit(result)


# -- parts -----------------------------------------------------------------------------------------------------------


def _listed(cut: dict[str, int], name: str, entries: Sequence[T], entry: Callable[[T], Any]) -> list[Any]:
    """The entries of a list, at most :data:`MAX_LIST`; ``cut`` counts the others."""
    if len(entries) > MAX_LIST:
        cut[name] = len(entries) - MAX_LIST
    return [entry(value) for value in islice(entries, MAX_LIST)]


def _identity(observed: Observed) -> dict[str, Any]:
    """Why the run could not be judged, and the test."""
    identity: dict[str, Any] = {}
    inconclusive = observed.verdict not in (Verdict.PASSED, Verdict.FAILED)
    if observed.verdict is Verdict.ERROR or (inconclusive and observed.reason):
        identity["reason"] = one_line(observed.reason, 2 * MAX_SAMPLE_TEXT)
    identity |= {
        "test_id": one_line(observed.test_id),
        "test_name": one_line(observed.test_name),
        "test_type": observed.test_type,
    }
    if observed.from_test:
        identity["from_test"] = {
            "test_id": one_line(observed.from_test),
            "test_name": one_line(observed.from_test_name),
        }
    group = observed.account_group_id
    return identity | {"account_group_id": None if group is None else one_line(group)}


def _agents(observed: Observed, cut: dict[str, int]) -> dict[str, Any]:
    """The expected agents, and those that reported."""
    rows = observed.judgement.rows
    countries = {
        agent.key: agent.country_id
        for result_type in reversed(rows.result_types)
        for agent in rows.agents(result_type)
    }

    def reported(agent: Agent) -> dict[str, Any]:
        key = agent_key(agent)
        arrived_at, after = observed.arrived_at.get(key), None
        if observed.sent_at is not None and arrived_at is not None:
            after = round(max(arrived_at - observed.sent_at, 0.0), 1)
        return agent_entry(agent) | {
            "country": one_line(countries.get(key, "")) or None,
            "arrived_after": after,
        }

    return {
        "expected": _listed(cut, "agents.expected", observed.expected.agents, agent_entry),
        "expected_count": observed.expected.count,
        "expected_source": observed.expected.source,
        "reported": _listed(cut, "agents.reported", observed.reported, reported),
        "missing": _listed(cut, "agents.missing", observed.missing, _missing_entry),
        "ok_count": _ok_count(observed.reported, observed.judgement),
        "allowed_errors": observed.judgement.allowed,
    }


def _course(observed: Observed) -> dict[str, Any]:
    """The times, rounds and requests of the run, and its task."""
    times = {
        "sent_at": observed.sent_at,
        "started_at": observed.started_at,
        "finished_at": observed.finished_at,
    }
    course: dict[str, Any] = {
        **{name: None if time is None else iso_time(time) for name, time in times.items()},
        "rounds": dict(observed.rounds),
        "run_calls": observed.run_calls,
        "requests": observed.requests,
        "throttled_seconds": round(observed.throttled_seconds, 1),
        "paced_seconds": round(observed.paced_seconds, 1),
    }
    if observed.task_id:
        course |= {"task_id": one_line(observed.task_id), "map_index": observed.map_index}
    return course


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
    """Number of reporting agents without an error and without a failed check of severity ``error``."""
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


def _judged_metrics(judgement: Judgement) -> Iterator[tuple[str, str]]:
    """The judged metrics of each result type: those that the checks name, else those that summarize a row."""
    for result_type in judgement.rows.result_types:
        named = [
            result.check.metric for result in judgement.checks if result.check.result_type == result_type
        ]
        for metric in dict.fromkeys(named or RESULT_TYPES[result_type].metrics):
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


def _samples(judgement: Judgement, cut: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The values of each judged metric by agent."""
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
                sample = _single([sample for value in values if (sample := as_sample(value)) is not None])
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
    if left_out:
        cut["samples"] = len(left_out)
    return samples


def _single(values: list[Any]) -> Any:
    """The only value of a list, the list when it has several, ``None`` when it has none."""
    return values[0] if len(values) == 1 else values or None


def _sample(value: Any) -> float | str | bool | None:
    """A value as a sample: a number, also when it is spelled, a boolean, or a short text."""
    if value is None or isinstance(value, bool):
        return value
    if (as_number := number(value)) is not None:
        sample: float = plain(as_number)
        return sample
    fits = isinstance(value, str) and 0 < len(value) <= MAX_SAMPLE_TEXT and value.isprintable()
    return value if fits and one_line(value) == value else None


def _baseline(judgement: Judgement, baseline: Baseline) -> dict[str, Any]:
    """The baseline: its source, why it is not usable, and the values that the checks compared with."""
    result: dict[str, Any] = {"source": one_line(baseline.source)}
    if baseline.unusable:
        return result | {"reason": one_line(baseline.unusable)}
    if baseline.warning:
        result["warning"] = one_line(baseline.warning)
    samples: dict[str, dict[str, Any]] = {}
    compared = [result.check for result in judgement.checks if result.check.compares]
    for result_type, metric in dict.fromkeys((check.result_type, check.metric) for check in compared):
        name = f"{result_type}.{one_line(metric)}"
        for key, values in islice(baseline.of(result_type, metric).items(), MAX_LIST):
            samples.setdefault(key, {})[name] = _single([plain(value) for value in values])
    return result | {"samples": samples}
