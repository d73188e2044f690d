"""Connections through a proxy that are cut at every byte: no call is carried out twice.

The proxy relays the server's data and closes both connections after a number of bytes: within its own response to
CONNECT, within the TLS handshake, or within the response to the call.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import threading
import time

import pytest

from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.flows import Clock
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.exceptions import ThousandEyesConnectionError
from thousandeyes_provider.hooks import async_transport
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook, ThousandEyesHook

STEP = 1 if os.environ.get("THOUSANDEYES_EVERY_BYTE") else 101
"""Bytes between two cuts before the response. The response itself is cut at every byte."""

QUICK = Clock(time.time, lambda: 0.0)
DEFINITION = {"testName": "only", "url": "https://example.com", "agents": [{"agentId": "1"}]}
SNAPSHOT = ("7", "s", "2026-01-01T00:00:00", "2026-01-01T01:00:00")


class Listener:
    """Handles each connection with :meth:`serve` in its own thread."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._guard, args=(connection,), daemon=True).start()

    def _guard(self, connection):
        try:
            with connection:
                connection.settimeout(10)
                self.serve(connection)
        except OSError:
            pass  # the connection was cut

    def stop(self):
        self._socket.close()


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length:" in line]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65536)
    return head, body


class Server(Listener):
    """A ThousandEyes server that counts the calls that it carries out. Names of tests are unique."""

    def __init__(self, context):
        self.context = context
        self.reset()
        super().__init__()

    def reset(self):
        self.runs = self.snapshots = 0
        self.created = []

    @property
    def effects(self):
        return self.runs + self.snapshots + len(self.created)

    def serve(self, connection):
        if self.context is None:
            return self.serve_requests(connection)
        with self.context.wrap_socket(connection, server_side=True) as encrypted:
            return self.serve_requests(encrypted)

    def serve_requests(self, connection):
        while (request := read_request(connection)) is not None:
            method, path = request[0].split(b" ", 2)[:2]
            status, content = self.respond(method.decode(), path.decode().split("?")[0], request[1])
            body = b"" if content is None else json.dumps(content).encode()
            closing = "Connection: close\r\n" if self.context is None else ""
            head = f"HTTP/1.1 {status} X\r\n{closing}Content-Length: {len(body)}\r\n\r\n".encode()
            connection.sendall(head + body)
            if self.context is None:
                return  # the proxy relays one plain request for each connection

    def respond(self, method, path, body):
        if path.endswith("/run"):
            self.runs += 1
            return 200, None
        if path.endswith("/snapshot"):
            self.snapshots += 1
            return 201, {"id": "1"}
        if path.endswith("/instant"):
            name = json.loads(body)["testName"]
            if any(test["testName"] == name for test in self.created):
                return 400, {"title": "name taken"}
            self.created.append({"testId": str(len(self.created) + 1), "testName": name})
            return 201, self.created[-1]
        if path.endswith("/tests"):
            return 200, {"tests": self.created}
        return (200, self.created[0]) if self.created else (404, {})


class Proxy(Listener):
    """A proxy for CONNECT and plain requests. It cuts one connection after ``cut_at`` bytes to the client."""

    def __init__(self, server):
        self.server, self.cut_at, self.relayed, self.arrivals = server, None, 0, []
        super().__init__()

    def cut_after(self, count):
        self.cut_at, self.relayed, self.arrivals = count, 0, []

    def serve(self, client):
        request = read_request(client)
        if request is None:
            return
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as server:
            if request[0].startswith(b"CONNECT "):
                self.relay(client, b"HTTP/1.1 200 Connection established\r\n\r\n")
                self.arrivals.append(("tunnel", self.relayed))
                threading.Thread(target=self.pump, args=(client, server), daemon=True).start()
            else:
                server.sendall(request[0] + b"\r\n\r\n" + request[1])
            while piece := server.recv(65536):
                if self.server.effects:
                    self.arrivals.append(("response", self.relayed))
                self.relay(client, piece)

    def relay(self, client, piece):
        """Send to the client. Close its connection after ``cut_at`` bytes."""
        if self.cut_at is not None and self.relayed + len(piece) > self.cut_at:
            client.sendall(piece[: self.cut_at - self.relayed])
            self.cut_at = None
            client.shutdown(socket.SHUT_RDWR)
            raise ConnectionError("cut")
        self.relayed += len(piece)
        client.sendall(piece)

    @staticmethod
    def pump(client, server):
        try:
            while piece := client.recv(65536):
                server.sendall(piece)
        except OSError:
            pass  # the connection was cut


