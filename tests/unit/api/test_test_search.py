"""Selection of listed tests by name, tag, type and age."""

from __future__ import annotations

import pytest

from thousandeyes_provider.api.test_search import is_older, matches_test, select_tests

TESTS = [
    {"testId": "1", "testName": "Shop checkout", "type": "http-server"},
    {"testId": "2", "testName": "Shop search", "type": "page-load"},
    {"testId": 3, "testName": "DNS", "type": "dns-server"},
    {"testId": "4", "type": "api"},
]


def tag(key, value, *test_ids, **more):
    assigned = [{"id": test_id, "type": "test"} for test_id in test_ids]
    return {"id": f"id-of-{key}-{value}", "key": key, "value": value, "assignments": assigned, **more}


TAGS = [
    tag("service", "checkout", "1", "3"),
    tag("service", "search", "2"),
    tag("tier", "1", "1", "2"),
    tag("team", "payments"),
    tag("critical", None, "1"),
    {"key": "dashboards", "value": "x", "assignments": [{"id": "1", "type": "dashboard"}, "odd"]},
    {"key": None, "value": None, "assignments": None},
]


def chosen(**conditions):
    return "".join(str(test["testId"]) for test in select_tests(TESTS, known_tags=TAGS, **conditions))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, "1234"),
        ({"name": "shop*"}, "12"),
        ({"name": "Shop"}, ""),
        ({"name": "DN?"}, "3"),
        ({"name": ""}, "4"),
        ({"test_type": "page-load"}, "2"),
        ({"tags": []}, "1234"),
        ({"tags": "service:checkout"}, "13"),
        ({"tags": "Service: Checkout"}, "13"),
        ({"tags": "service"}, "123"),
        ({"tags": "id-of-tier-1"}, "12"),
        ({"tags": "critical"}, "1"),
        ({"tags": ["service:checkout", "tier:1"]}, "1"),
        ({"tags": ["service:checkout", "tier:1"], "match_tags": "any"}, "123"),
        ({"tags": ["service:checkout", "service:search"]}, ""),
        ({"tags": "tier:1", "name": "*search", "test_type": "page-load"}, "2"),
    ],
)
def test_tests_that_match_every_condition_are_selected(conditions, expected):
    assert chosen(**conditions) == expected


@pytest.mark.parametrize("wanted", ["team:payments", "dashboards:x", ["team:payments", "tier:1"]])
def test_an_unused_tag_selects_no_test(wanted):
    assert chosen(tags=wanted) == ""


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("service:chekout", "no tag 'service:chekout' exists; did you mean 'service:checkout'"),
        ("nothing-like-it", "no tag 'nothing-like-it' exists; 6 tags exist"),
    ],
)
def test_an_unknown_tag_is_an_error_with_similar_tags(wanted, hint):
    with pytest.raises(ValueError, match=hint):
        chosen(tags=["tier:1", wanted])


@pytest.mark.parametrize("name", ["[prod] shop", "[prod]*"])
def test_a_bracket_in_a_name_matches_literally(name):
    tests = [{"testName": "[prod] Shop"}, {"testName": "p shop"}]
    assert select_tests(tests, name=name) == [{"testName": "[prod] Shop"}]


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
def test_a_test_is_older_by_more_than_a_minute(created, older):
    assert is_older({"createdDate": created}, 1120.0) is older


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("7", True),
        ("shop [EU] checkout", True),
        ("Shop*", True),
        ("Shop ?EU? checkout", True),
        ("Shop E checkout", False),
        ("Shop", False),
        ("8", False),
    ],
)
def test_pattern_matches_an_id_or_a_name(pattern, matches):
    assert matches_test(pattern, "7", "Shop [EU] checkout") is matches
