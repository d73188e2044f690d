"""The metrics of each result type: names, units, and values in rows."""

from __future__ import annotations

import math

import pytest

from thousandeyes_provider.api.metrics import (
    METRICS,
    Kind,
    closest_metric,
    expand_of,
    kind_of,
    metric_reader,
    unit_of,
)
from thousandeyes_provider.api.result_types import RESULT_TYPES
from thousandeyes_provider.simulator.rows import Measured, measured_row

HTTP = "http-server"
TOTAL_TIME_US = "dnsServerMeasurement.usedDnsResponse.timing.totalTimeUs"
CERTIFICATES = {
    "sslCertificates": [
        {
            "daysUntilExpiry": 60,
            "isFetchDateInValidCertDateRange": True,
            "subjectAlternativeNames": ["a", "b"],
        },
        {"daysUntilExpiry": "12", "isFetchDateInValidCertDateRange": True},
        {"daysUntilExpiry": None},
    ]
}


def dns_time(microseconds):
    return {"dnsServerMeasurement": {"usedDnsResponse": {"timing": {"totalTimeUs": microseconds}}}}


def test_every_result_type_has_a_table():
    assert set(METRICS) == set(RESULT_TYPES)


@pytest.mark.parametrize("result_type", RESULT_TYPES)
def test_summary_metrics_are_listed_numbers(result_type):
    assert {kind_of(result_type, name) for name in RESULT_TYPES[result_type].metrics} <= {Kind.NUMBER}


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("result_type", RESULT_TYPES)
def test_every_field_of_the_simulator_is_listed(result_type, failed):
    row = measured_row(result_type, Measured(1, "7", "1", 1, 1_790_000_000), failed=failed, spelling="None")
    known = {name.partition(".")[0] for name in METRICS[result_type]}
    assert set(row.fields) - known - {"packetsBySecond"} == set()


@pytest.mark.parametrize(
    ("result_type", "name", "row", "values"),
    [
        (HTTP, "responseTime", {"responseTime": 5}, (5,)),
        (HTTP, "responseTime", {"responseTime": "5"}, ("5",)),
        (HTTP, "responseTime", {}, ()),
        (HTTP, "responseTime", {"responseTime": -1}, ()),
        (HTTP, "responseTime", {"responseTime": "-0.5"}, ()),
        (HTTP, "responseTime", {"responseTime": 0}, (0,)),
        (HTTP, "responseTime", {"responseTime": math.nan}, ()),
        (HTTP, "responseTime", {"responseTime": 10**400}, (10**400,)),
        (HTTP, "a.b", {"a": [{"b": math.inf}, {"b": 1.5}]}, (1.5,)),
        ("network", "loss", {"loss": -1}, (-1,)),
        (HTTP, TOTAL_TIME_US, dns_time(-1), ()),
        (HTTP, TOTAL_TIME_US, dns_time(250), (250,)),
        (
            "path-vis",
            "pathTraces.responseTime",
            {"pathTraces": [{"responseTime": [5]}, {"responseTime": -1}]},
            ("5",),
        ),
        (
            HTTP,
            "dnsServerMeasurement.usedDnsResponse.responseCode",
            {"dnsServerMeasurement": {"usedDnsResponse": {"responseCode": "noerror"}}},
            ("noerror",),
        ),
        (HTTP, "responseTime", {"responseTime": None}, ()),
        (HTTP, "responseTime", {"responseTime": {"value": 5}}, ()),
        (HTTP, "headers.responseHeaders", {"headers": {"responseHeaders": "A: b"}}, ("A: b",)),
        (HTTP, "headers.responseHeaders", {"headers": "A: b"}, ()),
        (HTTP, "a.b", {"a.b": 1}, (1,)),
        (HTTP, "a.b", {"a": [{"b": 1}, {"b": [2, 3]}, {"c": 4}, 5]}, (1, "2\n3")),
        (HTTP, "healthScore", {"healthScore": 0.9}, (0.9,)),
        (HTTP, "healthScore", {"healthScore": -1.0}, ()),
        (HTTP, "healthScore", {"healthScore": "-1"}, ()),
        (HTTP, "sslCertificates.daysUntilExpiry", CERTIFICATES, (60, "12")),
        (HTTP, "sslCertificates.subjectAlternativeNames", CERTIFICATES, ("a\nb",)),
        (HTTP, "certificateDaysLeft", CERTIFICATES, (12,)),
        (HTTP, "certificateDaysLeft", {"sslCertificates": []}, ()),
        (HTTP, "certificateDaysLeft", {}, ()),
        (HTTP, "certificateDaysLeft", {"certificateDaysLeft": 3}, (3,)),
        (HTTP, "certificateValid", CERTIFICATES, (True,)),
        (HTTP, "certificateValid", {"sslCertificates": [{"hasValidSigningCert": False}]}, (False,)),
        (
            HTTP,
            "certificateValid",
            {"sslCertificates": [{"isFetchDateInValidCertDateRange": "false"}]},
            (False,),
        ),
        (HTTP, "certificateValid", {}, ()),
        (HTTP, "availability", {"responseTime": 5}, (100,)),
        (HTTP, "availability", {"errorType": "Connect", "responseTime": 5}, (0,)),
        (HTTP, "error", {"responseTime": 5}, ("",)),
        (HTTP, "error", {"errorType": "Connect", "errorDetails": "refused"}, ("Connect: refused",)),
        ("sip-server", "availability", {"availability": 50}, (50,)),
        ("sip-server", "availability", {}, ()),
        ("dnssec", "isValid", {"isValid": False}, (False,)),
        (
            "path-vis",
            "pathTraces.numberOfHops",
            {"pathTraces": [{"numberOfHops": 9}, {"numberOfHops": 7}]},
            (9, 7),
        ),
        ("path-vis", "availability", {}, ()),
        ("network", "agent.location", {"agent": {"location": "Oslo"}}, ("Oslo",)),
        ("network", "packetsBySecond", {"packetsBySecond": [[], [0]]}, ()),
    ],
)
def test_values_of_a_metric_in_a_row(result_type, name, row, values):
    assert metric_reader(result_type, name)(row) == values


