"""What operators ask about the queue, answered: moving waiting jobs, taking them off, how many tasks of one run at a time."""

from opsconsole_coordinator.core import view
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.job_lookup import resolve
from opsconsole_coordinator.server.known_name import check_project
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId


class QueueApi:
    """Handlers of these requests; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop

    async def move(self, request: api.MoveJob, caller: Caller) -> api.Done:
        job_id = await self._whole_job(request.id)
        other = await self._whole_job(request.other) if request.other else None
        now_ms = self._commit_loop.clock.now_ms()
        words = self._commit_loop.reactor.on_move(job_id, request.where, other, caller.actor, now_ms)
        await self._commit_loop.committed()
        return api.Done(text=words)

    async def pop(self, request: api.PopJob, caller: Caller) -> api.Popped:
        commit_loop = self._commit_loop
        if request.project:
            await check_project(commit_loop, request.project)
        now_ms = commit_loop.clock.now_ms()
        job = commit_loop.reactor.on_pop(request.project, request.index, caller.actor, now_ms, hold=request.hold)
        row = view.job_row(commit_loop.fleet, job)
        await commit_loop.committed()  # whoever asks next gets another one
        return api.Popped(job=row, spec=job.spec)

    async def clear(self, request: api.ClearQueue, caller: Caller) -> api.Cleared:
        await check_project(self._commit_loop, request.project)
        now_ms = self._commit_loop.clock.now_ms()
        ids, more = self._commit_loop.reactor.on_clear(
            request.project, request.limit, caller.actor, now_ms, dry_run=request.dry_run
        )
        await self._commit_loop.committed()
        return api.Cleared(ids=tuple(ids), more=more)

    async def set_parallel(self, request: api.SetParallel, caller: Caller) -> api.Done:
        job_id = await self._whole_job(request.id)
        now_ms = self._commit_loop.clock.now_ms()
        words = self._commit_loop.reactor.on_set_parallel(job_id, request.max_parallel, caller.actor, now_ms)
        await self._commit_loop.committed()
        return api.Done(text=words)

    async def _whole_job(self, text: str) -> JobId:
        job_id, index = await resolve(self._commit_loop, text)
        if index is not None:
            raise InvalidRequest(f"{text[:60]} is a task: name the whole job")
        return job_id
