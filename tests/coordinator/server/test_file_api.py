"""Files on workers, as operators ask for them: who may, which worker is asked, and what is said when it can't be."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from opsconsole_agent.link.file_answerer import FileAnswerer
from opsconsole_agent.probe.file_look import FileLook
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_coordinator.core.model import Attempt, Worker
from opsconsole_coordinator.server import file_api
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.file_api import FileApi, role_to_list, role_to_read
from opsconsole_coordinator.server.file_locator import LocatedTask
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.kept_look import KeptLook
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.transfer.kept_files import list_kept
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import link
from opsconsole_protocol.api import FileList, ListFiles, ReadFilePart, Submission
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.file_listing import FilePage, FilePart, FileQuery, FileSort, PartQuery
from opsconsole_protocol.ids import AttemptId, JobId, SessionId, WorkerId
from opsconsole_protocol.mount import Mount
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState, WorkerConnection
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.waiting import until

ANA = Caller("ana", Role.VIEWER)
JOB = JobId("7k3m9q2w4t")


class Box:
    """A worker whose agent answers by the real parts."""

    def __init__(self, commit_loop: CommitLoop, name: str, folder: Path) -> None:
        self.name = name
        self.folder, self.out = folder, folder / "out"
        (folder / "lab").mkdir(parents=True)
        (folder / "lab" / "a.csv").write_text("1,2\n")
        self.state = StateFolder(folder / "state")
        mounts = (Mount(label="lab", path=str(folder / "lab")),)
        io = WorkerIOConfig(output_path=self.out, mounts=mounts)
        self.asked: list[Any] = []
        self.silent = False
        self._commit_loop = commit_loop
        self._answerer = FileAnswerer(FilePlaces(self.state, io), FileLook())
        self._answers: set[asyncio.Task[None]] = set()
        properties = {"io_paths": io.to_properties(), "mounts": [{"label": "lab", "path": mounts[0].path}]}
        self.worker = Worker(
            id=WorkerId(name), name=name, properties=properties, session=SessionId(1),
            connection=WorkerConnection.CONNECTED,
        )  # fmt: skip
        commit_loop.fleet.workers[self.worker.id] = self.worker
        commit_loop.sessions[self.worker.id] = self  # type: ignore[assignment]

    def send(self, message: Any) -> None:
        self.asked.append(message)
        if not self.silent:
            task = asyncio.create_task(self._answer(message))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _answer(self, message: Any) -> None:
        self._commit_loop.questions.answer(self.worker.id, await self._answerer.answer(message))


class Room:
    """A coordinator with two workers."""

    def __init__(self, commit_loop: CommitLoop, folder: Path) -> None:
        self.commit_loop = commit_loop
        self.kept: dict[tuple[str, int], tuple[str, ...]] = {}
        """What the coordinator has collected of tasks, by job and index."""
        self.api = FileApi(commit_loop, cast("KeptLook", self))
        self.boxes = {name: Box(commit_loop, name, folder / name) for name in ("gpu-a", "gpu-b")}

    def has(self, job_id: JobId, index: int) -> bool:
        return (job_id, index) in self.kept

    async def page(self, task: LocatedTask, query: FileQuery) -> FilePage | None:
        names = self.kept.get((task.job_id, task.task_index))
        if names is None:
            return None
        return list_kept(
            Manifest.make(Entry(one.encode(), EntryKind.SYMLINK, 0o777, target=b"x") for one in names), query, 1
        )

    async def part(self, task: LocatedTask, query: PartQuery) -> FilePart | None:
        return FilePart(data=query.path) if self.has(task.job_id, task.task_index) else None

    async def job(self, *ran_on: str, job_id: JobId = JOB, number: int = 0, write: bool = True) -> None:
        """A job with a task for each of these workers; "" is a task that hasn't started."""
        reactor = self.commit_loop.reactor
        if number == 0:
            reactor.on_submit(
                [Submission(job_id, JobSpec(command=("a",), num_tasks=len(ran_on), held=True))], {}, "ana", 1
            )
        for index, name in enumerate(ran_on):
            if not name:
                continue
            box, attempt_id = self.boxes[name], AttemptId(f"{job_id}.{index}.{number}.abcd")
            path = box.out / "jobs" / job_id / ("" if len(ran_on) == 1 else f"task-{index}")
            path.mkdir(parents=True, exist_ok=True)
            (path / "model.pt").write_bytes(bytes(1_000))
            work = box.folder / "state/attempts" / attempt_id / "work"
            work.mkdir(parents=True)
            (work / "scratch").touch()
            seen = link.Observed(
                attempt_id=attempt_id, state=AttemptState.SUCCEEDED, output_path=str(path) if write else "",
                output_bytes=1_000 * (index + 1),
            )  # fmt: skip
            attempt = Attempt(
                id=attempt_id, job_id=job_id, index=index, number=number, worker_id=box.worker.id, worker_name=name,
                state=AttemptState.SUCCEEDED, finished_at_ms=1_000 - index, open=False, seen=seen,
            )  # fmt: skip
            self.commit_loop.fleet.touch_attempt(attempt)
        await self.commit_loop._run_batch()

    async def listed(self, kind: RootKind, job_id: str = "", worker: str = "", **query: Any) -> FileList:
        root = FileRoot(kind=kind, job_id=job_id, mount=query.pop("mount", ""), task_index=query.pop("task", None))
        return await self.api.list_files(ListFiles(worker=worker, query=FileQuery(root=root, **query)), ANA)

    async def names(self, kind: RootKind, job_id: str = "", worker: str = "", **query: Any) -> list[str]:
        found = await self.listed(kind, job_id, worker, **query)
        return [entry.name.decode() for entry in found.page.entries]

    async def refused(self, kind: RootKind, job_id: str = "", worker: str = "", **query: Any) -> OpsconsoleError:
        with pytest.raises(OpsconsoleError) as error:
            await self.listed(kind, job_id, worker, **query)
        return error.value


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    yield Room(CommitLoop(database, "lab"), tmp_path)
    await database.close()


