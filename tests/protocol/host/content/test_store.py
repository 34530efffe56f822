"""A store of trees."""

import contextlib
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.content.error import CacheChanged, DiskFull, NoRoom
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.host.content import record as record_module
from opsconsole_protocol.host.content.file_hash import leaves_of
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.ids import ContentId
from tests.protocol.host.content.crash import die_after, in_child
from tests.protocol.host.content.pair import contents, feed


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ContentStore]:
    one = ContentStore(tmp_path / "store", 1 << 30)
    yield one
    one.close()


def folder(path: Path, **files: bytes) -> Path:
    """A folder with these files."""
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def put(store: ContentStore, top: Path) -> Manifest:
    """Let the store have a folder."""
    manifest = scan(top)
    source = FolderSource(top, manifest)
    feed(source, store.sink(manifest))
    source.close()
    return manifest


def test_a_kept_tree_is_what_was_sent_and_nobody_may_write(store: ContentStore, odd_tree: Path) -> None:
    manifest = put(store, odd_tree)
    assert store.has(manifest.content_id)
    tree = store.open(manifest.content_id)
    assert tree.manifest.entries == manifest.entries
    kept = contents(tree.path)
    assert {name: data for name, (_, data) in kept.items()} == {
        name: data for name, (_, data) in contents(odd_tree).items()
    }
    assert {mode for _, (mode, data) in kept.items() if isinstance(data, bytes)} == {0o444, 0o555}
    assert {mode for _, (mode, data) in kept.items() if data is None} == {0o555}
    assert kept["run"][0] == 0o555
    assert tree.path.stat().st_mode & 0o777 == 0o555


