"""The HTML report of a backtest shows every round that would not have passed, without active content."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from thousandeyes_provider.validation.backtest import Gate, Incident, backtest
from thousandeyes_provider.validation.backtest_report import MAX_ROWS, backtest_report
from thousandeyes_provider.validation.history import History

DAY = 86400
START = 1_790_000_000 // DAY * DAY
GATE = {"checks": {"http-server": {"responseTime": {"leq_to": 200}}}}


def report(rounds=48, interval=3600, gate=GATE, incidents=(), notes=(), test_name="Checkout", **values):
    """Return the report on hourly rounds of two agents.

    :param values: ``r<place>`` sets the response time of both agents. None silences the second agent and drops round 0.
    """
    history = History("7", "http-server", test_name)
    for place in range(rounds):
        value = values.get(f"r{place}", 100)
        for agent in ("1", "2") if value is not None else ("1",):
            at = START + interval * place
            link = f"https://app.thousandeyes.com/view/tests?testId=7&roundId={at}&agentId={agent}"
            row = {"agent": {"agentId": agent, "agentName": f"<Agent {agent}>"}, "roundId": at}
            row |= {"responseTime": value or 100, "_links": {"appLink": {"href": link}}}
            if value != "gap":
                history.add("http-server", [row])
    return backtest_report(backtest(history, Gate.from_arguments(gate), incidents=incidents, notes=notes))


def marks(page, kind):
    """Return the titles of the marks of a kind in the picture."""
    return re.findall(rf'<rect class="{kind}"[^>]*><title>([^<]*)</title>', page)


class TestPicture:
    def test_each_day_is_a_row_with_marks_for_rounds_that_did_not_pass(self):
        page = report(r5=450, r30=None)
        assert re.findall(r'<text x="0"[^>]*>([^<]*)<', page) == ["2026-09-21", "2026-09-22"]
        (failed,), (inconclusive,) = marks(page, "failed"), marks(page, "inconclusive")
        assert failed.startswith("2026-09-21T05:00:00Z failed: http-server responseTime every")
        assert inconclusive.startswith("2026-09-22T06:00:00Z incomplete: 1 of 2 agents reported")
        assert marks(page, "passed") == ["passed", "passed"]

    def test_a_gap_in_the_history_is_white(self):
        assert marks(report(r8="gap", r9="gap"), "gap") == ["gap"]

    def test_rounds_that_are_baseline_only_are_not_shown_as_passed(self):
        changes = {"checks": {"http-server": {"responseTime": {"change_leq_to": 0.5}}}}
        page = report(10, gate={**changes, "compare_with": {"test_id": "7", "window": "6h"}})
        width = re.compile(r'<rect class="(baseline|passed)" .*? width="([0-9.]+)"')
        assert width.findall(page) == [("baseline", "240.0"), ("passed", "160.0")]
        assert "Gray: baseline only." in page
        assert marks(report(), "baseline") == []
        page = report(3, gate={**changes, "compare_with": {"test_id": "7", "window": "6h"}})
        assert (len(marks(page, "baseline")), marks(page, "passed")) == (1, [])

    def test_a_single_round_is_shown(self):
        assert len(marks(report(rounds=1, r0=450), "failed")) == 1

    def test_a_round_at_midnight_is_drawn_on_both_days(self):
        page = report(rounds=5, interval=DAY // 2 + 7200, r1=450)
        assert len(marks(page, "failed")) == 2


class TestTables:
    def test_failures_are_listed_by_check_agent_episode_and_round(self):
        page = report(
            r5=450, r6=450, incidents=[Incident("alert", "Slow & red", START + 5 * 3600, START + 6 * 3600)]
        )
        titles = re.findall(r"<h2>(.*?)</h2>", page)
        assert titles == [
            "Rounds by day (UTC)",
            "Failures by check",
            "Failures by agent",
            "Episodes",
            "Failed rounds",
        ]
        assert "<td>2</td><td>http-server responseTime every &lt;= 200 ms</td>" in page
        assert "<td>2</td><td>&lt;Agent 1&gt;</td>" in page
        assert "alert Slow &amp; red" in page
        assert (
            f'<a href="https://app.thousandeyes.com/view/tests?testId=7&amp;roundId={START + 5 * 3600}'
            in page
        )

    def test_warnings_and_inconclusive_rounds_have_their_tables(self):
        warn = {"checks": {"http-server": {"responseTime": {"leq_to": 200, "severity": "warn"}}}}
        page = report(gate=warn, r5=450, r7=None)
        assert "<h2>Warnings</h2>" in page
        assert "<h2>Inconclusive rounds</h2>" in page
        assert "<h2>Failed rounds</h2>" not in page

    def test_a_long_table_is_cut_and_states_what_is_missing(self):
        rounds = MAX_ROWS + 7
        page = report(rounds=rounds, **{f"r{place}": 450 for place in range(rounds)})
        assert "7 more rows are in the output of --output json." in page

    def test_notes_and_names_are_escaped(self):
        page = report(test_name="<b>bold</b>", notes=["events: <403>"])
        assert "<b>" not in page
        assert "<p>Note: events: &lt;403&gt;</p>" in page
        assert "(http-server)" in page
        assert "Backtest of test 7 (http-server)" in report(test_name="")


def test_the_page_is_well_formed_and_has_neither_scripts_nor_requests():
    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.tags = [], set()

        def handle_starttag(self, tag, attrs):
            self.tags.add(tag)
            assert not any(name.startswith("on") or name == "src" for name, _ in attrs)
            if tag not in ("meta", "link"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    page = Page()
    page.feed(report(r5=450, r9=None, r20="gap", r21="gap"))
    page.close()
    assert page.open == []
    assert not page.tags & {"script", "img", "iframe", "object", "form"}
