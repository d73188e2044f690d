"""The report pages in a real Airflow and a real browser, and the same page as a file.

The tests use the Airflow of this environment. ``THOUSANDEYES_REPORT_AIRFLOWS`` adds interpreters of other versions
(3.1, 3.2), separated like the entries of ``PATH``. The pages must be built (``make ui``).
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from browser import report_fixtures as fixtures
from browser.report_airflow import BASE_PATH, HIDDEN

from thousandeyes_provider.validation.html_report import SCRIPT, html_report

if TYPE_CHECKING:
    from browser.report_airflow import ReportAirflow
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [
    pytest.mark.xdist_group("a browser with report pages"),
    pytest.mark.skipif(not SCRIPT.exists(), reason="needs the built report pages: make ui"),
]

OTHERS = [Path(path) for path in os.environ.get("THOUSANDEYES_REPORT_AIRFLOWS", "").split(os.pathsep) if path]
AXE = SCRIPT.parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PATIENCE = 60_000


@pytest.fixture(scope="module", params=[Path(sys.executable), *OTHERS], ids=lambda path: path.parts[-3])
def airflow(
    request: pytest.FixtureRequest, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReportAirflow]:
    from browser.report_airflow import ReportAirflow

    running = ReportAirflow(tmp_path_factory.mktemp("reports"), request.param)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def open_context(chromium: Browser, airflow: ReportAirflow, user: str, **options: object) -> BrowserContext:
    context = chromium.new_context(**{"viewport": DESK, "timezone_id": "UTC", "locale": "en-US", **options})
    context.set_default_timeout(PATIENCE)
    airflow.log_in(context, user)
    return context


@pytest.fixture(scope="module")
def admin(chromium: Browser, airflow: ReportAirflow) -> Iterator[BrowserContext]:
    context = open_context(chromium, airflow, "admin")
    yield context
    context.close()


@pytest.fixture
def page(admin: BrowserContext) -> Iterator[Page]:
    page = admin.new_page()
    yield page
    page.close()


def address(airflow: ReportAirflow, **query: str) -> str:
    return f"{airflow.url}/plugin/thousandeyes" + (f"?{urlencode(query)}" if query else "")


def open_report(page: Page, airflow: ReportAirflow, **query: str) -> None:
    page.goto(address(airflow, **query))
    page.locator(".te-root h1").wait_for()
    page.locator(".te-root [aria-busy=true]").wait_for(state="detached")


BAD = {"dag_id": HIDDEN, "run_id": "bad", "task_id": "verify_search"}
GOOD = BAD | {"run_id": "good"}
STEP = {"dag_id": "release_api", "run_id": "bad", "task_id": "verify_login"}
INCONCLUSIVE = {"dag_id": "release_mobile", "run_id": "inconclusive", "task_id": "verify_mobile"}
CUT = {"dag_id": "big_report", "run_id": "cut", "task_id": "verify_cut"}
HOSTILE = {"dag_id": "hostile", "run_id": "hostile", "task_id": "verify_hostile"}
SUITE = {"dag_id": "nightly_100", "run_id": "nightly"}
TREND = {"dag_id": "release_checkout", "run_id": "run_29", "task_id": "verify_checkout", "view": "trend"}
PAGES = {
    "good": GOOD,
    "bad": BAD,
    "step": STEP,
    "inconclusive": INCONCLUSIVE,
    "suite": SUITE,
    "trend": TREND,
    "gates": {},
}


def banner(page: Page) -> str:
    return page.locator(".te-banner").inner_text()


# -- content of the pages --------------------------------------------------------------------------------------------


def test_a_good_run(page, airflow, shoot):
    open_report(page, airflow, **GOOD)
    assert "Passed" in banner(page)
    assert "12 of 12 agents ok" in banner(page)
    shoot(page, "report-good")


def test_a_bad_run_names_agents_and_limits(page, airflow, shoot):
    open_report(page, airflow, **BAD)
    assert "Failed" in banner(page)
    assert "Singapore: Connection refused" in banner(page)
    picture = page.get_by_role("img", name=re.compile("^http-server responseTime"))
    assert "Failing: Singapore; London, England; Ashburn, VA" in picture.get_attribute("aria-label")
    assert "every ≤ 800 ms" in picture.text_content().replace("\u00a0", " ")
    assert picture.locator(".te-dot-base").count() == 10  # the baseline
    page.set_viewport_size({"width": 1280, "height": 1960})
    shoot(page, "report-bad")


def test_a_failed_step_is_named_without_scrolling(page, airflow, shoot):
    open_report(page, airflow, **STEP)
    assert "Singapore: request 'Log in': assertion failed: status-code is 200" in banner(page)
    assert page.locator(".te-headline").first.bounding_box()["y"] < DESK["height"]
    failures = page.get_by_role("region", name="Agents with errors and missing agents").inner_text()
    assert "Failed request: Log in" in failures
    assert "assertion failed: status-code is 200" in failures
    assert "https://api.example.com/v2/login" in failures
    shoot(page, "report-step")


def test_an_inconclusive_run_is_not_shown_as_failed(page, airflow, shoot):
    open_report(page, airflow, **INCONCLUSIVE)
    assert "Incomplete" in banner(page)
    assert "Failed" not in banner(page)
    assert "Toronto, Canada: missing, state offline" in banner(page)
    shoot(page, "report-inconclusive")


def test_a_suite_of_100_is_sorted_filtered_and_searched(page, airflow, shoot):
    open_report(page, airflow, **SUITE)
    rows = page.get_by_role("table", name="Tests of this gate").locator("tbody tr")
    assert rows.count() == 100
    assert "Failed" in rows.first.inner_text()
    shoot(page, "report-suite")
    page.get_by_role("button", name=re.compile("^Incomplete")).click()
    assert {row.split()[0] for row in rows.all_inner_texts()} == {"Incomplete"}
    page.get_by_role("button", name=re.compile("^Incomplete")).click()
    page.get_by_role("searchbox").fill("singapore refused")
    page.get_by_text(re.compile(r"\d+ of 100 tests")).wait_for()
    assert 0 < rows.count() < 20
    page.get_by_role("searchbox").fill("")
    page.get_by_role("columnheader", name="Test").get_by_role("button").click()
    rows.first.get_by_role("link", name="Account 01").click()
    page.get_by_role("heading", name="Account 01", level=1).wait_for()
    page.go_back()
    rows.first.wait_for()


def test_the_trend_over_30_runs_leads_to_each_run(page, airflow, shoot):
    open_report(page, airflow, **TREND)
    assert "responseTime over 30 DAG runs" in page.locator(".te-root").inner_text()
    marks = page.get_by_role("button", name=re.compile("^Open the report of"))
    assert marks.count() == 30
    assert "Incomplete" in marks.nth(10).get_attribute("aria-label")
    assert "median +" in page.locator(".te-root").inner_text()
    shoot(page, "report-trend")
    marks.nth(10).click()
    page.locator(".te-banner").wait_for()
    assert "Incomplete" in banner(page)


def test_the_navigation_leads_to_the_newest_gates(page, airflow, shoot):
    page.goto(f"{airflow.url}/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="ThousandEyes").click()
    table = page.get_by_role("table")
    table.get_by_text("nightly_400").wait_for()
    page.locator(".te-root").get_by_text("Loading").first.wait_for(state="detached")
    text = table.inner_text()
    for dag_id in ("release_checkout", "nightly_100", "gate_20_by_50", HIDDEN):
        assert dag_id in text
    shoot(page, "report-gates")


def test_two_clicks_lead_from_the_failed_task_to_the_picture(page, airflow):
    page.goto(f"{airflow.url}/dags/{HIDDEN}/runs/bad/tasks/verify_search")
    page.get_by_role("link", name="Details", exact=True).click()
    link = page.get_by_role("link", name="Report", exact=True)
    if link.get_attribute("target") == "_blank":  # Airflow 3.1
        with page.expect_popup() as popup:
            link.click()
        page = popup.value
    else:
        link.click()
    page.get_by_role("img", name=re.compile("^http-server responseTime")).wait_for()
    assert "Singapore: Connection refused" in banner(page)
    page.get_by_role("link", name="Task log").click()
    page.wait_for_url(f"{airflow.url}/dags/{HIDDEN}/runs/bad/tasks/verify_search*")


def test_a_shortened_report_has_a_note(page, airflow):
    open_report(page, airflow, **CUT)
    assert "488 of samples" in page.get_by_role("note").inner_text()


def test_a_task_without_evidence_is_explained(page, airflow):
    open_report(
        page, airflow, **(GOOD | {"dag_id": "hostile", "run_id": "hostile", "task_id": "verify_hostile"})
    )
    page.goto(address(airflow, **(GOOD | {"task_id": "verify_nothing"})))
    page.get_by_role("heading", name="No evidence").wait_for()


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_work_on_a_phone(name, chromium, airflow, shoot):
    context = open_context(chromium, airflow, "admin", viewport=PHONE)
    page = context.new_page()
    page.goto(address(airflow, **PAGES[name]))
    page.locator(".te-root table, .te-root svg[role=img]").first.wait_for()
    shoot(page, f"report-{name}-phone")
    root = page.locator(".te-root")
    assert root.evaluate("root => root.scrollWidth <= root.clientWidth + 1")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_reports_no_serious_issue(scheme, chromium, airflow, shoot):
    if not AXE.exists():
        pytest.skip("needs axe-core (make ui)")
    context = open_context(chromium, airflow, "admin", color_scheme=scheme)
    page = context.new_page()
    serious = {}
    for name, query in PAGES.items():
        open_report(page, airflow, **query)
        page.locator(".te-root").get_by_text("Loading").first.wait_for(state="detached")
        page.locator(".te-root details").evaluate_all(
            "all => all.forEach(element => { element.open = true })"
        )
        page.evaluate(AXE.read_text())
        violations = page.evaluate("axe.run('.te-root')")["violations"]
        violating = {
            violation["id"]: violation["nodes"][0]["html"]
            for violation in violations
            if violation["impact"] in ("serious", "critical")
        }
        if violating:
            serious[name] = violating
        if scheme == "dark":
            shoot(page, f"report-{name}-dark")
    context.close()
    assert serious == {}


def test_the_keyboard_reaches_filters_sorting_and_runs(page, airflow):
    open_report(page, airflow, **SUITE)
    page.get_by_role("searchbox").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    chip = page.get_by_role("button", name=re.compile("^Failed"))
    assert chip.get_attribute("aria-pressed") == "true"
    open_report(page, airflow, **TREND)
    page.get_by_role("button", name=re.compile("^Open the report of")).nth(29).focus()
    page.keyboard.press("Enter")
    page.locator(".te-banner").wait_for()


# -- security --------------------------------------------------------------------------------------------------------


def test_a_reader_without_permission_sees_a_message_and_no_data(chromium, airflow, shoot):
    context = open_context(chromium, airflow, "reader")
    page = context.new_page()
    for query in (BAD, {"dag_id": HIDDEN, "run_id": "bad"}, BAD | {"view": "trend"}):
        page.goto(address(airflow, **query))
        message = page.get_by_text("You do not have permission to read the results of DAG release_search")
        message.wait_for()
        assert "Singapore" not in page.locator(".te-root").inner_text()
    shoot(page, "report-forbidden")
    page.goto(address(airflow))
    page.get_by_role("table").get_by_text("nightly_400").wait_for()
    assert HIDDEN not in page.locator(".te-root").inner_text()
    context.close()


def test_markup_and_scripts_in_evidence_have_no_effect(page, airflow):
    open_report(page, airflow, **HOSTILE)
    page.locator(".te-root details").evaluate_all("all => all.forEach(element => { element.open = true })")
    page.get_by_text(fixtures.HOSTILE_NAME).first.wait_for()
    assert_harmless(page, ".te-root")
    open_report(page, airflow, dag_id="hostile", run_id="hostile")
    assert_harmless(page, ".te-root")


def assert_harmless(page: Page, root: str) -> None:
    assert page.evaluate("window.hacked") is None
    assert page.locator(f"{root} img, {root} script, {root} iframe").count() == 0
    links = page.locator(f"{root} a").evaluate_all("all => all.map(link => link.protocol)")
    assert set(links) <= {"http:", "https:", "file:"}


def test_only_airflow_receives_requests(page, airflow):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    open_report(page, airflow, **BAD)
    ours = [url for url in asked if "/thousandeyes/" in url or "xcomEntries" in url]
    assert ours
    assert [url for url in ours if not url.startswith(airflow.url)] == []
    # Airflow 3.2 requests its version once without the base path.
    origin = airflow.url.removesuffix(BASE_PATH)
    assert [url for url in asked if not url.startswith((origin, "data:", "blob:"))] == []


# -- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "evidence", "words"),
    [
        ("bad", fixtures.run_evidence(failed=2), "Singapore: Connection refused"),
        ("suite", fixtures.suite_evidence(fixtures.suite_runs(100)), "100 tests"),
        ("hostile", fixtures.hostile_evidence(), fixtures.HOSTILE_NAME),
    ],
)
def test_the_file_shows_the_same_page_without_requests(name, evidence, words, chromium, tmp_path, shoot):
    file = tmp_path / f"{name}.html"
    file.write_text(html_report(evidence))
    context = chromium.new_context(viewport=DESK)
    page = context.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(file.as_uri())
    page.locator(".te-banner").wait_for()
    assert words in banner(page)
    assert_harmless(page, "#report")
    page.wait_for_timeout(500)
    assert asked == [file.as_uri()]
    assert errors == []
    shoot(page, f"report-file-{name}")
    context.close()


def test_the_file_runs_no_other_script(chromium, tmp_path):
    """The content security policy blocks scripts that were injected into the file."""
    file = tmp_path / "patched.html"
    text = html_report(fixtures.run_evidence())
    file.write_text(
        text.replace("<noscript>", "<script>window.hacked=1</script><img src=x onerror='hacked=1'><noscript>")
    )
    page = chromium.new_page()
    page.goto(file.as_uri())
    page.locator(".te-banner").wait_for()
    assert page.evaluate("window.hacked") is None
    page.close()


# -- performance -----------------------------------------------------------------------------------------------------


def test_time_to_the_first_chart(chromium, airflow, screenshots):
    """Measure in a new browser without a cache, and compare with Airflow's own XCom page."""
    measured = {}
    for name, url, ready in (
        (
            "20 tests of 50 agents",
            address(airflow, dag_id="gate_20_by_50", run_id="gate"),
            "tbody tr svg.te-svg",
        ),
        ("400 tests", address(airflow, dag_id="nightly_400", run_id="nightly"), "tbody tr svg.te-svg"),
        ("a run of 12 agents", address(airflow, **BAD), "svg[role=img] .te-dot"),
        (
            "Airflow's XCom tab",
            f"{airflow.url}/dags/{HIDDEN}/runs/bad/tasks/verify_search/xcom",
            "text=return_value",
        ),
    ):
        context = open_context(chromium, airflow, "admin")
        page = context.new_page()
        begin = time.monotonic()
        page.goto(url, wait_until="commit")
        page.locator(ready).first.wait_for()
        measured[name] = time.monotonic() - begin
        context.close()
    lines = [f"{name}: {seconds:.2f} s" for name, seconds in measured.items()]
    (screenshots / "report-times.txt").write_text("\n".join(lines) + "\n")
    xcom = measured["Airflow's XCom tab"]
    for name in ("20 tests of 50 agents", "400 tests", "a run of 12 agents"):
        assert measured[name] < max(3 * xcom, 10)
