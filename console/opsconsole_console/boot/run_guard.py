"""Ends the job of an `opsconsole run` that has ended, in whatever way, and removes its folder.

A process of its own, as `python -I -m opsconsole_console.boot.run_guard JOB_ID FOLDER GRACE_S`: the run holds the other end of
its stdin, which closes even when the run is killed outright. A run that ends properly leaves nothing to end; then the
guard only shows that, and tidies up.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from opsconsole_agent.keeper.process import Process, list_processes, read_mark

AGENT_FOLDER = "agent"
_LOOK_S = 0.02
_GIVE_UP_S = 10.0
_DEAF = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def start_guard(job_id: str, folder: Path, grace_ms: int) -> subprocess.Popen[bytes]:
    """Start a guard for this process. Closing its stdin is what sets it off."""
    command = [
        sys.executable,
        "-I",
        "-m",
        "opsconsole_console.boot.run_guard",
        job_id,
        str(folder),
        str(grace_ms / 1000),
    ]
    null = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True, cwd="/")


def end_job(job_id: str, folder: Path, grace_s: float) -> bool:
    """Send TERM to all processes of the job, and KILL after the grace time, until none is left.

    Return whether that came about in time.
    """
    deadline = time.monotonic() + grace_s
    give_up = deadline + _GIVE_UP_S
    termed: set[tuple[int, int]] = set()
    while left := _members(job_id, folder):
        now = time.monotonic()
        if now > give_up:
            return False
        for process in left:
            if now >= deadline:
                _signal(process, signal.SIGKILL)
            elif process.identity not in termed:
                termed.add(process.identity)
                _signal(process, signal.SIGTERM)
                _signal(process, signal.SIGCONT)  # a stopped one hears TERM only then
        time.sleep(_LOOK_S)
    return True


def _members(job_id: str, folder: Path) -> list[Process]:
    """Every live process of the job: marked, in an attempt's folder, or descended from such a one or from the keeper."""
    table = list_processes()
    keepers = _keepers(table, folder)
    members = {pid for pid in table if pid not in keepers and _is_marked(pid, job_id)}
    ancestors = members | keepers
    grown = True
    while grown:
        children = {pid for pid, process in table.items() if process.parent in ancestors and pid not in ancestors}
        grown = bool(children)
        ancestors |= children
        members |= children
    members.discard(os.getpid())
    return [table[pid] for pid in members if table[pid].alive]


def _is_marked(pid: int, job_id: str) -> bool:
    mark = read_mark(pid)
    return bool(mark) and mark is not None and mark.startswith(f"{job_id}.")


def _keepers(table: dict[int, Process], folder: Path) -> set[int]:
    """Processes that work in the agent's folder itself: the keeper, which tasks are children of."""
    home = str(folder / AGENT_FOLDER)
    found: set[int] = set()
    for pid in table:
        with contextlib.suppress(OSError):
            if str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)") == home:
                found.add(pid)
    return found - {os.getpid()}


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, number)


def main(arguments: list[str]) -> int:
    """Wait for the run to end, then see to it that its job has."""
    job_id, folder, grace_s = arguments[0], Path(arguments[1]), float(arguments[2])
    for number in _DEAF:
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass  # nothing is said; only the end matters
    ended = end_job(job_id, folder, grace_s)
    for pid in _keepers(list_processes(), folder):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if ended else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
