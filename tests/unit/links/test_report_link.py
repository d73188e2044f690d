"""The link to the report page works below any base path of Airflow."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from thousandeyes_provider.links.report import ThousandEyesReportLink, report_links


def link(**changes: object) -> str:
    key = {
        "dag_id": "release",
        "run_id": "manual__2026-11-25T18:00:00+00:00",
        "task_id": "verify",
        "map_index": -1,
    }
    return ThousandEyesReportLink().get_link(None, ti_key=SimpleNamespace(**key | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("base", ["http://airflow/", "https://host/team/airflow/"])
def test_the_address_stays_below_the_base_path(base: str) -> None:
    assert urljoin(base, link()).startswith(f"{base}plugin/thousandeyes?")


def test_ids_are_encoded() -> None:
    address = link(task_id="group.verify & <b>", map_index=3)
    assert parse_qs(urlsplit(address).query) == {
        "dag_id": ["release"],
        "run_id": ["manual__2026-11-25T18:00:00+00:00"],
        "task_id": ["group.verify & <b>"],
        "map_index": ["3"],
    }


def test_an_unmapped_task_has_no_map_index() -> None:
    assert "map_index" not in link()


def test_airflow_has_the_page_from_3_1_on() -> None:
    assert [len(report_links(version)) for version in ("2.11.2", "3.0.6", "3.1.0", "3.3.2")] == [0, 0, 1, 1]
