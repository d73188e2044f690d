"""The result types of each test type, and when a row of results is an error.

The API description has the fields; which of them make a row an error is a decision of this project:
`docs/thousandeyes-api.md`, "Result types and errors".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import number

Row = Mapping[str, Any]
"""One row of ``results``: what one agent measured in one round."""


@dataclass(frozen=True)
class TestType:
    """A type of ThousandEyes test.

    :param name: its name in the API, as in ``/tests/{name}/{testId}``.
    :param default: the result types that are judged when a DAG names none.
    :param also: the other result types that such a test may have (its network measurements).
    """

    __test__ = False  # not a pytest class

    name: str
    default: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def result_types(self) -> tuple[str, ...]:
        """All result types that such a test can have, the default ones first."""
        return self.default + self.also


_NETWORK = ("network", "path-vis")

TEST_TYPES: Mapping[str, TestType] = {
    test_type.name: test_type
    for test_type in (
        TestType("agent-to-server", ("network",), ("path-vis",)),
        TestType("agent-to-agent", ("network",), ("path-vis",)),
        TestType("http-server", ("http-server",), _NETWORK),
        TestType("page-load", ("page-load", "http-server"), _NETWORK),
        TestType("web-transactions", ("web-transactions",), ("http-server", *_NETWORK)),
        TestType("api", ("api",), _NETWORK),
        TestType("ftp-server", ("ftp-server",), _NETWORK),
        TestType("dns-server", ("dns-server",), _NETWORK),
        TestType("dns-trace", ("dns-trace",)),
        TestType("dnssec", ("dnssec",)),
        TestType("sip-server", ("sip-server",), _NETWORK),
        TestType("voice", ("rtp-server",), _NETWORK),
    )
}
"""The twelve test types with an instant form, by name; BGP has none."""


def _detail_text(value: Any) -> str:
    """The text of a detail field; empty for none."""
    text = value.strip() if isinstance(value, str) else ""
    return "" if text.lower() == "none" else text


def _error_type(row: Row) -> str | None:
    """The value of ``errorType``: an error, ``""`` for no error (so is null), or ``None`` when the field is absent."""
    if "errorType" not in row:
        return None
    value = row["errorType"]
    if not (value is None or isinstance(value, (str, int))):
        return "an errorType that is no text"
    text = str(value).strip()
    return "" if text.lower() in ("", "none", "null") else text


def _measured(row: Row, metric: str) -> float | None:
    """The value of a measurement; ``None`` when it is absent, no number, or below zero."""
    value = number(row.get(metric))
    return None if value is None or value < 0 else value


def _absent(row: Row, *metrics: str) -> str | None:
    """``no responseTime`` when the row has none of the measurements."""
    for metric in metrics:
        if _measured(row, metric) is not None:
            return None
    return f"no {metrics[0]}" if len(metrics) == 1 else "nothing measured"


def _below(row: Row, metric: str, least: float) -> str | None:
    value = number(row.get(metric))
    return f"{metric} {value:g}" if value is not None and value < least else None


def _lost_everything(row: Row) -> str | None:
    value = number(row.get("loss"))
    return "loss 100 %" if value is not None and value >= 100 else None


def _typed(row: Row, detail: str, *measurement_errors: str | None) -> str | None:
    """The error of a row with ``errorType``, which decides about itself and about the detail text.

    An absent or invalid measurement is an error for any ``errorType``.
    """
    error_type, text = _error_type(row), _detail_text(row.get(detail))
    if error_type:
        return f"{error_type}: {text}" if text else error_type
    if error_type is None and text:
        return text
    return next((error for error in measurement_errors if error), None)


def _detailed(row: Row, detail: str, *measurement_errors: str | None) -> str | None:
    """The error of a row that has only a detail text and measurements."""
    return _detail_text(row.get(detail)) or next((error for error in measurement_errors if error), None)


def _no_mappings(row: Row) -> str | None:
    mappings = row.get("mappings")
    return None if mappings and (not isinstance(mappings, str) or mappings.strip()) else "no mappings"


def _dnssec_error(row: Row) -> str | None:
    valid = row.get("isValid")
    if valid is True or (isinstance(valid, str) and valid.strip().lower() == "true"):
        return None
    text = row.get("errorDetails")
    return (text.strip() if isinstance(text, str) else "") or "keychain not valid"


_SIP_MEASUREMENTS = (
    *("availability", "totalTime", "responseTime", "dnsTime", "connectTime", "waitTime"),
    *("registerTime", "inviteTime", "optionsTime"),
)


@dataclass(frozen=True)
class ResultType:
    """A type of results, as in ``/test-results/{testId}/{name}``.

    :param name: its name in the API.
    :param metrics: the numeric fields that summarize a row, the most important first. The evidence shows them when no
        check names a metric.
    :param error_of: returns why a row is an error, or ``None``; ``None`` instead of a function when rows are counted
        but not judged.
    :param row_keys: the fields that identify several rows of one agent (DNS servers, directions).
    """

    name: str
    metrics: tuple[str, ...]
    error_of: Callable[[Row], str | None] | None
    row_keys: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether rows of this type can make a run pass or fail."""
        return self.error_of is not None


RESULT_TYPES: Mapping[str, ResultType] = {
    result_type.name: result_type
    for result_type in (
        ResultType(
            "network",
            ("loss", "avgLatency", "jitter"),
            lambda row: _detailed(row, "errorDetails", _absent(row, "loss"), _lost_everything(row)),
            ("direction", "server"),
        ),
        ResultType("path-vis", (), None, ("direction",)),
        ResultType(
            "http-server",
            ("responseTime", "totalTime"),
            lambda row: _typed(row, "errorDetails", _absent(row, "responseTime")),
        ),
        ResultType(
            "page-load",
            ("pageLoadTime", "domLoadTime", "responseTime"),
            lambda row: _absent(row, "pageLoadTime"),
        ),
        ResultType(
            "web-transactions",
            ("transactionTime",),
            lambda row: _typed(row, "errorDetails", _absent(row, "transactionTime")),
        ),
        ResultType(
            "api",
            ("apiTransactionTime", "completion"),
            lambda row: _typed(
                row, "errorDetails", _absent(row, "completion"), _below(row, "completion", 100)
            ),
        ),
        ResultType(
            "ftp-server",
            ("responseTime", "totalTime"),
            lambda row: _typed(row, "errorDetails", _absent(row, "responseTime")),
        ),
        ResultType(
            "dns-server",
            ("resolutionTime",),
            lambda row: _detailed(row, "errorDetails", _no_mappings(row)),
            ("serverId", "server"),
        ),
        ResultType(
            "dns-trace",
            ("finalQueryTime", "queries"),
            lambda row: _detailed(row, "errorDetails", _no_mappings(row)),
        ),
        ResultType("dnssec", (), _dnssec_error),
        ResultType(
            "sip-server",
            ("availability", "totalTime"),
            lambda row: _typed(
                row, "problemDetail", _below(row, "availability", 100), _absent(row, *_SIP_MEASUREMENTS)
            ),
        ),
        ResultType(
            "rtp-server",
            ("mos", "loss", "latency", "pdv"),
            lambda row: _detailed(row, "errorDetail", _absent(row, "mos"), _lost_everything(row)),
        ),
    )
}
"""Every result type, by name."""


def row_error(result_type: str, row: Row) -> str | None:
    """Return why a row is an error, in a few words; ``None`` for a good row or one that is not judged."""
    error_of = RESULT_TYPES[result_type].error_of
    return error_of(row) if error_of else None
