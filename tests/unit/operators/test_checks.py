"""Checks, baselines, policies and reports of operators, against the simulator."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from thousandeyes_provider.api import flows
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesNotFoundError,
    ThousandEyesServerError,
)
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.operators import judge
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

FRANKFURT, ZURICH = "Frankfurt, Germany", "zurich-branch-2"


class TestChecks:
    CHECKS = {
        "http-server": {
            "responseCode": {"equal_to": 200},
            "responseTime": {"p95": {"leq_to": 800}, "every": {"less_than": 2000, "quorum": 0.8}},
            "certificateDaysLeft": {"min": {"geq_to": 14, "severity": "warn"}},
        },
        "network": {"loss": {"mean": [{"leq_to": 1, "severity": "warn"}, {"leq_to": 5}]}},
    }

    def test_checked_results_are_requested_and_waited_for(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        evidence = worker.rerun(test_id, checks=self.CHECKS)
        assert evidence["verdict"] == "passed"
        assert set(evidence["rounds"]) == {"http-server", "network"}
        assert [row["passed"] for row in evidence["checks"]] == [True] * 6
        expanded = [r.query.get("expand") for r in simulator.requests if r.result_type == "http-server"]
        assert "certificate" in expanded

    def test_a_failed_check_fails_the_task_and_names_the_agent(self, simulator, worker):
        test_id = simulator.add_test("http-server", metrics={FRANKFURT: {"responseTime": 2500}})
        with pytest.raises(InstantTestFailed, match="Frankfurt") as failure:
            worker.rerun(test_id, checks={"http-server": {"responseTime": {"less_than": 2000}}})
        assert isinstance(failure.value, AirflowFailException)
        (row,) = worker.evidence["checks"]
        assert (row["passed"], row["metric"]) == (False, "responseTime")
        assert "2500" in str(failure.value)

    def test_a_warning_does_not_fail_the_task(self, simulator, worker):
        test_id = simulator.add_test("http-server", metrics={"responseTime": 2500})
        checks = {"http-server": {"responseTime": {"max": {"less_than": 2000, "severity": "warn"}}}}
        evidence = worker.rerun(test_id, checks=checks)
        assert evidence["verdict"] == "passed"
        assert evidence["checks"][0]["passed"] is False

    @pytest.mark.parametrize(
        "text", [json.dumps, lambda checks: "http-server:\n  responseTime: {max: {leq_to: 1}}\n"]
    )
    def test_checks_may_be_json_or_yaml_text(self, simulator, worker, text):
        test_id = simulator.add_test("http-server")
        operator = RunInstantTestOperator(
            task_id="validate", test_id=test_id, checks="{{ checks }}", timeout=5
        )
        operator.checks, operator.poll_interval = (
            text({"http-server": {"responseTime": {"max": {"leq_to": 1}}}}),
            0.2,
        )
        with pytest.raises(InstantTestFailed, match="responseTime"):
            worker.execute(operator)

    def test_checks_imply_the_type_of_the_test(self, simulator, worker):
        test_id = simulator.add_test("voice")
        worker.rerun(test_id, checks={"rtp-server": {"mos": {"min": {"geq_to": 1}}}})
        assert simulator.count("tests") == 0

    def test_all_errors_are_reported_when_the_dag_is_parsed(self):
        checks = {"http-server": {"responseTime": {"p95": {"lt": 1}}}, "htp": {"x": {"leq_to": "{{ x }}"}}}
        with pytest.raises(ThousandEyesConfigurationError) as failure:
            RunInstantTestOperator(task_id="validate", test_id="1", checks=checks)
        text = str(failure.value)
        assert "2 invalid arguments" in text
        assert 'checks["http-server"]["responseTime"]["p95"]: unknown comparison "lt"' in text
        assert 'checks: unknown result type "htp"' in text or '"htp"' in text

    @pytest.mark.parametrize("argument", ["checks", "compare_with"])
    def test_checks_may_be_a_file(self, argument):
        operator = RunInstantTestOperator(**{"task_id": "validate", "test_id": "1", argument: "checks.yaml"})
        assert getattr(operator, argument) == "checks.yaml"

    def test_templates_are_left_unchanged(self):
        checks = {"http-server": {"responseTime": {"p95": {"leq_to": "{{ params.most }}"}}}}
        assert RunInstantTestOperator(task_id="validate", test_id="1", checks=checks).checks == checks

    def test_the_sensor_evaluates_checks(self, simulator, worker):
        test_id = simulator.add_test("http-server", metrics={"responseTime": 2500})
        handle = worker.rerun(test_id, wait_for_results=False, deferrable=False)
        arguments = {"run": handle, "poke_interval": 0.2, "timeout": 3, "deferrable": worker.deferrable}
        checks = {"http-server": {"responseTime": {"max": {"less_than": 2000}}}}
        with pytest.raises(InstantTestFailed, match="2500"):
            worker.execute(InstantTestResultsSensor(task_id="sense", checks=checks, **arguments))
        with pytest.raises(ThousandEyesConfigurationError, match="checks on network, but the run waits for"):
            worker.execute(
                InstantTestResultsSensor(
                    task_id="s", checks={"network": {"loss": {"leq_to": 1}}}, **arguments
                )
            )


class TestComparison:
    CHECKS = {"http-server": {"responseTime": {"median": {"change_leq_to": 0.2, "floor": 10}}}}

    @pytest.mark.parametrize(("now", "verdict"), [(105, "passed"), (130, "failed")])
    def test_compare_with_the_evidence_of_an_earlier_run(self, simulator, worker, now, verdict):
        test_id = simulator.add_test(
            "http-server", next_runs=[{"metrics": {"responseTime": 100}}, {"metrics": {"responseTime": now}}]
        )
        before = worker.rerun(test_id)
        if verdict == "passed":
            assert worker.rerun(test_id, checks=self.CHECKS, compare_with=before)["verdict"] == "passed"
        else:
            with pytest.raises(InstantTestFailed, match="130"):
                worker.rerun(test_id, checks=self.CHECKS, compare_with=json.dumps(before))

    def test_a_test_id_with_spaces_does_not_add_the_own_round_to_the_history(self, simulator, worker):
        history = [{"ago": 3600, "metrics": {"responseTime": 100}}]
        test_id = simulator.add_test(
            "http-server",
            history=history,
            metrics={"responseTime": 1000},
            switches={"round_ids": "minute"},
        )
        checks = {"http-server": {"responseTime": {"change_leq_to": 2.0}}}
        with pytest.raises(InstantTestFailed, match="before 100 ms"):
            worker.rerun(test_id, checks=checks, compare_with={"test_id": f" {test_id} ", "window": "24h"})

    @pytest.mark.parametrize(("now", "verdict"), [(105, "passed"), (130, "failed")])
    def test_compare_with_the_history_of_a_test(self, simulator, worker, now, verdict):
        history = [{"ago": ago, "metrics": {"responseTime": 100}} for ago in (300, 600, 900)]
        test_id = simulator.add_test("http-server", history=history, metrics={"responseTime": now})
        arguments = {"checks": self.CHECKS, "compare_with": {"test_id": test_id, "window": "24h"}}
        if verdict == "passed":
            assert worker.rerun(test_id, **arguments)["verdict"] == "passed"
        else:
            with pytest.raises(InstantTestFailed, match="130"):
                worker.rerun(test_id, **arguments)

    def test_our_own_round_is_never_part_of_the_history(self, simulator, worker):
        test_id = simulator.add_test(
            "http-server", history=[], metrics={"responseTime": 500}, switches={"round_ids": "minute"}
        )
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, checks=self.CHECKS, compare_with={"test_id": test_id, "window": "1h"})

    def test_both_directions_have_a_history(self, simulator, worker):
        test_id = simulator.add_test(
            "agent-to-agent", direction="bidirectional", metrics={"loss": 0.0, "avgLatency": 9}
        )
        checks = {"network": {"avgLatency": {"max": {"delta_leq_to": 1}}}}
        compare_with = {"test_id": test_id, "window": "24h"}
        assert worker.rerun(test_id, checks=checks, compare_with=compare_with)["verdict"] == "passed"

    @pytest.mark.parametrize("before", [{"verdict": "incomplete"}, {"test_id": "999", "window": "1h"}])
    def test_a_missing_baseline_fails_the_check(self, simulator, worker, before):
        with pytest.raises(InstantTestFailed):
            worker.rerun(simulator.add_test("http-server"), checks=self.CHECKS, compare_with=before)

    @pytest.mark.parametrize(
        "wrong",
        [
            "text",
            {"test_id": "1"},
            {"window": "1h"},
            {"test_id": "1", "windw": "1h"},
            {"test_id": "1", "window": "1h", "test_type": "http-server"},
            {"test_id": " ", "window": "1h"},
            [1],
            {"test_id": "1", "window": "yesterday"},
        ],
    )
    def test_an_invalid_baseline_is_refused_when_the_dag_is_parsed(self, wrong):
        with pytest.raises(ThousandEyesConfigurationError, match="compare_with="):
            RunInstantTestOperator(task_id="validate", test_id="1", compare_with=wrong)


class TestPolicies:
    def test_a_failed_verdict_can_skip(self, simulator, worker):
        with pytest.raises(AirflowSkipException):
            worker.rerun(simulator.add_test("http-server", outcomes="error"), on_failed="skip")
        assert worker.evidence["verdict"] == "failed"

    def test_a_failed_verdict_can_warn(self, simulator, worker):
        test_id = simulator.add_test("http-server", outcomes="error")
        assert worker.rerun(test_id, on_failed="warn")["verdict"] == "failed"

    @pytest.mark.parametrize("policy", ["skip", "warn"])
    def test_on_failed_does_not_apply_to_missing_agents(self, simulator, worker, policy):
        test_id = simulator.add_test("http-server", silent=[ZURICH], delays=1)
        with pytest.raises(InstantTestIncomplete):
            worker.rerun(test_id, on_failed=policy, timeout=2.5)

    def test_a_failed_verdict_is_retried_only_on_request(self, simulator, worker):
        test_id = simulator.add_test("http-server", outcomes="error")
        with pytest.raises(InstantTestFailed) as failure:
            worker.rerun(test_id, on_failed="retry")
        assert not isinstance(failure.value, AirflowFailException)

    def test_an_invalid_policy_is_refused_when_the_dag_is_parsed(self):
        with pytest.raises(ThousandEyesConfigurationError, match="expected one of fail, retry, skip, warn"):
            RunInstantTestOperator(task_id="validate", test_id="1", on_failed="ignore")


class TestConfirmation:
    SLOW = {"http-server": {"responseTime": {"max": {"leq_to": 1000}}}}

    def test_a_single_flaky_agent_does_not_stop_the_pipeline(self, simulator, worker):
        test_id = simulator.add_test("http-server", next_runs=[{"outcomes": {FRANKFURT: "error"}}, {}])
        evidence = worker.rerun(test_id, confirm_failures=1)
        assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 2)
        first, second = simulator.rounds(test_id)[-2:]
        assert evidence["confirms"]["rounds"] == {"http-server": first.round_id}
        assert evidence["rounds"] == {"http-server": second.round_id}

    def test_a_repeated_failure_is_confirmed(self, simulator, worker):
        test_id = simulator.add_test("http-server", metrics={"responseTime": 2000})
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, confirm_failures=2, checks=self.SLOW)
        assert simulator.run_calls(test_id) == 3
        assert worker.evidence["confirms"]["rounds"]

    def test_a_failure_of_another_check_does_not_confirm(self, simulator, worker):
        checks = {"http-server": {**self.SLOW["http-server"], "totalTime": {"max": {"leq_to": 1000}}}}
        test_id = simulator.add_test(
            "http-server",
            next_runs=[
                {"metrics": {"responseTime": 2000, "totalTime": 1}},
                {"metrics": {"responseTime": 1, "totalTime": 2000}},
            ],
        )
        evidence = worker.rerun(test_id, confirm_failures=1, checks=checks)
        assert (evidence["verdict"], evidence["unconfirmed"]) == ("passed", True)

    def test_a_check_has_to_fail_in_every_run(self, simulator, worker):
        checks = {"http-server": {"responseTime": {"leq_to": 500}, "connectTime": {"leq_to": 500}}}
        slow = [{"responseTime": 900, "connectTime": 900}, {"responseTime": 900}, {"connectTime": 900}]
        fast = {"responseTime": 100, "connectTime": 10}
        test_id = simulator.add_test(
            "http-server", next_runs=[{"metrics": {**fast, **metrics}} for metrics in slow]
        )
        evidence = worker.rerun(test_id, confirm_failures=2, checks=checks)
        assert (evidence["verdict"], evidence["unconfirmed"]) == ("passed", True)
        assert simulator.run_calls(test_id) == 3

    def test_too_many_errors_between_two_failures_of_a_check_confirm_it(self, simulator, worker):
        slow = {"metrics": {"responseTime": 2000}}
        test_id = simulator.add_test("http-server", next_runs=[slow, {"outcomes": "error"}, slow])
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, confirm_failures=2, checks=self.SLOW)

    @pytest.mark.parametrize(
        ("status", "error"), [(500, ThousandEyesServerError), (403, ThousandEyesAuthError)]
    )
    def test_an_error_of_the_confirming_run_keeps_the_first_failure(
        self, simulator, worker, connection, configure, status, error
    ):
        connection(retry_limit=1)
        configure(settle_time=0.3)
        test_id = simulator.add_test("http-server", outcomes="error")
        simulator.fail("run", status=status, skip=1, times=None)
        with pytest.raises(error):
            worker.rerun(test_id, test_type="http-server", confirm_failures=1)
        (first,) = simulator.rounds(test_id)[-1:]
        assert worker.evidence["verdict"] == "error"
        assert worker.evidence["confirms"]["rounds"] == {"http-server": first.round_id}
        assert "failed, this run was not judged" in worker.evidence["summary"]

    def test_queue_timeout_counts_for_each_run(self, simulator, worker, monkeypatch):
        monkeypatch.setattr(flows, "MIN_REQUEST_TIME", 0.1)
        simulator.set_switches(page_size=2)
        test_id = simulator.add_test("http-server", outcomes="error", delays=30)
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, test_type="http-server", confirm_failures=1, queue_timeout=0.5)
        assert simulator.run_calls(test_id) == 2
        assert worker.evidence["confirms"]["rounds"]

    def test_an_unusable_connection_of_the_confirming_run_keeps_the_first_failure(
        self, simulator, worker, monkeypatch
    ):
        test_id = simulator.add_test("http-server", outcomes="error")
        run = BlockingThousandEyesHook.run_instant_test

        def refuse_second(hook, *arguments, **more):
            if simulator.run_calls(test_id):
                raise ThousandEyesConfigurationError("the connection was changed")
            return run(hook, *arguments, **more)

        monkeypatch.setattr(BlockingThousandEyesHook, "run_instant_test", refuse_second)
        with pytest.raises(ThousandEyesConfigurationError, match="the connection was changed"):
            worker.rerun(test_id, test_type="http-server", confirm_failures=1)
        assert worker.evidence["verdict"] == "error"
        assert worker.evidence["confirms"]["rounds"]

    def test_the_failed_round_is_not_part_of_the_history_of_confirming_runs(self, simulator, worker):
        checks = {"http-server": {"responseTime": {"change_leq_to": 0.5}}}
        history = [{"ago": 600, "metrics": {"responseTime": 100}}]
        test_id = simulator.add_test("http-server", history=history, metrics={"responseTime": 200})
        compare_with = {"test_id": test_id, "window": "1h"}
        # If the first slow round were part of the history, the second would be 33 % slower and pass.
        with pytest.raises(InstantTestFailed, match="before 100 ms"):
            worker.rerun(test_id, checks=checks, compare_with=compare_with, confirm_failures=2)
        assert simulator.run_calls(test_id) == 3
        assert ", 1 round from" in worker.evidence["baseline"]["source"]

    def test_rounds_of_earlier_tries_are_not_part_of_the_history(self, simulator, worker):
        checks = {"http-server": {"responseTime": {"change_leq_to": 0.5}}}
        history = [{"ago": 600, "metrics": {"responseTime": 100}}]
        test_id = simulator.add_test("http-server", history=history, metrics={"responseTime": 200})
        arguments = {
            "checks": checks,
            "compare_with": {"test_id": test_id, "window": "1h"},
            "on_failed": "retry",
        }
        worker.dag_run = SimpleNamespace(start_date=datetime.now(UTC))
        for worker.try_number in (1, 2, 3):
            with pytest.raises(InstantTestFailed, match="before 100 ms"):
                worker.rerun(test_id, **arguments)

    def test_a_good_round_needs_no_confirmation(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        worker.rerun(test_id, confirm_failures=1)
        assert simulator.run_calls(test_id) == 1

    @pytest.mark.parametrize("wrong", [-1, 6, "often", 1.5, True])
    def test_an_invalid_number_is_refused_when_the_dag_is_parsed(self, wrong):
        with pytest.raises(ThousandEyesConfigurationError, match="confirm_failures="):
            RunInstantTestOperator(task_id="validate", test_id="1", confirm_failures=wrong)


class TestReports:
    def test_junit_is_written_for_a_good_and_a_bad_round(self, simulator, worker, tmp_path):
        path = tmp_path / "report.xml"
        test_id = simulator.add_test("http-server", next_runs=[{}, {"outcomes": {FRANKFURT: "error"}}])
        worker.rerun(test_id, report_path=str(path))
        assert ElementTree.parse(path).getroot().find(".//failure") is None
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, report_path=f"file://{path}")
        assert ElementTree.parse(path).getroot().find(".//failure") is not None

    def test_the_suffix_selects_markdown(self, simulator, worker, tmp_path):
        path = tmp_path / "report.md"
        worker.rerun(simulator.add_test("http-server"), report_path=str(path))
        assert "passed" in path.read_text()

    def test_a_report_that_cannot_be_written_does_not_change_the_verdict(self, simulator, worker, log):
        test_id = simulator.add_test("http-server")
        assert worker.rerun(test_id, report_path="/proc/no/such/report.md")["verdict"] == "passed"
        assert "Could not write the report" in log()

    def test_an_unknown_suffix_is_an_error_when_the_dag_is_parsed(self):
        with pytest.raises(ThousandEyesConfigurationError, match=r"ends in \.xml"):
            RunInstantTestOperator(task_id="validate", test_id="1", report_path="report.txt")


class TestSnapshot:
    def test_a_bad_round_is_shared_privately_and_linked(self, simulator, worker, log):
        test_id = simulator.add_test("http-server", outcomes={FRANKFURT: "error"})
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, snapshot_on_failure=True)
        link = worker.evidence["links"]["snapshot"]
        assert worker.pushed["thousandeyes_snapshot_link"] == link
        assert f"snapshot: {link}" in log()
        assert simulator.count("snapshot") == 1

    def test_a_good_round_is_not_shared(self, simulator, worker):
        worker.rerun(simulator.add_test("http-server"), snapshot_on_failure=True)
        assert simulator.count("snapshot") == 0

    @pytest.mark.parametrize("status", [400, 403, 429, 500])
    def test_a_failed_snapshot_does_not_change_the_verdict(self, simulator, worker, status, log, monkeypatch):
        monkeypatch.setattr(judge, "SNAPSHOT_QUEUE_TIMEOUT", 0.5)
        test_id = simulator.add_test("http-server", outcomes={FRANKFURT: "error"})
        simulator.fail("snapshot", status=status, times=None, headers={"Retry-After": "600"})
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, snapshot_on_failure=True)
        assert "snapshot" not in worker.evidence["links"]
        assert "Could not create a snapshot of the round" in log()


class TestDryRun:
    CHECKS = {"http-server": {"responseTime": {"leq_to": 1}, "headers.responseHeaders": {"contains": "200"}}}

    def test_a_dry_run_reports_requirements_and_runs_nothing(self, simulator, worker):
        test_id = simulator.add_test("http-server")
        report = worker.rerun(test_id, dry_run=True, checks=self.CHECKS)
        assert (report["dry_run"], report["test_type"]) == (True, "http-server")
        assert {agent["state"] for agent in report["agents"]} == {"online"}
        assert [check["in_newest_round"] for check in report["checks"]] == [True, True]
        assert simulator.run_calls(test_id) == 0

    def test_every_problem_is_named(self, simulator, worker):
        simulator.change_agent(ZURICH, "disabled")
        test_id = simulator.add_test("http-server")
        checks = {"http-server": {"responseTme": {"leq_to": 1, "unlisted": True}}}
        with pytest.raises(
            ThousandEyesConfigurationError, match="zurich-branch-2 is disabled; no agent reported"
        ) as values:
            worker.rerun(test_id, dry_run=True, checks=checks)
        assert "responseTme" in str(values.value)
        assert worker.evidence["dry_run"] is True
        assert simulator.run_calls(test_id) == 0

    def test_a_test_without_definition_and_rounds_is_a_problem(self, simulator, worker):
        with pytest.raises(ThousandEyesConfigurationError, match="neither a definition nor a round"):
            worker.rerun("404", test_type="http-server", dry_run=True)


class TestTypeImpliedByChecks:
    """Only voice tests have rtp-server results, so checks on them imply the type of the test."""

    CHECKS = {"rtp-server": {"mos": {"geq_to": 1}}}

    def test_a_test_of_another_type_is_not_run(self, simulator, worker_alone):
        simulator.add_test("http-server", "1", name="Demo")
        with pytest.raises(ThousandEyesConfigurationError, match="type http-server, which has no rtp-server"):
            worker_alone.rerun("1", checks=self.CHECKS)
        assert [request.path for request in simulator.requests if request.method == "POST"] == []

    def test_the_run_call_reports_a_test_that_does_not_exist(self, simulator, worker_alone):
        with pytest.raises(ThousandEyesNotFoundError):
            worker_alone.rerun("1", checks=self.CHECKS)

    def test_a_voice_test_without_a_round_is_run(self, simulator, worker_alone):
        simulator.add_test("voice", "1", name="Demo")
        evidence = worker_alone.rerun("1", checks=self.CHECKS, expected_agents=1)
        assert evidence["checks"][0]["metric"] == "mos"

    def test_unexpected_agents_are_counted_separately(self, simulator, worker_alone):
        test_id = simulator.add_test(
            "http-server", agents=[FRANKFURT, "Singapore", "zurich-branch-2"], silent=[FRANKFURT]
        )
        with pytest.raises(InstantTestIncomplete, match=r"missing.*2 agents reported, 1 expected"):
            worker_alone.rerun(test_id, expected_agents=[FRANKFURT], timeout=2)
