from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES
from thousandeyes_provider.simulator.model import default_test_id

NOW = 1_800_000_015.0
HTTP, AGENT_TO_AGENT, AGENT_TO_SERVER, DNS, PAGE_LOAD = "202703", "202702", "202701", "202708", "202704"
ORGANIZATION, INSTANT = "X-Organization-Rate-Limit", "X-Instant-Test-Rate-Limit"

MakeApi = Callable[..., Any]


def follow(api: Any, url: str) -> list[dict[str, Any]]:
    """All pages."""
    pages = []
    while True:
        pages.append(api.get(url))
        if "next" not in pages[-1]["_links"]:
            return pages
        parts = urlsplit(pages[-1]["_links"]["next"]["href"])
        url = f"{parts.path}?{parts.query}"


class TestAccess:
    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "secret", "Bearer two tokens"])
    def test_a_request_without_a_bearer_token_is_401_in_its_own_format(
        self, make_api: MakeApi, header: str
    ) -> None:
        response = make_api().ask("GET", "/v7/tests", token=header)
        assert response.status == 401
        assert json.loads(response.body) == {
            "error": "invalid_token",
            "error_description": "Invalid access token",
        }
        assert f"{ORGANIZATION}-Limit" not in response.headers

    def test_any_token_is_accepted_by_default(self, make_api: MakeApi) -> None:
        assert make_api().ask("GET", "/tests", token="Bearer whatever").status == 200

    def test_only_configured_tokens_are_accepted(self, make_api: MakeApi) -> None:
        api = make_api(tokens=["one", "two"])
        statuses = [
            api.ask("GET", "/tests", token=f"Bearer {token}").status for token in ("one", "two", "three")
        ]
        assert statuses == [200, 200, 401]

    @pytest.mark.parametrize("choice", ["403", "404"])
    def test_an_account_group_of_another_user_is_refused(self, make_api: MakeApi, choice: str) -> None:
        api = make_api(foreign_aid=choice)
        for method, path in (
            ("GET", "/tests"),
            ("GET", f"/tests/http-server/{HTTP}"),
            ("GET", f"/test-results/{HTTP}/http-server"),
            ("GET", "/agents"),
            ("POST", f"/tests/{HTTP}/run"),
            ("POST", f"/tests/{HTTP}/snapshot"),
            ("POST", "/tests/http-server/instant"),
        ):
            assert api.status(method, f"{path}?aid=9999", {}) == int(choice)

    def test_a_test_belongs_to_its_account_group(self, make_api: MakeApi) -> None:
        api = make_api()
        test_id = api.world.add_test(NOW, test_type="dnssec", account_group_id="1002").test_id
        assert api.run(test_id) == 404
        assert api.status("POST", f"/tests/{test_id}/run?aid=1002") == 200
        assert api.status("POST", f"/tests/{HTTP}/run?aid=1002") == 404
        assert api.status("POST", f"/tests/{HTTP}/run?aid=1001") == 200
        scheduled = api.world.add_test(
            NOW, test_type="dnssec", account_group_id="1002", scheduled=True
        ).test_id
        assert [test["testId"] for test in api.get("/tests?aid=1002")["tests"]] == [scheduled]

    def test_account_groups_mark_the_default_group(self, make_api: MakeApi) -> None:
        groups = make_api().get("/account-groups")["accountGroups"]
        assert {group["aid"]: group["isDefaultAccountGroup"] for group in groups} == {
            "1001": True,
            "1002": False,
        }
        assert make_api().get("/users/current")["loginAccountGroup"]["aid"] == "1001"


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/nothing", 404),
            ("GET", "/tests/", 404),
            ("GET", f"/tests/{HTTP}", 404),
            ("GET", f"/tests/page-load/{HTTP}", 404),
            ("GET", f"/test-results/{HTTP}/bgp", 404),
            ("GET", f"/test-results/{HTTP}", 404),
            ("POST", "/tests/1/run", 404),
            ("GET", f"/tests/{HTTP}/run", 405),
            ("DELETE", "/tests", 405),
            ("POST", f"/test-results/{HTTP}/http-server", 405),
        ],
    )
    def test_unknown_paths_ids_and_methods_are_errors(
        self, make_api: MakeApi, method: str, path: str, status: int
    ) -> None:
        response = make_api().ask(method, f"/v7{path}", {})
        assert response.status == status
        assert response.content_type == "application/problem+json"
        body = json.loads(response.body)
        assert set(body) == {"type", "title", "status", "detail", "instance"}
        assert (body["status"], body["instance"]) == (status, f"/v7{path}")

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("window=1h&startDate=2026-01-01T00:00:00Z", "window"),
            ("window=1h&endDate=2026-01-01T00:00:00Z", "window"),
            ("window=-1h", "window"),
            ("window=1.5h", "window"),
            ("window=1y", "window"),
            ("endDate=2026-01-01T00:00:00Z", "startDate"),
            ("startDate=yesterday", "startDate"),
            ("startDate=0001-01-01T00:00:00%2B14:00", "startDate"),
            ("startDate=2026-01-01T00:00:00Z&endDate=9999-12-31T23:59:59-14:00", "endDate"),
            ("startDate=2026-01-01T00:00:00Z&endDate=2025-01-01T00:00:00Z", "endDate"),
            ("cursor=abc", "cursor"),
            ("cursor=WzEsMl0=", "cursor"),
            ("expand=body", "expand"),
        ],
    )
    def test_an_invalid_parameter_is_400_and_named(self, make_api: MakeApi, query: str, field: str) -> None:
        response = make_api().ask("GET", f"/test-results/{HTTP}/http-server?{query}")
        assert response.status == 400
        assert [error["field"] for error in json.loads(response.body)["errors"]] == [field]


class TestRun:
    def test_the_response_to_a_run_is_empty(self, make_api: MakeApi) -> None:
        api = make_api()
        response = api.ask("POST", f"/v7/tests/{HTTP}/run")
        assert (response.status, response.body, response.content_type) == (200, b"", None)
        assert "Location" not in response.headers
        assert len(api.world.tests[HTTP].rounds) == 2

    def test_a_run_adds_a_newer_round(self, make_api: MakeApi) -> None:
        api = make_api()
        (before,) = api.round_ids(HTTP, "http-server")
        api.run(HTTP)
        assert api.round_ids(HTTP, "http-server") == {before}
        api.now += 10
        assert api.round_ids(HTTP, "http-server") == {1_800_000_000}

    @pytest.mark.parametrize(
        ("choice", "round_id"), [("arrival", 1_800_000_015), ("departure", 1_800_000_022)]
    )
    def test_a_slow_response_can_delay_the_round(self, make_api: MakeApi, choice: str, round_id: int) -> None:
        api = make_api(round_start=choice, round_ids="second", default_tests=False)
        TestFaults().fail(api, "run", "slow-first-byte", seconds=7)
        TestFaults().fail(api, "create", "slow-first-byte", seconds=7)
        test = api.world.add_test(NOW, test_type="http-server", history=[])
        assert api.run(test.test_id) == 200
        assert [round_.round_id for round_ in test.rounds] == [round_id]
        definition = {"domain": "example.com", "agents": [{"agentId": "14410"}]}
        made = json.loads(api.ask("POST", "/tests/dnssec/instant", definition).body)
        assert [round_.round_id for round_ in api.world.tests[made["testId"]].rounds] == [round_id]

    @pytest.mark.parametrize(
        ("choice", "statuses"), [("new-round", [200] * 2), ("merge", [200] * 2), ("409", [200, 409])]
    )
    def test_a_run_while_running_follows_the_switch(
        self, make_api: MakeApi, choice: str, statuses: list[int]
    ) -> None:
        api = make_api(run_while_running=choice)
        assert [api.run(HTTP), api.run(HTTP)] == statuses
        assert len(api.world.tests[HTTP].rounds) == (3 if choice == "new-round" else 2)


