"""The usage screen: who had what, who may have how much, who is next."""

import pytest
from msgspec.structs import replace

from opsconsole_console.model.usage import By, now_words, read_share, standings, typed_share
from opsconsole_console.screen.usage.usage_pane import NextPane, UsagePane
from opsconsole_protocol.api import AskUsage, SetPerson, SetProject, UsageAnswer, UsageRow
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.share import Limits, Share, ShareChange
from tests.console.app import recorded
from tests.console.app import source as sources
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage


async def test_people_and_who_is_next_are_shown_in_a_small_terminal_too(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await there.line("usage")
        await there.until(lambda: "ana" in there.text())
        text = there.text()
        assert "352 h" in text, "of ana's in both projects"
        assert "4/4 GPUs" in text
        await there.press("2")
        await there.until(lambda: "no worker has" in there.text())


async def test_it_is_grouped_sorted_filtered_and_over_another_time(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("usage")
        pane = there.app.screen.query_one(UsagePane)
        await there.until(lambda: list(pane.table.shown_ids) == ["ana", "bo", "cy"])
        await there.press("v")
        assert list(pane.table.shown_ids) == ["pose", "llm"]
        await there.press("W")
        assert list(pane.table.shown_ids) == ["llm", "pose"]
        await there.press("v")
        assert set(pane.table.shown_ids) == {"ana in pose", "bo in pose", "ana in llm", "cy in llm"}
        pane.set_filter("gpu_hours>=50 !bo")
        assert list(pane.table.shown_ids) == ["ana in pose"]
        await there.press("t")
        await there.until(lambda: AskUsage(days=30) in source.requests)
        assert "last 30 days" in pane.subject


async def test_a_weight_and_limits_are_changed(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("usage")
        await there.until(lambda: "ana" in there.text())
        await there.press("e")
        await there.until(lambda: "How much may ana have?" in there.text())
        assert "weight=1 gpus=4" in there.text()
        await there.type(" gpus=lots")
        await there.press("enter")
        await there.until(lambda: "neither a whole number of GPUs nor none" in there.text())
        await there.press(*["backspace"] * len("lots"), *"8", "enter")
        await there.until(lambda: source.asked(SetPerson))
        [asked] = source.asked(SetPerson)
        assert asked == SetPerson(name="ana", share=ShareChange(weight=1, gpus=8))
        await there.until(lambda: there.screen_name == "UsageScreen")
        await there.press("v", "e")
        await there.until(lambda: "How much may project pose have?" in there.text())
        source.refuse = (SetProject, Conflict("only an admin may do that"))
        await there.type(" weight=3")
        await there.press("enter")
        await there.until(lambda: "only an admin may do that" in there.text())


async def test_who_may_only_look_changes_nothing(source: RecordedSource) -> None:
    async with stage(source, read_only=True) as there:
        await there.line("usage")
        await there.until(lambda: "ana" in there.text())
        await there.press("e")
        assert there.screen_name == "UsageScreen"


async def test_enter_on_who_is_next_says_why_the_job_waits(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("usage")
        pane = there.app.screen.query_one(NextPane)
        await there.until(lambda: pane.table.total == 2)
        await there.press("2", "enter")
        await there.until(lambda: there.screen_name == "WhyScreen")


async def test_that_rows_are_left_out_is_said(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.ANSWERS, AskUsage, lambda _s, _r: replace(recorded.usage(), left_out=3))
    async with stage(source) as there:
        await there.line("usage")
        await there.until(lambda: "3 who had less aren't shown" in there.text())


def test_rows_are_put_together_and_held_is_counted_over_all() -> None:
    rows = recorded.usage().rows
    people, projects = standings(rows, By.PERSON), standings(rows, By.PROJECT)
    assert (people["ana"].held["gpus"], people["ana"].share) == (4, Share(limits=Limits(gpus=4)))
    assert projects["pose"].gpu_ms == sum(row.gpu_ms for row in rows if row.project == "pose")
    assert sum(one.part for one in people.values()) == pytest.approx(1)
    assert projects["pose"].share == Share(weight=2, limits=Limits(gpus=16, tasks=40))
    nothing = UsageAnswer(from_ms=0, half_life_ms=1, rows=(), lines=())
    assert standings(nothing.rows, By.BOTH) == {}


def test_a_share_is_typed_and_read_back() -> None:
    share = Share(weight=0.5, limits=Limits(gpus=0, memory_mb=2_048))
    assert Share().changed(read_share(typed_share(share))) == share
    assert share.changed(read_share("gpus=none memory=none weight=1")) == Share()
    assert Share().changed(read_share("memory=2G")).limits.memory_mb == 2_048
    for text, message in (
        ("gpus", "'gpus' is none of weight=, gpus="), ("cores=1", "none of"), ("weight=x", "a weight is a number"),
        ("gpus=-1", "neither a whole number of GPUs nor none"), ("tasks=1.5", "whole number of tasks"),
        ("weight=nan", "a weight is at least 0.001"), ("weight=1e-300", "a weight is at least 0.001"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest, match=message):
            Share().changed(read_share(text))


def test_what_is_had_now_names_what_is_limited() -> None:
    row = UsageRow(project="p", person="ana", tasks_now=1, gpus_now=0.5, cpus_asked_now=2, memory_mb_now=512)
    assert now_words(row) == "0.5 GPUs, 1 task"
    assert now_words(replace(row, person_limits=Limits(cpus=4))) == "0.5 GPUs, 1 task, 2 CPUs"
    assert now_words(replace(row, project_limits=Limits(memory_mb=4))) == "0.5 GPUs, 1 task, 512 MB of memory"
    assert not now_words(replace(row, tasks_now=0))
