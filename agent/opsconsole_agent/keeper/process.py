"""Processes as /proc shows them, and signals that reach none but the process which is meant.

A pid alone is no identity, as it is used again. A process is identified by its pid and its start time.
"""

import os
import signal
import time

MARK = "OPSCONSOLE_ATTEMPT_UID"
_MARK_FIELD = MARK.encode() + b"="

Identity = tuple[int, int]
"""(pid, start time in clock ticks since boot)."""


class Process:
    """What /proc said of one process at one moment."""

    __slots__ = ("group", "parent", "pid", "session", "start_time", "state", "threads")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.state = fields[0].decode()
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.threads = int(fields[17])
        self.start_time = int(fields[19])

    @property
    def identity(self) -> Identity:
        """Pid and start time, which tell it from a later process with the same pid."""
        return self.pid, self.start_time

    @property
    def alive(self) -> bool:
        """Whether it lives: not for a zombie, unless only its first thread has ended."""
        return self.state not in {"Z", "X", "x"} or (self.state == "Z" and self.threads > 1)

    @property
    def stopped(self) -> bool:
        """Whether it can't run a single instruction now: stopped, traced, or dead."""
        return self.state in {"T", "t"} or not self.alive


def find_process(pid: int) -> Process | None:
    """Return the process as it is now, zombies included, or None when there is none."""
    try:
        descriptor = os.open(b"/proc/%d/stat" % pid, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(descriptor, 1024)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The name in brackets may hold anything, brackets too, so the fields are those after the last bracket.
    return Process(pid, line[line.rindex(b")") + 2 :].split(b" ", 20))


def read_name(pid: int) -> str:
    """Return the process's name; "?" when it has just ended."""
    try:
        descriptor = os.open(b"/proc/%d/comm" % pid, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "?"
    try:
        return os.read(descriptor, 64).decode(errors="replace").strip() or "?"
    except OSError:
        return "?"
    finally:
        os.close(descriptor)


def list_processes() -> dict[int, Process]:
    """Return every process that we may see, by pid."""
    found: dict[int, Process] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  (the keeper doesn't import pathlib)
        if name.isdigit() and (process := find_process(int(name))) is not None:
            found[process.pid] = process
    return found


_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def now_ticks() -> int:
    """Return the present on the scale of start times, in clock ticks since boot, rounded down as the kernel does."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK_NS


def boot_id() -> str:
    """Return the id of this run of the kernel, within which alone pids and start times mean anything."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:  # noqa: PTH123
        return file.read().strip()


def read_mark(pid: int) -> str | None:
    """Return the attempt id in the environment that the process started with; "" when there is none in it.

    None when the environment is empty or may not be read, and at the moment when the process becomes another program.
    """
    fields = _read_environ(pid)
    if fields is None:
        return None
    for field in fields:
        if field.startswith(_MARK_FIELD):
            return field[len(_MARK_FIELD) :].decode(errors="replace")
    return ""


def read_environment(pid: int) -> dict[str, str] | None:
    """Return the environment that the process started with, or None as `read_mark` does."""
    fields = _read_environ(pid)
    if fields is None:
        return None
    return {
        os.fsdecode(name): os.fsdecode(value) for name, mark, value in (one.partition(b"=") for one in fields) if mark
    }


def _read_environ(pid: int) -> list[bytes] | None:
    try:
        descriptor = os.open(b"/proc/%d/environ" % pid, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        environment = b""
        while chunk := os.read(descriptor, 1 << 16):
            environment += chunk
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return environment.split(b"\0") if environment.strip(b"\0") else None


def send_signal(process: Process, signum: int) -> bool:
    """Signal this process and no other. Return True when it was sent or the process has ended, False when we may not."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    except OSError:
        return _send_signal_by_pid(process, signum)
    try:
        now = find_process(process.pid)  # read after the open: the descriptor names this process for good
        if now is not None and now.identity == process.identity:
            signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(descriptor)
    return True


def _send_signal_by_pid(process: Process, signum: int) -> bool:
    """Signal it on a kernel without pidfd (before 5.3), or in a sandbox that forbids it."""
    now = find_process(process.pid)
    if now is None or now.identity != process.identity:
        return True
    try:
        os.kill(process.pid, signum)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def send_signal_to_group(group: int, signum: int) -> None:
    """Signal a process group, but never our own. Unlike a walk over processes it misses none that is being forked."""
    if group <= 1 or group == os.getpgrp():
        return
    try:
        os.killpg(group, signum)
    except OSError:  # it is gone, or not ours; every process is signalled by itself, too
        return


class Children:
    """Reads the pids of this single-threaded process's children, zombies included, in three system calls."""

    def __init__(self) -> None:
        pid = os.getpid()
        try:
            self._file = os.open(f"/proc/self/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without CONFIG_PROC_CHILDREN
            self._file = -1

    def pids(self) -> list[int]:
        """Return all of them: a child stays in the list until we reap it."""
        if self._file < 0:
            own_pid = os.getpid()
            return [process.pid for process in list_processes().values() if process.parent == own_pid]
        os.lseek(self._file, 0, os.SEEK_SET)
        text = b""
        while chunk := os.read(self._file, 1 << 16):
            text += chunk
        return [int(word) for word in text.split()]
