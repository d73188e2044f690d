from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = """
import requests

urls = []

def test_one(thousandeyes_simulator):
    urls.append(thousandeyes_simulator.url)
    thousandeyes_simulator.add_test("dnssec", "1")
    assert requests.get(thousandeyes_simulator.url + "/control", timeout=5).status_code == 200

def test_two(thousandeyes_simulator):
    assert "1" not in thousandeyes_simulator.tests, "every test has its own simulator"
    try:
        requests.get(urls[0] + "/control", timeout=5)
    except requests.ConnectionError:
        return
    assert thousandeyes_simulator.url == urls[0], "the first simulator is stopped"
"""


def run_pytest(folder: Path, *files: str) -> str:
    """Run test files in an empty folder with an Airflow home that does not exist yet.

    :param files: content of each file.
    :returns: output of pytest.
    """
    for number, text in enumerate(files):
        (folder / f"test_pipeline_{number}.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    environment |= {"AIRFLOW_HOME": str(folder / "airflow"), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    if "thousandeyes_simulator" not in entry_points(group="pytest11").names:
        command += ["-p", "thousandeyes_provider.simulator.pytest_plugin"]
    finished = subprocess.run(
        [*command, str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.stdout + finished.stderr


def test_each_test_gets_a_new_simulator(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, TESTS)
    assert "2 passed" in output, output


@pytest.mark.system
@pytest.mark.xdist_group("empty folder")
def test_the_documented_examples_work_in_an_empty_folder(tmp_path: Path) -> None:
    pages = [(ROOT / page).read_text() for page in ("README.md", "docs/testing.md")]
    blocks = [re.findall(r"```python\n(.*?)```", page, re.DOTALL) for page in pages]
    examples = [[block for block in page_blocks if "thousandeyes_run_dag" in block] for page_blocks in blocks]
    assert [len(page_examples) for page_examples in examples] == [1, 1]
    output = run_pytest(tmp_path, *(example for (example,) in examples))
    assert "2 passed" in output, output
