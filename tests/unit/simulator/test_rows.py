from __future__ import annotations

import pytest

from thousandeyes_provider.api.result_types import RESULT_TYPES, row_error
from thousandeyes_provider.simulator.rows import Measured, measured_row, merged, with_numbers_as_text

HERE = Measured(7, "202703", "14410", 0, 1_800_000_000, "to-target")
SPELLINGS = ("None", "none", "null", "absent", "unknown")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("result_type", RESULT_TYPES)
def test_a_successful_row_is_no_error_in_any_spelling(result_type: str, spelling: str) -> None:
    row, *_ = measured_row(result_type, HERE, failed=False, spelling=spelling)
    assert row_error(result_type, row) is None


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("result_type", [name for name, known in RESULT_TYPES.items() if known.judged])
def test_a_failed_row_is_an_error_and_its_metric_is_absent(result_type: str, spelling: str) -> None:
    row, names, _ = measured_row(result_type, HERE, failed=True, spelling=spelling)
    assert row_error(result_type, row)
    headline = [
        metric for metric in RESULT_TYPES[result_type].metrics if metric not in ("loss", "completion")
    ]
    assert all(metric not in row for metric in headline if metric not in ("availability", "queries"))
    assert set(RESULT_TYPES[result_type].metrics) <= names


@pytest.mark.parametrize("result_type", RESULT_TYPES)
def test_every_metric_of_a_result_type_is_in_its_rows(result_type: str) -> None:
    row, *_ = measured_row(result_type, HERE, failed=False, spelling="None")
    assert set(RESULT_TYPES[result_type].metrics) <= set(row)


def test_values_depend_on_seed_test_agent_and_round() -> None:
    def response_time(**other: object) -> object:
        fields = {**HERE.__dict__, **other}
        return measured_row("http-server", Measured(**fields), failed=False, spelling="None")[0]["wireSize"]

    assert response_time() == response_time()
    others = [{"seed": 8}, {"test_id": "1"}, {"agent_id": "1"}, {"number": 1}]
    assert len({response_time(), *(response_time(**other) for other in others)}) == 5


def test_an_agent_stays_near_its_level_from_round_to_round() -> None:
    rows = [
        measured_row("network", Measured(7, "1", "2", number, 0, "to-target"), failed=False, spelling="None")[
            0
        ]
        for number in range(50)
    ]
    latencies = [row["avgLatency"] for row in rows]
    assert len(set(latencies)) > 40
    assert max(latencies) / min(latencies) < 1.2


def test_the_parts_of_a_response_time_add_up() -> None:
    row, *_ = measured_row("http-server", HERE, failed=False, spelling="None")
    assert row["responseTime"] == row["dnsTime"] + row["connectTime"] + row["sslTime"] + row["waitTime"]
    assert row["totalTime"] == row["responseTime"] + row["receiveTime"]


def test_changes_are_merged_and_none_removes_a_field() -> None:
    row = {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}
    assert merged(row, {"a": None, "b": {"c": 5}, "f": 6}) == {"b": {"c": 5, "d": 3}, "e": 4, "f": 6}
    assert row == {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}


def test_only_numbers_become_text() -> None:
    given = {"a": 1, "b": [2.5, True, None, "x"], "c": {"d": 0}}
    assert with_numbers_as_text(given) == {"a": "1", "b": ["2.5", True, None, "x"], "c": {"d": "0"}}
