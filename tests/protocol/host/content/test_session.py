"""Trees sent and received."""

import itertools
import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.content.error import ContentChanged, PeerCancelled
from opsconsole_protocol.error import LimitExceeded, OpsconsoleError, ProtocolError
from opsconsole_protocol.host.content import session
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.scan import scan, scan_file
from opsconsole_protocol.host.content.session import LookTeller, Progress, Summary, receive, refuse, send
from opsconsole_protocol.host.content.sink import FolderSink, PlacingSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.stream.error import StreamCancelled, StreamLost
from tests.protocol.host.content.pair import contents, ends, outcome, transfer


def test_a_tree_arrives_as_it_was(odd_tree: Path, tmp_path: Path) -> None:
    manifest = scan(odd_tree)
    seen: list[Progress] = []
    sending: list[Progress] = []
    sent, received = transfer(
        FolderSource(odd_tree, manifest),
        lambda offered: FolderSink(offered, tmp_path / "incoming", tmp_path / "there"),
        progress=seen.append,
        sending=sending.append,
    )
    assert isinstance(sent, Summary), sent
    assert isinstance(received, Summary), received
    assert received[:4] == sent[:4]
    assert contents(tmp_path / "there") == contents(odd_tree)
    assert scan(tmp_path / "there").content_id == manifest.content_id
    assert (tmp_path / "there" / "holes").stat().st_blocks * 512 <= CHUNK_BYTES
    assert not (tmp_path / "incoming").exists()
    assert sending[-1] == seen[-1], "both see the same"
    assert seen[-1] == Progress(
        manifest.size_bytes,
        manifest.size_bytes,
        manifest.files,
        manifest.files,
        manifest.size_bytes - received.bytes_sent,
        (odd_tree / "holes").stat().st_size - CHUNK_BYTES,
    )
    assert all(one.bytes_done <= two.bytes_done for one, two in itertools.pairwise(seen))


def test_one_file_arrives_under_the_name_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "here.csv"
    path.write_bytes(b"a,b\n")
    manifest = scan_file(path, b"data.csv")
    source = FolderSource(tmp_path, manifest, names={b"data.csv": b"here.csv"})
    transfer(source, lambda offered: FolderSink(offered, tmp_path / "incoming", tmp_path / "there"))
    assert (tmp_path / "there" / "data.csv").read_bytes() == b"a,b\n"


def test_a_transfer_that_is_cut_anywhere_goes_on_where_it_was(odd_tree: Path, tmp_path: Path) -> None:
    """Whatever is cut, the tree isn't there until it is whole, and no chunk that has arrived is sent again."""
    manifest = scan(odd_tree)
    noise = random.Random(2)  # noqa: S311
    needed = 0
    for _ in range(200):
        sent, received = transfer(
            FolderSource(odd_tree, manifest),
            lambda offered: FolderSink(offered, tmp_path / "incoming", tmp_path / "there"),
            cut_after=noise.randrange(3 * CHUNK_BYTES),
        )
        if isinstance(received, Summary):
            break
        assert isinstance(received, StreamLost)
        assert isinstance(sent, StreamLost)
        assert not (tmp_path / "there").exists()
        needed += 1
    assert 2 <= needed < 50
    assert contents(tmp_path / "there") == contents(odd_tree)


def test_a_file_that_has_changed_since_is_not_sent(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for size in (10, CHUNK_BYTES + 1):
        top.mkdir(exist_ok=True)
        (top / "a").write_bytes(b"x" * size)
        manifest = scan(top)
        (top / "a").write_bytes(b"y" * size)
        sent, received = transfer(
            FolderSource(top, manifest), lambda offered: FolderSink(offered, tmp_path / "incoming", tmp_path / "there")
        )
        assert isinstance(sent, ContentChanged)
        assert isinstance(received, ContentChanged)
        assert received.message == f"the other end stopped: {sent.message}"
        assert not (tmp_path / "there").exists()


def test_what_the_receiver_says_reaches_the_sender(tmp_path: Path) -> None:
    """Even while it sends with all its might."""
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(os.urandom(8 * CHUNK_BYTES))
    manifest = scan(top)

    class Full(FolderSink):
        def write_chunk(self, *_: object) -> None:
            raise LimitExceeded("it is full")

    sent, received = transfer(
        FolderSource(top, manifest), lambda offered: Full(offered, tmp_path / "incoming", tmp_path / "there")
    )
    assert isinstance(sent, LimitExceeded)
    assert sent.message == "the other end stopped: it is full"
    assert isinstance(received, LimitExceeded)


def test_a_tree_that_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(bytes(1_000))

    def make(_: object) -> FolderSink:
        raise AssertionError

    sent, received = transfer(FolderSource(top, scan(top)), make, bytes_max=999)
    assert isinstance(sent, LimitExceeded)
    assert isinstance(received, LimitExceeded)


def test_holes_are_neither_sent_nor_were_they_there(tmp_path: Path) -> None:
    """A new file of 12 GB with 1 GB of data was told as one of which 11 GB had been there already."""
    top = tmp_path / "top"
    top.mkdir()
    data = os.urandom(CHUNK_BYTES)
    with (top / "sparse").open("wb") as file:
        file.write(data)
        file.truncate(4 * CHUNK_BYTES)
    (top / "known").write_bytes(b"known")
    there = tmp_path / "there"
    there.mkdir()
    (there / "known").write_bytes(b"known")
    told: list[list[Progress]] = [[], []]
    manifest = scan(top)
    with ends() as (here, far), ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, here, FolderSource(top, manifest), progress=told[0].append)
        receive(far, lambda offered: PlacingSink(offered, there, b"", replace=False), progress=told[1].append)
        assert sent.result(10).bytes_sent == CHUNK_BYTES
    for side in told:
        last = side[-1]
        assert last.bytes_done == last.bytes_total == manifest.size_bytes
        assert (last.bytes_empty, last.bytes_skipped - last.bytes_empty) == (3 * CHUNK_BYTES, 5)


