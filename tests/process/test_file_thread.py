"""README's thread: code and a file that exist only here, trained on a worker that shares nothing, the model back here."""

import subprocess
from pathlib import Path

import pytest

from tests.process.lab import Lab

TRAIN = """\
import os, pathlib
text = open("data/name.txt").read().strip()
points = open(os.environ["OPSCONSOLE_INPUT_0"]).read().split()
models = pathlib.Path(os.environ["OPSCONSOLE_OUTPUT_PATH"]) / "models"
models.mkdir(exist_ok=True)
(models / "line.pt").write_text(f"{text} {len(points)}")
(models / "other.pt").write_text("x" * 100_000)
print("trained on", len(points))
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The laptop's folder."""
    folder = tmp_path / "laptop"
    (folder / "data").mkdir(parents=True)
    (folder / "train.py").write_text(TRAIN)
    (folder / "data" / "name.txt").write_text("line")
    (folder / "points.csv").write_text("1\n2\n3\n")
    return folder


def opsconsole(lab: Lab, here: Path, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """A command line in the laptop's folder."""
    program = ("python", "-m", "opsconsole_console")
    done = subprocess.run(
        (*program, *words), cwd=here, env=lab.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


SUBMIT = (
    "submit",
    "--bundle",
    ".",
    "--upload",
    "points.csv",
    "--fetch",
    "models/*",
    "--follow",
    "--",
    "python",
    "train.py",
)


def test_the_whole_thread(lab: Lab, here: Path) -> None:
    lab.serve()
    out = lab.folder / "worker-out"
    out.mkdir()
    lab.agent("gpu-a", "--output-path", str(out))
    done = opsconsole(lab, here, *SUBMIT)
    print(done.stderr)
    assert done.stdout == "trained on 3\n"
    assert (here / "models" / "line.pt").read_text() == "line 3"
    said = done.stderr.splitlines()
    assert any(line.startswith("bundle 3 files ") and line.endswith(" sent)") for line in said)
    assert "fetched models/line.pt 6 B to ./models" in said
    again = opsconsole(lab, here, *SUBMIT)
    print(again.stderr)
    assert [line for line in again.stderr.splitlines() if line.endswith("(nothing to send)")] != []
