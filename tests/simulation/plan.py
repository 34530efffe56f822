"""What one seed means: hosts, jobs, what operators do, and what goes wrong. Plain data, so that it can be shrunk."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from opsconsole_protocol.ids import ContentId, JobId, job_id
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec, PauseBy, Resources
from tests.gpu_rule import GPU_MEMORY_MB

FAULTS = (
    "cut", "half_open", "stall", "stall_up", "stall_down", "slow_net", "flap", "duplicate", "late",
    "coordinator_crash", "crash_after_commit", "commit_failure", "slow_disk", "log_disk_failure",
    "agent_crash", "agent_crash_mid_effects", "agent_disk_full", "keeper_crash", "keeper_crash_at_start",
    "reboot", "clock_step", "suspend", "restore",
)  # fmt: skip
SAVES = "SAVES"
"""In its environment: each of its tasks saves checkpoints, or the `first` one for all."""
"""In the environment of a job whose tasks save a checkpoint at every step."""
FAULTS_AT_ONCE_MAX = 10
PEOPLE = ("ana", "ben", "cleo")


@dataclass(frozen=True)
class HostPlan:
    """One worker."""

    name: str
    slots: int
    gpus: tuple[str, ...]


@dataclass(frozen=True)
class JobPlan:
    """One submission, and how its tasks behave. Rates are between 0 and 1."""

    at_ms: int
    job_id: JobId
    spec: JobSpec
    duration_ms: tuple[int, int]
    failure_rate: float
    stubborn_rate: float
    log_bytes: int
    person: str = "ana"


@dataclass(frozen=True)
class ActPlan:
    """What an operator does at some time to a job or one of its tasks."""

    at_ms: int
    verb: str
    job: int
    task: int | None


@dataclass(frozen=True)
class FaultPlan:
    """Something goes wrong; `duration_ms` where that means anything."""

    at_ms: int
    kind: str
    host: int
    duration_ms: int


@dataclass(frozen=True)
class LaptopPlan:
    """A machine of an operator: the trees that it has, and when it comes and goes."""

    name: str
    trees: tuple[ContentId, ...]
    here: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class TreePlan:
    """What jobs bring along, where it is, and what of it is lost when: by the coordinator, and by all workers that don't need it."""

    trees: tuple[ContentId, ...] = ()
    kept: tuple[ContentId, ...] = ()
    laptops: tuple[LaptopPlan, ...] = ()
    keeper_losses: tuple[tuple[int, ContentId], ...] = ()
    trims: tuple[tuple[int, ContentId], ...] = ()


@dataclass(frozen=True)
class Plan:
    """Everything that happens from outside. What is left to chance inside comes from `seed`, too."""

    seed: int
    hosts: tuple[HostPlan, ...]
    jobs: tuple[JobPlan, ...]
    acts: tuple[ActPlan, ...] = ()
    faults: tuple[FaultPlan, ...] = ()
    chaos_ms: int = 60_000
    notes: tuple[str, ...] = field(default=())
    trees: TreePlan = TreePlan()
    shares: tuple[tuple[str, ShareChange], ...] = ()
    """What people may have; set at the beginning."""
    contest: tuple[str, str] | None = None
    """Two people who have work all the time, the first of them of weight 2."""

    @property
    def over_ms(self) -> int:
        """When all that is planned has happened."""
        times = [fault.at_ms + fault.duration_ms + 2_000 for fault in self.faults]
        times += [job.at_ms + 2_000 for job in self.jobs]
        times += [act.at_ms + 2_000 for act in self.acts]
        times += [self.chaos_ms] * (self.contest is not None)
        return min(self.chaos_ms, max(times))


UNCHANGED = frozenset({42, 75, 36, 100137, 107, 743, 5008, 2325, 3691, 5742})
"""Seeds whose plans have to stay as they were when they found something."""


