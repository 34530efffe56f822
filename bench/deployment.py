"""What is measured: `opsconsole serve` and `opsconsole agent`, as processes of their own, on a real disk."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from bench.process_usage import children, keepers, read_cpu_s
from opsconsole import SyncClient
from opsconsole_protocol.error import Unavailable

OPSCONSOLE = (sys.executable, "-m", "opsconsole_console")
WORKER = "bench"
_TIMEOUT_S = 60.0


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = _TIMEOUT_S, interval_s: float = 0.01) -> None:
    """Poll until `condition` is true. Raises TimeoutError, which says what didn't come."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"{what} didn't come within {timeout_s:g} s")
        time.sleep(interval_s)


def end_keepers(state_dir: Path) -> None:
    """End the keepers of a state folder whose agent is gone. Raises TimeoutError where they don't."""
    for pid in keepers(str(state_dir)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not any(keepers(str(state_dir))), "the keeper's end")


class Deployment:
    """A coordinator and, with `add_agent`, an agent. Both end with the context, and their folder is removed."""

    def __init__(self, base: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="opsconsole-bench-", dir=base))
        self.data_dir = self.folder / "data"
        self._state_dir = self.folder / "state"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environ = {key: value for key, value in os.environ.items() if not key.startswith("OPSCONSOLE_")}
        self._environ |= {
            "HOME": str(self.folder),
            "OPSCONSOLE_DATA_DIR": str(self.data_dir),
            "OPSCONSOLE_CONFIG": str(self.folder / "config.toml"),
        }
        (self.folder / "config.toml").touch()

    def __enter__(self) -> Self:
        self.coordinator = self._start("serve", "--listen", "127.0.0.1:0")
        endpoint = self.data_dir / "endpoint.json"
        wait_for(lambda: endpoint.exists() or self.coordinator.poll() is not None, "the coordinator")
        self.client = SyncClient.connect(data_dir=self.data_dir, retry_for_s=5)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Unavailable):
            self.client.close()
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        end_keepers(self._state_dir)
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> float:
        """Kill the coordinator with SIGKILL and start it on the same port.

        Return when it was started, on the monotonic clock.
        """
        endpoint = self.data_dir / "endpoint.json"
        address = self.url.partition("://")[2]
        self.coordinator.kill()
        self.coordinator.wait()
        endpoint.unlink()
        began_s = time.monotonic()
        self.coordinator = self._start("serve", "--listen", address)
        wait_for(lambda: endpoint.exists() or self.coordinator.poll() is not None, "the coordinator")
        return began_s

    def answers(self) -> bool:
        """Whether the coordinator says that it works."""
        try:
            with urllib.request.urlopen(f"{self.url.replace('ws', 'http', 1)}/health", timeout=5) as response:  # noqa: S310 - ours
                return bool(response.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def add_agent(self, slots: int, *arguments: str) -> subprocess.Popen[bytes]:
        """Start an agent on this machine and wait until it is connected."""
        agent = self._start(
            "agent", "--name", WORKER, "--state-dir", str(self._state_dir), "--max-concurrent-jobs", str(slots),
            *arguments,
        )  # fmt: skip
        wait_for(lambda: any(row.connection == "connected" for row in self.client.workers()), "the agent")
        return agent

    def keepers(self) -> Iterator[int]:
        """Yield the pids of the agent's keepers."""
        return keepers(str(self._state_dir))

    @property
    def url(self) -> str:
        """Where the coordinator is."""
        return str(json.loads((self.data_dir / "endpoint.json").read_text())["url"])

    @property
    def token(self) -> str:
        """The operator's token."""
        return (self.data_dir / "operator.token").read_text().strip()

    def run(self, *arguments: str) -> str:
        """Run `opsconsole ARGUMENTS` to its end and return what it printed. Raises CalledProcessError."""
        return subprocess.run(
            (*OPSCONSOLE, *arguments), stdin=subprocess.DEVNULL, capture_output=True, env=self._environ, text=True,
            cwd=self.folder, check=True,
        ).stdout  # fmt: skip

    def cpu_s(self) -> float:
        """Processor time so far of the coordinator, the agent, and what they have started and still have, in seconds."""
        return sum(read_cpu_s(pid) for process in self._processes for pid in (process.pid, *children(process.pid)))

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                (*OPSCONSOLE, name, *arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ,
                cwd=self.folder,
            )  # fmt: skip
        self._processes.append(process)
        return process
