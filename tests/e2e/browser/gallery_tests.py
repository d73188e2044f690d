"""The ThousandEyes tests behind the pictures of the examples, each on an interesting day."""

from __future__ import annotations

from typing import Any

from thousandeyes_provider.simulator import Simulator

FRANKFURT, SINGAPORE, ZURICH = "Frankfurt, Germany", "Singapore", "zurich-branch-2"
SLOWER = [{}, {"condition": "slow:1.4"}]
"""Two runs, of which the second is 40 % slower."""


def version(number: str) -> dict[str, Any]:
    """Response headers with a version."""
    return {"headers": {"responseHeaders": f"HTTP/1.1 200 OK\r\nX-App-Version: {number}\r\n"}}


def add_tests(simulator: Simulator) -> None:
    """Add the tests of all examples."""

    def add(test_type: str, test_id: int, name: str, **spec: Any) -> None:
        simulator.add_test(test_type, str(test_id), name=name, **spec)

    add("http-server", 410001, "Landing page", condition="certificate")
    add("http-server", 410002, "Checkout", outcomes={SINGAPORE: "error"})
    add("http-server", 410003, "Storefront")
    add("api", 410004, "Payments API", silent=[ZURICH])
    add("http-server", 410005, "Mobile API", silent=[SINGAPORE, ZURICH])
    add("page-load", 410006, "Shop", metrics=version("1.5.0") | {SINGAPORE: version("1.4.2")})
    add("api", 410007, "Orders API", failed_step=2, outcomes={FRANKFURT: "error", SINGAPORE: "error"})
    add("http-server", 410008, "Search", next_runs=[{}, {"condition": {SINGAPORE: "slow:1.8"}}])
    for index, name in enumerate(("Account", "Catalog", "Invoices", "Login", "Profile")):
        add("http-server", 410010 + index, name, next_runs=SLOWER if name == "Invoices" else [{}, {}])
    for index, name in enumerate(("Cart", "Payment", "Order status", "Receipts")):
        url = {"url": f"https://{name.split()[0].lower()}.example.com/"}
        add("http-server", 410020 + index, name, scheduled=True, tags=["service:checkout"], definition=url)
    simulator.target("payment.example.com", "slow:9")
    history = [{"ago": ago, "metrics": {"responseTime": 120}} for ago in range(600, 6000, 600)]
    add("http-server", 410030, "Web shop", scheduled=True, history=history)
    add("dns-trace", 410040, "www.example.com, authoritative servers")
    cached = {"metrics": {FRANKFURT: {"mappings": "203.0.113.7"}}}
    add("dns-server", 410041, "www.example.com, resolvers", next_runs=[cached, {}])
    add("agent-to-server", 410050, "WAN", metrics={FRANKFURT: {"avgLatency": 140}}, silent=[ZURICH])
    add("voice", 410060, "Contact center", metrics={"mos": 4.3, SINGAPORE: {"mos": 3.1}})
    add("http-server", 410070, "Status page", silent=[ZURICH])


PARAMS: dict[str, dict[str, Any]] = {
    "thousandeyes_instant_test": {"test_id": "410001"},
    "thousandeyes_deployment_pipeline": {"test_id": "410002", "version": "1.5.0"},
    "thousandeyes_release_gate": {"test_ids": ["410003", "410004"], "timeout": 40, "version": "1.5.0"},
    "thousandeyes_human_decision": {"test_id": "410005"},
    "thousandeyes_web_application": {"test_id": "410006", "version": "1.5.0"},
    "thousandeyes_api_canary": {"test_id": "410007"},
    "thousandeyes_before_and_after": {"test_id": "410008"},
    "thousandeyes_many_before_and_after": {"test_ids": [str(410010 + index) for index in range(5)]},
    "thousandeyes_tests_by_tag": {"tag": "service:checkout"},
    "thousandeyes_scheduled_test_now": {"test_id": "410030"},
    "thousandeyes_preview_environment": {"pull_request": 42, "slowest": 150},
    "thousandeyes_dns_change": {"trace_test_id": "410040", "resolver_test_id": "410041"},
    "thousandeyes_wan_failover": {"test_id": "410050"},
    "thousandeyes_voice_path": {"test_id": "410060"},
    "thousandeyes_retry_policy": {"test_id": "410070"},
}
"""The examples, each with the params of its run."""
