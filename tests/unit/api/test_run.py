"""The run handle: what it takes to wait for a round, through XCom and back."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.api.run import Plan, RunHandle

LINK = "https://app.thousandeyes.com/view/tests?testId=7"


def handle(**more):
    settings = {
        "test_id": "7",
        "test_type": "dns-server",
        "account_group_id": "11",
        "directions": {"dns-server": (None,), "network": ("to-target", "from-target")},
        "rows_per_agent": {"dns-server": None, "network": 2},
        "expected": ExpectedAgents.of("test", [Agent("1", "Oslo"), Agent("", "Rome")]),
        "remembered": {"dns-server": 1_790_000_000, "network": None},
        "test_name": "Checkout",
        "test_link": LINK,
    }
    plan = Plan(**(settings | more))
    return RunHandle(
        plan,
        accepted_at=1_790_000_100.5,
        earliest_start=1_790_000_098.0,
        deadline=1_790_000_700.5,
        run_calls=2,
    )


EXPECTED = st.one_of(
    st.just(UNKNOWN),
    st.builds(lambda count: ExpectedAgents("argument", count=count), st.integers(1)),
    st.builds(
        lambda names: ExpectedAgents.of("remembered", [Agent(one, f"n{one}") for one in names]),
        st.lists(st.text(min_size=1), min_size=1),
    ),
)


@given(
    expected=EXPECTED,
    account_group_id=st.none() | st.text(min_size=1),
    remembered=st.fixed_dictionaries({"dns-server": st.none() | st.integers(1, 2**33), "network": st.none()}),
)
def test_what_goes_through_xcom_comes_back_the_same(**more):
    there = handle(**more)
    assert RunHandle.from_json(json.loads(json.dumps(there.to_json(), allow_nan=False))) == there


def test_it_has_everything_that_is_documented():
    told = handle().to_json()
    assert (
        told.items()
        >= {
            "test_id": "7",
            "test_type": "dns-server",
            "account_group_id": "11",
            "accepted_at": 1_790_000_100.5,
            "deadline": 1_790_000_700.5,
            "result_types": ["dns-server", "network"],
            "remembered": {"dns-server": 1_790_000_000, "network": None},
            "expected_source": "test",
            "run_calls": 2,
        }.items()
    )
    assert told["expected_agents"] == [
        {"agent_id": "1", "agent_name": "Oslo"},
        {"agent_id": "", "agent_name": "Rome"},
    ]


def test_a_count_and_unknown_agents_are_told_apart():
    assert handle(expected=ExpectedAgents("argument", count=5)).to_json()["expected_agents"] == 5
    assert handle(expected=UNKNOWN).to_json()["expected_agents"] is None


def test_what_is_documented_is_enough_to_read_it():
    told = handle().to_json()
    for further in ("test_name", "earliest_start", "directions", "rows_per_agent", "test_link"):
        del told[further]
    for agent in told["expected_agents"]:
        del agent["agent_id" if agent["agent_id"] == "" else "agent_name"]
    read = RunHandle.from_json(told)
    assert read.plan.expected.agents == (Agent("1", ""), Agent("", "Rome"))
    assert (read.plan.test_name, read.plan.test_link) == ("", "")
    assert read.earliest_start == read.accepted_at
    assert read.plan.directions == {"dns-server": (None,), "network": (None,)}
    assert read.plan.rows_per_agent == {"dns-server": 1, "network": 1}


@pytest.mark.parametrize(
    "name", ["test_id", "test_type", "accepted_at", "deadline", "result_types", "remembered", "run_calls"]
)
def test_what_is_missing_is_named(name):
    told = handle().to_json()
    del told[name]
    with pytest.raises(ValueError, match=name):
        RunHandle.from_json(told)


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
        ("rows_per_agent", 2),
        ("remembered", [1]),
        ("expected_agents", ["Oslo"]),
        ("accepted_at", "soon"),
        ("accepted_at", None),
        ("deadline", "nan"),
    ],
)
def test_what_is_wrong_is_named(name, wrong):
    with pytest.raises(ValueError, match=name):
        RunHandle.from_json(handle().to_json() | {name: wrong})


@pytest.mark.parametrize("told", [None, [], "handle", 7, {}])
def test_what_is_no_handle_is_refused(told):
    with pytest.raises(ValueError, match="run handle"):
        RunHandle.from_json(told)


def test_the_link_is_not_in_the_repr():
    assert LINK not in repr(handle())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test_type": "bgp"}, f"test_type 'bgp' of the run handle is not one of {', '.join(TEST_TYPES)}"),
        (
            {"result_types": ["bgp"]},
            f"result_types ['bgp'] of the run handle are not among {', '.join(RESULT_TYPES)}",
        ),
        ({"deadline": "soon"}, "accepted_at and deadline of the run handle are not epoch seconds"),
        ({"deadline": -1}, "accepted_at and deadline of the run handle are not epoch seconds"),
        (
            {"accepted_at": 253_402_300_800},
            "accepted_at and deadline of the run handle are not epoch seconds",
        ),
        ({"account_group_id": [11]}, "account_group_id of the run handle is [11], expected an id"),
        (
            {"directions": {"dns-server": ["up"]}},
            "directions of the run handle have ['up'], expected a list of to-target, from-target",
        ),
        (
            {"directions": {"dns-server": "to-target"}},
            "directions of the run handle have 'to-target', expected a list of to-target, from-target",
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_would_be_right(changed, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RunHandle.from_json(handle().to_json() | changed)


def test_what_is_missing_is_told_at_once():
    with pytest.raises(ValueError, match=r"^the run handle has no test_id, deadline$"):
        RunHandle.from_json(
            {name: told for name, told in handle().to_json().items() if name not in ("test_id", "deadline")}
        )
    with pytest.raises(ValueError, match=r"^a run handle is a JSON object, not list$"):
        RunHandle.from_json([])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"expected_source": "gone"}, UNKNOWN),
        ({"expected_agents": None, "expected_source": "argument"}, UNKNOWN),
        ({"expected_agents": 0, "expected_source": "argument"}, UNKNOWN),
        ({"expected_agents": 3, "expected_source": "argument"}, ExpectedAgents("argument", count=3)),
        ({"expected_agents": [{"agent_id": "1"}]}, ExpectedAgents("unknown", (Agent("1"),), 1)),
    ],
)
def test_who_is_expected_is_read_from_what_there_is(changed, expected):
    told = handle().to_json() | {"expected_agents": None} | changed
    if "expected_source" not in changed:
        del told["expected_source"]
    assert RunHandle.from_json(told).plan.expected == expected


def test_ids_and_counts_may_be_spelled_either_way():
    read = RunHandle.from_json(
        handle().to_json() | {"account_group_id": 11, "run_calls": "many", "accepted_at": 0}
    )
    assert (read.plan.account_group_id, read.run_calls, read.accepted_at) == ("11", 1, 0)
