"""Connection errors contain the connection id. Network errors also contain the host."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from thousandeyes_provider.exceptions import (
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesConnectionError,
    ThousandEyesError,
)
from thousandeyes_provider.get_provider_info import FIELD_BEHAVIOUR
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

TOKEN = "t0ken-that-nobody-may-see"
CONN_ID = "thousandeyes_default"
FIELDS = {"conn_type": "thousandeyes", "password": TOKEN, "host": "te.example"}

INVALID = {
    "host": ({"host": "te example"}, "host must be a host name or address"),
    "host with a user": ({"host": "user:pass@te.example"}, "host must not carry a user or password"),
    "host with a query": ({"host": "te.example?x=1"}, "host must not carry a query or fragment"),
    "scheme of the host": ({"host": "ftp://te.example"}, "host must begin with https:// or http://"),
    "two schemes": ({"host": "http://te.example", "schema": "https"}, "host begins with http:// but schema"),
    "scheme": ({"schema": "ftp"}, "schema must be 'https' or 'http', got 'ftp'"),
    "plain http": ({"schema": "http"}, "plain http to te.example would expose the token"),
    "port": ({"port": 70000}, "port must be from 1 to 65535, got 70000"),
    "two ports": ({"host": "te.example:1", "port": 2}, "host carries port 1 but port is 2"),
    "no password": ({"password": ""}, "API token is missing"),
    "password": ({"password": "two words"}, "API token must not contain spaces"),
    "account group": ({"extra": {"account_group_id": True}}, "extra 'account_group_id' must be the id"),
    "timeout": ({"extra": {"timeout": "fast"}}, "extra 'timeout' must be a number of seconds"),
    "retry limit": ({"extra": {"retry_limit": 0}}, "extra 'retry_limit' must be a number of attempts"),
    "queue timeout": ({"extra": {"queue_timeout": -1}}, "extra 'queue_timeout' must be a number of seconds"),
    "proxies": ({"extra": {"proxies": 5}}, "extra 'proxies' must be an object of proxy addresses"),
    "verify": ({"extra": {"verify": 2}}, "extra 'verify' must be true, false, or the path"),
    "no authorities": ({"extra": {"verify": "/no/ca.pem"}}, "extra 'verify': no file at /no/ca.pem"),
    "authorities": ({"extra": {"verify": __file__}}, "extra 'verify': no usable certificate"),
    "cert": ({"extra": {"cert": ["a"]}}, "extra 'cert' must be the path of a client certificate"),
    "no certificate": ({"extra": {"cert": "/no/cert.pem"}}, "extra 'cert': no file at /no/cert.pem"),
    "certificate": ({"extra": {"cert": __file__}}, "extra 'cert': no usable certificate"),
    "trust_env": ({"extra": {"trust_env": "maybe"}}, "extra 'trust_env' must be true or false"),
    "allow_http": ({"extra": {"allow_http": "maybe"}}, "extra 'allow_http' must be true or false"),
}


@pytest.mark.parametrize(("changed", "expected"), INVALID.values(), ids=INVALID)
def test_the_error_of_an_invalid_field_has_the_connection_id(connect_either, changed, expected):
    with pytest.raises(ThousandEyesConfigurationError) as refused:
        connect_either(fields={**FIELDS, **changed}).list_tests()
    assert str(refused.value).startswith(f"Connection '{CONN_ID}': {expected}")


def test_missing_authorities_of_the_environment(connect_either, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/ca.pem")
    with pytest.raises(ThousandEyesConfigurationError) as refused:
        connect_either(fields=FIELDS).list_tests()
    assert str(refused.value) == (
        f"Connection '{CONN_ID}': REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: no file at /no/ca.pem"
    )


def test_plain_http_ignores_authorities_of_the_environment(simulator, connect_either, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/ca.pem")
    assert connect_either().list_tests()


def test_the_error_of_a_missing_token_uses_the_form_label(connect_either):
    label = FIELD_BEHAVIOUR["relabeling"]["password"]
    assert ThousandEyesHook.get_ui_field_behaviour()["relabeling"]["password"] == label
    with pytest.raises(ThousandEyesConfigurationError, match="API token is missing") as refused:
        connect_either(fields={**FIELDS, "password": None}).list_tests()
    assert f"the field '{label}'" in str(refused.value)


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def full_backlog():
    """The port of a server with a full backlog. Connecting to it never completes."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def error_of(connect_either, host, **extra):
    options = {"timeout": 0.5, "retry_limit": 1, **extra}
    with pytest.raises(ThousandEyesError) as failed:
        connect_either(fields={**FIELDS, "host": host, "extra": options}).list_tests()
    text = str(failed.value)
    assert f"connection '{CONN_ID}'" in text
    assert f"{host}/v7/tests" in text
    assert TOKEN not in text
    return failed.value


class TestNetwork:
    def test_an_unresolvable_host(self, connect_either, monkeypatch):
        def fails(*args, **kwargs):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fails)
        error = error_of(connect_either, "https://te.example")
        assert "could not connect: [Errno -2] Name or service not known" in str(error)

    def test_a_refused_connection(self, connect_either):
        error = error_of(connect_either, f"http://127.0.0.1:{unused_port()}")
        assert isinstance(error, ThousandEyesConnectionError)
        assert "Connection refused" in str(error) or "Connect call failed" in str(error)

    def test_a_connect_timeout(self, connect_either):
        with full_backlog() as port:
            error = error_of(connect_either, f"http://127.0.0.1:{port}")
        assert "could not connect: timeout after 0.5 s" in str(error)

    def test_an_unreachable_proxy(self, connect_either):
        proxy = f"http://127.0.0.1:{unused_port()}"
        error = error_of(connect_either, "https://te.example", proxies={"https": proxy})
        assert "could not connect" in str(error)

    def test_an_untrusted_certificate(self, connect_either, tls_server):
        error = error_of(connect_either, f"https://127.0.0.1:{tls_server.port}", timeout=3)
        assert "certificate of the server is not trusted" in str(error)

    def test_an_invalid_proxy_of_the_environment(self, connect_either, monkeypatch):
        monkeypatch.setenv("https_proxy", "http://[bad")
        error = error_of(connect_either, "https://te.example")
        assert "is not a valid address" in str(error)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_token(self, simulator, connect_either, status):
        simulator.fail("tests", status=status, times=None)
        error = error_of(connect_either, simulator.url, timeout=3)
        assert isinstance(error, ThousandEyesAuthError)
        assert error.status == status

    def test_connection_reports_connection_and_host(self, monkeypatch):
        host = f"http://127.0.0.1:{unused_port()}"
        fields = {**FIELDS, "host": host, "extra": {"retry_limit": 1}}
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))
        is_usable, message = ThousandEyesHook().test_connection()
        assert not is_usable
        assert host in message
        assert CONN_ID in message
