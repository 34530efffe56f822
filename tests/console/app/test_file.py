"""The file browser, and what is in one file."""

from functools import partial

import pytest
from msgspec.structs import replace

from opsconsole_console.screen.file import view_screen
from opsconsole_console.screen.file.file_pane import FilePane
from opsconsole_console.service import file_source
from opsconsole_console.widget.line_body import LineBody
from opsconsole_protocol import api
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.file_listing import FileSort
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, Stage, stage

MOUNT = FileRoot(kind=RootKind.MOUNT, mount="input")


async def browse(there: Stage, *names: str, line: str = "mounts gpu-a") -> FilePane:
    """The browser of a worker, in the folder of these names."""
    await there.line(line)
    pane = there.app.screen.query_one(FilePane)
    for name in names:
        await at(there, name)
        await there.press("enter")
    await there.until(lambda: pane.table.total)
    return pane


async def at(there: Stage, name: str) -> None:
    """Put the cursor on an entry."""
    table = there.app.screen.query_one(FilePane).table
    await there.until(lambda: table.move_to(name.encode().hex()), f"an entry {name}")


def _has_rows(pane: FilePane, number: int, cursor: str) -> bool:
    return (pane.table.total, pane.table.cursor_id) == (number, cursor.encode().hex())


def shown(pane: FilePane) -> list[str]:
    """The names in the table, from the top."""
    return [bytes.fromhex(row_id).decode("utf-8", "replace") for row_id in pane.table.shown_ids]


async def view(there: Stage, name: str) -> LineBody:
    """The view of a file in the input folder."""
    await browse(there, "input")
    await at(there, name)
    await there.press("enter")
    await there.until(lambda: there.screen_name == "ViewScreen")
    body = there.app.screen.query_one(LineBody)
    await there.until(lambda: body.count)
    return body


# --- folders -------------------------------------------------------------------------------------------------------


