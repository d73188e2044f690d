"""Choosing among listed tests by name, label, type and age."""

from __future__ import annotations

import pytest

from thousandeyes_provider.api.test_search import is_older, select_tests

TESTS = [
    {
        "testId": "1",
        "testName": "Shop checkout",
        "type": "http-server",
        "labels": [{"labelId": "9", "name": "Shop"}],
    },
    {"testId": "2", "testName": "Shop search", "type": "page-load", "labels": ["10", "Shop"]},
    {"testId": "3", "testName": "DNS", "type": "dns-server"},
    {"testId": "4", "type": "api", "labels": None},
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "1234"),
        ({"name": "shop*"}, "12"),
        ({"name": "Shop"}, ""),
        ({"name": "DN?"}, "3"),
        ({"name": ""}, "4"),
        ({"labels": ["10", "shop"]}, "2"),
        ({"test_type": "page-load"}, "2"),
        ({"labels": "shop"}, "12"),
        ({"labels": ["SHOP", "9"]}, "1"),
        ({"labels": ["shop", "other"]}, ""),
        ({"labels": [], "name": "*"}, "1234"),
        ({"labels": "Shop", "name": "*search", "test_type": "page-load"}, "2"),
    ],
)
def test_what_fits_everything_that_is_asked_for(wanted, found):
    assert "".join(test["testId"] for test in select_tests(TESTS, **wanted)) == found


@pytest.mark.parametrize("name", ["[prod] shop", "[prod]*"])
def test_a_bracket_in_a_name_is_a_bracket(name):
    tests = [{"testName": "[prod] Shop"}, {"testName": "p shop"}]
    assert select_tests(tests, name=name) == [{"testName": "[prod] Shop"}]


def test_labels_of_tests_that_tell_none_are_no_empty_answer():
    with pytest.raises(
        ValueError, match=r"labels \['x'\]: ThousandEyes lists 1 tests and tells the labels of none"
    ):
        select_tests([{"testId": "1"}], labels="x")
    assert select_tests([], labels="x") == []


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("created", "older"),
    [
        ("1970-01-01T00:16:39Z", True),
        ("1970-01-01T00:15:41Z", True),
        ("1970-01-01T00:17:40Z", False),
        ("1970-01-01T00:17:41", False),
        ("1970-01-01T00:17:39", True),
        ("1970-01-01T01:17:39+01:00", True),
        ("1970-01-01T00:17:39-01:00", False),
        ("1970-01-01T01:17:41+01:00", False),
        ("yesterday", False),
        (None, False),
        (7, False),
    ],
)
def test_a_test_is_older_when_it_says_so_by_more_than_a_minute(created, older):
    assert is_older({"createdDate": created}, 1120.0) is older
