"""A task of the load, run by itself: it writes down its own truth, whatever becomes of those who should keep it.

    task.py FOLDER LINES SECONDS CODES [deaf] [waits]

Prints LINES numbered lines within SECONDS and ends with its attempt's one of the CODES (`7,0`: the first attempt fails;
the last one is for all later). A deaf one ignores TERM; one that waits doesn't end before there is a FOLDER/go. To FOLDER/ledger it appends a line at its start and one at its
end. How many other tasks its worker runs at its start it knows by locks, which the kernel takes from whoever dies.
"""

# It starts in a few milliseconds, as hundreds of them have to: without pathlib.
# ruff: noqa: PTH103, PTH104, PTH108, PTH110, PTH208

import contextlib
import fcntl
import os
import signal
import sys
import time


def main() -> int:
    """The whole life of a task."""
    folder, lines, seconds, codes = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4].split(",")
    if "deaf" in sys.argv[5:]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    uid, worker = os.environ["OPSCONSOLE_ATTEMPT_UID"], os.environ["OPSCONSOLE_WORKER_ID"]
    task, attempt = os.environ["OPSCONSOLE_TASK_ID"], int(os.environ["OPSCONSOLE_ATTEMPT_ID"])
    ledger = os.open(f"{folder}/ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    pid = os.getpid()
    peers = _peers(f"{folder}/living-{worker}", f"{uid}.{pid}")
    _note(ledger, "start", uid, task, attempt, worker, pid, peers, time.time_ns(), lines)
    for number in range(1, lines + 1):
        os.write(1, f"{attempt} {number}/{lines}\n".encode())
        time.sleep(seconds / lines)
    while "waits" in sys.argv[5:] and not os.path.exists(f"{folder}/go"):
        time.sleep(0.05)
    code = int(codes[min(attempt, len(codes) - 1)])
    _note(ledger, "end", uid, pid, time.time_ns(), code)
    return code


def _note(ledger: int, *words: object) -> None:
    """In one write: tasks of several workers share the file."""
    os.write(ledger, (" ".join(map(str, words)) + "\n").encode())


def _peers(folder: str, name: str) -> int:
    """How many others of this folder live; from now on we are one of them."""
    os.makedirs(folder, exist_ok=True)
    own = os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(own, fcntl.LOCK_EX)
    os.rename(f"{folder}.{name}", f"{folder}/{name}")  # nobody sees it unlocked while we live
    return sum(_lives(f"{folder}/{other}") for other in os.listdir(folder) if other != name)


def _lives(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        with contextlib.suppress(FileNotFoundError):  # another has seen the same
            os.unlink(path)
        return False
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
