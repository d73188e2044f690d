"""Regular expressions of checks: unsafe patterns are refused, all others search in bounded time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.validation.patterns import TEXT_LIMITS, compile_pattern, pattern_error

HEADERS = "HTTP/1.1 200 OK\nServer: nginx\nX-App-Version: 2.0.1-rc1\nSet-Cookie: a=b; Path=/\n"

EXPONENTIAL = [
    *("(a+)+$", "(a|a)*b", "(a|ab)*c", r"(\w\w|\d)*x", "(x+x+)+y", "(.*a){25}", r"(.|\n)*z", "(^a*)*"),
    *("((a{0,100}){0,100})b", "(a?){30}a{30}", "((a?){16}){16}", r"(\.?\d+)*x", "(,.*)*y", "(a++)?(b*)*c"),
    *("(?i)(a[A-Z]+)*b", "(?:(?:a+)|b)*c", r"(?P<q>a*)(?:(?P=q)a*)*b"),
]
"""Patterns for which Python's ``re`` can take exponential time."""

SLOW = ["a.*b.*c.*d", ".*.*.*x", r"(\w+)\s+(\w+)\s+(\w+)=(\w+);"]
"""Patterns with too many unbounded repeats."""

FINE = [
    *("^X-App-Version: .*-rc.*$", ".*foo.*", ".*.*x", "(?:foo|bar)+", "(?i)^x-app: 1$", "^2..$", "x(?=a+)b"),
    *(r"(a*)\1", "(?P<q>a*)(?P=q)x", "[^x]*y", "(a?){16}a{16}", "a{2,3}b", "(?>a+)*b", r"\d{3}", "[]a]+"),
    *("foo{", "a{,5}b", r"(\d{1,3}\.){3}\d{1,3}", "([0-9a-f]{1,4}:){7}x", "(a|b)|c*d", r"^\d+(\.\d+)*$"),
    *(
        "(?:[a-z]+, )+x",
        "(?#c)a",
        "(?s)a.b",
        "(a)?(?(1)b|c)",
        "(?P<q>a)((?P=q)*)b",
        "a++b",
        "",
        "a|b|",
        r"\Aa",
    ),
]


class TestErrors:
    @pytest.mark.parametrize("pattern", EXPONENTIAL)
    def test_a_pattern_that_takes_exponential_time_is_refused(self, pattern):
        assert re.compile(pattern)
        assert "can take exponential time" in pattern_error(pattern)

    @pytest.mark.parametrize("pattern", SLOW)
    def test_a_pattern_with_many_repeats_is_refused(self, pattern):
        assert pattern_error(pattern).startswith(
            "a search can take too long; expected at most 2 unbounded repeats"
        )

    @pytest.mark.parametrize("pattern", FINE)
    def test_other_patterns_are_valid(self, pattern):
        assert pattern_error(pattern) == ""

    def test_other_errors(self):
        assert (
            pattern_error("(") == "not a regular expression: missing ), unterminated subpattern at position 0"
        )
        assert pattern_error("a" * 501) == "expected a regular expression of at most 500 characters, got 501"
        assert pattern_error("(?x) a # )") == "the verbose mode (?x) is not supported"


class TestSearch:
    @pytest.mark.parametrize("pattern", FINE)
    @pytest.mark.parametrize("part", ["a", "x", "1.", "a\n", "X-App-Version: ", "1234:", " "])
    def test_a_search_takes_a_bounded_time(self, pattern, part):
        search, begun = compile_pattern(pattern), time.process_time()
        search(part * (200_000 // len(part)))
        assert time.process_time() - begun < 10

    @pytest.mark.parametrize(
        ("pattern", "matches"),
        [
            ("^X-App-Version: 2", True),
            ("^X-App-Version: 2.0$", False),
            (r"^X-App-Version:\s*2.*$", True),
            ("^Server", True),
            (r"\AServer", False),
            (r"\AHTTP", True),
            (r"nginx\nX-App", True),
            ("nginx.X-App", False),
            ("(?s)nginx.X-App", True),
            ("(?is:NGINX.X-App)", True),
            ("nginx[^;]X-App", True),
            (r"nginx[\s]X-App", True),
            ("Path=/$", True),
            (r"Path=/\Z", False),
            ("(?-m:^Server)", False),
            ("", True),
        ],
    )
    def test_a_search_finds_what_re_finds(self, pattern, matches):
        assert (re.search(pattern, HEADERS, re.MULTILINE) is not None) is matches
        assert compile_pattern(pattern)(HEADERS) is matches

    def test_the_text_is_searched_up_to_a_limit(self):
        search = compile_pattern(".*.*x")
        assert search("a" * (TEXT_LIMITS[3] - 1) + "x")
        assert not search("a" * TEXT_LIMITS[3] + "x")


@pytest.mark.parametrize("pattern", ["[[ab]", "[+--1]", "[a||b]", "x[^a&&b]", "[]~~]"])
def test_an_ambiguous_set_is_refused_every_time(pattern):
    for _ in range(2):  # Python warns once only
        assert "ambiguous: possible " in pattern_error(pattern)
        assert "escape special characters" in pattern_error(pattern)


@pytest.mark.parametrize(
    "pattern", [r"[\[ab]", "[a-]", "[--a]", r"[a\||]", "[^&&]", "[^&]&&", "[&|~-]", "a||b"]
)
def test_an_unambiguous_set_is_accepted(pattern):
    assert pattern_error(pattern) == ""


@given(st.text("ab.*+?()|[]{}^$\\d0,1:=!P<>n#-", max_size=12), st.text("ab0\n.", max_size=12))
def test_any_pattern_is_refused_or_finds_what_re_finds(pattern, text):
    if not pattern_error(pattern):
        assert compile_pattern(pattern)(text) == bool(re.search(pattern, text, re.MULTILINE))
