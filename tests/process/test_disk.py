"""A worker whose disk is full: its new work fails with the reason, nobody else notices, and room is all it needs."""

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
    with small_disk(lab.state_dir("small"), "size=2m,nr_inodes=400"):
        lab.serve()
        lab.agent("small")
        lab.agent("other")
        yield lab
        lab.close()


WAIT = 'echo begun; while [ ! -e "$GO" ]; do sleep 0.05; done; '


def test_new_work_fails_with_the_reason_and_the_other_worker_goes_on(full: Lab) -> None:
    small, go = full.state_dir("small"), {"GO": f"{full.folder}/go"}
    other = full.give(WAIT + "echo ended", worker="other", environment=go)
    before = full.give(WAIT + "exit 5", worker="small", environment=go)
    for job_id in (other, before):
        full.wait_lines(job_id, "begun")
    ballast = fill(small)

    failed = full.wait_state(full.give("echo hello", worker="small"), "failed")
    reason = (
        f"it was not started, for the worker can't keep a record of it (No space left on device): make room in {small}"
    )
    assert failed["tasks"][0]["error"] == reason
    assert reason in full.run("show", failed["id"]).stdout
    full.wait_state(full.give("true", worker="other"), "succeeded")

    agent = full.processes["small"]
    full.kill(agent)
    full.agent("small")  # finds its task again, without a byte to write

    (full.folder / "go").touch()
    full.wait_state(other, "succeeded")
    full.wait_lines(other, "begun", "ended")
    # What ran there ends as it ends: the exit is kept in memory until there is room for it again.
    assert full.wait_state(before, "failed")["tasks"][0]["exit_code"] == 5

    ballast.unlink()
    after = full.give("echo hello", worker="small")
    full.wait_state(after, "succeeded")
    full.wait_lines(after, "hello")


def test_a_disk_without_room_for_a_file_name(full: Lab) -> None:
    small = full.state_dir("small")
    ballast = fill_names(small)
    failed = full.wait_state(full.give("echo hello", worker="small"), "failed")
    error = failed["tasks"][0]["error"]
    assert "No space left on device" in error
    assert "make room" in error
    assert str(small) in error
    for path in ballast:
        path.unlink()
    after = full.give("echo hello", worker="small")
    full.wait_state(after, "succeeded")
    full.wait_lines(after, "hello")


@pytest.mark.parametrize("code", [1, 0])
def test_a_task_that_fills_its_own_log_says_so(full: Lab, code: int) -> None:
    small = full.state_dir("small")
    job_id = full.give(f"yes 0123456789 | head -c 8000000; exit {code}", worker="small")
    job = full.wait_state(job_id, "failed", "succeeded")
    note = f"the disk of this worker was full when the task ended, so its log may lack lines: make room in {small}"
    full.wait(
        lambda: any(note in line for line in full.lines(job_id, sources=(Source.ERROR,), max_lines=10)),
        "the log's note",
    )
    assert full.lines(job_id, max_lines=1) == ["0123456789"]
    if code:
        assert job["tasks"][0]["error"] == f"exit code 1; the worker's disk is full: make room in {small}"
    else:
        assert job["state"] == "succeeded"
    # Once the log is stored its files go: there is room again.
    full.wait(lambda: not [*small.glob("attempts/*/spec.json")], "the worker to forget the attempt")
    after = full.give("echo hello", worker="small")
    full.wait_state(after, "succeeded")


def test_an_output_folder_without_room(lab: Lab) -> None:
    output = lab.folder / "output"
    with small_disk(output, "size=1m,nr_inodes=40"):
        lab.serve()
        agent = lab.agent("small", "--output-path", str(output))
        ballast = fill_names(output)
        failed = lab.wait_state(lab.give("echo hello"), "failed")
        error = failed["tasks"][0]["error"]
        assert error.startswith(str(output))
        assert error.endswith("can't be made (No space left on device): make room there")
        for path in ballast:
            path.unlink()
        lab.wait_state(lab.give('echo hello > "$OPSCONSOLE_OUTPUT_PATH/result"'), "succeeded")

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
