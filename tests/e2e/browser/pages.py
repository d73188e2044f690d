"""User actions on Airflow's pages, based on the visible content."""

from __future__ import annotations

import re
from collections.abc import Mapping

from playwright.sync_api import Locator, Page, ViewportSize, expect

ENDING = 300_000
"""Time limit in milliseconds for the end of a DAG run."""

# The log page renders only the lines that fit on the screen.
TALL: ViewportSize = {"width": 1280, "height": 2400}
USUAL: ViewportSize = {"width": 1280, "height": 900}
DESK: ViewportSize = {"width": 1280, "height": 800}


TEXT_IN_VIEW = """text => {
    const inView = rect => rect.width > 0 && rect.left >= 0 && rect.top >= 0
        && rect.right <= innerWidth && rect.bottom <= innerHeight
    const inBox = (rect, box) => rect.left >= box.left - 1 && rect.top >= box.top - 1
        && rect.right <= box.right + 1 && rect.bottom <= box.bottom + 1
    const rectsOf = (element, start) => {
        const range = document.createRange(), nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT)
        for (let offset = 0, node; (node = nodes.nextNode()); offset += node.length) {
            const end = start + text.length
            if (offset <= start && start < offset + node.length) range.setStart(node, start - offset)
            if (offset < end && end <= offset + node.length) range.setEnd(node, end - offset)
        }
        return [...range.getClientRects()]
    }
    // Airflow 2.11 draws its grid in a shadow tree.
    const everything = root => [...root.querySelectorAll("*")].flatMap(element =>
        [element, ...(element.shadowRoot ? everything(element.shadowRoot) : [])])
    const holders = everything(document.body).filter(element =>
        element.textContent.includes(text) && ![...element.children].some(child => child.textContent.includes(text)))
    return holders.some(element => {
        const boxes = []
        // The window shows what does not fit into the body.
        for (let parent = element; parent !== document.body; parent = parent.parentElement || parent.getRootNode().host)
            if (getComputedStyle(parent).overflow !== "visible") boxes.push(parent.getBoundingClientRect())
        for (let start = -1; (start = element.textContent.indexOf(text, start + 1)) >= 0;) {
            const rects = rectsOf(element, start)
            if (rects.length && rects.every(rect => inView(rect) && boxes.every(box => inBox(rect, box)))) return true
        }
        return false
    })
}"""


def expect_in_view(page: Page, text: str) -> None:
    """Wait until a text is fully visible without scrolling: in the window and not clipped by an element."""
    page.wait_for_function(TEXT_IN_VIEW, arg=text)


class Connections3:
    """The connections of Airflow 3.2 and later.

    :param page: a page of a logged-in user.
    :param url: Airflow's address.
    """

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url

    def form(self, conn_id: str) -> Locator:
        """Open an empty form for a connection to ThousandEyes."""
        self._page.goto(f"{self._url}/connections")
        self._page.get_by_role("button", name="Add Connection").click()
        form = self._page.get_by_role("dialog").filter(visible=True)
        form.get_by_label("Connection ID").fill(conn_id)
        form.get_by_role("combobox").fill("ThousandEyes")
        self._page.get_by_role("option", name="ThousandEyes", exact=True).click()
        return form

    @staticmethod
    def unfold(form: Locator, section: str) -> None:
        """Open one of the three sections of the form. The previous section closes."""
        heading = form.get_by_role("button", name=section, exact=True)
        heading.click()
        expect(heading).to_have_attribute("aria-expanded", "true")

    def add(self, conn_id: str, fields: Mapping[str, str], account_group: str = "") -> None:
        """Fill in the form and save it.

        :param fields: label to value.
        """
        form = self.form(conn_id)
        for label, value in fields.items():
            form.get_by_label(label, exact=True).fill(value)
        if account_group:
            self.unfold(form, "Extra Fields")
            form.locator("[name=element_account_group_id]").fill(account_group)
        form.get_by_role("button", name="Save").click()
        expect(form).to_be_hidden()

    def test(self, conn_id: str) -> tuple[str, str]:
        """Press the Test button of a connection.

        :return: title and message of the notification.
        """
        self._page.goto(f"{self._url}/connections")  # without the notifications of earlier tests
        row = self._page.get_by_role("row").filter(has=self._page.get_by_text(conn_id, exact=True))
        row.get_by_role("button", name="Test Connection").click()
        said = self._page.locator("[data-scope=toast][data-part=root]")
        said.wait_for()
        title, _, message = said.inner_text().partition("\n")
        return title, message


