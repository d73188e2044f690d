"""Evidence as text: headline, summary, and the table of a log."""

from __future__ import annotations

import logging

import pytest

from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.validation import formatting
from thousandeyes_provider.validation.baseline import baseline_from_evidence
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import MissingAgent, Observed, confirmed, evidence
from thousandeyes_provider.validation.summary import summary, table, table_lines, worst_agent
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
HTTP = "http-server"
LINKS = {"test": "https://app.thousandeyes.com/t", "round": "https://app.thousandeyes.com/r"}


def evidence_of(good=0, bad=0, silent=0, *, name="Agent", expected=None, checks=None, before=None, **more):
    """Return the evidence of a round with these numbers of good, bad and silent agents."""
    listed = [Agent(str(nth), f"{name} {nth}") for nth in range(good + bad + silent)]
    reported = listed[: good + bad]
    error = {"errorType": "Connect", "errorDetails": "refused"}
    rows = [
        {
            "roundId": AT,
            "agent": {"agentId": agent.agent_id, "agentName": agent.agent_name},
            "responseTime": 5,
            **(error if nth >= good else {}),
        }
        for nth, agent in enumerate(reported)
    ]
    seen = {
        "test_id": "7",
        "test_name": "Checkout",
        "test_type": HTTP,
        "account_group_id": None,
        "verdict": Verdict.FAILED,
        "started_at": AT,
        "finished_at": AT + 60,
        "rounds": {HTTP: AT} if rows else {},
        "run_calls": 1,
        "requests": 9,
        "throttled_seconds": 3.0,
        "paced_seconds": 2.0,
        "sent_at": AT - 2,
        "expected": expected or ExpectedAgents.of("test", listed),
        "reported": reported,
        "missing": [MissingAgent(agent, "offline") for agent in listed[good + bad :]],
        "judgement": judge({HTTP: rows}, 0, parse_checks(checks), before),
        "links": LINKS,
    }
    return evidence(Observed(**(seen | more)))


class TestHeadline:
    """The first 80 characters have the verdict, the worst agent and the reason."""

    CONNECT = {"errorType": "Connect", "errorDetails": "Connection refused"}
    SLOW = {HTTP: {"responseTime": {"p95": {"leq_to": 800}}}}

    @staticmethod
    def row(agent, name, **more):
        return {"roundId": AT, "agent": {"agentId": agent, "agentName": name}, "responseTime": 5, **more}

    def headline(self, *rows, verdict=Verdict.FAILED, checks=None, allowed=0, **more):
        listed = [Agent(row["agent"]["agentId"], row["agent"]["agentName"]) for row in rows]
        judgement = judge({HTTP: rows}, allowed, parse_checks(checks))
        expected = ExpectedAgents.of("test", listed)
        seen = {"expected": expected, "reported": listed, "judgement": judgement} | more
        return evidence_of(verdict=verdict, test_id="202703", **seen)["summary"]

    def test_an_agent_error_leads(self):
        good = [self.row(str(nth), f"Agent {nth}") for nth in range(4)]
        assert self.headline(*good, self.row("9", "Singapore", **self.CONNECT)) == (
            "FAILED: Singapore: Connection refused; 4 of 5 agents ok. http-server test 202703 'Checkout'"
        )

    def test_an_error_type_that_the_details_do_not_contain_stays(self):
        expired = {"errorType": "SSL", "errorDetails": "certificate expired"}
        assert "Singapore: SSL: certificate expired; " in self.headline(self.row("9", "Singapore", **expired))

    def test_a_failed_check_leads_with_its_worst_agent(self):
        rows = [self.row("1", "Oslo", responseTime=850), self.row("2", "Singapore, SG", responseTime=912)]
        assert self.headline(*rows, self.row("3", "Rome"), checks=self.SLOW).startswith(
            "FAILED: Singapore, SG: responseTime 912 ms, expected p95 <= 800 ms; "
            "1 of 3 agents ok, 1 of 1 checks failed."
        )

    def test_the_agent_with_most_failed_checks_leads(self):
        checks = {
            HTTP: {"responseTime": [{"leq_to": 800}, {"leq_to": 100}], "responseCode": {"equal_to": 200}}
        }
        rows = [
            self.row("1", "Oslo", responseTime=900, responseCode=200),
            self.row("2", "Rome", responseTime=850, responseCode=500),
        ]
        assert self.headline(*rows, checks=checks).startswith(
            "FAILED: Rome: responseTime 850 ms, expected <= 800"
        )

    def test_a_tolerated_error_does_not_lead(self):
        rows = [self.row("1", "Oslo", responseTime=900), self.row("2", "Rome", **self.CONNECT)]
        text = self.headline(*rows, checks=self.SLOW, allowed=1)
        assert text.startswith(
            "FAILED: Oslo: responseTime 900 ms, expected p95 <= 800 ms; 0 of 2 agents ok, 1 of"
        )

    def test_a_check_that_names_no_agent_leads_itself(self):
        checks = {HTTP: {"responseTime": {"count": {"geq_to": 3}}}}
        assert self.headline(self.row("1", "Oslo"), checks=checks).startswith(
            "FAILED: http-server responseTime count: 1, expected >= 3; 1 of 1 agents ok, 1 of 1 checks failed."
        )

    def test_missing_agents_lead_an_incomplete_run(self):
        missing = [
            MissingAgent(Agent("2", "Rome"), "offline", "http-server 0 of 1"),
            MissingAgent(Agent("3")),
        ]
        rows = [self.row("1", "Oslo", **self.CONNECT)]
        assert self.headline(*rows, verdict=Verdict.INCOMPLETE, missing=missing) == (
            "INCOMPLETE: Rome: missing, state offline, has http-server 0 of 1; 1 of 1 agents reported. "
            "http-server test 202703 'Checkout'"
        )

    def test_an_incomplete_run_without_missing_agents_states_the_reason(self):
        text = self.headline(verdict=Verdict.INCOMPLETE)
        assert text.startswith("INCOMPLETE: no agent could be judged; ")

    def test_a_passed_run_has_its_counts(self):
        rows = [self.row("1", "Oslo"), self.row("2", "Rome", **self.CONNECT)]
        warn = {HTTP: {"responseTime": [{"leq_to": 9}, {"leq_to": 8}, {"leq_to": 1, "severity": "warn"}]}}
        assert self.headline(*rows, verdict=Verdict.PASSED, allowed=1, checks=warn) == (
            "PASSED: 1 of 2 agents ok, 2 checks passed, 1 warning. http-server test 202703 'Checkout'"
        )

    def test_long_names_leave_room_for_the_reason(self):
        text = self.headline(self.row("1", "n" * 150, **self.CONNECT))
        assert "Connection refused" in text[:80]
        assert len(text) < 250

    def test_an_agent_without_a_name_is_its_id(self):
        assert self.headline(self.row("9", "", **self.CONNECT)).startswith(
            "FAILED: agent 9: Connection refused"
        )


