"""The example DAGs, each run in a real Airflow."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]


def test_the_first_one_reruns_a_test(simulator, run_dag):
    test_id = simulator.add_test("http-server")
    outcome = run_dag("thousandeyes_instant_test", test_id=test_id)
    assert outcome.states == {("rerun", -1): "success"}
    assert simulator.run_calls(test_id) == 1


@pytest.mark.parametrize(
    ("outcomes", "states"),
    [
        ("ok", {"deploy": "success", "validate": "success", "promote": "success", "roll_back": "skipped"}),
        (
            {"Singapore": "error"},
            {"deploy": "success", "validate": "failed", "promote": "upstream_failed", "roll_back": "success"},
        ),
    ],
)
def test_the_pipeline_promotes_a_good_deployment_and_rolls_back_a_bad_one(
    simulator, run_dag, outcomes, states
):
    test_id = simulator.add_test("http-server", outcomes=outcomes)
    outcome = run_dag("thousandeyes_deployment_pipeline", test_id=test_id, version="2.0")
    assert {task: state for (task, _), state in outcome.states.items()} == states
