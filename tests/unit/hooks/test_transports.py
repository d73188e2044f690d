"""What the two HTTP libraries raise, as outcomes for the retry rules; and answers without a deadline."""

from __future__ import annotations

import io
import socket
import ssl
from types import SimpleNamespace

import aiohttp
import pytest
import requests
import urllib3
from aiohttp.client_reqrep import ConnectionKey

from thousandeyes_provider.api.response import NoResponse
from thousandeyes_provider.hooks import async_transport, transport

PLACE = ConnectionKey("te.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (
            requests.exceptions.InvalidURL("no host"),
            NoResponse("not an address: no host", sent=False, final=True),
        ),
        (
            requests.exceptions.ConnectTimeout("slow"),
            NoResponse("could not connect: timeout after 3 s", sent=False),
        ),
        (
            requests.exceptions.ReadTimeout("slow"),
            NoResponse("timeout: no complete answer in 3 s", sent=True),
        ),
        (
            requests.exceptions.SSLError(ssl.SSLError(1, "wrong version number")),
            NoResponse("TLS failed: [SSL] wrong version number (_ssl.c:0)", sent=True),
        ),
        (
            urllib3.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"),
            NoResponse(
                "the server's certificate is not trusted: CERTIFICATE_VERIFY_FAILED", sent=False, final=True
            ),
        ),
    ],
)
def test_requests(error, outcome):
    found = transport._no_answer(error, 3.0)
    assert (found.sent, found.final) == (outcome.sent, outcome.final)
    assert found.reason.split(":")[0] == outcome.reason.split(":")[0]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (aiohttp.InvalidURL("te:x"), NoResponse("not an address: te:x", sent=False, final=True)),
        (
            aiohttp.ClientConnectorSSLError(PLACE, ssl.SSLError(1, "wrong version number")),
            NoResponse("TLS failed: Cannot connect", sent=True),
        ),
        (
            aiohttp.ClientConnectorError(PLACE, OSError(111, "refused")),
            NoResponse("could not connect: Cannot connect", sent=False),
        ),
        (aiohttp.ServerDisconnectedError(), NoResponse("connection cut: Server disconnected", sent=True)),
    ],
)
def test_aiohttp(error, outcome):
    found = async_transport._no_answer(error)
    assert (found.sent, found.final) == (outcome.sent, outcome.final)
    assert found.reason.startswith(outcome.reason)


def test_a_request_of_the_users_own_may_be_without_a_timeout(simulator, hook):
    session = hook.get_conn(headers={"X-Ours": "1"})
    assert session.headers["X-Ours"] == "1"
    answer = session.get(f"{hook.settings.base_url}/tests", timeout=None)
    assert len(answer.json()["tests"]) == 12


def test_nothing_more_is_read_when_the_time_is_up():
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"late")
        here.settimeout(0.001)
        reading = transport._Until(here, socket.SocketIO(here, "r"))
        reading._ends = 0.0
        with pytest.raises(TimeoutError, match="the time for the answer is up"):
            reading.readinto(bytearray(4))


def test_what_comes_in_time_is_read():
    raw = io.BytesIO(b"abc")
    sock = SimpleNamespace(gettimeout=lambda: 5.0, settimeout=lambda left: None)
    assert io.BufferedReader(transport._Until(sock, raw)).read() == b"abc"
