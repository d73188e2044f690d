"""Conditions of targets and their effect on the results of every type.

All functions are pure. They take the row of a healthy target and return the row under the condition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from thousandeyes_provider.api.coerce import number
from thousandeyes_provider.api.metrics import METRICS
from thousandeyes_provider.simulator.validators import check_choice, check_number

Row = dict[str, Any]

CONDITIONS: Mapping[str, str] = {
    "ok": "the target is healthy",
    "slow": "all times are multiplied by a factor, by default 3; slow:1.3 is 30 % slower",
    "lossy": "packets are lost, by default 20 %; lossy:5 is 5 %; loss and jitter rise, MOS drops, transfers slow down",
    "certificate": "the certificate expired 3 days ago; TLS tests that verify certificates fail, others report it",
    "down": "the target does not respond",
}
"""Condition to description, from the mildest to the worst."""

_USUAL = {"slow": 3.0, "lossy": 20.0}
_EXPIRED_DAYS = 3
_EXPIRED = "SSL certificate problem: certificate has expired"


@dataclass(frozen=True)
class Condition:
    """The condition of a target.

    :param kind: from :data:`CONDITIONS`.
    :param strength: factor of ``slow``, at least 1; percentage of ``lossy``, 0 to below 100.
    """

    kind: str
    strength: float = 0.0

    @property
    def rank(self) -> int:
        """Severity. The worst condition applies where several are set."""
        return list(CONDITIONS).index(self.kind)


def condition(text: Any) -> Condition:
    """Parse a condition, such as ``down``, ``slow:1.3`` or ``lossy:5``.

    :param text: a name from :data:`CONDITIONS`; ``slow`` and ``lossy`` may have a strength after a colon.
    :raises ValueError: for any other value; the message lists the choices.
    """
    if not isinstance(text, str):
        check_choice("condition", text, CONDITIONS)
    return _read(text)


@lru_cache
def _read(text: str) -> Condition:
    name, colon, strength = text.partition(":")
    check_choice("condition", name, CONDITIONS)
    if not colon:
        return Condition(name, _USUAL.get(name, 0.0))
    if name not in _USUAL:
        raise ValueError(f"condition: {name} takes no strength, got {text!r}")
    value = number(strength)
    if value is None:
        raise ValueError(f"condition: the strength of {name} must be a number, got {strength!r}")
    check_number(f"condition {name}", value, 1 if name == "slow" else 0)
    if name == "lossy" and value >= 100:
        raise ValueError(f"condition: the strength of lossy must be below 100, got {text!r}; use 'down'")
    return Condition(name, value)


# targets of a test


def host_of(text: str) -> str:
    """Return the host of a URL, a ``host:port``, or a domain with a record type, in lower case."""
    text = text.strip()
    if "://" not in text:
        text = f"//{text.split()[0] if text.split() else ''}"
    return (urlsplit(text).hostname or "").rstrip(".")


def targets_of(definition: Mapping[str, Any], key: str) -> set[str]:
    """Return the targets of a row: hosts, domains, DNS servers and agents' ids.

    :param definition: fields of the test.
    :param key: DNS server or direction of the row.
    """
    texts = [definition.get(name) for name in ("url", "server", "domain", "sipRegistrar", "targetAgentId")]
    requests = definition.get("requests")
    texts += [request.get("url") for request in requests or () if isinstance(request, Mapping)]
    return {host_of(text) for text in (*texts, key) if isinstance(text, str) and text}


# effect on rows


def concerns(
    condition: Condition, result_type: str, definition: Mapping[str, Any], hosts: frozenset[str]
) -> bool:
    """Return whether a measurement of this type fails under the condition.

    :param hosts: hosts of the test in this condition; empty: all hosts.
    """
    if condition.kind == "down":
        return True
    if condition.kind != "certificate":
        return False
    verified = definition.get("verifyCertificate") is True
    match result_type:
        case "http-server" | "page-load" | "web-transactions":
            return verified and _secure(definition.get("url"))
        case "api":
            return first_failed_request(condition, definition, hosts) is not None
        case "ftp-server":
            return definition.get("useExplicitFtps") is True or _secure(definition.get("url"))
        case "sip-server":
            return definition.get("protocol") == "tls"
    return False


def first_failed_request(
    condition: Condition, definition: Mapping[str, Any], hosts: frozenset[str]
) -> int | None:
    """Return the number of the first request of an api test that fails under the condition, from 1.

    :param hosts: hosts of the test in this condition; empty: all hosts.
    """
    for step, request in enumerate(definition.get("requests") or (), 1):
        url = str(request.get("url"))
        untrusted = request.get("verifyCertificate") is True and _secure(url)
        if (condition.kind == "down" or untrusted) and (not hosts or host_of(url) in hosts):
            return step
    return None


def _secure(url: Any) -> bool:
    return str(url).partition("://")[0].lower() in ("https", "ftps")


_REFUSED: Mapping[str, Mapping[str, Any]] = {
    "api": {"errorType": "Connect", "errorDetails": "connection refused"},
    "web-transactions": {"errorType": "Connect", "errorDetails": "net::ERR_CONNECTION_REFUSED"},
    "dnssec": {"errorDetails": "No response from the name servers"},
    "dns-trace": {"errorDetails": "No response from the name servers"},
}
_UNTRUSTED: Mapping[str, Mapping[str, Any]] = {
    "http-server": {"errorType": "SSL", "errorDetails": _EXPIRED},
    "web-transactions": {"errorType": "SSL", "errorDetails": "net::ERR_CERT_DATE_INVALID"},
    "api": {"errorType": "SSL", "errorDetails": _EXPIRED},
    "ftp-server": {"errorType": "SSL", "errorDetails": _EXPIRED},
    "sip-server": {"errorType": "ssl", "problemDetail": _EXPIRED},
}


def failed_under(condition: Condition, result_type: str, failed: Row, healthy: Row) -> Row:
    """Return the row of a failed measurement, with the error of the condition.

    :param failed: row of a measurement that failed for any reason.
    :param healthy: row of the same measurement without the failure.
    """
    reasons = _UNTRUSTED if condition.kind == "certificate" else _REFUSED
    row = {**failed, **reasons.get(result_type, {})}
    if condition.kind == "certificate":
        # The connection succeeded up to the TLS handshake.
        for name in ("connectTime", "sslVersion", "sslCertificates"):
            if name in healthy:
                row[name] = healthy[name]
    return row


def measured_under(condition: Condition, result_type: str, row: Row, started: int) -> Row:
    """Return the row of a measurement that succeeds under the condition.

    :param started: start of the round, epoch seconds.
    """
    if condition.kind == "certificate":
        return _with_expired(row, started)
    if condition.kind == "slow":
        return _scaled(result_type, row, condition.strength, health=1 / math.sqrt(condition.strength))
    if condition.kind == "lossy":
        return _losing(result_type, row, condition.strength)
    return row


def _with_expired(row: Row, started: int) -> Row:
    if "sslCertificates" not in row:
        return row
    over = datetime.fromtimestamp(started, UTC).replace(microsecond=0) - timedelta(days=_EXPIRED_DAYS)
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    expired = {
        "daysUntilExpiry": -_EXPIRED_DAYS,
        "isFetchDateInValidCertDateRange": False,
        "validAfter": (over - timedelta(days=90)).strftime(stamp),
        "validBefore": over.strftime(stamp),
    }
    return {**row, "sslCertificates": [{**certificate, **expired} for certificate in row["sslCertificates"]]}


def _scaled(result_type: str, row: Row, factor: float, *, health: float = 1.0) -> Row:
    """Return the row with times multiplied and rates divided by ``factor``."""
    result, metrics = dict(row), METRICS[result_type]
    for name, value in row.items():
        metric = metrics.get(name)
        if metric is None or not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if metric.unit in ("ms", "B/s"):
            changed = value * factor if metric.unit == "ms" else value / factor
            result[name] = round(changed) if isinstance(value, int) else round(changed, 3)
        elif name == "healthScore":
            result[name] = min(round(value * health, 3), 1.0)
    if "pathTraces" in row:
        result["pathTraces"] = [
            {**trace, "responseTime": round(trace["responseTime"] * factor)} for trace in row["pathTraces"]
        ]
    return _with_mos(row, result) if result_type == "rtp-server" else result


def _losing(result_type: str, row: Row, percent: float) -> Row:
    """Return the row with ``percent`` of the packets lost."""
    left = 1 - percent / 100
    if result_type == "network":
        return row | {
            "loss": percent,
            "jitter": round(row["jitter"] * (1 + percent / 5), 3),
            "maxLatency": round(row["maxLatency"] * (1 + percent / 50)),
            "bandwidth": round(row["bandwidth"] * left, 3),
            "availableBandwidth": round(row["availableBandwidth"] * left, 3),
            "packetsBySecond": [
                [second[0], round(second[0] * left)] if second else [] for second in row["packetsBySecond"]
            ],
            "healthScore": round(row["healthScore"] * left, 3),
        }
    if result_type == "rtp-server":
        lossy = row | {
            "loss": percent,
            "discards": round(percent / 10, 3),
            "pdv": round(row["pdv"] * (1 + percent / 5)),
        }
        return _with_mos(row, lossy)
    if result_type == "path-vis":
        return row
    return _scaled(result_type, row, 1 + percent / 50, health=left)  # lost packets are retransmitted


def _with_mos(before: Row, after: Row) -> Row:
    """Return ``after`` with the MOS of ``before``, reduced by its loss and latency."""
    ratio = _mos(after["latency"], after["loss"]) / _mos(before["latency"], before["loss"])
    return after | {"mos": round(max(before["mos"] * ratio, 1.0), 3)}


def _mos(latency: float, loss: float) -> float:
    """Return the mean opinion score of G.711 by the simplified E-model.

    :param latency: one-way delay in milliseconds.
    :param loss: packet loss in percent.
    """
    delay = 0.024 * latency + 0.11 * max(latency - 177.3, 0)
    rating = min(max(93.2 - delay - 30 * math.log(1 + 15 * loss / 100), 0.0), 100.0)
    return max(1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating), 1.0)
