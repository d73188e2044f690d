"""The evidence: plain JSON of at most 48 KiB with verdict, checks, agents, figures and omissions."""

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
from thousandeyes_provider.validation.evidence import MissingAgent, Observed, evidence
from thousandeyes_provider.validation.evidence_size import MAX_EVIDENCE_BYTES, fit
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
HTTP = "http-server"
LINK = "https://app.thousandeyes.com/view/tests?testId=7"


def row(agent, name=None, **more):
    return {"roundId": AT, "agent": {"agentId": agent, "agentName": name or f"name {agent}"}, **more}


def agents(*ids):
    return [Agent(agent_id, f"name {agent_id}") for agent_id in ids]


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
        "paced_seconds": 1.26,
        "expected": ExpectedAgents.of("test", agents("1", "2")),
        "reported": agents("1", "2"),
        "missing": [],
        "judgement": judge(rows, allowed),
        "links": {"test": LINK},
    }
    return Observed(**(seen | more))


def many(count, name="name", error=None):
    """Return a round of ``count`` agents: every second has an error, every fifth is missing."""
    ids = [str(nth) for nth in range(count)]
    more = {"errorType": "Connect", "errorDetails": error or "connection refused"}
    rows = {
        HTTP: [
            row(agent_id, f"{name} {agent_id}", responseTime=5, **(more if int(agent_id) % 2 else {}))
            for agent_id in ids
        ]
    }
    listed = [Agent(agent_id, f"{name} {agent_id}") for agent_id in ids]
    return observed(
        rows,
        expected=ExpectedAgents.of("test", listed),
        reported=listed,
        missing=[MissingAgent(agent, "offline", "http-server 0 of 1") for agent in listed[::5]],
    )


def size(document):
    return len(json.dumps(document, allow_nan=False).encode())


