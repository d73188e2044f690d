"""Redaction: text without secrets, on one line, of limited length."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.redaction import Redactor, describe, redactor_of

SECRET = "a+b/c=d\\e\"f'0123456789-GHIJ"


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        SECRET.lower(),
        SECRET.upper(),
        quote(SECRET),
        quote(SECRET, safe=""),
        json.dumps(SECRET),
        repr(SECRET),
    ],
)
def test_a_secret_is_replaced_in_every_encoding(echo):
    assert "0123456789" not in Redactor([SECRET])(f"header {echo} is wrong")


@given(st.text(max_size=600), st.integers(1, 40), st.integers(10, 500))
def test_no_part_of_a_secret_survives_shortening(before, length, limit):
    secret = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF"[:length] + "!"
    text = Redactor([secret])(f"{before.replace('0', '').replace('!', '')}{secret} tail", limit)
    assert len(text) <= limit
    assert "0" not in text


def test_the_longest_secret_is_replaced_first():
    assert Redactor(["abc", "abcdef"])("abcdef abc") == "*** ***"


@pytest.mark.parametrize("odd", ["\n", "\r\n", "\x00", "\x1b[31m", "\u2028", "\ud800"])
def test_a_text_is_one_printable_line(odd):
    text = Redactor()(f"one{odd}two")
    assert text.isprintable()
    assert text.startswith("one")


def test_without_secrets_only_the_length_changes():
    assert Redactor(["", "  "])("x" * 20, 5) == "xxxx…"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("soon", "'soon'"),
        (5, "5"),
        (1.5, "1.5"),
        (True, "True"),
        (None, "None"),
        ("x" * 21, "text of 21 characters"),
        ("a\nb", "text of 3 characters"),
        (["s3cret"], "a list"),
        (("s3cret",), "a list"),
        ({"s3cret": 1}, "an object"),
        (10**40, "a long number"),
        (b"s3cret", "a bytes"),
    ],
)
def test_values_of_an_unexpected_shape_are_described_by_type(value, text):
    assert describe(value) == text


def test_redactor_of_secrets_masks_each_of_them():
    masked = redactor_of(frozenset({"first-secret-1", "second-secret-2"}))(
        "first-secret-1 and second-secret-2"
    )
    assert masked == "*** and ***"
