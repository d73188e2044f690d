"""Sending one request with ``aiohttp``, and saying what came of it, as :mod:`.transport` does with ``requests``.

``aiohttp``'s own ``trust_env`` is not used: it would put a password of ``~/.netrc`` in place of the token. Proxies and
trusted authorities are found the way ``requests`` finds them, so that both hooks go the same way.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from thousandeyes_provider.api.body import Body, UnusableBody
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.urls import follow
from thousandeyes_provider.hooks.base import HEADERS
from thousandeyes_provider.hooks.connection import authorities_of, proxies_of
from thousandeyes_provider.hooks.transport import MOST_REDIRECTS, redirects

if TYPE_CHECKING:
    from thousandeyes_provider.hooks.connection import ConnectionSettings
    from thousandeyes_provider.hooks.request_builder import ApiRequest


@dataclass(frozen=True)
class Session:
    """An ``aiohttp`` session, with what each request has to be told.

    :param client: the session.
    :param proxy: the proxy for the API, if there is one.
    :param ssl: how to check the server's certificate; ``False``: not at all.
    """

    client: aiohttp.ClientSession
    proxy: str | None
    ssl: ssl.SSLContext | bool

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()


async def open_session(settings: ConnectionSettings, connections: int) -> Session:
    """A session for a connection.

    :param settings: what the connection says.
    :param connections: at most that many connections at a time.
    """
    # Reading the trusted authorities takes tens of milliseconds, too long for an event loop that others use.
    context = await asyncio.to_thread(_context, settings) if settings.base_url.startswith("https") else True
    client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        headers={**HEADERS, "Authorization": f"Bearer {settings.token}"},
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),  # each request has one of its own
    )
    return Session(client, _proxy(settings), context)


async def send(session: Session, call: ApiRequest, timeout: float) -> Response | NoResponse:
    """Send once and read the whole answer, following redirects within the origin.

    :param timeout: seconds until the answer must be there as a whole.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _send(session, call)
    except TimeoutError:
        return NoResponse(f"timeout: no complete answer in {timeout:g} s", sent=True)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return _no_answer(error)


async def _send(session: Session, call: ApiRequest) -> Response | NoResponse:
    url, method = call.url, call.operation.method
    for _ in range(MOST_REDIRECTS + 1):
        async with session.client.request(
            method, _as_is(url), json=call.body, proxy=session.proxy, ssl=session.ssl, allow_redirects=False
        ) as response:
            body = Body(response.headers.get("content-encoding"))
            try:
                async for piece in response.content.iter_any():
                    body.feed(piece)
                whole = body.whole()
            except UnusableBody as error:
                return NoResponse(f"{response.status}, {error}", sent=True, final=error.final)
            headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Response(response.status, headers, whole, url)
        if not redirects(answer, method):
            return answer
        try:
            url = follow(url, headers["location"])
        except ValueError as error:
            return NoResponse(f"{answer.status}, {error}", sent=True, final=True)
    return NoResponse(f"more than {MOST_REDIRECTS} redirects", sent=True, final=True)


def _as_is(url: str) -> Any:
    """``url`` without any further quoting: its parts are quoted already."""
    import yarl

    return yarl.URL(url, encoded=True)


def _context(settings: ConnectionSettings) -> ssl.SSLContext | bool:
    found = authorities_of(settings)
    authorities = DEFAULT_CA_BUNDLE_PATH if found is True else found or None
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


def _no_answer(error: Exception) -> NoResponse:
    """What an exception of the HTTP library says about a request."""
    text = str(error)[:300] or type(error).__name__
    if isinstance(error, aiohttp.InvalidURL):
        return NoResponse(f"not an address: {text}", sent=False, final=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return NoResponse(f"the server's certificate is not trusted: {text}", sent=False, final=True)
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return NoResponse(f"could not connect: proxy: {text}", sent=False)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return NoResponse(f"TLS failed: {text}", sent=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return NoResponse(f"could not connect: {text}", sent=False)
    return NoResponse(f"connection cut: {text}", sent=True)
