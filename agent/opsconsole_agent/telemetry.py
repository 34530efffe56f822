"""What a heartbeat says of the host, its GPUs and its attempts. Sampled in a thread of its own, which may hang alone."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opsconsole_agent.probe.gpu import GpuProbe, GpuReport, GpuSample
from opsconsole_agent.probe.host import HostIdentity, HostProbe, host_identity
from opsconsole_agent.probe.usage import UsageProbe
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Gpu, GpuUser, Heartbeat, Host, Trouble, TroubleCode

Pids = Mapping[str, Collection[int]]
DISK_FREE_MB_MIN = 16
"""With less room than this in its state folder or its output folder, a worker takes no new tasks."""


class Telemetry:
    """Samples on demand, never twice at a time: a sample that is asked for while one is under way is the last one."""

    def __init__(
        self, state_dir: Path, folders: Callable[[AttemptId], Sequence[str]], output: Path | None = None
    ) -> None:
        """`folders`: where an attempt writes, as far as it can be looked through without a risk to hang.

        `output`: where results are written, if anywhere.
        """
        self._state_dir = state_dir
        self._output = output
        self.folders = folders
        self._gpu_probe = GpuProbe()
        self._host_probe = HostProbe()
        self._usage_probe = UsageProbe()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="opsconsole-telemetry")
        self._under_way: asyncio.Future[Heartbeat] | None = None
        self._last = Heartbeat(at_ms=0)
        self.gpu_report = GpuReport("none")

    async def identify(self) -> HostIdentity:
        """What the host is; the GPUs are sampled for the first time."""
        loop = asyncio.get_running_loop()
        self._last = await loop.run_in_executor(self._threads, self._sample, {})
        return await loop.run_in_executor(self._threads, host_identity)

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs as last sampled."""
        return self._last.gpus or ()

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What was wrong with the host when it was last sampled."""
        return self._last.troubles

    async def heartbeat(self, pids: Pids, patience_s: float) -> Heartbeat:
        """A fresh heartbeat, or the last readings if the host takes longer than `patience_s` to tell."""
        loop = asyncio.get_running_loop()
        if self._under_way is None:
            self._under_way = loop.run_in_executor(self._threads, self._sample, pids)
        done, _ = await asyncio.wait([self._under_way], timeout=patience_s)
        if done:
            self._last = self._under_way.result()
            self._under_way = None
        return Heartbeat(
            at_ms=time.time_ns() // 1_000_000,
            host=self._last.host,
            gpus=self._last.gpus,
            gpu_message=self._last.gpu_message,
            usage=self._last.usage,
            troubles=self._last.troubles,
        )

    def close(self) -> None:
        """Let the thread go; never waits for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _sample(self, pids: Pids) -> Heartbeat:
        report = self.gpu_report = self._gpu_probe.sample()
        folders_written = [self._state_dir] if self._output is None else [self._state_dir, self._output]
        host = self._host_probe.sample(folders_written)
        folders = {attempt_id: [Path(folder) for folder in self.folders(AttemptId(attempt_id))] for attempt_id in pids}
        usage = self._usage_probe.sample(pids, report, folders) if pids else {}
        owners = {pid: attempt_id for attempt_id, held in pids.items() for pid in held}
        return Heartbeat(
            at_ms=0,
            host=Host(
                cpu_percent=host.cpu_percent,
                load1=host.load1,
                memory_used_mb=host.memory_used_mb,
                memory_available_mb=host.memory_available_mb,
                disk_free_mb=host.disk_free_mb.get(str(self._state_dir)),
            ),
            gpus=tuple(_gpu(gpu, owners) for gpu in report.gpus),
            gpu_message=report.message,
            usage=usage,
            troubles=tuple(_full_disks(host.disk_free_mb)),
        )


def _full_disks(free_mb: Mapping[str, int | None]) -> Iterator[Trouble]:
    for path, free in free_mb.items():
        if free is not None and free < DISK_FREE_MB_MIN:
            yield Trouble(code=TroubleCode.DISK_FULL, text=f"its disk is full: make room in {path}")


def _gpu(gpu: GpuSample, owners: Mapping[int, str]) -> Gpu:
    return Gpu(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        memory_total_mb=gpu.memory_total_mb,
        memory_used_mb=gpu.memory_used_mb,
        utilization_percent=gpu.utilization_percent,
        temperature_c=gpu.temperature_c,
        power_w=gpu.power_w,
        power_limit_w=gpu.power_limit_w,
        state=gpu.state,
        message=gpu.message,
        processes=tuple(
            GpuUser(
                pid=process.pid,
                name=process.name,
                memory_mb=process.memory_mb,
                attempt_id=owners.get(process.pid, ""),
            )
            for process in gpu.processes
        ),
    )
