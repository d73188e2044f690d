"""docs/headlines.md shows headline and failed agent of a failed run for each test type.

``THOUSANDEYES_UPDATE_DOCS=1 pytest tests/unit/operators/test_headlines.py -n0`` updates the table.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.exceptions import InstantTestFailed

PAGE = Path(__file__).parents[3] / "docs" / "headlines.md"
AGENTS = ["Frankfurt, Germany", "Ashburn, VA", "Singapore"]


def documented() -> dict[str, tuple[str, str]]:
    """Return the rows of the page: test type to headline and errors."""
    rows = re.findall(r"^\| ([\w-]+) \| `(.+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {test_type: (headline, errors) for test_type, headline, errors in rows}


@pytest.mark.parametrize("number", range(len(TEST_TYPES)))
def test_the_page_has_the_headline_of_a_failed_run(simulator, worker_alone, number):
    test_type = sorted(TEST_TYPES)[number]
    test_id = simulator.add_test(
        test_type, str(202701 + number), name="Demo", agents=AGENTS, outcomes={"Singapore": "error"}
    )
    with pytest.raises(InstantTestFailed) as failure:
        worker_alone.rerun(test_id, test_type=test_type)
    evidence = worker_alone.evidence
    (agent,) = evidence["failed_agents"]
    row = (evidence["summary"], "; ".join(agent["errors"]))
    assert str(failure.value).splitlines()[0] == evidence["summary"]
    # Airflow's log views cut a line at 80 characters: verdict, agent and reason come first.
    assert len(row[0].partition("; ")[0]) <= 80
    if os.environ.get("THOUSANDEYES_UPDATE_DOCS"):
        line = f"| {test_type} | `{row[0]}` | {row[1]} |"
        text = PAGE.read_text()
        PAGE.write_text(re.sub(rf"^\| {test_type} \|.*$", lambda _: line, text, flags=re.MULTILINE))
    assert documented()[test_type] == row
