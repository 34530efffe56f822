"""Lines out of bytes, whatever way they arrive."""

import socket
from collections.abc import Iterator

import pytest

from opsconsole_agent.keeper.connection import LINE_BYTES_MAX, Connection


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    yield connection, theirs
    connection.close()
    theirs.close()


Pair = tuple[Connection, socket.socket]


def feed(pair: Pair, data: bytes) -> list[bytes | None]:
    """Send all of it and collect lines until it has been received."""
    connection, theirs = pair
    theirs.setblocking(False)
    lines: list[bytes | None] = []
    while data:
        try:
            data = data[theirs.send(data) :]
        except BlockingIOError:
            lines += connection.receive()
    while more := connection.receive():
        lines += more
    return lines


def drain(pair: Pair) -> list[bytes | None]:
    lines: list[bytes | None] = []
    for _ in range(200):
        lines += pair[0].receive()
    return lines


def test_lines_are_put_together(pair: Pair) -> None:
    assert feed(pair, b"one\ntw") == [b"one"]
    assert feed(pair, b"o") == []
    assert feed(pair, b"\n\nthree\n") == [b"two", b"", b"three"]


def test_a_line_of_the_greatest_length_passes(pair: Pair) -> None:
    lines = feed(pair, b"x" * LINE_BYTES_MAX + b"\nnext\n") + drain(pair)
    assert [len(line or b"") for line in lines] == [LINE_BYTES_MAX, 4]


@pytest.mark.parametrize("excess", [1, 1000, LINE_BYTES_MAX])
def test_a_longer_one_is_dropped_and_the_next_is_read(pair: Pair, excess: int) -> None:
    lines = feed(pair, b"x" * (LINE_BYTES_MAX + excess) + b"\nnext\n") + drain(pair)
    assert lines == [None, b"next"]


def test_memory_is_bounded_without_any_line_end(pair: Pair) -> None:
    lines = feed(pair, b"x" * (5 * LINE_BYTES_MAX)) + drain(pair)
    assert lines == [None]
    assert len(pair[0]._received) <= LINE_BYTES_MAX


def test_the_end_is_noticed(pair: Pair) -> None:
    connection, theirs = pair
    theirs.close()
    assert connection.receive() == []
    assert not connection.open


def test_what_the_other_side_does_not_take_is_kept(pair: Pair) -> None:
    connection, theirs = pair
    connection.send(b"y" * 3_000_000)
    assert connection.backlog > 0
    received = 0
    while received < 3_000_000:
        received += len(theirs.recv(1 << 20))
        connection.flush()
    assert connection.backlog == 0


def test_sending_to_nobody_closes(pair: Pair) -> None:
    connection, theirs = pair
    theirs.close()
    connection.send(b"y")
    assert not connection.open
