"""What each test type measures, and when a row of results reports an error.

One table for the two lists in API-FACTS ("Results"): which result types a test of each type has, and, for
each result type, which fields of a row say that the agent's measurement failed. The API description has
the fields (SPEC); which of them count as an error is this project's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.api.coerce import number

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TestType:
    """A kind of ThousandEyes test.

    :param name: the API's name, as in ``/tests/{name}/{testId}``.
    :param default: the result types that are waited for and judged when a DAG names none.
    :param also: further result types that such a test may have (its network measurements).
    """

    __test__ = False  # not a pytest class, whatever the name says

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
"""The twelve test types that have an instant form (BGP has none), by name. Source: API-FACTS, "Results"."""


def _text(value: Any) -> str:
    """The text of a detail field; empty when it says nothing."""
    return value.strip() if isinstance(value, str) else ""


def _error_type(row: Row) -> str | None:
    """What ``errorType`` says: an error, ``""`` for "no error" (so does null), or ``None`` when absent."""
    if "errorType" not in row:
        return None
    told = row["errorType"]
    text = (
        str(told).strip() if told is None or isinstance(told, str | int) else "an errorType that is no text"
    )
    return "" if text.lower() in ("", "none", "null") else text


def _absent(row: Row, metric: str) -> str | None:
    return f"no {metric}" if number(row.get(metric)) is None else None


def _below(row: Row, metric: str, floor: float) -> str | None:
    value = number(row.get(metric))
    return f"{metric} {value:g}" if value is not None and value < floor else None


def _lost_everything(row: Row) -> str | None:
    value = number(row.get("loss"))
    return "loss 100 %" if value is not None and value >= 100 else None


def _typed(row: Row, detail: str, *otherwise: str | None) -> str | None:
    """The error of a row with ``errorType``: where that is there it decides about itself and ``detail``.

    A measurement that is absent or bad (``otherwise``) is an error whatever ``errorType`` says.
    """
    error_type, text = _error_type(row), _text(row.get(detail))
    if error_type:
        return f"{error_type}: {text}" if text else error_type
    if error_type is None and text and text.lower() != "none":
        return text
    return next((reason for reason in otherwise if reason), None)


def _detailed(row: Row, detail: str, *otherwise: str | None) -> str | None:
    """The error of a row that has only a detail text and measurements."""
    text = _text(row.get(detail))
    if text and text.lower() != "none":
        return text
    return next((reason for reason in otherwise if reason), None)


def _no_mappings(row: Row) -> str | None:
    mappings = row.get("mappings")
    return None if mappings and (not isinstance(mappings, str) or mappings.strip()) else "no mappings"


def _dnssec_error(row: Row) -> str | None:
    valid = row.get("isValid")
    if valid is True or (isinstance(valid, str) and valid.strip().lower() == "true"):
        return None
    return _text(row.get("errorDetails")) or "keychain not valid"


@dataclass(frozen=True)
class ResultType:
    """A kind of measurement, as in ``/test-results/{testId}/{name}``.

    :param name: the API's name.
    :param metrics: the numeric fields that sum a row up, in the order in which a person reads them, with
        their units (``ms``, ``%``, ``""``). They are what evidence shows when no check names a metric.
    :param error_of: gives the reason why a row is an error, or ``None``. ``None`` instead of a function:
        such rows are counted, never judged.
    :param row_keys: the fields that tell apart several rows of one agent (DNS servers, directions).
    """

    name: str
    metrics: tuple[tuple[str, str], ...]
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
            (("loss", "%"), ("avgLatency", "ms"), ("jitter", "ms")),
            lambda row: _detailed(row, "errorDetails", _absent(row, "loss"), _lost_everything(row)),
            ("direction", "server"),
        ),
        ResultType("path-vis", (), None, ("direction",)),
        ResultType(
            "http-server",
            (("responseTime", "ms"), ("totalTime", "ms")),
            lambda row: _typed(row, "errorDetails", _absent(row, "responseTime")),
        ),
        ResultType(
            "page-load",
            (("pageLoadTime", "ms"), ("domLoadTime", "ms"), ("responseTime", "ms")),
            lambda row: _absent(row, "pageLoadTime"),
        ),
        ResultType(
            "web-transactions",
            (("transactionTime", "ms"),),
            lambda row: _typed(row, "errorDetails", _absent(row, "transactionTime")),
        ),
        ResultType(
            "api",
            (("apiTransactionTime", "ms"), ("completion", "%")),
            lambda row: _typed(
                row, "errorDetails", _absent(row, "completion"), _below(row, "completion", 100)
            ),
        ),
        ResultType(
            "ftp-server",
            (("responseTime", "ms"), ("totalTime", "ms")),
            lambda row: _typed(row, "errorDetails", _absent(row, "responseTime")),
        ),
        ResultType(
            "dns-server",
            (("resolutionTime", "ms"),),
            lambda row: _detailed(row, "errorDetails", _no_mappings(row)),
            ("serverId", "server"),
        ),
        ResultType(
            "dns-trace",
            (("finalQueryTime", "ms"), ("queries", "")),
            lambda row: _detailed(row, "errorDetails", _no_mappings(row)),
        ),
        ResultType("dnssec", (), _dnssec_error),
        ResultType(
            "sip-server",
            (("availability", "%"), ("totalTime", "ms")),
            lambda row: _typed(row, "problemDetail", _below(row, "availability", 100)),
        ),
        ResultType(
            "rtp-server",
            (("mos", ""), ("loss", "%"), ("latency", "ms"), ("pdv", "ms")),
            lambda row: _detailed(row, "errorDetail", _absent(row, "mos"), _lost_everything(row)),
        ),
    )
}
"""Every result type, by name. Source of the fields: SPEC; of what is an error: the table in API-FACTS."""


def row_error(result_type: str, row: Row) -> str | None:
    """Why this row is an error, in a few words; ``None`` when it is none or is not judged.

    :param result_type: a name from :data:`RESULT_TYPES`.
    :param row: one row of ``results`` as the API gives it.
    """
    error_of = RESULT_TYPES[result_type].error_of
    return error_of(row) if error_of else None
