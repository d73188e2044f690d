"""The tables of result types and metrics match the API description and the SDK's models."""

from __future__ import annotations

from typing import Any

import pytest

from thousandeyes_provider.api.metrics import METRICS
from thousandeyes_provider.api.result_types import RESULT_TYPES, TEST_TYPES

pytestmark = pytest.mark.xdist_group("description")

NO_METRIC = {"packetsBySecond", "dnsServerMeasurement"}
"""Fields that are not metrics: packets by second, and the DNS responses that an agent received."""

NEWER = {"errorDetails", "dnsServerMeasurement"}
"""Fields of rows in newer descriptions only."""

OURS = {"availability", "error", "certificateDaysLeft", "certificateValid"}
"""Metrics that are derived from other fields."""


def first_parts(names: Any) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("result_type", RESULT_TYPES)
def test_metrics_and_fields_of_rows_match(description: Any, result_type: str) -> None:
    rows = description.row_fields(result_type)
    assert rows - NO_METRIC - {"_links"} <= first_parts(METRICS[result_type])
    assert first_parts(METRICS[result_type]) - OURS - NEWER <= rows
    # The fields that distinguish an agent's rows are fields of the row.
    assert set(RESULT_TYPES[result_type].row_keys) <= rows
    assert first_parts(RESULT_TYPES[result_type].metrics) <= rows


def test_every_type_exists_in_the_api(description: Any) -> None:
    paths = {path for _, path in description.operations}
    created = {
        path.split("/")[2] for path in paths if path.startswith("/tests/") and path.endswith("/instant")
    }
    assert created == set(TEST_TYPES)
    read = {path.split("/")[3] for path in paths if path.startswith("/test-results/{testId}/")}
    assert read == set(RESULT_TYPES)