@pytest.mark.parametrize(
    ("result_type", "name", "word"),
    [
        (HTTP, "headers.responseHeaders", "header"),
        (HTTP, "headers.somethingNew", "header"),
        (HTTP, "headers.something.new", "header"),
        (HTTP, "sslCertificates.somethingNew", "certificate"),
        (HTTP, "certificateDaysLeft", "certificate"),
        (HTTP, "certificateValid", "certificate"),
        (HTTP, "responseTime", None),
        ("network", "headers.responseHeaders", None),
    ],
)
def test_expand_of_a_metric(result_type, name, word):
    assert expand_of(result_type, name) == word


@pytest.mark.parametrize(
    ("result_type", "wrong", "right"),
    [
        (HTTP, "responsTime", "responseTime"),
        (HTTP, "responsetime", "responseTime"),
        (HTTP, "response_time", "responseTime"),
        (HTTP, "responseHeaders", "headers.responseHeaders"),
        ("network", "avglatncy", "avgLatency"),
        ("network", "zzz", None),
        ("network", "agentName", None),
    ],
)
def test_closest_name(result_type, wrong, right):
    assert closest_metric(result_type, wrong) == right


def test_an_unlisted_metric_has_neither_kind_nor_unit():
    assert (unit_of("network", "loss"), unit_of("network", "new"), unit_of("new", "loss")) == ("%", "", "")
    assert kind_of("network", "loss") is Kind.NUMBER
    assert (kind_of("network", "new"), kind_of("new", "loss")) == (None, None)
    assert expand_of("new", "headers.x") is None


def test_a_negative_health_score_is_no_value():
    assert metric_reader(HTTP, "healthScore")({"healthScore": 0}) == (0,)
    assert metric_reader(HTTP, "inner.healthScore")({"inner": [{"healthScore": -1}, {"healthScore": 1}]}) == (
        1,
    )


@pytest.mark.parametrize(
    ("result_type", "name", "kind", "unit", "word"),
    [
        (HTTP, "responseTime", Kind.NUMBER, "ms", None),
        (HTTP, "sslCertificates.daysUntilExpiry", Kind.NUMBER, "days", "certificate"),
        (HTTP, "certificateDaysLeft", Kind.NUMBER, "days", "certificate"),
        (HTTP, "certificateValid", Kind.BOOLEAN, "", "certificate"),
        (HTTP, "headers.responseHeaders", Kind.TEXT, "", "header"),
        (HTTP, "sslCertificates.hasValidSigningCert", Kind.BOOLEAN, "", "certificate"),
        (HTTP, "availability", Kind.NUMBER, "%", None),
        (HTTP, "error", Kind.TEXT, "", None),
        ("sip-server", "availability", Kind.NUMBER, "%", None),
        ("dnssec", "isValid", Kind.BOOLEAN, "", None),
        ("network", "server", Kind.TEXT, "", None),
    ],
)
def test_kind_unit_and_expansion_of_a_metric(result_type, name, kind, unit, word):
    assert (kind_of(result_type, name), unit_of(result_type, name), expand_of(result_type, name)) == (
        kind,
        unit,
        word,
    )
