"""Hostile responses: both hooks raise only the provider's exceptions, in time and with bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import sys
import threading
import time
import tracemalloc
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thousandeyes_provider.api import body
from thousandeyes_provider.api.flows import Clock
from thousandeyes_provider.api.response import Response
from thousandeyes_provider.exceptions import (
    ThousandEyesAuthError,
    ThousandEyesConnectionError,
    ThousandEyesError,
    ThousandEyesNotFoundError,
    ThousandEyesRateLimitError,
    ThousandEyesRequestError,
    ThousandEyesServerError,
)
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook, ThousandEyesHook

TOKEN = "t0ken-that-nobody-may-see"
NO_BACKOFF = Clock(time.time, lambda: 0.0)
MEGABYTE = 1024 * 1024
DEFINITION = {"testName": "n", "url": "http://x.example", "agents": [{"agentId": "1"}]}
READS = {
    "tests": lambda hook: hook.list_tests(),
    "agents": lambda hook: hook.list_agents(),
    "account-groups": lambda hook: hook.list_account_groups(),
    "test": lambda hook: hook.get_test("7", "http-server"),
    "results": lambda hook: hook.get_test_results("7", "http-server"),
}
WRITES = {
    "run": lambda hook: hook.run_instant_test("7"),
    "create": lambda hook: hook.create_instant_test("http-server", DEFINITION),
    "snapshot": lambda hook: hook.create_snapshot("7", "s", "2026-01-01T00:00:00", "2026-01-01T01:00:00"),
}
MEMBERS = ("tests", "agents", "accountGroups", "results", "test", "testId", "id", "_links", "errors", "title")


class Server:
    """A server that calls ``answer(connection)`` of the test after each complete request."""

    def __init__(self):
        self.requests = []
        self.answer = None
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(20)
            try:
                while (request := self._request(connection)) is not None:
                    self.requests.append(request)
                    if not self.answer(connection):
                        return
            except OSError:
                pass  # the client closed the connection

    def _request(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return None
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length:" in line]
        while len(body) < int(lengths[0] if lengths else 0):
            body += connection.recv(65536)
        return head

    def stop(self):
        self._socket.close()


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def other_origin():
    """A server at another origin, which must receive no request."""
    running = Server()
    running.answer = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + b'{"tests": []}')
    yield running
    running.stop()


class Caller:
    """Calls a hook on the server: ``call(what, **extras of the connection)``."""

    def __init__(self, kind, server, patch, runner):
        self.kind, self._server, self._patch, self._runner = kind, server, patch, runner

    def __call__(self, what, **extra):
        fields = {
            "conn_type": "thousandeyes",
            "host": f"http://127.0.0.1:{self._server.port}",
            "password": TOKEN,
            "extra": {"timeout": 1, "retry_limit": 1, "queue_timeout": 0, "trust_env": False, **extra},
        }
        self._patch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))
        if self.kind == "async":
            return self._runner.run(self._in_loop(what))
        hook = ThousandEyesHook(clock=NO_BACKOFF)
        try:
            return what(hook)
        finally:
            hook.close()

    async def _in_loop(self, what):
        async with ThousandEyesAsyncHook(clock=NO_BACKOFF) as hook:
            return await what(hook)


@pytest.fixture(scope="module", params=["sync", "async"])
def call(request, server):
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        yield Caller(request.param, server, patch, runner)


@pytest.fixture(scope="module")
def call_sync(server):
    with pytest.MonkeyPatch.context() as patch:
        yield Caller("sync", server, patch, None)


@pytest.fixture(scope="module", params=["sync", "async"])
def any_call(request, server):
    """A caller with all operations of its kind of hook."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        caller = Caller(request.param, server, patch, runner)
        yield caller, READS | (WRITES if request.param == "sync" else {})


def sends(*pieces):
    """Return a handler that sends these bytes and closes the connection."""

    def answer(connection):
        for piece in pieces:
            connection.sendall(piece)

    return answer


