"""The example DAGs in a real Airflow: passed, failed and inconclusive runs take the correct route."""

from __future__ import annotations

from datetime import timedelta

import pytest

from thousandeyes_provider.hooks import shared_account
from thousandeyes_provider.operators.base import BaseInstantTestOperator

pytestmark = pytest.mark.system

FRANKFURT, SINGAPORE, ZURICH = "Frankfurt, Germany", "Singapore", "zurich-branch-2"
HURRIED = {"poll_interval": 0.07, "timeout": 3, "grace": 0.2}
"""Durations for tests. Thirty simulated seconds pass per second."""


def shorten_waits(dag):
    """Shorten the waits of all tasks and the delays of their retries."""
    for task in dag.tasks:
        if isinstance(task, BaseInstantTestOperator):
            for name, seconds in HURRIED.items():
                setattr(task, name, seconds)
            task.retry_delay = timedelta(0)
        elif issubclass(task.operator_class, BaseInstantTestOperator):  # mapped
            task.partial_kwargs.update(HURRIED)


@pytest.fixture
def run_example(run_dag, monkeypatch):
    """A function that runs an example with params.

    It returns the outcome and the states by task, as a list for a mapped task.
    """
    monkeypatch.setattr(shared_account, "DEFAULT_GAP", 0.01)  # seconds between two runs with turns

    def run(dag_id, change=lambda dag: None, **params):
        def both(dag):
            shorten_waits(dag)
            change(dag)

        outcome = run_dag(dag_id, both, **params)
        states = {}
        for (task_id, map_index), state in sorted(outcome.states.items()):
            if map_index < 0:
                states[task_id] = state
            else:
                states.setdefault(task_id, []).append(state)
        return outcome, states

    return run


def evidence(outcome, task_id="validate", map_index=-1):
    return outcome.xcoms[task_id, map_index, "return_value"]


def routes(states, *tasks):
    """Return the tasks that ran after a branch."""
    return {task for task in tasks if states[task] == "success"}


def failed_checks(run):
    """Return the metrics of failed checks with their failing agents."""
    return {
        check["metric"]: [agent["agent_name"] for agent in check["failing_agents"]]
        for check in run["checks"]
        if not check["passed"]
    }


def test_the_shortest_example_reruns_a_test(simulator, run_example):
    test_id = simulator.add_test("http-server")
    _, states = run_example("thousandeyes_instant_test", test_id=test_id)
    assert states == {"rerun": "success"}
    assert simulator.run_calls(test_id) == 1


class TestDeploymentPipeline:
    @pytest.mark.parametrize(
        ("spec", "validate", "route"),
        [
            ({}, "success", "promote"),
            ({"outcomes": {SINGAPORE: "error"}}, "failed", "roll_back"),
            ({"silent": [SINGAPORE]}, "failed", "hold"),
            ({"delays": None}, "failed", "hold"),
        ],
        ids=["passed", "failed", "incomplete", "no results"],
    )
    def test_only_a_failed_verdict_rolls_back(self, simulator, run_example, spec, validate, route):
        test_id = simulator.add_test("http-server", **spec)
        _, states = run_example("thousandeyes_deployment_pipeline", test_id=test_id, version="2.0")
        assert (states["deploy"], states["validate"]) == ("success", validate)
        assert routes(states, "promote", "roll_back", "hold") == {route}

    @pytest.mark.parametrize("status", [401, 404, 500])
    def test_an_error_of_the_api_holds_the_release(self, simulator, run_example, status):
        test_id = simulator.add_test("http-server")
        simulator.fail("run", status=status, times=None)
        _, states = run_example("thousandeyes_deployment_pipeline", test_id=test_id, version="2.0")
        assert (states["validate"], states["decide"]) == ("failed", "success")
        assert routes(states, "promote", "roll_back", "hold") == {"hold"}


