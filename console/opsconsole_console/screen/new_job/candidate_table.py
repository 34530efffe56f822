"""The right side of the new-job dialog: what every worker says to the job as it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from opsconsole_console import format as fmt
from opsconsole_console.model.expected import basis_words, range_text, verdict_start
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part import worker_cell
from opsconsole_console.screen.part.wide_row_table import WideRowTable
from opsconsole_console.widget.cell import Cell, cell, joined
from opsconsole_console.widget.column import Column
from opsconsole_protocol.api import Candidates, InputCheck, InputState, Verdict, WorkerRow

_STATES = (
    (InputState.NO_FOLDER, "state-failed"),
    (InputState.MISSING, "state-failed"),
    (InputState.UNREACHABLE, "text-muted"),
    (InputState.ASKING, "text-muted"),
)
_NARROW_CELLS = 64
_WORDS: Mapping[str, str] = {
    InputState.UNREACHABLE: "not reached", InputState.ASKING: "asking …",
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A worker with its verdict; without one: automatic placement, and what it would do."""

    name: str
    chosen: bool
    verdict: Verdict | None = None
    worker: WorkerRow | None = None
    text: str = ""
    inputs: tuple[str, ...] = ()
    """The input files as they are named now: an answer about others is none about these."""
    says_supply: bool = False
    """Whether what the verdict says of the job's data is about what it would bring along now."""

    @property
    def checks(self) -> tuple[InputCheck, ...]:
        """What the worker says of each."""
        checks = {} if self.verdict is None else {check.name: check for check in self.verdict.inputs}
        return tuple(checks.get(name, InputCheck(name=name, state=InputState.ASKING)) for name in self.inputs)

    @property
    def is_open(self) -> bool:
        """Whether it still has to say something."""
        return any(check.state == InputState.ASKING for check in self.checks)


def candidates(
    answer: Candidates, model: Model, chosen: str, inputs: tuple[str, ...], *, says_supply: bool = False
) -> dict[str, Candidate]:
    """Automatic first, then workers as ranked."""
    rows = {"automatic": Candidate("automatic", not chosen, text=answer.text)}
    for verdict in answer.verdicts:
        worker = model.fleet.workers.get(verdict.worker_id)
        rows[verdict.worker_id] = Candidate(
            verdict.worker, verdict.worker == chosen, verdict, worker, "", inputs, says_supply
        )
    return rows


class CandidateTable(WideRowTable[str, Candidate]):
    """Enter, space or a double click chooses."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "open", "Choose", id="candidate.choose")]

    def __init__(self) -> None:
        super().__init__(
            _columns(),
            wide_cell=self._refusal,
            wide_from=self._refusal_from,
            empty="asking every worker …",
            id="candidate-table",
        )

    @property
    def _is_narrow(self) -> bool:
        """Whether a worker's reason has no room behind its answer about the inputs: then both stand in one place."""
        return self.size.width < _NARROW_CELLS

    def _refusal_from(self, row: Candidate) -> str:
        if row.verdict is None:
            return "verdict"
        return "input" if self._is_narrow else "start"

    def _refusal(self, row: Candidate) -> Cell | None:
        if row.verdict is None:
            return cell(row.text, "text-muted")
        if row.verdict.accepted or row.is_open:
            return None
        start = _start(row)
        later = f"; {start}" if start not in {"", "now"} else ""
        reason = Cell(((row.verdict.reason, ""), (later, "text-muted")))
        keeps_away = [check for check in row.checks if check.state != InputState.FOUND] if self._is_narrow else []
        return joined((input_cell(keeps_away), reason), " · ") if keeps_away else reason


def _columns() -> Sequence[Column[Candidate]]:
    return (
        Column("chosen", "", _chosen, 1, priority=20),
        Column("worker", "WORKER", _name, 12, flex=1, width_max=20, priority=19),
        Column("verdict", "", _verdict, 1, priority=18),
        Column("gpus", "FREE", _free, 9, flex=1, width_max=13, priority=12),
        Column("input", "INPUT", _input, 17, flex=2, width_max=32, priority=14),
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
    if row.is_open:
        return cell("◌", "text-muted")
    return cell("✓", "state-succeeded") if row.verdict.accepted else cell("✗", "state-failed")


def _free(row: Candidate) -> Cell:
    if row.verdict is None or row.worker is None or not row.worker.gpus:
        return cell("" if row.verdict is None else "no GPU", "text-muted")
    model = worker_cell.model_label(row.worker.gpus[0])
    return Cell(((f"{row.verdict.gpus_free}/{len(row.worker.gpus)} ", ""), (model, "text-muted")))


def _input(row: Candidate) -> Cell:
    if row.verdict is None:
        return cell("")
    if row.says_supply and row.verdict.supply and all(check.state == InputState.FOUND for check in row.checks):
        return cell(row.verdict.supply, "state-succeeded" if row.verdict.lacks_bytes is None else "text-muted")
    if not row.inputs:
        label = worker_cell.io_paths(row.worker)[2] if row.worker is not None else ""
        return cell(label or fmt.NOTHING, "text-muted")
    return input_cell(row.checks)


def input_cell(checks: Sequence[InputCheck]) -> Cell:
    """The first that keeps the job away, or that all is there."""
    for state, tone in _STATES:
        for check in checks:
            if check.state == state:
                name = f"{check.name}: " if len(checks) > 1 and state is not InputState.NO_FOLDER else ""
                return cell(name + _WORDS.get(state, check.detail), tone)
    return cell(checks[0].detail if len(checks) == 1 else f"all {len(checks)} found", "state-succeeded")


def _start(row: Candidate) -> str:
    return "" if row.verdict is None else verdict_start(row.verdict)


def _takes(row: Candidate) -> str:
    if row.verdict is None or row.verdict.estimated_duration_ms is None:
        return ""
    if (takes := row.verdict.takes) is not None:
        basis = basis_words(takes)
        return f"{range_text(takes)}{', ' if basis else ''}{basis}"
    return f"~{fmt.duration(row.verdict.estimated_duration_ms)}"