def test_a_viewer_may_look_at_jobs_and_an_operator_at_mounts() -> None:
    for kind in RootKind:
        root = FileRoot(kind=kind)
        role = Role.OPERATOR if kind is RootKind.MOUNT else Role.VIEWER
        assert role_to_list(ListFiles(query=FileQuery(root=root))) is role
        assert role_to_read(ReadFilePart(query=PartQuery(root=root, path=b"a"))) is role


# --- mounts ------------------------------------------------------------------------------------------------------


async def test_a_mount_of_a_worker(room: Room) -> None:
    found = await room.listed(RootKind.MOUNT, worker="gpu-b", mount="lab")
    assert (found.worker, [entry.name for entry in found.page.entries]) == ("gpu-b", [b"a.csv"])
    assert not room.boxes["gpu-a"].asked
    root = FileRoot(kind=RootKind.MOUNT, mount="lab")
    part = await room.api.read_part(ReadFilePart(worker="gpu-b", query=PartQuery(root=root, path=b"a.csv")), ANA)
    assert (part.worker, part.part.data) == ("gpu-b", b"1,2\n")


async def test_what_the_caller_says_of_the_root_beyond_the_label_is_not_passed_on(room: Room) -> None:
    root = FileRoot(kind=RootKind.MOUNT, mount="lab", job_id="x", attempt_id="y", output_path="/etc")
    await room.api.list_files(ListFiles(worker="gpu-a", query=FileQuery(root=root)), ANA)
    assert room.boxes["gpu-a"].asked[0].query.root == FileRoot(kind=RootKind.MOUNT, mount="lab")


async def test_mounts_that_are_not_there(room: Room) -> None:
    error = await room.refused(RootKind.MOUNT, worker="gpu-a", mount="lbb")
    assert (type(error), error.message) == (NotFound, "gpu-a has no mount 'lbb'; it has output, lab")
    assert isinstance(await room.refused(RootKind.MOUNT, mount="lab"), InvalidRequest)
    assert isinstance(await room.refused(RootKind.MOUNT, worker="gpu-c", mount="lab"), NotFound)


async def test_what_the_agent_refuses(room: Room) -> None:
    error = await room.refused(RootKind.MOUNT, worker="gpu-a", mount="lab", folder=b"../secret")
    assert isinstance(error, InvalidRequest)
    root = FileRoot(kind=RootKind.MOUNT, mount="lab")
    with pytest.raises(NotFound, match="gone is not there"):
        await room.api.read_part(ReadFilePart(worker="gpu-a", query=PartQuery(root=root, path=b"gone")), ANA)


# --- jobs --------------------------------------------------------------------------------------------------------


