"""Reads through the synchronous and the asynchronous hook, in one suite."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from thousandeyes_provider import __version__
from thousandeyes_provider.api import flows
from thousandeyes_provider.api.flows import Clock
from thousandeyes_provider.exceptions import (
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesConnectionError,
    ThousandEyesNotFoundError,
    ThousandEyesRateLimitError,
    ThousandEyesRequestError,
    ThousandEyesServerError,
)

HTTP_TEST = "202703"
READS = {
    "tests": lambda hook: hook.list_tests(),
    "agents": lambda hook: hook.list_agents(),
    "account-groups": lambda hook: hook.list_account_groups(),
    "test": lambda hook: hook.get_test(HTTP_TEST, "http-server"),
    "results": lambda hook: hook.get_test_results(HTTP_TEST, "http-server"),
}


class TestReads:
    @pytest.mark.parametrize("operation", READS)
    def test_each_read_is_one_request_with_our_user_agent(self, simulator, either, operation):
        READS[operation](either)
        (request,) = simulator.requests
        assert (request.operation, request.status) == (operation, 200)
        assert request.user_agent == f"airflow-provider-thousandeyes/{__version__}"
        assert either.requests_sent == 1

    @pytest.mark.parametrize("by", ["argument", "connection", "nobody"])
    def test_aid_is_that_of_the_argument_or_the_connection_or_omitted(self, simulator, connect_either, by):
        extra = {} if by == "nobody" else {"account_group_id": "1001"}
        hook = connect_either(aid="1002" if by == "argument" else None, **extra)
        expected = {"argument": "1002", "connection": "1001", "nobody": None}[by]
        hook.list_tests()
        hook.list_agents()
        hook.list_account_groups()
        for request in simulator.requests:
            assert request.query.get("aid") == (None if request.operation == "account-groups" else expected)

    def test_a_blank_argument_means_the_account_group_of_the_connection(self, simulator, connect_either):
        hook = connect_either(aid=" ", account_group_id="1002")
        hook.list_tests()
        assert [request.query.get("aid") for request in simulator.requests] == ["1002"]

    def test_connections_are_reused(self, simulator, either):
        for _ in range(5):
            either.list_tests()

        def session():
            return either._session if hasattr(either, "_session") else either._account._sessions

        before = dict(session()) if isinstance(session(), dict) else session()
        either.list_agents()
        assert session() == before


class TestPages:
    def test_all_pages_are_read_with_aid_on_each(self, simulator, connect_either):
        simulator.set_switches(page_size=2, links_carry_aid=False)
        hook = connect_either(account_group_id="1001")
        assert len(hook.get_test_results(HTTP_TEST, "http-server")["results"]) == 5
        assert [request.query.get("aid") for request in simulator.requests] == ["1001"] * 3

    def test_aid_is_not_added_twice(self, simulator, connect_either):
        simulator.set_switches(page_size=2)
        connect_either(account_group_id="1001").get_test_results(HTTP_TEST, "http-server")
        assert [request.query["aid"] for request in simulator.requests] == ["1001"] * 3

    def test_a_link_to_another_origin_is_refused(self, simulator, either):
        simulator.set_switches(page_size=2, foreign_next=True)
        with pytest.raises(ThousandEyesConnectionError, match="another origin"):
            either.get_test_results(HTTP_TEST, "http-server")
        assert len(simulator.requests) == 1

    def test_endless_pages_end_with_an_error(self, simulator, either, monkeypatch):
        monkeypatch.setattr(flows, "MOST_PAGES", 20)
        simulator.set_switches(endless_next=True)
        with pytest.raises(ThousandEyesConnectionError, match="page"):
            either.get_test_results(HTTP_TEST, "http-server")
        assert len(simulator.requests) <= 20

    def test_a_failed_page_is_retried_alone(self, simulator, either):
        simulator.set_switches(page_size=2)
        simulator.fail("results", status=502, skip=1)
        assert len(either.get_test_results(HTTP_TEST, "http-server")["results"]) == 5
        assert len(simulator.requests) == 4


class TestRetries:
    @pytest.mark.parametrize("operation", READS)
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_read_succeeds_after_5xx(self, simulator, either, operation, status):
        simulator.fail(operation, status=status, times=2)
        READS[operation](either)
        assert simulator.count(operation) == 3

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    @pytest.mark.parametrize("limit", [1, 3])
    def test_a_read_is_sent_at_most_retry_limit_times(self, simulator, connect_either, status, limit):
        hook = connect_either(retry_limit=limit)
        simulator.fail("*", status=status, times=None, detail="down for maintenance")
        for operation, call in READS.items():
            with pytest.raises(ThousandEyesServerError, match="down for maintenance") as failure:
                call(hook)
            assert simulator.count(operation) == limit
            assert failure.value.status == status

    @pytest.mark.parametrize("kind", ["cut", "cut-body", "html", "empty", "not-json"])
    def test_a_read_succeeds_after_a_lost_or_invalid_response(self, simulator, either, kind):
        simulator.fail("results", kind, times=2, **({"status": 200} if kind == "html" else {}))
        assert either.get_test_results(HTTP_TEST, "http-server")["results"]
        assert simulator.count("results") == 3

    @pytest.mark.parametrize("kind", ["slow-first-byte", "slow-body"])
    def test_a_request_ends_at_its_timeout(self, simulator, connect_either, kind):
        hook = connect_either(timeout=0.4, retry_limit=1)
        simulator.fail("results", kind, seconds=5)
        begun = time.monotonic()
        with pytest.raises(ThousandEyesConnectionError, match="timeout"):
            hook.get_test_results(HTTP_TEST, "http-server")
        assert time.monotonic() - begun < 1.5

    def test_an_unreachable_server_is_retried(self, simulator, connect_either):
        sleeps = []
        hook = connect_either(retry_limit=3, sleeps=sleeps)
        simulator.stop()
        with pytest.raises(ThousandEyesConnectionError, match=r"could not connect.*attempt 3 of 3"):
            hook.list_tests()
        assert len(sleeps) == 2

    def test_a_body_that_is_too_large_is_not_read_completely(self, simulator, either, monkeypatch):
        monkeypatch.setattr("thousandeyes_provider.api.body.LARGEST_BODY", 1000)
        with pytest.raises(ThousandEyesConnectionError, match="more than 1000 bytes"):
            either.get_test_results(HTTP_TEST, "http-server")
        assert simulator.count("results") == 1

    def test_no_retry_starts_beyond_the_deadline(self, simulator, either):
        simulator.fail("results", status=503, times=None)
        with pytest.raises(ThousandEyesServerError, match="no time is left"):
            either.get_test_results(HTTP_TEST, "http-server", time_left=lambda: 0.0)
        assert simulator.count("results") == 1

    def test_each_retry_logs_one_line(self, simulator, either, log):
        simulator.fail("results", status=503, times=2)
        either.get_test_results(HTTP_TEST, "http-server")
        lines = [line for line in log().splitlines() if "again in" in line]
        assert f"http-server results of test {HTTP_TEST}: attempt 1: 503; again in 0.0 s" in lines[0]
        assert f"http-server results of test {HTTP_TEST}: attempt 2: 503; again in 0.0 s" in lines[1]


class TestRateLimits:
    @pytest.mark.parametrize("local_clock_is_off_by", [-7200, 7200])
    def test_the_wait_uses_the_servers_clock(self, simulator, connect_either, local_clock_is_off_by):
        sleeps = []
        clock = Clock(lambda: time.time() + local_clock_is_off_by, lambda: 0.01)
        hook = connect_either(sleeps=sleeps, clock=clock)
        simulator.throttle(1, 3, operation="results")
        hook.get_test_results(HTTP_TEST, "http-server")
        (seconds,) = sleeps
        assert 3 <= seconds <= 5
        assert hook.throttled_seconds == seconds

    @pytest.mark.parametrize("families", ["both", "organization", "instant", "none"])
    @pytest.mark.parametrize("retry_after", ["none", "seconds", "date"])
    @pytest.mark.parametrize("reset", ["past", "future"])
    def test_a_read_succeeds_after_eight_429s_with_any_headers(
        self, simulator, connect_either, families, retry_after, reset
    ):
        sleeps = []
        hook = connect_either(sleeps=sleeps)
        simulator.set_switches(quota_headers=families, retry_after=retry_after, reset=reset)
        simulator.throttle(8, 20, operation="results")
        hook.get_test_results(HTTP_TEST, "http-server")
        assert (simulator.count("results"), len(sleeps)) == (9, 8)

    def test_a_reset_beyond_queue_timeout_fails_at_once_with_the_reset(self, simulator, connect_either):
        hook = connect_either(queue_timeout=10)
        simulator.throttle(9, 60, operation="results")
        with pytest.raises(ThousandEyesRateLimitError, match="longer than queue_timeout 10 s") as failure:
            hook.get_test_results(HTTP_TEST, "http-server")
        assert failure.value.bucket == "organization"
        assert abs(failure.value.reset_at.timestamp() - time.time() - 60) < 3
        assert simulator.count("results") == 1

    def test_quota_and_pace_come_from_the_newest_response(self, simulator, either):
        assert either.quota() == {}
        assert either.polling_gap() == 0
        simulator.set_switches(organization_limit=10, quota_windows="first-request")
        for _ in range(9):
            either.list_tests()
        assert either.quota()["organization"].remaining == 1
        assert either.polling_gap() > 50


class TestErrors:
    STATUSES = {
        400: ThousandEyesRequestError,
        401: ThousandEyesAuthError,
        403: ThousandEyesAuthError,
        404: ThousandEyesNotFoundError,
        409: ThousandEyesRequestError,
        418: ThousandEyesRequestError,
    }

    @pytest.mark.parametrize("operation", READS)
    @pytest.mark.parametrize("status", STATUSES)
    def test_an_error_is_not_retried_and_has_thousandeyes_message(self, simulator, either, operation, status):
        body = {"title": "Nope", "status": status, "detail": "because of this", "instance": "/v7"}
        if status == 400:
            body["errors"] = [{"code": "X-1", "field": "window", "message": "is wrong"}]
        simulator.fail(operation, status=status, body=json.dumps(body))
        with pytest.raises(self.STATUSES[status], match="because of this") as failure:
            READS[operation](either)
        assert simulator.count(operation) == 1
        assert (failure.value.status, failure.value.detail) == (status, "because of this")
        assert failure.value.errors == body.get("errors", [])

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    @pytest.mark.parametrize(
        "target", ["https://elsewhere.example/v7/tests", "//elsewhere.example/x", "ftp://127.0.0.1/"]
    )
    def test_a_redirect_to_another_origin_is_not_followed(self, simulator, either, status, target):
        simulator.fail("tests", status=status, headers={"Location": target})
        with pytest.raises(ThousandEyesConnectionError, match="another origin"):
            either.list_tests()
        assert simulator.count() == 1

    def test_a_redirect_within_the_origin_is_followed(self, simulator, either):
        simulator.fail("tests", status=302, headers={"Location": "/v7/tests?x=1"})
        assert len(either.list_tests()) == 12

    def test_endless_redirects_end_with_an_error(self, simulator, either):
        simulator.fail("tests", status=302, headers={"Location": "/v7/tests"}, times=None)
        with pytest.raises(ThousandEyesConnectionError, match="redirects"):
            either.list_tests()

    @pytest.mark.parametrize(
        "test_id", ["../agents?", "1/../../agents", "1?x=1", "1#", "1%2f..%2fagents", "a b"]
    )
    def test_no_test_id_reaches_another_endpoint(self, simulator, either, test_id):
        with pytest.raises((ThousandEyesNotFoundError, ThousandEyesRequestError)):
            either.get_test_results(test_id, "network")
        for request in simulator.requests:
            assert request.operation in ("results", None)
            assert request.query == {}

    def test_a_missing_token_is_a_configuration_error(self, simulator, connect_either):
        hook = connect_either(fields={**simulator.connection(), "password": ""})
        with pytest.raises(ThousandEyesConfigurationError, match="API token is missing"):
            hook.list_tests()

    def test_a_token_in_a_response_is_masked(self, simulator, either):
        simulator.fail("tests", status=400, detail="bad header: Bearer t0ken-that-nobody-may-see")
        with pytest.raises(ThousandEyesRequestError, match=r"Bearer \*\*\*") as failure:
            either.list_tests()
        assert "t0ken" not in str(failure.value) + repr(failure.value.__dict__)


class TestProxiesAndCertificates:
    """Proxies and certificates behave as in the http provider."""

    @pytest.mark.parametrize("spelling", ["by scheme", "by url", "one for all", "as JSON"])
    def test_requests_go_through_the_proxy_with_its_password(self, connect_either, proxy, spelling):
        address = f"http://user:pa55word@127.0.0.1:{proxy.port}"
        proxies = {
            "by scheme": {"http": address},
            "by url": {"http://te.example": address},
            "one for all": address,
            "as JSON": json.dumps({"http": address}),
        }[spelling]
        fields = {"conn_type": "thousandeyes", "host": "http://te.example", "password": "secret-token"}
        hook = connect_either(fields={**fields, "extra": {"allow_http": True, "proxies": proxies}})
        assert hook.list_tests() == []
        ((path, headers),) = proxy.requests
        assert path == "http://te.example/v7/tests"
        assert headers["Proxy-Authorization"] == "Basic dXNlcjpwYTU1d29yZA=="
        assert headers["Authorization"] == "Bearer secret-token"
        assert hook.list_tests() == []
        assert len(proxy.requests) == 2

    @pytest.mark.parametrize("user", ["", "user:pa55word@"])
    def test_a_proxy_never_gets_the_token_of_a_tunnel(self, connect_either, proxy, user):
        fields = {"conn_type": "thousandeyes", "host": "https://te.example", "password": "secret-token"}
        extra = {"proxies": f"http://{user}127.0.0.1:{proxy.port}", "retry_limit": 1, "timeout": 3}
        with pytest.raises(ThousandEyesConnectionError, match="could not connect"):
            connect_either(fields={**fields, "extra": extra}).list_tests()
        ((path, headers),) = proxy.requests
        assert path == "te.example:443"
        assert headers.get("Proxy-Authorization") == ("Basic dXNlcjpwYTU1d29yZA==" if user else None)
        assert "secret-token" not in str(headers)

    def test_a_plain_request_has_no_credentials_for_the_proxy(self, connect_either, proxy):
        fields = {"conn_type": "thousandeyes", "host": "http://te.example", "password": "secret-token"}
        extra = {"allow_http": True, "proxies": f"http://127.0.0.1:{proxy.port}"}
        assert connect_either(fields={**fields, "extra": extra}).list_tests() == []
        ((_, headers),) = proxy.requests
        assert headers["Authorization"] == "Bearer secret-token"
        assert "Proxy-Authorization" not in headers

    @pytest.mark.parametrize("trusted", [True, False])
    def test_the_proxy_of_the_environment_is_used_by_default(
        self, simulator, connect_either, proxy, monkeypatch, trusted
    ):
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        fields = {"conn_type": "thousandeyes", "host": "http://te.example", "password": "secret-token"}
        extra = {"allow_http": True, "trust_env": trusted, "retry_limit": 1, "timeout": 1}
        hook = connect_either(fields={**fields, "extra": extra})
        if trusted:
            assert hook.list_tests() == []
        else:
            with pytest.raises(ThousandEyesConnectionError):
                hook.list_tests()
        assert len(proxy.requests) == trusted

    def test_the_connections_proxy_takes_precedence_over_the_environment(
        self, connect_either, proxy, monkeypatch
    ):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        fields = {"conn_type": "thousandeyes", "host": "http://te.example", "password": "secret-token"}
        extra = {"allow_http": True, "proxies": {"http": f"http://127.0.0.1:{proxy.port}"}, "retry_limit": 1}
        assert connect_either(fields={**fields, "extra": extra}).list_tests() == []
        assert len(proxy.requests) == 1

    def test_loopback_requests_bypass_the_proxy(self, simulator, connect_either, proxy, monkeypatch):
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        connect_either(trust_env=True).list_tests()
        assert (len(proxy.requests), len(simulator.requests)) == (0, 1)

    @pytest.mark.parametrize("extra", [{"verify": "garbage"}, {"cert": "garbage"}])
    def test_an_invalid_certificate_file_is_refused_before_any_request(
        self, simulator, connect_either, tmp_path, extra
    ):
        path = tmp_path / "garbage.pem"
        path.write_text("nothing of use")
        hook = connect_either(**dict.fromkeys(extra, str(path)))
        with pytest.raises(ThousandEyesConfigurationError, match="no usable certificate"):
            hook.list_tests()
        assert simulator.requests == []

    def test_an_unreachable_proxy_is_reported_without_its_password(self, connect_either):
        fields = {"conn_type": "thousandeyes", "password": "secret-token"}
        extra = {"proxies": "http://user:pa55word@127.0.0.1:9", "retry_limit": 1, "timeout": 2}
        with pytest.raises(ThousandEyesConnectionError, match="could not connect") as failure:
            connect_either(fields={**fields, "extra": extra}).list_tests()
        assert "pa55word" not in str(failure.value)

    def fields(self, server, **extra):
        return {
            "conn_type": "thousandeyes",
            "host": f"https://127.0.0.1:{server.port}",
            "password": "secret-token",
            "extra": {"trust_env": False, "retry_limit": 2, "timeout": 3, **extra},
        }

    def test_an_untrusted_certificate_is_not_retried(self, connect_either, tls_server):
        sleeps = []
        hook = connect_either(fields=self.fields(tls_server), sleeps=sleeps)
        with pytest.raises(ThousandEyesConnectionError, match="certificate of the server is not trusted"):
            hook.list_tests()
        assert tls_server.requests == sleeps == []

    @pytest.mark.parametrize("verify", ["file", "false", False])
    def test_custom_authorities_and_client_certificates_work(
        self, connect_either, tls_server, certificate, verify
    ):
        verify = certificate if verify == "file" else verify
        hook = connect_either(fields=self.fields(tls_server, verify=verify, cert=certificate))
        assert hook.list_tests() == []

    def test_a_file_of_authorities_removed_after_the_connection_was_read(
        self, connect_either, tls_server, certificate, tmp_path
    ):
        path = tmp_path / "authorities.pem"
        path.write_bytes(Path(certificate).read_bytes())
        hook = connect_either(fields=self.fields(tls_server, verify=str(path)))
        _ = hook.load() if hasattr(hook, "load") else hook.settings
        path.unlink()
        with pytest.raises(ThousandEyesConnectionError, match="could not connect"):
            hook.list_tests()
        assert tls_server.requests == []

    def test_a_missing_client_certificate_is_an_error(self, connect_either, tls_server, certificate):
        hook = connect_either(fields=self.fields(tls_server, verify=certificate))
        if not tls_server.asks_for_certificate:
            assert hook.list_tests() == []
            return
        with pytest.raises(ThousandEyesConnectionError):
            hook.list_tests()
        assert tls_server.requests == []

    def test_netrc_does_not_replace_the_token(self, connect_either, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login x password y\n")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert connect_either(trust_env=True).list_tests()

    def test_the_connections_authorities_take_precedence_over_the_environment(
        self, connect_either, tls_server, certificate, monkeypatch
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")
        fields = self.fields(tls_server, verify=certificate, cert=certificate, trust_env=True)
        assert connect_either(fields=fields).list_tests() == []


class TestLists:
    def test_an_unknown_tag_is_an_error_with_similar_tags(self, simulator, either):
        simulator.add_test("http-server", scheduled=True, tags=["service:checkout"])
        with pytest.raises(ThousandEyesConfigurationError, match="service:checkout"):
            either.list_tests(tags="service:chekout")

    def test_alert_rules_are_all_or_those_of_a_test(self, simulator, either):
        tests = [simulator.add_test("http-server", scheduled=True) for _ in range(2)]
        for test in tests:
            simulator.add_alert_rule(expression="((responseTime >= 500 ms))", tests=[test])
        assert len(either.list_alert_rules()) == 2
        (rule,) = either.list_alert_rules(tests[0])
        assert rule["expression"] == "((responseTime >= 500 ms))"

    def test_alerts_are_listed_by_their_state(self, either):
        assert either.list_alerts(window="24h", state="clear") == []
        with pytest.raises(ThousandEyesConfigurationError, match="trigger, clear"):
            either.list_alerts(window="24h", state="closed")