class TestWebApplication:
    def run(self, run_example, tmp_path, test_id, version="1.0.0"):
        self.report = tmp_path / "report.xml"
        return run_example(
            "thousandeyes_web_application", test_id=test_id, version=version, report=str(self.report)
        )

    def test_the_new_version_is_promoted(self, simulator, run_example, tmp_path):
        outcome, states = self.run(run_example, tmp_path, simulator.add_test("page-load"))
        assert states == {
            "deploy": "success",
            "validate": "success",
            "decide": "success",
            "promote": "success",
            "roll_back": "skipped",
            "hold": "skipped",
        }
        assert failed_checks(evidence(outcome)) == {}
        assert "testsuite" in self.report.read_text()

    def test_an_old_version_at_one_agent_is_rolled_back(self, simulator, run_example, tmp_path):
        old = {"headers": {"responseHeaders": "HTTP/1.1 200 OK\r\nX-App-Version: 0.9\r\n"}}
        test_id = simulator.add_test("page-load", metrics={SINGAPORE: old})
        outcome, states = self.run(run_example, tmp_path, test_id)
        assert states["validate"] == "success"
        assert routes(states, "promote", "roll_back", "hold") == {"roll_back"}
        assert failed_checks(evidence(outcome)) == {"headers.responseHeaders": [SINGAPORE]}
        assert evidence(outcome)["run_calls"] == 2, "confirmed by one more run"
        assert "failure" in self.report.read_text()

    def test_one_flaky_agent_does_not_roll_back(self, simulator, run_example, tmp_path):
        test_id = simulator.add_test("page-load", next_runs=[{"outcomes": {SINGAPORE: "error"}}, {}])
        _, states = self.run(run_example, tmp_path, test_id)
        assert routes(states, "promote", "roll_back", "hold") == {"promote"}

    def test_a_missing_agent_holds_the_release(self, simulator, run_example, tmp_path):
        test_id = simulator.add_test("page-load", silent=[SINGAPORE])
        outcome, states = self.run(run_example, tmp_path, test_id)
        assert evidence(outcome)["verdict"] == "incomplete"
        assert routes(states, "promote", "roll_back", "hold") == {"hold"}


class TestDnsChange:
    @pytest.fixture
    def run(self, simulator, run_example):
        def run(trace=None, resolvers=None, change=lambda dag: None):
            trace_id = simulator.add_test("dns-trace", metrics=trace or {})
            self.resolver_id = simulator.add_test("dns-server", **(resolvers or {}))
            return run_example(
                "thousandeyes_dns_change",
                change,
                trace_test_id=trace_id,
                resolver_test_id=self.resolver_id,
                address="192.0.2.10",
            )

        return run

    def test_the_old_address_is_retired_when_every_agent_resolves_the_new_address(self, run):
        outcome, states = run()
        assert states == {
            "change_record": "success",
            "authority": "success",
            "resolvers": "success",
            "decide": "skipped",
            "retire_old_address": "success",
            "restore_record": "skipped",
            "hold": "skipped",
        }
        assert evidence(outcome, "resolvers")["rounds"].keys() == {"dns-server"}

    def test_a_wrong_authority_restores_the_record_immediately(self, simulator, run):
        _, states = run(trace={"mappings": "203.0.113.7"})
        assert states["authority"] == "failed"
        assert routes(states, "retire_old_address", "restore_record", "hold") == {"restore_record"}
        assert simulator.run_calls(self.resolver_id) == 0

    def test_a_missing_agent_keeps_both_addresses(self, run):
        def retry_once(dag):  # in place of six times
            dag.get_task("resolvers").retries = 1

        _, states = run(resolvers={"silent": [SINGAPORE]}, change=retry_once)
        if states["resolvers"] == "up_for_retry":
            pytest.skip("this Airflow's dag.test() does not retry")
        assert routes(states, "retire_old_address", "restore_record", "hold") == {"hold"}

    def test_a_resolver_with_the_old_address_is_retried(self, simulator, run):
        old = {"metrics": {FRANKFURT: {"mappings": "203.0.113.7"}}}
        outcome, states = run(resolvers={"next_runs": [old, {}]})
        if states["resolvers"] == "up_for_retry":
            pytest.skip("this Airflow's dag.test() does not retry")
        assert (states["resolvers"], outcome.tries["resolvers", -1]) == ("success", 2)
        assert states["retire_old_address"] == "success"
        assert simulator.run_calls(self.resolver_id) == 2


