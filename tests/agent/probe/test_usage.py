"""What attempts use: the arithmetic on made-up processes, and the whole on real ones."""

import multiprocessing.shared_memory
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_agent.probe.folder_size import FolderSizeProbe
from opsconsole_agent.probe.gpu import GpuProbe, GpuProcess, GpuReport, GpuSample
from opsconsole_agent.probe.process_sample import TICKS_PER_S, ProcessSample
from opsconsole_agent.probe.usage import UsageProbe
from tests.nvml import FakeGpus

NO_GPU = GpuReport("no_driver")


class Machine:
    """Made-up processes on a made-up clock. CPU time is given in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.processes: dict[int, ProcessSample] = {}
        self.probe = UsageProbe(read=lambda pid, _known: self.processes.get(pid), clock=lambda: self.now)

    def put(
        self,
        pid: int,
        *,
        cpu: float = 0,
        children: float = 0,
        started: float = 0,
        parent: int = 1,
        zombie: bool = False,
    ) -> None:
        start, own, theirs = (round(seconds * TICKS_PER_S) for seconds in (started, cpu, children))
        self.processes[pid] = ProcessSample(pid, parent, start, own, theirs, zombie, resident_pages=0)

    def memory(self, pid: int, private_mb: int, shared_mb: int = 0, peak_mb: int = 0) -> None:
        before = self.processes.get(pid) or ProcessSample(pid, 1, 0, 0, 0, False, 0)
        self.processes[pid] = before._replace(
            private_kb=private_mb << 10, shared_kb=shared_mb << 10, peak_kb=peak_mb << 10
        )

    def cpu_percent(self, *pids: int) -> float:
        return self.probe.sample({"a": pids}, NO_GPU, {})["a"].cpu_percent


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_cpu_is_over_the_time_since_the_last_sample(machine: Machine) -> None:
    machine.put(5, cpu=100, started=900)
    assert machine.cpu_percent(5) == 100.0  # at first sight: over its life
    machine.now += 5
    machine.put(5, cpu=107.5, started=900)
    assert machine.cpu_percent(5) == 150.0
    machine.now += 5
    assert machine.cpu_percent(5) == 0.0


def test_cpu_of_a_process_that_is_new(machine: Machine) -> None:
    machine.put(5, started=900)
    machine.cpu_percent(5)
    machine.now += 10
    machine.put(6, cpu=5, started=1003)  # younger than the last sample: all its time belongs to the interval
    assert machine.cpu_percent(5, 6) == 50.0
    machine.now += 10
    machine.put(7, cpu=110, started=800)  # older: only its average can be told
    assert machine.cpu_percent(5, 6, 7) == 50.0


def test_cpu_of_a_child_that_ended_is_not_counted_twice(machine: Machine) -> None:
    machine.put(5, started=900)
    machine.put(6, cpu=50, started=900, parent=5)
    machine.cpu_percent(5, 6)
    machine.now += 10
    machine.put(5, children=54, started=900)  # the child worked another 4 s, ended, and was waited for
    assert machine.cpu_percent(5) == 40.0


def test_cpu_of_a_child_that_is_waited_for_late(machine: Machine) -> None:
    machine.put(5, started=900)
    machine.put(6, cpu=50, started=900, parent=5)
    machine.cpu_percent(5, 6)
    machine.now += 10
    assert machine.cpu_percent(5) == 0.0  # gone from the list, not yet in its parent's account
    machine.now += 10
    machine.put(5, children=51, started=900)
    assert machine.cpu_percent(5) == 10.0


def test_cpu_of_children_that_come_and_go_between_samples(machine: Machine) -> None:
    machine.put(5, started=900)
    machine.cpu_percent(5)
    machine.now += 10
    machine.put(5, children=9, started=900)
    assert machine.cpu_percent(5) == 90.0


def test_a_pid_that_is_used_again_is_another_process(machine: Machine) -> None:
    machine.put(5, cpu=500, started=100)
    machine.cpu_percent(5)
    machine.now += 10
    machine.put(5, cpu=2, started=1005)
    assert machine.cpu_percent(5) == 20.0


def test_samples_in_quick_succession_keep_the_last_percentage(machine: Machine) -> None:
    machine.put(5, started=900)
    machine.cpu_percent(5)
    machine.now += 5
    machine.put(5, cpu=5, started=900)
    assert machine.cpu_percent(5) == 100.0
    machine.now += 0.01
    machine.put(5, cpu=5.01, started=900)
    assert machine.cpu_percent(5) == 100.0


def test_cpu_is_never_negative(machine: Machine) -> None:
    machine.put(5, cpu=50, children=50, started=900)
    machine.cpu_percent(5)
    machine.now += 5
    machine.put(5, started=900)
    assert machine.cpu_percent(5) == 0.0


def test_memory_counts_what_is_shared_once(machine: Machine) -> None:
    machine.memory(5, private_mb=100, shared_mb=400)
    machine.memory(6, private_mb=50, shared_mb=380)
    usage = machine.probe.sample({"a": [5, 6, 6, 404]}, NO_GPU, {})["a"]
    assert (usage.current_memory_mb, usage.process_count) == (550, 2)


def test_the_peak_stays_and_knows_of_peaks_between_samples(machine: Machine) -> None:
    machine.memory(5, private_mb=300, peak_mb=310)
    assert machine.probe.sample({"a": [5]}, NO_GPU, {})["a"].peak_memory_mb == 310
    machine.memory(5, private_mb=10, peak_mb=700)
    usage = machine.probe.sample({"a": [5]}, NO_GPU, {})["a"]
    assert (usage.current_memory_mb, usage.peak_memory_mb) == (10, 700)
    usage = machine.probe.sample({"a": []}, NO_GPU, {})["a"]
    assert (usage.current_memory_mb, usage.peak_memory_mb, usage.process_count) == (0, 700, 0)


def test_a_zombie_is_no_process_any_more(machine: Machine) -> None:
    machine.put(5, zombie=True)
    assert machine.probe.sample({"a": [5]}, NO_GPU, {})["a"].process_count == 0


def test_an_attempt_left_out_is_forgotten(machine: Machine) -> None:
    machine.memory(5, private_mb=300)
    machine.probe.sample({"a": [5], "b": []}, NO_GPU, {})
    assert machine.probe.sample({"b": []}, NO_GPU, {}).keys() == {"b"}
    machine.memory(5, private_mb=1)
    assert machine.probe.sample({"a": [5]}, NO_GPU, {})["a"].peak_memory_mb == 1


def gpu(*processes: GpuProcess, utilization_percent: int | None = None, index: int = 0) -> GpuSample:
    return GpuSample(index, f"GPU-{index}", "Test", utilization_percent=utilization_percent, processes=processes)


def part(*gpus: GpuSample) -> tuple[int | None, int | None]:
    machine = Machine()
    machine.put(5)
    machine.put(6)
    usage = machine.probe.sample({"a": [5, 6]}, GpuReport("ok", gpus=gpus), {})["a"]
    return usage.gpu_memory_mb, usage.gpu_utilization_percent


def test_gpu_memory_and_utilisation_are_those_of_its_own_processes() -> None:
    mixed = gpu(GpuProcess(5, "p", 100, 30), GpuProcess(6, "p", 200, 20), GpuProcess(9, "foreign", 4000, 50))
    assert part(mixed) == (300, 50)
    assert part(mixed, gpu(GpuProcess(5, "p", 1000, 90), index=1), gpu(index=2)) == (1300, 70)


def test_utilisation_of_a_gpu_that_is_used_by_nobody_else_is_its_own() -> None:
    assert part(gpu(GpuProcess(5, "p", 100), utilization_percent=77)) == (100, 77)
    assert part(gpu(GpuProcess(5, "p", 100), GpuProcess(9, "f", 1), utilization_percent=77)) == (100, None)


def test_gpu_values_that_are_not_known() -> None:
    assert part() == (None, None)
    assert part(gpu(GpuProcess(9, "foreign", 100, 50))) == (0, None)
    assert part(gpu(GpuProcess(5, "p", None))) == (None, None)
    lost = GpuSample(0, "GPU-0", "Test", state="lost")
    assert part(lost) == (None, None)


_WORKER = """
import sys, time
from multiprocessing import resource_tracker, shared_memory
resource_tracker.register = lambda *_: None
block = shared_memory.SharedMemory(sys.argv[1])
total = sum(block.buf[::4096])
held = bytearray(b"x") * (20 << 20)
print("ready", flush=True)
sys.stdin.readline()
end = time.process_time() + 0.5
while time.process_time() < end: pass
print("worked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three processes that share 64 MiB, hold 20 MiB each, and burn half a second of CPU when told to."""
    block = multiprocessing.shared_memory.SharedMemory(create=True, size=64 << 20)
    assert block.buf is not None
    block.buf[:] = b"\1" * (64 << 20)
    command = [sys.executable, "-c", _WORKER, block.name]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) for _ in range(3)]
    try:
        for process in processes:
            expect(process, b"ready\n")
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        block.close()
        block.unlink()


