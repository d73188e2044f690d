"""Rows of arbitrary JSON lead to a verdict, evidence of bounded size, and readable texts.

The tests cover all steps without network and Airflow: wait, verdict, evidence, table, summary, reports, run handle.
"""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.api.definition import (
    definition_warnings,
    missing_credentials,
    names_agents,
    overridden,
    read_definition,
    secrets_in,
    settings_of,
    with_agent_ids,
)
from thousandeyes_provider.api.definition_schema import FIELDS
from thousandeyes_provider.api.expected_agents import (
    DIRECTIONS,
    directions_of,
    expected_from_rows,
    expected_from_test,
    result_types_of,
    rows_per_agent,
)
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, row_error
from thousandeyes_provider.api.round_progress import RoundProgress
from thousandeyes_provider.api.rounds import app_link, newest_round
from thousandeyes_provider.api.run import Plan, RunHandle
from thousandeyes_provider.api.test_search import is_older, select_tests
from thousandeyes_provider.validation.baseline import baseline_from_evidence, baseline_from_rows
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import MissingAgent, Observed, evidence
from thousandeyes_provider.validation.evidence_size import MAX_EVIDENCE_BYTES
from thousandeyes_provider.validation.reports import junit, markdown
from thousandeyes_provider.validation.summary import summary, table
from thousandeyes_provider.validation.verdict import judge, verdict_of

AT = 1_790_000_000
ACCEPTED = AT + 2.5
HUGE = 10**400
"""A valid JSON number beyond the range of a float."""

