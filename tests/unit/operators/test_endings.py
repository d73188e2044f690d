"""Ends of tasks in rare cases: tracebacks, damaged state, failed reads after the run, subclasses."""

from __future__ import annotations

import sys
import time
import traceback
from types import SimpleNamespace

import pytest

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    Asset,
    BaseSensorOperator,
    TaskDeferred,
)
from tests.unit.operators.conftest import replace_sleep
from thousandeyes_provider.api.rate_limits import RUNS_WITHOUT_TURN
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestInconclusive,
    InstantTestNoResults,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
    ThousandEyesError,
    ThousandEyesServerError,
)
from thousandeyes_provider.hooks.blocking_hook import BlockingThousandEyesHook
from thousandeyes_provider.links import thousandeyes as links
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator, RunInstantTestOperator
from thousandeyes_provider.operators.suite import (
    SelectTestsOperator,
    SuiteVerdictOperator,
    instant_test_suite,
)
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

SINGAPORE, ZURICH = "Singapore", "zurich-branch-2"
QUICK = {"poll_interval": 0.2, "timeout": 2}


@pytest.fixture
def sensor_of(simulator, worker_alone):
    """A function that makes a sensor for a new run."""

    def sensor_of(behavior, **arguments):
        handle = worker_alone.rerun(simulator.add_test("http-server", **behavior), wait_for_results=False)
        quick = {"poke_interval": 0.2, "timeout": 1.5, "deferrable": False}
        return InstantTestResultsSensor(task_id="sense", run=handle, **{**quick, **arguments})

    return sensor_of


def deferral_of(worker, operator):
    worker.operator = operator
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(worker.context)
    return deferred.value


class LostWorkerError(BaseException):
    """The worker is lost with its memory."""


class TestTracebacks:
    """The traceback of every error has one frame of ours."""

    def ends_with(self, worker, operator, error):
        """Execute the task and check its error."""
        with pytest.raises(error) as failure:
            worker.execute(operator)
        frames = traceback.extract_tb(failure.value.__traceback__)
        assert len([frame for frame in frames if "thousandeyes_provider/" in frame.filename]) == 1
        assert (failure.value.__cause__, failure.value.__context__) == (None, None)
        return failure.value

    def test_a_created_test(self, simulator, worker):
        simulator.fail("create", status=400, times=None)
        operator = CreateInstantTestOperator(
            task_id="preview",
            test_type="http-server",
            definition={"url": "https://a.example", "agents": [SINGAPORE]},
            deferrable=worker.deferrable,
        )
        self.ends_with(worker, operator, ThousandEyesError)

    @pytest.mark.parametrize("deferrable", [False, True])
    @pytest.mark.parametrize(
        ("behavior", "error"),
        [({"outcomes": "error"}, InstantTestFailed), ({"delays": 500}, InstantTestNoResults)],
    )
    def test_a_sensor(self, triggerer, sensor_of, deferrable, behavior, error):
        self.ends_with(triggerer, sensor_of(behavior, deferrable=deferrable), error)

    def test_a_sensor_that_fails_before_its_first_poke(self, worker_alone, sensor_of):
        sensor = sensor_of({}, checks={"dns-server": {"resolutionTime": {"leq_to": 1}}})
        error = self.ends_with(worker_alone, sensor, ThousandEyesConfigurationError)
        assert "checks on dns-server, but the run waits for http-server" in str(error)

    def test_a_selection(self, simulator, worker_alone):
        simulator.add_test("http-server", scheduled=True, name="Search")
        operator = SelectTestsOperator(task_id="select", names=["Serch"])
        assert isinstance(
            self.ends_with(worker_alone, operator, ThousandEyesConfigurationError), AirflowFailException
        )

    @pytest.mark.parametrize(
        ("changes", "error"),
        [({"verdict": "failed"}, InstantTestFailed), ({}, ThousandEyesError)],
    )
    def test_a_suite(self, worker_alone, changes, error):
        results = [{**GOOD, **changes}] if changes else []
        operator = SuiteVerdictOperator(task_id="verdict", results=results, expected=["1"])
        self.ends_with(worker_alone, operator, error)

    def test_a_suite_with_invalid_rendered_arguments(self, worker_alone):
        operator = SuiteVerdictOperator(task_id="verdict", results=[], expected="{{ many }}")
        operator.expected = "many"
        self.ends_with(worker_alone, operator, ThousandEyesConfigurationError)


