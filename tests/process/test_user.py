"""A worker of an ordinary user: no cgroups, no foreign processes, and still whole trees are paused and ended."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.process.lab import Lab, lab
from tests.process.test_control import Tree
from tests.seen_process import find

NOBODY = 65534


def reachable_python() -> str | None:
    """An interpreter that this user may run, with our packages: this one, or the system's of the same version."""
    for path in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        try:
            probe = subprocess.run(
                [path, "-c", "import opsconsole_console.cli, websockets, msgspec, psutil"],
                user=NOBODY, group=NOBODY, extra_groups=(), cwd="/", env=python_path(), capture_output=True, check=False,
            )  # fmt: skip
        except OSError:
            continue
        if probe.returncode == 0:
            return path
    return None


def python_path() -> dict[str, str]:
    """Where this interpreter finds things, without its own standard library."""
    places = [
        place for place in sys.path if place.endswith("site-packages") or (ROOT / "agent").parent == Path(place).parent
    ]
    return {"PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def open_lab() -> Iterator[tuple[Lab, str]]:
    """A lab in a folder that every user reaches, and an interpreter that they do."""
    if os.geteuid() != 0:
        pytest.skip("only root can start an agent as somebody else; as an ordinary user all other tests are this one")
    python = reachable_python()
    if python is None:
        pytest.skip(f"uid {NOBODY} can't run any Python that has what we need")
    folder = Path(tempfile.mkdtemp(prefix="opsconsole-lab-"))
    try:
        with lab(folder) as made:
            yield made, python
    finally:
        shutil.rmtree(folder)


def test_pause_resume_and_cancel_reach_the_whole_tree(open_lab: tuple[Lab, str]) -> None:
    lab, python = open_lab
    lab.serve()
    home = lab.folder / "nobody"
    home.mkdir()
    for path in (lab.folder, home):
        path.chmod(0o711)
    os.chown(home, NOBODY, NOBODY)
    with (lab.folder / "nobody.log").open("wb") as log:
        agent = subprocess.Popen(
            (python, "-m", "opsconsole_console", "agent", "--name", "nobody", "--state-dir", str(home / "state"), "--max-concurrent-jobs", "2"),
            user=NOBODY, group=NOBODY, extra_groups=(), cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=lab.environ | python_path() | {
                "HOME": str(home), "OPSCONSOLE_JOIN": lab.invite(), "OPSCONSOLE_CONFIG": "/dev/null",
                "OPSCONSOLE_DATA_DIR": str(home / "none"),
            },
        )  # fmt: skip
    try:
        lab.wait_connected("nobody")
        tree = Tree(home / "tree")
        spared = Tree(home / "spared")
        job_id, other = (lab.give((python, *one.command[2:])) for one in (tree, spared))
        lab.wait(lambda: tree.is_up() and spared.is_up(), "the trees")
        assert {one.user_id for pid in tree.pids() if (one := find(pid)) is not None} == {NOBODY}
        lab.act("pause", job_id)
        lab.wait_state(job_id, "paused")
        frozen, others = tree.counts(), spared.counts()
        lab.wait(
            lambda: all(now > then + 5 for now, then in zip(spared.counts(), others, strict=True)), "the other tree"
        )
        assert tree.counts() == frozen
        pids = tree.pids()
        lab.act("resume", job_id)
        lab.wait(lambda: all(now > then for now, then in zip(tree.counts(), frozen, strict=True)), "the tree to go on")
        assert tree.pids() == pids
        lab.act("pause", job_id)
        lab.wait_state(job_id, "paused")
        lab.act("cancel", job_id)
        lab.wait_state(job_id, "killed")
        assert tree.living() == []
        assert len(spared.living()) == 3
        lab.act("cancel", other)
        lab.wait_state(other, "killed")
        assert spared.living() == []
    finally:
        agent.kill()
        agent.wait(10)
