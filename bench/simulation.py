"""A process that simulates many agents or operators, and the pipes to it: one JSON object a line, each way.

The process prints `up` once all are connected; then it answers each command, `{"do": NAME, …}`, by one object. This module
has both ends: `Simulation` for the bench, `serve` for the process.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol, Self

_ROOT = Path(__file__).resolve().parent.parent


class Simulation:
    """The process `python -m MODULE URL TOKEN COUNT …`. As a context it is up at the start and killed at the end."""

    def __init__(self, module: str, url: str, token: str, *arguments: int) -> None:
        self._command = [sys.executable, "-m", module, url, token, *map(str, arguments)]

    def __enter__(self) -> Self:
        self.start()
        if self._read_line() != "up":
            raise RuntimeError(f"{self._command[2]} didn't come up")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process without waiting until it is up."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def begin(self, do: str, **fields: Any) -> None:
        """Send a command without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """Return the answer to the command that was begun."""
        answer: dict[str, Any] = json.loads(self._read_line())
        return answer

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self.begin(do, **fields)
        return self.finish()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Simulated(Protocol):
    """What a simulating process consists of."""

    async def connect(self) -> None:
        """Connect all and return when all are."""
        ...

    async def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command. Raises ValueError for an unknown one."""
        ...


async def serve(simulated: Simulated) -> None:
    """Be the simulating process: connect, then answer commands until there are no more."""
    await simulated.connect()
    print("up", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await simulated.answer(json.loads(line))), flush=True)
