"""docs/mistakes.md lists forty mistakes in DAGs. Each one is caught before a test is run.

``THOUSANDEYES_UPDATE_DOCS=1 pytest tests/unit/operators/test_mistakes.py -n0`` updates the table. tests/typing checks
the column of the type checker.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from airflow.providers.common.compat.sdk import DAG
from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator, RunInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "mistakes.md"
OPERATORS = {
    "RunInstantTestOperator": RunInstantTestOperator,
    "CreateInstantTestOperator": CreateInstantTestOperator,
    "InstantTestResultsSensor": InstantTestResultsSensor,
}
MISTAKES = [
    line
    for line in (ROOT / "tests" / "typing" / "mistakes.py").read_text().splitlines()
    if line.startswith(tuple(OPERATORS))
]


def error_text(error: Exception | None) -> str:
    """Return the first line of an error without the line of the DAG file and the name of the task."""
    if not isinstance(error, ThousandEyesConfigurationError):
        return "error of Airflow"
    text = re.sub(r"^.*?\w+ 'm\d\d': (\d invalid arguments:\n- )?", "", str(error), flags=re.DOTALL)
    text = text.splitlines()[0]
    return text if len(text) <= 110 else text[:109].rstrip() + "…"


def make_mistake(code: str, worker, folder: Path) -> tuple[str, Exception | None]:
    """Create and execute the task. Return the place where the mistake is caught, and the error."""
    try:
        with DAG("mistakes", schedule=None, template_searchpath=str(folder)):
            operator = eval(code, dict(OPERATORS))
    except Exception as error:
        return "parse", error
    try:
        worker.execute(operator)
    except Exception as error:
        return "before the run", error
    return "never", None


def test_there_are_forty_mistakes():
    assert len(MISTAKES) == 40


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_is_caught_before_the_run(simulator, worker_alone, code, tmp_path):
    simulator.add_test("http-server", "1", name="Demo", agents=["Frankfurt, Germany", "Singapore"])
    caught, error = make_mistake(code, worker_alone, tmp_path)
    assert [request.path for request in simulator.requests if request.method == "POST"] == []
    shown = re.sub(r'task_id="m\d\d"(, )?', "", code)
    row = (shown, caught, error_text(error))
    if os.environ.get("THOUSANDEYES_UPDATE_DOCS"):
        text = PAGE.read_text()
        checker = dict(re.findall(r"^\| `(.+?)` \| (yes|no) \|", text, re.MULTILINE)).get(shown, "no")
        line = f"| `{shown}` | {checker} | {caught} | {row[2]} |"
        text = re.sub(rf"^\| `{re.escape(shown)}` \|.*\n", "", text, flags=re.MULTILINE)
        PAGE.write_text(text.rstrip("\n") + "\n" + line + "\n")
    documented = re.findall(r"^\| `(.+?)` \| (?:yes|no) \| (.+?) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert row in documented
