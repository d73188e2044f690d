"""The terminal session in docs/from-history-to-a-gate.md matches the output of the commands.

THOUSANDEYES_RECORD=1 records the session again. Numbers differ between runs, so digits are not compared.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
from pathlib import Path

import pytest

from thousandeyes_provider.cli.main import main
from thousandeyes_provider.simulator import Simulator

PAGE = Path(__file__).parents[3] / "docs" / "from-history-to-a-gate.md"
BLOCK = re.compile(r"(<!-- session -->\n```console\n)(.*?)(```\n<!-- end of session -->)", re.DOTALL)
LEVELS = {"Frankfurt, Germany": 120.0, "Ashburn, VA": 210.0, "Singapore": 340.0, "vienna-office-1": 150.0}
DAYS, INTERVAL = 13, 1200


def history():
    """Thirteen days with a daily cycle, single slow rounds, an outage of the target and one of an agent."""
    chance = random.Random(17)
    rounds = []
    for place in range(DAYS * 86400 // INTERVAL):
        daytime = 1 + 0.2 * max(math.sin(2 * math.pi * place * INTERVAL / 86400), 0)
        values = {}
        for agent, level in LEVELS.items():
            spike = 3 if chance.random() < 0.003 else 1
            values[agent] = {
                "responseTime": round(level * daytime * spike * math.exp(chance.gauss(0, 0.07)), 1)
            }
        entry = {"ago": 600 + INTERVAL * place, "metrics": values}
        if 200 <= place < 204:
            entry["condition"] = "down"
        if 500 <= place < 530:
            entry["silent"] = ["vienna-office-1"]
        rounds.append(entry)
    return rounds


@pytest.fixture
def session(monkeypatch, capfd, tmp_path):
    """The commands of the page with their terminal output."""
    monkeypatch.chdir(tmp_path)
    lines = []

    def shell(line):
        lines.append(f"$ {line}")
        words = line.split()
        if words[0] == "cat":
            lines.extend(Path(words[1]).read_text().splitlines())
            return
        with pytest.raises(SystemExit) as ended:
            main(words[3:])
        printed = capfd.readouterr()
        lines.extend((printed.err + printed.out).splitlines())
        if words[3] == "run":
            lines.extend(["$ echo $?", str(ended.value.code)])

    # With round ids of whole seconds, the second run does not wait for the next minute.
    with Simulator(
        speed=40, default_tests=False, organization_limit=100_000, round_ids="unambiguous"
    ) as simulator:
        test_id = simulator.add_test("http-server", agents=list(LEVELS), name="Checkout", history=history())
        simulator.change_test(
            test_id, metrics={agent: {"responseTime": level} for agent, level in LEVELS.items()}
        )
        monkeypatch.setenv("AIRFLOW_CONN_THOUSANDEYES_DEFAULT", json.dumps(simulator.connection()))
        te = "python -m thousandeyes_provider"
        shell(f"{te} propose {test_id} --days 14 --one-in 200 --write gate.yaml")
        shell("cat gate.yaml")
        shell(f"{te} backtest {test_id} --days 14 --gate gate.yaml")
        shell(f"{te} run {test_id} --gate gate.yaml")
        lines.append("# a release makes the target 40 % slower")
        slower = {agent: {"responseTime": 1.4 * level} for agent, level in LEVELS.items()}
        simulator.change_test(test_id, metrics=slower)
        shell(f"{te} run {test_id} --gate gate.yaml")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def same(text):
    """Return the lines without the parts that differ between runs: digits and pacing."""
    text = re.sub(r"\d+(\.\d+)?", "#", text).replace("; # s of own pacing", "")
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_page_shows_the_output_of_the_commands(session):
    page = PAGE.read_text()
    assert BLOCK.search(page), f"{PAGE.name} has no session"
    if os.environ.get("THOUSANDEYES_RECORD"):
        PAGE.write_text(BLOCK.sub(lambda match: match[1] + session + match[3], page))
        page = PAGE.read_text()
    assert same(BLOCK.search(page)[2]) == same(session)
    verdicts = re.findall(r"^\$ echo \$\?\n(\d)$", session, re.MULTILINE)
    assert verdicts == ["0", "1"]
