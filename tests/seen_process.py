"""Processes that a test looks at. One that ends while it is looked at has ended: that is an answer, and no error.

Tests that look at processes of others use this and not psutil, which raises when a process ends between two calls.
"""

import contextlib
import signal
import time
from collections.abc import Iterator

import psutil

ENDED = "ended"


class SeenProcess:
    """One process; another that gets its number later isn't taken for it. A zombie has ended."""

    def __init__(self, process: psutil.Process) -> None:
        self.pid = process.pid
        self._process = process

    def __repr__(self) -> str:
        return f"<process {self.pid}: {self.status}, {self.command}>"

    @property
    def status(self) -> str:
        """As psutil calls it ("sleeping", "stopped", …), or ENDED."""
        with contextlib.suppress(psutil.NoSuchProcess):  # zombies are of this kind
            if self._process.is_running() and (status := self._process.status()) != psutil.STATUS_ZOMBIE:
                return str(status)
        return ENDED

    @property
    def is_alive(self) -> bool:
        """Whether it runs or stands still."""
        return self.status != ENDED

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still, and hasn't ended."""
        return self.status in {psutil.STATUS_STOPPED, psutil.STATUS_DISK_SLEEP}

    @property
    def command(self) -> list[str]:
        """Its command line; empty once it has ended, and where it is somebody else's secret."""
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return list(self._process.cmdline())
        return []

    @property
    def environ(self) -> dict[str, str]:
        """Its environment; empty once it has ended, and where it is somebody else's secret."""
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return dict(self._process.environ())
        return {}

    @property
    def user_id(self) -> int | None:
        """As which user it runs; None once it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return int(self._process.uids().effective)
        return None

    @property
    def threads(self) -> int:
        """How many threads it has; 0 once it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return int(self._process.num_threads())
        return 0

    @property
    def user_s(self) -> float:
        """How much processor time it has used outside of the kernel; 0 once it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return float(self._process.cpu_times().user)
        return 0.0

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens once it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.send_signal(number)

    def ends(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came."""
        deadline = time.monotonic() + timeout_s
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.is_alive

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self.signal(signal.SIGKILL)
        assert self.ends(10), f"{self!r} doesn't end"


def find(pid: int) -> SeenProcess | None:
    """The process with this number; None where there is none."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return SeenProcess(psutil.Process(pid))
    return None


def is_alive(pid: int) -> bool:
    """Whether there is a process with this number that hasn't ended."""
    process = find(pid)
    return process is not None and process.is_alive


def everyone() -> Iterator[SeenProcess]:
    """All processes of this machine that haven't ended."""
    for process in map(SeenProcess, psutil.process_iter()):
        if process.is_alive:
            yield process