def make_plan(
    seed: int, without: Collection[str] = (), *, only: Sequence[str] | None = None, size: float = 1.0
) -> Plan:
    """The plan of a seed. `without` leaves out kinds of faults, `acts`, `trees`, `saves` and `shares`; the rest stays as it is.

    `only` draws all faults from these kinds instead. `size` multiplies the number of jobs.
    """
    rng = random.Random(f"plan {seed}")  # noqa: S311 – chance that repeats itself
    hosts = tuple(_host(rng, number) for number in range(rng.choice((1, 1, 2, 2, 3, 3, 4, 5))))
    chaos_ms = rng.choice((20_000, 60_000, 120_000))
    jobs = _jobs(rng, hosts, chaos_ms, max(1, round(size * rng.randrange(1, 6))))
    acts = tuple(sorted((_act(rng, jobs, chaos_ms) for _ in range(rng.randrange(6))), key=lambda act: act.at_ms))
    faults = tuple(fault for fault in _faults(rng, hosts, chaos_ms, only) if fault.kind not in without)
    jobs = _with_gangs(seed, hosts, jobs)
    plan = Plan(seed, hosts, jobs, () if "acts" in without else acts, faults, chaos_ms)
    plan = _with_trees(plan) if "trees" not in without else plan
    plan = _with_paused_gang(_with_saves(plan)) if "saves" not in without else plan
    plan = _with_reservations(_with_dependencies(_with_bands(plan)))
    return _with_backfill(_with_shared_gpus(_with_shares(plan) if "shares" not in without else plan))


def _host(rng: random.Random, number: int) -> HostPlan:
    slots = rng.choice((1, 1, 2, 3))
    gpus = tuple(f"gpu-{number}-{index}" for index in range(rng.choice((0, 1, 2))))
    return HostPlan(f"host{number}", slots, gpus)


