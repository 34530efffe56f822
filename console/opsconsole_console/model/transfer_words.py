"""A transfer in words: how far it is, and how it ended. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole_console import format as fmt

_STALLED_S = 3.0
"""How long nothing may come before that is said."""


def fraction(row: TransferRow) -> float | None:
    """How much of it is done; None before that can be told."""
    if row.phase is TransferPhase.DONE:
        return 1.0
    return row.bytes_done / row.bytes_total if row.bytes_total else None


def as_it_is(row: TransferRow, still_s: float) -> TransferRow:
    """The row of a transfer of which nothing has come for some seconds: its last rate isn't true any more."""
    if row.phase is not TransferPhase.MOVING or still_s < _STALLED_S or row.rate_bytes_s is None:
        return row
    return replace(row, rate_bytes_s=0.0, left_ms=None)


def rate_words(row: TransferRow) -> str:
    """`95 MB/s`; nothing before anything was measured."""
    if row.rate_bytes_s is None or (row.is_over and not row.rate_bytes_s):
        return ""
    return f"{fmt.size(row.rate_bytes_s)}/s" if row.rate_bytes_s else "stalled"


def size_words(row: TransferRow) -> str:
    """`3.2 of 7.8 GB` while it moves, and then what it was."""
    if not row.bytes_total:
        return ""
    total = fmt.size(row.bytes_total)
    if row.is_over or not row.bytes_done:
        return total
    done = fmt.size(row.bytes_done)
    return f"{done.partition(' ')[0] if done.partition(' ')[2] == total.partition(' ')[2] else done} of {total}"


def progress_words(row: TransferRow, *, has_size: bool = True, has_way: bool = True) -> str:
    """What stands behind the bar of one that is under way: size, rate, time left, way."""
    if row.phase in {TransferPhase.SCANNING, TransferPhase.CONNECTING, TransferPhase.WAITING}:
        return row.note or ("looking at the files" if row.phase is TransferPhase.SCANNING else "connecting")
    if is_looked_for(row):
        return f"{row.peer or 'the other side'} is looking at its files"
    left = "" if row.left_ms is None else f"{fmt.duration(row.left_ms, figures=2)} left"
    parts = (size_words(row) if has_size else "", rate_words(row), left, row.way_words if has_way else "")
    return "  ".join(part for part in parts if part)


def is_looked_for(row: TransferRow) -> bool:
    """Whether the other side still reads what it is to send: that may take as long as sending it."""
    return row.phase is TransferPhase.MOVING and row.kind is TransferKind.GET and not row.bytes_total


def replace_question(names: Sequence[str], folder: str) -> str:
    """What is asked where files that were brought have other files in their place."""
    what = f"{names[0]} is" if len(names) == 1 else f"{len(names):,} files are"
    differs = "differs" if len(names) == 1 else "differ"
    return f"{what} in {folder} already, and {differs}. Replace?"


def end_words(row: TransferRow) -> str:
    """How it ended, in one line."""
    if row.phase is TransferPhase.CANCELLED:
        return "cancelled: what has arrived stays for the next time"
    if row.error:
        return row.error
    took = fmt.duration(None if row.ended_at_ms is None else row.ended_at_ms - row.started_at_ms)
    moved = row.bytes_total - row.bytes_skipped
    if moved <= 0 and row.bytes_known:
        return f"{size_words(row)}, all of which was {f'in {row.folder}' if row.folder else 'there'} already"
    files = f"{fmt.plural(row.files_total, 'file')}, " if row.files_total != 1 else ""
    to = f" to {row.folder}" if row.folder else ""
    rate = rate_words(row)
    way = "" if row.way is None else f" ({row.way_words})"
    return f"{files}{fmt.size(row.bytes_total)}{to} in {took}{f', {rate}' if rate else ''}{way}"
