"""Conditions of a target affect every result type of its tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from thousandeyes_provider.api.metrics import METRICS
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, row_error
from thousandeyes_provider.simulator import Simulator
from thousandeyes_provider.simulator.conditions import condition, host_of
from thousandeyes_provider.simulator.model import default_test_id

MakeApi = Callable[..., Any]

TARGETS = {
    "agent-to-server": "www.example.com",
    "agent-to-agent": "zurich-branch-2",
    "http-server": "www.example.com",
    "page-load": "https://www.example.com/",
    "web-transactions": "WWW.example.com:443",
    "api": "api.example.com",
    "ftp-server": "ftp.example.com",
    "dns-server": "www.example.com",
    "dns-trace": "www.example.com",
    "dnssec": "www.example.com",
    "sip-server": "sip.example.com",
    "voice": "281474976710802",
}
EVERY = [
    (name, result_type) for name, test_type in TEST_TYPES.items() for result_type in test_type.result_types
]


def measured(api: Any, test_id: str, result_type: str) -> list[dict[str, Any]]:
    """Run the test and return the rows of the new round."""
    api.run(test_id)
    api.now += 10
    query = "?expand=header,certificate" if result_type == "http-server" else ""
    rows: list[dict[str, Any]] = api.rows(test_id, result_type, query)
    assert rows
    return rows


def before_and_after(
    make_api: MakeApi, test_type: str, result_type: str, condition: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of the same test and round without and with a condition of the target."""
    before, after = make_api(), make_api()
    after.world.set_target(TARGETS[test_type], condition)
    test_id = default_test_id(test_type)
    return tuple(measured(api, test_id, result_type) for api in (before, after))  # type: ignore[return-value]


class TestDown:
    @pytest.mark.parametrize(("test_type", "result_type"), EVERY)
    def test_every_row_that_can_signal_an_error_does(
        self, make_api: MakeApi, test_type: str, result_type: str
    ) -> None:
        before, after = before_and_after(make_api, test_type, result_type, "down")
        assert not any(row_error(result_type, row) for row in before)
        assert all(bool(row_error(result_type, row)) == RESULT_TYPES[result_type].judged for row in after)

    @pytest.mark.parametrize(
        ("test_type", "result_type", "reason"),
        [
            ("http-server", "http-server", "Connect: Connection refused"),
            ("api", "api", "Connect: Step 1: connection refused"),
            ("web-transactions", "web-transactions", "Connect: net::ERR_CONNECTION_REFUSED"),
            ("page-load", "page-load", "no pageLoadTime"),
            ("agent-to-server", "network", "loss 100 %"),
            ("dns-server", "dns-server", "No response from the server"),
            ("dnssec", "dnssec", "No response from the name servers"),
            ("sip-server", "sip-server", "connect: Connection refused"),
            ("voice", "rtp-server", "No packets received"),
        ],
    )
    def test_the_row_contains_the_reason(
        self, make_api: MakeApi, test_type: str, result_type: str, reason: str
    ) -> None:
        _, after = before_and_after(make_api, test_type, result_type, "down")
        assert {row_error(result_type, row) for row in after} == {reason}


class TestSlow:
    @pytest.mark.parametrize(("test_type", "result_type"), EVERY)
    def test_times_are_multiplied_without_errors(
        self, make_api: MakeApi, test_type: str, result_type: str
    ) -> None:
        before, after = before_and_after(make_api, test_type, result_type, "slow:1.5")
        for healthy, impaired in zip(before, after, strict=True):
            assert row_error(result_type, impaired) is None
            for name, metric in METRICS[result_type].items():
                if metric.unit == "ms" and name in healthy:
                    assert impaired[name] == pytest.approx(healthy[name] * 1.5, abs=0.51), name
        if result_type == "path-vis":
            assert after[0]["pathTraces"][0]["responseTime"] > before[0]["pathTraces"][0]["responseTime"]

    def test_latency_lowers_mos(self, make_api: MakeApi) -> None:
        before, after = before_and_after(make_api, "voice", "rtp-server", "slow:20")
        assert all(
            impaired["mos"] < healthy["mos"] - 0.1 for healthy, impaired in zip(before, after, strict=True)
        )