async def test_the_folders_of_a_job(room: Room) -> None:
    await room.job("gpu-b")
    found = await room.listed(RootKind.OUTPUT, "7k3")
    assert found.worker == "gpu-b"
    assert [(entry.name, entry.size) for entry in found.page.entries] == [(b"model.pt", 1_000)]
    assert await room.names(RootKind.WORK, JOB) == ["scratch"]
    assert await room.names(RootKind.OUTPUT, f"{JOB}/task-0") == ["model.pt"]


async def test_a_task_of_a_job_with_several_is_a_folder_of_its_own(room: Room) -> None:
    await room.job("gpu-a", "gpu-b", "")
    found = await room.listed(RootKind.OUTPUT, JOB)
    assert (found.worker, found.page.total, found.page.more) == ("", 3, False)
    assert [(entry.name, entry.size) for entry in found.page.entries] == [
        (b"task-0", 1_000), (b"task-1", 2_000), (b"task-2", 0),
    ]  # fmt: skip
    assert await room.names(RootKind.OUTPUT, JOB, folder=b"task-1") == ["model.pt"]
    assert await room.names(RootKind.OUTPUT, JOB, task=1) == ["model.pt"]
    assert await room.names(RootKind.OUTPUT, f"{JOB}/task-1") == ["model.pt"]
    assert [box.name for box in room.boxes.values() if box.asked] == ["gpu-b"]
    root = FileRoot(kind=RootKind.OUTPUT, job_id=JOB)
    part = await room.api.read_part(ReadFilePart(query=PartQuery(root=root, path=b"task-0/model.pt", limit=5)), ANA)
    assert (part.worker, part.part.data, part.part.size) == ("gpu-a", bytes(5), 1_000)


