"""The guard of `opsconsole run`: nothing of a job outlives it, nothing of anybody else's is touched."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_console.boot.run_guard import AGENT_FOLDER, end_job, start_guard
from tests.waiting import until_sync

pytestmark = pytest.mark.process

JOB = "0123456789"
_FOREVER = "import time\nprint('up', flush=True)\ntime.sleep(300)"
_DEAF = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(300)"
_PARENT = f"""
import subprocess, sys, os
child = subprocess.Popen([sys.executable, "-c", {_FOREVER!r}], env={{}}, start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""

Process = subprocess.Popen[str]


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    found: list[Process] = []
    yield found
    for process in found:
        process.kill()
        process.communicate()


def start(processes: list[Process], code: str, *, job: str = JOB, cwd: Path | None = None) -> tuple[Process, str]:
    """A process that is marked as a task's; it and the first line that it says."""
    environ = {**os.environ, "OPSCONSOLE_ATTEMPT_UID": f"{job}.0.0.abcd"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True, cwd=cwd)
    processes.append(process)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_job_ends_on_term_within_its_grace_time(processes: list[Process], tmp_path: Path) -> None:
    process, _ = start(processes, _FOREVER)
    assert end_job(JOB, tmp_path, 30)
    assert process.wait(10) == -15


def test_one_that_doesnt_heed_term_is_killed_after_the_grace_time(processes: list[Process], tmp_path: Path) -> None:
    process, _ = start(processes, _DEAF)
    assert end_job(JOB, tmp_path, 0.1)
    assert process.wait(10) == -9


def test_a_child_without_the_mark_and_in_another_session_ends_too(processes: list[Process], tmp_path: Path) -> None:
    _, child = start(processes, _PARENT)
    assert end_job(JOB, tmp_path, 0)
    until_sync(lambda: not _is_alive(int(child)))


def test_another_jobs_processes_are_left_alone(processes: list[Process], tmp_path: Path) -> None:
    other, _ = start(processes, _FOREVER, job="9876543210")
    assert end_job(JOB, tmp_path, 0)
    assert other.poll() is None


def test_what_the_keeper_has_adopted_ends_with_it(processes: list[Process], tmp_path: Path) -> None:
    home = tmp_path / AGENT_FOLDER
    home.mkdir()
    keeper, child = start(processes, _PARENT, job="9876543210", cwd=home)
    guard = start_guard(JOB, tmp_path, 100)
    assert guard.stdin is not None
    assert keeper.poll() is None
    guard.stdin.close()
    assert guard.wait(30) == 0
    assert not _is_alive(int(child))
    until_sync(lambda: keeper.poll() is not None)
    assert not tmp_path.exists()


def test_the_guard_waits_for_as_long_as_the_run_lives_and_hears_its_death(
    processes: list[Process], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    code = f"""
import time
from pathlib import Path
from opsconsole_console.boot.run_guard import start_guard
guard = start_guard({JOB!r}, Path({str(folder)!r}), 100)
print(guard.pid, flush=True)
time.sleep(300)
"""
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    processes.append(run)
    assert run.stdout is not None
    guard = int(run.stdout.readline())
    task, _ = start(processes, _FOREVER)
    assert _is_alive(guard)
    run.kill()
    assert task.wait(30) == -15
    until_sync(lambda: not _is_alive(guard))
    assert not folder.exists()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
