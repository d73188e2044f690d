"""A simulated ThousandEyes, and hooks connected to it."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from thousandeyes_provider.api.flows import Clock
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook, ThousandEyesHook
from thousandeyes_provider.simulator import Simulator

TOKEN = "t0ken-that-nobody-may-see"
QUICK = Clock(time.time, lambda: 0.01)
"""A clock with backoffs of almost no time."""


@pytest.fixture
def simulator():
    # GET /tests lists the twelve default tests, which are instant tests. Runs in one minute get different ids.
    with Simulator(tokens=[TOKEN], listed_in_tests=True, round_ids="unambiguous") as running:
        yield running


@pytest.fixture
def connect(simulator, monkeypatch):
    """A function that makes a blocking hook with further extras of the connection."""

    def make(aid=None, *, clock=QUICK, sleep=time.sleep, **extra):
        fields = simulator.connection(**{"timeout": 3, **extra})
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))
        return ThousandEyesHook(account_group_id=aid, clock=clock, sleep=sleep)

    return make


@pytest.fixture
def hook(connect):
    """A blocking hook with backoffs of almost no time."""
    return connect()


@pytest.fixture
def sleeps(hook, monkeypatch):
    """The waits of the hook in seconds. The hook does not sleep."""
    seconds = []
    monkeypatch.setattr(hook, "sleep", seconds.append)
    return seconds


class Blocking:
    """The asynchronous hook with blocking methods."""

    def __init__(self, hook):
        self.hook = hook
        self._runner = asyncio.Runner()

    def __getattr__(self, name):
        method = getattr(self.hook, name)
        if not asyncio.iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self._runner.run(method(*args, **kwargs))

    def run(self, awaitable):
        return self._runner.run(awaitable)

    def stop(self):
        self._runner.run(self.hook.close())
        self._runner.close()


@pytest.fixture(params=["sync", "async"])
def connect_either(request, simulator, monkeypatch):
    """A function that makes a hook of either kind with backoffs of almost no time.

    ``sleeps`` is a list that records waits in place of sleeping.
    """
    made = []

    def make(aid=None, fields=None, sleeps=None, clock=QUICK, **extra):
        fields = fields or simulator.connection(**{"timeout": 3, **extra})
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))
        if request.param == "sync":
            options = {} if sleeps is None else {"sleep": sleeps.append}
            return ThousandEyesHook(account_group_id=aid, clock=clock, **options)

        async def record(seconds):
            sleeps.append(seconds)

        options = {} if sleeps is None else {"sleep": record}
        made.append(Blocking(ThousandEyesAsyncHook(account_group_id=aid, clock=clock, **options)))
        return made[-1]

    yield make
    for hook in made:
        hook.stop()


@pytest.fixture
def either(connect_either):
    """A hook of either kind."""
    return connect_either()


class Peer:
    """A small HTTP server or proxy that returns an empty list of tests, opens no tunnel, and records requests."""

    def __init__(self, context=None):
        self.requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):
                self.requests.append((handler.path, dict(handler.headers)))
                body = b'{"tests": []}'
                handler.send_response(200)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            def do_CONNECT(handler):
                self.requests.append((handler.path, dict(handler.headers)))
                handler.send_error(502)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def proxy():
    peer = Peer()
    yield peer
    peer.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A file with a self-signed certificate for 127.0.0.1 and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return str(path)


@pytest.fixture(params=["server certificate", "client certificate"])
def tls_server(request, certificate):
    """A TLS server. The second variant requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if request.param == "client certificate":
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)
    peer = Peer(context)
    peer.asks_for_certificate = request.param == "client certificate"
    yield peer
    peer.stop()
