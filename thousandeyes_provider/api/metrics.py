"""The metrics of each result type: name, kind, unit, and how to read it from a row.

The names are the fields of the API description (`docs/thousandeyes-api.md`, "Results"). The API grows: a field that
is not listed here can be read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any

from thousandeyes_provider.api.coerce import boolean, closest, number, objects_in
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row, row_error


class Kind(StrEnum):
    """The kind of the values of a metric."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Metric:
    """A value that rows of a result type have.

    :param name: the field, dotted into the row.
    :param unit: ``ms``, ``us``, ``%``, ``Mbps``, ``B``, ``B/s``, ``days``; empty for none.
    :param derived: computes the metric from a row, for metrics of this provider; it returns ``None`` for a row
        without a value.
    """

    name: str
    kind: Kind
    unit: str = ""
    derived: Callable[[Row], Any] | None = None


def _days_left(row: Row) -> float | None:
    certificates = objects_in(row.get("sslCertificates"))
    days = [number(certificate.get("daysUntilExpiry")) for certificate in certificates]
    return min([count for count in days if count is not None], default=None)


def _certificate_valid(row: Row) -> bool | None:
    """Whether every certificate is within its dates and has a valid signer. The API has these flags only when false."""
    flags = [
        boolean(certificate.get(name))
        for certificate in objects_in(row.get("sslCertificates"))
        for name in ("isFetchDateInValidCertDateRange", "hasValidSigningCert")
    ]
    return False not in flags if flags else None


def _availability(result_type: str) -> Callable[[Row], float]:
    return lambda row: 100.0 if row_error(result_type, row) is None else 0.0


def _error(result_type: str) -> Callable[[Row], str]:
    return lambda row: row_error(result_type, row) or ""


_NUMBERS: Mapping[str, Mapping[str, str]] = {
    "network": {
        "%": "loss proxyLoss",
        "ms": "avgLatency minLatency maxLatency jitter"
        " proxyAverageLatency proxyMinLatency proxyMaxLatency proxyJitter",
        "Mbps": "bandwidth availableBandwidth capacity",
        "": "healthScore",
    },
    "path-vis": {
        "ms": "pathTraces.responseTime",
        "B": "pathTraces.pathMtu pathTraces.mss",
        "": "pathTraces.numberOfHops",
    },
    "http-server": {
        "ms": "responseTime totalTime dnsTime connectTime sslTime waitTime receiveTime redirectTime",
        "B": "wireSize",
        "B/s": "throughput",
        "us": "dnsServerMeasurement.usedDnsResponse.timing.totalTimeUs",
        "days": "sslCertificates.daysUntilExpiry",
        "": "responseCode numRedirects healthScore",
    },
    "page-load": {
        "ms": "pageLoadTime domLoadTime responseTime",
        "B": "totalSize",
        "": "numObjects numErrors",
    },
    "web-transactions": {"ms": "transactionTime", "": "componentErrors"},
    "api": {"ms": "apiTransactionTime", "%": "completion"},
    "ftp-server": {
        "ms": "responseTime totalTime dnsTime connectTime negotiationTime waitTime transferTime",
        "B": "wireSize",
        "B/s": "throughput",
        "": "responseCode",
    },
    "dns-server": {"ms": "resolutionTime"},
    "dns-trace": {"ms": "finalQueryTime", "": "queries failedQueries"},
    "dnssec": {},
    "sip-server": {
        "%": "availability",
        "ms": "responseTime totalTime dnsTime connectTime waitTime registerTime inviteTime optionsTime",
        "": "responseCode numRedirects",
    },
    "rtp-server": {"%": "loss discards", "ms": "latency pdv", "": "mos codecMaxMos"},
}

_TEXTS: Mapping[str, str] = {
    "network": "server serverIp direction errorDetails",
    "path-vis": "server serverIp sourceIp sourcePrefix direction pathTraces.ipAddress pathTraces.pathId",
    "http-server": "serverIp errorType errorDetails sslCipher sslVersion headers.requestHeaders"
    " headers.responseHeaders sslCertificates.issuerName sslCertificates.subjectName sslCertificates.validAfter"
    " sslCertificates.validBefore sslCertificates.subjectAlternativeNames"
    " dnsServerMeasurement.usedDnsResponse.responseCode dnsServerMeasurement.usedDnsResponse.dnsResolver"
    " dnsServerMeasurement.usedDnsResponse.protocol",
    "page-load": "",
    "web-transactions": "errorType errorDetails",
    "api": "errorType errorDetails",
    "ftp-server": "serverIp errorType errorDetails",
    "dns-server": "mappings server serverId errorDetails",
    "dns-trace": "mappings output finalServerQueried errorDetails",
    "dnssec": "errorDetails",
    "sip-server": "serverIp errorType problemDetail optionsRequest optionsResponse",
    "rtp-server": "serverIp codecName dscp dscpName errorDetail",
}

_BOOLEANS: Mapping[str, str] = {
    "path-vis": "targetIsProxy",
    "http-server": "sslCertificates.isFetchDateInValidCertDateRange sslCertificates.hasValidSigningCert",
    "dnssec": "isValid",
}

