"""A coordinator with 100,000 waiting jobs and no worker: memory, a start after kill -9, and who is held up by a submission.

`python -m bench.waiting URL TOKEN SEED` is the process that submits; see `simulation` for the pipes. Its command:

    {"do": "submit", "jobs": N, "requests": R}   N jobs through the client, in R requests one after the other; the seconds
"""

import asyncio
import contextlib
import itertools
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.deployment import Deployment, wait_for
from bench.process_usage import read_cpu_s, read_memory_mb
from bench.row import Row
from bench.scheduler import KINDS
from bench.simulation import Simulation, serve
from opsconsole import Client, JobSpec, SyncClient
from opsconsole_coordinator.store.schema import prepare

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.coordinator.store.history import fill

JOBS = 100_000
AT_ONCE = 10_000
ENDED_TASKS = 20_000
"""What ran before: a start reads the runs of the last jobs for estimates."""
ROUNDS = 3
ASK_EVERY_S = 0.01
SETTLE_S = 2.0
TIMEOUT_S = 120.0


def run(base: Path, jobs: int = JOBS, at_once: int = AT_ONCE) -> Iterator[Row]:
    """Yield rows of the submissions, of memory, and of starts."""
    deployment = Deployment(base)
    _fill(deployment)
    with deployment, Simulation("bench.waiting", deployment.url, deployment.token, 1) as submitter:
        for _ in range(max(0, jobs - 2 * at_once) // at_once):
            submitter.ask("submit", jobs=at_once, requests=10)
        for requests in (10, 1):
            yield from _submission(deployment, submitter, at_once, requests)
        memory_mb = _settled_memory_mb(deployment)
        title = f"coordinator, {jobs:,} jobs wait, no worker"
        method = "resident; each job has another command, ten kinds of resources, five projects"
        yield Row("waiting", f"{title}: memory after they came", f"{memory_mb:.0f} MB", method, bar="≤ 150 MB",
            met=memory_mb <= 150)  # fmt: skip
        rounds = [_start(deployment) for _ in range(ROUNDS)]
    serving_s, cpu_s, memory_mb = (statistics.median(figures) for figures in zip(*rounds, strict=True))
    worst_s = max(serving for serving, _, _ in rounds)
    method = f"median of {ROUNDS} (worst {worst_s:.2f}); until /health answers 200; {cpu_s:.2f} s of processor time until then"
    yield Row("waiting", f"{title}: start after kill -9 → serving", f"{serving_s:.2f} s", method, bar="≤ 2 s",
        met=serving_s <= 2)  # fmt: skip
    yield Row("waiting", f"{title}: memory after a start", f"{memory_mb:.0f} MB", "resident", bar="≤ 150 MB",
        met=memory_mb <= 150)  # fmt: skip


def _fill(deployment: Deployment) -> None:
    """Let the coordinator find a store in which jobs have run."""
    deployment.data_dir.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(deployment.data_dir / "opsconsole.db", isolation_level=None)) as connection:
        prepare(connection)
        fill(connection, ENDED_TASKS, now_ms=time.time_ns() // 1_000_000)
        connection.execute("DELETE FROM workers")


def _submission(deployment: Deployment, submitter: Simulation, jobs: int, requests: int) -> Iterator[Row]:
    [shown] = deployment.client.submit(JobSpec(command=("true",)))
    pid = deployment.coordinator.pid
    before_s = read_cpu_s(pid)
    submitter.begin("submit", jobs=jobs, requests=requests)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(submitter.finish)
        took_ms = sorted(_ask_meanwhile(deployment.client, shown.id, answer))
    spent_s, took_s = read_cpu_s(pid) - before_s, answer.result()["took_s"]
    p50, p95 = took_ms[len(took_ms) // 2], took_ms[int(0.95 * len(took_ms))]
    how = f"{jobs:,} jobs submitted at once, {requests} request{'s' if requests > 1 else ''}"
    method = f"until the client has its answer; {1e6 * spent_s / jobs:.0f} µs of the coordinator's processor a job"
    yield Row("waiting", how, f"{took_s:.2f} s", method)
    method = f"`workers` and `show` in turns, one due every {1e3 * ASK_EVERY_S:.0f} ms, {len(took_ms)} asked; p50 {p50:.1f} ms"
    yield Row("waiting", f"{how}: others wait, p95 / max", f"{p95:.0f} / {took_ms[-1]:.0f} ms", method, bar="≤ 50 / 250 ms",
        met=p95 <= 50 and took_ms[-1] <= 250)  # fmt: skip


def _ask_meanwhile(client: SyncClient, job_id: str, answer: Future[Any]) -> Iterator[float]:
    """Yield the milliseconds that each request took, and those that the requests would have that were due while it waited."""
    for number in itertools.count():
        if answer.done():
            return
        began_s = time.monotonic()
        if number % 2:
            client.show(job_id, tasks_limit=1)
        else:
            client.workers()
        took_s = time.monotonic() - began_s
        yield from (1e3 * (took_s - place * ASK_EVERY_S) for place in range(1 + int(took_s / ASK_EVERY_S)))
        time.sleep(ASK_EVERY_S)


def _settled_memory_mb(deployment: Deployment) -> float:
    time.sleep(SETTLE_S)
    return read_memory_mb(deployment.coordinator.pid)


def _start(deployment: Deployment) -> tuple[float, float, float]:
    """Kill the coordinator and start it. Return the seconds until it serves, its processor time until then, and its memory in MB."""
    began_s = deployment.restart()
    wait_for(deployment.answers, "the coordinator", TIMEOUT_S)
    serving_s, cpu_s = time.monotonic() - began_s, read_cpu_s(deployment.coordinator.pid)
    return serving_s, cpu_s, _settled_memory_mb(deployment)


class Submitter:
    """Submits jobs."""

    def __init__(self, url: str, token: str, seed: int) -> None:
        self._target = url, token
        self._random = random.Random(seed)  # noqa: S311 - chance that repeats itself
        self._number = 0

    async def connect(self) -> None:
        """Connect."""
        self._client = await Client.connect(*self._target)

    async def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command."""
        match command:
            case {"do": "submit", "jobs": jobs, "requests": requests}:
                portions = [[self._make() for _ in range(jobs // requests)] for _ in range(requests)]
                began_s = time.monotonic()
                for specs in portions:
                    await self._client.submit(specs)
                return {"took_s": time.monotonic() - began_s}
        raise ValueError(f"unknown command {command}")

    def _make(self) -> JobSpec:
        self._number += 1
        command = ("python", "train.py", "--config", "configs/large.yaml", "--seed", str(self._number))
        return JobSpec(command=command, resources=self._random.choice(KINDS), project=f"p{self._number % 5}")


if __name__ == "__main__":
    asyncio.run(serve(Submitter(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
