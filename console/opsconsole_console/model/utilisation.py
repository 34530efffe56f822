"""How busy each worker's GPUs were lately: what the sparklines show. Pure."""

from collections import deque
from collections.abc import Sequence

from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.state import WorkerConnection

SAMPLES_MAX = 120
_GAP_MIN_MS = 900


class UtilisationHistory:
    """The newest samples of every worker, in percent, oldest first."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[float | None]] = {}
        self._sampled_ms: dict[str, int] = {}

    def add(self, worker: WorkerRow, now_ms: int) -> None:
        """Take a row into account; rows that follow too soon replace the last sample instead of adding one."""
        samples = self._samples.setdefault(worker.id, deque(maxlen=SAMPLES_MAX))
        value = utilisation_percent(worker) if worker.connection == WorkerConnection.CONNECTED else None
        if samples and now_ms - self._sampled_ms[worker.id] < _GAP_MIN_MS:
            samples[-1] = value
            return
        samples.append(value)
        self._sampled_ms[worker.id] = now_ms

    def forget(self, worker_id: str) -> None:
        """Forget a worker that is gone."""
        self._samples.pop(worker_id, None)
        self._sampled_ms.pop(worker_id, None)

    def of(self, worker_id: str) -> Sequence[float | None]:
        """One worker's samples in percent, oldest first, or None where it couldn't be read."""
        return tuple(self._samples.get(worker_id, ()))


def utilisation_percent(worker: WorkerRow) -> float | None:
    """The mean over a worker's GPUs, or None where none can be read."""
    known = [gpu.utilization_percent for gpu in worker.gpus if gpu.utilization_percent is not None]
    return sum(known) / len(known) if known else None
