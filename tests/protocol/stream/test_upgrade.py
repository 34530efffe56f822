"""The request for a stream and its answer, whole, in pieces, and spoiled."""

import pytest

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.stream import upgrade
from opsconsole_protocol.stream.upgrade import (
    UpgradeAnswer,
    UpgradeRequest,
    format_acceptance,
    format_refusal,
    format_request,
    parse_answer,
    parse_request,
)

PROOF = "0123456789abcdef" * 4
REQUEST = format_request("s1", PROOF, "lab")


def test_a_request_is_read_as_it_was_written() -> None:
    assert REQUEST.startswith(upgrade.REQUEST_START)
    assert parse_request(REQUEST) == UpgradeRequest("s1", PROOF)


def test_of_a_part_of_a_request_the_rest_is_awaited() -> None:
    for size in range(len(REQUEST)):
        assert parse_request(REQUEST[:size]) is None, size


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /stream HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"GET /streams HTTP/1.1\r\n\r\n",
        REQUEST + b"x",
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REQUEST.replace(b"Upgrade: opsconsole-stream", b"Upgrade: websocket"),
        REQUEST.replace(PROOF.encode(), PROOF[:-1].encode()),
        REQUEST.replace(PROOF.encode(), PROOF.upper().encode()),
        REQUEST.replace(b": s1", b": "),
        REQUEST.replace(b": s1", b": ../s1"),
        REQUEST.replace(b": s1", b": " + b"s" * 129),
        REQUEST.replace(b"Host: lab", b"Host lab"),
        REQUEST.replace(b"Host: lab", b"opsconsole-stream: s2"),
        REQUEST.replace(b"lab", b"l" * upgrade.UPGRADE_BYTES_MAX),
        b"GET /stream HTTP/1.1\r\n" + b"a" * upgrade.UPGRADE_BYTES_MAX,
    ],
)
def test_what_is_no_request_is_refused(request_bytes: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^[^\n]+$"):
        parse_request(request_bytes)


def test_an_acceptance_may_have_the_first_bytes_of_the_stream_behind_it() -> None:
    whole = format_acceptance(PROOF) + b"first"
    found = parse_answer(whole)
    assert found == UpgradeAnswer(101, PROOF, rest=b"first")
    assert found.is_open
    head = len(whole) - len(b"first")
    assert all(parse_answer(whole[:size]) is None for size in range(head))


@pytest.mark.parametrize(
    "status", [upgrade.NOT_UNDERSTOOD, upgrade.NOT_GOOD, upgrade.NOT_JOINED, upgrade.TOO_MANY, upgrade.GONE]
)
def test_a_refusal_says_why_in_one_line(status: int) -> None:
    whole = format_refusal(status, "the ticket\nis used\x1b[31m: ask again")
    found = parse_answer(whole)
    assert found == UpgradeAnswer(status, text="the ticket is used [31m: ask again")
    assert not found.is_open
    assert all(parse_answer(whole[:size]) is None for size in range(len(whole)))


def test_of_a_refusal_that_breaks_off_there_is_what_came() -> None:
    whole = format_refusal(upgrade.GONE, "it is stopping")
    assert parse_answer(whole[:-4], is_whole=True) == UpgradeAnswer(upgrade.GONE, text="it is stop")


def test_of_a_refusal_without_end_as_much_is_read_as_a_line_may_have() -> None:
    head = b"HTTP/1.1 500 x\r\ncontent-type: text/plain\r\ncontent-length: 99999999999\r\n\r\n"
    assert parse_answer(head) is None
    found = parse_answer(head + b"a" * 5_000)
    assert found == UpgradeAnswer(500, text="a" * upgrade.TEXT_BYTES_MAX)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x", b"HTTP/1.1 xyz\r\n\r\n", b"HTTP/1.1 1010\r\n\r\n", b"HTTP/1.1 200 OK\r\nab\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a" * upgrade.UPGRADE_BYTES_MAX,
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^[^\n]+$"):
        parse_answer(answer)


def test_an_answer_that_ends_in_its_head_is_refused() -> None:
    with pytest.raises(ProtocolError):
        parse_answer(b"HTTP/1.1 101 ", is_whole=True)
