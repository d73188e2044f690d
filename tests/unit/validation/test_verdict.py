"""The verdict: allowed agent errors and checks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.coerce import parse_allowed_errors
from thousandeyes_provider.validation.baseline import baseline_from_evidence
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.verdict import judge, same_failure

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

    def test_an_error_has_its_agent_result_type_and_text(self):
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

    def test_a_good_row_does_not_outweigh_an_error_of_the_same_agent(self):
        assert not judge({"page-load": [row("a", pageLoadTime=9)], HTTP: [bad("a")]}, 0).passed

    @pytest.mark.parametrize(("allowed", "passed"), [(0, False), (1, False), (2, True), (3, True)])
    def test_a_count_of_errors_may_be_allowed(self, allowed, passed):
        assert judge({HTTP: [bad("a"), bad("b"), row("c")]}, allowed).passed is passed

    @pytest.mark.parametrize(
        ("share", "agents", "allowed"),
        [(0.0, 10, 0), (0.1, 10, 1), (0.1, 9, 0), (0.3, 10, 3), (0.29, 100, 29), (1.0, 7, 7), (0.5, 3, 1)],
    )
    def test_a_fraction_of_the_judged_agents_is_rounded_down(self, share, agents, allowed):
        rows = [bad(str(nth)) if nth < allowed else row(str(nth)) for nth in range(agents)]
        judgement = judge({HTTP: rows}, share)
        assert judgement.allowed == allowed
        assert judgement.passed
        if allowed < agents:
            assert not judge({HTTP: [*rows[:-1], bad(str(agents - 1))]}, share).passed

    def test_1_is_one_agent_and_1_0_is_all_agents(self):
        every = {HTTP: [bad("a"), bad("b")]}
        assert not judge(every, 1).passed
        assert judge(every, 1.0).passed

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())), st.integers(0, 6), st.integers())
    def test_order_and_duplicates_make_no_difference(self, outcome, allowed, seed):
        rows = [bad(agent) if wrong else row(agent) for agent, wrong in outcome]
        mixed = rows + rows
        random.Random(seed).shuffle(mixed)
        in_order, in_any_order = judge({HTTP: rows}, allowed), judge({HTTP: mixed}, allowed)
        assert (in_order.passed, in_order.judged) == (in_any_order.passed, in_any_order.judged)
        assert {error.agent for error in in_order.errors} == {error.agent for error in in_any_order.errors}
        assert in_order.passed == (
            bool(outcome) and len({agent for agent, wrong in outcome if wrong}) <= allowed
        )


FAST = parse_checks({HTTP: {"responseTime": {"leq_to": 9}}})
SLOW = parse_checks({HTTP: {"responseTime": {"leq_to": 1}}})


class TestChecks:
    def test_a_failed_check_fails_the_run(self):
        assert judge({HTTP: [row("a")]}, 0, FAST).passed
        judgement = judge({HTTP: [row("a")]}, 0, SLOW)
        assert not judgement.passed
        assert [check_result.check.path for check_result in judgement.failed_checks] == [
            'checks["http-server"]["responseTime"]'
        ]
        assert not judgement.too_many_errors

    def test_a_check_of_severity_warn_never_fails_the_run(self):
        checks = parse_checks({HTTP: {"responseTime": {"leq_to": 1, "severity": "warn"}}})
        judgement = judge({HTTP: [row("a")]}, 0, checks)
        assert judgement.passed
        assert not judgement.checks[0].passed

    def test_errors_count_as_well(self):
        assert not judge({HTTP: [row("a"), bad("b")]}, 0, FAST).passed
        assert judge({HTTP: [row("a"), bad("b")]}, 1, FAST).passed

    def test_without_checks_only_errors_count(self):
        assert judge({HTTP: [row("a")]}, 0, parse_checks({})).passed

    def test_rows_that_cannot_be_errors_are_judged_by_checks(self):
        checks = parse_checks({"path-vis": {"pathTraces.numberOfHops": {"max": {"leq_to": 9}}}})
        rows = {"path-vis": [{"agent": {"agentId": "a"}, "pathTraces": [{"numberOfHops": 7}]}]}
        assert judge(rows, 0, checks).passed
        assert judge(rows, 0, checks).judged == 1

    @pytest.mark.parametrize("severity", ["warn", "error"])
    def test_a_check_that_sees_no_value_judges_nothing(self, severity):
        checks = parse_checks({"path-vis": {"pathTraces.mss": {"leq_to": 9, "severity": severity}}})
        judgement = judge({"path-vis": [{"agent": {"agentId": "a"}}]}, 0, checks)
        assert (judgement.judged, judgement.passed) == (0, False)

    def test_rows_may_come_as_an_iterator(self):
        judgement = judge({HTTP: iter([row("a"), bad("b")])}, 0, FAST)
        assert (judgement.judged, judgement.checks[0].agents) == (2, 2)

    def test_checks_use_the_baseline(self):
        checks = parse_checks({HTTP: {"responseTime": {"change_leq_to": 0.2}}})
        samples = {"a": {f"{HTTP}.responseTime": 4}}
        before = baseline_from_evidence({"verdict": "passed", "samples": samples})
        assert not judge({HTTP: [row("a")]}, 0, checks, before).passed
        assert not judge({HTTP: [row("a")]}, 0, checks).passed
        samples["a"] = {f"{HTTP}.responseTime": 4.5}
        before = baseline_from_evidence({"verdict": "passed", "samples": samples})
        assert judge({HTTP: [row("a")]}, 0, checks, before).passed


class TestConfirming:
    def judgement(self, *rows, fast=9, errors=0):
        declared = {HTTP: {"responseTime": {"leq_to": fast}, "totalTime": {"any": {"leq_to": 5}}}}
        return judge({HTTP: rows}, errors, parse_checks(declared))

    def test_the_same_check_failing_again_confirms(self):
        slow = self.judgement(row("a", totalTime=1, responseTime=50))
        assert same_failure(slow.failed_positions, self.judgement(row("b", totalTime=1, responseTime=70)))

    def test_a_good_run_does_not_confirm(self):
        slow = self.judgement(row("a", totalTime=1, responseTime=50))
        assert not same_failure(slow.failed_positions, self.judgement(row("a", totalTime=1)))

    def test_a_failure_of_another_check_does_not_confirm(self):
        slow = self.judgement(row("a", totalTime=1, responseTime=50))
        other = self.judgement(row("a", totalTime=9))
        assert not other.passed
        assert not same_failure(slow.failed_positions, other)

    def test_too_many_errors_confirm_any_failure(self):
        slow = self.judgement(row("a", totalTime=1, responseTime=50))
        broken = self.judgement(bad("a", totalTime=1))
        assert same_failure(broken.failed_positions, broken)
        assert same_failure(slow.failed_positions, broken)
        assert not same_failure(broken.failed_positions, slow)

    def test_nothing_judged_confirms(self):
        slow = self.judgement(row("a", totalTime=1, responseTime=50))
        assert same_failure(slow.failed_positions, judge({}, 0))


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
    def test_a_whole_number_is_a_count_and_a_decimal_a_fraction(self, value, expected):
        parsed = parse_allowed_errors(value)
        assert parsed == expected
        assert type(parsed) is type(expected)

    @pytest.mark.parametrize(
        "value",
        [-1, "-1", 1.5, "1.5", -0.1, "-0.1", "", None, True, "all", "10%", float("nan"), float("inf"), [1]],
    )
    def test_other_values_are_refused(self, value):
        with pytest.raises(ValueError, match="neither a count of agents nor a fraction"):
            parse_allowed_errors(value)
