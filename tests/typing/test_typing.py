"""Type hints: type checkers accept every documented pattern and detect mistakes."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATTERNS, MISTAKES = FILES = HERE / "patterns.py", HERE / "mistakes.py"

pytestmark = pytest.mark.xdist_group("typing")


@pytest.fixture(scope="module")
def mypy() -> dict[Path, set[int]]:
    """File to the lines with an error of ``mypy --strict``."""
    options = ["--strict", "--config-file=", "--output=json"]
    # `make lint` runs mypy with other options, which would invalidate this cache each time.
    options.append("--cache-dir=.mypy_cache/typing")
    command = [sys.executable, "-m", "mypy", *options, *map(str, FILES)]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    errors = [report for report in reports if report["severity"] == "error"]
    return {file: {error["line"] for error in errors if file.name in error["file"]} for file in FILES}


@pytest.fixture(scope="module")
def pyright() -> dict[Path, set[int]]:
    """File to the lines with an error of pyright in its standard mode."""
    pytest.importorskip("basedpyright", reason="pyright comes with basedpyright")
    options = ["--outputjson", "--level=error", "--pythonpath", sys.executable]
    command = [sys.executable, "-m", "basedpyright", *options, *map(str, FILES)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    errors = json.loads(done.stdout)["generalDiagnostics"]
    return {
        file: {error["range"]["start"]["line"] + 1 for error in errors if file.name in error["file"]}
        for file in FILES
    }


def mistakes() -> list[int]:
    """Return the line numbers of the mistakes."""
    lines = enumerate(MISTAKES.read_text().splitlines(), 1)
    return [number for number, line in lines if line.startswith(("Run", "Create", "Instant"))]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_every_documented_pattern_is_accepted(checker, request):
    assert request.getfixturevalue(checker)[PATTERNS] == set()


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_most_mistakes_are_detected(checker, request):
    # The first twenty are mistakes in names and types, the others in texts and values.
    missed = set(mistakes()[:20]) - request.getfixturevalue(checker)[MISTAKES]
    assert len(missed) <= 5, sorted(missed)


def test_the_page_lists_the_mistakes_that_mypy_detects(mypy):
    page = (HERE.parents[1] / "docs" / "mistakes.md").read_text()
    documented = re.findall(r"^\| `.+?` \| (yes|no) \|", page, re.MULTILINE)
    assert documented == ["yes" if line in mypy[MISTAKES] else "no" for line in mistakes()]


def test_airflow_parses_the_patterns():
    assert runpy.run_path(str(PATTERNS))["before"].task_id == "before"


def test_the_types_list_every_argument():
    """The typed keyword arguments are those of the operators and of Airflow."""
    import inspect

    from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator
    from thousandeyes_provider.operators import argument_types as types
    from thousandeyes_provider.operators.base import BaseInstantTestOperator

    def parameters(kind):
        return {
            name
            for name, parameter in inspect.signature(kind.__init__).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }

    def keys(declared):
        return declared.__required_keys__ | declared.__optional_keys__

    airflow = parameters(BaseOperator)
    assert airflow <= keys(types.AirflowArguments)
    assert keys(types.StartArguments) - keys(types.AirflowArguments) == parameters(BaseInstantTestOperator)
    assert parameters(BaseSensorOperator) <= keys(types.SensorOwnArguments)
