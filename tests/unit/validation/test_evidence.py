"""The evidence: plain JSON of at most 48 KiB that says what was asked, seen, decided, and left out."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.validation.baseline import baseline_from_evidence
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import LARGEST, Missing, Observed, evidence, fit
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
HTTP = "http-server"
LINK = "https://app.thousandeyes.com/view/tests?testId=7"


def row(agent, name=None, **more):
    return {"roundId": AT, "agent": {"agentId": agent, "agentName": name or f"name {agent}"}, **more}


def agents(*ids):
    return [Agent(one, f"name {one}") for one in ids]


def observed(rows=None, *, allowed=0, **more):
    rows = {HTTP: [row("1", responseTime=100), row("2", responseTime=300)]} if rows is None else rows
    seen = {
        "test_id": "7",
        "test_name": "Checkout",
        "test_type": HTTP,
        "account_group_id": None,
        "verdict": Verdict.PASSED,
        "started_at": AT + 2.5,
        "finished_at": AT + 60.9,
        "rounds": dict.fromkeys(rows, AT),
        "run_calls": 1,
        "requests": 9,
        "throttled_seconds": 3.14159,
        "expected": ExpectedAgents.of("test", agents("1", "2")),
        "reported": agents("1", "2"),
        "missing": [],
        "judgement": judge(rows, allowed),
        "rows": rows,
        "links": {"test": LINK},
    }
    return Observed(**(seen | more))


def many(count, name="name", error=None):
    """A round of ``count`` agents, of which every other one is bad and every fifth is missing."""
    ids = [str(nth) for nth in range(count)]
    more = {"errorType": "Connect", "errorDetails": error or "connection refused"}
    rows = {
        HTTP: [row(one, f"{name} {one}", responseTime=5, **(more if int(one) % 2 else {})) for one in ids]
    }
    listed = [Agent(one, f"{name} {one}") for one in ids]
    return observed(
        rows,
        expected=ExpectedAgents.of("test", listed),
        reported=listed,
        missing=[Missing(one, "offline", "http-server 0 of 1") for one in listed[::5]],
    )


def size(told):
    return len(json.dumps(told, allow_nan=False).encode())


class TestContents:
    def test_what_was_asked_seen_and_decided(self):
        assert evidence(observed()) == {
            "test_id": "7",
            "test_name": "Checkout",
            "test_type": HTTP,
            "account_group_id": None,
            "verdict": "passed",
            "started_at": "2026-09-21T14:13:22Z",
            "finished_at": "2026-09-21T14:14:20Z",
            "rounds": {HTTP: AT},
            "run_calls": 1,
            "requests": 9,
            "throttled_seconds": 3.1,
            "agents": {
                "expected": [
                    {"agent_id": "1", "agent_name": "name 1"},
                    {"agent_id": "2", "agent_name": "name 2"},
                ],
                "expected_count": 2,
                "expected_source": "test",
                "reported": [
                    {"agent_id": "1", "agent_name": "name 1"},
                    {"agent_id": "2", "agent_name": "name 2"},
                ],
                "missing": [],
                "failed": [],
                "allowed_errors": 0,
            },
            "checks": [],
            "metrics": {HTTP: {"responseTime": {"min": 100, "mean": 200, "max": 300}}},
            "samples": {"1": {"http-server.responseTime": 100}, "2": {"http-server.responseTime": 300}},
            "links": {"test": LINK},
        }

    def test_missing_agents_have_their_state_and_what_they_lack(self):
        missing = [Missing(Agent("3", "Rome"), "offline"), Missing(Agent("4"), None, "dns-server 1 of 2")]
        assert evidence(observed(missing=missing))["agents"]["missing"] == [
            {"agent_id": "3", "agent_name": "Rome", "state": "offline"},
            {"agent_id": "4", "agent_name": "", "state": None, "lacking": "dns-server 1 of 2"},
        ]

    def test_failed_agents_have_their_errors(self):
        rows = {HTTP: [row("1", responseTime=5), row("2", errorType="SSL", errorDetails="expired")]}
        told = evidence(observed(rows, allowed=3))["agents"]
        assert told["failed"] == [
            {"agent_id": "2", "agent_name": "name 2", "errors": ["http-server: SSL: expired"]}
        ]
        assert told["allowed_errors"] == 3

    def test_agents_that_nobody_lists(self):
        told = evidence(observed(expected=UNKNOWN))["agents"]
        assert (told["expected"], told["expected_count"], told["expected_source"]) == ([], None, "unknown")

    def test_text_numbers_count_and_what_is_no_number_is_left_out(self):
        rows = {
            HTTP: [row("1", responseTime="40"), row("2", responseTime="n/a"), row("3", responseTime=20.0)]
        }
        told = evidence(observed(rows))
        assert told["metrics"] == {HTTP: {"responseTime": {"min": 20, "mean": 30, "max": 40}}}
        assert set(told["samples"]) == {"1", "3"}

    def test_several_rows_of_an_agent_are_a_list(self):
        rows = {"dns-server": [row("1", resolutionTime=one, serverId=str(one)) for one in (3, 4, 5)]}
        assert evidence(observed(rows))["samples"] == {"1": {"dns-server.resolutionTime": [3, 4, 5]}}

    def test_without_any_rows(self):
        told = evidence(observed({}, verdict=Verdict.NO_RESULTS, reported=[]))
        assert (told["verdict"], told["rounds"], told["metrics"], told["samples"]) == (
            "no_results",
            {},
            {},
            {},
        )

    def test_nothing_is_cut_that_fits(self):
        assert "cut" not in evidence(observed())
        assert "cut" not in evidence(many(50))

    def test_extreme_figures_stay_plain_json(self):
        rows = {HTTP: [row(str(nth), responseTime=1.7e308) for nth in range(3)]}
        assert json.loads(json.dumps(evidence(observed(rows)), allow_nan=False))


class TestChecks:
    CHECKS = {
        HTTP: {
            "responseTime": {"p95": {"leq_to": 200}},
            "sslVersion": {"one_of": ["TLSv1.3"]},
            "headers.responseHeaders": {"contains": "x"},
        }
    }
    ROWS = {
        HTTP: [
            row(
                "1",
                responseTime=100,
                sslVersion="TLSv1.3",
                headers={"responseHeaders": "a\r\nx"},
                totalTime=1,
            ),
            row(
                "2",
                responseTime=300,
                sslVersion="TLSv1.3",
                headers={"responseHeaders": "a\r\nx"},
                totalTime=1,
            ),
        ]
    }

    def told(self, checks, rows=None, before=None):
        rows = rows or self.ROWS
        return evidence(observed(rows, judgement=judge(rows, 0, parse_checks(checks), before)))

    def test_each_has_its_row(self):
        rows = self.told(self.CHECKS)["checks"]
        assert [(one["metric"], one["passed"]) for one in rows] == [
            ("responseTime", False),
            ("sslVersion", True),
            ("headers.responseHeaders", True),
        ]
        assert rows[0]["broken_by"] == [{"agent_id": "2", "agent_name": "name 2", "actual": 300}]

    def test_metrics_and_samples_are_those_that_the_checks_name(self):
        told = self.told(self.CHECKS)
        assert told["metrics"] == {HTTP: {"responseTime": {"min": 100, "mean": 200, "max": 300}}}
        assert told["samples"]["1"] == {"http-server.responseTime": 100, "http-server.sslVersion": "TLSv1.3"}

    def test_a_result_type_that_no_check_names_keeps_what_sums_it_up(self):
        rows = self.ROWS | {"network": [row("1", loss=0, avgLatency=5)]}
        assert set(self.told(self.CHECKS, rows)["metrics"]["network"]) == {"loss", "avgLatency"}

    def test_what_was_compared_with_is_said(self):
        checks = {HTTP: {"responseTime": {"mean": {"change_leq_to": 0.2}}}}
        earlier = self.told(self.CHECKS)
        told = self.told(checks, before=baseline_from_evidence(earlier))
        assert told["compared_with"] == "the run of test 7 at 2026-09-21T14:13:22Z"
        assert told["checks"][0]["change"] == 0
        told = self.told(checks, before=baseline_from_evidence(None))
        assert told["compared_with"] == "the earlier evidence is missing"
        assert "compared_with" not in earlier

    @pytest.mark.parametrize("agents", [100, 2000])
    def test_twenty_checks_of_many_agents_fit_and_those_that_fail_stay(self, agents):
        rows = {HTTP: [row(str(nth), f"Agent {nth}, Somewhere", responseTime=nth) for nth in range(agents)]}
        rules = [{"geq_to": nth} for nth in range(18)] + [{"leq_to": 1}, {"leq_to": 2, "severity": "warn"}]
        told = self.told({HTTP: {"responseTime": {"every": rules}}}, rows)
        assert size(told) <= LARGEST
        assert len(told["checks"]) == 20
        assert told["checks"][18]["broken"] == agents - 2
        assert len(told["checks"][18]["broken_by"]) >= 3

    def test_of_too_many_checks_those_that_fail_stay(self):
        rules = [{"geq_to": nth} for nth in range(500)]
        told = self.told({HTTP: {"responseTime": {"min": rules}}})
        assert size(told) <= LARGEST
        assert told["cut"]["checks"] + len(told["checks"]) == 500
        assert not told["checks"][0]["passed"]
        assert told["checks"][0]["comparison"] == {"geq_to": 101}


class TestSize:
    @pytest.mark.parametrize("count", [100, 300, 1000, 3000])
    def test_any_number_of_agents_fits_and_the_least_important_goes_first(self, count):
        told = evidence(many(count))
        assert size(told) <= LARGEST
        if count > 100:
            assert told["cut"]["agents.expected"] > 0
        assert len(told["agents"]["missing"]) >= min(count // 5, 100), "who is missing goes last"

    def test_samples_stay_whole_as_long_as_that_is_possible_for_a_later_run_to_compare_with(self):
        assert "samples" not in evidence(many(300))["cut"]
        assert evidence(many(3000))["cut"]["samples"] > 0

    def test_of_every_list_some_entries_stay_as_long_as_that_is_possible(self):
        told = evidence(many(5000))["agents"]
        assert all(len(told[name]) >= 20 for name in ("expected", "reported", "failed", "missing"))

    def test_cut_says_how_many_entries_were_left_out_and_where(self):
        told = evidence(many(1000))
        lists = {
            f"agents.{name}": told["agents"][name] for name in ("expected", "reported", "failed", "missing")
        }
        left = {name: len(kept) for name, kept in (lists | {"samples": told["samples"]}).items()}
        whole = {
            "samples": 1000,
            "agents.expected": 1000,
            "agents.reported": 1000,
            "agents.failed": 500,
            "agents.missing": 200,
        }
        assert {name: whole[name] - left[name] for name in whole if whole[name] > left[name]} == told["cut"]

    @pytest.mark.parametrize("count", [250, 300, 400, 700])
    def test_no_more_is_cut_than_has_to_be(self, count):
        assert LARGEST - 200 < size(evidence(many(count))) <= LARGEST

    def test_a_text_is_one_line_of_bounded_length(self):
        told = evidence(many(2, name="Oslo,\n\tNor\x1bway\ud800", error="a\r\nb" + "x" * 5000))
        assert told["agents"]["reported"][0]["agent_name"] == "Oslo, Nor way 0"
        error = told["agents"]["failed"][0]["errors"][0]
        assert error.startswith("http-server: Connect: a b")
        assert len(error) <= 200
        assert evidence(observed(test_name="x" * 500))["test_name"] == "x" * 199 + "\N{HORIZONTAL ELLIPSIS}"

    def test_of_many_errors_of_one_agent_the_first_are_told_and_the_rest_counted(self):
        rows = {"dns-server": [row("1", serverId=str(nth), errorDetails=f"e{nth}") for nth in range(500)]}
        (failed,) = evidence(observed(rows))["agents"]["failed"]
        assert failed["errors"] == [*(f"dns-server: e{nth}" for nth in range(10)), "and 490 more"]

    def test_what_does_not_fit_at_all_is_cut_to_the_last_entry(self):
        told = fit(evidence(many(100)), 1)
        assert not any(told["agents"][name] for name in ("expected", "reported", "failed", "missing"))
        assert not told["samples"]
        assert told["cut"]["agents.expected"] == 100

    def test_fewer_agents_are_named_by_checks_before_samples_are_cut(self):
        rows = {HTTP: [row(str(nth), responseTime=nth) for nth in range(20)]}
        checks = parse_checks(
            {HTTP: {"responseTime": {"every": [{"geq_to": 90 + nth} for nth in range(20)]}}}
        )
        whole = evidence(observed(rows, judgement=judge(rows, 0, checks)))
        assert "cut" not in whole
        told = fit(copy.deepcopy(whole), size(whole) - 1000)
        assert list(told["cut"]) == ["checks.agents"]
        assert told["samples"] == whole["samples"]
        assert {len(check["broken_by"]) for check in told["checks"]} == {3}

    def test_a_link_is_left_out_rather_than_shortened(self):
        told = evidence(observed(links={"test": LINK, "round": LINK + "x" * 5000}))
        assert (told["links"], told["cut"]) == ({"test": LINK}, {"links": 1})


WILD = st.text(max_size=60) | st.sampled_from([0, 1, 300, 5_000]).map(
    lambda length: "\N{PILE OF POO}" * length
)
ROWS = st.builds(
    lambda agent, name, error, value, repeat: [
        row(
            agent,
            name,
            errorType=error,
            errorDetails=error,
            problemDetail=error,
            serverId=str(nth),
            loss=value,
            responseTime=value,
            resolutionTime=value,
            availability=value,
        )
        for nth in range(repeat)
    ],
    st.integers(0, 10**15).map(str) | WILD,
    WILD,
    WILD,
    st.integers() | st.floats() | WILD,
    st.sampled_from([1, 2, 40]),
)


@settings(max_examples=20)
@given(
    rows=st.dictionaries(st.sampled_from(sorted(RESULT_TYPES)), st.lists(ROWS, max_size=5), max_size=6),
    texts=st.fixed_dictionaries(dict.fromkeys(("test_id", "test_name", "account_group_id"), WILD)),
    links=st.dictionaries(st.sampled_from(["test", "round"]), WILD),
    state=st.none() | WILD,
    lacking=st.none() | WILD,
    repeat=st.sampled_from([1, 10, 300]),
)
def test_whatever_it_is_made_of_the_evidence_is_plain_json_of_at_most_48_kib(
    rows, texts, links, state, lacking, repeat
):
    rows = {name: [one for some in found for one in some] for name, found in rows.items()}
    listed = [
        Agent(one["agent"]["agentId"], one["agent"]["agentName"]) for some in rows.values() for one in some
    ]
    told = evidence(
        observed(
            rows,
            expected=ExpectedAgents("test", tuple(listed * repeat)[:2000], 7),
            reported=listed,
            missing=[Missing(agent, state, lacking) for agent in listed],
            links=links,
            **texts,
        )
    )
    assert size(told) <= LARGEST
    assert json.loads(json.dumps(told, allow_nan=False)) == told
