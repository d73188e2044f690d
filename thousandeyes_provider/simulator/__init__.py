"""A local ThousandEyes v7 API: for trying things out, for demos, and for testing DAGs with no account.

``python -m thousandeyes_provider.simulator`` serves it (``--help``), the pytest fixture ``thousandeyes_simulator`` and
:class:`Simulator` start it inside a process. It has all twelve types of instant tests and all their results, from a
seeded model. Three things can be said of it while it runs: what the API does not document is a switch
(:class:`Switches`), what is the matter with a target a condition (``simulator.target("www.example.com", "down")``), and
what goes wrong with a request a :class:`InjectedFault`. Importing this package costs nothing; the
server's libraries are imported when a simulator is made.
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
