"""The filter line."""

from pathlib import Path

import pytest

from opsconsole_console.screen.main.worker_pane import WorkerPane
from opsconsole_console.screen.part import worker_cell
from opsconsole_protocol import filter as filters
from opsconsole_protocol.api import JobRow, job_filter
from opsconsole_protocol.error import InvalidRequest
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage

JOBS = list(recorded.JOBS.values())


def kept(text: str, *, inverted: bool = False) -> set[str]:
    keeps = job_filter.parse(text, inverted=inverted).predicate(
        job_filter.properties_by(lambda: recorded.NOW_MS), job_filter.haystack
    )
    return {job.name for job in JOBS if keeps is None or keeps(job)}


def test_nothing_typed_shows_everything() -> None:
    assert filters.parse("  ").empty
    assert filters.parse("").predicate(job_filter.properties_by(lambda: 0), job_filter.haystack) is None


def test_conditions_words_and_exclusions_all_hold() -> None:
    assert kept("project=pose state=running") == {"train-lr3", "sweep", "smoke-test"}
    assert kept("project=pose state=running !sweep") == {"train-lr3", "smoke-test"}
    assert kept("TRAIN-LR") == {"train-lr1", "train-lr2", "train-lr3"}
    assert kept("train-lr state in failed,succeeded") == {"train-lr1", "train-lr2"}
    assert kept("priority>=10 state=running") == {"train-lr3", "llm-finetune"}
    assert kept("name~^fold-[0-2]$") == {"fold-0", "fold-1", "fold-2"}


def test_inverted_shows_the_others() -> None:
    assert kept("project=pose", inverted=True) == {job.name for job in JOBS if job.project != "pose"}


def test_quotes_hold_words_together() -> None:
    assert kept('"data not ready"') == {"nightly-eval"}


def test_a_broken_expression_says_so() -> None:
    with pytest.raises(InvalidRequest, match="regular expression"):
        filters.parse("name~[")


def test_only_what_is_asked_for_is_made_of_a_row() -> None:
    def never(_row: JobRow) -> dict[str, object]:
        raise AssertionError("no condition was given")

    keeps = filters.parse("sweep").predicate(never, job_filter.haystack)
    assert keeps is not None
    assert [job.name for job in JOBS if keeps(job)] == ["sweep"]


def test_workers_are_filtered_by_their_properties() -> None:
    keeps = filters.parse("gpu_memory_mb>=40000 tags=train connection=connected").predicate(
        worker_cell.properties, worker_cell.haystack
    )
    assert keeps is not None
    names = [name for name, worker in recorded.WORKERS.items() if keeps(worker)]
    assert names == ["gpu-a", "gpu-b", "gpu-c", "gpu-d"]


async def test_what_is_a_number_in_every_row_is_compared_with_numbers_only(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = there.app.query_one(WorkerPane)
        await there.until(lambda: pane.table.shown_ids)
        for text in ("gpus_free>=some", "running_tasks=no", "gpu_count>=x"):
            with pytest.raises(InvalidRequest, match="is a number, and"):
                pane.read_filter(text, inverted=False)
        for text in ("gpus_free>=1", "filesystem>=a", "nothing>=a"):
            pane.read_filter(text, inverted=False)


def test_the_label_names_the_filter() -> None:
    assert filters.parse("project=pose").label == "filter: project=pose"
    assert filters.parse("project=pose", inverted=True).label == "filter: not project=pose"


async def test_a_filter_is_saved_and_used_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with stage(RecordedSource()) as there:
        pane = there.app.main.job_pane
        pane.set_filter("project=pose", inverted=True)
        await there.line("filter save others")
        pane.set_filter("", inverted=False)
        await there.line("filter others")
        assert (pane.filter.text, pane.filter.inverted) == ("project=pose", True)
        assert ("others", "not project=pose") in there.app.command_line.names().saved
        await there.line("filter remove others")
        await there.line("filter others")
        await there.until(lambda: any("no filter is saved as 'others'" in toast for toast in there.toasts))