def answer_with(body, status=200, **headers):
    """Return a handler that sends one response to every request and keeps the connection open."""
    all_headers = {"Content-Type": "application/json", "Content-Length": len(body), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    whole = f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + body

    def answer(connection):
        connection.sendall(whole)
        return True

    return answer


def check(call, what):
    """Check that a call returns a result or raises one of our errors in time, without secrets in the error."""
    begun, error = time.monotonic(), None
    try:
        call(what)
    except ThousandEyesError as raised:
        error = raised
    assert time.monotonic() - begun < 15
    shown = str(error)
    assert shown.isprintable(), shown
    assert len(shown) < 10_000
    assert TOKEN not in shown + repr(vars(error) if error else "")
    assert json.dumps(vars(error) if error else "", default=str).isascii()


# -- responses -------------------------------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(
        ["", "7", "http-server", "/v7/tests", "https://elsewhere.example/", "\ud800", "\x00", "//", 10**400]
    )
)
any_json = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
near_json = st.fixed_dictionaries(
    {},
    optional={
        "tests": st.lists(
            st.dictionaries(st.sampled_from(["testId", "testName", "type"]), any_json), max_size=3
        ),
        "agents": st.lists(any_json, max_size=3),
        "accountGroups": st.lists(st.dictionaries(st.sampled_from(["aid", "accountGroupName"]), any_json)),
        "results": st.lists(
            st.dictionaries(st.sampled_from(["agent", "roundId", "date"]), any_json), max_size=3
        ),
        "test": any_json,
        "testId": any_json,
        "id": any_json,
        "_links": st.fixed_dictionaries({"next": st.fixed_dictionaries({"href": any_json})}) | any_json,
        "title": any_json,
        "detail": any_json,
        "errors": st.lists(st.dictionaries(st.sampled_from(["code", "field", "message"]), any_json))
        | any_json,
    },
)
nested = st.sampled_from(
    [b"[" * 100_000, b'{"tests":' * 5000, b'{"results": [' + b"[" * 900 + b"]" * 900 + b"]}"]
)
contents = st.one_of(
    st.one_of(near_json, any_json).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    nested,
    st.sampled_from(
        [
            b'{"tests": [], "tests": 7}',
            b'{"tests": [' + b"9" * 5000 + b"]}",
            b'{"results": [{"roundId": ' + b"9" * 4000 + b"}]}",
            b'{"results": [{"roundId": 1e999, "x": NaN, "y": -Infinity}]}',
            b'\xff\xfe{\x00"\x00',
            b"\xef\xbb\xbf{}",
        ]
    ),
)
nonsense = (
    st.integers().map(str)
    | st.floats().map(str)
    | st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
    | st.sampled_from(
        [
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Mon, 01 Jan 0001 00:00:00 +2359",
            "Mon, 99 Foo 99999999999 99:99:99 +99999999",
            "1" * 5000,
            "-1",
            "1e308",
            "nan",
            "0x10",
        ]
    )
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "Date",
            "Retry-After",
            "Location",
            "Set-Cookie",
            "Content-Type",
            "X-Organization-Rate-Limit-Limit",
            "X-Organization-Rate-Limit-Remaining",
            "X-Organization-Rate-Limit-Reset",
            "X-Instant-Test-Rate-Limit-Remaining",
            "X-Instant-Test-Rate-Limit-Reset",
            "Connection",
            "Upgrade",
            "WWW-Authenticate",
        ]
    ),
    nonsense,
    max_size=5,
)


