"""Reservations in words, and the times that people type for them."""

import datetime as dt
import shlex

from opsconsole_console import format as fmt
from opsconsole_protocol.api import ReservationRow, Reserve, WorkerRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import duration_ms

_KEYS = ("project", "person", "from", "until", "gpus", "reason")
_MAINTENANCE = "maintenance"
_GPU_DIGITS_MAX = 5


def from_and_until(begin: str, until: str, now_ms: int) -> tuple[int, int]:
    """When it begins and ends, in Unix milliseconds: `now`, an ISO date and time, or `+8h`, which for the end counts from the beginning.

    Raises InvalidRequest.
    """
    from_ms = _moment(begin, now_ms, now_ms)
    return from_ms, _moment(until, from_ms, now_ms)


def read_reserve(line: str, now_ms: int) -> Reserve:
    """A reservation as it is typed: `gpu-a gpu-b project=vision from=+1h until=+8h gpus=4 reason='a demo'`. Raises InvalidRequest."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidRequest(f"that can't be read: {error}") from None
    given = {"from": "now", "until": ""}
    workers: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key not in _KEYS:
            raise InvalidRequest(f"{key[:40]!r} is none of {', '.join(_KEYS)}")
        if equals:
            given[key] = value
        elif word != _MAINTENANCE:
            workers.append(word)
    if not workers:
        raise InvalidRequest("name a worker first")
    if not given["until"]:
        raise InvalidRequest("say when it ends: until=+8h, or until=2026-12-01T17:00")
    from_ms, until_ms = from_and_until(given["from"], given["until"], now_ms)
    gpus = given.get("gpus", "")
    if gpus and not (gpus.isascii() and gpus.isdigit() and len(gpus) < _GPU_DIGITS_MAX and int(gpus)):
        raise InvalidRequest(f"gpus={gpus[:40]} is no number of GPUs")
    return Reserve(
        workers=tuple(workers), from_ms=from_ms, until_ms=until_ms, project=given.get("project", ""),
        person=given.get("person", ""), maintenance=_MAINTENANCE in words, gpus=int(gpus) if gpus else None,
        reason=given.get("reason", ""),
    )  # fmt: skip


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


def brief_words(row: ReservationRow, now_ms: float, *, with_gpus: bool) -> str:
    """Who has a worker until when, or from when on, for a table: `pose 2 GPUs → 17:00`, `maintenance from 12-02`."""
    holder = "maintenance" if row.maintenance else row.project or row.person
    gpus = f" {fmt.plural(row.gpus, 'GPU')}" if row.gpus is not None and with_gpus else ""
    at_ms = row.until_ms if row.in_force else row.from_ms
    is_today = fmt.stamp(at_ms)[:10] == fmt.stamp(now_ms)[:10]
    at = fmt.clock(at_ms)[:5] if is_today else fmt.stamp(at_ms)[5:10]
    return f"{holder}{gpus} {'→' if row.in_force else 'from'} {at}"
