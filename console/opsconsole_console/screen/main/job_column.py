"""The columns of the jobs table, for a width."""

from collections.abc import Sequence

from opsconsole_console import format as fmt
from opsconsole_console.model.job_progress import progress
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part import job_cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.sign import TASK_SIGNS
from opsconsole_protocol.api import JobRow

WIDE_FROM = "progress"
"""Where a job that isn't at work says why."""

DEFAULT_SORT = "state"
"""What is at work first, then what waits in the order of the queue, then what has ended, newest first."""

_STATE_ORDER = {state: order for order, state in enumerate(TASK_SIGNS)}
_ENDED = 1_000

HOTKEYS = {"id": "I", "name": "N", "state": "S", "priority": "P", "progress": "R", "eta": "E", "where": "W", "project": "J", "by": "B", "age": "A"}  # fmt: skip
"""Which letter sorts by which column."""


def job_columns(model: Model, width: int) -> Sequence[Column[JobRow]]:
    """What fits is decided by the table; only the bar's length and the id's are decided here."""
    bar_cells = 12 if width < 90 else 16 if width < 120 else 24
    return (
        Column("id", "ID", lambda job: model.short_ids.show(job.id), max(4, model.short_ids.length), priority=11,
               hotkey=HOTKEYS["id"], sort_key=lambda job: job.id, tone="text-muted"),
        Column("name", "NAME", job_cell.name_cell, 15, flex=3, width_max=44, priority=10, hotkey=HOTKEYS["name"],
               sort_key=lambda job: job.name.casefold()),
        Column("state", "STATE", job_cell.state_cell, 14, flex=1, width_max=20, priority=9, hotkey=HOTKEYS["state"],
               sort_key=_state_order),
        Column("priority", "PRIO", lambda job: f"{job.priority:,}", 4, align="right", priority=4, hotkey=HOTKEYS["priority"],
               descending=True, sort_key=lambda job: job.priority),
        Column("progress", "PROGRESS", lambda job: job_cell.progress_cell(job, model.clock(), bar_cells), bar_cells,
               priority=8, hotkey=HOTKEYS["progress"], descending=True,
               sort_key=lambda job: progress(job, model.clock()).fraction),
        Column("eta", "ETA", lambda job: job_cell.eta_cell(job, model.clock()), 4, flex=1, width_max=9, align="right", priority=7,
               hotkey=HOTKEYS["eta"], sort_key=lambda job: progress(job, model.clock()).remaining_ms),
        Column("where", "WHERE", job_cell.where, 9, flex=1, width_max=28, priority=6, hotkey=HOTKEYS["where"],
               sort_key=lambda job: job.worker),
        Column("project", "PROJECT", lambda job: job.project, 10, flex=1, width_max=20, priority=3, hotkey=HOTKEYS["project"],
               sort_key=lambda job: job.project, tone="text-muted"),
        Column("by", "BY", lambda job: job.submitted_by, 8, flex=1, width_max=16, priority=2, hotkey=HOTKEYS["by"],
               sort_key=lambda job: job.submitted_by, tone="text-muted"),
        Column("age", "AGE", lambda job: fmt.age(job.created_at_ms, model.clock()), 4, align="right", priority=1,
               hotkey=HOTKEYS["age"], descending=True, sort_key=lambda job: job.created_at_ms, tone="text-muted"),
    )  # fmt: skip


def _state_order(job: JobRow) -> tuple[int, int, int, int]:
    if job.finished_at_ms is not None:
        return _ENDED, -job.finished_at_ms, -job.created_at_ms, 0
    return _STATE_ORDER.get(job.state, _ENDED - 1), -job.priority, job.place, job.created_at_ms
