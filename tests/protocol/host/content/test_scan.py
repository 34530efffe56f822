"""Folders and files scanned."""

import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest, file_digest
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.content.manifest import EntryKind
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.host.content import file_hash
from opsconsole_protocol.host.content.arriving import INCOMING_PREFIX
from opsconsole_protocol.host.content.hash_cache import HashCache, signature
from opsconsole_protocol.host.content.scan import scan, scan_file
from opsconsole_protocol.stream.error import StreamCancelled

OLD_NS = 1_600_000_000_000_000_000


def test_every_entry_is_what_lies_there(odd_tree: Path) -> None:
    seen: list[tuple[int, int]] = []
    manifest = scan(odd_tree, progress=lambda done, total: seen.append((done, total)))
    found = {os.fsdecode(entry.path): entry for entry in manifest.entries}
    assert set(found) == {str(path.relative_to(odd_tree)) for path in odd_tree.rglob("*")}
    for name, entry in found.items():
        status = (odd_tree / name).lstat()
        if entry.kind is EntryKind.SYMLINK:
            assert os.fsdecode(entry.target) == str((odd_tree / name).readlink())
            continue
        assert entry.mode == stat.S_IMODE(status.st_mode)
        if entry.kind is EntryKind.FILE:
            data = (odd_tree / name).read_bytes()
            assert entry.size == len(data)
            starts = range(0, max(1, len(data)), CHUNK_BYTES)
            assert entry.digest == file_digest([chunk_digest(data[at : at + CHUNK_BYTES]) for at in starts])
    assert seen[-1] == (manifest.size_bytes, manifest.size_bytes)


def test_the_same_files_have_the_same_name_wherever_they_are(odd_tree: Path, tmp_path: Path) -> None:
    before = scan(odd_tree).content_id
    moved = odd_tree.rename(tmp_path / "moved")
    assert scan(moved).content_id == before
    (moved / "run").chmod(0o700)
    assert scan(moved).content_id != before


def test_only_what_is_selected(odd_tree: Path) -> None:
    asked: list[tuple[bytes, bool]] = []

    def select(path: bytes, is_folder: bool) -> bool:
        asked.append((path, is_folder))
        return path in (b"run", b"closed", b"closed/in it")

    assert [entry.path for entry in scan(odd_tree, select=select).entries] == [b"closed", b"closed/in it", b"run"]
    assert (b"names", True) in asked
    assert not any(path.startswith(b"names/") for path, _ in asked), "what lies below is left out unseen"


def test_only_these_paths_and_what_lies_below_them(odd_tree: Path) -> None:
    manifest = scan(odd_tree, paths=[b"closed", b"run", b"names/-rf", b"not there", b"run"])
    assert [entry.path for entry in manifest.entries] == [b"closed", b"closed/in it", b"names", b"names/-rf", b"run"]
    with pytest.raises(InvalidRequest):
        scan(odd_tree, paths=[b"../x"])


def test_a_path_through_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"k")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "link").symlink_to("../secret")
    with pytest.raises(Conflict, match="symlink"):
        scan(tmp_path / "top", paths=[b"link/key"])


