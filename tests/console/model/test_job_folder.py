"""A job's working folder and inputs: what is gone is told truly, and what is known of it is listed all the same."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from opsconsole.ask import Requester
from opsconsole_console.model.file_spot import FileRow, FileSpot
from opsconsole_console.service.file_source import FileSource
from opsconsole_console.service.job_folder import JobFolders
from opsconsole_protocol import api
from opsconsole_protocol.error import NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage, FilePart, FileSort
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.client.row import worker_row
from tests.console.app import recorded

ENDED, RUNNING = recorded.DETAILS["train-lr1"], recorded.DETAILS["train-lr3"]
WORKER = worker_row(
    "gpu-a",
    properties={
        "mounts": [{"label": "input", "path": "/mnt/in"}, {"label": "lab", "path": "/mnt/lab"}],
        "io_paths": {"input": "/mnt/in"},
    },
)
UPLOADS = (
    Upload(name="clips", content_id=ContentId("a" * 64), size_bytes=3_100, files=4, is_folder=True, host="mbp-7"),
    Upload(name="a.csv", content_id=ContentId("b" * 64), size_bytes=12, files=1),
)
NOT_THERE = NotFound("the folder is not there (any more)")


class Scripted(Requester):
    """A job, what its folder lists or why it doesn't, and the files on its worker's mount with their sizes."""

    def __init__(
        self, detail: api.JobDetail, listed: FilePage | OpsconsoleError, files: Mapping[bytes, int] | None = None
    ) -> None:
        self.detail = detail
        self.listed = listed
        self.files = files or {}

    async def request(self, request: api.AnyRequest) -> api.AnyAnswer:
        match request:
            case api.ShowJob():
                return api.DetailAnswer(detail=self.detail)
            case api.ListFiles():
                if isinstance(self.listed, OpsconsoleError):
                    raise self.listed
                return api.FileList(page=self.listed, worker="gpu-a")
            case api.ReadFilePart(query=query):
                if query.path not in self.files:
                    raise NotFound(f"{query.path.decode()} is not there (any more)")
                return api.FilePartAnswer(part=FilePart(size=self.files[query.path], mtime_ms=7), worker="gpu-a")
        raise AssertionError(request)


def job(
    detail: api.JobDetail, inputs: tuple[str, ...] = (), *, note: str = "", workdir: str | None = None
) -> api.JobDetail:
    """A recorded job on gpu-a with other inputs, and what its worker said at the end."""
    spec = replace(detail.spec, inputs=inputs, uploads=UPLOADS if inputs else (), workdir=workdir)
    task = detail.tasks[0]
    attempts = tuple(replace(one, note=note) for one in task.attempts)
    return replace(detail, spec=spec, tasks=(replace(task, worker="gpu-a", attempts=attempts),))


async def listed(kind: RootKind, source: Scripted) -> tuple[dict[str, FileRow], str]:
    """The lines by their names, and what is said of the folder."""
    folders = JobFolders(source, FileSource(source), lambda name: WORKER if name == "gpu-a" else None)
    spot = FileSpot(job_id=source.detail.job.id, root=FileRoot(kind=kind, job_id=source.detail.job.id))
    worker, rows, page = await folders.entries(spot, FileSort.NAME, descending=False)
    assert worker == "gpu-a"
    return {row.text: row for row in rows}, page.note


async def test_inputs_on_the_worker_have_their_sizes_and_the_place_where_they_lie() -> None:
    links = FilePage(
        entries=(
            FileEntry(b"clips of may.h5", FileKind.LINK, mtime_ms=1),
            FileEntry(b"clips", FileKind.LINK, mtime_ms=2, leads_to=FileKind.FOLDER),
            FileEntry(b"a.csv", FileKind.LINK, 12, mtime_ms=2, leads_to=FileKind.FILE),
        ),
        total=3,
    )  # fmt: skip
    source = Scripted(job(RUNNING, ("clips of may.h5", "gone.csv")), links, {b"clips of may.h5": 3_000})
    rows, note = await listed(RootKind.INPUT, source)
    assert list(rows) == ["clips of may.h5", "gone.csv", "clips", "a.csv"]
    own = rows["clips of may.h5"]
    assert (own.size, own.mtime_ms, own.is_file, own.note) == (3_000, 7, True, "gpu-a:/mnt/in/clips of may.h5")
    assert own.lies_in == FileSpot(worker="gpu-a", root=FileRoot(kind=RootKind.MOUNT, mount="input"))
    assert rows["gone.csv"].away == "gone.csv is not there (any more)"
    assert (rows["clips"].size, rows["clips"].is_folder, rows["clips"].away) == (3_100, True, "")
    assert rows["clips"].note == "brought from mbp-7"
    assert not note


@pytest.mark.parametrize("failure", [NOT_THERE, Unavailable("gpu-a is not connected")])
async def test_inputs_of_an_ended_job_are_listed_without_their_folder(failure: OpsconsoleError) -> None:
    rows, note = await listed(
        RootKind.INPUT, Scripted(job(ENDED, ("clips of may.h5",)), failure, {b"clips of may.h5": 9})
    )
    assert [(row.text, row.size, bool(row.away)) for row in rows.values()] == [
        ("clips of may.h5", 9, False), ("clips", 3_100, True), ("a.csv", 12, True),
    ]  # fmt: skip
    assert rows["a.csv"].note == "brought, kept by the coordinator"
    assert f"{ENDED.tasks[0].id} ended 2" in note
    assert "on gpu-a: its folder of inputs went then" in note


async def test_why_inputs_of_a_running_job_cant_be_listed_is_said() -> None:
    rows, note = await listed(RootKind.INPUT, Scripted(job(RUNNING, ("x",)), Unavailable("gpu-a is not connected")))
    assert (list(rows), note) == (["x", "clips", "a.csv"], "gpu-a is not connected")
    with pytest.raises(NotFound, match="the job has no inputs"):
        await listed(RootKind.INPUT, Scripted(job(ENDED), NOT_THERE))


@pytest.mark.parametrize(
    ("workdir", "note", "said"),
    [
        (None, "", "scratch space: one that is empty goes at once"),
        (None, "what it left in /w is removed after 7 days", "what it left in /w is removed after 7 days"),
        ("/srv/code", "", "It ran in /srv/code of the worker"),
    ],
)
async def test_why_an_ended_job_has_no_working_folder(workdir: str | None, note: str, said: str) -> None:
    with pytest.raises(NotFound) as found:
        await listed(RootKind.WORK, Scripted(job(ENDED, note=note, workdir=workdir), NOT_THERE))
    assert said in found.value.message
    assert f"{ENDED.tasks[0].id} ended" in found.value.message
    assert "What it wrote to keep is under outputs." in found.value.message


async def test_how_long_a_working_folder_stays_is_said() -> None:
    page = FilePage(entries=(FileEntry(b"left", FileKind.FILE, 2),), total=1)
    left = "what it left in /w is removed after 7 days"
    rows, note = await listed(RootKind.WORK, Scripted(job(ENDED, note=left), page))
    assert list(rows) == ["left"]
    assert note.endswith(f"on gpu-a; {left}")
    assert (await listed(RootKind.WORK, Scripted(job(RUNNING), page)))[1] == ""


async def test_a_working_folder_of_a_worker_that_is_away_is_not_said_to_be_gone() -> None:
    with pytest.raises(Unavailable):
        await listed(RootKind.WORK, Scripted(job(ENDED), Unavailable("gpu-a is not connected")))
