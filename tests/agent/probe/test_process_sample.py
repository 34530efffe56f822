"""One process as the kernel tells it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from opsconsole_agent.probe.process_sample import TICKS_PER_S, ProcessSample, sample_process
from tests.waiting import until_sync

_HOLD_64_MB = "import sys; held = bytearray(b'x') * (64 << 20); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds 64 MiB until its stdin is closed."""
    command = [sys.executable, "-I", "-S", "-c", _HOLD_64_MB]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_memory_parent_and_start_agree_with_psutil(holder: subprocess.Popen[bytes]) -> None:
    process = sample_process(holder.pid)
    assert process is not None
    other = psutil.Process(holder.pid)
    assert process.parent == os.getpid()
    assert 64 << 10 <= process.private_kb < 100 << 10
    assert 0 < process.shared_kb < 40 << 10
    assert process.peak_kb >= 64 << 10
    assert other.memory_info().rss == pytest.approx((process.private_kb + process.shared_kb) << 10, rel=0.05)
    started = process.start_ticks / TICKS_PER_S
    assert time.clock_gettime(time.CLOCK_BOOTTIME) - started == pytest.approx(time.time() - other.create_time(), abs=2)


def test_memory_that_did_not_change_is_not_read_again(holder: subprocess.Popen[bytes]) -> None:
    first = sample_process(holder.pid)
    assert first is not None
    marked = first._replace(private_kb=1, shared_kb=2, peak_kb=3)
    again = sample_process(holder.pid, marked)
    assert again is not None
    assert (again.private_kb, again.shared_kb, again.peak_kb) == (1, 2, 3)
    assert sample_process(holder.pid, marked._replace(resident_pages=0)) == again._replace(
        private_kb=first.private_kb, shared_kb=first.shared_kb, peak_kb=first.peak_kb
    )
    earlier = sample_process(holder.pid, marked._replace(start_ticks=1))
    assert earlier is not None
    assert earlier.private_kb == first.private_kb


def test_cpu_time_of_itself_and_of_ended_children() -> None:
    before = sample_process(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    until_sync(lambda: [sum(range(200_000)), _ticks(sample_process(os.getpid())) > _ticks(before)][1], what="a tick")
    after = sample_process(os.getpid())
    assert before is not None
    assert after is not None
    assert after.children_ticks > before.children_ticks


def _ticks(process: ProcessSample | None) -> int:
    assert process is not None
    return process.cpu_ticks


def test_a_zombie_is_told_and_has_no_memory() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        zombie = sample_process(child.pid)
    assert zombie is not None
    assert zombie.zombie
    assert (zombie.private_kb, zombie.shared_kb, zombie.peak_kb) == (0, 0, 0)


def test_no_process() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
    assert sample_process(child.pid) is None


def test_a_name_with_blanks_and_parentheses(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        try:
            until_sync(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "a) R 1 (b\n")
            process = sample_process(child.pid)
        finally:
            child.kill()
    assert process is not None
    assert (process.parent, process.zombie) == (os.getpid(), False)


def test_a_kernel_thread_has_no_memory() -> None:
    if not Path("/proc/2/stat").exists() or b"kthreadd" not in Path("/proc/2/stat").read_bytes():
        pytest.skip("kernel threads can't be seen in this PID namespace")
    thread = sample_process(2)
    assert thread is not None
    assert (thread.private_kb, thread.zombie) == (0, False)
