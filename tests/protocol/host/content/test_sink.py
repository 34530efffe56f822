"""Files put into folders that may have others."""

import contextlib
import errno
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.content.error import DiskFull
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.error import Conflict, NotFound, OpsconsoleError
from opsconsole_protocol.host.content import disk, incoming
from opsconsole_protocol.host.content.arriving import INCOMING_PREFIX
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.sink import FolderSink, PlacingSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.sparing_sink import SparingSink
from opsconsole_protocol.stream.error import StreamCancelled
from tests.protocol.host.content.crash import die_after, in_child
from tests.protocol.host.content.pair import contents, feed


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder that is sent."""
    here = tmp_path / "top"
    (here / "models" / "best").mkdir(parents=True)
    (here / "models" / "best" / "a.pt").write_bytes(b"new weights")
    (here / "models" / "large").write_bytes(random.Random(4).randbytes(CHUNK_BYTES + 3))  # noqa: S311
    (here / "log").write_bytes(b"")
    (here / "last").symlink_to("models/best/a.pt")
    return here


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A mount of a worker."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def place(top: Path, root: Path, folder: bytes = b"", *, replace: bool = False) -> int:
    """Place what lies in one folder in another one."""
    source = FolderSource(top, scan(top))
    try:
        sink = PlacingSink(source.manifest, root, folder, replace=replace)
        try:
            return feed(source, sink)
        finally:
            sink.abandon()
    finally:
        source.close()


def test_files_come_to_lie_beside_others(top: Path, there: Path) -> None:
    (there / "in" / "models").mkdir(parents=True)
    (there / "in" / "models" / "old").write_bytes(b"old")
    (there / "in" / "models").chmod(0o700)
    place(top, there, b"in")
    assert (there / "in" / "models" / "old").read_bytes() == b"old"
    assert (there / "in" / "models").stat().st_mode & 0o777 == 0o700, "a folder that was there stays as it is"
    (there / "in" / "models" / "old").unlink()
    (there / "in" / "models").chmod((top / "models").stat().st_mode)
    assert contents(there / "in") == contents(top)


def test_missing_folders_are_made(top: Path, there: Path) -> None:
    place(top, there, b"a/b c/d")
    assert contents(there / "a" / "b c" / "d") == contents(top)


def test_what_is_there_is_not_received_again(top: Path, there: Path) -> None:
    place(top, there)
    assert place(top, there) == 0
    (there / "models" / "best" / "a.pt").unlink()
    assert place(top, there) == len(b"new weights")


@pytest.mark.parametrize("replace", [False, True])
def test_what_differs_is_refused_or_gives_way(top: Path, there: Path, replace: bool) -> None:
    (there / "models" / "best").mkdir(parents=True)
    (there / "models" / "best" / "a.pt").write_bytes(b"my weights!")
    if replace:
        place(top, there, replace=True)
        assert contents(there) == contents(top)
        return
    with pytest.raises(Conflict, match="there already"):
        place(top, there)
    assert (there / "models" / "best" / "a.pt").read_bytes() == b"my weights!"
    assert not (there / "models" / "large").exists(), "nothing was placed"


@pytest.mark.parametrize("replace", [False, True])
def test_folders_and_files_give_way_to_nothing_else(top: Path, there: Path, replace: bool) -> None:
    (there / "models").write_bytes(b"a file")
    with pytest.raises(Conflict, match="not a folder"):
        place(top, there, replace=replace)
    (there / "models").unlink()
    (there / "log").mkdir()
    with pytest.raises(Conflict, match="is a folder"):
        place(top, there, replace=replace)


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_is_written_through_symlinks(top: Path, there: Path, replace: bool) -> None:
    (there / "models").symlink_to("../outside")
    with pytest.raises(Conflict):
        place(top, there, replace=replace)
    (there / "models").unlink()
    (there / "way").symlink_to("../outside")
    with pytest.raises(Conflict):
        place(top, there, b"way/x", replace=replace)
    (there / "log").symlink_to("../outside/secret")
    if replace:
        place(top, there, replace=True)
        assert not (there / "log").is_symlink()
    else:
        with pytest.raises(Conflict):
            place(top, there)
    assert contents(there.parent / "outside") == {"secret": (0o644, b"secret")}


@pytest.mark.parametrize("folder", [b"..", b"/etc", b"a/../..", b"a//b", b"\0", b"x" * 256])
def test_a_folder_that_leads_out_is_refused(top: Path, there: Path, folder: bytes) -> None:
    with pytest.raises(OpsconsoleError):
        place(top, there, folder)
    assert list(there.iterdir()) == []


def test_a_symlink_raced_into_the_way_is_not_followed(top: Path, there: Path) -> None:
    """While files are placed, a folder on the way is swapped for a symlink."""
    (there / "models").mkdir()
    (there / "spare").symlink_to("../outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            try:
                (there / "models").rename(there / "away")
                (there / "spare").rename(there / "models")
                (there / "models").rename(there / "spare")
                (there / "away").rename(there / "models")
            except OSError:
                return

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(60):
            with contextlib.suppress(Conflict, NotFound):
                place(top, there, replace=True)
            assert {one.name for one in (there.parent / "outside").iterdir()} == {"secret"}
    finally:
        stop.set()
        thread.join()


def test_a_second_name_of_somebody_elses_file_is_not_written_to(top: Path, there: Path) -> None:
    """Where files arrive, somebody has put a hard link that leads out."""
    manifest = scan(top)
    incoming = there / os.fsdecode(INCOMING_PREFIX + manifest.content_id[:16].encode())
    (incoming / "models").mkdir(parents=True)
    incoming.chmod(0o700)
    secret = there.parent / "outside" / "secret"
    secret.write_bytes(b"s" * (CHUNK_BYTES + 3))
    (incoming / "models" / "large").hardlink_to(secret)
    place(top, there)
    assert secret.read_bytes() == b"s" * (CHUNK_BYTES + 3)
    assert contents(there) == contents(top)


def test_a_folder_of_somebody_else_is_not_used(top: Path, there: Path) -> None:
    manifest = scan(top)
    incoming = there / os.fsdecode(INCOMING_PREFIX + manifest.content_id[:16].encode())
    incoming.mkdir(mode=0o777)
    incoming.chmod(0o777)
    with pytest.raises(Conflict, match="somebody else"):
        place(top, there)


def test_what_comes_in_the_way_meanwhile_stays(top: Path, there: Path) -> None:
    source = FolderSource(top, scan(top))
    sink = PlacingSink(source.manifest, there, b"", replace=False)
    sink.wanted()
    (there / "log").write_bytes(b"somebody's")
    sink.abandon()
    sink = PlacingSink(source.manifest, there, b"late", replace=False)
    (there / "late" / "models" / "best").mkdir(parents=True)

    original = sink.incoming.sync

    def sync(absent: frozenset[int] = frozenset()) -> None:
        original(absent)
        (there / "late" / "models" / "best" / "a.pt").write_bytes(b"somebody's")

    sink.incoming.sync = sync  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="meanwhile"):
        feed(source, sink)
    sink.abandon()
    source.close()
    assert (there / "late" / "models" / "best" / "a.pt").read_bytes() == b"somebody's"
    assert (there / "log").read_bytes() == b"somebody's"


def test_a_disk_without_second_names_will_do(top: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    place(top, there)
    assert contents(there) == contents(top)


@pytest.mark.parametrize(
    ("failing", "size"), [("sync_disk", 100), ("os.fdatasync", CHUNK_BYTES + 3)], ids=["small", "large"]
)
def test_a_disk_that_fails_while_files_arrive_is_told_and_nothing_appears(
    tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch, failing: str, size: int
) -> None:
    """The system tells of each failure only once: the syncs in the end would succeed."""
    top = tmp_path / "one"
    top.mkdir()
    (top / "file").write_bytes(random.Random(5).randbytes(size))  # noqa: S311
    failed = threading.Event()

    def fail(_: int) -> None:
        failed.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(incoming, "_SYNCED_BYTES", 1)
    with monkeypatch.context() as patch:
        patch.setattr(f"opsconsole_protocol.host.content.incoming.{failing}", fail)
        with pytest.raises(Conflict, match="can't write"):
            place(top, there)
    assert failed.is_set()
    assert [path.name.encode().startswith(INCOMING_PREFIX) for path in there.iterdir()] == [True]
    place(top, there)
    assert contents(there) == contents(top)


def test_many_files_are_synced_before_they_appear(tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "many"
    top.mkdir()
    for number in range(100):
        (top / str(number)).write_bytes(b"%d" % number)
    seen: list[int] = []

    def synced(folder: int) -> None:
        seen.append(len([path for path in there.iterdir() if path.is_file()]))
        disk.sync_disk(folder)

    monkeypatch.setattr(incoming, "sync_disk", synced)
    place(top, there)
    assert seen == [0]
    assert contents(there) == contents(top)


def test_modes_are_those_that_were_sent_whatever_the_umask_says(top: Path, there: Path) -> None:
    for mode in (0o777, 0o640, 0o444, 0o604):
        (top / f"{mode:o}").write_bytes(b"x")
        (top / f"{mode:o}").chmod(mode)
    before = os.umask(0o077)
    try:
        place(top, there)
    finally:
        os.umask(before)
    for path in top.iterdir():
        assert (there / path.name).lstat().st_mode == path.lstat().st_mode


def test_two_cannot_place_the_same_at_once(top: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "HOLD_WAIT_S", 0.0)
    manifest = scan(top)
    first = PlacingSink(manifest, there, b"", replace=False)
    with pytest.raises(Conflict, match="already"):
        PlacingSink(manifest, there, b"", replace=False)
    first.abandon()
    PlacingSink(manifest, there, b"", replace=False).abandon()


def test_who_comes_while_a_dead_stream_still_holds_the_files_waits(top: Path, there: Path) -> None:
    manifest = scan(top)
    first = PlacingSink(manifest, there, b"", replace=False)
    timer = threading.Timer(0.3, first.abandon)
    timer.start()
    PlacingSink(manifest, there, b"", replace=False).abandon()
    timer.join()


def test_of_two_who_bring_the_same_the_second_finds_it_there(top: Path, there: Path) -> None:
    source = FolderSource(top, scan(top))
    first = PlacingSink(source.manifest, there, b"", replace=False)
    wanted: list[list[int]] = []

    def bring() -> None:
        second = PlacingSink(source.manifest, there, b"", replace=False)
        wanted.append(second.wanted())
        second.abandon()

    thread = threading.Thread(target=bring)
    thread.start()
    feed(source, first)
    thread.join(10)
    source.close()
    assert wanted == [[]]


def test_who_waits_for_the_same_files_can_be_cancelled(top: Path, there: Path) -> None:
    manifest = scan(top)
    first = PlacingSink(manifest, there, b"", replace=False)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(StreamCancelled):
        PlacingSink(manifest, there, b"", replace=False, cancel=cancel)
    first.abandon()


def test_what_was_left_long_ago_is_removed(top: Path, there: Path) -> None:
    old, young = (there / f".opsconsole-incoming-{sign * 16}" for sign in "01")
    for one in (old, young):
        (one / "sub").mkdir(parents=True)
        (one / "sub" / "part").write_bytes(b"x")
    os.utime(old, (0, time.time() - 8 * 24 * 3600))
    place(top, there)
    assert not old.exists()
    assert young.exists()


def test_what_has_arrived_of_a_tree_that_has_changed_since_is_used(top: Path, there: Path) -> None:
    """Logs grow while results are fetched: another tree, and most of it is the same."""
    (top / "models" / "second").write_bytes(b"s" * 100)
    source = FolderSource(top, scan(top))
    sink = PlacingSink(source.manifest, there, b"", replace=False)
    sink.incoming.sync = None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        feed(source, sink)
    sink.abandon()
    source.close()
    with (top / "models" / "large").open("ab") as file:
        file.write(b"more")
    (top / "models" / "second").write_bytes(b"S" * 100)
    assert place(top, there) == 100 + 3 + 4, "the small file that differs, and the large one's last chunk"
    assert contents(there / "models") == contents(top / "models")
    left = [one for one in there.iterdir() if one.name.startswith(".opsconsole")]
    assert len(left) == 1
    assert not list((left[0] / "models" / "best").iterdir())


def test_nothing_is_taken_from_who_still_receives_nor_through_links(top: Path, there: Path) -> None:
    other = there / ".opsconsole-incoming-other"
    other.mkdir(mode=0o700)
    (other / "models").symlink_to("../../outside")
    (there.parent / "outside" / "large").write_bytes((top / "models" / "large").read_bytes())
    (there / ".opsconsole-incoming-link").symlink_to("../outside")
    (there / ".opsconsole-incoming-file").write_bytes(b"x")
    everything = place(top, there)
    assert everything == scan(top).size_bytes
    assert {one.name for one in (there.parent / "outside").iterdir()} == {"secret", "large"}


def test_a_name_that_transfers_use_is_refused(there: Path) -> None:
    hostile = Manifest.make([Entry(INCOMING_PREFIX + b"0123456789abcdef", EntryKind.FOLDER, 0o755)])
    sink = PlacingSink(hostile, there, b"", replace=False)
    try:
        with pytest.raises(Conflict, match="rename it"):
            sink.wanted()
    finally:
        sink.abandon()


def test_no_room_is_said_before_anything_is_received(top: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(there)

    def small(_: int) -> os.statvfs_result:
        return os.statvfs_result((real.f_bsize, real.f_bsize, 10, 10, 10, 10, 10, 10, 0, 255))

    monkeypatch.setattr(os, "fstatvfs", small)
    with pytest.raises(DiskFull, match="make room"):
        place(top, there)
    assert not (there / "models").exists()


def test_looking_at_what_is_there_can_be_cancelled(top: Path, there: Path) -> None:
    place(top, there)
    cancel = threading.Event()
    cancel.set()
    sink = PlacingSink(scan(top), there, b"", replace=False, cancel=cancel)
    with pytest.raises(StreamCancelled):
        sink.wanted()
    sink.abandon()


def test_a_crash_at_any_point_leaves_each_file_old_or_new(top: Path, there: Path) -> None:
    manifest = scan(top)
    old = {"models/best/a.pt": b"old weights", "keep": b"mine"}
    new = {name: data for name, (_, data) in contents(top).items() if isinstance(data, bytes)}

    def work(count: int) -> None:
        source = FolderSource(top, manifest)
        die_after(count)
        feed(source, PlacingSink(manifest, there, b"", replace=True))

    died = 0
    for count in range(500):
        (there / "models" / "best").mkdir(parents=True, exist_ok=True)
        for name, data in old.items():
            (there / name).write_bytes(data)
        code = in_child(lambda count=count: work(count))  # type: ignore[misc]
        for path in there.rglob("*"):
            name = str(path.relative_to(there))
            if path.is_file() and not path.is_symlink() and not name.startswith(".opsconsole"):
                assert path.read_bytes() in (old.get(name), new.get(name)), (name, count)
        if code == 0:
            break
        died += 1
        place(top, there, replace=True)
        assert {name: data for name, (_, data) in contents(there).items() if name != "keep"} == {
            name: data for name, (_, data) in contents(top).items()
        }
        for name in ("models/large", "log", "last"):
            (there / name).unlink()
    else:
        raise AssertionError("it never came to its end")
    assert died > 20


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that everybody reaches, which is not so of pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_user_without_rights_gets_and_resumes_folders_that_cannot_be_written_to(
    odd_tree: Path, everybodys: Path
) -> None:
    top = everybodys / "top"
    shutil.copytree(odd_tree, top, symlinks=True)
    for path in (top, *top.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    manifest = scan(top)

    def work() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        for _ in range(2):
            feed(FolderSource(top, manifest), PlacingSink(manifest, everybodys, b"placed", replace=False))
        first = FolderSink(manifest, everybodys / "in", everybodys / "folder")
        first.wanted()
        first.incoming.seal_folders()
        first.abandon()
        feed(FolderSource(top, manifest), FolderSink(manifest, everybodys / "in", everybodys / "folder"))

    assert in_child(work) == 0
    assert contents(everybodys / "placed") == contents(top) == contents(everybodys / "folder")


def test_a_folder_that_exists_is_not_replaced(top: Path, there: Path) -> None:
    with pytest.raises(Conflict, match="exists"):
        FolderSink(scan(top), there.parent / "in", there)
    source = FolderSource(top, scan(top))
    sink = FolderSink(source.manifest, there.parent / "in", there.parent / "new")
    (there.parent / "new").mkdir()
    (there.parent / "new" / "mine").write_bytes(b"")
    with pytest.raises(Conflict):
        feed(source, sink)
    sink.abandon()
    assert contents(there.parent / "new") == {"mine": (0o644, b"")}


# --- what is there stays -------------------------------------------------------------------------------------------


def spare(top: Path, root: Path, mark: bytes = b"") -> dict[bytes, bytes | None]:
    """Place what lies in one folder in another one that is somebody's own; what became of what differs."""
    source = FolderSource(top, scan(top))
    try:
        sink = SparingSink(source.manifest, root, b"", mark=mark)
        try:
            feed(source, sink)
            return sink.spared
        finally:
            sink.abandon()
    finally:
        source.close()


