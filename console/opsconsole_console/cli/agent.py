"""`opsconsole agent`: a worker."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.output import say
from opsconsole_console.cli.parser import Group, at_least
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    import asyncio

    from opsconsole_agent.runtime import AgentConfig
    from opsconsole_console.config import Config


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "agent", agent,
        epilog="Without --join and --connect it joins the coordinator of this machine's data folder. Sent TERM, it\n"
        "leaves its tasks running; the next agent with the same state folder finds them again.",
    )  # fmt: skip
    parser.add_argument("--join", metavar="LINE", help="what `opsconsole invite` printed (OPSCONSOLE_JOIN)")
    parser.add_argument("--name", metavar="N", help="what operators call it; else the host's name")
    parser.add_argument("--state-dir", metavar="DIR", type=Path, help="its identity and its running tasks")
    add_worker_options(parser)
    parser.add_argument("--project", metavar="P", help="run this project's jobs only")
    parser.add_argument("--stop-tasks", action="store_true", help="end the tasks when told to stop")
    parser.add_argument("--while-stdin", action="store_true", help=argparse.SUPPRESS)


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """What a worker offers; also taken by `opsconsole` alone, for its own."""
    group = parser.add_argument_group("worker")
    group.add_argument("--input-path", metavar="P", help="the folder that input files are placed in")
    group.add_argument("--output-path", metavar="P", help="the folder that results are written to")
    group.add_argument("--filesystem", metavar="LABEL", help="what the filesystem of these folders is called")
    group.add_argument(
        "--max-concurrent-jobs", metavar="N", type=at_least(1), help="tasks at a time (one per GPU, else 1)"
    )
    group.add_argument("--tag", metavar="K[=V]", action="append", default=[], help="a tag; repeatable")


def worker_arguments(args: argparse.Namespace) -> list[str]:
    """The same options again, for a child process."""
    found: list[str] = []
    for option in ("input_path", "output_path", "filesystem", "max_concurrent_jobs"):
        value = getattr(args, option)
        if value is not None:
            found += [f"--{option.replace('_', '-')}", str(value)]
    for tag in args.tag:
        found += ["--tag", tag]
    if args.config is not None:
        found += ["--config", str(args.config.expanduser().absolute())]
    return found


def agent(args: argparse.Namespace) -> int:
    """`opsconsole agent`."""
    import asyncio

    config = make_config(args)
    asyncio.run(_run(config, while_stdin=args.while_stdin))
    return 0


def make_config(args: argparse.Namespace) -> AgentConfig:
    """The worker that flags, environment and config file describe. Raises InvalidRequest and what `resolve` raises."""
    import socket

    from opsconsole_agent.probe.io_path import WorkerIOConfig
    from opsconsole_agent.runtime import AgentConfig
    from opsconsole_console.config import load_config

    config = load_config(args.config)
    worker = config.worker
    name = args.name or worker.name
    url, certificate_hash, token = _coordinator(args, config)
    return AgentConfig(
        url=url,
        certificate_hash=certificate_hash,
        token=token,
        name=name or socket.gethostname(),
        state_dir=state_dir(args.state_dir, worker.state_dir, name),
        io=WorkerIOConfig.of(
            args.input_path or worker.io.input_path,
            args.output_path or worker.io.output_path,
            args.filesystem or worker.io.filesystem,
        ),
        max_concurrent_jobs=args.max_concurrent_jobs or worker.max_concurrent_jobs,
        tags=tuple(args.tag) or worker.tags,
        properties=dict(worker.properties),
        stop_tasks=args.stop_tasks or worker.stop_tasks,
        project=args.project or worker.project,
    )


def state_dir(flag: Path | None, configured: str | None, name: str | None) -> Path:
    """The agent's folder: as told, or the user's own, one for each name."""
    if flag is not None:
        return flag.expanduser().absolute()
    if configured:
        return Path(configured).expanduser().absolute()
    import platformdirs

    folder = "agent" if name is None else "agent-" + re.sub(r"[^\w.-]+", "_", name)
    return Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / folder


def _coordinator(args: argparse.Namespace, config: Config) -> tuple[str, str | None, str]:
    """Address, certificate hash and token."""
    from opsconsole.target import resolve
    from opsconsole_console.cli.session import read_token
    from opsconsole_console.composition import named_data_dir
    from opsconsole_protocol.invitation import parse_join_line, parse_url

    if args.join is not None and args.connect is not None:
        raise InvalidRequest("--join and --connect both say where to go: give one of them")
    token = read_token(args) or os.environ.get("OPSCONSOLE_TOKEN") or ""
    join = args.join or (os.environ.get("OPSCONSOLE_JOIN") if args.connect is None else None)
    if join:
        invitation = parse_join_line(join)
        return invitation.url, invitation.certificate_hash, invitation.token
    url = args.connect or (os.environ.get("OPSCONSOLE_URL") if args.data_dir is None else None)
    if url:
        address = parse_url(url)
        if address.invitation is not None:
            token = address.invitation.token
        # Without a token: an agent that joined before has its own credential.
        return address.url, address.certificate_hash, token
    target = resolve(None, token or None, None, named_data_dir(args.data_dir, args.config, config))
    return target.url, target.certificate_hash, target.token


async def _run(config: AgentConfig, *, while_stdin: bool) -> None:
    import asyncio
    import signal

    from opsconsole_agent.runtime import Agent

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if while_stdin:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, loop, stop)
    await Agent(config, say=say).run(stop)


def _stop_at_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Whoever started us holds the other end of stdin, and is gone when it closes."""
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()
