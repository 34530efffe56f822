"""The host: what it is, and how busy it is."""

import os
import platform
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from opsconsole_agent.probe.cgroup_limit import CgroupLimit
from opsconsole_agent.probe.disk_space import takes_files
from opsconsole_agent.probe.timed_call import TimedCall

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CPU_INFO = Path("/proc/cpuinfo")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """What doesn't change while the agent runs. CPUs and memory are those that this process may use."""

    hostname: str
    os: str
    kernel: str
    architecture: str
    python: str
    cpu_model: str
    cpu_count: int
    memory_total_mb: int
    boot_id: str
    """Empty where the kernel doesn't give one."""

    def to_properties(self) -> dict[str, object]:
        """What a worker advertises; `cpus` and `memory_mb` have the names by which jobs ask for them."""
        return {
            "hostname": self.hostname,
            "os": self.os,
            "kernel": self.kernel,
            "architecture": self.architecture,
            "python_version": self.python,
            "cpu_model": self.cpu_model,
            "cpus": self.cpu_count,
            "memory_mb": self.memory_total_mb,
        }


@dataclass(frozen=True, slots=True)
class HostSample:
    """How busy the host is. `cpu_percent` is that of all its CPUs since the last sample. Memory and disk are in MiB."""

    cpu_percent: float
    load1: float
    memory_used_mb: int
    memory_available_mb: int
    disk_free_mb: dict[str, int | None]
    """MiB that an ordinary user may still write, by path; None on an error or time-out."""


def host_identity() -> HostIdentity:
    """Describe this host."""
    limit = CgroupLimit().memory()
    physical: int = psutil.virtual_memory().total
    return HostIdentity(
        hostname=socket.gethostname(),
        os=_os_name(),
        kernel=platform.release(),
        architecture=platform.machine(),
        python=platform.python_version(),
        cpu_model=_cpu_model(_CPU_INFO),
        cpu_count=usable_cpus(CgroupLimit()),
        memory_total_mb=(physical if limit is None else min(physical, limit.limit)) // _MIB,
        boot_id=_boot_id(_BOOT_ID),
    )


def usable_cpus(cgroup: CgroupLimit) -> int:
    """Return how many CPUs this process may run on and has time for by its cgroup; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = cgroup.cpus()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


class HostProbe:
    """Samples the host in less than a millisecond. psutil's own `cpu_percent` isn't used, as it counts per thread."""

    def __init__(self, *, timeout_s: float = 2.0, cgroup: CgroupLimit | None = None) -> None:
        """`timeout_s`: how long to wait for the free space of one path, should its mount hang."""
        self._cgroup = cgroup or CgroupLimit()
        self._timeout_s = timeout_s
        self._disks: dict[str, TimedCall[int]] = {}
        self._cpu_times = _cpu_times()
        self._cpu_percent = 0.0

    def sample(self, paths: Iterable[Path] = ()) -> HostSample:
        """Read CPU, load, memory, and the free space at `paths`. Folders that hang are reported by `io_path`."""
        used, available = self._memory_bytes()
        return HostSample(
            cpu_percent=self._cpu_busy_percent(),
            load1=round(os.getloadavg()[0], 2),
            memory_used_mb=used // _MIB,
            memory_available_mb=available // _MIB,
            disk_free_mb={str(path): self._disk_free_mb(str(path)) for path in paths},
        )

    def _cpu_busy_percent(self) -> float:
        busy, total = _cpu_times()
        busy_before, total_before = self._cpu_times
        if total > total_before:
            percent = 100 * (busy - busy_before) / (total - total_before)
            self._cpu_percent = round(min(100.0, max(0.0, percent)), 1)
            self._cpu_times = busy, total
        return self._cpu_percent

    def _memory_bytes(self) -> tuple[int, int]:
        """Return the bytes used and available, of the cgroup if that has the tighter limit."""
        host = psutil.virtual_memory()
        limit = self._cgroup.memory()
        if limit is None or limit.limit >= host.total:
            return host.total - host.available, host.available
        return limit.used, min(host.available, max(0, limit.limit - limit.used))

    def _disk_free_mb(self, path: str) -> int | None:
        if path not in self._disks:
            self._disks[path] = TimedCall(lambda: _free_bytes(path), self._timeout_s)
        try:
            return self._disks[path].call() // _MIB
        except OSError:  # TimeoutError is one
            return None


def _free_bytes(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize if takes_files(found) else 0


def _cpu_times() -> tuple[float, float]:
    """Return seconds busy and seconds in all since boot, over all CPUs. Guests' time is part of the users' already."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _cpu_model(info: Path) -> str:
    """Return the kernel's name of the CPU, or the architecture where it has none, as on ARM."""
    try:
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith(("model name", "hardware")))
    return next(filter(None, named), platform.machine())


def _boot_id(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
