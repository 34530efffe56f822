"""Transfers in the console: begun in a file browser, shown, cancelled, and what waits."""

from pathlib import Path
from typing import cast

import pytest

from opsconsole.transfer.download import Brought
from opsconsole.transfer.pending import PendingGet
from opsconsole.transfer.row import TransferPhase
from opsconsole_console.screen.file.local_pane import LocalPane
from opsconsole_console.screen.transfer.transfer_pane import PendingPane, TransferPane
from opsconsole_console.service.local_folder import destination, local_entries
from opsconsole_console.widget.words import Words
from opsconsole_protocol.content.glob import matches
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.console.app.fake_board import FETCH, HISTORY, OFFER, row
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage
from tests.console.app.test_file import at, browse


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the console was started in."""
    folder = tmp_path / "here"
    (folder / "clips").mkdir(parents=True)
    (folder / "a.csv").write_text("1,2")
    (folder / "b.csv").write_text("3,4")
    (folder / "clips" / "may.h5").touch()
    monkeypatch.chdir(folder)
    return folder


async def beside(there: Stage) -> LocalPane:
    """The pane of this machine's files, beside the input folder of a worker."""
    await browse(there, "input")
    await there.press("p")
    pane = there.app.screen.query_one(LocalPane)
    await there.until(lambda: pane.table.total == 3)
    assert there.has_focus(pane.table)
    return pane


async def test_put(source: RecordedSource, here: Path) -> None:
    async with stage(source) as there:
        pane = await beside(there)
        await there.press("down", "space", "space", "p")
        assert there.board.asked == [("put", [f"{here}/a.csv", f"{here}/b.csv"], "gpu-a", "input:", False)]
        assert not pane.table.marked
        await there.press("home", "enter")
        await there.until(lambda: pane.folder == here / "clips" and pane.table.total == 1)
        await there.press("p", "left")
        assert there.board.asked[-1] == ("put", [f"{here}/clips/may.h5"], "gpu-a", "input:", False)
        await there.until(lambda: pane.table.total == 3)
        assert pane.table.cursor_id == b"clips".hex()
        await there.press("escape")
        assert not pane.display


async def test_put_into_a_folder_below(source: RecordedSource, here: Path) -> None:
    async with stage(source) as there:
        await browse(there, "input", "runs")
        await at(there, "8")
        await there.press("enter")
        await there.until(lambda: "Nothing is in here" in there.text())
        await there.press("p")
        pane = there.app.screen.query_one(LocalPane)
        await there.until(lambda: pane.table.total == 3)
        await there.press("p")
        assert there.board.asked == [("put", [f"{here}/clips"], "gpu-a", "input:runs/8", False)]


async def test_where_nothing_can_be_put(source: RecordedSource, here: Path) -> None:
    async with stage(source) as there:
        await browse(there)
        await there.press("p")
        assert "open the folder" in there.toasts[-1]
        await at(there, "output")
        await there.press("enter", "p")
        assert "nothing can be put into output" in there.toasts[-1]
        await there.line("files 42f")
        await there.press("p")
        assert not there.app.screen.query_one(LocalPane).display
    async with stage(RecordedSource(), read_only=True) as there:
        await browse(there, "input")
        await there.press("p")
        assert not there.app.screen.query_one(LocalPane).display
        assert there.board.runs == 0


async def test_get(source: RecordedSource, here: Path) -> None:
    async with stage(source) as there:
        await browse(there, "input")
        await at(there, "points.csv")
        await there.press("g")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.type("/clips")
        await there.press("enter")
        await there.until(lambda: there.board.asked)
        mount = FileRoot(kind=RootKind.MOUNT, mount="input")
        assert there.board.asked == [("get", "gpu-a", mount, b"", ["points.csv"], f"{here}/clips")]
        await there.press("g")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.type("/a.csv")
        await there.press("enter")
        said = there.app.screen.query_one(".question--said", Words)
        await there.until(lambda: str(said.content) == f"{here}/a.csv is no folder: name another one")
        await there.press(*["backspace"] * len("a.csv"))
        assert not said.display
        await there.type("new/one")
        await there.press("enter")
        await there.until(lambda: str(said.content) == f"{here}/new/one isn't there yet: Enter makes it")
        assert len(there.board.asked) == 1, "what was typed is kept, and may be typed on"
        await there.press("enter")
        await there.until(lambda: len(there.board.asked) == 2)
        assert there.board.asked[1][-1] == f"{here}/new/one"


@pytest.mark.parametrize("answer", ["y", "escape"])
async def test_what_is_here_and_differs_is_asked_about(source: RecordedSource, here: Path, answer: str) -> None:
    async with stage(source) as there:
        there.board.brought["begun"] = Brought(here, [], [], [b"points.csv"], [])
        await browse(there, "input")
        await at(there, "points.csv")
        await there.press("g")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.press("enter")
        await there.until(lambda: there.screen_name == "ConfirmScreen")
        await there.press(answer)
        await there.until(lambda: there.screen_name == "FileScreen")
        forced = [asked[-1] == "force" for asked in there.board.asked]
        assert forced == ([False, True] if answer == "y" else [False])


