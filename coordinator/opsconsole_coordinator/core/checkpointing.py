"""Checkpoints: which is the newest of each task, whether the coordinator has a copy of it, and from which an attempt goes on.

A task says where it has saved a checkpoint. What lies in its output or working folder is copied to the coordinator's store, while it runs
once a minute at most, and once more when it has ended. An attempt goes on from the newest on the same disk, else from the newest copy.
While the newest lies on one worker alone, and that worker isn't lost, no other one is given the task.
In most trainings with several processes the first one saves for all: a task of a gang that has saved none goes on from the first that has.
"""

from opsconsole_coordinator.core.checkpoint import CheckpointCopy, CopyCheckpoint, KeptCheckpoint, LatestCheckpoint
from opsconsole_coordinator.core.collecting import retry_delay_ms
from opsconsole_coordinator.core.demand import ANYWHERE, Bond
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job, Worker
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.log import Source
from opsconsole_protocol.report import Checkpoint
from opsconsole_protocol.state import TaskState, WorkerConnection, is_task_finished
from opsconsole_protocol.stream.message import RootKind

COPY_EVERY_MS = 60_000
"""A task that runs has its newest checkpoint copied no more often."""
COPIES_AT_ONCE = 4
OUTSIDE = "it lies outside of the task's output and working folders"


def step_words(checkpoint: Checkpoint | None) -> str:
    """`step 120`; `a checkpoint`, of one without a step; or `the beginning`, where there is none."""
    if checkpoint is None:
        return "the beginning"
    return "a checkpoint" if checkpoint.step is None else f"step {checkpoint.step:g}"


def at_step(checkpoint: Checkpoint | None) -> str:
    """` at step 120`, to follow a word such as checkpoint; nothing of one without a step."""
    return "" if checkpoint is None or checkpoint.step is None else f" at step {checkpoint.step:g}"


def is_parked(fleet: Fleet, task: Task) -> bool:
    """Whether it is paused and holds nothing: its last attempt has saved a checkpoint and ended."""
    if task.state is not TaskState.PAUSED:
        return False
    attempt = fleet.current(task)
    return attempt is None or attempt.is_finished


def parked_words(fleet: Fleet, task: Task, attempt: Attempt) -> str:
    """Why a task is paused that holds nothing: what its last attempt has saved, as far as that is known, and who wanted that."""
    saved = attempt.checkpoint
    if saved is None and awaits_report(fleet, task):
        return attempt.want.reason
    words = "told of no checkpoint" if saved is None else f"saved{at_step(saved) or ' a checkpoint'}"
    return f"{words}, {attempt.want.reason}"


def renew_parked_words(fleet: Fleet, job: Job, attempt: Attempt) -> None:
    """More is known of what an attempt has saved that made way: the reason of its task's pause says so."""
    task = job.tasks[attempt.index]
    if task.current == attempt.id and is_parked(fleet, task):
        words = parked_words(fleet, task, attempt)
        if words != task.reason:
            fleet.set_task(job, task, task.state, words)


# --- the newest --------------------------------------------------------------------------------------------------


def note_latest(fleet: Fleet, job: Job, attempt: Attempt, checkpoint: Checkpoint, now_ms: int) -> None:
    """An attempt has saved a checkpoint. That of an attempt that was replaced meanwhile counts no more."""
    task = job.tasks[attempt.index]
    if task.current != attempt.id or is_task_finished(task.state):
        return
    worker = fleet.workers.get(attempt.worker_id)
    root, base, below = _find_root(job, attempt, checkpoint.path)
    is_shared = root is RootKind.OUTPUT and worker is not None
    task.latest = LatestCheckpoint(
        checkpoint=checkpoint,
        attempt_id=attempt.id,
        worker_id=attempt.worker_id,
        worker_name=attempt.worker_name,
        place=worker.output_place if is_shared and worker is not None else attempt.worker_id,
        root=root,
        output_path=base if root is RootKind.OUTPUT else "",
        below=below,
    )
    task.uncopied = "" if root is not None else OUTSIDE
    fleet.touch_task(job, task)
    if root is not None:
        _want_copy(fleet, job, task, now_ms, is_urgent=attempt.is_finished)


def _find_root(job: Job, attempt: Attempt, path: str) -> tuple[RootKind | None, str, str]:
    """The folder of the task that a path is in: its kind, its path, and the path below it."""
    seen = attempt.seen
    own_work = seen.workdir if seen is not None and job.spec.workdir is None else None
    for root, base in ((RootKind.OUTPUT, seen.output_path if seen is not None else None), (RootKind.WORK, own_work)):
        below = path.removeprefix(f"{base}/") if base else path
        if base and below != path and ".." not in below.split("/"):
            return root, base, below.strip("/")
    return None, "", ""