@st.composite
def answers(draw):
    """Return the bytes of an HTTP response, valid or malformed."""
    body = draw(contents)
    encoding = draw(st.sampled_from(["", "", "", "gzip", "deflate", "br", "zstd", "gzip, gzip", "nonsense"]))
    if encoding == "gzip" and draw(st.booleans()):
        body = gzip.compress(body)
    elif encoding == "deflate" and draw(st.booleans()):
        body = zlib.compress(body)
    body = body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 9)) == 0 else body
    all_headers = draw(headers) | ({"Content-Encoding": encoding} if encoding else {})
    framing = draw(st.sampled_from(["length", "length", "wrong length", "chunked", "bad chunks", "none"]))
    if framing == "length":
        all_headers["Content-Length"] = str(len(body))
    elif framing == "wrong length":
        all_headers["Content-Length"] = draw(nonsense)
    elif framing == "chunked":
        all_headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%s\r\n" % (len(body), body) + b"0\r\n\r\n" if body else b"0\r\n\r\n"
    elif framing == "bad chunks":
        all_headers["Transfer-Encoding"] = "chunked"
        body = draw(st.binary(max_size=10)) + b"\r\n" + body
    status = draw(
        st.sampled_from([200, 200, 200, 201, 204, 302, 307, 400, 401, 404, 429, 503]) | st.integers(100, 599)
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return f"HTTP/1.1 {status} Some Reason\r\n{head}\r\n".encode("latin-1") + body


few = settings(suppress_health_check=list(HealthCheck), max_examples=max(settings().max_examples // 4, 25))
"""Examples through sockets are slow: a quarter of the default number."""


class TestAnyAnswer:
    @pytest.mark.parametrize("operation", READS)
    @given(answer=answers())
    @few
    def test_a_read_ends_with_a_result_or_our_error(self, server, call, operation, answer):
        server.answer = sends(answer)
        check(call, READS[operation])

    @pytest.mark.parametrize("operation", WRITES)
    @given(answer=answers())
    @few
    def test_a_write_ends_with_a_result_or_our_error(self, server, call_sync, operation, answer):
        server.answer = sends(answer)
        check(call_sync, WRITES[operation])

    @given(answer=answers())
    @few
    def test_connection_always_returns_a_result(self, server, call_sync, answer):
        server.answer = sends(answer)
        flag, message = call_sync(lambda hook: hook.test_connection())
        assert isinstance(flag, bool)
        assert message.isprintable()
        assert TOKEN not in message

    @given(answer=st.binary(max_size=300) | st.binary(max_size=100).map(lambda some: b"HTTP/1.1 " + some))
    @few
    def test_arbitrary_bytes_end_with_a_result_or_our_error(self, server, call, answer):
        server.answer = sends(answer)
        check(call, READS["tests"])

    @pytest.mark.parametrize("hundred", range(100, 600, 100))
    def test_every_status_ends_with_a_result_or_our_error(self, server, call, hundred):
        for status in range(hundred, hundred + 100):
            whole = f"HTTP/1.1 {status} Whatever\r\nConnection: close\r\n\r\n".encode()
            server.answer = sends(whole + (b"" if status < 200 or status in (204, 304) else b'{"tests": []}'))
            if 200 <= status < 300 and status != 204:
                assert call(READS["tests"]) == []
            else:
                with pytest.raises(ThousandEyesError, match=str(status) if status >= 200 else ""):
                    call(READS["tests"])


class TestSize:
    """The amount of a response that is read and kept in memory is bounded."""

    @pytest.mark.parametrize("status", [200, 302])
    @pytest.mark.parametrize("way", ["announced", "chunked", "without an end", "gzip", "deflate"])
    def test_a_gigabyte_is_refused_with_little_memory(self, server, call, monkeypatch, status, way):
        monkeypatch.setattr(body, "LARGEST_BODY", 4 * MEGABYTE)
        server.answer = gigabyte(status, way)
        tracemalloc.start()
        try:
            with pytest.raises(
                ThousandEyesConnectionError, match=f"{status}, a body of more than {4 * MEGABYTE} "
            ):
                call(READS["tests"], timeout=20)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 16 * MEGABYTE

    def test_limits_have_their_documented_values(self):
        assert (body.LARGEST_BODY, body.LARGEST_RESULT, body.MOST_PAGES) == (2**25, 2**26, 1000)
        assert (body.MOST_VALUES, body.MOST_RESULT_VALUES, body.MOST_ROWS) == (400_000, 2_000_000, 100_000)

    def test_endless_pages_are_refused_at_the_maximum_size(self, server, call, monkeypatch):
        monkeypatch.setattr("thousandeyes_provider.api.flows.LARGEST_RESULT", MEGABYTE)
        server.requests.clear()
        padding = "x" * 100_000

        def answer(connection):
            link = f"/v7/test-results/7/http-server?cursor={len(server.requests)}"
            page = {"results": [{"x": padding}], "_links": {"next": {"href": link}}}
            return answer_with(json.dumps(page).encode())(connection)

        server.answer = answer
        with pytest.raises(ThousandEyesConnectionError, match=f"more than {MEGABYTE} bytes on 11 pages"):
            call(READS["results"])
        assert len(server.requests) == 11

    @pytest.mark.parametrize(
        "encoding", ["gzip", "x-gzip", "deflate", "bare deflate", "GZIP ", "identity", ""]
    )
    def test_requested_encodings_are_decoded(self, server, call, encoding):
        content = json.dumps({"tests": [{"testId": str(nth)} for nth in range(20_000)]}).encode()
        sent = {
            "gzip": gzip.compress(content),
            "deflate": zlib.compress(content),
            "bare deflate": zlib.compress(content)[2:-4],
        }.get(encoding.strip().lower().removeprefix("x-"), content)
        server.requests.clear()
        server.answer = answer_with(sent, **{"Content-Encoding": encoding.removeprefix("bare ")})
        assert len(call(READS["tests"])) == 20_000
        assert b"accept-encoding: gzip, deflate\r\n" in server.requests[0].lower() + b"\r\n"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_a_truncated_or_invalid_encoding_is_a_lost_response(self, server, call, encoding):
        whole = (gzip if encoding == "gzip" else zlib).compress(b'{"tests": []}' * 100)
        good = answer_with(b'{"tests": []}')
        for bad, reason in ((whole[:-12], "cut short"), (b"nonsense", "cannot be decoded")):
            server.requests.clear()
            server.answer = answer_with(bad, **{"Content-Encoding": encoding})
            with pytest.raises(ThousandEyesConnectionError, match=reason):
                call(READS["tests"])
            broken = server.answer
            server.answer = lambda connection: (good if len(server.requests) > 2 else broken)(connection)  # noqa: B023
            assert call(READS["tests"], retry_limit=2) == []

    @pytest.mark.parametrize("way", ["cut short", "not gzip"])
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, ThousandEyesRequestError),
            (401, ThousandEyesAuthError),
            (404, ThousandEyesNotFoundError),
            (429, ThousandEyesRateLimitError),
            (503, ThousandEyesServerError),
        ],
    )
    def test_an_error_status_counts_without_its_body(self, server, call, status, error, way):
        server.answer = unreadable(status, way)
        with pytest.raises(error):
            call(READS["tests"])

    @pytest.mark.parametrize("way", ["cut short", "not gzip"])
    def test_an_accepted_run_counts_without_its_body(self, server, call_sync, way):
        server.answer = unreadable(200, way)
        server.requests.clear()
        call_sync(lambda hook: hook.run_instant_test("202703", verify=refuse_to_verify))
        assert len(server.requests) == 1


