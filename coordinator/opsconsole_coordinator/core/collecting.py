"""What becomes of the results of jobs that name patterns to collect: they are wanted, fetched, kept, or given up."""

from collections.abc import Iterable

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.handing import NOTHING_LEFT, hand_on, refuse, take_back
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job, OutputCopy, Worker, job_folder
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.api import CopyState
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, task_id
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.state import AttemptState, is_task_finished

RETRY_FIRST_MS = 5_000
RETRY_LAST_MS = 600_000


def retry_delay_ms(tries: int) -> int:
    """How long to wait before what couldn't be fetched is tried again, after this number of tries."""
    return min(RETRY_LAST_MS, RETRY_FIRST_MS << min(tries, 10))


def want_job_outputs(fleet: Fleet, job: Job) -> None:
    """A job has ended: want the results of its tasks. Those of attempts that their workers still hold follow once they are closed."""
    if job.spec.collect:
        for task in job.tasks:
            attempt = fleet.current(task)
            if attempt is not None:
                want_outputs(fleet, job, attempt)


def want_outputs(fleet: Fleet, job: Job, attempt: Attempt) -> None:
    """Want what an attempt left, if it is the last of its task, its job has ended, and its worker has put it in its place."""
    if not job.spec.collect or attempt.open or job.finished_at_ms is None:
        return
    task = job.tasks[attempt.index]
    if task.current != attempt.id or task.collected == attempt.id:
        return
    if not _left_anything(attempt):
        refuse(fleet, job.id, task.index, NOTHING_LEFT, job.finished_at_ms)
        return
    worker = fleet.workers.get(attempt.worker_id)
    task.collected = attempt.id
    fleet.touch_task(job, task)
    path = _published_path(job, task, attempt)
    copy = OutputCopy(
        job_id=job.id,
        index=task.index,
        attempt_id=attempt.id,
        worker_id=attempt.worker_id,
        worker_name=attempt.worker_name,
        place=worker.output_place if worker is not None and path else attempt.worker_id,
        output_path=path,
        patterns=job.spec.collect,
    )
    fleet.output_copies.add(copy)
    fleet.touch_output_copy(copy)


def _left_anything(attempt: Attempt) -> bool:
    if attempt.state is AttemptState.WORKER_FAILED or not attempt.has_started or attempt.seen is None:
        return False
    return attempt.seen.output_path is not None or attempt.seen.output_files is not None


def _published_path(job: Job, task: Task, attempt: Attempt) -> str:
    """Where its results lie now: a folder of its own takes the place of its task's when it is accepted."""
    path = (attempt.seen.output_path if attempt.seen is not None else None) or ""
    folder = job_folder(path, job.id)
    if not folder or not task.strays or attempt.state is not AttemptState.SUCCEEDED:
        return path
    return folder if len(job.tasks) == 1 else f"{folder}/task-{task.index}"


def forget_outputs(fleet: Fleet, job: Job) -> None:
    """An ended job goes on: the results of those tasks that do aren't wanted, before these have ended anew."""
    for task in job.tasks:
        if task.collected is None or is_task_finished(task.state):
            continue
        task.collected = None
        fleet.touch_task(job, task)
        take_back(fleet, job.id, task.index)
        gone = fleet.output_copies.discard((job.id, task.index))
        if gone is not None:
            fleet.drop_output_copy(gone)


def collect_due(fleet: Fleet, now_ms: int) -> None:
    """Have fetched what can be fetched now."""
    if not len(fleet.output_copies):
        return
    for collect in fleet.output_copies.due(fleet.workers, now_ms):
        fleet.output_copies.note_asked(collect.copy, is_asked=True)
        fleet.collect(collect)


def note_collected(
    fleet: Fleet, job_id: JobId, index: int, attempt_id: AttemptId, content_id: ContentId | None, files: int,
    size_bytes: int, now_ms: int,
) -> bool:  # fmt: skip
    """The coordinator has results. Returns False where nobody wants them any more."""
    copy = _asked_for(fleet, job_id, index, attempt_id)
    if copy is None:
        return False
    copy.content_id, copy.files, copy.size_bytes = content_id, files, size_bytes
    what = f"{files:,} file{'s' if files != 1 else ''}, {size_words(size_bytes)}," if content_id else "nothing"
    words = f"collected {what} from {copy.worker_name} ({', '.join(copy.patterns)})"
    _end(fleet, copy, CopyState.KEPT, "", words, now_ms)
    return True


def note_failed(
    fleet: Fleet, job_id: JobId, index: int, attempt_id: AttemptId, reason: str, now_ms: int, *, is_final: bool
) -> None:
    """Results couldn't be fetched. It is tried again, later each time, unless that is final."""
    copy = _asked_for(fleet, job_id, index, attempt_id)
    if copy is None:
        return
    if is_final:
        _give_up(fleet, copy, reason, now_ms)
        return
    fleet.output_copies.note_asked(copy, is_asked=False)
    copy.not_before_ms = now_ms + retry_delay_ms(copy.tries)
    copy.tries += 1
    if copy.reason != reason:
        copy.reason = reason
        fleet.touch_output_copy(copy)


def note_lost(fleet: Fleet, copy: OutputCopy, now_ms: int) -> None:
    """Results that were kept are damaged, and gone."""
    if copy.state is not CopyState.KEPT:
        return
    copy.content_id, copy.files, copy.size_bytes = None, 0, 0
    reason = "what the coordinator kept of them was damaged, and is lost"
    _end(fleet, copy, CopyState.FAILED, reason, f"results from {copy.worker_name}: {reason}", now_ms)


def note_worker_gone(fleet: Fleet, worker: Worker, now_ms: int) -> None:
    """A worker is removed for good: only another one that sees its folder could still give what it left."""
    for copy in fleet.output_copies:
        if copy.worker_id == worker.id and copy.place == worker.id:
            _give_up(fleet, copy, f"worker {worker.name} was removed", now_ms)


def forget_jobs(fleet: Fleet, job_ids: Iterable[JobId]) -> None:
    """Jobs are removed with all that is known of them: nothing of them is wanted."""
    gone = set(job_ids)
    for copy in fleet.output_copies:
        if copy.job_id in gone:
            fleet.output_copies.discard(copy.key)
            fleet.drop_output_copy(copy)


def _asked_for(fleet: Fleet, job_id: JobId, index: int, attempt_id: AttemptId) -> OutputCopy | None:
    found = fleet.output_copies.find(job_id, index)
    return found if found is not None and found.attempt_id == attempt_id else None


def _give_up(fleet: Fleet, copy: OutputCopy, reason: str, now_ms: int) -> None:
    words = f"couldn't collect results from {copy.worker_name}: {reason}"
    _end(fleet, copy, CopyState.FAILED, reason, words, now_ms)


def _end(
    fleet: Fleet, copy: OutputCopy, state: CopyState, reason: str, words: str, now_ms: int
) -> None:  # fmt: skip
    copy.state, copy.reason = state, reason
    fleet.output_copies.discard(copy.key)
    fleet.touch_output_copy(copy)
    kind = EventKind.COLLECTED if state is CopyState.KEPT else EventKind.COLLECT_FAILED
    subject = task_id(copy.job_id, copy.index)
    fleet.audit(now_ms, SYSTEM, kind, words, subject)
    hand_on(fleet, copy, now_ms)
    if copy.job_id not in fleet.jobs:
        fleet.stories.forget(subject)
