"""Command line of the simulator: ``python -m thousandeyes_provider.simulator``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import fields
from typing import TYPE_CHECKING

from thousandeyes_provider.api.result_types import TEST_TYPES
from thousandeyes_provider.simulator.conditions import CONDITIONS
from thousandeyes_provider.simulator.control import ACTIONS, Control
from thousandeyes_provider.simulator.model import World, default_test_id
from thousandeyes_provider.simulator.service import Service
from thousandeyes_provider.simulator.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Sequence


def _epilog() -> str:
    tests = "\n".join(f"  {default_test_id(test_type)}  {test_type}" for test_type in TEST_TYPES)
    width = max(len(action.path) for action in ACTIONS)
    controls = "\n".join(
        f"  {action.method:<6} {action.path:<{width}}  {action.about}"
        + (f"\n  {'':<6} {'':<{width}}  {action.example}" if action.example else "")
        for action in ACTIONS
    )
    return (
        f"default tests (run one with POST /v7/tests/ID/run):\n{tests}\n\n"
        "control endpoint (JSON; requires no token, exempt from rate limits):\n"
        f"{controls}\n\n"
        "example:\n"
        '  curl -X POST http://127.0.0.1:8080/control/throttle -d \'{"times": 1, "operation": "run"}\''
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m thousandeyes_provider.simulator",
        description="Serve a local ThousandEyes v7 API until interrupted. Prints the base URL.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; 0 selects a free port (default: %(default)s)"
    )
    parser.add_argument(
        "--token",
        action="append",
        metavar="T",
        help="accept only this bearer token; can be repeated (default: any token)",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="divides simulated durations; does not affect the clock (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=7, help="seed of the generated results (default: %(default)s)"
    )
    parser.add_argument(
        "--default-tests",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="start with one test of each type (default: yes)",
    )
    conditions = "; ".join(f"{name}: {about}" for name, about in CONDITIONS.items())
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="HOST=CONDITION",
        help=f"set the condition of a target; can be repeated. {conditions}".replace("%", "%%"),
    )
    switches = parser.add_argument_group("switches", "behavior that the ThousandEyes API does not document")
    for switch in fields(Switches):
        flag, about = "--" + switch.name.replace("_", "-"), switch.metadata["help"]
        if isinstance(switch.default, bool):
            switches.add_argument(
                flag,
                action=argparse.BooleanOptionalAction,
                default=switch.default,
                help=f"{about} (default: {'yes' if switch.default else 'no'})",
            )
        else:
            switches.add_argument(
                flag,
                type=type(switch.default),
                choices=switch.metadata["choices"] or None,
                metavar=None if switch.metadata["choices"] else "N",
                default=switch.default,
                help=f"{about} (default: %(default)s)",
            )
    return parser


async def _serve(service: Service, host: str, port: int) -> None:
    from thousandeyes_provider.simulator.server import serve

    stopping = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
    runner, port = await serve(service, Control(service), host, port)
    try:
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        await stopping.wait()
    finally:
        await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    :returns: the exit code: 0, or 1 if the port is not available.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if not 0 <= given.port <= 65535:
        parser.error(f"--port must be from 0 to 65535, got {given.port}")
    try:
        switches = Switches(**{switch.name: getattr(given, switch.name) for switch in fields(Switches)})
        world = World(
            time.time(), switches, speed=given.speed, seed=given.seed, default_tests=given.default_tests
        )
        for target in given.target:
            name, equals, condition = target.rpartition("=")
            if not equals:
                raise ValueError(f"--target must be HOST=CONDITION, got {target!r}")
            world.set_target(name, condition)
    except ValueError as error:
        parser.error(str(error))
    try:
        asyncio.run(_serve(Service(world, given.token), given.host, given.port))
    except OSError as error:
        print(f"cannot listen on {given.host}:{given.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
