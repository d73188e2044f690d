from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from thousandeyes_provider.simulator.__main__ import main
from thousandeyes_provider.simulator.switches import SWITCH_NAMES

COMMAND = [sys.executable, "-m", "thousandeyes_provider.simulator"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_prints_the_address_and_exits_cleanly_on_a_signal(signum: signal.Signals) -> None:
    command = [*COMMAND, "--port", "0", "--token", "secret-token", "--page-size", "2", "--no-listed-in-tests"]
    command += ["--target", "www.example.com=slow:2", "--target", "api.example.com=down"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            state = requests.get(f"{url}/control", timeout=5).json()
            assert state["targets"] == {"www.example.com": "slow:2", "api.example.com": "down"}
            switches = state["switches"]
            assert (switches["page_size"], switches["listed_in_tests"]) == (2, False)
            for token, status in (("secret-token", 200), ("other", 401)):
                response = requests.get(
                    f"{url}/v7/tests", headers={"Authorization": f"Bearer {token}"}, timeout=5
                )
                assert response.status_code == status
            process.send_signal(signum)
            rest, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, rest, errors) == (0, "", "")


def test_help_lists_switches_and_default_tests(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in SWITCH_NAMES:
        assert f"--{name.replace('_', '-')}" in text
    assert "{partial,previous,both}" in text
    assert re.search(r"202703 +http-server", text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--newest-round", "old"], "choose from"),
        (["--page-size", "-1"], "page_size"),
        (["--speed", "0"], "speed"),
        (["--port", "70000"], "--port"),
        (["--target", "www.example.com"], "HOST=CONDITION"),
        (
            ["--target", "www.example.com=tired"],
            "must be one of ok, slow, lossy, certificate, down, got 'tired'",
        ),
        (["--quota-window", "nan"], "quota_window"),
    ],
)
def test_an_invalid_argument_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_port_in_use_prints_one_line_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"cannot listen on 127.0.0.1:{port}")
