"""Which of the processes of an attempt is its first, and whether it minds a signal."""

import os
from collections.abc import Iterable
from signal import Signals

import psutil


def leader_of(pids: Iterable[int]) -> psutil.Process | None:
    """The process that an attempt began with, among its living ones; None where it has ended.

    It leads a session of its own. One that it put into another session, as `setsid` does, was made later, and as long as its parent
    lives it has that in the attempt. When a process was made is known to a hundredth of a second only: what a shell starts at once
    is as old as the shell.
    """
    alive = set(pids)
    found: list[tuple[bool, float, int, psutil.Process]] = []
    for pid in alive:
        try:
            process = psutil.Process(pid)
            if os.getsid(pid) == pid:
                found.append((process.ppid() in alive, process.create_time(), pid, process))
        except (psutil.Error, OSError):
            continue  # it has just ended
    return min(found, key=lambda one: one[:3])[3] if found else None


def minds(pid: int, signal: Signals) -> bool:
    """Whether a process has said what is to come of a signal: it catches, blocks or ignores it. Else the signal may end it.

    True where that can't be known.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - so that its folder can be seen to be the system's
            lines = file.read().splitlines()
    except OSError:
        return True
    masks = [int(line.split()[1], 16) for line in lines if line.startswith((b"SigBlk:", b"SigIgn:", b"SigCgt:"))]
    return not masks or any(mask >> (signal - 1) & 1 for mask in masks)
