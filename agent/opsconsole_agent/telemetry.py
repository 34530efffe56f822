"""What a heartbeat says of the host, its GPUs and its attempts. It is sampled in a thread of its own, so that nobody else hangs."""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opsconsole_agent.probe.disk_space import DiskSpaceProbe
from opsconsole_agent.probe.folder_size import FolderSizeProbe
from opsconsole_agent.probe.gpu import GpuProbe, GpuReport, GpuSample
from opsconsole_agent.probe.host import HostIdentity, HostProbe, host_identity
from opsconsole_agent.probe.mount import LOCAL, filesystem_label
from opsconsole_agent.probe.usage import UsageProbe
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Gpu, GpuUser, Heartbeat, Host, Trouble, TroubleCode

_OUTPUT_EVERY_S = 5.0

Pids = Mapping[str, Collection[int]]


class Telemetry:
    """Samples on demand, once at a time. Whoever asks while a sample is under way waits for that one."""

    def __init__(
        self,
        state: StateFolder,
        output_path: Path | None = None,
    ) -> None:
        """`output_path`: of the worker, if it has one."""
        self._state = state
        self._disk_space_probe = DiskSpaceProbe([str(path) for path in (state.path, output_path) if path is not None])
        self._output_sizes = FolderSizeProbe(every_s=_OUTPUT_EVERY_S)
        self.output_mb: dict[str, int] = {}
        """How much each attempt had written to its output folder when that was measured last, as far as it can be."""
        self.cache_room: Callable[[], int | None] = lambda: None
        """How many bytes the store of trees could take in. Blocks; called on this object's own thread."""
        self._gpu_probe = GpuProbe()
        self._host_probe = HostProbe()
        self._usage_probe = UsageProbe()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="opsconsole-telemetry")
        self._under_way: asyncio.Future[Heartbeat] | None = None
        self._last = Heartbeat(at_ms=0)
        self.gpu_report = GpuReport("none")
        self._gpus_at_s = -math.inf

    async def identify(self) -> HostIdentity:
        """What the host is; the GPUs are sampled for the first time."""
        loop = asyncio.get_running_loop()
        self._last = await loop.run_in_executor(self._threads, self._sample, {}, {})
        return await loop.run_in_executor(self._threads, host_identity)

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs as last sampled."""
        return self._last.gpus or ()

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What was wrong with the host when it was last sampled."""
        return self._last.troubles

    async def fresh_gpus(self, age_max_s: float) -> tuple[Gpu, ...]:
        """The GPUs as they were at most `age_max_s` ago; none where a sample takes longer than that."""
        if self._under_way is None and time.monotonic() - self._gpus_at_s > age_max_s:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(age_max_s):
                    await loop.run_in_executor(self._threads, self._sample_gpus)
            except TimeoutError:
                pass
        is_fresh = time.monotonic() - self._gpus_at_s <= 2 * age_max_s
        return tuple(_gpu(gpu, {}) for gpu in self.gpu_report.gpus) if is_fresh else ()

    async def heartbeat(self, pids: Pids, outputs: Mapping[str, str], timeout_s: float) -> Heartbeat:
        """A fresh heartbeat, or the last readings if the host takes longer than `timeout_s` to tell.

        `pids`: the processes of every attempt. `outputs`: the output folders of those that have one.
        """
        loop = asyncio.get_running_loop()
        if self._under_way is None:
            self._under_way = loop.run_in_executor(self._threads, self._sample, pids, outputs)
        done, _ = await asyncio.wait([self._under_way], timeout=timeout_s)
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

    def _sample(self, pids: Pids, outputs: Mapping[str, str]) -> Heartbeat:
        report = self._sample_gpus()
        host = self._host_probe.sample([self._state.path])
        folders = {attempt_id: self._folders(AttemptId(attempt_id), outputs.get(attempt_id)) for attempt_id in pids}
        local = {key: Path(path) for key, path in outputs.items() if filesystem_label(Path(path)) == LOCAL}
        sizes = self._output_sizes.sample(local)
        self.output_mb = {key: size for key, size in sizes.items() if size is not None}
        usage = self._usage_probe.sample(pids, report, folders) if pids else {}
        owners = {pid: attempt_id for attempt_id, held in pids.items() for pid in held}
        return Heartbeat(
            at_ms=0,
            host=Host(
                cpu_percent=host.cpu_percent,
                load1=host.load1,
                memory_used_mb=host.memory_used_mb,
                memory_available_mb=host.memory_available_mb,
                disk_free_mb=host.disk_free_mb.get(str(self._state.path)),
                cache_room_mb=self._cache_room_mb(),
            ),
            gpus=tuple(_gpu(gpu, owners) for gpu in report.gpus),
            gpu_message=report.message,
            usage=usage,
            troubles=tuple(
                Trouble(code=TroubleCode.DISK_FULL, text=one.words, blocks=one.is_full)
                for one in self._disk_space_probe.shortages()
            ),
        )

    def _sample_gpus(self) -> GpuReport:
        self.gpu_report = self._gpu_probe.sample()
        self._gpus_at_s = time.monotonic()
        return self.gpu_report

    def _cache_room_mb(self) -> int | None:
        try:
            room = self.cache_room()
        except OSError:  # the store was closed meanwhile
            return None
        return None if room is None else room >> 20

    def _folders(self, attempt_id: AttemptId, output: str | None) -> list[Path]:
        """Where an attempt writes: its working folder and, where looking can't hang, its output folder."""
        folders = [Path(self._state.work(attempt_id))]
        if output is not None and filesystem_label(Path(output)) == LOCAL:
            folders.append(Path(output))
        return folders


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
                is_compute=process.is_compute,
            )
            for process in gpu.processes
        ),
    )
