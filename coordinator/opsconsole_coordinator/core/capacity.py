"""What a worker has of GPUs, CPUs, memory and folders, and what of it is free."""

from collections.abc import Iterable, Sequence

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.reserved_offer import ReservedOffer
from opsconsole_protocol.link import Gpu
from opsconsole_protocol.mount import missing_folder
from opsconsole_protocol.quantity import memory_words, spell_second

FOREIGN_MEMORY_MB_MAX = 512
"""A GPU on which processes that aren't ours hold more than this isn't free, and neither is one on which any of them computes."""


def total(worker: Worker, key: str) -> float:
    """How much a worker has of a capacity (`cpus`, `memory_mb`); 0 where it didn't say."""
    found = worker.properties.get(key)
    return float(found) if isinstance(found, (int, float)) else 0.0


def free_capacity(worker: Worker, key: str) -> float:
    """How much of a capacity no live attempt was promised."""
    return total(worker, key) - worker.live.load.promised.get(key, 0)


def free_gpus(worker: Worker, memory_mb: int = 0) -> list[Gpu]:
    """The GPUs that a task could have for itself now."""
    is_free = worker.live.load.gpus.is_free
    return [gpu for gpu in worker.gpus if is_free(gpu.uuid) and _is_usable(gpu, memory_mb)]


def gpu_refusals(worker: Worker, memory_mb: int = 0) -> list[tuple[int, str]]:
    """The index of each GPU that a task couldn't have for itself now, and why not."""
    found = ((gpu.index, _gpu_refusal(worker, gpu, memory_mb)) for gpu in worker.gpus)
    return [(index, reason) for index, reason in found if reason is not None]


def gpus_words(worker: Worker, reasons: Iterable[tuple[int, str]]) -> str:
    """What is to say of GPUs, each thing once: `GPU 0 is lost; each of GPUs 1 and 2 has a task`; `each has a task`."""
    indices: dict[str, list[int]] = {}
    for index, reason in reasons:
        indices.setdefault(reason, []).append(index)
    return "; ".join(f"{_which(worker, those)} {reason}" for reason, those in indices.items())


