"""What each attempt's processes use: memory, CPU, disk, and their share of the GPUs."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opsconsole_agent.probe.folder_size import FolderSizeProbe
from opsconsole_agent.probe.gpu import GpuProcess, GpuReport, GpuSample
from opsconsole_agent.probe.process_sample import TICKS_PER_S, ProcessSample, sample_process
from opsconsole_protocol.link import TaskUsage

_INTERVAL_MIN_S = 0.2
"""CPU time is counted in ticks of 10 ms, so a percentage over a shorter time would be noise."""


class UsageProbe:
    """Samples attempts, in about 30 µs a process, 60 µs where its memory changes.

    Memory is resident memory with the shared part counted once: the private (anonymous) pages of all processes, and the
    largest sum of mapped files and shared memory of any one. So 8 data loaders on one array in shared memory count it
    once. Pages that forked processes share count in each. It isn't PSS, as reading that stops a large process for
    milliseconds.
    """

    def __init__(
        self,
        *,
        disk: FolderSizeProbe | None = None,
        read: Callable[[int, ProcessSample | None], ProcessSample | None] = sample_process,
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """`clock`: seconds since boot, as in the start times of processes."""
        self._folder_sizes = disk or FolderSizeProbe()
        self._read = read
        self._clock = clock
        self._attempts: dict[str, _Attempt] = {}

    def sample(
        self, attempts: Mapping[str, Collection[int]], gpu: GpuReport, folders: Mapping[str, Sequence[Path]]
    ) -> dict[str, TaskUsage]:
        """Measure each attempt by the pids of its live processes, its folders, and the GPUs' sample.

        What is remembered of an attempt from sample to sample is dropped when the attempt is left out.
        """
        for key in self._attempts.keys() - attempts.keys():
            del self._attempts[key]
        disks = self._disk_mb({key: folders[key] for key in folders.keys() & attempts.keys()})
        usage: dict[str, TaskUsage] = {}
        for key, pids in attempts.items():
            attempt = self._attempts.setdefault(key, _Attempt())
            known = {process.pid: process for process in attempt.processes.values()}
            processes = [process for pid in set(pids) if (process := self._read(pid, known.get(pid))) is not None]
            attempt.update(processes, self._clock())
            alive = {process.pid for process in processes if not process.zombie}
            gpu_memory_mb, gpu_utilization_percent = _gpu_usage(alive, gpu.gpus)
            usage[key] = TaskUsage(
                current_memory_mb=attempt.current_kb >> 10,
                peak_memory_mb=attempt.peak_kb >> 10,
                cpu_percent=attempt.cpu_percent,
                process_count=len(alive),
                disk_mb=disks.get(key),
                gpu_memory_mb=gpu_memory_mb,
                gpu_utilization_percent=gpu_utilization_percent,
            )
        return usage

    def _disk_mb(self, folders: Mapping[str, Sequence[Path]]) -> dict[str, int | None]:
        """Return the MiB in all folders of each attempt, or None until each of them was walked once."""
        walked = self._folder_sizes.sample({f"{key}/{path}": path for key, paths in folders.items() for path in paths})
        sizes: dict[str, int | None] = {}
        for key, paths in folders.items():
            known = [size for path in paths if (size := walked[f"{key}/{path}"]) is not None]
            sizes[key] = sum(known) if len(known) == len(paths) else None
        return sizes


@dataclass(slots=True)
class _Attempt:
    """What is remembered of one attempt from sample to sample."""

    current_kb: int = 0
    peak_kb: int = 0
    cpu_percent: float = 0.0
    sampled_at: float | None = None
    processes: dict[tuple[int, int], ProcessSample] = field(default_factory=dict)
    """The last samples, by pid and start time."""
    counted_ticks: dict[tuple[int, int], int] = field(default_factory=dict)
    """By parent, ticks of ended children that were counted already and are still to come in its `children_ticks`."""

    def update(self, processes: Collection[ProcessSample], now: float) -> None:
        """Take in a new sample of all its processes."""
        shared = max((process.shared_kb for process in processes), default=0)
        self.current_kb = sum(process.private_kb for process in processes) + shared
        highest = max((process.peak_kb for process in processes), default=0)
        self.peak_kb = max(self.peak_kb, self.current_kb, highest)
        if self.sampled_at is None or now - self.sampled_at >= _INTERVAL_MIN_S:
            self._update_cpu({(process.pid, process.start_ticks): process for process in processes}, now)

    def _update_cpu(self, processes: dict[tuple[int, int], ProcessSample], now: float) -> None:
        self._count_ended(processes)
        rates = [self._rate(identity, process, now) for identity, process in processes.items()]
        self.cpu_percent = round(100 * sum(rates), 1)
        self.processes = processes
        self.counted_ticks = {
            identity: ticks for identity, ticks in self.counted_ticks.items() if ticks and identity in processes
        }
        self.sampled_at = now

    def _count_ended(self, processes: Mapping[tuple[int, int], ProcessSample]) -> None:
        """Remember the ticks of ended children: their whole time is added to their parent's, but was counted already."""
        by_pid = {process.pid: identity for identity, process in processes.items()}
        for identity, process in self.processes.items():
            parent = by_pid.get(process.parent)
            if identity not in processes and parent is not None:
                self.counted_ticks[parent] = (
                    self.counted_ticks.get(parent, 0) + process.cpu_ticks + process.children_ticks
                )

    def _rate(self, identity: tuple[int, int], process: ProcessSample, now: float) -> float:
        """Return how many CPUs a process and its ended children kept busy since the last sample or its own start."""
        before = self.processes.get(identity)
        if before is not None and self.sampled_at is not None:
            came = max(0, process.children_ticks - before.children_ticks)
            counted = min(came, self.counted_ticks.get(identity, 0))
            self.counted_ticks[identity] = self.counted_ticks.get(identity, 0) - counted
            ticks = process.cpu_ticks - before.cpu_ticks + came - counted
            return max(0, ticks) / TICKS_PER_S / (now - self.sampled_at)
        age = max(now - process.start_ticks / TICKS_PER_S, _INTERVAL_MIN_S)
        interval = age if self.sampled_at is None else max(age, now - self.sampled_at)
        return (process.cpu_ticks + process.children_ticks) / TICKS_PER_S / interval


def _gpu_usage(pids: Collection[int], gpus: Iterable[GpuSample]) -> tuple[int | None, int | None]:
    """Return the MiB that the processes hold on all GPUs, and their share in percent of those GPUs, or None if not known.

    (0, None) without a process on a GPU; (None, None) on a host without GPUs.
    """
    gpus = [gpu for gpu in gpus if gpu.state == "ok"]
    if not gpus:
        return None, None
    own = [(gpu, mine) for gpu in gpus if (mine := [process for process in gpu.processes if process.pid in pids])]
    memory = [process.memory_mb for _, mine in own for process in mine]
    known = [size for size in memory if size is not None]
    shares = [share for gpu, mine in own if (share := _share(gpu, mine)) is not None]
    return (
        sum(known) if known or not memory else None,
        round(sum(shares) / len(shares)) if shares else None,
    )


def _share(gpu: GpuSample, own: Collection[GpuProcess]) -> int | None:
    """Return the share of one GPU in percent, or None if not known.

    Where the driver has no figure for a process, that of the whole GPU does if no other process uses it.
    """
    percents = [process.utilization_percent for process in own if process.utilization_percent is not None]
    if percents:
        return min(100, sum(percents))
    return gpu.utilization_percent if len(own) == len(gpu.processes) else None
