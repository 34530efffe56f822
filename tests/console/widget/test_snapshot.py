"""What the widgets look like in our themes.

After a wanted change: run with `--snapshot-update`, then look at the pictures.
"""

from collections.abc import Callable
from datetime import UTC

import pytest
from textual.pilot import Pilot

from opsconsole_console.widget.curve.curve_view import CurveView
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.log_painter import Timestamps
from opsconsole_console.widget.log_view import LogView
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol.log import Source
from tests.console.widget.curve.training import sheet
from tests.console.widget.fleet import (
    JOBS,
    WORKERS,
    Job,
    ThemedApp,
    Worker,
    job_columns,
    log_line,
    log_lines,
    worker_columns,
)

THEMES = ("opsconsole-dark", "opsconsole-light", "opsconsole-contrast")
Compare = Callable[..., bool]


def fleet_app(theme: str) -> ThemedApp:
    """Both tables in panes: the lower has the cursor, two marks and a sorted column."""
    workers: LiveTable[str, Worker] = LiveTable(worker_columns(), id="workers", flush_hz=None)
    jobs: LiveTable[str, Job] = LiveTable(job_columns(), id="jobs", flush_hz=None)
    workers.set_rows({worker.name: worker for worker in WORKERS})
    jobs.set_rows({job.id: job for job in JOBS})
    return ThemedApp(
        Pane(workers, number=1, title="Workers"),
        Pane(jobs, number=2, title="Jobs", state="filter: project=pose"),
        theme=theme,
    )


async def work_on_jobs(pilot: Pilot[None]) -> None:
    jobs = pilot.app.query_one("#jobs", LiveTable)
    jobs.focus()
    jobs.toggle_mark("51c")
    jobs.toggle_mark("6b2")
    jobs.sort_by("name")
    jobs.move_to("6c9")


def log_app(theme: str) -> ThemedApp:
    """One pane follows a job that fails, the other stands on a match."""
    first = LogView(id="first", flush_hz=None, zone=UTC)
    second = LogView(id="second", flush_hz=None, zone=UTC)
    first.feed(log_lines(200, start=1_000))
    first.feed(
        [
            log_line(1_200, "WARNING: learning rate is very small"),
            log_line(1_201, "Traceback (most recent call last):", Source.STDERR),
            log_line(1_202, '  File "train.py", line 41, in step', Source.STDERR),
            log_line(1_203, "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", Source.STDERR),
            log_line(1_204, "\x1b[1;32mcheckpoint\x1b[0m saved to \x1b[4;34m/mnt/vast/outputs/42f\x1b[0m"),
            log_line(1_205, "building wheel for flash-attn", Source.BUILD),
            log_line(1_206, "  5%|▌         | 5/100\r 77%|███████▋  | 77/100", partial=True),
        ]
    )
    second.feed([*log_lines(1_000), log_line(1_000, "x" * 300)])
    return ThemedApp(
        Pane(first, number=3, title="Logs", subject="42f/task-0  gpu-a", state="follow"),
        Pane(second, number=4, title="Logs", subject="51c/task-3  gpu-b", state="12,034 behind"),
        theme=theme,
    )


async def work_on_logs(pilot: Pilot[None]) -> None:
    first, second = pilot.app.query_one("#first", LogView), pilot.app.query_one("#second", LogView)
    first.set_timestamps(Timestamps.CLOCK)
    second.set_numbers(True)
    second.set_timestamps(Timestamps.DELTA)
    second.focus()
    second.find("step 99[0-9]")


async def read_curves(pilot: Pilot[None]) -> None:
    """On the wider terminal smoothed, and read out in the middle."""
    view = pilot.app.query_one(CurveView)
    view.focus()
    if pilot.app.size.width > 80:
        await pilot.press("s", "s")
        view.read_at(50_000)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [(80, 24), (160, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_curves(snap_compare: Compare, theme: str, size: tuple[int, int]) -> None:
    app = ThemedApp(Pane(CurveView(sheet(), flush_hz=None), number=3, title="Curves", subject="42f, 51c"), theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=read_curves)


@pytest.mark.parametrize("theme", THEMES)
def test_tables(snap_compare: Compare, theme: str) -> None:
    assert snap_compare(fleet_app(theme), terminal_size=(110, 26), run_before=work_on_jobs)


@pytest.mark.parametrize("theme", THEMES)
def test_logs(snap_compare: Compare, theme: str) -> None:
    assert snap_compare(log_app(theme), terminal_size=(100, 26), run_before=work_on_logs)


def test_tables_on_a_small_terminal(snap_compare: Compare) -> None:
    assert snap_compare(fleet_app(THEMES[0]), terminal_size=(46, 16), run_before=work_on_jobs)


def test_an_empty_table(snap_compare: Compare) -> None:
    table: LiveTable[str, Worker] = LiveTable(
        worker_columns(), empty="No workers yet.\nPress i for the line that joins one.", flush_hz=None
    )
    assert snap_compare(ThemedApp(Pane(table, number=1, title="Workers")), terminal_size=(80, 12))


def test_tables_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(fleet_app(THEMES[0]), terminal_size=(110, 26), run_before=work_on_jobs)
