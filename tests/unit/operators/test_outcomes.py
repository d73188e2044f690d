"""Ends of tasks by cause, policy and remaining retries, and the errors that they raise."""

from __future__ import annotations

import json
import re
import traceback
from itertools import product

import pytest

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestInconclusive,
    InstantTestNoResults,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesConnectionError,
    ThousandEyesError,
    ThousandEyesNotFoundError,
    ThousandEyesRateLimitError,
    ThousandEyesServerError,
)
from thousandeyes_provider.operators.instant_test import RunInstantTestOperator
from thousandeyes_provider.operators.suite import SuiteVerdictOperator
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

SINGAPORE, ZURICH = "Singapore", "zurich-branch-2"


def bad_round(simulator):
    return {"test_id": simulator.add_test("http-server", outcomes={SINGAPORE: "error"})}


def agents_missing(simulator):
    return {"test_id": simulator.add_test("http-server", silent=[ZURICH], delays=1), "timeout": 1.5}


def no_fresh_round(simulator):
    return {"test_id": simulator.add_test("http-server", delays=500), "timeout": 1}


def run_rate_limited(simulator):
    simulator.throttle(9, 9000, operation="run")
    return {"test_id": simulator.add_test("http-server"), "queue_timeout": 1}


def run_fails_with_503(simulator):
    simulator.fail("run", status=503, times=None, started=False)
    return {"test_id": simulator.add_test("http-server")}


def results_fail_with_503(simulator):
    simulator.fail("results", status=503, skip=1, times=None)
    return {"test_id": simulator.add_test("http-server"), "timeout": 1}


def no_connection(simulator):
    simulator.stop()
    return {"test_id": "1"}


def token_refused(simulator):
    simulator.fail("run", status=401, times=None)
    return {"test_id": simulator.add_test("http-server")}


def unknown_test(simulator):
    return {"test_id": "999999"}


INCONCLUSIVE = {
    agents_missing: ("incomplete", InstantTestIncomplete),
    no_fresh_round: ("no_results", InstantTestNoResults),
    run_rate_limited: ("error", ThousandEyesRateLimitError),
    run_fails_with_503: ("error", ThousandEyesServerError),
    results_fail_with_503: ("error", ThousandEyesServerError),
    no_connection: ("error", ThousandEyesConnectionError),
}
MISTAKES = {token_refused: ThousandEyesAuthError, unknown_test: ThousandEyesNotFoundError}
KNOWN = {"test_type": "http-server", "expected_agents": [SINGAPORE, ZURICH]}


@pytest.fixture
def run(simulator, worker, connection, configure):
    """A function that executes a cause to its end, as the last try unless ``retries`` are left."""

    def run(cause, retries=0, **arguments):
        connection(retry_limit=1)
        configure(settle_time=0.3)
        worker.try_number, worker.max_tries = 1, retries
        return worker.rerun(**{**KNOWN, **cause(simulator), **arguments})

    return run


def name(value):
    return value.__name__ if callable(value) else None


@pytest.mark.parametrize("cause", INCONCLUSIVE, ids=name)
class TestInconclusive:
    def test_fails_by_default_with_evidence(self, run, worker, cause):
        verdict, error = INCONCLUSIVE[cause]
        with pytest.raises(error) as failure:
            run(cause)
        assert not isinstance(failure.value, AirflowFailException)
        assert worker.evidence["verdict"] == verdict
        assert ("reason" in worker.evidence) == (verdict != "incomplete")
        assert worker.pushed["thousandeyes_verdict"]["verdict"] == verdict

    def test_warn_succeeds_with_the_evidence(self, run, worker, cause):
        evidence = run(cause, on_inconclusive="warn")
        assert evidence["verdict"] == INCONCLUSIVE[cause][0]
        assert worker.pushed["thousandeyes_verdict"]["summary"] == evidence["summary"]

    def test_skip_skips(self, run, worker, cause):
        with pytest.raises(AirflowSkipException):
            run(cause, on_inconclusive="skip")
        assert worker.evidence["verdict"] == INCONCLUSIVE[cause][0]

    @pytest.mark.parametrize("policy", ["warn", "skip"])
    def test_airflows_retries_come_first(self, run, cause, policy):
        with pytest.raises(INCONCLUSIVE[cause][1]):
            run(cause, retries=1, on_inconclusive=policy)

    @pytest.mark.parametrize("policy", ["skip", "warn", "retry"])
    def test_the_policy_for_failed_verdicts_does_not_apply(self, run, cause, policy):
        with pytest.raises(INCONCLUSIVE[cause][1]):
            run(cause, on_failed=policy)


