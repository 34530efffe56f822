"""The results of jobs are handed to those that take them, once the coordinator keeps them. A job that lacks some waits, or is blocked."""

from collections.abc import Iterable, Mapping

from opsconsole_coordinator.core.dependency import note_results
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job, OutputCopy
from opsconsole_protocol.api import CopyState
from opsconsole_protocol.dependency import End
from opsconsole_protocol.ids import ContentId, JobId, task_id
from opsconsole_protocol.job_content import Upload

NOTHING_LEFT = "it left none that is to be collected"


def hand_on(fleet: Fleet, copy: OutputCopy, now_ms: int) -> None:
    """What was wanted of a task has come to its end: the jobs that take it get it, or hear why they can't."""
    for job in _takers(fleet, copy.job_id):
        _take(fleet, job, copy)
        note_results(fleet, job, copy.job_id, now_ms)


def refuse(fleet: Fleet, job_id: JobId, index: int, reason: str, now_ms: int) -> None:
    """Nothing of a task will be kept."""
    for job in _takers(fleet, job_id):
        _drop(fleet, job, job_id, index)
        job.waits.refused[task_id(job_id, index)] = reason
        note_results(fleet, job, job_id, now_ms)


def take_back(fleet: Fleet, job_id: JobId, index: int) -> None:
    """A task runs once more: what was kept of it doesn't count any more. Its job is unfinished, so that nobody goes on with it."""
    for job in _takers(fleet, job_id):
        _drop(fleet, job, job_id, index)


def lacking(job: Job) -> set[JobId]:
    """The jobs whose results a job hasn't been given, or not all."""
    found = set()
    for other, needs in job.needs.items():
        tasks = [task_id(other, index) for index in range(job.expected.get(other, 0))]
        if any(one.end is End.RESULTS for one in needs) and any(
            one not in job.handed and one not in job.refused for one in tasks
        ):
            found.add(other)
    return found


def note_stored_copies(fleet: Fleet, job: Job, other: JobId, copies: Mapping[int, OutputCopy], now_ms: int) -> None:
    """What the store says of the results of a job that is waited for. It may have ended long ago, or not yet."""
    live = fleet.jobs.get(other)
    for index in range(job.expected.get(other, 0)):
        copy = copies.get(index)
        if fleet.output_copies.find(other, index) is not None:
            continue  # it is wanted, and what comes of that will be told
        if copy is not None and copy.state is not CopyState.WANTED:
            _take(fleet, job, copy)
        elif copy is None and (live is None or _leaves_nothing(fleet, live, index)):
            job.waits.refused[task_id(other, index)] = NOTHING_LEFT
    note_results(fleet, job, other, now_ms)


def _leaves_nothing(fleet: Fleet, job: Job, index: int) -> bool:
    attempt = fleet.current(job.tasks[index])
    return job.is_finished and (attempt is None or not attempt.open) and job.tasks[index].collected is None


def _takers(fleet: Fleet, job_id: JobId) -> Iterable[Job]:
    for dependent_id in sorted(fleet.dependents.get(job_id, ())):
        job = fleet.jobs.get(dependent_id)
        if job is not None and any(one.end is End.RESULTS for one in job.needs.get(job_id, ())):
            yield job


def _take(fleet: Fleet, job: Job, copy: OutputCopy) -> None:
    named = task_id(copy.job_id, copy.index)
    if copy.state is not CopyState.KEPT or copy.content_id is None:
        _drop(fleet, job, copy.job_id, copy.index)
        job.waits.refused[named] = copy.reason or NOTHING_LEFT
        return
    job.waits.refused.pop(named, None)
    name = next(one.name or one.job for one in job.needs[copy.job_id] if one.end is End.RESULTS)
    upload = Upload(
        name=name if job.expected.get(copy.job_id) == 1 else f"{name}-{copy.index}",
        content_id=ContentId(copy.content_id), size_bytes=copy.size_bytes, files=copy.files, is_folder=True,
    )  # fmt: skip
    _set(fleet, job, {**job.handed, named: upload})


def _drop(fleet: Fleet, job: Job, job_id: JobId, index: int) -> None:
    named = task_id(job_id, index)
    job.waits.refused.pop(named, None)
    if named in job.handed:
        _set(fleet, job, {key: one for key, one in job.handed.items() if key != named})


def _set(fleet: Fleet, job: Job, handed: dict[str, Upload]) -> None:
    fleet.contents.remove_job(job)
    job.handed = handed
    fleet.contents.add_job(job)
    fleet.touch_job(job)
