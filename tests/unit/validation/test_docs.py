"""docs/checks.md: examples run, and tables match the code."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from thousandeyes_provider.api.metrics import METRICS
from thousandeyes_provider.validation.check_model import AGGREGATES, COMPARISONS, OPTIONS
from thousandeyes_provider.validation.check_parser import parse_checks
from thousandeyes_provider.validation.reports import FORMATS

DOCS = Path(__file__).parents[3] / "docs" / "checks.md"
TEXT = DOCS.read_text()


def section(title):
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(title):
    """Return the names in the first column of a section's table."""
    rows = re.findall(r"^\| (.+?) \|", section(title), re.MULTILINE)[1:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_examples_run():
    results = doctest.testfile(str(DOCS), module_relative=False, encoding="utf-8")
    assert results.attempted > 20
    assert results.failed == 0


def test_the_first_example_is_a_valid_declaration():
    names: dict[str, object] = {}
    exec(TEXT.split("```python\n")[1].split("```")[0], names)
    checks = parse_checks(names["checks"])
    assert len(checks.checks) == 9


@pytest.mark.parametrize(
    ("title", "names"), [("Aggregates", AGGREGATES), ("Comparisons", COMPARISONS), ("Options", OPTIONS)]
)
def test_tables_are_complete(title, names):
    assert sorted(first_cells(title)) == sorted(names)


def test_the_list_of_metrics_is_complete():
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", section("Metrics"), re.MULTILINE)
    listed = {result_type: set(re.findall(r"`([^`]+)`", cells)) for result_type, cells in rows}
    common = set(re.findall(r"`([^`]+)`", section("Metrics").split("also has")[1].split(".\n")[0]))
    assert {name: metrics | common for name, metrics in listed.items()} == {
        name: set(table) for name, table in METRICS.items()
    }


def test_metrics_are_listed_by_unit():
    for result_type, cells in re.findall(r"^\| `([\w-]+)` \| (.*?) \|", section("Metrics"), re.MULTILINE):
        for group in cells.split("; "):
            label, _, names = group.partition(": ")
            for name in re.findall(r"`([^`]+)`", names):
                metric = METRICS[result_type][name]
                assert label == ((metric.unit or "number") if metric.kind == "number" else metric.kind)


def test_report_formats_are_named():
    assert all(f"`{ending}`" in TEXT for ending in FORMATS)
