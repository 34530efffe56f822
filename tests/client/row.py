"""Rows for tests, complete but for what a test cares about."""

from typing import Any

from opsconsole_protocol.api import EventRow, JobRow, TaskRow, WorkerRow
from opsconsole_protocol.link import Gpu

NOW_MS = 1_760_000_000_000


def gpu(index: int = 0, **fields: Any) -> Gpu:
    """A quiet A100."""
    values: dict[str, Any] = {
        "index": index, "uuid": f"GPU-{index}", "name": "A100-80GB", "memory_total_mb": 81_920,
        "memory_used_mb": 1_024, "utilization_percent": 7, "temperature_c": 41,
    }  # fmt: skip
    return Gpu(**{**values, **fields})


def worker_row(name: str, **fields: Any) -> WorkerRow:
    """An available worker with I/O paths and one GPU."""
    paths = {"input": "/mnt/vast/inputs", "output": "/mnt/vast/outputs", "filesystem": "vast"}
    values: dict[str, Any] = {
        "id": f"worker-{name}", "name": name, "status": "available", "connection": "connected", "tags": ("lab",),
        "properties": {"io_paths": paths}, "gpus": (gpu(),), "gpus_free": ("GPU-0",), "running_tasks": 0,
        "last_seen_ms": NOW_MS,
    }  # fmt: skip
    return WorkerRow(**{**values, **fields})


def job_row(job_id: str, **fields: Any) -> JobRow:
    """A pending job with one task."""
    values: dict[str, Any] = {
        "id": job_id, "name": "train.py", "project": "default", "state": "pending", "reason": "", "priority": 0,
        "num_tasks": 1, "task_counts": {"pending": 1}, "worker": None, "output_path": None, "submitted_by": "ana",
        "created_at_ms": NOW_MS, "started_at_ms": None, "finished_at_ms": None,
    }  # fmt: skip
    return JobRow(**{**values, **fields})


def task_row(job_id: str, index: int = 0, **fields: Any) -> TaskRow:
    """A pending task."""
    values: dict[str, Any] = {
        "id": f"{job_id}/task-{index}", "index": index, "state": "pending", "reason": "", "exit_code": None,
        "error": "", "worker": None, "attempt": None, "attempt_id": None, "started_at_ms": None,
        "finished_at_ms": None,
    }  # fmt: skip
    return TaskRow(**{**values, **fields})


def event_row(seq: int, **fields: Any) -> EventRow:
    """Something that happened."""
    values: dict[str, Any] = {
        "seq": seq,
        "at_ms": NOW_MS + seq,
        "actor": "ana",
        "kind": "submitted",
        "text": f"event {seq}",
    }
    return EventRow(**{**values, **fields})
