"""The columns of the workers table, for a width."""

from collections.abc import Sequence

from opsconsole.fleet import worker_kind
from opsconsole_console import format as fmt
from opsconsole_console.model.model import Model
from opsconsole_console.model.reservation import brief_words
from opsconsole_console.model.utilisation import utilisation_percent
from opsconsole_console.screen.part import worker_cell
from opsconsole_console.widget import sparkline
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.state import WorkerConnection, WorkerStatus

_KIND_ORDER = {"up": 0, "draining": 1, "silent": 2, "lost": 3}
_WIDE_CELLS = 110
HOTKEYS = {"name": "N", "status": "S", "gpu": "U", "util": "L", "memory": "M", "io": "I", "heat": "P", "power": "W", "cpu": "C", "seen": "E"}  # fmt: skip
"""Which letter sorts by which column."""


def worker_columns(model: Model, width: int) -> Sequence[Column[WorkerRow]]:
    """What fits is decided by the table; only the sparkline's length is decided here."""
    spark_cells = 4 if width < 72 else 8 if width < _WIDE_CELLS else 24

    def utilisation(worker: WorkerRow) -> Cell:
        if not worker.gpus:
            return cell(fmt.NOTHING, "text-disabled")
        samples = model.utilisation.of(worker.id)
        return sparkline.utilisation(sparkline.window(samples, spark_cells))

    def seen(worker: WorkerRow) -> Cell:
        late = worker.connection != WorkerConnection.CONNECTED
        return cell(fmt.age(worker.last_seen_ms, model.clock()), "state-silent" if late else "text-muted")

    def reserved(worker: WorkerRow) -> Cell:
        row = worker.reservation
        if row is None:
            return cell("")
        tone = sign(WorkerStatus.RESERVED).tone if row.in_force else "text-muted"
        return cell(brief_words(row, model.clock(), with_gpus=width >= _WIDE_CELLS), tone)

    columns = [
        Column("name", "NAME", lambda w: w.name, 12, flex=2, width_max=28, priority=10, hotkey=HOTKEYS["name"],
               sort_key=lambda w: w.name.casefold()),
        Column("status", "STATUS", worker_cell.status_cell, 13, flex=1, width_max=17, priority=9, hotkey=HOTKEYS["status"],
               sort_key=lambda w: (_KIND_ORDER[worker_kind(w)], w.status, w.name)),
        Column("gpu", "GPU", worker_cell.gpu_label, 11, flex=1, width_max=14, priority=8, hotkey=HOTKEYS["gpu"],
               sort_key=lambda w: (-len(w.gpus), worker_cell.gpu_label(w))),
        Column("util", "UTIL", utilisation, spark_cells, priority=7, hotkey=HOTKEYS["util"], descending=True,
               sort_key=utilisation_percent),
        Column("memory", "MEM", worker_cell.memory_cell, 8, flex=1, width_max=10, align="right", priority=6,
               hotkey=HOTKEYS["memory"], descending=True, sort_key=lambda w: worker_cell.memory_mb(w)[1]),
        Column("io", "IN → OUT", worker_cell.io_cell, 8, flex=1, width_max=12, priority=5, hotkey=HOTKEYS["io"],
               sort_key=lambda w: worker_cell.io_paths(w)[2]),
        Column("heat", "TEMP", lambda w: _unit(worker_cell.heat_c(w), "°"), 4, align="right", priority=3, hotkey=HOTKEYS["heat"],
               descending=True, sort_key=worker_cell.heat_c, tone="text-muted"),
        Column("power", "POWER", lambda w: _unit(worker_cell.power_w(w), " W"), 7, align="right", priority=2,
               descending=True, sort_key=worker_cell.power_w, tone="text-muted", hotkey=HOTKEYS["power"]),
        Column("cpu", "CPU", lambda w: f"{w.host.cpu_percent:.0f} %", 5, align="right", priority=2,
               descending=True, sort_key=lambda w: w.host.cpu_percent, tone="text-muted", hotkey=HOTKEYS["cpu"]),
        Column("seen", "SEEN", seen, 4, align="right", priority=2, hotkey=HOTKEYS["seen"],
               sort_key=lambda w: -(w.last_seen_ms or 0)),
        Column("tags", "TAGS", lambda w: " ".join(w.tags), 12, flex=2, priority=1, tone="text-muted"),
    ]  # fmt: skip
    if is_any_reserved(model):
        columns.insert(
            2,
            Column(
                "reservation",
                "RESERVED",
                reserved,
                22 if width >= _WIDE_CELLS else 14,
                flex=1,
                width_max=28,
                priority=8,
            ),
        )
    return columns


def is_any_reserved(model: Model) -> bool:
    """Whether there is something to say about who has which worker."""
    return any(one.reservation is not None for one in model.fleet.workers.values())


def _unit(value: float | None, unit: str) -> str:
    return fmt.NOTHING if value is None else f"{value:,.0f}{unit}"
