"""The first screen: getting about, filters, marks, sorting, layout, a lost connection."""

import pytest
from msgspec.structs import replace
from textual.message import Message

from opsconsole.fleet import Change
from opsconsole_console.screen.main.header import Header
from opsconsole_console.screen.part.filter_bar import FilterBar
from opsconsole_console.screen.part.io_line import IoLine
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import ListJobs, Snapshot
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage


async def test_the_header_counts_the_fleet(source: RecordedSource) -> None:
    async with stage(source, (160, 45)) as there:
        line = there.app.query_one(Header).text
        for said in ("opsconsole", "lab-coordinator", "● 10 up", "◌ 1 silent", "↯ 1 lost", "◐ 1 draining",
                     "GPUs 29/37", "▶ 22", "‖ 1", "⋯ 37 queued", "wss://10.77.0.1:7373"):  # fmt: skip
            assert said in line
    async with stage(RecordedSource(), SMALL) as there:
        line = there.app.query_one(Header).text
        assert "lab-coordinator" in line
        assert "GPUs 29/37" in line
        assert len(line) <= SMALL[0] + 2 or "wss" in line


async def test_both_tables_show_the_fleet_and_what_is_at_work_comes_first(source: RecordedSource) -> None:
    async with stage(source) as there:
        names = [there.source.fleet.jobs[one].name for one in there.app.main.job_pane.table.shown_ids]
        assert names[:2] == ["llm-finetune", "train-lr3"]
        assert names.index("train-lr2") > names.index("fold-9"), "what has ended comes last"
        assert there.app.main.worker_pane.table.shown == 13
        assert "6h so far" in there.text()