@pytest.mark.parametrize("cause", MISTAKES, ids=name)
@pytest.mark.parametrize("policy", ["fail", "skip", "warn"])
def test_a_mistake_fails_at_once_with_any_policy(run, worker, cause, policy):
    with pytest.raises(MISTAKES[cause]) as failure:
        run(cause, retries=3, on_inconclusive=policy)
    assert isinstance(failure.value, AirflowFailException)
    assert worker.evidence["verdict"] == "error"


@pytest.mark.parametrize("policy", ["skip", "warn"])
def test_an_invalid_argument_fails_at_once_with_any_policy(simulator, worker, policy):
    operator = RunInstantTestOperator(task_id="validate", test_id="{{ x }}", on_inconclusive=policy)
    operator.test_id = " "
    with pytest.raises(ThousandEyesConfigurationError) as failure:
        worker.execute(operator)
    assert isinstance(failure.value, AirflowFailException)
    assert worker.pushed == {}
    assert simulator.requests == []


class TestFailed:
    def test_fails_at_once_by_default(self, run, worker):
        with pytest.raises(InstantTestFailed) as failure:
            run(bad_round, retries=3)
        assert isinstance(failure.value, AirflowFailException)
        assert (worker.evidence["verdict"], failure.value.evidence) == ("failed", worker.evidence)

    def test_retry_uses_airflows_retries(self, run):
        with pytest.raises(InstantTestFailed) as failure:
            run(bad_round, retries=3, on_failed="retry")
        assert not isinstance(failure.value, AirflowFailException)

    def test_warn_succeeds_with_the_evidence(self, run):
        assert run(bad_round, retries=3, on_failed="warn")["verdict"] == "failed"

    def test_skip_skips(self, run, worker):
        with pytest.raises(AirflowSkipException, match=r"^FAILED: Singapore: "):
            run(bad_round, retries=3, on_failed="skip")
        assert worker.evidence["verdict"] == "failed"

    @pytest.mark.parametrize("policy", ["skip", "warn"])
    def test_the_policy_for_inconclusive_runs_does_not_apply(self, run, policy):
        with pytest.raises(InstantTestFailed):
            run(bad_round, on_inconclusive=policy)


class TestConfiguredPolicy:
    def test_the_configured_policy_is_the_default(self, run, configure):
        configure(on_inconclusive="warn")
        assert run(no_fresh_round)["verdict"] == "no_results"

    def test_the_argument_takes_precedence(self, run, configure):
        configure(on_inconclusive="warn")
        with pytest.raises(InstantTestNoResults):
            run(no_fresh_round, on_inconclusive="fail")

    def test_an_invalid_value_is_a_configuration_error(self, run, configure):
        configure(on_inconclusive="ignore")
        with pytest.raises(
            ThousandEyesConfigurationError, match="expected one of fail, skip, warn, got 'ignore'"
        ):
            run(no_fresh_round)

    @pytest.mark.parametrize(
        "options", [{"shadow": "maybe"}, {"on_inconclusive": "ignore"}, {"round_clock_tolerance": "99"}]
    )
    def test_an_invalid_value_is_reported_before_anything_is_sent(
        self, simulator, worker, configure, options
    ):
        configure(**options)
        with pytest.raises(ThousandEyesConfigurationError, match=next(iter(options))) as failure:
            worker.rerun(simulator.add_test("http-server"), on_inconclusive="warn")
        assert isinstance(failure.value, AirflowFailException)
        assert simulator.requests == []

    def test_the_queue_timeout_can_be_configured(self, simulator, worker, configure):
        configure(queue_timeout=1)
        simulator.throttle(9, 9000, operation="run")
        with pytest.raises(ThousandEyesRateLimitError, match="longer than queue_timeout"):
            worker.rerun(simulator.add_test("http-server"))