# Python's JSON parser also accepts NaN, Infinity and lone surrogates.
TEXTS = st.one_of(
    st.text(st.characters(), max_size=8),
    st.sampled_from(["", " ", "\ud800", "\x00\r\n", "-1", "1e999", "9" * 400, "a" * 5000, "<b>&|`", "]]>"]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXTS,
    st.sampled_from([HUGE, -HUGE, 2**63, -1, 0, 1e308, -1e308, float("nan"), float("inf")]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)


def fields_of(result_type):
    """Return the fields of this result type that the provider reads: metrics, errors and row keys."""
    return [
        *RESULT_TYPES[result_type].metrics,
        *("errorType", "errorDetails", "errorDetail", "problemDetail", "mappings", "isValid"),
        *RESULT_TYPES[result_type].row_keys,
        *("headers", "sslCertificates", "healthScore", "availability", "_links"),
    ]


@st.composite
def rows_of(draw, result_type):
    """Return valid rows with some invalid parts, sometimes many rows or equal rows."""
    agents = st.sampled_from(["1", "2", "3"]).map(
        lambda agent_id: {"agentId": agent_id, "agentName": f"Agent {agent_id}", "countryId": "DE"}
    )
    parts = st.sampled_from(fields_of(result_type))
    hostile_rows = []
    for _ in range(draw(st.integers(0, 4))):
        row = {"roundId": AT, "date": "2026-09-21T14:13:20Z", "agent": draw(agents), "_links": {}}
        row |= dict.fromkeys(RESULT_TYPES[result_type].metrics, 5.0)
        for name in draw(st.lists(parts, max_size=3)):
            row[name] = draw(ANYTHING)
        wrong = draw(st.sampled_from(["nothing"] * 4 + ["agent", "inside", "round", "start", "absent"]))
        if wrong == "agent":
            row["agent"] = draw(ANYTHING)
        elif wrong == "inside":
            row["agent"] = dict.fromkeys(("agentId", "agentName", "countryId"), draw(ANYTHING))
        elif wrong == "round":
            row["roundId"] = draw(
                SCALARS | st.sampled_from([str(AT), float(AT), AT + 60, AT - 3600, -AT, AT * 1000])
            )
        elif wrong == "start":
            row |= {"roundId": draw(ANYTHING), "startTime": draw(ANYTHING)}
        elif wrong == "absent":
            for name in draw(st.lists(st.sampled_from(sorted(row)), max_size=4)):
                row.pop(name, None)
        hostile_rows.append(row)
    return hostile_rows * draw(st.sampled_from([1, 1, 1, 2, 30]))


@st.composite
def definitions(draw):
    """Return a definition of a test with invalid parts."""
    names = ("agents", "dnsServers", "direction", "_links", "testName", "testId", "labels", "createdDate")
    fields = {name: draw(ANYTHING) for name in draw(st.lists(st.sampled_from(names), max_size=4))}
    if draw(st.booleans()):
        fields["agents"] = draw(
            st.lists(st.just({"agentId": "1", "agentName": "Agent 1"}) | ANYTHING, max_size=4)
        )
    if draw(st.booleans()):
        fields["_links"] = {"testResults": [{"href": draw(ANYTHING)}, draw(ANYTHING)]}
    return fields


def checks_on(result_type):
    """Return checks of every kind on the metrics of this result type, and text checks on numbers."""
    numbers = {"mean": {"leq_to": 100}, "every": {"less_than": 50, "quorum": 0.5}, "p95": {"leq_to": 1e308}}
    rules = {
        name: {
            **numbers,
            "count": {"geq_to": 1},
            "max": [{"change_leq_to": 0.2, "floor": 1}, {"delta_leq_to": 5, "severity": "warn"}],
            "any": {"one_of": [5, "5"]},
        }
        for name in RESULT_TYPES[result_type].metrics
    }
    rules["errorType"] = {
        "every": [{"contains": "no", "unlisted": True}, {"equal_to": "None", "unlisted": True}]
    }
    rules["agent.agentName"] = {"every": {"matches": "^Agent", "severity": "warn"}}
    rules["date"] = {"every": {"equal_to": "no date"}}
    if result_type == "http-server":
        rules["headers.responseHeaders"] = {"any": {"contains": "x-app: 1"}}
        rules["sslCertificates.subjectName"] = {"every": {"matches": "."}}
        rules["certificateDaysLeft"] = {"min": {"geq_to": 14}}
    return parse_checks({result_type: rules})


CHECKS = {name: checks_on(name) for name in RESULT_TYPES}


def as_received(fields):
    """Return the value after a round trip through JSON, as a hook returns it."""
    return json.loads(json.dumps(fields))


def ends(rows, *, test_type="http-server", test=None, before=(), checks=None, allowed=0, min_agents=None):
    """Build the evidence from the responses before and after a run, as the operators do."""
    rows, before, test = as_received(rows), as_received(list(before)), as_received(test or {})
    types = tuple(rows)
    hostile_rows = expected_from_test(test)
    plan = Plan(
        test_id="7",
        test_type=test_type,
        account_group_id=None,
        directions={name: directions_of(test_type, name, test) for name in types},
        rows_per_agent={name: rows_per_agent(test_type, name, test, before) for name in types},
        expected=hostile_rows if hostile_rows.count else expected_from_rows(before),
        remembered={name: newest_round(before) for name in types},
    )
    run = RunHandle(plan, AT, ACCEPTED, ACCEPTED + 600, 1)
    assert RunHandle.from_json(as_received(run.to_json())) == run
    waiting = RoundProgress.for_run(
        run, now=0.0, server_now=ACCEPTED, poll_interval=10, min_agents=min_agents, grace=60
    )
    for now in (10.0, 80.0, 600.0):
        waiting = waiting.poll(rows, now)
        assert waiting.next_poll(now) >= now
    state = waiting.state(600.0)
    ours = waiting.rows()
    history = baseline_from_rows(dict.fromkeys(types, before), checks, "history") if checks else None
    judgement = judge(ours, allowed, checks, history)
    missing = [
        MissingAgent(agent, "offline", waiting.missing_rows().get(agent)) for agent in waiting.missing()
    ]
    links = [link for hostile_rows in ours.values() for row in hostile_rows if (link := app_link(row))]
    return evidence(
        Observed(
            test_id=plan.test_id,
            test_name="Checkout",
            test_type=test_type,
            account_group_id=None,
            verdict=verdict_of(state, waiting, judgement),
            started_at=run.accepted_at,
            finished_at=ACCEPTED + 600,
            rounds=waiting.rounds(),
            run_calls=1,
            requests=4,
            throttled_seconds=0.0,
            expected=plan.expected,
            reported=waiting.reported(),
            missing=missing,
            judgement=judgement,
            links={"round": links[0]} if links else {},
        )
    )


def is_evidence(fields):
    """Check the properties of all evidence: bounded JSON, a consistent verdict, readable texts and reports."""
    text = json.dumps(fields, allow_nan=False)
    text.encode("utf-8")
    assert len(text) <= MAX_EVIDENCE_BYTES
    assert json.loads(text) == fields
    if fields["verdict"] == "passed":
        assert fields["rounds"]
        assert fields["agents"]["reported"]
        assert all(row["passed"] or row["severity"] == "warn" for row in fields["checks"])
    lines = table(fields).splitlines()
    assert len(lines) <= 60
    for line in (*lines, *summary(fields).splitlines()):
        assert line.isprintable()
    assert ElementTree.fromstring(junit(fields)).find("testsuite/testcase") is not None
    assert markdown(fields).startswith("# ")
    for earlier in (fields, text):
        baseline_from_evidence(earlier)


TYPES = [
    (test_type, name) for test_type, known in TEST_TYPES.items() for name in dict.fromkeys(known.result_types)
]


@given(data=st.data())
@settings(max_examples=150)
def test_any_rows_end_in_a_verdict(data):
    test_type, name = data.draw(st.sampled_from(TYPES))
    is_evidence(
        ends(
            {name: data.draw(rows_of(name))},
            test_type=test_type,
            test=data.draw(definitions()),
            before=[{**row, "roundId": AT - 3600} for row in data.draw(rows_of(name))],
            checks=data.draw(st.sampled_from([None, CHECKS[name]])),
            allowed=data.draw(st.sampled_from([0, 1, 1.0])),
            min_agents=data.draw(st.sampled_from([None, 1])),
        )
    )


@given(st.lists(st.dictionaries(TEXTS | st.sampled_from(["agent", "roundId"]), ANYTHING, max_size=4)))
@settings(max_examples=60)
def test_objects_that_are_not_rows_form_no_round(rows):
    rows = [{**row, "roundId": None, "startTime": []} for row in rows]
    fields = ends({"http-server": rows}, checks=CHECKS["http-server"])
    is_evidence(fields)
    assert (fields["verdict"], fields["rounds"]) == ("no_results", {})


def row(agent="1", **more):
    fields = {"agentId": agent, "agentName": f"Agent {agent}"}
    return {"roundId": AT, "agent": fields, "responseTime": 5, "totalTime": 5, **more}


@pytest.mark.parametrize(
    "value", [None, [], {}, "", "fast", True, float("nan"), float("inf"), HUGE, "9" * 400]
)
def test_a_measurement_that_is_not_a_number_never_passes(value):
    rows = {"http-server": [row(responseTime=value)]}
    for checks in (None, CHECKS["http-server"]):
        fields = ends(rows, checks=checks)
        is_evidence(fields)
        assert fields["verdict"] == "failed"


@pytest.mark.parametrize("value", [HUGE, -HUGE, float("nan"), "\ud800", ["a" * 5000, 1], {"x": 1}, True])
@pytest.mark.parametrize("rule", [{"equal_to": "no"}, {"contains": "no"}, {"one_of": [1, "no"]}])
def test_text_checks_on_any_value(value, rule):
    fields = ends(
        {"http-server": [row(field=value)]},
        checks=parse_checks({"http-server": {"field": {**rule, "unlisted": True}}}),
    )
    is_evidence(fields)
    assert fields["verdict"] == "failed"


@pytest.mark.parametrize(
    "round_id", [0, -1, AT * 1000, HUGE, float("nan"), [AT], {"id": AT}, True, "soon", ""]
)
def test_an_invalid_round_id_is_ignored(round_id):
    fields = ends({"http-server": [row(roundId=round_id)]})
    is_evidence(fields)
    assert fields["verdict"] == "no_results"


@pytest.mark.parametrize("round_id", [str(AT), float(AT), f" {AT} "])
def test_a_round_id_as_text_is_read(round_id):
    assert ends({"http-server": [row(roundId=round_id)]})["rounds"] == {"http-server": AT}


def test_the_same_row_many_times_is_one_agent():
    fields = ends({"http-server": [row()] * 5000})
    assert (fields["verdict"], len(fields["agents"]["reported"])) == ("passed", 1)


def test_thousands_of_agents_are_judged_quickly_and_fit_into_the_evidence():
    rows = [row(str(nth), errorType=["Connect", nth] if nth % 2 else "None") for nth in range(3000)]
    begun = time.process_time()
    fields = ends({"http-server": rows}, checks=CHECKS["http-server"])
    assert time.process_time() - begun < 20
    is_evidence(fields)
    assert fields["verdict"] == "failed"
    assert len(fields["failed_agents"]) + fields["cut"]["failed_agents"] == 1500


# -- handles of runs, definitions, lists of tests and agents --------------------------------------------------------

HANDLE = RunHandle(
    Plan("7", "http-server", None, {"http-server": (None,)}, {"http-server": 1}, expected_from_rows([]), {}),
    ACCEPTED,
    ACCEPTED,
    ACCEPTED + 600,
    1,
).to_json()


@given(st.dictionaries(st.sampled_from(sorted(HANDLE)), ANYTHING, max_size=4), st.booleans())
@example({"directions": {"http-server": 5}}, False)
@example({"directions": {"http-server": [[]]}}, False)
@example({"accepted_at": HUGE}, False)
@example({"accepted_at": 1e300}, False)
@example({"rows_per_agent": {"http-server": [1]}}, False)
@example({"expected_agents": [{"agent_id": []}]}, False)
@example({"account_group_id": {}}, False)
@settings(max_examples=200)
def test_a_run_handle_is_refused_with_a_reason_or_usable(wrong, gone):
    fields = {name: value for name, value in HANDLE.items() if not (gone and name in wrong)}
    fields |= {} if gone else wrong
    try:
        run = RunHandle.from_json(fields)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert "run handle" in refused
        return
    assert set(run.plan.directions) <= set(RESULT_TYPES)
    assert all(
        direction in (None, *DIRECTIONS)
        for hostile_rows in run.plan.directions.values()
        for direction in hostile_rows
    )
    again = RunHandle.from_json(json.loads(json.dumps(run.to_json(), allow_nan=False)))
    assert again == run
    waiting = RoundProgress.for_run(
        run, now=0.0, server_now=run.sent_at, poll_interval=10, min_agents=None, grace=60
    )
    waiting = waiting.poll({"http-server": [row()]}, 10.0)
    waiting.state(600.0)
    datetime.fromtimestamp(run.accepted_at, UTC)


@given(
    definitions(), st.sampled_from(TYPES), st.lists(st.dictionaries(TEXTS, ANYTHING, max_size=2), max_size=3)
)
@settings(max_examples=100)
def test_any_definition_has_expected_agents(test, kind, before):
    test_type, name = kind
    assert result_types_of(test_type, test)
    assert set(directions_of(test_type, name, test)) <= {None, *DIRECTIONS}
    count = rows_per_agent(test_type, name, test, before)
    assert count is None or count > 0
    for hostile_rows in before:
        reason = row_error(name, hostile_rows)
        assert reason is None or reason.strip()


@given(st.data())
@settings(max_examples=100)
def test_the_settings_of_any_test_are_a_definition_or_errors(data):
    test_type = data.draw(st.sampled_from(sorted(TEST_TYPES)))
    names = st.sampled_from(sorted(FIELDS[test_type]))
    test = data.draw(definitions()) | data.draw(st.dictionaries(names, ANYTHING, max_size=6))
    hostile_rows, left_out = settings_of(test_type, as_received(test))
    assert left_out == sorted(left_out)
    body = overridden(hostile_rows, data.draw(st.dictionaries(names, ANYTHING, max_size=2)))
    list(secrets_in(body))
    missing_credentials(test_type, body)
    try:
        body = read_definition(test_type, body)
        if names_agents(body):
            body = with_agent_ids(body, data.draw(st.lists(AGENTS, max_size=4)))
    except DeclarationErrors as error:
        faults = error.errors
    else:
        faults = ()
    if faults:
        assert all(fault.startswith("definition") for fault in faults)
        return
    definition_warnings(test_type, body)
    assert all(isinstance(agent["agentId"], str) for agent in body.get("agents", []))


AGENTS = st.dictionaries(st.sampled_from(["agentId", "agentName"]), ANYTHING)
TESTS = st.dictionaries(st.sampled_from(["testId", "testName", "type", "labels", "createdDate"]), ANYTHING)


@given(st.lists(AGENTS | st.just({"agentName": "Lab"}), max_size=5))
@settings(max_examples=100)
def test_a_name_is_found_among_agents_only_with_an_id(agents):
    body = {"agents": [{"agentName": "Lab"}], "targetAgentId": "Lab"}
    try:
        hostile_rows = with_agent_ids(body, agents)
    except DeclarationErrors as error:
        faults = error.errors
    else:
        faults = ()
    if faults:
        assert all("'Lab'" in fault for fault in faults)
        return
    assert hostile_rows["agents"][0]["agentId"] == hostile_rows["targetAgentId"]
    assert hostile_rows["targetAgentId"].isprintable()
    assert hostile_rows["targetAgentId"] not in ("", "None")


TAGS = st.dictionaries(st.sampled_from(["id", "key", "value", "assignments"]), ANYTHING)


@given(st.lists(TESTS, max_size=5), TEXTS, TEXTS, st.lists(TAGS, max_size=3))
@example([{"createdDate": "0001-01-01T00:00:00+23:59"}], "*", "", [])
@example([{"createdDate": "9999-12-31T23:59:59-23:59"}], "[", "", [{"key": HUGE, "assignments": [HUGE]}])
@settings(max_examples=100)
def test_any_listed_tests_are_searched(tests, name, tag, tags):
    for wanted in ({"name": name}, {"test_type": "api"}):
        selected = select_tests(tests, **wanted)
        assert len(selected) <= len(tests)
        assert all(test["type"] == wanted["test_type"] for test in selected if "test_type" in wanted)
    with contextlib.suppress(ValueError):  # no such tag exists
        assert len(select_tests(tests, tags=tag, known_tags=tags)) <= len(tests)
    for test in tests:
        assert is_older(test, AT) in (True, False)
