"""Evaluation of checks on rows: each comparison, each aggregate, each option, and properties of them all."""

from __future__ import annotations

import json
import math
import random
import statistics
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thousandeyes_provider.api.metrics import METRICS
from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.validation.aggregates import AGGREGATORS, mean, median, percentile
from thousandeyes_provider.validation.baseline import Baseline, baseline_from_evidence, baseline_from_rows
from thousandeyes_provider.validation.check_model import AGGREGATES
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evaluation import MAX_NAMED_AGENTS, evaluate, relative_change
from thousandeyes_provider.validation.verdict import judge

HTTP = "http-server"
TIME = "responseTime"


def row(agent, value=None, *, metric=TIME, name=None, country="DE", **more):
    fields = {} if value is None else {metric: value}
    who = {"agentId": str(agent), "agentName": name or f"name {agent}", "countryId": country}
    return {"agent": who, **fields, **more}


def rows(*values, metric=TIME):
    """Return a row for each value; ``None`` for an agent without the metric."""
    return [row(nth, value, metric=metric) for nth, value in enumerate(values)]


def unlisted(rules):
    """Return the comparisons of an unlisted metric."""
    if set(rules) & set(AGGREGATES):
        return {aggregate: unlisted(of_aggregate) for aggregate, of_aggregate in rules.items()}
    return rules | {"unlisted": True}


def result(rules, round_rows, *, metric=TIME, result_type=HTTP, before=None):
    checks = parse_checks(
        {result_type: {metric: rules if metric in METRICS[result_type] else unlisted(rules)}}
    )
    (outcome,) = evaluate(checks, {result_type: round_rows}, before)
    return outcome


def passes(rules, *values, **more):
    return result(rules, rows(*values, metric=more.get("metric", TIME)), **more).passed


def before(*, metric=TIME, **values):
    """Return a baseline with these values of agents 0, 1, …: ``before(a0=5)``."""
    samples = {name[1:]: {f"{HTTP}.{metric}": value} for name, value in values.items()}
    return baseline_from_evidence(
        {"test_id": "7", "started_at": "2026-09-21T14:13:20Z", "verdict": "passed", "samples": samples}
    )


def names(agents):
    return [entry.agent_id if hasattr(entry, "agent_id") else entry.agent.agent_id for entry in agents]


