"""What the kernel tells about one process, read straight from /proc: psutil costs five times as much for this."""

import os
from typing import NamedTuple

TICKS_PER_S: int = os.sysconf("SC_CLK_TCK")


class ProcessSample(NamedTuple):
    """One process. A pid alone is no identity: `start_ticks` since boot tell it from a later one of the same number."""

    pid: int
    parent: int
    start_ticks: int
    cpu_ticks: int
    """Its own time, user and system."""
    children_ticks: int
    """That of its children which have ended and were waited for, and theirs."""
    zombie: bool
    resident_pages: int
    """By the kernel's quick count; a change of it is what makes the exact figures below be read again."""
    private_kb: int = 0
    """Anonymous memory; pages shared by a fork that nobody wrote to since count in each."""
    shared_kb: int = 0
    """Resident files and shared memory."""
    peak_kb: int = 0
    """The most that private and shared together ever were."""


def read_process(pid: int, known: ProcessSample | None = None) -> ProcessSample | None:
    """Look at a process; None if there is none (any more). `known` is its last sample, which saves half the work."""
    try:
        process = _parse(pid, _read(f"/proc/{pid}/stat"))
        if process.zombie:
            return process
        if known is not None and (known.start_ticks, known.resident_pages) == (
            process.start_ticks,
            process.resident_pages,
        ):
            return process._replace(private_kb=known.private_kb, shared_kb=known.shared_kb, peak_kb=known.peak_kb)
        status = _read(f"/proc/{pid}/status")
        return process._replace(
            private_kb=_kb(status, b"\nRssAnon:"),
            shared_kb=_kb(status, b"\nRssFile:") + _kb(status, b"\nRssShmem:"),
            peak_kb=_kb(status, b"\nVmHWM:"),
        )
    except (OSError, ValueError, IndexError):  # it ended before or between the two
        return None


def _memory_mark(process: ProcessSample) -> tuple[int, int]:
    return process.start_ticks, process.resident_pages


def _parse(pid: int, stat: bytes) -> ProcessSample:
    # The name is in parentheses and may hold blanks and parentheses itself: fields are counted from the last one.
    fields = stat[stat.rindex(b")") + 2 :].split(None, 22)
    return ProcessSample(
        pid,
        parent=int(fields[1]),
        start_ticks=int(fields[19]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        children_ticks=int(fields[13]) + int(fields[14]),
        zombie=fields[0] in b"ZX",
        resident_pages=int(fields[21]),
    )


def _kb(status: bytes, label: bytes) -> int:
    """A zombie has no memory lines."""
    at = status.find(label)
    if at < 0:
        return 0
    begin = at + len(label)
    return int(status[begin : status.index(b"kB", begin)])


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
