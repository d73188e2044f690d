"""The same commands without Airflow's command line: ``python -m thousandeyes_provider``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib import import_module

from thousandeyes_provider.cli.commands import ACTIONS, COMMANDS, DESCRIPTION

PROGRAM = "python -m thousandeyes_provider"


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog="The connection is an Airflow connection, for example from AIRFLOW_CONN_THOUSANDEYES_DEFAULT.\n\n"
        + "\n".join(["examples:", *(f"  {PROGRAM} {command.example}" for command in COMMANDS)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            epilog=f"example:\n  {PROGRAM} {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for option in command.options:
            sub.add_argument(*option.flags, **option.arguments)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process exits with its code.

    :param arguments: the command line; that of the process when ``None``.
    """
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    parsed = parser.parse_args(arguments)
    getattr(import_module(ACTIONS), parsed.command)(parsed)
