"""Where the bytes of a tree that is sent come from."""

import errno
import os
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.error import Conflict, NotFound
from opsconsole_protocol.host.content.hash_cache import HashCache, signature
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.source import FolderSource

LARGE = 2 * CHUNK_BYTES


@pytest.fixture
def top(tmp_path: Path) -> Path:
    here = tmp_path / "top"
    here.mkdir()
    (here / "large").write_bytes(b"l" * LARGE)
    (here / "small").write_bytes(b"small")
    return here


def read(source: FolderSource, index: int) -> bytes:
    """A whole file."""
    entry = source.manifest.entries[index]
    data = memoryview(bytearray(entry.size))
    if not entry.is_large:
        source.read_files([index], data)
    else:
        for number in range(len(source.leaves(index))):
            source.read_chunk(index, number, data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])
    return bytes(data)


def test_files_are_read_in_any_order(top: Path) -> None:
    source = FolderSource(top, scan(top))
    for _ in range(2):
        assert read(source, 1) == b"small"
        assert read(source, 0) == b"l" * LARGE
    source.close()


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("change", ["other", "longer", "shorter", "gone", "symlink", "fifo", "folder"])
def test_what_has_changed_is_noticed(top: Path, index: int, change: str) -> None:
    source = FolderSource(top, scan(top))
    path = top / ("large", "small")[index]
    data = path.read_bytes()
    if change == "longer" and index == 0:
        return  # what is beyond its end isn't sent; the bytes are the named ones
    path.unlink()
    match change:
        case "other":
            path.write_bytes(data[:-1] + b"!")
        case "longer":
            path.write_bytes(b"!" + data)
        case "shorter":
            path.write_bytes(data[:-1])
        case "symlink":
            (top / "elsewhere").write_bytes(data)
            path.symlink_to("elsewhere")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            pass
    with pytest.raises(ContentChanged, match="send it again"):
        read(source, index)
    source.close()


def test_a_file_that_changes_between_two_chunks_is_noticed(top: Path) -> None:
    source = FolderSource(top, scan(top))
    source.leaves(0)
    data = memoryview(bytearray(CHUNK_BYTES))
    source.read_chunk(0, 0, data)
    with (top / "large").open("r+b") as file:
        file.seek(CHUNK_BYTES)
        file.write(b"!")
    with pytest.raises(ContentChanged):
        source.read_chunk(0, 1, data)
    source.close()


def test_a_cache_that_is_wrong_fails_at_most_once(top: Path, tmp_path: Path) -> None:
    """Somebody has set a file's times back: its hashes are those of what it was."""
    cache = HashCache(tmp_path / "hashes")
    manifest = scan(top)
    key = signature((top / "large").stat())
    cache.remember(key, [chunk_digest(b"was"), chunk_digest(b"once")])
    source = FolderSource(top, manifest, cache=cache)
    assert read(source, 0) == b"l" * LARGE, "hashes of another file aren't taken"
    assert cache.digest(key) == manifest.entries[0].digest
    source.close()
    small = signature((top / "small").stat())._replace(mtime_ns=1, ctime_ns=1)
    cache.remember(small, [chunk_digest(b"was")])
    cache.forget(small)
    assert cache.leaves(small) is None
    cache.close()


def test_a_disk_that_fails_is_said_with_the_files_name(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FolderSource(top, scan(top))

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    for index, name in enumerate(("large", "small")):
        with pytest.raises(Conflict, match=f"'{name}' can't be read"):
            read(source, index)
    source.close()


def test_no_folder_is_not_found(top: Path) -> None:
    with pytest.raises(NotFound):
        FolderSource(top / "missing", scan(top))
