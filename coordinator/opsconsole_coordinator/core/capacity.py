"""What a worker has of GPUs, CPUs, memory and folders, and what of it is free."""

from collections.abc import Collection, Iterable

from opsconsole_coordinator.core.model import Worker
from opsconsole_protocol.link import Gpu
from opsconsole_protocol.mount import missing_folder

FOREIGN_MEMORY_MB_MAX = 512
"""A GPU on which processes that aren't ours hold more than this isn't free."""


def total(worker: Worker, key: str) -> float:
    """How much a worker has of a capacity (`cpus`, `memory_mb`); 0 where it didn't say."""
    found = worker.properties.get(key)
    return float(found) if isinstance(found, (int, float)) else 0.0


def free_capacity(worker: Worker, key: str) -> float:
    """How much of a capacity no live attempt was promised."""
    return total(worker, key) - worker.live.load.promised.get(key, 0)


def free_gpus(worker: Worker, memory_mb: int = 0) -> list[Gpu]:
    """The GPUs that a task could have now."""
    taken = worker.gpus_taken
    return [gpu for gpu in worker.gpus if gpu.uuid not in taken and _is_usable(gpu, memory_mb)]


def gpu_refusals(worker: Worker, memory_mb: int = 0) -> list[str]:
    """For each GPU that a task couldn't have now why not."""
    taken = worker.gpus_taken
    found = ((gpu.index, _gpu_refusal(gpu, taken, memory_mb)) for gpu in worker.gpus)
    return [f"GPU {index} {reason}" for index, reason in found if reason is not None]


def fit_gpus(worker: Worker, memory_mb: int = 0) -> list[Gpu]:
    """The GPUs that a task could have if no other task of ours had any."""
    return [gpu for gpu in worker.gpus if _is_usable(gpu, memory_mb)]


def usable_gpus(gpus: Iterable[Gpu]) -> list[tuple[str, str, bool]]:
    """What of GPUs' readings decides whether tasks may have them."""
    return [(gpu.uuid, gpu.state, _is_used_by_others(gpu)) for gpu in gpus]


def _gpu_refusal(gpu: Gpu, taken: Collection[str], memory_mb: int) -> str | None:
    if gpu.uuid in taken:
        return "has a task"
    if gpu.state != "ok":
        state = "in error" if gpu.state == "error" else gpu.state
        return f"is {state}{': ' + gpu.message if gpu.message else ''}"
    if _is_used_by_others(gpu):
        foreign = [user for user in gpu.processes if not user.attempt_id]
        return f"is used by pid {foreign[0].pid} ({foreign[0].name}), not ours"
    if memory_mb and (gpu.memory_total_mb or 0) < memory_mb:
        return f"has {gpu.memory_total_mb or 0} MB of the {memory_mb} MB needed"
    return None


def _is_usable(gpu: Gpu, memory_mb: int) -> bool:
    return gpu.state == "ok" and (gpu.memory_total_mb or 0) >= memory_mb and not _is_used_by_others(gpu)


def _is_used_by_others(gpu: Gpu) -> bool:
    if not gpu.processes:
        return False
    return sum(user.memory_mb or 0 for user in gpu.processes if not user.attempt_id) > FOREIGN_MEMORY_MB_MAX


def has_room(worker: Worker, gpus: int, capacities: Iterable[tuple[float, str, str]]) -> bool:
    """Whether enough slots, GPUs and capacities are free for a task, whatever else stands against it."""
    load = worker.live.load
    if gpus:
        if worker.max_concurrent_jobs <= load.with_gpus or len(worker.gpus) - len(load.gpu_ids) < gpus:
            return False
    elif worker.max_concurrent_jobs <= len(worker.live):
        return False
    for need, key, _ in capacities:  # noqa: SIM110 - a loop, because nothing is asked more often
        if total(worker, key) - load.promised.get(key, 0) < need:
            return False
    return True


def lacks_folder(worker: Worker, name: str) -> str:
    """What folder a worker would need to have an input, in words; empty where it may have it."""
    return missing_folder(worker.mounts, name)