class TestWanFailover:
    @pytest.mark.parametrize(
        ("spec", "failed", "ends"),
        [
            ({}, {}, "close_change"),
            ({"metrics": {"loss": 1.0}}, {"loss": 5}, "close_change"),
            ({"silent": [ZURICH]}, {}, "close_change"),
            ({"metrics": {FRANKFURT: {"avgLatency": 140}}}, {"avgLatency": [FRANKFURT]}, "fail_back"),
            ({"metrics": {SINGAPORE: {"avgLatency": 140}}}, {}, "close_change"),
            ({"outcomes": {FRANKFURT: "error"}}, None, "fail_back"),
            ({"silent": [ZURICH, FRANKFURT]}, None, "hold"),
        ],
        ids=[
            "good",
            "warning",
            "one offline",
            "slow in region",
            "slow far away",
            "disconnected",
            "two offline",
        ],
    )
    def test_the_change_is_closed_reverted_or_held(self, simulator, run_example, spec, failed, ends):
        outcome, states = run_example(
            "thousandeyes_wan_failover", test_id=simulator.add_test("agent-to-server", **spec)
        )
        assert routes(states, "close_change", "fail_back", "hold") == {ends}
        run_evidence = evidence(outcome)
        if failed is not None:
            checks = failed_checks(run_evidence)
            assert {
                name: len(agents) if name == "loss" else agents for name, agents in checks.items()
            } == failed
        missing = {agent["agent_name"] for agent in run_evidence["agents"]["missing"]}
        assert missing == set(spec.get("silent", []))


class TestVoicePath:
    @pytest.mark.parametrize(
        ("mos", "verdict", "ticket"), [(4.2, "passed", "skipped"), (3.1, "failed", "success")]
    )
    def test_a_low_mos_opens_a_ticket(self, simulator, run_example, mos, verdict, ticket):
        test_id = simulator.add_test("voice", metrics={"mos": 4.3, SINGAPORE: {"mos": mos}})
        outcome, states = run_example("thousandeyes_voice_path", test_id=test_id)
        assert states == {"listen": "success", "sounds_bad": "success", "open_ticket": ticket}
        run_evidence = evidence(outcome, "listen")
        assert run_evidence["verdict"] == verdict
        assert failed_checks(run_evidence) == ({"mos": [SINGAPORE]} if verdict == "failed" else {})

    def test_missing_agents_fail_the_task(self, simulator, run_example):
        _, states = run_example(
            "thousandeyes_voice_path", test_id=simulator.add_test("voice", silent=[SINGAPORE])
        )
        assert (states["listen"], states["open_ticket"]) == ("failed", "upstream_failed")


class TestApiCanary:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ({}, {"validate": "success", "widen": "success", "withdraw": "skipped"}),
            (
                {"metrics": {FRANKFURT: {"completion": 50.0}}},
                {"validate": "skipped", "widen": "skipped", "withdraw": "success"},
            ),
            (
                {"silent": [FRANKFURT]},
                {"validate": "failed", "widen": "upstream_failed", "withdraw": "skipped"},
            ),
        ],
        ids=["good", "bad", "incomplete"],
    )
    def test_the_canary_is_widened_withdrawn_or_held(self, simulator, run_example, spec, expected):
        outcome, states = run_example("thousandeyes_api_canary", test_id=simulator.add_test("api", **spec))
        assert states == {"deploy_canary": "success"} | expected
        assert ("snapshot" in evidence(outcome)["links"]) == (states["validate"] == "skipped")


class TestBeforeAndAfter:
    @pytest.mark.parametrize(
        ("now", "after", "route"), [(315, "success", "finish"), (390, "failed", "roll_back")]
    )
    def test_a_slowdown_of_30_percent_rolls_back_and_one_of_5_does_not(
        self, simulator, run_example, capsys, caplog, now, after, route
    ):
        test_id = simulator.add_test(
            "http-server",
            next_runs=[{"metrics": {"responseTime": 300}}, {"metrics": {"responseTime": now}}],
        )
        outcome, states = run_example("thousandeyes_before_and_after", test_id=test_id)
        assert states["after"] == after
        assert routes(states, "finish", "roll_back", "hold") == {route}
        median = evidence(outcome, "after")["checks"][0]
        assert (median["before"], median["actual"], median["delta"]) == (300, now, now - 300)
        if after == "failed":
            log = "".join(capsys.readouterr()) + caplog.text
            assert "change <= +20 % (floor 20 ms)  390 ms (+90 ms, +30 % from 300 ms)" in log

    def test_without_a_baseline_nothing_is_deployed(self, simulator, run_example):
        test_id = simulator.add_test("http-server", silent=[SINGAPORE])
        _, states = run_example("thousandeyes_before_and_after", test_id=test_id)
        assert (states["before"], states["deploy"], states["after"]) == (
            "failed",
            "upstream_failed",
            "upstream_failed",
        )
        assert routes(states, "finish", "roll_back", "hold") == {"hold"}

    def test_an_inconclusive_run_after_the_deployment_holds_it(self, simulator, run_example):
        test_id = simulator.add_test("http-server", next_runs=[{}, {"silent": [SINGAPORE]}])
        _, states = run_example("thousandeyes_before_and_after", test_id=test_id)
        assert (states["deploy"], states["after"]) == ("success", "failed")
        assert routes(states, "finish", "roll_back", "hold") == {"hold"}


