from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

TESTS = """
import requests

urls = []

def test_one(thousandeyes_simulator):
    urls.append(thousandeyes_simulator.url)
    thousandeyes_simulator.add_test("dnssec", "1")
    assert requests.get(thousandeyes_simulator.url + "/control", timeout=5).status_code == 200

def test_two(thousandeyes_simulator):
    assert "1" not in thousandeyes_simulator.tests, "every test has a simulator of its own"
    try:
        requests.get(urls[0] + "/control", timeout=5)
    except requests.ConnectionError:
        return
    assert thousandeyes_simulator.url == urls[0], "the one before is stopped"
"""


def test_the_fixture_gives_each_test_a_fresh_simulator(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    installed = "thousandeyes_simulator" in entry_points(group="pytest11").names
    plugin = [] if installed else ["-p", "thousandeyes_provider.simulator.pytest_plugin"]
    done = subprocess.run(
        [*command, *plugin, f"--rootdir={tmp_path}", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