class TestResults:
    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_every_row_has_agent_round_and_link(self, make_api: MakeApi, test_type: str) -> None:
        api = make_api()
        test_id = default_test_id(test_type)
        for result_type in TEST_TYPES[test_type].result_types:
            body = api.get(f"/test-results/{test_id}/{result_type}")
            assert body["test"]["testId"] == test_id
            assert "agents" not in body["test"]
            assert body["results"]
            for row in body["results"]:
                assert set(row["agent"]) == {"agentId", "agentName", "countryId", "location"}
                assert row["roundId"] == 1_799_999_700
                link = parse_qs(urlsplit(row["_links"]["appLink"]["href"]).query)
                assert link == {
                    "testId": [test_id],
                    "roundId": ["1799999700"],
                    "agentId": [row["agent"]["agentId"]],
                }

    def test_row_times_are_those_of_each_agents_measurement(self, make_api: MakeApi) -> None:
        api = make_api()
        test = api.world.add_test(
            NOW, test_type="http-server", agents=["Singapore", "Ashburn, VA"], delays={"Singapore": 90}
        )
        first, second = api.rows(test.test_id, "http-server")
        assert {first["roundId"], second["roundId"]} == {1_799_999_700}
        assert first["startTime"] == first["endTime"] == 1_799_999_716
        assert second["startTime"] == second["endTime"] == 1_799_999_760
        assert (first["date"], second["date"]) == ("2027-01-15T07:55:16Z", "2027-01-15T07:56:00Z")

    def test_row_times_can_be_the_start_of_the_round(self, make_api: MakeApi) -> None:
        for row in make_api(row_times="round").rows(HTTP, "http-server"):
            assert row["startTime"] == row["roundId"] == 1_799_999_700
            assert row["date"] == "2027-01-15T07:55:00Z"
            assert row["endTime"] > row["startTime"]

    def test_no_measurement_is_older_than_its_run(self, make_api: MakeApi) -> None:
        api = make_api()
        api.run(HTTP)
        api.now += 10
        rows = api.rows(HTTP, "http-server")
        assert {row["roundId"] for row in rows} == {1_800_000_000}
        assert all(row["startTime"] >= NOW for row in rows)

    @pytest.mark.parametrize("choice", ["empty", "404"])
    def test_results_before_the_first_data_follow_the_switch(self, make_api: MakeApi, choice: str) -> None:
        api = make_api(before_first_data=choice)
        test_id = api.world.add_test(NOW, test_type="http-server", history=[], delays=5).test_id
        expected = 200 if choice == "empty" else 404
        for url in (f"/test-results/{test_id}/http-server", f"/test-results/{test_id}/http-server?window=1h"):
            assert api.status("GET", url) == expected
            api.run(test_id)
            assert api.status("GET", url) == expected
        api.now += 5
        assert len(api.rows(test_id, "http-server")) == 5

    def test_an_old_round_is_outside_a_window(self, make_api: MakeApi) -> None:
        api = make_api(before_first_data="404")
        assert api.rows(HTTP, "http-server", "?window=314") == []
        assert len(api.rows(HTTP, "http-server", "?window=315s")) == 5
        assert len(api.rows(HTTP, "http-server", "?window=6m")) == 5

    def test_window_slack_extends_the_window(self, make_api: MakeApi) -> None:
        api = make_api(window_slack=60.0)
        assert api.rows(HTTP, "http-server", "?window=254") == []
        assert len(api.rows(HTTP, "http-server", "?window=255")) == 5

    def test_responses_repeat_window_and_dates(self, make_api: MakeApi) -> None:
        api = make_api()
        body = api.get(f"/test-results/{HTTP}/http-server?window=1h")
        assert (body["startDate"], body["endDate"]) == ("2027-01-15T07:00:15Z", "2027-01-15T08:00:15Z")
        dates = "startDate=2027-01-15T07:55:00Z&endDate=2027-01-15T07:55:00Z"
        body = api.get(f"/test-results/{HTTP}/http-server?{dates}")
        assert (body["startDate"], body["endDate"]) == ("2027-01-15T07:55:00Z", "2027-01-15T07:55:00Z")
        assert len(body["results"]) == 5
        assert "startDate" not in api.get(f"/test-results/{HTTP}/http-server")

    @pytest.mark.parametrize(("choice", "status"), [("404", 404), ("400", 400), ("empty", 200)])
    def test_a_result_type_that_the_test_lacks_follows_the_switch(
        self, make_api: MakeApi, choice: str, status: int
    ) -> None:
        api = make_api(missing_result_type=choice)
        response = api.ask("GET", f"/test-results/{HTTP}/page-load")
        assert response.status == status
        if status == 200:
            assert json.loads(response.body)["results"] == []
            assert json.loads(response.body)["test"]["type"] == "http-server"

    @pytest.mark.parametrize(
        ("direction", "test_direction", "result_type", "expected"),
        [
            (None, "to-target", "network", ["to-target"]),
            (None, "from-target", "network", ["from-target"]),
            (None, "bidirectional", "network", ["to-target"]),
            ("from-target", "bidirectional", "network", ["from-target"]),
            ("bidirectional", "bidirectional", "network", ["bidirectional"]),
            (None, "bidirectional", "path-vis", ["to-target", "from-target"]),
            ("from-target", "bidirectional", "path-vis", ["from-target"]),
            ("from-target", "to-target", "network", 400),
            ("to-target", "from-target", "network", 400),
            ("bidirectional", "to-target", "network", 400),
            ("bidirectional", "bidirectional", "path-vis", 400),
            ("sideways", "bidirectional", "network", 400),
        ],
    )
    def test_the_direction_parameter_selects_rows(
        self, make_api: MakeApi, direction: str | None, test_direction: str, result_type: str, expected: Any
    ) -> None:
        api = make_api()
        test = api.world.add_test(
            NOW, test_type="agent-to-agent", direction=test_direction, agents=["Singapore"]
        )
        url = f"/test-results/{test.test_id}/{result_type}" + (f"?direction={direction}" if direction else "")
        if expected == 400:
            assert api.status("GET", url) == 400
        else:
            assert [row["direction"] for row in api.get(url)["results"]] == expected

    def test_path_vis_can_default_to_one_direction(self, make_api: MakeApi) -> None:
        api = make_api(path_vis_direction="to-target")
        assert {row["direction"] for row in api.rows(AGENT_TO_AGENT, "path-vis")} == {"to-target"}

    def test_other_tests_have_one_direction(self, make_api: MakeApi) -> None:
        assert make_api().status("GET", f"/test-results/{HTTP}/network?direction=from-target") == 400

    @pytest.mark.parametrize(
        ("expand", "fields"),
        [
            ("", set()),
            ("?expand=header", {"headers"}),
            ("?expand=certificate", {"sslCertificates"}),
            ("?expand=header,certificate", {"headers", "sslCertificates"}),
        ],
    )
    def test_headers_and_certificates_require_expand(
        self, make_api: MakeApi, expand: str, fields: set[str]
    ) -> None:
        (row, *_) = make_api().rows(HTTP, "http-server", expand)
        assert {"headers", "sslCertificates"} & set(row) == fields

    def test_rows_can_be_shuffled(self, make_api: MakeApi) -> None:
        in_order, shuffled = make_api(), make_api(row_order="shuffled")
        for api in (in_order, shuffled):
            api.world.add_test(NOW, test_type="http-server", test_id="1", agents=30)

        def agents(api: Any) -> list[str]:
            return [row["agent"]["agentId"] for row in api.rows("1", "http-server")]

        assert agents(in_order) != agents(shuffled)
        assert sorted(agents(in_order)) == sorted(agents(shuffled))

    @pytest.mark.parametrize(
        ("spelling", "expected"), [("None", "None"), ("none", "none"), ("null", None), ("unknown", "None")]
    )
    def test_no_error_can_be_spelled_in_many_ways(
        self, make_api: MakeApi, spelling: str, expected: Any
    ) -> None:
        assert make_api(error_type_spelling=spelling).rows(HTTP, "http-server")[0]["errorType"] == expected

    def test_no_error_can_be_absent(self, make_api: MakeApi) -> None:
        assert "errorType" not in make_api(error_type_spelling="absent").rows(HTTP, "http-server")[0]

    def test_an_error_type_can_be_undocumented(self, make_api: MakeApi) -> None:
        api = make_api(error_type_spelling="unknown")
        api.world.add_test(NOW, test_type="http-server", test_id="1", outcomes="error")
        assert api.rows("1", "http-server")[0]["errorType"] == "quic-migration"

    def test_numbers_can_be_text(self, make_api: MakeApi) -> None:
        (row, *_) = make_api(numbers_as_text=True).rows(HTTP, "http-server")
        assert (row["responseCode"], row["roundId"]) == ("200", "1799999700")

    def test_responses_can_contain_undocumented_fields(self, make_api: MakeApi) -> None:
        body = make_api(extra_fields=True).get(f"/test-results/{HTTP}/http-server")
        assert "simulatedNovelty" in body
        assert "simulatedNovelty" in body["results"][0]