class TestErrorInTheLog:
    """The traceback in the log has one frame of ours and ends with the headline."""

    CAUSES = {
        **{cause: error for cause, (_, error) in INCONCLUSIVE.items()},
        **MISTAKES,
        bad_round: InstantTestFailed,
    }

    @pytest.mark.parametrize("cause", CAUSES, ids=name)
    def test_the_traceback_has_one_frame_and_no_chain(self, run, cause):
        with pytest.raises(self.CAUSES[cause]) as failure:
            run(cause)
        error = failure.value
        ours = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "thousandeyes_provider/" in frame.filename
        ]
        assert len(ours) == 1
        assert (error.__cause__, error.__context__) == (None, None)
        assert "\n" not in str(error)
        *_, last = traceback.format_exception(error)
        assert last.rstrip().endswith(str(error))

    def test_a_failed_verdict_ends_with_the_headline(self, run):
        with pytest.raises(InstantTestFailed) as failure:
            run(bad_round)
        assert str(failure.value).startswith("FAILED: Singapore: Connection refused; ")

    def test_table_rows_have_the_level_of_their_content(self, simulator, worker, log):
        checks = {"http-server": {"responseTime": {"max": {"leq_to": 1, "severity": "warn"}}}}
        test_id = simulator.add_test("http-server", outcomes={SINGAPORE: "error"})
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id, checks=checks)
        lines = [line for line in log().splitlines() if "judge.py" in line]
        levels = {
            text: re.search(r"\[(error|warning|info) |^(ERROR|WARNING|INFO) ", line)[0].strip(" [").lower()
            for text in ("FAILED: Singapore", "Singapore           ERROR", "responseTime max", "requests ")
            for line in lines
            if text in line
        }
        assert list(levels.values()) == ["error", "error", "warning", "info"]


class TestSensor:
    @pytest.fixture
    def sense(self, simulator, worker):
        def sense(behavior, **arguments):
            test_id = simulator.add_test("http-server", **behavior)
            handle = worker.rerun(test_id, wait_for_results=False, deferrable=False)
            quick = {"poke_interval": 0.2, "timeout": 1.5, "deferrable": worker.deferrable}
            sensor = InstantTestResultsSensor(task_id="sense", run=handle, **{**quick, **arguments})
            return worker.execute(sensor)

        return sense

    @pytest.mark.parametrize(
        ("behavior", "verdict"),
        [({"silent": [ZURICH], "delays": 1}, "incomplete"), ({"delays": 500}, "no_results")],
    )
    def test_inconclusive(self, sense, worker, behavior, verdict):
        worker.try_number = 1
        assert sense(behavior, on_inconclusive="warn")["verdict"] == verdict
        with pytest.raises(AirflowSkipException):
            sense(behavior, on_inconclusive="skip")
        worker.max_tries = 1
        with pytest.raises(ThousandEyesError):
            sense(behavior, on_inconclusive="warn")

    def test_failed(self, sense):
        behavior = {"outcomes": {SINGAPORE: "error"}, "delays": 1}
        assert sense(behavior, on_failed="warn")["verdict"] == "failed"
        with pytest.raises(InstantTestFailed) as failure:
            sense(behavior, on_failed="retry")
        assert not isinstance(failure.value, AirflowFailException)
        ours = [
            frame
            for frame in traceback.extract_tb(failure.value.__traceback__)
            if "thousandeyes_provider/" in frame.filename
        ]
        assert len(ours) == 1