def _which(worker: Worker, indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"GPU {indices[0]}"
    if len(indices) == len(worker.gpus):
        return "each"
    return f"each of GPUs {', '.join(map(str, indices[:-1]))} and {indices[-1]}"


def fit_gpus(worker: Worker, memory_mb: int = 0) -> list[Gpu]:
    """The GPUs that a task could have for itself if no other task of ours had any."""
    return [gpu for gpu in worker.gpus if _is_usable(gpu, memory_mb)]


def usable_gpus(gpus: Iterable[Gpu]) -> list[tuple[str, str, bool, int | None]]:
    """What of GPUs' readings decides whether tasks may have them, or shares of them."""
    return [(gpu.uuid, gpu.state, is_used_by_others(gpu), foreign_mb(gpu)) for gpu in gpus]


def _gpu_refusal(worker: Worker, gpu: Gpu, memory_mb: int) -> str | None:
    load = worker.live.load.gpus
    if gpu.uuid in load.whole:
        offers = worker.live.offers.values()
        return next((offer_words(one) for one in offers if gpu.uuid in one.gpu_ids), "has a task")
    if gpu.uuid in load.shared:
        tasks = load.shared[gpu.uuid].tasks
        return f"is shared by {tasks} task{'s' if tasks > 1 else ''}"
    if gpu.state != "ok":
        return state_words(gpu)
    if is_used_by_others(gpu):
        return f"is used by {foreign_words(gpu)}"
    if memory_mb and (gpu.memory_total_mb or 0) < memory_mb:
        return f"has {memory_words(gpu.memory_total_mb or 0)} of the {memory_words(memory_mb)} needed"
    return None


def capacity_words(key: str, amount: float, *, with_noun: bool = True) -> str:
    """An amount of a capacity: `4 CPUs`, `32G of memory`; `4`, `32G` without its noun."""
    if key == "memory_mb":
        return memory_words(amount) + (" of memory" if with_noun else "")
    return f"{amount:g}" + (f" CPU{'' if amount == 1 else 's'}" if with_noun else "")


def slots_words(worker: Worker, taken: int, *, with_gpus: bool) -> str:
    """That all slots are taken; where there are GPUs beyond them, what limits that."""
    limit = worker.max_concurrent_jobs
    why = " (max_concurrent_jobs)" if with_gpus and len(worker.gpus) > limit else ""
    return f"is full{why}: {taken} of {limit} slot{'s' if limit > 1 else ''} taken"


def offer_words(offer: ReservedOffer) -> str:
    """For whom an offer is reserved and until when: `is reserved for ana, who chose it, until 09:00:07 UTC`."""
    return f"is reserved for {offer.person}, who chose it, until {spell_second(offer.until_ms)}"


def state_words(gpu: Gpu) -> str:
    """What is wrong with a GPU."""
    state = "in error" if gpu.state == "error" else gpu.state
    return f"is {state}{': ' + gpu.message if gpu.message else ''}"


def foreign_words(gpu: Gpu) -> str:
    """`pid 4711 (python, 11G), which opsconsole didn't start`: of foreign processes the largest."""
    foreign = [user for user in gpu.processes if not user.attempt_id]
    largest = max(foreign, key=lambda user: (user.memory_mb or 0, user.is_compute))
    parts = (largest.name, "" if largest.memory_mb is None else memory_words(_rounded(largest.memory_mb)))
    about = ", ".join(part for part in parts if part)
    others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
    return f"pid {largest.pid}{f' ({about})' if about else ''}{others}, which opsconsole didn't start"


def _rounded(memory_mb: int) -> int:
    """Not so that words which are stored change with every reading: to whole GiB, or hundreds of MiB."""
    step = 1024 if memory_mb >= 1024 else 100
    return round(memory_mb / step) * step


def _is_usable(gpu: Gpu, memory_mb: int) -> bool:
    return gpu.state == "ok" and (gpu.memory_total_mb or 0) >= memory_mb and not is_used_by_others(gpu)


def is_used_by_others(gpu: Gpu) -> bool:
    """Whether processes that aren't ours compute on a GPU, or hold more of its memory than a desktop does."""
    if not gpu.processes:
        return False
    foreign = [user for user in gpu.processes if not user.attempt_id]
    return (
        any(user.is_compute for user in foreign) or sum(user.memory_mb or 0 for user in foreign) > FOREIGN_MEMORY_MB_MAX
    )


def foreign_mb(gpu: Gpu) -> int | None:
    """How much of a GPU's memory processes hold that aren't ours; None where one computes and the driver doesn't say how much it holds."""
    if not gpu.processes:
        return 0
    foreign = [user for user in gpu.processes if not user.attempt_id]
    if any(user.memory_mb is None and user.is_compute for user in foreign):
        return None
    return sum(user.memory_mb or 0 for user in foreign)


def has_room(worker: Worker, gpus: int, capacities: Iterable[tuple[float, str]], share_mb: int = 0) -> bool:
    """Whether enough slots, GPUs and capacities are free for a task, whatever else stands against it."""
    load = worker.live.load
    if share_mb:
        if worker.max_concurrent_jobs <= load.with_gpus and not load.gpus.shared:
            return False
        has = load.gpus.has_room
        if sum(has(one.uuid, share_mb, one.memory_total_mb or 0) for one in worker.gpus) < gpus:
            return False
    elif gpus:
        taken = len(load.gpus.whole) + len(load.gpus.shared)
        if worker.max_concurrent_jobs <= load.with_gpus or len(worker.gpus) - taken < gpus:
            return False
    elif worker.max_concurrent_jobs <= load.slots:
        return False
    for need, key in capacities:  # noqa: SIM110 - a loop, because nothing is asked more often
        if total(worker, key) - load.promised.get(key, 0) < need:
            return False
    return True


def lacks_folder(worker: Worker, name: str) -> str:
    """What folder a worker would need to have an input, in words; empty where it may have it."""
    return missing_folder(worker.mounts, name)
