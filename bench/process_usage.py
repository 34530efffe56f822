"""What processes on this machine use, and which of them are keepers."""

import contextlib
from collections.abc import Iterator

import psutil


def read_cpu_s(pid: int) -> float:
    """Processor time of a process so far, in seconds."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def read_memory_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10^6 bytes)."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def children(pid: int) -> list[int]:
    """The pids of what a process has started, and of what these have."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def keepers(state_dir: str) -> Iterator[int]:
    """Yield the pids of the living keepers of a state folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            is_keeper = any(part.endswith("keeper/main.py") for part in command)
            if is_keeper and state_dir in command and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
