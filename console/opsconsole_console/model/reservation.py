"""Reservations in words, and the times that people type for them."""

import datetime as dt

from opsconsole_console import format as fmt
from opsconsole_protocol.api import ReservationRow, WorkerRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import duration_ms


def from_and_until(begin: str, until: str, now_ms: int) -> tuple[int, int]:
    """When it begins and ends, in Unix milliseconds: `now`, an ISO date and time, or `+8h`, which for the end counts from the beginning.

    Raises InvalidRequest.
    """
    from_ms = _moment(begin, now_ms, now_ms)
    return from_ms, _moment(until, from_ms, now_ms)


def _moment(text: str, base_ms: int, now_ms: int) -> int:
    text = text.strip()
    if text == "now":
        return now_ms
    if text.startswith("+"):
        return base_ms + duration_ms(text[1:])
    try:
        return round(dt.datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(f"{text[:60]!r} is no time: write now, +8h, or 2026-12-01T09:00") from None


def when(at_ms: int) -> str:
    """A time to the minute, as this machine's clock shows it."""
    return fmt.stamp(at_ms).rpartition(":")[0]


def holder_words(row: ReservationRow) -> str:
    """Such as `project vision, 4 GPUs`, or `maintenance`."""
    holder = f"project {row.project}" if row.project else row.person
    gpus = "" if row.gpus is None else f", {fmt.plural(row.gpus, 'GPU')}"
    return "maintenance" if row.maintenance else holder + gpus


def worker_words(row: ReservationRow) -> str:
    """The workers, the first few by name."""
    more = f" and {len(row.workers) - 3} more" if len(row.workers) > 3 else ""
    return ", ".join(row.workers[:3]) + more


def reserved_words(worker: WorkerRow) -> str:
    """Such as `for project vision until 2026-12-01 17:00`; empty where nothing of it is reserved."""
    row = worker.reservation
    if row is None:
        return ""
    begin = "" if row.in_force else f" from {when(row.from_ms)}"
    why = f" ({row.reason})" if row.reason else ""
    return f"for {holder_words(row)}{begin} until {when(row.until_ms)}{why}"