class TestComparisons:
    @pytest.mark.parametrize(
        ("rule", "good", "bad"),
        [
            ({"equal_to": 5}, [5, 5.0, "5", "5.0"], [4, 6, "6"]),
            ({"greater_than": 5}, [5.1, "6"], [5, 4, "4"]),
            ({"geq_to": 5}, [5, 6, "5"], [4.9]),
            ({"less_than": 5}, [4.9, "-1"], [5, 6]),
            ({"leq_to": 5}, [5, -5, "5"], [5.1]),
            ({"geq_to": 2, "less_than": 5}, [2, 4.9], [1.9, 5]),
            ({"equal_to": 200, "tolerance": 0.1}, [180, 220, 200], [179.9, 220.1]),
            ({"equal_to": -200, "tolerance": 0.1}, [-180, -220], [-179.9, -220.1]),
            ({"equal_to": 0, "tolerance": 0.1}, [0], [0.1, -0.1]),
            ({"greater_than": 100, "tolerance": 0.1}, [90.1], [90, 89]),
            ({"geq_to": 100, "tolerance": 0.1}, [90], [89.9]),
            ({"less_than": 100, "tolerance": 0.1}, [109.9], [110]),
            ({"leq_to": 100, "tolerance": 0.1}, [110], [110.1]),
            ({"geq_to": -100, "tolerance": 0.1}, [-110], [-110.1]),
            ({"leq_to": 100, "tolerance": 0}, [100], [100.1]),
        ],
    )
    def test_numbers_are_compared(self, rule, good, bad):
        assert [value for value in good if not passes(rule, value, metric="field")] == []
        assert [value for value in bad if passes(rule, value, metric="field")] == []

    @pytest.mark.parametrize(
        ("rule", "good", "bad"),
        [
            ({"equal_to": "ok"}, ["ok"], ["OK", "ok ", "", 1]),
            ({"equal_to": ""}, [""], ["x"]),
            ({"equal_to": True}, [True, "true", "True"], [False, "false", "x", 1]),
            ({"equal_to": False}, [False, "false"], [True, "true"]),
            ({"equal_to": "true"}, [True, "true"], [False]),
            ({"one_of": ["a", "b"]}, ["a", "b"], ["c", "A", "ab"]),
            ({"one_of": [200, 204]}, [200, "204", 204.0], [500, "x"]),
            ({"one_of": ["200", "204"]}, [200, "204", 204.0], [500, "0200"]),
            ({"one_of": ["1.10"]}, ["1.10"], ["1.1"]),
            ({"one_of": [True]}, [True], [False, 1]),
            ({"contains": "X-App: 1"}, ["a\r\nx-app: 1\r\n", "X-APP: 10"], ["x-app: 2", ""]),
            ({"contains": 46}, ["EF (DSCP 46)", 46, 146], ["4", 4, 10**5000]),
            ({"matches": r"^x-app: 1$"}, ["a\r\nx-app: 1\r\nb"], ["x-app: 10", "X-APP: 1"]),
            ({"matches": r"(?i)^x-app: 1$"}, ["a\r\nX-App: 1\r\nb"], ["x-app: 10"]),
            ({"matches": "^2..$"}, [200, "204", 204.0], [500]),
            ({"contains": "a", "matches": "b"}, ["ab"], ["a", "b"]),
        ],
    )
    def test_texts_and_booleans_are_compared(self, rule, good, bad):
        assert [value for value in good if not passes(rule, value, metric="field")] == []
        assert [value for value in bad if passes(rule, value, metric="field")] == []

    @pytest.mark.parametrize(
        ("rule", "then", "good", "bad"),
        [
            ({"change_leq_to": 0.2}, 100, [120, 100, 1], [120.1, 200]),
            ({"change_geq_to": -0.2}, 100, [80, 500], [79.9]),
            ({"change_leq_to": -0.1}, 100, [90], [91, 100]),
            ({"delta_leq_to": 5}, 100, [105, 5], [105.1]),
            ({"delta_geq_to": -5}, 100, [95], [94.9]),
            ({"change_leq_to": 0.2, "floor": 10}, 20, [29.9, 24], [30, 31]),
            ({"change_geq_to": -0.2, "floor": 10}, 20, [10.1], [10]),
            ({"delta_leq_to": 0, "floor": 10}, 20, [29.9], [30]),
            ({"change_leq_to": 0.2}, 0, [0, -1], [0.1]),
            ({"change_geq_to": 0.2}, 0, [0.1], [0, -1]),
            ({"change_leq_to": 0.2, "floor": 1}, 0, [0.9], [1]),
            ({"change_leq_to": 0.2}, -100, [-80, -200], [-79]),
            ({"change_leq_to": 0.3}, 100, [130], [131]),
            ({"change_leq_to": 0.2, "leq_to": 110}, 100, [110], [111, 119]),
        ],
    )
    @pytest.mark.parametrize("aggregate", ["every", "mean", "median", "p95", "max"])
    def test_values_are_compared_with_a_baseline(self, aggregate, rule, then, good, bad):
        more = {"before": before(a0=then, metric="field"), "metric": "field"}
        assert [value for value in good if not passes({aggregate: rule}, value, **more)] == []
        assert [value for value in bad if passes({aggregate: rule}, value, **more)] == []

    def test_relative_change_from_zero_is_infinite_and_stays_out_of_json(self):
        assert relative_change(0, 0) == 0
        assert relative_change(1, 0) == math.inf
        outcome = result({"mean": {"change_leq_to": 9}}, rows(1), before=before(a0=0)).to_json()
        assert (outcome["passed"], outcome["change"], outcome["delta"], outcome["before"]) == (
            False,
            None,
            1,
            0,
        )


