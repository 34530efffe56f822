"""The peers run in a venv of their own, which is made once in the user's cache folder."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs

_HERE = Path(__file__).parent
_LIST = _HERE / "peers.txt"


class NoPeer(Exception):
    """Raised when a peer can't be run here; the message says why."""


def ensure_python() -> Path:
    """Return the Python of the peers' venv, which is made if needed. Raises NoPeer."""
    folder = Path(platformdirs.user_cache_dir("opsconsole-bench", appauthor=False)) / "peers"
    python, stamp = folder / "bin" / "python", folder / "peers.txt"
    if stamp.exists() and stamp.read_text() == _LIST.read_text():
        return python
    uv = shutil.which("uv")
    make = [uv, "venv", "-q", "--clear", str(folder)] if uv else [sys.executable, "-m", "venv", "--clear", str(folder)]
    into = [uv, "pip", "install", "-q", "--python", str(python)] if uv else [str(python), "-m", "pip", "install", "-q"]
    for command in (make, [*into, "-r", str(_LIST)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NoPeer(f"the peers of {_LIST.name} can't be installed: {last}")
    shutil.copy(_LIST, stamp)
    return python


def run(script: str, *arguments: str, folder: Path, timeout_s: float) -> dict[str, Any]:
    """Run a script of `bench/peer` and return the JSON object on the last line that it prints. Raises NoPeer."""
    python = ensure_python()
    command = [str(python), str(_HERE / "peer" / script), *arguments]
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("OPSCONSOLE_", "PYTHON"))}
    environ |= {"HOME": str(folder), "BENCH_HUEY": str(folder / "huey.db")}
    # A group of its own, so that what a peer starts ends with it.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environ, process_group=0
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise NoPeer(f"{script} didn't end within {timeout_s:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    try:
        return dict(json.loads(output.strip().splitlines()[-1]))
    except (IndexError, ValueError):
        last = (errors.strip().splitlines() or [f"it ended with code {process.returncode}"])[-1]
        raise NoPeer(f"{script} failed: {last}") from None