async def test_the_way_down_and_back(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await browse(there)
        assert shown(pane) == ["input", "output"]
        assert "/mnt/vast/inputs  writable" in there.text()
        await there.press("enter")
        await there.until(lambda: pane.table.total == 8)
        assert shown(pane)[:2] == ["runs", "clips of may.h5"]
        assert "gpu-a  input  8 entries" in there.text()
        await there.press("enter")
        await there.until(lambda: shown(pane) == ["7", "8"])
        await there.press("enter")
        await there.until(lambda: shown(pane) == ["best.pt", "metrics.jsonl"])
        assert "gpu-a  input/runs/7" in there.text()
        for number, cursor in ((2, "7"), (8, "runs"), (2, "input")):
            await there.press("escape")
            await there.until(partial(_has_rows, pane, number, cursor))
        await there.press("escape")
        assert there.screen_name == "MainScreen"


async def test_from_the_screens_of_workers_and_jobs(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.worker("gpu-a")
        await there.press("f")
        assert there.screen_name == "FileScreen"
        await there.press("q")
        there.job("42f")
        there.app.main.job_pane.table.focus()
        await there.press("f")
        assert there.screen_name == "FileScreen"
        pane = there.app.screen.query_one(FilePane)
        await there.until(lambda: shown(pane) == ["outputs", "work", "inputs"])
        await there.press("enter")
        await there.until(lambda: "models" in shown(pane))
        [request] = source.asked(api.ListFiles)
        assert isinstance(request, api.ListFiles)
        assert (request.worker, request.query.root.kind) == ("", RootKind.OUTPUT)


async def test_tasks_are_folders(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await browse(there, "outputs", "task-7", line="files 51c")
        await there.until(lambda: "models" in shown(pane))
        assert "outputs/task-7  3 entries" in there.text()
        request = source.asked(api.ListFiles)[-1]
        assert isinstance(request, api.ListFiles)
        assert (request.query.root.task_index, request.query.folder) == (7, b"")
        await at(there, "models")
        await there.press("enter")
        await there.until(lambda: shown(pane) == ["best.pt"])
        await there.press("left", "left")
        await there.until(lambda: pane.table.total == 32)
        assert pane.table.cursor_id == b"task-7".hex()


async def test_order_and_filter(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await browse(there, "input")
        await there.press("S")
        assert shown(pane)[0] == "train.log"
        await there.press("S")
        assert shown(pane)[-1] == "train.log"
        await there.press("D")
        assert shown(pane)[0] == "clips of may.h5"
        await there.press("slash")
        await there.type("size>=3000")
        await there.press("enter")
        assert sorted(shown(pane)) == ["clips of may.h5", "points.csv", "train.log"]
        await there.press("escape")
        assert pane.table.shown == 8
        assert len(source.asked(api.ListFiles)) == 1


async def test_find_below(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await browse(there)
        await there.press("f")
        assert "open a folder first" in there.toasts[-1]
        await there.press("enter")
        await there.until(lambda: pane.table.total == 8)
        await there.press("f")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.type("*.pt")
        await there.press("enter")
        await there.until(lambda: shown(pane) == ["runs/7/best.pt"])
        assert "below it: *.pt  1 found" in there.text()
        await there.press("enter")
        await there.until(lambda: there.screen_name == "ViewScreen")
        part = source.asked(api.ReadFilePart)[-1]
        assert isinstance(part, api.ReadFilePart)
        assert part.query.path == b"runs/7/best.pt"
        await there.press("escape", "escape")
        await there.until(lambda: pane.table.total == 8)


async def test_paths_are_copied(source: RecordedSource) -> None:
    async with stage(source) as there:
        await browse(there)
        await there.press("y")
        assert "/mnt/vast/inputs" in there.toasts[-1]
        await there.press("enter")
        await at(there, "points.csv")
        await there.press("y")
        assert there.app._clipboard == "/mnt/vast/input/points.csv"
        await there.line("files 42f")
        await there.press("y")
        assert "open it first" in there.toasts[-1]


async def test_what_cant_be_looked_at_is_said_in_the_table(source: RecordedSource) -> None:
    async with stage(source) as there:
        await browse(there)
        source.refuse = (api.ListFiles, Unavailable("input is on gpu-a, which is not connected"))
        await there.press("enter")
        await there.until(lambda: "input is on gpu-a, which is not connected" in there.text())
        await there.press("ctrl+r")
        await there.until(lambda: "points.csv" in there.text())


async def test_a_worker_without_folders(source: RecordedSource) -> None:
    async with stage(source) as there:
        worker = next(row for row in source.fleet.workers.values() if row.name == "gpu-a")
        source.change_workers(replace(worker, properties={}))
        await there.line("mounts gpu-a")
        await there.until(lambda: "gpu-a has no folders" in there.text())


async def test_a_large_folder_is_asked_for_in_the_order_that_is_wanted(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "ROWS_MAX", 1_000)
    many = {f"{number:05}".encode(): bytes(number % 7) for number in range(2_500)}
    source.files.mounts["input"] = {**many, b"largest": bytes(99)}
    async with stage(source) as there:
        pane = await browse(there, "input")
        assert "first 1,000 of 2,501 entries" in there.text()
        await there.press("S")
        await there.until(lambda: shown(pane)[:1] == ["largest"])
        request = source.asked(api.ListFiles)[-1]
        assert isinstance(request, api.ListFiles)
        assert (request.query.sort, request.query.descending) == (FileSort.SIZE, True)


async def test_hostile_names_act_on_nothing(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await browse(there, "input")
        text = there.text()
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "odd ��[2J �name" in text


# --- files ---------------------------------------------------------------------------------------------------------


async def test_a_table(source: RecordedSource) -> None:
    async with stage(source) as there:
        body = await view(there, "points.csv")
        lines = there.text().splitlines()
        assert lines[1].split() == ["│name", "x", "y", "note", "│"]
        assert lines[3].split() == ["│point-1", "7", "0.33", "left,", "upper", "│"]
        assert body.count == 200
        await there.press("x")
        await there.until(lambda: body.count == 201)
        assert "CSV as it is" in there.text()
        assert 'point-1,7,0.33,"left, upper"' in there.text()


async def test_json(source: RecordedSource) -> None:
    async with stage(source) as there:
        await view(there, "config.json")
        assert '"layers": [' in there.text()
        assert "      64," in there.text()


async def test_what_is_broken_is_shown_and_said_to_be(source: RecordedSource) -> None:
    source.files.mounts["input"] = {b"r.csv": b"a,b\n1\n2,3\n", b"s.json": b'{"a": 1,\n', b"x.parquet": b"\0\1"}
    async with stage(source) as there:
        await view(there, "r.csv")
        await there.until(lambda: "line 2 has 1 value where the first has 2" in there.text())
        await there.press("escape", "q")
        await view(there, "s.json")
        await there.until(lambda: "this JSON is broken: it ends before it is complete" in there.text())
        await there.press("escape", "q")
        await view(there, "x.parquet")
        assert "its name says Parquet, but what is in it isn't" in there.text()


async def test_an_image_and_an_empty_file_and_bytes(source: RecordedSource) -> None:
    async with stage(source) as there:
        await view(there, "frame.png")
        assert "PNG, 640 × 480 pixels" in there.text()
        await there.press("escape", "q")
        await view(there, "empty.txt")
        assert "the file is empty" in there.text()
        await there.press("escape", "q")
        await view(there, "clips of may.h5")
        assert "0000000000  00 00 00" in there.text()


async def test_a_log_is_fetched_as_far_as_it_is_read(source: RecordedSource) -> None:
    async with stage(source) as there:
        body = await view(there, "train.log")
        assert "epoch 0 done, loss 1.0000" in there.text()
        first = body.count
        assert len(source.asked(api.ReadFilePart)) == 1
        body.jump(first)
        await there.until(lambda: body.count > first)
        numbers = [int(line.split()[1]) for line in body.text.splitlines()]
        assert numbers == list(range(len(numbers)))
        await there.press("G")
        await there.until(lambda: "epoch 19999 done" in there.text())
        assert body.text.splitlines()[-1].startswith("epoch 19999 done")


async def test_the_end_of_a_large_file_is_reached_at_once(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_screen, "FILE_PART_BYTES_MAX", 50_000)
    async with stage(source) as there:
        body = await view(there, "train.log")
        await there.press("G")
        await there.until(lambda: "epoch 19999 done" in there.text())
        assert "left out …" in body.text
        assert len(source.asked(api.ReadFilePart)) == 2
        before = body.count
        await there.press("g", "G")
        assert body.count == before


async def test_a_file_that_went_away(source: RecordedSource) -> None:
    async with stage(source) as there:
        await browse(there, "input")
        del source.files.mounts["input"][b"points.csv"]
        await at(there, "points.csv")
        await there.press("enter")
        await there.until(lambda: "points.csv is not there (any more)" in there.text())
        await there.press("x", "y", "G")


async def test_sideways(source: RecordedSource) -> None:
    source.files.mounts["input"] = {b"wide.txt": b"0123456789" * 100 + b"\nnext\n"}
    async with stage(source, SMALL) as there:
        await view(there, "wide.txt")
        await there.press("right")
        assert there.text().splitlines()[1].startswith("│8901234567")
        await there.press("left", "left")
        assert there.text().splitlines()[1].startswith("│0123456789")
