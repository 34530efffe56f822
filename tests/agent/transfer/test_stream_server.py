"""The agent's end of streams that others asked for: what is sent, what is taken, and what is refused in one line."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsconsole_agent.probe.file_look import FilePlace
from opsconsole_agent.transfer.link_broker import LinkBroker
from opsconsole_agent.transfer.stream_server import WAITING_MAX, Sessions, StreamServer
from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.error import Forbidden, InvalidRequest, NotFound, OpsconsoleError
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.session import receive, send
from opsconsole_protocol.host.content.sink import FolderSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.host.transfer_thread import TransferThreads
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.link import ServeStream
from opsconsole_protocol.stream.message import (
    FetchContent,
    FileRoot,
    KeepContent,
    PeerKind,
    Purpose,
    ReadFiles,
    RootKind,
    StreamGrant,
    Way,
    WriteFiles,
)
from tests.agent.transfer.tree import keep_tree, make_tree
from tests.waiting import until

MOUNT = FileRoot(kind=RootKind.MOUNT, mount="lab")
OUTPUT = FileRoot(kind=RootKind.OUTPUT, job_id="j0b0000000")
INPUT = FileRoot(kind=RootKind.INPUT, job_id="j0b0000000", attempt_id="a")


class Bench:
    """A server, and the other end of its streams."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.lab = tmp_path / "lab"
        self.lab.mkdir()
        self.places: dict[RootKind, FilePlace] = {
            RootKind.MOUNT: FilePlace(str(self.lab), writable=True),
            RootKind.OUTPUT: FilePlace(str(tmp_path / "out"), ("jobs", "j0b0000000"), "task-1"),
            RootKind.INPUT: FilePlace(str(tmp_path / "attempts"), ("a", "inputs")),
        }
        self.store = ContentStore(tmp_path / "state" / "content", 1 << 30)
        self.looks: list[tuple[int, int]] = []
        """What was heard of the worker's reading before it knew what to send."""
        self._number = 0
        self._mine: dict[str, Stream] = {}
        broker = LinkBroker(lambda _: None)
        self.server = StreamServer(
            broker, TransferThreads(2), lambda grant, *_: self._mine.pop(grant.stream_id), self.store,
            lambda root: self.places[root.kind], (str(tmp_path / "kept"),), Sessions(TransferThreads(1), lambda *_: None),
        )  # fmt: skip

    def serve(self, purpose: Purpose) -> Stream:
        """Have the server at one end of a new stream; the other end."""
        self._number += 1
        stream_id = f"s{self._number}"
        here, there = socket.socketpair()
        self._mine[stream_id] = SocketStream(there, Way.DIRECT)
        grant = StreamGrant(
            stream_id=stream_id, secret="x", is_initiator=False, purpose=purpose, peer=PeerKind.HOST, peer_name="mbp-7"
        )
        self.server.on_serve(ServeStream(grant=grant))
        return SocketStream(here, Way.DIRECT)

    async def fetch(self, purpose: Purpose, to: str = "got") -> list[str]:
        """Receive what is sent into a folder; the files that have come. Raises what the server refuses with."""
        destination = self.folder / to
        stream = self.serve(purpose)

        def work() -> None:
            receive(
                stream,
                lambda manifest: FolderSink(manifest, self.folder / f"{to}.new", destination),
                looking=lambda done, total: self.looks.append((done, total)),
            )

        try:
            await asyncio.to_thread(work)
        finally:
            stream.close()
        return sorted(str(path.relative_to(destination)) for path in destination.rglob("*") if not path.is_dir())

    async def bring(self, purpose: Purpose, folder: Path) -> None:
        """Send a folder."""
        stream = self.serve(purpose)
        source = FolderSource(folder, scan(folder))
        try:
            await asyncio.to_thread(send, stream, source)
        finally:
            source.close()
            stream.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.server.close()
    made.store.close()


def outputs(bench: Bench) -> Path:
    """The folder of one task's results."""
    task = bench.folder / "out" / "jobs" / "j0b0000000" / "task-1"
    make_tree(task, models__best_ckpt="best", models__last_ckpt="last", logs__train_csv="1,2", note_txt="n")
    make_tree(task / "attempts" / "1.0.aaaa", models__old_ckpt="old")
    return task