class TestDamagedXComs:
    """A damaged XCom leads to one of our errors, never to a KeyError, TypeError or ValueError."""

    @pytest.fixture
    def resume(self, simulator, triggerer):
        def resume(record, state="complete", mapped=False):
            triggerer.map_index = RUNS_WITHOUT_TURN if mapped else -1
            operator = RunInstantTestOperator(
                task_id="validate", test_id=simulator.add_test("http-server"), deferrable=True, timeout=3
            )
            triggerer.operator = operator
            with pytest.raises(TaskDeferred) as deferred:
                operator.execute(triggerer.context)
            stored = triggerer.pushed["thousandeyes_wait"]
            triggerer.pushed["thousandeyes_wait"] = record(stored) if callable(record) else record
            return operator.resume_execution(
                deferred.value.method_name, {"event": {"state": state}}, triggerer.context
            )

        return resume

    DAMAGED = [
        None,
        "text",
        [],
        {},
        {"run": None},
        {"run": []},
        {"run": {"test_id": "1"}},
        {"run": 5, "queued": 5},
        lambda stored: {**stored, "queued": {"since": 1}},
        lambda stored: {**stored, "run": {**stored["run"], "test_type": ["x"]}},
        lambda stored: {**stored, "run": {**stored["run"], "result_types": {}}},
        lambda stored: {**stored, "run": {**stored["run"], "expected_agents": [1]}},
        lambda stored: {**stored, "run": {**stored["run"], "expected_source": ["test"]}},
        lambda stored: {**stored, "run": {**stored["run"], "remembered": {"http-server": 10**40}}},
        lambda stored: {**stored, "first_failure": "x"},
        lambda stored: {**stored, "first_failure": {"remaining": 1, "failed_positions": [], "run": {}}},
        lambda stored: {**stored, "first_failure": {"remaining": 1, "failed_positions": ["x"], "run": {}}},
        lambda stored: {
            **stored,
            "first_failure": {"remaining": 1, "failed_positions": [0], "run": {}, "history_end": "soon"},
        },
    ]

    @pytest.mark.parametrize("record", DAMAGED)
    def test_damaged_wait_for_a_round(self, resume, record):
        with pytest.raises(ThousandEyesError, match="XCom 'thousandeyes_wait'"):
            resume(record)

    @pytest.mark.parametrize(
        "record", [None, {}, {"queued": {}}, {"queued": {"since": "x"}}, {"queued": {"since": 1, "plan": 4}}]
    )
    def test_damaged_wait_for_a_turn(self, resume, record):
        with pytest.raises(ThousandEyesError, match="XCom 'thousandeyes_wait'"):
            resume(record, state="turn", mapped=True)

    def test_invalid_figures_count_as_zero(self, resume):
        odd = {"requests": "many", "throttled_seconds": None, "paced_seconds": []}
        with pytest.raises(TaskDeferred):  # the round is not available yet
            resume(lambda stored: {**stored, **odd})


class TestXComs:
    def test_a_task_leaves_few_entries(self, simulator, triggerer):
        triggerer.rerun(simulator.add_test("http-server"))
        assert set(triggerer.pushed) == {
            "thousandeyes_verdict",
            "thousandeyes_wait",
            "thousandeyes_test_link",
            "thousandeyes_round_link",
        }

    def test_the_index_entry_has_the_fields_of_a_list(self, simulator, worker):
        evidence = worker.rerun(simulator.add_test("http-server"))
        assert worker.pushed["thousandeyes_verdict"] == {
            name: evidence[name]
            for name in ("verdict", "test_id", "test_name", "test_type", "summary", "finished_at")
        }

    def test_the_round_link_opens_the_worst_agent(self, simulator, worker):
        test_id = simulator.add_test("http-server", outcomes={SINGAPORE: "error"})
        with pytest.raises(InstantTestFailed):
            worker.rerun(test_id)
        agents = {agent.name: agent.agent_id for agent in simulator.agents}
        assert "roundId" not in worker.pushed["thousandeyes_test_link"]
        assert f"testId={test_id}" in worker.pushed["thousandeyes_test_link"]
        assert f"agentId={agents[SINGAPORE]}" in worker.pushed["thousandeyes_round_link"]

    def test_without_xcom_there_is_no_evidence(self, simulator, worker):
        operator = RunInstantTestOperator(
            task_id="validate",
            test_id=simulator.add_test("http-server", outcomes="error"),
            do_xcom_push=False,
            poll_interval=0.2,
            deferrable=worker.deferrable,
        )
        with pytest.raises(InstantTestFailed):
            worker.execute(operator)
        assert not {"return_value", "thousandeyes_verdict"} & set(worker.pushed)


