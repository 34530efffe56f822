"""The start of a keeper: arguments, the lock, and what keeps others from ending it."""

import ctypes
import fcntl
import os
import select
import signal
import stat
import sys

from opsconsole_agent.keeper import state_file
from opsconsole_agent.keeper.launch import raise_descriptor_limit
from opsconsole_agent.keeper.mac_chain import KEY_BYTES
from opsconsole_agent.keeper.service import LOG_NAME, Service

IDLE_S = 60.0
LOCK_NAME = "keeper.lock"
EXIT_USAGE = 2
EXIT_LOCKED = 3
_LOG_BYTES_MAX = 1 << 20
_FD_MAX = 1 << 16
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_DUMPABLE = 4


def run(arguments: list[str]) -> int:
    """Be a keeper from start to end and return its exit code."""
    if len(arguments) not in {1, 2} or not _is_seconds(arguments[-1] if len(arguments) == 2 else "0"):
        sys.stderr.write("usage: main.py STATE_DIR [IDLE_S]\n")
        return EXIT_USAGE
    idle_s = float(arguments[1]) if len(arguments) == 2 else IDLE_S
    try:
        os.chdir(arguments[0])
    except OSError as error:
        sys.stderr.write(f"keeper: can't enter {arguments[0]}: {os.strerror(error.errno or 0)}\n")
        return EXIT_USAGE
    key = _read_key()
    os.closerange(3, _FD_MAX)
    lock, set_aside = state_file.open_or_renew(LOCK_NAME, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return EXIT_LOCKED
    _detach()
    if set_aside:
        sys.stderr.write(f"{set_aside}\n")
    raise_descriptor_limit()
    service = Service(idle_s, key)
    _announce()
    return service.run()


def _is_seconds(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False


def _read_key() -> bytes | None:
    """Return the key that the agent wrote into our stdin before it started us, or None without one. Never waits."""
    try:
        if not stat.S_ISFIFO(os.fstat(0).st_mode) or not select.select([0], [], [], 0)[0]:
            return None
        key = bytes.fromhex(os.read(0, 2 * KEY_BYTES + 1).decode())
    except (OSError, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _detach() -> None:
    """Leave the session and the terminal, adopt every orphan below us, and keep debuggers out."""
    if (
        os.getpid() != os.getpgrp()
    ):  # a group leader may not; a shell starts us as one, and then ignoring signals has to do
        os.setsid()
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # our memory holds the key of the exit log
    _redirect(2)
    if os.fstat(2).st_size > _LOG_BYTES_MAX:
        os.ftruncate(2, 0)


def _announce() -> None:
    """Tell the agent, which reads our stdout, that the socket is there; then let go of stdin and stdout."""
    try:
        os.write(1, b"ready\n")
    except OSError as error:
        sys.stderr.write(f"nobody waits for this keeper: {error.strerror}\n")
    _redirect(1)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _redirect(descriptor: int) -> None:
    log, _ = state_file.open_or_renew(LOG_NAME, os.O_WRONLY | os.O_APPEND)
    os.dup2(log, descriptor)
    os.close(log)
