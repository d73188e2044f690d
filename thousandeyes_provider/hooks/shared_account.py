"""One pace for all requests of a triggerer to one ThousandEyes account.

A thousand waiting tests share a few connections and one next free slot. The slots are spaced by the quota in the newest
response. Nothing runs in the background: the first in line waits for the slot.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from thousandeyes_provider.api.rate_limits import RUNS_PER_MINUTE, RUNS_WITHOUT_TURN, polling_pace, quotas
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.hooks.async_transport import AsyncSession, open_session, send
from thousandeyes_provider.hooks.transport import no_response

if TYPE_CHECKING:
    from thousandeyes_provider.api.endpoints import ApiRequest
    from thousandeyes_provider.hooks.connection import ConnectionSettings

CONNECTIONS = 8
"""HTTP connections of one triggerer to one account."""

DEFAULT_GAP = 60 / (240 * 0.8)
"""Seconds between two requests while the quota is unknown: four fifths of 240 a minute (docs, "Rate limits")."""

RUN_WINDOW = 60.0
"""Seconds of the window in which ThousandEyes counts runs."""

ACCOUNT_GROUP_TTL = 600.0
"""Seconds for which the default account group counts as known, also when it could not be read."""

_accounts: WeakKeyDictionary[Any, dict[tuple[str, str], SharedAccount]] = WeakKeyDictionary()
"""The accounts of each event loop, also without a user: an announced reset and the turns given out still count."""


@dataclass(frozen=True)
class Sent:
    """What became of a request of a shared account.

    :param paced_seconds: seconds that it waited to leave the reserved share of the quota free.
    :param held_seconds: seconds that it waited because ThousandEyes had refused another request (429).
    :param took_seconds: seconds from sending to the outcome.
    """

    outcome: Response | NoResponse
    paced_seconds: float = 0.0
    held_seconds: float = 0.0
    took_seconds: float = 0.0


class RequestPacer:
    """The times of an account's next request and next run, by the clock of the event loop.

    Taking a slot or a turn moves the next one.

    :param reserved_share: share of the organization's quota that stays free, 0 to 1.
    """

    def __init__(self, reserved_share: float) -> None:
        self._reserved_share = reserved_share
        self._gap = DEFAULT_GAP
        self._gap_ends = 0.0
        self._last = 0.0
        self._next = 0.0
        self._not_before = 0.0
        self._run_limit: float = RUNS_PER_MINUTE
        self.next_run = 0.0

    def next_slot(self) -> float:
        """The time of the next request as far as it is known."""
        return max(self._next, self._not_before)

    def take_slot(self, now: float) -> None:
        """A request is sent now."""
        self._last = now
        self._next = now + self._gap
        if self._next > self._gap_ends:
            # A quota counts until its window ends; no request waits longer for it.
            self._next = max(self._gap_ends, now + DEFAULT_GAP)

    def turn_gap(self) -> float:
        """Seconds between two runs."""
        return RUN_WINDOW / self._run_limit

    def take_turn(self, now: float, *, is_first: bool) -> None:
        """A run is sent now.

        :param is_first: whether the line was empty. Tasks without a turn may then have started runs just before, so
            the next turn is delayed accordingly.
        """
        self.next_run = now + self.turn_gap() * (1 + RUNS_WITHOUT_TURN if is_first else 1)

    def update(self, response: Response, now: float) -> None:
        """Move the next slot by the quota in a response, to a later or an earlier time."""
        pace = polling_pace(
            quotas(response).get("organization"), response.time(time.time()), self._reserved_share
        )
        if pace is None or pace.lasts == 0 or response.status == 429:
            return
        self._gap, self._gap_ends = pace.gap, now + pace.lasts
        # A gap longer than the default one counts from this response.
        self._next = (now if pace.gap > DEFAULT_GAP else self._last) + pace.gap

    def is_held(self) -> bool:
        """Whether the next slot waits for the reset of a 429."""
        return self._not_before > self._next

    def hold(self, until: float) -> None:
        """Allow no slot before: ThousandEyes refused a request."""
        self._not_before = max(self._not_before, until)

    def learn_run_limit(self, limit: float | None) -> None:
        """Take the limit of runs a window from a response to a run call."""
        if limit is not None and limit >= 1:
            self._run_limit = limit


class SharedAccount:
    """A ThousandEyes account on one event loop: its sessions and its pace.

    Get one with :meth:`shared` and return it with :meth:`release`; the last user closes its connections.

    :param reserved_share: share of the organization's quota that stays free, 0 to 1.
    :param paced: whether requests keep the pace that the quota allows; ``False`` for a single user.
    """

    def __init__(self, reserved_share: float = 0.2, *, paced: bool = True) -> None:
        self.pace = RequestPacer(reserved_share)
        self._paced = paced
        self._line = asyncio.Lock()
        self._run_line = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._reading_group = asyncio.Lock()
        self._group_read_at = -math.inf
        self._default_group: str | None = None
        self._users = 1
        self._waiting_for_turn = 0
        self._sessions: dict[tuple[Any, ...], AsyncSession] = {}

    @classmethod
    def shared(cls, settings: ConnectionSettings, reserved_share: float = 0.2) -> SharedAccount:
        """The account of a base URL and token on this event loop, shared by all its users."""
        of_loop = _accounts.setdefault(asyncio.get_running_loop(), {})
        key = settings.base_url, hashlib.sha256(settings.token.encode()).hexdigest()
        if key in of_loop:
            of_loop[key]._users += 1
        return of_loop.setdefault(key, cls(reserved_share))

    async def release(self) -> None:
        """Return the account; the last user closes its connections."""
        self._users -= 1
        if self._users:
            return
        sessions, self._sessions = self._sessions, {}
        async with AsyncExitStack() as closing:  # closes the others, too, when it is cancelled at one
            for session in sessions.values():
                closing.push_async_callback(session.close)

    async def send(
        self, request: ApiRequest, settings: ConnectionSettings, timeout: float, patience: float
    ) -> Sent:
        """Send once, in turn.

        :param settings: the settings of the connection: the route to the account.
        :param timeout: seconds until the whole response must have arrived, from the turn of this request.
        :param patience: seconds that the request waits for its turn at most.
        """
        paced = held = 0.0
        if self._paced:
            try:
                async with asyncio.timeout(patience if patience < math.inf else None):
                    paced, held = await self._slot()
            except TimeoutError:
                return Sent(NoResponse("its turn would come after the deadline", sent=False, final=True))
        try:
            session = await self._session(settings)
        except OSError as error:  # a certificate file that was removed since the connection was read
            return Sent(no_response(error, connected=False, timeout=timeout), paced, held)
        time = asyncio.get_running_loop().time
        started_at = time()
        outcome = await send(session, request, timeout)
        if self._paced and isinstance(outcome, Response):
            self.pace.update(outcome, time())
        return Sent(outcome, paced, held, time() - started_at)

    def hold(self, seconds: float) -> None:
        """Let no user send for some time: ThousandEyes refused a request and would refuse the others."""
        self.pace.hold(asyncio.get_running_loop().time() + seconds)

    async def default_account_group(self, read: Callable[[], Awaitable[str | None]]) -> str | None:
        """The default account group of this account's token, read once for all users.

        :param read: reads it; ``None`` when it cannot be read.
        """
        time = asyncio.get_running_loop().time
        async with self._reading_group:
            if time() - self._group_read_at > ACCOUNT_GROUP_TTL:
                self._default_group = await read()
                self._group_read_at = time()
            return self._default_group

    async def _session(self, settings: ConnectionSettings) -> AsyncSession:
        """The session for a route: connections of one account may use different proxies."""
        proxies = tuple(sorted(settings.proxies.items())) if settings.proxies else ()
        route = (proxies, settings.verify, settings.cert, settings.trust_env)
        if route not in self._sessions:
            async with self._opening:
                # Another request may have opened it; coverage does not see that across the end of the `with`.
                if route not in self._sessions:  # pragma: no branch
                    self._sessions[route] = await open_session(settings, CONNECTIONS)
        return self._sessions[route]

    def expected_wait_for_turn(self, pause: float) -> float:
        """Return the expected seconds until the turn of a task that joins the line now.

        :param pause: seconds until the window of a response that refused a run is over.
        """
        now = asyncio.get_running_loop().time()
        first = max(self.pace.next_run - now, pause, 0.0)
        return first + self._waiting_for_turn * self.pace.turn_gap()

    async def turn(self, *, limit: float | None, pause: float, patience: float) -> bool:
        """Wait for a turn to run a test: first come, first served, at the pace of the window.

        :param limit: runs a window, where a response had it.
        :param pause: seconds until the reset of a response that refused a run; no turn comes before.
        :param patience: seconds to wait at most.
        :return: whether the turn has come; ``False`` as soon as it cannot come in time.
        """
        time, pace = asyncio.get_running_loop().time, self.pace
        ends = time() + patience
        pace.learn_run_limit(limit)
        if pause > 0:
            pace.next_run = max(pace.next_run, time() + pause)
        if patience <= 0:
            return False
        self._waiting_for_turn += 1
        try:
            async with asyncio.timeout(patience), self._run_line:
                is_first = pace.next_run <= time()
                while (left := pace.next_run - time()) > 0:
                    if pace.next_run > ends:
                        return False
                    await asyncio.sleep(left)
                pace.take_turn(time(), is_first=is_first)
        except TimeoutError:
            return False
        finally:
            self._waiting_for_turn -= 1
        return True

    async def _slot(self) -> tuple[float, float]:
        """Wait for the next free slot: first come, first served. A cancelled request leaves the line.

        :return: the seconds waited to leave the reserved share free, and because of a 429; see :class:`Sent`.
        """
        time, pace, paced, held = asyncio.get_running_loop().time, self.pace, 0.0, 0.0
        async with self._line:
            while (pause := pace.next_slot() - time()) > 0:
                is_held = pace.is_held()
                await asyncio.sleep(pause)
                held += pause if is_held else 0.0
                paced += 0.0 if is_held else pause
            pace.take_slot(time())
        return paced, held