@pytest.fixture(params=["CONNECT", "plain"])
def way(request, certificate, monkeypatch):
    """A server, a proxy in front of it, and the connection through both."""
    context = None
    if request.param == "CONNECT":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.num_tickets = 0
    server = Server(context)
    proxy = Proxy(server)
    fields = {
        "conn_type": "thousandeyes",
        "host": f"{'http' if context is None else 'https'}://127.0.0.1:{server.port}",
        "password": "s3cret",
        "extra": {
            "timeout": 5,
            "retry_limit": 3,
            "trust_env": False,
            "verify": certificate,
            "proxies": f"http://127.0.0.1:{proxy.port}",
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))
    yield server, proxy
    proxy.stop()
    server.stop()


def hook():
    return ThousandEyesHook(clock=QUICK, sleep=lambda seconds: None)


def run(server):
    call = hook().run_instant_test("7", verify=lambda sent_at: server.runs > 0)
    assert call.sent <= 2


def create(server):
    assert hook().create_instant_test("http-server", DEFINITION)["testName"] == "only"


def snapshot(server):
    hook().create_snapshot(*SNAPSHOT)


def cuts(proxy, call):
    """Return the positions of the cuts: every byte of the response, and some bytes before it."""
    proxy.cut_after(None)
    call()
    first = next((count for kind, count in proxy.arrivals if kind == "response"), 0)
    return [*range(0, first, STEP), *range(first, proxy.relayed)]


@pytest.mark.parametrize("call", [run, create, snapshot])
def test_a_call_through_a_proxy_is_never_carried_out_twice(way, call):
    server, proxy = way
    for count in cuts(proxy, lambda: call(server)):
        server.reset()
        proxy.cut_after(count)
        try:
            call(server)
        except ThousandEyesConnectionError:
            assert call is snapshot, count
        assert server.effects == 1, count


def test_the_asynchronous_hook_detects_lost_calls(way):
    server, proxy = way

    async def outcome():
        async with ThousandEyesAsyncHook(clock=QUICK) as reader:
            settings = await reader.load()
            session = await async_transport.open_session(settings, 1)
            try:
                return await async_transport.send(
                    session, reader.build(endpoints.RUN, parts={"test_id": "7"}), 5.0
                )
            finally:
                await session.close()

    with asyncio.Runner() as runner:
        for count in cuts(proxy, lambda: runner.run(outcome())):
            server.reset()
            proxy.cut_after(count)
            result = runner.run(outcome())
            assert isinstance(result, NoResponse | Response)
            carried_out = isinstance(result, Response) or result.sent
            assert carried_out >= server.effects, count


def test_the_asynchronous_hook_reads_through_cuts(way):
    _, proxy = way

    async def read():
        async with ThousandEyesAsyncHook(clock=QUICK) as reader:
            return await reader.list_tests()

    with asyncio.Runner() as runner:
        proxy.cut_after(None)
        assert runner.run(read()) == []
        for count in range(0, proxy.relayed, STEP):
            proxy.cut_after(count)
            assert runner.run(read()) == []


def use(kind):
    """Run a test through the blocking hook, or read through the asynchronous one."""
    if kind == "sync":
        return hook().run_instant_test("7", verify=lambda sent_at: pytest.fail("nothing is lost"))

    async def read():
        async with ThousandEyesAsyncHook(clock=QUICK) as reader:
            return await reader.list_tests()

    return asyncio.run(read())


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 50", b""]
)
def test_a_refused_tunnel_is_not_a_lost_call(way, monkeypatch, kind, reply):
    server, proxy = way
    if server.context is None:
        pytest.skip("plain requests have no tunnel")

    def refuse(client, piece):
        client.sendall(reply)
        raise ConnectionError("refused")

    monkeypatch.setattr(proxy, "relay", refuse)
    with pytest.raises(ThousandEyesConnectionError, match=r"could not connect.*attempt 3 of 3"):
        use(kind)
    assert server.effects == 0