def expect(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == line


def test_real_processes(workers: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"x" * (3 << 20))
    probe = UsageProbe(disk=FolderSizeProbe(budget_s=10))
    pids = {"a": [worker.pid for worker in workers]}
    before = time.monotonic()
    usage = probe.sample(pids, NO_GPU, {"a": [tmp_path]})["a"]
    after = time.monotonic()
    assert usage.process_count == 3
    assert usage.disk_mb in (3, 4)
    # 64 shared + 3 × (20 and an interpreter): neither 3 × 64 nor without the 64
    assert 64 + 60 <= usage.current_memory_mb < 64 + 60 + 80
    assert usage.peak_memory_mb >= usage.current_memory_mb
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
    for worker in workers:
        expect(worker, b"worked\n")
    shortest_s = time.monotonic() - after
    usage = probe.sample(pids, NO_GPU, {})["a"]
    longest_s = time.monotonic() - before
    assert 0.8 * 150 / longest_s <= usage.cpu_percent <= 1.2 * 150 / shortest_s


def test_gpu_memory_of_a_real_process_through_the_binding(tmp_path: Path) -> None:
    gpus = FakeGpus(tmp_path, count=2)
    gpus.process(0, os.getpid(), 300, utilization_percent=40)
    gpus.process(0, 4_000_000_000, 9_000, utilization_percent=50)
    gpus.process(1, os.getpid(), 700, utilization_percent=80)
    with gpus.loaded():
        probe = GpuProbe()
        usage = UsageProbe().sample({"a": [os.getpid()], "b": []}, probe.sample(), {})
        probe.close()
    assert (usage["a"].gpu_memory_mb, usage["a"].gpu_utilization_percent) == (1000, 60)
    assert (usage["b"].gpu_memory_mb, usage["b"].gpu_utilization_percent) == (0, None)
