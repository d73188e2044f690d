"""Evidence for people: the line of an exception and the table of a log."""

from __future__ import annotations

import pytest

from thousandeyes_provider.api.expected_agents import UNKNOWN, Agent, ExpectedAgents
from thousandeyes_provider.validation import formatting
from thousandeyes_provider.validation.baseline import baseline_from_evidence
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.evidence import Missing, Observed, evidence
from thousandeyes_provider.validation.summary import summary, table
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
HTTP = "http-server"
LINKS = {"test": "https://app.thousandeyes.com/t", "round": "https://app.thousandeyes.com/r"}


def told(good=0, bad=0, silent=0, *, name="Agent", expected=None, checks=None, before=None, **more):
    """The evidence of a round with so many good, bad and silent agents."""
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
        "expected": expected or ExpectedAgents.of("test", listed),
        "reported": reported,
        "missing": [Missing(agent, "offline") for agent in listed[good + bad :]],
        "judgement": judge({HTTP: rows}, 0, parse_checks(checks), before),
        "rows": {HTTP: rows},
        "links": LINKS,
    }
    return evidence(Observed(**(seen | more)))


class TestSummary:
    def test_says_verdict_test_figures_the_agents_and_where_the_rest_is(self):
        assert summary(told(good=2, bad=1, silent=1)) == "\n".join(
            [
                "http-server test 7 'Checkout': failed. "
                "3 of 4 agents reported, 1 missing, 1 with an error (none allowed).",
                "  Agent 2: http-server: Connect: refused",
                "  Agent 3 is missing, state offline",
                "  ThousandEyes: https://app.thousandeyes.com/r",
                "  The whole evidence is this task's XCom 'return_value'.",
            ]
        )

    def test_the_first_five_are_named_and_the_rest_counted(self):
        text = summary(told(bad=8, silent=7))
        assert "  and 3 more with an error" in text
        assert "  and 2 more missing" in text
        assert "Agent 4: http-server" in text
        assert "Agent 5: http-server" not in text

    def test_links_to_the_test_where_there_is_no_round(self):
        assert "ThousandEyes: https://app.thousandeyes.com/t" in summary(told(links={"test": LINKS["test"]}))
        assert "ThousandEyes:" not in summary(told(links={}))

    def test_links_to_the_snapshot_where_there_is_one(self):
        lines = summary(told(bad=1, links=LINKS | {"snapshot": "https://te.example/s"})).splitlines()
        assert lines[-3:-1] == [
            "  ThousandEyes: https://app.thousandeyes.com/r",
            "  Snapshot: https://te.example/s",
        ]

    def test_agents_that_nobody_lists_are_not_counted_against_a_number(self):
        assert "2 agents reported, none with an error." in summary(told(good=2, expected=UNKNOWN))


