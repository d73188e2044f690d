"""A pytest fixture for testing DAGs with no ThousandEyes account. Imports only pytest until it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thousandeyes_provider.simulator import Simulator


@pytest.fixture
def thousandeyes_simulator() -> Iterator[Simulator]:
    """A fresh simulated ThousandEyes on a free loopback port, stopped after the test."""
    from thousandeyes_provider.simulator import Simulator

    with Simulator() as simulator:
        yield simulator
