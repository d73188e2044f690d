"""Conversion of loosely typed values to numbers, booleans and times."""

from __future__ import annotations

import json
import math
import re
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.coerce import (
    MAX_DEPTH,
    MAX_VALUES,
    MAX_YAML_TEXT,
    boolean,
    check_structure,
    closest,
    closest_names,
    did_you_mean,
    number,
    parse_structure,
    printable,
    seconds,
    short_text,
    whole_number,
)

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
    def test_values_that_are_not_finite_numbers_are_none(self, value):
        assert number(value) is None

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_number_formatted_by_python_is_read_back(self, value):
        assert number(str(value)) == number(value) == value

    @given(ANYTHING)
    def test_no_value_raises_and_results_are_finite(self, value):
        parsed = number(value)
        assert parsed is None or math.isfinite(parsed)
        assert whole_number(value) is None or isinstance(whole_number(value), int)
        assert boolean(value) in (True, False, None)
        seconds(value)


class TestWholeNumbers:
    @pytest.mark.parametrize(("value", "expected"), [(3, 3), ("3", 3), ("3.0", 3), (3.0, 3), ("-2", -2)])
    def test_a_whole_number_may_have_a_decimal_point(self, value, expected):
        parsed = whole_number(value)
        assert parsed == expected
        assert isinstance(parsed, int)

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
    def test_false(self, value):
        assert boolean(value) is False

    @pytest.mark.parametrize("value", [None, "", "maybe", 2, -1, 1.0, "truee", [], {}, [True]])
    def test_anything_else_is_neither(self, value):
        assert boolean(value) is None


class TestSeconds:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [(5, 5), ("5", 5), (0.5, 0.5), (timedelta(minutes=2), 120), (timedelta(milliseconds=250), 0.25)],
    )
    def test_a_duration_is_a_number_text_or_a_timedelta(self, value, expected):
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
    def test_unprintable_characters_become_spaces(self, text, shown):
        assert printable(text) == shown
        assert short_text(text) == shown

    def test_a_word_is_text_or_a_whole_number(self):
        assert short_text(7) == "7"
        assert [short_text(value) for value in (True, None, 7.5, ["a"], {})] == [""] * 5
        assert short_text("x" * 501) == "x" * 500


def test_only_real_text_is_a_boolean():
    class Odd:
        def __str__(self):
            return "true"

    assert boolean("true") is True
    assert boolean(Odd()) is None
    assert boolean(1.0) is None


class TestMisspeltNames:
    @pytest.mark.parametrize(
        ("value", "name"),
        [
            ("respons_time", "response_time"),
            ("RESPONSE-TIME", "response_time"),
            (" Response Time ", "response_time"),
            ("avg", "mean"),
            ("AVG", "mean"),
            ("zzz", None),
            (5, None),
            (None, None),
            ("", None),
            ("x" * 100_000, None),
        ],
    )
    def test_the_closest_choice(self, value, name):
        choices = ["response_time", "mean", "loss"]
        assert closest(value, choices, {"avg": "mean", "lost": "no choice"}) == name

    def test_the_hint_names_the_closest_choice(self):
        assert did_you_mean("los", ["loss", "mean"]) == "; did you mean 'loss'?"
        assert did_you_mean("zzz", ["loss", "mean"]) == ""

    def test_several_names_are_ordered_by_similarity(self):
        names = closest_names("Berlin 9", [f"Berlin {nth}" for nth in range(5)] + ["Oslo"])
        assert names == ["Berlin 4", "Berlin 3", "Berlin 2"]


def levels(mark):
    """Return YAML with ten aliases at each of nine levels."""
    lines = [f"a0: &a0 {mark}"]
    for level in range(1, 10):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines)


MERGES = "\n".join(
    ["a0: &a0 {x: 1}"]
    + [f"a{nth}: &a{nth} {{<<: [{', '.join([f'*a{nth - 1}'] * 10)}], y{nth}: 1}}" for nth in range(1, 10)]
)


class TestStructures:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
            ("{'a': (1, None)}", {"a": (1, None)}),
            (" [1] ", [1]),
            ("5", 5),
        ],
    )
    def test_json_and_python_literals(self, text, value):
        assert parse_structure(text) == value
        assert parse_structure(text, yaml=True) == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("a: 1\nb: [x, y]", {"a": 1, "b": ["x", "y"]}),
            ("base: &b {x: 1}\nother: {<<: *b, y: 2}", {"base": {"x": 1}, "other": {"x": 1, "y": 2}}),
            ("base: &b {x: 1}\nother: {<<: *b, <<: {y: 2}}", {"base": {"x": 1}, "other": {"x": 1, "y": 2}}),
            ("a: 0\n1: b\n'1': c", {"a": 0, 1: "b", "1": "c"}),
            ("plain text", "plain text"),
            ("", None),
        ],
    )
    def test_yaml_is_read_only_where_permitted(self, text, value):
        assert parse_structure(text, yaml=True) == value
        with pytest.raises(ValueError, match=r"^not JSON: .* at line 1 column 1"):
            parse_structure(text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (levels("x"), f"more than {MAX_VALUES} values, aliases included"),
            (MERGES, f"more than {MAX_VALUES} values, aliases included"),
            ("&a [*a]", f"nested more than {MAX_DEPTH} levels deep"),
            ("a: &a {b: *a}", f"nested more than {MAX_DEPTH} levels deep"),
            ("[" * 100_000, "nested too deeply"),
            ("- " * 20_000 + "x", "nested too deeply"),
            ("[" * 60 + "]" * 60, f"nested more than {MAX_DEPTH} levels deep"),
            ("a: " + "x" * MAX_YAML_TEXT, "neither JSON nor YAML of at most 65536 characters, got 65539"),
            ("a: [", "neither JSON nor YAML: while parsing"),
            ("when: 2020-99-99", "neither JSON nor YAML: month must be in 1..12"),
            ("? {a: 1}\n: 2", "neither JSON nor YAML: while constructing a mapping"),
            ("!!python/object:os.system x", "neither JSON nor YAML: could not determine a constructor"),
            ('{"a": 1, "a": 2}', 'duplicate key "a" in one object'),
            ("[{'a': 1, 'a': 2}]", 'duplicate key "a" in one object'),
            ("{1: 'a', 1.0: 'b'}", "duplicate key 1.0 in one object"),
            ("a: {b: 1}\nc: 2\na: 3", 'duplicate key "a" in one object, line 3'),
            ("a:\n- b: 1\n  b: 2", 'duplicate key "b" in one object, line 3'),
        ],
        ids=lambda text: text[:20],
    )
    def test_invalid_text_is_an_error_within_seconds(self, text, message):
        begun = time.process_time()
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            parse_structure(text, yaml=True)
        assert time.process_time() - begun < 5

    def test_the_size_of_a_list_is_bounded(self):
        check_structure([0] * (MAX_VALUES - 1))
        with pytest.raises(ValueError, match=f"more than {MAX_VALUES} values"):
            parse_structure(json.dumps([0] * MAX_VALUES))

    def test_a_structure_that_refers_to_itself_is_an_error(self):
        cycle: dict[str, object] = {}
        cycle["again"] = [cycle]
        with pytest.raises(ValueError, match="levels deep"):
            check_structure(cycle)

    @given(ANYTHING)
    def test_any_structure_is_checked(self, value):
        check_structure(value)


def test_a_str_subclass_is_shortened_and_printable():
    class Name(str):
        __slots__ = ()

    assert short_text(Name("a\nb" + "x" * 600)) == "a b" + "x" * 497
