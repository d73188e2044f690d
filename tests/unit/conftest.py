"""What all unit tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine must not make a property test fail for being slow; --hypothesis-profile=thorough digs deeper.
settings.register_profile("usual", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("usual")


@pytest.fixture
def log(capsys, caplog):
    """Gives what has been logged; Airflow writes to the console or to Python's logging, as it is set up."""
    caplog.set_level("DEBUG")
    return lambda: caplog.text + "".join(capsys.readouterr())
