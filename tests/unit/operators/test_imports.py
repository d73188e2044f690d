"""Importing the operator modules is cheap, because Airflow parses DAG files repeatedly."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("requests", "urllib3", "aiohttp", "airflow.providers.http", "thousandeyes_provider.hooks")


MODULES = (
    "thousandeyes_provider.operators.instant_test",
    "thousandeyes_provider.sensors.instant_test",
    "thousandeyes_provider.simulator.pytest_plugin",
)

# The import of Airflow takes seconds, so one process imports it and forks for each module.
PROBE = """
import json, os, sys
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator
before = set(sys.modules)
for module in sys.argv[1:]:
    if os.fork() == 0:
        __import__(module)
        print(json.dumps([module, sorted(set(sys.modules) - before)]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def imported():
    """Module to the modules that its import adds."""
    command = [sys.executable, "-c", PROBE, *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


@pytest.mark.xdist_group("imports")
@pytest.mark.parametrize("module", MODULES)
def test_the_import_excludes_modules_of_the_worker(module, imported):
    added = imported[module]
    assert module in added
    assert [name for name in added if name.startswith(HEAVY)] == []
    assert len([name for name in added if name.startswith("thousandeyes_provider.validation")]) == 0
