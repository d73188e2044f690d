"""Importing the operator's module costs next to nothing: DAG files are parsed all the time."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("requests", "urllib3", "aiohttp", "airflow.providers.http", "thousandeyes_provider.hooks")


@pytest.mark.parametrize(
    "module",
    [
        "thousandeyes_provider.operators.instant_test",
        "thousandeyes_provider.sensors.instant_test",
        "thousandeyes_provider.simulator.pytest_plugin",
    ],
)
def test_it_imports_nothing_that_only_a_worker_needs(module):
    code = (
        "import sys\n"
        "from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator\n"
        f"before = set(sys.modules)\nimport {module}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    added = done.stdout.splitlines()[-1].split()
    assert module in added
    assert [name for name in added if name.startswith(HEAVY)] == []
    assert len([name for name in added if name.startswith("thousandeyes_provider.validation")]) == 0
