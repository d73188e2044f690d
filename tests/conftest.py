"""A throw-away Airflow for the whole test session.

No test may see the Airflow of the person who runs it: its home, its database, its connections. So this happens
before anything imports Airflow, which reads the environment only once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

_AIRFLOW_HOME = tempfile.mkdtemp(prefix="thousandeyes-tests-")

for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME
for _folder in ("tests/system/dags", "example_dags"):
    shutil.copytree(Path(__file__).parents[1] / _folder, Path(_AIRFLOW_HOME, "dags"), dirs_exist_ok=True)
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(_AIRFLOW_HOME, "dags"))
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS"] = "False"


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)