class TestWorstAgent:
    def test_every_agent_is_ok(self):
        assert worst_agent(evidence_of(good=3, verdict=Verdict.PASSED)) is None

    def test_the_round_link_opens_the_worst_agent(self):
        def row(agent, **more):
            link = {"appLink": {"href": f"https://app.thousandeyes.com/r?agent={agent}"}}
            return {"agent": {"agentId": agent}, "roundId": AT, "responseTime": 5, "_links": link, **more}

        def round_link(*rows, **more):
            judgement = judge({HTTP: rows, "path-vis": [{"agent": {"agentId": "9"}}]}, 0)
            return evidence_of(judgement=judgement, links={}, **more)["links"].get("round")

        bad = {"errorType": "Connect"}
        assert round_link(row("1"), row("2", **bad)) == "https://app.thousandeyes.com/r?agent=2"
        assert round_link(row("1"), row("2")) == "https://app.thousandeyes.com/r?agent=1"
        assert round_link(row("1"), row("2", _links={}, **bad)) == "https://app.thousandeyes.com/r?agent=1"
        assert round_link(row("1", _links={})) is None
        missing = [MissingAgent(Agent("3"))]
        assert round_link(row("1"), row("2", **bad), missing=missing, verdict=Verdict.INCOMPLETE) == (
            "https://app.thousandeyes.com/r?agent=2"
        )


class TestSummary:
    def test_the_summary_has_headline_figures_agents_and_links(self):
        assert summary(evidence_of(good=2, bad=1, silent=1)) == "\n".join(
            [
                "FAILED: Agent 2: Connect: refused; 2 of 4 agents ok. http-server test 7 'Checkout'",
                "  3 of 4 agents reported, 1 missing, 1 with an error (none allowed)",
                "  Agent 2: http-server: Connect: refused",
                "  Agent 3: missing, state offline",
                "  ThousandEyes: https://app.thousandeyes.com/r",
                "  Evidence: XCom 'return_value' of this task",
            ]
        )

    def test_the_first_five_are_named_and_the_rest_counted(self):
        text = summary(evidence_of(bad=8, silent=7))
        assert "  and 3 more with an error" in text
        assert "  and 2 more missing" in text
        assert "Agent 4: http-server" in text
        assert "Agent 5: http-server" not in text

    def test_a_run_without_a_round_links_to_the_test(self):
        assert "ThousandEyes: https://app.thousandeyes.com/t" in summary(
            evidence_of(links={"test": LINKS["test"]})
        )
        assert "ThousandEyes:" not in summary(evidence_of(links={}))

    def test_a_snapshot_is_linked(self):
        lines = summary(evidence_of(bad=1, links=LINKS | {"snapshot": "https://te.example/s"})).splitlines()
        assert lines[-3:-1] == [
            "  ThousandEyes: https://app.thousandeyes.com/r",
            "  Snapshot: https://te.example/s",
        ]

    def test_unlisted_agents_have_no_total(self):
        assert "2 agents reported, none with an error" in summary(evidence_of(good=2, expected=UNKNOWN))


