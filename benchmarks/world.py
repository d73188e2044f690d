"""Shared parts of the measurements: a temporary Airflow home, a simulator in its own process, and result rows.

Import this module before Airflow, which reads the environment once.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "benchmark-token"
LIMIT, WINDOW, RUN_LIMIT = 240, 60.0, 24
"""Requests and runs of an organization per window, and the window in simulated seconds."""


def prepare() -> None:
    """Create a temporary Airflow home without database, examples and the user's configuration."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
        del os.environ[name]
    # Installed packages have compiled modules. Without them, a measurement would include the compilation.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    home = tempfile.mkdtemp(prefix="thousandeyes-bench-")
    owner = os.getpid()
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(home, ignore_errors=True))
    os.environ.update(
        AIRFLOW_HOME=home,
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=f"{home}/dags",
        AIRFLOW__LOGGING__LOGGING_LEVEL="CRITICAL",
        PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        PYTHONWARNINGS="ignore",
    )
    # HttpAsyncHook ignores the certificate of a connection, so the environment sets it for all clients.
    authority = make_certificate(Path(home))
    os.environ.update(SSL_CERT_FILE=authority, REQUESTS_CA_BUNDLE=authority, BENCH_HOME=home)


def make_certificate(folder: Path) -> str:
    """Write a self-signed certificate for the loopback address and its key. Return the path of the certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return str(path)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :param what: the measured quantity.
    :param ours: figure of the provider.
    :param other: figure and name of the alternative.
    :param target: the target.
    :param met: whether the target was met; ``None`` without a target.
    """

    what: str
    ours: str
    other: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def ratio(ours: float, other: float) -> str:
    """Format the provider's figure as a multiple of the alternative's."""
    return f"{ours / other:.2f} x" if other else "-"


def median(figures: Iterable[float]) -> float:
    """Return the median, which is robust against temporary load."""
    return statistics.median(figures)


class World:
    """A simulator in its own process, so that its work does not count as the client's.

    :param speed: divides simulated durations.
    :param tls: whether to serve TLS, as ThousandEyes does.
    :param switches: switches of the simulator.
    """

    def __init__(self, speed: float = 1.0, *, tls: bool = False, **switches: Any) -> None:
        # Runs in the same minute get different round ids, so that no benchmark waits for the next minute.
        self.speed, self.switches = speed, {"round_ids": "second", **switches}
        given = [
            f"--speed={speed}",
            "--port=0",
            "--no-default-tests",
            f"--token={TOKEN}",
            "--listed-in-tests",
        ]
        given += [f"--{name.replace('_', '-')}={value}" for name, value in self.switches.items()]
        program = [str(ROOT / "benchmarks" / "tls.py")] if tls else ["-m", "thousandeyes_provider.simulator"]
        command = [sys.executable, *program, *given]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the simulator did not start")
        if tls:
            self.url = self.url.replace("http:", "https:")
        import requests

        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = os.environ["SSL_CERT_FILE"]
        self.port = urlsplit(self.url).port or 0

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def control(self, path: str = "", method: str = "GET", **body: Any) -> Any:
        """Send a request to the simulator's control endpoint."""
        url = f"{self.url}/control{path}"
        response = self._session.request(method, url, json=body or None, timeout=60)
        response.raise_for_status()
        return response.json()

    def add_test(self, test_type: str = "http-server", **spec: Any) -> dict[str, Any]:
        """Add a test and return the simulator's description of it."""
        return dict(self.control("/tests", "POST", test_type=test_type, **spec))

    def start_round(self, test_id: str) -> None:
        """Run a test without a request to the API, and without using its quota."""
        self.control(f"/tests/{test_id}/run", "POST")

    def requests(self) -> list[dict[str, Any]]:
        """Return the log of requests to the API."""
        return list(self.control("/requests")["requests"])

    def forget(self) -> None:
        """Clear the log."""
        self.control("/requests", "DELETE")

    def connections(self, *whose: str) -> None:
        """Point Airflow's connections ``thousandeyes`` and ``http`` (both by default) at this simulator."""
        parts = urlsplit(self.url)
        fields = {"host": parts.hostname, "port": parts.port, "schema": parts.scheme}
        ours = {"conn_type": "thousandeyes", "password": TOKEN, **fields}
        theirs = {"conn_type": "http", **fields, "extra": json.dumps({"Authorization": f"Bearer {TOKEN}"})}
        for kind, connection in (("thousandeyes", ours), ("http", theirs)):
            if not whose or kind in whose:
                os.environ[f"AIRFLOW_CONN_{kind.upper()}_DEFAULT"] = json.dumps(connection)


