"""Telemetry of verdicts in a real DAG run: metrics, asset events and OpenLineage events."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
pytest.importorskip("airflow.providers.openlineage")
pytest.importorskip("airflow.models.asset", reason="Airflow 3")

DAG_RUN = """
import json
import sys

from sqlalchemy import select

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session

dag_run = DagBag(sys.argv[1]).dags["suite_with_telemetry"].test(run_conf=json.loads(sys.argv[2]))
with create_session() as session:
    events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == dag_run.run_id)).all()
    print("EXTRAS", json.dumps([event.extra for event in events]))
"""
"""Script that runs the DAG in its own process, because Airflow reads these settings once."""


class StatsD(threading.Thread):
    """A StatsD server that collects Airflow's metrics."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.lines: list[str] = []

    def run(self) -> None:
        while data := self._socket.recv(65535):
            self.lines += data.decode().splitlines()

    def stop(self) -> None:
        """Collect pending metrics and stop."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))
        self.join(timeout=10)
        self._socket.close()


@pytest.fixture
def captured(airflow, simulator, tmp_path):
    """Metrics, extras of asset events, and OpenLineage events of a suite with a good and a bad test."""
    good = simulator.add_test("http-server", name="Good")
    bad = simulator.add_test("http-server", name="Bad", outcomes={"Singapore": "error"})
    dags = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    file = shutil.copy(Path(__file__).parent / "dags" / "telemetry.py", dags)
    statsd = StatsD()
    statsd.start()
    events = tmp_path / "events.json"
    environment = {
        "AIRFLOW_CONN_THOUSANDEYES_DEFAULT": json.dumps(simulator.connection(timeout=3)),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(events), "append": True}
        ),
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
        "NO_PROXY": "127.0.0.1",
    }
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            DAG_RUN,
            str(dags),
            json.dumps({"test_ids": [good, bad]}),
        ],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    statsd.stop()
    os.unlink(file)
    assert finished.returncode == 0, finished.stderr
    (extras,) = [line for line in finished.stdout.splitlines() if line.startswith("EXTRAS ")]
    lineage = [json.loads(line) for line in events.read_text().splitlines()]
    return statsd.lines, json.loads(extras.removeprefix("EXTRAS ")), lineage


def test_a_suite_reports_metrics_asset_events_and_lineage(captured):
    metrics, extras, lineage = captured
    counted = Counter(line.partition(":")[0] for line in metrics if line.startswith("airflow.thousandeyes."))
    assert counted == {
        "airflow.thousandeyes.verdict.passed": 1,
        "airflow.thousandeyes.verdict.failed": 2,  # the bad test and the suite
        "airflow.thousandeyes.time_to_verdict": 3,
        "airflow.thousandeyes.throttled_time": 2,
        "airflow.thousandeyes.run_calls": 2,
    }

    # Both tasks succeed. Only the extra distinguishes the verdicts.
    assert {extra["test_name"]: extra["verdict"] for extra in extras} == {"Good": "passed", "Bad": "failed"}

    facets = {
        (event["job"]["name"].rpartition(".")[2], event["eventType"], test["status"])
        for event in lineage
        for test in event["run"]["facets"].get("test", {}).get("tests", ())
    }
    assert facets == {
        ("run", "COMPLETE", "pass"),
        ("run", "COMPLETE", "fail"),
        ("verdict", "FAIL", "pass"),
        ("verdict", "FAIL", "fail"),
    }
