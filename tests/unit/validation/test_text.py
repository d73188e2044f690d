"""Evidence for people: the line of an exception and the table of a log."""

from __future__ import annotations

import pytest

from thousandeyes_provider.api.expectation import UNKNOWN, Agent, Expected
from thousandeyes_provider.validation.evidence import Missing, Observed, evidence
from thousandeyes_provider.validation.text import summary, table
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
HTTP = "http-server"
LINKS = {"test": "https://app.thousandeyes.com/t", "round": "https://app.thousandeyes.com/r"}


def told(good=0, bad=0, silent=0, *, name="Agent", expected=None, **more):
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
        "expected": expected or Expected.of("test", listed),
        "reported": reported,
        "missing": [Missing(agent, "offline") for agent in listed[good + bad :]],
        "judgement": judge({HTTP: rows}, 0),
        "rows": {HTTP: rows},
        "links": LINKS,
    }
    return evidence(Observed(**(seen | more)))


class TestSummary:
    def test_says_verdict_test_figures_the_agents_and_where_the_rest_is(self):
        assert summary(told(good=2, bad=1, silent=1)) == "\n".join(
            [
                "http-server test 7 'Checkout': failed. "
                "3 of 4 agents reported (expected by: test), 1 with an error, 0 allowed.",
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

    def test_agents_that_nobody_lists_are_not_counted_against_a_number(self):
        assert "2 agents reported (expected by: unknown)" in summary(told(good=2, expected=UNKNOWN))


class TestTable:
    def test_the_whole_picture(self):
        assert table(told(good=1, bad=1, silent=1)) == "\n".join(
            [
                "verdict        FAILED",
                "test           http-server test 7 'Checkout'",
                "account group  the token's default",
                "time           2026-09-21T14:13:20Z to 2026-09-21T14:14:20Z",
                "rounds         http-server 2026-09-21T14:13:20Z",
                "run calls      1 of 9 requests",
                "throttled      3 s",
                "agents         2 of 3 agents reported (expected by: test), 1 with an error, 0 allowed",
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
    assert "5000 of 6000 agents reported (expected by: test), 2000 with an error, 0 allowed" in text


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