@dataclass(frozen=True)
class Budget:
    """Use of the organization's request limit.

    :param refused: number of 429 responses.
    :param least_left: smallest remainder of the limit at the end of a window.
    :param windows: number of windows.
    """

    refused: int
    least_left: int
    windows: int


def budget(log: Sequence[dict[str, Any]], limit: int, window: float) -> Budget:
    """Count the requests of each window from the simulator's log. Windows end at multiples of their length.

    :param window: length of a window in real seconds.
    """
    used = Counter(
        math.floor(request["at"] / window) for request in log if request["status"] not in (401, 429)
    )
    refused = sum(request["status"] == 429 for request in log)
    return Budget(refused, limit - max(used.values(), default=0), len(used))


def scale_pace(speed: float) -> None:
    """Shorten the initial pace and the window of runs by the speed of the simulator.

    Both are constants that assume ThousandEyes' real minute. All other times follow from response headers.
    """
    from thousandeyes_provider.hooks import shared_account

    shared_account.DEFAULT_GAP = WINDOW / (LIMIT * 0.8) / speed
    shared_account.RUN_WINDOW = WINDOW / speed


def handle_of(test: dict[str, Any], accepted_at: float, timeout: float = 3600.0) -> dict[str, Any]:
    """Return the run handle of an http-server round that has just started, as an operator creates it."""
    from thousandeyes_provider.api.expected_agents import Agent, ExpectedAgents
    from thousandeyes_provider.api.run import Plan, RunHandle

    agents = [Agent(agent_id, name) for agent_id, name in zip(test["agent_ids"], test["agents"], strict=True)]
    plan = Plan(
        test_id=test["test_id"],
        test_type=test["test_type"],
        account_group_id=None,
        directions={"http-server": (None,)},
        rows_per_agent={"http-server": 1},
        expected=ExpectedAgents.of("test", agents),
        remembered={"http-server": None},
        test_name=test["name"],
    )
    return RunHandle(plan, accepted_at, accepted_at, accepted_at + timeout, 1).to_json()


def waiting_tests(world: World, count: int, first: float, last: float) -> list[tuple[dict[str, Any], float]]:
    """Add tests with three agents, of which the slowest reports after ``first`` to ``last`` simulated seconds.

    :return: each test with the real seconds from the start of a round to complete results. Identical in every run.
    """
    jitter, tests = random.Random(7), []
    ids = [agent["agent_id"] for agent in world.control()["agents"]][:3]
    for _ in range(count):
        slowest = jitter.uniform(first, last)
        delays = dict(zip(ids, (slowest, *(jitter.uniform(first, slowest) for _ in ids[1:])), strict=True))
        test = world.add_test(agents=ids, delays=delays, history=[])
        tests.append((test, slowest / world.speed))
    return tests


@contextmanager
def sampled(probe: Callable[[], float], every: float = 0.25) -> Iterator[list[float]]:
    """Collect the values of ``probe`` in a thread while the block runs."""
    import threading

    figures: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(every):
            figures.append(probe())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield figures
    finally:
        over.set()
        thread.join(10)


def connections_to(port: int) -> int:
    """Count the open TCP connections of this process to a port."""
    import psutil

    return sum(
        bool(connection.raddr) and connection.raddr.port == port and connection.status == "ESTABLISHED"
        for connection in psutil.Process().net_connections("tcp")
    )


def quiet() -> None:
    """Log errors only, so that console output does not distort the measurements."""
    logging.disable(logging.WARNING)
    try:
        import structlog

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    except ImportError:
        pass


def clock() -> float:
    """Return wall-clock seconds."""
    return time.perf_counter()
