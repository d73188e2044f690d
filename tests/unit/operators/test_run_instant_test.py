"""RunInstantTestOperator against a simulated ThousandEyes: run, wait, verdict and XComs."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout
from tests.unit.operators.conftest import replace_sleep
from thousandeyes_provider.api import round_progress
from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesConnectionError,
    ThousandEyesNotFoundError,
    ThousandEyesRateLimitError,
    ThousandEyesRequestError,
    ThousandEyesServerError,
)
from thousandeyes_provider.operators import judge
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.simulator import Simulator
from thousandeyes_provider.simulator.service import Service

FRANKFURT, ASHBURN, SINGAPORE = "Frankfurt, Germany", "Ashburn, VA", "Singapore"
VIENNA, ZURICH = "vienna-office-1", "zurich-branch-2"


def names(agents):
    return sorted(agent["agent_name"] for agent in agents)


def hide_rows(monkeypatch, is_hidden):
    """Remove rows from all results of the simulator."""
    handle = Service.handle

    def handle_without_rows(service, request, now):
        delivery = handle(service, request, now)
        if "test-results" not in request.segments:
            return delivery
        body = json.loads(delivery.response.body)
        body["results"] = [row for row in body["results"] if not is_hidden(row)]
        return replace(delivery, response=replace(delivery.response, body=json.dumps(body).encode()))

    monkeypatch.setattr(Service, "handle", handle_without_rows)


class TestGoodRun:
    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_every_type_of_test_passes(self, simulator, worker, test_type):
        test_id = simulator.add_test(test_type)
        evidence = worker.rerun(test_id)
        assert evidence["verdict"] == "passed"
        assert evidence["test_type"] == test_type
        assert list(evidence["rounds"]) == sorted(TEST_TYPES[test_type].default)
        assert set(evidence["rounds"].values()) == {simulator.rounds(test_id)[-1].round_id}
        assert evidence["agents"]["missing"] == evidence["failed_agents"] == []
        assert evidence["run_calls"] == simulator.run_calls(test_id) == 1

    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_every_type_of_test_fails_when_an_agent_reports_an_error(self, simulator, worker, test_type):
        test_id = simulator.add_test(test_type, outcomes={FRANKFURT: "error"})
        with pytest.raises(InstantTestFailed) as failure:
            worker.rerun(test_id)
        assert names(failure.value.evidence["failed_agents"]) == [FRANKFURT]
        assert FRANKFURT in str(failure.value)
        assert worker.evidence == failure.value.evidence
        assert worker.evidence["verdict"] == "failed"

    def test_with_type_and_agents_only_necessary_requests_are_sent(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        evidence = worker.rerun(test_id, test_type="http-server", expected_agents=5)
        assert [request.operation for request in simulator.requests][:2] == ["results", "run"]
        assert {request.operation for request in simulator.requests[2:]} == {"results", "account-groups"}
        assert simulator.count("account-groups") == 1
        assert evidence["requests"] == len(simulator.requests)

    def test_the_account_group_is_sent_with_every_request(self, simulator, worker):
        test_id = simulator.add_test("http-server", account_group_id="1002")
        simulator.set_switches(page_size=2, links_carry_aid=False)
        evidence = worker.rerun(test_id, account_group_id=1002)
        assert evidence["account_group_id"] == "1002"
        assert {request.query.get("aid") for request in simulator.requests} == {"1002"}

    def test_the_links_are_pushed(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        evidence = worker.rerun(test_id)
        assert worker.pushed["thousandeyes_test_link"] == evidence["links"]["test"]
        assert worker.pushed["thousandeyes_round_link"] == evidence["links"]["round"]
        assert str(evidence["rounds"]["http-server"]) in evidence["links"]["round"]

    def test_a_test_without_a_history_passes_and_has_its_links(self, simulator, worker):
        test_id = simulator.add_test("http-server", history=[])
        evidence = worker.rerun(test_id)
        assert evidence["verdict"] == "passed"
        assert worker.pushed["thousandeyes_test_link"] == evidence["links"]["test"]

    def test_some_errors_are_allowed_by_count_or_fraction(self, simulator, worker):
        test_id = simulator.add_test("http-server", outcomes={FRANKFURT: "error"})
        assert worker.rerun(test_id, max_agent_errors=1)["verdict"] == "passed"
        assert worker.rerun(test_id, max_agent_errors="0.2")["verdict"] == "passed"
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, max_agent_errors=0.1)

    def test_without_waiting_it_returns_the_handle(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        before = simulator.rounds(test_id)[-1].round_id
        handle = worker.rerun(test_id, wait_for_results=False, timeout=timedelta(minutes=5))
        assert handle["test_id"] == test_id
        assert handle["test_type"] == "http-server"
        assert handle["result_types"] == ["http-server"]
        assert handle["remembered"] == {"http-server": before}
        assert handle["deadline"] == handle["accepted_at"] + 300
        assert [agent["agent_name"] for agent in handle["expected_agents"]] == [
            FRANKFURT, ASHBURN, SINGAPORE, VIENNA, ZURICH,
        ]  # fmt: skip
        assert (handle["expected_source"], handle["run_calls"]) == ("test", 1)
        assert len(simulator.rounds(test_id)) == 2

    def test_named_result_types_are_waited_for_and_judged(self, simulator, worker):
        test_id = simulator.add_test("http-server", metrics={"network": {"loss": 100.0}})
        with pytest.raises(InstantTestFailed, match="loss 100 %"):
            worker.rerun(test_id, result_types=["http-server", "network"])


class TestTypeOfTheTest:
    def test_the_type_comes_from_the_list_of_tests(self, simulator, worker):
        test_id = simulator.add_test("dns-trace")
        assert worker.rerun(test_id)["test_type"] == "dns-trace"
        assert simulator.requests[0].operation == "tests"

    @pytest.mark.parametrize("missing", ["404", "400", "empty"])
    @pytest.mark.parametrize("test_type", ["agent-to-server", "sip-server", "dnssec", "voice"])
    def test_the_type_of_an_unlisted_test_comes_from_its_results(self, simulator, worker, test_type, missing):
        simulator.set_switches(listed_in_tests=False, missing_result_type=missing)
        test_id = simulator.add_test(test_type)
        assert worker.rerun(test_id)["test_type"] == test_type

    def test_an_unknown_type_is_an_error_before_the_run(self, simulator, worker):
        simulator.set_switches(listed_in_tests=False, before_first_data="404")
        test_id = simulator.add_test("http-server", history=[])
        with pytest.raises(ThousandEyesConfigurationError, match="set test_type= to one of agent-to-"):
            worker.rerun(test_id)
        assert simulator.run_calls(test_id) == 0

    def test_a_wrong_type_is_an_error_before_the_run(self, simulator, worker):
        test_id = simulator.add_test("dns-trace")
        simulator.set_switches(missing_result_type="empty")
        with pytest.raises(ThousandEyesConfigurationError, match="is of type 'dns-trace'"):
            worker.rerun(test_id, test_type="http-server")
        assert simulator.run_calls(test_id) == 0


class TestFreshness:
    """A round from before the run is never judged."""

    @pytest.mark.parametrize("newest", ["partial", "previous", "both"])
    def test_only_the_new_round_is_judged(self, simulator, worker, newest):
        test_id = simulator.add_test(
            "http-server", switches={"newest_round": newest}, history=[{"ago": 300, "outcomes": "error"}]
        )
        assert worker.rerun(test_id)["verdict"] == "passed"

    @pytest.mark.parametrize("newest", ["partial", "previous", "both"])
    @pytest.mark.parametrize("before_first", ["empty", "404"])
    def test_a_good_old_round_does_not_replace_an_empty_new_round(
        self, simulator, worker, newest, before_first
    ):
        simulator.set_switches(newest_round=newest, before_first_data=before_first, window_slack=600)
        test_id = simulator.add_test("http-server")
        simulator.change_test(test_id, silent=[FRANKFURT, ASHBURN, SINGAPORE, VIENNA, ZURICH])
        with pytest.raises(InstantTestNoResults):
            worker.rerun(test_id, timeout=1)
        assert worker.evidence["verdict"] == "no_results"
        assert worker.evidence["rounds"] == {}
        assert len(worker.evidence["agents"]["missing"]) == 5

    @pytest.mark.parametrize("before_first", ["empty", "404"])
    def test_missing_results_at_first_are_waited_for(self, simulator, worker, before_first):
        simulator.set_switches(before_first_data=before_first)
        test_id = simulator.add_test("http-server", history=[], delays=8)
        assert worker.rerun(test_id)["verdict"] == "passed"

    def test_another_clients_run_just_before_ours_is_not_judged(self, simulator, worker):
        test_id = simulator.add_test("http-server", history=[])
        theirs = simulator.run(test_id, outcomes="error", delays=0)
        time.sleep(1.1)
        evidence = worker.rerun(test_id)
        assert evidence["verdict"] == "passed"
        assert evidence["rounds"]["http-server"] > theirs

    def test_another_clients_run_while_ours_waits_for_its_turn_is_not_judged(self, simulator, worker):
        test_id = simulator.add_test("http-server", history=[])
        simulator.throttle(1, 62, operation="run")
        # Our run is refused for 6 s. Meanwhile, the run of the other client starts, fails and completes.
        theirs = threading.Timer(2.5, lambda: simulator.run(test_id, outcomes="error", delays=0))
        theirs.start()
        assert worker.rerun(test_id)["verdict"] == "passed"
        assert [state.by for state in simulator.rounds(test_id)] == ["another client", "api"]

    def test_another_clients_later_run_neither_replaces_nor_completes_ours(self, simulator, worker):
        test_id = simulator.add_test("http-server", silent=[ZURICH], delays=1)
        worker.xcom_push, push = (
            lambda key, value: (
                push(key, value),
                key.endswith("round_link") and self.theirs(simulator, test_id),
            ),
            worker.xcom_push,
        )
        with pytest.raises(InstantTestIncomplete):
            worker.rerun(test_id, timeout=4)
        assert names(worker.evidence["agents"]["missing"]) == [ZURICH]
        ours = next(state for state in simulator.rounds(test_id) if state.by == "api")
        assert worker.evidence["rounds"]["http-server"] == ours.round_id

    @staticmethod
    def theirs(simulator, test_id):
        time.sleep(1.1)
        simulator.run(test_id, delays=0, silent=[])

    def test_a_later_round_does_not_complete_ours_in_another_result_type(self, simulator, worker):
        test_id = simulator.add_test("page-load", delays={"page-load": 1, "http-server": 400})
        push = worker.xcom_push

        def push_and_run(key, value):
            push(key, value)
            if key == "thousandeyes_test_link":
                threading.Timer(1.5, lambda: simulator.run(test_id, delays=0)).start()

        worker.xcom_push = push_and_run
        with pytest.raises(InstantTestIncomplete):
            worker.rerun(test_id, timeout=4)

    def test_a_round_that_is_old_for_one_result_type_is_old_for_all(self, simulator, worker):
        test_id = simulator.add_test("page-load", history=[])
        simulator.run(test_id, delays={"http-server": 0, "page-load": 20}, outcomes="error")
        time.sleep(1.1)
        assert worker.rerun(test_id)["verdict"] == "passed"

    def test_two_runs_in_one_minute_have_two_rounds(self, simulator, worker, monkeypatch):
        test_id = simulator.add_test("http-server", switches={"round_ids": "minute"}, history=[])
        simulator.run(test_id, outcomes="error", delays=0)
        slept = []

        def sleep(seconds):
            slept.append(seconds)
            # Advance the simulator's clock in place of sleeping.
            if seconds > 5 or len(slept) == 1:
                simulator.set_switches(clock_offset=60)
            time.sleep(min(seconds, 0.3))

        replace_sleep(monkeypatch, sleep)
        assert worker.rerun(test_id)["verdict"] == "passed"
        first, second = simulator.rounds(test_id)
        assert first.round_id % 60 == 0
        # It is two minutes if a minute of the real clock ends in between.
        assert second.round_id - first.round_id in (60, 120)

    @pytest.mark.parametrize("offset", [-7200, 7200])
    def test_wrong_clocks_have_no_effect(self, simulator, worker, offset):
        simulator.set_switches(clock_offset=offset)
        test_id = simulator.add_test("http-server")
        assert worker.rerun(test_id)["verdict"] == "passed"


class TestCompleteness:
    def test_a_silent_agent_is_named_with_its_state(self, simulator, worker):
        simulator.change_agent(ZURICH, "offline")
        test_id = simulator.add_test("http-server")
        with pytest.raises(InstantTestIncomplete, match="zurich-branch-2: missing, state offline"):
            worker.rerun(test_id, timeout=2.5)
        assert worker.evidence["verdict"] == "incomplete"
        assert worker.evidence["agents"]["missing"] == [
            {"agent_id": "281474976710802", "agent_name": ZURICH, "state": "offline"}
        ]
        assert len(worker.evidence["agents"]["reported"]) == 4

    def test_min_agents_are_judged_after_the_grace_time(self, simulator, worker):
        test_id = simulator.add_test("http-server", silent=[ZURICH], delays=1)
        begun = time.monotonic()
        evidence = worker.rerun(test_id, min_agents=4, grace=3, poll_interval=0.2, timeout=30)
        assert 3 <= time.monotonic() - begun < 5
        assert evidence["verdict"] == "passed"
        assert names(evidence["agents"]["missing"]) == [ZURICH]

    def test_the_grace_time_ends_early_when_all_agents_have_reported(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        assert worker.rerun(test_id, min_agents="0.6", grace=600)["agents"]["missing"] == []

    def test_one_dns_server_of_two_is_not_complete(self, simulator, worker, monkeypatch):
        test_id = simulator.add_test("dns-server", agents=[FRANKFURT, VIENNA])
        hide_rows(
            monkeypatch, lambda row: row["agent"]["agentName"] == VIENNA and row["server"].startswith("ns2")
        )
        with pytest.raises(InstantTestIncomplete, match=r"vienna-office-1: missing.*dns-server 1 of 2"):
            worker.rerun(test_id, timeout=2.5)

    def test_both_directions_of_a_bidirectional_test_are_waited_for(self, simulator, worker):
        test_id = simulator.add_test("agent-to-agent", direction="bidirectional")
        worker.rerun(test_id)
        asked = {
            request.query.get("direction") for request in simulator.requests if request.operation == "results"
        }
        assert asked == {"to-target", "from-target"}

    def test_result_types_that_arrive_at_different_times_are_waited_for(self, simulator, worker):
        test_id = simulator.add_test("page-load", delays={"http-server": 1, "page-load": 20})
        evidence = worker.rerun(test_id)
        assert set(evidence["rounds"]) == {"http-server", "page-load"}

    @pytest.mark.parametrize(
        ("lookup", "history", "source"),
        [("agents", [330], "test"), ("no-agents", [330], "remembered"), ("404", [330], "remembered")],
    )
    def test_expected_agents_and_their_source(self, simulator, worker, lookup, history, source):
        simulator.set_switches(typed_lookup=lookup)
        test_id = simulator.add_test("http-server", history=history)
        agents = worker.rerun(test_id)["agents"]
        assert agents["expected_source"] == source
        assert len(agents["expected"]) == 5

    @pytest.mark.parametrize(
        "expected",
        [
            5,
            "5",
            [FRANKFURT, "14412", 14419],
            f"{VIENNA}, {ZURICH}",
            '["14410", "zurich-branch-2"]',
            [ZURICH.upper()],
        ],
    )
    def test_expected_agents_by_argument(self, simulator, worker, expected):
        test_id = simulator.add_test("http-server")
        assert worker.rerun(test_id, expected_agents=expected)["agents"]["expected_source"] == "argument"

    @pytest.mark.parametrize(
        ("expected", "problem"),
        [
            ([VIENNA, "Singapor"], "'Singapor' is no agent of the test; did you mean 'Singapore'"),
            (["14412", "99"], "'agent 99' is no agent of the test"),
            (6, "6 agents, but the test has 5"),
        ],
    )
    def test_unknown_expected_agents_are_refused(self, simulator, worker_alone, expected, problem):
        test_id = simulator.add_test("http-server")
        with pytest.raises(ThousandEyesConfigurationError, match=f"expected_agents: {problem}") as error:
            worker_alone.rerun(test_id, test_type="http-server", expected_agents=expected)
        assert f"agents of the test: {ASHBURN}; {FRANKFURT}; {SINGAPORE}; {VIENNA}; {ZURICH}" in str(
            error.value
        )
        assert simulator.run_calls(test_id) == 0

    def test_an_agent_that_missed_the_newest_round_is_expected(self, simulator, worker_alone):
        test_id = simulator.add_test("http-server", next_runs=[{"silent": [ZURICH]}])
        with pytest.raises(InstantTestIncomplete):
            worker_alone.rerun(test_id, timeout=2)
        known = {"test_type": "http-server", "expected_agents": [ZURICH, VIENNA]}
        assert worker_alone.rerun(test_id, **known)["verdict"] == "passed"

    def test_expected_agents_in_the_newest_round_need_no_request(self, simulator, worker_alone):
        test_id = simulator.add_test("http-server")
        worker_alone.rerun(test_id, test_type="http-server", expected_agents=[ZURICH])
        assert f"/v7/tests/http-server/{test_id}" not in [request.path for request in simulator.requests]

    def test_expected_agents_without_a_definition_are_not_verified(
        self, simulator, worker_alone, capsys, caplog
    ):
        test_id = simulator.add_test("http-server", switches={"typed_lookup": "404"})
        known = {"test_type": "http-server", "expected_agents": ["Singapor"]}
        with pytest.raises(InstantTestIncomplete):
            worker_alone.rerun(test_id, timeout=2, **known)
        assert f"Test {test_id}: expected_agents not verified" in capsys.readouterr().out + caplog.text

    def test_agents_of_an_unfinished_round_are_not_expected(self, simulator, worker, monkeypatch):
        monkeypatch.setattr(round_progress, "QUIET_PERIOD", 1.5)
        simulator.set_switches(typed_lookup="404")
        test_id = simulator.add_test("http-server", history=[])
        simulator.run(
            test_id, delays={FRANKFURT: 0, ASHBURN: None, SINGAPORE: None, VIENNA: None, ZURICH: None}
        )
        time.sleep(1.1)
        evidence = worker.rerun(test_id, test_type="http-server")
        assert evidence["agents"]["expected_source"] == "unknown"
        assert len(evidence["agents"]["reported"]) == 5

    def test_one_dns_server_of_two_is_not_complete_without_expected_agents(
        self, simulator, worker, monkeypatch
    ):
        monkeypatch.setattr(round_progress, "QUIET_PERIOD", 0.5)
        simulator.set_switches(typed_lookup="no-agents")
        test_id = simulator.add_test("dns-server", history=[])
        hide_rows(monkeypatch, lambda row: row["server"].startswith("ns2"))
        with pytest.raises(InstantTestIncomplete):
            worker.rerun(test_id, timeout=3)

    def test_without_expected_agents_a_quiet_period_completes_the_round(self, simulator, worker, monkeypatch):
        monkeypatch.setattr(round_progress, "QUIET_PERIOD", 1.5)
        simulator.set_switches(typed_lookup="404")
        test_id = simulator.add_test("http-server", history=[], delays=1)
        begun = time.monotonic()
        evidence = worker.rerun(test_id, test_type="http-server", timeout=60)
        assert 1.5 <= time.monotonic() - begun < 6
        assert evidence["agents"]["expected_source"] == "unknown"
        assert evidence["agents"]["expected_count"] is None

    def test_min_agents_as_a_fraction_of_unknown_agents_is_refused(self, simulator, worker):
        simulator.set_switches(typed_lookup="404")
        test_id = simulator.add_test("http-server", history=[])
        with pytest.raises(ThousandEyesConfigurationError, match="fraction"):
            worker.rerun(test_id, test_type="http-server", min_agents=0.5)
        assert simulator.run_calls(test_id) == 0

    def test_min_agents_beyond_the_number_of_agents_is_refused(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        with pytest.raises(ThousandEyesConfigurationError, match="min_agents=6, but only 5"):
            worker.rerun(test_id, min_agents=6)
        assert simulator.run_calls(test_id) == 0

    @pytest.mark.parametrize("switch", ["numbers_as_text", "extra_fields"])
    def test_unusual_responses_have_no_effect(self, simulator, worker, switch):
        simulator.set_switches(**{switch: True}, row_order="shuffled", page_size=2)
        assert worker.rerun(simulator.add_test("http-server"))["verdict"] == "passed"

    @pytest.mark.parametrize("spelling", ["None", "none", "null", "absent"])
    def test_every_spelling_of_no_error_passes(self, simulator, worker, spelling):
        simulator.set_switches(error_type_spelling=spelling)
        assert worker.rerun(simulator.add_test("http-server"))["verdict"] == "passed"


class TestLostResponses:
    @pytest.mark.parametrize("kind", ["status", "cut", "html"])
    def test_one_run_call_if_the_lost_run_started(self, simulator, worker, kind, configure):
        configure(settle_time=5)
        test_id = simulator.add_test("http-server", delays=20)
        simulator.fail("run", kind, started=True, **({"status": 502} if kind != "cut" else {}))
        evidence = worker.rerun(test_id)
        assert evidence["verdict"] == "passed"
        assert evidence["run_calls"] == simulator.run_calls(test_id) == 1

    @pytest.mark.parametrize("kind", ["status", "cut"])
    def test_two_run_calls_if_the_lost_run_did_not_start(self, simulator, worker, kind, configure):
        configure(settle_time=1)
        test_id = simulator.add_test("http-server")
        simulator.fail("run", kind, started=False, **({"status": 502} if kind == "status" else {}))
        evidence = worker.rerun(test_id)
        assert evidence["verdict"] == "passed"
        assert evidence["run_calls"] == simulator.run_calls(test_id) == 2

    def test_a_failed_poll_does_not_start_a_second_run(self, simulator, worker, connection, configure):
        configure(settle_time=0.7)
        connection(retry_limit=1)
        test_id = simulator.add_test("http-server", delays=10)
        simulator.fail("run", status=502, started=True)
        simulator.fail("results", status=503, skip=1, times=4)
        evidence = worker.rerun(test_id)
        assert (evidence["verdict"], simulator.run_calls(test_id)) == ("passed", 1)

    def test_retry_after_applies_after_an_unsuccessful_verification(self, simulator, worker, configure):
        configure(settle_time=0)
        test_id = simulator.add_test("http-server")
        simulator.fail("run", status=503, headers={"Retry-After": "2"})
        worker.rerun(test_id)
        first, second = [request.at for request in simulator.requests if request.operation == "run"]
        assert second - first >= 2

    def test_at_most_retry_limit_run_calls(self, simulator, worker, connection, configure):
        configure(settle_time=0.3)
        connection(retry_limit=2)
        test_id = simulator.add_test("http-server")
        simulator.fail("run", status=503, times=None, detail="maintenance")
        with pytest.raises(ThousandEyesServerError, match="maintenance"):
            worker.rerun(test_id)
        assert simulator.run_calls(test_id) == 2

    def test_a_run_that_starts_late_is_still_ours(self, simulator, worker, configure):
        """The run is sent twice, because its round appears only after settle_time. The first round is judged."""
        configure(settle_time=1)
        test_id = simulator.add_test(
            "http-server", next_runs=[{"delays": 40}, {"delays": 180, "outcomes": "error"}]
        )
        simulator.fail("run", status=502, started=True)
        evidence = worker.rerun(test_id)
        assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 2)

    def test_without_waiting_a_lost_run_is_sent_again(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        simulator.fail("run", status=502, started=True)
        handle = worker.rerun(test_id, wait_for_results=False)
        assert handle["run_calls"] == simulator.run_calls(test_id) == 2

    def test_a_failed_poll_is_not_a_verdict(self, simulator, worker, connection):
        connection(retry_limit=1)
        test_id = simulator.add_test("http-server")
        simulator.fail("results", status=500, skip=1, times=3)
        simulator.fail("results", "html", skip=1, times=1, status=200)
        assert worker.rerun(test_id)["verdict"] == "passed"


class TestDeadline:
    """The deadline is absolute: the wait never exceeds it by more than a moment."""

    def took(self, worker, test_id, error=(InstantTestIncomplete, InstantTestNoResults), **arguments):
        begun = time.monotonic()
        with pytest.raises(error):
            worker.rerun(test_id, **arguments)
        return time.monotonic() - begun

    def test_a_rate_limit_on_the_lookup_of_missing_agents(self, simulator, worker):
        test_id = simulator.add_test("http-server", silent=[ZURICH], delays=1)
        simulator.throttle(5, 120, operation="agents")
        assert self.took(worker, test_id, timeout=1) < 6
        assert worker.evidence["agents"]["missing"][0]["state"] is None

    def test_hanging_polls(self, simulator, worker, connection):
        connection(timeout=20, retry_limit=1)
        test_id = simulator.add_test("http-server")
        simulator.fail("results", "slow-first-byte", skip=1, times=None, seconds=20)
        assert self.took(worker, test_id, ThousandEyesConnectionError, timeout=1, expected_agents=5) < 12
        assert worker.evidence["verdict"] == "error"

    def test_endless_pages(self, simulator, worker, connection):
        connection(retry_limit=1)
        test_id = simulator.add_test("http-server", delays=200)
        push = worker.xcom_push

        def push_and_change(key, value):
            push(key, value)
            simulator.change_test(test_id, switches={"endless_next": True, "window_slack": 600.0})

        worker.xcom_push = push_and_change
        known = {"test_type": "http-server", "expected_agents": 5}
        assert self.took(worker, test_id, ThousandEyesConnectionError, timeout=1, **known) < 30
        assert worker.evidence["verdict"] == "error"

    def test_a_timeout_of_airflow_leaves_the_evidence(self, simulator, worker, monkeypatch):

        test_id = simulator.add_test("http-server", silent=[ZURICH], delays=1)
        sleeps = iter([0.3, 0.3])

        def sleep(seconds):
            try:
                time.sleep(next(sleeps))
            except StopIteration:
                raise AirflowTaskTimeout("execution_timeout") from None

        replace_sleep(monkeypatch, sleep)
        with pytest.raises(AirflowTaskTimeout):
            worker.rerun(test_id, timeout=60, deferrable=False)
        assert worker.evidence["verdict"] == "incomplete"
        assert len(worker.evidence["agents"]["reported"]) == 4

    @pytest.fixture
    def timed_out(self, worker_alone, monkeypatch):
        """A function that runs a test until a condition holds, when Airflow ends the task; returns the evidence."""

        def timed_out(is_over, test_id, **arguments):
            def sleep(seconds):
                if is_over():
                    raise AirflowTaskTimeout("execution_timeout")
                time.sleep(min(seconds, 0.2))

            replace_sleep(monkeypatch, sleep)
            with pytest.raises(AirflowTaskTimeout):
                worker_alone.rerun(test_id, test_type="http-server", timeout=60, **arguments)
            return worker_alone.evidence

        return timed_out

    @pytest.mark.parametrize(
        ("behavior", "arguments", "verdict"),
        [
            ({"outcomes": {ASHBURN: "error"}}, {}, "failed"),
            ({}, {"checks": {"http-server": {"responseTime": {"leq_to": 100_000}}}}, "passed"),
            ({"outcomes": {ASHBURN: "error"}}, {"confirm_failures": 1}, "incomplete"),
            ({}, {"confirm_failures": 1}, "passed"),
            (
                {},
                {
                    "checks": {"http-server": {"responseTime": {"change_leq_to": 5.0}}},
                    "compare_with": {"test_id": "1", "window": "1h"},
                },
                "incomplete",
            ),
        ],
    )
    def test_a_timeout_of_airflow_during_the_grace_time(
        self, simulator, worker_alone, timed_out, behavior, arguments, verdict
    ):
        test_id = simulator.add_test("http-server", silent=[SINGAPORE], delays=1, **behavior)
        polls = iter(range(9))
        is_over = lambda: simulator.run_calls(test_id) and next(polls) == 4  # noqa: E731
        evidence = timed_out(is_over, test_id, min_agents=3, **arguments)
        assert len(evidence["agents"]["reported"]) == 4
        assert evidence["verdict"] == verdict
        assert worker_alone.pushed["thousandeyes_verdict"]["verdict"] == verdict
        if "compare_with" in arguments:
            assert evidence["checks"][0]["reason"] == "the task ended before the baseline was read"

    @pytest.mark.parametrize("min_agents", [None, 3])
    def test_a_timeout_of_airflow_during_the_confirmation_keeps_the_first_failure(
        self, simulator, timed_out, min_agents
    ):
        runs = [{"outcomes": "error"}, {"silent": [SINGAPORE]}]
        test_id = simulator.add_test("http-server", delays=1, next_runs=runs)
        polls = iter(range(9))
        is_over = lambda: simulator.run_calls(test_id) == 2 and next(polls) == 4  # noqa: E731
        evidence = timed_out(is_over, test_id, confirm_failures=1, min_agents=min_agents)
        first, second = simulator.rounds(test_id)[-2:]
        assert evidence["verdict"] == "incomplete"
        assert evidence["confirms"]["rounds"] == {"http-server": first.round_id}
        assert evidence["rounds"] == {"http-server": second.round_id}

    @pytest.mark.parametrize("confirm_failures", [0, 1])
    def test_a_timeout_of_airflow_after_the_verdict_keeps_it(
        self, simulator, worker_alone, monkeypatch, confirm_failures
    ):
        def time_out(*_):
            raise AirflowTaskTimeout("execution_timeout")

        monkeypatch.setattr(judge, "write_report", time_out)
        test_id = simulator.add_test("http-server", outcomes="error")
        with pytest.raises(AirflowTaskTimeout):
            worker_alone.rerun(test_id, report_path="report.md", confirm_failures=confirm_failures)
        assert worker_alone.evidence["verdict"] == "failed"
        assert ("confirms" in worker_alone.evidence) == (confirm_failures > 0)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, ThousandEyesRequestError),
            (401, ThousandEyesAuthError),
            (403, ThousandEyesAuthError),
            (404, ThousandEyesNotFoundError),
            (422, ThousandEyesRequestError),
        ],
    )
    def test_an_error_of_the_run_call_is_not_retried(self, simulator, worker, status, error):
        test_id = simulator.add_test("http-server")
        simulator.fail("run", status=status, detail="the reason why")
        message = "Invalid access token" if status == 401 else "the reason why"
        with pytest.raises(error, match=message) as failure:
            worker.rerun(test_id)
        assert isinstance(failure.value, AirflowFailException)
        assert simulator.run_calls(test_id) == 1

    def test_with_a_retry_policy_the_plain_class_is_raised(self, simulator, worker):
        operator = RunInstantTestOperator(
            task_id="validate", test_id="1", test_type="http-server", expected_agents=1
        )
        operator.retry_policy = object()
        with pytest.raises(ThousandEyesNotFoundError) as failure:
            worker.execute(operator)
        assert type(failure.value) is ThousandEyesNotFoundError

    def test_transient_errors_are_left_to_retries(self, simulator, worker, connection):
        connection(retry_limit=1)
        test_id = simulator.add_test("http-server")
        simulator.fail("results", status=500)
        with pytest.raises(ThousandEyesServerError) as failure:
            worker.rerun(test_id)
        assert not isinstance(failure.value, AirflowFailException)

    def test_a_rate_limit_beyond_queue_timeout_fails_at_once(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        simulator.throttle(9, 9000, operation="run")
        with pytest.raises(ThousandEyesRateLimitError) as failure:
            worker.rerun(test_id, queue_timeout=60)
        assert failure.value.bucket == "instant-test"
        assert failure.value.reset_at is not None
        assert simulator.run_calls(test_id) == 1

    def test_a_run_waits_for_a_busy_test(self, simulator, worker):
        simulator.set_switches(run_while_running="409", run_busy=20)
        test_id = simulator.add_test("http-server", delays=1)
        simulator.run(test_id)
        evidence = worker.rerun(test_id)
        assert evidence["verdict"] == "passed"
        assert evidence["run_calls"] > 1
        assert evidence["throttled_seconds"] == 0, "only a 429 throttles"

    def test_a_403_while_waiting_ends_the_wait_with_the_evidence_so_far(self, simulator, worker):
        test_id = simulator.add_test("http-server", silent=[ZURICH], delays=1)
        simulator.fail("results", status=403, skip=5, times=None)
        with pytest.raises(ThousandEyesAuthError):
            worker.rerun(test_id)
        assert worker.evidence["verdict"] == "error"
        assert worker.evidence["rounds"]["http-server"] == simulator.rounds(test_id)[-1].round_id

    def test_a_renewed_token_is_read_from_the_connection_once(self, simulator, worker, log):
        test_id = simulator.add_test("http-server")
        simulator.fail("results", status=401, skip=1)
        assert worker.rerun(test_id)["verdict"] == "passed"
        assert "401: reading the connection again in case its token was renewed" in log()
        simulator.fail("results", status=401, skip=1, times=None)
        with pytest.raises(ThousandEyesAuthError):
            worker.rerun(test_id)

    def test_the_renewed_token_is_used(self, worker, monkeypatch):
        with Simulator(tokens=["old-token"], speed=10, default_tests=False) as simulator:

            def renew():
                simulator._service.tokens = ("new-token",)
                fields = {**simulator.connection(timeout=3), "password": "new-token"}
                monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(fields))

            test_id = simulator.add_test("http-server", delays=15)
            monkeypatch.setenv(
                "AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection(timeout=3))
            )
            threading.Timer(0.7, renew).start()
            assert worker.rerun(test_id)["verdict"] == "passed"
            assert 401 in {request.status for request in simulator.requests}

    def test_without_a_server_the_error_names_the_connection(self, simulator, worker, connection):
        connection(retry_limit=1)
        simulator.stop()
        with pytest.raises(ThousandEyesConnectionError, match="could not connect"):
            worker.rerun("1", test_type="http-server")


class TestArguments:
    @pytest.mark.parametrize(
        ("argument", "value", "message"),
        [
            ("test_id", "", "id of a test"),
            ("test_id", None, "id of a test"),
            ("test_type", "http_server", "did you mean 'http-server'"),
            ("test_type", "bgp", "expected one of agent-to-server"),
            ("result_types", ["network", "http"], "'http'"),
            ("result_types", ["path-vis"], "none of these can be judged"),
            ("result_types", [], "expected a list"),
            ("expected_agents", 0, "at least 1 agent"),
            ("expected_agents", [], "must be a number of agents"),
            ("expected_agents", {"a": 1}, "must be a number of agents"),
            ("min_agents", 0, "at least one"),
            ("min_agents", 1.5, "fraction"),
            ("min_agents", "many", "fraction"),
            ("max_agent_errors", -1, "count of agents"),
            ("max_agent_errors", 1.2, "count of agents"),
            ("max_agent_errors", True, "count of agents"),
            ("grace", -1, "0 or more"),
            ("poll_interval", 0, "more than 0"),
            ("timeout", "soon", "seconds or a timedelta"),
            ("timeout", timedelta(0), "more than 0"),
            ("queue_timeout", "-5", "0 or more"),
            ("wait_for_results", "maybe", "True or False"),
            ("account_group_id", ["a"], "account group"),
            ("thousandeyes_conn_id", None, "id of a connection"),
            ("thousandeyes_conn_id", " ", "id of a connection"),
            ("timeout", 1e15, "at most a year"),
        ],
    )
    def test_an_invalid_value_raises_when_the_dag_is_parsed(self, argument, value, message):
        arguments = {"task_id": "validate", "test_id": "1", argument: value}
        with pytest.raises(ThousandEyesConfigurationError, match=message) as failure:
            RunInstantTestOperator(**arguments)
        assert f"{argument}={value!r}" in str(failure.value)
        assert "'validate'" in str(failure.value)

    @pytest.mark.parametrize(
        ("argument", "value"),
        [("test_id", "  "), ("test_type", "htp"), ("expected_agents", "0"), ("account_group_id", True)],
    )
    def test_an_invalid_rendered_value_raises_before_any_request(self, simulator, worker, argument, value):
        operator = RunInstantTestOperator(task_id="validate", test_id="{{ x }}")
        operator.test_id = "1"
        setattr(operator, argument, value)
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            worker.execute(operator)
        assert isinstance(failure.value, AirflowFailException)
        assert simulator.requests == []

    def test_parameters_and_outputs_are_resolved_at_run_time(self):
        from airflow.providers.common.compat.sdk import DAG, dag, task, task_group

        with DAG("outputs", schedule=None):

            @task
            def number():
                return 1

            @task_group
            def group(test_id):
                RunInstantTestOperator(task_id="grouped", test_id=test_id)

            RunInstantTestOperator(task_id="by_output", test_id=number(), expected_agents=[number()])
            group.expand(test_id=["1", "2"])

        @dag("parameters", schedule=None)
        def parameters(test_id="5"):
            RunInstantTestOperator(task_id="by_parameter", test_id=test_id)

        assert parameters().task_dict.keys() == {"by_parameter"}

    @pytest.mark.parametrize("argument", RunInstantTestOperator.template_fields)
    def test_templates_are_left_unchanged(self, argument):
        operator = RunInstantTestOperator(
            **{"task_id": "validate", "test_id": "1", argument: "{{ params.x }}"}
        )
        assert getattr(operator, argument) == "{{ params.x }}"

    def test_rendered_numbers_may_be_text(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        evidence = worker.rerun(
            test_id,
            min_agents="4",
            grace="0",
            max_agent_errors="0",
            timeout="6",
            queue_timeout="60",
            expected_agents="5",
        )
        assert evidence["verdict"] == "passed"


class TestLog:
    """The task log has each step of the run."""

    def test_the_log_has_each_step_without_the_token(self, simulator, worker, log, configure):
        configure(settle_time=0.5)
        test_id = simulator.add_test("http-server", silent=[ZURICH], delays=1)
        simulator.throttle(1, 10, operation="run")
        simulator.fail("run", status=502, started=False)
        with pytest.raises(InstantTestIncomplete) as failure:
            worker.rerun(test_id, timeout=3)
        report = log()
        story = [
            "waiting for http-server from 5 agents (source: test)",
            "429, the instant-test limit resets in",
            "response lost (502); checking for the round",
            "No fresh round within 0.5 s",
            "run accepted at",
            "4 of 5 agents reported",
            "missing: zurich-branch-2",
            "INCOMPLETE: zurich-branch-2: missing",
        ]
        places = [report.find(line) for line in story]
        assert -1 not in places, story[places.index(-1)]
        assert places == sorted(places)
        everything = [
            report,
            str(failure.value),
            repr(failure.value),
            repr(failure.value.__dict__),
            repr(worker.pushed),
        ]
        everything += [
            repr(worker.operator.__dict__),
        ]
        for text in everything:
            assert "t0ken" not in text

    def test_a_token_in_a_response_is_masked(self, simulator, worker, log):
        simulator.fail(
            "results", status=400, detail="bad header: Bearer t0ken-that-nobody-may-see", times=None
        )
        test_id = simulator.add_test("http-server")
        with pytest.raises(ThousandEyesRequestError) as failure:
            worker.rerun(test_id, test_type="http-server", expected_agents=5)
        assert "Bearer ***" in str(failure.value)
        assert "t0ken" not in log() + repr(failure.value) + repr(failure.value.__dict__)
