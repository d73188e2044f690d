"""The link from a task to its report page in Airflow's web interface."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

REPORT_PAGE = "plugin/thousandeyes"
"""Where :mod:`thousandeyes_provider.ui.plugin` shows its pages, below Airflow's address."""


class ThousandEyesReportLink(BaseOperatorLink):
    """The report page of the task. It reads the evidence with the permissions of the person who opens it.

    The address is known before the task runs, so the link works for running, deferred and failed tasks.
    """

    name = "Report"
    xcom_key = "thousandeyes_report_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of the page, relative to Airflow's own: it works behind a proxy and with a base path."""
        query = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id, "task_id": ti_key.task_id}
        if ti_key.map_index >= 0:
            query["map_index"] = str(ti_key.map_index)
        return f"{REPORT_PAGE}?{urlencode(query)}"


def report_links(version: str = airflow_version) -> tuple[ThousandEyesReportLink, ...]:
    """The link, for an Airflow that has report pages (3.1 and later); nothing for an older one.

    A worker does not know the packages of the API server. If the pages are missing there, Airflow shows its page for
    unknown addresses.
    """
    major, minor = version.split(".")[:2]
    return (ThousandEyesReportLink(),) if (int(major), int(minor)) >= (3, 1) else ()
