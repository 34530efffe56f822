"""Whether a worker can take a task of a job now, and which worker shall. Every decision comes with its reason."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from heapq import heapify

from opsconsole_coordinator.core.fleet import INPUT_ANSWER_MS_MAX, Fleet
from opsconsole_coordinator.core.model import Answer, Job, Reserved, Task, Worker
from opsconsole_coordinator.core.trouble import blocking
from opsconsole_protocol import link
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Gpu, Kind
from opsconsole_protocol.requirement import Requirement
from opsconsole_protocol.spec import JobSpec

FOREIGN_MEMORY_MB_MAX = 512
"""A GPU on which other people's processes hold more than this isn't free."""
SHORT_TASK_MS = 100
"""Tasks that end this soon are assigned ahead of a free slot, so that none waits for a round trip; about so much work."""
PREFETCH_MAX = 64
AVOID_PATIENCE_MS = 60_000
"""How long a task waits for a worker where it hasn't failed yet, if there is one."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be placed, once per job."""

    spec: JobSpec
    requirements: tuple[Requirement, ...]
    prefetch: int = 0
    avoid: tuple[str, ...] = ()
    job_id: JobId | None = None
    """Whose it is: what is reserved for it is free to it."""
    takes_avoided: bool = False
    """Nobody else will do: it takes workers that are avoided for a while, too."""
    # Worked out once, for thousands of workers are asked:
    named: tuple[str, ...] = field(init=False)
    gpus: int = field(init=False)
    """How many GPUs a task gets: asking for GPU memory asks for a GPU."""
    capacities: tuple[tuple[float, str, str], ...] = field(init=False)
    """What is asked for of a worker's capacities: how much, of which property, in words."""
    files: tuple[tuple[Kind, str], ...] = field(init=False)
    """What it has to find on its worker: its working folder and its input files."""

    def __post_init__(self) -> None:
        spec, needs = self.spec, self.spec.resources
        asked = ((needs.cpus, "cpus", "CPUs"), (float(needs.memory_mb), "memory_mb", "MB of memory"))
        folder = () if spec.workdir is None else ((Kind.FOLDER, spec.workdir),)
        for name, value in (
            ("named", spec.named_workers),
            ("gpus", needs.gpus or (1 if needs.gpu_memory_mb else 0)),
            ("capacities", tuple(one for one in asked if one[0])),
            ("files", folder + tuple((Kind.INPUT, one) for one in spec.inputs)),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Offer:
    """One worker's answer: accepted with the GPUs it would give, or the reason why not."""

    worker: Worker
    accepted: bool
    reason: str
    gpu_ids: tuple[str, ...] = ()
    permanent: bool = False
    """Waiting wouldn't help: the worker itself would have to change."""
    soon: bool = False
    """It would take it once others have ended there, or once it has answered."""
    avoided: bool = False
    """It is refused, or was taken where nobody else will do, for what failed there lately."""


UNASKED = Answer(None, "asking the worker", 0)

Ranked = tuple[tuple[float, float, int, str], int, Offer]
"""An accepted offer with its rank and its place among all."""


def demand_of(job: Job, task: Task | None = None) -> Demand:
    """What placing one of the job's tasks asks for."""
    return Demand(job.spec, job.requirements, prefetch_of(job), task.avoid if task is not None else (), job.id)


def prefetch_of(job: Job) -> int:
    """How many tasks beyond a worker's slots: as much work as takes SHORT_TASK_MS, one after the other."""
    if job.mean_duration_ms is None or job.mean_duration_ms >= SHORT_TASK_MS or job.spec.resources.gpus:
        return 0
    if job.spec.gang:
        return 0  # its tasks start together
    return min(PREFETCH_MAX, int(SHORT_TASK_MS / max(job.mean_duration_ms, 1)))


def judge(fleet: Fleet, worker: Worker, demand: Demand, now_ms: int) -> Offer:
    """One worker's answer. What waiting can't change is said first: it is the better reason."""
    unfit = _unfit(worker, demand)
    if unfit:
        return Offer(worker, False, unfit, permanent=True)
    absent = _absent(worker, demand)
    if absent:
        return Offer(worker, False, absent)
    avoided = worker.avoided_until_ms > now_ms and not demand.named
    if avoided and not demand.takes_avoided:
        # No countdown: a reason is stored with every job that waits, and must not change every second.
        return Offer(worker, False, f"is avoided for a while after {worker.avoided_after}", avoided=True)
    occupied = _occupied(worker, demand)
    if occupied:
        return Offer(worker, False, occupied, soon=True, avoided=avoided)
    gpus, reason = _choose_gpus(worker, demand)
    if gpus is None:
        return Offer(worker, False, reason, soon=True, avoided=avoided)
    missing = missing_input(fleet, worker, demand, now_ms)
    if missing is not None:
        return Offer(worker, False, missing[1], soon=missing[0] is None, avoided=avoided)
    return Offer(worker, True, "free", gpus, avoided=avoided)


def judge_again(fleet: Fleet, offer: Offer, demand: Demand, now_ms: int) -> Offer:
    """The answer of a worker that has just been given a task."""
    return judge(fleet, offer.worker, _with_avoided(demand) if offer.avoided else demand, now_ms)


def ask_each(fleet: Fleet, demand: Demand, now_ms: int) -> list[Offer]:
    """Every worker's answer. Those that are avoided count where nobody else will take it, now or soon."""
    offers = [judge(fleet, worker, demand, now_ms) for worker in fleet.workers.values() if not worker.revoked]
    if any(one.avoided for one in offers) and not any(one.accepted or one.soon for one in offers):
        return [judge(fleet, one.worker, _with_avoided(demand), now_ms) if one.avoided else one for one in offers]
    return offers


def _with_avoided(demand: Demand) -> Demand:
    return replace(demand, takes_avoided=True)


def missing_input(fleet: Fleet, worker: Worker, demand: Demand, now_ms: int) -> tuple[bool | None, str] | None:
    """The first of what a job has to find that the worker hasn't said it has: whether it is there (null: asked), and why."""
    for kind, name in demand.files:
        answer = ask(fleet, worker, kind, name, now_ms)
        if answer.found is not True:
            return answer.found, f"needs {name}: {answer.detail}"
    return None


def ask(fleet: Fleet, worker: Worker, kind: Kind, name: str, now_ms: int) -> Answer:
    """What the worker last said of a file or folder; asks it (again) when that is old or unknown."""
    question = (worker.id, kind, name)
    known = fleet.inputs.get(question, UNASKED)
    if known.good_until_ms <= now_ms:
        known = fleet.inputs[question] = known._replace(good_until_ms=now_ms + INPUT_ANSWER_MS_MAX)
        fleet.send(worker, link.InputFile(check_id=fleet.check_id(question), filename=name, kind=kind))
    return known


def rank(offer: Offer, estimates: dict[str, float]) -> tuple[float, float, int, str]:
    """What makes an offer better (lower): the shorter estimate, the emptier worker, the fewer GPUs, the name."""
    worker = offer.worker
    unknown = sum(estimates.values()) / len(estimates) if estimates else 0.0
    load = len(worker.live) / worker.max_concurrent_jobs
    return (round(estimates.get(worker.id, unknown), -2), load, len(worker.gpus), worker.name)


def ask_all(fleet: Fleet, demand: Demand, known: dict[str, float], now_ms: int) -> tuple[list[Offer], list[Ranked]]:
    """Every worker's offer, and a heap of the accepted ones with their places, the best first."""
    offers = ask_each(fleet, demand, now_ms)
    ranked = [(rank(offer, known), place, offer) for place, offer in enumerate(offers) if offer.accepted]
    heapify(ranked)
    return offers, ranked


def choose(offers: Iterable[Offer], estimates: dict[str, float] | None = None) -> Offer | None:
    """The best of the accepted offers."""
    known = estimates or {}
    return min((one for one in offers if one.accepted), key=lambda one: rank(one, known), default=None)


def free_gpus(worker: Worker, memory_mb: int = 0) -> tuple[list[Gpu], list[str]]:
    """The GPUs that could be given away, and for each other one why not."""
    taken = worker.gpus_taken
    free: list[Gpu] = []
    refusals: list[str] = []
    for gpu in worker.gpus:
        reason = _gpu_refusal(gpu, taken, memory_mb)
        if reason is None:
            free.append(gpu)
        else:
            refusals.append(f"GPU {gpu.index} {reason}")
    return free, refusals


def fit_gpus(worker: Worker, memory_mb: int = 0) -> list[Gpu]:
    """The GPUs that could be given away if no task of ours had any."""
    return [gpu for gpu in worker.gpus if _gpu_refusal(gpu, frozenset(), memory_mb) is None]


def _gpu_refusal(gpu: Gpu, taken: Collection[str], memory_mb: int) -> str | None:
    if gpu.uuid in taken:
        return "has a task"
    if gpu.state != "ok":
        state = "in error" if gpu.state == "error" else gpu.state
        return f"is {state}{': ' + gpu.message if gpu.message else ''}"
    foreign = [user for user in gpu.processes if not user.attempt_id]
    held = sum(user.memory_mb or 0 for user in foreign)
    if held > FOREIGN_MEMORY_MB_MAX:
        return f"is used by pid {foreign[0].pid} ({foreign[0].name}), not ours"
    if memory_mb and (gpu.memory_total_mb or 0) < memory_mb:
        return f"has {gpu.memory_total_mb or 0} MB of the {memory_mb} MB needed"
    return None


def has_input_folder(worker: Worker) -> bool:
    """Whether it can have input files at all."""
    return bool((worker.properties.get("io_paths") or {}).get("input"))


def is_named(worker: Worker, names: Collection[str]) -> bool:
    """Whether these names or ids mean this worker, too."""
    return worker.name in names or worker.id in names


def _unfit(worker: Worker, demand: Demand) -> str:
    """Why this worker will never do as it is; empty when it might."""
    spec, needs = demand.spec, demand.spec.resources
    named = demand.named
    if named and not is_named(worker, named):
        return f"the job asks for worker {' or '.join(named)}"
    project = worker.properties.get("project")
    if project and project != spec.project:
        return f"takes jobs of project {project} only"
    if worker.revoked:
        return "its credential was revoked"
    facts = worker.facts() if demand.requirements else {}
    for one in demand.requirements:
        if not one.matches(facts):
            return one.explain(facts)
    if spec.inputs and not has_input_folder(worker):
        return "has no input folder (start its agent with --input-path)"
    for need, key, label in demand.capacities:
        if total(worker, key) < need:
            return f"needs {need:g} {label}; it has {total(worker, key):g}"
    count = demand.gpus
    if len(worker.gpus) < count:
        detail = f" ({worker.gpu_message})" if worker.gpu_message and not worker.gpus else ""
        return f"needs {_gpus(count)}; it has {len(worker.gpus)}{detail}"
    if sum((gpu.memory_total_mb or 0) >= needs.gpu_memory_mb for gpu in worker.gpus) < count:
        return f"needs {_gpus(count)} of {needs.gpu_memory_mb} MB; its largest has {_largest_mb(worker)} MB"
    return ""


def _absent(worker: Worker, demand: Demand) -> str:
    """Why this worker takes nothing at the moment."""
    if worker.connection != "connected" or worker.session is None:
        return f"is {worker.connection if worker.connection != 'connected' else 'reconnecting'}"
    if worker.maintenance:
        return "is in maintenance (undrain it to use it)"
    if worker.troubles and (trouble := blocking(worker)):
        return f"takes no new tasks: {trouble}"
    if worker.unproved:
        return "has attempts that this store doesn't know (look at its attention in `opsconsole workers`)"
    if worker.id in demand.avoid:
        return "failed this task before"
    return ""


def _occupied(worker: Worker, demand: Demand) -> str:
    """What of this worker is taken at the moment."""
    with_gpus = demand.gpus > 0
    left = worker.slots_left(with_gpus=with_gpus)
    if left + demand.prefetch <= 0:
        by = " by tasks with GPUs" if with_gpus else ""
        limit = worker.max_concurrent_jobs
        return f"busy: {limit - left} of {limit} slots taken{by} (max_concurrent_jobs)"
    for need, key, label in demand.capacities:
        free = total(worker, key) - sum(worker.promised(key).values())
        if free < need:
            return f"needs {need:g} {label}; {free:g} of {total(worker, key):g} are free"
    kept = _kept(worker, demand)
    return _reserved(worker, demand, kept) if kept is not None else ""


def _kept(worker: Worker, demand: Demand) -> Reserved | None:
    """What is kept free on this worker for another job."""
    kept = worker.reserved
    return None if kept is None or kept.job_id == demand.job_id else kept


def _reserved(worker: Worker, demand: Demand, kept: Reserved) -> str:
    """Whether too little is left beside what is kept free; nothing is assigned ahead of a slot that is."""
    if kept.with_gpus:
        is_left = not demand.gpus or worker.slots_left(with_gpus=True) > kept.slots
    else:
        is_left = len(worker.live) + kept.slots < worker.max_concurrent_jobs
    for need, key, _ in demand.capacities:
        free = total(worker, key) - sum(worker.promised(key).values()) - kept.promised.get(key, 0)
        is_left = is_left and free >= need
    return "" if is_left else f"is {_for_whom(kept)}"


def _for_whom(kept: Reserved) -> str:
    return f"reserved for gang {kept.job_id}" if kept.gang else f"kept for job {kept.job_id}, which is next in line"


def promised_of(spec: JobSpec) -> dict[str, float]:
    """What one task is promised of its worker's capacities."""
    asked = (("cpus", spec.resources.cpus), ("memory_mb", spec.resources.memory_mb))
    return {key: float(need) for key, need in asked if need}


def total(worker: Worker, key: str) -> float:
    """How much a worker has of a capacity, by the property's name; 0 when it didn't say."""
    found = worker.properties.get(key)
    return float(found) if isinstance(found, (int, float)) else 0.0


def has_gpus(spec: JobSpec) -> bool:
    """Whether its tasks get any GPUs."""
    return bool(spec.resources.gpus or spec.resources.gpu_memory_mb)


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' if count > 1 else ''}"


def _largest_mb(worker: Worker) -> int:
    return max((gpu.memory_total_mb or 0 for gpu in worker.gpus), default=0)


def _choose_gpus(worker: Worker, demand: Demand) -> tuple[tuple[str, ...] | None, str]:
    """The GPUs to give, or why not enough are free."""
    count = demand.gpus
    if not count:
        return (), ""
    free, refusals = free_gpus(worker, demand.spec.resources.gpu_memory_mb)
    kept = _kept(worker, demand)
    if kept is not None:
        refusals += [f"GPU {gpu.index} is {_for_whom(kept)}" for gpu in free if gpu.uuid in kept.gpu_ids]
        free = [gpu for gpu in free if gpu.uuid not in kept.gpu_ids]
    if len(free) < count:
        return None, f"needs {count} free GPU{'s' if count > 1 else ''}, {len(free)} free: {'; '.join(refusals)}"
    # The smallest GPUs that suffice, so that large ones stay free for those who need them.
    free.sort(key=lambda gpu: (gpu.memory_total_mb or 0, gpu.index))
    return tuple(gpu.uuid for gpu in free[:count]), ""
