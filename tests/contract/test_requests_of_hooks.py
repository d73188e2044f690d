"""The hooks and the SDK send the same requests, and the SDK's models parse those of the hooks."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.hooks.thousandeyes import ThousandEyesAsyncHook, ThousandEyesHook

pytestmark = pytest.mark.xdist_group("sdk")

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
END = datetime(2026, 1, 1, 13, tzinfo=UTC)


@pytest.fixture
def connect(simulator: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a hook connected to the simulator."""

    def make(kind: Any = ThousandEyesHook, aid: str | None = None) -> Any:
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection()))
        return kind(account_group_id=aid)

    return make


def counted(tally: dict[str, int], exchange: Any) -> Any:
    tally["requests"] = tally.get("requests", 0) + 1
    return exchange


@pytest.mark.parametrize("test_type", TEST_TYPES)
def test_a_definition_equals_that_of_the_sdk(
    connect: Any, sdk: Any, exchanges: Any, definitions: Any, check_model: Any, tally: Any, test_type: str
) -> None:
    connect(aid="1001").create_instant_test(test_type, definitions[test_type])
    ours = counted(tally, exchanges.pop())
    check_model(sdk.request_model(test_type).from_json(ours.call.body))
    sdk.create(test_type, {**definitions[test_type], "testName": "another"}, expand=["agent"], aid="1001")
    theirs = exchanges.pop()
    assert ours.response.status == theirs.response.status == 201
    assert ours.sent[:3] == theirs.sent[:3]
    # The SDK adds the defaults of omitted fields.
    assert within({**ours.body, "testName": "another"}, theirs.body)


def within(ours: Any, theirs: Any) -> bool:
    """Return whether ``theirs`` contains ``ours``. It may have additional fields."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(name in theirs and within(value, theirs[name]) for name, value in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(within, ours, theirs))
    return bool(ours == theirs)


def test_a_snapshot_equals_that_of_the_sdk(
    connect: Any, sdk: Any, exchanges: Any, check_model: Any, tally: Any
) -> None:
    from thousandeyes_sdk.snapshots.models import SnapshotRequest

    connect().create_snapshot("202703", "A bad round", START, END)
    ours = counted(tally, exchanges.pop())
    sdk.create_test_snapshot("202703", check_model(SnapshotRequest.from_json(ours.call.body)))
    theirs = exchanges.pop()
    assert ours.sent[:3] == theirs.sent[:3]
    assert {name: moment(value) for name, value in ours.body.items()} == {
        name: moment(value) for name, value in theirs.body.items()
    }


def moment(value: Any) -> Any:
    """Return a value with its times in one format."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


RANGES: dict[str, dict[str, Any]] = {
    "newest": {},
    "window": {"window": "90s"},
    "since": {"start_date": START},
    "between": {"start_date": START, "end_date": END},
}


@pytest.mark.parametrize("hook_class", [ThousandEyesHook, ThousandEyesAsyncHook])
@pytest.mark.parametrize("result_type", RESULT_TYPES)
def test_requests_for_results_equal_those_of_the_sdk(
    connect: Any, sdk: Any, exchanges: Any, tally: Any, result_type: str, hook_class: Any
) -> None:
    test_type = next(name for name, known in TEST_TYPES.items() if result_type in known.result_types)
    test_id = str(202701 + list(TEST_TYPES).index(test_type))
    further: dict[str, Any] = {}
    if result_type in ("network", "path-vis"):
        further["direction"] = "to-target"
    if result_type == "http-server":
        further["expand"] = ["header", "certificate"]
    for span in RANGES.values():
        read(connect(hook_class, aid="1001"), test_id, result_type, **span, **further)
        ours = counted(tally, exchanges.pop())
        sdk.results(result_type, test_id, aid="1001", **span, **further)
        theirs = exchanges.pop()
        assert ours.response.status == theirs.response.status == 200
        assert ours.sent[:2] == theirs.sent[:2]
        assert {name: moment(value) for name, value in ours.call.query.items()} == {
            name: moment(value) for name, value in theirs.call.query.items()
        }


def read(hook: Any, *arguments: Any, **named: Any) -> Any:
    """Read results through a hook of either kind."""
    if isinstance(hook, ThousandEyesHook):
        return hook.get_test_results(*arguments, **named)

    async def whole() -> Any:
        try:
            return await hook.get_test_results(*arguments, **named)
        finally:
            await hook.close()

    return asyncio.run(whole())


def test_all_other_requests_equal_those_of_the_sdk(
    connect: Any, sdk: Any, exchanges: Any, tally: Any
) -> None:
    hook = connect(aid="1001")
    pairs = [
        (lambda: hook.run_instant_test("202703"), lambda: sdk.run_instant_test("202703", aid="1001")),
        (lambda: hook.list_tests(), lambda: sdk.get_tests(aid="1001")),
        (lambda: hook.list_agents(), lambda: sdk.get_agents(aid="1001")),
        (lambda: hook.list_account_groups(), lambda: sdk.get_account_groups()),
        (lambda: hook.test_connection(), lambda: (sdk.get_current_user(), sdk.get_account_groups())),
        *(
            (
                lambda test_id=test_id, test_type=test_type: hook.get_test(test_id, test_type),
                lambda test_id=test_id, test_type=test_type: sdk.test(
                    test_type, test_id, aid="1001", expand=["agent"]
                ),
            )
            for test_id, test_type in zip(range(202701, 202713), TEST_TYPES, strict=True)
            for test_id in [str(test_id)]
        ),
    ]
    for ours, theirs in pairs:
        exchanges.clear()
        ours()
        sent = [counted(tally, exchange).sent for exchange in exchanges]
        exchanges.clear()
        theirs()
        assert sent == [exchange.sent for exchange in exchanges]


class TestComparison:
    """The comparisons detect differences."""

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"agents": None}, "agents"),
            ({"url": None}, "url"),
            ({"httpTimeLimit": 600}, "httpTimeLimit"),
            ({"httpVersion": "two"}, "httpVersion"),
            ({"followRedirects": "yes"}, "followRedirects"),
        ],
    )
    def test_an_invalid_definition_does_not_parse(
        self, sdk: Any, definitions: Any, change: dict[str, Any], fault: str
    ) -> None:
        definition = {
            name: value
            for name, value in {**definitions["http-server"], **change}.items()
            if value is not None
        }
        with pytest.raises(ValidationError, match=fault):
            sdk.request_model("http-server").from_json(json.dumps(definition))

    @pytest.mark.parametrize("change", [{"httpTimelimit": 5}, {"authType": "kerberus"}])
    def test_unknown_fields_and_values_are_detected(
        self, sdk: Any, definitions: Any, check_model: Any, change: dict[str, Any]
    ) -> None:
        definition = {**definitions["http-server"], **change}
        with pytest.raises(AssertionError, match=next(iter(change))):
            check_model(sdk.request_model("http-server").from_json(json.dumps(definition)))

    def test_another_path_or_query_is_detected(self, connect: Any, sdk: Any, exchanges: Any) -> None:
        connect(aid="1001").get_test_results("202703", "http-server", expand="header")
        ours = exchanges.pop()
        for how in ({"expand": ["certificate"]}, {"expand": ["header"], "window": "1h"}, {}):
            sdk.results("http-server", "202703", aid="1001", **how)
            assert exchanges.pop().sent != ours.sent
