"""`opsconsole exec`, `shell` and `forward`: into a task that runs."""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from opsconsole_console.cli.content_option import add_via
from opsconsole_console.cli.output import say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole.session.program import Program
    from opsconsole_protocol.session.frame import Exit
    from opsconsole_protocol.stream.message import RunInTask, Via

_TASK = "a job that runs, its first characters, or JOB/task-N"


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("exec", execute, usage="opsconsole exec [options] ID -- CMD…",
                        epilog="CMD runs in the task's environment and working folder, and ends with the task. Its stdin, stdout and\n"
                        "stderr are those of this command, and so is its exit code. Ctrl-C interrupts it; twice, it is left and ended.")  # fmt: skip
    parser.add_argument("id", metavar="ID", help=_TASK)
    add_via(parser)
    parser.set_defaults(takes_command=True)


def execute(args: argparse.Namespace) -> int:
    """`opsconsole exec`."""
    from opsconsole_protocol.stream.message import RunInTask, Via

    if not args.command:
        raise InvalidRequest("say what to run: opsconsole exec ID -- CMD…")
    return _run(args, RunInTask(task=args.id, argv=tuple(args.command)), Via(args.via))


def _run(args: argparse.Namespace, purpose: RunInTask, via: Via) -> int:
    from opsconsole.session.program import Program

    program = Program(purpose)
    ended = with_client(args, lambda client: _carried(client, program, via))
    if ended is None:
        return 128 + signal.SIGINT
    if ended.note:
        say(f"opsconsole: {ended.note}")
    return ended.code


async def _carried(client: Client, program: Program, via: Via) -> Exit | None:
    """Run it in a thread, with the signals that come here."""
    from opsconsole.transfer.carrier import Carrier

    carrier = Carrier(client)
    with _signals(program):
        return await carrier.run(lambda load: program.run(load.asker, via, _say_nothing, load.cancel))


@contextlib.contextmanager
def _signals(program: Program) -> Iterator[None]:
    """Ctrl-C and TERM are the program's, the first time. Before it runs, and the second time, they end this command."""
    import asyncio

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    sent: set[int] = set()

    def pass_on(number: int) -> None:
        if number in sent:
            program.leave()
        elif program.signal(number):
            sent.add(number)
        elif task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, pass_on, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _say_nothing(_: str) -> None:
    """Which way is taken is nobody's concern while it works."""
