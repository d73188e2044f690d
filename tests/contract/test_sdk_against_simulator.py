"""ThousandEyes' SDK against the simulator: it creates, runs and reads tests, and its models parse the responses."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES, row_error

pytestmark = pytest.mark.xdist_group("sdk")


def plain(row: Any) -> dict[str, Any]:
    """Return a row in the format of the API."""
    texts: dict[str, Any] = row.model_dump(by_alias=True, exclude_unset=True, mode="json")
    return texts


def reported(simulator: Any, test_id: str) -> None:
    """Wait until the rounds of a test are complete. It takes milliseconds."""
    import time

    deadline = time.monotonic() + 10
    while not all(round_.complete for round_ in simulator.rounds(test_id)):
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("test_type", TEST_TYPES)
class TestEachType:
    def test_a_test_can_be_created_run_and_read(
        self, simulator: Any, sdk: Any, definitions: Any, check_model: Any, tally: Any, test_type: str
    ) -> None:
        definition = definitions[test_type]
        created = check_model(sdk.create(test_type, definition, expand=["agent"]))
        assert (created.type, created.test_name) == (test_type, definition["testName"])
        assert {agent.agent_id for agent in created.agents} == {
            agent["agentId"] for agent in definition["agents"]
        }
        sdk.run_instant_test(created.test_id)
        assert len(simulator.rounds(created.test_id)) == 2

        read = check_model(sdk.test(test_type, created.test_id, expand=["agent"]))
        assert (read.test_id, read.type) == (created.test_id, test_type)
        assert created.test_id in [test.test_id for test in check_model(sdk.get_tests()).tests]

        reported(simulator, created.test_id)
        agents = {agent["agentId"] for agent in definition["agents"]}
        assert [link.href.rpartition("/")[2] for link in created.links.test_results] == list(
            TEST_TYPES[test_type].result_types
        )
        for result_type in TEST_TYPES[test_type].result_types:
            page = check_model(sdk.results(result_type, created.test_id, window="1h"))
            assert page.test.test_id == created.test_id
            assert {row.agent.agent_id for row in page.results} == agents
            assert len({row.round_id for row in page.results}) == 2
            for row in page.results:
                assert row_error(result_type, plain(row)) is None
        tally["types"] = 1

    def test_failed_rows_parse_and_are_errors(
        self, simulator: Any, sdk: Any, check_model: Any, test_type: str
    ) -> None:
        test_id = simulator.add_test(test_type, outcomes="error", agents=2)
        for result_type in TEST_TYPES[test_type].result_types:
            page = check_model(sdk.results(result_type, test_id))
            for row in page.results:
                assert bool(row_error(result_type, plain(row))) == RESULT_TYPES[result_type].judged

    def test_all_pages_can_be_read(self, simulator: Any, sdk: Any, check_model: Any, test_type: str) -> None:
        test_id = simulator.add_test(test_type, agents=5, history=[60, 120], switches={"page_size": 3})
        for result_type in TEST_TYPES[test_type].result_types:
            rows = [check_model(row) for row in sdk.all_results(result_type, test_id, window="1h")]
            assert len({row.agent.agent_id for row in rows}) == 5
            texts = [row.model_dump_json(by_alias=True, exclude_unset=True) for row in rows]
            assert len(set(texts)) == len(texts) >= 10


class TestTags:
    def test_tags_with_their_tests(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        test_id = simulator.add_test("http-server", scheduled=True, tags=["service:checkout"])
        (tag,) = check_model(sdk.get_tags(expand=["assignments"])).tags
        assert (tag.key, tag.value, tag.object_type.value) == ("service", "checkout", "test")
        assert [(assigned.id, assigned.type.value) for assigned in tag.assignments] == [(test_id, "test")]
        assert check_model(sdk.get_tag(tag.id, expand=["assignments"])).assignments == tag.assignments
        (expanded,) = check_model(sdk.test("http-server", test_id, expand=["tag"])).tags
        assert (expanded.id, expanded.key, expanded.value) == (tag.id, "service", "checkout")

    def test_a_tag_that_does_not_exist(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        import thousandeyes_sdk.tags.models as models
        from thousandeyes_sdk.core.exceptions import ApiException

        with pytest.raises(ApiException) as caught:
            sdk.get_tag("5aeab5d5-0d34-4d44-a7ac-fb440185295c")
        assert caught.value.status == 404
        check_model(models.Error.from_json(caught.value.body))

    def test_an_account_group_without_permission(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        import thousandeyes_sdk.tags.models as models
        from thousandeyes_sdk.core.exceptions import ApiException

        with pytest.raises(ApiException) as caught:
            sdk.get_tags(aid="9999")
        assert caught.value.status == 403
        check_model(models.Error.from_json(caught.value.body))


class TestAlerts:
    def test_rules_alerts_and_events(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        test_id = simulator.add_test("http-server", scheduled=True)
        rule_id = simulator.add_alert_rule("((responseTime >= 500 ms))", [test_id])
        alert_id = simulator.add_alert(rule_id, test_id, ago=600, lasted=60, violation_count=2)
        simulator.add_event("Outage in Frankfurt", ago=600, lasted=60, event_type="network-pop")
        (rule,) = check_model(sdk.get_alerts_rules()).alert_rules
        assert (rule.rule_id, rule.expression) == (rule_id, "((responseTime >= 500 ms))")
        assert check_model(sdk.get_alert_rule(rule_id)).test_ids == [test_id]
        (alert,) = check_model(sdk.get_alerts(window="1h")).alerts
        assert (str(alert.id), alert.alert_rule_id, alert.alert_state.value) == (alert_id, rule_id, "clear")
        assert (alert.violation_count, alert.duration) == (2, 60)
        assert str(check_model(sdk.get_alert(alert_id)).id) == alert_id
        (event,) = check_model(sdk.get_events(window="1h")).events
        assert (event.title, event.state.value) == ("Outage in Frankfurt", "resolved")


class TestDetails:
    """Without console logs: the SDK requires numeric timestamps, but the description specifies text."""

    STEMS: ClassVar = {
        "api": "api",
        "web-transactions": "web_transaction",
        "page-load": "page_load",
        "path-vis": "path_vis",
    }

    @pytest.mark.parametrize("outcome", ["ok", "error"])
    @pytest.mark.parametrize("result_type", STEMS)
    def test_details_parse(
        self, simulator: Any, sdk: Any, check_model: Any, result_type: str, outcome: str
    ) -> None:
        test_type = result_type if result_type in TEST_TYPES else "agent-to-server"
        test_id = simulator.add_test(test_type, outcomes=outcome, agents=["Singapore"], failed_step=2)
        (row,) = sdk.results(result_type, test_id).results
        read = getattr(sdk, f"get_test_{self.STEMS[result_type]}_agent_round_results")
        (details,) = check_model(read(test_id, "14419", str(row.round_id))).results
        assert details.agent.agent_name == "Singapore"
        if (result_type, outcome) == ("api", "error"):
            assert [request.completion for request in details.requests] == [100, 0]
            assert details.requests[1].assertions[-1].has_failed


class TestOtherOperations:
    def test_expanded_headers_and_certificates(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        row = check_model(sdk.results("http-server", "202703", expand=["header", "certificate"])).results[0]
        assert "200 OK" in row.headers.response_headers
        assert row.ssl_certificates[0].days_until_expiry == 60

    def test_each_direction(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        for direction in ("to-target", "from-target", "bidirectional"):
            page = check_model(sdk.results("network", "202702", direction=direction))
            assert {row.direction.value for row in page.results} == {direction}

    def test_snapshots(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        from thousandeyes_sdk.snapshots.models import SnapshotRequest

        request = SnapshotRequest.from_dict(
            {
                "displayName": "A bad round",
                "startDate": "2026-01-01T00:00:00Z",
                "endDate": "2026-01-01T01:00:00Z",
                "isPublic": False,
            }
        )
        snapshot = check_model(sdk.create_test_snapshot("202703", request))
        assert snapshot.links.app_link.href.startswith("https://")

    def test_agents_account_groups_and_the_user(self, simulator: Any, sdk: Any, check_model: Any) -> None:
        simulator.change_agent("vienna-office-1", "offline")
        agents = [plain(agent.actual_instance) for agent in check_model(sdk.get_agents()).agents]
        states = {agent["agentName"]: agent.get("agentState") for agent in agents}
        assert (states["vienna-office-1"], states["zurich-branch-2"]) == ("offline", "online")
        groups = check_model(sdk.get_account_groups()).account_groups
        user = check_model(sdk.get_current_user())
        assert user.login_account_group.aid in [group.aid for group in groups]

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502])
    def test_errors(self, simulator: Any, sdk: Any, check_model: Any, status: int) -> None:
        import thousandeyes_sdk.test_results.models as models
        from thousandeyes_sdk.core.exceptions import ApiException

        simulator.fail("results", status=status, times=None)
        with pytest.raises(ApiException) as caught:
            sdk.results("network", "202701")
        assert caught.value.status == status
        model = {400: models.ValidationError, 401: models.UnauthorizedError}.get(status, models.Error)
        check_model(model.from_json(caught.value.body))


class TestChecks:
    """The checks detect errors."""

    def test_a_value_of_the_wrong_type_is_a_parse_error(self, simulator: Any, sdk: Any) -> None:
        from pydantic import ValidationError

        simulator.change_test("202703", switches={"numbers_as_text": True})
        with pytest.raises(ValidationError, match="roundId"):
            sdk.results("http-server", "202703")

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"metrics": {"network": {"direction": "sideways"}}}, "direction"),
            ({"metrics": {"network": {"losss": 1.0}}}, "losss"),
            ({"switches": {"extra_fields": True}}, "simulatedNovelty"),
        ],
    )
    def test_unknown_fields_and_values_are_detected(
        self, simulator: Any, sdk: Any, check_model: Any, change: dict[str, Any], fault: str
    ) -> None:
        test_id = simulator.add_test("agent-to-server", **change)
        with pytest.raises(AssertionError, match=fault):
            check_model(sdk.results("network", test_id))
