"""From a command line to a keeper that nothing but its own idleness ends."""

# The keeper doesn't import pathlib.
# ruff: noqa: PTH110, PTH202

import ctypes
import fcntl
import os
import signal
import sys

from opsconsole_agent.keeper.launch import take_descriptors
from opsconsole_agent.keeper.service import LOG_NAME, Service

IDLE_S = 60.0
LOCK_NAME = "keeper.lock"
EXIT_USAGE = 2
EXIT_LOCKED = 3
_LOG_BYTES_MAX = 1 << 20
_FD_MAX = 1 << 16
_PR_SET_CHILD_SUBREAPER = 36


def run(arguments: list[str]) -> int:
    """The whole life of a keeper; returns its exit code."""
    if len(arguments) not in {1, 2} or not _is_seconds(arguments[-1] if len(arguments) == 2 else "0"):
        sys.stderr.write("usage: main.py STATE_DIR [IDLE_S]\n")
        return EXIT_USAGE
    idle_s = float(arguments[1]) if len(arguments) == 2 else IDLE_S
    try:
        os.chdir(arguments[0])
    except OSError as error:
        sys.stderr.write(f"keeper: can't enter {arguments[0]}: {os.strerror(error.errno or 0)}\n")
        return EXIT_USAGE
    os.closerange(3, _FD_MAX)
    lock = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return EXIT_LOCKED
    _detach()
    take_descriptors()
    service = Service(idle_s)
    _announce()
    return service.run()


def _is_seconds(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False


def _detach() -> None:
    """Become nobody's job: own session, deaf to the terminal, parent of every orphan below us."""
    if os.getpid() != os.getpgrp():  # no group leader may; such a one, started by a shell, ignores signals all the same
        os.setsid()
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.path.exists(LOG_NAME) and os.path.getsize(LOG_NAME) > _LOG_BYTES_MAX:
        os.truncate(LOG_NAME, 0)
    _redirect(2)


def _announce() -> None:
    """Tell who waits on our output that the socket is there, and let go of it."""
    try:
        os.write(1, b"ready\n")
    except OSError as error:
        sys.stderr.write(f"nobody waits for this keeper: {error.strerror}\n")
    _redirect(1)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _redirect(descriptor: int) -> None:
    log = os.open(LOG_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(log, descriptor)
    os.close(log)