class Connections2:
    """The form for a connection in Airflow 2.11.

    :param page: a page of a logged-in user.
    :param url: Airflow's address.
    """

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url

    def form(self, conn_id: str) -> Locator:
        """Open an empty form for a connection to ThousandEyes."""
        self._page.goto(f"{self._url}/connection/add")
        form = self._page.locator("#model_form")
        form.locator("#conn_id").fill(conn_id)
        # The visible menu covers the select element with the options.
        form.locator("#conn_type").select_option(label="ThousandEyes", force=True)
        expect(form.get_by_text("API address")).to_be_visible()
        return form

    def fill(self, conn_id: str, fields: Mapping[str, str], account_group: str = "") -> Locator:
        """Fill in the form.

        :param fields: label to value.
        """
        form = self.form(conn_id)
        for label, value in fields.items():
            self.row(form, label).locator("input").fill(value)
        if account_group:
            self.row(form, "Account group ID").locator("input").fill(account_group)
        return form

    def row(self, form: Locator, label: str) -> Locator:
        """Return the row of the form with that label."""
        return form.locator("tr:visible").filter(
            has=self._page.get_by_role("cell", name=re.compile(rf"^\s*{re.escape(label)}\W*$"))
        )

    def test(self, form: Locator) -> str:
        """Press the Test button.

        :return: the message at the top of the page.
        """
        said = self._page.locator(".alert")
        before = said.inner_text()
        form.get_by_role("button", name="Test").or_(self._page.locator("#test-connection")).first.click()
        expect(said).not_to_have_text(before)
        self._page.evaluate("scrollTo(0, 0)")
        return said.inner_text().strip()


class Runs3:
    """DAG runs in Airflow 3.

    :param page: a page of a logged-in user.
    :param url: Airflow's address.
    """

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url

    def trigger(self, dag_id: str, parameters: Mapping[str, str]) -> None:
        """Start a run with the button and stay on its page."""
        self._page.goto(f"{self._url}/dags/{dag_id}")
        self._page.get_by_role("button", name="Trigger").click()
        dialog = self._page.get_by_role("dialog").filter(visible=True)
        for name, value in parameters.items():
            dialog.locator(f"[name=element_{name}]").fill(value)
        dialog.get_by_role("button", name="Trigger", exact=True).click()
        self._page.wait_for_url("**/runs/manual__*")

    def state(self) -> str:
        """Wait for the end of the run and return its state on the page."""
        state = self._page.get_by_test_id("state-badge").first
        expect(state).to_have_text(re.compile("^(Success|Failed)$"), timeout=ENDING)
        return state.inner_text()

    def expect_states(self, states: Mapping[str, str]) -> None:
        """Wait until the page of the run lists its tasks in these states."""
        for task_id, state in states.items():
            expect(self._row(task_id).get_by_test_id("state-badge")).to_have_text(state)

    def _row(self, task_id: str) -> Locator:
        return self._page.get_by_role("row").filter(
            has=self._page.get_by_role("link", name=task_id, exact=True)
        )

    def open(self, task_id: str) -> None:
        """Open the page of a task from the page of the run."""
        self._row(task_id).get_by_role("link", name=task_id, exact=True).click()
        self._page.wait_for_url(f"**/tasks/{task_id}*")

    def log(self, last: str) -> list[str]:
        """Return the lines of the task's log.

        :param last: text of one of the last lines, to wait for.
        """
        self._page.set_viewport_size(TALL)
        expect(self.log_list).to_contain_text(last)
        self._page.get_by_test_id("virtual-scroll-container").evaluate("box => { box.scrollTop = 0 }")
        expect(self.log_list).to_contain_text("Log message source details")
        expect(self.log_list).to_contain_text(last)
        lines = self.log_list.inner_text().splitlines()
        self._page.set_viewport_size(USUAL)
        return lines

    def fold_traceback(self, error: str) -> None:
        """Fold the traceback of an exception and scroll to the top of the log."""
        self.log_list.get_by_text(error).click()
        self.log_list.get_by_text("Log message source details").scroll_into_view_if_needed()
        # The clicked line is wide, so the page may have scrolled sideways.
        self._page.locator("*").evaluate_all("all => all.forEach(element => { element.scrollLeft = 0 })")

    @property
    def log_list(self) -> Locator:
        """The log on the page of a task."""
        return self._page.get_by_test_id("virtualized-list")

    def links(self) -> dict[str, str]:
        """Return the extra links of the task: name to address."""
        self._page.get_by_role("link", name="Details", exact=True).click()
        self._page.get_by_text("Extra Links").wait_for()
        links = self._page.get_by_role("link", name=re.compile("^ThousandEyes "))
        links.first.wait_for()
        return {link.inner_text(): link.get_attribute("href") or "" for link in links.all()}
