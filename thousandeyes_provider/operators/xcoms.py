"""The XComs of a task: evidence, index entry, links, and one internal entry for a deferred wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from thousandeyes_provider.operators.lazy import LazyModule
from thousandeyes_provider.operators.options import Json
from thousandeyes_provider.operators.run_store import XCOM_KEY, WaitRecord

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from thousandeyes_provider.links.thousandeyes import PushedLink
    from thousandeyes_provider.validation import summary
else:
    # Imported after the run call, which it would delay.
    summary = LazyModule("thousandeyes_provider.validation.summary")

VERDICT_KEY = "thousandeyes_verdict"
"""Key of the index entry: a few fields of the evidence, for pages that list many tasks."""

INDEX_FIELDS = ("verdict", "test_id", "test_name", "test_type", "summary", "finished_at")


class TaskXComs:
    """Push and pull the XComs of one task instance.

    :param task: the operator or sensor; its ``do_xcom_push=False`` leaves evidence and index entry out.
    """

    def __init__(self, task: BaseOperator, context: Context) -> None:
        self._instance = context["ti"]
        self.task_id = task.task_id
        self.map_index = cast("int", self._instance.map_index)
        """-1 when the task is not mapped."""
        self._pushes_evidence = task.do_xcom_push

    def push_index(self, evidence: Json) -> None:
        """Push the index entry."""
        if self._pushes_evidence:
            entry = {name: evidence.get(name) for name in INDEX_FIELDS} | {
                "test_name": summary.display_name(evidence)
            }
            self._instance.xcom_push(key=VERDICT_KEY, value=entry)

    def push_evidence(self, evidence: Json) -> None:
        """Push the evidence of a task that does not succeed under the key that Airflow uses for one that does."""
        if self._pushes_evidence:
            self._instance.xcom_push(key="return_value", value=evidence)

    def push_link(self, link: type[PushedLink], url: str | None) -> None:
        """Push an extra link, when there is one."""
        if url:
            self._instance.xcom_push(key=link.xcom_key, value=url)

    def push_wait(self, record: WaitRecord) -> None:
        """Store the state for the resumption of the task."""
        self._instance.xcom_push(key=XCOM_KEY, value=record.to_json())

    def pull_wait(self) -> WaitRecord:
        """Return the state that the task stored before it was deferred.

        :raises ThousandEyesError: when it is missing or damaged.
        """
        value = self._instance.xcom_pull(task_ids=self.task_id, key=XCOM_KEY, map_indexes=self.map_index)
        return WaitRecord.from_json(value)
