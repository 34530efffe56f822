"""Clocks of workers that are wrong: measured by heartbeats and told to people."""

from opsconsole_coordinator.core.model import Worker

_TOLD_FROM_MS = 30_000
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def note_clock(worker: Worker, at_ms: int, now_ms: int) -> None:
    """Note the time that a heartbeat told; an agent that tells none sends 0."""
    if at_ms > 0:
        worker.clock_behind_ms = now_ms - at_ms


def remark(worker: Worker) -> str:
    """What an operator should know about this worker's clock; empty while it is about right."""
    behind_ms = worker.clock_behind_ms
    if abs(behind_ms) < _TOLD_FROM_MS:
        return ""
    size, unit = next((size, unit) for size, unit in _UNITS if abs(behind_ms) >= size)
    where = "behind" if behind_ms > 0 else "ahead"
    return f"its clock is {abs(behind_ms) // size:,} {unit} {where}: log times are corrected, set it right for the rest"
