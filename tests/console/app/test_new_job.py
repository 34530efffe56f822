"""The new-job dialog."""

import asyncio

import pytest
from textual.widgets import Input, Select

from opsconsole_console.screen.new_job import new_job_screen
from opsconsole_console.screen.new_job.candidate_table import CandidateTable
from opsconsole_console.screen.new_job.new_job_screen import NewJobScreen
from opsconsole_console.screen.part.io_line import IoLine
from opsconsole_protocol.api import (
    AnyAnswer,
    AnyRequest,
    AskCandidates,
    FreeOffer,
    OfferReserved,
    ReserveOffer,
    SubmitJobs,
)
from opsconsole_protocol.error import Conflict
from tests.console.app.source import ANSWERS, RecordedSource
from tests.console.app.stage import Stage, stage


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_job_screen, "DEBOUNCE_S", 0.01)
    monkeypatch.setattr(new_job_screen, "ASK_AGAIN_S", 3_600)


async def dialog(there: Stage) -> NewJobScreen:
    """The dialog, every worker's answer there."""
    await there.press("n")
    screen = there.app.screen
    assert isinstance(screen, NewJobScreen)
    await there.until(lambda: screen.query_one(CandidateTable).total == 14, "candidates")
    return screen


async def fill(there: Stage, field: str, text: str) -> None:
    """Type into a field of the form."""
    box = there.app.screen.query_one(f"#field-{field}", Input)
    box.focus()
    box.value = ""
    await there.settle()
    await there.type(text)


def asked(source: RecordedSource) -> AskCandidates:
    """The newest question to all workers."""
    request = source.asked(AskCandidates)[-1]
    assert isinstance(request, AskCandidates)
    return request


async def test_a_job_is_typed_checked_and_submitted(source: RecordedSource) -> None:
    async with stage(source) as there:
        screen = await dialog(there)
        await there.type("python train.py --data 'a b.h5'")
        await fill(there, "name", "mine")
        await fill(there, "gpus", "1")
        assert "runs  python train.py --data 'a b.h5'" in there.text()
        await there.until(lambda: asked(source).spec.resources.gpus == 1)
        assert "gpu-a: the only one that accepts" in there.text()
        await there.press("ctrl+s")
        await there.until(lambda: there.screen_name == "MainScreen")
        (request,) = source.asked(SubmitJobs)
        assert isinstance(request, SubmitJobs)
        (submission,) = request.submissions
        assert submission.spec.command == ("python", "train.py", "--data", "a b.h5")
        assert submission.spec.worker is None
        assert submission.job_id == screen._job_id
        await there.until(lambda: there.app.main.job_pane.table.cursor_id == submission.job_id)
        assert "submitted mine" in there.toasts[-1]


async def test_workers_say_what_they_found_while_one_types(source: RecordedSource) -> None:
    async with stage(source, (160, 45)) as there:
        await dialog(there)
        await there.type("x")
        await fill(there, "inputs", "'clips of may.h5'")
        await there.until(lambda: "found, 3.2 GB" in there.text())
        assert asked(source).spec.inputs == ("clips of may.h5",)
        text = there.text()
        assert "no input folder" in text
        await fill(there, "requirement", "gpu_memory_mb>=40000")
        await there.until(lambda: asked(source).spec.requirements == ("gpu_memory_mb>=40000",))


async def test_nobody_is_asked_while_one_types(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_job_screen, "DEBOUNCE_S", 3_600)
    async with stage(source) as there:
        await dialog(there)
        before = len(source.asked(AskCandidates))
        for letter in "python":
            await there.type(letter)
        assert len(source.asked(AskCandidates)) == before


async def test_workers_are_asked_again_by_and_by(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_job_screen, "ASK_AGAIN_S", 0.05)
    async with stage(source) as there:
        await dialog(there)
        await there.until(lambda: len(source.asked(AskCandidates)) >= 4)


