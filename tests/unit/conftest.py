"""Fixtures of all unit tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# No deadline: property tests must not fail on a busy machine. --hypothesis-profile=thorough runs more examples.
settings.register_profile("usual", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("usual")


@pytest.fixture
def log(capsys, caplog):
    """Returns the logged text; Airflow logs to the console or to Python's logging, depending on its setup."""
    caplog.set_level("DEBUG")
    return lambda: caplog.text + "".join(capsys.readouterr())
