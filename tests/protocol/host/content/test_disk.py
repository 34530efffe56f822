"""Disks that are full, and processes that are killed, in earnest."""

import os
import random
import signal
import socket
from pathlib import Path
from socket import gethostname

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.content.error import DiskFull
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.host.content.disk import KEPT_FREE_BYTES
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.session import Progress, Summary, receive, send
from opsconsole_protocol.host.content.sink import PlacingSink, Sink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.content.store_sink import StoreSink
from opsconsole_protocol.stream.error import StreamLost
from tests.process.test_disk import fill, small_disk
from tests.protocol.host.content.crash import die_after, fork, wait
from tests.protocol.host.content.pair import SocketEnd, contents, feed, outcome, transfer

pytestmark = pytest.mark.process


def sparse(path: Path, size: int, data: bytes) -> None:
    """A file of zeros with some bytes at its end."""
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - len(data))
        file.write(data)


def test_a_disk_that_is_too_small_is_said_first_and_one_that_fills_leaves_nothing(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(random.Random(1).randbytes(3 * CHUNK_BYTES))  # noqa: S311
    (top / "b").write_bytes(b"small")
    source = FolderSource(top, scan(top))
    room = KEPT_FREE_BYTES + 2 * CHUNK_BYTES
    with small_disk(tmp_path / "small", f"size={room + 3 * CHUNK_BYTES},mode=700"):
        there = tmp_path / "small"

        def make(manifest: Manifest) -> Sink:
            return PlacingSink(manifest, there, b"in", replace=False)

        (there / "ballast").write_bytes(bytes(2 * CHUNK_BYTES + 1))
        sent, received = transfer(source, make)
        assert isinstance(received, DiskFull)
        assert isinstance(sent, DiskFull)
        disk = f"the disk of {gethostname()} at {str(there)!r}"
        assert received.message.startswith(f"{disk} has ")
        assert sent.message == f"the other end stopped: {received.message}"
        (there / "ballast").unlink()

        class Filling(PlacingSink):
            def write_chunk(self, index: int, number: int, data: memoryview) -> None:
                super().write_chunk(index, number, data)
                with (there / "ballast").open("wb", buffering=0) as file:
                    try:
                        while file.write(bytes(1 << 20)):
                            pass
                    except OSError:
                        return

        sent, received = transfer(source, lambda manifest: Filling(manifest, there, b"in", replace=False))
        assert isinstance(received, DiskFull)
        assert isinstance(sent, DiskFull)
        assert received.message == f"{disk} is full: make room there; what has arrived stays for the next try"
        assert not (there / "in" / "a").exists()
        (there / "ballast").unlink()
        sent, received = transfer(source, make)
        assert isinstance(received, Summary)
        assert received.bytes_sent < 3 * CHUNK_BYTES, "what had arrived isn't sent again"
        assert contents(there / "in") == contents(top)
    source.close()


def test_a_disk_without_inodes_is_said_first(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    for number in range(100):
        (top / str(number)).write_bytes(b"x")
    source = FolderSource(top, scan(top))
    with small_disk(tmp_path / "small", "size=40m,nr_inodes=60,mode=700"):
        _, received = transfer(source, lambda manifest: PlacingSink(manifest, tmp_path / "small", b"", replace=False))
        assert isinstance(received, DiskFull)
        assert "files" in received.message
    source.close()


def test_a_file_of_ten_gigabytes_of_which_little_is_there_fits_a_small_disk(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    sparse(top / "sparse", 10 << 30, b"end")
    source = FolderSource(top, scan(top))
    with small_disk(tmp_path / "small", "size=64m,mode=700"):
        store = ContentStore(tmp_path / "small" / "store", 1 << 40)
        sent, received = transfer(source, store.sink)
        assert isinstance(received, Summary), received
        assert isinstance(sent, Summary)
        assert received.bytes_sent == CHUNK_BYTES
        tree = store.open(source.manifest.content_id)
        with (tree.path / "sparse").open("rb") as file:
            file.seek(-4, os.SEEK_END)
            assert file.read() == b"\0end"
        store.close()
    source.close()


def test_a_store_on_a_full_disk_gives_what_it_has_and_says_which_disk_is_full(tmp_path: Path) -> None:
    there = tmp_path / "small"
    with small_disk(there, "size=96m,mode=700"):
        store = ContentStore(there / "store", 1 << 40)
        manifests: list[Manifest] = []
        for name in ("one", "two"):
            top = tmp_path / name
            top.mkdir()
            (top / "a").write_bytes(name.encode())
            manifests.append(scan(top))
        one, two = (manifest.content_id for manifest in manifests)
        source = FolderSource(tmp_path / "one", manifests[0])
        feed(source, store.sink(manifests[0]))
        source.close()
        ballast = fill(there)
        with store.held(one, two), store.held(one):
            assert contents(store.open(one).path)["a"][1] == b"one"
            assert not store.remove(one, unless_pinned=True)
        with pytest.raises(DiskFull) as full:
            store.pin("a job", two)
        source = FolderSource(tmp_path / "two", manifests[1])
        _, received = transfer(source, store.sink)
        assert isinstance(received, DiskFull)
        for error in (received, full.value):
            assert error.message.startswith(f"the disk of {gethostname()} at {str(there)!r} ")
        ballast.unlink()
        store.pin("a job", two)
        feed(source, store.sink(manifests[1]))
        source.close()
        assert not store.remove(two, unless_pinned=True)
        assert store.ids() == [two], "the other one, which nobody held any more, had to make room"
        store.close()


def test_a_store_on_a_small_disk_lets_go_of_what_nobody_needs(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", f"size={KEPT_FREE_BYTES + 7 * CHUNK_BYTES},mode=700"):
        store = ContentStore(tmp_path / "small" / "store", 1 << 40)
        for number in range(4):
            top = tmp_path / str(number)
            top.mkdir()
            (top / "a").write_bytes(bytes([number + 1]) * (2 * CHUNK_BYTES))
            manifest = scan(top)
            source = FolderSource(top, manifest)
            feed(source, store.sink(manifest))
            source.close()
            assert store.has(manifest.content_id)
        assert len(store.ids()) < 4, "some had to go"
        store.close()


def test_what_has_arrived_of_a_tree_leaves_room_for_its_rest_and_gives_way_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever looks for room before the rest is sent would never find it."""
    sources: list[FolderSource] = []
    for number in range(2):
        top = tmp_path / str(number)
        top.mkdir()
        (top / "a").write_bytes(random.Random(number).randbytes(4 * CHUNK_BYTES))  # noqa: S311
        sources.append(FolderSource(top, scan(top)))
    one, other = sources
    size = one.manifest.size_bytes

    def stop(_: StoreSink) -> None:
        raise Conflict("it is enough")

    with small_disk(tmp_path / "small", f"size={KEPT_FREE_BYTES + 6 * CHUNK_BYTES},mode=700"):
        store = ContentStore(tmp_path / "small" / "store", 1 << 40)
        room = store.room_bytes()
        assert size <= room < size + 2 * CHUNK_BYTES
        with monkeypatch.context() as patched:
            patched.setattr(StoreSink, "finish", stop)
            transfer(one, store.sink)
        assert abs(store.room_bytes() - room) < CHUNK_BYTES
        store.close()
        store = ContentStore(tmp_path / "small" / "store", 1 << 40)
        assert abs(store.room_bytes() - room) < CHUNK_BYTES
        store.pin("waits", one.manifest.content_id)
        assert store.room_bytes() < size
        store.unpin("waits")
        _, received = transfer(other, store.sink)
        assert isinstance(received, Summary)
        assert store.abandoned() == []
        _, received = transfer(one, store.sink)
        assert isinstance(received, Summary)
        assert store.ids() == [one.manifest.content_id]
        store.close()
    for source in sources:
        source.close()


def test_a_receiver_that_is_killed_anywhere_goes_on_after_it_has_started_again(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(random.Random(1).randbytes(2 * CHUNK_BYTES + 9))  # noqa: S311
    for number in range(10):
        (top / f"small {number}").write_bytes(b"x" * number)
    source = FolderSource(top, scan(top))
    where = tmp_path / "store"
    lost = 0
    for count in range(3, 60, 4):
        one, other = socket.socketpair()

        def work(one: socket.socket = one, other: socket.socket = other, count: int = count) -> None:
            one.close()
            die_after(count)
            receive(SocketEnd(other), ContentStore(where, 1 << 30).sink)

        child = fork(work)
        other.close()
        sent = outcome(lambda one=one: send(SocketEnd(one), source))  # type: ignore[misc]
        one.close()
        died = wait(child) == 9
        assert isinstance(sent, StreamLost) or not died
        lost += died
    assert lost > 5
    store = ContentStore(where, 1 << 30)
    _, received = transfer(source, store.sink)
    assert isinstance(received, Summary)
    assert contents(store.open(source.manifest.content_id).path)["a"][1] == (top / "a").read_bytes()
    store.close()
    source.close()


def test_a_sender_that_is_killed_leaves_what_it_had_sent(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(random.Random(1).randbytes(4 * CHUNK_BYTES))  # noqa: S311
    source = FolderSource(top, scan(top))
    store = ContentStore(tmp_path / "store", 1 << 30)
    one, other = socket.socketpair()

    def work() -> None:
        other.close()
        send(SocketEnd(one), source, progress=kill_after_two)

    child = fork(work)
    one.close()
    assert isinstance(outcome(lambda: receive(SocketEnd(other), store.sink)), StreamLost)
    other.close()
    assert wait(child) == -signal.SIGKILL
    assert not store.has(source.manifest.content_id)
    _, received = transfer(source, store.sink)
    assert isinstance(received, Summary)
    assert received.bytes_sent <= 2 * CHUNK_BYTES
    store.close()
    source.close()


def kill_after_two(so_far: Progress) -> None:
    """Kill this process once two chunks have been sent."""
    if so_far.bytes_done >= 2 * CHUNK_BYTES:
        os.kill(os.getpid(), signal.SIGKILL)
