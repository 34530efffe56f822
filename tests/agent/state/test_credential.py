"""The agent's identity: its own, stable, private, and held by one agent at a time."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from opsconsole_agent.state.credential import (
    CREDENTIAL_FILE,
    LOCK_FILE,
    StateFolderError,
    StateFolderInUse,
    StateLock,
    ensure_credential,
)
from opsconsole_protocol.host.private_file import PrivateFileError
from opsconsole_protocol.trust.secret import hash_secret, is_secret

HOLD = """
import pathlib, sys
from opsconsole_agent.state.credential import StateLock
lock = StateLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_it_is_made_once_and_stays(tmp_path: Path) -> None:
    first = ensure_credential(tmp_path / "state")
    assert re.fullmatch("worker-[0-9a-hjkmnp-tv-z]{8}", first.worker_id)
    assert is_secret(first.secret)
    assert first.hash == hash_secret(first.secret)
    assert ensure_credential(tmp_path / "state") == first
    other = ensure_credential(tmp_path / "other")
    assert other.worker_id != first.worker_id
    assert other.secret != first.secret
    assert stat.S_IMODE((tmp_path / "state" / CREDENTIAL_FILE).stat().st_mode) == 0o600


def test_no_repr_shows_the_secret(tmp_path: Path) -> None:
    credential = ensure_credential(tmp_path)
    assert credential.secret not in repr(credential)


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ensure_credential(tmp_path)
    (tmp_path / CREDENTIAL_FILE).chmod(0o640)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        ensure_credential(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"worker_id": "worker-7k3m9q2x"}',
        '{"worker_id": "worker-7k3m9q2x", "secret": "short"}',
        '{"worker_id": "worker-7k3m9q2x", "secret": 7}',
        '{"worker_id": "WORKER", "secret": "%s"}' % ("0" * 52),
        '{"worker_id": "worker-../../..", "secret": "%s"}' % ("0" * 52),
        '{"worker_id": null, "secret": "%s"}' % ("0" * 52),
    ],
)
def test_a_damaged_one_is_named_and_not_replaced(tmp_path: Path, text: str) -> None:
    ensure_credential(tmp_path)
    (tmp_path / CREDENTIAL_FILE).write_text(text)
    with pytest.raises(PrivateFileError, match=rf"{CREDENTIAL_FILE} is damaged: .*join again") as caught:
        ensure_credential(tmp_path)
    assert "0" * 52 not in caught.value.message
    assert (tmp_path / CREDENTIAL_FILE).read_text() == text


def test_a_second_agent_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with StateLock(tmp_path / "state"):
        with pytest.raises(StateFolderInUse, match=rf"another agent runs with this state folder \(pid {os.getpid()}\)"):
            StateLock(tmp_path / "state")
        StateLock(tmp_path / "other").release()
    lock = StateLock(tmp_path / "state")
    lock.release()
    lock.release()


@pytest.mark.process
def test_a_killed_agent_leaves_the_folder_free_even_if_a_child_lives_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateFolderInUse, match=rf"\(pid {holder.pid}\)"):
            StateLock(tmp_path)
        holder.kill()
        holder.wait()
    # `close_fds=False`: what would be inherited if nobody took care
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with (
        StateLock(tmp_path),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        assert LOCK_FILE not in [entry.readlink().name for entry in Path(f"/proc/{child.pid}/fd").iterdir()]


def test_the_same_folder_on_another_host_is_named(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        (tmp_path / LOCK_FILE).write_text("42 other\x1bhost\n")
        with pytest.raises(StateFolderInUse, match=r"pid 42 on 'other\\x1bhost'"):
            StateLock(tmp_path)
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(StateFolderInUse, match="pid unknown"):
            StateLock(tmp_path)


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateFolderError, match="--state-dir"):
        StateLock(tmp_path / "file")