def test_a_kept_tree_can_be_sent_on_without_reading_it_twice(
    store: ContentStore, odd_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = put(store, odd_tree)
    monkeypatch.setattr("opsconsole_protocol.host.content.source.leaves_of", None)
    other = ContentStore(tmp_path / "other", 1 << 30)
    source = store.source(manifest.content_id)
    feed(source, other.sink(manifest))
    source.close()
    assert contents(other.open(manifest.content_id).path) == contents(store.open(manifest.content_id).path)
    other.close()


def test_what_is_here_is_not_received_again(store: ContentStore, odd_tree: Path) -> None:
    manifest = put(store, odd_tree)
    source = FolderSource(odd_tree, manifest)
    assert feed(source, store.sink(manifest)) == 0
    source.close()


def test_two_cannot_receive_the_same_tree_at_once(store: ContentStore, odd_tree: Path) -> None:
    manifest = scan(odd_tree)
    sink = store.sink(manifest)
    with pytest.raises(Conflict, match="already"):
        store.sink(manifest)
    sink.abandon()
    store.sink(manifest).abandon()
    assert store.abandoned() == [manifest.content_id]
    store.remove_abandoned(store.abandoned())
    assert store.abandoned() == []


def test_what_has_arrived_of_a_tree_that_has_changed_since_is_used(store: ContentStore, tmp_path: Path) -> None:
    large = random.Random(1).randbytes(CHUNK_BYTES + 5)  # noqa: S311
    top = folder(tmp_path / "top", a=b"small", b=large)
    source = FolderSource(top, scan(top))
    sink = store.sink(source.manifest)
    sink.finish = lambda: None  # type: ignore[method-assign]
    feed(source, sink)
    sink.abandon()
    source.close()
    (top / "a").write_bytes(b"other")
    manifest = scan(top)
    source = FolderSource(top, manifest)
    assert feed(source, store.sink(manifest)) == len(b"other")
    source.close()
    assert contents(store.open(manifest.content_id).path) == {"a": (0o444, b"other"), "b": (0o444, large)}


def test_files_of_other_trees_are_linked(store: ContentStore, tmp_path: Path) -> None:
    large = random.Random(1).randbytes(CHUNK_BYTES + 5)  # noqa: S311
    first = put(store, folder(tmp_path / "one", a=b"small", b=large, c=b"x"))
    top = folder(tmp_path / "two", other=b"small", b=large, new=b"new", run=b"x")
    (top / "run").chmod(0o755)
    second = scan(top)
    source = FolderSource(top, second)
    assert feed(source, store.sink(second)) == len(b"new") + len(b"x"), "a file with another mode isn't linked"
    source.close()
    one, two = store.open(first.content_id), store.open(second.content_id)
    assert (one.path / "b").stat().st_ino == (two.path / "b").stat().st_ino
    assert (one.path / "c").stat().st_ino != (two.path / "run").stat().st_ino
    assert store.remove(first.content_id)
    assert contents(store.open(second.content_id).path)["b"] == (0o444, large)


def test_a_file_that_was_written_to_is_not_linked(store: ContentStore, tmp_path: Path) -> None:
    first = put(store, folder(tmp_path / "one", a=b"small"))
    write(store.open(first.content_id).path / "a", b"spoil")
    second = put(store, folder(tmp_path / "two", b=b"small"))
    assert (store.open(second.content_id).path / "b").read_bytes() == b"small"


@pytest.mark.parametrize("limit", [errno.EMLINK, errno.EXDEV, errno.EPERM])
def test_a_file_that_cannot_be_linked_is_received(
    store: ContentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(limit, os.strerror(limit))

    put(store, folder(tmp_path / "one", a=b"small"))
    monkeypatch.setattr(os, "link", refuse)
    second = put(store, folder(tmp_path / "two", b=b"small"))
    assert (store.open(second.content_id).path / "b").read_bytes() == b"small"


def write(path: Path, data: bytes) -> None:
    """Write into a kept file, as a task of the same user can."""
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def add(path: Path) -> None:
    path.parent.chmod(0o755)
    path.parent.joinpath("new").write_bytes(b"")


def remove(path: Path) -> None:
    path.parent.chmod(0o755)
    path.unlink()


def replace_by_symlink(path: Path) -> None:
    data = path.read_bytes()
    path.parent.chmod(0o755)
    path.unlink()
    path.parent.joinpath("elsewhere").write_bytes(data)
    path.symlink_to("elsewhere")


def same_size_and_time(path: Path) -> None:
    status = path.stat()
    write(path, b"y" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def fifo(path: Path) -> None:
    remove(path)
    os.mkfifo(path)


@pytest.mark.parametrize(
    "change",
    [lambda path: write(path, b"other"), add, remove, replace_by_symlink, same_size_and_time, fifo],
    ids=["write", "add", "remove", "symlink", "times", "fifo"],
)
def test_a_tree_that_a_task_wrote_into_is_dropped_and_said_so(
    store: ContentStore, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    top = tmp_path / "top"
    folder(top)
    folder(top / "sub", data=b"x" * 5)
    manifest = put(store, top)
    change(store.open(manifest.content_id).path / "sub" / "data")
    with pytest.raises(CacheChanged) as said:
        store.open(manifest.content_id)
    assert said.value.message.isprintable()
    assert not store.has(manifest.content_id)
    assert put(store, top).content_id == manifest.content_id
    assert (store.open(manifest.content_id).path / "sub" / "data").read_bytes() == b"xxxxx"


def test_a_file_that_only_looks_changed_is_read_once(
    store: ContentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = put(store, folder(tmp_path / "top", a=b"a", b=b"b"))
    os.utime(store.open(manifest.content_id).path / "a")
    read: list[int] = []

    def counted(descriptor: int, size: int) -> list[bytes]:
        read.append(size)
        return leaves_of(descriptor, size)

    monkeypatch.setattr("opsconsole_protocol.host.content.kept_tree.leaves_of", counted)
    store.open(manifest.content_id)
    store.open(manifest.content_id)
    assert len(read) == 1


def test_a_tree_is_read_once_after_the_machine_has_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written just before a crash may look right and be full of zeros."""
    store = ContentStore(tmp_path / "store", 1 << 30)
    manifest = put(store, folder(tmp_path / "top", a=b"abc"))
    path = store.open(manifest.content_id).path / "a"
    record = record_module.read_record(tmp_path / "store" / "records" / manifest.content_id)
    assert record is not None
    write(path, b"\0\0\0")
    looks = [record_module.look(path.lstat())]
    record_module.write_record(
        tmp_path / "store" / "records" / manifest.content_id, record_module.make_record(record.manifest, looks)
    )
    assert store.open(manifest.content_id), "in the same boot nobody looks"
    store.close()
    for module in ("record", "kept_tree", "store"):
        monkeypatch.setattr(f"opsconsole_protocol.host.content.{module}.boot_id", lambda: "another")
    again = ContentStore(tmp_path / "store", 1 << 30)
    with pytest.raises(CacheChanged):
        again.open(manifest.content_id)
    again.close()


def test_the_least_recently_used_goes_and_what_is_needed_stays(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", 250)
    one, two = (put(store, folder(tmp_path / name, a=name.encode() * 100)) for name in "ab")
    for manifest, age_s in ((one, 20), (two, 10)):
        os.utime(tmp_path / "store" / "records" / manifest.content_id, (0, time.time() - age_s))
    store.open(one.content_id)
    three = put(store, folder(tmp_path / "c", a=b"c" * 100))
    assert set(store.ids()) == {one.content_id, three.content_id}
    assert store.size_bytes == 200
    store.pin("task", one.content_id)
    store.pin("task", three.content_id)
    assert store.room_bytes() == 50
    with pytest.raises(NoRoom, match="in use"):
        store.sink(scan(folder(tmp_path / "d", a=b"d" * 100)))
    store.close()
    again = ContentStore(tmp_path / "store", 250)
    assert again.holders() == {"task": {one.content_id, three.content_id}}
    assert again.trim(0) == []
    again.unpin("task")
    assert again.room_bytes() == 250
    assert set(again.trim(0)) == {one.content_id, three.content_id}
    assert again.size_bytes == 0
    again.close()


def test_many_threads_use_a_store_at_once(tmp_path: Path) -> None:
    """Trees come and go; what is open is whole, and nobody who only asks waits for a disk."""
    store = ContentStore(tmp_path / "store", 5_000)
    tops = [folder(tmp_path / str(number), a=bytes([number]) * 900, b=b"shared") for number in range(12)]
    manifests = [scan(top) for top in tops]

    def work(seed: int) -> int:
        noise, opened = random.Random(seed), 0  # noqa: S311
        for _ in range(40):
            number = noise.randrange(len(tops))
            content = manifests[number].content_id
            with contextlib.suppress(OpsconsoleError):
                if noise.random() < 0.5:
                    source = FolderSource(tops[number], manifests[number])
                    sink = store.sink(manifests[number])
                    try:
                        feed(source, sink)
                    finally:
                        sink.abandon()
                        source.close()
                elif noise.random() < 0.2:
                    store.remove(content)
                else:
                    store.pin(str(seed), content)
                    assert store.open(content).manifest.content_id == content
                    opened += 1
                    store.unpin(str(seed))
        return opened

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(work, range(4))) > 0
    for content in store.ids():
        assert contents(store.open(content).path)["b"] == (0o444, b"shared")
    assert store.size_bytes <= 5_000
    assert not store.abandoned()
    store.close()


def test_a_tree_that_is_larger_than_the_store_is_refused(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", 99)
    with pytest.raises(NoRoom, match="more room"):
        store.sink(scan(folder(tmp_path / "top", a=b"a" * 100)))
    store.close()


def test_trees_that_arrive_at_once_share_the_room(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", 150)
    sink = store.sink(scan(folder(tmp_path / "one", a=b"a" * 100)))
    assert store.room_bytes() == 50
    with pytest.raises(NoRoom):
        store.sink(scan(folder(tmp_path / "two", a=b"b" * 100)))
    sink.abandon()
    store.sink(scan(tmp_path / "two")).abandon()
    store.close()


def test_one_process_has_a_store(store: ContentStore, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="another process"):
        ContentStore(tmp_path / "store", 1)


def test_no_name_leads_out_of_a_store(store: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    for name in ("../../precious", "..", "/etc", ""):
        with pytest.raises((NotFound, InvalidRequest)):
            store.open(ContentId(name))
        with pytest.raises(InvalidRequest):
            store.pin("a", ContentId(name))
    for holder in ("../../x", "a/b", "\0", "x" * 10_000):
        store.pin(holder, ContentId("0" * 64))
        store.unpin(holder)
    assert (tmp_path / "precious").exists()
    assert list((tmp_path / "store" / "pins").iterdir()) == []


def test_damaged_files_of_a_store_cost_only_what_they_tell(store: ContentStore, tmp_path: Path) -> None:
    manifests = [put(store, folder(tmp_path / name, a=name.encode())) for name in "ab"]
    store.pin("x", manifests[0].content_id)
    store.close()
    for name in ("hashes.db", f"records/{manifests[0].content_id}"):
        (tmp_path / "store" / name).write_bytes(b"\xff" * 1_000)
    next((tmp_path / "store" / "pins").iterdir()).write_bytes(b"{")
    (tmp_path / "store" / "records" / "strange").write_bytes(b"")
    (tmp_path / "store" / "trees" / "strange").mkdir()
    again = ContentStore(tmp_path / "store", 1 << 30)
    assert again.ids() == [manifests[1].content_id]
    assert [one.name for one in (tmp_path / "store" / "trees").iterdir()] == [manifests[1].content_id]
    assert list((tmp_path / "store" / "trash").iterdir()) == []
    again.close()


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(
    store: ContentStore, odd_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = scan(odd_tree)
    source = FolderSource(odd_tree, manifest)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = store.sink(manifest)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(DiskFull, match="make room"):
            feed(source, sink)
    sink.abandon()
    assert not store.has(manifest.content_id)
    feed(source, store.sink(manifest))
    assert store.open(manifest.content_id)
    source.close()


def test_a_crash_at_any_point_leaves_a_tree_whole_or_absent(tmp_path: Path) -> None:
    top = folder(tmp_path / "top", a=b"abc", b=random.Random(3).randbytes(CHUNK_BYTES + 5))  # noqa: S311
    folder(top / "sub", c=b"", d=b"xyz")
    (top / "link").symlink_to("a")
    manifest = scan(top)
    before = contents(top)
    where = tmp_path / "store"
    was_whole: list[bool] = []

    def work(count: int) -> None:
        store = ContentStore(where, 1 << 30)
        source = FolderSource(top, manifest)
        die_after(count)
        feed(source, store.sink(manifest))
        store.remove(manifest.content_id)

    for count in range(500):
        code = in_child(lambda count=count: work(count))  # type: ignore[misc]
        store = ContentStore(where, 1 << 30)
        assert list((where / "trash").iterdir()) == []
        whole = store.has(manifest.content_id)
        was_whole.append(whole)
        assert [one.name for one in (where / "trees").iterdir()] == [manifest.content_id] * whole
        if not whole and count % 2:
            source = FolderSource(top, manifest)
            feed(source, store.sink(manifest))  # resumes what the dead one left
            source.close()
            whole = True
        if whole:
            kept = contents(store.open(manifest.content_id).path)
            assert {name: data for name, (_, data) in kept.items()} == {
                name: data for name, (_, data) in before.items()
            }
            store.remove(manifest.content_id)
        store.close()
        if code == 0:
            break
    else:
        raise AssertionError("it never came to its end")
    assert len(was_whole) > 30
    assert was_whole.count(True) >= 1
