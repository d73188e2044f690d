"""Sending one request with ``requests``, and saying what came of it. Nothing is decided here."""

from __future__ import annotations

import functools
import http.client
import io
import time
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.auth import AuthBase
from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter  # type: ignore[import-untyped]

from thousandeyes_provider.api.body import Body, UnusableBody
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.urls import follow
from thousandeyes_provider.hooks.base import HEADERS
from thousandeyes_provider.hooks.connection import ConnectionSettings, authorities_of, proxies_of
from thousandeyes_provider.hooks.request_builder import ApiRequest

if TYPE_CHECKING:
    from requests import PreparedRequest

MOST_REDIRECTS = 5


class BearerAuth(AuthBase):
    """Sets the token on each request, so that it stands neither among the session's headers nor in a repr.

    As an ``auth`` it also keeps ``requests`` from putting a password of ``~/.netrc`` in its place.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Session(requests.Session):
    """A session that leaves redirects alone: ``requests`` reads the whole body of one, even when it does not follow."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Nowhere; :func:`send` follows redirects."""
        return None


def open_session(settings: ConnectionSettings) -> Session:
    """A session for a connection: with its token, its proxies and certificates, and without cookies.

    What the environment has to say is decided for both hooks in :mod:`.connection`, so that no password of ``~/.netrc``
    takes the place of the token.

    :param settings: what the connection says.
    """
    session = Session()
    session.auth = BearerAuth(settings.token)
    session.trust_env = False
    session.verify, session.cert = authorities_of(settings), settings.cert
    session.proxies = dict(proxies_of(settings))
    session.headers.update(HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.mount("https://", DeadlineAdapter())
    session.mount("http://", DeadlineAdapter())
    return session


def send(session: requests.Session, call: ApiRequest, timeout: float) -> Response | NoResponse:
    """Send once and read the whole answer, following redirects within the origin.

    :param session: from :func:`open_session`.
    :param call: what to send.
    :param timeout: seconds until the answer must be there as a whole, however slowly it comes. What is not counted is
        the resolver, and the further addresses of a host whose first ones do not answer.
    """
    url = call.url
    ends = time.monotonic() + timeout
    for _ in range(MOST_REDIRECTS + 1):
        try:
            with session.request(
                call.operation.method,
                url,
                json=call.body,
                timeout=urllib3.Timeout(total=max(ends - time.monotonic(), 0.001)),  # type: ignore[arg-type]
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read_body(response)
        except UnusableBody as error:
            return NoResponse(f"{response.status_code}, {error}", sent=True, final=error.final)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return _no_answer(error, timeout)
        headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Response(response.status_code, headers, body, url)
        if not redirects(answer, call.operation.method):
            return answer
        try:
            url = follow(url, headers["location"])
        except ValueError as error:
            return NoResponse(f"{answer.status}, {error}", sent=True, final=True)
    return NoResponse(f"more than {MOST_REDIRECTS} redirects", sent=True, final=True)


def _read_body(response: requests.Response) -> bytes:
    """The whole body, decoded."""
    body = Body(response.headers.get("content-encoding"))
    # Without read1 (urllib3 1.26) pieces are whole, which changes nothing but their number.
    read = getattr(response.raw, "read1", response.raw.read)
    while piece := read(65536, decode_content=False):
        body.feed(piece)
    return body.whole()


class DeadlineAdapter(TCPKeepAliveAdapter):  # type: ignore[misc]
    """Takes the read timeout as the time for the whole answer, not for each of its bytes.

    Otherwise a server that sends a header, or interim answers, byte by byte keeps a worker for as long as it likes.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        _hold_deadlines(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The pools of connections through a proxy."""
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not known:
            _hold_deadlines(manager)
        return manager


def _hold_deadlines(manager: Any) -> None:
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _with_deadline(pool) for scheme, pool in classes.items()}


@functools.cache
def _with_deadline(pool: Any) -> Any:
    """A class of connection pools whose answers have a deadline."""
    connection = type("Connection", (pool.ConnectionCls,), {"response_class": _Response})
    return type("Pool", (pool,), {"ConnectionCls": connection})


class _Response(http.client.HTTPResponse):
    """An answer that has to be there, as a whole, within the timeout that its socket had at its begin."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_Until(sock, self.fp.detach()))

    def begin(self) -> None:
        """Read the status and the headers; those of interim answers (103) are skipped, as of 100 they are."""
        super().begin()
        while http.client.SWITCHING_PROTOCOLS < self.status < http.client.OK:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _Until(io.RawIOBase):
    """What comes in at a socket, until its time is up.

    :param sock: the socket; its timeout is the time that there is.
    :param raw: what to read from.
    """

    def __init__(self, sock: Any, raw: Any) -> None:
        super().__init__()
        self._sock, self._raw = sock, raw
        timeout = sock.gettimeout()
        self._ends = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what there is.

        :raises TimeoutError: when nothing comes before the time is up.
        """
        if self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time for the answer is up")
            self._sock.settimeout(left)
        found: int | None = self._raw.readinto(buffer)
        return found

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


def _no_answer(error: Exception, timeout: float) -> NoResponse:
    """What an exception of the HTTP library says about a request."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidProxyURL):
        return NoResponse(f"not an address: {error}", sent=False, final=True)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        text = _root(error)
        if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text:
            return NoResponse(f"the server's certificate is not trusted: {text}", sent=False, final=True)
        return NoResponse(f"TLS failed: {text}", sent=True)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NoResponse(f"could not connect: timeout after {timeout:g} s", sent=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return NoResponse(f"could not connect: proxy: {_root(error)}", sent=False)
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.ReadTimeoutError):
        return NoResponse(f"timeout: no complete answer in {timeout:g} s", sent=True)
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return NoResponse(f"could not connect: {_root(error)}", sent=False)
    return NoResponse(f"connection cut: {_root(error)}", sent=True)


def _root(error: BaseException) -> str:
    """The innermost cause of a library's error, which says most in the fewest words."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
        error = next((found for found in inner if isinstance(found, BaseException)), error)
    return str(error)[:300] or type(error).__name__


def redirects(answer: Response, method: str) -> bool:
    """Whether an answer asks for the same request at another address."""
    same = (301, 302, 303, 307, 308) if method == "GET" else (307, 308)
    return answer.status in same and bool(answer.headers.get("location"))
