"""GPUs that tasks share by memory: how much of each is left, which to give, and what a share counts as."""

from collections.abc import Iterable, Sequence

from opsconsole_coordinator.core.capacity import foreign_mb, foreign_words, gpus_words, slots_words, state_words
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Reserved, Worker
from opsconsole_protocol.api import SharedGpu
from opsconsole_protocol.gpu_load import NOT_SHARED, SHARERS_MAX
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Gpu
from opsconsole_protocol.quantity import memory_words
from opsconsole_protocol.spec import Place


def left_mb(worker: Worker, gpu: Gpu) -> int:
    """How much of a GPU's memory tasks may still be promised; nothing where one has it for itself, or it can't be used.

    A task that holds more than it asked for counts with what it holds, and foreign processes with what they hold.
    """
    load = worker.live.load.gpus
    foreign = foreign_mb(gpu)
    if gpu.uuid in load.whole or gpu.state != "ok" or foreign is None:
        return 0
    tasks, memory_mb = load.shared.get(gpu.uuid, NOT_SHARED)
    if tasks >= SHARERS_MAX:
        return 0
    return max(0, (gpu.memory_total_mb or 0) - foreign - memory_mb - _over_mb(worker, gpu))


def _over_mb(worker: Worker, gpu: Gpu) -> int:
    """How much live tasks hold of a GPU beyond what they asked for."""
    held: dict[str, int] = {}
    for user in gpu.processes:
        if user.attempt_id:
            held[user.attempt_id] = held.get(user.attempt_id, 0) + (user.memory_mb or 0)
    over = 0
    for attempt_id, memory_mb in held.items():
        attempt = worker.live.get(AttemptId(attempt_id))
        if attempt is not None and attempt.share_mb:
            over += max(0, memory_mb - attempt.share_mb)
    return over


def shared_gpus(worker: Worker) -> tuple[SharedGpu, ...]:
    """Those of a worker's GPUs that tasks share, as rows."""
    shared = worker.live.load.gpus.shared
    if not shared:
        return ()
    return tuple(
        SharedGpu(uuid=gpu.uuid, tasks=found.tasks, asked_mb=found.memory_mb, left_mb=left_mb(worker, gpu))
        for gpu in worker.gpus
        if (found := shared.get(gpu.uuid)) is not None
    )


def fit_for_share(worker: Worker, share_mb: int) -> list[Gpu]:
    """The GPUs that would have a share for a task if no other task of ours had any of them."""
    found = ((gpu, foreign_mb(gpu)) for gpu in worker.gpus if gpu.state == "ok")
    return [gpu for gpu, held in found if held is not None and (gpu.memory_total_mb or 0) - held >= share_mb]


def choose_shares(worker: Worker, demand: Demand, kept: Reserved | None) -> tuple[tuple[str, ...] | None, str]:
    """The GPUs of which a task is to have its share, or None and why too few have it left. `kept`: what is kept for others.

    Those that are shared already come first and of these the fullest, so that others stay whole; where jobs are spread, the emptiest.
    """
    load = worker.live.load.gpus
    lefts = [(gpu, _left_beside(worker, gpu, kept)) for gpu in worker.gpus]
    fit = [(gpu, left) for gpu, left in lefts if left >= demand.share_mb]
    if demand.spec.place is Place.SPREAD:
        fit.sort(key=lambda one: (-one[1], one[0].index))
    else:
        fit.sort(key=lambda one: (one[0].uuid not in load.shared, one[1], one[0].index))
    if len(fit) < demand.gpus:
        return None, _refusal(worker, demand, lefts, len(fit), kept)
    more_slots = _slots_left(worker, kept)
    for those in (fit, [one for one in fit if one[0].uuid in load.shared]):
        chosen = tuple(gpu.uuid for gpu, _ in those[: demand.gpus])
        if len(chosen) == demand.gpus and load.slots_with(chosen) - load.slots <= more_slots:
            return chosen, ""
    whom = f", and what is free {kept_words(kept)}" if kept is not None else ""
    return None, f"{slots_words(worker, load.slots, with_gpus=True)}{whom}"


