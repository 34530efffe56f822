"""What operators ask about workers, answered."""

import msgspec

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server.cleaning import Cleaning
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller, Identities
from opsconsole_coordinator.server.job_lookup import find_removable
from opsconsole_coordinator.server.worker_row_cache import WorkerRowCache
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api, requirement
from opsconsole_protocol.error import InvalidRequest


class WorkerApi:
    """Handlers of the requests about workers; each takes the request and who asks."""

    def __init__(
        self, commit_loop: CommitLoop, identities: Identities, worker_row_cache: WorkerRowCache, cleaning: Cleaning
    ) -> None:
        self._commit_loop = commit_loop
        self._identities = identities
        self._worker_row_cache = worker_row_cache
        self._cleaning = cleaning

    async def list_workers(self, request: api.ListWorkers, caller: Caller) -> api.AnyAnswer:
        del caller
        wanted = requirement.parse(request.filter)
        if not wanted and not request.revoked:
            return self._worker_row_cache.everyone()
        shown = (request.revoked, False)
        return self._worker_row_cache.those(
            lambda worker: worker.revoked in shown and all(need.matches(worker.facts()) for need in wanted)
        )

    async def set_worker(self, request: api.SetWorker, caller: Caller) -> api.WorkerList:
        commit_loop = self._commit_loop
        if request.everybody and (request.action != "revoke" or request.name):
            raise InvalidRequest("only revoke is done to all workers, and then without a name")
        if request.action == "remove":
            return await self._remove(request.name, caller)
        if request.action == "revoke":
            wanted = None if request.everybody else commit_loop.reactor.find_worker(request.name)
            return await self._revoke(wanted, caller)
        now_ms = commit_loop.clock.now_ms()
        worker = commit_loop.reactor.on_set_maintenance(
            request.name, request.action, caller.actor, now_ms, request.reason, request.within_ms
        )
        await commit_loop.committed()
        return api.WorkerList(workers=(view.worker_row(commit_loop.fleet, worker, now_ms),))

    async def _revoke(self, wanted: Worker | None, caller: Caller) -> api.WorkerList:
        """Revoke one worker, or all. Their credentials go before their connections, so that they can't come back in between."""
        commit_loop = self._commit_loop
        now_ms = commit_loop.clock.now_ms()
        if wanted is None:
            await self._identities.revoke_worker(None, now_ms)  # also of those that have never registered
            workers = [worker for worker in commit_loop.fleet.workers.values() if not worker.revoked]
        else:
            workers = [wanted]
        for worker in workers:
            await self._identities.revoke_worker(worker.id, now_ms)
            commit_loop.reactor.on_revoke(worker.id, caller.actor, now_ms)
        rows = tuple(view.worker_row(commit_loop.fleet, worker, now_ms) for worker in workers)
        await commit_loop.committed()
        return api.WorkerList(workers=rows)

    async def _remove(self, name: str, caller: Caller) -> api.WorkerList:
        """Remove a worker that is gone for good, with its credential, so that it can't come back unseen."""
        commit_loop = self._commit_loop
        worker = commit_loop.reactor.find_removable(name)
        now_ms = commit_loop.clock.now_ms()
        await self._identities.revoke_worker(worker.id, now_ms)
        row = view.worker_row(commit_loop.fleet, worker, now_ms)
        commit_loop.reactor.on_worker_removed(worker.id, caller.actor, now_ms)
        await commit_loop.committed()
        return api.WorkerList(workers=(row,))

    async def clean(self, request: api.Clean, caller: Caller) -> api.Cleaned:
        commit_loop = self._commit_loop
        named = [commit_loop.reactor.find_worker(name) for name in request.workers]
        if request.jobs:
            job_ids = await find_removable(commit_loop, request.jobs)
            request = msgspec.structs.replace(request, jobs=tuple(job_ids), attempts=False)
        cleaned = await self._cleaning.clean(named or list(commit_loop.fleet.workers.values()), request, caller.actor)
        if cleaned.removed:
            await commit_loop.committed()
        return cleaned


def role_to_set(request: api.SetWorker) -> Role:
    """The role that is needed: an operator may drain a worker, only an admin may shut it out for good."""
    return Role.ADMIN if request.action in {"revoke", "remove"} or request.everybody else Role.OPERATOR