def unreadable(status, way):
    """Return a handler whose response has a body that is not complete, or not in its encoding."""
    if way == "cut short":
        return sends(f'HTTP/1.1 {status} Whatever\r\nContent-Length: 100\r\n\r\n{{"detail": "a'.encode())
    return answer_with(b"nonsense", status, **{"Content-Encoding": "gzip"})


def refuse_to_verify(sent_at):
    raise AssertionError("the run was verified, as if its response were lost")


def gigabyte(status, way):
    """Return a handler that sends a gigabyte, or data that decodes to a gigabyte."""
    zeros = bytes(MEGABYTE)
    if way in ("gzip", "deflate"):
        maker = zlib.compressobj(wbits=31 if way == "gzip" else 15)
        head = maker.compress(zeros) + maker.flush(zlib.Z_FULL_FLUSH)
        # After a full flush, the same bytes decode to the same content.
        bomb = head + 1023 * (maker.compress(zeros) + maker.flush(zlib.Z_FULL_FLUSH))
        assert len(bomb) < 1.1 * MEGABYTE
        return answer_with(bomb, status, **{"Content-Encoding": way, "Location": "/v7/tests"})
    head = f"HTTP/1.1 {status} Whatever\r\nLocation: /v7/tests\r\n"
    head += {"announced": f"Content-Length: {2**30}\r\n", "chunked": "Transfer-Encoding: chunked\r\n"}.get(
        way, ""
    )

    def answer(connection):
        connection.sendall(head.encode() + b"\r\n")
        for _ in range(1024):
            connection.sendall(b"100000\r\n" + zeros + b"\r\n" if way == "chunked" else zeros)

    return answer