class TestAggregates:
    @pytest.mark.parametrize(
        ("aggregate", "values", "actual"),
        [
            ("min", [3, 1, 2], 1),
            ("max", [3, 1, 2], 3),
            ("mean", [1, 2, 6], 3),
            ("mean", [0.1, 0.2], 0.15),
            ("median", [1, 9, 2], 2),
            ("median", [1, 2], 1.5),
            ("p50", [1, 2], 1.5),
            ("p50", [1, 9, 2], 2),
            ("p95", [7], 7),
            ("p99", [7], 7),
            ("p95", [100, 200], 195),
            ("p90", list(range(11)), 9),
            ("p95", list(range(11)), 9.5),
            ("p99", list(range(101)), 99),
            ("count", [1, 2, 3], 3),
            ("every", [1, 2, 3], 3),
            ("any", [1, 2, 3], 3),
        ],
    )
    def test_the_value_of_each_aggregate(self, aggregate, values, actual):
        assert result({aggregate: {"geq_to": 0}}, rows(*values)).actual == actual

    @pytest.mark.parametrize("aggregate", [name for name in AGGREGATES if name != "every"])
    def test_an_agent_without_the_metric_is_listed(self, aggregate):
        outcome = result({aggregate: {"geq_to": 0}}, rows(5, None))
        assert outcome.passed
        assert names(outcome.without_metric) == ["1"]

    def test_an_agent_without_the_metric_fails_every(self):
        outcome = result({"every": {"geq_to": 0}}, rows(5, None))
        assert not outcome.passed
        assert (outcome.actual, outcome.needed, names(outcome.without_metric), outcome.failing_agents) == (
            1,
            2,
            ["1"],
            (),
        )

    @pytest.mark.parametrize("aggregate", AGGREGATES)
    @pytest.mark.parametrize("round_rows", [[], rows(None, None), rows({}, [])])
    def test_a_metric_that_no_agent_reported_fails_its_check(self, aggregate, round_rows):
        outcome = result({aggregate: {"geq_to": 0}}, round_rows)
        assert not outcome.passed
        assert outcome.actual is None
        assert outcome.reason in (f"no agent reported {TIME}", f"no agent reported {HTTP}")

    @pytest.mark.parametrize("aggregate", [name for name in AGGREGATES if name != "count"])
    def test_numbers_ignore_other_values(self, aggregate):
        assert result({aggregate: {"geq_to": 0}}, rows("n/a", True)).reason == f"no agent reported {TIME}"

    def test_any_needs_one_agent(self):
        assert passes({"any": {"leq_to": 5}}, 9, 5, 9)
        outcome = result({"any": {"leq_to": 5}}, rows(9, 6))
        assert (outcome.passed, outcome.actual, outcome.needed, names(outcome.failing_agents)) == (
            False,
            0,
            1,
            ["0", "1"],
        )

    def test_count_counts_agents_with_a_value(self):
        outcome = result({"count": {"geq_to": 2}}, rows("x", None, True, 5))
        assert (outcome.passed, outcome.actual, names(outcome.without_metric)) == (True, 3, ["1"])

    def test_agents_that_fail_an_aggregate_are_named_worst_first(self):
        outcome = result({"mean": {"leq_to": 10}}, rows(5, 50, 11, 5))
        assert (outcome.passed, names(outcome.failing_agents)) == (False, ["1", "2"])
        assert result({"mean": {"leq_to": 20}}, rows(5, 50, 11, 5)).failing_agents == ()
        assert names(result({"min": {"geq_to": 10}}, rows(5, 50, 1)).failing_agents) == ["2", "0"]

    def test_negative_health_score_is_no_value(self):
        outcome = result({"geq_to": 0.5}, rows(0.9, -1, metric="healthScore"), metric="healthScore")
        assert (outcome.passed, names(outcome.without_metric)) == (False, ["1"])
        assert passes({"min": {"geq_to": 0.5}}, 0.9, -1, metric="healthScore")

    @given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
    def test_aggregates_agree_with_the_statistics_module(self, values):
        assert median(values) == pytest.approx(statistics.median(values), abs=1e-3)
        assert mean(values) == pytest.approx(statistics.fmean(values), abs=1e-3)
        assert percentile(values, 50) == pytest.approx(statistics.median(values), abs=1e-3)
        if len(values) > 1:
            cuts = statistics.quantiles(values, n=100, method="inclusive")
            for share in (90, 95, 99):
                assert percentile(values, share) == pytest.approx(cuts[share - 1], abs=1e-3)

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=10))
    @example([sys.float_info.max] * 3)
    @example([-sys.float_info.max] * 7)
    def test_aggregates_stay_between_the_extreme_values(self, values):
        for make in AGGREGATORS.values():
            aggregated = make(values)
            slack = abs(aggregated) * 1e-11
            assert min(values) - slack <= aggregated <= max(values) + slack


