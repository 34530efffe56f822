"""A worker's mounts as its user names them."""

from pathlib import Path

import pytest

from opsconsole_agent.probe.io_path import InputRefused, WorkerIOConfig, check, inspect_input, resolve_input
from opsconsole_agent.probe.mount_point import all_mounts, make_mount, parse_mount
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.mount import Mount


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("lab=/mnt/lab", Mount(label="lab", path="/mnt/lab")),
        ("lab=/mnt/lab:rw", Mount(label="lab", path="/mnt/lab", writable=True)),
        ("lab=/mnt/a=b:c", Mount(label="lab", path="/mnt/a=b:c")),
    ],
)
def test_a_flag(text: str, mount: Mount) -> None:
    assert parse_mount(text) == mount


def test_a_path_is_made_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    monkeypatch.chdir(tmp_path)
    assert parse_mount("a=~/data").path == "/home/ana/data"
    assert parse_mount("a=data").path == f"{tmp_path}/data"


@pytest.mark.parametrize("text", ["", "lab", "=/a", "lab=", "lab=:rw"])
def test_a_flag_that_names_no_folder(text: str) -> None:
    with pytest.raises(InvalidRequest, match="write LABEL=PATH"):
        parse_mount(text)


def test_a_flag_beats_the_configuration() -> None:
    configured = [make_mount("a", "/a", aliases=("/Volumes/a",)), make_mount("b", "/b")]
    assert all_mounts(configured, ["a=/other:rw"]) == (
        Mount(label="b", path="/b"),
        Mount(label="a", path="/other", writable=True),
    )


def test_what_cant_be_a_mount_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="belongs to --input-path"):
        all_mounts([], ["input=/a"])


@pytest.fixture
def config(tmp_path: Path) -> WorkerIOConfig:
    """An input folder, a mount that others know as /Volumes/lab, and a writable one in it."""
    for name in ("inputs", "lab/runs", "lab/scratch"):
        (tmp_path / name).mkdir(parents=True)
    mounts = (
        Mount(label="lab", path=str(tmp_path / "lab"), aliases=("/Volumes/lab",)),
        Mount(label="scratch", path=str(tmp_path / "lab/scratch"), writable=True),
    )
    return WorkerIOConfig.of(tmp_path / "inputs", mounts=mounts)


def test_mounts_are_checked_at_the_start(config: WorkerIOConfig, tmp_path: Path) -> None:
    assert check(config) == []
    (tmp_path / "lab/scratch").rmdir()
    assert check(config) == [
        f"mount scratch {tmp_path}/lab/scratch does not exist: create it, or change --mount scratch=…"
    ]
    (tmp_path / "lab/scratch").write_text("")
    (tmp_path / "lab").rename(tmp_path / "else")
    assert check(config) == [
        f"mount lab {tmp_path}/lab does not exist: create it, or change --mount lab=…",
        f"mount scratch {tmp_path}/lab/scratch does not exist: create it, or change --mount scratch=…",
    ]


def test_a_writable_mount_is_written_to_and_left_as_it_was(config: WorkerIOConfig, tmp_path: Path) -> None:
    before = (tmp_path / "lab/scratch").stat().st_mtime_ns
    assert check(config) == []
    assert (tmp_path / "lab/scratch").stat().st_mtime_ns > before
    assert list((tmp_path / "lab/scratch").iterdir()) == []


@pytest.mark.parametrize("name", ["lab:runs/a.csv", "/Volumes/lab/runs/a.csv", "{lab}/runs/a.csv", "lab:latest/a.csv"])
@pytest.mark.parametrize("resolve", [resolve_input, inspect_input])
def test_an_input_below_a_mount(config: WorkerIOConfig, tmp_path: Path, name: str, resolve: object) -> None:
    (tmp_path / "lab/runs/a.csv").write_text("1,2\n")
    (tmp_path / "lab/latest").symlink_to("runs")
    assert callable(resolve)
    found = resolve(config, name.format(lab=tmp_path / "lab"))
    assert (found.path, found.size_bytes) == (tmp_path / "lab/runs/a.csv", 4)


@pytest.mark.parametrize("resolve", [resolve_input, inspect_input])
def test_an_input_that_a_link_leads_out_to(config: WorkerIOConfig, tmp_path: Path, resolve: object) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "lab/runs/a").symlink_to(tmp_path / "secret")
    (tmp_path / "lab/out").symlink_to(tmp_path)
    assert callable(resolve)
    for name in ("lab:runs/a", "lab:out/secret", "/Volumes/lab/out/secret"):
        with pytest.raises(InputRefused, match="is a link that leads out of the input folder"):
            resolve(config, name)


def test_an_input_that_is_not_there(config: WorkerIOConfig, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=f"not found in {tmp_path}/lab: place it there first"):
        inspect_input(config, "lab:runs/a.csv")
