"""The new-job form and files: an input picked on a worker, and what is sent from this machine."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input

from opsconsole.transfer import packing as client_packing
from opsconsole.transfer import pending
from opsconsole.transfer.local_source import LocalSource, hash_cache
from opsconsole.transfer.measure import measure
from opsconsole.transfer.packing import Packed
from opsconsole.transfer.row import TransferRow
from opsconsole.transfer.wish import Wishes
from opsconsole_console.model.draft_wish import Wished
from opsconsole_console.screen.file.file_pane import FilePane
from opsconsole_console.screen.new_job import new_job_screen
from opsconsole_console.screen.new_job.candidate_table import CandidateTable
from opsconsole_console.screen.new_job.job_form import Complaint, JobForm
from opsconsole_console.screen.part.field_box import FieldBox
from opsconsole_console.service.packing import look
from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, OpsconsoleError, Unavailable
from opsconsole_protocol.host.content.arriving import INCOMING_PREFIX
from opsconsole_protocol.host.content.hash_cache import HashCache, signature
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.job_content import Bundle, Upload
from tests.console.app import recorded
from tests.console.app.fake_board import OFFER, row
from tests.console.app.source import ANSWERS, RecordedSource
from tests.console.app.stage import Stage, stage
from tests.console.app.test_file import at

UPLOAD = Upload(name="a.csv", content_id=ContentId("a" * 64), size_bytes=3, files=1)
BUNDLE = Bundle(content_id=ContentId("b" * 64), size_bytes=10, files=1, folder="here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the console was started in, with code and data."""
    folder = tmp_path / "here"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "train.py").write_text("print()\n")
    (folder / "a.csv").write_text("1,2")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


