"""Screens about one thing: a job, a worker, why, events, texts."""

import pytest
from msgspec.structs import replace

from opsconsole.fleet import Change
from opsconsole_console.screen.job.job_screen import JobScreen
from opsconsole_console.screen.job.task_pane import TaskPane
from opsconsole_console.screen.part.event_pane import EventPane
from opsconsole_console.screen.part.task_log import TaskLog
from opsconsole_console.screen.why.why_screen import WhyScreen, checks_of
from opsconsole_console.screen.worker.worker_screen import WorkerScreen
from opsconsole_protocol.api import Act, EventRow, ListEvents, ShowJob, Update, Why
from opsconsole_protocol.spec import PauseBy
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, Stage, stage


async def opened_job(there: Stage, job: str) -> JobScreen:
    """A job's screen, its tasks there."""
    there.job(job)
    await there.press("enter")
    screen = there.app.screen
    assert isinstance(screen, JobScreen)
    await there.until(lambda: screen.query_one(TaskPane).table.total, "tasks")
    return screen


async def test_a_job_shows_tasks_attempts_spec_and_events(source: RecordedSource) -> None:
    async with stage(source) as there:
        screen = await opened_job(there, "42f")
        await there.until(lambda: screen.query_one(EventPane).table.total == 7)
        text = there.text()
        for said in ("train-lr3", "└ try 0", "worker fai", "gpu_memory_mb>=40000", "attempt 1 assigned", "~52 %",
                     "/mnt/vast/outputs/jobs/42f0k9x2mq"):  # fmt: skip
            assert said in text
        await there.press("escape")
        assert there.screen_name == "MainScreen"


async def test_a_jobs_paths_are_copied_and_its_logs_opened(source: RecordedSource) -> None:
    async with stage(source) as there:
        await opened_job(there, "42f")
        await there.press("y")
        assert there.app.clipboard == "/mnt/vast/outputs/jobs/42f0k9x2mq"
        await there.press("down", "l")
        assert there.screen_name == "MainScreen"
        target = there.app.main.log_grid.panes[0].target
        assert (target.job_id, target.task_index, target.attempt) == ("42f0k9x2mq", 0, 0)


async def test_verbs_on_a_job_mean_it_or_its_marked_tasks(source: RecordedSource) -> None:
    async with stage(source) as there:
        screen = await opened_job(there, "51c")
        await there.press("p")
        await there.until(lambda: source.asked(Act))
        assert source.asked(Act) == [Act(verb="pause", ids=("51c7hh3d0v",))]
        table = screen.query_one(TaskPane).table
        table.toggle_mark("11")
        table.toggle_mark("12")
        await there.press("c")
        assert "Cancel 2 tasks of sweep?" in there.text()
        await there.press("y")
        await there.until(lambda: len(source.asked(Act)) == 2)
        assert source.asked(Act)[-1] == Act(verb="cancel", ids=("51c7hh3d0v/task-11", "51c7hh3d0v/task-12"))


async def test_a_job_that_changes_is_asked_for_anew(source: RecordedSource) -> None:
    async with stage(source) as there:
        await opened_job(there, "42f")
        before = len(source.asked(ShowJob))
        job = source.fleet.jobs["42f0k9x2mq"]
        source.change_jobs(replace(job, state="paused", task_counts={"paused": 1}, reason="paused by ben"))
        await there.until(lambda: len(source.asked(ShowJob)) > before)
        assert "paused by ben" in there.text()


