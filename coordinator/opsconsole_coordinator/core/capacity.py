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
    return total(worker, key) - sum(one.promised.get(key, 0) for one in worker.live.values())


def free_gpus(worker: Worker, memory_mb: int = 0) -> tuple[list[Gpu], list[str]]:
    """The GPUs that a task could have now, and for each other GPU why not."""
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
    """The GPUs that a task could have if no other task of ours had any."""
    return [gpu for gpu in worker.gpus if _gpu_refusal(gpu, frozenset(), memory_mb) is None]


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


def _is_used_by_others(gpu: Gpu) -> bool:
    return sum(user.memory_mb or 0 for user in gpu.processes if not user.attempt_id) > FOREIGN_MEMORY_MB_MAX


def lacks_folder(worker: Worker, name: str) -> str:
    """What folder a worker would need to have an input, in words; empty where it may have it."""
    return missing_folder(worker.mounts, name)
