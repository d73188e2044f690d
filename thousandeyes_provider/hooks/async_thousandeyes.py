"""The asynchronous hook: the reads that triggers need, with the rules of the blocking one."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import BaseHook
from thousandeyes_provider.api.flows import MIN_REQUEST_TIME, Clock, Flow, Pause, Reconnect, Send
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.hooks import reads
from thousandeyes_provider.hooks.base_hook import SYSTEM_CLOCK, BaseThousandEyesHook, mask_secret
from thousandeyes_provider.hooks.connection import ConnectionSettings
from thousandeyes_provider.hooks.shared_account import SharedAccount

CONNECTION_TTL = 5.0
"""Seconds for which starting hooks share a connection that one of them has read."""

P = ParamSpec("P")
T = TypeVar("T")


def awaitable(
    flow: Callable[Concatenate[Any, P], Flow[T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A method of the asynchronous hook that runs a flow to its result."""

    @functools.wraps(flow)
    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self.drive(flow(self, *args, **kwargs))
        return result

    return method


class ThousandEyesAsyncHook(BaseThousandEyesHook, BaseHook):
    """Read from ThousandEyes' API v7 without blocking an event loop.

    Retries, rate limits, paging, timeouts, proxies and certificates are those of
    :class:`~thousandeyes_provider.hooks.thousandeyes.ThousandEyesHook`. The first request reads the connection. Close
    the hook after use, or use it as an asynchronous context manager.

    :param thousandeyes_conn_id: connection of type ``thousandeyes``.
    :param account_group_id: account group (``aid``) for every request; the connection's, else the token's default,
        when ``None``.
    :param shared: whether to share connections and pace with all hooks of the same account on this event loop that
        do so, as triggers do. Hooks that start together also share the read of the Airflow connection.
    :param clock: local time and randomness; tests replace them.
    :param sleep: waits for a number of seconds; tests replace it.
    """

    def __init__(
        self,
        thousandeyes_conn_id: str = "thousandeyes_default",
        account_group_id: str | int | None = None,
        *,
        shared: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        BaseHook.__init__(self)
        BaseThousandEyesHook.__init__(self, thousandeyes_conn_id, account_group_id, clock)
        self._shared = shared
        self.sleep = sleep
        self._account: SharedAccount | None = None
        self._cached: CachedConnection | None = None
        self._closed_at = -math.inf

    async def __aenter__(self) -> ThousandEyesAsyncHook:
        """Return the hook; nothing is opened before the first request."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        await self.close()

    @property
    def account(self) -> SharedAccount:
        """The account that this hook uses.

        :raises RuntimeError: before the connection has been read.
        """
        if self._account is None:
            raise RuntimeError("the connection has not been read yet")
        return self._account

    async def close(self) -> None:
        """Leave the account; the next request reads the connection again."""
        account, self._account, self._settings = self._account, None, None
        self._closed_at = asyncio.get_running_loop().time()
        if account is not None:
            await account.release()

    async def load(self) -> ConnectionSettings:
        """Read the connection, unless it has been read.

        :raises ThousandEyesConfigurationError: when a field is invalid.
        """
        if self._settings is None:
            if self._cached is None:
                shared = CachedConnection.shared
                self._cached = shared(self.thousandeyes_conn_id) if self._shared else CachedConnection()
            settings = await self._cached.settings(self._read, self._closed_at)
            if self._settings is None:
                self._account = (
                    SharedAccount.shared(settings, self.reserved_share)
                    if self._shared
                    else SharedAccount(self.reserved_share, paced=False)
                )
                self._settings = settings
        return self._settings

    async def _read(self) -> ConnectionSettings:
        connection = await get_async_connection(self.thousandeyes_conn_id)
        extra = await _extra_of(connection)
        # In a thread: files of certificates are read.
        settings = await asyncio.to_thread(self.read_settings, connection, extra)
        for secret in await asyncio.to_thread(lambda: settings.secrets):
            await _mask(secret)
        return settings

    get_test_results = awaitable(reads.get_test_results)
    get_test_details = awaitable(reads.get_test_details)
    get_console_logs = awaitable(reads.get_console_logs)
    get_test = awaitable(reads.get_test)
    list_tests = awaitable(reads.list_tests)
    list_tags = awaitable(reads.list_tags)
    list_agents = awaitable(reads.list_agents)
    list_account_groups = awaitable(reads.list_account_groups)
    list_alert_rules = awaitable(reads.list_alert_rules)
    list_alerts = awaitable(reads.list_alerts)
    list_events = awaitable(reads.list_events)

    async def get_default_account_group(self) -> str | None:
        """Read the account group of requests that name none, as the blocking hook does; once for a shared account."""
        await self.load()
        return await self.account.default_account_group(
            lambda: self.drive(reads.get_default_account_group(self))
        )

    # -- the driver ----------------------------------------------------------------------------------------------

    async def drive(self, flow: Flow[T]) -> T:
        """Run a flow to its result: carry out its steps."""
        await self.load()
        reply: Response | NoResponse | bool | None = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = None
            if isinstance(step, Send):
                reply = await self._send(step)
            elif isinstance(step, Pause):
                reply = await self._pause(step)
            elif isinstance(step, Reconnect):
                await self.close()
                await self.load()
            else:
                self._log_notice(step)

    async def _send(self, step: Send) -> Response | NoResponse:
        settings = await self.load()
        self.requests_sent += 1
        sent = await self.account.send(
            step.request, settings, self._timeout(step), max(step.time_left, MIN_REQUEST_TIME)
        )
        self.paced_seconds += sent.paced_seconds
        self.throttled_seconds += sent.held_seconds
        # The turn is over by now: only the time of the request itself bounds ThousandEyes' clock.
        return self._take(step, sent.outcome, self.clock.now() - sent.took_seconds)

    async def _pause(self, step: Pause) -> bool:
        if step.wait.throttled:
            self.account.hold(step.wait.seconds)
        self._log_pause(step)
        await self.sleep(step.wait.seconds)
        self.throttled_seconds += step.wait.seconds if step.wait.throttled else 0.0
        return True


# -- the Airflow connection --------------------------------------------------------------------------------------------

_cached: WeakKeyDictionary[Any, WeakValueDictionary[str, CachedConnection]] = WeakKeyDictionary()


class CachedConnection:
    """The settings of a connection as they were last read; dropped with the last hook that uses them.

    A triggerer asks its supervisor for each connection, one after the other, and the supervisor asks the database: a
    thousand triggers that start together would wait for a thousand equal responses.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._started_at = self._read_at = -math.inf
        self._settings: ConnectionSettings | None = None

    @classmethod
    def shared(cls, conn_id: str) -> CachedConnection:
        """The cached connection of an id on this event loop, shared by all hooks that use it."""
        of_loop = _cached.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
        return of_loop.setdefault(conn_id, cls())

    async def settings(
        self, read: Callable[[], Awaitable[ConnectionSettings]], not_before: float
    ) -> ConnectionSettings:
        """The settings as they were read a moment ago, else as they are read now.

        :param read: reads them. When it fails, the next caller reads again.
        :param not_before: loop time; an earlier read is not used, since ThousandEyes refused its token.
        """
        time = asyncio.get_running_loop().time
        async with self._lock:
            started_at = time()
            is_stale = self._started_at < not_before or self._read_at < started_at - CONNECTION_TTL
            if self._settings is None or is_stale:
                self._settings = await read()
                self._started_at, self._read_at = started_at, time()
            return self._settings


async def _extra_of(connection: Any) -> Any:
    """The parsed extra. Up to Airflow 3.3.1 parsing masks with a blocking call, so it runs in a thread there."""
    if hasattr(connection, "aextra_dejson"):
        return await connection.aextra_dejson()
    return await asyncio.to_thread(lambda: connection.extra_dejson)


async def _mask(secret: str) -> None:
    """Mask a secret in all logs without blocking the loop on the supervisor."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        await asyncio.to_thread(mask_secret, secret)
    else:
        await amask_secret(secret)
