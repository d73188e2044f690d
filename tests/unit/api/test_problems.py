"""Error bodies: every format that ThousandEyes documents, and those of proxies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.problems import read_problem
from thousandeyes_provider.api.redaction import Redactor
from thousandeyes_provider.api.response import Response


def problem(status, body=b"", kind="application/problem+json"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_problem(Response(status, {"content-type": kind}, raw, ""), Redactor(["s3cret-token"]))


class TestFormats:
    def test_problem_json(self):
        parsed = problem(
            404,
            {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "No test has this id"},
        )
        assert str(parsed) == "Not Found: No test has this id"

    def test_a_400_names_each_invalid_field(self):
        parsed = problem(
            400,
            {
                "title": "Bad Request",
                "detail": "Validation failed",
                "errors": [
                    {"code": "invalid", "field": "interval", "message": "must be one of 60, 120"},
                    {"message": "no agents"},
                ],
            },
        )
        assert str(parsed) == "Bad Request: Validation failed [interval: must be one of 60, 120; no agents]"
        assert parsed.errors[0] == {
            "code": "invalid",
            "field": "interval",
            "message": "must be one of 60, 120",
        }

    def test_a_401_has_the_format_of_oauth(self):
        parsed = problem(401, {"error": "invalid_token", "error_description": "The token has expired"})
        assert str(parsed) == "invalid_token: The token has expired"

    def test_the_older_format_with_a_timestamp(self):
        parsed = problem(
            403, {"timestamp": 1384309800000, "status": 403, "error": "Forbidden", "message": "No View tests"}
        )
        assert str(parsed) == "Forbidden: No View tests"

    def test_the_format_of_a_servlet(self):
        assert str(problem(500, {"errorMessage": "Something broke"})) == "Something broke"

    def test_an_error_without_a_message_shows_its_code(self):
        parsed = problem(400, {"title": "Bad", "errors": [{"code": "E7"}, {"field": "url"}]})
        assert str(parsed) == "Bad [E7; url]"

    def test_only_hidden_errors_are_counted(self):
        errors = [{"message": str(nth)} for nth in range(5)]
        assert str(problem(400, {"title": "Bad", "errors": errors})).endswith("; 3; 4]")
        assert str(problem(400, {"title": "Bad", "errors": [*errors, {"message": "x"}]})).endswith(
            "; and 1 more]"
        )

    def test_a_body_without_a_type_is_not_repeated(self):
        assert str(read_problem(Response(502, {}, b"oops", ""), Redactor())) == "Bad Gateway"

    def test_a_repeated_title_is_shown_once(self):
        assert str(
            problem(403, {"title": "Insufficient permissions", "detail": "Insufficient permissions"})
        ) == ("Insufficient permissions")

    @pytest.mark.parametrize("body", [b"", b"   ", b"[]", b"null", b'"oops"', b"{}", b'{"title": ', b"\xff"])
    def test_an_unusable_body_shows_the_name_of_the_status(self, body):
        assert str(problem(502, body)) == "Bad Gateway"

    def test_an_unknown_status_has_a_text(self):
        assert str(problem(599)) == "unknown status"

    def test_a_page_of_html_is_not_repeated(self):
        assert str(problem(502, b"<html><h1>proxy</h1></html>", "text/html")) == "Bad Gateway"

    def test_a_line_of_plain_text_is_repeated(self):
        parsed = problem(503, b"upstream timed out\n", "text/plain; charset=utf-8")
        assert str(parsed) == "Service Unavailable: upstream timed out"

    @pytest.mark.parametrize("errors", ["x", {"a": 1}, [None, 3, [], {}], [{"field": None}], 7])
    def test_errors_of_an_unknown_format_are_ignored(self, errors):
        assert str(problem(400, {"title": "Bad Request", "errors": errors})) == "Bad Request"

    def test_text_errors_are_messages(self):
        assert (
            str(problem(400, {"title": "Bad Request", "errors": ["no agents"]})) == "Bad Request [no agents]"
        )

    def test_many_errors_are_counted_in_the_text_and_complete_in_the_data(self):
        errors = [{"field": f"f{nth}", "message": "wrong"} for nth in range(500)]
        parsed = problem(400, {"title": "Bad Request", "errors": errors})
        assert str(parsed).endswith("f4: wrong; and 495 more]")
        assert len(parsed.errors) == 500

    def test_long_texts_are_shortened(self):
        errors = [{"field": "f" * 9999, "message": "m" * 9999}] * 50
        text = str(problem(400, {"title": "t" * 9999, "detail": "d" * 9999, "errors": errors}))
        assert len(text) < 1700

    @pytest.mark.parametrize("before", range(490, 505))
    def test_a_secret_is_redacted_before_a_long_text_is_shortened(self, before):
        text = "x" * before + "s3cret-token" + "y" * 50
        shapes = [
            {"title": text},
            {"title": "t", "detail": text},
            {"title": "t", "errors": [{"field": text, "message": text, "code": text}, text]},
        ]
        for parsed in (*(problem(400, shape) for shape in shapes), problem(503, text.encode(), "text/plain")):
            assert "s3c" not in repr(parsed) + str(parsed)

    def test_a_long_plain_text_is_left_out(self):
        assert str(problem(503, b"x" * 70_000, "text/plain")) == "Service Unavailable"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["title", "detail", "error", "error_description", "errors", "message", "status"])


@given(
    st.integers(100, 999),
    st.one_of(st.binary(), JSON.map(json.dumps).map(str.encode), st.dictionaries(KEYS, JSON).map(json.dumps)),
)
def test_every_body_has_a_description(status, body):
    raw = body.encode() if isinstance(body, str) else body
    assert str(read_problem(Response(status, {"content-type": "text/plain"}, raw, ""), Redactor()))
