"""The commands for Airflow's command line load quickly and do not conflict with Airflow's own commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from airflow.cli import cli_config
from thousandeyes_provider.cli import actions
from thousandeyes_provider.cli.commands import COMMANDS, GROUP
from thousandeyes_provider.cli.definition import get_thousandeyes_cli_commands
from thousandeyes_provider.cli.main import build_parser

PROBE = """
import json, sys, time
import airflow.cli.cli_config
before, started = set(sys.modules), time.process_time()
from thousandeyes_provider.cli.definition import get_thousandeyes_cli_commands
get_thousandeyes_cli_commands()
print(json.dumps([time.process_time() - started, sorted(set(sys.modules) - before)]))
"""


def test_the_definitions_import_only_themselves_in_at_most_30_ms():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    seconds, imported = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in imported if not name.startswith("thousandeyes_provider")] == []
    assert {name.split(".")[1] for name in imported if "." in name} == {"cli"}
    assert seconds < 0.03


def test_the_name_of_the_group_is_unused_in_airflow():
    assert [command.name for command in get_thousandeyes_cli_commands()] == [GROUP]
    assert GROUP not in [command.name for command in cli_config.core_commands]


def test_airflow_builds_its_parser_with_the_group():
    cli_parser = pytest.importorskip("airflow.cli.cli_parser")
    if GROUP not in cli_parser.ALL_COMMANDS_DICT:
        pytest.skip("this Airflow takes no commands of providers")
    parser = cli_parser.get_parser()
    parsed = parser.parse_args([GROUP, "backtest", "7", "--days", "3"])
    assert (parsed.test_id, parsed.days, parsed.output) == ("7", 3, "table")
    assert parsed.func.__name__ == "backtest"


def test_every_command_has_an_action_and_both_command_lines_parse_its_example():
    (group,) = get_thousandeyes_cli_commands()
    assert [command.name for command in group.subcommands] == [command.name for command in COMMANDS]
    for command in COMMANDS:
        assert callable(getattr(actions, command.name))
        parsed = build_parser().parse_args([part.strip("'") for part in command.example.split()])
        assert parsed.command == command.name


def test_help_is_fast():
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "thousandeyes_provider", "--help"], capture_output=True, text=True, check=True
    )
    after = os.times()
    assert "examples:" in done.stdout
    processor_time = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    assert processor_time < 0.3
