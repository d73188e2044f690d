"""One pace for everything that the triggers of a triggerer ask of one ThousandEyes account.

A thousand waiting tests share a few connections and one next free slot, spaced by what the newest answer says of the
quota. Nothing runs in the background: the slot is waited for by whoever is first in line.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from thousandeyes_provider.api.rate_limits import RESERVED_SHARE, polling_pace
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.hooks.async_transport import Session, open_session, send

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.connection import ConnectionSettings
    from thousandeyes_provider.hooks.request_builder import ApiRequest

CONNECTIONS = 8
"""Connections that the triggers of one triggerer keep to one account."""

USUAL_GAP = 60 / (240 * (1 - RESERVED_SHARE))
"""Seconds between two requests as long as no answer tells the quota of now: as if 240 a minute were left (DEV)."""

RUN_WINDOW = 60.0
"""Seconds of the window in which runs are counted (DEV)."""

USUAL_RUN_LIMIT = 24.0
"""Runs a window, as long as no answer has told the limit (DEV)."""

_accounts: WeakKeyDictionary[Any, dict[tuple[str, str], SharedAccount]] = WeakKeyDictionary()

_left: WeakKeyDictionary[Any, dict[tuple[str, str], RequestPacer]] = WeakKeyDictionary()
"""The pace of accounts that nobody uses just now: a reset that was announced, and turns given out, still count."""


class RequestPacer:
    """When an account's next request may be sent, and its next run. Times are those of the event loop.

    Whoever takes a slot, or a turn, moves the next one on.
    """

    def __init__(self) -> None:
        self._gap = USUAL_GAP
        self._gap_ends = 0.0
        self._last = 0.0
        self._next = 0.0
        self._not_before = 0.0
        self._run_limit = USUAL_RUN_LIMIT
        self.next_run = 0.0

    def next_slot(self) -> float:
        """When the next request may be sent, as far as it is known."""
        return max(self._next, self._not_before)

    def take_slot(self, now: float) -> None:
        """A request is sent now."""
        self._last = now
        self._next = now + self._gap
        if self._next > self._gap_ends:
            # What an answer told of the quota holds until the window's end, and nobody waits longer for it.
            self._next = max(self._gap_ends, now + USUAL_GAP)

    def take_turn(self, now: float) -> None:
        """A run is sent about now."""
        self.next_run = now + RUN_WINDOW / self._run_limit

    def hear(self, answer: Response, now: float) -> None:
        """Set the next slot by what an answer says is left: later than was thought, or earlier."""
        told = polling_pace(answer, time.time())
        if told is None or told.lasts == 0 or answer.status == 429:
            return
        self._gap, self._gap_ends = told.gap, now + told.lasts
        # A gap that lasts to the end of the window counts from the answer that told it.
        self._next = (now if told.gap > USUAL_GAP else self._last) + told.gap

    def hold(self, until: float) -> None:
        """No slot comes before: a request was refused."""
        self._not_before = max(self._not_before, until)

    def hold_runs(self, until: float) -> None:
        """No turn comes before: a run was refused."""
        self.next_run = max(self.next_run, until)

    def learn_run_limit(self, limit: float | None) -> None:
        """Take the limit of runs a window from an answer to a run call."""
        if limit is not None and limit >= 1:
            self._run_limit = limit

    def matters(self, now: float) -> bool:
        """Whether it makes anybody wait."""
        return max(self.next_slot(), self.next_run) > now


class SharedAccount:
    """A ThousandEyes account as one event loop sees it: its session, and the next free slot.

    Get one with :meth:`shared`, and give it back with :meth:`release`; with the last user it is gone.

    :param settings: what the connection says.
    :param paced: whether requests keep the pace that the quota allows; ``False`` for a user who is alone.
    """

    def __init__(self, settings: ConnectionSettings, *, paced: bool = True) -> None:
        self.pace = RequestPacer()
        self._paced = paced
        self._line = asyncio.Lock()
        self._run_line = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._users = 1
        self._sessions: dict[tuple[Any, ...], Session] = {}
        self._key = _key(settings)

    @classmethod
    def shared(cls, settings: ConnectionSettings) -> SharedAccount:
        """The account of a base URL and token on this event loop; the same one for all who ask while it is used."""
        loop, key = asyncio.get_running_loop(), _key(settings)
        of_loop = _accounts.setdefault(loop, {})
        account = of_loop.get(key)
        if account is None:
            account = of_loop[key] = cls(settings)
            account.pace = _left.get(loop, {}).pop(key, account.pace)
        else:
            account._users += 1
        return account

    async def release(self) -> None:
        """Give the account back; the last one who does closes its connections."""
        self._users -= 1
        if self._users:
            return
        loop = asyncio.get_running_loop()
        of_loop = _accounts.get(loop, {})
        if of_loop.get(self._key) is self:
            del of_loop[self._key]
            if self.pace.matters(loop.time()):
                _left.setdefault(loop, {})[self._key] = self.pace
        sessions, self._sessions = self._sessions, {}
        async with AsyncExitStack() as closing:  # which closes the others, too, when it is cancelled at one
            for session in sessions.values():
                closing.push_async_callback(session.close)

    async def send(
        self, call: ApiRequest, settings: ConnectionSettings, timeout: float, patience: float
    ) -> Response | NoResponse:
        """Send once, in turn.

        :param settings: what the connection says: the way to the account.
        :param timeout: seconds until the answer must be there, from when it is this request's turn.
        :param patience: seconds after which a turn is of no more use.
        """
        if self._paced:
            try:
                async with asyncio.timeout(patience if patience < math.inf else None):
                    await self._slot()
            except TimeoutError:
                return NoResponse("its turn did not come before the deadline", sent=False, final=True)
        outcome = await send(await self._session(settings), call, timeout)
        if self._paced and isinstance(outcome, Response):
            self.pace.hear(outcome, asyncio.get_running_loop().time())
        return outcome

    def hold(self, seconds: float) -> None:
        """Let nobody send for some time: a request was refused, and so would the others be."""
        self.pace.hold(asyncio.get_running_loop().time() + seconds)

    async def _session(self, settings: ConnectionSettings) -> Session:
        """The session for the way that a connection takes: connections of one account may go by other proxies."""
        proxies = tuple(sorted(settings.proxies.items())) if settings.proxies else ()
        way = (proxies, settings.verify, settings.cert, settings.trust_env)
        if way not in self._sessions:
            async with self._opening:
                # Another may have opened it meanwhile; coverage does not see that across the end of the `with`.
                if way not in self._sessions:  # pragma: no branch
                    self._sessions[way] = await open_session(settings, CONNECTIONS)
        return self._sessions[way]

    async def turn(self, *, limit: float | None, pause: float, patience: float) -> bool:
        """Wait for a turn to run a test: first come, first served, at the pace of the window.

        :param limit: runs a window, where an answer told it.
        :param pause: seconds until the window of an answer that refused a run is over; nobody's turn comes before.
        :param patience: seconds after which a turn is of no more use.
        :return: whether the turn has come; ``False`` as soon as it is clear that it will not in time.
        """
        time, pace = asyncio.get_running_loop().time, self.pace
        ends = time() + patience
        pace.learn_run_limit(limit)
        if pause > 0:
            pace.hold_runs(time() + pause)
        if patience <= 0:
            return False
        try:
            async with asyncio.timeout(patience), self._run_line:
                while (left := pace.next_run - time()) > 0:
                    if pace.next_run > ends:
                        return False
                    await asyncio.sleep(left)
                pace.take_turn(time())
        except TimeoutError:
            return False
        return True

    async def _slot(self) -> None:
        """Wait for the next free slot: first come, first served. Who is cancelled leaves the line."""
        time, pace = asyncio.get_running_loop().time, self.pace
        async with self._line:
            while (pause := pace.next_slot() - time()) > 0:
                await asyncio.sleep(pause)
            pace.take_slot(time())


def _key(settings: ConnectionSettings) -> tuple[str, str]:
    return settings.base_url, hashlib.sha256(settings.token.encode()).hexdigest()