def test_each_test_is_compared_with_its_own_baseline(simulator, run_example):
    def test(first, second):
        return simulator.add_test(
            "http-server",
            next_runs=[{"metrics": {"responseTime": first}}, {"metrics": {"responseTime": second}}],
        )

    tests = [test(100, 105), test(900, 945), test(300, 390)]
    outcome, states = run_example("thousandeyes_many_before_and_after", test_ids=tests)
    assert states["before"] == ["success"] * 3
    assert states["after"] == ["success", "success", "failed"]
    assert [evidence(outcome, "after", index)["test_id"] for index in range(3)] == tests
    assert [evidence(outcome, "after", index)["checks"][0]["before"] for index in range(3)] == [100, 900, 300]


class TestRetryPolicy:
    @pytest.fixture
    def run(self, simulator, run_example):
        pytest.importorskip(
            "airflow.sdk.definitions.retry_policy", reason="Airflow 3.3 brings retry policies"
        )

        def at_once(dag):
            for rule in dag.get_task("validate").retry_policy.rules:
                rule.retry_delay = timedelta(0)

        def run(**spec):
            self.test_id = simulator.add_test("http-server", **spec)
            outcome, states = run_example("thousandeyes_retry_policy", at_once, test_id=self.test_id)
            return outcome.tries["validate", -1], states["validate"]

        return run

    def test_missing_agents_are_retried(self, simulator, run):
        assert run(next_runs=[{"silent": [SINGAPORE]}, {}]) == (2, "success")

    def test_missing_results_are_retried(self, simulator, run):
        silent = {"delays": None}
        assert run(next_runs=[silent, silent, {}]) == (3, "success")

    def test_a_failed_verdict_is_not_retried(self, simulator, run):
        assert run(outcomes={SINGAPORE: "error"}) == (1, "failed")
        assert simulator.run_calls(self.test_id) == 1

    @pytest.mark.parametrize("status", [401, 404])
    def test_permanent_errors_are_not_retried(self, simulator, run, status):
        simulator.fail("run", status=status, times=None)
        assert run() == (1, "failed")

    def test_a_custom_policy_can_decide_differently(self, simulator, run_example):
        """With a policy, the operator raises exceptions that do not prevent retries, so that the policy decides."""
        policies = pytest.importorskip("airflow.sdk.definitions.retry_policy")
        from thousandeyes_provider.exceptions import InstantTestFailed

        def other_way_round(dag):
            dag.get_task("validate").retry_policy = policies.ExceptionRetryPolicy(
                [policies.RetryRule(InstantTestFailed, retry_delay=timedelta(0))],
                default=policies.RetryAction.FAIL,
            )

        for spec, expected in [
            ({"next_runs": [{"outcomes": {SINGAPORE: "error"}}, {}]}, (2, "success")),
            ({"silent": [SINGAPORE]}, (1, "failed")),
        ]:
            test_id = simulator.add_test("http-server", **spec)
            outcome, states = run_example("thousandeyes_retry_policy", other_way_round, test_id=test_id)
            assert (outcome.tries["validate", -1], states["validate"]) == expected


