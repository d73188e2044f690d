"""Pictures of Airflow's pages after a DAG run: graph, log, task, mapped tasks, required action, and report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from browser.pages import DESK
from playwright.sync_api import FloatRect, Locator, Page, ViewportSize, expect

if TYPE_CHECKING:
    from browser.conftest import Shoot

MARGIN = 12
"""Pixels around the content of a picture."""
TALL: ViewportSize = {"width": 1280, "height": 1500}
"""A window in which long content needs no scroll bar."""
WIDE: ViewportSize = {"width": 1440, "height": 1000}
"""A window that shows all columns of a list of mapped tasks."""
SETTINGS = {
    "default_dag_view": json.dumps("grid"),
    "log_show_timestamp": "false",
    "log_wrap": "true",
    "react-resizable-panels:graph-ltr": json.dumps(
        {"details-panel,main-panel": {"expandToSizes": {}, "layout": [70, 30]}}
    ),
}
"""What Airflow remembers in the browser: the log without times and with wrapped lines, for legible pictures."""
CONTROLS = ".react-flow__minimap, .react-flow__controls, .react-flow__panel { display: none !important }"
"""Hides controls that cover the graph."""


class Gallery:
    """Takes pictures of DAG runs.

    :param page: a page of a logged-in user.
    :param url: Airflow's address.
    :param shoot: takes a screenshot.
    """

    def __init__(self, page: Page, url: str, shoot: Shoot) -> None:
        self._page, self._url, self._shoot = page, url, shoot
        for name, value in SETTINGS.items():
            page.add_init_script(f"localStorage.setItem({json.dumps(name)}, {json.dumps(value)})")

    def graph(self, dag_id: str, run_id: str, name: str, states: Mapping[str, str]) -> None:
        """Picture of the graph with open task groups.

        :param states: the text at the end of each task's node, such as its state.
        """
        page = self._open(f"/dags/{dag_id}/runs/{run_id}")
        page.get_by_role("button", name="Show Graph").click()
        page.get_by_role("button", name="Collapse Details Panel").click()
        nodes = page.locator(".react-flow__node")
        expect(nodes.first).to_be_visible()
        group = nodes.get_by_role("button", name=re.compile(r"^\+ \d+ Tasks"))
        if group.count():
            group.click()
        for task_id, state in states.items():
            node = page.locator(f'.react-flow__node[data-id="{task_id}"]')
            expect(node).to_contain_text(re.compile(rf"{re.escape(state)}\s*$"))
        page.get_by_role("button", name="Fit View").click()
        page.add_style_tag(content=CONTROLS)
        self._settle(nodes.first)
        self._shoot(page, name, around(nodes))

    def log(self, dag_id: str, run_id: str, task_id: str, name: str, first: str, last: str) -> list[str]:
        """Picture of the full-screen log, from the line that contains ``first`` to the one that contains ``last``.

        :return: all lines.
        """
        page = self._open(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}")
        page.get_by_test_id("virtualized-list").get_by_text(last).last.wait_for()
        page.get_by_role("button", name="Press f for fullscreen").click()
        lines = page.get_by_role("dialog").locator("[data-testid^=virtualized-item]")
        begin, end = lines.filter(has_text=first).first, lines.filter(has_text=last).last
        begin.wait_for()
        self._settle(end)
        clip = around(page.get_by_role("dialog").get_by_test_id("virtualized-list"), margin=0)
        clip["y"], ends = top(begin), bottom(end)
        self._shoot(page, name, clip | {"height": ends - clip["y"]})
        return lines.all_inner_texts()

    def task(
        self, dag_id: str, run_id: str, task_id: str, name: str, state: str, clicks: Iterable[str] = ()
    ) -> str:
        """Picture of the page of a task: its state, its tries, and its log.

        :param clicks: lines of the log to open or close by a click.
        :return: the log.
        """
        page = self._open(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}")
        log = page.get_by_test_id("virtualized-list")
        for line in clicks:
            log.get_by_text(line).click()
        badge = page.get_by_test_id("state-badge").filter(has_text=state).first
        badge.wait_for()
        self._settle(log)
        self._shoot(page, name, around(log, badge))
        return log.inner_text()

    def mapped(
        self, dag_id: str, run_id: str, task_id: str, name: str, failed: str, names: Iterable[str]
    ) -> None:
        """Picture of the list of a mapped task, failed ones first.

        :param failed: the name of the first row.
        :param names: the names of all rows.
        """
        page = self._open(f"/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/mapped", WIDE)
        page.get_by_role("button", name="sort").filter(has_text="State").click()
        rows = page.locator("tbody tr")
        for label in names:
            expect(rows.get_by_role("link", name=label, exact=True)).to_be_visible()
        expect(rows.first).to_contain_text("Failed")
        expect(rows.first).to_contain_text(failed)
        self._settle(rows.last)
        self._shoot(
            page,
            name,
            around(
                page.get_by_test_id("state-badge").filter(has_text="Failed").first,
                page.locator("table"),
                rows.last,
            ),
        )

    def required_action(self, name: str, subject: str) -> str:
        """Picture of an open request in *Required Actions*.

        :return: its text.
        """
        page = self._open("/required_actions", DESK)
        row = page.get_by_role("row").filter(has_text=subject)
        row.get_by_role("button", name="Open Review Drawer").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("button", name="Hold")).to_be_visible()
        self._settle(dialog)
        clip = around(dialog, margin=0)
        self._shoot(page, name, clip | {"height": bottom(dialog.get_by_role("button", name="Hold")) + MARGIN})
        return dialog.inner_text()

    def report(self, name: str, last: str, **query: str) -> str:
        """Picture of a report page, from its headline to the end of the section ``last``.

        :return: the headline.
        """
        page = self._open(f"/plugin/thousandeyes?{urlencode(query)}")
        page.locator(".te-root h1").wait_for()
        page.locator(".te-root [aria-busy=true]").wait_for(state="detached")
        section = page.get_by_role("region", name=last)
        self._settle(section)
        self._shoot(page, name, around(page.locator(".te-banner"), section))
        return page.locator(".te-banner").inner_text()

    def _open(self, path: str, window: ViewportSize = TALL) -> Page:
        self._page.set_viewport_size(window)
        self._page.goto(self._url + path)
        return self._page

    def _settle(self, moving: Locator) -> None:
        """Wait until fonts are loaded and an element does not move any more."""
        self._page.mouse.move(0, 0)
        self._page.evaluate("document.fonts.ready.then(() => true)")
        before: Any = None
        while (box := moving.bounding_box()) != before:
            before = box
            self._page.wait_for_timeout(500)


def around(*elements: Locator, margin: int = MARGIN) -> FloatRect:
    """The smallest rectangle around all elements, with a margin."""
    boxes = [element.bounding_box() for locator in elements for element in locator.all()]
    shown = [box for box in boxes if box]
    left, upper = (max(0, min(box[axis] for box in shown) - margin) for axis in ("x", "y"))
    right = max(box["x"] + box["width"] for box in shown) + margin
    lower = max(box["y"] + box["height"] for box in shown) + margin
    return {"x": left, "y": upper, "width": right - left, "height": lower - upper}


def top(element: Locator) -> float:
    """The upper edge of an element."""
    box = element.bounding_box()
    assert box
    return box["y"]


def bottom(element: Locator) -> float:
    """The lower edge of an element."""
    box = element.bounding_box()
    assert box
    return box["y"] + box["height"]
