"""huey on SQLite with SLOTS worker processes, each task a subprocess: `huey_peer.py rate TASKS SLOTS BUDGET_S FOLDER`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from huey import SqliteHuey  # type: ignore[import-not-found]

huey = SqliteHuey(filename=os.environ.get("BENCH_HUEY", "huey.db"), results=True)


@huey.task()  # type: ignore[untyped-decorator]
def one() -> int:
    """A task."""
    return subprocess.run(["/bin/true"], check=False).returncode


def main() -> None:
    """Enqueue while the consumer runs, and count results until all is done or the time is over."""
    tasks, slots, budget_s = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    command = [str(Path(sys.executable).parent / "huey_consumer"), "huey_peer.huey", "-w", str(slots), "-k", "process"]
    command += ["-d", "0.01", "-m", "0.05", "-q"]
    consumer = subprocess.Popen(
        command, cwd=Path(__file__).parent, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    )
    try:
        one()
        while huey.result_count() < 1:
            time.sleep(0.01)
        began_s = time.perf_counter()
        enqueued = 0
        while enqueued < tasks and time.perf_counter() - began_s < budget_s:
            one()
            enqueued += 1
        while huey.result_count() < tasks + 1 and time.perf_counter() - began_s < budget_s:
            time.sleep(0.01)
        took_s = time.perf_counter() - began_s
        print(json.dumps({"rate": (huey.result_count() - 1) / took_s}), flush=True)
    finally:
        consumer.terminate()
        consumer.wait(20)


if __name__ == "__main__":
    # The consumer knows the task by this module's name, not by __main__.
    import huey_peer  # type: ignore[import-not-found]

    huey_peer.main()