@pytest.mark.parametrize("mark", [b"", b"j0b"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_there_is_never_touched(top: Path, there: Path, kind: str, mark: bytes) -> None:
    mine = there / "models" / "best" / "a.pt"
    mine.parent.mkdir(parents=True)
    if kind == "file":
        mine.write_text("mine")
    elif kind == "folder":
        mine.mkdir()
        (mine / "x").write_text("mine")
    else:
        mine.symlink_to("../nowhere")
    before = contents(mine.parent)
    for _ in range(2):
        spared = spare(top, there, mark)
        beside = b"models/best/a.j0b.pt" if mark else None
        assert spared == {b"models/best/a.pt": beside}
        after = contents(mine.parent)
        assert {name: after[name] for name in before} == before
        assert (there / "models" / "large").read_bytes() == (top / "models" / "large").read_bytes()
        if mark:
            assert (mine.parent / "a.j0b.pt").read_bytes() == b"new weights"
    assert not list(there.rglob(".opsconsole*"))


def test_a_file_where_a_folder_is_to_be_keeps_all_of_that_away(top: Path, there: Path) -> None:
    (there / "models").write_text("mine")
    assert spare(top, there, b"j0b") == {b"models/best/a.pt": None, b"models/large": None}
    assert (there / "models").read_text() == "mine"
    assert (there / "last").is_symlink()


def test_names_beside_one_another(top: Path, there: Path) -> None:
    (there / "log").write_text("mine")
    (there / "log.j0b").write_text("of an earlier end")
    assert spare(top, there, b"j0b") == {b"log": b"log.j0b.2"}
    assert ((there / "log.j0b").read_text(), (there / "log.j0b.2").read_text()) == ("of an earlier end", "")
