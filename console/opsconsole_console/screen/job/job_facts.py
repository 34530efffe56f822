"""What is known about a job, as lines. Pure."""

import shlex
from collections.abc import Sequence

from opsconsole.outcome import ran_ms
from opsconsole_console import format as fmt
from opsconsole_console.model.expected import takes_words
from opsconsole_console.model.job_progress import progress
from opsconsole_console.screen.part import job_cell
from opsconsole_console.screen.part.facts import LABEL_CELLS, facts, side_by_side, wrapped
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.screen.part.spec_text import resources_text
from opsconsole_console.screen.part.task_line import TaskLine
from opsconsole_console.widget import bar
from opsconsole_console.widget.cell import Cell, cell, crop
from opsconsole_console.widget.sign import sign, tally
from opsconsole_protocol.api import AttemptRow, JobRow, TaskRow
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState

_TWO_COLUMNS_CELLS = 100
_WHERE_NARROW = frozenset({"state", "progress", "took", "worker", "output", "wrote", "command", "metrics"})
_GRID_LINES_MAX = 3
_FAILED = frozenset({TaskState.FAILED, TaskState.WORKER_FAILED})
_BLOCK = "■"


def job_facts(job: JobRow, spec: JobSpec | None, now_ms: int, cells: int, shown: TaskLine | None = None) -> list[Line]:
    """State, times, place; in two columns where there is room. `shown` is the task or attempt under the cursor."""
    latest = shown.latest if shown is not None else None
    output_path = (shown.output_path if shown is not None else None) or job.output_path
    state = sign(job.state).cell + job_cell.late_mark(job)
    is_told = shown is not None and bool(shown.error) and (bool(shown.hint) or shown.state in _FAILED)
    if job.reason and not is_told:  # else it stands below, in full
        state = state + cell(f"  {job.reason}", "state-paused" if job.save_late else "text-muted")
    left = facts(
        (
            ("state", state),
            ("progress", _progress(job, now_ms)),
            ("submitted", f"{fmt.age(job.created_at_ms, now_ms)} ago by {job.submitted_by} to {job.project}"),
            ("waiting", _waiting(job, now_ms)),
            ("started", _moment(job.started_at_ms, now_ms)),
            ("ended", _moment(job.finished_at_ms, now_ms)),
            ("took" if job.finished_at_ms else "for", _took(job, now_ms)),
        )
    )
    right = facts(
        (
            ("worker", job.worker or job_cell.where(job) or fmt.NOTHING),
            (
                "output",
                cell(output_path or _no_output(job), "bold primary" if output_path else "text-muted"),
            ),
            ("wrote", _wrote(job)),
            ("priority", f"{job.priority:,}"),
            ("tasks", tally(job.task_counts) if job.num_tasks > 1 else ""),
            ("usually", _usual(job)),
        )
    )
    if latest is not None:
        right += facts((("metrics", fmt.metrics(latest.metrics, latest.recognised)), ("saved", _saved(latest, now_ms))))
    if spec is not None:
        room = max(20, (cells // 2 if cells >= _TWO_COLUMNS_CELLS else cells) - LABEL_CELLS - 4)
        command = spec.command_of(0) if shown is None else spec.command_of(shown.task.index)
        right += facts(
            (
                ("needs", cell(crop(resources_text(spec.resources), room))),
                ("require", cell(crop(" ".join(spec.requirements), room))),
                ("command", cell(crop(shlex.join(command), room), "bold")),
            )
        )
    place = _place(latest, cells) if latest is not None and latest.workdir else []
    place = [*_datasets(spec, latest, cells), *place]
    if shown is not None and is_told:
        hint = _told("hint", shown.hint, cells, "bold") if shown.hint else []
        is_paused = shown.task.state == TaskState.PAUSED  # it has saved a checkpoint and ended
        label, tone = ("ended", "") if is_paused else ("failed", "state-failed")
        place = [*_told(label, shown.error, cells, tone), *hint, *place]
    if cells >= _TWO_COLUMNS_CELLS:
        return side_by_side(left, right, cells // 2) + place
    return [line for line in left + right if label_of(line) in _WHERE_NARROW] + place


def _wrote(job: JobRow) -> str:
    """How much its tasks have left in their output folders."""
    if not job.output_files:
        return ""
    size = f", {size_words(job.output_bytes)}" if job.output_bytes is not None else ""
    return f"{fmt.plural(job.output_files, 'file')}{size}; f lists them"


def _saved(latest: AttemptRow, now_ms: int) -> str:
    """The checkpoint that it reported last."""
    if latest.checkpoint is None:
        return ""
    step = "" if latest.checkpoint.step is None else f" at step {latest.checkpoint.step:g}"
    return f"{fmt.age(latest.checkpoint.at_ms, now_ms)} ago{step}"


def _told(label: str, text: str, cells: int, tone: str) -> list[Line]:
    """A sentence in full."""
    return wrapped(text, cells, tone, first=f"{label:>{LABEL_CELLS}}  ", rest=" " * (LABEL_CELLS + 2))


def _place(latest: AttemptRow, cells: int) -> list[Line]:
    """Its working folder, in full: most often a long path, to be copied."""
    return _told("ran in" if latest.finished_at_ms else "runs in", latest.workdir or "", cells, "")


def _datasets(spec: JobSpec | None, latest: AttemptRow | None, cells: int) -> list[Line]:
    """What its tasks are given with `--dataset`, and what was found there."""
    found = {} if latest is None else {one.where: one.words for one in latest.datasets}
    lines: list[Line] = []
    for one in () if spec is None else spec.datasets:
        words = f"{one.words}: {found[one.shown]}" if one.shown in found else one.words
        lines += _told("dataset", words, cells, "")
    return lines


def label_of(line: Line) -> str:
    """The label of a line of facts."""
    return line.left.spans[0][0].strip()


def task_grid(tasks: Sequence[TaskRow], cells: int, lines_max: int = _GRID_LINES_MAX) -> list[Line]:
    """One block a task, coloured by its state; several tasks a block where there are very many."""
    if len(tasks) < 2 or cells < 4:
        return []
    room = cells * min(lines_max, _GRID_LINES_MAX)
    step = -(-len(tasks) // room)
    shown = [_worst(tasks[at : at + step]) for at in range(0, len(tasks), step)]
    lines = []
    for at in range(0, len(shown), cells):
        spans: list[tuple[str, str]] = []
        for state in shown[at : at + cells]:
            tone = sign(state).tone
            if spans and spans[-1][1] == tone:
                spans[-1] = (spans[-1][0] + _BLOCK, tone)
            else:
                spans.append((_BLOCK, tone))
        lines.append(Line(Cell(tuple(spans))))
    return lines


_ORDER = (
    TaskState.FAILED,
    TaskState.WORKER_FAILED,
    TaskState.UNSCHEDULABLE,
    TaskState.KILLED,
    TaskState.PREEMPTED,
    TaskState.BLOCKED,
    TaskState.PAUSED,
    TaskState.RUNNING,
    TaskState.BUILDING,
    TaskState.ASSIGNED,
    TaskState.HELD,
    TaskState.PENDING,
    TaskState.SUCCEEDED,
)
"""The first comes before the others where tasks share a block."""


def _worst(tasks: Sequence[TaskRow]) -> str:
    """Of several tasks in one block the state that somebody should see."""
    states = {task.state for task in tasks}
    return next((state for state in _ORDER if state in states), tasks[0].state)


def _progress(job: JobRow, now_ms: int) -> Cell | str:
    found = progress(job, now_ms)
    if found.fraction is None:
        return ""
    left = ""
    if found.remaining_ms is not None:
        guessed = found.left if found.most_ms is not None else f"about {fmt.duration(found.remaining_ms, figures=2)}"
        left = f"  {guessed} left"
    meter = bar.meter(found.fraction, 20)
    return meter + Cell(((f"  {'~' if found.guessed else ''}{fmt.percent(found.fraction)}", ""), (left, "text-muted")))


def _no_output(job: JobRow) -> str:
    if job.num_tasks > 1:
        return "one folder a task"
    return "" if job.started_at_ms is None else "none: its worker has no output folder"


def _waiting(job: JobRow, now_ms: int) -> str:
    """For how long it could have begun, where that isn't since it was submitted."""
    if job.waiting_since_ms in {None, job.created_at_ms}:
        return ""
    return f"for {fmt.age(job.waiting_since_ms, now_ms)}, since it could begin"


def _moment(at_ms: int | None, now_ms: int) -> str:
    return "" if at_ms is None else f"{fmt.clock(at_ms)}, {fmt.age(at_ms, now_ms)} ago"


def _usual(job: JobRow) -> str:
    if job.duration_range is not None:
        return takes_words(job.duration_range)
    usual = job.duration_ms_estimate
    return f"like jobs took {fmt.duration(usual, figures=2)}" if usual else ""


def _took(job: JobRow, now_ms: int) -> str:
    took_ms = ran_ms(job, now_ms)
    return "" if took_ms is None else fmt.duration(took_ms, figures=2)