class TestContents:
    def test_the_evidence_of_a_passed_run(self):
        rows = {HTTP: [row("1", "name 1", responseTime=100), row("2", responseTime=300)]}
        rows[HTTP][0]["agent"]["countryId"] = "NO"
        assert evidence(observed(rows, sent_at=AT + 1, arrived_at={"1": AT + 13.52})) == {
            "verdict": "passed",
            "summary": "PASSED: 2 of 2 agents ok. http-server test 7 'Checkout'",
            "test_id": "7",
            "test_name": "Checkout",
            "test_type": HTTP,
            "account_group_id": None,
            "failed_agents": [],
            "checks": [],
            "agents": {
                "expected": [
                    {"agent_id": "1", "agent_name": "name 1"},
                    {"agent_id": "2", "agent_name": "name 2"},
                ],
                "expected_count": 2,
                "expected_source": "test",
                "reported": [
                    {"agent_id": "1", "agent_name": "name 1", "country": "NO", "arrived_after": 12.5},
                    {"agent_id": "2", "agent_name": "name 2", "country": None, "arrived_after": None},
                ],
                "missing": [],
                "ok_count": 2,
                "allowed_errors": 0,
            },
            "sent_at": "2026-09-21T14:13:21Z",
            "started_at": "2026-09-21T14:13:22Z",
            "finished_at": "2026-09-21T14:14:20Z",
            "rounds": {HTTP: AT},
            "run_calls": 1,
            "requests": 9,
            "throttled_seconds": 3.1,
            "paced_seconds": 1.3,
            "metrics": {HTTP: {"responseTime": {"min": 100, "mean": 200, "max": 300}}},
            "samples": {"1": {"http-server.responseTime": 100}, "2": {"http-server.responseTime": 300}},
            "links": {"test": LINK},
        }

    def test_the_evidence_names_the_judging_task(self):
        result = evidence(observed(task_id="gate.run", map_index=3))
        assert (result["task_id"], result["map_index"]) == ("gate.run", 3)
        assert not {"task_id", "map_index"} & evidence(observed()).keys()

    def test_a_run_made_from_a_scheduled_test_names_it(self):
        document = evidence(observed(from_test="5", from_test_name="Scheduled\ncheckout"))
        assert document["from_test"] == {"test_id": "5", "test_name": "Scheduled checkout"}
        assert "from_test" not in evidence(observed())

    def test_keys_are_in_order_of_importance(self):
        keys = list(evidence(observed(verdict=Verdict.ERROR, reason="no response after 5 attempts")))
        assert keys[:9] == [
            *("verdict", "summary", "reason", "test_id", "test_name", "test_type", "account_group_id"),
            *("failed_agents", "checks"),
        ]
        assert keys[-3:] == ["metrics", "samples", "links"]

    @pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.INCOMPLETE, Verdict.NO_RESULTS])
    def test_only_inconclusive_runs_have_a_reason(self, verdict):
        error = evidence(observed(verdict=verdict, reason="no\nresponse"))
        assert (error["verdict"], error["reason"]) == (verdict.value, "no response")
        if verdict is not Verdict.ERROR:
            assert "reason" not in evidence(observed(verdict=verdict))
        assert "reason" not in evidence(observed(reason="left over"))

    def test_a_run_that_was_never_accepted(self):
        run = Observed("7", "", "", None, Verdict.ERROR, AT, reason="rate limit: reset in 4000 s")
        result = evidence(run)
        assert result["summary"] == "ERROR: rate limit: reset in 4000 s; 0 agents reported. test 7"
        assert (result["sent_at"], result["started_at"]) == (None, None)

    def test_missing_agents_have_their_state_and_missing_rows(self):
        missing = [
            MissingAgent(Agent("3", "Rome"), "offline"),
            MissingAgent(Agent("4"), None, "dns-server 1 of 2"),
        ]
        assert evidence(observed(missing=missing))["agents"]["missing"] == [
            {"agent_id": "3", "agent_name": "Rome", "state": "offline"},
            {"agent_id": "4", "agent_name": "", "state": None, "missing_rows": "dns-server 1 of 2"},
        ]

    def test_failed_agents_have_their_errors(self):
        rows = {HTTP: [row("1", responseTime=5), row("2", errorType="SSL", errorDetails="expired")]}
        result = evidence(observed(rows, allowed=3))
        assert result["failed_agents"] == [
            {
                "agent_id": "2",
                "agent_name": "name 2",
                "country": None,
                "errors": ["http-server: SSL: expired"],
            }
        ]
        assert (result["agents"]["allowed_errors"], result["agents"]["ok_count"]) == (3, 1)

    def test_failed_agents_are_listed_by_the_number_of_errors(self):
        rows = {
            "network": [row("2", loss=100), row("3", loss=0)],
            HTTP: [row("1", errorType="SSL"), row("2"), row("3", responseTime=4)],
        }
        assert [agent["agent_id"] for agent in evidence(observed(rows))["failed_agents"]] == ["2", "1"]

    def test_unlisted_agents_are_counted(self):
        document = evidence(observed(expected=UNKNOWN))["agents"]
        assert (document["expected"], document["expected_count"], document["expected_source"]) == (
            [],
            None,
            "unknown",
        )

    def test_metrics_count_numbers_as_text_and_ignore_other_text(self):
        rows = {
            HTTP: [row("1", responseTime="40"), row("2", responseTime="n/a"), row("3", responseTime=20.0)]
        }
        document = evidence(observed(rows))
        assert document["metrics"] == {HTTP: {"responseTime": {"min": 20, "mean": 30, "max": 40}}}
        assert set(document["samples"]) == {"1", "3"}

    def test_text_samples_are_numbers_or_short_texts(self):
        values = {"1": "46", "2": "TLSv1.3", "3": "x" * 81, "4": "a  b", "5": True}
        rows = {HTTP: [row(agent, sslVersion=value) for agent, value in values.items()]}
        checks = parse_checks({HTTP: {"sslVersion": {"contains": "TLS"}}})
        samples = evidence(observed(rows, judgement=judge(rows, 0, checks)))["samples"]
        assert {agent: sample[f"{HTTP}.sslVersion"] for agent, sample in samples.items()} == {
            "1": 46,
            "2": "TLSv1.3",
            "5": True,
        }

    def test_several_rows_of_an_agent_are_a_list(self):
        rows = {
            "dns-server": [
                row("1", resolutionTime=milliseconds, serverId=str(milliseconds))
                for milliseconds in (3, 4, 5)
            ]
        }
        assert evidence(observed(rows))["samples"] == {"1": {"dns-server.resolutionTime": [3, 4, 5]}}

    def test_evidence_without_rows(self):
        document = evidence(observed({}, verdict=Verdict.NO_RESULTS, reported=[]))
        assert (document["verdict"], document["rounds"], document["metrics"], document["samples"]) == (
            "no_results",
            {},
            {},
            {},
        )

    def test_evidence_that_fits_is_not_cut(self):
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

    def document(self, checks, rows=None, before=None):
        rows = rows or self.ROWS
        return evidence(observed(rows, judgement=judge(rows, 0, parse_checks(checks), before)))

    def test_each_check_has_a_row(self):
        rows = self.document(self.CHECKS)["checks"]
        assert [(check["metric"], check["passed"]) for check in rows] == [
            ("responseTime", False),
            ("sslVersion", True),
            ("headers.responseHeaders", True),
        ]
        assert rows[0]["failing_agents"] == [{"agent_id": "2", "agent_name": "name 2", "actual": 300}]

    def test_metrics_and_samples_are_those_of_the_checks(self):
        document = self.document(self.CHECKS)
        assert document["metrics"] == {HTTP: {"responseTime": {"min": 100, "mean": 200, "max": 300}}}
        assert document["samples"]["1"] == {
            "http-server.responseTime": 100,
            "http-server.sslVersion": "TLSv1.3",
        }

    def test_a_result_type_without_checks_has_its_default_metrics(self):
        rows = self.ROWS | {"network": [row("1", loss=0, avgLatency=5)]}
        assert set(self.document(self.CHECKS, rows)["metrics"]["network"]) == {"loss", "avgLatency"}

    def test_the_baseline_has_its_source_and_the_compared_samples(self):
        checks = {HTTP: {"responseTime": {"mean": {"change_leq_to": 0.2}}}}
        earlier = self.document(self.CHECKS)
        document = self.document(checks, before=baseline_from_evidence(earlier))
        assert document["baseline"] == {
            "source": "the run of test 7 at 2026-09-21T14:13:22Z",
            "samples": {"1": {"http-server.responseTime": 100}, "2": {"http-server.responseTime": 300}},
        }
        assert document["checks"][0]["change"] == 0
        document = self.document(checks, before=baseline_from_evidence(None))
        assert document["baseline"] == {
            "source": "the earlier evidence",
            "reason": "the earlier evidence is missing",
        }
        assert "baseline" not in earlier

    @pytest.mark.parametrize("agents", [100, 2000])
    def test_twenty_checks_of_many_agents_fit_and_failed_checks_stay(self, agents):
        rows = {HTTP: [row(str(nth), f"Agent {nth}, Somewhere", responseTime=nth) for nth in range(agents)]}
        rules = [{"geq_to": nth} for nth in range(18)] + [{"leq_to": 1}, {"leq_to": 2, "severity": "warn"}]
        document = self.document({HTTP: {"responseTime": {"every": rules}}}, rows)
        assert size(document) <= MAX_EVIDENCE_BYTES
        assert len(document["checks"]) == 20
        assert document["checks"][18]["failing_count"] == agents - 2
        assert len(document["checks"][18]["failing_agents"]) >= 3

    def test_failed_checks_stay_if_there_are_too_many_checks(self):
        rules = [{"geq_to": nth} for nth in range(500)]
        document = self.document({HTTP: {"responseTime": {"min": rules}}})
        assert size(document) <= MAX_EVIDENCE_BYTES
        assert document["cut"]["checks"] + len(document["checks"]) == 500
        assert not document["checks"][0]["passed"]
        assert document["checks"][0]["comparison"] == {"geq_to": 101}


