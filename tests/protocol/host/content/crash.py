"""Processes that die at a chosen point."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

EVENTS = {"open", "os.rename", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.utime"}


def die_after(count: int) -> None:
    """Let this process die before the given one of its system calls that change something."""
    left = count

    def step() -> None:
        nonlocal left
        if left == 0:
            os._exit(9)
        left -= 1

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in EVENTS and not (event == "open" and not _writes(arguments)):
            step()

    true = os.pwrite

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        step()
        half = true(descriptor, data[: len(data) // 2], offset)
        step()
        return half + true(descriptor, data[half:], offset + half)

    sys.addaudithook(hook)
    os.pwrite = pwrite


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))


def fork(work: Callable[[], None]) -> int:
    """Do something in a process of its own, which goes on meanwhile. Returns its id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of this process may go on
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def wait(child: int) -> int:
    """The exit code of such a process, or the signal that killed it, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], None]) -> int:
    """Do something in a process of its own. Returns its exit code."""
    return wait(fork(work))