_OF_EVERY_ROW = (
    *(Metric(name, Kind.NUMBER) for name in ("roundId", "startTime", "endTime")),
    *(Metric(name, Kind.TEXT) for name in ("date", "agent.agentId", "agent.agentName")),
    *(Metric(name, Kind.TEXT) for name in ("agent.countryId", "agent.location")),
)

_EXPAND = {
    "headers": "header",
    **dict.fromkeys(("sslCertificates", "certificateDaysLeft", "certificateValid"), "certificate"),
}
"""The metrics of http-server rows, by the first part of their names, that need ``expand=``, and its value."""


def _table(result_type: str) -> dict[str, Metric]:
    metrics = [
        Metric(name, Kind.NUMBER, unit)
        for unit, names in _NUMBERS[result_type].items()
        for name in names.split()
    ]
    for kind, names in ((Kind.TEXT, _TEXTS), (Kind.BOOLEAN, _BOOLEANS)):
        metrics += [Metric(name, kind) for name in names.get(result_type, "").split()]
    if result_type == "http-server":
        metrics += [
            Metric("certificateDaysLeft", Kind.NUMBER, "days", _days_left),
            Metric("certificateValid", Kind.BOOLEAN, "", _certificate_valid),
        ]
    if RESULT_TYPES[result_type].judged:
        if "availability" not in _NUMBERS[result_type].get("%", ""):
            metrics.append(Metric("availability", Kind.NUMBER, "%", derived=_availability(result_type)))
        metrics.append(Metric("error", Kind.TEXT, derived=_error(result_type)))
    return {metric.name: metric for metric in (*metrics, *_OF_EVERY_ROW)}


METRICS: Mapping[str, Mapping[str, Metric]] = {name: _table(name) for name in RESULT_TYPES}
"""The listed metrics of each result type, by name."""

_COMMON = frozenset(metric.name for metric in _OF_EVERY_ROW)


def metric_reader(result_type: str, name: str) -> Callable[[Row], tuple[Any, ...]]:
    """Return the function that reads a metric from a row: one value, several when the name leads into a list, or none.

    Null, objects, a number that is not finite, a time below zero and a negative ``healthScore`` do not count as values
    (`docs/thousandeyes-api.md`, "Result types and errors"). A list of plain values at the end of the name is one text
    with an entry per line.

    :param result_type: a key of :data:`METRICS`.
    :param name: the metric, dotted into the row.
    """
    metric = METRICS[result_type].get(name)
    derived = metric.derived if metric is not None else None
    # A time below zero and a negative health score mean "no value".
    is_signless = (metric is not None and metric.unit in ("ms", "us")) or name.rpartition(".")[
        2
    ] == "healthScore"
    parts = name.split(".") if derived is None and "." in name else None

    def is_void(value: Any) -> bool:
        measured = number(value)
        return measured is not None and measured < 0

    def read(row: Row) -> tuple[Any, ...]:
        value = row.get(name)
        if type(value) is int or (type(value) is float and isfinite(value)):
            return () if is_signless and value < 0 else (value,)
        if value is None and parts is not None:
            inner = [_plain(part) for part in _inside(row, parts)]
            return tuple([part for part in inner if part is not None and not (is_signless and is_void(part))])
        if value is None and derived is not None:
            value = derived(row)
        plain = _plain(value)
        return () if plain is None or (is_signless and is_void(plain)) else (plain,)

    return read


def unit_of(result_type: str, name: str) -> str:
    """Return the unit of a metric; empty when it has none or is not listed."""
    metric = METRICS.get(result_type, {}).get(name)
    return metric.unit if metric else ""


def kind_of(result_type: str, name: str) -> Kind | None:
    """Return the kind of a metric; ``None`` when it is not listed."""
    metric = METRICS.get(result_type, {}).get(name)
    return metric.kind if metric else None


def expand_of(result_type: str, name: str) -> str | None:
    """Return the value of ``expand=`` that a request needs for a metric, listed or not; else ``None``."""
    return _EXPAND.get(name.partition(".")[0]) if result_type == "http-server" else None


def closest_metric(result_type: str, name: str) -> str | None:
    """Return the listed metric that a wrong name most likely means; ``None`` when none is close."""
    wanted = name.casefold()
    listed = [metric for metric in METRICS[result_type] if metric not in _COMMON]
    for metric in listed:
        if wanted in (metric.casefold(), metric.casefold().rpartition(".")[2]):
            return metric
    return closest(name, listed)


def _inside(value: Any, parts: list[str]) -> Iterable[Any]:
    for position, part in enumerate(parts):
        if isinstance(value, list):
            return [inner for entry in value for inner in _inside(entry, parts[position:])]
        if type(value) is not dict and not isinstance(value, Mapping):
            return ()
        value = value.get(part)
    return (value,)


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, list):
        entries = [entry for entry in value if isinstance(entry, str) or number(entry) is not None]
        return "\n".join(map(str, entries)) if entries else None
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if isinstance(value, (str, int)) else None
