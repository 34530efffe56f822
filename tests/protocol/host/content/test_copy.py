"""Private copies of kept trees."""

import threading
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.content.copy import copy_tree
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore, StoredTree
from opsconsole_protocol.stream.error import StreamCancelled
from tests.protocol.host.content.pair import contents, feed


@pytest.fixture
def tree(odd_tree: Path, tmp_path: Path) -> StoredTree:
    store = ContentStore(tmp_path / "store", 1 << 30)
    manifest = scan(odd_tree)
    source = FolderSource(odd_tree, manifest)
    feed(source, store.sink(manifest))
    source.close()
    kept = store.open(manifest.content_id)
    store.close()
    return kept


def test_a_copy_is_the_tree_with_its_modes_and_can_be_written_to(
    tree: StoredTree, odd_tree: Path, tmp_path: Path
) -> None:
    done: list[int] = []
    copy_tree(tree, tmp_path / "work" / "copy", progress=done.append)
    copied = contents(tmp_path / "work" / "copy")
    for name, (mode, data) in contents(odd_tree).items():
        own = 0o700 if data is None else 0o600
        assert copied.pop(name) == (mode | (0 if isinstance(data, str) else own), data)
    assert copied == {}
    assert (tmp_path / "work" / "copy" / "holes").stat().st_blocks * 512 <= CHUNK_BYTES
    assert done[-1] == tree.manifest.size_bytes
    (tmp_path / "work" / "copy" / "large").write_bytes(b"mine")
    assert (tree.path / "large").stat().st_size == 2 * CHUNK_BYTES + 1


def test_what_is_in_the_way_stays(tree: StoredTree, tmp_path: Path) -> None:
    for name in ("run", "dangling"):
        there = tmp_path / name
        there.mkdir()
        (there / name).write_bytes(b"mine")
        with pytest.raises(OpsconsoleError):
            copy_tree(tree, there)
        assert (there / name).read_bytes() == b"mine"
    (tmp_path / "outside").mkdir()
    (tmp_path / "through").mkdir()
    (tmp_path / "through" / "names").symlink_to("../outside")
    with pytest.raises(OpsconsoleError):
        copy_tree(tree, tmp_path / "through")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_copy_can_be_cancelled(tree: StoredTree, tmp_path: Path) -> None:
    cancel = threading.Event()
    with pytest.raises(StreamCancelled):
        copy_tree(tree, tmp_path / "copy", progress=lambda _: cancel.set(), cancel=cancel)
