"""Traces of the shapes that public cluster traces have, replayed in simulated time: the scheduler, and two plain ones beside it.

Traces come from seeds. Most jobs are short and some very long (log-normal, a heavy tail), they come in bursts by day, most ask for one
GPU and a few for eight, some for several tasks at once; most people give a time-out of a few times what the job takes, rounded up.
"""

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from pathlib import Path
from statistics import fmean, quantiles, stdev
from typing import NamedTuple

from bench.row import Row
from bench.scheduler import GPUS, registration
from opsconsole_coordinator.core.reactor import Fleet, Reactor
from opsconsole_protocol import link
from opsconsole_protocol.api import Submission
from opsconsole_protocol.ids import AttemptId, JobId, SessionId, WorkerId, job_id
from opsconsole_protocol.link import Observed
from opsconsole_protocol.spec import JobSpec, Resources
from opsconsole_protocol.state import AttemptState

WORKERS = 8
JOBS = 400
SEEDS = tuple(range(1, 7))
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
_BEGAN_MS = 1_700_000_000_000
_PEOPLE = 12


class TraceJob(NamedTuple):
    """One job: `tasks` of it start together where there are several."""

    number: int
    at_ms: int
    person: str
    kind: str
    gpus: int
    tasks: int
    takes_ms: int
    timeout_ms: int | None

    @property
    def size(self) -> int:
        """How many GPUs it has in all."""
        return self.gpus * self.tasks


class Shape(NamedTuple):
    """What a trace is like."""

    name: str
    load: float
    """What is asked for in all, as a share of what there is in the time in which it comes."""
    median_ms: int
    sigma: float
    sizes: Sequence[tuple[int, float]]
    """How many GPUs tasks have, each with the share of jobs that have as many."""
    gangs: float
    """How many jobs have two to four tasks that start together."""
    burst: float
    """With how many jobs at once people come, on average."""


SHAPES = (
    Shape("small jobs, heavy tail", 1.1, 6 * _MINUTE_MS, 1.9, ((1, 0.75), (2, 0.12), (4, 0.08), (8, 0.05)), 0.0, 3),
    Shape("large training", 1.1, 40 * _MINUTE_MS, 1.4, ((1, 0.4), (2, 0.15), (4, 0.2), (8, 0.25)), 0.0, 2),
    Shape("bursts of sweeps and gangs", 1.3, 15 * _MINUTE_MS, 1.4, ((1, 0.7), (2, 0.1), (4, 0.1), (8, 0.1)), 0.08, 12),
)