class TestSize:
    @pytest.mark.parametrize("count", [100, 300, 1000, 3000])
    def test_any_number_of_agents_fits_and_the_least_important_part_is_cut_first(self, count):
        document = evidence(many(count))
        assert size(document) <= MAX_EVIDENCE_BYTES
        if count > 100:
            assert document["cut"]["agents.expected"] > 0
        assert len(document["agents"]["missing"]) >= min(count // 5, 100), "missing agents are cut last"

    def test_samples_stay_complete_for_as_long_as_possible(self):
        assert "samples" not in evidence(many(300))["cut"]
        assert evidence(many(3000))["cut"]["samples"] > 0

    def test_some_entries_of_every_list_stay_for_as_long_as_possible(self):
        document = evidence(many(5000))
        assert all(len(document["agents"][name]) >= 20 for name in ("expected", "reported", "missing"))
        assert len(document["failed_agents"]) >= 20

    def test_cut_counts_the_omitted_entries_by_path(self):
        document = evidence(many(1000))
        lists = {f"agents.{name}": document["agents"][name] for name in ("expected", "reported", "missing")}
        lists |= {name: document[name] for name in ("samples", "failed_agents")}
        left = {name: len(kept) for name, kept in lists.items()}
        whole = {
            "samples": 1000,
            "agents.expected": 1000,
            "agents.reported": 1000,
            "failed_agents": 500,
            "agents.missing": 200,
        }
        assert {name: whole[name] - left[name] for name in whole if whole[name] > left[name]} == document[
            "cut"
        ]

    @pytest.mark.parametrize("count", [250, 300, 400, 700])
    def test_only_as_much_as_necessary_is_cut(self, count):
        assert MAX_EVIDENCE_BYTES - 200 < size(evidence(many(count))) <= MAX_EVIDENCE_BYTES

    def test_a_text_is_one_line_of_bounded_length(self):
        document = evidence(many(2, name="Oslo,\n\tNor\x1bway\ud800", error="a\r\nb" + "x" * 5000))
        assert document["agents"]["reported"][0]["agent_name"] == "Oslo, Nor way 0"
        error = document["failed_agents"][0]["errors"][0]
        assert error.startswith("http-server: Connect: a b")
        assert len(error) <= 200
        assert evidence(observed(test_name="x" * 500))["test_name"] == "x" * 199 + "\N{HORIZONTAL ELLIPSIS}"

    def test_many_errors_of_an_agent_are_shortened_and_counted(self):
        rows = {"dns-server": [row("1", serverId=f"{nth:03}", errorDetails=f"e{nth}") for nth in range(500)]}
        (failed,) = evidence(observed(rows))["failed_agents"]
        assert failed["errors"] == [*(f"dns-server: e{nth}" for nth in range(10)), "and 490 more"]

    def test_lists_are_cut_to_the_last_entry_when_necessary(self):
        document = fit(evidence(many(100)), 1)
        assert not any(document["agents"][name] for name in ("expected", "reported", "missing"))
        assert (document["samples"], document["failed_agents"]) == ({}, [])
        assert document["cut"]["agents.expected"] == 100

    def test_fewer_agents_are_named_by_checks_before_samples_are_cut(self):
        rows = {HTTP: [row(str(nth), responseTime=nth) for nth in range(20)]}
        checks = parse_checks(
            {HTTP: {"responseTime": {"every": [{"geq_to": 90 + nth} for nth in range(20)]}}}
        )
        whole = evidence(observed(rows, judgement=judge(rows, 0, checks)))
        assert "cut" not in whole
        document = fit(copy.deepcopy(whole), size(whole) - 1000)
        assert list(document["cut"]) == ["checks.agents"]
        assert document["samples"] == whole["samples"]
        assert {len(check["failing_agents"]) for check in document["checks"]} == {3}

    def test_a_long_link_is_omitted(self):
        document = evidence(observed(links={"test": LINK, "round": LINK + "x" * 5000}))
        assert (document["links"], document["cut"]) == ({"test": LINK}, {"links": 1})


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
def test_any_evidence_is_plain_json_of_at_most_48_kib(rows, texts, links, state, lacking, repeat):
    rows = {name: [row for group in groups for row in group] for name, groups in rows.items()}
    listed = [
        Agent(row["agent"]["agentId"], row["agent"]["agentName"]) for group in rows.values() for row in group
    ]
    document = evidence(
        observed(
            rows,
            expected=ExpectedAgents("test", tuple(listed * repeat)[:2000], 7),
            reported=listed,
            missing=[MissingAgent(agent, state, lacking) for agent in listed],
            links=links,
            **texts,
        )
    )
    assert size(document) <= MAX_EVIDENCE_BYTES
    assert json.loads(json.dumps(document, allow_nan=False)) == document
