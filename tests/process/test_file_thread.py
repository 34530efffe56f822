"""README's thread: code and a file that exist only here, trained on a worker that shares nothing, the model back here."""

import json
import os
import signal
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
    lab.agent("gpu-a", "--output-path", str(outputs(lab)))
    done = opsconsole(lab, here, *SUBMIT)
    assert done.stdout == "trained on 3\n"
    assert (here / "models" / "line.pt").read_text() == "line 3"
    said = done.stderr.splitlines()
    assert said[0].startswith("bundle 3 files ")
    assert said[0].endswith(" B sent)")
    assert said[1] == "upload points.csv, 6 B (nothing to send)", "the same bytes came with the code"
    assert said[-2:] == ["fetched models/line.pt 6 B to ./models", "fetched models/other.pt 100 kB to ./models"]
    for path in (here / "models").iterdir():
        path.unlink()
    (here / "models").rmdir()
    again = opsconsole(lab, here, *SUBMIT).stderr.splitlines()
    assert again[0].endswith("(nothing to send)")
    assert again[1] == "upload points.csv, 6 B (nothing to send)"
    assert (here / "models" / "line.pt").read_text() == "line 3"


def test_a_run_brings_along_and_back(lab: Lab, here: Path) -> None:
    done = opsconsole(lab, here, "run", *SUBMIT[1:5], "--fetch", "models/line.pt:out", "--", "python", "train.py")
    assert done.stdout == "trained on 3\n"
    assert (here / "out" / "models" / "line.pt").read_text() == "line 3"


def test_put_ls_and_get(lab: Lab, here: Path) -> None:
    lab.serve()
    there = lab.folder / "worker-in"
    there.mkdir()
    lab.agent("gpu-a", "--input-path", str(there), "--output-path", str(outputs(lab)))
    (here / "odd\nname").write_text("odd")
    put = opsconsole(lab, here, "put", "points.csv", "data", "odd\nname", "gpu-a:run", "--json")
    row = json.loads(put.stdout)
    assert (row["phase"], row["files_done"], row["way"]) == ("done", 3, "direct")
    assert (there / "run" / "points.csv").read_text() == "1\n2\n3\n"
    assert opsconsole(lab, here, "ls", "gpu-a:run").stdout.splitlines() == ["data/", "odd name", "points.csv"]
    names = [
        json.loads(line)["name"] for line in opsconsole(lab, here, "ls", "gpu-a:run", "--json").stdout.splitlines()
    ]
    assert names == ["data", "odd\nname", "points.csv"]
    (here / "points.csv").write_text("4")
    refused = opsconsole(lab, here, "put", "points.csv", "gpu-a:run", code=1)
    assert "'points.csv' is there already, and it differs" in refused.stderr.splitlines()[-1]
    opsconsole(lab, here, "put", "--force", "--via", "relay", "points.csv", "gpu-a:run")
    assert (there / "run" / "points.csv").read_text() == "4"
    back = opsconsole(lab, here, "get", "gpu-a:run", "*.csv", "data", "--to", "back")
    assert back.stdout.splitlines() == ["back/data/name.txt", "back/points.csv"]
    assert (here / "back" / "data" / "name.txt").read_text() == "line\n".strip()
    history = opsconsole(lab, here, "transfers").stdout.splitlines()
    assert [line.split()[2:4] for line in history[1:]] == [
        ["get", "done"],
        ["put", "done"],
        ["put", "failed"],
        ["put", "done"],
    ]


