"""What recorded jobs have reported: the same for everybody who asks."""

import math
from functools import lru_cache

from msgspec.structs import replace

from opsconsole_protocol import api
from tests.recording.lab import NOW_MS

STEPS = 400
EVERY_MS = 1_500
GPU_EVERY_MS = 5_000


@lru_cache(maxsize=1_000)
def _values(index: int) -> dict[str, list[float]]:
    loss = [2.3 * math.exp(-step * (index + 1) / 90) + 0.1 + 0.05 * math.sin(step * 1.7) for step in range(STEPS)]
    return {"loss": loss, "accuracy": [1 - one / 2.5 for one in loss], "lr": [3e-4] * STEPS}


def run(job_id: str, job: str, index: int, request: api.ReadMetrics, count: int) -> api.RunRow:
    """One task's metrics; the points of those that are asked for."""
    values = _values(index)
    x = [float(step) for step in range(STEPS)]
    if request.axis is api.Axis.TIME:
        x = [NOW_MS - (STEPS - step) * EVERY_MS for step in x]
    return api.RunRow(
        task_id=f"{job_id}/task-{index}",
        job=job,
        state="running" if index % 3 else "succeeded",
        parameters={"seed": index} if count > 1 else {},
        metrics=tuple(
            api.MetricRow(
                name=name, points=STEPS, last=y[-1], last_step=STEPS - 1, least=min(y), greatest=max(y),
                x=tuple(x) if name in request.names else (), y=tuple(y) if name in request.names else (),
                is_recognised=name == "accuracy",
            )
            for name, y in values.items()
        ),
        gpus=_gpus(index) if request.gpus else (),
    )  # fmt: skip


def _gpus(index: int) -> tuple[api.MetricRow, ...]:
    """GPUs that get busy and then idle now and then, with ever more memory in use."""
    count = STEPS * EVERY_MS // GPU_EVERY_MS
    x = tuple(NOW_MS - (count - sample) * GPU_EVERY_MS for sample in range(count))
    values: dict[str, list[float]] = {
        "memory_mb": [20_000 + 30_000 * sample / count + 5_000 * index for sample in range(count)],
        "memory_total_mb": [81_920.0] * count,
        "utilization_percent": [95 - 70 * (sample % 30 < 3) - 10 * index for sample in range(count)],
    }
    return tuple(
        api.MetricRow(
            name=name, points=count, last=y[-1], last_step=x[-1], least=min(y), greatest=max(y), x=x, y=tuple(y)
        )
        for name, y in values.items()
    )


def gone_on(run: api.RunRow, shift: float, *, over: bool) -> api.RunRow:
    """The same run later: its last values are greater, and it may have ended."""
    metrics = tuple(replace(row, last=row.last + shift) for row in run.metrics)
    return replace(run, state="succeeded" if over else run.state, metrics=metrics)
