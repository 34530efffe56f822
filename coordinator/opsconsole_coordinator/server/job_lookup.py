"""Finding jobs by what people type: whole ids and unambiguous prefixes, in memory and in the store."""

import sqlite3
from collections.abc import Iterable, Mapping
from functools import partial

from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.store import query, waiting
from opsconsole_protocol.error import Ambiguous, Conflict, InvalidRequest, NotFound
from opsconsole_protocol.ids import ALPHABET, JOB_ID_LENGTH, JobId, split_task_id
from opsconsole_protocol.spec import JobSpec, with_other_jobs
from opsconsole_protocol.state import TaskState
from opsconsole_protocol.task_selection import TaskSelection, split_selection


async def resolve(commit_loop: CommitLoop, text: str) -> tuple[JobId, int | None]:
    """The job, and the task's index where one was named. Raises InvalidRequest, NotFound or Ambiguous."""
    prefix, index = split_task_id(text.strip().lower())
    return await _find(commit_loop, prefix), index


async def resolve_tasks(commit_loop: CommitLoop, text: str) -> tuple[JobId, TaskSelection | None]:
    """The job, and which of its tasks; None: all of it. Raises InvalidRequest, NotFound or Ambiguous."""
    prefix, selection = split_selection(text)
    return await _find(commit_loop, prefix), selection


async def _find(commit_loop: CommitLoop, prefix: str) -> JobId:
    if not prefix or len(prefix) > JOB_ID_LENGTH or any(character not in ALPHABET for character in prefix):
        raise InvalidRequest(f"{prefix[:40]!r} is not a job id (opsconsole jobs lists them)")
    if JobId(prefix) in commit_loop.fleet.jobs:
        return JobId(prefix)
    found = {job_id for job_id in commit_loop.fleet.jobs if job_id.startswith(prefix)}
    stored = await commit_loop.database.read(lambda connection: query.ids_with_prefix(connection, prefix))
    found.update(JobId(one) for one in stored)
    if not found:
        raise NotFound(f"there is no job {prefix} (opsconsole jobs lists them)")
    if len(found) > 1:
        some = ", ".join(sorted(found)[:4]) + (", …" if len(found) > 4 else "")
        raise Ambiguous(f"{prefix} fits several jobs: {some}; type more of the id")
    return found.pop()


def check_task(job_id: JobId, num_tasks: int, index: int | None) -> None:
    """Raise NotFound where a task was named that the job doesn't have."""
    if index is not None and index >= num_tasks:
        raise NotFound(f"job {job_id} has {num_tasks} tasks, from task-0 to task-{num_tasks - 1}")


def with_whole_ids(spec: JobSpec, resolved: Mapping[JobId, JobId]) -> JobSpec:
    """The spec with whole job ids of the jobs that it comes after, where prefixes were typed."""
    return with_other_jobs(spec, lambda job: resolved.get(JobId(job), JobId(job)))


async def load_job(commit_loop: CommitLoop, job_id: JobId) -> Job:
    """The job in memory, fetched from the store where it has ended. Raises NotFound.

    Whoever loads an ended job releases it with `release_job`.
    """
    job = commit_loop.fleet.jobs.get(job_id)
    if job is not None:
        return job

    def read(connection: sqlite3.Connection) -> tuple[Job, list[Attempt], dict[str, TaskState]] | None:
        stored = query.job(connection, job_id)
        return (*stored, waiting.standings(connection, stored[0].terms.dependencies)) if stored is not None else None

    found = await commit_loop.database.read(read)
    job = commit_loop.fleet.jobs.get(job_id)
    if job is not None:
        return job
    if found is None:
        raise NotFound(f"there is no job {job_id} (opsconsole jobs lists them)")
    commit_loop.reactor.on_job_loaded(*found)
    return found[0]


async def find_results(commit_loop: CommitLoop, job_ids: Iterable[JobId]) -> None:
    """Tell jobs that were just committed what the store has of the results that they take. What is kept later is told by itself."""
    wanted = commit_loop.reactor.awaits_results()
    for job_id in job_ids:
        for other in sorted(wanted.get(job_id, ())):
            copies = await commit_loop.database.read(partial(query.output_copies_of, job_id=other))
            commit_loop.reactor.on_results_found(job_id, other, copies, commit_loop.clock.now_ms())
    await commit_loop.committed()


async def load_templates(commit_loop: CommitLoop, specs: Iterable[JobSpec]) -> None:
    """Have those versions of templates in memory that jobs are made from, as far as the store has them."""
    fleet = commit_loop.fleet
    wanted = {(spec.template, spec.template_version) for spec in specs if spec.template is not None}
    for name, version in wanted:
        if version is not None and fleet.templates.find(name, version) is None:
            find = partial(query.template_versions, name=name, version=version)
            for row in await commit_loop.database.read(find):
                commit_loop.reactor.on_template_loaded(row)


async def find_removable(commit_loop: CommitLoop, texts: Iterable[str]) -> list[JobId]:
    """The whole ids of jobs that can be removed. Raises as `resolve` does, and Conflict for one that is needed yet."""
    found: dict[JobId, None] = {}
    for text in texts:
        job_id, index = await resolve(commit_loop, text)
        if index is not None:
            raise InvalidRequest(f"{text[:60]} is a task: only a whole job can be removed")
        found[job_id] = None
    live = commit_loop.fleet.jobs
    for job_id in found:
        job = live.get(job_id)
        if job is not None and not job.is_finished:
            raise Conflict(f"job {job_id} is {job.state}: cancel it before it is removed")
        if job is not None:
            raise Conflict(
                f"parts of job {job_id} are still on their way from its worker: remove it when they are here"
            )
        waiting = next((one.id for one in live.values() if job_id in one.after), None)
        if waiting is not None:
            raise Conflict(f"job {job_id} is needed by job {waiting}, which comes after it")
    return list(found)


def release_job(commit_loop: CommitLoop, job_id: JobId) -> None:
    """Drop the job from memory, if it has ended and nothing of it is about to be committed."""
    commit_loop.reactor.on_job_released(job_id)