class TestDamage:
    def test_a_turn_for_a_task_that_waits_for_its_round(self, simulator, triggerer):
        operator = RunInstantTestOperator(
            task_id="run", test_id=simulator.add_test("http-server"), deferrable=True, **QUICK
        )
        deferral_of(triggerer, operator)
        with pytest.raises(ThousandEyesError, match="resumed for a turn, but the task waits for a round"):
            operator.resume_execution("execute_in_turn", {"event": {"state": "turn"}}, triggerer.context)

    def test_a_round_for_a_task_that_waits_for_its_turn(self, simulator, triggerer):
        triggerer.map_index = RUNS_WITHOUT_TURN
        operator = RunInstantTestOperator(
            task_id="run", test_id=simulator.add_test("http-server"), deferrable=True, **QUICK
        )
        deferral_of(triggerer, operator)
        with pytest.raises(ThousandEyesError, match="resumed for a round, but the task waits for a turn"):
            operator.resume_execution("execute_complete", {"event": {"state": "complete"}}, triggerer.context)

    def test_an_event_with_a_damaged_sighting(self, simulator, triggerer):
        operator = RunInstantTestOperator(
            task_id="run", test_id=simulator.add_test("http-server"), deferrable=True, **QUICK
        )
        deferral_of(triggerer, operator)
        event = {"state": "complete", "sighting": {"rounds": 5}}
        with pytest.raises(ThousandEyesError, match="the trigger's event is damaged"):
            operator.resume_execution("execute_complete", {"event": event}, triggerer.context)

    def test_an_unreadable_stored_run_starts_a_new_run(self, simulator, tries, log):
        test_id = simulator.add_test("http-server")
        tries.store.kept["thousandeyes_run"] = {"run": {"test_id": 5}, "max_tries": 0}
        assert tries.rerun(test_id)["verdict"] == "passed"
        assert simulator.run_calls(test_id) == 1
        assert "Ignoring the stored run of an earlier try" in log()

    def test_a_failed_push_of_evidence_does_not_hide_airflows_timeout(
        self, simulator, worker_alone, monkeypatch, log
    ):
        def time_out(seconds):
            raise AirflowTaskTimeout

        def refuse(key, value):
            if key == "thousandeyes_verdict":
                raise RuntimeError("no XCom today")

        test_id = simulator.add_test("http-server", delays=10)
        replace_sleep(monkeypatch, time_out)
        monkeypatch.setattr(worker_alone, "xcom_push", refuse)
        with pytest.raises(AirflowTaskTimeout):
            worker_alone.rerun(test_id, test_type="http-server", expected_agents=5)
        assert "Could not keep the evidence of the task: no XCom today" in log()


