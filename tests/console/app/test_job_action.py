"""Verbs: each key asks the coordinator for the right thing and says what was done."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.widgets import Input

from opsconsole.transfer import fetch_memory
from opsconsole.transfer.pending import PendingFetch
from opsconsole_protocol.api import (
    Act,
    AnyAnswer,
    AnyRequest,
    JobRow,
    ListJobs,
    SetPriority,
    SetWorker,
    ShowJob,
    SubmitJobs,
)
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.ids import JobId
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage

WRITES = (Act, SetPriority, SetWorker, SubmitJobs)


def said_somewhere(there: Stage, text: str) -> bool:
    """Whether a toast has this in it."""
    return any(text in toast for toast in there.toasts)


def asked(there: Stage) -> list[object]:
    """What was asked for that changes something."""
    return [request for request in there.source.requests if isinstance(request, WRITES)]


async def test_every_verb_asks_for_what_the_jobs_state_allows(source: RecordedSource) -> None:
    async with stage(source) as there:
        steps = (
            ("42f", "p", Act(verb="pause", ids=("42f0k9x2mq",)), "train-lr3: paused by ana"),
            ("80a", "p", Act(verb="resume", ids=("80abt6m9cw",)), "segment-v2: resumed by ana"),
            ("6a0", "h", Act(verb="hold", ids=("6a0rj8w5te",)), "eval: held by ana"),
            ("a3h", "h", Act(verb="release", ids=("a3h8v6r1qx",)), "nightly-eval: released by ana"),
            ("c0p", "r", Act(verb="retry", ids=("c0p3x7d4ne",)), "train-lr2: retried by ana"),
            ("6a0", "plus", SetPriority(id="6a0rj8w5te", priority=1, relative=True), "priority set to 1 by ana"),
            ("6a0", "minus", SetPriority(id="6a0rj8w5te", priority=-1, relative=True), "priority set to -1 by ana"),
        )
        for job, key, request, said in steps:
            there.job(job)
            await there.press(key)
            await there.until(partial(said_somewhere, there, said), said)
            assert asked(there)[-1] == request
        assert len(asked(there)) == len(steps)


async def test_cancel_asks_first_and_names_the_job(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("42f")
        await there.press("c")
        assert there.screen_name == "ConfirmScreen"
        assert "Cancel train-lr3?" in there.text()
        await there.press("n")
        assert there.screen_name == "MainScreen"
        await there.press("c", "enter")
        assert there.screen_name == "MainScreen"
        assert asked(there) == [], "what is safe has the focus"
        await there.press("c", "y")
        await there.until(lambda: asked(there))
        assert asked(there) == [Act(verb="cancel", ids=("42f0k9x2mq",))]


async def test_verbs_apply_to_all_that_is_marked(source: RecordedSource) -> None:
    async with stage(source) as there:
        table = there.app.main.job_pane.table
        for job in ("42f0k9x2mq", "7xk2p4n1zd", "6a0rj8w5te"):
            table.toggle_mark(job)
        await there.press("p")
        await there.until(lambda: asked(there))
        (request,) = asked(there)
        assert isinstance(request, Act)
        assert set(request.ids) == {"42f0k9x2mq", "7xk2p4n1zd"}, "what only waits is left out"
        assert there.toasts[-1] == "2 jobs paused; 1 waits"
        assert table.marked == [], "the marks were for this one verb"


async def test_marks_stay_where_nothing_was_done(source: RecordedSource) -> None:
    """Hard use 23: marks end with the verb, and only with it."""
    async with stage(source) as there:
        table = there.app.main.job_pane.table
        for job in ("42f0k9x2mq", "7xk2p4n1zd", "c0p3x7d4ne"):
            table.toggle_mark(job)
        await there.press("c")
        assert "Cancel 2 jobs?" in there.text()
        assert "1 has ended already" in there.text()
        await there.press("n")
        assert len(table.marked) == 3
        source.refuse = (Act, Conflict("the coordinator is stopping"))
        await there.press("c", "y")
        await there.until(lambda: there.toasts)
        assert len(table.marked) == 3
        await there.press("plus")
        await there.until(lambda: len(there.toasts) == 2)
        assert there.toasts[-1] == "priority +1 for 2 jobs; 1 has ended already"
        assert table.marked == []


async def test_what_cant_be_done_is_said_without_asking(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("6a0")
        await there.press("p")
        await there.until(lambda: there.toasts)
        assert "hold it with h" in there.toasts[-1]
        assert asked(there) == []


async def test_a_refusal_is_shown_as_it_stands(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("42f")
        source.refuse = (Act, Conflict("train-lr3 has just ended"))
        await there.press("p")
        await there.until(lambda: there.toasts)
        assert there.toasts == ["train-lr3 has just ended"]


async def test_without_a_connection_verbs_say_so(source: RecordedSource) -> None:
    async with stage(source) as there:
        source.connected = False
        await there.press("p")
        await there.until(lambda: there.toasts)
        assert "no connection" in there.toasts[-1]


async def test_a_worker_is_drained_and_undrained(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.worker("gpu-a")
        await there.press("m")
        await there.until(lambda: there.toasts)
        assert asked(there) == [SetWorker(name="gpu-a", action="drain")]
        assert there.toasts[-1] == "gpu-a gets no more tasks; its 1 running go on"
        there.worker("v100-old")
        await there.press("m")
        await there.until(lambda: len(asked(there)) == 2)
        assert asked(there)[-1] == SetWorker(name="v100-old", action="undrain")


async def test_ids_and_paths_are_copied(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.job("42f")
        await there.press("y")
        assert there.app.clipboard == "42f0k9x2mq"
        await there.press("Y")
        assert there.app.clipboard == "/mnt/vast/outputs/jobs/42f0k9x2mq"
        assert "the output path" in there.toasts[-1]
        there.job("51c")
        await there.press("Y")
        assert "its tasks have one each" in there.toasts[-1]
        there.worker("gpu-a")
        await there.press("y")
        assert there.app.clipboard == "/mnt/vast/inputs"
        there.worker("cloud-t4")
        await there.press("y")
        assert "has no input folder" in there.toasts[-1]


async def test_the_footer_offers_what_fits_the_job_under_the_cursor(source: RecordedSource) -> None:
    """Hard use, triage: of a failed job it offers to retry it, not to pause it."""
    async with stage(source) as there:
        for job, offered, left_out in (
            ("42f", ("p Pause", "c Cancel"), ("Retry", "Hold", "Again")),
            ("6a0", ("h Hold", "c Cancel"), ("Pause", "Retry")),
            ("c0p", ("r Retry", "e Again"), ("Pause", "Cancel")),
        ):
            there.job(job)
            await there.settle()
            footer = there.text().splitlines()[-1]
            assert all(one in footer for one in offered), footer
            assert not any(one in footer for one in left_out), footer
        row = source.fleet.jobs["c0p3x7d4ne"]
        source.change_jobs(replace(row, state="running", finished_at_ms=None, task_counts={"running": 1}))
        await there.settle()
        assert "p Pause" in there.text().splitlines()[-1], "and follows what becomes of it"


@pytest.mark.parametrize("how", ["asked for", "a viewer's token"])
async def test_a_read_only_console_has_no_verbs(how: str) -> None:
    source = RecordedSource(role="viewer" if how != "asked for" else "operator")
    async with stage(source, read_only=how == "asked for") as there:
        text = there.text()
        assert "Pause" not in text.splitlines()[-1]
        assert "New" not in text.splitlines()[-1]
        assert "Logs" in text.splitlines()[-1]
        assert "read-only" in text.splitlines()[0]
        await there.press("p", "c", "r", "h", "plus", "e", "n")
        there.worker("gpu-a")
        await there.press("m")
        assert asked(there) == []
        assert there.screen_name == "MainScreen"
        await there.press("question_mark")
        assert "Pause: pause what runs" not in there.text()
        assert "Logs: follow" in there.text()


async def test_again_fills_the_dialog_from_the_job(
    source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    fetch_memory.remember(
        [PendingFetch(store_id="recorded", job_id=JobId("42f0k9x2mq"), pattern="models/*", folder=b"/home/ana/out")]
    )
    async with stage(source) as there:
        there.job("42f")
        await there.press("e")
        await there.until(lambda: there.screen_name == "NewJobScreen")
        assert isinstance(source.asked(ShowJob)[0], ShowJob)
        assert "'clips of may.h5'" in there.text()
        assert there.app.screen.query_one("#field-fetch", Input).value == "'models/*:/home/ana/out'"
        assert not source.asked(ListJobs)


async def test_a_key_with_many_marked_costs_no_more_than_with_some(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The footer is told anew with each key what to offer, and looks at some of the marked jobs."""
    row = next(one for one in source.snapshot.jobs if one.id == "6a0rj8w5te")
    source.snapshot = replace(
        source.snapshot, jobs=(*source.snapshot.jobs, *(replace(row, id=f"{index:010}") for index in range(2_000)))
    )
    looked: list[str] = []
    async with stage(source) as there:
        await there.press("asterisk")
        assert "marked" in there.text()
        look_up = there.app.model.job

        def noted(job_id: str) -> JobRow | None:
            looked.append(job_id)
            return look_up(job_id)

        monkeypatch.setattr(there.app.model, "job", noted)
        await there.press("down")
        assert "Hold" in there.text()
    assert len(looked) < 2_000


async def test_priorities_of_many_are_changed_several_at_a_time(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(one for one in source.snapshot.jobs if one.id == "6a0rj8w5te")
    many = tuple(replace(row, id=f"{index:010}") for index in range(120))
    source.snapshot = replace(source.snapshot, jobs=many)
    under_way, most, answer = 0, 0, source.request

    async def request(asked: AnyRequest) -> AnyAnswer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await answer(asked)

    monkeypatch.setattr(source, "request", request)
    async with stage(source) as there:
        await there.press("asterisk", "plus")
        await there.until(lambda: there.toasts)
        assert there.toasts[-1] == "priority +1 for 120 jobs"
        assert {one.id for one in asked(there) if isinstance(one, SetPriority)} == {one.id for one in many}
    assert 10 < most < 64
