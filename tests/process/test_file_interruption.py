"""A transfer that is broken off goes on where it was: the command killed, the coordinator killed, the agent killed."""

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.lab import OPSCONSOLE, Lab
from tests.waiting import until_sync

SIZE = 60_000_000
SLOW = "[coordinator]\nrelay_mb_s = 15\n"
"""So that there is time to break in."""


@pytest.fixture
def here(lab: Lab) -> Path:
    (lab.folder / "config.toml").write_text(SLOW)
    folder = lab.folder / "laptop"
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(SIZE))
    return folder


@pytest.fixture
def there(lab: Lab, here: Path) -> Path:
    folder = lab.folder / "worker-in"
    folder.mkdir()
    lab.serve()
    lab.agent("gpu-a", "--input-path", str(folder))
    return folder


def start(lab: Lab, here: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (*OPSCONSOLE, *words), cwd=here, env=lab.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def arrived(folder: Path) -> int:
    """How many bytes lie in hidden incoming folders; a file that has holes has only its blocks."""
    return sum(path.stat().st_blocks * 512 for path in folder.glob(".opsconsole-incoming-*/**/*") if path.is_file())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    return out, err


PUT = ("put", "big", "gpu-a", "--via", "relay", "--json")


def test_a_killed_command_is_gone_on_with_by_the_next(lab: Lab, here: Path, there: Path) -> None:
    first = start(lab, here, *PUT)
    until_sync(lambda: arrived(there) > SIZE // 4, 30, "a part of the file")
    first.kill()
    first.communicate()
    assert not (there / "big").exists()
    row = json.loads(finish(start(lab, here, *PUT))[0])
    assert row["bytes_skipped"] > SIZE // 8
    assert digest(there / "big") == digest(here / "big")
    assert [path.name for path in there.iterdir()] == ["big"]


@pytest.mark.parametrize("who", ["serve", "gpu-a"])
def test_a_killed_other_end_is_waited_for(lab: Lab, here: Path, there: Path, who: str) -> None:
    process = start(lab, here, *PUT)
    until_sync(lambda: arrived(there) > SIZE // 4, 30, "a part of the file")
    address = json.loads((lab.data_dir / "endpoint.json").read_text())["url"].partition("://")[2]
    lab.kill(lab.processes[who])
    again: dict[str, Callable[[], object]] = {
        "serve": lambda: lab.serve(listen=address),
        "gpu-a": lambda: lab.agent("gpu-a", "--input-path", str(there), join=False),
    }
    again[who]()
    out, err = finish(process)
    row = json.loads(out)
    assert row["phase"] == "done"
    assert "goes on where it stopped" in err
    assert row["bytes_skipped"] > SIZE // 8
    assert digest(there / "big") == digest(here / "big")


def test_a_download_is_gone_on_with(lab: Lab, here: Path, there: Path) -> None:
    (there / "big").write_bytes((here / "big").read_bytes())
    command = ("get", "gpu-a:", "big", "--via", "relay", "--to", "back", "--json")
    first = start(lab, here, *command)
    until_sync(lambda: arrived(here / "back") > SIZE // 4, 30, "a part of the file")
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 130
    assert said.splitlines()[-1] == "stopped: the same command goes on where this one was"
    assert not (here / "back" / "big").exists()
    row = json.loads(finish(start(lab, here, *command))[0])
    assert row["bytes_skipped"] > SIZE // 8
    assert digest(here / "back" / "big") == digest(here / "big")
    assert [path.name for path in (here / "back").iterdir()] == ["big"]


def test_an_upload_that_is_broken_off_submits_nothing(lab: Lab, here: Path, there: Path) -> None:
    incoming = lab.data_dir / "content" / "incoming"
    block = (here / "big").read_bytes()
    with (here / "big").open("ab") as file:
        for _ in range(5):
            file.write(block)
    first = start(lab, here, "submit", "--upload", "big", "--", "true")
    until_sync(lambda: incoming.is_dir() and any(incoming.iterdir()), 60, "the upload")
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=30)
    assert (first.returncode, said.splitlines()[-1]) == (
        130, "nothing is submitted; what has been sent needn't be sent again"
    )  # fmt: skip
    assert lab.rows("jobs") == []
    finish(start(lab, here, "submit", "--upload", "big", "--wait", "--", "sh", "-c", "test -s $OPSCONSOLE_INPUT_0"))