async def test_a_worker_is_chosen_and_its_folders_shown(source: RecordedSource) -> None:
    async with stage(source) as there:
        screen = await dialog(there)
        await there.type("true")
        await there.press("ctrl+w", "down", "down")
        table = screen.query_one(CandidateTable)
        row = table.cursor_row
        assert row is not None
        assert "/mnt/vast/inputs  ←" in screen.query_one(IoLine).text
        await there.press("space")
        await there.until(lambda: asked(source).spec.worker == row.name)
        await there.until(lambda: f"✓ {row.name} is reserved for this job, " in there.text())
        (offer,) = source.asked(ReserveOffer)
        assert isinstance(offer, ReserveOffer)
        assert (offer.job_id, offer.worker) == (screen._job_id, row.name)
        assert asked(source).job_id == screen._job_id, "its own room is free to it"
        await there.press("ctrl+s")
        await there.until(lambda: source.asked(SubmitJobs))
        (request,) = source.asked(SubmitJobs)
        assert isinstance(request, SubmitJobs)
        assert request.submissions[0].spec.worker == row.name
        assert not source.asked(FreeOffer), "the job has it"


async def test_what_is_reserved_ends_is_chosen_again_and_is_given_up_with_the_form(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    left = iter((1_000, 60_000))
    monkeypatch.setitem(
        ANSWERS, ReserveOffer, lambda _s, r: OfferReserved(accepted=True, worker=r.worker, left_ms=next(left))
    )
    async with stage(source) as there:
        screen = await dialog(there)
        await there.type("true")
        await there.press("ctrl+w", "down", "space")
        await there.until(lambda: "it is no longer reserved: choose it again" in there.text())
        await there.press("space")
        await there.until(lambda: "is reserved for this job, 60 s" in there.text())
        await there.press("up", "space")
        await there.until(lambda: len(source.asked(FreeOffer)) == 1, "automatic reserves nothing")
        monkeypatch.setitem(
            ANSWERS, ReserveOffer, lambda _s, _r: OfferReserved(accepted=False, reason="ana has 2 of the 2 GPUs")
        )
        await there.press("down", "space")
        await there.until(lambda: "; it isn't reserved: ana has 2 of the 2 GPUs" in there.text())
        await there.press("escape")
        await there.until(lambda: len(source.asked(FreeOffer)) == 2, "leaving frees it")
        assert screen._job_id == source.asked(FreeOffer)[-1].job_id  # type: ignore[union-attr]


async def test_a_worker_that_refuses_can_be_chosen_but_it_is_said(source: RecordedSource) -> None:
    async with stage(source, (160, 45)) as there:
        screen = await dialog(there)
        await there.type("true")
        await there.press("ctrl+w")
        table = screen.query_one(CandidateTable)
        refusing = next(one for one in table.shown_ids if (row := table.row(one)) and row.name == "rtx-01")
        table.move_to(refusing)
        await there.press("enter")
        assert "✗ rtx-01:" in there.text()
        assert "the job would wait" in there.text()


async def test_what_is_wrong_is_said_at_the_field(source: RecordedSource) -> None:
    async with stage(source) as there:
        await dialog(there)
        assert "say what to run" not in there.text(), "nobody is told off before having typed"
        await fill(there, "memory", "32X")
        assert "is not a size" in there.text()
        await there.press("ctrl+s")
        assert source.asked(SubmitJobs) == []
        assert "say what to run" in there.text()
        focused = there.app.focused
        assert focused is not None
        assert focused.id == "field-command"


async def test_a_refused_submission_keeps_the_dialog_and_its_id(source: RecordedSource) -> None:
    async with stage(source) as there:
        await dialog(there)
        await there.type("true")
        source.refuse = (SubmitJobs, Conflict("project default is paused"))
        await there.press("ctrl+s")
        await there.until(lambda: "project default is paused" in there.text())
        await there.press("ctrl+s")
        await there.until(lambda: there.screen_name == "MainScreen")
        first, second = source.asked(SubmitJobs)
        assert isinstance(first, SubmitJobs)
        assert isinstance(second, SubmitJobs)
        assert first.submissions[0].job_id == second.submissions[0].job_id


async def test_a_template_brings_its_parameters_and_defaults(source: RecordedSource) -> None:
    async with stage(source) as there:
        screen = await dialog(there)
        await there.until(lambda: screen.query("#template"))
        screen.query_one("#template", Select).value = "train"
        await there.until(lambda: screen.query("#field-parameter-epochs"))
        assert screen.query_one("#field-project", Input).value == "pose"
        assert "--epochs '<epochs>'" in there.text()
        await fill(there, "parameter-epochs", "many")
        assert "a whole number" in there.text()
        await fill(there, "parameter-epochs", "40")
        assert "python train.py --lr 0.0003 --epochs 40 --model=base" in there.text()
        await there.press("ctrl+s")
        await there.until(lambda: source.asked(SubmitJobs))
        (request,) = source.asked(SubmitJobs)
        assert isinstance(request, SubmitJobs)
        assert request.submissions[0].spec.template == "train"


async def test_enter_goes_on_and_escape_leaves_without_a_word(source: RecordedSource) -> None:
    async with stage(source) as there:
        await dialog(there)
        await there.press("enter")
        focused = there.app.focused
        assert focused is not None
        assert focused.id == "field-name"
        await there.press("escape")
        assert there.screen_name == "MainScreen"
        assert source.asked(SubmitJobs) == []


async def test_enter_on_the_button_submits(source: RecordedSource) -> None:
    async with stage(source) as there:
        screen = await dialog(there)
        await there.type("true")
        screen.query_one("#submit").focus()
        await there.press("enter")
        await there.until(lambda: source.asked(SubmitJobs))


async def test_an_answer_for_another_name_is_never_shown(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hard use 37: the old name's ✓ stayed."""
    async with stage(source, (160, 45)) as there:
        screen = await dialog(there)
        table = screen.query_one(CandidateTable)
        await there.type("x")
        await fill(there, "inputs", "clips.h5")
        await there.until(lambda: "found, 3.2 GB" in there.text())
        monkeypatch.setattr(new_job_screen, "DEBOUNCE_S", 3_600)
        await there.type("2")
        assert "found, 3.2 GB" not in there.text()
        rows = [row for row_id in table.shown_ids if (row := table.row(row_id)) is not None and row.verdict is not None]
        assert {check.state for row in rows for check in row.checks} == {"asking"}
        assert "✓" not in there.text()


async def test_a_question_that_takes_long_is_not_broken_off_by_the_next(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hard use 37: a wait of 2 s against a question every 2 s."""
    monkeypatch.setattr(new_job_screen, "ASK_AGAIN_S", 0.01)
    begun = ended = 0
    whole = source.request

    async def slow(request: AnyRequest) -> AnyAnswer:
        nonlocal begun, ended
        if not isinstance(request, AskCandidates):
            return await whole(request)
        begun += 1
        for _ in range(50):
            await asyncio.sleep(0)
        ended += 1
        return await whole(request)

    monkeypatch.setattr(source, "request", slow)
    async with stage(source) as there:
        await dialog(there)
        await there.until(lambda: ended >= 3)
        assert begun - ended <= 1


async def test_a_sweep_ports_a_hold_and_a_time_to_start_can_be_typed(source: RecordedSource) -> None:
    """Hard use 44: the form lacked them."""
    async with stage(source, (80, 24)) as there:
        await dialog(there)
        await there.type("python train.py --lr {lr}")
        await fill(there, "sweep", "lr=1,2,3")
        assert "runs  python train.py --lr 1" in there.text()
        assert "2 more, to  python train.py --lr 3" in there.text()
        await fill(there, "ports", "master")
        await fill(there, "hold", "yes")
        await fill(there, "start_within", "1h")
        await there.press("ctrl+s")
        await there.until(lambda: source.asked(SubmitJobs))
        (request,) = source.asked(SubmitJobs)
        assert isinstance(request, SubmitJobs)
        spec = request.submissions[0].spec
        assert spec.task_commands[2] == ("python", "train.py", "--lr", "3")
        assert (spec.num_tasks, spec.ports, spec.held, spec.scheduling_timeout_ms) == (3, ("master",), True, 3_600_000)
