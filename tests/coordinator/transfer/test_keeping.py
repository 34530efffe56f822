"""The coordinator's store: what stays while a tree comes, who brings it where several want to, and a store that can't be opened."""

import contextlib
import queue
import re
import socket
import threading
from pathlib import Path

import pytest

from opsconsole_coordinator.transfer import keeping as module
from opsconsole_coordinator.transfer import watched_stream
from opsconsole_coordinator.transfer.keeping import Keeping
from opsconsole_coordinator.transfer.message import FromProcess, Kept, Ready, Receive, Unusable
from opsconsole_coordinator.transfer.watched_stream import WatchedStream
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.session import send
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.stream import SocketStream
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import Way
from tests.waiting import until_sync

WAIT_S = 20.0


def test_a_tree_that_has_just_come_stays_until_its_holder_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a").write_bytes(b"x" * 1_000)
    manifest = scan(folder)
    ready = threading.Event()
    pinned: list[bool] = []

    def tell(message: FromProcess) -> None:
        if isinstance(message, Ready):
            ready.set()
        if isinstance(message, Kept) and message.added:
            pinned.append(not opened[0].remove(manifest.content_id, unless_pinned=True))

    opened: list[ContentStore] = []
    keeping = Keeping(tmp_path / "store", 1 << 30, tell)
    threading.Thread(target=keeping.run, daemon=True).start()
    assert ready.wait(WAIT_S)
    assert keeping._store is not None
    opened.append(keeping._store)
    assert _bring(keeping, folder) == manifest.content_id
    assert pinned == [True]
    assert keeping._store.remove(manifest.content_id, unless_pinned=True)


def test_a_sender_that_trickles_gives_up_its_place_to_one_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_stream, "HEADWAY_S", 0.1)
    monkeypatch.setattr(module, "TURN_LOOK_S", 0.02)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"x" * 1_000)
    content_id = scan(tmp_path / "files").content_id
    keeping = _opened(tmp_path)
    pairs = [socket.socketpair() for _ in range(2)]
    silent = [threading.Thread(target=_refused, args=(keeping, content_id, near)) for near, _ in pairs]
    for thread in silent:
        thread.start()
    until_sync(lambda: len(keeping._turns.get(content_id, ())) == len(silent))
    assert _bring(keeping, tmp_path / "files", content_id) == content_id
    for thread in silent:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert keeping._turns == {}
    for pair in pairs:
        pair[1].close()


def test_a_stream_that_is_ended_before_its_turn_waits_no_longer(tmp_path: Path) -> None:
    keeping, content_id = _opened(tmp_path), ContentId("ab" * 32)
    streams = [WatchedStream(SocketStream(one, Way.RELAY)) for one in socket.socketpair()]
    with keeping._turn(content_id, streams[0]):
        streams[1].close()
        with pytest.raises(StreamLost, match="before its turn"), keeping._turn(content_id, streams[1]):
            raise AssertionError
    assert keeping._turns == {}
    streams[0].close()


def test_a_store_that_can_not_be_opened_says_why_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REOPEN_S", 0.02)
    (tmp_path / "files").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "trash").write_text("in the way of a folder")
    told: queue.SimpleQueue[FromProcess] = queue.SimpleQueue()
    keeping = Keeping(tmp_path / "store", 1 << 30, told.put)
    threading.Thread(target=keeping.run, daemon=True).start()
    said = told.get(timeout=WAIT_S)
    assert isinstance(said, Unusable)
    assert re.fullmatch(
        r"the coordinator's folder of files '.*store' can't be used \(File exists\): mend it, .*", said.text
    )
    with pytest.raises(Unavailable, match="can't be used"):
        _bring(keeping, tmp_path / "files")
    (tmp_path / "store" / "trash").unlink()
    assert isinstance(told.get(timeout=WAIT_S), Ready)
    _bring(keeping, tmp_path / "files")


def _opened(folder: Path) -> Keeping:
    ready = threading.Event()
    keeping = Keeping(folder / "store", 1 << 30, lambda message: ready.set() if isinstance(message, Ready) else None)
    threading.Thread(target=keeping.run, daemon=True).start()
    assert ready.wait(WAIT_S)
    return keeping


def _refused(keeping: Keeping, content_id: ContentId, sock: socket.socket) -> None:
    with pytest.raises(StreamLost):
        keeping.receive(Receive(content_id=content_id, bytes_max=1), WatchedStream(SocketStream(sock, Way.RELAY)))


def _bring(keeping: Keeping, folder: Path, content_id: ContentId | None = None) -> ContentId | None:
    ours, theirs = (SocketStream(one, Way.RELAY) for one in socket.socketpair())
    source = FolderSource(folder, scan(folder))
    sender = threading.Thread(target=_send, args=(theirs, source))
    sender.start()
    try:
        work = Receive(content_id=content_id, bytes_max=1 << 20)
        return keeping.receive(work, WatchedStream(ours)).content_id
    finally:
        sender.join(WAIT_S)
        source.close()
        ours.close()
        theirs.close()


def _send(stream: SocketStream, source: FolderSource) -> None:
    with contextlib.suppress(Unavailable):  # which the receiver says, too
        send(stream, source)
