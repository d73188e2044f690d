"""Baselines: usable evidence and history, and the reasons of unusable ones."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
from thousandeyes_provider.validation.baseline import baseline_from_evidence, baseline_from_rows
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import Observed, evidence
from thousandeyes_provider.validation.summary import table_lines
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
HTTP = "http-server"
TIME = (HTTP, "responseTime")
CHECKS = parse_checks({HTTP: {"responseTime": {"change_leq_to": 0.2}, "totalTime": {"leq_to": 5}}})


def row(agent, value=None, at=AT, **more):
    measured = {} if value is None else {"responseTime": value}
    who = {"agentId": str(agent), "agentName": f"name {agent}"}
    return {"roundId": at, "agent": who, **measured, **more}


def baseline_json(rows, verdict=Verdict.PASSED):
    listed = [Agent(row["agent"]["agentId"], row["agent"]["agentName"]) for row in rows]
    return evidence(
        Observed(
            test_id="7",
            test_name="",
            test_type=HTTP,
            account_group_id=None,
            verdict=verdict,
            started_at=AT,
            finished_at=AT + 60,
            rounds={HTTP: AT},
            run_calls=1,
            requests=9,
            throttled_seconds=0,
            expected=ExpectedAgents.of("test", listed),
            reported=listed,
            missing=[],
            judgement=judge({HTTP: rows}, 0, CHECKS),
            links={},
        )
    )


class TestEvidence:
    def test_the_baseline_has_the_samples_of_the_agents(self):
        before = baseline_from_evidence(baseline_json([row(1, 100), row(2, "200"), row(3)]))
        assert before.of(*TIME) == {"1": (100,), "2": (200,)}
        assert before.source == "the run of test 7 at 2026-09-21T14:13:20Z"
        assert before.agent("2") == Agent("2", "name 2")
        assert not before.unusable
        assert not before.missing(*TIME)

    def test_a_run_that_failed_its_checks_is_usable(self):
        assert baseline_from_evidence(baseline_json([row(1, 100)], Verdict.FAILED)).of(*TIME)

    def test_evidence_of_another_test_gets_a_warning(self):
        earlier = baseline_json([row(1, 100), row(2, 200)])
        baseline = baseline_from_evidence(earlier, test_id="8")
        assert baseline.warning == "compare_with is the evidence of test 7, this is test 8"
        judgement = judge({HTTP: [row(1, 100)]}, 0, CHECKS, baseline)
        run = evidence(Observed("8", "", HTTP, None, Verdict.PASSED, AT, judgement=judgement))
        assert run["baseline"]["warning"] == baseline.warning
        assert (logging.WARNING, f"warning: {baseline.warning}") in table_lines(run)

    def test_evidence_of_the_same_test_gets_no_warning(self):
        earlier = baseline_json([row(1, 100)])
        assert baseline_from_evidence(earlier, test_id="7").warning == ""
        assert baseline_from_evidence({**earlier, "test_id": ""}, test_id="8").warning == ""
        assert baseline_from_evidence(earlier).warning == ""

    @pytest.mark.parametrize("text", [json.dumps, repr])
    def test_evidence_as_text_is_read(self, text):
        whole = baseline_json([row(1, 100)])
        assert baseline_from_evidence(text(whole)) == baseline_from_evidence(whole)

    @pytest.mark.parametrize(
        ("changed", "why"),
        [
            ({"verdict": "incomplete"}, "the run of test 7 at 2026-09-21T14:13:20Z ended incomplete"),
            ({"verdict": "no_results"}, "the run of test 7 at 2026-09-21T14:13:20Z ended no_results"),
            ({"verdict": None}, "the run of test 7 at 2026-09-21T14:13:20Z has no verdict"),
            (
                {"cut": {"samples": 80}},
                "the run of test 7 at 2026-09-21T14:13:20Z has no samples of 80 agents: they were cut for size",
            ),
            ({"samples": {}}, "the run of test 7 at 2026-09-21T14:13:20Z has no samples"),
            (
                {"samples": {"1": {"http-server.responseTime": "fast"}}},
                "the run of test 7 at 2026-09-21T14:13:20Z",
            ),
        ],
    )
    def test_an_unusable_baseline_has_a_reason(self, changed, why):
        before = baseline_from_evidence(baseline_json([row(1, 100)]) | changed)
        assert before.unusable.startswith(why)
        assert before.missing(*TIME) == before.unusable
        assert before.of(*TIME) == {}

    @pytest.mark.parametrize("nothing", [None, "", "None", {}, [], 7, "{}"])
    def test_missing_evidence_is_not_usable(self, nothing):
        assert baseline_from_evidence(nothing).unusable == "the earlier evidence is missing"

    def test_invalid_text_is_not_usable(self):
        assert baseline_from_evidence("{nope").unusable.startswith(
            "the earlier evidence cannot be read: not JSON"
        )

    def test_evidence_that_was_cut_for_its_size_is_not_usable(self):
        many = baseline_json([row(nth, 5, errorType="Connect", errorDetails="x" * 90) for nth in range(3000)])
        assert baseline_from_evidence(many).unusable.endswith("agents: they were cut for size")

    def test_a_missing_metric_has_a_reason(self):
        before = baseline_from_evidence(baseline_json([row(1, 100)]))
        assert before.missing(HTTP, "dnsTime").endswith("has no dnsTime of http-server")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["samples", "verdict", "cut", "agents", "reported", "1", "network.loss"]),
                    inner,
                )
            ),
            max_leaves=10,
        ),
        st.sampled_from(["passed", "failed", "incomplete", 5]),
    )
    def test_any_evidence_makes_a_baseline(self, wild, verdict):
        for evidence_ in (wild, {"verdict": verdict, "samples": wild}, {"verdict": verdict, "agents": wild}):
            before = baseline_from_evidence(evidence_)
            assert before.unusable or before.values


class TestHistory:
    def test_each_agent_has_its_median_over_the_rounds(self):
        rows = [row(1, value, AT + 60 * nth) for nth, value in enumerate([10, 500, 20])]
        rows += [row(2, 7, AT), row(2, None, AT + 60), row(2, 8, AT + 120)]
        before = baseline_from_rows({HTTP: rows}, CHECKS, "the last 24h of test 7")
        assert before.of(*TIME) == {"1": (20,), "2": (7.5,)}
        assert before.source == (
            "the last 24h of test 7, 3 rounds from 2026-09-21T14:13:20Z to 2026-09-21T14:15:20Z"
        )

    def test_only_compared_metrics_are_kept(self):
        before = baseline_from_rows({HTTP: [row(1, 5, totalTime=9)]}, CHECKS, "history")
        assert list(before.values) == [TIME]

    def test_each_server_has_its_own_median(self):
        checks = parse_checks({"dns-server": {"resolutionTime": {"change_leq_to": 0.2}}})
        rows = [
            row(1, at=AT + 60 * nth, server=server, resolutionTime=value + nth)
            for nth in range(3)
            for server, value in (("ns2", 50), ("ns1", 5))
        ]
        before = baseline_from_rows({"dns-server": rows}, checks, "history")
        assert before.of("dns-server", "resolutionTime") == {"1": (6, 51)}

    def test_each_certificate_has_its_own_median(self):
        checks = parse_checks({HTTP: {"sslCertificates.daysUntilExpiry": {"delta_geq_to": -2}}})
        rows = [
            row(1, at=AT + 60 * nth, sslCertificates=[{"daysUntilExpiry": days} for days in of_round])
            for nth, of_round in enumerate([[60, 400], [59, "399"], [58]])
        ]
        before = baseline_from_rows({HTTP: [*rows, row(1, at=AT + 180)]}, checks, "history")
        assert before.of(HTTP, "sslCertificates.daysUntilExpiry") == {"1": (59, 399.5)}

    def test_the_agents_have_their_names(self):
        before = baseline_from_rows({HTTP: [row(1, 5), row(2, 5)]}, CHECKS, "history")
        assert [before.agent(key) for key in "129"] == [
            Agent("1", "name 1"),
            Agent("2", "name 2"),
            Agent("9"),
        ]

    def test_rounds_of_result_types_that_are_not_compared_count(self):
        checks = parse_checks(
            {HTTP: {"responseTime": {"change_leq_to": 0.2}}, "network": {"loss": {"leq_to": 1}}}
        )
        before = baseline_from_rows({"network": [row(1, loss=0)]}, checks, "history")
        assert before.unusable.startswith("history, 1 round from ")

    @pytest.mark.parametrize("round_id", [float(AT), str(AT)])
    def test_round_ids_as_text_are_the_same_round(self, round_id):
        before = baseline_from_rows(
            {HTTP: [row(1, 5), row(2, 5, round_id), row(3, 5, [AT])]}, CHECKS, "history"
        )
        assert ", 1 round from " in before.source

    @pytest.mark.parametrize("rows", [{}, {HTTP: []}, {"network": [row(1, 5)]}])
    def test_no_rounds_are_not_usable(self, rows):
        assert baseline_from_rows(rows, CHECKS, "the last 24h of test 7").unusable == (
            "the last 24h of test 7 has no rounds"
        )

    def test_rounds_without_values_are_not_usable(self):
        before = baseline_from_rows({HTTP: [row(1)]}, CHECKS, "history")
        assert before.unusable.startswith("history, 1 round from 2026-09-21T14:13:20Z")
        assert before.unusable.endswith("has no values to compare with")
