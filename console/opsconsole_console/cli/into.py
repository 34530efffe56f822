"""`opsconsole exec`, `shell` and `forward`: into a task that runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from opsconsole_console.cli.content_option import add_via
from opsconsole_console.cli.option import whole
from opsconsole_console.cli.output import put, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import RECONNECT_S, with_client
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole.session.forward import Forward
    from opsconsole.session.program import Program
    from opsconsole_protocol.session.frame import Exit
    from opsconsole_protocol.stream.message import Via

_TASK = "a job that runs, its first characters, or JOB/task-N"


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("exec", execute, usage="opsconsole exec [options] ID -- CMD…",
                        epilog="CMD runs in the task's environment and working folder, and ends with the task. Its stdin, stdout and\n"
                        "stderr are those of this command, and so is its exit code. Ctrl-C interrupts it; twice, it is left and ended.")  # fmt: skip
    parser.add_argument("id", metavar="ID", help=_TASK)
    add_via(parser)
    parser.set_defaults(takes_command=True)
    parser = group.verb("shell", shell, usage="opsconsole shell [options] ID",
                        epilog="The shell has the task's environment and working folder, and ends with the task. Enter, ~ and . leave\n"
                        "one that hangs.")  # fmt: skip
    parser.add_argument("id", metavar="ID", help=_TASK)
    add_via(parser)
    parser = group.verb("forward", forward, usage="opsconsole forward [options] ID PORTNAME [LOCALPORT]",
                        epilog="Whatever connects to the address that is printed is connected to the task's port of this name (submit\n"
                        "--port NAME), until Ctrl-C.")  # fmt: skip
    parser.add_argument("id", metavar="ID", help=_TASK)
    parser.add_argument("port", metavar="PORTNAME", help="what the job calls the port")
    parser.add_argument(
        "local",
        metavar="LOCALPORT",
        nargs="?",
        type=whole,
        default=0,
        help="the port here, on 127.0.0.1 (one that is free)",
    )
    add_via(parser)


def execute(args: argparse.Namespace) -> int:
    """`opsconsole exec`."""
    from opsconsole.session.program import Program
    from opsconsole_protocol.stream.message import RunInTask, Via

    if not args.command:
        raise InvalidRequest("say what to run: opsconsole exec ID -- CMD…")
    purpose = RunInTask(task=args.id, argv=tuple(args.command))
    ended = with_client(args, lambda client: _carried(client, Program(purpose), Via(args.via)))
    return _code(ended)


def shell(args: argparse.Namespace) -> int:
    """`opsconsole shell`."""
    from opsconsole.session.program import Program
    from opsconsole_console.cli.raw_terminal import RawTerminal
    from opsconsole_protocol.stream.message import RunInTask, Via

    if not (os.isatty(0) and os.isatty(1)):
        raise InvalidRequest("a shell needs a terminal: use opsconsole exec ID -- CMD… in scripts")
    with RawTerminal() as terminal:
        program = Program(RunInTask(task=args.id, terminal=terminal.as_asked_for()), begin=terminal.begin)
        resize = lambda: program.resize(*terminal.size())  # noqa: E731
        ended = with_client(args, lambda client: _carried(client, program, Via(args.via), resize))
        terminal.is_clean = ended is not None and not ended.note
    return _code(ended)


def _code(ended: Exit | None) -> int:
    """The exit code, after what is to be said."""
    if ended is None:
        return 128 + signal.SIGINT
    if ended.note:
        say(f"opsconsole: {ended.note}")
    return ended.code


def forward(args: argparse.Namespace) -> int:
    """`opsconsole forward`."""
    from opsconsole.session.forward import Forward, listen
    from opsconsole_protocol.stream.message import ReachPort, Via

    listener = listen(args.local)
    shown: list[str] = []

    def stands() -> None:
        if not shown:
            shown.append(f"127.0.0.1:{listener.getsockname()[1]}")
            put(shown[0])
            sys.stdout.flush()

    with listener:
        one = Forward(ReachPort(task=args.id, port=args.port), listener, stands)
        with_client(args, lambda client: _forwarded(client, one, Via(args.via)), retry_for_s=RECONNECT_S)
    return 128 + signal.SIGINT


async def _forwarded(client: Client, one: Forward, via: Via) -> None:
    from opsconsole.transfer.carrier import Carrier

    carrier = Carrier(client)
    with _signals(lambda _: one.leave(), one.leave):
        await carrier.run(lambda load: one.run(load.asker, via, lambda line: say(f"opsconsole: {line}"), load.cancel))


async def _carried(
    client: Client, program: Program, via: Via, resize: Callable[[], object] | None = None
) -> Exit | None:
    """Run it in a thread, with the signals that come here."""
    from opsconsole.transfer.carrier import Carrier

    carrier = Carrier(client)
    with _signals(program.signal, program.leave, resize):
        return await carrier.run(lambda load: program.run(load.asker, via, _say_nothing, load.cancel))


@contextlib.contextmanager
def _signals(
    take: Callable[[int], bool], leave: Callable[[], object], resize: Callable[[], object] | None = None
) -> Iterator[None]:
    """Ctrl-C and TERM go to `take`, the first time. The second time this `leave`s; where `take` can't, this command ends at once.

    `resize` is called when the terminal has another size.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    sent: set[int] = set()

    def pass_on(number: int) -> None:
        if number in sent:
            leave()
        elif take(number):
            sent.add(number)
        elif task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, pass_on, number)
    if resize is not None:
        loop.add_signal_handler(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _say_nothing(_: str) -> None:
    """Which way is taken is nobody's concern while it works."""