async def test_the_folders_of_the_worker_under_the_cursor_are_in_sight(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.worker("rtx-02")
        await there.settle()
        assert "/nas/ml/in  ← place your files here" in there.app.query_one(IoLine).text
        assert "/nas/ml/out" in there.app.query_one(IoLine).text


async def test_keys_move_between_panes(source: RecordedSource) -> None:
    async with stage(source) as there:
        assert there.has_focus(there.app.main.job_pane.table)
        await there.press("1")
        assert there.has_focus(there.app.main.worker_pane.table)
        await there.press("tab")
        assert there.has_focus(there.app.main.job_pane.table)
        await there.press("l")
        await there.press("1", "3")
        assert there.has_focus(there.app.main.log_grid.panes[0].view)


async def test_a_filter_works_while_one_types_and_escape_takes_it_back(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = there.app.main.job_pane
        await there.press("slash")
        await there.type("project=pose name=nobody")
        assert pane.table.shown == 0
        await there.press("ctrl+u")
        await there.type("project=pose")
        of_pose = pane.table.shown
        await there.type(" state=run")
        assert pane.table.shown == of_pose, "as long as it can't be meant, what was typed before counts"
        source.change_jobs(*source.fleet.jobs.values())
        await there.settle()
        assert "no job is 'run'" in pane.state, "until it can be read"
        await there.type("ning")
        assert pane.table.shown == 3
        assert "filter: project=pose state=running" in pane.state
        await there.press("escape")
        assert pane.table.shown == pane.table.total
        assert there.has_focus(pane.table)


async def test_a_filter_stays_is_inverted_and_undone(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = there.app.main.job_pane
        await there.press("slash")
        await there.type("project=pose")
        await there.press("enter")
        shown = pane.table.shown
        assert not pane.query_one(FilterBar).has_class("-asking")
        await there.press("exclamation_mark")
        assert pane.table.shown == pane.table.total - shown
        assert "not project=pose" in pane.state
        await there.press("escape")
        assert pane.table.shown == pane.table.total
        assert pane.state == ""
        await there.press("exclamation_mark")
        assert "no filter to invert" in there.toasts[-1]


async def test_a_filter_that_cant_be_read_is_said(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = there.app.main.job_pane
        await there.press("slash")
        await there.type("name~[")
        assert "regular expression" in pane.state
        await there.press("enter")
        assert "regular expression" in there.toasts[-1]


async def test_new_rows_obey_the_filter(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = there.app.main.job_pane
        pane.set_filter("state=failed")
        assert pane.table.shown == 1
        source.change_jobs(replace(source.fleet.jobs["42f0k9x2mq"], state="failed", task_counts={"failed": 1}))
        await there.settle()
        assert pane.table.shown == 2
        assert "2 match" in pane.state


async def test_letters_sort(source: RecordedSource) -> None:
    async with stage(source) as there:
        table = there.app.main.job_pane.table
        await there.press("P")
        assert (table.sorted_by, table.reverse) == ("priority", True)
        assert source.fleet.jobs[table.shown_ids[0]].priority == 20
        await there.press("P")
        assert source.fleet.jobs[table.shown_ids[0]].priority == -5
        await there.press("1", "L")
        assert there.app.main.worker_pane.table.sorted_by == "util"


async def test_marks_are_counted_and_escape_clears_them(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = there.app.main.job_pane
        await there.press("space", "down", "space")
        assert pane.state == "2 marked"
        await there.press("escape")
        assert pane.table.marked == []
        assert pane.state == ""


async def test_zoom_and_back(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.press("z")
        assert there.app.main.job_pane.zoomed
        await there.press("escape")
        assert not there.app.main.job_pane.zoomed


async def test_a_small_terminal_shows_logs_below_the_table_in_use(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        main = there.app.main
        assert main.worker_pane.display
        assert main.job_pane.display
        await there.press("l")
        await there.settle()
        assert main.job_pane.display
        assert not main.worker_pane.display
        assert main.log_grid.region.y > main.job_pane.region.y
        await there.press("1")
        assert main.worker_pane.display
        assert not main.job_pane.display
        assert there.has_focus(main.worker_pane.table)


async def test_a_larger_terminal_gives_every_pane_room(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await there.press("l")
        await there.pilot.resize_terminal(200, 60)
        await there.settle()
        main = there.app.main
        assert main.worker_pane.display
        assert main.job_pane.display
        assert main.log_grid.region.x > main.job_pane.region.right - 1


async def test_a_lost_connection_is_loud_and_keeps_the_fleet(source: RecordedSource) -> None:
    async with stage(source) as there:
        source.lose("the network is unreachable")
        source.clock.now_ms += 12_000
        await there.settle()
        there.app.main.tick()
        header = there.app.query_one(Header)
        assert header.has_class("-lost")
        assert "lab-coordinator not reached for 12s" in header.text
        assert "as of 11:04:11" in header.text
        assert there.app.main.job_pane.table.total > 0
        assert "lab-coordinator is not reached: the network" in there.toasts[-1]
        source.regain()
        await there.settle()
        assert not header.has_class("-lost")
        assert there.toasts[-1] == "connected again"


async def test_workers_come_and_go(source: RecordedSource) -> None:
    async with stage(source) as there:
        from opsconsole_protocol.api import Update

        table = there.app.main.worker_pane.table
        gone = table.shown_ids[0]
        source.push(Update(seq=source.fleet.seq + 1, workers_removed=(gone,)))
        await there.settle()
        assert gone not in table.shown_ids


async def test_the_cursor_stays_with_its_job(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("6a0")
        job = source.fleet.jobs["6a0rj8w5te"]
        source.change_jobs(replace(job, state="running", task_counts={"running": 1}, started_at_ms=recorded.NOW_MS))
        await there.settle()
        assert there.app.main.job_pane.table.cursor_id == "6a0rj8w5te"


async def test_older_jobs_are_fetched_near_the_end(source: RecordedSource) -> None:
    older = [
        replace(source.snapshot.jobs[-1], id=f"z{number:02}0000000", name=f"old-{number}", created_at_ms=number)
        for number in range(3)
    ]
    source.older = [*source.snapshot.jobs, *older]
    async with stage(source) as there:
        pane = there.app.main.job_pane
        assert pane.subject == "3 older below"
        await there.press("G")
        await there.until(lambda: pane.table.total == len(source.snapshot.jobs) + 3)
        assert pane.subject == ""
        assert len(source.asked(ListJobs)) == 1


async def test_an_empty_fleet_says_how_to_begin(source: RecordedSource) -> None:
    source.snapshot = Snapshot(seq=1, coordinator="new", workers=(), jobs=(), events=(), jobs_total=0)
    async with stage(source) as there:
        await there.settle()
        text = there.text()
        assert ":invite prints the line to paste" in text
        assert "n makes one" in text


async def test_everything_can_be_clicked(source: RecordedSource) -> None:
    async with stage(source) as there:
        table = there.app.main.job_pane.table
        await there.pilot.click(table, offset=(10, 3))
        assert table.cursor_id == table.shown_ids[2]
        await there.pilot.double_click(table, offset=(10, 3))
        await there.settle()
        assert there.screen_name == "JobScreen"


async def test_a_row_is_opened_by_messages_in_this_order(source: RecordedSource) -> None:
    seen: list[str] = []

    def hook(message: Message) -> None:
        if isinstance(message, LiveTable.RowHighlighted | LiveTable.RowSelected) and message.table.id == "job-table":
            seen.append(type(message).__name__)

    async with stage(source, message_hook=hook) as there:
        seen.clear()
        await there.press("down", "enter")
        assert there.screen_name == "JobScreen"
    # Each message is seen where it is posted to and where it bubbles; what counts is what comes after what.
    assert list(dict.fromkeys(seen)) == ["RowHighlighted", "RowSelected"]


async def test_a_thousand_updates_are_painted_a_few_times(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(source) as there:
        painted: list[Change] = []
        pane = there.app.main.job_pane
        original = pane.apply

        def apply(change: Change) -> None:
            painted.append(change)
            original(change)

        monkeypatch.setattr(pane, "apply", apply)
        job = source.fleet.jobs["42f0k9x2mq"]
        for step in range(1_000):
            source.change_jobs(replace(job, priority=step))
        await there.settle()
        assert 1 <= len(painted) <= 3
        assert pane.table.row("42f0k9x2mq").priority == 999  # type: ignore[union-attr]


async def test_nothing_is_one_widget_a_row(source: RecordedSource) -> None:
    async with stage(source) as there:
        assert sum(1 for _ in there.app.main.walk_children()) < 60


async def test_help_and_footer_come_from_the_bindings(source: RecordedSource) -> None:
    async with stage(source, size=(120, 60), keymap={"job.pause": "P"}) as there:
        assert "P Pause" in there.text().splitlines()[-1]
        await there.press("question_mark")
        assert there.screen_name == "HelpScreen"
        text = there.text()
        assert "P              Pause: pause what runs" in text
        await there.press("escape")
        assert there.screen_name == "MainScreen"
