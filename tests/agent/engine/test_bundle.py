"""Copies of code: what a task changed in its own, and what may go."""

import os
import threading
from pathlib import Path

import pytest

from opsconsole_agent.engine.bundle import COPIED_NS, has_changed, make_copy, remove_unchanged
from opsconsole_protocol.host.content.store import StoredTree
from opsconsole_protocol.stream.error import StreamCancelled
from tests.agent.transfer.tree import make_tree


@pytest.fixture
def tree(tmp_path: Path) -> StoredTree:
    folder = tmp_path / "kept"
    make_tree(folder, train_py="print(1)", sub__data_txt="x", sub__deep__run_sh="#!/bin/sh")
    (folder / "sub" / "deep" / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("train.py")
    manifest = make_tree(folder)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o555)
    return StoredTree(folder, manifest)


@pytest.fixture
def copy(tree: StoredTree, tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "work.new").mkdir()
    (tmp_path / "work.new" / "left").touch()  # of an agent that was killed
    make_copy(tree, tmp_path / "work", None, threading.Event())
    return tmp_path / "work"


def test_a_copy_is_writable_and_as_the_tree(copy: Path, tree: StoredTree) -> None:
    assert (copy / "sub" / "data.txt").read_text() == "x"
    assert os.access(copy / "sub" / "deep" / "run.sh", os.X_OK)
    assert (copy / "link").readlink() == Path("train.py")
    assert (copy / "train.py").stat().st_mtime_ns == COPIED_NS
    (copy / "train.py").write_text("print(2)")
    (copy / "sub" / "new").touch()
    assert (tree.path / "train.py").read_text() == "print(1)"
    assert not copy.with_name("work.new").exists()


CHANGES = {
    "new file": lambda copy: (copy / "sub" / "new").touch(),
    "new folder": lambda copy: (copy / "new").mkdir(),
    "same size": lambda copy: (copy / "train.py").write_text("print(9)"),
    "another link": lambda copy: ((copy / "link").unlink(), (copy / "link").symlink_to("sub")),
    "a link for a file": lambda copy: ((copy / "train.py").unlink(), (copy / "train.py").symlink_to("/etc/passwd")),
    "a second name": lambda copy: os.link(copy / "train.py", copy / "sub" / "second"),
}


def test_nothing_has_changed_at_first(copy: Path, tree: StoredTree) -> None:
    assert not has_changed(tree.manifest, copy)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_noticed_and_stays(copy: Path, tree: StoredTree, change: object) -> None:
    assert callable(change)
    change(copy)
    assert has_changed(tree.manifest, copy)
    before = set(copy.rglob("*"))
    remove_unchanged(tree.manifest, copy)
    left = {path for path in copy.rglob("*") if path.is_symlink() or not path.is_dir() or not any(path.iterdir())}
    assert left, "what was changed stays"
    assert left <= before
    assert Path("/etc/passwd").exists()


def test_an_unchanged_copy_goes_as_a_whole(copy: Path, tree: StoredTree) -> None:
    remove_unchanged(tree.manifest, copy)
    assert list(copy.iterdir()) == []


def test_a_folder_that_became_a_link_leads_nowhere(copy: Path, tree: StoredTree, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_copy(tree, other, None, threading.Event())
    (copy / "sub").rename(tmp_path / "moved")
    (copy / "sub").symlink_to(other / "sub")
    remove_unchanged(tree.manifest, copy)
    assert (other / "sub" / "data.txt").exists()


def test_a_copy_that_is_cancelled_leaves_nothing(tree: StoredTree, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(StreamCancelled):
        make_copy(tree, tmp_path / "work", None, cancel)
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "work.new").exists()
