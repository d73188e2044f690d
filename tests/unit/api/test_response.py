"""Responses: JSON, the server's clock, and ``Retry-After``."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.response import Response, http_date, iso_time, retry_after

NOW = 1_790_000_000.0


def response(body=b"", **headers):
    return Response(200, {name.replace("_", "-"): value for name, value in headers.items()}, body, "")


class TestJson:
    def test_the_body_is_read(self):
        assert response(b'{"results": []}').json() == {"results": []}

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b'{"results": [', b"\xff\xfe\x00", b"[" * 200_000, b"nil", b"9" * 5000]
    )
    def test_invalid_json_is_a_value_error(self, body):
        with pytest.raises(ValueError, match=r"."):
            response(body).json()

    def test_prepared_response_has_the_same_content(self):
        body = b'{"results": [{"loss": 0}, {"loss": 1.5}]}'
        prepared = response(body).prepare()
        assert prepared.json() == response(body).json()
        assert prepared.value_count == response(body).value_count >= 5

    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"results": ['])
    def test_prepared_response_reports_invalid_json_when_it_is_read(self, body):
        prepared = response(body).prepare()
        with pytest.raises(ValueError, match=r"."):
            prepared.json()


class TestServerClock:
    def test_the_date_header_is_the_servers_clock(self):
        assert response(date=formatdate(NOW, usegmt=True)).time(5.0) == NOW

    @pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "soon"}, {"date": "Mon, 99 Foo 2026"}])
    def test_without_a_valid_date_the_local_clock_is_used(self, headers):
        assert response(**headers).time(NOW) == NOW

    @pytest.mark.parametrize(
        "text", ["Fri, 18 Sep 2026 14:13:20 GMT", "Fri, 18 Sep 2026 16:13:20 +0200", "18 Sep 2026 14:13:20"]
    )
    def test_dates_have_a_zone_or_are_utc(self, text):
        assert http_date(text) == 1_789_740_800

    @given(st.text(max_size=40))
    def test_invalid_dates_are_none(self, text):
        parsed = http_date(text)
        assert parsed is None or math.isfinite(parsed)


class TestRetryAfter:
    @pytest.mark.parametrize("text", ["12", " 12 ", "12.0", formatdate(NOW + 12, usegmt=True)])
    def test_seconds_or_a_date(self, text):
        assert retry_after(response(retry_after=text, date=formatdate(NOW, usegmt=True)), NOW) == 12

    @pytest.mark.parametrize("wrong_by", [-7200, 7200])
    def test_a_date_is_relative_to_the_servers_clock(self, wrong_by):
        message = formatdate(NOW + 12, usegmt=True)
        assert (
            retry_after(response(retry_after=message, date=formatdate(NOW, usegmt=True)), NOW + wrong_by)
            == 12
        )

    @pytest.mark.parametrize(
        "text", ["", "0", "-5", "soon", "nan", "inf", "1e999", formatdate(NOW - 1, usegmt=True)]
    )
    def test_invalid_and_past_values_are_none(self, text):
        assert retry_after(response(retry_after=text, date=formatdate(NOW, usegmt=True)), NOW) is None

    def test_an_absent_header_is_none(self):
        assert retry_after(response(), NOW) is None


@pytest.mark.usefixtures("elsewhere")
def test_times_are_shown_in_utc_to_the_second():
    assert iso_time(1_384_309_800.9) == "2013-11-13T02:30:00Z"


def test_deeply_nested_json_is_a_value_error():
    with pytest.raises(ValueError, match=r"^nested too deeply$"):
        Response(200, {}, b"[" * 100_000, "").json()


def test_a_date_in_another_century_is_ignored():
    for year, usable in ((1999, False), (2000, True), (2099, True), (2100, False)):
        message = f"Fri, 01 Jan {year} 00:00:00 GMT"
        assert (Response(200, {"date": message}, b"", "").time(7.0) != 7.0) is usable


def test_retry_after_may_be_less_than_a_second():
    assert retry_after(Response(429, {"retry-after": "0.5"}, b"", ""), 0.0) == 0.5
    message = {"retry-after": "Thu, 01 Jan 2026 00:00:09 GMT"}
    assert retry_after(Response(429, message, b"", ""), 1_767_225_600.0) == 9.0
