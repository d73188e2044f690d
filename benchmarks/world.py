"""What the measurements share: a throw-away Airflow, a simulated ThousandEyes in a process of its own, and rows.

Import this before anything that imports Airflow, which reads the environment once.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
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
"""What an organization has, and the seconds of its window (simulated)."""


def prepare() -> None:
    """An Airflow home of its own, with no database, examples or configuration of the person who measures."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
        del os.environ[name]
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
    # HttpHook's asynchronous half takes no certificate of a connection; this way everybody trusts ours.
    authority = make_certificate(Path(home))
    os.environ.update(SSL_CERT_FILE=authority, REQUESTS_CA_BUNDLE=authority, BENCH_HOME=home)


def make_certificate(folder: Path) -> str:
    """A self-signed certificate for the loopback address, and its key beside it; the path of the certificate."""
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
    """One line of the table.

    :param what: what was measured.
    :param ours: the figure of this provider.
    :param other: the figure of what it is compared with, and what that is.
    :param target: what has to be seen.
    :param met: whether it was; ``None`` where there is no target.
    """

    what: str
    ours: str
    other: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def ratio(ours: float, other: float) -> str:
    """Ours as a multiple of the other's."""
    return f"{ours / other:.2f} x" if other else "-"


def median(figures: Iterable[float]) -> float:
    """The median, which one slow moment of the machine does not move."""
    return statistics.median(figures)


class World:
    """A simulated ThousandEyes in a process of its own, so that its work is not counted as the client's.

    :param speed: divides simulated durations.
    :param tls: whether it speaks TLS, as ThousandEyes does.
    :param switches: of the simulator, by name.
    """

    def __init__(self, speed: float = 1.0, *, tls: bool = False, **switches: Any) -> None:
        self.speed, self.switches = speed, switches
        given = [f"--speed={speed}", "--port=0", "--no-default-tests", f"--token={TOKEN}"]
        given += [f"--{name.replace('_', '-')}={value}" for name, value in switches.items()]
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
        """Ask the simulator's control endpoint."""
        url = f"{self.url}/control{path}"
        answer = self._session.request(method, url, json=body or None, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def add_test(self, test_type: str = "http-server", **spec: Any) -> dict[str, Any]:
        """Add a test; what the simulator says of it."""
        return dict(self.control("/tests", "POST", test_type=test_type, **spec))

    def start_round(self, test_id: str) -> None:
        """Run a test without the API: no request, no quota."""
        self.control(f"/tests/{test_id}/run", "POST")

    def requests(self) -> list[dict[str, Any]]:
        """The log of all requests to the API."""
        return list(self.control("/requests")["requests"])

    def forget(self) -> None:
        """Empty the log."""
        self.control("/requests", "DELETE")

    def connections(self, *whose: str) -> None:
        """Point Airflow's connections at this simulator: ``thousandeyes``, ``http``, or both by itself."""
        parts = urlsplit(self.url)
        fields = {"host": parts.hostname, "port": parts.port, "schema": parts.scheme}
        ours = {"conn_type": "thousandeyes", "password": TOKEN, **fields}
        theirs = {"conn_type": "http", **fields, "extra": json.dumps({"Authorization": f"Bearer {TOKEN}"})}
        for kind, connection in (("thousandeyes", ours), ("http", theirs)):
            if not whose or kind in whose:
                os.environ[f"AIRFLOW_CONN_{kind.upper()}_DEFAULT"] = json.dumps(connection)


@dataclass(frozen=True)
class Budget:
    """What became of the organization's budget.

    :param refused: how many requests were answered with 429.
    :param least_left: the least that was left of the limit when a window ended.
    :param windows: how many there were.
    """

    refused: int
    least_left: int
    windows: int


def budget(log: Sequence[dict[str, Any]], limit: int, window: float) -> Budget:
    """Recount the windows from the simulator's log, by its own rule: one opens with its first request.

    :param window: its length in real seconds.
    """
    used, ends, left = 0, 0.0, []
    for request in log:
        if request["status"] in (401, 429):
            continue
        if request["at"] >= ends:
            if used:
                left.append(limit - used)
            used, ends = 0, request["at"] + window
        used += 1
    left.append(limit - used)
    refused = sum(request["status"] == 429 for request in log)
    return Budget(refused, min(left), len(left))


def scale_pace(speed: float) -> None:
    """Make the pace that holds before the first answer, and the window of runs, as short as the simulator's are.

    They are constants of ThousandEyes' real minute; everything else follows from what the answers say.
    """
    from thousandeyes_provider.hooks import shared_account

    shared_account.USUAL_GAP = WINDOW / (LIMIT * 0.8) / speed
    shared_account.RUN_WINDOW = WINDOW / speed


def handle_of(test: dict[str, Any], accepted_at: float, timeout: float = 3600.0) -> dict[str, Any]:
    """The run handle of a round of an HTTP server test that was just started, as an operator would have made it."""
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
    """Tests of three agents whose slowest reports after ``first`` to ``last`` simulated seconds.

    :return: each test, and how many real seconds after the start of a round its results are there. The same in
        every run.
    """
    chance, found = random.Random(7), []
    ids = [agent["agent_id"] for agent in world.control()["agents"]][:3]
    for _ in range(count):
        slowest = chance.uniform(first, last)
        delays = dict(zip(ids, (slowest, *(chance.uniform(first, slowest) for _ in ids[1:])), strict=True))
        test = world.add_test(agents=ids, delays=delays, history=[])
        found.append((test, slowest / world.speed))
    return found


@contextmanager
def sampled(probe: Callable[[], float], every: float = 0.25) -> Iterator[list[float]]:
    """Collect what ``probe`` says, in a thread, while the block runs."""
    import threading

    figures: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            figures.append(probe())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield figures
    finally:
        over.set()
        thread.join(10)


def connections_to(port: int) -> int:
    """Open TCP connections of this process to a port."""
    import psutil

    found = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == port and one.status == "ESTABLISHED" for one in found)


def quiet() -> None:
    """Only errors are logged: a console is no part of what is measured."""
    logging.disable(logging.WARNING)
    try:
        import structlog

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    except ImportError:
        pass


def clock() -> float:
    """Wall-clock seconds."""
    return time.perf_counter()
