"""What every screen looks like, in every size and kind of theme. `--snapshot-update` takes the pictures anew."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec.structs import replace
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.widgets import Select

from opsconsole.transfer.row import TransferPhase
from opsconsole_console.model.coverage import ALL
from opsconsole_console.screen.command import command_screen
from opsconsole_console.screen.compare.run_pane import RunPane
from opsconsole_console.screen.file.local_pane import LocalPane
from opsconsole_console.screen.job.task_pane import TaskPane
from opsconsole_console.screen.main import job_pane
from opsconsole_console.screen.new_job import new_job_screen
from opsconsole_console.screen.new_job.candidate_table import CandidateTable
from opsconsole_console.screen.part.event_pane import EventPane
from opsconsole_console.screen.part.line_view import LineView
from opsconsole_console.screen.part.task_log import TaskLog
from opsconsole_console.screen.reservation.reservation_pane import ReservationPane
from opsconsole_console.screen.sweep.grid_view import GridView
from opsconsole_console.screen.template.template_pane import VersionPane
from opsconsole_console.screen.transfer.transfer_pane import PendingPane, TransferPane
from opsconsole_console.screen.usage.usage_pane import UsagePane
from opsconsole_console.widget.curve.curve_view import CurveView
from opsconsole_protocol.api import NeedRow
from tests.console.app.fake_board import FETCH, HISTORY, OFFER, row
from tests.console.app.picture import picture
from tests.console.app.recorded import JOBS
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage
from tests.console.app.test_file import at, browse, view
from tests.console.app.test_sweep import POINTS
from tests.recording.lab import NOW_MS

SIZES = ((80, 24), (120, 40), (160, 45))
THEMES = ("opsconsole-dark", "opsconsole-light", "opsconsole-contrast")
Scene: TypeAlias = Callable[[Stage], Awaitable[None]]


class TextFile(SingleFileSnapshotExtension):
    """One readable file a picture."""

    _write_mode = WriteMode.TEXT
    _file_extension = "txt"


async def fleet(there: Stage) -> None:
    """The first screen as it comes up, some jobs marked."""
    for job in ("42f0k9x2mq", "80abt6m9cw"):
        there.app.main.job_pane.table.toggle_mark(job)


async def logs(there: Stage) -> None:
    """Two logs beside the tables, one of them being searched."""
    await there.press("l")
    await there.press("2")
    there.job("42f")
    await there.press("l")
    panes = there.app.main.log_grid.panes
    await there.until(lambda: all(len(pane.view._ring.lines) >= 1_000 for pane in panes))
    panes[-1].view.find("epoch 39 done")
    for pane in panes:
        pane.view.apply_pending()


async def filtered(there: Stage) -> None:
    """A filter being typed, the connection lost."""
    await there.press("slash")
    await there.type("project=pose")
    there.source.clock.now_ms += 12_000
    there.source.lose("the network is unreachable")
    await there.settle()
    there.app.clear_notifications()
    there.app.main.tick()


async def job(there: Stage) -> None:
    """A job with many tasks."""
    await there.line("show 51c")
    screen = there.app.screen
    await there.until(lambda: screen.query_one(TaskPane).table.total == 32)
    await there.until(lambda: screen.query_one(EventPane).coverage == ALL)
    await there.until(lambda: "runs in" in there.text(), what="what the task was asked to do")
    view = screen.query_one(TaskLog).view
    await there.until(lambda: len(view._ring.lines) >= 1_000)
    view.apply_pending()


async def worker(there: Stage) -> None:
    """A worker with tasks on every card."""
    await there.line("worker gpu-d")
    await there.until(lambda: there.app.screen.query_one("#worker-task-table").total == 4)  # type: ignore[attr-defined]
    await there.until(lambda: there.app.screen.query_one(EventPane).coverage == ALL)


async def new_job(there: Stage) -> None:
    """The dialog with something wrong in it."""
    await there.press("n")
    await there.until(lambda: there.app.screen.query_one(CandidateTable).total == 14)
    await there.type("python train.py --data 'clips of may.h5'")
    there.app.screen.query_one("#field-inputs").focus()
    await there.settle()
    await there.type("'clips of may.h5'")
    there.app.screen.query_one("#field-memory").focus()
    await there.settle()
    await there.type("32X")
    table = there.app.screen.query_one(CandidateTable)
    await there.until(lambda: any(found_input(table, one) for one in table.shown_ids))


def found_input(table: CandidateTable, row_id: str) -> bool:
    """Whether a worker has found the input file."""
    row = table.row(row_id)
    return row is not None and any(check.state == "found" for check in row.checks)


async def template(there: Stage) -> None:
    """The dialog with a template chosen."""
    await there.press("n")
    screen = there.app.screen
    await there.until(lambda: screen.query_one(CandidateTable).total == 14)
    await there.until(lambda: screen.query("#template"))
    screen.query_one("#template", Select).value = "train"
    await there.until(lambda: screen.query("#field-parameter-epochs"))


async def why(there: Stage) -> None:
    """A waiting job against every worker."""
    await there.line("why 6a0")
    await there.until(lambda: "workers could take it" in there.text())


async def graph(there: Stage) -> None:
    """The jobs before and after one."""
    there.source.needs |= chain()
    await there.line("graph eval")
    await there.until(lambda: "6 jobs before and after it" in there.text())


def chain() -> dict[str, tuple[NeedRow, ...]]:
    """Some of the recorded jobs as if they waited for each other."""
    names = {
        "sweep": (NeedRow(id="preprocess", end="takes"),),
        "train-lr3": (NeedRow(id="preprocess", end="after"), NeedRow(id="build-env", end="after_any")),
        "eval": (NeedRow(id="sweep", end="after", part="*"), NeedRow(id="train-lr3", end="takes")),
        "nightly-eval": (NeedRow(id="train-lr3", end="after_failure"),),
        "fold-0": (NeedRow(id="eval", end="after"),),
    }
    ids = {name: job.id for name, job in JOBS.items()}
    return {ids[name]: tuple(replace(need, id=ids[need.id]) for need in needs) for name, needs in names.items()}


async def events(there: Stage) -> None:
    """What was done."""
    await there.line("events")
    await there.until(lambda: there.app.screen.query_one(EventPane).table.total >= 200)


async def files(there: Stage) -> None:
    """A folder of a worker, hostile names in it."""
    await browse(there, "input")
    await at(there, "points.csv")


async def table_file(there: Stage) -> None:
    """A CSV file as a table."""
    await view(there, "points.csv")


async def transfers(there: Stage) -> None:
    """What moves, has moved, and waits."""
    there.board.earlier, there.board.offers, there.board.fetches = HISTORY, [OFFER], [FETCH]
    there.board.change(
        row("one"),
        row(
            "two",
            TransferPhase.SCANNING,
            title="the code in ~/pose",
            note="1,204 of 3,500 files",
            way=None,
            bytes_done=0,
            bytes_total=0,
            rate_bytes_s=None,
            left_ms=None,
        ),
    )
    await there.line("transfers")
    screen = there.app.screen
    await there.until(lambda: screen.query_one(TransferPane).table.total == 4)
    await there.until(lambda: screen.query_one(PendingPane).table.total == 2)


async def put(there: Stage) -> None:
    """This machine's files beside a worker's, one on its way."""
    await browse(there, "input")
    there.board.change(row("one"))
    await there.press("p")
    pane = there.app.screen.query_one(LocalPane)
    await there.until(lambda: pane.table.total == 2)
    pane.subject = "/home/ana/pose"
    await there.until(lambda: there.app.screen.query_one("#files-moving", LineView).lines)


async def metrics(there: Stage) -> None:
    """The curves of a sweep, the cursor reading them out."""
    await there.line("metrics 51c")
    view = there.app.screen.query_one(CurveView)
    await there.until(lambda: len(view.sheet.series) == 3)
    await there.press("enter", "left", "left")


async def gpus(there: Stage) -> None:
    """A loss over time, and under it the GPUs."""
    await there.line("metrics 42f")
    view = there.app.screen.query_one(CurveView)
    await there.until(lambda: view.sheet.series)
    await there.press("enter", "u")
    await there.until(lambda: view.sheet.below)
    await there.press("left", "left")


async def compare(there: Stage) -> None:
    """The runs of a sweep, sorted by their loss, some marked."""
    await there.line("compare 51c")
    pane = there.app.screen.query_one(RunPane)
    await there.until(lambda: pane.table.total == 3)
    pane.action_sort("metric loss")
    await there.press("g", "space", "space")


async def sweep(there: Stage) -> None:
    """A sweep as a grid, two cells of it marked."""
    there.source.points = POINTS
    await there.line("sweep 51c")
    view = there.app.screen.query_one(GridView)
    await there.until(lambda: "18 tasks" in there.text())
    await there.press("space", "down", "right", "space", "right")
    assert view.marked == {(0, 0), (1, 1)}


async def describe(there: Stage) -> None:
    """A spec."""
    await there.line("describe 42f")
    await there.until(lambda: there.screen_name == "TextScreen")


async def help_(there: Stage) -> None:
    """All keys."""
    await there.press("question_mark")


async def command(there: Stage) -> None:
    """The command line, completing."""
    await there.press("colon")
    await there.type("jobs state=")


async def confirm(there: Stage) -> None:
    """The question before cancelling."""
    there.job("51c")
    await there.press("c")


async def usage(there: Stage) -> None:
    """Who had what, and who is next."""
    await there.line("usage")
    screen = there.app.screen
    await there.until(lambda: screen.query_one(UsagePane).table.total == 3)


async def templates(there: Stage) -> None:
    """Templates, the versions of one, and what it is."""
    await there.line("templates")
    screen = there.app.screen
    await there.press("down", "down")
    await there.until(lambda: screen.query_one(VersionPane).table.total == 2)


async def reservations(there: Stage) -> None:
    """What workers are reserved for."""
    await there.line("reserve")
    screen = there.app.screen
    await there.until(lambda: screen.query_one(ReservationPane).table.total == 2)


SCENES: tuple[Scene, ...] = (
    fleet, logs, filtered, job, worker, new_job, why, graph, events, describe, help_, command, confirm, files, table_file,
    transfers, put, metrics, gpus, compare, usage, sweep, templates, reservations,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that the console was started in."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "points.csv").write_bytes(bytes(5_800))
    for name, mode in (("clips", 0o755), ("points.csv", 0o644)):
        (tmp_path / name).chmod(mode)
        os.utime(tmp_path / name, (NOW_MS / 1_000, NOW_MS / 1_000))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_screen, "_history", [])
    monkeypatch.setattr(new_job_screen, "DEBOUNCE_S", 0.01)
    monkeypatch.setattr(new_job_screen, "ASK_AGAIN_S", 3_600)
    monkeypatch.setattr(job_pane, "PAUSE_S", 3_600)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__.rstrip("_"))
async def test_screens(
    source: RecordedSource, snapshot: SnapshotAssertion, scene: Scene, size: tuple[int, int]
) -> None:
    async with stage(source, size) as there:
        await scene(there)
        for theme in THEMES:
            there.app.theme = theme
            assert snapshot(name=theme.removeprefix("opsconsole-"), extension_class=TextFile) == await picture(there)


async def test_a_template_in_the_dialog(source: RecordedSource, snapshot: SnapshotAssertion) -> None:
    async with stage(source, SIZES[1]) as there:
        await template(there)
        assert snapshot(extension_class=TextFile) == await picture(there)


async def test_without_colour(
    source: RecordedSource, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with stage(source, SIZES[1]) as there:
        await fleet(there)
        assert snapshot(extension_class=TextFile) == await picture(there)
