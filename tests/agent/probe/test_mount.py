"""The mount table, and which filesystem a path is on."""

from pathlib import Path

import pytest

from opsconsole_agent.probe import mount
from opsconsole_agent.probe.mount import Mount, filesystem_label, mounts


def table(folder: Path, *entries: tuple[str, str]) -> Path:
    """Write a mount table of (point, type) pairs."""
    lines = [f"{20 + n} 1 8:{n} / {point} rw - {kind} source rw" for n, (point, kind) in enumerate(entries)]
    file = folder / "mountinfo"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def test_a_line_is_read_with_its_optional_fields_and_escapes(tmp_path: Path) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(
        "36 35 98:0 /mnt1 /mnt/my\\040data rw,noatime master:1 shared:2 - cgroup none rw,memory\nnonsense\n",
        encoding="utf-8",
    )
    assert mounts(file) == [Mount("/mnt/my data", "/mnt1", "cgroup", frozenset({"rw", "memory"}))]


def test_a_missing_table_is_empty(tmp_path: Path) -> None:
    assert mounts(tmp_path / "none") == []
    assert filesystem_label(Path("/mnt"), tmp_path / "none") == "local"


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("ext4", "local"),
        ("tmpfs", "local"),
        ("overlay", "local"),
        ("fusectl", "local"),
        ("nfs", "nfs"),
        ("nfs4", "nfs"),
        ("lustre", "lustre"),
        ("cifs", "cifs"),
        ("fuse.sshfs", "sshfs"),
        ("fuse", "fuse"),
        ("autofs", "autofs"),
    ],
)
def test_labels(tmp_path: Path, kind: str, label: str) -> None:
    assert filesystem_label(Path("/data/set/one"), table(tmp_path, ("/", "ext4"), ("/data", kind))) == label


def test_the_longest_and_the_latest_mount_count(tmp_path: Path) -> None:
    file = table(tmp_path, ("/", "ext4"), ("/data", "autofs"), ("/data", "xfs"), ("/data/far", "nfs4"))
    assert filesystem_label(Path("/data/near"), file) == "local"
    assert filesystem_label(Path("/data/far/away"), file) == "nfs"
    assert filesystem_label(Path("/data/farther"), file) == "local"
    assert filesystem_label(Path("/data/near/../far"), file) == "nfs"


def test_links_are_followed_but_never_behind_a_network_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[Path] = []
    real = mount._link_target

    def link_target(place: Path) -> Path | None:
        touched.append(place)
        return real(place)

    monkeypatch.setattr(mount, "_link_target", link_target)
    share = tmp_path / "share"
    (share / "deep").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(share / "deep")
    (tmp_path / "relative").symlink_to("share")
    (tmp_path / "round").symlink_to("round")
    file = table(tmp_path, ("/", "ext4"), (str(share), "lustre"))
    assert filesystem_label(tmp_path / "absolute", file) == "lustre"
    assert filesystem_label(tmp_path / "relative" / "x", file) == "lustre"
    assert filesystem_label(tmp_path / "round", file) == "local"
    assert tmp_path / "relative" in touched
    assert not any(place.is_relative_to(share) for place in touched)


def test_this_machine(tmp_path: Path) -> None:
    assert any(mount.point == "/" for mount in mounts())
    assert filesystem_label(Path("/proc/self")) == "local"
