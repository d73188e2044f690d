"""Fixtures of all unit tests."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from hypothesis import settings

# No deadline: property tests must not fail on a busy machine. --hypothesis-profile=thorough runs more examples.
settings.register_profile("usual", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("usual")


@pytest.fixture
def log(capsys, caplog):
    """A function that returns the logged text. Tasks log to the console from Airflow 3.0 on, before to ``logging``."""
    caplog.set_level("DEBUG")
    if version("apache-airflow").startswith("2."):
        return lambda: caplog.text
    return lambda: caplog.text + "".join(capsys.readouterr())
