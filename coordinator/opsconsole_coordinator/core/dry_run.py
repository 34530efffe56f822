"""Placement on trial: where several tasks would go if they were placed now, or if nothing else ran."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from types import TracebackType
from typing import Self

from opsconsole_coordinator.core.demand import Demand, promised_of
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.live import Live
from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_coordinator.core.offer import collect_offers, renew_offer
from opsconsole_coordinator.core.ranking import Ranking
from opsconsole_protocol.ids import AttemptId, WorkerId


class DryRun:
    """Used as a context: inside, claims count as live attempts; afterwards every worker has what it had before."""

    def __init__(self, fleet: Fleet, job: Job, demand: Demand, now_ms: int) -> None:
        self.claims: list[Offer] = []
        self._fleet = fleet
        self._job = job
        self._demand = demand
        self._now_ms = now_ms
        self._ranking = Ranking(fleet, job.spec, job.id)
        self._real: dict[WorkerId, Live[Attempt]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker_id, live in self._real.items():
            self._fleet.workers[worker_id].live = live

    def leave_out(self, attempts: Iterable[Attempt]) -> None:
        """From here on these attempts take no room."""
        for attempt in attempts:
            worker = self._fleet.workers.get(attempt.worker_id)
            if worker is not None:
                self._trial_attempts(worker).take_out(attempt.id)

    @contextmanager
    def without(self, attempts: Iterable[Attempt]) -> Iterator[None]:
        """Within this context these attempts take no room."""
        taken = [(self._fleet.workers[one.worker_id], one) for one in attempts if one.worker_id in self._fleet.workers]
        for worker, attempt in taken:
            self._trial_attempts(worker).take_out(attempt.id)
        try:
            yield
        finally:
            for worker, attempt in taken:
                worker.live[attempt.id] = attempt

    def leave_out_all(self) -> None:
        """From here on only claims take room."""
        for worker in self._fleet.workers.values():
            live = self._trial_attempts(worker)
            for attempt_id in [one.id for one in live.values() if one.index >= 0]:
                del live[attempt_id]
            for job_id in list(live.offers):
                live.free(job_id)

    def claim(self, count: int) -> list[Offer]:
        """Claim room for `count` more tasks, or for as many as fit, the best first. Returns every worker's last offer."""
        offers = collect_offers(self._fleet, self._demand, self._now_ms)
        accepted = self._ranking.ranked(offers)
        wanted = len(self.claims) + count
        while accepted and len(self.claims) < wanted:
            _, place, offer = heappop(accepted)
            self._claim_offer(offer)
            again = renew_offer(self._fleet, offer, self._demand, self._now_ms)
            offers[place] = again
            if again.accepted:
                heappush(accepted, (self._ranking.rank(again), place, again))
        return offers

    def _claim_offer(self, offer: Offer) -> None:
        worker = offer.worker
        claim = Attempt(
            id=AttemptId(f"claim {len(self.claims)}"),
            job_id=self._job.id,
            index=-1,
            number=-1,
            worker_id=worker.id,
            worker_name=worker.name,
            gpu_ids=offer.gpu_ids,
            share_mb=self._demand.share_mb,
            promised=promised_of(self._job.spec),
        )
        self._trial_attempts(worker)[claim.id] = claim
        self.claims.append(offer)

    def _trial_attempts(self, worker: Worker) -> Live[Attempt]:
        """The worker's live attempts: from now on a copy, which may be changed."""
        if worker.id not in self._real:
            self._real[worker.id] = worker.live
            worker.live = Live(worker.live)
        return worker.live
