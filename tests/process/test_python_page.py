"""The examples of docs/python.md do what they say, and every public name stands there (hard use 41)."""

import re
import subprocess
import sys
from pathlib import Path

import opsconsole
from tests.process.lab import Lab

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_example_runs(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    blocks = _BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 4
    blocks += _BLOCK.findall(PAGE.with_name("templates.md").read_text())
    done = subprocess.run(
        [sys.executable, "-c", "\n\n".join(blocks)],
        env=lab.environ,
        cwd=lab.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no worker has so many GPUs" in done.stdout
    assert "gpu-a has 2 of the" in done.stdout


def test_every_public_name_is_told_of() -> None:
    text = PAGE.read_text()
    assert not [name for name in opsconsole.__all__ if f"`{name}`" not in text]
