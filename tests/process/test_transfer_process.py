"""The coordinator's transfer process dies in the middle, or its coordinator does: what was under way goes on, nothing is left."""

import os
import signal
from pathlib import Path

import pytest

from tests.process.lab import Lab
from tests.seen_process import SeenProcess

MIB = 1 << 20
MODULE = "opsconsole_coordinator.transfer"


def transfer_processes(lab: Lab) -> list[SeenProcess]:
    return [one for one in lab.left() if MODULE in one.command]


def incoming_bytes(folder: Path) -> int:
    """What has arrived in a store of a tree that isn't whole yet."""
    total = 0
    for path in (folder / "content" / "incoming").rglob("*"):
        try:
            total += path.lstat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:  # it has just become whole
            continue
    return total


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(300 * MIB))
    return path


def test_an_upload_goes_on_after_the_transfer_process_was_killed(lab: Lab, big: Path) -> None:
    lab.serve()
    lab.agent("gpu-a")
    script = f'cmp "$OPSCONSOLE_INPUT_0" {big} && echo same'
    submit = lab.start("submit", "submit", "--upload", str(big), "--follow", "--", "sh", "-c", script)
    lab.wait(lambda: incoming_bytes(lab.data_dir) > 20 * MIB, "the first bytes")
    [process] = transfer_processes(lab)
    process.signal(signal.SIGKILL)
    assert incoming_bytes(lab.data_dir) < 300 * MIB, "the test was too slow to catch it"
    assert lab.wait_ended(submit, 120) == 0, lab.said("submit")
    assert "same" in lab.said("submit")
    [again] = transfer_processes(lab)
    assert again.pid != process.pid


def test_a_fetch_goes_on_after_the_transfer_process_was_killed(lab: Lab, big: Path) -> None:
    lab.serve()
    submit = lab.start("submit", "submit", "--upload", str(big), "--", "cmp", "$OPSCONSOLE_INPUT_0", str(big))
    assert lab.wait_ended(submit, 120) == 0, lab.said("submit")
    lab.agent("gpu-a")
    lab.wait(lambda: incoming_bytes(lab.state_dir("gpu-a")) > 20 * MIB, "the first bytes")
    [process] = transfer_processes(lab)
    process.signal(signal.SIGKILL)
    assert incoming_bytes(lab.state_dir("gpu-a")) < 300 * MIB, "the test was too slow to catch it"
    [job] = lab.rows("jobs")
    lab.wait_state(job["id"], "succeeded", "failed", timeout_s=120)
    whole = list((lab.state_dir("gpu-a") / "content" / "trees").rglob("big.bin"))
    assert [path.stat().st_size for path in whole] == [300 * MIB]


def test_it_ends_with_a_coordinator_that_was_killed(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    server = lab.serve()
    lab.run("submit", "--upload", str(tmp_path / "a"), "--", "true")
    [process] = transfer_processes(lab)
    lab.kill(server)
    assert process.ends(20)
    assert transfer_processes(lab) == []
