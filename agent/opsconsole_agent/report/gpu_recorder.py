"""What the GPUs of attempts are used for, as lines of their reports: so the console shows them beside the curves.

A short attempt has a line every EVERY_MS. The longer one lives the rarer they come: after a month it has some 50,000, in 6 MB of its
report.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Gpu

EVERY_MS = 5_000
_SHARES = 10_000
"""From line to line that part of its age passes, where it is more."""


class Holder(NamedTuple):
    """An attempt that runs: the GPUs that it has for itself, and since when it runs, in Unix milliseconds."""

    gpu_ids: Sequence[str]
    started_at_ms: int


class GpuHistory:
    """Whose turn it is, and what the lines say. Pure."""

    def __init__(self) -> None:
        self._last_ms: dict[AttemptId, int] = {}

    def lines(self, holders: Mapping[AttemptId, Holder], gpus: Sequence[Gpu], now_ms: int) -> dict[AttemptId, bytes]:
        """A line for each attempt that is due; who doesn't hold anything any more is forgotten."""
        self._last_ms = {key: at_ms for key, at_ms in self._last_ms.items() if key in holders}
        by_id = {gpu.uuid: gpu for gpu in gpus}
        found: dict[AttemptId, bytes] = {}
        for attempt_id, holder in holders.items():
            pause_ms = max(EVERY_MS, (now_ms - holder.started_at_ms) // _SHARES)
            # A quarter early is in time: whoever asks is a little late each time.
            if (last_ms := self._last_ms.get(attempt_id)) is not None and 0 <= now_ms - last_ms < pause_ms * 3 // 4:
                continue
            sample = _sample([by_id[one] for one in holder.gpu_ids if one in by_id])
            if sample:
                self._last_ms[attempt_id] = now_ms
                found[attempt_id] = msgspec.json.encode({"at_ms": now_ms, "gpu_sample": sample}) + b"\n"
        return found


def _sample(gpus: Sequence[Gpu]) -> dict[str, float]:
    """All of them together, as far as they can be read: by names of GPU_METRICS."""
    sample: dict[str, float] = {}
    memory = [(gpu.memory_used_mb, gpu.memory_total_mb) for gpu in gpus]
    known = [(used, total) for used, total in memory if used is not None and total is not None]
    if known:
        sample = {"memory_mb": sum(used for used, _ in known), "memory_total_mb": sum(total for _, total in known)}
    busy = [gpu.utilization_percent for gpu in gpus if gpu.utilization_percent is not None]
    if busy:
        sample["utilization_percent"] = round(sum(busy) / len(busy), 1)
    return sample


class GpuRecorder:
    """Has the lines written, for as long as `run` does. `holders`: who holds GPUs now; `add`: adds a line to a report."""

    def __init__(
        self,
        holders: Callable[[], Mapping[AttemptId, Holder]],
        sample: Callable[[], Awaitable[Sequence[Gpu]]],
        add: Callable[[AttemptId, bytes], None],
    ) -> None:
        self._holders = holders
        self._sample = sample
        self._add = add
        self._history = GpuHistory()

    async def run(self) -> None:
        """Look every EVERY_MS, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_MS / 1000)
            await self.look()

    async def look(self) -> None:
        """Once; the GPUs are read only where somebody holds one."""
        if not self._holders():
            return
        gpus = await self._sample()
        lines = self._history.lines(self._holders(), gpus, time.time_ns() // 1_000_000)
        for attempt_id, line in lines.items():
            self._add(attempt_id, line)
