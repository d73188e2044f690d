"""Import what triggers need without blocking their event loop."""

from __future__ import annotations

import asyncio
from importlib import import_module

_MODULES = ("thousandeyes_provider.hooks.async_thousandeyes", "thousandeyes_provider.hooks.results_reader")
_done = False


async def load_hooks() -> None:
    """Import the hooks in a thread: with their HTTP libraries that takes tenths of a second the first time."""
    global _done
    if not _done:
        for name in _MODULES:
            await asyncio.to_thread(import_module, name)
        _done = True