class TestPreviewEnvironment:
    @pytest.mark.parametrize(("slowest", "state"), [(1000, "success"), (1, "failed")])
    def test_the_environment_is_removed_after_any_verdict(self, simulator, run_example, slowest, state):
        outcome, states = run_example("thousandeyes_preview_environment", pull_request=42, slowest=slowest)
        assert states == {"create_environment": "success", "validate": state, "remove_environment": "success"}
        run_evidence = evidence(outcome)
        assert {agent["agent_name"] for agent in run_evidence["agents"]["reported"]} == {FRANKFURT, SINGAPORE}
        assert simulator.tests[run_evidence["test_id"]] == "http-server"
        assert outcome.rendered["validate", -1]["definition"]["url"] == "https://pr-42.preview.example.com"


class TestTestsByTag:
    @pytest.fixture
    def tagged(self, simulator):
        """Ids of two tests with the tag. A test of another type and a test with another tag exist as well."""
        matching = [
            simulator.add_test(test_type, name=name, scheduled=True, tags=[tag])
            for name, test_type, tag in [
                ("Cart", "http-server", "service:checkout"),
                ("Payment", "http-server", "service:checkout"),
                ("Resolver", "dns-server", "service:checkout"),
                ("Blog", "http-server", "service:content"),
            ]
        ]
        return matching[:2]

    @pytest.mark.parametrize(("slowest", "state"), [(1000, "success"), (1, "failed")])
    def test_all_tests_have_one_verdict(self, simulator, run_example, tagged, slowest, state):
        outcome, states = run_example("thousandeyes_tests_by_tag", slowest=slowest)
        assert states == {
            "gate.select": "success",
            "gate.run": ["success"] * 2,
            "gate.verdict": state,
            "promote": "success" if state == "success" else "upstream_failed",
        }
        assert [run["from_test"] for run in evidence(outcome, "gate.select")] == tagged
        verdict = "passed" if state == "success" else "failed"
        assert evidence(outcome, "gate.verdict")["counts"] == {verdict: 2}

    def test_an_empty_selection_is_not_a_pass(self, simulator, run_example, tagged):
        simulator.add_tag("service:search")
        outcome, states = run_example("thousandeyes_tests_by_tag", tag="service:search")
        assert (states["gate.verdict"], states["promote"]) == ("failed", "upstream_failed")
        assert evidence(outcome, "gate.verdict")["verdict"] == "no_results"


@pytest.mark.parametrize(
    ("conditions", "verdict", "ends"),
    [
        ({}, "passed", "promote"),
        ({"outcomes": {SINGAPORE: "error"}}, "failed", "roll_back"),
        ({"silent": [ZURICH]}, "incomplete", "hold"),
    ],
    ids=["good", "bad", "missing"],
)
def test_a_release_gate_promotes_rolls_back_or_holds(simulator, run_example, conditions, verdict, ends):
    tests = [simulator.add_test("http-server"), simulator.add_test("http-server", **conditions)]

    def with_the_timeout_of_the_example(dag):
        dag.get_task("gate.run").partial_kwargs.pop("timeout")

    outcome, states = run_example(
        "thousandeyes_release_gate", with_the_timeout_of_the_example, test_ids=tests, timeout=3
    )
    assert evidence(outcome, "gate.verdict")["verdict"] == verdict
    ran = {task for task in ("promote", "roll_back", "hold") if states[task] != "skipped"}
    assert ran == {ends}


class TestScheduledTestNow:
    @pytest.mark.parametrize(
        ("before", "states"),
        [
            (1000, {"validate": "success", "switch_traffic": "success"}),
            (10, {"validate": "failed", "switch_traffic": "upstream_failed"}),
        ],
        ids=["quicker than before", "slower than before"],
    )
    def test_the_new_release_is_compared_with_the_history(self, simulator, run_example, before, states):
        history = [{"ago": ago, "metrics": {"responseTime": before}} for ago in (600, 1200, 1800)]
        test_id = simulator.add_test(
            "http-server", name="Shop", scheduled=True, agents=[FRANKFURT, ZURICH], history=history
        )
        outcome, reached = run_example(
            "thousandeyes_scheduled_test_now", test_id=test_id, url="https://green.example.com/"
        )
        assert reached == states
        run_evidence = evidence(outcome)
        assert run_evidence["test_id"] != test_id
        assert {agent["agent_name"] for agent in run_evidence["agents"]["reported"]} == {FRANKFURT, ZURICH}
        assert run_evidence["checks"][1]["before"] == before
        assert len(simulator.rounds(test_id)) == 3, "the scheduled test itself is not run"
