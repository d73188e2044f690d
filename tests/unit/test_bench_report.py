"""The comparison of a short benchmark run with the committed results."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program behind ``make bench``."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import run

    return run


def results(bench: ModuleType, *rows: tuple[str, str, str, str]) -> str:
    return f"## Calls\n\n{bench.table([bench.Row(*row) for row in rows])}\n"


@pytest.mark.parametrize(("ratio", "is_worse"), [("0.50 x", False), ("1.24 x", False), ("1.27 x", True)])
def test_ratio_that_grew_by_more_than_a_quarter_is_reported(
    bench: ModuleType, ratio: str, is_worse: bool
) -> None:
    before = bench.ratios_in(results(bench, ("a call (ms)", "3.0", "3.0 plain requests", "1.00 x")))
    row = bench.Row("a call (ms)", "3.9", "3.1 plain requests", ratio)
    lines = bench.worse_rows("Calls", [row], before)
    expected = [f"Calls: a call (ms): {ratio} of 3.1 plain requests; RESULTS.md: 1.00 x"]
    assert lines == (expected if is_worse else [])


def test_rows_are_compared_with_the_same_alternative_only(bench: ModuleType) -> None:
    before = bench.ratios_in(
        results(
            bench,
            ("start (ms)", "250", "260 HttpOperator", "0.96 x"),
            ("start (ms)", "250", "180 @task", "1.39 x"),
            ("429", "0", "0 datadog-ci", ""),
        )
    )
    assert before == {
        ("Calls", "start (ms)", "HttpOperator"): 0.96,
        ("Calls", "start (ms)", "@task"): 1.39,
    }
    rows = [
        bench.Row("start (ms)", "300", "200 @task", "1.50 x"),
        bench.Row("start (ms)", "9", "1 SDK", "9.00 x"),
    ]
    assert bench.worse_rows("Calls", rows, before) == []


def test_committed_results_have_a_ratio_for_each_short_measurement(bench: ModuleType) -> None:
    """The weekly run compares with these ratios."""
    headings = {heading for heading, _, _ in bench.ratios_in(bench.RESULTS.read_text())}
    assert {bench.MEASUREMENTS[name][2] for name in bench.QUICK} <= headings
