"""Loosely typed values: what counts as a number, a boolean, a time."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.coerce import boolean, number, printable, seconds, short_text, whole_number

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (0, 0),
            (-3, -3),
            (2.5, 2.5),
            ("0", 0),
            ("42", 42),
            (" 42\n", 42),
            ("+7", 7),
            ("-7.5", -7.5),
            (".5", 0.5),
            ("5.", 5),
            ("1e3", 1000),
            ("1E-2", 0.01),
            ("007", 7),
        ],
    )
    def test_a_number_may_arrive_as_text(self, value, expected):
        assert number(value) == expected

    @pytest.mark.parametrize(
        "value",
        [
            *(None, True, False, "", " ", "-", ".", "abc", "12 ms", "1,5", "1_000", "0x10", "1 2", "--1"),
            *("nan", "NaN", "inf", "-Infinity", "1e400", math.nan, math.inf, -math.inf, 10**400),
            *(b"1", [1], {"1": 1}, "1e", "e5", "true"),
        ],
    )
    def test_what_is_no_finite_number_is_none(self, value):
        assert number(value) is None

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_every_spelling_that_python_gives_a_number_is_read_back(self, value):
        assert number(str(value)) == number(value) == value

    @given(ANYTHING)
    def test_whatever_it_is_nothing_is_raised_and_what_comes_back_is_finite(self, value):
        found = number(value)
        assert found is None or math.isfinite(found)
        assert whole_number(value) is None or isinstance(whole_number(value), int)
        assert boolean(value) in (True, False, None)
        seconds(value)


class TestWholeNumbers:
    @pytest.mark.parametrize(("value", "expected"), [(3, 3), ("3", 3), ("3.0", 3), (3.0, 3), ("-2", -2)])
    def test_a_whole_number_may_be_spelled_with_a_point(self, value, expected):
        found = whole_number(value)
        assert found == expected
        assert isinstance(found, int)

    @pytest.mark.parametrize("value", [3.5, "3.5", True, None, "", "x", math.nan, math.inf, [3]])
    def test_anything_else_is_none(self, value):
        assert whole_number(value) is None

    def test_a_large_id_is_not_rounded(self):
        assert whole_number(281474976710706123) == 281474976710706123


class TestBooleans:
    @pytest.mark.parametrize("value", [True, 1, "1", "true", "True", " TRUE ", "yes", "on"])
    def test_true(self, value):
        assert boolean(value) is True

    @pytest.mark.parametrize("value", [False, 0, "0", "false", "False", " FALSE ", "no", "off"])
    def test_the_text_false_is_false(self, value):
        assert boolean(value) is False

    @pytest.mark.parametrize("value", [None, "", "maybe", 2, -1, 1.0, "truee", [], {}, [True]])
    def test_anything_else_is_neither(self, value):
        assert boolean(value) is None


class TestSeconds:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [(5, 5), ("5", 5), (0.5, 0.5), (timedelta(minutes=2), 120), (timedelta(milliseconds=250), 0.25)],
    )
    def test_a_time_is_a_number_a_text_or_a_timedelta(self, value, expected):
        assert seconds(value) == expected

    @pytest.mark.parametrize("value", [None, "5 min", "PT5M", True, [5]])
    def test_anything_else_is_none(self, value):
        assert seconds(value) is None


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("Z\u00fcrich, \u6771\u4eac", "Z\u00fcrich, \u6771\u4eac"),
            ("a\r\nb\tc", "a  b c"),
            ("\x1b[31mred", " [31mred"),
            ("half \ud800", "half  "),
            ("", ""),
        ],
    )
    def test_what_cannot_be_shown_is_a_space(self, text, shown):
        assert printable(text) == shown
        assert short_text(text) == shown

    def test_a_word_is_a_text_or_a_whole_number(self):
        assert short_text(7) == "7"
        assert [short_text(value) for value in (True, None, 7.5, ["a"], {})] == [""] * 5
        assert short_text("x" * 501) == "x" * 500


def test_a_text_that_spells_true_counts_and_an_object_that_does_not():
    class Odd:
        def __str__(self):
            return "true"

    assert boolean("true") is True
    assert boolean(Odd()) is None
    assert boolean(1.0) is None
