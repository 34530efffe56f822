"""A process tree that counts: a leader, its child, and a daemon that left its session. `python tree.py FOLDER`."""

import os
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[1])


def count(name: str) -> None:
    (FOLDER / f"{name}.pid").write_text(str(os.getpid()))
    number = 0
    while True:
        number += 1
        (FOLDER / f"{name}.tmp").write_text(str(number))
        (FOLDER / f"{name}.tmp").rename(FOLDER / name)
        time.sleep(0.01)


FOLDER.mkdir(exist_ok=True)
if os.fork() == 0:
    count("child")
if os.fork() == 0:
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    count("daemon")
count("leader")
