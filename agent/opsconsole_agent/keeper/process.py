"""Processes as /proc shows them: who they are, whose children, whether they live, and signals that can't go astray.

A pid alone is not an identity: it is used again. A process is its pid and its start time (clock ticks since boot).
"""

import os
import signal
import time

MARK = "OPSCONSOLE_ATTEMPT_UID"
_MARK_FIELD = MARK.encode() + b"="

Identity = tuple[int, int]
"""(pid, start time in clock ticks since boot)."""


class Process:
    """One look at one process."""

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
        """What tells it from a later process with the same pid."""
        return self.pid, self.start_time

    @property
    def alive(self) -> bool:
        """False for a zombie, unless only its first thread has ended."""
        return self.state not in {"Z", "X", "x"} or (self.state == "Z" and self.threads > 1)

    @property
    def stopped(self) -> bool:
        """Whether it can't run a single instruction now: stopped, traced, or dead."""
        return self.state in {"T", "t"} or not self.alive


def look(pid: int) -> Process | None:
    """The process as it is now, zombies included; None when there is none."""
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
    # The name in brackets may hold anything, so fields count from its last bracket.
    return Process(pid, line[line.rindex(b")") + 2 :].split(b" ", 20))


def name_of(pid: int) -> str:
    """What the kernel calls it; "?" when it has just ended."""
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


def look_at_all() -> dict[int, Process]:
    """Every process that we may see, by pid."""
    found: dict[int, Process] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  (pathlib is too heavy for this process)
        if name.isdigit() and (process := look(int(name))) is not None:
            found[process.pid] = process
    return found


_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def now_ticks() -> int:
    """The present on the scale of start times, rounded down as the kernel rounds those."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK_NS


def boot_id() -> str:
    """Names this run of the kernel; pids and start times mean nothing beyond it."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:  # noqa: PTH123
        return file.read().strip()


def read_mark(pid: int) -> str | None:
    """The attempt id in the environment that the process started with; "" when it carries none.

    None without any environment, when we may not look, and for the instant of becoming another program.
    """
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
    if not environment.strip(b"\0"):
        return None
    for field in environment.split(b"\0"):
        if field.startswith(_MARK_FIELD):
            return field[len(_MARK_FIELD) :].decode(errors="replace")
    return ""


def send(process: Process, signum: int) -> bool:
    """Signal this process and no other. False when we are not allowed to; True when sent, or when it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    except OSError:
        return _send_by_pid(process, signum)
    try:
        now = look(process.pid)  # after the open: the descriptor pins whom we look at
        if now is not None and now.identity == process.identity:
            signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(descriptor)
    return True


def _send_by_pid(process: Process, signum: int) -> bool:
    """For kernels without pidfd (before 5.3) and sandboxes that forbid it."""
    now = look(process.pid)
    if now is None or now.identity != process.identity:
        return True
    try:
        os.kill(process.pid, signum)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def send_to_group(group: int, signum: int) -> None:
    """Signal a process group; unlike a walk, no fork can slip through within it. Never our own group."""
    if group <= 1 or group == os.getpgrp():
        return
    try:
        os.killpg(group, signum)
    except OSError:  # gone, or not ours: the walk signals every single process anyhow
        return


class Children:
    """The pids of this single-threaded process's children, zombies included, in three system calls."""

    def __init__(self) -> None:
        pid = os.getpid()
        try:
            self._file = os.open(f"/proc/self/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without CONFIG_PROC_CHILDREN
            self._file = -1

    def pids(self) -> list[int]:
        """A complete list: nobody but ourselves takes entries away, by reaping."""
        if self._file < 0:
            me = os.getpid()
            return [process.pid for process in look_at_all().values() if process.parent == me]
        os.lseek(self._file, 0, os.SEEK_SET)
        text = b""
        while chunk := os.read(self._file, 1 << 16):
            text += chunk
        return [int(word) for word in text.split()]