class TestPages:
    def test_there_is_one_page_by_default(self, make_api: MakeApi) -> None:
        assert len(follow(make_api(), f"/test-results/{HTTP}/http-server")) == 1

    @pytest.mark.parametrize("row_order", ["sorted", "shuffled"])
    def test_pages_add_up_to_all_rows(self, make_api: MakeApi, row_order: str) -> None:
        api = make_api(page_size=2, row_order=row_order)
        pages = follow(api, f"/v7/test-results/{HTTP}/http-server?window=1h&aid=1001")
        assert [len(page["results"]) for page in pages] == [2, 2, 1]
        assert len({row["agent"]["agentId"] for page in pages for row in page["results"]}) == 5
        assert all(page["test"]["testId"] == HTTP for page in pages)

    def test_all_pages_show_the_time_of_the_first_page(self, make_api: MakeApi) -> None:
        api = make_api(page_size=2)
        first = api.get(f"/test-results/{HTTP}/http-server")
        api.run(HTTP)
        api.now += 10
        parts = urlsplit(first["_links"]["next"]["href"])
        second = api.get(f"{parts.path}?{parts.query}")
        assert {row["roundId"] for page in (first, second) for row in page["results"]} == {1_799_999_700}

    @pytest.mark.parametrize("carry", [True, False])
    def test_the_next_link_repeats_the_query_and_optionally_the_aid(
        self, make_api: MakeApi, carry: bool
    ) -> None:
        api = make_api(page_size=2, links_carry_aid=carry)
        body = api.get(f"/test-results/{HTTP}/network?window=1h&aid=1001&direction=to-target")
        link = urlsplit(body["_links"]["next"]["href"])
        query = parse_qs(link.query)
        assert (
            f"{link.scheme}://{link.netloc}{link.path}"
            == f"http://127.0.0.1:8080/v7/test-results/{HTTP}/network"
        )
        assert (query["window"], query["direction"]) == (["1h"], ["to-target"])
        assert ("aid" in query) == carry

    def test_the_next_link_can_point_to_another_origin(self, make_api: MakeApi) -> None:
        body = make_api(page_size=2, foreign_next=True).get(f"/test-results/{HTTP}/http-server")
        assert body["_links"]["next"]["href"].startswith("http://localhost:8080/v7/test-results/")

    def test_next_links_can_be_endless(self, make_api: MakeApi) -> None:
        api = make_api(endless_next=True)
        url, cursors = f"/test-results/{HTTP}/http-server", set()
        for _ in range(10):
            body = api.get(url)
            assert len(body["results"]) == 5
            parts = urlsplit(body["_links"]["next"]["href"])
            url = f"{parts.path}?{parts.query}"
            cursors.add(parts.query)
        assert len(cursors) == 10


class TestTests:
    def test_expand_agent_lists_the_agents(self, make_api: MakeApi) -> None:
        api = make_api()
        assert "agents" not in api.get(f"/tests/http-server/{HTTP}")
        assert len(api.get(f"/tests/http-server/{HTTP}?expand=agent")["agents"]) == 5

    def test_the_typed_lookup_can_lack_agents(self, make_api: MakeApi) -> None:
        assert "agents" not in make_api(typed_lookup="no-agents").get(
            f"/tests/http-server/{HTTP}?expand=agent"
        )
        assert make_api(typed_lookup="404").status("GET", f"/tests/http-server/{HTTP}?expand=agent") == 404

    def test_the_definition_has_dns_servers_and_directions(self, make_api: MakeApi) -> None:
        api = make_api()
        assert api.get(f"/tests/agent-to-agent/{AGENT_TO_AGENT}")["direction"] == "bidirectional"
        servers = api.get(f"/tests/dns-server/{DNS}")["dnsServers"]
        assert {server["serverId"] for server in servers} == {
            row["serverId"] for row in api.rows(DNS, "dns-server")
        }

    def test_links_point_to_the_results(self, make_api: MakeApi) -> None:
        links = make_api().get(f"/tests/page-load/{PAGE_LOAD}")["_links"]
        assert links["self"]["href"] == f"http://127.0.0.1:8080/v7/tests/page-load/{PAGE_LOAD}"
        assert [link["href"].rpartition("/")[2] for link in links["testResults"]] == [
            "page-load",
            "http-server",
            "network",
            "path-vis",
        ]

    def test_listed_in_tests_lists_instant_tests(self, make_api: MakeApi) -> None:
        assert len(make_api(listed_in_tests=True).get("/tests")["tests"]) == 12
        assert make_api().get("/tests")["tests"] == []
        api = make_api()
        api.world.change_test(api.world.tests[HTTP], switches={"listed_in_tests": True})
        assert [test["testId"] for test in api.get("/tests")["tests"]] == [HTTP]


