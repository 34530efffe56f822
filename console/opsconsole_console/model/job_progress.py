"""How far a job is, as every list of jobs has it. Pure."""

from typing import NamedTuple

from opsconsole_console import format as fmt
from opsconsole_protocol.api import JobRow
from opsconsole_protocol.state import TaskState

MOVING = frozenset({TaskState.RUNNING, TaskState.PAUSED})
"""States of jobs of which lists tell how far they are; of the others they tell why."""


class Progress(NamedTuple):
    """How far a job is: `fraction` from 0 to 1, `guessed` where it comes from like jobs' durations alone."""

    fraction: float | None
    guessed: bool
    remaining_ms: float | None
    most_ms: float | None = None
    """Where `remaining_ms` is guessed: nine of ten like jobs were done after this, and one of ten in `least_ms`."""
    least_ms: float | None = None

    @property
    def left(self) -> str:
        """How much time is left: `3m`, `2m–9m` where it is guessed, `late`; empty where nobody knows."""
        if self.remaining_ms is None:
            return ""
        if self.most_ms is not None and self.least_ms is not None:
            least, most = fmt.duration(self.least_ms), fmt.duration(self.most_ms)
            return most if least == most else f"{least}–{most}"
        return fmt.duration(self.remaining_ms) if self.remaining_ms > 0 else "late"


def progress(job: JobRow, now_ms: int) -> Progress:
    """By what the tasks print and how many have ended, else from how long like jobs took."""
    if job.started_at_ms is None or job.finished_at_ms is not None:
        return Progress(None, False, None)
    elapsed_ms = max(0, now_ms - job.started_at_ms)
    remaining_ms: float | None = None
    if job.advance is not None:
        fraction = job.advance.done / job.advance.total
        if job.state == TaskState.RUNNING:
            remaining_ms = job.advance.eta_ms
            if remaining_ms is None and fraction > 0:
                remaining_ms = elapsed_ms * (1 - fraction) / fraction
        return Progress(fraction, False, remaining_ms)
    if job.progress:
        if job.state == TaskState.RUNNING:
            remaining_ms = elapsed_ms * (1 - job.progress) / job.progress
        return Progress(job.progress, False, remaining_ms)
    estimate_ms = job.duration_ms_estimate
    if not estimate_ms:
        return Progress(job.progress if job.num_tasks > 1 else None, False, None)
    if job.num_tasks > 1:
        return Progress(job.progress, False, None)
    if job.state == TaskState.RUNNING:
        remaining_ms = max(0, estimate_ms - elapsed_ms)
    likely = job.duration_range if job.state == TaskState.RUNNING else None
    if likely is None or elapsed_ms >= likely.high_ms:
        return Progress(min(0.99, elapsed_ms / estimate_ms), True, remaining_ms)
    least_ms, most_ms = max(0, likely.low_ms - elapsed_ms), likely.high_ms - elapsed_ms
    return Progress(min(0.99, elapsed_ms / estimate_ms), True, remaining_ms, most_ms, least_ms)


def progress_words(job: JobRow, now_ms: int) -> str:
    """`41 %, 3m left`, with `~` before a guess; empty where nothing is known, and of a job that doesn't move."""
    found = progress(job, now_ms)
    if found.fraction is None or job.state not in MOVING:
        return ""
    words = ("~" if found.guessed else "") + fmt.percent(found.fraction)
    if found.remaining_ms is None:
        return words
    return f"{words}, {found.left if found.left == 'late' else f'{found.left} left'}"
