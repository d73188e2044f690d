"""The transports map exceptions of the two HTTP libraries to outcomes, and apply the deadline."""

from __future__ import annotations

import asyncio
import http.client
import io
import re
import socket
import ssl
import time
from types import SimpleNamespace

import aiohttp
import pytest
import requests
import urllib3
from aiohttp.client_reqrep import ConnectionKey

from thousandeyes_provider.api.response import NoResponse
from thousandeyes_provider.hooks import async_transport, transport
from thousandeyes_provider.hooks.connection import ConnectionSettings

PLACE = ConnectionKey("te.example", 443, True, True, None, None, None)
REFUSED = OSError(111, "Connection refused")
UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")


def chained(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (requests.exceptions.ConnectTimeout("slow"), "could not connect: timeout after 3 s", None),
        (
            requests.exceptions.ReadTimeout("slow"),
            "could not connect: timeout after 3 s",
            "timeout: no complete response in 3 s",
        ),
        (chained(TimeoutError(), asyncio.CancelledError()), "could not connect: timeout after 3 s", None),
        (
            requests.exceptions.ProxyError(urllib3.exceptions.ProxyError("Unable to connect", REFUSED)),
            "could not connect: [Errno 111] Connection refused",
            "connection lost: [Errno 111] Connection refused",
        ),
        (
            aiohttp.ClientConnectorError(PLACE, REFUSED),
            "could not connect: [Errno 111] Connection refused",
            None,
        ),
        (
            aiohttp.ServerDisconnectedError("t0ken"),
            "could not connect: ServerDisconnectedError",
            "connection lost: ServerDisconnectedError",
        ),
        (
            requests.exceptions.ConnectionError(http.client.BadStatusLine("t0ken")),
            "could not connect: BadStatusLine",
            "connection lost: BadStatusLine",
        ),
    ],
)
def test_a_request_is_lost_only_after_a_connection_was_established(error, before, after):
    assert transport.no_response(error, connected=False, timeout=3.0) == NoResponse(before, sent=False)
    if after is not None:
        assert transport.no_response(error, connected=True, timeout=3.0) == NoResponse(after, sent=True)


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError(UNTRUSTED),
        urllib3.exceptions.SSLError(UNTRUSTED),
        aiohttp.ClientConnectorCertificateError(PLACE, UNTRUSTED),
    ],
)
def test_an_untrusted_certificate_is_final(error):
    outcome = transport.no_response(error, connected=False, timeout=3.0)
    assert (outcome.sent, outcome.final) == (False, True)
    assert outcome.reason.startswith("certificate of the server is not trusted: ")


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.InvalidURL("http://user:t0ken@te"),
        requests.exceptions.InvalidProxyURL("http://user:t0ken@te"),
        urllib3.exceptions.LocationParseError("http://user:t0ken@te"),
        aiohttp.InvalidURL("http://user:t0ken@te"),
        ValueError("http://user:t0ken@te"),
    ],
)
def test_an_invalid_address_is_final_and_not_repeated(error):
    outcome = transport.no_response(error, connected=False, timeout=3.0)
    assert (outcome.sent, outcome.final) == (False, True)
    assert "is not a valid address" in outcome.reason
    assert "t0ken" not in outcome.reason


def test_a_custom_request_may_have_no_timeout(simulator, hook):
    session = hook.get_conn(headers={"X-Ours": "1"})
    assert session.headers["X-Ours"] == "1"
    answer = session.get(f"{hook.settings.base_url}/tests", timeout=None)
    assert len(answer.json()["tests"]) == 12


def test_the_repr_of_a_session_has_neither_token_nor_proxy_password():
    settings = ConnectionSettings(
        "http://te.example/v7", "t0ken", proxies={"http": "http://user:pa55word@proxy.example"}
    )

    async def shown():
        session = await async_transport.open_session(settings, 1)
        await session.close()
        return repr(session)

    assert not {"t0ken", "pa55word"} & set(re.findall(r"\w+", asyncio.run(shown())))


def test_reading_stops_at_the_deadline():
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"late")
        here.settimeout(0.001)
        reading = transport._DeadlineReader(here, socket.SocketIO(here, "r"))
        time.sleep(0.01)
        with pytest.raises(TimeoutError, match="deadline of the response exceeded"):
            reading.readinto(bytearray(4))


def test_a_response_before_the_deadline_is_read():
    raw = io.BytesIO(b"abc")
    sock = SimpleNamespace(gettimeout=lambda: 5.0, settimeout=lambda left: None)
    assert io.BufferedReader(transport._DeadlineReader(sock, raw)).read() == b"abc"
