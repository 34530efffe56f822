"""The columns of what is at work on one worker."""

from collections.abc import Sequence

from opsconsole_console import format as fmt
from opsconsole_console.model.model import Model
from opsconsole_console.service.worker_task import WorkerTask
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.sign import sign


def worker_task_columns(model: Model) -> Sequence[Column[WorkerTask]]:
    """Whose task, in which state, for how long."""

    def elapsed(task: WorkerTask) -> str:
        return "" if task.started_at_ms is None else fmt.duration(model.clock() - task.started_at_ms, figures=2)

    return (
        Column("task", "TASK", lambda t: f"{model.short_ids.show(t.job.id)}/{t.index}", 8, priority=10, tone="text-muted",
               sort_key=lambda t: t.id),
        Column("name", "NAME", lambda t: t.job.name, 14, flex=2, priority=9, sort_key=lambda t: t.job.name),
        Column("state", "STATE", lambda t: sign(t.state).cell, 11, priority=8, sort_key=lambda t: t.state),
        Column("time", "TIME", elapsed, 7, align="right", priority=7, sort_key=lambda t: t.started_at_ms),
        Column("memory", "MEM", lambda t: "" if t.memory_mb is None else fmt.used_memory(t.memory_mb), 5,
               align="right", priority=5),
        Column("by", "BY", lambda t: t.job.submitted_by, 6, priority=4, tone="text-muted"),
    )  # fmt: skip