class TestSeveralRowsOfAnAgent:
    DNS = [
        row("a", 5, metric="resolutionTime", server="ns1"),
        row("a", 50, metric="resolutionTime", server="ns2"),
        row("b", 7, metric="resolutionTime", server="ns1"),
        row("b", 9, metric="resolutionTime", server="ns2"),
    ]

    def dns(self, rules, round_rows=None, **more):
        return result(
            rules, round_rows or self.DNS, metric="resolutionTime", result_type="dns-server", **more
        )

    def test_every_needs_all_rows(self):
        outcome = self.dns({"leq_to": 10})
        assert (outcome.passed, outcome.actual, outcome.agents) == (False, 1, 2)
        assert outcome.failing_agents[0].to_json() == {
            "agent_id": "a",
            "agent_name": "name a",
            "actual": [5, 50],
        }

    def test_any_needs_an_agent_whose_rows_all_pass(self):
        assert self.dns({"any": {"leq_to": 10}}).passed
        assert not self.dns({"any": {"leq_to": 8}}).passed

    def test_an_agent_with_an_incomplete_row_is_without_metric(self):
        outcome = self.dns({"leq_to": 100}, [*self.DNS, row("a", server="ns3")])
        assert (outcome.passed, names(outcome.without_metric)) == (False, ["a"])

    @pytest.mark.parametrize(
        ("aggregate", "actual"), [("max", 50), ("mean", 17.75), ("median", 8), ("count", 2)]
    )
    def test_other_aggregates_use_every_row(self, aggregate, actual):
        assert self.dns({aggregate: {"geq_to": 0}}).actual == actual

    def test_each_row_is_compared_with_its_own_baseline(self):
        then = {"a": {"dns-server.resolutionTime": [5, 40]}, "b": {"dns-server.resolutionTime": [7, 9]}}
        earlier = baseline_from_evidence({"verdict": "passed", "samples": then})
        outcome = self.dns({"change_leq_to": 0.2}, before=earlier)
        assert (outcome.passed, outcome.failing_agents[0].to_json()["before"]) == (False, [5, 40])
        assert self.dns({"change_leq_to": 0.25}, before=earlier).passed

    def test_a_different_number_of_rows_is_not_compared(self):
        then = {"a": {"dns-server.resolutionTime": 5}, "b": {"dns-server.resolutionTime": [7, 9]}}
        outcome = self.dns(
            {"change_leq_to": 0.2}, before=baseline_from_evidence({"verdict": "passed", "samples": then})
        )
        assert (outcome.passed, names(outcome.only_now)) == (True, ["a"])


class TestQuorum:
    @pytest.mark.parametrize(
        ("quorum", "agents", "needed"),
        [
            (1, 10, 10),
            (0.8, 10, 8),
            (0.8, 9, 8),
            (0.8, 5, 4),
            (0.5, 3, 2),
            (0.3, 10, 3),
            (0.1, 5, 1),
            (0.01, 1, 1),
        ],
    )
    def test_a_quorum_is_rounded_up(self, quorum, agents, needed):
        rule = {"leq_to": 5, "quorum": quorum}
        outcome = result(rule, rows(*[5] * needed, *[9] * (agents - needed)))
        assert (outcome.passed, outcome.needed) == (True, needed)
        assert not passes(rule, *[5] * (needed - 1), *[9] * (agents - needed + 1))

    def test_failing_agents_are_named_when_the_quorum_passes(self):
        outcome = result({"leq_to": 5, "quorum": 0.5}, rows(5, 9))
        assert (outcome.passed, names(outcome.failing_agents)) == (True, ["1"])

    def test_a_quorum_counts_agents_without_the_metric(self):
        assert not passes({"leq_to": 5, "quorum": 0.6}, 5, None)
        assert passes({"leq_to": 5, "quorum": 0.5}, 5, None)


