"""A local ThousandEyes v7 API for experiments, demos, and DAG tests without an account.

``python -m thousandeyes_provider.simulator`` serves it from the command line (see ``--help``). The pytest fixture
``thousandeyes_simulator`` and :class:`Simulator` serve it inside a process. It supports all twelve types of instant
tests and all their results. A seeded model generates the results.

Three settings can change while it runs:

- :class:`Switches` select behavior that the API does not document.
- Conditions affect targets: ``simulator.target("www.example.com", "down")``.
- :class:`InjectedFault` makes requests fail.

The server's libraries are imported with the first :class:`Simulator`, not with this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thousandeyes_provider.simulator.injected_faults import InjectedFault
    from thousandeyes_provider.simulator.service import LoggedRequest
    from thousandeyes_provider.simulator.simulated_rounds import RoundState
    from thousandeyes_provider.simulator.simulator import Simulator
    from thousandeyes_provider.simulator.switches import Switches

__all__ = ["InjectedFault", "LoggedRequest", "RoundState", "Simulator", "Switches"]

_HOME = {
    "InjectedFault": "injected_faults",
    "LoggedRequest": "service",
    "RoundState": "simulated_rounds",
    "Simulator": "simulator",
    "Switches": "switches",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
