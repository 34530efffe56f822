"""Filters over very many jobs: how long a whole search takes, and how long it holds up the coordinator's loop.

`python -m bench.filter 1000000` measures among a million jobs.
"""

import argparse
import asyncio
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from bench.row import Row
from opsconsole.job_page import next_page
from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.runtime import SWITCH_INTERVAL_S
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.job_api import JobApi
from opsconsole_coordinator.store import journal
from opsconsole_coordinator.store.database import FILE_NAME, Database
from opsconsole_coordinator.store.schema import analyze, prepare
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api
from opsconsole_protocol.ids import WorkerId

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.coordinator.store import history

JOBS = 100_000
FILTERS = ("name~train-77$", "state=failed user=ana", "id~^abc", "name~(7|8)77$", "train-7777", "priority>5")
_ANSWER = msgspec.msgpack.Decoder(api.JobList)
_LOOK_S = 0.002


def run(base: Path, jobs: int = JOBS) -> Iterator[Row]:
    """Yield a row for each filter."""
    folder = Path(tempfile.mkdtemp(prefix="opsconsole-bench-", dir=base))
    try:
        fill(folder / FILE_NAME, jobs)
        yield from asyncio.run(_measure(folder / FILE_NAME, jobs))
    finally:
        shutil.rmtree(folder)


def fill(path: Path, jobs: int) -> None:
    """Make a store with jobs of one task each, which have ended in the last 300 days."""
    connection = sqlite3.connect(path, isolation_level=None)
    prepare(connection)
    connection.execute("PRAGMA synchronous = OFF")
    rng = Random(0)  # noqa: S311 - chance that repeats itself
    fleet = Fleet(rng.getrandbits, store_id="store", name="lab")
    worker = Worker(id=WorkerId("id-of-w1"), name="w1")
    now_ms, span_ms = time.time_ns() // 1_000_000, 300 * 24 * 3_600_000
    connection.execute("BEGIN")
    for number in range(jobs):
        job, _ = history._job(rng, number, 1, now_ms - span_ms + number * span_ms // jobs, [worker])  # noqa: SLF001
        job.submitted_by = rng.choice(("ana", "ben", "cleo"))
        row = journal._new_job(job, view.job_row(fleet, job))  # noqa: SLF001
        connection.execute(f"INSERT INTO jobs VALUES ({','.join('?' * len(row))})", row)
    connection.execute("COMMIT")
    analyze(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _measure(path: Path, jobs: int) -> list[Row]:
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
    database = Database(path)
    await database.open()
    commit_loop = CommitLoop(database, "bench")
    await commit_loop.load()
    nobody: Any = None
    job_api = JobApi(commit_loop, nobody, nobody)
    rows = [await _search(job_api, text, jobs) for text in FILTERS]
    await database.close()
    return rows


async def _search(job_api: JobApi, text: str, jobs: int) -> Row:
    """All pages of a filter, as a client asks for them."""
    late_s: list[float] = []
    watching = asyncio.create_task(_watch(late_s))
    request, found, requests, slowest_s = api.ListJobs(filter=text, limit=500), 0, 0, 0.0
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    while True:
        asked_s = time.perf_counter()
        raw: Any = await job_api.list_jobs(request, Caller("ana", Role.VIEWER))
        slowest_s = max(slowest_s, time.perf_counter() - asked_s)
        answer = _ANSWER.decode(raw)
        found, requests = found + len(answer.jobs), requests + 1
        if not answer.more:
            break
        request = next_page(request, answer)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    watching.cancel()
    late_s.sort()
    late_ms = 1e3 * late_s[int(0.95 * len(late_s))] if late_s else 0.0
    method = (
        f"{found:,} found; processor {cpu_s:.2f} s; {requests} requests, the slowest {1e3 * slowest_s:.0f} ms; "
        f"the loop was late by {late_ms:.0f} ms at p95, {1e3 * max(late_s, default=0):.0f} ms at most"
    )
    return Row(
        "filter", f"{text} among {jobs:,} jobs", f"{took_s:.2f} s", method, bar="loop p95 ≤ 50 ms", met=late_ms <= 50
    )


async def _watch(late_s: list[float]) -> None:
    """How late the loop is whenever it is looked at."""
    while True:
        began_s = time.perf_counter()
        await asyncio.sleep(_LOOK_S)
        late_s.append(time.perf_counter() - began_s - _LOOK_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.filter", description=__doc__)
    parser.add_argument("jobs", nargs="?", type=int, default=JOBS)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where data goes (%(default)s)")  # noqa: S108
    options = parser.parse_args()
    for one in run(options.folder, options.jobs):
        print(one.line(), one.method, sep="\n  ", flush=True)
