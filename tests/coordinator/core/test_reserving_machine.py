"""Any history of reservations: never two owners of one thing at one time, nothing granted in a window of maintenance, and ends free all.

What was reserved is noted here as it was asked for and acknowledged; the rules are written anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from opsconsole_coordinator.core.model import Attempt
from opsconsole_protocol.api import Reserve
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.storm import Storm

AGENTS = st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True)
PEOPLE = st.sampled_from(["ana", "ben"])
TICK_MS = 500


@dataclass(frozen=True)
class Known:
    """A reservation as it was acknowledged. `person` is empty in maintenance."""

    workers: frozenset[WorkerId]
    person: str
    gpus: int | None
    from_ms: int
    until_ms: int

    def holds(self, worker: WorkerId, at_ms: int) -> bool:
        return worker in self.workers and self.from_ms <= at_ms < self.until_ms


class ReservationMachine(RuleBasedStateMachine):
    """Two people, three workers, and an admin who reserves and takes back."""

    @initialize()
    def begin(self) -> None:
        self.storm = Storm()
        for agent in self.storm.agents:
            self.storm.connect(agent)
        self.known: dict[str, Known] = {}
        self.seen: set[AttemptId] = set()
        self.world = self.storm.world

    @rule(
        agents=AGENTS,
        person=st.sampled_from(["ana", "ben", ""]),
        gpus=st.sampled_from([None, None, 1]),
        begins_ms=st.sampled_from([0, 0, 3_000, 20_000]),
        lasts_ms=st.sampled_from([2_000, 15_000, 60_000]),
    )
    def reserve(self, agents: list[int], person: str, gpus: int | None, begins_ms: int, lasts_ms: int) -> None:
        workers = [self.storm.agents[one] for one in agents]
        from_ms = self.world.now_ms + begins_ms
        wanted = Known(
            frozenset(one.id for one in workers), person, gpus if person else None, from_ms, from_ms + lasts_ms
        )
        request = Reserve(
            workers=tuple(one.name for one in workers), from_ms=from_ms, until_ms=wanted.until_ms, person=person,
            maintenance=not person, gpus=wanted.gpus,
        )  # fmt: skip
        clashes = any(
            one.workers & wanted.workers and one.from_ms < wanted.until_ms and wanted.from_ms < one.until_ms
            for one in self.known.values()
        )
        lacks_gpus = wanted.gpus is not None and any(not one.record.gpus for one in workers)
        if clashes or lacks_gpus:
            with pytest.raises((Conflict, InvalidRequest)):
                self.world.reactor.on_reserve(request, "root", self.world.now_ms)
            return
        made = self.world.reactor.on_reserve(request, "root", self.world.now_ms)
        self.known[made.id] = wanted

    @rule(place=st.integers(0, 9))
    def cancel(self, place: int) -> None:
        if self.known:
            reservation_id = sorted(self.known)[place % len(self.known)]
            self.world.reactor.on_cancel_reservation(reservation_id, "root", self.world.now_ms)
            del self.known[reservation_id]

    @rule(
        person=PEOPLE,
        kind=st.sampled_from(["plain", "gpu", "gpu", "two_gpus", "share", "memory"]),
        tasks=st.integers(1, 3),
        losses=st.sampled_from([0, 100]),
        timeout_ms=st.sampled_from([None, 1_000, 30_000]),
    )
    def submit(self, person: str, kind: str, tasks: int, losses: int, timeout_ms: int | None) -> None:
        self.storm.submit(
            tasks, kind, [], max_retries_preemption=losses, timeout_ms=timeout_ms, by=person, max_task_failures=3
        )

    @rule(person=PEOPLE, gpus=st.integers(0, 2), worker=st.sampled_from(["", "w1", "w2", "w3"]), anew=st.booleans())
    def choose(self, person: str, gpus: int, worker: str, anew: bool) -> None:
        before = dict(self.world.fleet.reservations.offers)
        self.storm.choose(Resources(gpus=gpus), worker, person, anew=anew)
        for job_id, offer in self.world.fleet.reservations.offers.items():
            if before.get(job_id) != offer:
                self._check_grant(offer.worker_id, offer.person, len(offer.gpu_ids), self.world.now_ms)

    @rule(milliseconds=st.sampled_from([TICK_MS, 3_000, 15_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.world.pass_ms(milliseconds)
        self.known = {key: one for key, one in self.known.items() if one.until_ms > self.world.now_ms}

    @rule()
    def work(self) -> None:
        for agent in self.storm.agents:
            self.storm.step(agent)
        self.world.turn()

    @rule(agent=st.integers(0, 2))
    def end(self, agent: int) -> None:
        self.storm.agents[agent].end(AttemptState.SUCCEEDED)
        self.storm.agents[agent].flush()

    @rule(agent=st.integers(0, 2))
    def reconnect(self, agent: int) -> None:
        self.storm.crash_or_connect(self.storm.agents[agent], 0.9)

    @invariant()
    def holds(self) -> None:
        self.storm.check()
        fleet = self.world.fleet
        assert {one.id for one in fleet.reservations} == self.known.keys()
        new = [one for one in fleet.attempts.values() if one.id not in self.seen and not one.is_finished]
        self.seen |= {one.id for one in new}
        for attempt in new:
            person = fleet.jobs[attempt.job_id].submitted_by
            self._check_grant(attempt.worker_id, person, len(attempt.gpu_ids), attempt.assigned_at_ms)

    def _check_grant(self, worker: WorkerId, person: str, gpus: int, at_ms: int) -> None:
        """Nobody is given what is another's. Who has counted GPUs left them may be more than that for a while: those leave."""
        for one in self.known.values():
            if not one.holds(worker, at_ms) or (one.person and one.person == person):
                continue
            assert one.person, f"{person} is given {worker} in a window of maintenance"
            assert one.gpus is not None, f"{person} is given {worker}, which is {one.person}'s"
            record = self.world.fleet.workers[worker]
            others = {gpu for other in self._others(record.live.values(), one.person) for gpu in other.gpu_ids}
            assert not gpus or len(others) <= len(record.gpus) - one.gpus, f"{person} is given GPUs of {one.person}'s"

    def _others(self, attempts: Iterable[Attempt], person: str) -> Iterable[Attempt]:
        jobs = self.world.fleet.jobs
        return (one for one in attempts if jobs[one.job_id].submitted_by != person)

    def teardown(self) -> None:
        if not hasattr(self, "known"):
            return
        if self.known:
            last_ms = max(one.until_ms for one in self.known.values())
            self.world.pass_ms(last_ms - self.world.now_ms + TICK_MS)
        fleet = self.world.fleet
        assert not fleet.reservations, "what is over is gone"
        assert all(one.booked is None for one in fleet.workers.values())
        self.storm.settle()
        self.world.pass_ms(61_000)
        assert not fleet.reservations.offers
        for agent in self.storm.agents:
            assert agent.record.status == "available", "an end frees all"


TestReservations = ReservationMachine.TestCase
TestReservations.settings = settings(stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])
