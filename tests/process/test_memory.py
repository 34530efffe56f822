"""Tasks that ran out of memory are told as such, and no others: by the real kernel, in a real cgroup."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.lab import Lab
from tests.waiting import until_sync

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LIMIT_BYTES = 64 << 20
GREEDY = "held = bytearray(1 << 29); print(len(held))"


@pytest.fixture(name="tight")
def _tight(lab: Lab) -> Iterator[str]:
    """The file of a memory cgroup that a process writes its id to; no more than 64 MiB may be held in there."""
    is_v1 = (V1 / "memory.limit_in_bytes").exists()
    folder = (V1 if is_v1 else V2) / f"opsconsole-test-{os.getpid()}-{lab.folder.name[-20:]}"
    limit = folder / ("memory.limit_in_bytes" if is_v1 else "memory.max")
    if "oom_kill " not in Path("/proc/vmstat").read_text():
        pytest.skip("this kernel doesn't count out-of-memory kills")
    try:
        folder.mkdir()
        limit.write_text(str(LIMIT_BYTES))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        with contextlib.suppress(OSError):  # a host with swap would swap first
            (folder / ("memory.swappiness" if is_v1 else "memory.swap.max")).write_text("0")
        yield str(folder / "cgroup.procs")
    finally:
        lab.close()
        until_sync(lambda: _is_gone(folder), what="the cgroup to be empty")


def _is_gone(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def oom_kills() -> str:
    """How often this kernel has killed for want of memory."""
    return Path("/proc/vmstat").read_text().partition("oom_kill ")[2].split()[0]


def failed(lab: Lab, *command: str) -> str:
    """How a task's failure is told."""
    return str(lab.wait_state(lab.give(command), "failed")["tasks"][0]["error"])


def test_what_the_kernel_kills_for_want_of_memory_is_told_as_such(lab: Lab, tight: str) -> None:
    lab.serve()
    lab.agent("gpu-a")
    words = "killed by the kernel: out of memory"
    python = f"{sys.executable} -c '{GREEDY}'"
    assert failed(lab, "sh", "-c", f"echo $$ > {tight} && exec {python}") == words
    # A shell that passes its program's death on.
    job_id = lab.give(f"echo $$ > {tight} && {python}; exit $?")
    assert lab.wait_state(job_id, "failed")["tasks"][0]["error"] == words
    assert words in lab.run("show", job_id).stdout


def test_what_merely_looks_like_it_is_not(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    limited = f"ulimit -v 400000; exec {sys.executable} -c '{GREEDY}'"
    told = "exit code 1: ran out of memory"
    assert failed(lab, "sh", "-c", limited) == told, "by itself, not by the kernel"
    error = ""
    for _ in range(5):
        kills = oom_kills()
        job_id = lab.give("echo $$; exec sleep 600")
        lab.wait(lambda: lab.lines(job_id), "its process id")  # noqa: B023  (waited for in this turn)
        os.kill(int(lab.lines(job_id)[0]), signal.SIGKILL)
        error = lab.wait_state(job_id, "failed")["tasks"][0]["error"]
        if kills == oom_kills():  # else somebody else on this host ran out of memory meanwhile
            break
    assert error == "killed by signal 9 (SIGKILL)"


@pytest.mark.parametrize("where", ["", " >&2"])
def test_a_gpu_without_room_is_told_from_the_last_lines(lab: Lab, where: str) -> None:
    lab.serve()
    lab.agent("gpu-a")
    text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert failed(lab, "sh", "-c", f"echo '{text}'{where}; exit 1") == (
        "exit code 1: ran out of GPU memory: it tried to allocate 2.00 GiB"
    )


def test_who_cancelled_a_task_and_when_is_told(lab: Lab) -> None:
    lab.serve()
    lab.agent("gpu-a")
    job_id = lab.give("echo begun; exec sleep 600", num_tasks=2)
    lab.wait(lambda: [lab.lines(job_id, task=index) for index in (0, 1)] == [["begun"]] * 2, "both tasks to run")
    lab.run("cancel", f"{job_id}/task-1")
    lab.wait(lambda: lab.job(job_id)["tasks"][1]["state"] == "killed", "the task to be ended")
    shown = lab.run("show", job_id).stdout
    who = lab.job(job_id)["submitted_by"]
    assert f"cancelled by {who}, ended 2" in shown
    assert f"task-1: cancelled by {who}" in shown
    lab.act("cancel", job_id)
    lab.wait_state(job_id, "killed")
    assert f"killed: cancelled by {who}" in lab.run("show", job_id).stdout
