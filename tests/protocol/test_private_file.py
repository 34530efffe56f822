"""Private files: whole, 0600, and refused once others could have read them."""

import os
import stat
from pathlib import Path

import pytest

from opsconsole_protocol.host.private_file import PrivateFileError, read_private, write_private


def test_what_was_written_is_read_again_and_belongs_to_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "token"
    write_private(path, "one\n")
    write_private(path, "two\n")
    assert read_private(path) == "two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        write_private(tmp_path / "token", "x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_private(tmp_path / "token") is None
    assert read_private(tmp_path / "nowhere" / "token") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    write_private(path, "secret words")
    path.chmod(mode)
    with pytest.raises(PrivateFileError, match=f"mode {mode:04o}.*chmod 600") as caught:
        read_private(path)
    assert "secret words" not in caught.value.message


def test_a_folder_a_pipe_and_binary_rubbish_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    write_private(tmp_path / "binary", "")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, said in (("folder", "not a file"), ("pipe", "not a file"), ("binary", "not text")):
        with pytest.raises(PrivateFileError, match=said):
            read_private(tmp_path / name)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    write_private(path, "old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("opsconsole_protocol.host.private_file.os.fsync", fail)
    with pytest.raises(PrivateFileError, match="No space left on device"):
        write_private(path, "new")
    monkeypatch.undo()
    assert read_private(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PrivateFileError, match="can't be written"):
        write_private(tmp_path / "file" / "token", "x")
    with pytest.raises(PrivateFileError, match="can't be read"):
        read_private(tmp_path / "file" / "token")
