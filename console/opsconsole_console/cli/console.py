"""`opsconsole` alone: the console in this terminal."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from opsconsole_console.cli.agent import WORKER_OPTIONS, add_worker_options, worker_arguments
from opsconsole_console.cli.serve import SERVE_OPTIONS, add_serve_options
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsconsole.target import TargetSource
    from opsconsole_console.boot.composition import Embedded
    from opsconsole_console.boot.config import Config
    from opsconsole_coordinator.runtime import CoordinatorConfig

_NO_TERMINAL = (
    "the console needs a terminal, for its errors too: use `opsconsole serve` for a coordinator, `opsconsole run -- CMD` for one job, "
    "or see `opsconsole --help`"
)
_TOO_PLAIN = ("dumb", "unknown")
_NO_SCREEN = (
    "this terminal says that it can only print lines (TERM={}): set TERM to what it is, say xterm-256color, or use "
    "`opsconsole jobs`, `opsconsole logs` and the other verbs of `opsconsole --help`"
)
_QUIT_NOTE = (
    "The coordinator and the worker in this console stop. Running tasks go on, and are found again at the next start."
)
_DETACH_NOTE = "The coordinator, its workers and their tasks go on; this was only a view of them."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `opsconsole` without a verb."""
    parser.add_argument("--no-agent", action="store_true", help="no worker of its own")
    parser.add_argument("--read-only", action="store_true", help="show everything, change nothing")
    parser.add_argument("--theme", metavar="T", help="the theme to use")
    add_serve_options(parser)
    add_worker_options(parser)


def open_console(args: argparse.Namespace) -> int:
    """`opsconsole` without a verb."""
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise InvalidRequest(_NO_TERMINAL)
    if os.environ.get("TERM", "") in _TOO_PLAIN:
        raise InvalidRequest(_NO_SCREEN.format(os.environ["TERM"]))
    from opsconsole_console.boot.config import load_config

    config = load_config(args.config)
    return _open_remote(args, config) if _is_remote(args, config) else _open_local(args, config)


def _is_remote(args: argparse.Namespace, config: Config) -> bool:
    if args.connect is not None:
        return True
    if args.data_dir is None and os.environ.get("OPSCONSOLE_URL"):
        return True
    from opsconsole.resolver import default_url
    from opsconsole_console.boot.composition import configured_data_dir

    wants_own = any(getattr(args, option) for option in (*SERVE_OPTIONS, *WORKER_OPTIONS, "no_agent", "mount", "tag"))
    return (
        not wants_own and configured_data_dir(args.data_dir, args.config, config) is None and default_url() is not None
    )


def _open_remote(args: argparse.Namespace, config: Config) -> int:
    import asyncio

    from opsconsole.target import current
    from opsconsole_console.cli.session import target_source

    for option in (*SERVE_OPTIONS, *WORKER_OPTIONS, "no_agent", "mount", "tag"):
        if getattr(args, option):
            flag = f"--{option.replace('_', '-')}"
            raise InvalidRequest(f"--connect uses a coordinator that runs already: leave out {flag}")
    target = asyncio.run(target_source(args))
    return _run(target, args, config, current(target).url, lambda: _DETACH_NOTE)


def _open_local(args: argparse.Namespace, config: Config) -> int:
    from opsconsole.endpoint import is_running
    from opsconsole_console.boot import composition

    data_dir = composition.resolve_data_dir(args.data_dir, args.config, config)
    target = composition.attached(data_dir)
    if is_running(data_dir):
        target()
        return _run(target, args, config, str(data_dir), lambda: _DETACH_NOTE)

    def coordinator() -> CoordinatorConfig:
        return composition.coordinator_config(
            data_dir, config, listen=args.listen, tls=args.tls, advertise=args.advertise, name=args.name
        )

    with_agent = config.console.agent and not args.no_agent
    arguments = worker_arguments(args) if with_agent else None
    embedded = composition.Embedded(data_dir, coordinator, agent_arguments=arguments)
    try:
        return _run(target, args, config, str(data_dir), lambda: _QUIT_NOTE, embedded)
    finally:
        embedded.close()


def _run(
    target: TargetSource,
    args: argparse.Namespace,
    config: Config,
    coordinator: str,
    quit_note: Callable[[], str],
    embedded: Embedded | None = None,
) -> int:
    from opsconsole_console.app import run_app
    from opsconsole_console.boot import composition
    from opsconsole_console.service.console_state import state_path

    return run_app(
        target,
        start=None if embedded is None else embedded.start,
        own_worker=None if embedded is None else lambda: embedded.own_worker,
        read_only=args.read_only or config.console.read_only,
        quit_note=quit_note,
        state_dir=composition.resolve_data_dir(args.data_dir, args.config, config),
        theme=args.theme,
        theme_configured=config.console.theme,
        keymap=config.console.keys,
        telling=composition.telling(config),
        state_file=state_path(coordinator),
    )
