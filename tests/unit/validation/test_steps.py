"""The failed step of an agent is read from the details of a round and shown in every text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandeyes_provider.validation.evidence import Observed, evidence
from thousandeyes_provider.validation.reports import junit, markdown
from thousandeyes_provider.validation.steps import (
    DETAILED_RESULT_TYPES,
    FailedAt,
    agents_to_detail,
    failed_step,
)
from thousandeyes_provider.validation.summary import summary, table
from thousandeyes_provider.validation.verdict import Verdict, judge

AT = 1_790_000_000
API = {
    "results": [
        {
            "completion": 50,
            "errorType": "Assertion",
            "errorDetails": "Step 2 failed",
            "requests": [
                {
                    "stepNumber": 2,
                    "name": "Log in",
                    "url": "https://user:secret@shop.example:8443/login?token=secret#x",
                    "completion": 0,
                    "assertErrorCount": 1,
                    "assertions": [{"step": 1, "hasFailed": False}, {"step": 2, "hasFailed": True}],
                },
                {"stepNumber": 1, "name": "Token", "completion": 100, "assertions": []},
            ],
        }
    ]
}
API_TEST = {
    "requests": [
        {"name": "Token"},
        {
            "name": "Log in",
            "assertions": [
                {"name": "response-body", "operator": "includes", "value": "ok"},
                {"name": "status-code", "operator": "is", "value": 200},
            ],
        },
    ]
}
TRANSACTION = {
    "results": [
        {
            "errorType": "Script",
            "errorDetails": "TimeoutError: no element\n#pay",
            "pages": [{"pageNum": 1, "pageName": "Pay"}, {"pageNum": 0, "pageName": "Cart"}],
        }
    ]
}
CONSOLE = {
    "results": [
        {
            "consoleLogs": [
                {"level": "INFO", "value": "loaded"},
                *({"level": "SEVERE", "value": f"error {nth}"} for nth in range(5)),
            ]
        }
    ]
}
PAGE = {
    "results": [
        {
            "har": {
                "log": {
                    "entries": [
                        {"request": {"url": "https://shop.example/"}, "response": {"status": 200}},
                        {
                            "request": {"url": "https://cdn.example/app.js?v=1"},
                            "response": {"status": 503, "statusText": "Service Unavailable"},
                        },
                        {"request": {"url": "https://cdn.example/b.js"}, "response": {"status": 0}},
                    ]
                }
            }
        }
    ]
}


class TestApi:
    def test_the_first_failed_request_with_the_text_of_its_assertion(self):
        assert failed_step("api", API, test=API_TEST) == {
            "kind": "request",
            "number": 2,
            "name": "Log in",
            "message": "assertion failed: status-code is 200",
            "url": "https://shop.example:8443/login",
        }

    def test_an_assertion_has_its_number_when_the_definition_is_not_known(self):
        assert failed_step("api", API)["message"] == "assertion 2 failed"
        assert failed_step("api", API, test={"requests": [{}, {"assertions": [{}, {}]}]})["message"] == (
            "assertion 2 failed"
        )

    def test_a_request_is_matched_by_position_when_names_differ(self):
        renamed = {"requests": [{"name": "a"}, {**API_TEST["requests"][1], "name": "b"}]}
        assert failed_step("api", API, test=renamed)["message"] == "assertion failed: status-code is 200"

    def test_a_request_without_a_failed_assertion_has_the_error_of_the_row(self):
        row = {"errorDetails": "Connection refused", "requests": [{"name": "Token", "completion": 0}]}
        assert failed_step("api", {"results": [row]}) == {
            "kind": "request",
            "name": "Token",
            "message": "Connection refused",
        }
        row = {"errorType": "None", "requests": [{"name": "Token", "assertErrorCount": 1}]}
        assert failed_step("api", {"results": [row]})["message"] == "did not complete"

    def test_an_assertion_may_have_no_number(self):
        row = {"requests": [{"assertions": [{"hasFailed": "true"}]}]}
        assert failed_step("api", {"results": [row]})["message"] == "assertion failed"
        assert failed_step("api", {"results": [{}, row]}) is not None

    def test_requests_that_all_passed_are_no_failed_step(self):
        assert failed_step("api", {"results": [{"requests": [{"completion": 100}]}]}) is None


class TestWebTransactions:
    def test_the_last_page_that_was_reached(self):
        assert failed_step("web-transactions", TRANSACTION, console_logs=CONSOLE) == {
            "kind": "page",
            "number": 2,
            "name": "Pay",
            "message": "TimeoutError: no element #pay",
            "console": ["error 2", "error 3", "error 4"],
        }

    def test_an_error_before_the_first_page(self):
        row = {"errorType": "Connect", "errorDetails": ""}
        assert failed_step("web-transactions", {"results": [row]}) == {
            "kind": "page",
            "name": "",
            "message": "Connect",
        }

    def test_the_console_shows_an_error_that_the_row_does_not(self):
        assert (
            failed_step("web-transactions", {"results": [{}]}, console_logs=CONSOLE)["message"] == "error 4"
        )

    def test_a_transaction_without_an_error_is_no_failed_step(self):
        assert failed_step("web-transactions", {"results": [{"errorType": "None", "pages": []}]}) is None


class TestPageLoad:
    def test_the_first_component_that_failed(self):
        assert failed_step("page-load", PAGE) == {
            "kind": "component",
            "number": 2,
            "name": "https://cdn.example/app.js",
            "message": "status 503 Service Unavailable",
            "failed": 2,
        }

    def test_a_component_without_a_response(self):
        entries = PAGE["results"][0]["har"]["log"]["entries"][2:]
        details = {"results": [{"har": {"log": {"entries": entries}}}]}
        assert failed_step("page-load", details)["message"] == "no response"

    @pytest.mark.parametrize("url", [None, "http://[", "no url", "http://x:y/"])
    def test_a_url_that_cannot_be_read_is_left_out(self, url):
        entry = {"request": {"url": url}, "response": {"status": 404, "statusText": 7}}
        step = failed_step("page-load", {"results": [{"har": {"log": {"entries": [entry]}}}]})
        assert (step["name"], step["message"]) == ("", "status 404")

    def test_a_page_that_loaded_is_no_failed_step(self):
        for row in ({}, {"har": "x"}, {"har": {"log": {"entries": [{"response": {"status": 304}}, 5]}}}):
            assert failed_step("page-load", {"results": [row]}) is None


class TestAgents:
    @staticmethod
    def row(agent, result_type="api", **more):
        return {"agent": {"agentId": agent, "agentName": f"name {agent}"}, "errorType": "Assertion", **more}

    def test_only_failed_agents_of_detailed_types_and_at_most_five(self):
        rows = {
            "api": [self.row(str(nth)) for nth in range(9)] + [self.row("", completion=1)],
            "network": [self.row("99", loss=100)],
        }
        wanted = agents_to_detail(judge(rows, 0))
        assert wanted[0] == FailedAt("0", "0", "api")
        assert [at.agent_id for at in wanted] == ["0", "1", "2", "3", "4"]
        assert agents_to_detail(judge({"network": rows["network"]}, 0)) == []

    def test_the_step_is_in_every_text(self):
        judgement = judge({"api": [self.row("1", errorDetails="Step 2 failed")]}, 0)
        step = failed_step("api", API, test=API_TEST)
        run = evidence(
            Observed(
                test_id="7",
                test_name="Shop",
                test_type="api",
                account_group_id="1",
                verdict=Verdict.FAILED,
                finished_at=AT,
                judgement=judgement,
                steps={"1": step},
            )
        )
        assert run["failed_agents"][0]["step"] == step
        text = "request 'Log in': assertion failed: status-code is 200"
        assert run["summary"].startswith(f"FAILED: name 1: {text}; ")
        assert text in table(run)
        assert f"{text}; api: Assertion: Step 2 failed" in summary(run)
        assert text in junit(run)
        assert text in markdown(run)


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
PARTS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "results",
                "requests",
                "assertions",
                "step",
                "hasFailed",
                "stepNumber",
                "completion",
                "name",
                "url",
            ),
            *(
                "assertErrorCount",
                "pages",
                "pageNum",
                "pageName",
                "har",
                "log",
                "entries",
                "response",
                "status",
            ),
            *("statusText", "request", "errorType", "errorDetails", "consoleLogs", "level", "value"),
        ]
    ),
    st.deferred(lambda: WILD | PARTS | st.lists(PARTS, max_size=2)),
    max_size=4,
)


@settings(max_examples=200)
@given(st.sampled_from(DETAILED_RESULT_TYPES), PARTS, PARTS, PARTS)
def test_any_details_have_a_printable_step_or_none(result_type, row, test, logs):
    step = failed_step(result_type, {"results": [row]}, test=test, console_logs=logs)
    if step is not None:
        assert all(text.isprintable() and len(text) <= 200 for text in (step["name"], step["message"]))
