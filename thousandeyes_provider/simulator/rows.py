"""Rows with plausible values for every result type, derived from seed, test, agent and round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.simulator.conditions import (
    Condition,
    concerns,
    failed_under,
    first_failed_request,
    host_of,
    measured_under,
)

Row = dict[str, Any]

EXPANDED = {"headers": "header", "sslCertificates": "certificate"}
"""Field of an http-server row to the value of ``expand`` that includes it."""

TRANSACTION_PAGES = ("Home", "Sign in", "Cart")
"""Titles of the pages of a web transaction. Each page is a step."""

UNKNOWN_ERROR = "quic-migration"
"""An undocumented ``errorType``."""


@dataclass(frozen=True)
class Measured:
    """The inputs from which the values of a row are generated.

    :param seed: seed of the simulator.
    :param test_id: id of the test.
    :param agent_id: id of the agent.
    :param number: number of the round, counted from the first round of the test.
    :param started: start of the round in epoch seconds, for the dates in a row.
    :param key: name of the DNS server, or direction, for agents with several rows.
    :param definition: definition of the test.
    """

    seed: int
    test_id: str
    agent_id: str
    number: int
    started: int
    key: str = ""
    definition: Mapping[str, Any] = field(default_factory=dict)


class _Figures:
    """Generator of values. Each agent keeps a level for each value; each round adds a little noise."""

    def __init__(self, measured: Measured, result_type: str) -> None:
        same = f"{measured.seed}|{measured.test_id}|{measured.agent_id}|{result_type}|{measured.key}"
        self._level = Random(same)
        self._noise = Random(f"{same}|{measured.number}")

    def near(self, low: float, high: float) -> float:
        return self._level.uniform(low, high) * self._noise.uniform(0.94, 1.06)

    def whole(self, low: float, high: float) -> int:
        return max(round(self.near(low, high)), 1)

    def digits(self, count: int) -> str:
        return "".join(self._level.choice("123456789") for _ in range(count))


def _network(measured: Measured, figures: _Figures) -> Row:
    latency = figures.near(8, 60)
    return {
        "loss": 0.0,
        "avgLatency": round(latency, 3),
        "minLatency": round(latency * 0.95),
        "maxLatency": round(latency * 1.1) + 1,
        "jitter": round(figures.near(0.1, 2), 3),
        "bandwidth": round(figures.near(80, 400), 3),
        "availableBandwidth": round(figures.near(60, 300), 3),
        "capacity": round(figures.near(400, 900), 3),
        "packetsBySecond": [[], [10, 10], [20, 20], [20, 20]],
        "server": _target(measured),
        "serverIp": "192.0.2.10",
        "healthScore": round(min(figures.near(0.93, 0.99), 1.0), 3),
        "direction": measured.key,
    }


def _path_vis(measured: Measured, figures: _Figures) -> Row:
    traces = min(int(number(measured.definition.get("numPathTraces")) or 3), 10)
    return {
        "pathTraces": [
            {
                "ipAddress": f"203.0.113.{20 + trace}",
                "mss": 1460,
                "numberOfHops": figures.whole(7, 16),
                "pathId": figures.digits(40),
                "pathMtu": 1500,
                "responseTime": figures.whole(8, 60),
            }
            for trace in range(traces)
        ],
        "server": _target(measured),
        "serverIp": "192.0.2.10",
        "sourceIp": "198.51.100.7",
        "sourcePrefix": "198.51.100.0/24",
        "targetIsProxy": False,
        "direction": measured.key,
    }


def _http(measured: Measured, figures: _Figures) -> Row:
    dns, connect, ssl = figures.whole(2, 20), figures.whole(8, 60), figures.whole(15, 90)
    wait, receive, size = figures.whole(40, 180), figures.whole(3, 40), figures.whole(9_000, 12_000)
    host = _host(measured)
    today = datetime.fromtimestamp(measured.started, UTC).replace(microsecond=0)
    return {
        "serverIp": "192.0.2.10",
        "responseCode": 200,
        "numRedirects": 0,
        "redirectTime": 0,
        "dnsTime": dns,
        "connectTime": connect,
        "sslTime": ssl,
        "waitTime": wait,
        "receiveTime": receive,
        "responseTime": dns + connect + ssl + wait,
        "totalTime": dns + connect + ssl + wait + receive,
        "wireSize": size,
        "throughput": round(size / receive * 1000, 1),
        "sslCipher": "TLS_AES_128_GCM_SHA256",
        "sslVersion": "TLSv1.3",
        "healthScore": round(min(figures.near(0.93, 0.99), 1.0), 3),
        "headers": {
            "requestHeaders": f"GET / HTTP/1.1\r\nHost: {host}\r\nX-ThousandEyes-Agent: yes\r\n",
            "responseHeaders": (
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
                f"Content-Length: {size}\r\nX-App-Version: 1.0.0\r\nCache-Control: no-cache\r\n"
            ),
        },
        "sslCertificates": [
            {
                "subjectName": host,
                "subjectAlternativeNames": [host],
                "issuerName": "Example Issuing CA 1",
                "daysUntilExpiry": 60,
                "isFetchDateInValidCertDateRange": True,
                "hasValidSigningCert": True,
                "validAfter": _date(today - timedelta(days=30)),
                "validBefore": _date(today + timedelta(days=60)),
            }
        ],
    }


def _page_load(measured: Measured, figures: _Figures) -> Row:
    dom = figures.whole(400, 1200)
    return {
        "responseTime": round(figures.near(60, 300), 2),
        "totalSize": figures.whole(300_000, 900_000),
        "numObjects": figures.whole(20, 70),
        "numErrors": 0,
        "domLoadTime": dom,
        "pageLoadTime": dom + figures.whole(200, 900),
    }


def _web_transactions(measured: Measured, figures: _Figures) -> Row:
    return {"transactionTime": figures.whole(1500, 5000), "componentErrors": 0}


def _api(measured: Measured, figures: _Figures) -> Row:
    return {"apiTransactionTime": round(figures.near(120, 600), 1), "completion": 100.0}


def _ftp(measured: Measured, figures: _Figures) -> Row:
    parts = {
        "dnsTime": round(figures.near(2, 20), 3),
        "connectTime": round(figures.near(8, 60), 3),
        "negotiationTime": round(figures.near(60, 300), 3),
        "waitTime": round(figures.near(20, 90), 3),
    }
    response, transfer, size = sum(parts.values()), figures.near(40, 200), figures.whole(20_000, 60_000)
    return {
        "serverIp": "192.0.2.21",
        "responseCode": 226,
        **parts,
        "responseTime": round(response, 3),
        "transferTime": round(transfer, 3),
        "totalTime": round(response + transfer, 3),
        "wireSize": size,
        "throughput": round(size / transfer * 1000),
    }


def _dns_server(measured: Measured, figures: _Figures) -> Row:
    return {"resolutionTime": figures.whole(3, 40), "mappings": "192.0.2.10", "server": measured.key}


def _dns_trace(measured: Measured, figures: _Figures) -> Row:
    name = str(measured.definition.get("domain", "www.example.com A")).split()[0]
    return {
        "output": f"{name}.\t300\tIN\tA\t192.0.2.10",
        "queries": 3,
        "failedQueries": 0,
        "finalServerQueried": "a1.example.net.",
        "finalQueryTime": figures.whole(10, 80),
        "mappings": "192.0.2.10",
    }


def _dnssec(measured: Measured, figures: _Figures) -> Row:
    return {"isValid": True}


def _sip(measured: Measured, figures: _Figures) -> Row:
    dns, connect, options = figures.whole(2, 20), figures.whole(8, 60), figures.whole(10, 60)
    register, invite, wait = figures.whole(10, 60), figures.whole(10, 60), figures.whole(5, 30)
    registrar = str(measured.definition.get("sipRegistrar", "sip.example.com"))
    return {
        "serverIp": "192.0.2.31",
        "availability": 100.0,
        "responseCode": 200,
        "numRedirects": 0,
        "dnsTime": dns,
        "connectTime": connect,
        "optionsTime": options,
        "registerTime": register,
        "inviteTime": invite,
        "waitTime": wait,
        "responseTime": dns + connect + wait,
        "totalTime": dns + connect + options + register + invite + wait,
        "optionsRequest": f"OPTIONS sip:probe@{registrar} SIP/2.0\r\nMax-Forwards: 70\r\n",
        "optionsResponse": "SIP/2.0 200 OK\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE\r\n",
    }


def _rtp(measured: Measured, figures: _Figures) -> Row:
    return {
        "serverIp": "198.51.100.9",
        "dscp": "46",
        "dscpName": "EF (DSCP 46)",
        "mos": round(figures.near(4.05, 4.15), 3),
        "codecName": "G.711 @ 64 Kbps",
        "codecMaxMos": 4.41,
        "loss": 0.0,
        "discards": 0.0,
        "latency": figures.whole(15, 90),
        "pdv": figures.whole(1, 5),
    }


@dataclass(frozen=True)
class _Shape:
    """The rows of a result type, with and without an error.

    :param measure: generates a row without an error.
    :param lost: fields that a row with an error omits.
    :param signal: fields that signal an error.
    :param no_error: ``errorType`` of a row without an error; ``None`` if the result type has no ``errorType``.
    """

    measure: Callable[[Measured, _Figures], Row]
    lost: tuple[str, ...]
    signal: Mapping[str, Any]
    no_error: str | None = None


_HTTP_LOST = (
    "responseCode numRedirects redirectTime connectTime sslTime waitTime receiveTime responseTime totalTime"
    " wireSize throughput sslCipher sslVersion headers sslCertificates"
)
_SHAPES: Mapping[str, _Shape] = {
    "network": _Shape(
        _network,
        (
            "avgLatency",
            "minLatency",
            "maxLatency",
            "jitter",
            "bandwidth",
            "availableBandwidth",
            "capacity",
        ),
        {"loss": 100.0, "healthScore": 0.0, "packetsBySecond": [[], [10], [20], [20]]},
    ),
    "path-vis": _Shape(_path_vis, (), {"pathTraces": []}),
    "http-server": _Shape(
        _http,
        tuple(_HTTP_LOST.split()),
        {"errorType": "Connect", "errorDetails": "Connection refused", "healthScore": 0.0},
        "None",
    ),
    "page-load": _Shape(_page_load, ("pageLoadTime", "domLoadTime", "responseTime"), {"numErrors": 1}),
    "web-transactions": _Shape(
        _web_transactions,
        ("transactionTime",),
        {"errorType": "Timeout", "errorDetails": "Timed out waiting for an element", "componentErrors": 1},
        "None",
    ),
    "api": _Shape(
        _api,
        ("apiTransactionTime",),
        {"errorType": "Assertion", "errorDetails": "assertion failed", "completion": 0.0},
        "None",
    ),
    "ftp-server": _Shape(
        _ftp,
        (
            "responseCode",
            "connectTime",
            "negotiationTime",
            "waitTime",
            "responseTime",
            "transferTime",
            "totalTime",
            "wireSize",
            "throughput",
        ),
        {"errorType": "Connect", "errorDetails": "Connection refused"},
        "None",
    ),
    "dns-server": _Shape(
        _dns_server, ("resolutionTime", "mappings"), {"errorDetails": "No response from the server"}
    ),
    "dns-trace": _Shape(
        _dns_trace,
        ("mappings", "finalQueryTime", "finalServerQueried"),
        {"errorDetails": "No mapping found", "failedQueries": 3, "output": ""},
    ),
    "dnssec": _Shape(_dnssec, (), {"isValid": False, "errorDetails": "No DNSKEY record found"}),
    "sip-server": _Shape(
        _sip,
        (
            "responseCode",
            "connectTime",
            "optionsTime",
            "registerTime",
            "inviteTime",
            "waitTime",
            "responseTime",
            "totalTime",
            "optionsResponse",
        ),
        {"errorType": "connect", "problemDetail": "Connection refused", "availability": 0.0},
        "none",
    ),
    "rtp-server": _Shape(
        _rtp, ("mos", "loss", "discards", "latency", "pdv"), {"errorDetail": "No packets received"}
    ),
}


@dataclass(frozen=True)
class TargetCondition:
    """The condition of a target during a measurement.

    :param condition: the condition.
    :param hosts: hosts of the test in this condition; empty: the condition was set on the test.
    """

    condition: Condition
    hosts: frozenset[str]


class MeasuredRow(NamedTuple):
    """The fields of a row that are specific to its result type.

    :param fields: the fields.
    :param names: names of the fields that the row has if the measurement succeeds.
    :param failed_step: number of the step that failed, from 1; ``None`` if the measurement succeeded.
    """

    fields: Row
    names: frozenset[str]
    failed_step: int | None


def measured_row(
    result_type: str,
    measured: Measured,
    *,
    failed: bool,
    spelling: str,
    condition: TargetCondition | None = None,
    failed_step: int | None = None,
) -> MeasuredRow:
    """Generate a row.

    :param result_type: a name from ``RESULT_TYPES``.
    :param measured: inputs of the row.
    :param failed: whether the agent's measurement fails. Result types signal errors in different fields; see
        docs/thousandeyes-api.md, "Result types and errors".
    :param spelling: the switch ``error_type_spelling``.
    :param condition: condition of the target.
    :param failed_step: number of the step that fails, from 1, if the measurement fails. By default the first
        step that the condition affects.
    """
    shape = _SHAPES[result_type]
    row = shape.measure(measured, _Figures(measured, result_type))
    down = False
    if condition is not None:
        row = measured_under(condition.condition, result_type, row, measured.started)
        down = concerns(condition.condition, result_type, measured.definition, condition.hosts)
    if shape.no_error is not None and spelling != "absent":
        words: Mapping[str, str | None] = {"none": "none", "null": None}
        row["errorType"] = words.get(spelling, shape.no_error)
    names = frozenset(row) | frozenset(shape.signal)
    if not (failed or down):
        return MeasuredRow(row, names, None)
    healthy = row
    row = {name: value for name, value in row.items() if name not in shape.lost} | dict(shape.signal)
    if down and condition is not None:
        row = failed_under(condition.condition, result_type, row, healthy)
    if "errorType" in row and spelling == "unknown":
        row["errorType"] = UNKNOWN_ERROR
    affected = condition if down else None
    step = _failed_step(result_type, measured.definition, failed_step, affected)
    if result_type == "api":
        count = max(len(measured.definition.get("requests") or ()), 1)
        row["errorDetails"] = f"Step {step}: {row['errorDetails']}"
        row["completion"] = round(100.0 * (step - 1) / count, 1)
    return MeasuredRow(row, names, step)


def _failed_step(
    result_type: str, definition: Mapping[str, Any], wanted: int | None, affected: TargetCondition | None
) -> int:
    """Return the number of the step that fails: ``wanted``, or the first affected step; at most the last step."""
    if result_type == "api":
        count = max(len(definition.get("requests") or ()), 1)
        if wanted is None and affected is not None:
            wanted = first_failed_request(affected.condition, definition, affected.hosts)
        return min(wanted or 1, count)
    return min(wanted or 1, len(TRANSACTION_PAGES)) if result_type == "web-transactions" else wanted or 1


def merged(row: Row, changes: Mapping[str, Any]) -> Row:
    """Return ``row`` with ``changes``. Objects are merged recursively; ``None`` removes a field."""
    result = dict(row)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(result.get(name), Mapping):
            result[name] = merged(result[name], value)
        else:
            result[name] = value
    return result


def merged_changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Row:
    """Merge two sets of changes; ``second`` takes precedence."""
    result = dict(first)
    for name, value in second.items():
        earlier = result.get(name)
        both = isinstance(value, Mapping) and isinstance(earlier, Mapping)
        result[name] = merged_changes(earlier, value) if both and earlier is not None else value
    return result


def with_numbers_as_text(value: Any) -> Any:
    """Return ``value`` with all numbers converted to strings; booleans stay."""
    if isinstance(value, Mapping):
        return {name: with_numbers_as_text(part) for name, part in value.items()}
    if isinstance(value, list):
        return [with_numbers_as_text(part) for part in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _target(measured: Measured) -> str:
    return str(measured.definition.get("server") or f"{_host(measured)}:443")


def _host(measured: Measured) -> str:
    return host_of(str(measured.definition.get("url", ""))) or "www.example.com"
