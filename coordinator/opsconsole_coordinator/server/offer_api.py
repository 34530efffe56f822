"""What operators ask about offers that they choose, answered."""

import asyncio
from collections.abc import Iterable

from opsconsole_coordinator.core.reserved_offer import Refused
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller
from opsconsole_protocol import api
from opsconsole_protocol.ids import JobId, check_job_id
from opsconsole_protocol.spec import check_spec

ANSWER_WAIT_S = 2.0
ANSWER_POLL_S = 0.02
"""How long an agent's answer about a file is waited for, and how often it is looked for."""


class OfferApi:
    """Handlers of the requests about offers; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop

    async def reserve(self, request: api.ReserveOffer, caller: Caller) -> api.OfferReserved:
        """A worker that still has to say whether it has a file is waited for."""
        check_spec(request.spec)
        commit_loop, job_id = self._commit_loop, check_job_id(request.job_id)
        deadline = asyncio.get_running_loop().time() + ANSWER_WAIT_S
        while True:
            now_ms = commit_loop.clock.now_ms()
            made = commit_loop.reactor.on_reserve_offer(job_id, request.spec, request.worker, caller.actor, now_ms)
            commit_loop.changed()
            if not isinstance(made, Refused):
                worker = commit_loop.fleet.workers[made.worker_id]
                return api.OfferReserved(
                    accepted=True,
                    worker=worker.name,
                    worker_id=worker.id,
                    left_ms=made.until_ms - now_ms,
                    gpus=len(made.gpu_ids),
                )
            if not made.is_asking or asyncio.get_running_loop().time() > deadline:
                return api.OfferReserved(accepted=False, reason=made.reason, worker=request.worker)
            await asyncio.sleep(ANSWER_POLL_S)

    async def free(self, request: api.FreeOffer, caller: Caller) -> api.Done:
        self.give_up(request.job_id, caller)
        return api.Done(text=f"nothing is reserved for job {request.job_id}")

    def still_reserved(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these jobs for which an offer is reserved."""
        return {one for one in job_ids if one in self._commit_loop.fleet.reservations.offers}

    def give_up(self, job_id: str, caller: Caller) -> None:
        """Who had reserved an offer doesn't want it any more, or is gone."""
        self._commit_loop.reactor.on_free_offer(JobId(job_id), caller.actor, self._commit_loop.clock.now_ms())
        self._commit_loop.changed()