class TestAgents:
    def test_enterprise_agents_report_their_state(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.change_agent("vienna-office-1", "offline")
        api.world.change_agent("zurich-branch-2", "disabled")
        agents = {agent["agentName"]: agent for agent in api.get("/agents")["agents"]}
        assert [
            (agent["agentState"], agent["enabled"]) for agent in agents.values() if "agentState" in agent
        ] == [
            ("offline", True),
            ("disabled", False),
        ]
        assert [agent["agentType"] for agent in agents.values()] == ["cloud"] * 3 + ["enterprise"] * 2

    def test_agents_can_be_filtered_by_type(self, make_api: MakeApi) -> None:
        api = make_api()
        assert len(api.get("/agents?agentTypes=enterprise")["agents"]) == 2
        assert len(api.get("/agents?agentTypes=enterprise,cloud")["agents"]) == 5
        assert api.status("GET", "/agents?agentTypes=human") == 400


class TestCreate:
    DEFINITION: ClassVar = {
        "testName": "Release 7",
        "url": "https://shop.example",
        "agents": [{"agentId": "14410"}],
    }

    def test_a_created_test_is_started(self, make_api: MakeApi) -> None:
        api = make_api()
        response = api.ask("POST", "/v7/tests/http-server/instant?expand=agent", self.DEFINITION)
        made = json.loads(response.body)
        assert response.status == 201
        assert response.headers["Location"].endswith(f"/v7/tests/http-server/{made['testId']}")
        assert [agent["agentId"] for agent in made["agents"]] == ["14410"]
        assert made["_links"]["testResults"][0]["href"].endswith(
            f"/test-results/{made['testId']}/http-server"
        )
        assert (made["testName"], made["url"]) == ("Release 7", "https://shop.example")
        api.now += 10
        assert api.round_ids(made["testId"], "http-server") == {1_800_000_000}
        assert api.run(made["testId"]) == 200

    def test_the_response_lists_agents_on_request(self, make_api: MakeApi) -> None:
        response = make_api().ask("POST", "/tests/http-server/instant", self.DEFINITION)
        assert "agents" not in json.loads(response.body)

    def test_a_name_is_unique(self, make_api: MakeApi) -> None:
        api = make_api()
        assert api.status("POST", "/tests/http-server/instant", self.DEFINITION) == 201
        response = api.ask("POST", "/tests/http-server/instant", self.DEFINITION)
        assert response.status == 400
        assert [error["field"] for error in json.loads(response.body)["errors"]] == ["testName"]

    @pytest.mark.parametrize(
        ("test_type", "definition", "fields"),
        [
            ("http-server", {"agents": None}, ["agents", "url"]),
            ("http-server", {"url": "https://x", "agents": [{"agentId": "9"}]}, ["agents"]),
            ("http-server", {"url": "https://x", "agents": [{"id": "14410"}]}, ["agents[0].agentId"]),
            ("http-server", {"url": "https://x", "agents": ["14410"]}, ["agents[0]"]),
            ("http-server", {"url": 5, "agents": []}, ["agents", "url"]),
            ("http-server", {"url": "https://x", "httpTimeLimit": 4}, ["httpTimeLimit"]),
            ("http-server", {"url": "https://x", "httpTimeLimit": "5"}, ["httpTimeLimit"]),
            ("http-server", {"url": "https://x", "followRedirects": "true"}, ["followRedirects"]),
            ("http-server", {"url": "https://x", "labels": "9842"}, ["labels"]),
            ("http-server", {"url": "https://x", "labels": [9842]}, ["labels"]),
            ("http-server", {"url": "https://x", "customHeaders": "X: 1"}, ["customHeaders"]),
            ("http-server", {"url": "https://x", "testId": "5", "createdBy": "me"}, ["testId", "createdBy"]),
            ("http-server", {"url": "https://x", "testName": " "}, ["testName"]),
            ("page-load", {"url": "https://x", "pageLoadTimeLimit": 61}, ["pageLoadTimeLimit"]),
            ("web-transactions", {"url": "https://x"}, ["transactionScript"]),
            ("api", {"url": "https://x", "requests": [{"url": "https://x"}]}, ["requests[0].name"]),
            (
                "api",
                {"url": "https://x", "requests": [{"name": "a", "url": "b", "method": "head"}]},
                ["requests[0].method"],
            ),
            ("agent-to-server", {"server": "x", "probeMode": "ack"}, ["probeMode"]),
            ("dns-server", {"domain": "x", "dnsServers": []}, ["dnsServers"]),
            ("dns-server", {"domain": "x", "dnsServers": [{"serverId": "1"}]}, ["dnsServers"]),
            ("dns-trace", {"domain": "x", "dnsTransportProtocol": "doh"}, ["dnsTransportProtocol"]),
            ("dnssec", {}, ["domain"]),
            ("ftp-server", {"url": "ftp://x"}, ["requestType", "username", "password"]),
            ("voice", {"targetAgentId": "9"}, ["targetAgentId"]),
            ("voice", {"targetAgentId": "14412", "port": 80}, ["port"]),
            ("sip-server", {"targetSipCredentials": {}}, ["targetSipCredentials.port"]),
            (
                "sip-server",
                {"targetSipCredentials": {"port": 70000, "protocol": "sctp"}},
                ["targetSipCredentials.port", "targetSipCredentials.protocol"],
            ),
            ("agent-to-agent", {"targetAgentId": "14412", "direction": "up"}, ["direction"]),
        ],
    )
    def test_an_invalid_definition_is_refused(
        self, make_api: MakeApi, test_type: str, definition: dict[str, Any], fields: list[str]
    ) -> None:
        api = make_api(default_tests=False)
        response = api.ask(
            "POST", f"/tests/{test_type}/instant", {"agents": [{"agentId": "14410"}], **definition}
        )
        assert response.status == 400
        assert [error["field"] for error in json.loads(response.body)["errors"]] == fields
        assert api.world.tests == {}

    def test_a_refusal_states_what_is_expected(self, make_api: MakeApi) -> None:
        definition = {**self.DEFINITION, "httpTimeLimit": 90, "authType": "digest", "includeHeaders": 1}
        response = make_api().ask("POST", "/tests/http-server/instant", definition)
        assert sorted(error["message"] for error in json.loads(response.body)["errors"]) == [
            "authType must be one of none, basic, ntlm, kerberos, oauth",
            "httpTimeLimit must be a whole number from 5 to 60",
            "includeHeaders must be true or false",
        ]

    def test_null_fields_are_ignored(self, make_api: MakeApi) -> None:
        response = make_api().ask(
            "POST", "/tests/http-server/instant", {**self.DEFINITION, "userAgent": None}
        )
        assert response.status == 201
        assert "userAgent" not in json.loads(response.body)

    def test_sip_credentials_are_nested_in_requests_but_not_in_responses(self, make_api: MakeApi) -> None:
        credentials = {"port": 5061, "protocol": "tls", "user": "probe", "password": "hunter2"}
        definition = {"agents": [{"agentId": "14410"}], "targetSipCredentials": credentials}
        made = json.loads(make_api().ask("POST", "/tests/sip-server/instant", definition).body)
        assert (made["port"], made["protocol"], made["user"]) == (5061, "tls", "probe")
        assert not {"targetSipCredentials", "password"} & set(made)

    @pytest.mark.parametrize("body", [None, [1], "text"])
    def test_a_body_that_is_not_an_object_is_refused(self, make_api: MakeApi, body: Any) -> None:
        assert make_api().status("POST", "/tests/http-server/instant", body) == 400

    def test_secrets_are_not_stored(self, make_api: MakeApi) -> None:
        api = make_api()
        definition = {
            "url": "ftp://x",
            "requestType": "list",
            "username": "u",
            "password": "hunter2",
            "customHeaders": {"root": {"X-Key": "hunter2"}},
            "agents": [{"agentId": "14410"}],
        }
        response = api.ask("POST", "/tests/ftp-server/instant", definition)
        assert response.status == 201
        assert b"hunter2" not in response.body
        assert "hunter2" not in repr(api.world.tests)


class TestScheduled:
    def test_it_is_listed_with_its_schedule(self, make_api: MakeApi) -> None:
        api = make_api(default_tests=False)
        api.world.add_test(NOW, test_type="dnssec")
        made = api.world.add_test(NOW, test_type="http-server", scheduled=True, definition={"interval": 300})
        (listed,) = api.get("/tests")["tests"]
        assert (listed["testId"], listed["interval"]) == (made.test_id, 300)

    @pytest.mark.parametrize(("choice", "status"), [("404", 404), ("400", 400), ("new-round", 200)])
    def test_running_a_scheduled_test_follows_the_switch(
        self, make_api: MakeApi, choice: str, status: int
    ) -> None:
        api = make_api(run_scheduled=choice)
        test = api.world.add_test(NOW, test_type="dnssec", scheduled=True)
        assert api.run(test.test_id) == status
        assert len(test.rounds) == 1 + (status == 200)

    def test_sip_credentials_can_be_nested_in_responses(self, make_api: MakeApi) -> None:
        test = make_api(sip_credentials="nested").get("/tests/sip-server/202711")
        assert test["targetSipCredentials"]["port"] == 5060
        assert "port" not in test


class TestTags:
    def test_a_tag_lists_its_tests_on_request(self, make_api: MakeApi) -> None:
        api = make_api(default_tests=False)
        cart, payment = (
            api.world.add_test(NOW, test_type=test_type, scheduled=True, tags=["service:checkout"]).test_id
            for test_type in ("http-server", "api")
        )
        (tag,) = api.get("/tags?expand=assignments")["tags"]
        assert (tag["key"], tag["value"], tag["objectType"]) == ("service", "checkout", "test")
        assert tag["assignments"] == [{"id": cart, "type": "test"}, {"id": payment, "type": "test"}]
        assert "assignments" not in api.get("/tags")["tags"][0]
        assert api.get(f"/tags/{tag['id']}?expand=assignments")["assignments"] == tag["assignments"]

    def test_a_test_lists_its_tags_on_request(self, make_api: MakeApi) -> None:
        api = make_api(default_tests=False)
        made = api.world.add_test(NOW, test_type="dnssec", scheduled=True, tags=["service:dns", "tier:1"])
        url = f"/tests/dnssec/{made.test_id}"
        assert [(tag["key"], tag["value"]) for tag in api.get(f"{url}?expand=tag")["tags"]] == [
            ("service", "dns"),
            ("tier", "1"),
        ]
        assert "tags" not in api.get(f"{url}?expand=agent")

    def test_a_tag_can_get_tests_later(self, make_api: MakeApi) -> None:
        api = make_api(default_tests=False)
        tag = api.world.add_tag(NOW, "service:checkout")
        assert api.get("/tags?expand=assignments")["tags"][0]["assignments"] == []
        made = api.world.add_test(NOW, test_type="dnssec", scheduled=True)
        assert api.world.add_tag(NOW, "service:checkout", [made.test_id]) is tag
        assert len(api.get(f"/tags/{tag.tag_id}?expand=assignments")["assignments"]) == 1

    def test_an_account_group_sees_its_own_tags(self, make_api: MakeApi) -> None:
        api = make_api()
        tag = api.world.add_tag(NOW, "service:checkout", account_group_id="1002")
        assert api.get("/tags")["tags"] == []
        assert api.status("GET", f"/tags/{tag.tag_id}") == 404
        assert [listed["aid"] for listed in api.get("/tags?aid=1002")["tags"]] == [1002]

    def test_instant_tests_have_no_tags(self, make_api: MakeApi) -> None:
        api = make_api()
        with pytest.raises(ValueError, match="scheduled tests only; pass scheduled=True"):
            api.world.add_test(NOW, test_type="dnssec", tags=["service:dns"])
        with pytest.raises(ValueError, match="202703 is not a scheduled test of account group 1001"):
            api.world.add_tag(NOW, "service:dns", [HTTP])
        assert "tags" not in api.get(f"/tests/http-server/{HTTP}?expand=tag")

    @pytest.mark.parametrize("tag", ["checkout", "service:", ":checkout", "", 5])
    def test_a_tag_needs_a_key_and_a_value(self, make_api: MakeApi, tag: Any) -> None:
        api = make_api()
        with pytest.raises(ValueError, match="tag must"):
            api.world.add_tag(NOW, tag)
        with pytest.raises(ValueError, match="tag"):
            api.world.add_test(NOW, test_type="dnssec", scheduled=True, tags=[tag])
        assert api.world.tags == {}

    def test_2000_tests_and_300_tags_are_cheap(self, make_api: MakeApi) -> None:
        api = make_api(default_tests=False, organization_limit=1000)
        started = time.process_time()
        for number in range(2000):
            tags = [f"service:{number % 150}", f"team:{number % 150}"]
            api.world.add_test(NOW, test_type="http-server", scheduled=True, tags=tags)
        tests, tags = api.get("/tests")["tests"], api.get("/tags?expand=assignments")["tags"]
        assert time.process_time() - started < 5
        assert (len(tests), len(tags)) == (2000, 300)
        assert sum(len(tag["assignments"]) for tag in tags) == 4000


class TestDetails:
    """Details of one agent in one round."""

    def details(
        self, api: Any, test_id: str, result_type: str, agent: str = "Singapore", query: str = ""
    ) -> Any:
        agent_id = api.world.agent_id(agent)
        round_id = max(api.round_ids(test_id, result_type))
        url = f"/test-results/{test_id}/{result_type}/agent/{agent_id}/round/{round_id}{query}"
        return api.get(url)["results"]

    def add(self, api: Any, test_type: str, **spec: Any) -> str:
        return str(api.world.add_test(NOW, test_type=test_type, **spec).test_id)

    def test_details_repeat_the_row(self, make_api: MakeApi) -> None:
        api = make_api()
        for result_type in ("page-load", "path-vis"):
            row = next(
                row for row in api.rows(PAGE_LOAD, result_type) if row["agent"]["agentName"] == "Singapore"
            )
            (details,) = self.details(api, PAGE_LOAD, result_type)
            assert {name: details[name] for name in row if name != "pathTraces"} == {
                name: value for name, value in row.items() if name != "pathTraces"
            }

    def test_an_api_test_has_its_requests_and_their_assertions(self, make_api: MakeApi) -> None:
        api = make_api()
        (details,) = self.details(api, default_test_id("api"), "api")
        assert [(request["stepNumber"], request["name"]) for request in details["requests"]] == [
            (1, "Health"),
            (2, "Sign in"),
            (3, "Cart"),
        ]
        for request in details["requests"]:
            assert (request["completion"], request["assertErrorCount"]) == (100.0, 0)
            assert request["assertions"] == [{"step": step, "hasFailed": False} for step in (1, 2)]

    def test_a_failed_assertion_ends_an_api_test(self, make_api: MakeApi) -> None:
        api = make_api()
        test_id = self.add(api, "api", outcomes={"Singapore": "error"}, failed_step=2)
        (details,) = self.details(api, test_id, "api")
        assert (details["errorType"], details["errorDetails"]) == ("Assertion", "Step 2: assertion failed")
        assert details["completion"] == 33.3
        first, second = details["requests"]
        assert (first["completion"], second["completion"]) == (100.0, 0.0)
        assert second["assertErrorCount"] == 1
        assert [assertion["hasFailed"] for assertion in second["assertions"]] == [False, True]
        (other,) = self.details(api, test_id, "api", "Ashburn, VA")
        assert len(other["requests"]) == 3

    def test_the_request_to_a_host_that_is_down_fails(self, make_api: MakeApi) -> None:
        api = make_api()
        hosts = ("one.example", "two.example")
        definition = {"requests": [{"name": host, "url": f"https://{host}/"} for host in hosts]}
        api.world.set_target("two.example", "down")
        test_id = self.add(api, "api", definition=definition)
        (details,) = self.details(api, test_id, "api")
        assert details["errorDetails"] == "Step 2: connection refused"
        assert details["completion"] == 50.0
        assert details["requests"][1]["completion"] == 0.0
        assert details["requests"][1]["assertions"] == []
        assert "responseTime" not in details["requests"][1]

    def test_a_web_transaction_has_its_pages_and_markers(self, make_api: MakeApi) -> None:
        api = make_api()
        (details,) = self.details(api, default_test_id("web-transactions"), "web-transactions")
        assert [page["pageName"] for page in details["pages"]] == ["Home", "Sign in", "Cart"]
        assert [marker["name"] for marker in details["markers"]] == ["Home", "Sign in", "Cart"]
        assert {page["errorCount"] for page in details["pages"]} == {0}

    def test_a_web_transaction_ends_with_the_page_that_failed(self, make_api: MakeApi) -> None:
        api = make_api()
        test_id = self.add(api, "web-transactions", outcomes="error", failed_step=2)
        (details,) = self.details(api, test_id, "web-transactions")
        assert [(page["pageName"], page["errorCount"]) for page in details["pages"]] == [
            ("Home", 0),
            ("Sign in", 1),
        ]
        assert [marker["name"] for marker in details["markers"]] == ["Home"]

    def test_a_failed_web_transaction_has_console_logs(self, make_api: MakeApi) -> None:
        api = make_api()
        test_id = self.add(api, "web-transactions", outcomes="error", failed_step=2)
        (round_id,) = api.round_ids(test_id, "web-transactions")
        url = f"/test-results/{test_id}/web-transactions/agent/14419/round/{round_id}/console-logs"
        (result,) = api.get(url)["results"]
        assert [(log["level"], log["value"]) for log in result["consoleLogs"]] == [
            ("INFO", "Transaction started"),
            ("SEVERE", "Timed out waiting for an element"),
        ]

    def test_a_page_load_has_its_components(self, make_api: MakeApi) -> None:
        api = make_api()
        (details,) = self.details(api, PAGE_LOAD, "page-load")
        entries = details["har"]["log"]["entries"]
        assert entries[0]["request"]["url"] == "https://www.example.com/"
        assert {entry["response"]["status"] for entry in entries} == {200}
        assert len(entries) == min(details["numObjects"], 40)

    @pytest.mark.parametrize(("step", "statuses"), [(1, [0]), (3, [200, 200, 0])])
    def test_a_component_of_a_page_load_fails(
        self, make_api: MakeApi, step: int, statuses: list[int]
    ) -> None:
        api = make_api()
        test_id = self.add(api, "page-load", outcomes={"page-load": "error"}, failed_step=step)
        (details,) = self.details(api, test_id, "page-load")
        entries = details["har"]["log"]["entries"]
        assert [entry["response"]["status"] for entry in entries][: len(statuses)] == statuses
        assert len(entries) == 1 if step == 1 else len(entries) > 3
        assert details["numErrors"] == 1

    def test_a_path_visualization_has_its_hops(self, make_api: MakeApi) -> None:
        api = make_api()
        traces = {
            row["direction"]: row["pathTraces"]
            for row in api.rows(AGENT_TO_AGENT, "path-vis")
            if row["agent"]["agentName"] == "Singapore"
        }
        details = self.details(api, AGENT_TO_AGENT, "path-vis")
        assert [row["direction"] for row in details] == ["to-target", "from-target"]
        for row in details:
            assert [len(trace["hops"]) for trace in row["pathTraces"]] == [
                trace["numberOfHops"] for trace in traces[row["direction"]]
            ]
        (row,) = self.details(api, AGENT_TO_AGENT, "path-vis", query="?direction=from-target")
        assert row["direction"] == "from-target"

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            (f"{HTTP}/http-server/agent/14419/round/1799999700", 404),
            (f"{HTTP}/api/agent/14419/round/1799999700", 404),
            (f"{PAGE_LOAD}/page-load/agent/14419/round/newest", 400),
            ("1/page-load/agent/14419/round/1799999700", 404),
        ],
    )
    def test_result_types_without_details_are_errors(self, make_api: MakeApi, path: str, status: int) -> None:
        assert make_api().status("GET", f"/test-results/{path}") == status

    @pytest.mark.parametrize(("choice", "status"), [("empty", 200), ("404", 404)])
    def test_details_without_data_are_errors(self, make_api: MakeApi, choice: str, status: int) -> None:
        api = make_api(before_first_data=choice)
        for agent_id, round_id in (("14419", 1_799_999_760), ("1", 1_799_999_700)):
            url = f"/test-results/{PAGE_LOAD}/page-load/agent/{agent_id}/round/{round_id}"
            response = api.ask("GET", url)
            assert response.status == status
            assert status == 404 or json.loads(response.body)["results"] == []