async def test_a_small_terminal_shows_tasks_with_their_log_and_the_rest_by_number(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        screen = await opened_job(there, "51c")
        assert "1 Tasks  2 Log  3 Spec  4 Events" in there.text().splitlines()[0]
        log, tasks, events = screen.query_one(TaskLog), screen.query_one(TaskPane), screen.query_one(EventPane)
        assert log.region.y >= tasks.region.bottom
        assert log.region.height >= 8
        assert not events.region.height
        await there.press("4")
        await there.settle()
        assert events.region.height >= 8
        assert not log.region.height
        assert tasks.region.height
        await there.press("2")
        await there.settle()
        assert there.has_focus(log.view)
        assert not events.region.height


@pytest.mark.parametrize(("size", "beside"), [((160, 45), True), ((120, 40), False), ((80, 24), False)])
async def test_a_jobs_log_stands_beside_or_below_its_tasks(
    source: RecordedSource, size: tuple[int, int], beside: bool
) -> None:
    async with stage(source, size) as there:
        screen = await opened_job(there, "42f")
        await there.settle()
        log, tasks = screen.query_one(TaskLog), screen.query_one(TaskPane)
        assert (log.region.x >= tasks.region.right) is beside
        assert (log.region.y >= tasks.region.bottom) is not beside
        assert log.region.area > 0.4 * size[0] * size[1], "a job of one task gives most room to its log"


async def test_the_log_of_the_task_under_the_cursor_is_shown(source: RecordedSource) -> None:
    async with stage(source, (160, 45)) as there:
        screen = await opened_job(there, "51c")
        log, table = screen.query_one(TaskLog), screen.query_one(TaskPane).table
        row = table.cursor_row
        assert row is not None
        assert row.task.state == "running", "the one that is most likely meant"
        await there.until(lambda: len(log.view._ring.lines) >= 1_000)
        assert log.view.following
        asked = len(source.log_requests)
        await there.press("j", "j", "j")
        await there.until(lambda: log.target.task_index == int(table.cursor_id or ""))
        opened = {request.task_index for request in source.log_requests[asked:]}
        assert opened == {log.target.task_index}, "those that it passed weren't asked for"
        await there.press("enter")
        assert there.has_focus(log.view)
        await there.press("full_stop")
        screen.apply(Change(jobs=frozenset({"51c7hh3d0v"})))  # the job changes while the cursor comes to rest
        assert there.has_focus(log.view)
        await there.until(lambda: log.target.task_index == int(table.cursor_id or ""))
        await there.press("escape")
        assert there.has_focus(table)
        await there.press("escape")
        assert there.screen_name == "MainScreen"


async def test_of_very_many_tasks_a_small_terminal_shows_rows_too(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks, one for some tasks each, leave the table its place."""
    detail = recorded.DETAILS["train-lr3"]
    many = tuple(replace(detail.tasks[0], id=f"{detail.job.id}/task-{at}", index=at, attempts=()) for at in range(900))
    monkeypatch.setitem(recorded.DETAILS, "train-lr3", replace(detail, tasks=many))
    source.enlarge("42f", len(many))
    async with stage(source, SMALL) as there:
        screen = await opened_job(there, "42f")
        await there.settle()
        assert screen.query_one(TaskPane).table.total > 2
        assert "task 0 " in there.text()
        assert "task 1 " in there.text()


async def test_a_failed_task_is_shown_at_its_traceback(source: RecordedSource) -> None:
    source.log.say("Traceback (most recent call last):", *(f'  File "train.py", line {n}' for n in range(60)),
                   "ValueError: loss is NaN", *("cleaning up" for _ in range(60)))  # fmt: skip
    source.log.state = "failed"
    source.log.finish()
    async with stage(source, (160, 45)) as there:
        screen = await opened_job(there, "c0p")
        log = screen.query_one(TaskLog)
        await there.until(lambda: "Traceback" in log.view.text_in_view())
        assert log.view.text_in_view().splitlines()[1] == "Traceback (most recent call last):"
        assert not log.view.following


@pytest.mark.parametrize("size", [SMALL, (160, 45)])
async def test_a_failed_job_says_why_and_what_to_do_and_one_key_leads_to_its_traceback(
    source: RecordedSource, size: tuple[int, int]
) -> None:
    source.log.say("Traceback (most recent call last):", "ValueError: loss is NaN", *["cleaning up"] * 50)
    source.log.state = "failed"
    source.log.finish()
    async with stage(source, size) as there:
        screen = await opened_job(there, "c0p")
        text = " ".join(there.text().replace("│", " ").split())
        assert "failed exit code 1: ran out of GPU memory: it tried to allocate 2.00 GiB" in text
        assert "hint use a smaller batch, or gradient accumulation; or ask for a larger GPU" in text
        log = screen.query_one(TaskLog)
        await there.until(lambda: log.view.current_line is not None, "the log to be placed at the failure")
        log.focus_log()
        await there.press("end")
        await there.until(lambda: "ValueError: loss is NaN" not in log.view.text_in_view())
        await there.press("1", "E")
        await there.until(lambda: "ValueError: loss is NaN" in log.view.text_in_view())
        assert not log.view.following


async def test_the_key_to_the_traceback_is_offered_only_where_something_failed(source: RecordedSource) -> None:
    async with stage(source) as there:
        screen = await opened_job(there, "42f")
        assert "job.error" not in {one.binding.id for one in screen.active_bindings.values() if one.enabled}


async def test_back_from_a_job_everything_is_as_it_was(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        pane = there.app.main.job_pane
        await there.press("slash")
        await there.type("fold")
        await there.press("enter", "G", "k")
        before = (pane.table.cursor_id, pane.table.scroll_offset.y, pane.filter.text)
        await there.press("enter")
        assert there.screen_name == "JobScreen"
        source.change_jobs(replace(source.fleet.jobs[str(before[0])], state="running", task_counts={"running": 1}))
        await there.settle()
        await there.press("escape")
        assert (pane.table.cursor_id, pane.table.scroll_offset.y, pane.filter.text) == before
        assert there.has_focus(pane.table)


async def test_a_worker_shows_cards_their_users_tasks_and_history(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.worker("gpu-d")
        await there.press("enter")
        screen = there.app.screen
        assert isinstance(screen, WorkerScreen)
        await there.until(lambda: "4 tasks" in there.text())
        text = there.text()
        for said in ("A100-40", "178/250 W", "51c7/task-11", "/mnt/vast/inputs", "4 of 4 slots taken"):
            assert said in text
        await there.press("m")
        await there.until(lambda: any("gpu-d gets no more tasks" in toast for toast in there.toasts))
        await there.press("enter")
        await there.until(lambda: there.screen_name == "JobScreen")


async def test_a_worker_that_goes_away_says_so(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.worker("gpu-d")
        await there.press("enter")
        found = there.app.model.worker_named("gpu-d")
        assert found is not None
        source.push(Update(seq=source.fleet.seq + 1, workers_removed=(found.id,)))
        await there.settle()
        assert "gpu-d is no longer known" in there.text()


async def test_foreign_processes_are_seen(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.worker("rtx-03")
        await there.press("enter")
        await there.until(lambda: "not one of ours" in there.text())
        assert "python3         9310" in there.text()


async def test_why_holds_each_worker_against_each_requirement(source: RecordedSource) -> None:
    async with stage(source, (160, 45)) as there:
        there.job("6a0")
        await there.press("w")
        screen = there.app.screen
        assert isinstance(screen, WhyScreen)
        await there.until(lambda: "0 of 13 workers could take it" in there.text())
        text = there.text()
        for said in (
            "2 workers, each is full: 4 of 4 slots taken",
            "gpu_memory_mb>=40000",
            "✗ gpu_memory_mb is",
            "✗ silent",
        ):
            assert said in text
        assert source.asked(Why)[0] == Why(id="6a0rj8w5te")
        await there.press("escape")
        assert there.screen_name == "MainScreen"
        there.job("b2t")
        await there.press("w")
        await there.until(lambda: "would take it" in there.text())
        assert "retry it to unblock" in there.text()


async def test_why_of_a_job_that_doesnt_wait_is_a_line(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("42f")
        await there.press("w")
        await there.until(lambda: "running on gpu-a, spare-node-with-a-long-name" in there.text())


async def test_where_no_checkpoint_was_saved_in_time_the_row_says_so_and_why_has_a_key_for_each_choice(
    source: RecordedSource,
) -> None:
    async with stage(source, (160, 45)) as there:
        there.job("42f")
        job_id = "42f0k9x2mq"
        await there.press("w")
        await there.until(lambda: "running on gpu-a" in there.text())
        await there.press("f", "o", "c")
        assert there.screen_name == "WhyScreen", "there is nothing to choose"
        assert not source.asked(Act)
        await there.press("escape")
        late = replace(source.fleet.jobs[job_id], num_tasks=4, save_late=(0, 2), reason="hasn't saved a checkpoint")
        source.push(Update(seq=source.fleet.seq + 1, jobs=(late,)))
        await there.until(lambda: "2 tasks of it saved no checkpoint in time" in there.text())
        assert "running !" in there.text()
        await there.press("w")
        await there.until(lambda: "o Wait on" in there.text())
        ids = (f"{job_id}/task-0", f"{job_id}/task-2")
        for key, asked in (
            ("o", Act(verb="pause", ids=ids, by=PauseBy.CHECKPOINT)),
            ("f", Act(verb="pause", ids=ids, by=PauseBy.FREEZE)),
            ("c", Act(verb="cancel", ids=ids)),
        ):
            await there.press(key)
            if key == "c":
                assert there.screen_name == "ConfirmScreen"
                await there.press("y")
            await there.until(lambda: source.asked(Act)[-1:] == [asked])  # noqa: B023 - it is awaited at once
        source.push(Update(seq=source.fleet.seq + 1, jobs=(replace(late, num_tasks=1, save_late=(0,)),)))
        await there.press("escape")
        await there.until(lambda: "  saved no checkpoint in time" in there.text())
        await there.press("w")
        await there.until(lambda: "o Wait on" in there.text())
        await there.press("o")
        await there.until(lambda: source.asked(Act)[-1] == Act(verb="pause", ids=(job_id,), by=PauseBy.CHECKPOINT))


def test_what_keeps_most_workers_away_comes_first() -> None:
    verdicts = recorded.WHYS[recorded.JOBS["eval"].id].verdicts
    checks = checks_of(verdicts)
    failing = [sum(not met for v in verdicts for words, met, _ in v.checks if words == check) for check in checks]
    assert failing == sorted(failing, reverse=True)


async def test_events_are_listed_filtered_and_opened(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.app.command_line.run("events actor=ana")
        await there.until(lambda: there.screen_name == "EventScreen")
        pane = there.app.screen.query_one(EventPane)
        await there.until(lambda: source.asked(ListEvents))
        mine = sum(event.actor == "ana" for event in recorded.EVENTS)
        await there.until(lambda: pane.table.shown == mine)
        source.push(
            Update(
                seq=source.fleet.seq + 1,
                events=(
                    EventRow(seq=20_000, at_ms=recorded.NOW_MS, actor="ana", kind="pause", text="p", subject="6a0"),
                ),
            )
        )
        await there.settle()
        assert pane.table.shown == mine + 1
        await there.press("down", "enter")
        await there.until(lambda: there.screen_name == "JobScreen")


async def test_describe_tells_the_whole_spec_and_copies_it(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("42f")
        await there.press("d")
        await there.until(lambda: there.screen_name == "TextScreen")
        assert "WANDB_MODE=offline" in there.text()
        await there.press("y")
        assert '"command"' in there.app.clipboard
        await there.press("escape")
        there.worker("gpu-a")
        await there.press("d")
        await there.until(lambda: "io_paths.filesystem" in there.text())
