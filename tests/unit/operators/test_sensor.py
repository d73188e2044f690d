"""InstantTestResultsSensor on a run that another task started."""

from __future__ import annotations

import json

import pytest

from airflow.providers.common.compat.sdk import AirflowSkipException
from thousandeyes_provider.exceptions import (
    InstantTestFailed,
    InstantTestIncomplete,
    InstantTestNoResults,
    ThousandEyesAuthError,
    ThousandEyesConfigurationError,
)
from thousandeyes_provider.sensors.instant_test import InstantTestResultsSensor

ZURICH = "zurich-branch-2"


@pytest.fixture
def sense(worker):
    """A function that starts a run and waits for it with the sensor."""

    def sense_run(test_id, **arguments):
        handle = worker.rerun(test_id, wait_for_results=False, deferrable=False)
        quick = {"poke_interval": 0.2, "timeout": 2, "deferrable": worker.deferrable}
        return worker.execute(InstantTestResultsSensor(task_id="sense", run=handle, **{**quick, **arguments}))

    return sense_run


def test_a_good_round_passes_with_the_evidence(simulator, sense, worker):
    test_id = simulator.add_test("http-server")
    evidence = sense(test_id)
    assert (evidence["verdict"], evidence["run_calls"]) == ("passed", 1)
    assert worker.pushed["thousandeyes_round_link"] == evidence["links"]["round"]
    assert simulator.run_calls(test_id) == 1


def test_a_bad_round_fails_with_the_evidence(simulator, sense, worker):
    with pytest.raises(InstantTestFailed):
        sense(simulator.add_test("http-server", outcomes="error"))
    assert worker.evidence["verdict"] == "failed"


def test_missing_agents_are_named_at_the_timeout(simulator, sense, worker):
    with pytest.raises(InstantTestIncomplete, match=ZURICH):
        sense(simulator.add_test("http-server", silent=[ZURICH], delays=1), timeout=2.5)
    assert worker.evidence["verdict"] == "incomplete"


def test_a_timeout_without_a_round_is_no_results(simulator, sense):
    with pytest.raises(InstantTestNoResults):
        sense(simulator.add_test("http-server", delays=200), timeout=1)


@pytest.mark.parametrize(
    ("behavior", "verdict"),
    [({"outcomes": "error"}, "failed"), ({"silent": [ZURICH], "delays": 1}, "incomplete")],
)
def test_soft_fail_skips_with_the_evidence(simulator, sense, worker, behavior, verdict):
    with pytest.raises(AirflowSkipException):
        sense(simulator.add_test("http-server", **behavior), timeout=3, soft_fail=True)
    assert worker.evidence["verdict"] == verdict


def test_a_skipped_failed_verdict_stays_failed(simulator, sense, worker):
    with pytest.raises(AirflowSkipException):
        sense(simulator.add_test("http-server", outcomes="error"), on_failed="skip")
    assert worker.evidence["verdict"] == "failed"


def test_an_error_while_it_waits_leaves_evidence(simulator, sense, worker):
    test_id = simulator.add_test("http-server")
    simulator.fail("results", status=403, skip=1, times=None)
    with pytest.raises(ThousandEyesAuthError):
        sense(test_id)
    assert worker.evidence["verdict"] == "error"


@pytest.mark.parametrize("offset", [-30, 30])
def test_the_timeout_does_not_depend_on_thousandeyes_clock(simulator, sense, offset):
    simulator.set_switches(clock_offset=offset)
    assert sense(simulator.add_test("http-server", delays=10), timeout=15)["verdict"] == "passed"


@pytest.mark.parametrize("spell", [json.dumps, repr])
def test_the_handle_may_be_rendered_text(simulator, worker, spell):
    handle = worker.rerun(simulator.add_test("http-server"), wait_for_results=False, deferrable=False)
    sensor = InstantTestResultsSensor(
        task_id="sense", run="{{ handle }}", poke_interval=0.2, timeout=3, deferrable=worker.deferrable
    )
    sensor.run = spell(handle)
    assert worker.execute(sensor)["verdict"] == "passed"


def test_min_agents_and_grace(simulator, sense):
    evidence = sense(simulator.add_test("http-server", silent=[ZURICH], delays=1), min_agents=4, grace=0.5)
    assert evidence["verdict"] == "passed"


def test_reschedule_is_refused_without_expected_agents(simulator, sense):
    simulator.set_switches(typed_lookup="404")
    test_id = simulator.add_test("http-server", history=[], switches={})
    with pytest.raises(ThousandEyesConfigurationError, match="needs the expected agents"):
        sense(test_id, mode="reschedule")


def test_reschedule_is_refused_with_a_grace_time(simulator, sense):
    with pytest.raises(ThousandEyesConfigurationError, match="needs grace=0"):
        sense(simulator.add_test("http-server"), mode="reschedule", min_agents=4)


@pytest.mark.parametrize("run", [None, "", "no handle", {}, {"test_id": "1"}, [1]])
def test_an_invalid_handle_is_refused_when_the_dag_is_parsed(run):
    with pytest.raises(ThousandEyesConfigurationError, match="run="):
        InstantTestResultsSensor(task_id="sense", run=run)


def test_a_template_is_left_unchanged():
    assert InstantTestResultsSensor(task_id="sense", run="{{ ti.xcom_pull('start') }}").run