class TestAlerts:
    RULE = "((responseTime >= 500 ms))"

    def test_rules_are_listed_and_expanded(self, make_api: MakeApi) -> None:
        api = make_api()
        rule = api.world.add_alert_rule(
            self.RULE, [HTTP, PAGE_LOAD], name="Slow", rounds_required=2, rounds_out_of=3, minimum_sources=2
        )
        (listed,) = api.get("/alerts/rules")["alertRules"]
        assert (listed["ruleId"], listed["ruleName"], listed["expression"]) == (
            rule.rule_id,
            "Slow",
            self.RULE,
        )
        assert (listed["alertType"], listed["minimumSources"]) == ("http-server", 2)
        assert (listed["roundsViolatingRequired"], listed["roundsViolatingOutOf"]) == (2, 3)
        detail = api.get(f"/alerts/rules/{rule.rule_id}")
        assert detail["testIds"] == [HTTP, PAGE_LOAD]
        (expanded,) = api.get(f"/tests/http-server/{HTTP}?expand=alert-rule")["alertRules"]
        assert expanded["expression"] == self.RULE
        assert api.get(f"/tests/dnssec/{default_test_id('dnssec')}?expand=alert-rule")["alertRules"] == []

    def test_a_rule_can_count_agents_in_percent(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.add_alert_rule(self.RULE, [HTTP], minimum_sources_pct=50)
        (listed,) = api.get("/alerts/rules")["alertRules"]
        assert listed["minimumSourcesPct"] == 50
        assert "minimumSources" not in listed

    def alerts(self, api: Any, query: str = "") -> list[tuple[str, str]]:
        alerts = api.get(f"/alerts{query}")["alerts"]
        return [(alert["startDate"], alert["alertState"]) for alert in alerts]

    def test_alerts_are_selected_by_state_and_time(self, make_api: MakeApi) -> None:
        api = make_api()
        rule_id = api.world.add_alert_rule(self.RULE, [HTTP]).rule_id
        for ago, lasted in ((7200, 600), (3600, 3000), (900, None)):
            api.world.add_alert(NOW, rule_id, HTTP, ago=ago, lasted=lasted)
        oldest, middle, newest = (
            ("2027-01-15T06:00:15Z", "clear"),
            ("2027-01-15T07:00:15Z", "clear"),
            ("2027-01-15T07:45:15Z", "trigger"),
        )
        assert self.alerts(api) == [newest]
        assert self.alerts(api, "?window=1d") == [newest, middle, oldest]
        assert self.alerts(api, "?window=1h") == [newest, middle], (
            "a cleared alert is in the period in which it cleared"
        )
        assert self.alerts(api, "?window=1d&state=clear") == [middle, oldest]
        assert self.alerts(api, "?window=5m&state=trigger") == []
        api.now += 600
        assert self.alerts(api, "?window=10m") == [newest]

    def test_an_alert_has_links_to_its_test_and_rule(self, make_api: MakeApi) -> None:
        api = make_api()
        rule_id = api.world.add_alert_rule(self.RULE, [HTTP]).rule_id
        alert_id = api.world.add_alert(NOW, rule_id, HTTP, ago=3600, lasted=600).alert_id
        (listed,) = api.get("/alerts?window=1d")["alerts"]
        detail = api.get(f"/alerts/{alert_id}")
        assert listed["alertRuleId"] == rule_id
        assert listed["duration"] == detail["duration"] == 600
        assert detail["_links"]["test"]["href"].endswith(f"/tests/http-server/{HTTP}")
        assert detail["_links"]["rule"]["href"].endswith(f"/alerts/rules/{rule_id}")

    def test_alerts_are_paged(self, make_api: MakeApi) -> None:
        api = make_api()
        rule_id = api.world.add_alert_rule(self.RULE, [HTTP]).rule_id
        for ago in (100, 200, 300):
            api.world.add_alert(NOW, rule_id, HTTP, ago=ago)
        pages = follow(api, "/alerts?max=2&window=1h")
        assert [len(page["alerts"]) for page in pages] == [2, 1]

    def test_events_require_a_period(self, make_api: MakeApi) -> None:
        api = make_api()
        api.world.add_event(NOW, "Outage in Frankfurt", ago=7200, lasted=600, event_type="network-pop")
        api.world.add_event(NOW, "Slow DNS", ago=60, event_type="dns")
        assert api.status("GET", "/events") == 400

        def titles(query: str) -> list[str]:
            return [event["title"] for event in api.get(f"/events?{query}")["events"]]

        assert titles("window=1d") == ["Slow DNS", "Outage in Frankfurt"]
        assert titles("window=1h") == ["Slow DNS"]
        assert titles("window=1d&ongoing=false") == ["Outage in Frankfurt"]
        assert titles("startDate=2027-01-15T06:05:00Z&endDate=2027-01-15T06:06:00Z") == [
            "Outage in Frankfurt"
        ]
        (event, _) = api.get("/events?window=1d")["events"]
        assert (event["state"], event["endDate"], event["typeName"]) == ("active", None, "DNS Issue")

    @pytest.mark.parametrize(
        "path",
        [
            "/alerts?state=open",
            "/alerts?max=all",
            "/alerts?window=soon",
            "/events?window=1d&ongoing=maybe",
        ],
    )
    def test_an_invalid_parameter_of_alerts_and_events_is_400(self, make_api: MakeApi, path: str) -> None:
        assert make_api().status("GET", path) == 400

    @pytest.mark.parametrize("path", ["/alerts/rules/1", "/alerts/1", "/tags/1"])
    def test_an_unknown_id_is_404(self, make_api: MakeApi, path: str) -> None:
        assert make_api().status("GET", path) == 404

    def test_invalid_rules_alerts_and_events_are_refused_with_the_choices(self, make_api: MakeApi) -> None:
        world = make_api().world
        rule_id = world.add_alert_rule(self.RULE, [HTTP]).rule_id
        for add, message in (
            (lambda: world.add_alert_rule(self.RULE, []), "tests"),
            (lambda: world.add_alert_rule(self.RULE, ["1"]), "unknown test '1'; known: 202701"),
            (lambda: world.add_alert_rule(self.RULE, [HTTP], level=5), "known: name, alert_type"),
            (
                lambda: world.add_alert_rule(self.RULE, [HTTP], severity="bad"),
                "severity must be one of info",
            ),
            (lambda: world.add_alert(NOW, rule_id, PAGE_LOAD, ago=5), r"known: 100001 \(202703\)"),
            (lambda: world.add_alert(NOW, rule_id, HTTP, ago=-5), "ago"),
            (lambda: world.add_event(NOW, "", ago=5), "title"),
            (lambda: world.add_event(NOW, "Outage", ago=5, event_type="war"), "event_type must be one of"),
        ):
            with pytest.raises(ValueError, match=message):
                add()


class TestSnapshot:
    BODY: ClassVar = {
        "displayName": "Before",
        "startDate": "2027-01-15T06:00:00Z",
        "endDate": "2027-01-15T08:00:00Z",
        "isPublic": False,
    }

    def test_a_snapshot_returns_a_link(self, make_api: MakeApi) -> None:
        response = make_api().ask("POST", f"/tests/{HTTP}/snapshot", self.BODY)
        assert response.status == 201
        assert json.loads(response.body)["_links"]["appLink"]["href"].startswith("https://")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"displayName": ""}, "displayName"),
            ({"startDate": "2027-01-15T05:00:00Z"}, "endDate"),
            ({"startDate": "today"}, "startDate"),
            ({"endDate": None}, "endDate"),
            ({"startDate": "2027-01-15T07:00:00Z", "endDate": "2027-01-15T09:00:00Z"}, "endDate"),
            ({"isPublic": "no"}, "isPublic"),
        ],
    )
    def test_an_invalid_snapshot_is_refused(
        self, make_api: MakeApi, change: dict[str, Any], field: str
    ) -> None:
        response = make_api().ask("POST", f"/tests/{HTTP}/snapshot", {**self.BODY, **change})
        assert response.status == 400
        assert [error["field"] for error in json.loads(response.body)["errors"]] == [field]

    def test_five_snapshots_are_allowed_in_five_minutes(self, make_api: MakeApi) -> None:
        api = make_api(speed=10)
        statuses = [api.status("POST", f"/tests/{HTTP}/snapshot", self.BODY) for _ in range(6)]
        assert statuses == [201] * 5 + [429]
        api.now += 30
        assert api.status("POST", f"/tests/{HTTP}/snapshot", self.BODY) == 201