class TestTime:
    """A response that arrives slowly is aborted after ``timeout``."""

    @pytest.mark.parametrize(
        ("begin", "drip"),
        [
            (b"", b"H"),
            (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
            (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
            (b"HTTP/1.1 302 Found\r\nLocation: /v7/tests\r\nContent-Length: 99999\r\n\r\n", b" "),
        ],
        ids=[
            "status line",
            "headers",
            "one header",
            "100 without an end",
            "103 without an end",
            "body",
            "chunks",
            "size of a chunk",
            "trailers",
            "body of a redirect",
        ],
    )
    def test_a_slow_response_ends_at_the_timeout(self, server, call, begin, drip):
        over = threading.Event()

        def answer(connection):
            connection.sendall(begin)
            while not over.wait(0.02):
                connection.sendall(drip)

        server.answer = answer
        begun = time.monotonic()
        with pytest.raises(ThousandEyesConnectionError):
            call(READS["tests"], timeout=0.5)
        took = time.monotonic() - begun
        over.set()
        assert took < 8  # otherwise it never ends

    def test_redirects_share_one_timeout(self, server, call):
        redirect = answer_with(b"", 302, Location="/v7/tests")

        def answer(connection):
            time.sleep(0.3)
            return redirect(connection)

        server.answer = answer
        begun = time.monotonic()
        with pytest.raises(ThousandEyesConnectionError, match="timeout"):
            call(READS["tests"], timeout=0.5)
        assert time.monotonic() - begun < 8

    def test_interim_responses_are_skipped(self, server, call):
        final = answer_with(b'{"tests": [{"testId": "1"}]}')

        def answer(connection):
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
            return final(connection)

        server.answer = answer
        assert call(READS["tests"]) == [{"testId": "1"}]


class TestToken:
    """The token is sent to the connection's scheme, host and port only."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        "link",
        [
            "http://127.0.0.1:{port}/v7/tests",
            "//127.0.0.1:{port}/v7/tests",
            "http:\\\\127.0.0.1:{port}/",
            "http://127.0.0.1:{own}@127.0.0.1:{port}/",
            "http://127.0.0.1:{own}\\@127.0.0.1:{port}/",
            "http://localhost:{port}/",
            "https://127.0.0.1:{own}/",
            "\t//127.0.0.1:{port}/",
            "////127.0.0.1:{port}/",
            "/\\127.0.0.1:{port}/",
        ],
    )
    def test_no_redirect_sends_the_token_to_another_server(
        self, server, other_origin, any_call, status, link
    ):
        call, operations = any_call
        other_origin.requests.clear()
        target = link.format(port=other_origin.port, own=server.port)
        server.answer = answer_with(b"", status, Location=target)
        server.requests.clear()
        for what in operations.values():
            with pytest.raises(ThousandEyesError):
                call(what)
        assert len(server.requests) >= len(operations)
        assert other_origin.requests == []

    def test_a_location_header_on_success_is_ignored(self, server, other_origin, any_call):
        call, operations = any_call
        other_origin.requests.clear()
        body = json.dumps(
            {"tests": [], "agents": [], "accountGroups": [], "results": [], "testId": "7", "id": "1"}
        )
        target = f"http://127.0.0.1:{other_origin.port}/v7/tests"
        refresh = {"Location": target, "Refresh": f"0; url={target}", "Content-Location": target}
        for status in (200, 201):
            server.answer = answer_with(body.encode(), status, **refresh)
            for what in operations.values():
                call(what)
        assert other_origin.requests == []

    @pytest.mark.parametrize(
        "link", ["http://127.0.0.1:{port}/v7/x", "//127.0.0.1:{port}/v7/x", "https://127.0.0.1:{own}/"]
    )
    def test_no_next_link_sends_the_token_to_another_server(self, server, other_origin, call, link):
        other_origin.requests.clear()
        target = link.format(port=other_origin.port, own=server.port)
        server.answer = answer_with(
            json.dumps({"results": [], "_links": {"next": {"href": target}}}).encode()
        )
        with pytest.raises(ThousandEyesConnectionError, match="another origin"):
            call(READS["results"])
        assert other_origin.requests == []

    def test_cookies_are_ignored(self, server, call):
        server.requests.clear()
        page = {"results": [], "_links": {"next": {"href": "/v7/test-results/7/http-server?cursor=1"}}}
        first = answer_with(json.dumps(page).encode(), **{"Set-Cookie": "session=abc; Path=/"})
        last = answer_with(b'{"results": []}')
        server.answer = lambda connection: (first if len(server.requests) == 1 else last)(connection)
        call(READS["results"])
        assert len(server.requests) == 2
        assert not any(b"cookie:" in request.lower() for request in server.requests)


class TestLargeResults:
    """Rows are bounded as well as bytes, and large bodies are parsed off the event loop."""

    def test_a_body_of_many_small_rows_is_refused(self, server, call):
        server.answer = answer_with(b'{"results": [' + b"{}," * 3_000_000 + b"{}]}")
        tracemalloc.start()
        try:
            with pytest.raises(ThousandEyesConnectionError, match="a body of more than 400000 JSON values"):
                call(READS["results"], timeout=20)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 60 * MEGABYTE

    @pytest.mark.parametrize(
        ("bound", "value", "text"),
        [("MOST_ROWS", 500, "500 rows"), ("MOST_RESULT_VALUES", 900, "900 JSON values")],
    )
    def test_the_total_of_all_pages_is_bounded(self, server, call, monkeypatch, bound, value, text):
        monkeypatch.setattr(f"thousandeyes_provider.api.flows.{bound}", value)
        server.requests.clear()

        def answer(connection):
            link = f"/v7/test-results/7/http-server?cursor={len(server.requests)}"
            page = {"results": [{"x": 1}] * 200, "_links": {"next": {"href": link}}}
            return answer_with(json.dumps(page).encode())(connection)

        server.answer = answer
        with pytest.raises(ThousandEyesConnectionError, match=f"more than {text} on 3 pages"):
            call(READS["results"])

    def test_a_large_body_is_parsed_in_a_thread(self, server, call, monkeypatch):
        parsed_by, loads = [], json.loads

        def record(text, **hooks):
            if len(text) > MEGABYTE // 4:
                parsed_by.append(threading.current_thread())
            return loads(text, **hooks)

        monkeypatch.setattr("thousandeyes_provider.api.response.json.loads", record)
        server.answer = answer_with(json.dumps({"tests": [{"testId": "7"}] * 20_000}).encode())
        assert len(call(READS["tests"])) == 20_000
        (thread,) = parsed_by
        assert (thread is threading.main_thread()) == (call.kind == "sync")

    def test_other_threads_run_while_a_large_body_is_parsed(self):
        """Threads switch at calls of Python functions, which ``json`` alone does not make between values."""
        body = json.dumps({"results": [{"a": 12345, "b": 1.5, "c": {}}] * 1000}).encode()
        response, calls = Response(200, {}, body, ""), []
        sys.setprofile(lambda frame, event, argument: calls.append(event) if event == "call" else None)
        try:
            response.prepare()
        finally:
            sys.setprofile(None)
        assert len(calls) > 4000
        assert response.json() == json.loads(body)


@pytest.mark.parametrize(
    "line", ["{token}", "Bearer {token}", "Set-Cookie : {token}", " {token}", "\x00{token}"]
)
def test_malformed_header_lines_are_not_logged(server, call, log, line):
    line = line.format(token=TOKEN)
    server.answer = sends(f"HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    check(call, READS["results"])
    assert TOKEN not in log()
