"""A sign and a word for every state, so none depends on its colour. Pure.

Signs take one cell, have no emoji form that a terminal would draw two cells wide, and are in the fonts terminals ship
with. That rules out ⏸, ⚠ and ⛔.
"""

from collections.abc import Mapping
from typing import NamedTuple

from opsconsole_console import format as fmt
from opsconsole_console.widget.cell import Cell, joined
from opsconsole_protocol.state import TaskState, WorkerConnection, WorkerStatus


class Sign(NamedTuple):
    """How a state is shown: one cell, a word, a tone of the theme."""

    glyph: str
    word: str
    tone: str

    @property
    def cell(self) -> Cell:
        """`▶ running`."""
        return Cell(((f"{self.glyph} {self.word}", self.tone),))


TASK_SIGNS: Mapping[str, Sign] = {
    state: Sign(glyph, fmt.state_word(state), tone)
    for state, glyph, tone in (
        (TaskState.RUNNING, "▶", "state-running"),
        (TaskState.PAUSED, "‖", "state-paused"),
        (TaskState.BUILDING, "◔", "state-building"),
        (TaskState.ASSIGNED, "→", "state-building"),
        (TaskState.SUCCEEDED, "✓", "state-succeeded"),
        (TaskState.FAILED, "✗", "state-failed"),
        (TaskState.KILLED, "⊘", "state-killed"),
        (TaskState.WORKER_FAILED, "↯", "state-lost"),
        (TaskState.PREEMPTED, "↶", "state-lost"),
        (TaskState.UNSCHEDULABLE, "∅", "state-failed"),
        (TaskState.PENDING, "⋯", "state-pending"),
        (TaskState.HELD, "◇", "state-held"),
        (TaskState.BLOCKED, "⊠", "state-blocked"),
    )
}
"""States of attempts, tasks and jobs, in the order in which a summary names them."""

WORKER_SIGNS: Mapping[str, Sign] = {
    WorkerStatus.AVAILABLE: Sign("●", "available", "state-available"),
    WorkerStatus.BUSY: Sign("◉", "busy", "state-running"),
    WorkerStatus.RESERVED: Sign("◑", "reserved", "state-building"),
    WorkerStatus.MAINTENANCE: Sign("◐", "maintenance", "state-draining"),
    "draining": Sign("◐", "draining", "state-draining"),
    WorkerConnection.CONNECTED: Sign("●", "up", "state-available"),
    WorkerConnection.SILENT: Sign("◌", "silent", "state-silent"),
    WorkerConnection.LOST: Sign("↯", "lost", "state-lost"),
}
"""Status and connection of workers."""

_SIGNS: Mapping[str, Sign] = {**TASK_SIGNS, **WORKER_SIGNS}


def sign(state: str) -> Sign:
    """The sign of a task's, job's, attempt's or worker's state; a state of a newer version shows as itself."""
    known = _SIGNS.get(state)
    return known if known is not None else Sign("?", fmt.state_word(state), "text-muted")


def tally(counts: Mapping[str, int]) -> Cell:
    """How many are in which state, zeros left out: `▶ 4  ✓ 11  ⋯ 17`."""
    order = [state for state in _SIGNS if counts.get(state)] + [s for s in counts if s not in _SIGNS and counts[s]]
    cells = (Cell(((f"{sign(state).glyph} {fmt.count(counts[state])}", sign(state).tone),)) for state in order)
    return joined(cells, "  ")