class TestTable:
    def test_the_whole_picture(self):
        assert table(told(good=1, bad=1, silent=1)) == "\n".join(
            [
                "verdict        FAILED",
                "test           http-server test 7 'Checkout'",
                "account group  the token's default",
                "time           2026-09-21T14:13:20Z to 2026-09-21T14:14:20Z",
                "rounds         http-server 2026-09-21T14:13:20Z",
                "requests       9, the run was sent once; 3 s of waiting for rate limits",
                "agents         2 of 3 agents reported, 1 missing, 1 with an error (none allowed); "
                "the test says who is expected",
                "",
                "agent             result",
                "Agent 1  ERROR    http-server: Connect: refused",
                "Agent 2  MISSING  state offline",
                "Agent 0  ok       responseTime 5 ms",
                "",
                "metric                    min  mean  max",
                "http-server responseTime  5    5     5    ms",
                "",
                "test: https://app.thousandeyes.com/t",
                "round: https://app.thousandeyes.com/r",
            ]
        )

    def test_an_agent_is_named_by_its_id_where_it_has_no_name(self):
        assert "agent 3  MISSING" in table(told(missing=[Missing(Agent("3"))]))

    def test_nothing_at_all(self):
        text = table(told(links={}, verdict=Verdict.NO_RESULTS))
        assert "verdict        NO_RESULTS" in text
        assert "rounds         none" in text
        assert "agent  " not in text.replace("agents  ", "")

    @pytest.mark.parametrize("counts", [(1000, 0, 0), (0, 1000, 0), (0, 0, 1000), (700, 700, 700)])
    @pytest.mark.parametrize("name", ["Agent", "Oslo,\nNorway\r\n\x0b\u2028x", "n" * 5000])
    def test_some_forty_lines_whatever_the_number_of_agents(self, counts, name):
        good, bad, missing = counts
        evidence = told(good, bad, missing, name=name)
        assert len(table(evidence).splitlines()) <= 45
        assert len(summary(evidence).splitlines()) <= 15
        assert max(map(len, table(evidence).splitlines())) < 250

    def test_says_what_was_left_out_for_size(self):
        text = table(told(good=2000))
        assert "left out for size: 1980 of agents.expected, 1980 of agents.reported, " in text


@pytest.mark.parametrize("words", [summary, table])
def test_figures_count_what_was_left_out_for_size_too(words):
    text = words(told(good=3000, bad=2000, silent=1000))
    assert "5000 of 6000 agents reported, 1000 missing, 2000 with an error (none allowed)" in text


def test_more_means_all_that_are_not_shown():
    evidence = told(good=3000, bad=2000, silent=1000)
    assert "and 1995 more with an error" in summary(evidence)
    assert "and 995 more missing" in summary(evidence)
    assert "and more, counted above" in table(evidence)
    assert "and 5 more" in table(told(good=25))