class TestMapIndexLabels:
    """The name of the test labels a mapped task, even if the task fails."""

    @pytest.mark.parametrize("behavior", [{}, {"outcomes": "error"}, {"delays": 500}])
    def test_default_and_variables(self, simulator, worker_alone, behavior):
        test_id = simulator.add_test("http-server", **behavior)
        worker_alone.map_index = 2
        context = worker_alone.context
        operator = RunInstantTestOperator(
            task_id="validate",
            test_id=test_id,
            poll_interval=0.2,
            timeout=1.5,
            deferrable=False,
            on_failed="warn",
            on_inconclusive="warn",
        )
        worker_alone.operator = operator
        evidence = operator.execute(context)
        assert context["map_index_template"] == "{{ test_name }}"
        assert (context["test_name"], context["test_id"]) == (evidence["test_name"], test_id)
        assert context["verdict"] == evidence["verdict"]

    def test_a_custom_template_takes_precedence(self, simulator, worker_alone):
        worker_alone.map_index = 2
        context = {**worker_alone.context, "map_index_template": "{{ test_id }}"}
        operator = RunInstantTestOperator(
            task_id="validate", test_id=simulator.add_test("http-server"), poll_interval=0.2, deferrable=False
        )
        worker_alone.operator = operator
        operator.execute(context)
        assert context["map_index_template"] == "{{ test_id }}"

    def test_an_unmapped_task_has_no_template(self, simulator, worker_alone):
        context = worker_alone.context
        operator = RunInstantTestOperator(
            task_id="validate", test_id=simulator.add_test("http-server"), poll_interval=0.2, deferrable=False
        )
        worker_alone.operator = operator
        operator.execute(context)
        assert "map_index_template" not in context


class TestArgumentFiles:
    """An argument that names a file is read from the file. Text inside an argument is not."""

    @pytest.fixture
    def execute(self, worker_alone, tmp_path):
        from airflow.providers.common.compat.sdk import DAG

        def execute(**arguments):
            with DAG("files", schedule=None, template_searchpath=[str(tmp_path)]):
                operator = RunInstantTestOperator(
                    task_id="validate", poll_interval=0.2, timeout=3, deferrable=False, **arguments
                )
            return worker_alone.execute(operator)

        return execute

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("checks.json", json.dumps({"http-server": {"responseTime": {"max": {"leq_to": 1}}}})),
            ("checks.yaml", "http-server:\n  responseTime: {max: {leq_to: {{ 1 }}}}\n"),
        ],
    )
    def test_checks(self, simulator, execute, tmp_path, file, text):
        (tmp_path / file).write_text(text)
        with pytest.raises(InstantTestFailed, match="responseTime"):
            execute(test_id=simulator.add_test("http-server"), checks=file)

    def test_a_missing_file_is_an_error_that_names_it(self, simulator, execute):
        with pytest.raises(
            ThousandEyesConfigurationError, match=r"checks='absent\.yaml': cannot read this file"
        ):
            execute(test_id=simulator.add_test("http-server"), checks="absent.yaml")
        assert simulator.requests == []

    def test_text_inside_an_argument_is_not_a_file(self, simulator, execute):
        checks = {"http-server": {"serverIp": {"one_of": ["config.json", "a.yaml"]}}}
        with pytest.raises(InstantTestFailed):
            execute(test_id=simulator.add_test("http-server"), checks=checks)

    def test_a_url_that_ends_in_json_is_not_a_file(self, simulator, worker_alone):
        definition = {"url": "https://example.com/status.json", "agents": [SINGAPORE]}
        evidence = worker_alone.create("http-server", definition=definition)
        assert evidence["verdict"] == "passed"

    def test_no_argument_is_a_template_file_for_airflow(self):
        assert not RunInstantTestOperator.template_ext
        assert not InstantTestResultsSensor.template_ext


