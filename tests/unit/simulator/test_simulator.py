from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import pytest
import requests

from thousandeyes_provider.simulator import Simulator
from thousandeyes_provider.simulator.model import RunInProgress

HTTP = "202703"


def test_it_can_be_configured_before_start_and_read_after_stop() -> None:
    simulator = Simulator()
    test_id = simulator.add_test("dnssec", history=[10])
    with pytest.raises(RuntimeError, match="not running"):
        _ = simulator.url
    with simulator:
        token = {"Authorization": f"Bearer {simulator.token}"}
        response = requests.get(f"{simulator.url}/test-results/{test_id}/dnssec", headers=token, timeout=5)
        assert len(response.json()["results"]) == 5
        url = simulator.url
    assert simulator.count("results", test_id) == 1
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_it_can_be_restarted() -> None:
    simulator = Simulator()
    for _ in range(2):
        with simulator:
            assert requests.get(f"{simulator.url}/control", timeout=5).status_code == 200
    simulator.stop()


def test_a_port_in_use_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            Simulator(port=taken.getsockname()[1]).start()


def test_a_pending_response_does_not_block_stop() -> None:
    simulator = Simulator().start()
    simulator.fail("*", "slow-first-byte", seconds=60)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{simulator.url}/tests", headers={"Authorization": "Bearer x"}, timeout=0.05)
    before = time.monotonic()
    simulator.stop()
    assert time.monotonic() - before < 3


def test_injected_faults_can_be_cleared() -> None:
    with Simulator() as simulator:

        def status() -> int:
            return requests.get(
                f"{simulator.url}/tests", headers={"Authorization": "Bearer x"}, timeout=5
            ).status_code

        first, second = (simulator.fail("tests", status=status, times=None) for status in (502, 503))
        assert status() == 502
        simulator.clear_faults(first)
        assert status() == 503
        simulator.fail("tests", status=504, times=None)
        simulator.clear_faults()
        assert status() == 200
        simulator.clear_faults(second)


def test_connection_returns_an_airflow_connection() -> None:
    with Simulator(tokens=["first", "second"]) as simulator:
        connection = simulator.connection(retry_limit=2)
        assert connection == {
            "conn_type": "thousandeyes",
            "host": "127.0.0.1",
            "port": simulator.port,
            "schema": "http",
            "password": "first",
            "extra": {"trust_env": False, "retry_limit": 2},
        }
        assert json.loads(json.dumps(connection)) == connection


def test_reset_restores_the_initial_state() -> None:
    simulator = Simulator(page_size=2)
    simulator.set_switches(page_size=3)
    simulator.add_test("dnssec", "1")
    simulator.run(HTTP)
    simulator.fail("run")
    simulator.throttle(3)
    simulator.change_agent("vienna-office-1", "offline")
    simulator.reset()
    assert simulator.switches.page_size == 2
    assert "1" not in simulator.tests
    assert len(simulator.rounds(HTTP)) == 1
    assert {agent.state for agent in simulator.agents} == {"online"}


def test_run_sends_no_request() -> None:
    simulator = Simulator()
    round_id = simulator.run(HTTP, by="a colleague", outcomes="error")
    newest = simulator.rounds(HTTP)[-1]
    assert (newest.round_id, newest.by, newest.complete) == (round_id, "a colleague", False)
    assert newest.missing["http-server"] == tuple(agent.agent_id for agent in simulator.agents)
    assert (simulator.run_calls(HTTP), simulator.requests) == (0, [])


def test_run_follows_the_switches() -> None:
    simulator = Simulator(run_while_running="409")
    simulator.run(HTTP)
    with pytest.raises(RunInProgress):
        simulator.run(HTTP)
    simulator.change_test(HTTP, switches={"run_while_running": "merge"})
    assert simulator.run(HTTP) is None


def test_a_test_can_be_changed_by_name() -> None:
    simulator = Simulator()
    lab = simulator.add_agent("lab-1", agent_type="enterprise", location="Graz, Austria", country_id="AT")
    simulator.change_test(HTTP, agents=["lab-1", "Singapore"], silent=["lab-1"])
    simulator.run(HTTP)
    assert simulator.rounds(HTTP)[-1].missing["http-server"] == (lab.agent_id, "14419")


def test_it_can_start_without_tests() -> None:
    assert Simulator(default_tests=False).tests == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"newest_round": "old"}, "partial, previous, both"),
        ({"newest": "both"}, "known: newest_round"),
        ({"speed": 0}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"seed": 1.5}, "seed"),
        ({"tokens": "secret"}, "tokens"),
    ],
)
def test_an_invalid_argument_is_refused_with_the_choices(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Simulator(**arguments)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", ["run", "rounds", "change_test"])
def test_an_unknown_test_is_refused_with_the_known_ones(method: str) -> None:
    with pytest.raises(ValueError, match="unknown test '1'; known: 202701"):
        getattr(Simulator(), method)("1")


def test_importing_the_package_imports_no_server() -> None:
    print_imported = (
        "; print([name for name in ('aiohttp', 'airflow', 'requests', 'asyncio') if name in sys.modules])"
    )
    imports = (
        "pytest",
        "pytest, thousandeyes_provider.simulator, thousandeyes_provider.simulator.pytest_plugin",
    )
    without, with_it = (
        subprocess.run(
            [sys.executable, "-c", f"import sys, {names}{print_imported}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for names in imports
    )
    assert with_it == without


def test_the_simulator_does_not_import_airflow() -> None:
    script = (
        "import sys; from thousandeyes_provider.simulator import Simulator\n"
        "with Simulator(): print('airflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