async def test_get_of_a_job_names_the_worker_that_has_it(source: RecordedSource, here: Path) -> None:
    async with stage(source) as there:
        await browse(there, "outputs", "task-7", line="files 51c")
        await at(there, "models")
        await there.press("space", "space", "g")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.press("enter")
        await there.until(lambda: there.board.asked)
        root = FileRoot(kind=RootKind.OUTPUT, job_id="51c7hh3d0v", task_index=7)
        assert there.board.asked == [("get", "gpu-a", root, b"", ["models", "metrics.jsonl"], str(here))]


async def test_odd_names_are_asked_for_as_they_are(source: RecordedSource, here: Path) -> None:
    source.files.mounts["input"] = {b"a[1]*.csv": b"x", b"\xff": b"y"}
    async with stage(source) as there:
        pane = await browse(there, "input")
        await there.press("g")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.press("enter")
        await there.until(lambda: there.board.asked)
        assert there.board.asked[0][4] == ["a[[]1][*].csv"]
        assert pane.table.move_to(b"\xff".hex())
        await there.press("g")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.press("enter")
        await there.until(lambda: len(there.board.asked) == 2)
        (pattern,) = cast("list[str]", there.board.asked[1][4])
        pattern.encode()
        assert (matches(pattern, b"\xff"), matches(pattern, b"\xfe")) == (True, False)


async def test_what_moves_is_shown_under_the_files_and_told_when_it_is_done(source: RecordedSource) -> None:
    async with stage(source) as there:
        await browse(there, "input")
        there.board.change(row("one"))
        await there.until(lambda: "3.2 of 7.8 GB  95 MB/s  48s left  direct" in there.text())
        listed = len(source.requests)
        there.board.change(row("one", TransferPhase.DONE, ended_at_ms=row("one").started_at_ms + 82_000))
        await there.until(lambda: "95 MB/s  48s left" not in there.text())
        assert there.toasts == ["points.csv to gpu-a:/mnt/vast/inputs: 7.8 GB in 1m, 95 MB/s (direct)"]
        await there.until(lambda: len(source.requests) > listed)


async def test_the_screen_of_transfers(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.board.earlier, there.board.offers, there.board.fetches = HISTORY, [OFFER], [FETCH]
        there.board.gets = [PendingGet(store_id="s", job="42f", folder=b"/home/ana/out")]
        there.board.change(row("one"))
        await there.line("transfers")
        table = there.app.screen.query_one(TransferPane).table
        await there.until(lambda: table.total == 3)
        assert table.shown_ids == ["one", "h1", "h2"]
        text = there.text()
        assert "1 under way" in text
        assert "failed" in text
        pending = there.app.screen.query_one(PendingPane).table
        await there.until(lambda: pending.total == 3)
        assert "to /home/ana/out: interrupted" in there.text()
        await there.press("c")
        assert there.board.asked == [("cancel", "one")]
        await there.press("down", "c")
        assert "it has ended already" in there.toasts[-1]
        there.board.change(row("one", TransferPhase.CANCELLED))
        await there.until(lambda: "cancelled" in there.text())
        await there.press("2", "c")
        await there.until(lambda: "Let go of clips of may for 6a0mc2d1xq?" in there.text())
        await there.press("y")
        await there.until(lambda: pending.total == 2)
        assert there.board.asked[-1] == ("forget", OFFER.id)


async def test_what_is_pending_goes_on_while_the_console_is_open(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.until(lambda: there.board.runs == 1)
        source.lose()
        source.regain()
        await there.settle()
        assert there.board.runs == 1


def test_local_folders(here: Path) -> None:
    (here / "link").symlink_to("clips")
    (here / "gone").symlink_to("nowhere")
    rows, more = local_entries(here)
    assert [row.text for row in rows] == ["clips", "link", "a.csv", "b.csv", "gone"]
    assert not more
    with pytest.raises(InvalidRequest, match="can't be looked at: No such file"):
        local_entries(here / "nowhere")


@pytest.mark.parametrize(("text", "why"), [("a.csv", "a.csv is no folder"), ("a.csv/x", "a.csv is no folder"), ("gone/x", "gone is no folder"),
                                           ("~nobody-of-this-name/x", "no folder can be called so"), ("n\0l", "no folder can be called so"), ("x" * 300 + "/y", "no folder can be called so")])  # fmt: skip
def test_where_nothing_can_be_brought(here: Path, text: str, why: str) -> None:
    (here / "gone").symlink_to("nowhere")
    with pytest.raises(InvalidRequest, match=why):
        destination(here, text)


def test_where_something_can_be_brought(here: Path) -> None:
    assert destination(here, "new/../one") == here / "one"
    assert destination(here, str(here / "clips")) == here / "clips"
    assert destination(here, "~") == Path.home()