class TestManyAgents:
    """Equal values are compared once, and checks of the same metric share their values."""

    @pytest.mark.parametrize("values", [[1, True, 1.0, "true"], ["true", 1.0, True, 1]])
    def test_values_that_only_look_equal_are_compared_separately(self, values):
        outcome = result({"one_of": [True]}, rows(*values, metric="field"), metric="field")
        failing = [values[int(agent)] for agent in names(outcome.failing_agents)]
        assert {type(value) for value in failing} == {int, float}

    def test_checks_of_one_metric_do_not_influence_each_other(self):
        rules = [
            {"leq_to": 5},
            {"leq_to": 5, "where": {"agentId": "1"}},
            {"change_leq_to": 0.2, "where": {"agentId": "0"}},
            {"change_leq_to": 0.2},
        ]
        earlier, round_rows = before(a0=2, a1=9), rows(3, 7)
        alone = [result(rule, round_rows, before=earlier).to_json() for rule in rules]
        together = evaluate(parse_checks({HTTP: {TIME: rules}}), {HTTP: round_rows}, earlier)
        assert [outcome.to_json() for outcome in together] == alone

    @given(
        st.floats(-1e6, 1e6),
        st.floats(-1e6, 1e6),
        st.floats(-2, 2),
        st.sampled_from(["change_leq_to", "change_geq_to"]),
    )
    @example(1.1, 1.0, 0.1, "change_leq_to")
    @example(0.9, 1.0, -0.1, "change_geq_to")
    @example(0.0, 0.0, 0.0, "change_leq_to")
    @example(-5.0, 0.0, -1.0, "change_leq_to")
    def test_a_change_is_compared_by_its_rounded_value(self, now, then, bound, comparison):
        outcome = result(
            {comparison: bound},
            rows(now, metric="field"),
            metric="field",
            before=before(metric="field", a0=then),
        )
        change = relative_change(now, then)
        assert outcome.passed is (change <= bound if comparison == "change_leq_to" else change >= bound)


class TestWhere:
    ROWS = [
        row(1, 5, name="Oslo, Norway", country="NO"),
        row(2, 9, name="Berlin 1", country="DE"),
        row(3, 7, name="Berlin 2 [new]", country="de"),
    ]

    @pytest.mark.parametrize(
        ("where", "agents"),
        [
            ({"countryId": "DE"}, ["2", "3"]),
            ({"countryId": ["no", "DE"]}, ["1", "2", "3"]),
            ({"agentName": "berlin*"}, ["2", "3"]),
            ({"agentName": "Berlin ?"}, ["2"]),
            ({"agentName": "Berlin 2 [new]"}, ["3"]),
            ({"agentName": ["Oslo*", "*[new]"]}, ["1", "3"]),
            ({"agentId": 1}, ["1"]),
            ({"agentId": ["1", "3"], "countryId": "DE"}, ["3"]),
        ],
    )
    def test_only_matching_agents_are_checked(self, where, agents):
        outcome = result({"geq_to": 100, "where": where}, self.ROWS)
        assert sorted(names(outcome.failing_agents)) == agents
        assert outcome.agents == len(agents)

    @pytest.mark.parametrize(("aggregate", "actual"), [("max", 9), ("mean", 8), ("count", 2)])
    def test_an_aggregate_uses_the_values_of_matching_agents(self, aggregate, actual):
        outcome = result({aggregate: {"leq_to": 100, "where": {"countryId": "DE"}}}, self.ROWS)
        assert (outcome.actual, outcome.agents) == (actual, 2)

    def test_a_check_without_matching_agents_fails(self):
        outcome = result({"leq_to": 100, "where": {"countryId": "FR"}}, self.ROWS)
        assert (outcome.passed, outcome.agents) == (False, 0)
        assert outcome.reason == "none of the 3 reporting agents matches where="


