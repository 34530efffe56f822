"""Why a worker is drained and until when, in words."""

from opsconsole_console import format as fmt
from opsconsole_protocol.api import WorkerRow


def drain_words(worker: WorkerRow, now_ms: int) -> str:
    """Such as `drained for a new driver; what runs leaves in 2h`; empty where nobody said why or until when."""
    parts = [f"drained for {worker.drain_reason}"] if worker.drain_reason else []
    if worker.drain_until_ms is not None:
        left_ms = worker.drain_until_ms - now_ms
        leaves = f"leaves in {fmt.duration(left_ms)}" if left_ms > 0 else "leaves now"
        parts.append(f"what runs {leaves}" if parts else f"drained; what runs {leaves}")
    return "; ".join(parts)
