"""Where to put files for the worker under the cursor, and where its results will be."""

from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.worker_cell import io_paths
from opsconsole_console.widget.cell import Cell, cell, crop, width
from opsconsole_protocol.api import WorkerRow

PLACE = "← place your files here"
_PLACE_SHORT = "← your files"


def io_lines(worker: WorkerRow | None, cells: int) -> list[Line]:
    """One line with both folders, and one with what needs attention, if anything does."""
    if worker is None:
        return [Line(cell(""))]
    source, target, _ = io_paths(worker)
    lines = [_paths(source, target, cells)]
    if worker.attention:
        lines.append(Line(cell(f"   ! {worker.attention}", "state-paused")))
    elif worker.gpu_message and not worker.gpus:
        lines.append(Line(cell(f"   {worker.gpu_message}", "text-muted")))
    return lines


def _paths(source: str, target: str, cells: int) -> Line:
    if not source and not target:
        return Line(cell("   no input or output folder set on this worker", "text-muted"))
    for place in (PLACE, _PLACE_SHORT, "←"):
        if 3 + width(source) + 2 + len(place) + 2 + width(target) + 1 <= cells:
            break
    else:
        place = "←"
        room = max(8, (cells - 9) // 2)
        source, target = crop(source, room), crop(target, room)
    left = Cell((("   " + (source or "no input folder"), "bold primary" if source else "text-muted"),
                 (f"  {place}" if source else "", "text-muted")))  # fmt: skip
    return Line(left, cell((target or "no output folder") + " ", "" if target else "text-muted"))


class IoLine(LineView):
    """Always in sight under the workers."""

    DEFAULT_CSS = "IoLine { height: auto; min-height: 1; max-height: 2; }"

    def __init__(self) -> None:
        super().__init__(id="io-line")
        self._worker: WorkerRow | None = None

    def tell(self, worker: WorkerRow | None) -> None:
        """Show this worker's folders."""
        self._worker = worker
        self.show(io_lines(worker, self.size.width or 80))

    def on_resize(self) -> None:
        self.tell(self._worker)
