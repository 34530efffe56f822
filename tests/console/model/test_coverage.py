"""No screen says "none" of what isn't loaded: a filter works over all there is, not over what happens to be here.

Hard use 23: `:events actor=root`, `/bad-batch` and `:logs ID` found nothing beyond the newest.
"""

import pytest
from msgspec.structs import replace

from opsconsole_console.model.coverage import ALL, NOTHING_YET, Coverage, Extent, empty_text
from opsconsole_console.screen.main import job_pane
from opsconsole_console.screen.part.event_pane import EventPane
from opsconsole_console.screen.part.table_pane import TablePane
from opsconsole_protocol.api import EventRow, JobRow, ListJobs
from tests.console.app import recorded
from tests.console.app.every_screen import OPENED, open_screen
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage
from tests.console.app.test_every_screen import EMPTY_PROMISES

OLDER = 40


def old_jobs(source: RecordedSource) -> list[JobRow]:
    """Jobs that only the coordinator has, one of them called bad-batch."""
    row = source.snapshot.jobs[-1]
    return [
        replace(row, id=f"z{number:03}aaaaaa", name="bad-batch" if number == OLDER - 2 else f"old-{number}",
                created_at_ms=1_000 - number)
        for number in range(OLDER)
    ]  # fmt: skip


def with_older(page_rows: int = 7) -> RecordedSource:
    source = RecordedSource()
    source.older = [*source.snapshot.jobs, *old_jobs(source)]
    source.snapshot = replace(source.snapshot, jobs_total=len(source.older))
    source.page_rows = page_rows
    return source


@pytest.mark.parametrize("filtered", [False, True])
def test_what_an_empty_table_says_follows_from_how_much_is_here(filtered: bool) -> None:
    def said(coverage: Coverage) -> str:
        return empty_text(coverage, nothing="No jobs yet", filtered=filtered)

    assert said(NOTHING_YET) == "loading…"
    assert "looking through" in said(Coverage(Extent.PART, looking=True))
    assert "No jobs" not in said(Coverage(Extent.PART))
    assert said(ALL) == ("Nothing matches the filter\n\nesc takes it back" if filtered else "No jobs yet")


@pytest.mark.parametrize("name", OPENED)
async def test_while_nothing_is_answered_no_screen_promises_that_there_is_nothing(name: str) -> None:
    source = RecordedSource()
    async with stage(source) as there:
        if name in {"again", "describe", "question"}:
            await open_screen(there, name)  # these are what an answer, or a key, brings
            source.silent = True
        else:
            source.silent = True
            await open_screen(there, name)
        await there.settle()
        assert not [text for text in EMPTY_PROMISES if text in there.text()]
        for pane in there.app.screen.query(TablePane).results():  # type: ignore[type-abstract]
            assert pane.nothing, f"{type(pane).__name__} doesn't say what it says of nothing"
            is_known = pane.table.total or name == "transfers"  # which this machine remembers by itself
            assert is_known or pane.coverage.extent is Extent.NONE


async def test_a_filter_on_jobs_looks_at_all_of_them() -> None:
    source = with_older()
    async with stage(source) as there:
        pane = there.app.main.job_pane
        await there.press("slash")
        await there.type("bad-batch")
        assert "No jobs yet" not in there.text()
        assert "looking through the older ones" in there.text()
        await there.until(lambda: pane.table.shown == 1)
        await there.until(lambda: pane.coverage == ALL)
        await there.press("enter")
        assert "bad-batch" in there.text()
        await there.press("slash")
        await there.type("nowhere")
        await there.until(lambda: pane.coverage == ALL)
        assert "Nothing matches the filter" in there.text()
        asked = source.asked(ListJobs)
        assert all(isinstance(one, ListJobs) and one.filter for one in asked), "the coordinator does the looking"


async def test_an_inverted_filter_too() -> None:
    source = with_older()
    async with stage(source) as there:
        pane = there.app.main.job_pane
        pane.set_filter("name~^(old|bad)", inverted=False)
        await there.until(lambda: pane.table.shown == OLDER)
        pane.set_filter("num_tasks>0 !bad-batch", inverted=True)
        await there.until(lambda: pane.coverage == ALL)
        assert pane.table.shown == 1


async def test_matches_beyond_what_is_shown_are_counted_and_let_go_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_pane, "_FOUND_MAX", 3)
    source = with_older(page_rows=3)
    async with stage(source) as there:
        pane = there.app.main.job_pane
        before = pane.table.total
        pane.set_filter("name~^(old|bad)", inverted=False)
        await there.until(lambda: "searching…" in pane.state)
        await there.until(lambda: bool(pane.coverage.note))
        assert pane.coverage.note == f"the newest 3 of {OLDER:,} that match are shown"
        assert f"{OLDER:,} of {source.snapshot.jobs_total:,}" in pane.state
        assert pane.table.total < before + OLDER
        [marked, *_] = pane.table.shown_ids
        pane.table.toggle_mark(marked)
        pane.set_filter("", inverted=False)
        await there.until(lambda: pane.table.total == before + 1)


async def test_live_jobs_that_match_are_all_shown_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_pane, "_FOUND_MAX", 1)
    async with stage(with_older()) as there:
        pane = there.app.main.job_pane
        pane.set_filter("state in running,pending", inverted=False)
        await there.until(lambda: pane.coverage == ALL)
        assert pane.table.shown > 1
        assert pane._matched == pane.table.shown


async def test_a_filter_on_events_looks_at_all_of_them() -> None:
    source = RecordedSource()
    first = recorded.EVENTS[-1].seq
    source.older_events = [
        EventRow(seq=first - number, at_ms=recorded.NOW_MS, actor="zoe" if number == 1_700 else "ana",
                 kind="submitted", text="x", subject="42f0k9x2mq")
        for number in range(1, 1_800)
    ]  # fmt: skip
    async with stage(source) as there:
        await there.line("events actor=zoe")
        pane = there.app.screen.query_one(EventPane)
        await there.until(lambda: pane.table.shown == 1)
        await there.until(lambda: pane.coverage == ALL)
        await there.press("escape")
        await there.press("end")
        await there.until(lambda: pane.table.total >= 500)
        seqs = sorted((int(one) for one in pane.table.shown_ids), reverse=True)
        assert seqs == list(range(seqs[0], seqs[0] - len(seqs), -1)), "and leaves no gaps behind"


@pytest.mark.parametrize("called", [f"z{OLDER - 2:03}aaaaaa", "bad-batch"])
async def test_a_job_that_isnt_here_is_asked_for(called: str) -> None:
    source = with_older()
    wanted = f"z{OLDER - 2:03}aaaaaa"
    async with stage(source) as there:
        await there.line(f"logs {called}")
        grid = there.app.main.log_grid
        await there.until(lambda: [pane.target.job_id for pane in grid.panes] == [wanted])
    async with stage(with_older()) as there:
        await there.line(f"show {called}")
        await there.until(lambda: "bad-batch" in there.text())
        assert there.screen_name == "JobScreen"
        assert not there.toasts


async def test_one_that_nobody_has_is_said_and_one_of_many_too() -> None:
    source = with_older()
    source.older.append(replace(source.older[-1], name="bad-batch", id="zzzzaaaaaa"))
    async with stage(source) as there:
        await there.line("show nobody")
        await there.until(lambda: there.toasts)
        assert there.toasts[-1] == "there is no job 'nobody'"
        await there.line("logs bad-batch")
        await there.until(lambda: len(there.toasts) == 2)
        assert "could be any of 2 jobs" in there.toasts[-1]