def _jobs(rng: random.Random, hosts: tuple[HostPlan, ...], chaos_ms: int, count: int) -> tuple[JobPlan, ...]:
    jobs: list[JobPlan] = []
    gpus_max = max(len(host.gpus) for host in hosts)
    for _ in range(count):
        after = tuple(one.job_id for one in jobs if rng.random() < 0.2)
        spec = JobSpec(
            command=("work",),
            num_tasks=rng.choice((1, 1, 2, 3, 5)),
            priority=rng.choice((0, 0, 0, 5)),
            worker=rng.choice(hosts).name if rng.random() < 0.1 else None,
            resources=Resources(gpus=rng.randrange(gpus_max + 1) if rng.random() < 0.4 else 0),
            after=after,
            max_retries_failure=rng.choice((0, 0, 1, 3)),
            max_retries_preemption=rng.choice((100, 100, 1, 0)),
            max_task_failures=rng.choice((None, 0, 1)),
            timeout_ms=rng.choice((None, None, None, 4_000)),
            grace_ms=rng.choice((0, 500, 5_000)),
            lost_after_ms=rng.choice((14_000, 20_000, 60_000)),
            fence_after_ms=rng.choice((None, None, None, None, 30_000)),
            held=rng.random() < 0.05,
        )
        shortest = rng.choice((10, 100, 2_000, 10_000))
        jobs.append(
            JobPlan(
                at_ms=0 if not jobs else rng.randrange(chaos_ms // 2),
                job_id=job_id(rng.getrandbits(50)),
                spec=spec,
                duration_ms=(shortest, shortest * rng.choice((1, 3, 10))),
                failure_rate=rng.choice((0.0, 0.0, 0.2, 0.5)),
                stubborn_rate=rng.choice((0.0, 0.3)),
                log_bytes=rng.choice((0, 30, 300, 1_500)),
            )
        )
    return tuple(jobs)


def _with_gangs(seed: int, hosts: tuple[HostPlan, ...], jobs: tuple[JobPlan, ...]) -> tuple[JobPlan, ...]:
    """Some plans have gangs and time-outs of whole jobs.

    They have chance of their own, so that the rest of a plan stays as it was, and leave the pinned seeds' plans alone.
    """
    rng = random.Random(f"gang plan {seed}")  # noqa: S311 – the same
    if rng.random() < 0.65:
        return jobs
    jobs = tuple(replace(job, spec=_with_gang(rng, hosts, job.spec)) for job in jobs)
    if rng.random() < 0.5:
        return jobs
    # The first keeps a slot for so long that whoever waits for all of them waits in vain.
    spec = msgspec.structs.replace(
        jobs[0].spec, gang=False, num_tasks=1, timeout_ms=None, held=False, resources=Resources()
    )
    return (replace(jobs[0], spec=spec, duration_ms=(60_000, 200_000)), *jobs[1:])


def _with_gang(rng: random.Random, hosts: tuple[HostPlan, ...], spec: JobSpec) -> JobSpec:
    room = room_for(hosts, spec)
    count = rng.choice((spec.num_tasks, min(spec.num_tasks, max(1, room)), max(1, room), max(1, room)))
    if rng.random() < 0.5:
        spec = msgspec.structs.replace(spec, gang=True, num_tasks=count, max_task_failures=0)
    limit_ms = rng.choice((None, None, None, 3_000, 15_000, 40_000))
    return msgspec.structs.replace(spec, job_timeout_ms=limit_ms)


def _with_dependencies(plan: Plan) -> Plan:
    """In some plans jobs wait for any end of others, for their failure, for one task of them, or task by task."""
    rng = random.Random(f"dependency plan {plan.seed}")  # noqa: S311 – the same
    if plan.seed in UNCHANGED or not rng.random() < 0.3:
        return plan
    jobs = [plan.jobs[0]]
    for job in plan.jobs[1:]:
        others = [one for one in jobs if rng.random() < 0.6]
        end = rng.choice(("after", "after_failure", "after_any"))
        names = {end: tuple(_part(rng, job.spec, one) for one in others)}
        jobs.append(replace(job, spec=msgspec.structs.replace(job.spec, **{"after": (), **names})))
    return replace(plan, jobs=tuple(jobs))


def _part(rng: random.Random, spec: JobSpec, other: JobPlan) -> str:
    whole, task = other.job_id, f"{other.job_id}/task-{rng.randrange(other.spec.num_tasks)}"
    if other.spec.num_tasks != spec.num_tasks or spec.gang:
        return rng.choice((whole, task))
    return rng.choice((whole, task, f"{whole}:*", f"{whole}:*"))


def _with_trees(plan: Plan) -> Plan:
    """In some plans jobs bring data along, and their results are collected. The pinned seeds' plans aren't among them."""
    rng = random.Random(f"tree plan {plan.seed}")  # noqa: S311 – the same
    if not 0.6 <= rng.random() < 0.85:
        return plan
    trees = tuple(ContentId(sign * 64) for sign in "abcde"[: rng.randrange(2, 6)])
    kept = tuple(tree for tree in trees if rng.random() < 0.4)
    rest = tuple(tree for tree in trees if tree not in kept)
    laptops = tuple(_laptop(rng, f"laptop{number}", rest[number::2], plan.chaos_ms) for number in range(2))
    jobs = tuple(replace(job, spec=_with_uploads(rng, job.spec, kept, laptops)) for job in plan.jobs)
    losses = tuple((rng.randrange(plan.chaos_ms // 3), rng.choice(kept)) for _ in range(rng.randrange(4)) if kept)
    trims = [(rng.randrange(plan.chaos_ms), rng.choice(trees)) for _ in range(rng.randrange(9))]
    for laptop in laptops:
        trims += [(go_ms + 2_000, tree) for _, go_ms in laptop.here for tree in laptop.trees if rng.random() < 0.5]
    return replace(plan, jobs=jobs, trees=TreePlan(trees, kept, laptops, losses, tuple(trims)))


def _with_saves(plan: Plan) -> Plan:
    """In some plans tasks save checkpoints, and most are paused by that. The pinned seeds' plans aren't among them."""
    rng = random.Random(f"save plan {plan.seed}")  # noqa: S311 – the same
    if not 0.2 <= rng.random() < 0.45:
        return plan
    jobs = tuple(replace(job, spec=_with_saving(rng, job.spec)) for job in plan.jobs)
    acts = [_act(rng, jobs, plan.chaos_ms) for _ in range(rng.randrange(6))]
    more = [replace(act, verb=rng.choice(("pause", "pause", "resume"))) for act in acts]
    return replace(plan, jobs=jobs, acts=tuple(sorted((*plan.acts, *more), key=lambda act: act.at_ms)))


def _with_paused_gang(plan: Plan) -> Plan:
    """In a few plans the first job is a gang that is paused by checkpoint and resumed again and again. The pinned ones aren't among them."""
    rng = random.Random(f"paused gang plan {plan.seed}")  # noqa: S311 – the same
    first = plan.jobs[0]
    room = room_for(plan.hosts, first.spec)
    if not 0.1 <= rng.random() < 0.15 or room < 2:
        return plan
    spec = msgspec.structs.replace(
        first.spec, gang=True, num_tasks=room, max_task_failures=0, timeout_ms=None, job_timeout_ms=None, held=False,
        pause_by=PauseBy.CHECKPOINT,
    )  # fmt: skip
    at_ms, acts = rng.randrange(200, 4_000), list[ActPlan]()
    while at_ms < plan.chaos_ms // 2 and len(acts) < 8:
        acts.append(ActPlan(at_ms, "resume" if len(acts) % 2 else "pause", 0, None))
        at_ms += rng.choice((300, 1_500, 6_000))
    spec = msgspec.structs.replace(spec, environment={SAVES: rng.choice(("each", "first"))})
    jobs = (replace(first, spec=spec, duration_ms=(8_000, 24_000), failure_rate=first.failure_rate / 4), *plan.jobs[1:])
    return replace(plan, jobs=jobs, acts=tuple(sorted((*plan.acts, *acts), key=lambda act: act.at_ms)))


def _with_bands(plan: Plan) -> Plan:
    """In some plans jobs are of several priority bands, and make way for each other. The pinned seeds' plans aren't among them."""
    rng = random.Random(f"band plan {plan.seed}")  # noqa: S311 – the same
    if not 0.5 <= rng.random() < 0.7:
        return plan
    jobs = tuple(
        replace(job, spec=msgspec.structs.replace(job.spec, priority=rng.choice((-100, 0, 0, 99, 100, 200))))
        for job in plan.jobs
    )
    allowed = ActPlan(rng.randrange(3_000), "allow preemption", 0, None)
    return replace(plan, jobs=jobs, acts=tuple(sorted((*plan.acts, allowed), key=lambda act: act.at_ms)))


def _with_shared_gpus(plan: Plan) -> Plan:
    """In some plans jobs share GPUs by memory, and more of them ask for some. The pinned ones aren't among them."""
    rng = random.Random(f"gpu plan {plan.seed}")  # noqa: S311 – the same
    if not 0.5 <= rng.random() < 0.65 or not any(host.gpus for host in plan.hosts):
        return plan
    return replace(plan, jobs=tuple(replace(job, spec=_shared(rng, job.spec)) for job in plan.jobs))


def _shared(rng: random.Random, spec: JobSpec) -> JobSpec:
    gpus = spec.resources.gpus_asked or (0 if spec.gang or spec.worker else 1)
    if not gpus or rng.random() < 0.3:
        return spec
    part = rng.choice((0.2, 0.4, 0.6))
    wanted = Resources(gpus=gpus, gpu_memory_mb=round(part * GPU_MEMORY_MB), share=True)
    return msgspec.structs.replace(spec, resources=wanted)


def _with_reservations(plan: Plan) -> Plan:
    """In some plans workers are reserved, or in maintenance, for a while. The pinned seeds' plans aren't among them."""
    rng = random.Random(f"reservation plan {plan.seed}")  # noqa: S311 – the same
    if plan.seed in UNCHANGED or not 0.3 <= rng.random() < 0.4:
        return plan
    acts = [
        ActPlan(
            rng.randrange(plan.chaos_ms // 2),
            rng.choice(("reserve", "maintenance")),
            rng.randrange(len(plan.jobs)),
            None,
        )
        for _ in range(rng.randrange(1, 4))
    ]
    return replace(plan, acts=tuple(sorted((*plan.acts, *acts), key=lambda act: act.at_ms)))


def _with_shares(plan: Plan) -> Plan:
    """In some plans there are several people, who may not have all; in a few two of them compete. The pinned ones aren't among them."""
    rng = random.Random(f"share plan {plan.seed}")  # noqa: S311 – the same
    chance = rng.random()
    if 0.57 <= chance < 0.578:
        return _with_contest(plan, rng)
    if not 0.5 <= chance < 0.57:
        return plan
    people = PEOPLE[: rng.randrange(1, 4)]
    jobs = tuple(replace(job, person=rng.choice(people)) for job in plan.jobs)
    jobs = tuple(
        replace(job, spec=msgspec.structs.replace(job.spec, num_tasks=max(job.spec.num_tasks, 3))) for job in jobs
    )
    shares = tuple(
        (person, ShareChange(tasks=rng.choice((1, 1, 2, 3)), gpus=rng.choice((None, 0, 1))))
        for person in people
        if rng.random() < 0.8
    )
    return replace(plan, jobs=jobs, shares=shares)


def _with_contest(plan: Plan, rng: random.Random) -> Plan:
    """Two people with more to do than there is time for, and nothing else that happens."""
    people = ("ana", "ben") if rng.random() < 0.5 else ("ben", "ana")
    hosts = tuple(replace(host, slots=max(2, host.slots)) for host in plan.hosts[:3])
    spec = JobSpec(command=("work",), num_tasks=120)
    length = rng.choice(((500, 1_500), (1_000, 1_000), (1_000, 3_000)))
    jobs = tuple(
        JobPlan(
            at_ms=500, job_id=job_id(rng.getrandbits(50)), spec=spec, duration_ms=length, failure_rate=0.0,
            stubborn_rate=0.0, log_bytes=0, person=person,
        )
        for person in rng.sample(people, 2)
    )  # fmt: skip
    weights = (people[0], ShareChange(weight=2)), (people[1], ShareChange(weight=1))
    return Plan(plan.seed, hosts, jobs, chaos_ms=25_000, shares=weights, contest=people)


def _with_backfill(plan: Plan) -> Plan:
    """In a few plans one host is all there is: a wide job waits there for tasks of which it is known how long they take, and short ones come."""
    rng = random.Random(f"backfill plan {plan.seed}")  # noqa: S311 – the same
    if plan.seed in UNCHANGED or plan.contest is not None or not 0.165 <= rng.random() < 0.19:
        return plan
    gpus = tuple(f"gpu-0-{index}" for index in range(rng.choice((2, 3, 4))))
    length = rng.choice(((40_000, 44_000), (30_000, 60_000)))
    gang = {"gang": True, "num_tasks": len(gpus), "max_task_failures": 0}
    wide = rng.choice(({"resources": Resources(gpus=len(gpus)), "num_tasks": 2}, gang))
    jobs = [
        _filling_job(rng, 0, "train", length, num_tasks=3 * len(gpus)),
        _filling_job(rng, 500, "wide", (3_000, 9_000), **wide),
    ]
    for _ in range(rng.randrange(4, 12)):
        limit_ms = rng.choice((1_000, 3_000, 8_000, None))
        spec = {"timeout_ms": limit_ms, "grace_ms": rng.choice((0, 500, 3_000)), "num_tasks": rng.choice((1, 2, 5))}
        jobs.append(_filling_job(rng, rng.randrange(1_000, 100_000), "short", (500, 12_000), **spec))
    faults = tuple(replace(fault, host=0) for fault in plan.faults)
    return Plan(plan.seed, (HostPlan("host0", len(gpus) + 1, gpus),), tuple(jobs), faults=faults, chaos_ms=120_000)


def _filling_job(rng: random.Random, at_ms: int, name: str, length: tuple[int, int], **fields: Any) -> JobPlan:
    spec = JobSpec(command=("work",), name=name, **{"resources": Resources(gpus=1), **fields})
    return JobPlan(
        at_ms=at_ms, job_id=job_id(rng.getrandbits(50)), spec=spec, duration_ms=length, failure_rate=0.0,
        stubborn_rate=0.0, log_bytes=0,
    )  # fmt: skip


def _with_saving(rng: random.Random, spec: JobSpec) -> JobSpec:
    if rng.random() < 0.2:
        return spec
    by = PauseBy.CHECKPOINT if rng.random() < 0.8 else PauseBy.FREEZE
    return msgspec.structs.replace(spec, environment={SAVES: "each"}, pause_by=by)


def _laptop(rng: random.Random, name: str, trees: tuple[ContentId, ...], chaos_ms: int) -> LaptopPlan:
    here: list[tuple[int, int]] = []
    at_ms = rng.choice((0, rng.randrange(chaos_ms)))
    while at_ms < chaos_ms and len(here) < 4:
        go_ms = at_ms + rng.choice((500, 5_000, 30_000))
        here.append((at_ms, go_ms))
        at_ms = go_ms + rng.choice((1_000, 20_000, 70_000))
    return LaptopPlan(name, trees, tuple(here))


def _with_uploads(
    rng: random.Random, spec: JobSpec, kept: tuple[ContentId, ...], laptops: tuple[LaptopPlan, ...]
) -> JobSpec:
    places = [(tree, "") for tree in kept] + [(tree, laptop.name) for laptop in laptops for tree in laptop.trees]
    uploads = tuple(
        Upload(name=tree[:2], content_id=tree, size_bytes=1 << 30, files=1, host=host, host_id=host and f"id-of-{host}")
        for tree, host in rng.sample(places, min(len(places), rng.choice((0, 1, 1, 2))))
    )
    return msgspec.structs.replace(spec, uploads=uploads, collect=("*",) if rng.random() < 0.5 else ())


def room_for(hosts: Sequence[HostPlan], spec: JobSpec) -> int:
    """How many tasks of a job run at once where nothing else does."""
    gpus = spec.resources.gpus_asked
    allowed = [host for host in hosts if spec.worker in {None, host.name}]
    return sum(min(host.slots, len(host.gpus) // gpus if gpus else host.slots) for host in allowed)


def _act(rng: random.Random, jobs: tuple[JobPlan, ...], chaos_ms: int) -> ActPlan:
    verb = rng.choice(("cancel", "cancel", "pause", "pause", "resume", "hold", "release", "retry", "drain", "priority"))
    job = rng.randrange(len(jobs))
    tasks = jobs[job].spec.num_tasks
    return ActPlan(rng.randrange(chaos_ms), verb, job, rng.randrange(tasks) if rng.random() < 0.3 else None)


def _faults(
    rng: random.Random, hosts: tuple[HostPlan, ...], chaos_ms: int, only: Sequence[str] | None
) -> list[FaultPlan]:
    kinds = rng.sample(FAULTS, rng.randrange(1, 6)) if only is None else only
    if not kinds:
        return []
    faults = [
        FaultPlan(
            at_ms=rng.randrange(chaos_ms),
            kind=rng.choice(kinds),
            host=rng.randrange(len(hosts)),
            duration_ms=rng.choice((rng.randrange(500), rng.randrange(10_000), rng.randrange(30_000, 100_000))),
        )
        for _ in range(rng.randrange(FAULTS_AT_ONCE_MAX))
    ]
    return sorted(faults, key=lambda fault: fault.at_ms)