class TestShadowMode:
    """With ``[thousandeyes] shadow``, the run reports its verdict and the task succeeds."""

    @pytest.mark.parametrize("cause", [bad_round, *INCONCLUSIVE], ids=name)
    def test_no_verdict_fails_the_task(self, run, worker, configure, cause):
        configure(shadow=True)
        evidence = run(cause, on_failed="fail", on_inconclusive="fail")
        assert evidence["verdict"] == ("failed" if cause is bad_round else INCONCLUSIVE[cause][0])
        assert evidence["shadow"] is True

    def test_airflows_retries_come_first(self, run, configure):
        configure(shadow=True)
        with pytest.raises(InstantTestNoResults):
            run(no_fresh_round, retries=1)

    @pytest.mark.parametrize("cause", MISTAKES, ids=name)
    def test_a_mistake_still_fails(self, run, configure, cause):
        configure(shadow=True)
        with pytest.raises(MISTAKES[cause]):
            run(cause)


class TestTelemetry:
    """Every verdict is reported to metrics and OpenLineage."""

    @pytest.mark.parametrize(("cause", "verdict"), [(bad_round, "failed"), (no_fresh_round, "no_results")])
    def test_every_verdict_is_counted(self, run, monkeypatch, cause, verdict):
        from airflow.providers.common.compat.sdk import Stats

        counted = []
        monkeypatch.setattr(Stats, "incr", lambda name, *args, **kwargs: counted.append(name))
        with pytest.raises(ThousandEyesError):
            run(cause)
        assert f"thousandeyes.verdict.{verdict}" in counted

    def test_openlineage_receives_the_checks(self, simulator, worker):
        pytest.importorskip("airflow.providers.openlineage")
        worker.rerun(
            simulator.add_test("http-server"), checks={"http-server": {"responseCode": {"equal_to": 200}}}
        )
        lineage = worker.operator.get_openlineage_facets_on_complete(None)
        assert [test.status for test in lineage.run_facets["test"].tests] == ["pass", "pass"]

    def test_openlineage_receives_no_failure_that_is_not_confirmed(self, simulator, worker):
        pytest.importorskip("airflow.providers.openlineage")
        checks = {"http-server": {"responseTime": {"leq_to": 500}, "totalTime": {"leq_to": 500}}}
        slow = [{"responseTime": 900, "totalTime": 9}, {"responseTime": 9, "totalTime": 900}]
        runs = [{"metrics": metrics} for metrics in slow]
        worker.rerun(simulator.add_test("http-server", next_runs=runs), checks=checks, confirm_failures=1)
        lineage = worker.operator.get_openlineage_facets_on_complete(None)
        assert [test.status for test in lineage.run_facets["test"].tests] == ["pass", "pass", "skip"]

    def test_openlineage_receives_the_failure(self, run, worker):
        pytest.importorskip("airflow.providers.openlineage")
        with pytest.raises(InstantTestFailed):
            run(bad_round)
        lineage = worker.operator.get_openlineage_facets_on_failure(None)
        assert [test.status for test in lineage.run_facets["test"].tests] == ["fail"]


# -- suites of a good run and another run ---------------------------------------------------------------------------

GOOD = {
    "verdict": "passed",
    "summary": "PASSED: 1 of 1 agents ok",
    "test_id": "good",
    "test_name": "Good",
    "failed_agents": [],
    "checks": [],
    "agents": {"missing": []},
}
POLICIES = ("fail", "skip", "warn")


def wrong_definition(simulator):
    return {
        "test_id": simulator.add_test("http-server"),
        "checks": {"dns-server": {"resolutionTime": {"leq_to": 1}}},
    }


VERDICT_OF_RUN = {
    bad_round: "failed",
    agents_missing: "incomplete",
    no_fresh_round: "no_results",
    run_rate_limited: "error",
    run_fails_with_503: "error",
    results_fail_with_503: "error",
    no_connection: "error",
    token_refused: "error",
    unknown_test: "error",
    wrong_definition: None,
}


