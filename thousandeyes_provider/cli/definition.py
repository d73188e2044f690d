"""The commands for Airflow's command line (Airflow 3.2 and later), named in ``get_provider_info()["cli"]``.

Airflow calls :func:`get_thousandeyes_cli_commands` on every ``airflow`` call, so this module imports only
:mod:`airflow.cli.cli_config`, which is loaded by then, and plain data.
"""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command
from thousandeyes_provider.cli.commands import ACTIONS, COMMANDS, DESCRIPTION, GROUP, CommandOption


def get_thousandeyes_cli_commands() -> list[CLICommand]:
    """The group ``airflow thousandeyes``."""
    return [
        GroupCommand(
            name=GROUP,
            help="Run and evaluate ThousandEyes tests",
            description=DESCRIPTION,
            subcommands=tuple(
                ActionCommand(
                    name=command.name,
                    help=command.help,
                    func=lazy_load_command(f"{ACTIONS}.{command.name}"),
                    args=tuple(_arg(option) for option in command.options),
                    epilog=f"example: airflow {GROUP} {command.example}",
                )
                for command in COMMANDS
            ),
        )
    ]


def _arg(option: CommandOption) -> Arg:
    return Arg(option.flags, **option.arguments)  # type: ignore[no-untyped-call,unused-ignore]
