"""`opsconsole serve`: a coordinator without a screen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.output import say
from opsconsole_console.cli.parser import Group

if TYPE_CHECKING:
    from opsconsole_coordinator.runtime import CoordinatorConfig


SERVE_OPTIONS = ("listen", "tls", "advertise", "name")


def add(group: Group) -> None:
    """The verbs of this file."""
    add_serve_options(group.verb("serve", serve))


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """What a coordinator is; also taken by `opsconsole` alone."""
    group = parser.add_argument_group("coordinator of its own")
    group.add_argument("--listen", metavar="HOST:PORT", help="where to listen (127.0.0.1:7373)")
    group.add_argument("--tls", choices=("auto", "on"), help="auto: on, except on loopback")
    group.add_argument("--advertise", metavar="HOST:PORT", help="the address that invitations name")
    group.add_argument("--name", metavar="N", help="what it is called; else the host's name")


def serve(args: argparse.Namespace) -> int:
    """`opsconsole serve`."""
    import asyncio

    config = make_config(args)
    asyncio.run(_serve(config, is_default=args.data_dir is None))
    return 0


def make_config(args: argparse.Namespace) -> CoordinatorConfig:
    """The coordinator that flags, environment and config file describe."""
    from opsconsole_console.boot import composition
    from opsconsole_console.boot.config import load_config

    config = load_config(args.config)
    data_dir = composition.resolve_data_dir(args.data_dir, args.config, config)
    return composition.coordinator_config(
        data_dir, config, listen=args.listen, tls=args.tls, advertise=args.advertise, name=args.name
    )


async def _serve(config: CoordinatorConfig, *, is_default: bool) -> None:
    import asyncio
    import signal

    from opsconsole_coordinator.runtime import Coordinator

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    coordinator = Coordinator(config)
    endpoint = await coordinator.start()
    try:
        say(f"{endpoint.name} listens on {endpoint.url}, its data is in {config.data_dir}")
        say(f"to join a worker: {hint('invite', config.data_dir, is_default=is_default)}")
        await stop.wait()
        say("stopping; tasks on workers go on")
    finally:
        await coordinator.stop()


def hint(verb: str, data_dir: Path, *, is_default: bool) -> str:
    """A command to type on this machine."""
    import shlex

    return f"opsconsole {verb}" if is_default else f"opsconsole {verb} --data-dir {shlex.quote(str(data_dir))}"
