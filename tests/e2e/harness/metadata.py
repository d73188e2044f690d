"""Runs, tasks, triggers and XComs in Airflow's metadata database."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from harness.postgres import Postgres

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass(frozen=True)
class Instance:
    """A task instance in the database."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    pid: int | None
    trigger: str | None
    triggerer: int | None
    trigger_id: int | None


class Metadata:
    """Reads the database, and reconnects after a restart of the server.

    :param database: the server.
    """

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._connection: Any = None

    @property
    def connection(self) -> Any:
        """Return a connection that commits each statement."""
        if self._connection is None or self._connection.closed:
            self._connection = self._database.connect()
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        import psycopg2

        for last in (False, True):
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(statement, values)
                    rows: list[tuple[Any, ...]] = cursor.fetchall()
                return rows
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                if last:
                    raise
                self.close()
        raise AssertionError("unreachable")

    def dags(self) -> set[str]:
        """Return the ids of all serialized DAGs."""
        return {dag_id for (dag_id,) in self.query("SELECT dag_id FROM serialized_dag")}

    def jobs(self, job_type: str) -> set[int]:
        """Return the ids of all jobs of a type, including ended ones."""
        return {job_id for (job_id,) in self.query("SELECT id FROM job WHERE job_type = %s", job_type)}

    def state(self, run_id: str) -> str:
        """Return the state of a DAG run."""
        ((state,),) = self.query("SELECT state FROM dag_run WHERE run_id = %s", run_id)
        return str(state)

    def newest_run(self) -> str | None:
        """Return the id of the newest DAG run."""
        rows = self.query("SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1")
        return rows[0][0] if rows else None

    def instances(self, run_id: str, like: str = "%") -> list[Instance]:
        """Return the task instances of a run whose ids match a LIKE pattern."""
        rows = self.query(
            "SELECT i.task_id, i.map_index, i.state, i.try_number, i.pid, t.classpath, t.triggerer_id, t.id"
            " FROM task_instance i LEFT JOIN trigger t ON t.id = i.trigger_id"
            " WHERE i.run_id = %s AND i.task_id LIKE %s ORDER BY i.task_id, i.map_index",
            run_id,
            like,
        )
        return [Instance(*row) for row in rows]

    def states(self, run_id: str) -> Counter[str | None]:
        """Count the task instances by state."""
        return Counter(instance.state for instance in self.instances(run_id))

    def stuck(self, run_id: str) -> list[Instance]:
        """Return the task instances of a run that have not ended."""
        return [instance for instance in self.instances(run_id) if instance.state not in ENDED]

    def waiting(self, run_id: str, like: str = "%") -> list[Instance]:
        """Return the task instances that wait for results in a triggerer."""
        return [
            instance
            for instance in self.instances(run_id, like)
            if instance.state == "deferred" and (instance.trigger or "").endswith("InstantTestResultsTrigger")
        ]

    def triggerers_of(self, run_id: str) -> set[int | None]:
        """Return the job ids of the triggerers of waiting task instances."""
        return {instance.triggerer for instance in self.waiting(run_id)}

    def triggers(self) -> int:
        """Count the triggers."""
        ((count,),) = self.query("SELECT count(*) FROM trigger")
        return int(count)

    def judged(self, run_id: str) -> int:
        """Count the mapped tasks that returned evidence."""
        ((count,),) = self.query(
            "SELECT count(*) FROM xcom WHERE run_id = %s AND key = 'return_value' AND map_index >= 0", run_id
        )
        return int(count)

    def evidence(self, run_id: str) -> list[dict[str, Any]]:
        """Return the evidence of the instant tests of a run."""
        rows = self.query(
            "SELECT value FROM xcom WHERE run_id = %s AND key = 'return_value' ORDER BY task_id, map_index",
            run_id,
        )
        values = [json.loads(value) if isinstance(value, str) else value for (value,) in rows]
        return [value for value in values if isinstance(value, dict) and "tests" not in value]

    def suite_evidence(self, run_id: str) -> dict[str, Any]:
        """Return the evidence of the suite of a run."""
        ((value,),) = self.query(
            "SELECT value FROM xcom WHERE run_id = %s AND key = 'return_value' AND task_id = 'verdict'",
            run_id,
        )
        evidence: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return evidence

    def verdicts(self, run_id: str) -> dict[str, str]:
        """Return the verdict of each test."""
        evidence = self.evidence(run_id)
        assert len({run["test_id"] for run in evidence}) == len(evidence)
        return {run["test_id"]: run["verdict"] for run in evidence}
