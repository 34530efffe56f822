"""Disk use of folders, found out a little at a time."""

import os
from pathlib import Path

import pytest

from opsconsole_agent.probe.folder_size import FolderSizeProbe

MIB = 1 << 20


class Clock:
    """Time that passes with every look at it, so that a budget is spent."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 100.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def fill(file: Path, mib: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * mib * MIB)


def test_a_small_folder_is_known_at_once(tmp_path: Path) -> None:
    fill(tmp_path / "a", 3)
    fill(tmp_path / "deep" / "er" / "b", 2)
    size = FolderSizeProbe(budget_s=10).sample({"one": tmp_path})["one"]
    assert size in (5, 6)  # the folders' own blocks count too


def test_an_empty_or_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folders = {"empty": tmp_path / "empty", "missing": tmp_path / "missing"}
    assert FolderSizeProbe(budget_s=10).sample(folders) == {"empty": 0, "missing": 0}


def test_holes_take_no_disk(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert FolderSizeProbe(budget_s=10).sample({"one": tmp_path})["one"] in (0, 1)


def test_links_are_not_followed_and_hard_links_count_once(tmp_path: Path) -> None:
    fill(tmp_path / "outside" / "big", 20)
    inside = tmp_path / "inside"
    fill(inside / "a", 4)
    os.link(inside / "a", inside / "b")
    (inside / "out").symlink_to(tmp_path / "outside")
    (inside / "file").symlink_to(tmp_path / "outside" / "big")
    (inside / "round").symlink_to(inside)
    assert FolderSizeProbe(budget_s=10).sample({"one": inside})["one"] in (4, 5)
    (tmp_path / "top").symlink_to(tmp_path / "outside")
    assert FolderSizeProbe(budget_s=10).sample({"one": tmp_path / "top"}) == {"one": 0}


def test_other_filesystems_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "here", 1)
    fill(tmp_path / "mount" / "there", 9)
    real = os.lstat

    def lstat(path: str | Path) -> os.stat_result:
        state = real(path)
        elsewhere = str(path) == str(tmp_path / "mount")
        return os.stat_result((*state[:2], state.st_dev + 1, *state[3:])) if elsewhere else state

    monkeypatch.setattr(os, "lstat", lstat)
    assert FolderSizeProbe(budget_s=10).sample({"one": tmp_path})["one"] in (1, 2)


def test_one_call_walks_no_longer_than_its_budget(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"file-{number}").touch()
    clock = Clock(step=0.001)
    probe = FolderSizeProbe(budget_s=0.003, clock=clock)
    calls = 0
    while probe.sample({"one": tmp_path})["one"] is None:
        calls += 1
        assert calls < 100
    assert calls >= 3


def test_the_budget_is_shared_so_that_every_folder_gets_its_turn(tmp_path: Path) -> None:
    folders = {}
    for key in ("large", "small"):
        folders[key] = tmp_path / key
        for number in range(1000 if key == "large" else 10):
            (folders[key] / f"{number}").mkdir(parents=True)
    probe = FolderSizeProbe(budget_s=0.003, clock=Clock(step=0.001))
    calls = 0
    while probe.sample(folders)["small"] is None:
        calls += 1
        assert calls < 4
    assert probe.sample(folders)["large"] is None


def test_a_folder_is_walked_again_only_after_a_while(tmp_path: Path) -> None:
    clock = Clock()
    probe = FolderSizeProbe(budget_s=10, every_s=30, clock=clock)
    fill(tmp_path / "a", 2)
    before = probe.sample({"one": tmp_path})["one"]
    fill(tmp_path / "b", 10)
    clock.now += 29
    assert probe.sample({"one": tmp_path})["one"] == before
    clock.now += 1
    after = probe.sample({"one": tmp_path})["one"]
    assert before is not None
    assert after == before + 10


def test_a_folder_left_out_is_forgotten_and_a_changed_one_walked_anew(tmp_path: Path) -> None:
    fill(tmp_path / "a" / "file", 2)
    fill(tmp_path / "b" / "file", 5)
    probe = FolderSizeProbe(budget_s=10)
    probe.sample({"one": tmp_path / "a"})
    assert probe.sample({"one": tmp_path / "b"})["one"] in (5, 6)
    assert probe.sample({}) == {}
    assert probe._walks == {}


def test_a_bottomless_folder_ends(tmp_path: Path) -> None:
    place = tmp_path
    for _ in range(100):
        place /= "d"
        place.mkdir()
    fill(place / "file", 5)
    assert FolderSizeProbe(budget_s=10).sample({"one": tmp_path})["one"] in (0, 1)


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "outside" / "big", 20)
    inside = tmp_path / "inside"
    for number in range(100):
        (inside / f"{number:03}").mkdir(parents=True)
    clock = Clock(step=0.001)
    probe = FolderSizeProbe(budget_s=0.002, clock=clock)
    assert probe.sample({"one": inside}) == {"one": None}
    for number in range(100):
        (inside / f"{number:03}").rmdir()
        (inside / f"{number:03}").symlink_to(tmp_path / "outside")
    size = None
    while size is None:
        size = probe.sample({"one": inside})["one"]
    assert size <= 1
