"""The asynchronous hook: the reads that triggers need, under the rules of the synchronous one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import BaseHook
from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.endpoints import Endpoint
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.retry import Accept, Attempts, Wait
from thousandeyes_provider.hooks.base import LEAST_TIME, BaseThousandEyesHook, ResultPages, remaining
from thousandeyes_provider.hooks.cached_connection import CachedConnection
from thousandeyes_provider.hooks.masking import mask_secret
from thousandeyes_provider.hooks.request_builder import ApiRequest
from thousandeyes_provider.hooks.shared_account import SharedAccount

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.connection import ConnectionSettings


class ThousandEyesAsyncHook(BaseThousandEyesHook, BaseHook):
    """Read from ThousandEyes' API v7 without blocking an event loop.

    Retries, rate limits, paging, timeouts, proxies and certificates are those of
    :class:`~thousandeyes_provider.hooks.thousandeyes.ThousandEyesHook`. The connection is read with the first request.
    Close it when it is no longer used, or use it as an asynchronous context manager.

    :param thousandeyes_conn_id: connection of type ``thousandeyes``.
    :param account_group_id: account group (``aid``) for every request; the connection's, else the token's default,
        when it is not given.
    :param shared: whether to share connections and pace with all hooks of the same account on this event loop that
        do so, as triggers do. What Airflow says of the connection is shared, too, by hooks that begin together.
    """

    _sleep = staticmethod(asyncio.sleep)

    def __init__(
        self,
        thousandeyes_conn_id: str = "thousandeyes_default",
        account_group_id: str | int | None = None,
        *,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.thousandeyes_conn_id = thousandeyes_conn_id
        self._shared = shared
        self._account: SharedAccount | None = None
        self._reading: CachedConnection | None = None
        self._closed_at = -math.inf
        self._begin(account_group_id)

    async def __aenter__(self) -> ThousandEyesAsyncHook:
        """Nothing is opened before the first request."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        await self.close()

    @property
    def account(self) -> SharedAccount:
        """The account that this hook has a share in.

        :raises RuntimeError: before the connection has been read.
        """
        if self._account is None:
            raise RuntimeError("the connection has not been read yet")
        return self._account

    async def close(self) -> None:
        """Leave the account; the next request reads the connection anew."""
        account, self._account, self._settings = self._account, None, None
        self._closed_at = asyncio.get_running_loop().time()
        if account is not None:
            await account.release()

    async def load(self) -> ConnectionSettings:
        """Read the connection, if that has not been done yet.

        :raises ThousandEyesConfigurationError: when a field is not what it should be.
        """
        if self._settings is None:
            if self._reading is None:
                self._reading = (
                    CachedConnection.shared(self.thousandeyes_conn_id) if self._shared else CachedConnection()
                )
            settings = await self._reading.settings(self._read, self._closed_at)
            if self._settings is None:
                self._account = (
                    SharedAccount.shared(settings) if self._shared else SharedAccount(settings, paced=False)
                )
                self._settings = settings
        return self._settings

    async def _read(self) -> ConnectionSettings:
        connection = await get_async_connection(self.thousandeyes_conn_id)
        extra = await _extra_of(connection)
        # Files of certificates are read.
        settings = await asyncio.to_thread(self._settings_of, connection, extra)
        for secret in settings.secrets():
            await _mask(secret)
        return settings

    async def get_test_results(
        self,
        test_id: str | int,
        result_type: str,
        *,
        window: str | int | None = None,
        start_date: str | datetime | None = None,
        end_date: str | datetime | None = None,
        direction: str | None = None,
        expand: str | Iterable[str] | None = None,
        time_left: Callable[[], float] | None = None,
    ) -> dict[str, Any]:
        """All pages of ``GET /test-results/{testId}/{result_type}``; see the synchronous hook."""
        await self.load()
        pages = ResultPages(
            self._calls(),
            test_id,
            result_type,
            window=window,
            start_date=start_date,
            end_date=end_date,
            direction=direction,
            expand=expand,
        )
        while pages.call is not None:
            pages.take(await self._perform(pages.call, time_left=time_left), remaining(time_left))
        return pages.result()

    async def get_test(self, test_id: str | int, test_type: str) -> dict[str, Any]:
        """The definition of a test with its agents; see the synchronous hook."""
        await self.load()
        return dict((await self._perform(self._calls().test(test_id, test_type))).json())

    async def list_tests(self) -> list[dict[str, Any]]:
        """The configured tests; see the synchronous hook."""
        return await self._list(endpoints.TESTS)

    async def list_agents(self) -> list[dict[str, Any]]:
        """The agents and their states; see the synchronous hook."""
        return await self._list(endpoints.AGENTS)

    async def list_account_groups(self) -> list[dict[str, Any]]:
        """The account groups that the token can use; see the synchronous hook."""
        return await self._list(endpoints.ACCOUNT_GROUPS)

    # -- sending -------------------------------------------------------------------------------------------------

    async def _list(self, operation: Endpoint) -> list[dict[str, Any]]:
        await self.load()
        return list((await self._perform(self._calls().simple(operation))).json()[operation.member])

    async def _perform(self, call: ApiRequest, *, time_left: Callable[[], float] | None = None) -> Response:
        """Send ``call`` until its answer is the result."""
        state = self._attempts(call)
        while True:
            outcome = await self._send(call, remaining(time_left))
            decision, state = self._decide(call, state, outcome, remaining(time_left))
            if isinstance(decision, Wait):
                if decision.throttled:
                    self.account.hold(decision.seconds)
                await self._wait(call, state, decision)
                continue
            if isinstance(decision, Accept) and isinstance(outcome, Response):
                return outcome
            raise self._error(call, outcome, decision)

    async def _send(self, call: ApiRequest, time_left: float) -> Response | NoResponse:
        settings = await self.load()
        self.requests_sent += 1
        patience = max(time_left, LEAST_TIME)
        return await self.account.send(call, settings, self._timeout(time_left), patience)

    async def _wait(self, call: ApiRequest, attempts: Attempts, wait: Wait) -> None:
        self._tell(call, attempts, wait)
        await self._sleep(wait.seconds)
        if wait.throttled:
            self.throttled_seconds += wait.seconds


async def _extra_of(connection: Any) -> Any:
    """The parsed extra. Up to Airflow 3.3.1 parsing it masks with a call that blocks, so it is kept off the loop."""
    if hasattr(connection, "aextra_dejson"):
        return await connection.aextra_dejson()
    return await asyncio.to_thread(lambda: connection.extra_dejson)


async def _mask(secret: str) -> None:
    """Mask a secret in all logs, without blocking the loop on the supervisor."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        await asyncio.to_thread(mask_secret, secret)
    else:
        await amask_secret(secret)