class TestReadsAfterTheRun:
    def test_without_a_definition_the_failed_request_is_reported(self, simulator, worker_alone, log):
        test_id = simulator.add_test(
            "api", history=[600], outcomes={SINGAPORE: "error"}, switches={"typed_lookup": "404"}
        )
        with pytest.raises(InstantTestFailed):
            worker_alone.rerun(test_id, test_type="api")
        assert worker_alone.evidence["failed_agents"][0]["step"]["kind"] == "request"
        assert log().count(f"The definition of test {test_id} is not available") == 2

    def test_an_unreadable_history_fails_the_checks_that_need_it(
        self, simulator, worker_alone, connection, log
    ):
        connection(retry_limit=1)
        before = simulator.add_test("http-server", history=[600])
        test_id = simulator.add_test("http-server", history=[600])
        simulator.fail("results", status=403, test_id=before, times=None)
        with pytest.raises(InstantTestFailed, match="could not be read"):
            worker_alone.rerun(
                test_id,
                test_type="http-server",
                checks={"http-server": {"responseTime": {"median": {"change_leq_to": 0.2}}}},
                compare_with={"test_id": before, "window": "1h"},
            )
        assert f"Could not read the last 1h of test {before}" in log()

    def test_a_snapshot_without_a_link(self, simulator, worker_alone, monkeypatch):
        monkeypatch.setattr(BlockingThousandEyesHook, "create_snapshot", lambda *_, **__: {})
        with pytest.raises(InstantTestFailed):
            worker_alone.rerun(simulator.add_test("http-server", outcomes="error"), snapshot_on_failure=True)
        assert "snapshot" not in worker_alone.evidence["links"]

    def test_polls_that_fail_for_twice_the_settle_time_send_the_run_again(
        self, simulator, worker_alone, connection, configure, log
    ):
        connection(retry_limit=2)
        configure(settle_time=0.4)
        test_id = simulator.add_test("http-server")
        simulator.fail("run", status=503, started=True, times=1)
        simulator.fail("results", status=500, skip=1, times=None)
        with pytest.raises(ThousandEyesServerError):
            worker_alone.rerun(test_id, test_type="http-server", expected_agents=5, timeout=1)
        assert simulator.run_calls(test_id) == 2
        assert "no poll succeeded; sending the run again" in log()


class TestSubclasses:
    """Subclasses may defer on their own."""

    @pytest.mark.parametrize(
        ("base", "arguments"),
        [(RunInstantTestOperator, {"test_id": "1"}), (InstantTestResultsSensor, {"run": "{{ run }}"})],
    )
    def test_a_custom_method_is_resumed(self, worker_alone, base, arguments):
        class Own(base):
            def after_pause(self, context, event=None):
                return event

        operator = Own(task_id="own", **arguments)
        assert operator.resume_execution("after_pause", {"event": 5}, worker_alone.context) == 5

    def test_a_custom_map_index_template_is_kept(self):
        operator = RunInstantTestOperator(task_id="own", test_id="1", map_index_template="{{ test_id }}")
        assert operator.map_index_template == "{{ test_id }}"


class TestSensor:
    def test_a_silent_failure_is_handled_by_airflows_sensor(self, worker_alone, sensor_of):
        sensor = sensor_of({"outcomes": "error"}, silent_fail=True, on_failed="retry", timeout=1)
        with pytest.raises(InstantTestInconclusive):
            worker_alone.execute(sensor)

    @pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
    def test_a_soft_failure_names_the_flag(self, worker_alone, sensor_of, flag):
        with pytest.raises(AirflowSkipException, match=f"{flag} is set, the sensor is skipped: FAILED"):
            worker_alone.execute(sensor_of({"outcomes": "error"}, **{flag: True}))

    def test_invalid_rendered_arguments(self, worker_alone, sensor_of):
        sensor = sensor_of({})
        sensor.run = "no handle"
        with pytest.raises(ThousandEyesConfigurationError, match="run='no handle'"):
            worker_alone.execute(sensor)

    def test_the_error_of_the_last_poke_is_the_reason(self, simulator, worker_alone, sensor_of, connection):
        connection(retry_limit=1)
        sensor = sensor_of({"delays": 500})
        simulator.fail("results", status=500, times=None)
        with pytest.raises(ThousandEyesServerError):
            worker_alone.execute(sensor)

    def test_reschedule_mode_pokes_once(self, worker_alone, sensor_of, monkeypatch):
        sensor = sensor_of({"delays": 500}, mode="reschedule", timeout=60)
        context = worker_alone.context
        # Airflow 3 reads the first start of the sensor from the task instance, Airflow 2 from the database.
        context["ti"].task_id = sensor.task_id
        context["ti"].get_first_reschedule_date = lambda context: None
        source = f"{BaseSensorOperator.__module__}._orig_start_date"
        monkeypatch.setattr(source, lambda **which_try: None, raising=False)
        worker_alone.operator = sensor
        # Airflow 2 and 3 define the exception in different modules.
        with pytest.raises(Exception) as rescheduled:  # noqa: PT011
            sensor.execute(context)
        assert type(rescheduled.value).__name__ == "AirflowRescheduleException"

    def test_a_finished_round_is_not_deferred(self, triggerer, sensor_of):
        sensor = sensor_of({"delays": 0}, deferrable=True, timeout=5)
        triggerer.max_tries = 0
        assert triggerer.execute(sensor)["verdict"] == "passed"

    def test_an_incomplete_round_is_deferred_again(self, triggerer, sensor_of):
        sensor = sensor_of({"delays": 500}, deferrable=True, timeout=60)
        deferral_of(triggerer, sensor)
        with pytest.raises(TaskDeferred):
            sensor.resume_execution("execute_complete", {"event": {"state": "complete"}}, triggerer.context)

    def test_a_deferral_that_airflow_ended_is_judged_by_a_last_read(self, triggerer, sensor_of):
        sensor = sensor_of({"delays": 30}, deferrable=True, timeout=60)
        deferral_of(triggerer, sensor)
        time.sleep(1.2)
        evidence = sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, triggerer.context)
        assert evidence["verdict"] == "passed"


