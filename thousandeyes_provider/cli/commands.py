"""The commands and their options as plain data, from which Airflow's command line and our own are both built.

Airflow imports this module on every call, so it imports only the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

GROUP = "thousandeyes"
DESCRIPTION = "ThousandEyes tests as gates: list, check, run, backtest and propose."
ACTIONS = "thousandeyes_provider.cli.actions"

BACKTEST_DAYS, PROPOSE_DAYS, PROPOSE_ONE_IN = 14, 28, 500
"""Defaults of ``--days`` and ``--one-in``. The parsed options are ``None`` when left out, to refuse useless ones."""


class CommandOption(NamedTuple):
    """An option: its flags and the arguments of ``ArgumentParser.add_argument``."""

    flags: tuple[str, ...]
    arguments: Mapping[str, Any]


class Command(NamedTuple):
    """A command.

    :param name: its name, which is also that of the function in :mod:`thousandeyes_provider.cli.actions`.
    :param help: one line.
    :param example: arguments of an example call, without the program.
    """

    name: str
    help: str
    options: tuple[CommandOption, ...]
    example: str


def _option(*flags: str, **arguments: Any) -> CommandOption:
    return CommandOption(flags, arguments)


_CONNECTION = (
    _option(
        "--conn-id",
        metavar="ID",
        default="thousandeyes_default",
        help="Airflow connection (default: %(default)s)",
    ),
    _option("--account-group-id", metavar="AID", help="account group (default: that of the connection)"),
    _option(
        "--output",
        choices=("table", "json", "yaml"),
        default="table",
        help="output format (default: %(default)s)",
    ),
)
_TEST = _option("test_id", metavar="TEST_ID", help="id of the test")
_TEST_TYPE = _option("--test-type", metavar="TYPE", help="type of the test (default: read from ThousandEyes)")
_GATE = _option(
    "--gate",
    metavar="FILE",
    help="YAML or JSON file with operator arguments (checks, compare_with, min_agents, …) or with checks alone",
)
_CACHE = _option(
    "--cache", metavar="FILE", help="store the rounds in this file; an interrupted command resumes from it"
)
_RULES = _option(
    "--from-alert-rules",
    action="store_true",
    help="use the alert rules that apply to the test in ThousandEyes",
)


def _days(default: int) -> CommandOption:
    return _option("--days", type=int, metavar="N", help=f"days of history to read (default: {default})")


COMMANDS: tuple[Command, ...] = (
    Command(
        "tests",
        "List the configured tests",
        (
            *_CONNECTION,
            _option("--name", metavar="PATTERN", help="only tests of this name; * and ? are wildcards"),
            _option(
                "--tag",
                action="append",
                metavar="TAG",
                help="only tests with this tag, key:value or key; repeatable",
            ),
            _TEST_TYPE,
        ),
        "tests --tag service:checkout",
    ),
    Command(
        "agents",
        "List the agents and their states",
        (
            *_CONNECTION,
            _option("--name", metavar="PATTERN", help="only agents of this name; * and ? are wildcards"),
        ),
        "agents --name 'Frankfurt*'",
    ),
    Command("quota", "Show the rate limits and the remaining quota", _CONNECTION, "quota --output json"),
    Command(
        "check",
        "Evaluate the newest round of a test; no test is run. Exit code: 0 passed, 1 failed, 2 inconclusive or error",
        (*_CONNECTION, _TEST, _TEST_TYPE, _GATE),
        "check 281474976710706 --gate gate.yaml",
    ),
    Command(
        "run",
        "Run an instant test and evaluate its round. Exit code: 0 passed, 1 failed, 2 inconclusive or error",
        (
            *_CONNECTION,
            _TEST,
            _TEST_TYPE,
            _GATE,
            _option(
                "--timeout",
                type=float,
                default=600,
                metavar="S",
                help="seconds to wait for the results (default: %(default)s)",
            ),
            _option("--report", metavar="PATH", help="write a report: .xml (JUnit), .md or .html"),
        ),
        "run 281474976710706 --gate gate.yaml --report junit.xml",
    ),
    Command(
        "backtest",
        "Evaluate a gate on the recent rounds of a test and list the rounds that would have failed",
        (
            *_CONNECTION,
            _TEST,
            _TEST_TYPE,
            _GATE,
            _RULES,
            _days(BACKTEST_DAYS),
            _CACHE,
            _option("--report", metavar="FILE", help="write an HTML report with a chart of the rounds"),
        ),
        "backtest 281474976710706 --gate gate.yaml --days 14 --report backtest.html",
    ),
    Command(
        "propose",
        "Propose a gate from the recent rounds of a test, as a YAML file for the operators",
        (
            *_CONNECTION,
            _TEST,
            _TEST_TYPE,
            _RULES,
            _days(PROPOSE_DAYS),
            _CACHE,
            _option(
                "--one-in",
                type=int,
                metavar="N",
                help=f"allow at most one false alarm in N rounds (default: {PROPOSE_ONE_IN})",
            ),
            _option("--write", metavar="FILE", help="write the YAML to this file (default: standard output)"),
        ),
        "propose 281474976710706 --write gate.yaml",
    ),
    Command(
        "simulator",
        "Serve a local ThousandEyes API until interrupted",
        (
            _option("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"),
            _option(
                "--port",
                type=int,
                default=0,
                help="port to listen on; 0 selects a free port (default: %(default)s)",
            ),
            _option(
                "--speed", type=float, default=1, help="divides simulated durations (default: %(default)s)"
            ),
        ),
        "simulator --port 8080",
    ),
)
