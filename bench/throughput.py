"""Short tasks a second, and how soon a single task starts: opsconsole and three peers in one run, in turns."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import keeper, peers
from bench.deployment import Deployment, wait_for
from bench.process_usage import read_cpu_s
from bench.row import Row
from opsconsole import JobSpec

TASKS = 10_000
SLOTS = 2
ROUNDS = 3
PEER_BUDGET_S = 20.0
"""A peer that isn't done by then is stopped; its rate is that of the tasks that it has done."""
SLOWER_PEER_TASKS = 3_000
LATENCY_REPEATS = 30
HYPERQUEUE = "HyperQueue (LocalCluster)"
"""PyPI has no `hq` program, only this package, with server and worker as threads of one Python process."""
PEERS = {
    HYPERQUEUE: ("hyperqueue_peer.py", TASKS),
    "Dask distributed": ("dask_peer.py", SLOWER_PEER_TASKS),
    "huey on SQLite": ("huey_peer.py", SLOWER_PEER_TASKS),
}


@dataclass
class _Ours:
    rates: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    durable: str = "SQLite WAL, synchronous=FULL"


def run(base: Path) -> Iterator[Row]:
    """Yield rows of rates, then of latencies."""
    ours = _Ours()
    rates: dict[str, list[float]] = {name: [] for name in PEERS}
    missing: dict[str, str] = {}
    for number in range(ROUNDS):
        _run_ours(base, ours)
        for name, (script, tasks) in PEERS.items():
            if name in missing or (number and name != HYPERQUEUE):
                continue
            with tempfile.TemporaryDirectory(prefix="opsconsole-bench-", dir=base) as folder:
                arguments = ("rate", str(tasks), str(SLOTS), str(PEER_BUDGET_S))
                try:
                    found = peers.run(script, *arguments, folder=Path(folder), timeout_s=PEER_BUDGET_S + 40)
                except peers.NoPeer as error:
                    missing[name] = str(error)
                else:
                    rates[name].append(found["rate"])
    yield from _rate_rows(ours, rates, missing)
    yield from _latency_rows(base)


def _title(tasks: int, name: str) -> str:
    return f"{tasks:,} × /bin/true, {SLOTS} slots: {name}"


def _run_ours(base: Path, ours: _Ours) -> None:
    with Deployment(base) as deployment:
        ours.bare.append(keeper.directly(deployment.folder, SLOWER_PEER_TASKS, SLOTS))
        agent = deployment.add_agent(SLOTS)
        [warm_up] = deployment.client.submit(JobSpec(command=("/bin/true",), num_tasks=50))
        deployment.client.wait_for_success(warm_up.id)
        pids = {"coordinator": deployment.coordinator.pid, "agent": agent.pid, "keeper": next(deployment.keepers())}
        before_s = {name: read_cpu_s(pid) for name, pid in pids.items()}
        began_s = time.perf_counter()
        [job] = deployment.client.submit(JobSpec(command=("/bin/true",), num_tasks=TASKS))
        deployment.client.wait_for_success(job.id)
        ours.rates.append(TASKS / (time.perf_counter() - began_s))
        for name, pid in pids.items():
            ours.cpu_us.setdefault(name, []).append((read_cpu_s(pid) - before_s[name]) / TASKS * 1e6)


def _rate_rows(ours: _Ours, rates: dict[str, list[float]], missing: dict[str, str]) -> Iterator[Row]:
    mine = statistics.median(ours.rates)
    spread = f"median of {len(ours.rates)} rounds, {min(ours.rates):,.0f} to {max(ours.rates):,.0f}"
    yield Row("throughput", _title(TASKS, "opsconsole, durable"), f"{mine:,.0f} tasks/s", f"{spread}; {ours.durable}")
    ratio = statistics.median(a / b for a, b in zip(ours.rates, ours.bare, strict=True))
    method = "nothing but posix_spawn and wait4, just before each round: what the machine gives at that moment"
    title = _title(SLOWER_PEER_TASKS, "bare posix_spawn")
    yield Row("throughput", title, f"{statistics.median(ours.bare):,.0f} tasks/s", method, ratio, "bare posix_spawn")
    for name, found in rates.items():
        title = _title(PEERS[name][1], name)
        if name in missing or not found:
            yield Row("throughput", title, "not run", missing.get(name, ""))
            continue
        ratio = statistics.median(a / b for a, b in zip(ours.rates, found, strict=False))
        is_bar = name == HYPERQUEUE
        yield Row(
            "throughput", title, f"{statistics.median(found):,.0f} tasks/s",
            f"{len(found)} round(s), each after one of ours, stopped after {PEER_BUDGET_S:.0f} s; median of the rounds' ratios",
            ratio, name, "≥ 2 ×" if is_bar else "", ratio >= 2 if is_bar else None,
        )  # fmt: skip
    used = ", ".join(f"{name} {statistics.median(found):.0f}" for name, found in ours.cpu_us.items())
    yield Row(
        "throughput", "processor time a task", f"{sum(map(statistics.median, ours.cpu_us.values())):.0f} µs", used
    )


def _latency_rows(base: Path) -> Iterator[Row]:
    title = "submit → process started, idle"
    with Deployment(base) as deployment:
        deployment.add_agent(SLOTS)
        times = [
            _latency_ms(deployment, deployment.folder / f"ours-{number}") for number in range(LATENCY_REPEATS + 2)
        ][2:]
        method = "one connection, `date` in the task writes its start; median"
        mine = statistics.median(times)
        yield Row("throughput", f"{title}: opsconsole", f"{mine:.1f} ms", method)
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-", dir=base) as folder:
        try:
            found = peers.run(
                "hyperqueue_peer.py", "latency", str(LATENCY_REPEATS), folder, folder=Path(folder), timeout_s=60
            )
        except peers.NoPeer as error:
            yield Row("throughput", f"{title}: {HYPERQUEUE}", "not run", str(error))
            return
    theirs = statistics.median(found["started_ms"])
    yield Row(
        "throughput", f"{title}: {HYPERQUEUE}", f"{theirs:.1f} ms", method, mine / theirs, HYPERQUEUE, "≤ 1 ×",
        mine <= theirs,
    )  # fmt: skip


def _latency_ms(deployment: Deployment, path: Path) -> float:
    began_ns = time.time_ns()
    [job] = deployment.client.submit(JobSpec(command=("/bin/sh", "-c", 'exec date +%s%N >"$0"', str(path))))
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), "the task's start")
    deployment.client.wait(job.id)
    time.sleep(0.05)
    return (int(path.read_text()) - began_ns) / 1e6
