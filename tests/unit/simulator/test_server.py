"""Behavior of the simulator that requires a socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

import pytest
import requests

from thousandeyes_provider.simulator import Simulator

HTTP = "202703"
TOKEN = {"Authorization": "Bearer secret-token"}


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(speed=50) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Simulator) -> Iterator[Simulator]:
    yield running
    running.reset()


def get(simulator: Simulator, path: str) -> requests.Response:
    return requests.get(f"{simulator.url}{path}", headers=TOKEN, timeout=5, allow_redirects=False)


def run(simulator: Simulator, test_id: str = HTTP) -> requests.Response:
    return requests.post(f"{simulator.url}/v7/tests/{test_id}/run", headers=TOKEN, timeout=5)


def wait_for(true: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.01)


@pytest.mark.parametrize("prefix", ["", "/v7"])
def test_paths_work_with_and_without_the_version(simulator: Simulator, prefix: str) -> None:
    response = get(simulator, f"{prefix}/tests")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/hal+json"
    assert response.json()["_links"]["self"]["href"] == f"{simulator.url}{prefix}/tests"


def test_a_run_is_an_empty_200_with_a_length_and_both_families_of_headers(simulator: Simulator) -> None:
    response = run(simulator)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == "0"
    assert response.headers["X-Organization-Rate-Limit-Remaining"] == "239"
    assert response.headers["X-Instant-Test-Rate-Limit-Remaining"] == "23"


def test_a_run_lands_agent_by_agent(simulator: Simulator) -> None:
    test_id = simulator.add_test("http-server", agents=2, delays={"Frankfurt, Germany": 1, "Ashburn, VA": 20})
    run(simulator, test_id)
    newest = simulator.rounds(test_id)[-1].round_id

    def rows() -> list[int]:
        results = get(simulator, f"/test-results/{test_id}/http-server").json()["results"]
        return [row["roundId"] for row in results]

    wait_for(lambda: rows() == [newest])
    wait_for(lambda: rows() == [newest, newest])


@pytest.mark.parametrize("offset", [0.0, -7200.0, 86400.0])
def test_the_date_header_uses_the_simulators_clock(simulator: Simulator, offset: float) -> None:
    simulator.set_switches(clock_offset=offset)
    responses = [get(simulator, "/tests"), get(simulator, "/nothing"), run(simulator)]
    for response in responses:
        date = parsedate_to_datetime(response.headers["Date"]).timestamp()
        assert date - (time.time() + offset) == pytest.approx(0, abs=3)
        reset = int(response.headers["X-Organization-Rate-Limit-Reset"])
        assert 0 <= reset - date <= 3


def test_an_exhausted_window_ends_at_its_reset(simulator: Simulator) -> None:
    simulator.set_switches(instant_limit=1, quota_windows="first-request")
    assert run(simulator).status_code == 200
    refused = run(simulator)
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    reset = int(refused.headers["X-Instant-Test-Rate-Limit-Reset"])
    assert 0 < reset - time.time() <= 2.2
    time.sleep(max(reset - time.time(), 0) + 0.01)
    assert run(simulator).status_code == 200


def test_an_encoded_slash_does_not_split_the_path(simulator: Simulator) -> None:
    response = requests.post(f"{simulator.url}/v7/tests/{HTTP}%2Frun/run", headers=TOKEN, timeout=5)
    assert response.status_code == 404
    assert simulator.requests[-1].test_id == f"{HTTP}/run"
    assert (
        requests.post(f"{simulator.url}/v7/tests/{HTTP}%2Frun", headers=TOKEN, timeout=5).status_code == 404
    )
    assert len(simulator.rounds(HTTP)) == 1


def test_expand_can_be_repeated(simulator: Simulator) -> None:
    response = get(simulator, f"/test-results/{HTTP}/http-server?expand=header&expand=certificate")
    assert {"headers", "sslCertificates"} <= set(response.json()["results"][0])


@pytest.mark.parametrize("started", [True, False])
def test_a_connection_can_be_cut(simulator: Simulator, started: bool) -> None:
    simulator.fail("run", "cut", started=started)
    with pytest.raises(requests.ConnectionError):
        run(simulator)
    assert len(simulator.rounds(HTTP)) == 1 + started
    assert simulator.requests[-1].status is None


@pytest.mark.parametrize("operation", ["agents", "run"])
def test_a_body_can_be_cut_short(simulator: Simulator, operation: str) -> None:
    simulator.fail(operation, "cut-body")
    method, path = ("POST", f"/tests/{HTTP}/run") if operation == "run" else ("GET", "/agents")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.request(method, f"{simulator.url}{path}", headers=TOKEN, timeout=5)


def test_the_first_byte_can_be_slow(simulator: Simulator) -> None:
    simulator.fail("run", "slow-first-byte", seconds=0.5)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{simulator.url}/tests/{HTTP}/run", headers=TOKEN, timeout=0.1)
    assert len(simulator.rounds(HTTP)) == 2


def test_a_body_can_be_slow(simulator: Simulator) -> None:
    simulator.fail("results", "slow-body", seconds=1.2)
    before = time.monotonic()
    response = requests.get(
        f"{simulator.url}/test-results/{HTTP}/http-server", headers=TOKEN, timeout=1, stream=True
    )
    assert time.monotonic() - before < 1, (
        "the headers arrive at once, and every pause is shorter than the timeout"
    )
    assert len(response.json()["results"]) == 5
    assert time.monotonic() - before >= 1.2


@pytest.mark.parametrize(
    ("kind", "spec", "status", "body"),
    [
        ("html", {}, 502, b"<html>"),
        ("html", {"status": 200}, 200, b"<html>"),
        ("empty", {}, 200, b""),
        ("not-json", {}, 200, b'{"results": ['),
        ("status", {"status": 504, "body": ""}, 504, b""),
        ("status", {"status": 302, "headers": {"Location": "http://elsewhere.invalid/"}}, 302, b""),
    ],
)
def test_a_response_can_be_replaced(
    simulator: Simulator, kind: str, spec: dict[str, object], status: int, body: bytes
) -> None:
    simulator.fail("tests", kind, **spec)
    response = get(simulator, "/tests")
    assert response.status_code == status
    assert response.content.startswith(body)
    assert bool(response.content) == bool(body)
    assert get(simulator, "/tests").json()["tests"] == []


def test_the_foreign_next_link_reaches_the_simulator(simulator: Simulator) -> None:
    simulator.set_switches(page_size=2, foreign_next=True)
    link = get(simulator, f"/v7/test-results/{HTTP}/http-server").json()["_links"]["next"]["href"]
    assert link.startswith(f"http://localhost:{simulator.port}/v7/")
    assert len(requests.get(link, headers=TOKEN, timeout=5).json()["results"]) == 2


def test_the_control_endpoint_works_over_http(simulator: Simulator) -> None:
    control = f"{simulator.url}/control"
    made = requests.post(f"{control}/tests", json={"test_type": "dnssec", "outcomes": "error"}, timeout=5)
    assert made.status_code == 201
    test_id = made.json()["test_id"]
    rows = get(simulator, f"/test-results/{test_id}/dnssec").json()["results"]
    assert {row["isValid"] for row in rows} == {False}
    wrong = requests.patch(f"{control}/switches", json={"speed": 3}, timeout=5)
    assert wrong.status_code == 400
    assert "known: newest_round" in wrong.json()["detail"]
    log = requests.get(f"{control}/requests", timeout=5)
    assert log.json()["requests"][-1]["test_id"] == test_id
    assert "secret-token" not in log.text


def test_concurrent_clients_are_counted_correctly(simulator: Simulator) -> None:
    simulator.set_switches(instant_limit=20, quota_window=6000.0)
    statuses: list[int] = []

    def client() -> None:
        statuses.extend(run(simulator).status_code for _ in range(5))

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 20 + [429] * 20
    assert len(simulator.rounds(HTTP)) == 21
    assert simulator.run_calls(HTTP) == 40
