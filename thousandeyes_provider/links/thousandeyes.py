"""Links from a task to its test, its round and its snapshot in ThousandEyes.

The task pushes each link as an XCom as soon as it is known, so they work while the task runs and after it failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class PushedLink(BaseOperatorLink):
    """A link that the task pushed as the XCom ``xcom_key``."""

    xcom_key: str = ""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL; empty while it is unknown."""
        url: Any = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        return url if isinstance(url, str) else ""


class ThousandEyesTestLink(PushedLink):
    """The test, without a round."""

    name = "ThousandEyes test"
    xcom_key = "thousandeyes_test_link"


class ThousandEyesRoundLink(PushedLink):
    """The round of this run, at the worst agent."""

    name = "ThousandEyes round"
    xcom_key = "thousandeyes_round_link"


class ThousandEyesSnapshotLink(PushedLink):
    """The snapshot of a bad round (``snapshot_on_failure``)."""

    name = "ThousandEyes snapshot"
    xcom_key = "thousandeyes_snapshot_link"


def test_url(row_url: str | None) -> str | None:
    """Return the link to a test from the link of one of its rows: without round and agent.

    :param row_url: the link of a row; ``None`` or empty without a link.
    """
    if not row_url:
        return None
    parts = urlsplit(row_url)
    query = [
        pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in _ROW_PARAMETERS
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))


_ROW_PARAMETERS = ("roundId", "agentId")
