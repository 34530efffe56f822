"""The Python of trainings: with torch, transformers, datasets, Lightning and Keras, which are too large for every run of the tests.

`make training` installs it into `.train` and runs what needs it; elsewhere these tests are skipped.
"""

import os
from pathlib import Path

import pytest

PYTHON = Path(os.environ.get("TRAINING_PYTHON", Path(__file__).resolve().parents[1] / ".train" / "bin" / "python"))

needs_training_python = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="needs PyTorch, transformers, Lightning and Keras: `make training` installs and runs this",
)
