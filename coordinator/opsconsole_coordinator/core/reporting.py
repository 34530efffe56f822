"""What tasks say of themselves: their metrics, progress, checkpoints and notes."""

import math
import posixpath

from msgspec.structs import replace

from opsconsole_coordinator.core import checkpointing
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, task_actor
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, split_attempt_id, task_id
from opsconsole_protocol.link import TaskProgress
from opsconsole_protocol.report import Checkpoint, Progress, Reported

METRICS_SHOWN_MAX = 100
"""Last values that are kept with an attempt. All points of all metrics are elsewhere."""
CHECKPOINT_EVENT_EVERY_MS = 10_000
"""A task that saves more often than this has fewer events. What it saved last is told in any case."""


def note_reported(fleet: Fleet, attempt_id: AttemptId, reported: Reported, now_ms: int) -> None:
    """An attempt's report has grown, and this is what it says now."""
    attempt = fleet.attempts.get(attempt_id)
    if attempt is None:  # its job has ended before its report was looked at whole
        parts = split_attempt_id(attempt_id)
        _tell_more_faults(fleet, reported, task_id(parts.job_id, parts.task_index), now_ms)
        return
    job = fleet.jobs[attempt.job_id]
    subject = job.task_id(attempt.index)
    actor = task_actor(subject)
    attempt.metrics = dict(list(reported.metrics.items())[:METRICS_SHOWN_MAX])
    attempt.recognised = tuple(name for name in attempt.metrics if name in reported.recognised)
    if reported.progress is not None:
        _note_progress(attempt, reported.progress, reported.progress_at_ms)
    saved = None if reported.checkpoint is None else _whole(attempt, reported.checkpoint)
    if saved is not None and saved != attempt.checkpoint:
        attempt.checkpoint = saved
        fleet.touch_attempt(attempt)
        checkpointing.note_latest(fleet, job, attempt, saved, now_ms)
        told_ms = attempt.checkpoint_told_ms
        if attempt.is_finished or told_ms is None or now_ms - told_ms >= CHECKPOINT_EVENT_EVERY_MS:
            attempt.checkpoint_told_ms = now_ms
            when = (
                f"attempt {attempt.number} had saved" if attempt.is_finished else "saved"
            )  # its last words may come late
            words = f"{when}{checkpointing.at_step(saved)}: {saved.path}"
            fleet.audit(now_ms, actor, EventKind.CHECKPOINT, words, subject)
    for _, note in reported.notes:
        fleet.audit(now_ms, actor, EventKind.NOTE, f"note: {note}", subject)
    for fault in reported.faults:
        fleet.audit(now_ms, actor, EventKind.NOTE, f"its report has a fault in {fault}", subject)
    _tell_more_faults(fleet, reported, subject, now_ms)
    if attempt.is_finished:
        checkpointing.renew_parked_words(fleet, job, attempt)
        fleet.touch_attempt(attempt)
        fleet.touch_job(job)  # its row keeps how far it was
    fleet.show_job(job)


def _tell_more_faults(fleet: Fleet, reported: Reported, subject: str, now_ms: int) -> None:
    if more := reported.faults_left_out:
        text = f"its report has {more:,} more {'fault' if more == 1 else 'faults'}"
        fleet.audit(now_ms, task_actor(subject), EventKind.NOTE, text, subject)


def _whole(attempt: Attempt, said: Checkpoint) -> Checkpoint:
    """A checkpoint with its whole path: what a task writes by itself may be below its working folder."""
    workdir = attempt.seen.workdir if attempt.seen is not None else None
    if workdir is None or said.path.startswith("/"):
        return said
    return replace(said, path=posixpath.normpath(posixpath.join(workdir, said.path)))


def _note_progress(attempt: Attempt, progress: Progress, at_ms: int) -> None:
    """Time left is what the task says, or estimated from the first progress on; where a task starts over, from there."""
    first, before = attempt.progress_first, attempt.progress
    if first is None or progress.done < first[1] or (before is not None and before.total != progress.total):
        first = attempt.progress_first = at_ms, progress.done
    gained = progress.done - first[1]
    left_ms = (at_ms - first[0]) * (progress.total - progress.done) / gained if gained > 0 else math.nan
    left_ms = left_ms if progress.left_ms is None else progress.left_ms
    eta_ms = round(left_ms) if math.isfinite(left_ms) and left_ms >= 0 else None
    attempt.progress = TaskProgress(done=progress.done, total=progress.total, eta_ms=eta_ms)
