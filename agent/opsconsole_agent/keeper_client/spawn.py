"""Starting a keeper, as a child process that outlives us."""

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
_children: set[int] = set()


async def start_keeper(state_dir: Path, idle_s: float | None, timeout_s: float, key: str = "") -> bool:
    """Start a keeper for this folder and wait until it listens. Return False when the caller has to try again.

    That is so when another keeper holds the folder, or when the new one was killed. `key`: the key of the earlier
    keeper's log, in hexadecimal, or "". Raises Unavailable with what the new one said, and OSError.
    """
    reap_keepers()
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
        received = await asyncio.wait_for(_read_all(reader, READY), timeout_s)
    except asyncio.CancelledError:
        _children.add(pid)
        raise
    except TimeoutError:
        _children.add(pid)
        raise Unavailable(f"the keeper didn't start within {timeout_s:g} s; see {state_dir / LOG_NAME}") from None
    finally:
        os.close(reader)
    if received == READY:
        _children.add(pid)
        return True
    code = _exit_code(pid)
    if code == EXIT_LOCKED or code < 0:  # another one lives, or this one was killed
        return False
    raise Unavailable(f"the keeper ended with code {code}: {_last_line(state_dir / LOG_NAME)}")


def reap_keepers() -> None:
    """Reap the keepers that we started and that have ended."""
    for pid in list(_children):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            _children.discard(pid)


def _exit_code(pid: int) -> int:
    """Return the exit code of a keeper that has closed its end of the pipe, and so is ending."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_our_child(pid: int) -> bool:
    """Whether this is a keeper that we started ourselves and haven't reaped."""
    return pid in _children


def _spawn(arguments: list[str], key: int, output: int, log: int) -> int:
    """Start it in a session of its own. `subprocess` warns when a child outlives its object, so it isn't used."""
    # Our own variables hold tokens, and a keeper needs none of them but the mark, if we run within an attempt ourselves.
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
    """Read until the end, or until what was read is `enough`."""
    os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()
    received = b""
    while received != enough:
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
        chunk = os.read(descriptor, len(enough))
        if not chunk:
            break
        received += chunk
    return received


def _last_line(log: Path) -> str:
    try:
        return state_file.read_end(str(log), _LOG_TAIL_BYTES).decode(errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return f"see {log}"