def forget(fleet: Fleet, job: Job, task: Task) -> None:
    """A task has succeeded: it goes on from nowhere."""
    fleet.checkpoint_copies.pop((job.id, task.index), None)
    task.latest = task.kept = None
    task.uncopied = ""


def has_saved_nothing(job: Job, task: Task) -> bool:
    """Whether there is no checkpoint of the task's own, and it can only begin where its submitter says."""
    source = source_of(job, task)
    return job.spec.resume_from is not None and source.latest is None and source.kept is None


def note_gone(fleet: Fleet, job: Job, attempt: Attempt, now_ms: int) -> None:
    """The checkpoint from which an attempt was to go on isn't on its worker: the coordinator's copy has to do, of it or of one before."""
    task = source_of(job, job.tasks[attempt.index])
    fleet.checkpoint_copies.pop((job.id, task.index), None)
    if task.latest is not None and task.latest.checkpoint == attempt.resumed_from:
        task.latest = None
    fleet.touch_task(job, task)
    text = f"the checkpoint{at_step(attempt.resumed_from)} is gone from {attempt.worker_name}"
    fleet.audit(now_ms, SYSTEM, EventKind.CHECKPOINT, text, job.task_id(task.index))


# --- copies ------------------------------------------------------------------------------------------------------


def is_copied(task: Task) -> bool:
    """Whether the coordinator has a copy of the newest."""
    return task.kept is not None and task.latest is not None and task.kept.checkpoint == task.latest.checkpoint


def _want_copy(fleet: Fleet, job: Job, task: Task, now_ms: int, *, is_urgent: bool) -> None:
    key = job.id, task.index
    copy = fleet.checkpoint_copies.get(key)
    if copy is None:
        copy = fleet.checkpoint_copies[key] = CheckpointCopy(job_id=job.id, index=task.index)
        copied_ms = task.copied_at_ms
        copy.not_before_ms = copied_ms + COPY_EVERY_MS if copied_ms is not None else now_ms
    if is_urgent:
        copy.not_before_ms = now_ms


def hurry(fleet: Fleet, job: Job, task: Task, now_ms: int) -> None:
    """A task's attempt has ended: its newest checkpoint is copied now."""
    if task.latest is not None and task.latest.root is not None and not is_copied(task) and not task.uncopied:
        _want_copy(fleet, job, task, now_ms, is_urgent=True)


def copies_due(fleet: Fleet, now_ms: int) -> None:
    """Have copied what can be copied now."""
    if not fleet.checkpoint_copies:
        return
    room = COPIES_AT_ONCE - sum(one.is_asked for one in fleet.checkpoint_copies.values())
    for key, copy in list(fleet.checkpoint_copies.items()):
        job = fleet.jobs.get(copy.job_id)
        latest = job.tasks[copy.index].latest if job is not None else None
        if latest is None:
            del fleet.checkpoint_copies[key]
        elif room > 0 and not copy.is_asked and copy.not_before_ms <= now_ms:
            worker = next((one for one in fleet.workers.values() if one.is_reachable and _sees(one, latest)), None)
            if worker is not None:
                copy.is_asked = True
                room -= 1
                fleet.copy_checkpoint(CopyCheckpoint(copy.job_id, copy.index, latest, worker.id))


def note_copied(
    fleet: Fleet, wanted: CopyCheckpoint, content_id: ContentId, size_bytes: int, now_ms: int
) -> bool:  # fmt: skip
    """The coordinator has a copy. Returns False where nobody wants it any more."""
    found = _asked_for(fleet, wanted)
    if found is None:
        return False
    job, task = found
    latest = wanted.latest
    task.kept = KeptCheckpoint(latest.checkpoint, latest.attempt_id, content_id, size_bytes, latest.below)
    task.copied_at_ms = now_ms
    if is_copied(task):
        del fleet.checkpoint_copies[job.id, task.index]
        task.uncopied = ""
    else:
        copy = fleet.checkpoint_copies[job.id, task.index]
        copy.is_asked, copy.tries = False, 0
        copy.not_before_ms = now_ms + (COPY_EVERY_MS if task.state is TaskState.RUNNING else 0)
    fleet.touch_task(job, task)
    fleet.look_again(job)
    return True