def _left_beside(worker: Worker, gpu: Gpu, kept: Reserved | None) -> int:
    if kept is None:
        return left_mb(worker, gpu)
    return 0 if gpu.uuid in kept.gpu_ids else left_mb(worker, gpu) - kept.shares.get(gpu.uuid, 0)


def _slots_left(worker: Worker, kept: Reserved | None) -> int:
    """How many slots a task with shares may add. One that joins others adds none."""
    left = worker.slots_left(with_gpus=True)
    if kept is not None:
        left = min(left, worker.slots_left(with_gpus=kept.with_gpus) - kept.slots)
    return max(0, left)


def kept_words(kept: Reserved) -> str:
    """For whom something is kept on a worker."""
    return (
        f"is reserved for gang {kept.job_id}" if kept.gang else f"is kept for job {kept.job_id}, which is next in line"
    )


def _refusal(
    worker: Worker, demand: Demand, lefts: Sequence[tuple[Gpu, int]], count: int, kept: Reserved | None
) -> str:
    wanted = f"{demand.gpus} GPUs" if demand.gpus > 1 else "a GPU"
    has = {0: "none has", 1: "one has"}.get(count, f"{count} have")
    words = gpus_words(
        worker, ((gpu.index, _left_words(worker, gpu, kept)) for gpu, left in lefts if left < demand.share_mb)
    )
    return f"needs {memory_words(demand.share_mb)} of {wanted} to share, {has} that much left: {words}"


def _left_words(worker: Worker, gpu: Gpu, kept: Reserved | None) -> str:
    load = worker.live.load.gpus
    if gpu.uuid in load.whole:
        return "has a task for itself"
    if gpu.state != "ok":
        return state_words(gpu)
    tasks = load.shared.get(gpu.uuid, NOT_SHARED).tasks
    if tasks >= SHARERS_MAX:
        return f"is shared by {tasks} tasks, and at most {SHARERS_MAX} may"
    words = f"has {memory_words(left_mb(worker, gpu))} of {memory_words(gpu.memory_total_mb or 0)} left"
    words += f", shared by {tasks} task{'s' if tasks > 1 else ''}" if tasks else ""
    words += f", used by {foreign_words(gpu)}" if foreign_mb(gpu) != 0 else ""
    return f"{words}, and {kept_words(kept)}" if kept is not None and kept.is_of(gpu.uuid) else words


def counted_gpus(worker: Worker, gpu_ids: Iterable[str], share_mb: int) -> float:
    """How many GPUs shares of these count as: of each the part that was asked for."""
    sizes = {gpu.uuid: gpu.memory_total_mb or 0 for gpu in worker.gpus}
    return sum(_part(share_mb, sizes.get(one, 0)) for one in gpu_ids)


def counted_before(fleet: Fleet, demand: Demand) -> float:
    """How many GPUs a task counts as before its worker is known: shares are taken for those of the smallest GPU that would do."""
    if not demand.share_mb:
        return demand.gpus
    sizes = (gpu.memory_total_mb or 0 for one in fleet.workers.values() for gpu in one.gpus)
    smallest = min((size for size in sizes if size >= demand.share_mb), default=0)
    return demand.gpus * _part(demand.share_mb, smallest)


def _part(share_mb: int, size_mb: int) -> float:
    return min(1.0, share_mb / size_mb) if size_mb else 1.0


def watch_share(fleet: Fleet, attempt: Attempt) -> str:
    """That a task holds more GPU memory than it asked for, in words, once; empty where it doesn't."""
    used = attempt.usage.gpu_memory_mb if attempt.usage is not None else None
    asked = attempt.share_mb * len(attempt.gpu_ids)
    if used is None or used <= asked or attempt.is_share_exceeded:
        return ""
    attempt.is_share_exceeded = True
    fleet.touch_attempt(attempt)
    return f"holds {memory_words(used)} of GPU memory and asked for {memory_words(asked)} (--gpu-memory): others on that GPU may run out of it"
