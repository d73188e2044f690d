"""Sending one request with ``requests``, and describing its outcome. Nothing is decided here."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from thousandeyes_provider.api.body import Body, UnusableBody
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.hooks.base_hook import HEADERS
from thousandeyes_provider.hooks.connection import ConnectionSettings, authorities_of, proxies_of

if TYPE_CHECKING:
    from requests import PreparedRequest

    from thousandeyes_provider.api.endpoints import ApiRequest, Endpoint


_SYSTEM_ERRORS = ("builtins", "http.client", "socket", "ssl")
"""Modules of the errors whose texts come from the system, not from a server or an address."""

_TIMEOUTS = (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)


@dataclass
class Progress:
    """The progress of a request.

    :param connected: whether a connection was established: the tunnel of a proxy and TLS included. The request may
        have been carried out from then on.
    """

    connected: bool = False


def _bearer(token: str) -> Callable[[PreparedRequest], PreparedRequest]:
    """Return what sets the token on each request, so it is neither among the session's headers nor in a repr.

    As an ``auth`` it also keeps ``requests`` from using a password of ``~/.netrc`` instead.
    """

    def authorize(request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authorize


class BlockingSession(requests.Session):
    """A session that ignores redirects: ``requests`` reads the whole body of one, even when it does not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return nothing; :mod:`thousandeyes_provider.api.flows` follows redirects."""
        return None


def open_session(settings: ConnectionSettings) -> BlockingSession:
    """A session for a connection: with its token, its proxies and certificates, and without cookies.

    :mod:`.connection` reads the environment for both hooks, so ``trust_env`` is off here.
    """
    session = BlockingSession()
    session.auth = _bearer(settings.token)
    session.trust_env = False
    session.verify, session.cert = authorities_of(settings), settings.cert
    session.proxies = dict(proxies_of(settings))
    session.headers.update(HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.mount("https://", DeadlineAdapter())
    session.mount("http://", DeadlineAdapter())
    return session


def send(session: requests.Session, request: ApiRequest, timeout: float) -> Response | NoResponse:
    """Send once and read the whole response.

    :param session: from :func:`open_session`.
    :param timeout: seconds until the whole response must have arrived. The resolver is not counted, nor are further
        addresses of a host whose first addresses do not respond.
    """
    progress = Progress()
    token = _progress.set(progress)
    try:
        with session.request(
            request.endpoint.method,
            request.url,
            json=request.body,
            timeout=urllib3.Timeout(total=timeout),  # type: ignore[arg-type]
            allow_redirects=False,
            stream=True,
        ) as response:
            body = _read_body(response, request.endpoint)
    except UnusableBody as error:
        return NoResponse(f"{response.status_code}, {error}", sent=True, final=error.final)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return no_response(error, connected=progress.connected, timeout=timeout)
    finally:
        _progress.reset(token)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, body, request.url)


def no_response(error: Exception, *, connected: bool, timeout: float) -> NoResponse:
    """The outcome of a request that ended in an exception of the HTTP library.

    Texts of servers are left out: they may hold secrets, and libraries cut them anywhere.

    :param connected: whether a connection was established. The classes of the exceptions do not show it: urllib3
        reports everything that happens behind a proxy as an error of the proxy.
    """
    cause = _innermost(error)
    is_system_error = isinstance(cause, OSError) and type(cause).__module__ in _SYSTEM_ERRORS
    text = str(cause) if is_system_error else type(cause).__name__
    if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in text:
        return NoResponse(f"certificate of the server is not trusted: {text}", sent=connected, final=True)
    is_timeout = isinstance(error, _TIMEOUTS) or isinstance(cause, _TIMEOUTS)
    limit = f"{round(timeout, 2):g} s"
    if connected:
        reason = f"timeout: no complete response in {limit}" if is_timeout else f"connection lost: {text}"
        return NoResponse(reason, sent=True)
    if isinstance(error, ValueError) and not is_system_error:
        return NoResponse(
            f"the host of the connection, or its proxy, is not a valid address ({text})",
            sent=False,
            final=True,
        )
    return NoResponse(f"could not connect: {f'timeout after {limit}' if is_timeout else text}", sent=False)


def _innermost(error: BaseException) -> BaseException:
    """The first cause of a library's error."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
        error = next((cause for cause in inner if isinstance(cause, BaseException)), error)
    return error