def next_step(state, evidence):
    """Return the next step of a pipeline after a gate, by the three routes in the documentation."""
    if state != "success":
        return "stop"
    return {"passed": "promote", "failed": "roll back"}.get(evidence["verdict"], "hold")


@pytest.fixture
def judge(worker_alone):
    """A function that judges a good run and another run.

    It returns the state of the task, its evidence and the next step of the pipeline.
    """

    def judge(other, test_id, on_failed, on_inconclusive):
        operator = SuiteVerdictOperator(
            task_id="verdict",
            results=[GOOD, other],
            expected=["good", test_id],
            on_failed=on_failed,
            on_inconclusive=on_inconclusive,
        )
        try:
            evidence, state = worker_alone.execute(operator), "success"
        except AirflowSkipException:
            evidence, state = worker_alone.evidence, "skipped"
        except (InstantTestFailed, InstantTestInconclusive) as error:
            evidence, state = worker_alone.evidence, "failed"
            is_failed = isinstance(error, InstantTestFailed)
            if is_failed != (evidence["verdict"] == "failed"):
                raise
        assert worker_alone.pushed["thousandeyes_verdict"]["verdict"] == evidence["verdict"]
        return state, evidence, next_step(state, evidence)

    return judge


def assert_every_policy_holds(judge, evidence, test_id, verdict):
    """Judge a suite with this run under every policy.

    :param verdict: expected verdict of the suite.
    """
    for on_failed, on_inconclusive in product(POLICIES, POLICIES):
        state, suite, then = judge(evidence, test_id, on_failed, on_inconclusive)
        policy = on_failed if verdict == "failed" else on_inconclusive
        assert suite["verdict"] == verdict
        assert state == {"fail": "failed", "skip": "skipped", "warn": "success"}[policy]
        assert then == ("stop" if policy != "warn" else "roll back" if verdict == "failed" else "hold")
        assert suite["expected_count"] == 2


@pytest.mark.parametrize("cause", VERDICT_OF_RUN, ids=name)
def test_a_mapped_run_in_a_suite(simulator, worker, connection, configure, judge, cause):
    connection(retry_limit=1)
    configure(settle_time=0.3)
    worker.map_index = 1
    arguments = {**KNOWN, **cause(simulator)}
    try:
        evidence = worker.rerun(**arguments, on_failed="warn", on_inconclusive="warn")
    except ThousandEyesError:
        assert cause in (*MISTAKES, wrong_definition), "only mistakes fail the mapped task"
        evidence = worker.pushed.get("return_value")
    assert (evidence and evidence["verdict"]) == VERDICT_OF_RUN[cause]
    verdict = "failed" if cause is bad_round else "incomplete"
    assert_every_policy_holds(judge, evidence, arguments["test_id"], verdict)


def test_every_cause_is_covered():
    assert VERDICT_OF_RUN.keys() >= {bad_round, *INCONCLUSIVE, *MISTAKES}


@pytest.mark.parametrize("left_behind", [None, {}, "text", [None]], ids=["none", "empty", "text", "list"])
def test_a_killed_worker_leaves_no_evidence(judge, left_behind):
    assert_every_policy_holds(judge, left_behind, "killed", "incomplete")


def test_a_missing_triggerer(simulator, triggerer, judge):
    triggerer.map_index = RUNS_WITHOUT_TURN
    test_id = simulator.add_test("http-server", delays=500)
    operator = RunInstantTestOperator(
        task_id="run", test_id=test_id, deferrable=True, timeout=1, on_failed="warn", on_inconclusive="warn"
    )
    triggerer.operator = operator
    with pytest.raises(TaskDeferred):
        operator.execute(triggerer.context)
    evidence = operator.resume_execution("__fail__", {"error": "Trigger timeout"}, triggerer.context)
    assert evidence["verdict"] == "error"
    assert_every_policy_holds(judge, evidence, test_id, "incomplete")
