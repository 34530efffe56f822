"""The coordinator's store while a tree comes: it doesn't give way to another before its sender is told that it is here."""

import socket
import threading
from pathlib import Path

from opsconsole_coordinator.transfer.keeping import Keeping
from opsconsole_coordinator.transfer.message import FromProcess, Kept, Ready, Receive
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.session import send
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.stream import SocketStream
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.message import Way

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
        if isinstance(message, Kept):
            holders = opened[0].holders()
            pinned.append(any(manifest.content_id in one for one in holders.values()))

    opened: list[ContentStore] = []
    keeping = Keeping(tmp_path / "store", 1 << 30, tell)
    threading.Thread(target=keeping.run, daemon=True).start()
    assert ready.wait(WAIT_S)
    assert keeping._store is not None
    opened.append(keeping._store)
    assert _bring(keeping, folder) == manifest.content_id
    assert pinned == [True]
    assert keeping._store.holders() == {}


def _bring(keeping: Keeping, folder: Path) -> ContentId | None:
    ours, theirs = (SocketStream(one, Way.RELAY) for one in socket.socketpair())
    source = FolderSource(folder, scan(folder))
    sender = threading.Thread(target=send, args=(theirs, source))
    sender.start()
    summary = keeping.receive("s1", Receive(content_id=None, bytes_max=1 << 20), ours)
    sender.join(WAIT_S)
    source.close()
    ours.close()
    theirs.close()
    return summary.content_id
