"""Reading an Airflow connection once for all hooks of an event loop that begin together.

A triggerer asks its supervisor for each connection, one after the other, and that one asks the database: a thousand
triggers that start together would queue there for a thousand times the same answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.connection import ConnectionSettings

FRESH = 5.0
"""Seconds for which hooks that begin take what another one has read."""

_readings: WeakKeyDictionary[Any, WeakValueDictionary[str, CachedConnection]] = WeakKeyDictionary()


class CachedConnection:
    """What a connection said when it was last read. It is forgotten with the last hook that uses it."""

    def __init__(self) -> None:
        self._line = asyncio.Lock()
        self._begun_at = self._read_at = -math.inf
        self._settings: ConnectionSettings | None = None

    @classmethod
    def shared(cls, conn_id: str) -> CachedConnection:
        """The reading of a connection on this event loop; the same one for all who ask while it is used."""
        of_loop = _readings.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
        return of_loop.setdefault(conn_id, cls())

    async def settings(
        self, read: Callable[[], Awaitable[ConnectionSettings]], not_before: float
    ) -> ConnectionSettings:
        """What the connection says: as it was read a moment ago, else as it is read now.

        :param read: reads it. When that fails, the next who asks tries again.
        :param not_before: loop time; what was read before is of no use, since it was refused.
        """
        time = asyncio.get_running_loop().time
        async with self._line:
            begun_at = time()
            if self._settings is None or self._begun_at < not_before or self._read_at < begun_at - FRESH:
                self._settings = await read()
                self._begun_at, self._read_at = begun_at, time()
            return self._settings
