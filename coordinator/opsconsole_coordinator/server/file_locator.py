"""Where files are that people name: on which worker, and below which folder as its agent understands it."""

import re
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from opsconsole_coordinator.core.model import Attempt, Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.job_lookup import resolve
from opsconsole_coordinator.store import query
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, Unavailable
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.mount import find_mount, knows_mounts, mounts_of
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.stream.message import FileRoot, RootKind

_TASK_FOLDER = re.compile(rb"task-(0|[1-9][0-9]{0,5})")


class Located(NamedTuple):
    """Where files are: a worker, the root as its agent understands it, and the path below that."""

    worker: Worker
    root: FileRoot
    path: bytes
    what: str
    """For people: whose files they are."""


class LocatedTask(NamedTuple):
    """A task whose files are meant, and the path below its folder. `name`: for people."""

    job_id: JobId
    task_index: int
    path: bytes
    name: str


class LocatedTasks(NamedTuple):
    """The results of several tasks. `worker` is None where it isn't known (any more)."""

    job_id: JobId
    worker: Worker | None
    roots: dict[int, FileRoot]


class FileLocator:
    """Looks into the fleet and the store, and asks no agent."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop

    async def locate(self, worker_name: str, root: FileRoot, path: bytes) -> Located:
        """Where the files of a root are that a person has named. `worker_name`: as the person says, or empty.

        Raises InvalidRequest, NotFound, Ambiguous, or Conflict where there is nothing to be looked at yet.
        """
        if root.kind is RootKind.MOUNT:
            return self._locate_mount(worker_name, root, path)
        task = await self.find_task(root, path)
        attempt = await self._attempt(task, worker_name)
        worker = self._commit_loop.fleet.workers.get(attempt.worker_id)
        if worker is None:
            raise NotFound(f"the files of {task.name} are on {attempt.worker_name}, which was removed")
        output_path = attempt.seen.output_path if attempt.seen is not None else ""
        if root.kind is RootKind.OUTPUT and not output_path:
            if not attempt.is_finished:
                raise Conflict(f"{task.name} has not started yet: it has no outputs")
            raise NotFound(f"{task.name} has no outputs: {worker.name} had no place for them")
        found = FileRoot(
            kind=root.kind,
            job_id=task.job_id,
            task_index=task.task_index,
            attempt_id=attempt.id,
            output_path=output_path or "",
        )
        return Located(worker, found, task.path, f"the files of {task.name} are")

    async def locate_tasks(self, worker_name: str, root: FileRoot, tasks: Sequence[int]) -> LocatedTasks:
        """Where the results of some tasks of a job are: on that worker, as far as they have written any.

        Raises InvalidRequest, NotFound or Ambiguous.
        """
        job_id, _, num_tasks = await self.job(root)
        if not tasks or max(tasks) >= num_tasks:
            raise NotFound(f"job {job_id} has {num_tasks} tasks, from task-0 to task-{num_tasks - 1}")
        first = min(tasks)

        def read(connection: sqlite3.Connection) -> dict[int, list[Attempt]]:
            return query.attempts(connection, job_id, first, max(tasks) - first + 1)

        attempts = await self._commit_loop.database.read(read)
        fleet = self._commit_loop.fleet
        worker = next((one for one in fleet.workers.values() if worker_name in {one.id, one.name}), None)
        roots: dict[int, FileRoot] = {}
        for index in sorted(set(tasks)):
            found = [one for one in attempts.get(index, []) if worker is not None and one.worker_id == worker.id]
            path = found[-1].seen.output_path if found and found[-1].seen is not None else ""
            if path:
                roots[index] = FileRoot(
                    kind=RootKind.OUTPUT, job_id=job_id, task_index=index, attempt_id=found[-1].id, output_path=path
                )
        return LocatedTasks(job_id, worker, roots)

    async def find_task(self, root: FileRoot, path: bytes) -> LocatedTask:
        """Whose folder a root is that isn't a mount. Raises InvalidRequest, NotFound or Ambiguous."""
        job_id, index, num_tasks = await self.job(root)
        if index is None and num_tasks > 1:
            first, _, path = path.partition(b"/")
            named = _TASK_FOLDER.fullmatch(first)
            if named is None:
                raise NotFound(
                    f"job {job_id} has {num_tasks} tasks: name one of the folders task-0 to task-{num_tasks - 1}"
                )
            index = int(named[1])
        index = index or 0
        if index >= num_tasks:
            raise NotFound(f"job {job_id} has {num_tasks} tasks, from task-0 to task-{num_tasks - 1}")
        return LocatedTask(job_id, index, path, job_id if num_tasks == 1 else f"{job_id}/task-{index}")

    def _locate_mount(self, worker_name: str, root: FileRoot, path: bytes) -> Located:
        if not worker_name:
            raise InvalidRequest("whose mount? Name a worker (opsconsole workers lists them)")
        worker = self._commit_loop.reactor.find_worker(worker_name)
        mounts = mounts_of(worker.properties)
        if find_mount(mounts, root.mount) is None:
            known = ", ".join(mount.label for mount in mounts) or "none"
            raise NotFound(f"{worker.name} has no mount {root.mount!r}; it has {known}")
        return Located(worker, FileRoot(kind=RootKind.MOUNT, mount=root.mount), path, f"{root.mount} is")

    async def job(self, root: FileRoot) -> tuple[JobId, int | None, int]:
        """The job, the task's index where one was named, and how many tasks the job has."""
        job_id, index = await resolve(self._commit_loop, root.job_id)
        job = self._commit_loop.fleet.jobs.get(job_id)
        if job is not None:
            num_tasks = job.spec.num_tasks
        else:
            row = await self._commit_loop.database.read(lambda connection: query.job_row(connection, job_id))
            if row is None:
                raise NotFound(f"there is no job {job_id} (opsconsole jobs lists them)")
            num_tasks = row.num_tasks
        return job_id, index if root.task_index is None else root.task_index, num_tasks

    async def _attempt(self, task: LocatedTask, worker_name: str) -> Attempt:
        """The task's last attempt, or its last one on the worker that was named."""

        def read(connection: sqlite3.Connection) -> list[Attempt]:
            return query.attempts(connection, task.job_id, task.task_index, 1).get(task.task_index, [])

        found = await self._commit_loop.database.read(read)
        if not found:
            raise Conflict(f"{task.name} has not started yet: it has no files")
        if worker_name:
            worker = self._commit_loop.reactor.find_worker(worker_name)
            found = [attempt for attempt in found if attempt.worker_id == worker.id]
            if not found:
                raise NotFound(f"no attempt of {task.name} was on {worker.name}")
        return found[-1]

    def check_reachable(self, place: Located) -> None:
        """Raise Unavailable, which says since when, where the worker can't be asked now."""
        self.check_worker(place.worker, place.what)

    def check_tasks(self, tasks: LocatedTasks, worker_name: str) -> Worker:
        """The worker that has these tasks' results. Raises NotFound where it isn't known (any more), and as `check_reachable`."""
        if tasks.worker is None:
            raise NotFound(f"the files of {tasks.job_id} are on {worker_name}, which isn't known (any more)")
        self.check_worker(tasks.worker, f"the files of {tasks.job_id} are")
        return tasks.worker

    def check_worker(self, worker: Worker, what: str) -> None:
        """As `check_reachable`; `what` says whose files they are."""
        self.check_connected(worker, what)
        if not knows_mounts(worker.properties):
            raise Unavailable(f"the agent of {worker.name} is too old to be asked for files: update opsconsole there")

    def check_connected(self, worker: Worker, what: str) -> None:
        """Raise Unavailable, which says since when, where the worker is away. `what` says what is on it."""
        if not worker.is_reachable:
            last_ms = self._commit_loop.clock.now_ms() - worker.last_seen_ms
            since = (
                f", it was last heard of {spell_duration(last_ms // 1000 * 1000)} ago" if worker.last_seen_ms else ""
            )
            raise Unavailable(f"{what} on {worker.name}, which is not connected{since}")
