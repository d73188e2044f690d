"""A failed task in a real Airflow: XCom, log and both reports, read by independent parsers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from junitparser import Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt

pytestmark = pytest.mark.system

FRANKFURT, SINGAPORE = "Frankfurt, Germany", "Singapore"


@pytest.fixture
def failed(simulator, run_dag, tmp_path, capsys, caplog):
    """Test, outcome, log and report folder of a round with a slow and a disconnected agent."""
    caplog.set_level("INFO")
    test_id = simulator.add_test(
        "http-server",
        name="Checkout",
        metrics={FRANKFURT: {"responseTime": 2500}},
        outcomes={SINGAPORE: "error"},
    )
    reports = [f"file://{tmp_path}/report.{ending}" for ending in ("xml", "md")]
    outcome = run_dag("reported", test_id=test_id, reports=reports)
    return test_id, outcome, "".join(capsys.readouterr()) + caplog.text, tmp_path


def test_xcom_log_and_reports_agree_on_a_failed_task(failed):
    test_id, outcome, log, folder = failed
    assert [outcome.states["validate", index] for index in (0, 1)] == ["failed", "failed"]
    evidence = outcome.xcoms["validate", 0, "return_value"]
    assert (evidence["verdict"], evidence["test_name"]) == ("failed", "Checkout")
    slow, warning, code = evidence["checks"]
    assert (slow["actual"], slow["failing_agents"][0]["agent_name"], slow["passed"]) == (
        2500,
        FRANKFURT,
        False,
    )
    assert (warning["severity"], warning["passed"]) == ("warn", False)
    assert [agent["agent_name"] for agent in code["without_metric"]] == [SINGAPORE]
    assert [agent["agent_name"] for agent in evidence["failed_agents"]] == [SINGAPORE]

    # the log: the headline, the table, and the link
    assert evidence["summary"].startswith(f"FAILED: {SINGAPORE}: ")
    for line in (
        evidence["summary"],
        f"http-server test {test_id} 'Checkout'",
        "http-server responseTime max",
        evidence["links"]["round"],
    ):
        assert line in log

    # JUnit
    (suite,) = JUnitXml.fromfile(str(folder / "report.xml"))
    assert (suite.failures, suite.errors, suite.skipped) == (3, 0, 1)
    results = {case.name: case.result for case in suite}
    (failure,) = results["responseTime max <= 1000 ms"]
    assert isinstance(failure, Failure)
    assert failure.message.startswith(
        "http-server responseTime max: 2500 ms, expected <= 1000 ms: Frankfurt, Germany 2500 ms"
    )
    assert isinstance(results["responseTime max <= 1 ms"][0], Skipped)
    assert "Singapore" in results["at most 0 agents with an error"][0].text

    # Markdown
    tokens = MarkdownIt("commonmark").enable("table").parse((folder / "report.md").read_text())
    cells = [text.content for opened, text in pairwise(tokens) if opened.type == "td_open"]
    row = cells.index("http-server responseTime max")
    assert cells[row + 1 : row + 4] == ["FAILED", r"\<= 1000 ms", "2500 ms"]
    agent = cells.index("Singapore")
    assert cells[agent + 1] == "ERROR"
    assert f"<{evidence['links']['round'].split('&roundId')[0]}" in " ".join(cells)
