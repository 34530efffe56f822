"""An agent's answers to questions about files."""

import asyncio
import threading
from pathlib import Path

import pytest

from opsconsole_agent.link.file_answerer import FileAnswerer
from opsconsole_agent.probe.file_look import FileLook, FilePlace
from opsconsole_agent.probe.io_path import WorkerIOConfig
from opsconsole_agent.state.file_place import FilePlaces
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.file_listing import FilePage, FileQuery, PartQuery
from opsconsole_protocol.link import FileList, FilePartRead, ListFiles, ReadFilePart
from opsconsole_protocol.mount import Mount
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.waiting import until

LAB = FileRoot(kind=RootKind.MOUNT, mount="lab")


@pytest.fixture
def answerer(tmp_path: Path) -> FileAnswerer:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "a.txt").write_text("abc")
    io = WorkerIOConfig(mounts=(Mount(label="lab", path=str(tmp_path / "lab")),))
    return FileAnswerer(FilePlaces(StateFolder(tmp_path / "state"), io), FileLook())


async def test_a_folder_and_a_piece_of_a_file(answerer: FileAnswerer) -> None:
    listed = await answerer.answer(ListFiles(check_id=7, query=FileQuery(root=LAB)))
    assert isinstance(listed, FileList)
    assert listed.page is not None
    assert (listed.check_id, [entry.name for entry in listed.page.entries]) == (7, [b"a.txt"])
    part = await answerer.answer(ReadFilePart(check_id=8, query=PartQuery(root=LAB, path=b"a.txt", offset=1)))
    assert isinstance(part, FilePartRead)
    assert part.part is not None
    assert (part.check_id, part.part.data) == (8, b"bc")


async def test_what_cant_be_looked_at_is_answered_in_one_line(answerer: FileAnswerer) -> None:
    gone = FileQuery(root=LAB, folder=b"gone")
    assert await answerer.answer(ListFiles(check_id=1, query=gone)) == FileList(
        check_id=1, code="not_found", error="gone is not there (any more)"
    )
    other = FileRoot(kind=RootKind.MOUNT, mount="other")
    assert await answerer.answer(ReadFilePart(check_id=2, query=PartQuery(root=other, path=b"a"))) == FilePartRead(
        check_id=2, code="not_found", error="this worker has no mount 'other'; it has lab"
    )


class SlowLook(FileLook):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.looking = 0

    def list_files(self, place: FilePlace, query: FileQuery) -> FilePage:
        del place, query
        self.looking += 1
        assert self.go.wait(10)
        return FilePage()


async def test_a_few_questions_at_a_time(tmp_path: Path) -> None:
    io, look = WorkerIOConfig(mounts=(Mount(label="lab", path="/lab"),)), SlowLook()
    answerer = FileAnswerer(FilePlaces(StateFolder(tmp_path), io), look)
    question = ListFiles(check_id=1, query=FileQuery(root=LAB))
    answers = [asyncio.create_task(answerer.answer(question)) for _ in range(10)]
    await until(lambda: look.looking == 4)
    look.go.set()
    assert len(await asyncio.gather(*answers)) == look.looking == 10
