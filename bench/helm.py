"""A process of simulated agents or operators, and the line to it: a command out, an answer back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from bench.stand import Stand

_ROOT = Path(__file__).resolve().parent.parent


class Helm:
    """`python -m {module} URL TOKEN …`, up and ready; ends with the context."""

    def __init__(self, stand: Stand, *arguments: int, module: str = "bench.crew") -> None:
        url = json.loads((stand.data_dir / "endpoint.json").read_text())["url"]
        token = (stand.data_dir / "operator.token").read_text().strip()
        self._command = [sys.executable, "-m", module, url, token, *map(str, arguments)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )
        if self._line() != "up":
            raise RuntimeError(f"{self._command[2]} didn't come up")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def begin(self, do: str, **fields: Any) -> None:
        """Give a command; its answer is for `finish`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """The answer to the command given."""
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self.begin(do, **fields)
        return self.finish()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
