"""The verdict: how many agents may report an error before the run is bad."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.validation.verdict import allowed_errors, judge

HTTP = "http-server"


def row(agent, **more):
    return {"agent": {"agentId": agent, "agentName": f"name {agent}"}, "responseTime": 5, **more}


def bad(agent, **more):
    return row(agent, errorType="Connect", errorDetails="refused", **more)


class TestJudging:
    def test_good_rows_pass(self):
        judgement = judge({HTTP: [row("a"), row("b")]}, 0)
        assert judgement.passed
        assert (judgement.judged, judgement.errors) == (2, ())

    def test_nothing_judged_is_never_a_pass(self):
        assert not judge({}, 0).passed
        assert not judge({HTTP: []}, 5).passed
        assert not judge({"path-vis": [row("a")]}, 1.0).passed

    def test_path_visualization_is_not_judged(self):
        judgement = judge({HTTP: [row("a")], "path-vis": [bad("b")]}, 0)
        assert judgement.passed
        assert judgement.judged == 1

    def test_an_error_is_told_with_its_agent_result_type_and_text(self):
        judgement = judge({HTTP: [row("a"), bad("b")]}, 0)
        assert not judgement.passed
        (error,) = judgement.errors
        assert str(error.agent) == "name b"
        assert error.reasons == ("http-server: Connect: refused",)

    def test_an_agent_with_errors_in_several_rows_counts_once(self):
        dns = {"agent": {"agentId": "a"}}
        rows = {
            "dns-server": [dns | {"errorDetails": "x"}, dns | {"errorDetails": "y"}],
            "network": [dns | {"loss": 100}],
        }
        judgement = judge(rows, 1)
        assert judgement.passed
        assert judgement.errors[0].reasons == ("dns-server: x", "dns-server: y", "network: loss 100 %")

    def test_a_good_row_does_not_mend_a_bad_one_of_the_same_agent(self):
        assert not judge({"page-load": [row("a", pageLoadTime=9)], HTTP: [bad("a")]}, 0).passed

    @pytest.mark.parametrize(("allowed", "passed"), [(0, False), (1, False), (2, True), (3, True)])
    def test_a_count_of_errors_may_be_allowed(self, allowed, passed):
        assert judge({HTTP: [bad("a"), bad("b"), row("c")]}, allowed).passed is passed

    @pytest.mark.parametrize(
        ("share", "agents", "allowed"),
        [(0.0, 10, 0), (0.1, 10, 1), (0.1, 9, 0), (0.3, 10, 3), (0.29, 100, 29), (1.0, 7, 7), (0.5, 3, 1)],
    )
    def test_a_fraction_is_of_those_that_are_judged_and_rounded_down(self, share, agents, allowed):
        rows = [bad(str(nth)) if nth < allowed else row(str(nth)) for nth in range(agents)]
        judgement = judge({HTTP: rows}, share)
        assert judgement.allowed == allowed
        assert judgement.passed
        if allowed < agents:
            assert not judge({HTTP: [*rows[:-1], bad(str(agents - 1))]}, share).passed

    def test_1_is_one_agent_and_1_0_is_all(self):
        every = {HTTP: [bad("a"), bad("b")]}
        assert not judge(every, 1).passed
        assert judge(every, 1.0).passed

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())), st.integers(0, 6), st.integers())
    def test_order_and_duplicates_make_no_difference(self, told, allowed, seed):
        rows = [bad(agent) if wrong else row(agent) for agent, wrong in told]
        mixed = rows + rows
        random.Random(seed).shuffle(mixed)
        one, other = judge({HTTP: rows}, allowed), judge({HTTP: mixed}, allowed)
        assert (one.passed, one.judged) == (other.passed, other.judged)
        assert {error.agent for error in one.errors} == {error.agent for error in other.errors}
        assert one.passed == (bool(told) and len({agent for agent, wrong in told if wrong}) <= allowed)


class TestArgument:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (0, 0),
            (3, 3),
            ("3", 3),
            (" 3 ", 3),
            (0.2, 0.2),
            ("0.2", 0.2),
            (1.0, 1.0),
            ("1.0", 1.0),
            (".5", 0.5),
        ],
    )
    def test_a_count_or_with_a_point_a_fraction(self, value, expected):
        found = allowed_errors(value)
        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        "value",
        [-1, "-1", 1.5, "1.5", -0.1, "-0.1", "", None, True, "all", "10%", float("nan"), float("inf"), [1]],
    )
    def test_anything_else_is_refused(self, value):
        with pytest.raises(ValueError, match="neither a count of agents nor a fraction"):
            allowed_errors(value)
