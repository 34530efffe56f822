"""What a stream that is asked for comes to: whether it is allowed, who is at its other end, and what for exactly."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from opsconsole_coordinator.core.model import Attempt, Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.content_keeper import ContentKeeper
from opsconsole_coordinator.server.file_locator import FileLocator
from opsconsole_coordinator.server.open_stream import STORE, Party, PartyKind
from opsconsole_coordinator.server.session_plan import SessionPlanner
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api
from opsconsole_protocol.error import Forbidden, InvalidRequest, NotFound, Unavailable
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.mount import find_mount, mounts_of
from opsconsole_protocol.name import printable
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.stream.message import (
    FetchContent,
    FileRoot,
    KeepContent,
    OpenStream,
    PeerKind,
    Purpose,
    ReachPort,
    ReadFiles,
    RootKind,
    RunInTask,
    WriteFiles,
)

SPREAD_FROM = 32
"""From this number of streams of the coordinator's own store on, workers fetch from each other what others have by now."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is at the other end of a stream, and what for. `host_id`: of an operator's machine that offers a tree."""

    purpose: Purpose
    peer: PeerKind
    responder: Party
    what: str
    subject: str
    host_id: str = ""
    content_id: ContentId | None = None
    """The kept tree that files are read from."""
    kept: tuple[tuple[int, ContentId], ...] = ()
    """The kept trees of tasks that files are read from."""
    act: tuple[EventKind, str] | None = None
    """What is written down once it is granted, and not at its end."""


def role_to_open(request: api.AskForStream) -> Role:
    """The role that is needed: everybody may take what jobs have written; all else is an operator's."""
    purpose = request.open.purpose
    is_result = isinstance(purpose, ReadFiles) and purpose.root.kind is not RootKind.MOUNT
    return Role.VIEWER if is_result or isinstance(purpose, FetchContent) else Role.OPERATOR


