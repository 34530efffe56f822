"""A worker whose disk is full gets no new work and says why, what it has ends as it ends, nobody else notices, and room
is all it needs (hard use 16)."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_protocol.log import Source
from tests.process.lab import Lab


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A filesystem of its own at `folder`, taken away in any case."""
    folder.mkdir()
    done = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", options, "opsconsole-test", str(folder)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"mounting isn't allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def fill(folder: Path) -> Path:
    """Leave no room for a single byte more; the file to delete."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    return ballast


def fill_names(folder: Path) -> list[Path]:
    """Leave no room for one more file or folder, as on a disk without inodes; the files to delete."""
    made: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            path = folder / f"ballast-{len(made)}"
            path.touch()
            made.append(path)
    return made


@pytest.fixture(name="full")
def _full(lab: Lab) -> Iterator[Lab]:
    """The worker `small` with a small disk under its state folder, and `other`, which has a task running."""
    with small_disk(lab.state_dir("small"), "size=40m,nr_inodes=400"):
        lab.serve()
        lab.agent("small")
        lab.agent("other")
        yield lab
        lab.close()


WAIT = 'echo begun; while [ ! -e "$GO" ]; do sleep 0.05; done; '


def wait_full(lab: Lab, folder: Path) -> str:
    """Until the worker `small` says that it takes nothing more; what it says."""
    words = f"takes no new tasks: its disk is full: make room in {folder}"
    lab.wait(lambda: lab.worker("small")["attention"] == words, "the worker to say that its disk is full")
    return words


def test_new_work_goes_elsewhere_and_what_runs_goes_on(full: Lab) -> None:
    small, go = full.state_dir("small"), {"GO": f"{full.folder}/go"}
    other = full.give(WAIT + "echo ended", worker="other", environment=go)
    before = full.give(WAIT + "exit 5", worker="small", environment=go)
    for job_id in (other, before):
        full.wait_lines(job_id, "begun")
    ballast = fill(small)

    words = wait_full(full, small)
    assert words in full.run("workers").stdout
    waiting = full.give("echo hello", worker="small")
    full.wait(lambda: full.job(waiting)["reason"] == f"small {words}", "a reason")

    agent = full.processes["small"]
    full.kill(agent)
    full.agent("small")  # finds its task again, without a byte to write

    (full.folder / "go").touch()
    full.wait_state(other, "succeeded")
    full.wait_lines(other, "begun", "ended")
    # What ran there ends as it ends: the exit is kept in memory until there is room for it again.
    assert full.wait_state(before, "failed")["tasks"][0]["exit_code"] == 5

    ballast.unlink()
    full.wait_state(waiting, "succeeded")
    full.wait_lines(waiting, "hello")
    assert full.job(waiting)["tasks"][0]["attempt"] == 0, "it never came to a worker that had no room for it"


def test_a_disk_without_room_for_a_file_name(full: Lab) -> None:
    small = full.state_dir("small")
    ballast = fill_names(small)
    words = wait_full(full, small)
    waiting = full.give("echo hello", worker="small")
    full.wait(lambda: full.job(waiting)["reason"] == f"small {words}", "a reason")
    full.wait_state(full.give("true"), "succeeded")
    for path in ballast:
        path.unlink()
    full.wait_state(waiting, "succeeded")
    full.wait_lines(waiting, "hello")


@pytest.mark.parametrize("code", [1, 0])
def test_a_task_that_fills_its_own_log_says_so(full: Lab, code: int) -> None:
    small = full.state_dir("small")
    job_id = full.give(f"yes 0123456789 | head -c 60000000; exit {code}", worker="small")
    job = full.wait_state(job_id, "failed", "succeeded")
    note = f"the disk of this worker was full when the task ended, so its log may lack lines: make room in {small}"
    full.wait(
        lambda: any(note in line for line in full.lines(job_id, sources=(Source.ERROR,), max_lines=10)),
        "the log's note",
    )
    assert full.lines(job_id, max_lines=1) == ["0123456789"]
    if code:
        assert job["tasks"][0]["error"] == "exit code 1; the worker's disk is full"
        assert job["tasks"][0]["hint"] == f"make room in {small}"
    else:
        assert job["state"] == "succeeded"
    # Once the log is stored its files go: there is room again.
    full.wait(lambda: not [*small.glob("attempts/*/spec.json")], "the worker to forget the attempt")
    after = full.give("echo hello", worker="small")
    full.wait_state(after, "succeeded")


def test_an_output_folder_without_room(lab: Lab) -> None:
    output = lab.folder / "output"
    with small_disk(output, "size=40m,nr_inodes=60"):
        lab.serve()
        agent = lab.agent("small", "--output-path", str(output))
        ballast = fill_names(output)
        words = wait_full(lab, output)
        waiting = lab.give('echo hello > "$OPSCONSOLE_OUTPUT_PATH/result"')
        lab.wait(lambda: lab.job(waiting)["reason"] == f"small {words}", "a reason")
        for path in ballast:
            path.unlink()
        lab.wait_state(waiting, "succeeded")

        agent.terminate()
        lab.wait_ended(agent)
        fill(output)
        again = lab.agent("small", "--output-path", str(output), join=False)
        assert lab.wait_ended(again) == 2
        last = lab.said("small").splitlines()[-1]
        assert f"output path {output} can't be written (No space left on device): make room there" in last
        lab.close()


def test_an_agent_that_finds_no_room_to_begin_in_says_so(lab: Lab) -> None:
    small = lab.state_dir("small")
    with small_disk(small, "size=1m"):
        fill(small)
        lab.serve()
        agent = lab.agent("small", join=False)
        assert lab.wait_ended(agent) != 0
        said = lab.said("small")
        assert "Traceback" not in said
        assert "No space left on device" in said
        assert str(small) in said
        lab.close()