def _read_body(response: requests.Response, endpoint: Endpoint) -> bytes:
    """The whole body, decoded; its start, when the rest is lost and the status is enough."""
    body = Body(response.headers.get("content-encoding"))
    # Without read1 (urllib3 1.26) pieces are full, which changes only their number.
    read = getattr(response.raw, "read1", response.raw.read)
    try:
        while piece := read(65536, decode_content=False):
            body.feed(piece)
        return body.whole()
    except (UnusableBody, urllib3.exceptions.ProtocolError) as error:
        if is_lost(error, endpoint, response.status_code):
            raise
        return body.partial


def is_lost(error: Exception, endpoint: Endpoint, status: int) -> bool:
    """Whether a response is lost because its body could not be read, although its status is known."""
    return endpoint.needs_body(status) or (isinstance(error, UnusableBody) and error.final)


# -- connections -------------------------------------------------------------------------------------------------------

_progress: ContextVar[Progress] = ContextVar("thousandeyes_request_progress")


def _keep_alive_options() -> list[tuple[int, int, int]]:
    """Socket options that detect a dead connection: 5 probes every 20 s, the first after 60 s of silence."""
    probes = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 5))
    return [
        *urllib3.connection.HTTPConnection.default_socket_options,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        # Not every system has each of them.
        *(
            (socket.IPPROTO_TCP, getattr(socket, name), value)
            for name, value in probes
            if hasattr(socket, name)
        ),
    ]


class DeadlineAdapter(HTTPAdapter):
    """Applies the read timeout to the whole response, and records when a connection is established.

    Without a deadline, a server that sends a header byte by byte could hold a worker for any time.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, socket_options=_keep_alive_options(), **kwargs)
        _use_our_connections(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools of connections through a proxy."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if is_new:
            _use_our_connections(manager)
        return manager


def _use_our_connections(manager: Any) -> None:
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _with_our_connections(pool) for scheme, pool in classes.items()}


@functools.cache
def _with_our_connections(pool: Any) -> Any:
    """A class of connection pools whose connections record their progress and whose responses have a deadline."""
    connection = type("Connection", (_Recorded, pool.ConnectionCls), {"response_class": _Response})
    return type("Pool", (pool,), {"ConnectionCls": connection})


class _Recorded:
    """Records that a connection is established, before a request is written to it."""

    sock: Any

    def connect(self) -> None:
        """Connect, through a proxy's tunnel and with TLS where the address requires them."""
        super().connect()  # type: ignore[misc]
        self._record()

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, on a connection that may have been open before."""
        if self.sock is not None:
            self._record()
        super().request(*args, **kwargs)  # type: ignore[misc]

    def _record(self) -> None:
        progress = _progress.get(None)
        if progress is not None:
            progress.connected = True


class _Response(http.client.HTTPResponse):
    """A response that must arrive as a whole within the timeout that its socket has at the start."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_DeadlineReader(sock, self.fp.detach()))

    def begin(self) -> None:
        """Read the status and the headers; skip those of interim responses (103), as http.client skips those of 100."""
        super().begin()
        while http.client.SWITCHING_PROTOCOLS < self.status < http.client.OK:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        # urllib3 would log malformed header lines, which may contain secrets.
        self.headers.defects = []
        self.headers.set_payload("")


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline.

    :param sock: the socket; its timeout is the time until the deadline.
    """

    def __init__(self, sock: Any, raw: Any) -> None:
        super().__init__()
        self._sock, self._raw = sock, raw
        timeout = sock.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has arrived.

        :raises TimeoutError: when nothing arrives before the deadline.
        """
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("deadline of the response exceeded")
            self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        """Release the socket."""
        self._raw.close()
        super().close()
