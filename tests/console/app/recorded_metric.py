"""What recorded jobs have reported: the same for everybody who asks."""

import math

from opsconsole_protocol import api
from tests.recording.lab import NOW_MS

STEPS = 400
EVERY_MS = 1_500


def run(job_id: str, job: str, index: int, request: api.ReadMetrics, count: int) -> api.RunRow:
    """One task's metrics; the points of those that are asked for."""
    loss = [2.3 * math.exp(-step * (index + 1) / 90) + 0.1 + 0.05 * math.sin(step * 1.7) for step in range(STEPS)]
    values = {"loss": loss, "accuracy": [1 - one / 2.5 for one in loss], "lr": [3e-4] * STEPS}
    x = [float(step) for step in range(STEPS)]
    if request.axis is api.Axis.TIME:
        x = [NOW_MS - (STEPS - step) * EVERY_MS for step in x]
    return api.RunRow(
        task_id=f"{job_id}/task-{index}",
        job=job,
        state="running",
        parameters={"seed": index} if count > 1 else {},
        metrics=tuple(
            api.MetricRow(
                name=name, points=STEPS, last=y[-1], last_step=STEPS - 1, least=min(y), greatest=max(y),
                x=tuple(x) if name in request.names else (), y=tuple(y) if name in request.names else (),
                is_recognised=name == "accuracy",
            )
            for name, y in values.items()
        ),
    )  # fmt: skip
