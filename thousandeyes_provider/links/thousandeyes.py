"""Links from a task to what ThousandEyes shows of its test and its round.

The operator pushes each as an XCom as soon as it is known, so that they work while the task runs, and when it failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class PushedLink(BaseOperatorLink):
    """A link that was pushed as the XCom ``xcom_key``."""

    xcom_key: str = ""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; empty as long as it is not known.

        :param operator: the task's operator.
        :param ti_key: the task instance.
        """
        found: Any = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        return found if isinstance(found, str) else ""


class ThousandEyesTestLink(PushedLink):
    """The test, in ThousandEyes' web application."""

    name = "ThousandEyes test"
    xcom_key = "thousandeyes_test_link"


class ThousandEyesRoundLink(PushedLink):
    """The round that the task's run produced, in ThousandEyes' web application."""

    name = "ThousandEyes round"
    xcom_key = "thousandeyes_round_link"


class ThousandEyesSnapshotLink(PushedLink):
    """The snapshot of a bad round (``snapshot_on_failure``)."""

    name = "ThousandEyes snapshot"
    xcom_key = "thousandeyes_snapshot_link"