def test_results_are_brought_by_hand(lab: Lab, here: Path) -> None:
    lab.serve()
    lab.agent("gpu-a", "--output-path", str(outputs(lab)))
    script = "mkdir $OPSCONSOLE_OUTPUT_PATH/x; echo $OPSCONSOLE_TASK_INDEX >$OPSCONSOLE_OUTPUT_PATH/x/n; echo y >$OPSCONSOLE_OUTPUT_PATH/x/y"
    job = opsconsole(lab, here, "submit", "--wait", "--tasks", "3", "--", "sh", "-c", script).stdout.strip()
    got = opsconsole(lab, here, "get", job, "x/n", "--to", "all")
    assert sorted(got.stdout.splitlines()) == [f"all/task-{index}/x/n" for index in range(3)]
    assert (here / "all" / "task-2" / "x" / "n").read_text() == "2\n"
    opsconsole(lab, here, "get", f"{job}/task-1", "--to", "one")
    assert (here / "one" / "task-1" / "x" / "y").read_text() == "y\n"
    assert not (here / "one" / "task-0").exists()
    nothing = opsconsole(lab, here, "get", job, "z", code=1)
    assert f"{job} has left nothing that matches 'z'" in nothing.stderr
    assert opsconsole(lab, here, "ls", f"{job}/task-1:x").stdout.split() == ["n", "y"]


def test_results_wait_for_who_comes_back(lab: Lab, here: Path) -> None:
    lab.serve()
    lab.agent("gpu-a", "--output-path", str(outputs(lab)))
    done = opsconsole(lab, here, "submit", "--fetch", "m", "--", "sh", "-c", "echo m >$OPSCONSOLE_OUTPUT_PATH/m")
    job = done.stdout.strip()
    assert "its results come once it has ended" in done.stderr
    opsconsole(lab, lab.folder, "wait", job)
    assert (here / "m").read_text() == "m\n"
    assert opsconsole(lab, here, "transfers", "--json").stdout.count('"pending":"fetch"') == 0


def test_what_is_too_large_to_keep_goes_straight_to_the_worker(lab: Lab, here: Path) -> None:
    (lab.folder / "config.toml").write_text("[coordinator]\nkeep_upload_gb = 0.0001\n")
    lab.serve()
    (here / "big").write_bytes(os.urandom(1_000_000))
    command = ("submit", "--upload", "big", "--", "sh", "-c", "wc -c <$OPSCONSOLE_INPUT_0")
    laptop = subprocess.Popen(
        ("python", "-m", "opsconsole_console", *command), cwd=here, env=lab.environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert laptop.stdout is not None
        job = laptop.stdout.readline().strip()
        lab.agent("gpu-a")
        _, said = laptop.communicate(timeout=60)
    finally:
        laptop.kill()
        laptop.wait()
    assert laptop.returncode == 0, said
    assert "upload big, 1.0 MB (goes to the worker once it is known)" in said.splitlines()
    assert said.splitlines()[-1].startswith("sent big to gpu-a: 1.0 MB by a direct connection in ")
    lab.run("wait", job)
    assert "1000000" in lab.lines(job)


def test_who_leaves_before_it_has_arrived_is_told_how_it_goes_on(lab: Lab, here: Path) -> None:
    (lab.folder / "config.toml").write_text("[coordinator]\nkeep_upload_gb = 0.0001\n")
    lab.serve()
    (here / "big").write_bytes(os.urandom(1_000_000))
    command = ("submit", "--upload", "big", "--", "sh", "-c", "wc -c <$OPSCONSOLE_INPUT_0")
    laptop = subprocess.Popen(
        ("python", "-m", "opsconsole_console", *command), cwd=here, env=lab.environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert laptop.stdout is not None
        job = laptop.stdout.readline().strip()
        laptop.send_signal(signal.SIGINT)
        _, said = laptop.communicate(timeout=60)
    finally:
        laptop.kill()
        laptop.wait()
    assert laptop.returncode == 130
    last = "big hasn't arrived yet: an open console, or `opsconsole transfers resume`, goes on with it"
    assert said.splitlines()[-1] == last
    lab.agent("gpu-a")
    opsconsole(lab, here, "transfers", "resume")
    lab.run("wait", job)
    assert "1000000" in lab.lines(job)


def outputs(lab: Lab) -> Path:
    """A worker's output folder."""
    folder = lab.folder / "worker-out"
    folder.mkdir()
    return folder
