"""How much slower a task gets when its log is followed, and how far a watcher is behind."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.deployment import Deployment
from bench.row import Row
from opsconsole import Client, JobSpec
from opsconsole_protocol.log import LogQuery

LINES = 1_000_000
ROUNDS = 3
RATE = 50_000
PACED_S = 5
# Python's own buffering is off in every task, so each line is a write of its own: the hardest case for whoever follows.
_FLAT_OUT = """
import json, sys, time
began = time.perf_counter()
for number in range({lines}):
    print("step", number, "loss 0.1934 lr 3.0e-4")
open(sys.argv[1], "w").write(json.dumps(time.perf_counter() - began))
"""
_PACED = """
import sys, time
batch = {rate} // 100
due = time.time()
for turn in range(100 * {seconds}):
    sys.stdout.write("".join(f"{{time.time():.6f}} step {{turn}} {{number}}\\n" for number in range(batch)))
    sys.stdout.flush()
    due += 0.01
    time.sleep(max(0, due - time.time()))
"""


def run(base: Path) -> Iterator[Row]:
    """Yield rows of a task that prints as fast as it can, then of one at a fixed rate."""
    with Deployment(base) as deployment:
        deployment.add_agent(2)
        yield from _flat_out(deployment)
        yield from _lag(deployment)


def _flat_out(deployment: Deployment) -> Iterator[Row]:
    program = deployment.folder / "flat_out.py"
    program.write_text(_FLAT_OUT.format(lines=LINES))
    ratios: list[float] = []
    plain: list[float] = []
    lost = 0
    for number in range(ROUNDS):
        plain.append(_plain_s(deployment, program, number))
        took = deployment.folder / f"took-{number}"
        [job] = deployment.client.submit(JobSpec(command=(sys.executable, str(program), str(took))))
        deployment.client.wait_for_success(job.id)
        ratios.append(json.loads(took.read_text()) / plain[-1])
        lost += LINES - _lines_stored(deployment, job.id)
    ratio = statistics.median(ratios)
    method = (
        f"median of {ROUNDS} in turns, unbuffered Python, the loop's own time; the plain file took "
        f"{statistics.median(plain):.2f} s"
    )
    yield Row(
        "logs", f"a task that prints {LINES:,} lines", f"{100 * (ratio - 1):+.1f} %", method, ratio, "a plain file",
        "≤ +5 %", ratio <= 1.05,
    )  # fmt: skip
    yield Row("logs", "lines lost", str(lost), "number and text of the last stored line", bar="0", met=lost == 0)


def _plain_s(deployment: Deployment, program: Path, number: int) -> float:
    took = deployment.folder / f"plain-{number}"
    with (deployment.folder / f"plain-{number}.out").open("wb") as output:
        environ = os.environ | {"PYTHONUNBUFFERED": "1"}
        subprocess.run([sys.executable, str(program), str(took)], stdout=output, check=True, env=environ)
    return float(json.loads(took.read_text()))


def _lines_stored(deployment: Deployment, job_id: str) -> int:
    """Return how many lines the coordinator has, after waiting for the last one, by its number and its text."""
    until_s = time.monotonic() + 60
    while True:
        answer = deployment.client.run(deployment.client.client.read_log(job_id, LogQuery(tail=1)))
        last = answer.page.lines[-1] if answer.page.lines else None
        if last is not None and last.data.startswith(f"step {LINES - 1} ") and last.line_number == LINES - 1:
            return LINES
        if time.monotonic() > until_s:
            return 0 if last is None else last.line_number + 1
        time.sleep(0.1)


def _lag(deployment: Deployment) -> Iterator[Row]:
    program = deployment.folder / "paced.py"
    program.write_text(_PACED.format(rate=RATE, seconds=PACED_S))
    [job] = deployment.client.submit(JobSpec(command=(sys.executable, str(program))))
    lags = asyncio.run(_watch(deployment.data_dir, job.id))
    expected = RATE * PACED_S
    lags.sort()
    p50, p95 = (1e3 * lags[int(len(lags) * share)] for share in (0.5, 0.95))
    method = (
        f"{expected:,} lines stamped as written, a Python client follows them; all {len(lags):,} came; p50 {p50:.0f} ms"
    )
    yield Row(
        "logs", f"a watcher's lag at {RATE:,} lines/s, p95", f"{p95:.0f} ms", method, bar="≤ 250 ms",
        met=p95 <= 250 and len(lags) == expected,
    )  # fmt: skip


async def _watch(data_dir: Path, job_id: str) -> list[float]:
    async with await Client.connect(data_dir=data_dir) as client:
        return [time.time() - float(line.data.split(" ", 1)[0]) async for line in client.follow_log(job_id)]
