"""Keys in the console and heartbeats while its coordinator relays as fast as it can."""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.deployment import OPSCONSOLE, end_keepers, wait_for
from bench.key import PAUSE_S, SETTLE_S, Screen, simulated_agents
from bench.row import Row
from bench.simulation import Simulation
from opsconsole import SyncClient

AGENTS = 100
KEYS = 40
FILE_BYTES = 1_000_000_000


def rows(base: Path) -> Iterator[Row]:
    """Yield a row of keys before and during a relay, and one of the oldest heartbeat during it."""
    with tempfile.TemporaryDirectory(dir=base, prefix="opsconsole-bench-") as temporary:
        folder = Path(temporary)
        screen = Screen(folder)
        relay: Relay | None = None
        agents: Simulation | None = None
        try:
            agents = simulated_agents(screen, folder, AGENTS)
            agents.start()
            relay = Relay(folder)
            screen.drain(SETTLE_S)
            screen.press("1g", b"box0000")
            before = _keys(screen, 1)
            relay.begin()
            during = _keys(screen, 1 + KEYS)
            relay.finish()
        finally:
            if relay is not None:
                relay.close()
            if agents is not None:
                agents.kill()
            screen.close()
    yield Row(
        "transfer", "a key while the coordinator relays, p50 / p95", f"{_shown(during)}; before: {_shown(before)}",
        f"{len(during)} keys, {AGENTS} agents, coordinator in the console's process, relaying {relay.rate_mb_s:.0f} MB/s",
        bar="p95 ≤ 50 ms", met=_p95(during) <= 0.05,
    )  # fmt: skip
    yield Row(
        "transfer", "the oldest heartbeat while it relays", f"{relay.oldest_s:.1f} s", "of the agent that receives",
        bar="≤ 12 s: not silent", met=relay.oldest_s <= 12,
    )  # fmt: skip


class Relay:
    """An agent with a mount, and `opsconsole put --via relay` over and over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environ = os.environ | {"HOME": str(folder), "OPSCONSOLE_DATA_DIR": str(folder / "data")}
        (folder / "inbox").mkdir()
        with (folder / "file.bin").open("wb") as file:
            for number in range(FILE_BYTES // 1_000_000):
                file.write(number.to_bytes(8) * 125_000)
        agent = (
            "agent",
            "--name",
            "receiver",
            "--state-dir",
            str(folder / "state"),
            "--mount",
            f"inbox={folder}/inbox:rw",
        )
        with (folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                (*OPSCONSOLE, *agent), env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._client = SyncClient.connect(data_dir=folder / "data", retry_for_s=10)
        wait_for(lambda: self._last_seen_ms() is not None, "the agent that receives")
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._moved_bytes = 0
        self._wall_s = 0.0
        self.oldest_s = 0.0
        self.failures: list[str] = []

    @property
    def rate_mb_s(self) -> float:
        """What was relayed, in MB a second of the puts that ended."""
        return self._moved_bytes / 1e6 / self._wall_s if self._wall_s else 0.0

    def begin(self) -> None:
        """Relay from now on."""
        for work in (self._put, self._look):
            self._threads.append(threading.Thread(target=work))
            self._threads[-1].start()

    def finish(self) -> None:
        """Let the last file arrive. Raises RuntimeError if one didn't."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise RuntimeError(f"a file wasn't relayed: {self.failures[0]}")

    def close(self) -> None:
        """End everything."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._agent.terminate()
        self._agent.wait(20)
        end_keepers(self._folder / "state")

    def _put(self) -> None:
        command = (sys.executable, "-m", "opsconsole_console", "put", "--force", "--via", "relay")
        while True:
            began_s = time.monotonic()
            done = subprocess.run(
                (*command, str(self._folder / "file.bin"), "receiver:inbox:"), env=self._environ,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                self.failures.append(done.stderr.strip())
                return
            self._wall_s += time.monotonic() - began_s
            self._moved_bytes += FILE_BYTES
            (self._folder / "inbox" / "file.bin").unlink()
            if self._over.is_set():
                return

    def _look(self) -> None:
        while not self._over.wait(0.5):
            seen_ms = self._last_seen_ms()
            if seen_ms is not None:
                self.oldest_s = max(self.oldest_s, time.time() - seen_ms / 1000)

    def _last_seen_ms(self) -> int | None:
        return next((one.last_seen_ms for one in self._client.workers() if one.name == "receiver"), None)


def _keys(screen: Screen, first: int) -> list[float]:
    found = []
    for number in range(first, first + KEYS):
        took = screen.press("j", f"▌box{number:04}".encode())
        if took is not None:
            found.append(took)
        screen.drain(PAUSE_S)
    if len(found) < KEYS * 0.9:
        raise RuntimeError(f"{KEYS - len(found)} of {KEYS} keys weren't seen to be answered")
    return sorted(found)


def _p95(found: list[float]) -> float:
    return found[int(0.95 * (len(found) - 1))]


def _shown(found: list[float]) -> str:
    return f"{1000 * statistics.median(found):.0f} / {1000 * _p95(found):.0f} ms"
