"""How a job's facts are written. Pure."""

from opsconsole_console import format as fmt
from opsconsole_console.model.job_progress import MOVING, progress
from opsconsole_console.model.live_task import live_tasks
from opsconsole_console.widget import bar
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.sign import TASK_SIGNS, sign
from opsconsole_protocol.api import JobRow
from opsconsole_protocol.state import TaskState


def progress_cell(job: JobRow, now_ms: int, cells: int) -> Cell:
    """A bar and its figure, with `~` before a guess, or the time so far where nothing else is known."""
    if job.started_at_ms is None or job.finished_at_ms is not None:
        return cell("")
    found = progress(job, now_ms)
    if found.fraction is None:
        return cell(f"{fmt.duration(now_ms - job.started_at_ms)} so far", "text-muted")
    tone = "bar" if job.state == TaskState.RUNNING else "text-disabled"
    label = ("~" if found.guessed else "") + fmt.percent(found.fraction)
    room = max(0, cells - 6)
    label_tone = "text-muted" if found.guessed else ""
    return Cell(((bar.bar(found.fraction, room), tone), (label.rjust(cells - room), label_tone)))


def state_cell(job: JobRow) -> Cell:
    """A sign and a word; for several tasks in several states how many are in which."""
    return _states(job) + late_mark(job)


def late_mark(job: JobRow) -> Cell:
    """`!` where an operator has to decide: a checkpoint wasn't saved in time."""
    return cell(" !" if job.save_late else "", "state-paused")


def _states(job: JobRow) -> Cell:
    counts = {state: number for state, number in job.task_counts.items() if number}
    if len(counts) <= 1:
        return sign(job.state).cell
    spans: list[tuple[str, str]] = []
    for state, shown in TASK_SIGNS.items():
        if counts.get(state):
            spans.append((f"{' ' if spans else ''}{shown.glyph} {fmt.count(counts[state])}", shown.tone))
    return Cell(tuple(spans))


def name_cell(job: JobRow) -> Cell:
    """The name, and how many tasks where there are several."""
    tone = "text-muted" if job.finished_at_ms is not None else ""
    if job.num_tasks == 1:
        return cell(job.name, tone)
    return Cell(((job.name, tone), (f" ({fmt.count(job.num_tasks)})", "text-muted")))


def where(job: JobRow) -> str:
    """The worker, or on how many tasks it is at work."""
    if job.worker:
        return job.worker
    live = live_tasks(job)
    return fmt.plural(live, "task") if live else ""


def eta_cell(job: JobRow, now_ms: int) -> Cell:
    """What is left, or a dash where nobody knows."""
    if job.state != TaskState.RUNNING:
        return cell("")
    found = progress(job, now_ms)
    if not found.left:
        return cell(fmt.NOTHING, "text-disabled")
    return cell(found.left, "state-paused" if found.left == "late" else "")


def remark(job: JobRow, now_ms: int) -> Cell | None:
    """What a job that isn't at work says instead of progress: why it waits, or how it ended and when."""
    if job.save_late:
        who = f"{fmt.plural(len(job.save_late), 'task')} of it" if job.num_tasks > 1 else ""
        return cell(f"{who} saved no checkpoint in time; why offers what to do".strip(), "state-paused")
    if job.state in MOVING:
        return None
    if job.finished_at_ms is None:
        if job.state in {TaskState.BUILDING, TaskState.ASSIGNED}:
            return cell(" · ".join(part for part in (job.reason, f"on {job.worker}" if job.worker else "") if part)
                        or "starting", "text-muted")  # fmt: skip
        tone = "state-blocked" if job.state == TaskState.BLOCKED else "text-muted"
        return cell(job.reason or ("waiting for its turn" if job.state == TaskState.PENDING else job.state), tone)
    spans: list[tuple[str, str]] = []
    if job.reason:
        spans.append((job.reason, "state-failed" if job.state == TaskState.FAILED else "text-muted"))
    took = None if job.started_at_ms is None else job.finished_at_ms - job.started_at_ms
    parts = []
    if took is not None and job.state == TaskState.SUCCEEDED:
        parts.append(f"took {fmt.duration(took)}")
    parts.append(f"{fmt.age(job.finished_at_ms, now_ms)} ago")
    if job.worker and not job.reason:
        parts.append(f"on {job.worker}")
    spans.append(((" · " if spans else "") + " · ".join(parts), "text-muted"))
    return Cell(tuple(spans))
