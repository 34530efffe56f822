"""What is known about a worker, as lines. Pure."""

from opsconsole_console import format as fmt
from opsconsole_console.model.drain import drain_words
from opsconsole_console.model.reservation import reserved_words
from opsconsole_console.screen.part import worker_cell
from opsconsole_console.screen.part.facts import facts, side_by_side
from opsconsole_console.screen.part.io_line import PLACE
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.mount import Mount, mounts_of

_TWO_COLUMNS_CELLS = 100


def worker_facts(worker: WorkerRow, now_ms: int, cells: int) -> list[Line]:
    """Status, folders and host; in two columns where there is room."""
    source, target, label = worker_cell.io_paths(worker)
    status = worker_cell.status_cell(worker) + cell(
        f"  {worker.running_tasks} of {worker.max_concurrent_jobs} slots taken, {len(worker.gpus_free)} of "
        f"{len(worker.gpus)} GPUs free", "text-muted",
    )  # fmt: skip
    left = facts(
        (
            ("status", status),
            ("maintenance", drain_words(worker, now_ms)),
            ("reserved", reserved_words(worker)),
            ("attention", cell(worker.attention, "state-paused") if worker.attention else ""),
            ("input", Cell(((source, "bold primary"), (f"  {PLACE}", "text-muted"))) if source else ""),
            ("output", target),
            ("filesystem", label),
            *(("mount", _mount(mount)) for mount in mounts_of({"mounts": worker.properties.get("mounts")})),
            ("folders", "" if source or target else cell("none set on this worker", "text-muted")),
        )
    )
    host = worker.host
    properties = worker.properties
    right = facts(
        (
            ("host", _words(properties.get("hostname"), properties.get("os"))),
            ("heard", f"{fmt.age(worker.last_seen_ms, now_ms)} ago"),
            ("processor", f"{host.cpu_percent:.0f} % busy, load {host.load1:.1f}"),
            ("memory", _memory(host.memory_used_mb, host.memory_available_mb)),
            ("disk", "" if host.disk_free_mb is None else f"{fmt.size(host.disk_free_mb * 1_048_576)} free"),
            ("tags", " ".join(worker.tags)),
            ("versions", _versions(properties)),
        )
    )
    if cells >= _TWO_COLUMNS_CELLS:
        return side_by_side(left, right, cells * 11 // 20)
    return left + right[1:4]


def _mount(mount: Mount) -> Cell:
    notes = ("writable",) * mount.writable + tuple(f"= {alias}" for alias in mount.aliases)
    return Cell(((f"{mount.label}: {mount.path}", ""), (f"  {'  '.join(notes)}", "text-muted")))


def _words(*values: object) -> str:
    return "  ".join(str(value) for value in values if value)


def _memory(used_mb: int, available_mb: int) -> str:
    total_mb = used_mb + available_mb
    return f"{fmt.memory(used_mb, total_mb)} used" if total_mb else ""


def _versions(properties: dict[str, object]) -> str:
    found = (
        (key.removesuffix("_version"), value) for key, value in sorted(properties.items()) if key.endswith("_version")
    )
    return "  ".join(f"{name} {value}" for name, value in found)
