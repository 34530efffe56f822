"""Pictures of the real program for the documents: `python -m tests.terminal.picture docs/images`.

A coordinator, three agents and real trainings on this machine, the console in tmux. The GPUs come from the tests' stub
of NVML's library; everything else is what it looks like.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.nvml import FakeGpus
from tests.process.lab import OPSCONSOLE, Lab, lab
from tests.terminal.tmux import Terminal

ROOT = Path(__file__).resolve().parents[2]
SHOWN = Path("/mnt/vast")
"""Where the fleet's folders are while pictures are taken, if that can be: it is to be read in them."""
TRAIN = (sys.executable, str(ROOT / "examples" / "digits" / "train.py"))
HOSTS = {"gpu-a": (2, "NVIDIA A100-SXM4-80GB", 81_920), "gpu-b": (4, "NVIDIA H100-80GB-HBM3", 81_559), "lab-4090": (1, "NVIDIA GeForce RTX 4090", 24_564)}  # fmt: skip


def fleet(room: Lab) -> None:
    """Three agents with GPUs, folders and jobs."""
    room.serve("--name", "lab-coordinator")
    for name, (count, model, memory_mb) in HOSTS.items():
        folder = room.folder / name
        folder.mkdir()
        gpus = FakeGpus(folder, count=count)
        for index in range(count):
            busy = name != "gpu-b" or index < 2
            gpus.set(
                index, name=model, memory_total_mb=memory_mb, memory_used_mb=memory_mb * (61 + 9 * index) // 100 if busy else 450,
                utilization_percent=97 - 13 * index if busy else 0, temperature_c=63 + index if busy else 38,
                power_w=287.0 - 20 * index if busy else 71.0,
            )  # fmt: skip
        for kind in ("inputs", "outputs"):
            (folder / kind).mkdir()
        (folder / "inputs" / "digits.csv").write_bytes(b"0" * 3_400_000)
        room.agent(
            name, "--input-path", str(folder / "inputs"), "--output-path", str(folder / "outputs"),
            "--filesystem", "vast" if name.startswith("gpu") else "local", slots=count, environ=gpus.environment(),
        )  # fmt: skip
    train = ("--", *TRAIN, "--epochs", "1000", "--sleep", "0.4")
    room.submit(
        "--name", "train-lr3", "--gpus", "1", "--priority", "10", "--worker", "gpu-a", "--project", "digits", *train
    )
    room.submit(
        "--name",
        "train-lr4",
        "--gpus",
        "1",
        "--project",
        "digits",
        "--worker",
        "lab-4090",
        *train,
        "--learning-rate",
        "3e-4",
    )
    room.submit("--name", "baseline", "--wait", "--project", "digits", "--", *TRAIN, "--epochs", "5")
    room.submit("--name", "sweep", "--tasks", "12", "--gpus", "1", "--worker", "gpu-b", "--project", "digits", "--", "sh", "-c", "sleep $((OPSCONSOLE_TASK_INDEX * 3 + 2))")  # fmt: skip
    room.submit("--name", "big-model", "--gpus", "8", "--", "true")
    paused = room.submit("--name", "ablation", "--gpus", "1", "--worker", "gpu-a", *train)
    room.run(
        "submit", "--name", "broken", "--wait", "--", "sh", "-c", "echo no such column: label >&2; exit 3", code=None
    )
    room.submit("--name", "report", "--after", paused, "--", "true")
    room.wait_state(paused, "running")
    room.run("pause", paused)


def take(room: Lab, folder: Path, name: str, width: int, height: int, *keys: str, wants: tuple[str, ...] = ()) -> None:
    """Start the console, type, and take a picture."""
    home = room.folder / f"tmux-{name}"
    home.mkdir()
    terminal = Terminal(home, width, height)
    try:
        terminal.start(OPSCONSOLE, room.environ, room.folder)
        terminal.until("Jobs", "gpu-a", "train-lr3")
        for key in keys:
            if key.startswith("until "):
                terminal.until(key.removeprefix("until "))
            else:
                terminal.type(key)
        terminal.until(*wants)
        terminal.picture(folder / f"{name}.svg")
        sys.stdout.write(terminal.screen() + "\n")
    finally:
        terminal.close()


@contextmanager
def shown_folder(shown: Path = SHOWN) -> Iterator[Path]:
    """Where everything is while pictures are taken. It is gone afterwards, also where TERM, HUP or Ctrl-C ended them."""
    before = {
        one: signal.signal(one, lambda number, _: sys.exit(128 + number)) for one in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        if os.access(shown.parent, os.W_OK) and not shown.exists():
            shown.mkdir()
            try:
                yield shown
            finally:
                shutil.rmtree(shown)
        else:
            with tempfile.TemporaryDirectory() as base:
                yield Path(base)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(folder: Path) -> None:
    """All pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with shown_folder() as base, lab(base) as room:
        fleet(room)
        logs = ("2", "g", "l", "until / Find", "2", "until p Pause", "j", "l", "until 4 Logs", "until / Find", "2", "until p Pause", "g")  # fmt: skip
        take(room, folder, "console-160x45", 160, 45, *logs, wants=("3 Logs", "4 Logs"))
        take(room, folder, "console-80x24", 80, 24, wants=("Jobs", "epoch"))
        take(room, folder, "new-job-160x45", 160, 45, "n", "until New job", *"trainer", wants=("runs  trainer", "✓"))
        take(room, folder, "worker-160x45", 160, 45, "1", "g", "Enter", wants=("Worker", "GPUs", "load"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