class TestTable:
    def test_the_complete_table(self):
        assert table(evidence_of(good=1, bad=1, silent=1)) == "\n".join(
            [
                "FAILED: Agent 1: Connect: refused; 1 of 3 agents ok. http-server test 7 'Checkout'",
                "account group  the token's default",
                "time           sent 2026-09-21T14:13:18Z, accepted 2026-09-21T14:13:20Z, "
                "finished 2026-09-21T14:14:20Z",
                "rounds         http-server 2026-09-21T14:13:20Z",
                "requests       9, run call sent once; 3 s of rate-limit waits; 2 s of own pacing",
                "agents         2 of 3 agents reported, 1 missing, 1 with an error (none allowed); "
                "expected agents: from the test definition",
                "",
                "agent             result",
                "Agent 1  ERROR    http-server: Connect: refused",
                "Agent 2  MISSING  state offline",
                "Agent 0  ok       responseTime 5 ms",
                "",
                "metric                    min  mean  max",
                "http-server responseTime  5    5     5    ms",
                "",
                "round: https://app.thousandeyes.com/r",
                "test: https://app.thousandeyes.com/t",
            ]
        )

    def test_failures_are_errors_and_warnings_are_warnings(self):
        checks = {HTTP: {"responseTime": [{"leq_to": 1}, {"leq_to": 2, "severity": "warn"}, {"leq_to": 9}]}}
        levels = {
            line: level
            for level, line in table_lines(evidence_of(good=1, bad=1, silent=1, checks=checks))
            if line
        }

        def lines(level):
            return [line.split("  ")[0] for line, of_line in levels.items() if of_line == level]

        assert lines(logging.ERROR) == [
            *(
                "FAILED: Agent 1: Connect: refused; 0 of 3 agents ok, 1 of 3 checks failed, 1 warning. "
                "http-server test 7 'Checkout'",
                "http-server responseTime every",
                "Agent 1",
                "Agent 0",
            ),
        ]
        assert lines(logging.WARNING) == ["http-server responseTime every", "Agent 2"]
        assert table_lines(evidence_of(good=1, verdict=Verdict.PASSED))[0][0] == logging.INFO
        assert table_lines(evidence_of(silent=1, verdict=Verdict.INCOMPLETE))[0][0] == logging.WARNING

    def test_an_agent_without_a_name_is_shown_by_its_id(self):
        assert "agent 3  MISSING" in table(evidence_of(missing=[MissingAgent(Agent("3"))]))

    def test_a_run_without_results(self):
        text = table(evidence_of(links={}, verdict=Verdict.NO_RESULTS))
        assert text.startswith("NO RESULTS: no round of this run by the deadline; 0 agents reported.")
        assert "rounds         none" in text
        assert "agent  " not in text.replace("agents  ", "")

    @pytest.mark.parametrize("counts", [(1000, 0, 0), (0, 1000, 0), (0, 0, 1000), (700, 700, 700)])
    @pytest.mark.parametrize("name", ["Agent", "Oslo,\nNorway\r\n\x0b\u2028x", "n" * 5000])
    def test_at_most_forty_lines_for_any_number_of_agents(self, counts, name):
        good, bad, missing = counts
        evidence = evidence_of(good, bad, missing, name=name)
        assert len(table(evidence).splitlines()) <= 45
        assert len(summary(evidence).splitlines()) <= 16
        assert max(map(len, table(evidence).splitlines())) < 250

    def test_entries_left_out_for_size_are_named(self):
        text = table(evidence_of(good=2000))
        assert "left out for size: 1980 of agents.expected, 1980 of agents.reported, " in text


@pytest.mark.parametrize("words", [summary, table])
def test_figures_include_entries_left_out_for_size(words):
    text = words(evidence_of(good=3000, bad=2000, silent=1000))
    assert "5000 of 6000 agents reported, 1000 missing, 2000 with an error (none allowed)" in text