def test_an_agent_whose_error_was_left_out_is_not_shown_as_good():
    error = "\N{PILE OF POO}" * 180
    dns = [
        {"roundId": AT, "agent": {"agentId": str(agent)}, "serverId": str(nth), "errorDetails": error}
        for agent in range(30)
        for nth in range(10)
    ]
    rows = {"dns-server": dns}
    evidence = told(rows=rows, judgement=judge(rows, 0), reported=[Agent(str(nth)) for nth in range(30)])
    assert evidence["cut"]["agents.failed"] > 10
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
    def test_the_summary_has_actual_against_expected_and_the_agents(self):
        assert summary(told(good=2, checks=CHECKS, before=BEFORE)) == "\n".join(
            [
                "http-server test 7 'Checkout': failed. 3 of 5 checks failed, 1 warning. "
                "2 of 2 agents reported, none with an error.",
                "  http-server responseTime p95: 5 ms, expected <= 4 ms: Agent 0 5 ms, Agent 1 5 ms",
                "  http-server responseTime every: 0 of 2 agents, 1 needed, expected <= 4 ms (quorum 50 %): "
                "Agent 0 5 ms, Agent 1 5 ms",
                "  http-server responseTime median: 5 ms (+1 ms, +25 % from 4 ms), "
                "expected change <= +20 % (floor 0.5 ms): Agent 0 5 ms (before 4 ms); not there before: Agent 1",
                "  ThousandEyes: https://app.thousandeyes.com/r",
                "  The whole evidence is this task's XCom 'return_value'.",
            ]
        )

    def test_the_table_has_those_that_fail_first(self):
        lines = table(told(good=2, checks=CHECKS, before=BEFORE)).splitlines()
        start = lines.index(next(line for line in lines if line.startswith("check  ")))
        assert [line.split("  ")[0] for line in lines[start + 1 : start + 6]] == [
            "http-server responseTime p95",
            "http-server responseTime every",
            "http-server responseTime median",
            "http-server responseCode every",
            "http-server responseTime p95",
        ]
        assert "checks         3 of 5 checks failed, 1 warning" in lines
        assert "compared with  the run of test 7 at 2026-09-20T14:13:20Z" in lines
        assert any(line.startswith("Agent 0  broke 3  responseTime 5 ms") for line in lines)

    def test_the_agents_that_broke_most_come_first_and_a_warning_is_no_failure(self):
        slow = {"responseTime": {"leq_to": 4, "where": {"agentId": ["1", "2"]}}}
        checks = {
            HTTP: slow
            | {
                "responseCode": {"equal_to": 200, "where": {"agentId": "2"}},
                "wireSize": {"leq_to": 1, "severity": "warn", "where": {"agentId": ["0", "1"]}},
            }
        }
        lines = table(told(good=4, checks=checks)).splitlines()
        start = next(nth for nth, line in enumerate(lines) if line.startswith("agent "))
        assert [line.split("  ")[:2] for line in lines[start + 1 : start + 5]] == [
            ["Agent 2", "broke 2"],
            ["Agent 1", "broke 1"],
            ["Agent 0", "warning"],
            ["Agent 3", "ok"],
        ]

    @pytest.mark.parametrize(
        ("verdict", "more", "words"),
        [
            ("failed", {}, "The failure is confirmed: the run at 2026-09-21T14:10:00Z failed as well"),
            (
                "passed",
                {},
                "No failure is confirmed: the run at 2026-09-21T14:10:00Z failed, this one did not",
            ),
            (
                "passed",
                {"unconfirmed": True},
                "No failure is confirmed: in the run at 2026-09-21T14:10:00Z something else failed",
            ),
        ],
    )
    def test_what_a_further_run_says_is_told(self, verdict, more, words):
        confirmed = (
            told(good=1) | {"verdict": verdict, "confirms": {"started_at": "2026-09-21T14:10:00Z"}} | more
        )
        assert f"confirmation   {words}" in table(confirmed)
        assert f" {words}." in summary(confirmed).splitlines()[0]

    def test_a_check_without_a_value_says_why(self):
        text = summary(told(good=1, checks={HTTP: {"wireSize": {"min": {"geq_to": 1}}}}))
        assert (
            "  http-server wireSize min: no agent reported wireSize, expected >= 1 B: without it: Agent 0"
            in text
        )
        text = summary(told(good=1, checks=CHECKS, before=baseline_from_evidence(None)))
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
    def test_what_is_expected_is_said_as_people_write_it(self, rule, words):
        assert words in table(told(good=1, checks={HTTP: {"responseTime": rule}}))

    @pytest.mark.parametrize(("agents", "count"), [(3, 1), (3, 300), (2000, 1), (2000, 20)])
    @pytest.mark.parametrize("name", ["Agent", "Oslo,\nNorway\r\n\x0b\u2028x", "n" * 5000])
    def test_at_most_sixty_lines_whatever_the_numbers(self, agents, count, name):
        rules = [{"leq_to": nth} for nth in range(count)]
        metrics = {f"metric {nth}" * 9: rules[:1] for nth in range(min(count, 20))}
        links = {f"link {nth}": "https://x" for nth in range(9)}
        checks = {HTTP: {"responseTime": rules, **metrics}, "network": metrics}
        evidence = told(agents, agents, agents, name=name, checks=checks, before=BEFORE, links=links)
        assert len(table(evidence).splitlines()) <= 60
        assert max(map(len, table(evidence).splitlines())) < 260
        assert len(summary(evidence).splitlines()) <= 22

    def test_agents_that_no_check_names_any_more_are_not_shown_as_good(self):
        text = table(told(good=40, checks={HTTP: {"responseTime": {"leq_to": 4}}}))
        assert "  ok  " not in text
        assert "  broke 1" in text


def test_a_difference_that_no_float_can_hold_is_not_told_as_a_number():
    assert (formatting.signed(None, "ms"), formatting.signed(1.5, "ms"), formatting.signed(-2)) == (
        "?",
        "+1.5 ms",
        "-2",
    )