class TestRateLimits:
    def quota(self, response: Any, family: str) -> tuple[int, int, int]:
        limit, remaining, reset = (
            int(response.headers[f"{family}-{part}"]) for part in ("Limit", "Remaining", "Reset")
        )
        return limit, remaining, reset

    def test_reads_count_for_the_organization_and_runs_in_both_limits(self, make_api: MakeApi) -> None:
        api = make_api()
        read = api.ask("GET", "/tests")
        assert self.quota(read, ORGANIZATION) == (240, 239, 1_800_000_060)
        assert f"{INSTANT}-Limit" not in read.headers
        api.now += 10
        run = api.ask("POST", f"/tests/{HTTP}/run")
        assert self.quota(run, ORGANIZATION) == (240, 238, 1_800_000_060)
        assert self.quota(run, INSTANT) == (24, 23, 1_800_000_060)
        api.now += 35
        assert self.quota(api.ask("GET", "/tests"), ORGANIZATION) == (240, 239, 1_800_000_120)

    def test_windows_can_open_with_their_first_request(self, make_api: MakeApi) -> None:
        api = make_api(quota_windows="first-request")
        read = api.ask("GET", "/tests")
        assert self.quota(read, ORGANIZATION) == (240, 239, 1_800_000_075)
        api.now += 10
        run = api.ask("POST", f"/tests/{HTTP}/run")
        assert self.quota(run, ORGANIZATION) == (240, 238, 1_800_000_075)
        assert self.quota(run, INSTANT) == (24, 23, 1_800_000_085)

    def test_errors_count_but_refusals_do_not(self, make_api: MakeApi) -> None:
        api = make_api(organization_limit=3)
        assert api.status("GET", "/nothing") == 404
        assert api.status("GET", "/tests?aid=9") == 403
        assert api.ask("GET", "/tests", token="").status == 401
        assert [api.status("GET", "/tests") for _ in range(5)] == [200, 429, 429, 429, 429]

    def test_the_25th_run_in_a_minute_is_refused(self, make_api: MakeApi) -> None:
        api = make_api()
        assert {api.run(HTTP) for _ in range(24)} == {200}
        response = api.ask("POST", f"/tests/{HTTP}/run")
        assert response.status == 429
        assert self.quota(response, INSTANT) == (24, 0, 1_800_000_060)
        assert self.quota(response, ORGANIZATION)[1] == 216
        assert "Retry-After" not in response.headers
        assert len(api.world.tests[HTTP].rounds) == 25
        assert api.status("GET", "/tests") == 200
        api.now += 60
        assert api.run(HTTP) == 200

    def test_speed_shortens_the_window(self, make_api: MakeApi) -> None:
        api = make_api(speed=20, instant_limit=1)
        assert [api.run(HTTP), api.run(HTTP)] == [200, 429]
        assert self.quota(api.ask("POST", f"/tests/{HTTP}/run"), INSTANT)[2] == 1_800_000_018
        api.now += 3
        assert api.run(HTTP) == 200

    @pytest.mark.parametrize(
        ("choice", "families"),
        [
            ("both", {ORGANIZATION, INSTANT}),
            ("organization", {ORGANIZATION}),
            ("instant", {INSTANT}),
            ("none", set()),
        ],
    )
    def test_quota_headers_selects_the_header_families(
        self, make_api: MakeApi, choice: str, families: set[str]
    ) -> None:
        api = make_api(quota_headers=choice, instant_limit=1)
        for status in (200, 429):
            response = api.ask("POST", f"/tests/{HTTP}/run")
            assert response.status == status
            assert {name.rpartition("-")[0] for name in response.headers if "Rate-Limit" in name} == families

    def test_omit_remaining_drops_the_header(self, make_api: MakeApi) -> None:
        headers = make_api(omit_remaining=True).ask("POST", f"/tests/{HTTP}/run").headers
        assert not [name for name in headers if name.endswith("-Remaining")]
        assert f"{INSTANT}-Reset" in headers

    @pytest.mark.parametrize(
        ("choice", "expected"), [("seconds", "30"), ("date", "Fri, 15 Jan 2027 08:01:00 GMT")]
    )
    def test_retry_after_can_be_sent(self, make_api: MakeApi, choice: str, expected: str) -> None:
        api = make_api(retry_after=choice, instant_limit=1)
        assert "Retry-After" not in api.ask("POST", f"/tests/{HTTP}/run").headers
        api.now += 15
        assert api.ask("POST", f"/tests/{HTTP}/run").headers["Retry-After"] == expected

    def test_the_reset_can_be_in_the_past(self, make_api: MakeApi) -> None:
        api = make_api(reset="past", instant_limit=1)
        api.run(HTTP)
        assert self.quota(api.ask("POST", f"/tests/{HTTP}/run"), INSTANT)[2] < api.now

    def test_date_and_reset_use_the_simulators_clock(self, make_api: MakeApi) -> None:
        response = make_api(clock_offset=-7200.0).ask("GET", "/tests")
        assert parsedate_to_datetime(response.headers["Date"]).timestamp() == 1_800_000_015 - 7200
        assert self.quota(response, ORGANIZATION)[2] == 1_800_000_060 - 7200

    @pytest.mark.parametrize(("choice", "seconds"), [("departure", 7), ("arrival", 0)])
    def test_the_date_is_that_of_departure_or_arrival(
        self, make_api: MakeApi, choice: str, seconds: int
    ) -> None:
        api = make_api(date_header=choice)
        TestFaults().fail(api, "tests", "slow-first-byte", seconds=7)
        date = api.ask("GET", "/tests").headers["Date"]
        assert parsedate_to_datetime(date).timestamp() == NOW + seconds

    def test_requests_can_be_throttled_by_number(self, make_api: MakeApi) -> None:
        api = make_api()
        api.service.throttle(2, 7.5, "run")
        assert api.status("GET", "/tests") == 200
        refused = api.ask("POST", f"/tests/{HTTP}/run")
        assert (refused.status, self.quota(refused, INSTANT)) == (429, (24, 0, 1_800_000_023))
        assert [api.run(HTTP), api.run(HTTP)] == [429, 200]

    def test_the_throttled_bucket_can_be_chosen(self, make_api: MakeApi) -> None:
        api = make_api()
        api.service.throttle(1, 30, bucket="organization")
        refused = api.ask("POST", f"/tests/{HTTP}/run")
        assert self.quota(refused, ORGANIZATION)[1] == 0
        assert self.quota(refused, INSTANT)[1] == 24

    @pytest.mark.parametrize("wrong", [(0, 1), (1, "x"), (1, 1, "runs"), (1, 1, "run", "all")])
    def test_an_invalid_throttle_is_refused(self, make_api: MakeApi, wrong: tuple[Any, ...]) -> None:
        with pytest.raises(ValueError, match=r"times|seconds|operation|bucket"):
            make_api().service.throttle(*wrong)