class TestLossy:
    @pytest.mark.parametrize(("test_type", "result_type"), EVERY)
    def test_rows_have_no_error(self, make_api: MakeApi, test_type: str, result_type: str) -> None:
        _, after = before_and_after(make_api, test_type, result_type, "lossy:10")
        assert not any(row_error(result_type, row) for row in after)

    def test_network(self, make_api: MakeApi) -> None:
        before, after = before_and_after(make_api, "agent-to-server", "network", "lossy:10")
        for healthy, impaired in zip(before, after, strict=True):
            assert impaired["loss"] == 10
            assert impaired["jitter"] > 2 * healthy["jitter"]
            assert impaired["bandwidth"] < healthy["bandwidth"]
            assert impaired["packetsBySecond"][2:] == [[20, 18]] * 2

    def test_voice(self, make_api: MakeApi) -> None:
        before, after = before_and_after(make_api, "voice", "rtp-server", "lossy:10")
        for healthy, impaired in zip(before, after, strict=True):
            assert (impaired["loss"], impaired["discards"]) == (10, 1)
            assert 1 <= impaired["mos"] < healthy["mos"] - 0.5
            assert impaired["pdv"] > healthy["pdv"]

    def test_transfers_take_longer(self, make_api: MakeApi) -> None:
        before, after = before_and_after(make_api, "http-server", "http-server", "lossy:10")
        for healthy, impaired in zip(before, after, strict=True):
            assert impaired["responseTime"] == pytest.approx(healthy["responseTime"] * 1.2, abs=0.51)
            assert impaired["throughput"] < healthy["throughput"]


