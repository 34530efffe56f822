"""put, get, what is pending: from this machine's files to the other end's, and back."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from opsconsole.client import Client
from opsconsole.transfer import pending
from opsconsole.transfer.board import TransferBoard
from opsconsole.transfer.pending import PendingFetch, PendingGet
from opsconsole.transfer.results_here import results_of
from opsconsole.transfer.row import TransferPhase, TransferRow
from opsconsole.transfer.transfer import TRANSFER_TITLE_CHARACTERS_MAX
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import Conflict, NotFound, ProtocolError, Unavailable
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import FileRoot, RootKind, Via, Way
from tests.client.fake_server import FakeServer
from tests.client.row import worker_row
from tests.client.transfer.far_end import FarEnd

JOB = "aaaaaaaaaa"
WORKER = worker_row(
    "gpu-a",
    properties={
        "io_paths": {"input": "/mnt/in", "output": "/mnt/out"},
        "mounts": [{"label": "lab", "path": "/mnt/lab", "writable": True, "aliases": ["/Volumes/lab"]}],
    },
)


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Client]:
    async with await Client.open(server.target) as client:
        yield client


@pytest.fixture
async def board(client: Client, far: FarEnd) -> AsyncIterator[TransferBoard]:
    board = TransferBoard(client)
    yield board
    await board.close()


def results(far: FarEnd, worker: str = "gpu-a", task: int | None = None, **files: str) -> Path:
    """Results of the job, the names with __ for a slash."""
    folder = far.outputs(worker, FileRoot(kind=RootKind.OUTPUT, job_id=JOB, task_index=task))
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


async def test_files_and_folders_are_put_under_their_own_names(
    board: TransferBoard, far: FarEnd, tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    (tmp_path / "more" / "deep").mkdir(parents=True)
    odd = os.fsdecode(b"new\nline '\xff")
    (tmp_path / "more" / "deep" / odd).write_text("odd")
    (tmp_path / "more" / "link").symlink_to("deep")
    transfer = board.put([tmp_path / "data.csv", tmp_path / "more"], WORKER, "run/1")
    row = await transfer.result()
    there = far.mount("input") / "run" / "1"
    assert (there / "data.csv").read_text() == "1,2"
    assert (there / "more" / "deep" / odd).read_text() == "odd"
    assert (there / "more" / "link").readlink() == Path("deep")
    assert (row.phase, row.way, row.files_done, row.bytes_done) == (TransferPhase.DONE, Way.DIRECT, 2, 6)
    assert row.title == "data.csv and 1 more to gpu-a:/mnt/in/run/1"
    assert board.rows == (row,)
    assert await board.history() == [row]


async def test_a_mount_is_named_by_label_or_by_a_whole_path_as_it_is_called_here(
    board: TransferBoard, far: FarEnd, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    await board.put([tmp_path / "a"], WORKER, "lab:x", via=Via.RELAY).result()
    await board.put([tmp_path / "a"], WORKER, "/Volumes/lab/y").result()
    assert {path.relative_to(far.mount("lab")).as_posix() for path in far.mount("lab").rglob("a")} == {"x/a", "y/a"}
    assert [via for _, _, via in far.asked] == [Via.RELAY, Via.AUTO]


async def test_what_is_there_and_differs_gives_way_only_when_told(
    board: TransferBoard, far: FarEnd, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("new")
    (far.mount("input") / "a").write_text("old")
    transfer = board.put([tmp_path / "a"], WORKER)
    with pytest.raises(Conflict, match="'a' is there already, and it differs"):
        await transfer.result()
    assert transfer.row.phase is TransferPhase.FAILED
    assert (far.mount("input") / "a").read_text() == "old"
    await board.put([tmp_path / "a"], WORKER, replace=True).result()
    assert (far.mount("input") / "a").read_text() == "new"


async def test_what_isnt_here_or_cant_be_written_to_is_said_before_anything_moves(
    board: TransferBoard, far: FarEnd, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="there is no file or folder"):
        await board.put([tmp_path / "none"], WORKER).result()
    (tmp_path / "a").write_text("a")
    with pytest.raises(Conflict, match="is not writable"):
        await board.put([tmp_path / "a"], WORKER, "output:").result()
    assert far.asked == []


async def test_results_keep_their_path_and_what_is_here_already_isnt_moved(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    results(far, models__a="weights", models__b="other", logs__x="log")
    (tmp_path / "here" / "models").mkdir(parents=True)
    (tmp_path / "here" / "models" / "a").write_text("weights")
    (tmp_path / "here" / "models" / "b").write_text("stale")
    transfer = board.get(JOB, ["models/*"], tmp_path / "here")
    row = await transfer.result()
    assert sorted(path.name for path in (tmp_path / "here").rglob("*") if path.is_file()) == ["a", "b"]
    assert (tmp_path / "here" / "models" / "b").read_text() == "stale"
    assert (row.bytes_done, row.bytes_skipped, row.files_done, row.job_id, row.peer) == (7, 7, 1, JOB, "gpu-a")
    brought = board.brought[row.id]
    assert ([one.path for one in brought.files], brought.differing) == ([b"models/a"], [b"models/b"])
    row = await board.get(JOB, ["models/*"], tmp_path / "here", force=True).result()
    assert (tmp_path / "here" / "models" / "b").read_text() == "other"
    assert board.brought[row.id].is_whole
    here = [b"models/a", b"models/b"]
    assert results_of(tmp_path / "here", here) == {b"models/b"}, "what lay there already isn't what was brought"


async def test_what_is_fetched_by_itself_comes_beside_what_is_here_and_differs(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    (results(far) / "line.json").write_text("new")
    (tmp_path / "line.json").write_text("my own")
    fetch = PendingFetch(store_id="store", job_id=JobId(JOB), pattern="*", folder=os.fsencode(tmp_path))
    for _ in range(2):  # the second time it is there already
        pending.save(fetch)
        (transfer,) = await board.fetch_pending()
        (got,) = board.brought[transfer.row.id].files
        assert (got.path, got.beside) == (f"line.{JOB}.json".encode(), b"line.json")
        assert pending.fetches() == []
    assert (tmp_path / "line.json").read_text() == "my own"
    assert (tmp_path / f"line.{JOB}.json").read_text() == "new"
    assert results_of(tmp_path, [b"line.json", f"line.{JOB}.json".encode()]) == {f"line.{JOB}.json".encode()}
    assert not (tmp_path / f"line.{JOB}.2.json").exists()


async def test_gets_that_were_killed_go_on_and_what_cant_be_reached_stays(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    results(far, a="a", b="b")
    (far.mount("lab") / "f").write_text("f")
    to = os.fsencode(tmp_path / "to")
    root = FileRoot(kind=RootKind.MOUNT, mount="lab")
    pending.save(PendingGet(store_id="store", job=JOB, patterns=("a",), folder=to))
    pending.save(PendingGet(store_id="store", worker="gpu-a", root=root, folder=to))
    away = PendingGet(store_id="store", worker="gpu-b", root=root, folder=to)
    pending.save(away)
    far.away.add("gpu-b")
    done = await board.get_interrupted()
    assert sorted(transfer.row.phase for transfer in done) == ["done", "done", "waiting"]
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["a", "f"]
    assert [one.id for one in await board.interrupted_gets()] == [away.id]


async def test_a_get_that_ended_leaves_no_note(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    with pytest.raises(NotFound):
        await board.get(JOB, [], tmp_path).result()
    server.finish(JOB)
    results(far, a="a")
    await board.get(JOB, [], tmp_path).result()
    assert await board.pending_gets() == []


async def test_what_a_worker_cant_send_is_said(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    results(far, a="a")
    far.left_out = ("'x' is neither a file nor a folder: leave it out", "another")
    row = await board.get(JOB, [], tmp_path / "to").result()
    brought = board.brought[row.id]
    assert brought.left_out == ["'x' is neither a file nor a folder: leave it out, and 1 more (left out by gpu-a)"]
    assert brought.is_whole


async def test_thousands_of_tasks_take_a_stream_a_worker(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    number = 200
    server.add_job(JOB, JobSpec(command=("true",), num_tasks=number))
    for index in range(number):
        server.finish(JOB, index, worker="gpu-a" if index % 2 else "gpu-b")
        results(far, "gpu-a" if index % 2 else "gpu-b", index, m=str(index))
    row = await board.get(JOB, ["m"], tmp_path / "to").result()
    assert len(far.asked) == 2
    assert row.files_done == number
    assert {int(path.read_text()) for path in (tmp_path / "to").glob("task-*/m")} == set(range(number))


async def test_tasks_on_several_workers_are_asked_each_of_its_own(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB, JobSpec(command=("true",), num_tasks=2))
    server.finish(JOB, 0)
    server.finish(JOB, 1, worker="gpu-b")
    results(far, "gpu-a", 0, models__m="0")
    results(far, "gpu-b", 1, models__m="1", junk="x")
    row = await board.get(JOB, ["models/*"], tmp_path).result()
    assert [(tmp_path / f"task-{index}" / "models" / "m").read_text() for index in (0, 1)] == ["0", "1"]
    assert row.files_done == row.files_total == 2
    await board.get(JOB, [], tmp_path / "one", task_index=1).result()
    assert (tmp_path / "one" / "task-1" / "junk").read_text() == "x"
    assert not (tmp_path / "one" / "task-0").exists()


async def test_nothing_that_matches_leaves_nothing_behind(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    with pytest.raises(NotFound, match="has not been started yet"):
        await board.get(JOB, [], tmp_path / "to").result()
    server.finish(JOB)
    results(far, a="a")
    with pytest.raises(NotFound, match=f"{JOB} has left nothing that matches 'b'"):
        await board.get(JOB, ["b"], tmp_path / "to").result()
    assert not (tmp_path / "to").exists()


async def test_a_worker_that_sends_what_nobody_asked_for_is_refused(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    results(far, a="a", b="b")

    def more(manifest: Manifest) -> Manifest:
        return Manifest.make(replace(one, path=b".bashrc") for one in manifest.entries)

    far.lies = more
    with pytest.raises(ProtocolError, match="nobody has asked for"):
        await board.get(JOB, ["a"], tmp_path / "to").result()
    assert not (tmp_path / "to").exists()


async def test_a_worker_that_is_away_is_said_so(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    far.away.add("gpu-a")
    with pytest.raises(Unavailable, match="gpu-a is not connected"):
        await board.get(JOB, [], tmp_path).result()


async def test_what_can_be_had_is_brought_although_a_worker_is_away(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB, JobSpec(command=("true",), num_tasks=2))
    server.finish(JOB, 0)
    server.finish(JOB, 1, worker="gpu-b")
    results(far, "gpu-a", 0, m="0")
    results(far, "gpu-b", 1, m="1")
    far.away.add("gpu-b")
    wish = PendingFetch(store_id="store", job_id=JobId(JOB), pattern="m", folder=os.fsencode(tmp_path / "to"))
    pending.save(wish)
    (transfer,) = await board.fetch_pending()
    brought = board.brought[transfer.row.id]
    assert brought.missing == ["task-1: gpu-b is not connected"]
    assert [one.path for one in brought.files] == [b"task-0/m"]
    assert await board.pending_fetches() == [wish], "the rest comes another time"
    far.away.clear()
    await board.fetch_pending()
    assert (tmp_path / "to" / "task-1" / "m").read_text() == "1"
    assert await board.pending_fetches() == []


async def test_files_of_a_mount_are_brought_as_they_lie_in_the_folder(
    board: TransferBoard, far: FarEnd, tmp_path: Path
) -> None:
    (far.mount("lab") / "x" / "y").mkdir(parents=True)
    (far.mount("lab") / "x" / "y" / "f").write_text("f")
    root = FileRoot(kind=RootKind.MOUNT, mount="lab")
    await board.get_files("gpu-a", root, b"x", ["y"], tmp_path / "to").result()
    assert (tmp_path / "to" / "y" / "f").read_text() == "f"
    with pytest.raises(NotFound, match="nothing in lab:x that matches 'z'"):
        await board.get_files("gpu-a", root, b"x", ["z"], tmp_path / "to").result()


async def test_what_is_pending_comes_once_its_job_has_ended(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    wish = PendingFetch(store_id="store", job_id=JobId(JOB), pattern="m", folder=os.fsencode(tmp_path / "to"))
    pending.save(wish)
    assert await board.fetch_pending() == []
    assert await board.pending_fetches() == [wish]
    server.finish(JOB)
    results(far, m="model")
    with pending.claimed(wish) as is_mine:
        assert is_mine
        assert await board.fetch_pending() == [], "somebody else is at it"
    (transfer,) = await board.fetch_pending()
    assert transfer.row.phase is TransferPhase.DONE
    assert (tmp_path / "to" / "m").read_text() == "model"
    assert await board.pending_fetches() == []


async def test_what_cant_be_had_at_the_moment_stays_pending_and_what_isnt_there_doesnt(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    wish = PendingFetch(store_id="store", job_id=JobId(JOB), pattern="m", folder=os.fsencode(tmp_path / "to"))
    gone = PendingFetch(store_id="store", job_id=JobId("bbbbbbbbbb"), pattern="m", folder=b"/x")
    for one in (wish, gone):
        pending.save(one)
    far.away.add("gpu-a")
    (transfer,) = await board.fetch_pending()
    assert transfer.row.phase is TransferPhase.WAITING
    assert [one.pattern for one in await board.pending_fetches()] == ["m"]
    far.away.clear()
    (transfer,) = await board.fetch_pending()
    assert isinstance(transfer.error, NotFound)
    assert await board.pending_fetches() == []


def interrupted(tmp_path: Path) -> PendingGet:
    return PendingGet(store_id="store", job=JOB, patterns=("m",), folder=os.fsencode(tmp_path / "to"))


def wanted(tmp_path: Path) -> PendingFetch:
    return PendingFetch(store_id="store", job_id=JobId(JOB), pattern="m", folder=os.fsencode(tmp_path / "to"))


@pytest.mark.parametrize("make", [interrupted, wanted])
async def test_what_is_tried_again_while_a_worker_is_away_is_one_line_that_says_so(
    board: TransferBoard,
    server: FakeServer,
    far: FarEnd,
    tmp_path: Path,
    make: Callable[[Path], PendingGet | PendingFetch],
) -> None:
    """A hundred failures stood in the history, and pushed out what had come."""
    server.add_job(JOB)
    server.finish(JOB)
    results(far, m="model")
    one = make(tmp_path)
    pending.save(one)
    far.away.add("gpu-a")
    for _ in range(3):
        await board.fetch_pending()
        await board.get_interrupted()
    (row,) = board.rows
    assert (row.phase, row.note, row.is_over) == (TransferPhase.WAITING, "gpu-a is not connected", False)
    assert await board.history() == []
    waiting: list[PendingGet | PendingFetch] = [*await board.pending_fetches(), *await board.pending_gets()]
    assert [(one.id, one.why) for one in waiting] == [(one.id, "gpu-a is not connected")]
    far.away.clear()
    await board.fetch_pending()
    await board.get_interrupted()
    assert (tmp_path / "to" / "m").read_text() == "model"
    assert [(row.id, row.phase) for row in await board.history()] == [(row.id, TransferPhase.DONE)]
    assert board.rows[0].phase is TransferPhase.DONE
    assert not [*await board.pending_fetches(), *await board.pending_gets()]


async def test_one_that_waits_is_let_go_of_when_it_is_cancelled(
    board: TransferBoard, server: FakeServer, far: FarEnd, tmp_path: Path
) -> None:
    server.add_job(JOB)
    server.finish(JOB)
    pending.save(interrupted(tmp_path))
    far.away.add("gpu-a")
    (transfer,) = await board.get_interrupted()
    board.cancel(transfer.row.id)
    assert [row.phase for row in (*board.rows, *await board.history())] == [TransferPhase.CANCELLED] * 2
    assert await board.pending_gets() == []


async def test_one_that_is_cancelled_before_it_has_begun_is_in_the_history(
    board: TransferBoard, far: FarEnd, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    transfer = board.put([tmp_path / "a"], WORKER)
    board.cancel(transfer.row.id)
    await transfer.wait()
    assert [row.phase for row in (*board.rows, *await board.history())] == [TransferPhase.CANCELLED] * 2


async def test_a_name_of_any_length_makes_a_row_that_can_be_read(
    board: TransferBoard, far: FarEnd, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        await board.put([tmp_path / ("x" * 10_000)], WORKER).result()
    (row,) = await board.history()
    assert len(row.title) <= TRANSFER_TITLE_CHARACTERS_MAX
    assert len(row.error) < 300


async def test_a_transfer_is_cancelled_and_told_of_on_the_loop(
    client: Client, server: FakeServer, far: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TransferRow] = []
    loop = asyncio.get_running_loop()

    def see(row: TransferRow) -> None:
        assert asyncio.get_running_loop() is loop
        seen.append(row)

    board = TransferBoard(client, on_change=see)

    def hang(*_: object, cancel: object, **__: object) -> None:
        moving.set()
        assert cancel.wait(10)  # type: ignore[attr-defined]

    moving = threading.Event()
    monkeypatch.setattr("opsconsole_protocol.host.stream.transfer.move", hang)
    (tmp_path / "a").write_text("a")
    transfer = board.put([tmp_path / "a"], WORKER)
    assert await asyncio.to_thread(moving.wait, 10)
    board.cancel(transfer.row.id)
    assert (await transfer.wait()).phase is TransferPhase.CANCELLED
    await asyncio.sleep(0)
    assert seen[-1].phase is TransferPhase.CANCELLED
    assert [row.phase for row in await board.history()] == [TransferPhase.CANCELLED]
    await board.close()
