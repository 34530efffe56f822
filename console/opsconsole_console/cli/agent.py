"""`opsconsole agent`: a worker."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import add_slots, typed
from opsconsole_console.cli.output import say
from opsconsole_console.cli.parser import Group
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import size_bytes

if TYPE_CHECKING:
    import asyncio

    from opsconsole_agent.runtime import AgentConfig
    from opsconsole_agent.state.membership import Membership
    from opsconsole_console.boot.config import Config, Worker
    from opsconsole_protocol.mount import Mount


WORKER_OPTIONS = ("input_path", "output_path", "filesystem", "max_concurrent_jobs", "cache_bytes")
"""Those with one value, as attributes of the parsed arguments."""


_EMPTY_LOOK_S = 1.0


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "agent", agent,
        epilog="Without --join and --connect it goes back to the coordinator that it joined before, else to the one of this\n"
        "machine's data folder. Sent TERM, it leaves its tasks running; the next agent with the same state folder\n"
        "finds them again.",
    )  # fmt: skip
    add_agent_options(parser)
    parser.add_argument(
        "--exit-when-empty", action="store_true", help="leave when nothing runs here and no task waits (of --project)"
    )
    parser.add_argument("--while-stdin", action="store_true", help=argparse.SUPPRESS)
    parser.rule("join", "token", "the join line holds a token")
    parser.rule("join", "token_file", "the join line holds a token")
    parser.rule("join", "data_dir", "the join line says where to go")


def add_agent_options(parser: argparse.ArgumentParser) -> None:
    """What an agent is; also taken by `opsconsole service install agent`."""
    parser.add_argument("--join", metavar="LINE", help="what `opsconsole invite` printed (OPSCONSOLE_JOIN)")
    parser.add_argument("--name", metavar="N", help="what operators call it; else the host's name")
    parser.add_argument("--state-dir", metavar="DIR", type=Path, help="its identity and its running tasks")
    add_worker_options(parser)
    parser.add_argument("--project", metavar="P", help="run this project's jobs only")
    parser.add_argument("--run-as", metavar="USER", help="whom tasks run as; only for an agent of root")
    parser.add_argument("--stop-tasks", action="store_true", help="end the tasks when told to stop")


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """What a worker offers; also taken by `opsconsole` alone, for its own."""
    group = parser.add_argument_group("worker")
    group.add_argument("--input-path", metavar="P", help="the folder that input files are placed in")
    group.add_argument("--output-path", metavar="P", help="the folder that results are written to")
    group.add_argument(
        "--mount",
        metavar="LABEL=P[:rw]",
        action="append",
        default=[],
        help="a further folder; repeatable; rw: writable",
    )
    group.add_argument("--filesystem", metavar="LABEL", help="what the filesystem of these folders is called")
    add_slots(group)
    group.add_argument(
        "--cache-bytes", metavar="50G", type=typed(size_bytes), help="how much of what jobs brought is kept here"
    )
    group.add_argument("--tag", metavar="K[=V]", action="append", default=[], help="a tag; repeatable")


def worker_arguments(args: argparse.Namespace) -> list[str]:
    """The same options again, for a child process."""
    found: list[str] = []
    for option in WORKER_OPTIONS:
        value = getattr(args, option)
        if value is not None:
            found += [f"--{option.replace('_', '-')}", str(value)]
    for option in ("mount", "tag"):
        for value in getattr(args, option):
            found += [f"--{option}", value]
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

    from opsconsole_agent.log.shipper import KEPT_DAYS
    from opsconsole_agent.probe.io_path import WorkerIOConfig
    from opsconsole_agent.runtime import AgentConfig
    from opsconsole_console.boot.config import load_config
    from opsconsole_protocol.bound import NAME_CHARACTERS_MAX
    from opsconsole_protocol.name import check_worker_name

    config = load_config(args.config)
    worker = config.worker
    name = args.name or worker.name
    if name is not None and len(name) > NAME_CHARACTERS_MAX:
        raise InvalidRequest(
            f"the worker's name has {len(name)} characters, at most {NAME_CHARACTERS_MAX} may: shorten it"
        )
    folder = state_dir(args.state_dir, worker.state_dir, name)
    coordinator, remember = _coordinator(args, config, folder)
    return AgentConfig(
        url=coordinator.url,
        certificate_hash=coordinator.certificate_hash,
        token=coordinator.invitation or "",
        remember=remember,
        name=check_worker_name(name or socket.gethostname()),
        state_dir=folder,
        io=WorkerIOConfig.of(
            args.input_path or worker.io.input_path,
            args.output_path or worker.io.output_path,
            args.filesystem or worker.io.filesystem,
            _mounts(args, worker),
        ),
        max_concurrent_jobs=args.max_concurrent_jobs or worker.max_concurrent_jobs,
        tags=tuple(args.tag) or worker.tags,
        properties=dict(worker.properties),
        keep_attempt_days=KEPT_DAYS if worker.keep_attempt_days is None else worker.keep_attempt_days,
        keep_output_days=worker.keep_output_days,
        job_output_bytes=worker.job_output_bytes,
        cache_bytes=worker.cache_bytes if args.cache_bytes is None else args.cache_bytes,
        stop_tasks=args.stop_tasks or worker.stop_tasks,
        project=args.project or worker.project,
        exit_when_empty_s=_EMPTY_LOOK_S if getattr(args, "exit_when_empty", False) else None,  # no option of a service
        run_as=args.run_as or worker.run_as,
    )


def _mounts(args: argparse.Namespace, worker: Worker) -> tuple[Mount, ...]:
    from opsconsole_agent.probe.mount_point import all_mounts, make_mount

    configured = [
        make_mount(label, one.path, writable=one.writable, aliases=one.aliases) for label, one in worker.mounts.items()
    ]
    return all_mounts(configured, args.mount)


def state_dir(flag: Path | None, configured: str | None, name: str | None) -> Path:
    """The agent's folder: as told, or the user's own, one for each name."""
    if flag is not None:
        return flag.expanduser().absolute()
    if configured:
        return Path(configured).expanduser().absolute()
    import platformdirs

    folder = "agent" if name is None else "agent-" + re.sub(r"[^\w.-]+", "_", name)
    return Path(platformdirs.user_state_dir("opsconsole", appauthor=False)) / folder


def _coordinator(args: argparse.Namespace, config: Config, state_dir: Path) -> tuple[Membership, bool]:
    """Where to go and with what, and whether to remember it: flags, environment, the last join, the data folder."""
    from opsconsole.resolver import resolve
    from opsconsole_agent.state.membership import Membership, load_membership
    from opsconsole_console.boot.composition import resolve_data_dir
    from opsconsole_console.cli.session import read_token
    from opsconsole_protocol.trust.invitation import parse_join_line, parse_url

    if args.join is not None and args.connect is not None:
        raise InvalidRequest("--join and --connect both say where to go: give one of them")
    token = read_token(args) or os.environ.get("OPSCONSOLE_TOKEN") or None
    join = args.join or (os.environ.get("OPSCONSOLE_JOIN") if args.connect is None else None)
    if join:
        invitation = parse_join_line(join)
        return Membership(invitation.url, invitation.certificate_hash, invitation.token), True
    url = args.connect or (os.environ.get("OPSCONSOLE_URL") if args.data_dir is None else None)
    known = load_membership(state_dir) if args.data_dir is None else None
    if url:
        address = parse_url(url)
        # Without a token: an agent that joined before has its own credential.
        invited = token if address.invitation is None else address.invitation.token
        pinned = known.certificate_hash if known is not None and known.url == address.url else None
        return Membership(address.url, address.certificate_hash or pinned, invited), True
    if known is not None:
        return known, True
    target = resolve(None, token, None, resolve_data_dir(args.data_dir, args.config, config))
    return Membership(target.url, target.certificate_hash, target.token), False


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
