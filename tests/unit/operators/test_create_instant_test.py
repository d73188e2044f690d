"""CreateInstantTestOperator against a simulated ThousandEyes: creation, copies of tests, and errors."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest

from airflow.providers.common.compat.sdk import AirflowFailException
from tests.unit.operators.conftest import replace_sleep
from thousandeyes_provider.api.declaration_errors import DeclarationErrors
from thousandeyes_provider.api.definition_schema import FIELDS
from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    ThousandEyesConfigurationError,
    ThousandEyesNotFoundError,
    ThousandEyesRateLimitError,
    ThousandEyesRequestError,
)
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.operators import session
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

FRANKFURT, ASHBURN, SINGAPORE = "Frankfurt, Germany", "Ashburn, VA", "Singapore"
AGENTS = [FRANKFURT, SINGAPORE]
PREVIEW = {"url": "https://pr-17.preview.example.com", "agents": AGENTS}
IMPOSSIBLE = {
    "network": {"loss": {"max": {"less_than": 0}}},
    "http-server": {"responseTime": {"max": {"less_than": 0}}},
    "page-load": {"pageLoadTime": {"max": {"less_than": 0}}},
    "web-transactions": {"transactionTime": {"max": {"less_than": 0}}},
    "api": {"completion": {"max": {"less_than": 0}}},
    "ftp-server": {"responseTime": {"max": {"less_than": 0}}},
    "dns-server": {"resolutionTime": {"max": {"less_than": 0}}},
    "dns-trace": {"finalQueryTime": {"max": {"less_than": 0}}},
    "dnssec": {"isValid": {"equal_to": False}},
    "sip-server": {"availability": {"max": {"less_than": 0}}},
    "rtp-server": {"mos": {"max": {"less_than": 0}}},
}
"""Result type to checks that no agent can pass."""


class LostWorker(BaseException):
    """The worker is lost with its memory."""


def created(simulator):
    """Return ids and names of all tests."""
    return dict(simulator.tests)


def sent(simulator, operation="create"):
    return [request for request in simulator.requests if request.operation == operation]


class TestCreating:
    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_every_type_is_created_run_and_judged(self, simulator, worker, definitions, test_type):
        evidence = worker.create(test_type, definition={**definitions[test_type], "agents": AGENTS})
        assert (evidence["verdict"], evidence["test_type"]) == ("passed", test_type)
        assert list(evidence["rounds"]) == sorted(TEST_TYPES[test_type].default)
        assert {agent["agent_name"] for agent in evidence["agents"]["reported"]} == set(AGENTS)
        assert evidence["agents"]["expected_source"] == "test"
        assert (evidence["run_calls"], len(sent(simulator))) == (1, 1)
        assert evidence["test_id"] in created(simulator)
        assert sent(simulator, "run") == []

    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_every_type_fails_when_a_check_does(self, simulator, worker, definitions, test_type):
        judged = TEST_TYPES[test_type].default[0]
        with pytest.raises(InstantTestFailed) as failure:
            worker.create(
                test_type,
                definition={**definitions[test_type], "agents": AGENTS},
                checks={judged: IMPOSSIBLE[judged]},
            )
        assert worker.evidence == failure.value.evidence
        assert worker.evidence["verdict"] == "failed"

    def test_the_default_name_has_task_and_run(self, simulator, worker):
        evidence = worker.create("http-server", definition=PREVIEW)
        assert evidence["test_name"] == "deploy.preview manual__2026-11-24"

    def test_mapped_tasks_and_later_tries_have_different_names(self, simulator, worker):
        worker.map_index, worker.try_number = 3, 2
        evidence = worker.create("http-server", definition=PREVIEW)
        assert evidence["test_name"] == "deploy.preview manual__2026-11-24 [3] try 2"

    def test_a_given_name(self, simulator, worker):
        evidence = worker.create("http-server", definition={**PREVIEW, "testName": "Preview 17"})
        assert evidence["test_name"] == "Preview 17"

    @pytest.mark.parametrize(
        "agents",
        [
            [FRANKFURT, SINGAPORE],
            ["frankfurt, germany", " singapore "],
            ["14410", 14419],
            [{"agentId": "14410"}, {"agentName": SINGAPORE}],
        ],
    )
    def test_agents_by_name_and_by_id(self, simulator, worker, agents):
        evidence = worker.create("http-server", definition={**PREVIEW, "agents": agents})
        agent_ids = {agent["agent_id"] for agent in evidence["agents"]["expected"]}
        assert agent_ids == {"14410", "14419"}
        named = any(not str(agent).isdigit() and "agentId" not in agent for agent in agents)
        assert len(sent(simulator, "agents")) == named

    def test_rendered_values_are_converted_for_the_api(self, simulator, worker):
        worker.create(
            "http-server", definition={**PREVIEW, "httpTimeLimit": "10", "followRedirects": "false"}
        )
        worker.create("http-server", definition=json.dumps({**PREVIEW, "testName": "of JSON"}))
        worker.create("http-server", definition="url: https://a.example\nagents: [14410]\ntestName: of YAML")
        assert set(created(simulator).values()) >= {"of JSON", "of YAML"} or len(created(simulator)) == 3

    def test_a_model_of_the_official_sdk(self, simulator, worker):
        from thousandeyes_sdk.instant_tests.models import HttpServerInstantTestRequest

        model = HttpServerInstantTestRequest.from_dict(
            {"url": "https://pr-17.example.com", "agents": [{"agentId": "14410"}], "httpTimeLimit": 10}
        )
        assert worker.create("http-server", definition=model)["verdict"] == "passed"

    def test_without_waiting_the_sensor_accepts_the_handle(self, simulator, worker):
        handle = worker.create("http-server", definition=PREVIEW, wait_for_results=False)
        assert handle["test_id"] in created(simulator)
        assert (handle["expected_source"], handle["remembered"]) == ("test", {"http-server": None})
        sensor = InstantTestResultsSensor(task_id="wait", run=handle, poke_interval=0.2, timeout=6)
        assert worker.execute(sensor)["verdict"] == "passed"

    def test_a_failure_is_confirmed_by_a_run_of_the_created_test(self, simulator, worker):
        with pytest.raises(InstantTestFailed):
            worker.create(
                "http-server",
                definition=PREVIEW,
                confirm_failures=1,
                checks={"http-server": IMPOSSIBLE["http-server"]},
            )
        assert (len(sent(simulator)), len(sent(simulator, "run"))) == (1, 1)
        assert worker.evidence["run_calls"] == 2
        assert list(worker.evidence["confirms"]["rounds"]) == ["http-server"]

    def test_a_rate_limit_is_waited_out(self, simulator, worker):
        simulator.throttle(1, 10, "create")
        evidence = worker.create("http-server", definition=PREVIEW)
        assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 2)
        assert len(created(simulator)) == 1

    def test_a_long_rate_limit_is_waited_out_in_the_triggerer(self, simulator, triggerer):
        simulator.throttle(1, 200, "create")
        evidence = triggerer.create("http-server", definition=PREVIEW)
        assert [type(deferral.trigger).__name__ for deferral in triggerer.deferrals] == [
            "RunTurnTrigger",
            "InstantTestResultsTrigger",
        ]
        assert (evidence["verdict"], len(created(simulator))) == ("passed", 1)

    def test_a_rate_limit_beyond_queue_timeout_is_an_error(self, simulator, worker):
        simulator.throttle(1, 9000, "create")
        with pytest.raises(ThousandEyesRateLimitError, match="queue_timeout"):
            worker.create(
                "http-server", definition=PREVIEW, queue_timeout=timedelta(seconds=30), deferrable=False
            )
        assert created(simulator) == {}


class TestLostResponses:
    @pytest.mark.parametrize("kind", ["status", "cut", "html"])
    @pytest.mark.parametrize("started", [True, False])
    def test_one_test_whether_or_not_the_lost_call_created_it(self, simulator, worker, kind, started):
        simulator.fail("create", kind, started=started, **({"status": 502} if kind != "cut" else {}))
        evidence = worker.create("http-server", definition=PREVIEW)
        assert evidence["verdict"] == "passed"
        assert list(created(simulator)) == [evidence["test_id"]]
        assert evidence["run_calls"] == len(sent(simulator)) == (1 if started else 2)

    def test_one_test_when_a_try_is_lost_after_it_created_it(self, simulator, tries, monkeypatch):
        create = BlockingThousandEyesHook.create_instant_test

        def create_and_lose_worker(hook, *arguments, **more):
            create(hook, *arguments, **more)
            raise LostWorker

        with monkeypatch.context() as patch:
            patch.setattr(BlockingThousandEyesHook, "create_instant_test", create_and_lose_worker)
            with pytest.raises(LostWorker):
                tries.create("http-server", definition=PREVIEW)
        tries.try_number = 2
        evidence = tries.create("http-server", definition=PREVIEW)
        assert (evidence["verdict"], list(created(simulator))) == ("passed", [evidence["test_id"]])
        assert tries.store.kept == {}

    def test_one_test_when_a_try_is_lost_before_the_call(self, simulator, tries, monkeypatch):
        def lose_worker(*_, **__):
            raise LostWorker

        with monkeypatch.context() as patch:
            patch.setattr(BlockingThousandEyesHook, "create_instant_test", lose_worker)
            with pytest.raises(LostWorker):
                tries.create("http-server", definition=PREVIEW)
        assert created(simulator) == {}
        assert tries.create("http-server", definition=PREVIEW)["verdict"] == "passed"
        assert len(created(simulator)) == 1

    def test_a_try_with_another_definition_creates_another_test(self, simulator, tries, monkeypatch):
        def sleep(_):
            raise LostWorker

        with monkeypatch.context() as patch:
            replace_sleep(patch, sleep)
            with pytest.raises(LostWorker):
                tries.create("http-server", definition=PREVIEW, deferrable=False)
        tries.try_number = 2
        tries.create("http-server", definition={**PREVIEW, "url": "https://pr-18.example.com"})
        assert len(created(simulator)) == 2

    @pytest.mark.parametrize("listed", [True, False])
    def test_one_test_when_a_rate_limit_follows_a_lost_response(self, simulator, tries, listed):
        # Either the second call or the list of tests is refused beyond queue_timeout.
        simulator.set_switches(listed_in_tests=listed)
        simulator.fail("create", status=502, started=True)
        simulator.throttle(1, 9000, "tests" if listed else "create")
        with pytest.raises(ThousandEyesRateLimitError):
            tries.create("http-server", definition=PREVIEW, queue_timeout=5, deferrable=False)
        simulator.clear_faults()
        simulator.set_switches(listed_in_tests=True)
        tries.try_number = 2
        evidence = tries.create("http-server", definition=PREVIEW)
        assert (evidence["verdict"], list(created(simulator))) == ("passed", [evidence["test_id"]])

    @pytest.mark.parametrize("offset", [-7200, 7200])
    def test_one_test_when_a_try_is_lost_on_a_machine_with_a_wrong_clock(
        self, simulator, tries, monkeypatch, offset
    ):
        create = BlockingThousandEyesHook.create_instant_test

        def create_and_lose_worker(hook, *arguments, **more):
            create(hook, *arguments, **more)
            raise LostWorker

        simulator.set_switches(clock_offset=offset)
        definition = {**PREVIEW, "agents": ["14410"]}
        with monkeypatch.context() as patch:
            patch.setattr(BlockingThousandEyesHook, "create_instant_test", create_and_lose_worker)
            with pytest.raises(LostWorker):
                tries.create("http-server", definition=definition)
        tries.try_number = 2
        evidence = tries.create("http-server", definition=definition)
        assert (evidence["verdict"], list(created(simulator))) == ("passed", [evidence["test_id"]])
        assert len(sent(simulator)) == 1

    def test_a_try_that_is_lost_while_it_confirms_leaves_the_confirming_run(
        self, simulator, tries, monkeypatch
    ):
        run = BlockingThousandEyesHook.run_instant_test

        def run_and_lose_worker(hook, *arguments, **more):
            run(hook, *arguments, **more)
            raise LostWorker

        # After a round that starts in second 0, the next run would wait for the next minute.
        monkeypatch.setattr(session, "MAX_MINUTE_WAITS", 0)
        arguments = {
            "definition": PREVIEW,
            "confirm_failures": 1,
            "checks": {"http-server": IMPOSSIBLE["http-server"]},
        }
        with monkeypatch.context() as patch:
            patch.setattr(BlockingThousandEyesHook, "run_instant_test", run_and_lose_worker)
            with pytest.raises(LostWorker):
                tries.create("http-server", **arguments)
        tries.try_number = 2
        tries.pushed.clear()
        with pytest.raises(InstantTestFailed):
            tries.create("http-server", **arguments)
        (test_id,) = created(simulator)
        _, second, third = (round_.round_id for round_ in simulator.rounds(test_id))
        assert tries.evidence["confirms"]["rounds"] == {"http-server": second}
        assert tries.evidence["rounds"] == {"http-server": third}

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_one_test_when_its_definition_cannot_be_read(self, simulator, worker_alone, status):
        simulator.fail("create", status=502, started=True)
        simulator.fail("test", status=status)
        evidence = worker_alone.create("http-server", definition=PREVIEW)
        assert (evidence["verdict"], list(created(simulator))) == ("passed", [evidence["test_id"]])

    @pytest.mark.parametrize("seconds", [10, 70])
    def test_a_test_that_another_client_created_during_a_wait_is_not_ours(
        self, simulator, triggerer, monkeypatch, seconds
    ):
        # The worker waits up to ten seconds, the triggerer longer.
        simulator.throttle(1, seconds, "create")
        push = triggerer.xcom_push

        def another_client_creates_it():
            if not created(simulator):
                simulator.add_test("http-server", name="Preview", history=[0.5])

        def sleep_meanwhile(seconds):
            another_client_creates_it()
            time.sleep(seconds)

        def push_meanwhile(key, value):
            another_client_creates_it()
            push(key, value)

        replace_sleep(monkeypatch, sleep_meanwhile)
        monkeypatch.setattr(triggerer, "xcom_push", push_meanwhile)
        with pytest.raises(ThousandEyesRequestError, match="testName"):
            triggerer.create("http-server", definition={**PREVIEW, "testName": "Preview"})

    def test_a_name_in_use_is_thousandeyes_error(self, simulator, worker):
        simulator.add_test("http-server", name="Preview")
        with pytest.raises(ThousandEyesRequestError, match="testName") as failure:
            worker.create("http-server", definition={**PREVIEW, "testName": "Preview"})
        assert isinstance(failure.value, AirflowFailException)
        assert len(sent(simulator)) == 1


class TestFromATest:
    def test_settings_are_copied_and_overridden(self, simulator, worker):
        source = simulator.add_test("http-server", name="Shop", agents=[FRANKFURT, ASHBURN])
        evidence = worker.create(from_test=source, overrides={"url": "https://canary.example.com"})
        assert evidence["verdict"] == "passed"
        assert {agent["agent_name"] for agent in evidence["agents"]["reported"]} == {FRANKFURT, ASHBURN}
        assert evidence["test_id"] != source
        assert sent(simulator, "run") == []

    def test_a_given_type_needs_no_search(self, simulator, worker):
        source = simulator.add_test("dns-server")
        assert worker.create("dns-server", from_test=source)["verdict"] == "passed"
        assert sent(simulator, "tests") == []

    @pytest.mark.parametrize("test_type", [name for name in TEST_TYPES if name != "ftp-server"])
    def test_every_type_can_be_copied(self, simulator, worker, test_type):
        source = simulator.add_test(test_type)
        overrides = {"targetSipCredentials": {"password": "sip-pass"}} if test_type == "sip-server" else None
        evidence = worker.create(from_test=source, overrides=overrides)
        assert (evidence["verdict"], evidence["test_type"]) == ("passed", test_type)

    def test_missing_credentials_are_named(self, simulator, worker):
        source = simulator.add_test("ftp-server")
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            worker.create(from_test=source)
        assert 'overrides=: definition["password"]' in str(failure.value)
        assert sent(simulator) == []
        assert worker.create(from_test=source, overrides={"password": "s3cret"})["verdict"] == "passed"

    def test_overrides_may_contain_credentials_only(self, simulator, worker_alone):
        source = simulator.add_test("sip-server")
        credentials = {"targetSipCredentials": {"password": "sip-pass"}}
        evidence = worker_alone.create("sip-server", from_test=source, overrides=credentials)
        assert evidence["verdict"] == "passed"

    def test_a_test_that_does_not_exist(self, simulator, worker):
        with pytest.raises(ThousandEyesConfigurationError, match="999999"):
            worker.create(from_test="999999")
        with pytest.raises((ThousandEyesConfigurationError, ThousandEyesNotFoundError), match="999999"):
            worker.create("http-server", from_test="999999")
        assert sent(simulator) == []


class TestDryRun:
    def test_nothing_is_created_and_everything_is_verified(self, simulator, worker):
        outcome = worker.create("http-server", definition={**PREVIEW, "shinyNewField": 1}, dry_run=True)
        assert (outcome["dry_run"], outcome["test_type"], outcome["result_types"]) == (
            True,
            "http-server",
            ["http-server"],
        )
        assert [(agent["agent_id"], agent["state"]) for agent in outcome["agents"]] == [
            ("14410", "online"),
            ("14419", "online"),
        ]
        assert outcome["warnings"] == ['definition["shinyNewField"] is not known for http-server tests']
        assert created(simulator) == {}

    def test_problems_fail_the_task(self, simulator, worker):
        simulator.add_test("http-server", name="Taken")
        simulator.change_agent("vienna-office-1", "offline")
        definition = {**PREVIEW, "agents": ["vienna-office-1"], "testName": "Taken"}
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            worker.create("http-server", definition=definition, dry_run=True)
        assert "is offline" in str(failure.value)
        assert "a test named 'Taken' exists already" in str(failure.value)
        assert sent(simulator) == []

    def test_the_default_name_of_a_mapped_task_is_verified(self, simulator, worker_alone):
        worker_alone.map_index = 3
        simulator.add_test("http-server", name="deploy.preview manual__2026-11-24 [3]")
        with pytest.raises(ThousandEyesConfigurationError, match="exists already; names are unique"):
            worker_alone.create("http-server", definition=PREVIEW, dry_run=True)

    def test_a_name_is_not_a_pattern(self, simulator, worker_alone):
        simulator.add_test("http-server", name="Preview 17")
        definition = {**PREVIEW, "testName": "Preview *"}
        assert worker_alone.create("http-server", definition=definition, dry_run=True)["dry_run"]


def operator(**arguments):
    return CreateInstantTestOperator(task_id="preview", **arguments)


class TestErrorsWhenTheDagIsParsed:
    @pytest.mark.parametrize("test_type", TEST_TYPES)
    def test_each_required_field_is_named(self, test_type):
        required = [name for name, field in FIELDS[test_type].items() if field.required]
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            operator(test_type=test_type, definition={"description": "nothing else"})
        for name in required:
            assert f'definition["{name}"]: required for {test_type} tests' in str(failure.value)

    @pytest.mark.parametrize(
        ("test_type", "wrong", "message"),
        [
            ("agent-to-server", {"protocol": "tpc"}, '"tpc" is not one of tcp, icmp, udp; did you mean'),
            ("http-server", {"verifyCertificate": "maybe"}, "is not true or false"),
            ("api", {"requests": []}, "is not a list with at least one entry"),
            ("api", {"requests": [{"name": "one"}]}, '["requests"][0]["url"]: required'),
            ("dns-server", {"dnsServers": "ns1"}, '"ns1" is not a list with at least one entry'),
            ("sip-server", {"targetSipCredentials": {}}, '["targetSipCredentials"]["port"]: required'),
            ("http-server", {"testId": "1"}, "set by ThousandEyes; remove it"),
            ("http-server", {"agents": [{"name": FRANKFURT}]}, '["agents"][0]["agentId"]: required'),
            ("http-server", {"url": ""}, 'definition["url"]: "" is not a text'),
        ],
    )
    def test_errors_have_field_value_and_choices(self, definitions, test_type, wrong, message):
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            operator(test_type=test_type, definition={**definitions[test_type], "agents": AGENTS, **wrong})
        assert message in str(failure.value)
        assert "'preview'" in str(failure.value)

    def test_all_errors_are_reported_at_once(self):
        with pytest.raises(ThousandEyesConfigurationError, match="3 invalid arguments"):
            operator(test_type="http-server", definition={"ulr": "x", "httpVersion": "three"})

    def test_a_misspelt_required_field_is_suggested(self):
        with pytest.raises(ThousandEyesConfigurationError, match="is 'ulr' a misspelling"):
            operator(test_type="http-server", definition={"ulr": "x", "agents": AGENTS})

    def test_templates_are_left_unchanged(self):
        operator(
            test_type="{{ params.kind }}", definition={"url": "{{ params.url }}", "httpTimeLimit": "{{ 70 }}"}
        )
        operator(
            test_type="http-server",
            definition={
                "url": "{{ params.url }}",
                "agents": ["{{ params.agent }}"],
                "httpVersion": "{{ 3 }}",
            },
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "give one of them; definition= creates a new test"),
            ({"definition": PREVIEW, "from_test": "1", "test_type": "http-server"}, "not both"),
            ({"definition": PREVIEW}, "needs test_type=, one of agent-to-server"),
            ({"definition": PREVIEW, "test_type": "bgp"}, "expected one of agent-to-server"),
            (
                {"definition": PREVIEW, "test_type": "http-server", "overrides": {"url": "x"}},
                "use definition=",
            ),
            (
                {"from_test": "1", "test_type": "http-server", "overrides": {"httpVersion": "three"}},
                'overrides["httpVersion"]: "three" is not a whole number from 1 to 2',
            ),
            ({"definition": [1], "test_type": "http-server"}, "definition: expected a dict"),
        ],
    )
    def test_conflicting_arguments_are_refused(self, arguments, message):
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            operator(**arguments)
        assert message in str(failure.value)


class TestSecretsInATemplatedFile:
    @pytest.fixture
    def masked(self, monkeypatch):
        """The values that Airflow was asked to mask."""
        from thousandeyes_provider.hooks import base_hook

        outcome = []
        monkeypatch.setattr(base_hook, "mask_secret", outcome.append)
        return outcome

    @pytest.mark.parametrize(
        "text",
        [
            '{"clientCertificate": "BEGIN\\nMIIB\\nEND", "password": "p\\u0026ss"}',
            "clientCertificate: |-\n  BEGIN\n  MIIB\n  END\npassword: p&ss",
        ],
    )
    def test_every_spelling_of_a_secret_is_masked(self, masked, text):
        shown = operator(from_test="1", overrides=text).overrides
        assert shown == {"clientCertificate": "BEGIN\nMIIB\nEND", "password": "p&ss"}
        assert sorted(masked) == ["BEGIN\nMIIB\nEND", "p&ss"]


class TestErrorsBeforeAnyRequest:
    def refused(self, simulator, worker, **arguments):
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            worker.create(**arguments)
        assert isinstance(failure.value, AirflowFailException)
        assert sent(simulator) == []
        return str(failure.value)

    def test_a_rendered_definition_is_validated(self, simulator, worker):
        outcome = self.refused(
            simulator, worker, test_type="http-server", definition=json.dumps({"url": "x"})
        )
        assert 'definition["agents"]: required' in outcome
        assert simulator.requests == []

    def test_an_unknown_agent_name(self, simulator, worker):
        outcome = self.refused(
            simulator, worker, test_type="http-server", definition={**PREVIEW, "agents": ["Frankfurt"]}
        )
        assert "no agent is named 'Frankfurt'; close names: 'Frankfurt, Germany' (14410)" in outcome

    def test_an_ambiguous_agent_name(self, simulator, worker):
        from thousandeyes_provider.api.definition import with_agent_ids

        twins = [{"agentId": "1", "agentName": "Lab"}, {"agentId": "2", "agentName": "lab"}]
        with pytest.raises(DeclarationErrors, match="2 agents are named 'LAB'; use an id: 1, 2"):
            with_agent_ids({"agents": [{"agentName": "LAB"}]}, twins)

    def test_min_agents_beyond_the_number_of_agents(self, simulator, worker):
        outcome = self.refused(simulator, worker, test_type="http-server", definition=PREVIEW, min_agents=3)
        assert "min_agents=3, but only 2 agents are expected" in outcome

    @pytest.mark.parametrize(
        ("expected", "problem"),
        [
            (
                ["singapore", "Frankfurt"],
                "'Frankfurt' is no agent of the test; did you mean 'Frankfurt, Germany'",
            ),
            (3, "3 agents, but the test has 2"),
        ],
    )
    def test_unknown_expected_agents_are_refused(self, simulator, worker_alone, expected, problem):
        with pytest.raises(ThousandEyesConfigurationError, match=f"'preview': expected_agents: {problem}"):
            worker_alone.create("http-server", definition=PREVIEW, expected_agents=expected)
        assert sent(simulator) == []

    @pytest.mark.parametrize("expected", [2, [SINGAPORE.upper()]])
    def test_known_expected_agents_are_accepted(self, worker_alone, expected):
        evidence = worker_alone.create("http-server", definition=PREVIEW, expected_agents=expected)
        assert evidence["agents"]["expected_source"] == "argument"

    def test_result_types_that_the_test_lacks_are_refused(self, simulator, worker):
        outcome = self.refused(
            simulator,
            worker,
            test_type="dnssec",
            definition={"domain": "a", "agents": AGENTS},
            result_types=["network"],
        )
        assert "a test of type dnssec has no network" in outcome
        outcome = self.refused(
            simulator,
            worker,
            test_type="http-server",
            definition={**PREVIEW, "networkMeasurements": False},
            result_types=["http-server", "network"],
        )
        assert "networkMeasurements is false" in outcome

    def test_a_400_from_thousandeyes_shows_each_field(self, simulator, worker):
        body = {
            "title": "Bad Request",
            "status": 400,
            "detail": "The definition is wrong",
            "errors": [{"code": "X-1", "field": "url", "message": "must be reachable"}],
        }
        simulator.fail("create", status=400, body=json.dumps(body))
        with pytest.raises(ThousandEyesRequestError, match="url: must be reachable") as failure:
            worker.create("http-server", definition={**PREVIEW, "password": ""})
        assert isinstance(failure.value, AirflowFailException)
