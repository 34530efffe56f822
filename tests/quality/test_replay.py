"""The traces of `bench replay` come from their seeds alone: their figures stand in the docs, and anyone may measure them again."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PRINT = "from bench.replay import SHAPES, trace\nfor shape in SHAPES: print(trace(shape, 1, 60))"


def test_a_trace_is_the_same_in_every_process() -> None:
    """Jobs that came at one time stood in the order of a set, and each run replayed another trace."""
    told = {
        subprocess.run(
            [sys.executable, "-c", _PRINT], env=os.environ | {"PYTHONHASHSEED": str(number)}, cwd=ROOT, check=True,
            capture_output=True, timeout=60,
        ).stdout
        for number in (1, 2)
    }  # fmt: skip
    assert len(told) == 1
