"""The run handle carries the state of a wait through XCom."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.coerce import printable
from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.api.run import MAX_HANDLE_BYTES, Plan, RunHandle

LINK = "https://app.thousandeyes.com/view/tests?testId=7"


def handle(**changes):
    fields = {
        "test_id": "7",
        "test_type": "dns-server",
        "account_group_id": "11",
        "directions": {"dns-server": (None,), "network": ("to-target", "from-target")},
        "rows_per_agent": {"dns-server": None, "network": 2},
        "expected": ExpectedAgents.of("test", [Agent("1", "Oslo"), Agent("", "Rome")]),
        "remembered": {"dns-server": 1_790_000_000, "network": None},
        "round_length": 12.0,
        "test_name": "Checkout",
        "test_link": LINK,
    }
    return RunHandle(
        Plan(**(fields | changes)),
        sent_at=1_790_000_098.0,
        accepted_at=1_790_000_100.5,
        deadline=1_790_000_700.5,
        run_calls=2,
    )


EXPECTED = st.one_of(
    st.just(UNKNOWN),
    st.builds(lambda count: ExpectedAgents("argument", count=count), st.integers(1)),
    st.builds(
        lambda ids: ExpectedAgents.of(
            "remembered", [Agent(agent_id, f"n{agent_id}") for agent_id in map(printable, ids)]
        ),
        st.lists(st.text(min_size=1), min_size=1),
    ),
)


@given(
    expected=EXPECTED,
    account_group_id=st.none() | st.text(min_size=1),
    remembered=st.fixed_dictionaries({"dns-server": st.none() | st.integers(1, 2**33), "network": st.none()}),
)
def test_xcom_preserves_the_handle(**changes):
    original = handle(**changes)
    assert RunHandle.from_json(json.loads(json.dumps(original.to_json(), allow_nan=False))) == original


def test_handle_has_every_documented_field():
    value = handle().to_json()
    assert (
        value.items()
        >= {
            "test_id": "7",
            "test_type": "dns-server",
            "account_group_id": "11",
            "sent_at": 1_790_000_098.0,
            "accepted_at": 1_790_000_100.5,
            "deadline": 1_790_000_700.5,
            "result_types": ["dns-server", "network"],
            "remembered": {"dns-server": 1_790_000_000, "network": None},
            "round_length": 12.0,
            "expected_source": "test",
            "run_calls": 2,
        }.items()
    )
    assert value["expected_agents"] == [
        {"agent_id": "1", "agent_name": "Oslo"},
        {"agent_id": "", "agent_name": "Rome"},
    ]
    assert "expected_cut" not in value


def test_number_of_agents_and_unknown_agents_differ():
    assert handle(expected=ExpectedAgents("argument", count=5)).to_json()["expected_agents"] == 5
    assert handle(expected=UNKNOWN).to_json()["expected_agents"] is None


def test_documented_fields_are_enough_to_read_a_handle():
    value = handle().to_json()
    for optional in ("test_name", "round_length", "sent_at", "directions", "rows_per_agent", "test_link"):
        del value[optional]
    for agent in value["expected_agents"]:
        del agent["agent_id" if agent["agent_id"] == "" else "agent_name"]
    run = RunHandle.from_json(value)
    assert run.plan.expected.agents == (Agent("1", ""), Agent("", "Rome"))
    assert (run.plan.test_name, run.plan.test_link) == ("", "")
    assert run.sent_at == run.accepted_at
    assert run.plan.round_length is None
    assert run.plan.directions == {"dns-server": (None,), "network": (None,)}
    assert run.plan.rows_per_agent == {"dns-server": 1, "network": 1}


class TestSize:
    @staticmethod
    def agents(count, name):
        return ExpectedAgents.of("test", [Agent(str(10_000 + n), f"{name} {n}") for n in range(count)])

    @pytest.mark.parametrize("count", [1, 100, 1_000, 10_000])
    @pytest.mark.parametrize("name", ["Oslo", "Ōsaka " * 80])
    def test_handle_has_at_most_48_kib(self, count, name):
        value = handle(expected=self.agents(count, name)).to_json()
        assert len(json.dumps(value)) <= MAX_HANDLE_BYTES == 48 * 1024
        assert RunHandle.from_json(value).plan.expected.count == count

    def test_large_handles_drop_names_first(self):
        agents = self.agents(1_000, "Ōsaka " * 80)
        value = handle(expected=agents).to_json()
        assert value["expected_cut"] == "names"
        assert RunHandle.from_json(value).plan.expected.agents == tuple(
            Agent(agent.agent_id) for agent in agents.agents
        )

    def test_agents_without_an_id_keep_their_names(self):
        named = [Agent("", "Rome"), *(Agent(str(n), "x" * 1000) for n in range(100))]
        value = handle(expected=ExpectedAgents.of("argument", named)).to_json()
        assert RunHandle.from_json(value).plan.expected.agents[0] == Agent("", "Rome")

    def test_number_of_agents_is_kept_last(self):
        value = handle(expected=self.agents(10_000, "Oslo")).to_json()
        assert (value["expected_agents"], value["expected_cut"]) == (10_000, "agents")
        assert RunHandle.from_json(value).plan.expected == ExpectedAgents("test", count=10_000)


@pytest.mark.parametrize(
    "name", ["test_id", "test_type", "accepted_at", "deadline", "result_types", "remembered", "run_calls"]
)
def test_missing_field_is_named(name):
    value = handle().to_json()
    del value[name]
    with pytest.raises(ValueError, match=name):
        RunHandle.from_json(value)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("account_group_id", ["11"]),
        ("account_group_id", True),
        ("test_type", "bgp"),
        ("test_type", None),
        ("result_types", []),
        ("result_types", ["bgp"]),
        ("result_types", "network"),
        ("result_types", None),
        ("result_types", [["network"]]),
        ("test_type", ["network"]),
        ("directions", ["to-target"]),
        ("directions", {"network": [["to-target"]]}),
        ("rows_per_agent", 2),
        ("remembered", [1]),
        ("remembered", {"network": "x"}),
        ("remembered", {"network": 10**40}),
        ("remembered", {"network": -1}),
        ("expected_source", "somewhere"),
        ("expected_source", ["test"]),
        ("rows_per_agent", {"network": -1}),
        ("rows_per_agent", {"network": "x"}),
        ("expected_agents", [7]),
        ("expected_agents", -1),
        ("expected_agents", "five"),
        ("sent_at", "soon"),
        ("accepted_at", "soon"),
        ("accepted_at", None),
        ("deadline", "nan"),
    ],
)
def test_invalid_field_is_named(name, wrong):
    with pytest.raises(ValueError, match=name):
        RunHandle.from_json(handle().to_json() | {name: wrong})


@pytest.mark.parametrize("value", [None, [], "handle", 7, {}])
def test_invalid_handle_is_refused(value):
    with pytest.raises(ValueError, match="run handle"):
        RunHandle.from_json(value)


class TestHistory:
    def test_of_the_test_itself_ends_with_the_newest_round_before_the_run(self):
        assert handle().history_end("7") == 1_790_000_000

    def test_of_a_test_without_rounds_before_has_no_round_of_the_run(self):
        assert handle(remembered={}).history_end("7") == 1_790_000_038

    def test_of_another_test_ends_with_the_run_call(self):
        assert handle().history_end("8") == 1_790_000_098


def test_link_is_not_in_the_repr():
    assert LINK not in repr(handle())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"test_type": "bgp"},
            f"test_type of the run handle must be one of {', '.join(TEST_TYPES)}, got 'bgp'",
        ),
        (
            {"result_types": ["bgp"]},
            f"result_types of the run handle must be a list of {', '.join(RESULT_TYPES)}, got ['bgp']",
        ),
        ({"deadline": "soon"}, "deadline of the run handle must be epoch seconds, got 'soon'"),
        ({"deadline": -1}, "deadline of the run handle must be epoch seconds, got -1"),
        (
            {"accepted_at": 253_402_300_800},
            "accepted_at of the run handle must be epoch seconds, got 253402300800",
        ),
        ({"account_group_id": [11]}, "account_group_id of the run handle must be an id, got [11]"),
        (
            {"directions": {"dns-server": ["up"]}},
            "directions of the run handle must be a list of to-target, from-target, got ['up']",
        ),
        (
            {"directions": {"dns-server": "to-target"}},
            "directions of the run handle must be a list of to-target, from-target, got 'to-target'",
        ),
        (
            {"remembered": ["x" * 5000]},
            f"remembered of the run handle must be an object by result type, got ['{'x' * 88}…",
        ),
    ],
)
def test_error_states_the_expectation(changed, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RunHandle.from_json(handle().to_json() | changed)


def test_missing_fields_are_reported_together():
    value = handle().to_json()
    with pytest.raises(ValueError, match=r"^the run handle has no test_id, deadline$"):
        RunHandle.from_json({name: value[name] for name in value if name not in ("test_id", "deadline")})
    with pytest.raises(ValueError, match=r"^a run handle is a JSON object, not list$"):
        RunHandle.from_json([])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"expected_agents": None, "expected_source": "argument"}, UNKNOWN),
        ({"expected_agents": 0, "expected_source": "argument"}, UNKNOWN),
        ({"expected_agents": 3, "expected_source": "argument"}, ExpectedAgents("argument", count=3)),
        ({"expected_agents": [{"agent_id": "1"}]}, ExpectedAgents("unknown", (Agent("1"),), 1)),
        ({"expected_agents": ["1"]}, ExpectedAgents("unknown", (Agent("1"),), 1)),
        ({"expected_agents": ["\ud8001\x1b"]}, ExpectedAgents("unknown", (Agent(" 1 "),), 1)),
    ],
)
def test_incomplete_expected_agents_are_read(changed, expected):
    value = handle().to_json() | {"expected_agents": None} | changed
    if "expected_source" not in changed:
        del value["expected_source"]
    assert RunHandle.from_json(value).plan.expected == expected


def test_ids_and_counts_may_be_text_or_numbers():
    run = RunHandle.from_json(
        handle().to_json() | {"account_group_id": 11, "run_calls": "many", "accepted_at": 0}
    )
    assert (run.plan.account_group_id, run.run_calls, run.accepted_at) == ("11", 1, 0)


@pytest.mark.parametrize(("from_test_name", "shown"), [("Template", "Template"), ("", "Checkout")])
def test_display_name_is_that_of_the_source_test(from_test_name, shown):
    assert handle(from_test_name=from_test_name).plan.display_name == shown