class Packer:
    """Stands in for the client's packing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wishes: list[Wishes] = []
        self.noted: list[JobId] = []
        self.removed: list[object] = []
        self.error: OpsconsoleError | None = None
        self.refused = ""
        """Which wish the error is about, if it is about one."""
        self.refuses_early = False
        """Whether that is found before anything is sent."""
        monkeypatch.setattr(client_packing, "pack", self.pack)
        monkeypatch.setattr(client_packing, "note", self.note)
        monkeypatch.setattr(pending, "remove", self.removed.append)

    async def pack(
        self,
        requester: object,
        wishes: Wishes,
        *,
        tell: Callable[[str], None],
        on_progress: Callable[[TransferRow], None] | None = None,
        on_wish: Callable[[str], None],
        sends: bool = True,
    ) -> Packed:
        del requester
        if self.error is not None and (sends or self.refuses_early):
            if self.refused:
                on_wish(self.refused)
            raise self.error
        if not sends:
            return Packed((UPLOAD,), BUNDLE)
        assert on_progress is not None
        self.wishes.append(wishes)
        on_progress(row("one", title="a.csv"))
        tell("upload a.csv")
        return Packed((UPLOAD,), BUNDLE, (OFFER,))

    async def note(
        self, requester: object, job_id: JobId, packed: Packed, wishes: Wishes, spec: object, tell: object
    ) -> list[object]:
        del requester, wishes
        del spec, tell
        self.noted.append(job_id)
        return list(packed.offers)


@pytest.fixture
def packer(monkeypatch: pytest.MonkeyPatch) -> Packer:
    """What packing was asked."""
    return Packer(monkeypatch)


async def fill(there: Stage, **texts: str) -> None:
    """Open the form and type into fields."""
    await there.press("n")
    for name, text in texts.items():
        there.app.screen.query_one(f"#field-{name}").focus()
        await there.settle()
        await there.type(text)


def submitted(source: RecordedSource) -> api.Submission:
    """The one job that was submitted."""
    [request] = source.asked(api.SubmitJobs)
    assert isinstance(request, api.SubmitJobs)
    [submission] = request.submissions
    return submission


async def test_an_input_is_picked_on_the_worker_under_the_cursor(source: RecordedSource) -> None:
    async with stage(source) as there:
        await fill(there, command="train", inputs="other.csv")
        table = there.app.screen.query_one(CandidateTable)
        await there.until(lambda: table.total == 14)
        await there.press("ctrl+o")
        await there.until(lambda: there.screen_name == "FileScreen")
        assert "Choose an input" in there.text()
        for name in ("input", "runs", "7", "best.pt"):
            await at(there, name)
            await there.press("enter")
        await there.until(lambda: there.screen_name == "NewJobScreen")
        box = there.app.screen.query_one("#field-inputs", Input)
        assert box.value == "other.csv input:runs/7/best.pt"
        await there.press("ctrl+o")
        await there.until(lambda: there.screen_name == "FileScreen")
        for name in ("input", "clips of may.h5"):
            await at(there, name)
            await there.press("enter")
        await there.until(lambda: box.value == "other.csv input:runs/7/best.pt 'clips of may.h5'")
        await there.press("ctrl+s")
        await there.until(lambda: there.screen_name == "MainScreen")
        assert submitted(source).spec.inputs == ("other.csv", "input:runs/7/best.pt", "clips of may.h5")


async def test_what_cant_be_an_input_is_not_picked(source: RecordedSource) -> None:
    source.files.mounts["input"] = {b"\xff.csv": b"x"}
    async with stage(source) as there:
        await fill(there, command="train")
        await there.until(lambda: there.app.screen.query_one(CandidateTable).total == 14)
        await there.press("ctrl+o")
        await there.until(lambda: there.screen_name == "FileScreen")
        await at(there, "input")
        await there.press("enter")
        pane = there.app.screen.query_one(FilePane)
        await there.until(lambda: pane.table.move_to(b"\xff.csv".hex()))
        await there.press("enter")
        assert "not UTF-8" in there.toasts[-1]
        await there.press("q")
        assert there.screen_name == "NewJobScreen"


async def test_what_will_be_sent_is_shown_and_then_sent(source: RecordedSource, here: Path, packer: Packer) -> None:
    async with stage(source, (120, 45)) as there:
        await fill(there, command="python train.py", bundle="code", uploads="a.csv", fetch="models/*", setup="uv sync",
                   collect="metrics.json")  # fmt: skip
        await there.until(lambda: "sends code of code: 1 file · a.csv 3 B · brings models/*" in there.text())
        assert "keeps metrics.json" in there.text()
        await there.press("ctrl+s")
        await there.until(lambda: there.screen_name == "MainScreen")
        [wishes] = packer.wishes
        assert wishes == Wishes(uploads=("a.csv",), bundle=Path("code"), fetches=("models/*",), cwd=here)
        job_id, spec = submitted(source).job_id, submitted(source).spec
        assert (spec.uploads, spec.bundle, spec.setup, spec.collect) == (
            (UPLOAD,),
            BUNDLE,
            "uv sync",
            ("metrics.json",),
        )
        assert packer.noted == [job_id]
        assert not packer.removed


async def test_workers_say_what_they_have_of_what_would_be_sent(
    source: RecordedSource, here: Path, packer: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: api.AskCandidates) -> api.Candidates:
        found = recorded.candidates(request.spec)
        supply = "has 3 of 13 B of its data" if request.spec.uploads == (UPLOAD,) else "of another job"
        return msgspec.structs.replace(
            found, verdicts=tuple(msgspec.structs.replace(one, supply=supply) for one in found.verdicts)
        )

    monkeypatch.setitem(ANSWERS, api.AskCandidates, lambda _, request: answer(request))
    async with stage(source, (160, 45)) as there:
        await fill(there, command="python train.py", bundle="code", uploads="a.csv")
        await there.until(lambda: "has 3 of 13 B" in there.text())
        asked = source.asked(api.AskCandidates)[-1]
        assert isinstance(asked, api.AskCandidates)
        assert (asked.spec.uploads, asked.spec.bundle) == ((UPLOAD,), BUNDLE)
        assert set(asked.supplied) == {UPLOAD.content_id, BUNDLE.content_id}
        await there.type("x")
        assert "of its data" not in there.text(), "the answer was about other files"
        assert "of another job" not in there.text()
        assert not packer.wishes, "nothing was sent"


async def test_what_would_take_long_to_read_is_not_read_while_it_is_typed(
    source: RecordedSource, here: Path, packer: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_job_screen, "_UNREAD_BYTES_MAX", 2)
    async with stage(source, (160, 45)) as there:
        await fill(there, command="python train.py", uploads="a.csv")
        await there.until(lambda: "sends a.csv 3 B" in there.text())
        before = len(source.asked(api.AskCandidates))
        await there.until(lambda: len(source.asked(api.AskCandidates)) > before)
        asked = source.asked(api.AskCandidates)[-1]
        assert isinstance(asked, api.AskCandidates)
        assert (asked.spec.uploads, asked.supplied) == ((), ())


async def test_what_is_not_there_is_said_at_its_field(source: RecordedSource, here: Path, packer: Packer) -> None:
    async with stage(source, (120, 45)) as there:
        await fill(there, command="python train.py", bundle="nowhere", uploads="b.csv")
        await there.until(lambda: "there is no such folder" in there.text())
        assert "--upload b.csv: there is no file or folder" in there.text()
        await there.press("ctrl+s")
        await there.settle()
        assert there.screen_name == "NewJobScreen"
        assert not packer.wishes


async def test_a_failure_while_sending_submits_nothing(source: RecordedSource, here: Path, packer: Packer) -> None:
    packer.error = InvalidRequest("a.csv changed while it was read: submit it again")
    async with stage(source) as there:
        await fill(there, command="python train.py", uploads="a.csv")
        await there.press("ctrl+s")
        await there.until(lambda: "a.csv changed while it was read" in there.text())
        assert not source.asked(api.SubmitJobs)
        assert not packer.noted


async def test_a_refused_job_leaves_nothing_pending(source: RecordedSource, here: Path, packer: Packer) -> None:
    source.refuse = (api.SubmitJobs, Conflict("the project is archived"))
    async with stage(source) as there:
        await fill(there, command="python train.py", uploads="a.csv")
        await there.press("ctrl+s")
        await there.until(lambda: "the project is archived" in there.text())
        assert packer.removed == [OFFER]


def test_files_are_counted_as_their_manifest_counts_them(here: Path) -> None:
    data = here / "data"
    (data / "below").mkdir(parents=True)
    for name in ("a", ".hidden", "below/b", f"{os.fsdecode(INCOMING_PREFIX)}x"):
        (data / name).write_bytes(bytes(100_000))
    (data / "link").symlink_to("a")
    with LocalSource.of_one(data, "data") as source:
        manifest = source.manifest
    assert (manifest.files, manifest.size_bytes) == (3, 300_000)
    assert look(Wished(("data",))).words == ("data/ 3 files, 300 kB",)
    assert look(Wished((), "data")).words == ("code of data: 3 files",)


def test_what_was_hashed_before_need_not_be_read(here: Path) -> None:
    big = here / "big.bin"
    big.write_bytes(bytes(100_000))
    assert look(Wished(("big.bin", "a.csv"))).unread_bytes == 100_003
    with hash_cache() as cache:
        assert measure(big, cache, 10) == (1, 100_000, 100_000, True)
        cache.remember(signature(big.stat()), [bytes(32)] * 2)
        assert measure(big, cache, 10).unread_bytes == 0
    assert measure(here, HashCache(), 1).is_whole is False


def test_looking_reads_nothing_and_names_everything(here: Path) -> None:
    (here / "data").mkdir()
    (here / "data" / "b").write_bytes(bytes(1_500))
    found = look(Wished(("a.csv:x.csv", "data", "gone"), "code", ("models/*:out", "x")))
    assert found.words[:3] == ("code of code: 1 file", "x.csv 3 B", "data/ 1 file, 1.5 kB")
    assert found.errors == {"uploads": "--upload gone: there is no file or folder 'gone' here"}
    assert look(Wished(fetches=("/etc/*",))).errors.keys() == {"fetch"}
    assert look(Wished()).words == ()


@pytest.mark.parametrize("field", ["bundle", "uploads"])
async def test_what_only_packing_finds_is_said_at_its_field_and_looked_at_anew(
    source: RecordedSource, here: Path, packer: Packer, field: str
) -> None:
    packer.error, packer.refused = LimitExceeded("it is too large"), field
    async with stage(source, (120, 45)) as there:
        await fill(there, command="train", bundle="code", uploads="a.csv")
        await there.press("ctrl+s")
        form = there.app.screen.query_one(JobForm)
        await there.until(lambda: said_at(form) == {field: "it is too large"})
        focused = there.app.focused
        assert focused is not None
        assert focused.id == f"field-{field}"
        assert not source.asked(api.SubmitJobs)
        packer.error = None
        await there.press("ctrl+s")
        await there.until(lambda: there.screen_name == "MainScreen")
        assert submitted(source).spec.bundle == BUNDLE


async def test_what_hashing_finds_is_said_before_the_job_is_submitted(
    source: RecordedSource, here: Path, packer: Packer
) -> None:
    packer.error, packer.refused, packer.refuses_early = Conflict("train.py can't be read"), "bundle", True
    async with stage(source, (120, 45)) as there:
        await fill(there, command="train", bundle="code")
        form = there.app.screen.query_one(JobForm)
        await there.until(lambda: said_at(form) == {"bundle": "train.py can't be read"})
        await there.type("x")
        await there.until(lambda: "can't be read" not in there.text())


async def test_a_coordinator_that_is_gone_is_no_fields_fault(
    source: RecordedSource, here: Path, packer: Packer
) -> None:
    packer.error, packer.refused = Unavailable("the coordinator is not reached"), "bundle"
    async with stage(source, (120, 45)) as there:
        await fill(there, command="train", bundle="code")
        await there.press("ctrl+s")
        await there.until(lambda: "the coordinator is not reached" in there.text())
        assert said_at(there.app.screen.query_one(JobForm)) == {}


def said_at(form: JobForm) -> dict[str, str]:
    """What is complained about, by the field above."""
    children = list(form.children)
    pairs = itertools.pairwise(children)
    return {
        box.field.name: str(said.render())
        for box, said in pairs
        if isinstance(box, FieldBox) and isinstance(said, Complaint) and said.display
    }
