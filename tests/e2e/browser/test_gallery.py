"""The pictures of ``docs/examples.md``: each example after a run in Airflow 3, on an interesting day.

``make pictures`` makes all pictures of the documentation again. To make only these::

    make pictures ARGS=tests/e2e/browser/test_gallery.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import gallery_tests

from harness import standalone
from harness.deployment import ROOT
from thousandeyes_provider.simulator import Simulator
from thousandeyes_provider.ui.plugin import BUNDLE

if TYPE_CHECKING:
    from browser.conftest import Shoot, ThrowAway
    from browser.gallery import Gallery
    from playwright.sync_api import Browser, Page

    from harness.standalone import Standalone

AIRFLOW = "examples"
ENDING = 600.0
"""Time limit in seconds for the end of a DAG run, on a busy machine."""

pytestmark = [
    pytest.mark.xdist_group("a browser with the examples"),
    pytest.mark.skipif(not BUNDLE.exists(), reason="needs the built report pages: make ui"),
]


@pytest.fixture(scope="module")
def examples(
    database_program: None, chromium: Browser, token: str, throw_away: ThrowAway
) -> Iterator[Standalone]:
    """Airflow with the examples and their ThousandEyes tests."""
    with (
        Simulator(
            tokens=[token], speed=3, default_tests=False, listed_in_tests=True, round_ids="unambiguous"
        ) as simulator,
        throw_away() as folder,
    ):
        gallery_tests.add_tests(simulator)
        variables = {
            "AIRFLOW_CONN_THOUSANDEYES_DEFAULT": json.dumps(simulator.connection()),
            "PYTHONPATH": str(Path(__file__).parent / "quick"),
        }
        with standalone.running(
            folder, 3, postgres=True, dags=[ROOT / "example_dags"], variables=variables
        ) as airflow:
            yield airflow


@pytest.fixture(scope="module")
def runs(examples: Standalone) -> dict[str, str]:
    """A run of each example: run id by DAG id. The runs start at the same time; few tasks run at a time."""
    report = {"report": str(examples.folder / "report.xml")}
    return {
        dag_id: examples.trigger(dag_id, params | (report if dag_id.endswith("web_application") else {}))
        for dag_id, params in gallery_tests.PARAMS.items()
    }


@pytest.fixture
def gallery(page: Page, examples: Standalone, shoot: Shoot) -> Gallery:
    """Takes pictures of the runs."""
    from browser.gallery import Gallery

    return Gallery(page, examples.url, shoot)


@pytest.fixture
def run(examples: Standalone, runs: dict[str, str]) -> Callable[[str, str], tuple[str, str]]:
    """Waits for the end of an example's run in a state; returns DAG id and run id. State "" does not wait."""

    def run(name: str, state: str) -> tuple[str, str]:
        dag_id = f"thousandeyes_{name}"
        if state:
            assert examples.ended(dag_id, runs[dag_id], ENDING) == state
        return dag_id, runs[dag_id]

    return run


# A request and a retry wait for a person and for time: their runs do not end.
OPEN = ""


def test_instant_test(gallery, run):
    lines = gallery.log(
        *run("instant_test", "failed"), "rerun", "example-instant-test", first="FAILED:", last="test: "
    )
    assert sum("ERROR  http-server: SSL: SSL certificate problem" in line for line in lines) == 5


def test_deployment_pipeline(gallery, run):
    states = {
        "deploy": "success",
        "validate": "failed",
        "promote": "upstream_failed",
        "decide": "success",
        "roll_back": "success",
        "hold": "skipped",
    }
    gallery.graph(*run("deployment_pipeline", "failed"), "example-deployment-pipeline", states)


def test_release_gate(gallery, run):
    states = {
        "gate.run": "success",
        "gate.verdict": "success",
        "route": "success",
        "promote": "skipped",
        "roll_back": "skipped",
        "hold": "failed",
    }
    gallery.graph(*run("release_gate", "failed"), "example-release-gate", states)


def test_human_decision(gallery, examples, run):
    examples.eventually(
        "a person is asked", lambda: examples.tries(*run("human_decision", OPEN), "ask"), ENDING
    )
    text = gallery.required_action("example-human-decision", "The gate is inconclusive")
    assert "INCOMPLETE: Singapore: missing" in text
    assert "zurich-branch-2 is missing" in text


def test_web_application(gallery, run):
    dag_id, run_id = run("web_application", "success")
    headline = gallery.report(
        "example-web-application", "Checks", dag_id=dag_id, run_id=run_id, task_id="validate"
    )
    assert "Singapore: headers.responseHeaders 'X-App-Version: 1.4.2'" in headline


def test_api_canary(gallery, run):
    states = {"deploy_canary": "success", "validate": "skipped", "widen": "skipped", "withdraw": "success"}
    gallery.graph(*run("api_canary", "success"), "example-api-canary", states)


def test_before_and_after(gallery, run):
    dag_id, run_id = run("before_and_after", "failed")
    headline = gallery.report(
        "example-before-and-after", "Checks", dag_id=dag_id, run_id=run_id, task_id="after"
    )
    assert "expected change <= +50 % (floor 20 ms); 4 of 5 agents ok" in headline


def test_many_before_and_after(gallery, run):
    names = ("Account", "Catalog", "Invoices", "Login", "Profile")
    gallery.mapped(
        *run("many_before_and_after", "failed"), "after", "example-many-before-and-after", "Invoices", names
    )


def test_tests_by_tag(gallery, run):
    dag_id, run_id = run("tests_by_tag", "failed")
    headline = gallery.report("example-tests-by-tag", "Tests", dag_id=dag_id, run_id=run_id)
    assert "1 failed" in headline


def test_scheduled_test_now(gallery, run):
    lines = gallery.log(
        *run("scheduled_test_now", "failed"),
        "validate",
        "example-scheduled-test-now",
        first="FAILED:",
        last="test: ",
    )
    assert any("the last 24h of test 410030, 9 rounds" in line for line in lines)


def test_preview_environment(gallery, run):
    states = {"create_environment": "success", "validate": "failed", "remove_environment": "success"}
    gallery.graph(*run("preview_environment", "failed"), "example-preview-environment", states)


def test_dns_change(gallery, run):
    log = gallery.task(*run("dns_change", "success"), "resolvers", "example-dns-change", "Success")
    assert "PASSED: 5 of 5 agents ok" in log


def test_wan_failover(gallery, run):
    dag_id, run_id = run("wan_failover", "success")
    headline = gallery.report(
        "example-wan-failover", "Checks", dag_id=dag_id, run_id=run_id, task_id="validate"
    )
    assert "Frankfurt, Germany: avgLatency 140 ms, expected <= 80 ms" in headline


def test_voice_path(gallery, run):
    last = "on_failed='warn', the task succeeds"
    lines = gallery.log(
        *run("voice_path", "success"), "listen", "example-voice-path", first="FAILED:", last=last
    )
    assert any("rtp-server mos min" in line and "FAILED" in line for line in lines)


def test_retry_policy(gallery, examples, run):
    dag_id, run_id = run("retry_policy", OPEN)
    examples.eventually(
        "the first try ends",
        lambda: "Retry policy decision" in examples.task_log(dag_id, run_id, "validate").after_error,
        ENDING,
    )
    log = gallery.task(
        dag_id,
        run_id,
        "validate",
        "example-retry-policy",
        "Up For Retry",
        ["InstantTestIncomplete", "Post Execute"],
    )
    assert "Retry policy decision action=retry reason=Agents may come back" in log
