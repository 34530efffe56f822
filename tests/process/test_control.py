"""Pause, resume, cancel, hold and release, on whole process trees."""

import sys
from pathlib import Path

from tests.process.lab import Lab, words
from tests.seen_process import find, is_alive

TREE = Path(__file__).with_name("tree.py")
NAMES = ("leader", "child", "daemon")


class Tree:
    """What the counting tree shows of itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def command(self) -> tuple[str, ...]:
        return ("--", sys.executable, str(TREE), str(self.folder))

    def is_up(self) -> bool:
        return all((self.folder / name).exists() for name in NAMES)

    def counts(self) -> tuple[int, ...]:
        return tuple(int((self.folder / name).read_text()) for name in NAMES)

    def pids(self) -> tuple[int, ...]:
        return tuple(int((self.folder / f"{name}.pid").read_text()) for name in NAMES)

    def living(self) -> list[int]:
        return [pid for pid in self.pids() if is_alive(pid)]

    def all_move(self) -> bool:
        before = self.counts()
        return all(now > then for now, then in zip(self.counts(), before, strict=True))

    def stopped(self) -> bool:
        return all((one := find(pid)) is not None and one.is_stopped for pid in self.pids())


def test_pause_freezes_the_tree_and_resume_continues_the_same_processes(house: Lab) -> None:
    tree = Tree(house.folder / "tree")
    job_id = house.submit(*tree.command)
    house.wait(tree.is_up, "the tree")
    pids = tree.pids()
    house.run("pause", job_id)
    job = house.wait_state(job_id, "paused")
    assert "paused by" in job["tasks"][0]["reason"]
    frozen = tree.counts()
    house.run("workers")  # whatever time this takes, nothing moves meanwhile
    assert tree.counts() == frozen
    house.run("resume", job_id)
    house.wait_state(job_id, "running")
    house.wait(lambda: all(now > then for now, then in zip(tree.counts(), frozen, strict=True)), "the tree to go on")
    assert tree.pids() == pids
    house.run("cancel", job_id)
    job = house.wait_state(job_id, "killed")
    assert tree.living() == []
    assert "cancelled by" in job["tasks"][0]["error"]
    kinds = {event["kind"] for event in job["events"] if event["actor"] != "coordinator"}
    assert kinds >= {"submitted", "pause", "resume", "cancel"}


def test_a_paused_tree_can_be_cancelled_and_nothing_else_is_touched(house: Lab) -> None:
    first, second = Tree(house.folder / "first"), Tree(house.folder / "second")
    doomed, spared = house.give(first.command[1:]), house.give(second.command[1:])
    house.wait(lambda: first.is_up() and second.is_up(), "both trees")
    house.act("pause", doomed)
    house.wait_state(doomed, "paused")
    house.act("cancel", doomed)
    house.wait_state(doomed, "killed")
    assert first.living() == []
    assert len(second.living()) == 3
    before = second.counts()
    house.wait(lambda: second.counts() > before, "the other tree to go on")
    house.act("cancel", spared)
    house.wait_state(spared, "killed")
    assert second.living() == []


def test_cancel_gives_the_grace_that_was_asked_for(house: Lab) -> None:
    polite = house.submit(
        "--grace", "30s", *words("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    )
    stubborn = house.submit("--grace", "0.3s", *words("trap '' TERM; echo up; while :; do sleep 0.05; done"))
    for job_id in (polite, stubborn):
        house.wait_lines(job_id, "up")
    house.run("cancel", polite, stubborn)
    assert house.wait_state(polite, "killed")["tasks"][0]["exit_code"] in {0, None}
    assert house.run("logs", polite).stdout == "up\nbye\n"
    ended = house.wait_state(stubborn, "killed")["tasks"][0]["attempts"][0]
    assert ended["signal"] == 9
    assert ended["finished_at_ms"] - ended["started_at_ms"] >= 300


def test_hold_and_release(lab: Lab) -> None:
    lab.serve()
    job_id = lab.give("true")
    lab.run("hold", job_id)
    lab.agent("gpu-a")
    assert lab.state(job_id) == "held"
    lab.run("release", job_id)
    lab.wait_state(job_id, "succeeded")
    assert "can't release" in lab.run("release", job_id, code=1).stderr