class TestBefore:
    def test_without_a_baseline_the_check_fails(self):
        outcome = result({"change_leq_to": 9}, rows(5))
        assert (outcome.passed, outcome.reason) == (
            False,
            "there is no earlier run and no history to compare with",
        )

    def test_an_unusable_baseline_fails_with_its_reason(self):
        outcome = result({"change_leq_to": 9}, rows(5), before=baseline_from_evidence(None))
        assert (outcome.passed, outcome.reason) == (False, "the earlier evidence is missing")

    def test_a_baseline_without_the_metric_fails(self):
        outcome = result(
            {"change_leq_to": 9}, rows(5, metric="totalTime"), metric="totalTime", before=before(a0=5)
        )
        assert outcome.reason == "the run of test 7 at 2026-09-21T14:13:20Z has no totalTime of http-server"

    def test_agents_on_one_side_only_are_reported_and_not_judged(self):
        for aggregate in ("every", "median"):
            outcome = result(
                {aggregate: {"change_leq_to": 0.2}}, rows(10, 10, 999), before=before(a0=10, a1=10, a7=1)
            )
            assert outcome.passed
            assert (names(outcome.only_now), names(outcome.only_before)) == (["2"], ["7"])

    def test_an_aggregate_is_compared_over_the_agents_on_both_sides(self):
        outcome = result({"mean": {"change_leq_to": 0.2}}, rows(12, 99), before=before(a0=10, a7=1))
        assert (outcome.passed, outcome.actual, outcome.matched, outcome.before) == (True, 55.5, 12, 10)

    def test_without_an_agent_on_both_sides_the_check_fails(self):
        outcome = result({"change_leq_to": 9}, rows(5), before=before(a7=5))
        assert not outcome.passed
        assert (
            outcome.reason == f"no agent has {TIME} both now and in the run of test 7 at 2026-09-21T14:13:20Z"
        )

    def test_an_agent_that_lost_the_metric_fails_every_and_is_reported(self):
        outcome = result({"change_leq_to": 9}, rows(5, None), before=before(a0=5, a1=5))
        assert (outcome.passed, names(outcome.without_metric), names(outcome.only_before)) == (
            False,
            ["1"],
            ["1"],
        )

    def test_count_is_compared_as_a_count(self):
        earlier = before(a0=5, a1=5, a2=5)
        assert passes({"count": {"delta_geq_to": -1}}, 5, 5, None, before=earlier)
        outcome = result({"count": {"delta_geq_to": -1}}, rows(5, None, None), before=earlier)
        assert (outcome.passed, outcome.actual, outcome.before) == (False, 1, 3)

    def test_agents_excluded_by_where_are_not_reported_as_missing(self):
        round_rows = [row(0, 5), row(1, 5, country="FR")]
        rule = {"change_leq_to": 0.2, "where": {"countryId": "DE"}}
        outcome = result(rule, round_rows, before=before(a0=5, a1=5, a2=5))
        assert (outcome.passed, names(outcome.only_before)) == (True, ["2"])

    @pytest.mark.parametrize("where", [{"countryId": "DE"}, {"agentName": "name 0"}])
    @pytest.mark.parametrize("from_history", [False, True])
    def test_a_missing_agent_outside_where_does_not_lower_the_count(self, where, from_history):
        rule = {"count": {"delta_geq_to": 0, "where": where}}
        if from_history:
            history = [row(0, 5, roundId=60), row(1, 5, country="FR", roundId=60)]
            earlier = baseline_from_rows({HTTP: history}, parse_checks({HTTP: {TIME: rule}}), "the last hour")
        else:
            countries = {"0": "DE", "1": "FR"}
            reported = [
                {"agent_id": key, "agent_name": f"name {key}", "country": country}
                for key, country in countries.items()
            ]
            samples = {key: {f"{HTTP}.{TIME}": 5} for key in countries}
            earlier = baseline_from_evidence(
                {"verdict": "passed", "samples": samples, "agents": {"reported": reported}}
            )
        outcome = result(rule, [row(0, 5)], before=earlier)
        assert (outcome.passed, outcome.before, outcome.only_before) == (True, 1, ())

    def test_a_missing_agent_with_an_unknown_country_lowers_the_count(self):
        rule = {"count": {"delta_geq_to": 0, "where": {"countryId": "DE"}}}
        outcome = result(rule, [row(0, 5)], before=before(a0=5, a1=5))
        assert (outcome.passed, outcome.before) == (False, 2)


