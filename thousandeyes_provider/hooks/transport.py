"""Sending one request with ``requests``, and saying what came of it. Nothing is decided here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import requests
import urllib3
from requests.auth import AuthBase

from thousandeyes_provider.api.addresses import follow
from thousandeyes_provider.api.http import Answer, NoAnswer
from thousandeyes_provider.hooks.calls import Call

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one answer, decoded; a larger one is not read to its end."""

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


def send(session: Session, call: Call, timeout: float) -> Answer | NoAnswer:
    """Send once and read the whole answer, following redirects within the origin.

    :param session: with the token and the connection's options.
    :param call: what to send.
    :param timeout: seconds until the answer must be there as a whole. A body that comes byte by byte is cut off within
        twice this time.
    """
    url = call.url
    ends = time.monotonic() + timeout
    for _ in range(MOST_REDIRECTS + 1):
        try:
            with session.request(
                call.operation.method,
                url,
                json=call.body,
                timeout=max(ends - time.monotonic(), 0.001),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read_body(response, ends)
        except _Unreadable as error:
            return NoAnswer(str(error), sent=True, final=error.final)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return _no_answer(error, timeout)
        headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Answer(response.status_code, headers, body, url)
        if not redirects(answer, call.operation.method):
            return answer
        try:
            url = follow(url, headers["location"])
        except ValueError as error:
            return NoAnswer(f"{answer.status}, {error}", sent=True, final=True)
    return NoAnswer(f"more than {MOST_REDIRECTS} redirects", sent=True, final=True)


class _Unreadable(Exception):
    """The body of an answer cannot be had whole.

    :param final: whether it would be the same again.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def _read_body(response: Response, ends: float) -> bytes:
    """The whole body, decoded.

    :param ends: when the time for the request is over, by the monotonic clock. Between two pieces of the body only
        the socket's own timeout counts, so that the call is over at most one ``timeout`` after that.
    """
    body = bytearray()
    raw = response.raw
    # Without read1 (urllib3 1.26) each piece of a body that trickles in has the whole time.
    read = getattr(raw, "read1", raw.read)
    while piece := read(65536, decode_content=True):
        body += piece
        if len(body) > LARGEST_BODY:
            raise _Unreadable(
                f"{response.status_code}, with a body of more than {LARGEST_BODY} bytes", final=True
            )
        if time.monotonic() > ends:
            raise _Unreadable(f"timeout: {response.status_code}, but the body was not complete in time")
    return bytes(body)


def _no_answer(error: Exception, timeout: float) -> NoAnswer:
    """What an exception of the HTTP library says about a request."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidProxyURL):
        return NoAnswer(f"not an address: {error}", sent=False, final=True)
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        text = _root(error)
        if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text:
            return NoAnswer(f"the server's certificate is not trusted: {text}", sent=False, final=True)
        return NoAnswer(f"TLS failed: {text}", sent=True)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NoAnswer(f"could not connect: timeout after {timeout:g} s", sent=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return NoAnswer(f"could not connect: proxy: {_root(error)}", sent=False)
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.ReadTimeoutError):
        return NoAnswer(f"timeout: no complete answer in {timeout:g} s", sent=True)
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return NoAnswer(f"could not connect: {_root(error)}", sent=False)
    return NoAnswer(f"connection cut: {_root(error)}", sent=True)


def _root(error: BaseException) -> str:
    """The innermost cause of a library's error, which says most in the fewest words."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
        error = next((found for found in inner if isinstance(found, BaseException)), error)
    return str(error)[:300] or type(error).__name__


def redirects(answer: Answer, method: str) -> bool:
    """Whether an answer asks for the same request at another address."""
    same = (301, 302, 303, 307, 308) if method == "GET" else (307, 308)
    return answer.status in same and bool(answer.headers.get("location"))