async def test_a_tree_of_the_store_is_sent_and_kept_meanwhile(bench: Bench, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "src", a_txt="a")
    bench.store.close()
    keep_tree(tmp_path / "state", tmp_path / "src", tree)
    bench.store = bench.server._store = ContentStore(tmp_path / "state" / "content", 1 << 30)
    assert await bench.fetch(FetchContent(content_id=tree.content_id)) == ["a.txt"]
    await until(lambda: bench.store.holders() == {})
    with pytest.raises(NotFound, match="is not in this store"):
        await bench.fetch(FetchContent(content_id=ContentId("ab" * 32)), "other")


async def test_whoever_wants_to_know_hears_how_far_the_worker_has_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsconsole_protocol.host.content.session.LOOK_EVERY_S", 0.0)
    large = outputs(bench) / "models" / "best.ckpt"
    large.write_bytes(os.urandom(3 * CHUNK_BYTES))
    await bench.fetch(ReadFiles(root=OUTPUT, folder=b"models"), "older client")
    assert bench.looks == []
    large.write_bytes(os.urandom(3 * CHUNK_BYTES))
    await bench.fetch(ReadFiles(root=OUTPUT, folder=b"models", tells=True))
    assert bench.looks[-1] == (3 * CHUNK_BYTES + 4, 3 * CHUNK_BYTES + 4)
    assert bench.looks[0][0] < bench.looks[-1][0]


@pytest.mark.parametrize(
    ("patterns", "folder", "expected"),
    [
        ((), b"", ["logs/train.csv", "models/best.ckpt", "models/last.ckpt", "note.txt"]),
        (("models/*",), b"", ["models/best.ckpt", "models/last.ckpt"]),
        (("*.txt", "**/*.csv"), b"", ["logs/train.csv", "note.txt"]),
        (("models",), b"", ["models/best.ckpt", "models/last.ckpt"]),
        ((), b"models", ["best.ckpt", "last.ckpt"]),
        (("b*",), b"models", ["best.ckpt"]),
        ((), b"models/best.ckpt", ["best.ckpt"]),
        (("attempts/**",), b"", ["attempts/1.0.aaaa/models/old.ckpt"]),
        ((), b"attempts/1.0.aaaa", ["models/old.ckpt"]),
    ],
)
async def test_results_are_chosen_by_patterns(
    bench: Bench, patterns: tuple[str, ...], folder: bytes, expected: list[str]
) -> None:
    outputs(bench)
    assert await bench.fetch(ReadFiles(root=OUTPUT, folder=folder, patterns=patterns)) == expected


async def test_nothing_that_matches_is_said(bench: Bench) -> None:
    outputs(bench)
    with pytest.raises(NotFound, match=r"there is no file that matches nothing\*"):
        await bench.fetch(ReadFiles(root=OUTPUT, patterns=("nothing*",)))


@pytest.mark.parametrize("folder", [b"..", b"../..", b"/etc", b"models/../../..", b"a//b", b"x\0y", b"."])
async def test_a_folder_that_leads_elsewhere_is_refused(bench: Bench, folder: bytes) -> None:
    outputs(bench)
    with pytest.raises(OpsconsoleError, match="the other end stopped"):
        await bench.fetch(ReadFiles(root=OUTPUT, folder=folder))
    with pytest.raises(OpsconsoleError, match="the other end stopped"):
        await bench.bring(WriteFiles(root=MOUNT, folder=folder), outputs(bench))


async def test_links_lead_nowhere(bench: Bench) -> None:
    task = outputs(bench)
    (bench.folder / "secret").write_text("no")
    (task / "models" / "stolen").symlink_to(bench.folder / "secret")
    (task / "models" / "root").symlink_to("/")
    (task / "models" / "latest").symlink_to("best.ckpt")
    os.mkfifo(task / "models" / "pipe")
    found = await bench.fetch(ReadFiles(root=OUTPUT, folder=b"models"))
    assert found == ["best.ckpt", "last.ckpt", "latest"]
    task.rename(task.with_name("real"))
    task.symlink_to("/etc")
    with pytest.raises(OpsconsoleError):
        await bench.fetch(ReadFiles(root=OUTPUT), "other")
    with pytest.raises(OpsconsoleError):
        await bench.fetch(ReadFiles(root=OUTPUT, folder=b"ssl"), "third")