class TestFaults:
    def fail(self, api: Any, operation: str, kind: str = "status", **spec: Any) -> None:
        from thousandeyes_provider.simulator.injected_faults import InjectedFault

        api.service.faults.add(InjectedFault(operation, kind, **spec))

    @pytest.mark.parametrize("kind", ["status", "cut", "html", "empty", "not-json"])
    @pytest.mark.parametrize("started", [True, False])
    def test_a_run_with_a_lost_response_can_start(self, make_api: MakeApi, kind: str, started: bool) -> None:
        api = make_api()
        self.fail(api, "run", kind, started=started)
        delivery = api.send("POST", f"/tests/{HTTP}/run")
        assert len(api.world.tests[HTTP].rounds) == 1 + started
        assert (delivery.response is None) == (kind == "cut")
        assert api.run(HTTP) == 200, "the fault is used up"

    def test_a_status_can_have_headers_and_a_body(self, make_api: MakeApi) -> None:
        api = make_api()
        self.fail(api, "tests", status=503, headers={"Retry-After": "3"}, title="Busy", detail="Come back")
        response = api.ask("GET", "/tests")
        body = json.loads(response.body)
        assert (response.status, body["title"], body["detail"]) == (503, "Busy", "Come back")
        assert response.headers["Retry-After"] == "3"
        assert f"{ORGANIZATION}-Remaining" in response.headers

    def test_proxy_pages_have_no_quota_headers(self, make_api: MakeApi) -> None:
        api = make_api()
        self.fail(api, "*", "html", status=200)
        response = api.ask("GET", "/tests")
        assert (response.status, response.content_type) == (200, "text/html; charset=utf-8")
        assert not [name for name in response.headers if name.startswith("X-")]

    def test_slow_and_cut_responses_have_the_right_body(self, make_api: MakeApi) -> None:
        api = make_api()
        whole = len(api.ask("GET", "/account-groups").body)
        self.fail(api, "account-groups", "slow-first-byte", seconds=3)
        self.fail(api, "account-groups", "slow-body", seconds=4)
        self.fail(api, "account-groups", "cut-body")
        slow, trickling, cut = (api.send("GET", "/account-groups") for _ in range(3))
        assert (slow.first_byte_after, trickling.body_takes, cut.cut_after) == (3, 4, whole // 2)
        assert [len(delivery.response.body) for delivery in (slow, trickling, cut)] == [whole] * 3

    def test_a_refused_request_consumes_no_fault(self, make_api: MakeApi) -> None:
        api = make_api(instant_limit=1)
        api.run(HTTP)
        self.fail(api, "run", status=500)
        assert api.run(HTTP) == 429
        assert api.ask("POST", f"/tests/{HTTP}/run", token="").status == 401
        api.now += 60
        assert api.run(HTTP) == 500


class TestLog:
    def test_the_log_has_requests_and_statuses(self, make_api: MakeApi) -> None:
        api = make_api()
        api.ask("GET", f"/v7/test-results/{HTTP}/network?window=1h", agent="curl/8")
        api.run("1")
        first, second = api.service.log
        assert (first.seq, first.at, first.method, first.status) == (1, NOW, "GET", 200)
        assert first.path == f"/v7/test-results/{HTTP}/network"
        assert (first.query, first.user_agent) == ({"window": "1h"}, "curl/8")
        assert (first.operation, first.test_id, first.result_type) == ("results", HTTP, "network")
        assert (second.operation, second.test_id, second.status) == ("run", "1", 404)

    def test_requests_are_counted_by_operation_and_test(self, make_api: MakeApi) -> None:
        api = make_api()
        for test_id in (HTTP, HTTP, DNS):
            api.run(test_id)
        api.get("/tests")
        count = api.service.count
        assert (count(), count("run"), count("run", HTTP), count("tests"), count(None, DNS)) == (
            4,
            3,
            2,
            1,
            1,
        )
        with pytest.raises(ValueError, match="operation must be one of"):
            count("runs")

    def test_a_cut_connection_has_no_status(self, make_api: MakeApi) -> None:
        api = make_api()
        TestFaults().fail(api, "run", "cut")
        api.send("POST", f"/tests/{HTTP}/run")
        assert api.service.log[-1].status is None

    def test_the_token_is_not_stored(self, make_api: MakeApi) -> None:
        api = make_api()
        for method, path in (("GET", "/tests"), ("POST", f"/tests/{HTTP}/run"), ("GET", "/nothing")):
            response = api.ask(method, path)
            assert b"secret-token" not in response.body
            assert "secret-token" not in repr(response)
        assert "secret-token" not in repr(list(api.service.log)) + repr(vars(api.service)) + repr(
            vars(api.world)
        )


def test_every_test_responds_for_every_result_type(make_api: MakeApi) -> None:
    api = make_api(missing_result_type="empty", organization_limit=1000, listed_in_tests=True)
    for test in api.get("/tests")["tests"]:
        expected = set(TEST_TYPES[test["type"]].result_types)
        assert {name for name in RESULT_TYPES if api.rows(test["testId"], name)} == expected


def test_error_fields_of_agent_to_server_tests_are_in_network(make_api: MakeApi) -> None:
    api = make_api()
    api.world.change_test(api.world.tests[AGENT_TO_SERVER], outcomes={"Singapore": "error"})
    api.run(AGENT_TO_SERVER)
    api.now += 10
    losses = {row["agent"]["agentName"]: row["loss"] for row in api.rows(AGENT_TO_SERVER, "network")}
    assert losses.pop("Singapore") == 100
    assert set(losses.values()) == {0}
