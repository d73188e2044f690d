"""Less common reads through either hook."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from thousandeyes_provider.exceptions import ThousandEyesConfigurationError
from thousandeyes_provider.hooks import reads, shared_account
from thousandeyes_provider.hooks.reads import default_account_group
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook


def round_of(hook, test_id, result_type):
    """Return an agent and the newest round of a test."""
    row = hook.get_test_results(test_id, result_type)["results"][0]
    return row["agent"]["agentId"], row["roundId"]


def test_details_of_one_agent_in_one_round(simulator, either):
    test_id = simulator.add_test("api")
    agent_id, round_id = round_of(either, test_id, "api")
    details = either.get_test_details(test_id, "api", agent_id, round_id)
    (row,) = details["results"]
    assert (row["agent"]["agentId"], str(row["roundId"])) == (agent_id, str(round_id))
    assert details["test"]["testId"] == test_id
    assert simulator.requests[-1].path == f"/v7/test-results/{test_id}/api/agent/{agent_id}/round/{round_id}"


def test_details_without_a_test(simulator, either):
    simulator.fail("details", status=200, body='{"results": []}')
    assert either.get_test_details("1", "api", "2", "3") == {"test": {}, "results": []}


def test_a_result_type_without_details_is_an_error(simulator, either):
    with pytest.raises(
        ThousandEyesConfigurationError, match=r"result_type must be one of api, .* got 'network'"
    ):
        either.get_test_details("1", "network", "2", "3")
    assert simulator.requests == []


def test_console_logs_of_one_agent_in_one_round(simulator, either):
    body = {"results": [{"consoleLogs": [{"message": "boom"}]}]}
    simulator.fail("console-logs", status=200, body=json.dumps(body))
    assert either.get_console_logs("1", "2", "3") == body
    path = "/v7/test-results/1/web-transactions/agent/2/round/3/console-logs"
    assert simulator.requests[-1].path == path


def test_alerts_and_events_of_a_period(simulator, either):
    assert either.list_alerts(window="12h", state="clear") == []
    assert either.list_events(start_date="2026-11-01T00:00", end_date="2026-11-02") == []
    alerts, events = (dict(request.query) for request in simulator.requests)
    assert alerts == {"window": "12h", "state": "clear"}
    assert events == {"startDate": "2026-11-01T00:00:00Z", "endDate": "2026-11-02T00:00:00Z"}


def test_dates_may_be_datetimes(simulator, either):
    either.list_alerts(start_date=datetime(2026, 11, 1, 12), end_date=datetime(2026, 11, 2, tzinfo=UTC))
    assert dict(simulator.requests[0].query) == {
        "startDate": "2026-11-01T12:00:00Z",
        "endDate": "2026-11-02T00:00:00Z",
    }


def test_an_unknown_alert_state_is_an_error(simulator, either):
    with pytest.raises(
        ThousandEyesConfigurationError, match="state must be one of trigger, clear, got 'open'"
    ):
        either.list_alerts(state="open")
    assert simulator.requests == []


@pytest.mark.parametrize("tests", [None, "text", [1], [{"testId": 7}]])
def test_alert_rules_are_found_by_tests_or_test_ids(simulator, either, tests):
    simulator.fail("alert-rules", status=200, body='{"alertRules": [{"ruleId": "9"}]}')
    rule = {"ruleId": "9", "tests": tests, "testIds": [8]}
    for test_id in ("7", "8"):
        simulator.fail("alert-rules", status=200, body='{"alertRules": [{"ruleId": "9"}]}')
        simulator.fail("alert-rule", status=200, body=json.dumps(rule))
        applies = test_id == "8" or tests == [{"testId": 7}]
        assert either.list_alert_rules(test_id) == ([rule] if applies else [])


class TestDefaultAccountGroup:
    def test_the_flags_mark_it(self, simulator, either):
        assert either.get_default_account_group() == "1001"
        assert [request.operation for request in simulator.requests] == ["account-groups"]

    @pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
    def test_it_is_unknown_after_a_failed_request(self, simulator, either, status, log):
        simulator.fail("account-groups", status=status, times=None)
        assert either.get_default_account_group() is None
        assert simulator.count("account-groups") == 1
        assert (
            f"Could not read the default account group of the token: list account groups: {status}" in log()
        )

    def test_it_is_not_read_without_quota(self, simulator, either, monkeypatch):
        monkeypatch.setattr(reads, "ACCOUNT_GROUP_TIMEOUT", -1.0)
        assert either.get_default_account_group() is None
        assert simulator.requests == []

    @pytest.mark.parametrize(
        ("groups", "expected"),
        [
            ([], None),
            ([{"aid": "1"}], None),
            ([{"aid": 1, "isDefaultAccountGroup": True}, {"aid": 2}], "1"),
            ([{"aid": "1", "isDefaultAccountGroup": True, "isCurrentAccountGroup": True}], "1"),
            (
                [{"aid": "1", "isCurrentAccountGroup": True}, {"aid": "2", "isDefaultAccountGroup": True}],
                None,
            ),
            ([{"aid": "1", "isCurrentAccountGroup": "true"}], None),
            ([{"isCurrentAccountGroup": True}], None),
            ([{"aid": ["1"], "isCurrentAccountGroup": True}], None),
        ],
    )
    def test_it_is_unknown_if_the_flags_disagree(self, groups, expected):
        assert default_account_group(groups) == expected

    def test_it_is_read_once_per_account(self, simulator, connect_either, monkeypatch):
        connect_either()

        async def read():
            hooks = [ThousandEyesAsyncHook(shared=True) for _ in range(5)]
            try:
                first = await asyncio.gather(*(hook.get_default_account_group() for hook in hooks))
                monkeypatch.setattr(shared_account, "ACCOUNT_GROUP_TTL", -1.0)
                return [*first, await hooks[0].get_default_account_group()]
            finally:
                for hook in hooks:
                    await hook.close()

        assert asyncio.run(read()) == ["1001"] * 6
        assert simulator.count("account-groups") == 2
