"""Airflow 2.11 in the browser: the connection form, which the hook declares, and failed runs."""

from __future__ import annotations

import re

import pytest

from thousandeyes_provider.get_provider_info import CONNECTION_FIELDS, FIELD_BEHAVIOUR

AIRFLOW = "airflow_2"

pytestmark = pytest.mark.xdist_group("a browser with Airflow 2")


@pytest.fixture
def connections(page, airflow):
    from browser.pages import Connections2

    return Connections2(page, airflow.url)


@pytest.fixture
def fields(simulator, token):
    """The fields of a connection to the simulator: label to value."""
    return {
        "API address": "127.0.0.1",
        "API token (bearer)": token,
        "Port": str(simulator.port),
        "Scheme": "http",
    }


def test_the_connection_form_shows_the_fields_of_the_provider(connections, page, token, shoot):
    from playwright.sync_api import expect

    form = connections.form("thousandeyes_default")
    for name, label in FIELD_BEHAVIOUR["relabeling"].items():
        field = connections.row(form, label).locator("input")
        expect(field).to_have_attribute("placeholder", FIELD_BEHAVIOUR["placeholders"][name])
    expect(form.locator("#login")).to_be_hidden()
    expect(form.get_by_text("Login").filter(visible=True)).to_have_count(0)

    secret = connections.row(form, "API token (bearer)").locator("input")
    secret.fill(token)
    expect(secret).to_have_attribute("type", "password")

    for name, declared in CONNECTION_FIELDS.items():
        row = connections.row(form, declared["label"])
        expect(row).to_contain_text(declared["description"])
        expect(row.locator("input")).to_have_attribute("placeholder", FIELD_BEHAVIOUR["placeholders"][name])
    assert token not in form.inner_text()
    page.set_viewport_size({"width": 1280, "height": 2000})
    shoot(page, "airflow-2-connection-form")


@pytest.mark.parametrize(
    ("name", "change", "account_group", "said"),
    [
        ("good", {}, "", ["Sam Simulated", "'Network Operations' (1001), default of the token"]),
        ("bad token", {"API token (bearer)": "n0-token-of-anybody"}, "", ["401", "Invalid access token"]),
        ("unreachable host", {"Port": "9"}, "", ["could not connect", "Connection refused"]),
        ("wrong account group", {}, "999", ["account group 999", "'Web Platform' (1002)"]),
    ],
    ids=["good", "bad token", "unreachable host", "wrong account group"],
)
def test_the_test_button_reports_the_problem_of_a_connection(
    connections, fields, page, shoot, name, change, account_group, said, token
):
    form = connections.fill(name.replace(" ", "_"), fields | change, account_group)
    message = connections.test(form)
    shoot(page, f"airflow-2-test-{name.replace(' ', '-')}")
    for words in said:
        assert words in message
    for secret in (token, "n0-token-of-anybody"):
        assert secret not in message
    if name == "good":
        assert re.search(r"\d+ of 240 requests left", message)


ASSERTION = "request 'Sign in': assertion failed: response-body includes token"


@pytest.fixture
def desk(failed_runs, page, airflow):
    """The home page in a window of 1280 by 800."""
    from browser.pages import DESK

    page.set_viewport_size(DESK)
    page.goto(f"{airflow.url}/home")
    return page


def test_three_clicks_lead_from_the_home_page_to_the_log_with_the_failed_assertion(desk, shoot):
    from browser.pages import expect_in_view

    desk.get_by_role("link", name="release_login", exact=True).click()
    desk.get_by_test_id("task-instance").first.click()
    desk.get_by_role("tab", name="Logs").click()
    expect_in_view(desk, f"InstantTestFailed: FAILED: Singapore: {ASSERTION}")
    # Without the traceback below, which contains paths of this machine.
    shoot(desk, "airflow-2-failed-assertion-log", clip={"x": 0, "y": 0, "width": 1280, "height": 513})


def test_the_list_of_a_mapped_task_names_the_tests_that_failed(desk, shoot):
    from browser.pages import expect_in_view
    from playwright.sync_api import expect

    desk.get_by_role("link", name="release_services", exact=True).click()
    desk.get_by_test_id("task-instance").first.click()
    desk.get_by_role("tab", name="Mapped Tasks").click()
    desk.get_by_role("columnheader", name="State").click()
    rows = desk.locator("tbody tr").filter(has_text=re.compile("failed|success"))
    expect(rows.nth(3)).to_contain_text("success")  # sorted
    failed = rows.filter(has_text="failed")
    expect(failed).to_have_count(3)
    for name in ("Service 05", "Service 12", "Service 18"):
        expect(failed.get_by_role("cell", name=name, exact=True)).to_be_visible()
        expect_in_view(desk, name)
    shoot(desk, "airflow-2-mapped-failures", clip={"x": 0, "y": 0, "width": 1280, "height": 602})
