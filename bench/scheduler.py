"""The scheduler alone: decisions a second with 100,000 waiting tasks and 1,000 workers, and what waiting costs."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest import mock

from bench.row import Row
from opsconsole_coordinator.core import reactor, schedule
from opsconsole_coordinator.core.reactor import TICK_MS, Fleet, Reactor
from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.api import Submission
from opsconsole_protocol.ids import AttemptId, SessionId, WorkerId, job_id
from opsconsole_protocol.link import Observed
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState

WORKERS = 1_000
GPUS = 8
WAITING = 100_000
DECISIONS = 5_000
KINDS = (
    Resources(), Resources(cpus=1), Resources(cpus=4, memory_mb=8_000), Resources(gpus=1), Resources(gpus=1, gpu_memory_mb=20_000),
    Resources(gpus=2), Resources(gpus=4), Resources(gpus=8), Resources(gpus=1, cpus=8, memory_mb=64_000), Resources(gpus=2, cpus=16),
)  # fmt: skip


def run(base: Path) -> Iterator[Row]:
    """Yield rows of decisions one by one and in groups, of a pass without a change, and of an idle queue."""
    del base
    for people, ended_together in ((1, 1), (1, 32), (20, 1), (20, 32)):
        lab = _Lab(people)
        took_s, chosen_s = lab.decide(ended_together)
        who = f"{ended_together} ended together, {people} {'people' if people > 1 else 'person'}"
        rate = DECISIONS / chosen_s
        method = (
            f"{WAITING:,} jobs wait, {WORKERS:,} workers; passes of the scheduler, without noting what was assigned"
        )
        yield Row(
            "scheduler", f"decisions, {who}", f"{rate:,.0f} a second", method, bar="≥ 5,000 a second", met=rate >= 5_000
        )
        method = "an end noted, the next task decided on, assigned and sealed"
        yield Row("scheduler", f"tasks through the core, {who}", f"{DECISIONS / took_s:,.0f} a second", method)
    lab = _Lab(20)
    each_ms = lab.tick_ms()
    share = each_ms / TICK_MS
    yield Row(
        "scheduler", "ticks of a full fleet", f"{100 * share:.1f} % of a core", f"{each_ms:.1f} ms every {TICK_MS} ms"
    )
    lab = _Lab(20, workers=0)
    each_ms = lab.tick_ms()
    share = each_ms / TICK_MS
    yield Row(
        "scheduler", "ticks without a worker", f"{100 * share:.2f} % of a core", f"{each_ms:.2f} ms every {TICK_MS} ms",
        bar="≤ 1 %", met=share <= 0.01,
    )  # fmt: skip
    began_s = time.process_time()
    lab.submit(10_000)
    took_ms = 1000 * (time.process_time() - began_s)
    yield Row(
        "scheduler", "10,000 jobs more, one submission", f"{took_ms:.0f} ms", "checked, added and placed in the queue"
    )


def registration(number: int) -> link.Register:
    """How a worker with GPUS GPUs introduces itself."""
    gpus = tuple(
        link.Gpu(index=index, uuid=f"GPU-{number}-{index}", name="A100", memory_total_mb=40_000)
        for index in range(GPUS)
    )
    return link.Register(
        protocol=PROTOCOL_VERSION, agent_version="1", worker_id=WorkerId(f"w{number:04}"), name=f"w{number:04}", run_id="1",
        max_concurrent_jobs=GPUS, gpus=gpus, properties={"cpus": 64, "memory_mb": 512_000}, observed=(),
    )  # fmt: skip


@contextmanager
def _timed(module: ModuleType, name: str) -> Iterator[list[float]]:
    """The seconds that each call of a function takes, while it is called by this name in this module."""
    took_s: list[float] = []
    function = getattr(module, name)

    def timed(*arguments: object, **named: object) -> object:
        began_s = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            took_s.append(time.process_time() - began_s)

    with mock.patch.object(module, name, timed):
        yield took_s


class _Lab:
    """A fleet in memory: nothing is committed, and workers do what they are told at once."""

    def __init__(self, people: int, workers: int = WORKERS) -> None:
        self._random = random.Random(7)  # noqa: S311 - chance that repeats itself
        self.now_ms = 1_700_000_000_000
        self.reactor = Reactor(Fleet(self._random.getrandbits, store_id="bench", name="bench"))
        self._people = people
        self._jobs = 0
        self._running: list[tuple[WorkerId, AttemptId]] = []
        self._seen: dict[WorkerId, int] = {}
        for number in range(workers):
            self._join(number)
        self.submit(WAITING + 3 * workers * GPUS)
        self.settle()

    def _join(self, number: int) -> None:
        self.reactor.on_register(SessionId(number), registration(number), (), self.now_ms)

    def submit(self, count: int) -> None:
        """Jobs of all kinds come in, of each person as many."""
        for person in range(self._people):
            submissions: list[Submission] = []
            for _ in range(count // self._people):
                self._jobs += 1
                spec = JobSpec(command=("true",), resources=self._random.choice(KINDS), project=f"p{person % 5}")
                submissions.append(Submission(job_id(self._jobs), spec))
            self.reactor.on_submit(submissions, {}, f"person{person}", self.now_ms)

    def settle(self) -> None:
        """Take batches until nothing changes, and let what was assigned run."""
        while self.reactor.must_schedule or self.reactor.is_dirty:
            batch = self.reactor.take_batch(self.now_ms)
            for worker_id, _, message in batch.sends:
                self._seen[worker_id] = max(self._seen.get(worker_id, 0), getattr(message, "seq", 0))
                if isinstance(message, link.JobAssignment):
                    self._running.append((worker_id, message.desired.attempt_id))
            self.reactor.on_committed(batch)

    def decide(self, together: int) -> tuple[float, float]:
        """End tasks, some together, and see others start in their place. Returns seconds: of all, and of deciding alone."""
        with _timed(reactor, "schedule") as passes, _timed(schedule, "assign") as assigned:
            began_s = time.process_time()
            for _ in range(DECISIONS // together):
                for _ in range(min(together, len(self._running))):
                    place = self._random.randrange(len(self._running))
                    self._running[place], self._running[-1] = self._running[-1], self._running[place]
                    self._end(*self._running.pop())
                self.settle()
                self.now_ms += 1
            took_s = time.process_time() - began_s
        return took_s, sum(passes) - sum(assigned)

    def _end(self, worker_id: WorkerId, attempt_id: AttemptId) -> None:
        worker = self.reactor.fleet.workers[worker_id]
        ended = Observed(
            attempt_id=attempt_id, state=AttemptState.SUCCEEDED, exit_code=0, started_at_ms=self.now_ms - 60_000,
            finished_at_ms=self.now_ms,
        )  # fmt: skip
        report = link.Report(seen=self._seen.get(worker_id, 0), attempts=(ended,))
        self.reactor.on_report(worker, report, (), self.now_ms)

    def tick_ms(self, count: int = 20) -> float:
        """How long a tick takes in which nothing happens."""
        for worker in self.reactor.fleet.workers.values():
            worker.heard_at_ms = self.now_ms + 1_000_000
        began_s = time.process_time()
        for _ in range(count):
            self.now_ms += TICK_MS
            self.reactor.on_tick(self.now_ms)
            self.settle()
        return 1000 * (time.process_time() - began_s) / count