GOOD = {
    "verdict": "passed",
    "summary": "PASSED: 5 of 5 agents ok",
    "test_id": "1",
    "test_name": "Good",
    "failed_agents": [],
    "checks": [],
    "agents": {"missing": []},
}
BAD = {**GOOD, "verdict": "failed", "summary": "FAILED: Singapore", "test_id": "2", "test_name": "Bad"}


class TestSuites:
    def test_a_dry_run_only_selects(self):
        with DAG("dry", schedule=None) as dag:
            instant_test_suite("gate", test_ids=["1"], dry_run=True)
        assert dag.task_ids == ["gate.select"]

    @pytest.mark.parametrize("by", ["argument", "configuration"])
    def test_shadow_mode_reports_and_never_blocks(self, worker_alone, configure, log, by):
        configure(shadow=by == "configuration")
        operator = SuiteVerdictOperator(
            task_id="verdict", results=[GOOD, BAD], expected=2, shadow=True if by == "argument" else None
        )
        evidence = worker_alone.execute(operator)
        assert (evidence["verdict"], evidence["shadow"]) == ("failed", True)
        assert "Shadow mode, the task succeeds" in log()

    def test_tests_can_be_selected_by_id_only(self, simulator, worker_alone):
        test_id = simulator.add_test("http-server", scheduled=True)
        (run,) = worker_alone.execute(SelectTestsOperator(task_id="select", from_tests=[test_id]))
        assert run["from_test"] == test_id

    def test_a_report_of_all_tests(self, worker_alone, tmp_path):
        path = tmp_path / "gate.md"
        worker_alone.execute(
            SuiteVerdictOperator(task_id="verdict", results=[GOOD], expected=1, report_path=str(path))
        )
        assert "Good" in path.read_text()

    def test_selected_tests_are_expected(self, worker_alone):
        operator = SuiteVerdictOperator(task_id="verdict", results=[GOOD], expected=[{"test_id": "1"}])
        assert worker_alone.execute(operator)["expected_count"] == 1

    @pytest.mark.parametrize("version", [2, 3])
    def test_task_instances_are_expected_by_default(self, worker_alone, version):
        with DAG("suite", schedule=None):
            run = RunInstantTestOperator(task_id="run", test_id="1")
            operator = SuiteVerdictOperator(task_id="verdict", results=run.output)
        operator.results = [GOOD]
        context = worker_alone.context
        if version == 3:
            context["ti"].get_ti_count = lambda dag_id, task_ids, run_ids: len(task_ids)
        else:
            tasks = [SimpleNamespace(task_id=name) for name in ("run", "other")]
            context["dag_run"] = SimpleNamespace(get_task_instances=lambda: tasks)
        worker_alone.operator = operator
        assert operator.execute(context)["expected_count"] == 1

    def test_without_task_instances_the_results_are_complete(self, worker_alone):
        operator = SuiteVerdictOperator(task_id="verdict", results=[GOOD])
        assert worker_alone.execute(operator)["verdict"] == "passed"

    @pytest.mark.parametrize(
        ("known", "error"), [("Search", ThousandEyesConfigurationError), (None, ThousandEyesAuthError)]
    )
    def test_an_unreadable_selection(self, simulator, worker_alone, connection, known, error):
        connection(retry_limit=1)
        if known is None:
            simulator.fail("tests", status=403, times=None)
        with pytest.raises(error):
            worker_alone.execute(SelectTestsOperator(task_id="select", names=["Search"]))


