"""The documented rules: the results of each test type, and the errors in rows, each with its counterpart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, row_error

NETWORK = ("network", "path-vis")

GOOD = {
    "http-server": {"responseTime": 120},
    "ftp-server": {"responseTime": 120},
    "page-load": {"pageLoadTime": 900},
    "web-transactions": {"transactionTime": 4000},
    "api": {"completion": 100},
    "sip-server": {"availability": 100},
    "rtp-server": {"mos": 4.3, "loss": 0},
    "dns-server": {"mappings": "208.185.7.120"},
    "dns-trace": {"mappings": "208.185.7.120"},
    "dnssec": {"isValid": True},
    "network": {"loss": 0},
}
"""Minimal row without an error of each judged result type."""

TYPED = {
    "http-server": "errorDetails",
    "ftp-server": "errorDetails",
    "web-transactions": "errorDetails",
    "api": "errorDetails",
    "sip-server": "problemDetail",
}
"""Result types with ``errorType`` to their detail field."""

DETAILED = {
    "rtp-server": "errorDetail",
    "dns-server": "errorDetails",
    "dns-trace": "errorDetails",
    "network": "errorDetails",
}
"""Result types without ``errorType`` to their detail field."""

NEEDED = {
    "http-server": "responseTime",
    "ftp-server": "responseTime",
    "page-load": "pageLoadTime",
    "web-transactions": "transactionTime",
    "api": "completion",
    "rtp-server": "mos",
    "network": "loss",
}
"""Result types to the measurement whose absence is an error."""


def good(result_type, **more):
    return {"agent": {"agentId": "1"}, "roundId": 1, **GOOD[result_type], **more}


class TestTestTypes:
    @pytest.mark.parametrize(
        ("test_type", "default", "also"),
        [
            ("agent-to-server", ("network",), ("path-vis",)),
            ("agent-to-agent", ("network",), ("path-vis",)),
            ("http-server", ("http-server",), NETWORK),
            ("page-load", ("page-load", "http-server"), NETWORK),
            ("web-transactions", ("web-transactions",), ("http-server", *NETWORK)),
            ("api", ("api",), NETWORK),
            ("ftp-server", ("ftp-server",), NETWORK),
            ("dns-server", ("dns-server",), NETWORK),
            ("dns-trace", ("dns-trace",), ()),
            ("dnssec", ("dnssec",), ()),
            ("sip-server", ("sip-server",), NETWORK),
            ("voice", ("rtp-server",), NETWORK),
        ],
    )
    def test_result_types_of_a_test_type(self, test_type, default, also):
        types = TEST_TYPES[test_type]
        assert (types.default, types.also) == (default, also)
        assert types.result_types == default + also

    def test_there_are_twelve_test_types(self):
        assert len(TEST_TYPES) == 12
        assert "bgp" not in TEST_TYPES

    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_every_test_type_has_a_judged_default(self, test_type):
        assert all(RESULT_TYPES[name].judged for name in TEST_TYPES[test_type].default)

    def test_every_result_type_belongs_to_a_test(self):
        assert {name for test_type in TEST_TYPES.values() for name in test_type.result_types} == set(
            RESULT_TYPES
        )
        assert set(GOOD) == {name for name, result_type in RESULT_TYPES.items() if result_type.judged}


class TestGoodRows:
    @pytest.mark.parametrize("result_type", GOOD)
    def test_a_minimal_row_is_no_error(self, result_type):
        assert row_error(result_type, good(result_type)) is None

    @pytest.mark.parametrize("result_type", GOOD)
    def test_unknown_fields_are_ignored(self, result_type):
        row = good(result_type, numErrors=7, componentErrors=[{"x": 1}], failedQueries=9, brandNew="error")
        assert row_error(result_type, row) is None

    @pytest.mark.parametrize("result_type", GOOD)
    @pytest.mark.parametrize("row", [{}, {"errorType": "None"}, {"problemDetail": ""}])
    def test_a_row_without_measurements_is_an_error(self, result_type, row):
        assert row_error(result_type, row)

    @pytest.mark.parametrize("result_type", GOOD)
    def test_a_negative_measurement_is_no_value(self, result_type):
        measured = dict.fromkeys(RESULT_TYPES[result_type].metrics, -1)
        row = {name: value for name, value in (good(result_type) | measured).items() if name != "mappings"}
        assert row_error(result_type, row) or not measured

    def test_a_sip_row_needs_one_time(self):
        assert row_error("sip-server", {"registerTime": 12}) is None
        assert row_error("sip-server", {"registerTime": -12}) == "nothing measured"

    @pytest.mark.parametrize("row", [{}, {"errorDetails": "x"}, {"errorType": "Connect"}])
    def test_path_visualization_is_never_judged(self, row):
        assert row_error("path-vis", row) is None
        assert not RESULT_TYPES["path-vis"].judged


class TestErrorType:
    @pytest.mark.parametrize("result_type", TYPED)
    @pytest.mark.parametrize("spelling", ["None", "none", "NONE", " none ", "NULL", "null", None, ""])
    def test_no_error_in_any_spelling(self, result_type, spelling):
        assert row_error(result_type, good(result_type, errorType=spelling)) is None

    @pytest.mark.parametrize("result_type", TYPED)
    @pytest.mark.parametrize(
        "error", ["Connect", "dns", "SSL", "Unknown", "unknown", "nonesuch", "brand new"]
    )
    def test_any_other_error_type_is_an_error(self, result_type, error):
        assert row_error(result_type, good(result_type, errorType=error)) == error

    @pytest.mark.parametrize("error", ["dns", "connect", "register", "invite", "option", "server", "ssl"])
    def test_each_error_of_sip(self, error):
        assert row_error("sip-server", good("sip-server", errorType=error)) == error

    @pytest.mark.parametrize(("result_type", "detail"), TYPED.items())
    def test_the_detail_explains_the_type(self, result_type, detail):
        row = good(result_type, errorType="Connect", **{detail: "refused"})
        assert row_error(result_type, row) == "Connect: refused"

    @pytest.mark.parametrize(("result_type", "detail"), TYPED.items())
    @pytest.mark.parametrize("spelling", ["None", "none", "NULL", None])
    def test_a_detail_is_no_error_if_error_type_says_none(self, result_type, detail, spelling):
        row = good(result_type, errorType=spelling, **{detail: "a note"})
        assert row_error(result_type, row) is None

    @pytest.mark.parametrize(("result_type", "detail"), TYPED.items())
    def test_a_detail_is_an_error_without_error_type(self, result_type, detail):
        assert row_error(result_type, good(result_type, **{detail: "refused"})) == "refused"

    @pytest.mark.parametrize(("result_type", "detail"), TYPED.items())
    @pytest.mark.parametrize("nothing", [None, "", "  ", "None", "none", []])
    def test_an_empty_detail_is_no_error(self, result_type, detail, nothing):
        assert row_error(result_type, good(result_type, **{detail: nothing})) is None


class TestDetails:
    @pytest.mark.parametrize(("result_type", "detail"), DETAILED.items())
    def test_a_detail_is_an_error_despite_measurements(self, result_type, detail):
        assert row_error(result_type, good(result_type, **{detail: "timed out"})) == "timed out"

    @pytest.mark.parametrize(("result_type", "detail"), DETAILED.items())
    @pytest.mark.parametrize("nothing", [None, "", " ", "None", "none"])
    def test_an_empty_detail_is_no_error(self, result_type, detail, nothing):
        assert row_error(result_type, good(result_type, **{detail: nothing})) is None

    def test_page_load_is_not_judged_by_the_texts_of_http_server(self):
        assert row_error("page-load", good("page-load", errorDetails="x", errorType="Connect")) is None


class TestMeasurements:
    @pytest.mark.parametrize(("result_type", "metric"), NEEDED.items())
    @pytest.mark.parametrize("absent", [None, "", "n/a", math.nan, True, [], {}])
    def test_an_absent_measurement_is_an_error(self, result_type, metric, absent):
        row = good(result_type)
        del row[metric]
        assert row_error(result_type, row) == f"no {metric}"
        assert row_error(result_type, {**row, metric: absent}) == f"no {metric}"

    @pytest.mark.parametrize(("result_type", "metric"), NEEDED.items())
    def test_an_absent_measurement_is_an_error_even_if_error_type_says_none(self, result_type, metric):
        row = good(result_type, errorType="None")
        del row[metric]
        assert row_error(result_type, row) == f"no {metric}"

    @pytest.mark.parametrize(("result_type", "metric"), NEEDED.items())
    def test_a_number_as_text_is_a_measurement(self, result_type, metric):
        assert row_error(result_type, good(result_type, **{metric: str(GOOD[result_type][metric])})) is None

    @pytest.mark.parametrize("metric", ["responseTime", "pageLoadTime", "transactionTime", "mos", "loss"])
    def test_zero_is_a_measurement(self, metric):
        for result_type, needed in NEEDED.items():
            if needed == metric:
                assert row_error(result_type, good(result_type, **{metric: 0})) is None

    @pytest.mark.parametrize("loss", [100, 100.0, "100", "100.0"])
    @pytest.mark.parametrize("result_type", ["network", "rtp-server"])
    def test_loss_of_100_percent_is_an_error(self, result_type, loss):
        assert row_error(result_type, good(result_type, loss=loss)) == "loss 100 %"

    @pytest.mark.parametrize("loss", [0, 99.9, "99.9", "0"])
    @pytest.mark.parametrize("result_type", ["network", "rtp-server"])
    def test_loss_below_100_percent_is_no_error(self, result_type, loss):
        assert row_error(result_type, good(result_type, loss=loss)) is None

    def test_voice_rows_may_lack_loss(self):
        assert row_error("rtp-server", {"mos": 4.2}) is None

    @pytest.mark.parametrize(("completion", "error"), [(99.9, "completion 99.9"), ("0", "completion 0")])
    def test_an_api_test_below_100_is_an_error(self, completion, error):
        assert row_error("api", good("api", completion=completion)) == error

    @pytest.mark.parametrize("completion", [100, 100.0, "100"])
    def test_an_api_test_at_100_is_no_error(self, completion):
        assert row_error("api", good("api", completion=completion)) is None

    @pytest.mark.parametrize(("availability", "error"), [(0, "availability 0"), ("99", "availability 99")])
    def test_sip_below_100_is_an_error(self, availability, error):
        assert row_error("sip-server", good("sip-server", availability=availability)) == error
        assert (
            row_error("sip-server", good("sip-server", availability=availability, errorType="none")) == error
        )

    @pytest.mark.parametrize("result_type", ["dns-server", "dns-trace"])
    @pytest.mark.parametrize("mappings", [None, "", "  ", [], {}])
    def test_dns_without_mappings_is_an_error(self, result_type, mappings):
        assert row_error(result_type, good(result_type, mappings=mappings)) == "no mappings"
        assert row_error(result_type, {}) == "no mappings"

    @pytest.mark.parametrize("result_type", ["dns-server", "dns-trace"])
    @pytest.mark.parametrize("mappings", ["1.2.3.4", ["1.2.3.4"], [{"ip": "1.2.3.4"}]])
    def test_dns_with_any_mappings_is_no_error(self, result_type, mappings):
        assert row_error(result_type, good(result_type, mappings=mappings)) is None

    @pytest.mark.parametrize("valid", [False, None, "false", "False", 0, 1, "", "yes"])
    def test_dnssec_that_is_not_true_is_an_error(self, valid):
        assert row_error("dnssec", {"isValid": valid}) == "keychain not valid"
        assert row_error("dnssec", {"isValid": valid, "errorDetails": "expired"}) == "expired"

    @pytest.mark.parametrize("valid", [True, "true", "True"])
    def test_valid_dnssec_is_no_error_despite_a_detail(self, valid):
        assert row_error("dnssec", {"isValid": valid, "errorDetails": "a note"}) is None


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())
)
FIELDS = st.sampled_from(
    [
        *("errorType", "errorDetails", "errorDetail", "problemDetail", "responseTime", "pageLoadTime"),
        *("transactionTime", "completion", "availability", "mos", "loss", "mappings", "isValid"),
    ]
)


@given(st.sampled_from(sorted(RESULT_TYPES)), st.dictionaries(FIELDS, VALUES))
def test_every_row_has_a_reason_or_none(result_type, row):
    reason = row_error(result_type, row)
    assert reason is None or reason.strip()


def test_an_error_type_that_is_not_text_is_an_error():
    for odd in (["Connect"], {"a": 1}, 1.5):
        assert (
            row_error("http-server", {"errorType": odd, "responseTime": 5}) == "an errorType that is no text"
        )
    assert row_error("http-server", {"errorType": " ", "responseTime": 5}) is None