class TestCertificate:
    def test_an_http_test_fails_and_reports_the_certificate(self, make_api: MakeApi) -> None:
        _, after = before_and_after(make_api, "http-server", "http-server", "certificate")
        for row in after:
            assert row_error("http-server", row) == "SSL: SSL certificate problem: certificate has expired"
            (certificate,) = row["sslCertificates"]
            assert certificate["daysUntilExpiry"] == -3
            assert certificate["isFetchDateInValidCertDateRange"] is False
            assert certificate["validBefore"] < row["date"]
            assert "connectTime" in row
            assert not {"responseTime", "responseCode", "headers"} & set(row)

    @pytest.mark.parametrize(
        ("test_type", "result_type", "reason"),
        [
            ("page-load", "page-load", "no pageLoadTime"),
            ("page-load", "network", None),
            ("web-transactions", "web-transactions", "SSL: net::ERR_CERT_DATE_INVALID"),
            ("api", "api", "SSL: Step 1: SSL certificate problem: certificate has expired"),
            ("ftp-server", "ftp-server", None),
            ("sip-server", "sip-server", None),
            ("dns-server", "dns-server", None),
            ("dnssec", "dnssec", None),
            ("voice", "rtp-server", None),
            ("agent-to-server", "network", None),
        ],
    )
    def test_only_tls_tests_fail(
        self, make_api: MakeApi, test_type: str, result_type: str, reason: str | None
    ) -> None:
        _, after = before_and_after(make_api, test_type, result_type, "certificate")
        assert {row_error(result_type, row) for row in after} == {reason}

    @pytest.mark.parametrize(
        ("test_type", "definition", "reason"),
        [
            (
                "ftp-server",
                {"useExplicitFtps": True},
                "SSL: SSL certificate problem: certificate has expired",
            ),
            ("sip-server", {"protocol": "tls"}, "ssl: SSL certificate problem: certificate has expired"),
            ("http-server", {"verifyCertificate": False}, None),
            ("http-server", {"url": "http://www.example.com/"}, None),
        ],
    )
    def test_the_definition_decides_whether_the_test_fails(
        self, make_api: MakeApi, test_type: str, definition: dict[str, Any], reason: str | None
    ) -> None:
        api = make_api()
        api.world.set_target(TARGETS[test_type], "certificate")
        test_id = api.world.add_test(api.now, test_type=test_type, definition=definition).test_id
        assert {row_error(test_type, row) for row in measured(api, test_id, test_type)} == {reason}

    def test_a_test_without_verification_reports_the_expiry(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.set_target("www.example.com", "certificate")
        definition = {"url": "https://www.example.com/", "agents": [{"agentId": "14410"}]}
        api.ask("POST", "/tests/http-server/instant", definition)
        (row,) = measured(api, "202801", "http-server")
        assert row["responseCode"] == 200
        assert row["sslCertificates"][0]["daysUntilExpiry"] == -3

    def test_an_api_test_fails_at_the_request_to_that_host(self, make_api: MakeApi) -> None:
        api = make_api()
        requests = [
            {"name": "one", "url": "https://one.example.com/", "verifyCertificate": True},
            {"name": "two", "url": "https://two.example.com/", "verifyCertificate": False},
        ]
        test_id = api.world.add_test(api.now, test_type="api", definition={"requests": requests}).test_id
        api.world.set_target("two.example.com", "certificate")
        assert {row_error("api", row) for row in measured(api, test_id, "api")} == {None}
        api.world.set_target("one.example.com", "certificate")
        assert None not in {row_error("api", row) for row in measured(api, test_id, "api")}


class TestScope:
    def test_other_targets_are_unaffected(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.set_target("elsewhere.example.com", "down")
        assert (
            row_error("http-server", measured(api, default_test_id("http-server"), "http-server")[0]) is None
        )

    def test_one_of_two_dns_servers_fails(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.set_target("ns1.example.net", "down")
        rows = measured(api, default_test_id("dns-server"), "dns-server")
        assert {(row["server"], row_error("dns-server", row)) for row in rows} == {
            ("ns1.example.net", "No response from the server"),
            ("ns2.example.net", None),
        }

    def test_the_worst_of_several_conditions_applies(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.set_target("www.example.com", "slow")
        api.world.set_target("ns1.example.net", "down")
        rows = measured(api, default_test_id("dns-server"), "dns-server")
        assert {row["server"] for row in rows if row_error("dns-server", row)} == {"ns1.example.net"}

    def test_a_condition_can_be_set_by_agent_and_result_type(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.set_target("www.example.com", {"vienna-office-1": "down", "network": "lossy:5"})
        test_id = default_test_id("http-server")
        rows = measured(api, test_id, "http-server")
        assert [row["agent"]["agentName"] for row in rows if row_error("http-server", row)] == [
            "vienna-office-1"
        ]
        assert sorted(row["loss"] for row in api.rows(test_id, "network")) == [5, 5, 5, 5, 100]

    def test_the_condition_of_a_test_takes_precedence(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.set_target("www.example.com", "down")
        test_id = api.world.add_test(api.now, test_type="http-server", condition="ok").test_id
        assert row_error("http-server", measured(api, test_id, "http-server")[0]) is None
        api.world.change_test(api.world.tests[test_id], next_runs=[{"condition": "slow:4"}])
        slow, again = (measured(api, test_id, "http-server")[0]["waitTime"] for _ in range(2))
        assert slow > 3 * again

    def test_rounds_keep_the_condition_of_their_start(self, make_api: MakeApi) -> None:
        api = make_api()
        test_id = default_test_id("http-server")
        api.world.set_target("www.example.com", "down")
        measured(api, test_id, "http-server")
        api.world.set_target("www.example.com", "ok")
        assert row_error("http-server", api.rows(test_id, "http-server")[0])
        assert row_error("http-server", measured(api, test_id, "http-server")[0]) is None

    @pytest.mark.parametrize(
        ("text", "host"),
        [
            ("https://Shop.Example.com:8443/a?b=c", "shop.example.com"),
            ("dc.example.com:443", "dc.example.com"),
            ("www.example.com AAAA", "www.example.com"),
            ("example.com.", "example.com"),
            ("ftp://u@ftp.example.com/x", "ftp.example.com"),
            ("192.0.2.53", "192.0.2.53"),
            ("[2001:db8::1]:53", "2001:db8::1"),
            ("", ""),
        ],
    )
    def test_host_of_normalizes_targets(self, text: str, host: str) -> None:
        assert host_of(text) == host


class TestConditionSyntax:
    @pytest.mark.parametrize(
        "wrong",
        ["sluggish", None, 5, ["down"], "down:3", "slow:0.5", "slow:x", "lossy:100", "lossy:-1", "slow:"],
    )
    def test_an_invalid_condition_is_an_error(self, make_api: MakeApi, wrong: Any) -> None:
        with pytest.raises(ValueError, match="condition"):
            make_api().world.set_target("www.example.com", wrong)
        if wrong is not None:
            with pytest.raises(ValueError, match="condition"):
                make_api().world.add_test(0, test_type="dnssec", condition=wrong)

    @pytest.mark.parametrize("wrong", ["", "  ", None, "https://"])
    def test_an_empty_target_is_an_error(self, make_api: MakeApi, wrong: Any) -> None:
        with pytest.raises(ValueError, match="target"):
            make_api().world.set_target(wrong, "down")

    def test_strength_has_a_default(self) -> None:
        assert [condition(text).strength for text in ("slow", "slow:1.3", "lossy", "lossy:5", "down")] == [
            3,
            1.3,
            20,
            5,
            0,
        ]

    def test_targets_can_be_set_in_python_and_over_http(self) -> None:
        import requests

        with Simulator(speed=1000) as simulator:
            simulator.target("https://www.example.com/", "lossy:7")
            control = f"{simulator.url}/control"
            sent = {"target": "ns1.example.net", "condition": {"14410": "slow"}}
            assert requests.post(f"{control}/targets", json=sent, timeout=5).json() == {
                "targets": {"www.example.com": "lossy:7", "ns1.example.net": {"14410": "slow"}}
            }
            assert requests.get(control, timeout=5).json()["targets"]["www.example.com"] == "lossy:7"
            wrong = requests.post(f"{control}/targets", json={"target": "x", "condition": "bad"}, timeout=5)
            assert (wrong.status_code, "slow, lossy" in wrong.text) == (400, True)
            assert requests.delete(f"{control}/targets", timeout=5).json() == {"cleared": 2}
            assert requests.get(control, timeout=5).json()["targets"] == {}
