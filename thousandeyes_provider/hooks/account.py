"""One pace for everything that the triggers of a triggerer ask of one ThousandEyes account.

A thousand waiting tests share a few connections and one next free slot, spaced by what the newest answer says of the
quota. Nothing runs in the background: the slot is waited for by whoever is first in line.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from thousandeyes_provider.api.http import Answer, NoAnswer
from thousandeyes_provider.api.quota import RESERVED_SHARE, exhausted_reset, polling_gap, quotas
from thousandeyes_provider.hooks.async_transport import Session, open_session, send

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.calls import Call
    from thousandeyes_provider.hooks.connection import ConnectionSettings

CONNECTIONS = 8
"""Connections that the triggers of one triggerer keep to one account."""

USUAL_GAP = 60 / (240 * (1 - RESERVED_SHARE))
"""Seconds between two requests as long as no answer has told the quota: as if 240 a minute were left (DEV)."""

RUN_WINDOW = 60.0
"""Seconds of the window in which runs are counted (DEV)."""

USUAL_RUN_LIMIT = 24.0
"""Runs a window, as long as no answer has told the limit (DEV)."""

_accounts: WeakKeyDictionary[Any, dict[tuple[str, str], Account]] = WeakKeyDictionary()

_turns: WeakKeyDictionary[Any, dict[tuple[str, str], tuple[float, float]]] = WeakKeyDictionary()
"""When the next run may be sent, and the limit, of accounts that nobody uses just now: turns given out still count."""


class Account:
    """A ThousandEyes account as one event loop sees it: its session, and the next free slot.

    Get one with :meth:`shared`, and give it back with :meth:`release`; with the last user it is gone.

    :param settings: what the connection says.
    :param paced: whether requests keep the pace that the quota allows; ``False`` for a user who is alone.
    """

    def __init__(self, settings: ConnectionSettings, *, paced: bool = True) -> None:
        self._queue_timeout = settings.queue_timeout
        self._gap = USUAL_GAP if paced else None
        self._line = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._last = 0.0
        self._next = 0.0
        self._not_before = 0.0
        self._run_line = asyncio.Lock()
        self._next_run = 0.0
        self._run_limit = USUAL_RUN_LIMIT
        self._users = 1
        self._sessions: dict[tuple[Any, ...], Session] = {}
        self._key: tuple[str, str] | None = None

    @classmethod
    def shared(cls, settings: ConnectionSettings) -> Account:
        """The account of a base URL and token on this event loop; the same one for all who ask while it is used."""
        of_loop = _accounts.setdefault(asyncio.get_running_loop(), {})
        key = (settings.base_url, hashlib.sha256(settings.token.encode()).hexdigest())
        account = of_loop.get(key)
        if account is None:
            account = of_loop[key] = cls(settings)
            account._key = key
            left = _turns.get(asyncio.get_running_loop(), {}).pop(key, None)
            if left is not None:
                account._next_run, account._run_limit = left
        else:
            account._users += 1
        return account

    async def release(self) -> None:
        """Give the account back; the last one who does closes its connections."""
        self._users -= 1
        if self._users:
            return
        if self._key is not None:
            loop = asyncio.get_running_loop()
            _accounts.get(loop, {}).pop(self._key, None)
            if self._next_run > loop.time():
                _turns.setdefault(loop, {})[self._key] = (self._next_run, self._run_limit)
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def send(
        self, call: Call, settings: ConnectionSettings, timeout: float, patience: float
    ) -> Answer | NoAnswer:
        """Send once, in turn.

        :param settings: what the connection says: the way to the account.
        :param timeout: seconds until the answer must be there, from when it is this request's turn.
        :param patience: seconds after which a turn is of no more use.
        """
        if self._gap is not None:
            try:
                async with asyncio.timeout(patience if patience < math.inf else None):
                    await self._slot()
            except TimeoutError:
                return NoAnswer("its turn did not come before the deadline", sent=False, final=True)
        outcome = await send(await self._session(settings), call, timeout)
        if self._gap is not None and isinstance(outcome, Answer):
            self._hear(outcome)
        return outcome

    async def _session(self, settings: ConnectionSettings) -> Session:
        """The session for the way that a connection takes: connections of one account may go by other proxies."""
        proxies = tuple(sorted((settings.proxies or {}).items()))
        way = (proxies, settings.verify, settings.cert, settings.trust_env)
        async with self._opening:
            if way not in self._sessions:
                self._sessions[way] = await open_session(settings, CONNECTIONS)
            return self._sessions[way]

    async def turn(self, *, limit: float | None, pause: float, patience: float) -> bool:
        """Wait for a turn to run a test: first come, first served, at the pace of the window.

        :param limit: runs a window, where an answer told it.
        :param pause: seconds until the window of an answer that refused a run is over; nobody's turn comes before.
        :param patience: seconds after which a turn is of no more use.
        :return: whether the turn has come; ``False`` as soon as it is clear that it will not in time.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + patience
        self.learn_run_limit(limit)
        if pause > 0:
            self._next_run = max(self._next_run, loop.time() + pause)
        if patience <= 0:
            return False
        try:
            async with asyncio.timeout(patience), self._run_line:
                while (left := self._next_run - loop.time()) > 0:
                    if self._next_run > ends:
                        return False
                    await asyncio.sleep(left)
                self._next_run = loop.time() + RUN_WINDOW / self._run_limit
        except TimeoutError:
            return False
        return True

    def learn_run_limit(self, limit: float | None) -> None:
        """Take the limit of runs a window from an answer to a run call."""
        if limit is not None and limit >= 1:
            self._run_limit = limit

    async def _slot(self) -> None:
        """Wait for the next free slot: first come, first served. Who is cancelled leaves the line."""
        loop = asyncio.get_running_loop()
        async with self._line:
            while (pause := max(self._next, self._not_before) - loop.time()) > 0:
                await asyncio.sleep(pause)
            self._last = loop.time()
            self._next = self._last + (self._gap or 0.0)

    def _hear(self, answer: Answer) -> None:
        """Set the next slot by what an answer says is left: later than was thought, or earlier."""
        now, loop_now = time.time(), asyncio.get_running_loop().time()
        if answer.status == 429:
            reset = exhausted_reset(answer, now)
            if reset is not None and 0 < reset.wait <= self._queue_timeout:
                self._not_before = max(self._not_before, loop_now + reset.wait)
            return
        if "organization" in quotas(answer):
            gap = polling_gap(answer, now)
            self._gap = gap if gap > 0 else USUAL_GAP
            # A gap that lasts to the end of the window counts from the answer that told it.
            self._next = (loop_now if gap > USUAL_GAP else self._last) + self._gap
