"""How a worker's facts are written. Pure."""

import re
from collections import Counter

from opsconsole.fleet import worker_kind
from opsconsole_console import format as fmt
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.link import Gpu
from opsconsole_protocol.state import WorkerConnection, WorkerStatus

_VENDOR = re.compile(r"^(NVIDIA|AMD|Tesla|Intel)\s+|\b(GeForce|Tesla|Graphics|PCIe|PCIE|SXM\d?|HBM\d?e?|NVL)\b")
_SIZE = re.compile(r"[\s-]*\b\d+\s?GB\b")
_FORMS_OF_SEVERAL_SIZES = frozenset({"A100", "H100", "V100", "A800", "H800", "P100"})


def model_label(gpu: Gpu) -> str:
    """A card's model as people say it: `A100-80`, `RTX 4090`, `L40S`."""
    name = _VENDOR.sub("", _VENDOR.sub("", _SIZE.sub("", gpu.name)))
    name = " ".join(name.replace("-", " ").split()) or gpu.name
    if name in _FORMS_OF_SEVERAL_SIZES and gpu.memory_total_mb:
        return f"{name}-{round(gpu.memory_total_mb / 1024)}"
    return name


def gpu_label(worker: WorkerRow) -> str:
    """All cards of a worker: `2×A100-80`; `no GPU` where there is none."""
    if not worker.gpus:
        return "no GPU"
    models = Counter(model_label(gpu) for gpu in worker.gpus)
    return " + ".join(f"{number}×{model}" for model, number in models.items())


def status_cell(worker: WorkerRow) -> Cell:
    """`◉ busy 1/2`; what is wrong comes before what it does."""
    kind = worker_kind(worker)
    if kind in (WorkerConnection.LOST, WorkerConnection.SILENT):
        return sign(kind).cell
    if kind == "draining":
        shown = sign("draining")
        word = f"draining {worker.running_tasks}" if worker.running_tasks else "drained"
        return cell(f"{shown.glyph} {word}", shown.tone)
    is_at_work = worker.running_tasks and worker.status == WorkerStatus.AVAILABLE
    shown = sign(WorkerStatus.BUSY if is_at_work else worker.status)
    taken = f" {worker.running_tasks}/{worker.max_concurrent_jobs}" if worker.running_tasks else ""
    return cell(f"{shown.glyph} {shown.word}{taken}", shown.tone)


def memory_cell(worker: WorkerRow) -> Cell:
    """GPU memory in use of all there is, over all cards: `61/160G`."""
    used, total = memory_mb(worker)
    if total is None:
        return cell(fmt.NOTHING, "text-disabled")
    return cell(fmt.memory(used, total))


def memory_mb(worker: WorkerRow) -> tuple[int | None, int | None]:
    """GPU memory used and there, in MiB, summed over cards, or None where no card says."""
    used = [gpu.memory_used_mb for gpu in worker.gpus if gpu.memory_used_mb is not None]
    total = [gpu.memory_total_mb for gpu in worker.gpus if gpu.memory_total_mb is not None]
    return (sum(used) if used else None), (sum(total) if total else None)


def io_paths(worker: WorkerRow) -> tuple[str, str, str]:
    """Input folder, output folder and filesystem label; each may be empty."""
    paths = worker.properties.get("io_paths")
    if not isinstance(paths, dict):
        return "", "", ""
    return str(paths.get("input") or ""), str(paths.get("output") or ""), str(paths.get("filesystem") or "")


def io_cell(worker: WorkerRow) -> Cell:
    """The label of the filesystem that inputs and outputs are on."""
    source, target, label = io_paths(worker)
    if not source and not target:
        return cell(fmt.NOTHING, "text-disabled")
    return cell(label or "local")


def heat_c(worker: WorkerRow) -> int | None:
    """The hottest card's temperature in °C."""
    return max((gpu.temperature_c for gpu in worker.gpus if gpu.temperature_c is not None), default=None)


def power_w(worker: WorkerRow) -> float | None:
    """Watts of all cards together."""
    known = [gpu.power_w for gpu in worker.gpus if gpu.power_w is not None]
    return sum(known) if known else None


def haystack(worker: WorkerRow) -> str:
    """What free text is looked for in, lower case."""
    words = (worker.name, worker.status, worker.connection, *worker.tags, gpu_label(worker), *io_paths(worker))
    return " ".join((*words, worker.id, worker.attention)).casefold()


def properties(worker: WorkerRow) -> dict[str, object]:
    """What filter conditions look at: the worker's own properties and what the table shows."""
    used, total = memory_mb(worker)
    return {
        **worker.properties,
        "id": worker.id,
        "name": worker.name,
        "status": worker.status,
        "connection": worker.connection,
        "tags": worker.tags,
        "filesystem": io_paths(worker)[2],
        "gpus": len(worker.gpus),
        "gpus_free": len(worker.gpus_free),
        "memory_used_mb": used,
        "memory_total_mb": total,
        "running_tasks": worker.running_tasks,
        "attention": worker.attention or None,
    }
