"""The host's identity and how busy it is."""

import os
import platform
import socket
import threading
from pathlib import Path

import psutil
import pytest

from opsconsole_agent.probe import host
from opsconsole_agent.probe.cgroup_limit import CgroupLimit, MemoryLimit
from opsconsole_agent.probe.host import HostProbe, host_identity, usable_cpus
from tests.waiting import until_sync

MIB = 1 << 20


class Limited(CgroupLimit):
    """A control group with limits of the test's choice."""

    def __init__(self, memory: MemoryLimit | None = None, cpus: float | None = None) -> None:
        self._limits = memory, cpus

    def memory(self) -> MemoryLimit | None:
        return self._limits[0]

    def cpus(self) -> float | None:
        return self._limits[1]


def test_identity() -> None:
    identity = host_identity()
    assert identity.hostname == socket.gethostname()
    assert identity.kernel == platform.release()
    assert identity.architecture == platform.machine()
    assert identity.python == platform.python_version()
    assert identity.cpu_model
    assert identity.os
    assert 1 <= identity.cpu_count <= (os.cpu_count() or 1)
    assert 0 < identity.memory_total_mb <= psutil.virtual_memory().total // MIB
    assert identity.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    properties = identity.to_properties()
    assert (properties["hostname"], properties["cpus"]) == (identity.hostname, identity.cpu_count)


def test_memory_is_what_the_control_group_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "CgroupLimit", lambda: Limited(MemoryLimit(100 * MIB, 0), cpus=1.0))
    identity = host_identity()
    assert (identity.memory_total_mb, identity.cpu_count) == (100, 1)


def test_usable_cpus_go_by_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(6)))
    assert usable_cpus(Limited()) == 6
    assert usable_cpus(Limited(cpus=2.5)) == 2
    assert usable_cpus(Limited(cpus=0.5)) == 1
    assert usable_cpus(Limited(cpus=64)) == 6


def test_a_sample_has_plausible_values(tmp_path: Path) -> None:
    sample = HostProbe().sample([tmp_path])
    assert 0 <= sample.cpu_percent <= 100
    assert sample.load1 >= 0
    assert sample.memory_used_mb > 0
    assert sample.memory_available_mb > 0
    free = os.statvfs(tmp_path)
    expected = free.f_bavail * free.f_frsize // MIB
    assert sample.disk_free_mb.keys() == {str(tmp_path)}
    assert sample.disk_free_mb[str(tmp_path)] == pytest.approx(expected, rel=0.2)


def test_memory_within_a_control_group() -> None:
    sample = HostProbe(cgroup=Limited(MemoryLimit(100 * MIB, 30 * MIB))).sample()
    assert (sample.memory_used_mb, sample.memory_available_mb) == (30, 70)
    over = HostProbe(cgroup=Limited(MemoryLimit(100 * MIB, 130 * MIB))).sample()
    assert over.memory_available_mb == 0


def test_cpu_is_measured_between_samples_whichever_thread_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(10.0, 100.0), (40.0, 200.0), (40.0, 200.0), (140.0, 300.0)])
    monkeypatch.setattr(host, "_cpu_times", lambda: next(times))
    probe = HostProbe()
    found: list[float] = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: found.append(probe.sample().cpu_percent))
        thread.start()
        thread.join()
    assert found == [30.0, 30.0, 100.0]  # no time passed: the last value stands


def test_cpu_times_grow() -> None:
    busy, total = host._cpu_times()
    assert 0 < busy < total


def test_a_path_that_is_not_there_has_no_free_space(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert HostProbe().sample([missing]).disk_free_mb == {str(missing): None}


def test_a_mount_that_hangs_costs_its_time_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    calls: list[str] = []

    def hang(path: str) -> int:
        calls.append(path)
        release.wait(30)
        return 7 * MIB

    monkeypatch.setattr(host, "_free_bytes", hang)
    probe = HostProbe(timeout_s=0.1)
    assert probe.sample([tmp_path]).disk_free_mb == {str(tmp_path): None}
    assert probe.sample([tmp_path]).disk_free_mb == {str(tmp_path): None}
    assert calls == [str(tmp_path)]
    release.set()
    until_sync(lambda: probe.sample([tmp_path]).disk_free_mb == {str(tmp_path): 7}, what="the mount to answer")


def test_cpu_model_of_kernels_that_name_it_and_that_do_not(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    assert host._cpu_model(info) == platform.machine()
    info.write_text("processor\t: 0\nBogoMIPS\t: 48.00\n", encoding="utf-8")
    assert host._cpu_model(info) == platform.machine()
    info.write_text("processor\t: 0\nmodel name\t: AMD EPYC 7763\n", encoding="utf-8")
    assert host._cpu_model(info) == "AMD EPYC 7763"


def test_a_kernel_without_boot_id(tmp_path: Path) -> None:
    assert host._boot_id(tmp_path / "boot_id") == ""