class OutletEvents:
    """The events of a task's outlet. Not a dict, because assets of Airflow 3.0 and 3.1 are not hashable."""

    def __init__(self, outlet):
        self.uri = outlet.uri
        self.extra = {}

    def __getitem__(self, outlet):
        assert outlet.uri == self.uri
        return self


class TestTelemetry:
    def test_asset_events_carry_the_verdict(self, simulator, worker_alone):
        asset = Asset("thousandeyes://release")
        operator = RunInstantTestOperator(
            task_id="run", test_id=simulator.add_test("http-server"), outlets=[asset], **QUICK
        )
        events = OutletEvents(asset)
        context = {**worker_alone.context, "outlet_events": events}
        worker_alone.operator = operator
        evidence = operator.execute(context)
        assert events.extra == {
            name: evidence[name] for name in ("verdict", "summary", "test_id", "test_name")
        }

    def test_failed_asset_events_and_metrics_do_not_change_the_verdict(
        self, simulator, worker_alone, monkeypatch, log
    ):
        from airflow.providers.common.compat.sdk import Stats

        def refuse(*_, **__):
            raise RuntimeError("no metrics today")

        monkeypatch.setattr(Stats, "incr", refuse)
        operator = RunInstantTestOperator(
            task_id="run",
            test_id=simulator.add_test("http-server"),
            outlets=[Asset("thousandeyes://release")],
            **QUICK,
        )
        assert worker_alone.execute(operator)["verdict"] == "passed"
        text = log()
        assert "Metrics of the verdict not reported: no metrics today" in text
        assert "Asset events do not carry the verdict" in text

    def test_without_the_openlineage_provider_there_is_no_lineage(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "openlineage.client.facet_v2", None)
        operator = RunInstantTestOperator(task_id="run", test_id="1")
        assert operator.get_openlineage_facets_on_complete(None) is None

    def test_a_task_without_a_verdict_has_no_tests(self):
        pytest.importorskip("airflow.providers.openlineage")
        operator = RunInstantTestOperator(task_id="run", test_id="1")
        assert operator.get_openlineage_facets_on_failure(None).run_facets == {}


@pytest.mark.parametrize(("pushed", "url"), [("https://app.example", "https://app.example"), (None, "")])
def test_a_link_is_the_pushed_address(monkeypatch, pushed, url):
    key = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    read = []
    monkeypatch.setattr(links.XCom, "get_value", lambda **arguments: read.append(arguments) or pushed)
    assert links.ThousandEyesRoundLink().get_link(None, ti_key=key) == url
    assert read == [{"ti_key": key, "key": "thousandeyes_round_link"}]


def test_an_argument_without_a_repr_is_shown_by_its_type():
    with pytest.raises(ThousandEyesConfigurationError, match=r"timeout=\(int\): expected seconds"):
        RunInstantTestOperator(task_id="run", test_id="1", timeout=10**5000)


def test_expected_agents_in_a_file(simulator, worker_alone, tmp_path):
    (tmp_path / "agents.yaml").write_text("- Singapore\n- zurich-branch-2\n")
    with DAG("files", schedule=None, template_searchpath=str(tmp_path)):
        operator = RunInstantTestOperator(
            task_id="run",
            test_id=simulator.add_test("http-server"),
            expected_agents="agents.yaml",
            **QUICK,
        )
    assert worker_alone.execute(operator)["agents"]["expected_count"] == 2


def test_an_implied_type_is_verified_once(simulator, worker_alone):
    unknown = {"typed_lookup": "404", "before_first_data": "404"}
    test_id = simulator.add_test("voice", history=[], switches=unknown)
    checks = {"rtp-server": {"mos": {"min": {"geq_to": 1}}}}
    evidence = worker_alone.rerun(test_id, checks=checks, expected_agents=1)
    assert (evidence["test_type"], evidence["checks"][0]["passed"]) == ("voice", True)


