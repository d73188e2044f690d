"""What all unit tests share."""

from __future__ import annotations

import pytest


@pytest.fixture
def log(capsys, caplog):
    """Gives what has been logged; Airflow writes to the console or to Python's logging, as it is set up."""
    caplog.set_level("DEBUG")
    return lambda: caplog.text + "".join(capsys.readouterr())
