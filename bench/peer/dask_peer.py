"""Dask distributed with one worker of SLOTS threads, each task a subprocess: `dask_peer.py rate TASKS SLOTS BUDGET_S`."""

import json
import os
import subprocess
import sys
import time

from distributed import Client, LocalCluster  # type: ignore[import-not-found]


def one(number: int) -> int:
    """A task."""
    del number
    return subprocess.run(["/bin/true"], check=False).returncode


def main() -> None:
    """Submit, and count until all is done or the time is over."""
    tasks, slots, budget_s = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    cluster = LocalCluster(n_workers=1, threads_per_worker=slots, dashboard_address=None)
    client = Client(cluster)
    client.submit(one, -1, pure=False).result()
    began_s = time.perf_counter()
    futures = client.map(one, range(tasks), pure=False)
    while time.perf_counter() - began_s < budget_s and not futures[-1].done():
        time.sleep(0.01)
    while time.perf_counter() - began_s < budget_s and not all(future.done() for future in futures):
        time.sleep(0.01)
    took_s = time.perf_counter() - began_s
    done = sum(future.done() for future in futures)
    print(json.dumps({"rate": done / took_s}), flush=True)
    client.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
