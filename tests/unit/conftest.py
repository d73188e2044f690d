"""Fixtures of all unit tests."""

from __future__ import annotations

import re
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

    def text():
        console = "".join(capsys.readouterr()).splitlines(keepends=True)
        return caplog.text + "".join(line for line in console if not _LOGGED_TWICE.match(line))

    return text


_LOGGED_TWICE = re.compile(r"\[\d{4}-\d\d-\d\dT[^]]+\] \{[^}]+:\d+\} [A-Z]+ - ")
"""Once a test has initialized Airflow 3.0, its console handler prints what ``logging`` gets."""
