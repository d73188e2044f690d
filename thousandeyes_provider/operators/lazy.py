"""Modules that are imported with their first use.

DAG files are parsed all the time, and most tasks give few of the arguments. A module that only one argument needs is
imported when that argument is given.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class LazyModule:
    """Stand in for a module: each attribute is read from the module, which is imported with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> object:
        if self._module is None:
            self._module = import_module(self._name)
        value: object = getattr(self._module, attribute)
        return value