async def test_tasks_in_order_and_in_pages(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await room.job("gpu-a", "gpu-b", "", "gpu-a")
    for is_small in (True, False):
        monkeypatch.setattr(file_api, "LISTING_ENTRIES_MAX", 10 if is_small else 2)
        assert await room.names(RootKind.OUTPUT, JOB, limit=3) == ["task-0", "task-1", "task-2"]
        assert await room.names(RootKind.OUTPUT, JOB, limit=3, offset=3) == ["task-3"]
        assert await room.names(RootKind.OUTPUT, JOB, limit=3, descending=True) == ["task-3", "task-2", "task-1"]
        assert await room.names(RootKind.OUTPUT, JOB, limit=3, offset=3, descending=True) == ["task-0"]
        assert await room.names(RootKind.OUTPUT, JOB, limit=3, offset=9) == []
    monkeypatch.setattr(file_api, "LISTING_ENTRIES_MAX", 10)
    by_size = await room.names(RootKind.OUTPUT, JOB, sort=FileSort.SIZE, descending=True)
    assert by_size == ["task-3", "task-1", "task-0", "task-2"]
    assert (await room.names(RootKind.OUTPUT, JOB, sort=FileSort.TIME))[:2] == ["task-2", "task-3"]


async def test_the_last_attempt_counts_unless_a_worker_is_named(room: Room) -> None:
    await room.job("gpu-a")
    await room.job("gpu-b", number=1)
    assert (await room.listed(RootKind.OUTPUT, JOB)).worker == "gpu-b"
    assert (await room.listed(RootKind.OUTPUT, JOB, worker="gpu-a")).worker == "gpu-a"
    asked = room.boxes["gpu-a"].asked[0].query.root
    assert (asked.attempt_id, asked.output_path) == (f"{JOB}.0.0.abcd", f"{room.boxes['gpu-a'].out}/jobs/{JOB}")


async def test_jobs_without_files(room: Room) -> None:
    await room.job("gpu-a", "", job_id=JobId("aaaaaaaaaa"))
    error = await room.refused(RootKind.OUTPUT, "aaa", folder=b"task-1")
    assert (type(error), error.message) == (Conflict, "aaaaaaaaaa/task-1 has not started yet: it has no files")
    for folder in (b"task-2", b"task-99999999", b"models", b"task-1x", b"task-01"):
        assert isinstance(await room.refused(RootKind.OUTPUT, "aaa", folder=folder), NotFound)
    assert isinstance(await room.refused(RootKind.OUTPUT, "aaa", pattern="x"), InvalidRequest)
    error = await room.refused(RootKind.OUTPUT, "aaa/task-0", worker="gpu-b")
    assert error.message == "no attempt of aaaaaaaaaa/task-0 was on gpu-b"
    assert isinstance(await room.refused(RootKind.OUTPUT, "zzzz"), NotFound)
    await room.job("gpu-a", job_id=JobId("bbbbbbbbbb"), write=False)
    error = await room.refused(RootKind.OUTPUT, "bbb")
    assert error.message == "bbbbbbbbbb has no outputs: gpu-a had no place for them"


# --- workers that can't be asked -----------------------------------------------------------------------------------


async def test_a_worker_that_is_away(room: Room) -> None:
    await room.job("gpu-a")
    worker = room.boxes["gpu-a"].worker
    worker.connection, worker.session = WorkerConnection.SILENT, None
    worker.last_seen_ms = room.commit_loop.clock.now_ms() - 90_500
    error = await room.refused(RootKind.OUTPUT, JOB)
    assert (type(error), error.message) == (
        Unavailable,
        f"the files of {JOB} are on gpu-a, which is not connected, it was last heard of 1m30s ago",
    )
    assert (
        "lab is on gpu-a, which is not connected"
        in (await room.refused(RootKind.MOUNT, worker="gpu-a", mount="lab")).message
    )


async def test_what_was_collected_is_there_while_its_worker_is_away(room: Room) -> None:
    await room.job("gpu-a", "gpu-a", "gpu-b")
    assert (await room.listed(RootKind.OUTPUT, JOB)).page.note == ""
    worker = room.boxes["gpu-a"].worker
    worker.connection, worker.session = WorkerConnection.SILENT, None
    room.kept[JOB, 1] = ("a.pt", "b.pt")
    assert (await room.listed(RootKind.OUTPUT, JOB)).page.note == (
        "gpu-a can't be asked: what the coordinator has collected of task-1 can be had, and task-0 can't be looked at"
    )
    found = await room.listed(RootKind.OUTPUT, f"{JOB}/task-1")
    assert [entry.name for entry in found.page.entries] == [b"a.pt", b"b.pt"]
    assert found.page.note.endswith("which is not connected: this is what the coordinator has collected")
    root = FileRoot(kind=RootKind.OUTPUT, job_id=JOB, task_index=1)
    part = await room.api.read_part(ReadFilePart(query=PartQuery(root=root, path=b"a.pt")), ANA)
    assert part.part.data == b"a.pt"
    del room.commit_loop.fleet.workers[worker.id]  # it was removed
    assert await room.names(RootKind.OUTPUT, f"{JOB}/task-1") == ["a.pt", "b.pt"]
    assert isinstance(await room.refused(RootKind.OUTPUT, f"{JOB}/task-0"), NotFound)
    assert isinstance(await room.refused(RootKind.WORK, f"{JOB}/task-1"), NotFound)


async def test_an_agent_that_knows_nothing_of_this(room: Room) -> None:
    await room.job("gpu-a")
    del room.boxes["gpu-a"].worker.properties["mounts"]
    assert "is too old to be asked for files" in (await room.refused(RootKind.OUTPUT, JOB)).message
    assert not room.boxes["gpu-a"].asked


async def test_an_agent_that_does_not_answer(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_api, "ANSWER_WAIT_S", 0.05)
    room.boxes["gpu-a"].silent = True
    error = await room.refused(RootKind.MOUNT, worker="gpu-a", mount="lab")
    assert (type(error), error.message) == (Unavailable, "gpu-a didn't answer within 0.05 s: try again")


async def test_answers_that_were_not_asked_for(room: Room) -> None:
    questions, box = room.commit_loop.questions, room.boxes["gpu-a"]
    box.silent = True
    asking = asyncio.create_task(room.names(RootKind.MOUNT, worker="gpu-a", mount="lab"))
    await until(lambda: box.asked)
    number = box.asked[0].check_id
    questions.answer(WorkerId("gpu-b"), link.FileList(check_id=number, code="invalid", error="from another"))
    questions.answer(box.worker.id, link.FileList(check_id=number + 1, code="invalid", error="to another question"))
    box.silent = False
    box.send(box.asked[0])
    assert await asking == ["a.csv"]
    questions.answer(box.worker.id, link.FileList(check_id=number, code="invalid", error="too late"))


async def test_an_answer_of_another_kind_is_none(room: Room) -> None:
    box = room.boxes["gpu-a"]
    box.silent = True
    asking = asyncio.create_task(room.refused(RootKind.MOUNT, worker="gpu-a", mount="lab"))
    await until(lambda: box.asked)
    room.commit_loop.questions.answer(box.worker.id, link.FilePartRead(check_id=box.asked[0].check_id))
    assert isinstance(await asking, Unavailable)