async def test_inputs_are_sent_by_the_names_that_the_job_gave_them(bench: Bench) -> None:
    inputs = bench.folder / "attempts" / "a" / "inputs"
    inputs.mkdir(parents=True)
    make_tree(bench.folder / "kept", a_png="a", sub__b_png="b")
    (inputs / "pictures").symlink_to(bench.folder / "kept")
    (inputs / "one.png").symlink_to(bench.folder / "kept" / "a.png")
    everything = ["one.png", "pictures/a.png", "pictures/sub/b.png"]
    assert await bench.fetch(ReadFiles(root=INPUT)) == everything
    assert await bench.fetch(ReadFiles(root=INPUT, folder=b"pictures"), "two") == ["a.png", "sub/b.png"]
    assert await bench.fetch(ReadFiles(root=INPUT, folder=b"pictures/sub"), "three") == ["b.png"]
    assert await bench.fetch(ReadFiles(root=INPUT, patterns=("*/sub",)), "four") == ["pictures/sub/b.png"]
    (bench.folder / "secret").write_text("no")
    (inputs / "planted").symlink_to(bench.folder / "secret")
    assert await bench.fetch(ReadFiles(root=INPUT), "planted") == everything
    (inputs / "planted").unlink()
    (inputs / "one.png").unlink()
    (inputs / "pictures").unlink()
    inputs.rmdir()
    with pytest.raises(NotFound, match="has no inputs here any more"):
        await bench.fetch(ReadFiles(root=INPUT), "five")


async def test_files_are_put_into_a_mount(bench: Bench, tmp_path: Path) -> None:
    make_tree(tmp_path / "mine", a_csv="1", sub__b_csv="2")
    await bench.bring(WriteFiles(root=MOUNT, folder=b"inputs/new"), tmp_path / "mine")
    assert (bench.lab / "inputs" / "new" / "sub" / "b.csv").read_text() == "2"
    (tmp_path / "mine" / "a.csv").write_text("other")
    with pytest.raises(OpsconsoleError, match="is there already, and it differs"):
        await bench.bring(WriteFiles(root=MOUNT, folder=b"inputs/new"), tmp_path / "mine")
    assert (bench.lab / "inputs" / "new" / "a.csv").read_text() == "1"
    await bench.bring(WriteFiles(root=MOUNT, folder=b"inputs/new", replace=True), tmp_path / "mine")
    assert (bench.lab / "inputs" / "new" / "a.csv").read_text() == "other"
    assert sorted(path.name for path in (bench.lab / "inputs" / "new").iterdir()) == ["a.csv", "sub"]


async def test_what_is_not_writable_is_not_written(bench: Bench, tmp_path: Path) -> None:
    make_tree(tmp_path / "mine", a_csv="1")
    bench.places[RootKind.MOUNT] = FilePlace(str(bench.lab))
    with pytest.raises(Forbidden, match="is not writable"):
        await bench.bring(WriteFiles(root=MOUNT), tmp_path / "mine")
    with pytest.raises(Forbidden, match="is not writable"):
        await bench.bring(WriteFiles(root=OUTPUT), tmp_path / "mine")
    (bench.lab / "link").symlink_to(tmp_path)
    bench.places[RootKind.MOUNT] = FilePlace(str(bench.lab), writable=True)
    with pytest.raises(OpsconsoleError):
        await bench.bring(WriteFiles(root=MOUNT, folder=b"link/there"), tmp_path / "mine")
    assert not (tmp_path / "there").exists()


async def test_a_worker_keeps_nothing_for_others(bench: Bench) -> None:
    with pytest.raises(Forbidden, match="bring them to the coordinator"):
        await bench.fetch(KeepContent(content_id=ContentId("ab" * 32), size_bytes=1, files=1))


async def test_a_bad_pattern_is_said(bench: Bench) -> None:
    outputs(bench)
    with pytest.raises(InvalidRequest, match="leads out of the folder"):
        await bench.fetch(ReadFiles(root=OUTPUT, patterns=("../*",)))


async def test_more_streams_than_wait_are_left_alone(bench: Bench) -> None:
    made = [bench.serve(ReadFiles(root=INPUT)) for _ in range(WAITING_MAX + 3)]
    assert len(bench.server._tasks) == WAITING_MAX
    await bench.server.close()
    for stream in (*made, *bench._mine.values()):
        stream.close()
