"""The tables of the transfers screen."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.binding import BindingType

from opsconsole.transfer.pending import PendingFetch, PendingGet, PendingOffer
from opsconsole.transfer.row import TransferRow
from opsconsole_console import format as fmt
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.screen.part.transfer_cell import HOTKEYS, transfer_columns
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable


class TransferPane(TablePane[TransferRow]):
    """What moves and what has moved, the newest first."""

    nothing = "Nothing was transferred from here yet\n\nopen a worker's or a job's files with f"
    BINDINGS: ClassVar[list[BindingType]] = [*sort_bindings("transfers", HOTKEYS)]

    def __init__(self) -> None:
        super().__init__(number=1, title="Transfers", id="transfers")

    def make_table(self) -> LiveTable[str, TransferRow]:
        return LiveTable(self.columns(80), flush_hz=None, id="transfer-table")

    def columns(self, width: int) -> Sequence[Column[TransferRow]]:  # noqa: ARG002 - the same at every width
        return transfer_columns()

    def properties(self, row: TransferRow) -> Mapping[str, Any]:
        return {"kind": str(row.kind), "state": str(row.phase), "worker": row.peer, "job": row.job_id,
                "way": None if row.way is None else str(row.way), "engine": row.engine, "size": row.bytes_total}  # fmt: skip

    def haystack(self, row: TransferRow) -> str:
        return f"{row.title} {row.peer} {row.phase} {row.error}".casefold()


@dataclass(frozen=True)
class PendingRow:
    """Something that waits: for a worker that wants it, or for the end of a job."""

    id: str
    kind: str
    what: str
    jobs: str
    note: str
    created_at_ms: int


def offer_row(one: PendingOffer) -> PendingRow:
    """A file that jobs want from here."""
    note = f"{fmt.size(one.size_bytes)} from {_text(one.path)}"
    return PendingRow(one.id, "send", one.name, " ".join(one.job_ids), note, one.created_at_ms)


def fetch_row(one: PendingFetch) -> PendingRow:
    """Results that are to be brought here."""
    return PendingRow(one.id, "bring", one.pattern, one.job_id, f"to {_text(one.folder)}", one.created_at_ms)


def get_row(one: PendingGet) -> PendingRow:
    """What somebody was getting when the process was killed."""
    return PendingRow(one.id, "bring", one.what, one.of, f"to {_text(one.folder)}: interrupted", one.created_at_ms)


def _text(path: bytes) -> str:
    return os.fsdecode(path).encode("utf-8", "replace").decode()


class PendingPane(TablePane[PendingRow]):
    """What goes on by itself, as long as this console or another one of this person is open."""

    nothing = "Nothing waits"

    def __init__(self) -> None:
        super().__init__(number=2, title="Waiting", id="pending")

    def make_table(self) -> LiveTable[str, PendingRow]:
        return LiveTable(self.columns(80), flush_hz=None, id="pending-table")

    def columns(self, width: int) -> Sequence[Column[PendingRow]]:  # noqa: ARG002 - the same at every width
        return (
            Column("kind", "TO", lambda row: row.kind, 6, priority=8),
            Column("what", "WHAT", lambda row: row.what, 14, flex=2, priority=9, sort_key=lambda row: row.what, named=True),
            Column("jobs", "OF", lambda row: row.jobs, 10, flex=1, priority=7, sort_key=lambda row: row.jobs, named=True),
            Column("note", "", lambda row: row.note, 16, flex=3, priority=6, tone="text-muted", named=True),
        )  # fmt: skip

    def properties(self, row: PendingRow) -> Mapping[str, Any]:
        return {"kind": row.kind, "job": row.jobs}

    def haystack(self, row: PendingRow) -> str:
        return f"{row.kind} {row.what} {row.jobs} {row.note}".casefold()
