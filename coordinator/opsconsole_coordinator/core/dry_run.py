"""Placement that nobody sees: where several tasks would go, if they were placed now or if nothing else ran."""

from collections.abc import Iterable
from heapq import heappop, heappush
from types import TracebackType
from typing import Self

from opsconsole_coordinator.core import estimate
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_coordinator.core.placement import Demand, Offer, ask_all, judge_again, promised_of, rank
from opsconsole_protocol.ids import AttemptId, WorkerId


class Rehearsal:
    """Use as a context: inside, claims stand in for attempts; afterwards every worker has what it had."""

    def __init__(self, fleet: Fleet, job: Job, demand: Demand, now_ms: int) -> None:
        self.claims: list[Offer] = []
        self._fleet = fleet
        self._job = job
        self._demand = demand
        self._now_ms = now_ms
        self._known = estimate.estimates(fleet, job.spec)
        self._real: dict[WorkerId, dict[AttemptId, Attempt]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker_id, live in self._real.items():
            self._fleet.workers[worker_id].live = live

    def leave_out(self, attempts: Iterable[Attempt]) -> None:
        """From here on these attempts take nothing."""
        for attempt in attempts:
            worker = self._fleet.workers.get(attempt.worker_id)
            if worker is not None:
                self._stand_in(worker).pop(attempt.id, None)

    def leave_out_all(self) -> None:
        """From here on nothing takes anything but what was claimed."""
        for worker in self._fleet.workers.values():
            live = self._stand_in(worker)
            for attempt_id in [one.id for one in live.values() if one.index >= 0]:
                del live[attempt_id]

    def claim(self, count: int) -> list[Offer]:
        """Claim places for so many more tasks, or for as many as fit, the best first; returns every worker's last answer."""
        offers, ranked = ask_all(self._fleet, self._demand, self._known, self._now_ms)
        wanted = len(self.claims) + count
        while ranked and len(self.claims) < wanted:
            _, place, offer = heappop(ranked)
            self._take(offer)
            again = judge_again(self._fleet, offer, self._demand, self._now_ms)
            offers[place] = again
            if again.accepted:
                heappush(ranked, (rank(again, self._known), place, again))
        return offers

    def _take(self, offer: Offer) -> None:
        worker = offer.worker
        claim = Attempt(
            id=AttemptId(f"claim {len(self.claims)}"),
            job_id=self._job.id,
            index=-1,
            number=-1,
            worker_id=worker.id,
            worker_name=worker.name,
            gpu_ids=offer.gpu_ids,
            promised=promised_of(self._job.spec),
        )
        self._stand_in(worker)[claim.id] = claim
        self.claims.append(offer)

    def _stand_in(self, worker: Worker) -> dict[AttemptId, Attempt]:
        """The worker's set of live attempts, from now on a copy."""
        if worker.id not in self._real:
            self._real[worker.id] = worker.live
            worker.live = dict(worker.live)
        return worker.live
