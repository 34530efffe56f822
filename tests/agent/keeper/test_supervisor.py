"""What the supervisor keeps in its log, without any process."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_agent.keeper.journal import History, Journal
from opsconsole_agent.keeper.launch import Launch
from opsconsole_agent.keeper.refusal import Refusal
from opsconsole_agent.keeper.supervisor import Supervisor


class Book:
    """A supervisor and its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(str(folder))
        self.home = os.open(folder, os.O_RDONLY)
        self.supervisor = Supervisor(self.journal, self.home, lambda _: None, lambda _: None)
        self.supervisor.recover(self.journal.open())
        self.journal.flush()

    def fail(self, name: str) -> None:
        """An attempt that ends at once, as its program doesn't exist."""
        output = str(self.folder / "output")
        self.supervisor.start(Launch(name, ["no-such-program"], str(self.folder), {"PATH": ""}, output, output))
        self.journal.flush()

    def lines(self) -> list[str]:
        return (self.folder / "exit.log").read_text().splitlines()

    def reread(self) -> History:
        journal = Journal(str(self.folder))
        try:
            return journal.open()
        finally:
            journal.close()

    def close(self) -> None:
        self.journal.close()
        os.close(self.home)


@pytest.fixture(name="book")
def _book(tmp_path: Path) -> Iterator[Book]:
    book = Book(tmp_path)
    yield book
    book.close()


def test_the_log_is_cut_down_to_what_is_true(book: Book) -> None:
    for number in range(50):
        book.fail(f"n{number}")
    book.supervisor.forget(f"n{number}" for number in range(40))
    book.journal.flush()
    book.supervisor._compact_at_bytes = 1000
    book.supervisor.compact_journal()
    assert len(book.lines()) == 11
    assert list(book.reread().exits) == [f"n{number}" for number in range(40, 50)]


def test_a_disk_that_is_full_leaves_the_long_log_as_it_is(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        book.fail(f"n{number}")
    book.supervisor._compact_at_bytes = 1000

    def full(_: str, __: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(OSError, match="No space"):
            book.supervisor.compact_journal()
    book.supervisor.compact_journal()
    book.fail("later")
    assert len(book.reread().exits) == 51


def test_a_log_of_which_nothing_is_true_is_emptied(book: Book) -> None:
    book.fail("a")
    book.supervisor.compact_journal()
    assert len(book.lines()) == 2
    assert book.supervisor.forget(["a", "never"]) == 1
    book.journal.flush()
    book.supervisor.compact_journal()
    assert len(book.lines()) == 1


def test_an_exit_is_told_and_remembered(book: Book) -> None:
    book.fail("a")
    assert book.supervisor.outbox == [book.supervisor.exits["a"]]
    assert book.reread().exits == book.supervisor.exits
    with pytest.raises(Refusal):
        book.fail("a")


def test_the_next_one_takes_it_over(book: Book) -> None:
    book.fail("a")
    again = Book(book.folder)
    assert again.supervisor.exits == book.supervisor.exits
    again.close()


def test_what_was_closed_in_the_same_round_is_no_surprise(book: Book) -> None:
    """One round's descriptors are heard of together: dealing with the first may close the second."""
    book.supervisor.leader_ended(12_345)
    lives = os.pidfd_open(os.getpid())
    try:
        # The number of one that was closed may have been given out anew, for a leader that lives.
        book.supervisor._pidfds[lives] = None  # type: ignore[assignment]
        book.supervisor.leader_ended(lives)
        assert lives in book.supervisor._pidfds
    finally:
        book.supervisor._pidfds.clear()
        os.close(lives)
