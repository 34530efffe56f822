"""Following one file, whatever the task does to it."""

import os
from pathlib import Path

import pytest

from opsconsole_agent.log import LogFollower, NoteFollower
from opsconsole_protocol.log import Source


def follower(path: Path, offset: int = 0) -> LogFollower:
    return LogFollower(Source.STDOUT, path, offset)


def test_reads_what_is_appended_block_by_block(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"hello world")
    one = follower(path)
    assert one.check()
    assert one.read(5) == b"hello"
    assert not one.at_end
    assert one.read(100) == b" world"
    assert one.at_end
    assert one.read(100) is None
    with path.open("ab") as file:
        file.write(b"!")
    assert one.at_end
    assert one.check()
    assert one.size - one.offset == 1
    assert one.read(100) == b"!"


def test_starts_and_goes_on_at_any_offset(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"0123456789")
    one = follower(path, 7)
    assert one.read(100) == b"789"
    one.seek(2)
    assert one.read(3) == b"234"


def test_a_file_that_does_not_exist_yet_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    one = follower(path)
    assert not one.check()
    assert one.read(10) is None
    assert one.trouble == ""
    path.write_bytes(b"x")
    assert one.check()


def test_removed(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"x")
    one = follower(path)
    one.check()
    path.unlink()
    assert not one.check()
    assert one.trouble == "was removed"
    assert one.at_end


def test_removed_while_the_agent_was_away(tmp_path: Path) -> None:
    one = follower(tmp_path / "stdout", 5)
    assert one.read(10) is None
    assert one.trouble == "was removed"


def test_cut_short_is_followed_again_once_it_is_longer(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"0123456789")
    one = follower(path)
    one.read(100)
    os.truncate(path, 3)
    assert not one.check()
    assert one.trouble == "was cut short"
    path.write_bytes(b"abcdefghijklm")
    assert one.check()
    assert one.trouble == ""
    assert one.read(100) == b"klm"


def test_another_file_in_its_place_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"mine")
    one = follower(path)
    one.check()
    other = tmp_path / "other"
    other.write_bytes(b"a longer secret")
    other.replace(path)
    assert one.read(100) is None
    assert one.trouble == "was replaced by another file"


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path = tmp_path / "stdout"
    path.symlink_to(secret)
    one = follower(path)
    assert not one.check()
    assert one.read(100) is None
    assert one.trouble


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    os.mkfifo(path)
    one = follower(path)
    assert not one.check()
    assert one.read(100) is None
    assert one.trouble == "is no plain file any more"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_and_readable_again(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"x")
    path.chmod(0)
    one = follower(path)
    assert one.read(100) is None
    assert one.trouble.startswith("can't be read")
    path.chmod(0o600)
    assert one.read(100) == b"x"
    assert one.trouble == ""


def test_a_folder_that_is_a_file_is_trouble_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"")
    one = follower(tmp_path / "folder" / "stdout")
    assert not one.check()
    assert one.trouble.startswith("can't be read")


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"x" * 10)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(10):
        follower(path).read(5)
        follower(tmp_path / "missing").read(5)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


class TestNotes:
    def test_a_line_is_added_once(self, tmp_path: Path) -> None:
        notes = NoteFollower(tmp_path / "error")
        notes.add("one")
        notes.add("two\nlines")
        notes.add("one")
        assert notes.read(100) == b"one\ntwo lines\n"
        assert NoteFollower(tmp_path / "error").read(100) == b"one\ntwo lines\n"

    def test_a_line_of_an_earlier_life_is_not_repeated(self, tmp_path: Path) -> None:
        NoteFollower(tmp_path / "error").add("one")
        again = NoteFollower(tmp_path / "error", 4)
        again.add("one")
        assert not again.check()
        again.add("on")
        assert again.read(100) == b"on\n"

    def test_memory_stands_in_for_a_folder_that_is_gone(self, tmp_path: Path) -> None:
        notes = NoteFollower(tmp_path / "gone" / "error")
        notes.add("one")
        notes.add("one")
        notes.add("two")
        assert notes.size == 8
        assert notes.read(3) == b"one"
        assert notes.read(100) == b"\ntwo\n"
        assert notes.at_end
        notes.seek(4)
        assert notes.read(100) == b"two\n"

    def test_memory_goes_on_where_a_lost_file_ended(self, tmp_path: Path) -> None:
        path = tmp_path / "folder" / "error"
        path.parent.mkdir()
        notes = NoteFollower(path)
        notes.add("one")
        assert notes.read(100) == b"one\n"
        path.unlink()
        path.parent.rmdir()
        assert not notes.check()
        notes.add("two")
        assert notes.offset == 4
        assert notes.read(100) == b"two\n"
        assert notes.trouble == ""
        # Bytes that are gone: what is left moves down, so that the log never waits for ever.
        notes.seek(0)
        assert notes.read(100) == b"two\n"
        assert not notes.check()

    def test_a_link_is_not_written_through(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious\n")
        (tmp_path / "error").symlink_to(victim)
        notes = NoteFollower(tmp_path / "error")
        notes.add("one")
        assert victim.read_bytes() == b"precious\n"
        assert notes.read(100) == b"one\n"

    def test_notes_are_bounded(self, tmp_path: Path) -> None:
        for notes in (NoteFollower(tmp_path / "error"), NoteFollower(tmp_path / "gone" / "error")):
            for number in range(10):
                notes.add(f"{number}" * 60_000)
            assert 60_000 < notes.size <= 256 * 1024