def trace(shape: Shape, seed: int, jobs: int = JOBS) -> list[TraceJob]:
    """A trace, in the order in which its jobs come."""
    chance = random.Random(f"{shape.name} {seed}")  # noqa: S311 - chance that repeats itself
    weights = [1 / (place + 1) for place in range(_PEOPLE)]
    drafts: list[TraceJob] = []
    while len(drafts) < jobs:
        person = chance.choices(range(_PEOPLE), weights)[0]
        kind = chance.randrange(4)
        of_kind = random.Random(f"{shape.name} {person} {kind}")  # noqa: S311
        usual_ms = of_kind.lognormvariate(math.log(shape.median_ms), shape.sigma)
        gpus = of_kind.choices([one for one, _ in shape.sizes], [part for _, part in shape.sizes])[0]
        for _ in range(min(jobs - len(drafts), 1 + int(chance.expovariate(1 / shape.burst)))):
            takes_ms = round(min(max(usual_ms * chance.lognormvariate(0, 0.4), 20_000), 2 * _DAY_MS))
            margin = chance.choice((1.3, 2, 4))
            timeout_ms = (
                math.ceil(takes_ms * margin / (10 * _MINUTE_MS)) * 10 * _MINUTE_MS if chance.random() < 0.7 else None
            )
            tasks = chance.randint(2, 4) if chance.random() < shape.gangs else 1
            drafts.append(
                TraceJob(0, len(drafts), f"p{person}", f"p{person} k{kind}", gpus, tasks, takes_ms, timeout_ms)
            )
    work = sum(one.size * one.takes_ms for one in drafts)
    span_ms = work / (WORKERS * GPUS * shape.load)
    bursts = dict.fromkeys((one.person, one.kind, one.at_ms // 4) for one in drafts)  # in an order that repeats itself
    times = {one: chance.random() ** 0.9 * span_ms for one in bursts}
    days = max(1.0, span_ms / _DAY_MS)
    found = []
    for one in drafts:
        at_ms = times[one.person, one.kind, one.at_ms // 4]
        day = at_ms / span_ms * days
        by_day = day + 0.1 * math.sin(2 * math.pi * day) / 2  # more by day than by night
        found.append(one._replace(at_ms=round(max(0.0, by_day / days * span_ms))))
    found.sort(key=lambda one: one.at_ms)
    return [one._replace(number=number) for number, one in enumerate(found)]


class Figures(NamedTuple):
    """What came of a trace."""

    used: float
    """Share of the GPUs that was in use until nine tenths of all work were done."""
    wait_ms: float
    wait_p95_ms: float
    small_wait_ms: float
    large_wait_ms: float
    """Of jobs of four GPUs and more."""
    fairness: float
    """Jain's index of people's mean slowdowns: 1 where all are slowed down alike."""


Starts = dict[int, int]
"""When each job started, by its number."""


def figures(jobs: Sequence[TraceJob], starts: Starts) -> Figures:
    """What of a replay is compared."""
    waits = {one.number: starts[one.number] - one.at_ms for one in jobs}
    ends = sorted((starts[one.number] + one.takes_ms, one.size * one.takes_ms) for one in jobs)
    work, done, until_ms = sum(size for _, size in ends), 0, 0
    for end_ms, size in ends:
        done += size
        until_ms = end_ms
        if done >= 0.9 * work:
            break
    busy = sum(one.size * max(0, min(starts[one.number] + one.takes_ms, until_ms) - starts[one.number]) for one in jobs)
    slowed = defaultdict[str, list[float]](list)
    for one in jobs:
        slowed[one.person].append(1 + waits[one.number] / max(one.takes_ms, 10 * _MINUTE_MS))
    means = [fmean(one) for one in slowed.values()]
    small = [waits[one.number] for one in jobs if one.size < 4]
    large = [waits[one.number] for one in jobs if one.size >= 4]
    return Figures(
        busy / (until_ms * WORKERS * GPUS),
        fmean(waits.values()),
        quantiles(waits.values(), n=20)[-1],
        fmean(small),
        fmean(large),
        sum(means) ** 2 / (len(means) * sum(one * one for one in means)),
    )


def run(base: Path) -> Iterator[Row]:
    """Yield a row for each trace and each scheduler: of each figure the mean and the standard deviation over the seeds.

    A last row for each trace says what backfill changes, seed by seed: the mean of the differences, and its standard error.
    """
    del base
    about = f"{JOBS:,} jobs, {WORKERS} × {GPUS} GPUs, {len(SEEDS)} seeds"
    for shape in SHAPES:
        began_s = time.process_time()
        traces = [trace(shape, seed) for seed in SEEDS]
        found = {
            name: [figures(jobs, replay(jobs)) for jobs in traces] for name, replay in SCHEDULERS.items()
        }  # fmt: skip
        for name, rows in found.items():
            used, wait, p95, small, large, fairness = zip(*rows, strict=True)
            value = (
                f"{_percent(used)} used; wait {_minutes(wait)}, p95 {_minutes(p95)}, "
                f"1–3 GPUs {_minutes(small)}, 4 and more {_minutes(large)}; fairness {fmean(fairness):.2f} ± {stdev(fairness):.2f}"
            )
            yield Row("replay", f"{shape.name}, {name}", value, about)
        changes = [
            [after - before for after, before in zip(*pair, strict=True)]
            for pair in zip(found[OURS], found[UNFILLED], strict=True)
        ]
        used, wait, p95, small, large, _ = zip(*changes, strict=True)
        value = (
            f"{_percent(used, by_error=True)} used; wait {_minutes(wait, by_error=True)}, p95 {_minutes(p95, by_error=True)}, "
            f"1–3 GPUs {_minutes(small, by_error=True)}, 4 and more {_minutes(large, by_error=True)}"
        )
        took = f"{about}; {time.process_time() - began_s:.0f} s of CPU time"
        yield Row("replay", f"{shape.name}, what backfill changes", value, took)


def _spread(values: Sequence[float], *, by_error: bool) -> float:
    """Their standard deviation, or the standard error of their mean."""
    return stdev(values) / (math.sqrt(len(values)) if by_error else 1)


def _minutes(milliseconds: Sequence[float], *, by_error: bool = False) -> str:
    sign = "+" if by_error else ""
    minutes = [one / _MINUTE_MS for one in milliseconds]
    return f"{fmean(minutes):{sign},.0f} ± {_spread(minutes, by_error=by_error):,.0f} min"


def _percent(parts: Sequence[float], *, by_error: bool = False) -> str:
    sign = "+" if by_error else ""
    percents = [100 * one for one in parts]
    return f"{fmean(percents):{sign}.0f} ± {_spread(percents, by_error=by_error):.0f} %"


# --- plain schedulers -------------------------------------------------------------------------------------------------


def _plain(jobs: Sequence[TraceJob], *, may_pass: bool) -> Starts:
    """First come, first served; `may_pass`: others that fit start while the first waits, however long it waits for that."""
    free = [GPUS] * WORKERS
    ends: list[tuple[int, int, dict[int, int]]] = []
    waiting: list[TraceJob] = []
    starts: Starts = {}
    place, now_ms = 0, 0
    while place < len(jobs) or waiting:
        next_ms = min(jobs[place].at_ms if place < len(jobs) else math.inf, ends[0][0] if ends else math.inf)
        now_ms = max(now_ms, int(next_ms))
        while ends and ends[0][0] <= now_ms:
            for host, gpus in heappop(ends)[2].items():
                free[host] += gpus
        while place < len(jobs) and jobs[place].at_ms <= now_ms:
            waiting.append(jobs[place])
            place += 1
        left: list[TraceJob] = []
        for one in waiting:
            taken = _fit(free, one) if may_pass or not left else None
            if taken is None:
                left.append(one)
                continue
            starts[one.number] = now_ms
            for host, gpus in taken.items():
                free[host] -= gpus
            heappush(ends, (now_ms + one.takes_ms, one.number, taken))
        waiting = left
    return starts


def _fit(free: Sequence[int], one: TraceJob) -> dict[int, int] | None:
    """The first hosts that have room for all its tasks."""
    taken: dict[int, int] = {}
    tasks = one.tasks
    for host, room in enumerate(free):
        count = min(tasks, room // one.gpus)
        if count:
            taken[host] = count * one.gpus
            tasks -= count
        if not tasks:
            return taken
    return None


# --- the scheduler ----------------------------------------------------------------------------------------------------


def _ours(jobs: Sequence[TraceJob], *, fills: bool) -> Starts:
    """The coordinator's own core, told of everything as it happens.

    `fills`: it may use room that is kept for what ends before. Else it is told of no time-outs, and no two jobs are alike.
    """
    reactor = Reactor(Fleet(random.Random(7).getrandbits, store_id="bench", name="bench"))  # noqa: S311
    seen: dict[WorkerId, int] = {}
    for number in range(WORKERS):
        reactor.on_register(SessionId(number), registration(number), (), _BEGAN_MS)
    of: dict[JobId, TraceJob] = {}
    ends: list[tuple[int, AttemptId, WorkerId, int]] = []
    starts: Starts = {}
    place, now_ms = 0, 0
    while place < len(jobs) or len(starts) < len(jobs) or ends:
        next_ms = min(jobs[place].at_ms if place < len(jobs) else math.inf, ends[0][0] if ends else math.inf)
        now_ms = max(now_ms, int(next_ms) if math.isfinite(next_ms) else now_ms + 1_000)
        while ends and ends[0][0] <= now_ms:
            _, attempt_id, worker_id, started_ms = heappop(ends)
            _tell(reactor, seen, worker_id, attempt_id, AttemptState.SUCCEEDED, started_ms, now_ms)
        while place < len(jobs) and jobs[place].at_ms <= now_ms:
            one = jobs[place]
            place += 1
            found = job_id(place)
            of[found] = one
            spec = JobSpec(
                command=("true",), name=one.kind if fills else f"{one.kind} {one.number}", resources=Resources(gpus=one.gpus), num_tasks=one.tasks, gang=one.tasks > 1,
                timeout_ms=one.timeout_ms if fills else None,
            )  # fmt: skip
            reactor.on_submit([Submission(found, spec)], {}, one.person, _BEGAN_MS + now_ms)
        for worker in reactor.fleet.workers.values():
            worker.heard_at_ms = _BEGAN_MS + now_ms
        reactor.on_tick(_BEGAN_MS + now_ms)
        while reactor.must_schedule or reactor.is_dirty:
            batch = reactor.take_batch(_BEGAN_MS + now_ms)
            reactor.on_committed(batch)
            for worker_id, _, message in batch.sends:
                seen[worker_id] = max(seen.get(worker_id, 0), getattr(message, "seq", 0))
                if isinstance(message, link.JobAssignment):
                    launch = message.desired.launch
                    one = of[launch.job_id]
                    starts[one.number] = max(starts.get(one.number, 0), now_ms)
                    heappush(ends, (now_ms + one.takes_ms, message.desired.attempt_id, worker_id, now_ms))
                    _tell(reactor, seen, worker_id, message.desired.attempt_id, AttemptState.RUNNING, now_ms, now_ms)
    return starts


def _tell(
    reactor: Reactor, seen: dict[WorkerId, int], worker_id: WorkerId, attempt_id: AttemptId, state: AttemptState,
    started_ms: int, now_ms: int,
) -> None:  # fmt: skip
    has_ended = state is AttemptState.SUCCEEDED
    told = Observed(
        attempt_id=attempt_id, state=state, exit_code=0 if has_ended else None, started_at_ms=_BEGAN_MS + started_ms,
        finished_at_ms=_BEGAN_MS + now_ms if has_ended else None,
    )  # fmt: skip
    worker = reactor.fleet.workers[worker_id]
    reactor.on_report(worker, link.Report(seen=seen.get(worker_id, 0), attempts=(told,)), (), _BEGAN_MS + now_ms)


UNFILLED, OURS = "ours, without backfill", "ours"
SCHEDULERS: dict[str, Callable[[Sequence[TraceJob]], Starts]] = {
    "first come, first served": lambda jobs: _plain(jobs, may_pass=False),
    "first that fits": lambda jobs: _plain(jobs, may_pass=True),
    UNFILLED: lambda jobs: _ours(jobs, fills=False),
    OURS: lambda jobs: _ours(jobs, fills=True),
}
