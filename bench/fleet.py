"""What a thousand connected agents cost the coordinator that has nothing to do but to listen to them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.row import Row
from bench.stand import Stand

AGENTS = 1_000
SETTLE_S = 7.0
MEASURED_S = 15.0
_ROOT = Path(__file__).resolve().parent.parent


def run(base: Path) -> Iterator[Row]:
    """Processor and memory of the coordinator."""
    with Stand(base) as stand:
        url = json.loads((stand.data_dir / "endpoint.json").read_text())["url"]
        token = (stand.data_dir / "operator.token").read_text().strip()
        seconds = SETTLE_S + MEASURED_S + 5
        began_s = time.perf_counter()
        command = [sys.executable, "-m", "bench.swarm", url, token, str(AGENTS), str(seconds)]
        swarm = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT)
        assert swarm.stdout is not None
        if swarm.stdout.readline().strip() != b"up":
            raise RuntimeError("the swarm didn't come up")
        joined_s = time.perf_counter() - began_s
        time.sleep(SETTLE_S)
        before_s, measured_s = stand.cpu_s(stand.coordinator.pid), time.perf_counter()
        time.sleep(MEASURED_S)
        used = (stand.cpu_s(stand.coordinator.pid) - before_s) / (time.perf_counter() - measured_s)
        memory = stand.memory_mb(stand.coordinator.pid)
        counts = json.loads(swarm.stdout.readline())
        swarm.wait(30)
    method = f"over {MEASURED_S:.0f} s; {counts['answered']:,} of {counts['sent']:,} heartbeats answered"
    title = f"coordinator with {AGENTS:,} agents at a 5 s heartbeat"
    yield Row("fleet", f"{title}: processor", f"{100 * used:.1f} % of a core", method, bar="≤ 10 %", met=used <= 0.10)
    yield Row("fleet", f"{title}: memory", f"{memory:.0f} MB", method, bar="≤ 150 MB", met=memory <= 150)
    yield Row(
        "fleet", f"{AGENTS:,} agents have joined", f"{joined_s:.1f} s", "all at once, 32 dialling, each made durable"
    )