class TestJson:
    def test_the_row_of_the_evidence(self):
        assert result({"p95": {"leq_to": 800, "tolerance": 0.1}}, rows(1000, 1000, None)).to_json() == {
            "result_type": HTTP,
            "metric": TIME,
            "aggregate": "p95",
            "comparison": {"leq_to": 800, "tolerance": 0.1},
            "passed": False,
            "severity": "error",
            "actual": 1000,
            "agents": 3,
            "failing_count": 2,
            "failing_agents": [
                {"agent_id": "0", "agent_name": "name 0", "actual": 1000},
                {"agent_id": "1", "agent_name": "name 1", "actual": 1000},
            ],
            "without_metric_count": 1,
            "without_metric": [{"agent_id": "2", "agent_name": "name 2"}],
        }

    def test_the_row_of_a_comparison_with_before(self):
        outcome = result({"median": {"change_leq_to": 0.2}}, rows(13, 5), before=before(a0=10)).to_json()
        assert {name: outcome[name] for name in ("actual", "before", "delta", "change", "passed")} == {
            "actual": 9,
            "before": 10,
            "delta": 3,
            "change": 0.3,
            "passed": False,
        }
        assert outcome["only_now"] == [{"agent_id": "1", "agent_name": "name 1"}]
        assert outcome["failing_agents"] == [
            {"agent_id": "0", "agent_name": "name 0", "actual": 13, "before": 10}
        ]

    def test_lists_of_agents_are_shortened_and_counted(self):
        outcome = result({"leq_to": 5}, rows(*[9] * 30, *[None] * 20)).to_json()
        assert (outcome["failing_count"], len(outcome["failing_agents"])) == (30, MAX_NAMED_AGENTS)
        assert (outcome["without_metric_count"], len(outcome["without_metric"])) == (20, MAX_NAMED_AGENTS)


# -- properties --------------------------------------------------------------------------------------------------------

WILD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5", "-1", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["loss", "responseTime", "healthScore", "headers", "sslCertificates", "pathTraces", "server", "mappings"]
)
AGENT = st.fixed_dictionaries(
    {},
    optional={
        "agentId": st.sampled_from(["1", "2", "3"]) | WILD,
        "agentName": st.text(max_size=5) | WILD,
        "countryId": st.sampled_from(["DE", "de"]) | WILD,
    },
)
ANY_ROW = st.dictionaries(FIELDS, WILD, max_size=5).flatmap(
    lambda fields: (AGENT | WILD).map(lambda agent: fields | {"agent": agent})
)
DECLARED = {
    name: {
        metric: [
            {"leq_to": 5, "geq_to": -5, "tolerance": 0.1},
            {"change_leq_to": 0.2, "delta_geq_to": -1, "floor": 1},
        ]
        if aggregate is None
        else {aggregate: {"change_leq_to": 0.2, "less_than": 7}}
        for metric, aggregate in [("loss", None), ("responseTime", "p95"), ("healthScore", "mean")]
    }
    | {
        "mappings": {"any": {"contains": "5"}, "count": {"geq_to": 1}},
        "server": [{"matches": "^5"}, {"one_of": ["5", 5, True]}, {"equal_to": False}],
        "headers.responseHeaders": {"contains": "x", "where": {"agentName": "*", "countryId": "DE"}},
        "sslCertificates.daysUntilExpiry": {"min": {"geq_to": 4}},
        "certificateDaysLeft": {"min": {"geq_to": 4}},
        "certificateValid": {"equal_to": True},
        "error": {"equal_to": ""},
        "availability": {"mean": {"geq_to": 90}},
    }
    for name in RESULT_TYPES
}


def permitted(result_type, metric, rules):
    """Return the comparisons of a metric, whether or not the result type lists it."""
    if metric in METRICS[result_type]:
        return rules
    return [unlisted(rule) for rule in rules] if isinstance(rules, list) else unlisted(rules)


