"""An Airflow with CeleryExecutor and redundant processes, on PostgreSQL and Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from harness.deployment import STARTING, Airflow
from harness.metadata import Instance
from harness.postgres import Postgres
from harness.redis_server import Redis

CONCURRENCY = 12
"""Concurrent tasks of a worker."""


class Cluster(Airflow):
    """Pairs of workers, schedulers and triggerers, an API server and a DAG processor. A supervisor restarts processes
    that exit.

    :param folder: folder for all files.
    :param dags: folder of the DAGs.
    """

    def __init__(self, folder: Path, dags: Path) -> None:
        self.database, self.redis = Postgres(folder / "postgres"), Redis(folder / "redis")
        key = Fernet.generate_key()
        self.fernet = Fernet(key)
        super().__init__(
            folder,
            self.database,
            dags=dags,
            settings={
                "CELERY__BROKER_URL": self.redis.url,
                "CELERY__OPERATION_TIMEOUT": 10,
                "CELERY__RESULT_BACKEND": f"db+{self.database.url}",
                "CELERY__SYNC_PARALLELISM": 1,
                "CELERY__WORKER_CONCURRENCY": CONCURRENCY,
                "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": 3600,
                "CORE__EXECUTOR": "CeleryExecutor",
                "CORE__FERNET_KEY": key.decode(),
                "CORE__MAX_ACTIVE_TASKS_PER_DAG": 64,
                "CORE__PARALLELISM": CONCURRENCY,  # per scheduler: at most the number of slots
                # Detect lost processes early.
                "SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": 5,
                "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 15,
                "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 20,
                "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 60,
                "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
                "SCHEDULER__TASK_QUEUED_TIMEOUT": 120,
                "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": 10,
                "TRIGGERER__JOB_HEARTBEAT_SEC": 2,
                "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 20,
            },
            supervised=True,
        )

    def start(self) -> None:
        """Start all processes and wait until they are ready."""
        self.database.start()
        self.redis.start()
        super().start()
        for number in (1, 2):
            self.airflow("scheduler", "--skip-serve-logs", name=f"scheduler-{number}")
            self.airflow("triggerer", "--skip-serve-logs", name=f"triggerer-{number}")
            self.worker(f"worker-{number}")
        self.eventually("all processes are ready", self._is_up, STARTING)

    def worker(self, name: str) -> None:
        """Start a Celery worker with that name."""
        self.airflow("celery", "worker", "--celery-hostname", name, "--skip-serve-logs", name=name)

    def _is_up(self) -> bool:
        logs = [(self.folder / f"worker-{number}.log").read_text(errors="replace") for number in (1, 2)]
        jobs = [len(self.metadata.jobs(job_type)) for job_type in ("SchedulerJob", "TriggererJob")]
        return jobs == [2, 2] and all(" ready." in log for log in logs)

    def running_in(self, worker: str, run_id: str) -> list[Instance]:
        """Return the task instances that run in processes of a worker."""
        processes = {process.pid for process in self.processes.family(worker)}
        return [
            instance
            for instance in self.metadata.instances(run_id)
            if instance.state == "running" and instance.pid in processes
        ]

    def decrypt(self, text: str) -> str:
        """Decrypt a value from the database; not all arguments of triggers are encrypted."""
        if text.startswith("{"):
            return text
        return self.fernet.decrypt(text.encode()).decode()

    def stop(self) -> None:
        """End all processes, in any state."""
        super().stop()
        self.redis.stop()
        self.database.stop()


@contextmanager
def repeatedly(act: Callable[[], None], seconds: float) -> Iterator[None]:
    """Repeat an action in a thread while the block runs; raise its error at the end."""
    over, errors = threading.Event(), list[Exception]()

    def loop() -> None:
        while not over.wait(seconds):
            try:
                act()
            except Exception as error:
                errors.append(error)
                return

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
    if errors:
        raise errors[0]
