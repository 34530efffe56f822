"""Whole trees over streams that are cut wherever it may be: they arrive complete, and little is sent twice."""

import contextlib
import os
import random
import stat
import threading
from pathlib import Path

import pytest

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.content import session
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.sink import FolderSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.stream import rtc
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.host.stream.transfer import move
from opsconsole_protocol.stream.error import StreamCancelled
from opsconsole_protocol.stream.message import Via
from tests.protocol.host.stream.fake_broker import broker
from tests.protocol.host.stream.fake_coordinator import coordinator
from tests.protocol.host.stream.lab import PURPOSE

LARGE_BYTES = 2 * CHUNK_BYTES + 1_234


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc, "engine_names", lambda: ())
    monkeypatch.setattr("opsconsole_protocol.stream.persistence.FIRST_DELAY_S", 0.001)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    noise = random.Random(2)  # noqa: S311
    for number in range(200):
        path = top / f"folder {number % 7}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(number * 37))
    (top / os.fsdecode(b"\xff\n'")).write_bytes(b"odd")
    (top / "run").write_bytes(b"#!/bin/sh\n")
    (top / "run").chmod(0o755)
    (top / "large").write_bytes(noise.randbytes(LARGE_BYTES))
    return top


def seen(top: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(top)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in top.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("seed", range(6))
def test_a_tree_arrives_over_relays_that_are_cut(tree: Path, tmp_path: Path, seed: int, tls: bool) -> None:
    chance = random.Random(seed)  # noqa: S311
    cuts = [chance.randrange(1, LARGE_BYTES) for _ in range(6)]
    manifest = scan(tree)

    def serve(stream: Stream) -> None:
        with contextlib.suppress(OpsconsoleError):
            session.send(stream, FolderSource(tree, manifest))
        stream.close()

    def work(stream: Stream) -> session.Summary:
        incoming, destination = tmp_path / "incoming", tmp_path / "there"
        return session.receive(stream, lambda found: FolderSink(found, incoming, destination))

    with coordinator(tls=tls) as fake, broker(serve, home=fake.home, relay=True, fake=fake) as one:
        one.before = lambda number: setattr(fake, "cut_after_bytes", cuts[number] if number < len(cuts) else None)
        cancel = threading.Event()
        summary = move(one, PURPOSE, peer="gpu-3", via=Via.RELAY, home=fake.home, work=work, tell=print, cancel=cancel)
    assert seen(tmp_path / "there") == seen(tree)
    assert summary.content_id == manifest.content_id
    assert len(one.asked) > 1
    again = CHUNK_BYTES + 64 * 1024  # a chunk that wasn't whole, small files of one batch, the manifest
    assert fake.relayed_bytes < manifest.size_bytes + len(one.asked) * again
    assert not (tmp_path / "incoming").exists()


def test_a_cancelled_transfer_leaves_nothing_under_its_name(tree: Path, tmp_path: Path) -> None:
    manifest = scan(tree)
    cancel = threading.Event()

    def serve(stream: Stream) -> None:
        with contextlib.suppress(OpsconsoleError):
            session.send(stream, FolderSource(tree, manifest))
        stream.close()

    def tell(done: session.Progress) -> None:
        if done.bytes_done > CHUNK_BYTES:
            cancel.set()

    def work(stream: Stream) -> session.Summary:
        incoming, destination = tmp_path / "incoming", tmp_path / "there"
        return session.receive(
            stream, lambda found: FolderSink(found, incoming, destination), progress=tell, cancel=cancel
        )

    with broker(serve) as one, pytest.raises(StreamCancelled):
        move(one, PURPOSE, peer="gpu-3", via=Via.AUTO, home=one.home, work=work, tell=print, cancel=cancel)
    assert not (tmp_path / "there").exists()
