"""HyperQueue as PyPI ships it: server and worker as threads of one process, and its Python client.

python hyperqueue_peer.py rate TASKS SLOTS BUDGET_S    {"rate": tasks/s}
python hyperqueue_peer.py latency REPEATS FOLDER       {"started_ms": [submit → the task's own clock, ...]}
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from hyperqueue import Job, LocalCluster  # type: ignore[import-not-found]
from hyperqueue.cluster import WorkerConfig  # type: ignore[import-not-found]


def rate(tasks: int, slots: int, budget_s: float) -> None:
    """Its client tells of progress once a second; the rate is that between the first and the last word."""
    with LocalCluster(worker_config=WorkerConfig(cores=slots)) as cluster:
        client = cluster.client()
        job = Job()
        for _ in range(tasks):
            job.program(["/bin/true"])
        samples: list[tuple[float, int]] = [(time.perf_counter(), 0)]

        def note(jobs: dict[int, dict[str, int]]) -> None:
            samples.append((time.perf_counter(), sum(one["finished"] for one in jobs.values())))

        submitted = client.submit(job)
        waiting = threading.Thread(target=client.connection.wait_for_jobs, args=([submitted.id], note), daemon=True)
        waiting.start()
        waiting.join(budget_s)
        running = [one for one in samples if one[1] < tasks]
        (from_s, first), (to_s, last) = running[0], running[-1]
        if last == first:  # all was done before the first word
            (to_s, last) = samples[-1]
        print(json.dumps({"rate": (last - first) / (to_s - from_s)}), flush=True)
        os._exit(0)  # it has no way to give a job up


def latency(repeats: int, folder: Path) -> dict[str, object]:
    """One task at a time, with pauses, through a connection that stands."""
    times: list[float] = []
    with LocalCluster(worker_config=WorkerConfig(cores=2)) as cluster:
        client = cluster.client()
        for number in range(repeats + 2):
            path = folder / f"hq-{number}"
            job = Job()
            job.program(["/bin/sh", "-c", 'exec date +%s%N >"$0.new"', str(path)])
            began_ns = time.time_ns()
            client.submit(job)
            new = Path(f"{path}.new")
            while not (new.exists() and (text := new.read_text()).endswith("\n")):
                time.sleep(0.005)
            if number >= 2:
                times.append((int(text) - began_ns) / 1e6)
            time.sleep(0.05)
    return {"started_ms": times}


if __name__ == "__main__":
    if sys.argv[1] == "rate":
        rate(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        print(json.dumps(latency(int(sys.argv[2]), Path(sys.argv[3]))))
