"""Who is at the other end of a session in a task, and whether the task can be reached into now."""

import shlex
from dataclasses import dataclass

from msgspec.structs import replace

from opsconsole_coordinator.core.model import Attempt, Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.file_locator import FileLocator
from opsconsole_protocol.bound import COMMAND_BYTES_MAX, cut
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, Unavailable
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState, is_task_finished
from opsconsole_protocol.stream.message import SESSIONS, FileRoot, ReachPort, RootKind, RunInTask

_SHOWN_CHARACTERS = 200
"""Of a command, in an event."""


@dataclass(frozen=True, slots=True)
class PlannedSession:
    """A session that is allowed. `words`: for people, and for the event."""

    purpose: RunInTask | ReachPort
    worker: Worker
    task_id: str
    kind: EventKind
    words: str


class SessionPlanner:
    """Finds the live attempt of a task that a person names. Nothing here changes anything."""

    def __init__(self, commit_loop: CommitLoop, locator: FileLocator) -> None:
        self._commit_loop = commit_loop
        self._locator = locator

    async def find(self, purpose: RunInTask | ReachPort) -> PlannedSession:
        """What a request comes to. Raises InvalidRequest, NotFound, Ambiguous, Conflict, or Unavailable."""
        job_id, index, num_tasks = await self._locator.job(FileRoot(kind=RootKind.WORK, job_id=purpose.task))
        if index is None and num_tasks > 1:
            raise InvalidRequest(
                f"job {job_id} has {num_tasks} tasks: name one, {job_id}/task-0 to {job_id}/task-{num_tasks - 1}"
            )
        index = index or 0
        if index >= num_tasks:
            raise NotFound(f"job {job_id} has {num_tasks} tasks, from task-0 to task-{num_tasks - 1}")
        name = job_id if num_tasks == 1 else f"{job_id}/task-{index}"
        attempt = self._running(job_id, index, name)
        worker = self._commit_loop.fleet.workers[attempt.worker_id]
        self._locator.check_connected(worker, f"{name} runs")
        if not worker.properties.get(SESSIONS):
            raise Unavailable(
                f"the agent of {worker.name} is too old to let anybody into a task: update opsconsole there"
            )
        task_id = f"{job_id}/task-{index}"
        if isinstance(purpose, ReachPort):
            self._check_port(purpose, attempt, name)
            reach = replace(purpose, attempt_id=attempt.id)
            return PlannedSession(reach, worker, task_id, EventKind.FORWARD, f"port {purpose.port} on {worker.name}")
        if sum(map(len, purpose.argv)) > COMMAND_BYTES_MAX:
            raise InvalidRequest(f"the command is longer than {COMMAND_BYTES_MAX // 1024} KiB: put it into a file")
        run = replace(purpose, attempt_id=attempt.id)
        if not purpose.argv:
            return PlannedSession(run, worker, task_id, EventKind.SHELL, f"a shell on {worker.name}")
        shown = cut(shlex.join(purpose.argv), _SHOWN_CHARACTERS)
        return PlannedSession(run, worker, task_id, EventKind.EXEC, f"{shown} on {worker.name}")

    def _running(self, job_id: JobId, index: int, name: str) -> Attempt:
        job = self._commit_loop.fleet.jobs.get(job_id)
        task = None if job is None else job.tasks[index]
        attempt = None if task is None else self._commit_loop.fleet.current(task)
        if task is not None and attempt is not None and not attempt.is_finished:
            is_freezing = attempt.want.mode is Mode.PAUSE and attempt.want.by is PauseBy.FREEZE
            if attempt.state is AttemptState.PAUSED or is_freezing:
                raise Conflict(f"{name} is paused: nothing can run in it before it goes on (opsconsole resume {name})")
            if attempt.want.mode is Mode.STOP:
                raise Conflict(f"{name} is being ended: it can't be reached into any more")
            if attempt.state is AttemptState.RUNNING:
                return attempt
        if task is None or is_task_finished(task.state):
            raise Conflict(f"{name} has ended: there is nothing to reach into (opsconsole show {job_id})")
        raise Conflict(f"{name} is {task.state}: it can be reached into while it runs (opsconsole why {job_id})")

    @staticmethod
    def _check_port(purpose: ReachPort, attempt: Attempt, name: str) -> None:
        ports = attempt.seen.ports if attempt.seen is not None else {}
        if purpose.port not in ports:
            known = (
                f"it has {', '.join(sorted(ports))}" if ports else "its job names none (opsconsole submit --port NAME)"
            )
            raise NotFound(f"{name} has no port {purpose.port!r}: {known}")