def test_what_cannot_be_in_a_tree_is_an_error_or_is_told(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "fine").write_bytes(b"x")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(top / "socket"))
    (top / "out").symlink_to("/etc/passwd")
    (top / "up").symlink_to("../../x")
    (top / "new\nline").symlink_to("/")
    with pytest.raises(OpsconsoleError, match="move it elsewhere, or leave it out of code by a line in"):
        scan(top)
    told: list[str] = []
    assert [entry.path for entry in scan(top, refused=told.append).entries] == [b"fine"]
    assert len(told) == 5
    assert all(line.isprintable() for line in told)
    assert not any("move it" in line or "leave it" in line for line in told)  # they were left out already
    assert "'fifo' is a fifo, which can't be sent" in told
    assert "'socket' is a socket, which can't be sent" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_read(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("not even root makes devices here")
    with pytest.raises(Conflict, match="a device, which can't be sent"):
        scan(tmp_path)
    with pytest.raises(Conflict, match="a device, which can't be sent"):
        scan_file(tmp_path / "null")


def test_a_file_by_itself(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"a,b\n")
    (tmp_path / "link").symlink_to("data.csv")
    (entry,) = scan_file(tmp_path / "link").entries
    assert (entry.path, entry.size, entry.kind) == (b"link", 4, EntryKind.FILE)
    assert scan_file(tmp_path / "link", b"data.csv").content_id == scan_file(tmp_path / "data.csv").content_id
    for wrong in ("missing", ".", "loop"):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(OpsconsoleError):
            scan_file(tmp_path / wrong)


def test_no_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        scan(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(NotFound):
        scan(tmp_path / "file")


def test_what_has_not_changed_is_not_read_again(
    odd_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsconsole_protocol.host.content.hash_cache._SETTLED_NS", 0)
    cache = HashCache(tmp_path / "cache" / "hashes")
    first = scan(odd_tree, cache=cache)
    cache.close()
    monkeypatch.setattr("opsconsole_protocol.host.content.scan.leaves_of", None)
    again = HashCache(tmp_path / "cache" / "hashes")
    assert scan(odd_tree, cache=again).content_id == first.content_id
    with (odd_tree / "large").open("r+b") as file:
        file.write(b"!")
    with pytest.raises(TypeError):
        scan(odd_tree, cache=again)
    again.close()


def test_a_file_that_has_only_just_changed_is_read_again(tmp_path: Path) -> None:
    """Its time may not change with the next write: the disk may count in seconds."""
    cache = HashCache(tmp_path / "hashes")
    path = tmp_path / "top" / "a"
    path.parent.mkdir()
    path.write_bytes(b"x")
    scan(path.parent, cache=cache)
    assert cache.leaves(signature(path.stat())) is None
    cache.close()


def test_a_cache_that_cannot_be_used_is_done_without(odd_tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "below", tmp_path, Path("/proc/none/hashes")):
        cache = HashCache(path)
        assert scan(odd_tree, cache=cache).files > 5
        cache.close()
        cache.close()


def test_a_cache_forgets_what_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsconsole_protocol.host.content.hash_cache.HASHES_MAX", 10)
    path = tmp_path / "a"
    path.touch()
    os.utime(path, ns=(OLD_NS, OLD_NS))
    key = signature(path.stat())._replace(ctime_ns=OLD_NS)
    cache = HashCache(tmp_path / "hashes")
    for inode in range(30):
        cache.remember(key._replace(inode=inode), [chunk_digest(b"")])
    cache.close()
    again = HashCache(tmp_path / "hashes")
    assert sum(again.leaves(key._replace(inode=inode)) is not None for inode in range(30)) == 5
    again.close()


def race(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Have `change` called whenever a scan has read a file."""

    def leaves_of(descriptor: int, size: int, **_: object) -> list[bytes]:
        leaves = file_hash.leaves_of(descriptor, size)
        change()
        return leaves

    def read(descriptor: int, size: int, reading: Callable[[int, int], bytes] = os.read) -> bytes:
        data = reading(descriptor, size)
        change()
        return data

    monkeypatch.setattr("opsconsole_protocol.host.content.scan.leaves_of", leaves_of)
    monkeypatch.setattr("opsconsole_protocol.host.content.scan.os.read", read)


SIZES = pytest.mark.parametrize("size", [5, 1 << 20], ids=["small", "larger"])


@SIZES
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1" * size)
    first = [b"2" * size]
    race(monkeypatch, lambda: first and path.write_bytes(first.pop()))
    (entry,) = scan(tmp_path).entries
    assert not first
    assert entry.digest == chunk_digest(b"2" * size)


@SIZES
def test_a_file_that_is_written_all_the_time_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * size)
    race(monkeypatch, lambda: os.truncate(path, path.stat().st_size + 1))
    with pytest.raises(ContentChanged, match="being written"):
        scan(tmp_path)


def test_a_scan_can_be_cancelled(odd_tree: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(StreamCancelled):
        scan(odd_tree, cancel=cancel)


def test_holes_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10 << 30)
    (entry,) = scan(tmp_path).entries
    assert entry.size == 10 << 30
    assert entry.digest == file_digest([chunk_digest(bytes(CHUNK_BYTES))] * (10 * 256))


def test_a_folder_that_goes_while_it_is_looked_at_is_said(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").touch()

    def select(path: bytes, is_folder: bool) -> bool:
        if is_folder:
            (tmp_path / "sub").rmdir()
        return True

    with pytest.raises((ContentChanged, NotFound)):
        scan(tmp_path, select=select)
    (tmp_path / "sub").mkdir()
    assert [entry.path for entry in scan(tmp_path, select=select, refused=lambda _: None).entries] == [b"a", b"sub"]


def test_what_is_only_arriving_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    """A transfer that somebody stopped must not keep others from the folder."""
    arriving = tmp_path / "lab" / f"{os.fsdecode(INCOMING_PREFIX)}7486"
    arriving.mkdir(parents=True)
    (arriving / "half.bin").write_bytes(b"half")
    (tmp_path / "lab" / "whole.bin").write_bytes(b"whole")
    assert [entry.path for entry in scan(tmp_path).entries] == [b"lab", b"lab/whole.bin"]
