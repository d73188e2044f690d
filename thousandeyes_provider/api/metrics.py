"""The metrics of each result type: their names, what they are, their units, and how to read them from a row.

Source of the names: SPEC, the row schemas of the results. The API grows, so that a name that is not here may still be
right; it is read from the row like any other.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from thousandeyes_provider.api.coerce import boolean, number
from thousandeyes_provider.api.result_types import RESULT_TYPES, Row, row_error


class Kind(StrEnum):
    """What the values of a metric are."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Metric:
    """A value that rows of a result type have.

    :param name: the field, dotted into the row.
    :param kind: what its values are.
    :param unit: ``ms``, ``%``, ``Mbps``, ``B``, ``B/s``, ``days``; empty for none.
    :param expand: what the results have to be asked for with ``expand=`` to have it.
    :param derived: computes it from a row, for the metrics that are this provider's own; ``None`` as its result
        means that the row has no value.
    """

    name: str
    kind: Kind
    unit: str = ""
    expand: str | None = None
    derived: Callable[[Row], Any] | None = None


def _certificates(row: Row) -> list[Mapping[str, Any]]:
    found = row.get("sslCertificates")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _days_left(row: Row) -> float | None:
    days = [number(one.get("daysUntilExpiry")) for one in _certificates(row)]
    return min((one for one in days if one is not None), default=None)


def _certificate_valid(row: Row) -> bool | None:
    """Whether no certificate is outside its dates or lacks a valid signer (said only when false, SPEC)."""
    flags = [
        boolean(one.get(name))
        for one in _certificates(row)
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
    " sslCertificates.validBefore sslCertificates.subjectAlternativeNames",
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

_EXPAND = {"headers": "header", "sslCertificates": "certificate"}
"""The fields of http-server rows that come only when they are asked for, and the word that asks (SPEC)."""


def _expand(result_type: str, name: str) -> str | None:
    return _EXPAND.get(name.partition(".")[0]) if result_type == "http-server" else None


def _table(result_type: str) -> dict[str, Metric]:
    found = [
        Metric(name, Kind.NUMBER, unit, _expand(result_type, name))
        for unit, names in _NUMBERS[result_type].items()
        for name in names.split()
    ]
    for kind, names in ((Kind.TEXT, _TEXTS), (Kind.BOOLEAN, _BOOLEANS)):
        found += [
            Metric(name, kind, "", _expand(result_type, name)) for name in names.get(result_type, "").split()
        ]
    if result_type == "http-server":
        found += [
            Metric("certificateDaysLeft", Kind.NUMBER, "days", "certificate", _days_left),
            Metric("certificateValid", Kind.BOOLEAN, "", "certificate", _certificate_valid),
        ]
    if RESULT_TYPES[result_type].judged:
        if "availability" not in _NUMBERS[result_type].get("%", ""):
            found.append(
                Metric("availability", Kind.NUMBER, "%", derived=_availability(result_type)),
            )
        found.append(Metric("error", Kind.TEXT, derived=_error(result_type)))
    return {metric.name: metric for metric in (*found, *_OF_EVERY_ROW)}


METRICS: Mapping[str, Mapping[str, Metric]] = {name: _table(name) for name in RESULT_TYPES}
"""The metrics that are known of each result type, by name."""


def metric_values(result_type: str, name: str, row: Row) -> tuple[Any, ...]:
    """What a row says of a metric: one value; several where the name leads into a list; none when it is absent.

    Null, an object, and a negative ``healthScore`` (no score, API-FACTS) are no values. A list of plain values at the
    end of the name is one text, an entry a line.

    :param result_type: a key of :data:`METRICS`.
    :param name: the metric, dotted into the row.
    :param row: one row of ``results`` as the API gives it.
    """
    found = row.get(name)
    if found is None:
        metric = METRICS[result_type].get(name)
        if metric is not None and metric.derived is not None:
            found = metric.derived(row)
    if found is None and "." in name:
        raw: Iterable[Any] = _inside(row, name.split("."))
    else:
        raw = (found,)
    return tuple(value for one in raw if (value := _plain(name, one)) is not None)


def unit_of(result_type: str, name: str) -> str:
    """The unit of a metric; empty when it has none, or is not known."""
    metric = METRICS.get(result_type, {}).get(name)
    return metric.unit if metric else ""


def kind_of(result_type: str, name: str) -> Kind | None:
    """What the values of a metric are; ``None`` when it is not known."""
    metric = METRICS.get(result_type, {}).get(name)
    return metric.kind if metric else None


def expand_of(result_type: str, name: str) -> str | None:
    """What the results have to be asked for with ``expand=`` to have a metric, known or not; else ``None``."""
    metric = METRICS.get(result_type, {}).get(name)
    return metric.expand if metric else _expand(result_type, name)


def nearest_metric(result_type: str, name: str) -> str | None:
    """The known metric that a wrong name most likely means; ``None`` when none is near."""
    wanted = name.casefold()
    known = [metric for metric in METRICS[result_type] if metric not in _COMMON]
    for metric in known:
        if wanted in (metric.casefold(), metric.casefold().rpartition(".")[2]):
            return metric
    by_text = {metric.casefold(): metric for metric in known}
    near = difflib.get_close_matches(wanted, by_text, n=1)
    return by_text[near[0]] if near else None


_COMMON = frozenset(metric.name for metric in _OF_EVERY_ROW)


def _inside(value: Any, parts: list[str]) -> Iterable[Any]:
    for place, part in enumerate(parts):
        if isinstance(value, list):
            return [found for entry in value for found in _inside(entry, parts[place:])]
        if not isinstance(value, Mapping):
            return ()
        value = value.get(part)
    return (value,)


def _plain(name: str, value: Any) -> str | int | float | bool | None:
    if isinstance(value, list):
        entries = [one for one in value if isinstance(one, str) or number(one) is not None]
        return "\n".join(map(str, entries)) if entries else None
    if not isinstance(value, str | int | float):
        return None
    if name.rpartition(".")[2] == "healthScore":
        score = number(value)
        return None if score is not None and score < 0 else value
    return value
