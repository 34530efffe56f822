"""The rows of a job's tasks table: every task, and under it its earlier attempts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from opsconsole.outcome import ran_ms
from opsconsole_console import format as fmt
from opsconsole_console.model.clock import Clock
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.api import AttemptRow, TaskRow
from opsconsole_protocol.task_selection import point_words


@dataclass(frozen=True)
class TaskLine:
    """A task with its latest attempt (`attempt` None), or one of its earlier attempts."""

    task: TaskRow
    attempt: AttemptRow | None = None

    @property
    def state(self) -> str:
        """The attempt's, or the task's."""
        return self.task.state if self.attempt is None else self.attempt.state

    @property
    def latest(self) -> AttemptRow | None:
        """The attempt that the line is about."""
        if self.attempt is not None:
            return self.attempt
        return self.task.attempts[-1] if self.task.attempts else None

    @property
    def error(self) -> str:
        """How it ended, where it did badly."""
        latest = self.latest
        return self.task.error if self.attempt is None else latest.error if latest else ""

    @property
    def hint(self) -> str:
        """What to do about that."""
        latest = self.latest
        return self.task.hint if self.attempt is None else latest.hint if latest else ""

    @property
    def output_path(self) -> str | None:
        """The folder that it writes to."""
        latest = self.latest
        return self.task.output_path if self.attempt is None else latest.output_path if latest else None


def task_lines(tasks: Sequence[TaskRow]) -> dict[str, TaskLine]:
    """Rows by id, in order."""
    lines: dict[str, TaskLine] = {}
    for task in tasks:
        lines[str(task.index)] = TaskLine(task)
        for attempt in reversed(task.attempts[:-1]):
            lines[f"{task.index}.{attempt.attempt}"] = TaskLine(task, attempt)
    return lines


def task_columns(clock: Clock) -> Sequence[Column[TaskLine]]:
    """What each task does, where, for how long, with what."""
    return (
        Column("task", "TASK", _task_cell, 10, priority=10, sort_key=lambda line: line.task.index),
        Column("state", "STATE", lambda line: sign(line.state).cell, 15, priority=9, sort_key=lambda line: line.state),
        Column("where", "WHERE", _where, 9, flex=1, width_max=28, priority=8, sort_key=_where),
        Column("time", "TIME", lambda line: _time(line, clock()), 7, align="right", priority=7, descending=True,
               sort_key=lambda line: _ran_ms(line, clock())),
        Column("memory", "MEM", _memory, 7, align="right", priority=5, descending=True,
               sort_key=lambda line: line.task.resource_usage and line.task.resource_usage.current_memory_mb),
        Column("cpu", "CPU", _cpu, 6, align="right", priority=3, tone="text-muted"),
        Column("gpu", "GPU", _gpu, 5, align="right", priority=4, tone="text-muted"),
        Column("said", "", _said, 18, flex=4, priority=6),
    )  # fmt: skip


def _task_cell(line: TaskLine) -> Cell:
    if line.attempt is not None:
        return cell(f"  └ try {line.attempt.attempt}", "text-muted")
    tries = len(line.task.attempts)
    return Cell(((f"task {line.task.index}", ""), (f" ({tries})" if tries > 1 else "", "text-muted")))


def _where(line: TaskLine) -> str:
    latest = line.latest
    return (line.task.worker if line.attempt is None else latest.worker if latest else None) or ""


def _ran_ms(line: TaskLine, now_ms: int) -> int | None:
    return None if line.latest is None else ran_ms(line.latest, now_ms)


def _time(line: TaskLine, now_ms: int) -> str:
    elapsed_ms = _ran_ms(line, now_ms)
    return "" if elapsed_ms is None else fmt.duration(elapsed_ms, figures=2)


def _memory(line: TaskLine) -> Cell:
    usage = line.task.resource_usage if line.attempt is None else None
    if usage is not None:
        return cell(fmt.used_memory(usage.current_memory_mb))
    latest = line.latest
    if latest is None or latest.peak_memory_mb is None:
        return cell("")
    return cell(f"≤{fmt.used_memory(latest.peak_memory_mb)}", "text-muted")


def _cpu(line: TaskLine) -> str:
    usage = line.task.resource_usage if line.attempt is None else None
    return "" if usage is None else f"{usage.cpu_percent:.0f} %"


def _gpu(line: TaskLine) -> str:
    usage = line.task.resource_usage if line.attempt is None else None
    if usage is None or usage.gpu_utilization_percent is None:
        return ""
    return f"{usage.gpu_utilization_percent} %"


def _said(line: TaskLine) -> Cell:
    """Why it waits, how it ended, or which parameters tell it from the other tasks."""
    latest = line.latest
    if line.error:
        return cell(line.error, "state-failed")
    if line.attempt is None and line.task.reason:
        return cell(line.task.reason, "text-muted")
    if latest is not None and latest.note:
        return cell(latest.note, "text-muted")
    if line.attempt is None and line.task.parameters:
        return cell(point_words(line.task.parameters), "text-muted")
    if latest is not None and latest.ports:
        return cell("ports " + " ".join(f"{name}={port}" for name, port in latest.ports.items()), "text-muted")
    return cell("")