def test_the_rest_counts_every_entry_that_is_not_shown():
    evidence = evidence_of(good=3000, bad=2000, silent=1000)
    assert "and 1995 more with an error" in summary(evidence)
    assert "and 995 more missing" in summary(evidence)
    assert "and more, counted above" in table(evidence)
    assert "and 5 more" in table(evidence_of(good=25))


def test_an_agent_whose_error_was_left_out_is_not_shown_as_good():
    error = "\N{PILE OF POO}" * 180
    dns = [
        {"roundId": AT, "agent": {"agentId": str(agent)}, "serverId": str(nth), "errorDetails": error}
        for agent in range(30)
        for nth in range(10)
    ]
    rows = {"dns-server": dns}
    evidence = evidence_of(judgement=judge(rows, 0), reported=[Agent(str(nth)) for nth in range(30)])
    assert evidence["cut"]["failed_agents"] > 10
    assert "  ok  " not in table(evidence)


CHECKS = {
    HTTP: {
        "responseTime": {
            "p95": [{"leq_to": 800}, {"leq_to": 4}],
            "every": {"leq_to": 4, "quorum": 0.5},
            "median": {"change_leq_to": 0.2, "floor": 0.5},
        },
        "responseCode": {"equal_to": 200, "severity": "warn"},
    }
}
BEFORE = baseline_from_evidence(
    {
        "test_id": "7",
        "started_at": "2026-09-20T14:13:20Z",
        "verdict": "passed",
        "samples": {"0": {f"{HTTP}.responseTime": 4}},
        "agents": {"reported": [{"agent_id": "0", "agent_name": "Agent 0"}]},
    }
)


