"""How soon the console answers a key while its own coordinator serves a thousand agents.

Measured from the write of `j` into a pseudo-terminal to the arrival of the next row under the cursor.
"""

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from bench.row import Row
from bench.simulated_agents import GPUS
from bench.simulation import Simulation

AGENTS = 1_000
KEYS = 60
START_S = 60.0
SETTLE_S = 8.0
PAUSE_S = 0.15
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """The console in a pseudo-terminal of 160×45."""

    def __init__(self, folder: Path) -> None:
        environ = {"HOME": str(folder), "OPSCONSOLE_DATA_DIR": str(folder / "data"), "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "opsconsole_console", "--no-agent", "--listen", "127.0.0.1:0"]
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execve(command[0], command, dict(os.environ) | environ | {"COLORTERM": "truecolor"})  # noqa: S606
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 160, 0, 0))

    def read(self, timeout_s: float) -> bytes:
        """Return what the console has written, without colours and cursor movements."""
        if not select.select([self._terminal], [], [], timeout_s)[0]:
            return b""
        try:
            return _CONTROL.sub(b"", os.read(self._terminal, 1 << 16))
        except OSError as error:  # the console has closed its end of the pseudo-terminal
            if error.errno == errno.EIO:
                return b""
            raise

    def drain(self, seconds: float) -> None:
        """Read for `seconds`, so that the console can write."""
        until_s = time.perf_counter() + seconds
        while (left_s := until_s - time.perf_counter()) > 0:
            self.read(left_s)

    def press(self, key: str, expected: bytes, timeout_s: float = 5.0) -> float | None:
        """Press a key and return the seconds until the expected text has come, None when it doesn't."""
        began_s = time.perf_counter()
        os.write(self._terminal, key.encode())
        seen = b""
        while (left_s := began_s + timeout_s - time.perf_counter()) > 0:
            seen += self.read(left_s)
            if expected in seen:
                return time.perf_counter() - began_s
        return None

    def close(self) -> None:
        """Quit the console, and kill it if it doesn't end."""
        os.write(self._terminal, b"q")
        until_s = time.perf_counter() + 5
        while os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self.read(0.05)
            if time.perf_counter() > until_s:
                os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)


def simulated_agents(screen: Screen, folder: Path, number: int) -> Simulation:
    """Wait for the screen's own coordinator in this folder, and make agents for it, which aren't started yet."""
    endpoint = folder / "data" / "endpoint.json"
    until_s = time.perf_counter() + START_S
    while not endpoint.exists() and time.perf_counter() < until_s:
        screen.drain(0.1)
    url = json.loads(endpoint.read_text())["url"]
    token = (folder / "data" / "operator.token").read_text().strip()
    return Simulation("bench.simulated_agents", url, token, number, GPUS)


def run(base: Path) -> Iterator[Row]:
    """Yield a row of the time from key to repaint, median and 95th percentile."""
    with tempfile.TemporaryDirectory(dir=base, prefix="opsconsole-bench-") as temporary:
        folder = Path(temporary)
        screen = Screen(folder)
        agents: Simulation | None = None
        try:
            agents = simulated_agents(screen, folder, AGENTS)
            agents.start()
            screen.drain(SETTLE_S + 6)
            screen.press("1g", b"box0000")
            screen.drain(0.5)
            found: list[float] = []
            for number in range(1, KEYS + 1):
                took = screen.press("j", f"▌box{number:04}".encode())
                if took is not None:
                    found.append(took)
                screen.drain(PAUSE_S)
        finally:
            if agents is not None:
                agents.kill()
            screen.close()
    if len(found) < KEYS * 0.9:
        raise RuntimeError(f"{KEYS - len(found)} of {KEYS} keys weren't seen to be answered")
    found.sort()
    p50, p95 = statistics.median(found), found[int(0.95 * (len(found) - 1))]
    yield Row(
        "key", f"a key in the console with {AGENTS:,} agents, p50 / p95", f"{1000 * p50:.0f} / {1000 * p95:.0f} ms",
        f"{len(found)} keys, coordinator in the console's process", bar="p95 ≤ 50 ms", met=p95 <= 0.05,
    )  # fmt: skip
