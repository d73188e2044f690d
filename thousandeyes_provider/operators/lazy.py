"""Modules that are imported with their first use.

Airflow parses DAG files repeatedly, and most tasks pass few arguments. A module that a single argument needs is
imported when that argument is passed.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class LazyModule:
    """A stand-in for a module. The first access to an attribute imports the module."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> object:
        if self._module is None:
            self._module = import_module(self._name)
        value: object = getattr(self._module, attribute)
        return value