def note_copy_failed(fleet: Fleet, wanted: CopyCheckpoint, reason: str, now_ms: int, *, is_final: bool) -> None:
    """The coordinator couldn't have a copy. It is tried again, later each time, unless that is final."""
    found = _asked_for(fleet, wanted)
    if found is None:
        return
    job, task = found
    copy = fleet.checkpoint_copies[job.id, task.index]
    copy.is_asked = False
    is_newest = task.latest == wanted.latest
    if not is_final or not is_newest:
        copy.not_before_ms = now_ms + (retry_delay_ms(copy.tries) if is_newest else 0)
        copy.tries += 1
        return
    del fleet.checkpoint_copies[job.id, task.index]
    task.uncopied = reason
    fleet.touch_task(job, task)
    fleet.look_again(job)
    text = f"the coordinator has no copy of the checkpoint{at_step(wanted.latest.checkpoint)}: {reason}"
    fleet.audit(now_ms, SYSTEM, EventKind.CHECKPOINT, text, job.task_id(task.index))


def note_copy_lost(fleet: Fleet, job_id: JobId, index: int, content_id: ContentId, now_ms: int) -> None:
    """A copy turned out to be damaged, and is gone."""
    job = fleet.jobs.get(job_id)
    task = job.tasks[index] if job is not None and index < len(job.tasks) else None
    if job is None or task is None or task.kept is None or task.kept.content_id != content_id:
        return
    text = f"the coordinator's copy of the checkpoint{at_step(task.kept.checkpoint)} was damaged, and is lost"
    task.kept = None
    fleet.touch_task(job, task)
    fleet.audit(now_ms, SYSTEM, EventKind.CHECKPOINT, text, job.task_id(index))
    hurry(fleet, job, task, now_ms)


def _asked_for(fleet: Fleet, wanted: CopyCheckpoint) -> tuple[Job, Task] | None:
    job = fleet.jobs.get(wanted.job_id)
    copy = fleet.checkpoint_copies.get((wanted.job_id, wanted.task_index))
    if job is None or copy is None or not copy.is_asked or job.tasks[wanted.task_index].latest is None:
        return None
    return job, job.tasks[wanted.task_index]


# --- going on ----------------------------------------------------------------------------------------------------


def awaits_report(fleet: Fleet, task: Task) -> bool:
    """Whether the last attempt may have told of a checkpoint in what hasn't come from its worker yet."""
    attempt = fleet.current(task)
    if attempt is None or not attempt.is_finished or not attempt.open or attempt.seen is None:
        return False
    worker = fleet.workers.get(attempt.worker_id)
    if worker is None or worker.connection == WorkerConnection.LOST:
        return False
    return attempt.log_offsets.get(Source.REPORT, 0) < attempt.seen.log_sizes.get(Source.REPORT, 0)


def source_of(job: Job, task: Task) -> Task:
    """The task whose checkpoint a task goes on from: itself, or in a gang the first that saved, where it has saved none itself."""
    if not job.spec.gang or task.latest is not None or task.kept is not None:
        return task
    return next((one for one in job.tasks if (one.latest or one.kept) and not one.uncopied), task)


def awaits_copy(fleet: Fleet, task: Task) -> bool:
    """Whether the newest checkpoint is on one disk alone, and is to be copied from there."""
    return not task.uncopied and bool(bond_of(fleet, task).place)


def bond_of(fleet: Fleet, task: Task) -> Bond:
    """The disk that a task has to go on from: that with the newest checkpoint, where there is no copy of it and it isn't lost."""
    latest = task.latest
    if latest is None or is_copied(task):
        return ANYWHERE
    known = (one for one in fleet.workers.values() if _sees(one, latest) and not one.revoked)
    if all(one.connection == WorkerConnection.LOST for one in known):
        return ANYWHERE
    why = f" ({task.uncopied})" if task.uncopied else ""
    return Bond(
        latest.place,
        f"doesn't have its checkpoint{at_step(latest.checkpoint)}, which is on {latest.worker_name} alone{why}",
    )


def choose_resume(job: Job, task: Task, worker: Worker) -> tuple[link.Resume | None, Checkpoint | None]:
    """From where an attempt on this worker goes on; None: from the beginning."""
    task = source_of(job, task)
    if task.latest is not None and _sees(worker, task.latest):
        return link.Resume(path=task.latest.checkpoint.path), task.latest.checkpoint
    if task.kept is not None:
        kept = task.kept
        resume = link.Resume(path=kept.below, content_id=kept.content_id, size_bytes=kept.size_bytes)
        return resume, kept.checkpoint
    if job.spec.resume_from is not None:
        return link.Resume(path=job.spec.resume_from), Checkpoint(job.spec.resume_from)
    return None, None


def _sees(worker: Worker, latest: LatestCheckpoint) -> bool:
    place = worker.output_place if latest.root is RootKind.OUTPUT else worker.id
    return place == latest.place
