"""Start a keeper and wait until it listens."""

import asyncio
import os
import sys
from pathlib import Path

from opsconsole_agent.keeper import main as keeper_main
from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.process import MARK
from opsconsole_agent.keeper.service import LOG_NAME
from opsconsole_agent.keeper.startup import EXIT_LOCKED
from opsconsole_protocol.error import Unavailable

READY = b"ready\n"
_OWN_PREFIX = "OPSCONSOLE_"
_LOG_TAIL_BYTES = 400
_born: set[int] = set()


async def start_keeper(state_dir: Path, idle_s: float | None, timeout_s: float, key: str = "") -> bool:
    """Start a keeper for this folder; False when there is to be another look, for somebody else's or for a new one.

    `key`: what the one before sealed its log with, in hexadecimal. Raises Unavailable with what it said, and OSError.
    """
    bury()
    arguments = [sys.executable, "-I", "-S", "-X", "utf8", keeper_main.__file__, str(state_dir)]
    if idle_s is not None:
        arguments.append(str(idle_s))
    log, _ = state_file.open_or_renew(str(state_dir / LOG_NAME), os.O_WRONLY | os.O_APPEND)
    reader, writer = os.pipe()
    key_reader, key_writer = os.pipe()
    try:
        os.write(key_writer, key.encode())  # a pipe holds far more
        pid = _spawn(arguments, key_reader, writer, log)
    finally:
        for descriptor in (writer, key_reader, key_writer, log):
            os.close(descriptor)
    try:
        said = await asyncio.wait_for(_read_all(reader, READY), timeout_s)
    except asyncio.CancelledError:
        _born.add(pid)
        raise
    except TimeoutError:
        _born.add(pid)
        raise Unavailable(f"the keeper didn't start within {timeout_s:g} s; see {state_dir / LOG_NAME}") from None
    finally:
        os.close(reader)
    if said == READY:
        _born.add(pid)
        return True
    code = _exit_code(pid)
    if code == EXIT_LOCKED or code < 0:  # another one lives; or this one was killed, which is no fault of the next
        return False
    raise Unavailable(f"the keeper ended with code {code}: {_tail(state_dir / LOG_NAME)}")


def bury() -> None:
    """Reap keepers that we started and that have ended since."""
    for pid in list(_born):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            _born.discard(pid)


def _exit_code(pid: int) -> int:
    """Of a keeper that is ending: it has closed its end of the pipe."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_our_child(pid: int) -> bool:
    """Whether this is a keeper that we have started ourselves."""
    return pid in _born


def _spawn(arguments: list[str], key: int, output: int, log: int) -> int:
    """In a session of its own, and not through subprocess, which would take its outliving us for a mistake."""
    # Our own variables hold tokens, and no keeper needs them; except the mark, if we run within an attempt ourselves.
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIX) or name == MARK}
    return os.posix_spawn(
        arguments[0],
        arguments,
        env,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, key, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setsid=True,
    )


async def _read_all(descriptor: int, enough: bytes) -> bytes:
    """What can be read until the end, or until it is `enough`."""
    os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()
    said = b""
    while said != enough:
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
        chunk = os.read(descriptor, len(enough))
        if not chunk:
            break
        said += chunk
    return said


def _tail(log: Path) -> str:
    try:
        return state_file.read_end(str(log), _LOG_TAIL_BYTES).decode(errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return f"see {log}"