def test_a_short_wait_for_the_next_minute_repeats_no_read(simulator, worker_alone):
    simulator.set_switches(clock_offset=57.5 - time.time() % 60)
    test_id = simulator.add_test("http-server", switches={"round_ids": "minute"}, history=[])
    simulator.run(test_id, delays=0)
    assert worker_alone.rerun(test_id, test_type="http-server", expected_agents=5)["verdict"] == "passed"
    operations = [request.operation for request in simulator.requests]
    assert operations[: operations.index("run") + 1] == ["results", "run"]
    before, ours = simulator.rounds(test_id)
    assert ours.round_id - before.round_id == 60


class TestWaitForTheNextMinute:
    """It does not count towards queue_timeout."""

    @pytest.fixture
    def test_id(self, simulator):
        simulator.set_switches(clock_offset=57.5 - time.time() % 60)
        test_id = simulator.add_test("http-server", switches={"round_ids": "minute"}, history=[])
        simulator.run(test_id, delays=0)
        return test_id

    def test_a_rate_limit_is_waited_out(self, simulator, worker_alone, test_id):
        simulator.throttle(1, 30, "run")
        known = {"test_type": "http-server", "expected_agents": 5}
        evidence = worker_alone.rerun(test_id, queue_timeout=3.2, **known)
        assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 2)
        assert evidence["paced_seconds"] > 2

    def test_a_turn_is_waited_for(self, simulator, triggerer, test_id):
        simulator.throttle(1, 200, "run")
        known = {"test_type": "http-server", "expected_agents": 5, "deferrable": True}
        began = time.time()
        operator = RunInstantTestOperator(task_id="run", test_id=test_id, queue_timeout=60, **known)
        deferral = deferral_of(triggerer, operator)
        assert deferral.trigger.serialize()[1]["give_up_at"] > began + 62


def test_a_test_of_an_earlier_try_is_used_when_its_name_is_refused(simulator, tries, monkeypatch):
    """The next try does not find the earlier try's test in the list of tests."""
    create, find = BlockingThousandEyesHook.create_instant_test, BlockingThousandEyesHook.find_created

    def create_and_lose_worker(*arguments, **more):
        create(*arguments, **more)
        raise LostWorkerError

    searches = []

    def find_second(hook, *arguments):
        searches.append(arguments)
        return None if len(searches) == 1 else find(hook, *arguments)

    definition = {"url": "https://a.example", "agents": [SINGAPORE], "testName": "Preview"}
    with monkeypatch.context() as patch:
        patch.setattr(BlockingThousandEyesHook, "create_instant_test", create_and_lose_worker)
        with pytest.raises(LostWorkerError):
            tries.create("http-server", definition=definition)
    monkeypatch.setattr(BlockingThousandEyesHook, "find_created", find_second)
    assert tries.create("http-server", definition=definition)["verdict"] == "passed"
    assert (len(searches), len(simulator.tests)) == (2, 1)


def test_the_error_does_not_repeat_an_unreadable_definition():
    with pytest.raises(ThousandEyesConfigurationError, match="definition: expected JSON or YAML") as error:
        CreateInstantTestOperator(
            task_id="preview", test_type="ftp-server", definition='{"password": "s3cret", ['
        )
    assert "s3cret" not in str(error.value)


def test_settings_that_are_not_copied_are_logged(simulator, worker_alone, log):
    test_id = simulator.add_test("http-server", switches={"extra_fields": True})
    assert worker_alone.create("http-server", from_test=test_id)["verdict"] == "passed"
    assert f"Test {test_id}: settings not taken over: " in log()


def test_settings_of_a_test_without_a_definition(simulator, worker_alone):
    test_id = simulator.add_test("http-server", switches={"typed_lookup": "404"})
    with pytest.raises(ThousandEyesConfigurationError, match="does not return the definition"):
        worker_alone.create("http-server", from_test=test_id)
