"""Each GPU of a worker: how busy, how full, how hot, and who uses it. Pure."""

from collections.abc import Callable

from opsconsole_console import format as fmt
from opsconsole_console.screen.part.line_view import BLANK, Line
from opsconsole_console.screen.part.worker_cell import model_label
from opsconsole_console.widget import bar, sparkline
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_protocol.api import SharedGpu, WorkerRow
from opsconsole_protocol.link import Gpu, GpuUser
from opsconsole_protocol.quantity import memory_words

_WIDE_CELLS = 84
NameAttempt = Callable[[str], str]
"""What an attempt is called, from its id."""


def gpu_lines(worker: WorkerRow, name: NameAttempt, cells: int) -> list[Line]:
    """A block of lines for each of its GPUs."""
    lines: list[Line] = []
    shared = {one.uuid: one for one in worker.gpus_shared}
    for gpu in worker.gpus:
        standing = _standing(shared.get(gpu.uuid), is_free=gpu.uuid in worker.gpus_free)
        lines += [*_head(gpu, standing, cells), *(_process(process, name) for process in gpu.processes), BLANK]
    return lines[:-1]


def _standing(shared: SharedGpu | None, *, is_free: bool) -> Cell:
    """`free`, `taken` or `shared by 3, 6G left`."""
    if shared is not None:
        return cell(f"shared by {shared.tasks}, {memory_words(shared.left_mb)} left", "state-running")
    return cell("free", "state-available") if is_free else cell("taken", "state-running")


def _head(gpu: Gpu, taken: Cell, cells: int) -> list[Line]:
    label = Cell(((f"{gpu.index:>2}  ", "bold primary"), (f"{model_label(gpu):<12}", "bold"))) + taken
    if gpu.state != "ok":
        return [Line(label + cell(f"  ✗ {gpu.state}: {gpu.message}", "state-failed"))]
    meters = 16 if cells >= _WIDE_CELLS else 10
    used = _share(gpu.memory_used_mb, gpu.memory_total_mb)
    load = _metered("load", None if gpu.utilization_percent is None else gpu.utilization_percent / 100, meters,
                    fmt.NOTHING if gpu.utilization_percent is None else f"{gpu.utilization_percent} %",
                    sparkline.level_tone(gpu.utilization_percent))  # fmt: skip
    memory = _metered("memory", used, meters, fmt.memory(gpu.memory_used_mb, gpu.memory_total_mb), "bar")
    temperature = Cell(((_temperature_and_power(gpu), "gpu-hot" if (gpu.temperature_c or 0) >= 80 else "text-muted"),))
    if cells >= _WIDE_CELLS:
        return [Line(label, temperature + cell(" ")), Line(cell("    ") + load + cell("   ") + memory)]
    return [Line(label, temperature + cell(" ")), Line(cell("    ") + load), Line(cell("    ") + memory)]


def _metered(word: str, share: float | None, cells: int, figure: str, tone: str) -> Cell:
    return Cell(((f"{word:<7}", "text-muted"),)) + bar.meter(share, cells, tone) + Cell(((f" {figure:>9}", ""),))


def _temperature_and_power(gpu: Gpu) -> str:
    parts = []
    if gpu.temperature_c is not None:
        parts.append(f"{gpu.temperature_c} °C")
    if gpu.power_w is not None:
        limit = "" if gpu.power_limit_w is None else f"/{gpu.power_limit_w:.0f}"
        parts.append(f"{gpu.power_w:.0f}{limit} W")
    return "  ".join(parts)


def _process(process: GpuUser, name: NameAttempt) -> Line:
    memory = "" if process.memory_mb is None else fmt.used_memory(process.memory_mb)
    lead = f"    {process.name[:20]:<12} {process.pid:>7} {memory:>6}  "
    if process.attempt_id:
        return Line(Cell(((lead, "text-muted"), (name(process.attempt_id), ""))))
    return Line(Cell(((lead, "text-muted"), ("not one of ours", "state-paused"))))


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole
