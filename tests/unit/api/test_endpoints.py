"""The API operations: their requests, and usable responses."""

from __future__ import annotations

import json

import pytest

from thousandeyes_provider.api import endpoints
from thousandeyes_provider.api.response import Response

EVERY = [value for value in vars(endpoints).values() if isinstance(value, endpoints.Endpoint)]


def answer(body, kind="application/json"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(200, {"content-type": kind}, raw, "")


@pytest.mark.parametrize(
    ("operation", "sent"),
    [
        (endpoints.RUN, "POST /tests/7/run"),
        (endpoints.CREATE, "POST /tests/http-server/instant"),
        (endpoints.SNAPSHOT, "POST /tests/7/snapshot"),
        (endpoints.RESULTS, "GET /test-results/7/network"),
        (endpoints.TEST, "GET /tests/http-server/7"),
        (endpoints.TESTS, "GET /tests"),
        (endpoints.AGENTS, "GET /agents"),
        (endpoints.ACCOUNT_GROUPS, "GET /account-groups"),
        (endpoints.CURRENT_USER, "GET /users/current"),
    ],
)
def test_method_and_path(operation, sent):
    parts = {"test_id": 7, "test_type": "http-server", "result_type": "network"}
    parts = {name: value for name, value in parts.items() if f"{{{name}}}" in operation.path}
    assert f"{operation.method} {operation.fill(**parts)}" == sent


def test_an_id_cannot_change_the_path():
    assert endpoints.RUN.fill(test_id="1/run?x#{test_id}") == "/tests/1%2Frun%3Fx%23%7Btest_id%7D/run"


class TestUsable:
    @pytest.mark.parametrize("body", [b"", b"  \r\n"])
    def test_an_empty_response_to_a_run_is_usable(self, body):
        assert endpoints.RUN.unusable(answer(body)) is None

    def test_a_body_in_the_response_to_a_run_is_unusable(self):
        assert endpoints.RUN.unusable(answer({"ok": True})) == "not the empty one that was expected"

    @pytest.mark.parametrize(
        ("operation", "body"),
        [
            (endpoints.RESULTS, {"results": []}),
            (endpoints.RESULTS, {"results": [{}], "test": {}, "more": 1}),
            (endpoints.RESULTS, {"test": {}}),
            (endpoints.CREATE, {"testId": "7"}),
            (endpoints.TEST, {"testId": 7}),
            (endpoints.SNAPSHOT, {"id": "s"}),
            (endpoints.TESTS, {"tests": []}),
            (endpoints.AGENTS, {"agents": [{"agentId": "1"}]}),
            (endpoints.ACCOUNT_GROUPS, {"accountGroups": []}),
            (endpoints.CURRENT_USER, {}),
        ],
    )
    def test_the_expected_body_is_usable(self, operation, body):
        assert operation.unusable(answer(body)) is None

    @pytest.mark.parametrize(
        ("body", "kind", "why"),
        [
            (b" \n", "application/json", "an empty body"),
            (b"<html>", "text/html; charset=utf-8", "a body that is not JSON (text/html, 6 bytes)"),
            (b"<html>", None, "a body that is not JSON (no content type, 6 bytes)"),
            (b"[" * 100_000, None, "a body that is not JSON (no content type, 100000 bytes)"),
            (b"[]", None, "JSON that is not an object"),
            (b'{"results": null}', None, "JSON without a usable 'results'"),
            (b'{"results": [7]}', None, "JSON with a 'results' of other things than objects"),
        ],
    )
    def test_the_reason_describes_the_body(self, body, kind, why):
        headers = {"content-type": kind} if kind else {}
        assert endpoints.RESULTS.unusable(Response(200, headers, body, "")) == why

    def test_an_invalid_id_is_named(self):
        with pytest.raises(ValueError, match="test_id"):
            endpoints.RUN.fill(test_id="")

    @pytest.mark.parametrize("operation", [endpoint for endpoint in EVERY if endpoint.member is not None])
    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"results": [{"roundId": 1', b"null", b"[]", b"7"])
    def test_truncated_json_html_and_lists_are_unusable(self, operation, body):
        assert operation.unusable(answer(body))

    @pytest.mark.parametrize(
        ("operation", "body"),
        [
            (endpoints.TESTS, {}),
            (endpoints.RESULTS, {"results": None}),
            (endpoints.RESULTS, {"results": {}}),
            (endpoints.RESULTS, {"results": [1]}),
            (endpoints.RESULTS, {"results": [[]]}),
            (endpoints.CREATE, {"testId": None}),
            (endpoints.CREATE, {"testId": True}),
            (endpoints.CREATE, {"testId": []}),
            (endpoints.TEST, {"error": "x"}),
            (endpoints.TESTS, {"tests": "none"}),
        ],
    )
    def test_an_object_without_the_expected_field_is_unusable(self, operation, body):
        assert operation.unusable(answer(body))

    def test_html_is_described_by_type_and_size(self):
        problem = endpoints.RESULTS.unusable(answer(b"<html>secret</html>", "text/html; charset=utf-8"))
        assert problem == "a body that is not JSON (text/html, 19 bytes)"


REQUEST = endpoints.ApiRequest(endpoints.RESULTS, "results", "https://te/v7/results?window=1h")


def following(page, account_group_id=None):
    response = Response(200, {}, json.dumps(page).encode(), "https://te/v7/results?window=1h")
    request = REQUEST.next_page(response, account_group_id)
    return request and request.url


class TestNextPage:
    def test_is_the_link_of_the_page(self):
        page = {"_links": {"next": {"href": "https://te/v7/x?cursor=1"}}}
        assert following(page) == "https://te/v7/x?cursor=1"

    @pytest.mark.parametrize(
        ("link", "expected"),
        [
            ("/v7/x?cursor=1", "https://te/v7/x?cursor=1&aid=7"),
            ("/v7/x", "https://te/v7/x?aid=7"),
            ("/v7/x?aid=8", "https://te/v7/x?aid=8"),
        ],
    )
    def test_has_the_account_group(self, link, expected):
        assert following({"_links": {"next": {"href": link}}}, "7") == expected

    @pytest.mark.parametrize(
        "page",
        [
            *({}, {"_links": None}, {"_links": []}, {"_links": {}}, {"_links": {"next": None}}),
            *({"_links": {"next": {}}}, {"_links": {"next": {"href": None}}}, {"_links": {"next": "x"}}),
            *({"_links": {"next": {"href": ""}}}, {"_links": {"self": {"href": "x"}}}),
        ],
    )
    def test_the_last_page_has_none(self, page):
        assert following(page) is None


def test_a_response_without_the_list_has_no_items():
    assert REQUEST.items(answer({"test": {}})) == []
    assert REQUEST.items(answer({"results": [{"a": 1}]})) == [{"a": 1}]
