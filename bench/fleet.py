"""What a thousand connected agents cost a coordinator without jobs."""

import time
from collections.abc import Iterator
from pathlib import Path

from bench.deployment import Deployment
from bench.process_usage import read_cpu_s, read_memory_mb
from bench.row import Row
from bench.simulated_agents import GPUS
from bench.simulation import Simulation

AGENTS = 1_000
SETTLE_S = 7.0
MEASURED_S = 15.0


def run(base: Path) -> Iterator[Row]:
    """Yield rows of the coordinator's processor time and memory, and of how soon all have joined."""
    with Deployment(base) as deployment:
        began_s = time.perf_counter()
        with Simulation("bench.simulated_agents", deployment.url, deployment.token, AGENTS, GPUS) as agents:
            joined_s = time.perf_counter() - began_s
            time.sleep(SETTLE_S)
            before_s, measured_s = read_cpu_s(deployment.coordinator.pid), time.perf_counter()
            time.sleep(MEASURED_S)
            used = (read_cpu_s(deployment.coordinator.pid) - before_s) / (time.perf_counter() - measured_s)
            memory = read_memory_mb(deployment.coordinator.pid)
            links = agents.ask("links")
    answered = links["beats"] - links["unanswered"]
    method = f"over {MEASURED_S:.0f} s; {answered:,} of {links['beats']:,} heartbeats answered"
    title = f"coordinator with {AGENTS:,} agents at a 5 s heartbeat"
    yield Row("fleet", f"{title}: processor", f"{100 * used:.1f} % of a core", method, bar="≤ 10 %", met=used <= 0.10)
    yield Row("fleet", f"{title}: memory", f"{memory:.0f} MB", method, bar="≤ 150 MB", met=memory <= 150)
    yield Row(
        "fleet", f"{AGENTS:,} agents have joined", f"{joined_s:.1f} s", "all at once, 32 dialling, each made durable"
    )
