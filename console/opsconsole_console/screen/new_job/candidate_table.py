"""The right side of the new-job dialog: what every worker says to the job as it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from opsconsole_console.app.model import Model
from opsconsole_console.screen.main import worker_cell
from opsconsole_console.screen.part.spill_table import SpillTable
from opsconsole_console.widget import format as fmt
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_protocol.api import Candidates, Verdict, WorkerRow

AUTOMATIC = ""
"""The id of the row that leaves the choice to the coordinator."""


@dataclass(frozen=True)
class Candidate:
    """A worker with its verdict; without one: automatic placement, and what it would do."""

    name: str
    chosen: bool
    verdict: Verdict | None = None
    worker: WorkerRow | None = None
    text: str = ""
    ask_inputs: bool = False


def candidates(answer: Candidates, model: Model, chosen: str, *, inputs: bool) -> dict[str, Candidate]:
    """Automatic first, then workers as ranked."""
    rows = {"automatic": Candidate("automatic", not chosen, text=answer.text)}
    for verdict in answer.verdicts:
        worker = model.fleet.workers.get(verdict.worker_id)
        rows[verdict.worker_id] = Candidate(verdict.worker, verdict.worker == chosen, verdict, worker, "", inputs)
    return rows


class CandidateTable(SpillTable[str, Candidate]):
    """Enter, space or a double click chooses."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "open", "Choose", id="candidate.choose")]

    def __init__(self) -> None:
        super().__init__(
            _columns(),
            spill=_refusal,
            spill_from=lambda row: "gpus" if row.verdict is None else "start",
            empty="asking every worker …",
            id="candidate-table",
        )


def _columns() -> Sequence[Column[Candidate]]:
    return (
        Column("chosen", "", _chosen, 1, priority=20),
        Column("worker", "WORKER", _name, 12, flex=1, width_max=20, priority=19),
        Column("verdict", "", _verdict, 1, priority=18),
        Column("gpus", "FREE", _free, 9, flex=1, width_max=13, priority=12),
        Column("input", "INPUT", _input, 14, flex=1, width_max=24, priority=14),
        Column("start", "START", _start, 6, priority=13),
        Column("takes", "TAKES", _takes, 6, flex=3, priority=11),
    )


def _chosen(row: Candidate) -> Cell:
    return cell("●", "primary") if row.chosen else cell("○", "text-disabled")


def _name(row: Candidate) -> Cell:
    return cell(row.name, "bold" if row.chosen else "" if row.verdict is None or row.verdict.accepted else "text-muted")


def _verdict(row: Candidate) -> Cell:
    if row.verdict is None:
        return cell("")
    return cell("✓", "state-succeeded") if row.verdict.accepted else cell("✗", "state-failed")


def _free(row: Candidate) -> Cell:
    if row.verdict is None or row.worker is None or not row.worker.gpus:
        return cell("" if row.verdict is None else "no GPU", "text-muted")
    model = worker_cell.model_label(row.worker.gpus[0])
    return Cell(((f"{row.verdict.gpus_free}/{len(row.worker.gpus)} ", ""), (model, "text-muted")))


def _input(row: Candidate) -> Cell:
    verdict = row.verdict
    if verdict is None:
        return cell("")
    if not row.ask_inputs:
        label = worker_cell.io_paths(row.worker)[2] if row.worker is not None else ""
        return cell(label or fmt.NOTHING, "text-muted")
    return cell(verdict.input, "state-succeeded" if verdict.input.startswith("found") else "state-failed")


def _start(row: Candidate) -> str:
    if row.verdict is None or row.verdict.estimated_start_ms is None:
        return ""
    at = row.verdict.estimated_start_ms
    return "now" if at <= 0 else f"in {fmt.duration(at)}"


def _takes(row: Candidate) -> str:
    if row.verdict is None or row.verdict.estimated_duration_ms is None:
        return ""
    return f"~{fmt.duration(row.verdict.estimated_duration_ms)}"


def _refusal(row: Candidate) -> Cell | None:
    if row.verdict is None:
        return cell(row.text, "text-muted")
    if row.verdict.accepted:
        return None
    later = _start(row)
    return Cell(((row.verdict.reason, ""), (f"; {later}" if later.startswith("in ") else "", "text-muted")))