def test_a_sender_that_has_to_read_first_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOOK_EVERY_S", 0.0)
    top = tmp_path / "top"
    top.mkdir()
    size = 3 * CHUNK_BYTES + 1
    (top / "large").write_bytes(os.urandom(size))
    heard: list[tuple[int, int]] = []
    with ends() as (here, far), ThreadPoolExecutor(1) as pool:

        def send_it() -> Summary:
            manifest = scan(top, progress=LookTeller(here).tell)
            return send(here, FolderSource(top, manifest))

        sent = pool.submit(send_it)
        receive(
            far,
            lambda offered: FolderSink(offered, tmp_path / "incoming", tmp_path / "there"),
            looking=lambda done, total: heard.append((done, total)),
        )
        assert sent.result(10).bytes == size
    assert [total for _, total in heard] == [size] * len(heard)
    dones = [done for done, _ in heard]
    assert dones == sorted(dones)
    assert any(0 < done < size for done in dones), "also within one file"


def test_a_cancelled_transfer_ends_on_both_sides(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(os.urandom(4 * CHUNK_BYTES))
    cancel = threading.Event()
    sent, received = transfer(
        FolderSource(top, scan(top)),
        lambda offered: FolderSink(offered, tmp_path / "incoming", tmp_path / "there"),
        cancel=cancel,
        progress=lambda _: cancel.set(),
    )
    assert isinstance(sent, StreamCancelled)
    assert isinstance(received, PeerCancelled)  # so that it is no failure there, neither of the transfer nor of its way
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("kind", [LimitExceeded, ContentChanged])
def test_an_error_of_making_the_sink_refuses_the_tree(tmp_path: Path, kind: type[OpsconsoleError]) -> None:
    top = tmp_path / "top"
    top.mkdir()

    def make(_: object) -> FolderSink:
        raise kind("not here")

    sent, received = transfer(FolderSource(top, scan(top)), make)
    assert isinstance(received, kind)
    assert isinstance(sent, kind)
    assert sent.message == "the other end stopped: not here"


def test_the_longest_paths_arrive(tmp_path: Path) -> None:
    """They are longer than any path that the system takes, which nobody notices who goes part by part."""
    path = b"/".join([b"n" * 31] * 127 + [b"file"])
    top = tmp_path / "top"
    top.mkdir()
    with Beneath(top) as beneath:
        for end in range(31, len(path) - 4, 32):
            beneath.make_folder(path[:end])
        os.close(beneath.create(path))
    manifest = scan(top)
    assert manifest.entries[-1].path == path
    store = ContentStore(tmp_path / "store", 1 << 30)
    (tmp_path / "there").mkdir()
    for make in (store.sink, lambda offered: PlacingSink(offered, tmp_path / "there", b"in", replace=False)):
        _, received = transfer(FolderSource(top, manifest), make)
        assert isinstance(received, Summary), received
    assert store.remove(manifest.content_id)
    assert [one.name for one in (tmp_path / "there" / "in").iterdir()] == ["n" * 31]
    assert list((tmp_path / "store" / "trash").iterdir()) == []
    store.close()


def test_thousands_of_small_files_arrive(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for number in range(5_000):
        path = top / f"folder {number % 7}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    manifest = scan(top)
    store = ContentStore(tmp_path / "store", 1 << 30)
    sent, received = transfer(FolderSource(top, manifest), store.sink)
    assert isinstance(sent, Summary)
    assert isinstance(received, Summary)
    assert received.files == 5_000
    assert scan(store.open(manifest.content_id).path).size_bytes == manifest.size_bytes
    store.close()


def test_a_stream_that_is_closed_for_a_cancel_is_a_cancel(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    cancel = threading.Event()

    with ends() as (here, there):

        def end() -> None:
            cancel.set()
            there.connection.shutdown(socket.SHUT_RDWR)

        waiting = threading.Thread(target=end)
        waiting.start()
        assert isinstance(outcome(lambda: send(here, FolderSource(top, scan(top)), cancel=cancel)), StreamCancelled)
        waiting.join()


def test_who_has_nothing_to_send_says_why(tmp_path: Path) -> None:
    with ends() as (here, there), ThreadPoolExecutor(1) as threads:
        refusing = threads.submit(lambda: refuse(here, LimitExceeded("not today")))
        said = outcome(lambda: receive(there, lambda offered: FolderSink(offered, tmp_path / "in", tmp_path / "there")))
        assert isinstance(said, LimitExceeded)
        assert said.message == "the other end stopped: not today"
        refusing.result(10)


def test_a_peer_that_speaks_another_language_is_refused(tmp_path: Path) -> None:
    with ends() as (here, there):
        here.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        here.connection.shutdown(socket.SHUT_WR)
        said = outcome(lambda: receive(there, lambda offered: FolderSink(offered, tmp_path / "in", tmp_path / "there")))
        assert isinstance(said, ProtocolError)
    assert not (tmp_path / "in").exists()
