"""The templates screen, the form of a template, and keys that move jobs in the queue."""

from msgspec.structs import replace
from textual.widgets import Input

from opsconsole_console.model.template import change_words, parameter_words
from opsconsole_console.screen.new_job.job_form import ParameterNote
from opsconsole_console.screen.new_job.path_suggester import PathSuggester
from opsconsole_console.screen.template.template_pane import TemplatePane, VersionPane
from opsconsole_protocol.api import MoveJob, Parameter, SetParallel, SubmitJobs, TemplateRow
from opsconsole_protocol.error import Conflict
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage


async def test_versions_are_looked_through_and_one_is_used(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("templates")
        screen = there.app.screen
        await there.until(lambda: screen.query_one(TemplatePane).table.total == 3)
        await there.press("G")
        await there.until(lambda: screen.query_one(VersionPane).table.total == 2)
        assert "lr  float = 0.0003" in there.text()
        await there.press("enter", "down")
        await there.until(lambda: "--model={model}' --old" in there.text())
        await there.press("n")
        await there.until(
            lambda: there.screen_name == "NewJobScreen" and there.app.screen.query("#field-parameter-epochs")
        )
        await there.until(lambda: there.app.focused is not None and there.app.focused.id == "field-parameter-lr")
        await there.press("tab")
        await there.type("40")
        await there.until(lambda: "--model=base --old" in there.text())
        await there.press("ctrl+s")
        await there.until(lambda: source.asked(SubmitJobs))
        (request,) = source.asked(SubmitJobs)
        assert isinstance(request, SubmitJobs)
        spec = request.submissions[0].spec
        assert (spec.template, spec.template_version, spec.parameters[0]["epochs"]) == ("train", 1, 40)


async def test_it_fits_into_a_small_terminal(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await there.line("templates")
        await there.until(lambda: "train" in there.text())
        await there.press("G", "2")
        await there.until(lambda: "command:" in there.text())
        await there.press("3")
        await there.until(lambda: "whole passes over the data" in there.text())


async def test_a_parameter_with_the_cursor_says_what_it_is(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.app.navigation.open("new_job", "train@2")
        await there.until(
            lambda: there.screen_name == "NewJobScreen" and there.app.screen.query("#field-parameter-epochs")
        )
        screen = there.app.screen
        await there.until(lambda: there.app.focused is not None and there.app.focused.id == "field-parameter-lr")
        await there.press("tab")
        await there.type("4")
        await there.until(lambda: any(note.display for note in screen.query(ParameterNote)))
        [shown] = [note for note in screen.query(ParameterNote) if note.display]
        assert shown.text == "int (must be given)  whole passes over the data"
        screen.query_one("#field-name", Input).focus()
        await there.until(lambda: not any(note.display for note in screen.query(ParameterNote)))


async def test_a_path_is_completed_by_what_lies_on_the_worker(source: RecordedSource) -> None:
    worker = next(one for one in source.snapshot.workers if one.name == "gpu-a")
    paths = PathSuggester(source, lambda: worker)
    mount = worker.properties["io_paths"]["input"]
    assert await paths.get_suggestion(mount[: len(mount) // 2]) in {mount, "/mnt/vast"}
    assert await paths.get_suggestion(f"{mount}/poi") == f"{mount}/points.csv"
    assert await paths.get_suggestion(f"{mount}/nothing like that") is None
    assert await paths.get_suggestion("relative") is None
    assert await paths.get_suggestion("/elsewhere/x") is None
    assert await PathSuggester(source, lambda: None).get_suggestion(mount) is None


async def test_a_waiting_job_is_moved_by_a_key(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("6a0")
        there.app.main.job_pane.table.focus()
        await there.press("less_than_sign")
        await there.until(lambda: source.asked(MoveJob))
        await there.press("greater_than_sign")
        await there.until(lambda: len(source.asked(MoveJob)) == 2)
        job = next(row for row in source.fleet.jobs.values() if row.id.startswith("6a0"))
        assert source.asked(MoveJob) == [MoveJob(id=job.id, where=where) for where in ("earlier", "later")]
        table = there.app.main.job_pane.table
        above = list(table.shown_ids).index(job.id)
        source.change_jobs(replace(job, place=job.place + 1_000))
        await there.until(lambda: list(table.shown_ids).index(job.id) > above, "the row that was moved")
        assert table.cursor_row is not None
        assert table.cursor_row.id == job.id, "the cursor goes with it"
        source.refuse = (MoveJob, Conflict("has priority 0 and job b 5: that decides"))
        await there.press("less_than_sign")
        await there.until(lambda: "that decides" in there.text())


async def test_marked_jobs_are_moved_together_in_the_order_of_the_queue(source: RecordedSource) -> None:
    async with stage(source) as there:
        table = there.app.main.job_pane.table
        waiting = [row for row in source.fleet.jobs.values() if row.state == "pending"][:2]
        source.change_jobs(
            *(replace(row, place=9 - at, project="p", submitted_by="ana", priority=0) for at, row in enumerate(waiting))
        )
        await there.settle()
        table.focus()
        for row in waiting:
            assert table.move_to(row.id)
            await there.press("space")
        await there.press("less_than_sign")
        await there.until(lambda: len(source.asked(MoveJob)) == 2)
        later, first = (row.id for row in waiting)
        moves = [MoveJob(id=first, where="earlier"), MoveJob(id=later, where="after", other=first)]
        assert source.asked(MoveJob) == moves
        assert sorted(table.marked) == sorted([later, first]), "for the next press"
        await there.until(lambda: "2 jobs moved one place earlier" in there.text())


async def test_how_many_tasks_of_a_sweep_run_at_a_time_is_changed(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("sweep 51c")
        await there.until(lambda: there.screen_name == "SweepScreen")
        await there.press("t")
        await there.until(lambda: there.screen_name == "TextPrompt")
        await there.press("ctrl+u", *"none", "enter")
        await there.until(lambda: "a number from 1 to 100,000, or any" in there.text())
        await there.press("ctrl+u", "4", "enter")
        await there.until(lambda: source.asked(SetParallel))
        job = next(row for row in source.fleet.jobs.values() if row.id.startswith("51c"))
        assert source.asked(SetParallel) == [SetParallel(id=job.id, max_parallel=4)]


async def test_a_viewer_moves_nothing(source: RecordedSource) -> None:
    viewer = RecordedSource(role="viewer")
    async with stage(viewer) as there:
        there.job("6a0")
        there.app.main.job_pane.table.focus()
        await there.press("less_than_sign")
        assert not viewer.asked(MoveJob)


def test_what_a_version_changed_is_said() -> None:
    one = TemplateRow(
        name="fit",
        command=("fit", "{lr}"),
        parameters=(Parameter(name="lr"), Parameter(name="n")),
        defaults={"gpus": "1"},
    )
    other = replace(
        one, command=("fit2", "{lr}"), parameters=(Parameter(name="lr", kind="float"),), defaults={"cpus": "2"}, description="d",
    )  # fmt: skip
    assert change_words(other, one) == [
        "command: fit2 '{lr}'", "lr: float (must be given)", "n is gone", "--cpus 2", "no --gpus", "description: d",
    ]  # fmt: skip
    assert change_words(one, None) == ["made"]
    assert change_words(one, one) == ["nothing that is shown"]
    limit = Parameter(name="t", kind="duration", default=5400, required=False, minimum=60, help="how long")
    assert parameter_words(limit) == "duration at least 1m = 1h30m  how long"
