"""Sending one request with ``aiohttp``, and describing its outcome, as :mod:`.transport` does with ``requests``.

``aiohttp``'s own ``trust_env`` is not used: it would take a password of ``~/.netrc`` in place of the token. Proxies and
trusted authorities are those that ``requests`` would use, so both hooks take the same route.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from thousandeyes_provider.api.body import Body, UnusableBody
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.hooks.base_hook import HEADERS
from thousandeyes_provider.hooks.connection import authorities_of, proxies_of
from thousandeyes_provider.hooks.transport import Progress, is_lost, no_response

if TYPE_CHECKING:
    from thousandeyes_provider.api.endpoints import ApiRequest
    from thousandeyes_provider.hooks.connection import ConnectionSettings

LARGE_BODY = 64 * 1024
"""Bytes from which on a body is handled in a thread."""


@dataclass(frozen=True)
class AsyncSession:
    """An ``aiohttp`` session with the options of each request.

    :param ssl: how to check the server's certificate; ``False``: not at all.
    :param token: the bearer token. It is no header of the session: ``aiohttp`` also sends those to the proxy, and
        ``Authorization`` as ``Proxy-Authorization``.
    """

    client: aiohttp.ClientSession
    proxy: str | None = field(repr=False)
    ssl: ssl.SSLContext | bool
    token: str = field(repr=False)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()


async def open_session(settings: ConnectionSettings, connections: int) -> AsyncSession:
    """A session for a connection.

    :param connections: at most this many connections at a time.
    """
    # Reading the trusted authorities takes tens of milliseconds, too long for an event loop that others use.
    context = await asyncio.to_thread(_context, settings) if settings.base_url.startswith("https") else True
    client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        headers=HEADERS,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),  # each request has its own
        trace_configs=[_recording()],
    )
    return AsyncSession(client, _proxy(settings), context, settings.token)


async def send(session: AsyncSession, request: ApiRequest, timeout: float) -> Response | NoResponse:
    """Send once, read the whole response, and parse a large one in a thread.

    :param timeout: seconds until the whole response must have arrived.
    """
    progress = Progress()
    try:
        async with asyncio.timeout(timeout):
            return await _send(session, request, progress)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return no_response(error, connected=progress.connected, timeout=timeout)


async def _send(session: AsyncSession, request: ApiRequest, progress: Progress) -> Response | NoResponse:
    import yarl

    async with session.client.request(
        request.endpoint.method,
        yarl.URL(request.url, encoded=True),  # its parts are quoted already
        headers={"Authorization": f"Bearer {session.token}"},
        json=request.body,
        proxy=session.proxy,
        ssl=session.ssl,
        allow_redirects=False,
        trace_request_ctx=progress,
    ) as response:
        body = Body(response.headers.get("content-encoding"))
        try:
            async for piece in response.content.iter_any():
                body.feed(piece)
            # In a thread for a large body: parsing one blocks for tenths of a second.
            whole = body.whole() if body.size < LARGE_BODY else await asyncio.to_thread(body.whole)
        except (UnusableBody, aiohttp.ClientPayloadError) as error:
            if not is_lost(error, request.endpoint, response.status):
                whole = body.partial
            elif isinstance(error, UnusableBody):
                return NoResponse(f"{response.status}, {error}", sent=True, final=error.final)
            else:
                raise
        headers = {name.lower(): value for name, value in response.headers.items()}
    result = Response(response.status, headers, whole, request.url)
    return result if len(whole) < LARGE_BODY else await asyncio.to_thread(result.prepare)


def _recording() -> aiohttp.TraceConfig:
    """Records in a request's :class:`Progress` that its connection is established, or is one from before."""

    async def record(_: Any, context: Any, __: Any) -> None:
        context.trace_request_ctx.connected = True

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(record)
    config.on_connection_reuseconn.append(record)
    return config


def _context(settings: ConnectionSettings) -> ssl.SSLContext | bool:
    bundle = authorities_of(settings)
    authorities = DEFAULT_CA_BUNDLE_PATH if bundle is True else bundle or None
    folder = authorities if authorities and os.path.isdir(authorities) else None
    context = ssl.create_default_context(cafile=None if folder else authorities, capath=folder)
    if settings.verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if settings.cert:
        files = (settings.cert,) if isinstance(settings.cert, str) else settings.cert
        context.load_cert_chain(*files)
    return context


def _proxy(settings: ConnectionSettings) -> str | None:
    proxy: str | None = select_proxy(settings.base_url, proxies_of(settings))
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"