ALL_KINDS = {
    name: {metric: permitted(name, metric, rules) for metric, rules in of_type.items()}
    for name, of_type in DECLARED.items()
}


@given(st.lists(ANY_ROW, max_size=8), st.sampled_from(sorted(RESULT_TYPES)), st.lists(ANY_ROW, max_size=4))
def test_evaluation_never_raises(round_rows, result_type, earlier):
    checks = parse_checks({result_type: ALL_KINDS[result_type]})
    then = baseline_from_rows({result_type: [row | {"roundId": 5} for row in earlier]}, checks, "history")
    for check_result in evaluate(checks, {result_type: round_rows}, then):
        outcome = check_result.to_json()
        assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
        assert check_result.passed <= (check_result.agents > 0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y"]), st.none() | st.integers(0, 9)),
        max_size=9,
    ),
    st.sampled_from(AGGREGATES),
    st.integers(0, 9),
    st.integers(),
)
def test_the_order_of_rows_and_agents_never_matters(outcome, aggregate, bound, seed):
    round_rows = [
        row(agent, value, metric="resolutionTime", server=server) for agent, server, value in outcome
    ]
    mixed = list(round_rows)
    random.Random(seed).shuffle(mixed)
    rules = {aggregate: [{"leq_to": bound}, {"change_leq_to": 0.1}]}
    checks = parse_checks({"dns-server": {"resolutionTime": rules}})
    samples = {name: {"dns-server.resolutionTime": [4, 5]} for name in "abe"}
    earlier = baseline_from_evidence({"verdict": "passed", "samples": samples})
    in_order, in_any_order = (
        evaluate(checks, {"dns-server": order}, earlier) for order in (round_rows, mixed)
    )
    assert [result.to_json() for result in in_order] == [result.to_json() for result in in_any_order]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=10), st.floats(0, 1e6), st.data())
@pytest.mark.parametrize("aggregate", ["every", "max", "mean", "median", "p90", "p95", "p99", "min"])
def test_a_better_value_never_fails_an_upper_bound(aggregate, values, bound, data):
    nth = data.draw(st.integers(0, len(values) - 1))
    better = list(values)
    better[nth] = data.draw(st.floats(0, values[nth]))
    rule = {aggregate: {"leq_to": bound}}
    assert not passes(rule, *values) or passes(rule, *better)


@given(
    st.dictionaries(st.sampled_from(sorted(RESULT_TYPES)), st.lists(ANY_ROW, max_size=3), max_size=3),
    st.sampled_from([0, 100, 1.0]),
    st.sampled_from(["error", "warn"]),
)
def test_a_verdict_is_never_passed_with_nothing_judged(round_rows, allowed, severity):
    declared = {"path-vis": {"pathTraces.numberOfHops": {"leq_to": 1e9, "severity": severity}}}
    judgement = judge(round_rows, allowed, parse_checks(declared), Baseline("nothing"))
    seen = any(rows and RESULT_TYPES[name].judged for name, rows in round_rows.items())
    valued = any(check.actual is not None for check in judgement.checks)
    assert not judgement.passed or seen or valued


class TestShownLine:
    HEADERS = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n  X-App-Version: 1.4\r\n"

    @pytest.mark.parametrize(
        ("rule", "shown"),
        [
            ({"contains": "x-app-version: 2.0"}, "X-App-Version: 1.4"),
            ({"matches": r"^X-App-Version: 2\.\d+$"}, "X-App-Version: 1.4"),
            (
                {"contains": "strict-transport-security"},
                "HTTP/1.1 200 OK Content-Type: text/html X-App-Version: 1.4",
            ),
            ({"matches": "(?i)hsts"}, "HTTP/1.1 200 OK Content-Type: text/html X-App-Version: 1.4"),
        ],
    )
    def test_the_shown_line_is_the_most_similar_to_the_expected_text(self, rule, shown):
        metric = "headers.responseHeaders"
        round_rows = [row(1, headers={"responseHeaders": self.HEADERS})]
        (agent,) = result(rule, round_rows, metric=metric).to_json()["failing_agents"]
        assert agent["actual"] == shown
