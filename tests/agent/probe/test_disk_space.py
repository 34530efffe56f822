"""A disk without room is told before work fails of it (hard use 16)."""

import os
from pathlib import Path

import pytest

from opsconsole_agent.probe.disk_space import NEEDED_BYTES_MIN, DiskShortage, DiskSpaceProbe


class Disk:
    """What statvfs says."""

    f_frsize = 4096
    f_files = 100
    f_favail = 50

    def __init__(self, total: int, free: int) -> None:
        self.f_blocks = total // self.f_frsize
        self.f_bavail = self.f_bfree = free // self.f_frsize


def shortages(monkeypatch: pytest.MonkeyPatch, disk: Disk) -> list[DiskShortage]:
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    return DiskSpaceProbe(["/state"]).shortages()


def test_ample_room_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shortages(monkeypatch, Disk(1 << 30, 1 << 29)) == []
    assert shortages(monkeypatch, Disk(1 << 40, 2 << 30)) == []


def test_a_full_disk_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = shortages(monkeypatch, Disk(1 << 30, NEEDED_BYTES_MIN // 2))
    assert one.is_full
    assert one.words == "its disk is full: make room in /state"


def test_little_room_is_told_and_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = shortages(monkeypatch, Disk(1 << 40, 500 << 20))
    assert not one.is_full
    assert one.words == "524 MB left in /state"


def test_room_without_names_for_files_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(1 << 40, 1 << 39)
    disk.f_favail = 0
    (one,) = shortages(monkeypatch, disk)
    assert one.is_full


def test_a_folder_that_is_gone_is_another_probes_matter(tmp_path: Path) -> None:
    assert DiskSpaceProbe([str(tmp_path / "gone")]).shortages() == []