class StreamPlanner:
    """Plans streams. Nothing here changes anything."""

    def __init__(self, commit_loop: CommitLoop, keeper: ContentKeeper, store_streams: Callable[[], int]) -> None:
        """`store_streams`: how many streams the coordinator's own store has."""
        self._commit_loop = commit_loop
        self._store_streams = store_streams
        self._keeper = keeper
        self._locator = FileLocator(commit_loop)
        self._sessions = SessionPlanner(commit_loop, self._locator)

    # --- for workers -------------------------------------------------------------------------------------------

    def plan_for_worker(self, wanted: OpenStream, worker: Worker) -> Plan:
        """What an agent's request comes to. Raises Forbidden, NotFound, InvalidRequest or LimitExceeded."""
        purpose = wanted.purpose
        match purpose:
            case FetchContent():
                return self._fetch(purpose, worker)
            case _:
                raise Forbidden("an agent may fetch what its tasks need, and nothing else")

    def _fetch(self, purpose: FetchContent, worker: Worker) -> Plan:
        attempt = self._attempt_of(purpose.attempt_id, worker)
        job = self._commit_loop.fleet.jobs[attempt.job_id]
        needed = {one.content_id: one for one in self._commit_loop.reactor.contents_of(job, attempt)}
        content = needed.get(purpose.content_id)
        if content is None:
            raise Forbidden(f"job {job.id} doesn't bring the tree {purpose.content_id[:12]} along")
        sources = self._commit_loop.fleet.contents.sources(purpose.content_id, self._commit_loop.fleet.workers)
        what = f"{content.what} of job {job.id}"
        others = [one for one in sources.worker_ids if one != worker.id and one in self._commit_loop.sessions]
        if sources.is_kept and (not others or self._store_streams() < SPREAD_FROM):
            return Plan(purpose, PeerKind.COORDINATOR, STORE, what, job.id)
        for host_id in sources.host_ids:
            party = self._keeper.hosts.party(host_id)
            if party is not None:
                return Plan(purpose, PeerKind.HOST, party, what, job.id, host_id)
        if others:
            other = self._commit_loop.fleet.workers[secrets.choice(others)]
            return Plan(purpose, PeerKind.WORKER, _party(other), what, job.id)
        raise NotFound(f"nobody who is connected has {content.what} ({size_words(content.size_bytes)})")

    def _attempt_of(self, attempt_id: str, worker: Worker) -> Attempt:
        attempt = self._commit_loop.fleet.attempts.get(AttemptId(attempt_id))
        if attempt is None or attempt.worker_id != worker.id or attempt.is_finished:
            raise Forbidden(f"{attempt_id or 'no attempt'} is not an attempt that this worker runs")
        return attempt

    # --- for people --------------------------------------------------------------------------------------------

    async def plan_for_person(self, wanted: OpenStream) -> Plan:
        """What an operator's request comes to. Raises OpsconsoleError."""
        purpose = wanted.purpose
        match purpose:
            case KeepContent(content_id=content_id):
                self._keeper.check_size(purpose)
                return Plan(purpose, PeerKind.COORDINATOR, STORE, f"tree {content_id[:12]}", self._commit_loop.name)
            case ReadFiles() | WriteFiles():
                return await self._files(purpose, wanted.peer)
            case RunInTask() | ReachPort():
                found = await self._sessions.find(purpose)
                return Plan(
                    found.purpose,
                    PeerKind.WORKER,
                    _party(found.worker),
                    found.words,
                    found.task_id,
                    act=(found.kind, found.words),
                )
            case _:
                raise Forbidden("people fetch the files of jobs and mounts: `opsconsole get` takes a job and a pattern")

    async def _files(self, purpose: ReadFiles | WriteFiles, worker_name: str) -> Plan:
        if isinstance(purpose, WriteFiles) and purpose.root.kind is not RootKind.MOUNT:
            raise InvalidRequest("files are put into a mount of a worker; what a job has written stays as it is")
        if isinstance(purpose, ReadFiles) and purpose.tasks:
            return await self._tasks(purpose, worker_name)
        try:
            place = await self._locator.locate(worker_name, purpose.root, purpose.folder)
            self._locator.check_reachable(place)
        except (NotFound, Unavailable):
            plan = await self._kept(purpose) if isinstance(purpose, ReadFiles) else None
            if plan is None:
                raise
            return plan
        if isinstance(purpose, WriteFiles):
            mount = find_mount(mounts_of(place.worker.properties), place.root.mount)
            if mount is None or not mount.writable:
                raise Forbidden(f"{place.root.mount} on {place.worker.name} is not writable: choose another mount")
        found = replace(purpose, root=place.root, folder=place.path)
        is_mount = purpose.root.kind is RootKind.MOUNT
        if isinstance(purpose, WriteFiles) and purpose.what:
            return Plan(found, PeerKind.WORKER, _party(place.worker), printable(purpose.what), place.worker.name)
        what = f"files of {place.root.mount}" if is_mount else f"{purpose.root.kind} files of job {place.root.job_id}"
        subject = place.worker.name if is_mount else place.root.job_id
        return Plan(found, PeerKind.WORKER, _party(place.worker), what, subject)

    async def _tasks(self, purpose: ReadFiles, worker_name: str) -> Plan:
        """The results of several tasks: from their worker or, where that can't be asked, what is kept of them here."""
        if purpose.root.kind is not RootKind.OUTPUT or purpose.folder:
            raise InvalidRequest("several tasks' files are asked for by their job's output folder")
        tasks = await self._locator.locate_tasks(worker_name, purpose.root, purpose.tasks)
        root = FileRoot(kind=RootKind.OUTPUT, job_id=tasks.job_id)
        try:
            worker = self._locator.check_tasks(tasks, worker_name)
        except (NotFound, Unavailable):
            found = ((one, self._keeper.collection.of_task(tasks.job_id, one)) for one in sorted(set(purpose.tasks)))
            kept = tuple((task, one.content_id) for task, one in found if one is not None)
            if not kept:
                raise
            here = replace(purpose, root=root, tasks=tuple(task for task, _ in kept), roots=())
            what = f"kept results of job {tasks.job_id}"
            return Plan(here, PeerKind.COORDINATOR, STORE, what, tasks.job_id, kept=kept)
        if not tasks.roots:
            raise NotFound(f"these tasks of {tasks.job_id} have no outputs on {worker.name}")
        there = replace(purpose, root=root, tasks=tuple(tasks.roots), roots=tuple(tasks.roots.values()))
        return Plan(there, PeerKind.WORKER, _party(worker), f"output files of job {tasks.job_id}", tasks.job_id)

    async def _kept(self, purpose: ReadFiles) -> Plan | None:
        """What the coordinator itself keeps of a task's results, now that their worker can't be asked."""
        if purpose.root.kind is not RootKind.OUTPUT:
            return None
        task = await self._locator.find_task(purpose.root, purpose.folder)
        kept = self._keeper.collection.of_task(task.job_id, task.task_index)
        if kept is None:
            return None
        root = replace(purpose.root, job_id=task.job_id, task_index=task.task_index, attempt_id=kept.attempt_id)
        found = replace(purpose, root=root, folder=task.path)
        return Plan(
            found,
            PeerKind.COORDINATOR,
            STORE,
            f"kept results of job {task.name}",
            task.job_id,
            content_id=kept.content_id,
        )


def _party(worker: Worker) -> Party:
    return Party(PartyKind.WORKER, worker.id, worker.name)
