"""Chromium and ``airflow standalone`` against a simulated ThousandEyes.

``make e2e`` runs these tests together with those of whole deployments. This command runs only these tests::

    make e2e ARGS=tests/e2e/browser

Requirements: Playwright for Python, and Chromium (Debian's package ``chromium``, or the path in ``CHROMIUM``). Airflow
2.11 has its own environment, see :func:`harness.standalone.airflow_2`. Tests with a missing requirement are skipped.

Screenshots are written to ``.e2e/screenshots``, or to the folder in ``THOUSANDEYES_SCREENSHOTS``. A failed test adds a
screenshot of its page. ``make pictures`` compresses the screenshots that the documentation shows with ``pngquant``, and
writes them to ``docs/images``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from harness import standalone
from harness.deployment import ROOT
from thousandeyes_provider.simulator import Simulator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, FloatRect, Locator, Page

    from harness.standalone import Standalone

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
OPTIONS = [
    "--headless",
    "--no-sandbox",  # root cannot use the sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000
"""Time limit in milliseconds for an element to appear on a page, on a busy machine."""

ThrowAway = Callable[[], contextlib.AbstractContextManager[Path]]

SCREENSHOTS = pytest.StashKey[Path]()


IMAGES = ROOT / "docs" / "images"
COLORS = 64
"""Number of colors of a picture in the documentation."""


class Shoot(Protocol):
    """A function that takes a screenshot.

    :param clip: the part of a page to keep.
    """

    def __call__(self, what: Page | Locator, name: str, clip: FloatRect | None = None) -> None: ...


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if SCREENSHOTS in config.stash:
        terminalreporter.write_line(f"Screenshots are in {config.stash[SCREENSHOTS]}")


@pytest.fixture(scope="session")
def screenshots(artifacts: Path, pytestconfig: pytest.Config) -> Path:
    """The folder of the screenshots."""
    folder = Path(os.environ.get("THOUSANDEYES_SCREENSHOTS") or artifacts / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    pytestconfig.stash[SCREENSHOTS] = folder
    return folder


@pytest.fixture(scope="session")
def pictures() -> frozenset[str]:
    """Names of the screenshots that the documentation shows, when they are to be made again."""
    if not os.environ.get("THOUSANDEYES_PICTURES"):
        return frozenset()
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    return frozenset(name for page in pages for name in re.findall(r"images/([\w-]+)\.png", page.read_text()))


@pytest.fixture
def shoot(screenshots: Path, pictures: frozenset[str]) -> Shoot:
    """A function that takes a screenshot of a page or an element."""

    def take(what: Page | Locator, name: str, clip: FloatRect | None = None) -> None:
        path = screenshots / f"{name}.png"
        options = {"clip": clip} if clip else {}
        what.screenshot(path=path, animations="disabled", **options)
        if name in pictures:
            target = str(IMAGES / path.name)
            command = [
                "pngquant",
                "--force",
                "--strip",
                "--speed",
                "1",
                "--output",
                target,
                str(COLORS),
                str(path),
            ]
            subprocess.run(command, check=True)

    return take


# Module scope: while Playwright runs, its event loop runs, and tests that start another loop fail.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium (Debian's package chromium); there is no {CHROMIUM}")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def simulator(token: str) -> Iterator[Simulator]:
    """A simulated ThousandEyes that accepts one token. Its agents report after a few seconds."""
    with Simulator(tokens=[token], speed=10, listed_in_tests=True, round_ids="unambiguous") as running:
        yield running


DAGS = [ROOT / "example_dags", ROOT / "tests" / "e2e" / "dags" / "browser"]


@pytest.fixture(scope="module")
def airflow_3(chromium: Browser, throw_away: ThrowAway) -> Iterator[Standalone]:
    """The Airflow of this environment."""
    from airflow import __version__

    if tuple(int(part) for part in __version__.split(".")[:2]) < (3, 2):
        pytest.skip(f"Airflow has these pages since 3.2; this is {__version__}")
    with throw_away() as folder, standalone.running(folder, 3, dags=DAGS) as airflow:
        yield airflow


@pytest.fixture(scope="module")
def airflow_2(
    database_program: None, chromium: Browser, simulator: Simulator, throw_away: ThrowAway
) -> Iterator[Standalone]:
    """Airflow 2.11, with a connection to the simulator."""
    connection = {"AIRFLOW_CONN_THOUSANDEYES_DEFAULT": json.dumps(simulator.connection())}
    with throw_away() as folder, standalone.running(folder, 2, dags=DAGS, variables=connection) as airflow:
        yield airflow


@pytest.fixture(scope="module")
def airflow(request: pytest.FixtureRequest) -> Standalone:
    """The Airflow that the module selects with ``AIRFLOW``."""
    running: Standalone = request.getfixturevalue(request.module.AIRFLOW)
    return running


@pytest.fixture(scope="module")
def logged_in(chromium: Browser, airflow: Standalone) -> Iterator[BrowserContext]:
    """A browser context of a logged-in user."""
    from browser.pages import USUAL
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    context = chromium.new_context(viewport=USUAL, timezone_id="UTC", locale="en-US")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    airflow.log_in(page)
    page.close()
    yield context
    context.close()


@pytest.fixture(scope="session")
def failing_tests(simulator: Simulator) -> None:
    """The instant tests of ``tests/e2e/dags/browser``: a failing API test, and 20 tests with 3 failures."""
    simulator.add_test("api", "880001", name="Login API", outcomes={"Singapore": "error"}, failed_step=2)
    for index in range(20):
        outcomes = {"Singapore": "error"} if index in (4, 11, 17) else {}
        simulator.add_test(
            "http-server", str(881000 + index), name=f"Service {index + 1:02d}", outcomes=outcomes
        )


@pytest.fixture(scope="module")
def failed_runs(airflow: Standalone, failing_tests: None) -> None:
    """The finished DAG runs of ``tests/e2e/dags/browser``. The module must create the connection first."""
    for dag_id in ("release_login", "release_services"):
        assert airflow.ended(dag_id, airflow.trigger(dag_id), PATIENCE / 100) == "failed"


@pytest.fixture
def page(logged_in: BrowserContext, request: pytest.FixtureRequest, screenshots: Path) -> Iterator[Page]:
    """A page of a logged-in user."""
    page, before = logged_in.new_page(), request.session.testsfailed
    yield page
    if request.session.testsfailed > before:
        page.screenshot(path=screenshots / f"failed {request.node.name}.png")
    page.close()