class TestChecks:
    def test_the_summary_has_actual_value_expectation_and_agents(self):
        assert summary(evidence_of(good=2, checks=CHECKS, before=BEFORE)) == "\n".join(
            [
                "FAILED: Agent 0: responseTime 5 ms, expected p95 <= 4 ms; 0 of 2 agents ok, "
                "3 of 5 checks failed, 1 warning. http-server test 7 'Checkout'",
                "  2 of 2 agents reported, none with an error",
                "  http-server responseTime p95: 5 ms, expected <= 4 ms: Agent 0 5 ms; Agent 1 5 ms",
                "  http-server responseTime every: 0 of 2 agents, 1 needed, expected <= 4 ms (quorum 50 %): "
                "Agent 0 5 ms; Agent 1 5 ms",
                "  http-server responseTime median: 5 ms (+1 ms, +25 % from 4 ms), "
                "expected change <= +20 % (floor 0.5 ms): Agent 0 5 ms (before 4 ms); no earlier value: Agent 1",
                "  ThousandEyes: https://app.thousandeyes.com/r",
                "  Evidence: XCom 'return_value' of this task",
            ]
        )

    def test_the_table_has_failed_checks_first(self):
        lines = table(evidence_of(good=2, checks=CHECKS, before=BEFORE)).splitlines()
        start = lines.index(next(line for line in lines if line.startswith("check  ")))
        assert [line.split("  ")[0] for line in lines[start + 1 : start + 6]] == [
            "http-server responseTime p95",
            "http-server responseTime every",
            "http-server responseTime median",
            "http-server responseCode every",
            "http-server responseTime p95",
        ]
        assert "checks         3 of 5 checks failed, 1 warning" in lines
        assert "baseline       the run of test 7 at 2026-09-20T14:13:20Z" in lines
        assert any(line.startswith("Agent 0  failed checks: 3  responseTime 5 ms") for line in lines)

    def test_agents_are_sorted_by_failed_checks_without_warnings(self):
        slow = {"responseTime": {"leq_to": 4, "where": {"agentId": ["1", "2"]}}}
        checks = {
            HTTP: slow
            | {
                "responseCode": {"equal_to": 200, "where": {"agentId": "2"}},
                "wireSize": {"leq_to": 1, "severity": "warn", "where": {"agentId": ["0", "1"]}},
            }
        }
        lines = table(evidence_of(good=4, checks=checks)).splitlines()
        start = next(nth for nth, line in enumerate(lines) if line.startswith("agent "))
        assert [line.split("  ")[:2] for line in lines[start + 1 : start + 5]] == [
            ["Agent 2", "failed checks: 2"],
            ["Agent 1", "failed checks: 1"],
            ["Agent 0", "warning"],
            ["Agent 3", "ok"],
        ]

    @pytest.mark.parametrize(
        ("verdict", "same", "words"),
        [
            ("failed", True, "Failure confirmed: the run at 2026-09-21T14:10:00Z failed as well"),
            (
                "passed",
                True,
                "Failure not confirmed: the run at 2026-09-21T14:10:00Z failed, this run did not",
            ),
            (
                "failed",
                False,
                "Failure not confirmed: no check failed in every run since the run at 2026-09-21T14:10:00Z",
            ),
            (
                "incomplete",
                True,
                "Failure not confirmed: the run at 2026-09-21T14:10:00Z failed, this run was not judged",
            ),
        ],
    )
    def test_the_result_of_a_confirmation_run_is_shown(self, verdict, same, words):
        first = {"started_at": "2026-09-21T14:10:00Z"}
        result = confirmed(evidence_of(good=1, verdict=Verdict(verdict)), first, same=same)
        assert result["verdict"] == (verdict if same else "passed")
        assert result["summary"].startswith(result["verdict"].upper())
        assert result["summary"].endswith(f" {words}")
        assert f"confirmation   {words}" in table(result)

    def test_a_check_without_a_value_has_its_reason(self):
        text = summary(evidence_of(good=1, checks={HTTP: {"wireSize": {"min": {"geq_to": 1}}}}))
        assert (
            "  http-server wireSize min: no agent reported wireSize, expected >= 1 B: no value: Agent 0"
            in text
        )
        text = summary(evidence_of(good=1, checks=CHECKS, before=baseline_from_evidence(None)))
        assert "responseTime median: the earlier evidence is missing, expected change <= +20 %" in text

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            ({"equal_to": 5}, "= 5 ms"),
            ({"greater_than": 1, "less_than": 2.5}, "> 1 ms and < 2.5 ms"),
            ({"geq_to": 1, "tolerance": 0.05}, ">= 1 ms (tolerance 5 %)"),
            ({"one_of": ["a", 5]}, "one of 'a', 5"),
            ({"contains": "x"}, "contains 'x'"),
            ({"matches": "^x"}, "matches '^x'"),
            ({"equal_to": True}, "= true"),
            ({"change_geq_to": -0.5}, "change >= -50 %"),
            ({"delta_leq_to": 7, "floor": 2}, "change <= +7 ms (floor 2 ms)"),
            (
                {"leq_to": 1, "where": {"agentName": ["a*", "b"], "countryId": "NO"}},
                "agentName a* or b and countryId NO",
            ),
        ],
    )
    def test_expectations_are_readable(self, rule, words):
        metric = "responseTime" if " ms" in words or words.startswith("change") else "field"
        assert words in table(
            evidence_of(good=1, checks={HTTP: {metric: rule | {"unlisted": metric == "field"}}})
        )

    @pytest.mark.parametrize(("agents", "count"), [(3, 1), (3, 300), (2000, 1), (2000, 20)])
    @pytest.mark.parametrize("name", ["Agent", "Oslo,\nNorway\r\n\x0b\u2028x", "n" * 5000])
    def test_at_most_sixty_lines_for_any_number_of_checks(self, agents, count, name):
        rules = [{"leq_to": nth} for nth in range(count)]
        unlisted = [{**rules[0], "unlisted": True}]
        metrics = {f"metric {nth}" * 9: unlisted for nth in range(min(count, 20))}
        links = {f"link {nth}": "https://x" for nth in range(9)}
        checks = {HTTP: {"responseTime": rules, **metrics}, "network": metrics}
        evidence = evidence_of(agents, agents, agents, name=name, checks=checks, before=BEFORE, links=links)
        assert len(table(evidence).splitlines()) <= 60
        assert max(map(len, table(evidence).splitlines())) < 260
        assert len(summary(evidence).splitlines()) <= 22

    def test_agents_cut_from_checks_are_not_shown_as_good(self):
        text = table(evidence_of(good=40, checks={HTTP: {"responseTime": {"leq_to": 4}}}))
        assert "  ok  " not in text
        assert "  failed checks: 1" in text


@pytest.mark.parametrize(("number", "text"), [(None, "?"), (1.5, "+1.5 ms"), (-2, "-2 ms")])
def test_a_difference_has_a_sign_unless_it_exceeds_a_float(number, text):
    assert formatting.format_difference(number, "ms") == text


@pytest.mark.parametrize("verdict", [Verdict.INCOMPLETE, Verdict.NO_RESULTS])
def test_summary_of_an_inconclusive_run_names_the_rounds_of_other_runs(verdict):
    reason = "round 1790000000 (2026-09-21T14:13:20Z), started before the run call was sent"
    assert f"\n  Not judged: {reason}\n" in summary(evidence_of(silent=2, verdict=verdict, reason=reason))
    assert "Not judged" not in summary(evidence_of(silent=2, verdict=verdict))
