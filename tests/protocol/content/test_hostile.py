"""Peers that lie: each is refused in one line, at the frame with the lie, by the side that it lies to."""

from collections.abc import Iterator

import msgspec
import pytest

from opsconsole_protocol.bound import TEXT_CHARACTERS_MAX
from opsconsole_protocol.content.digest import DIGEST_BYTES, chunk_digest
from opsconsole_protocol.content.error import CacheChanged, DiskFull
from opsconsole_protocol.content.frame import Failure, FrameKind, FrameReader, bits, failure, frame, head, read_head
from opsconsole_protocol.content.manifest import MANIFEST_BYTES_MAX, Entry, EntryKind, Manifest
from opsconsole_protocol.content.receiver import Receiver
from opsconsole_protocol.error import LimitExceeded, OpsconsoleError, ProtocolError, VersionMismatch
from opsconsole_protocol.ids import ContentId
from tests.protocol.content.ends import CHUNK, Disk, ReceiverEnd, SenderEnd, leaves_of, manifest_of, small
from tests.protocol.content.test_transfer import run

TREE = {b"a": b"some", b"b": b"x" * 40, b"c": b"", b"d": b"y" * (20 * CHUNK), b"e": b"more"}
DONE = frame(FrameKind.DONE)


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small():
        yield


def offer(manifest: Manifest, **other: object) -> bytes:
    """The first frame of a sender, with something in it changed."""
    fields = {"version": 1, "content_id": manifest.content_id, "manifest_bytes": len(manifest.encode())} | other
    return frame(FrameKind.OFFER, msgspec.msgpack.encode(list(fields.values())))


def offered(manifest: Manifest) -> bytes:
    return offer(manifest) + frame(FrameKind.MANIFEST, manifest.encode())


def refusal(end: SenderEnd | ReceiverEnd, *said: bytes) -> OpsconsoleError:
    """The error with which an end answers the last of these frames."""
    for one in said[:-1]:
        end.feed(one)
        assert end.error is None, end.error
    end.feed(said[-1])
    assert end.error is not None
    assert end.error.message.isprintable()
    assert len(end.error.message) < TEXT_CHARACTERS_MAX
    return end.error


ALL = manifest_of({b"small": b"abc", b"z": b""})
with small():
    LARGE = manifest_of({b"large": b"x" * 40, b"small": b"abc"})
LEAVES = frame(FrameKind.LEAVES, b"".join(leaves_of(b"x" * 40)))
LIES: dict[str, tuple[bytes, ...]] = {
    "no frame of ours": (b"GET / HTTP/1.1\r\n",),
    "a kind that isn't known": (b"\xff\0\0\0\0",),
    "a huge frame": (b"\x02\xff\xff\xff\xff",),
    "a manifest before an offer": (frame(FrameKind.MANIFEST, ALL.encode()),),
    "an offer that isn't one": (frame(FrameKind.OFFER, b"\xc1"),),
    "another version": (offer(ALL, version=2),),
    "a huge manifest": (offer(ALL, manifest_bytes=MANIFEST_BYTES_MAX + 1),),
    "no manifest": (offer(ALL, manifest_bytes=0),),
    "less than nothing": (offer(ALL, manifest_bytes=-1),),
    "more manifest than offered": (offer(ALL), frame(FrameKind.MANIFEST, ALL.encode() + b"x")),
    "an empty part": (offer(ALL), frame(FrameKind.MANIFEST, b"")),
    "another manifest": (offer(ALL), frame(FrameKind.MANIFEST, bytes(len(ALL.encode())))),
    "the manifest of another tree": (offer(ALL, content_id="0" * 64), frame(FrameKind.MANIFEST, ALL.encode())),
    "files before they are wanted": (head(FrameKind.BATCH, 0, 1, 3) + b"abc",),
    "an end before the files": (offered(ALL), frame(FrameKind.END)),
    "a batch without its place": (offered(ALL), frame(FrameKind.BATCH, b"abc")),
    "other files": (offered(ALL), head(FrameKind.BATCH, 1, 1, 3) + b"abc"),
    "more files": (offered(ALL), head(FrameKind.BATCH, 0, 2, 3) + b"abc"),
    "fewer bytes": (offered(ALL), head(FrameKind.BATCH, 0, 1, 2) + b"ab"),
    "more bytes": (offered(ALL), head(FrameKind.BATCH, 0, 1, 4) + b"abcd"),
    "other bytes": (offered(ALL), head(FrameKind.BATCH, 0, 1, 3) + b"abd"),
    "files after all": (offered(ALL), head(FrameKind.BATCH, 0, 1, 3) + b"abc", head(FrameKind.BATCH, 0, 1, 3) + b"abc"),
    "the receiver's own words": (offered(ALL), DONE),
    "half a hash": (offered(LARGE), frame(FrameKind.LEAVES, bytes(DIGEST_BYTES + 1))),
    "no hash": (offered(LARGE), frame(FrameKind.LEAVES, b"")),
    "too many hashes": (offered(LARGE), frame(FrameKind.LEAVES, bytes(4 * DIGEST_BYTES))),
    "hashes of another file": (offered(LARGE), frame(FrameKind.LEAVES, bytes(3 * DIGEST_BYTES))),
    "another chunk": (offered(LARGE), LEAVES, head(FrameKind.CHUNK, 0, 1, CHUNK) + b"x" * CHUNK),
    "a chunk of another file": (offered(LARGE), LEAVES, head(FrameKind.CHUNK, 1, 0, CHUNK) + b"x" * CHUNK),
    "a shorter chunk": (offered(LARGE), LEAVES, head(FrameKind.CHUNK, 0, 0, 1) + b"x"),
    "a spoilt chunk": (offered(LARGE), LEAVES, head(FrameKind.CHUNK, 0, 0, CHUNK) + b"y" * CHUNK),
    "a batch before the chunks": (offered(LARGE), LEAVES, head(FrameKind.BATCH, 1, 1, 3) + b"abc"),
}  # fmt: skip


@pytest.mark.parametrize("said", LIES.values(), ids=LIES)
def test_a_sender_that_lies_is_refused(said: tuple[bytes, ...]) -> None:
    disk = Disk()
    error = refusal(ReceiverEnd(disk), *said)
    assert isinstance(error, ProtocolError | VersionMismatch)
    assert not disk.ever_placed


def test_only_the_expected_tree_is_taken_and_only_so_much() -> None:
    def end(**bounds: object) -> ReceiverEnd:
        return ReceiverEnd(Disk(), Receiver(**bounds))  # type: ignore[arg-type]

    assert "another tree" in refusal(end(expected=ContentId("0" * 64)), offer(ALL)).message
    assert isinstance(refusal(end(bytes_max=2), offer(ALL), frame(FrameKind.MANIFEST, ALL.encode())), LimitExceeded)
    kind = EntryKind.FILE
    bomb = Manifest.make([Entry(b"%d" % number, kind, 0o644, 1 << 41, chunk_digest(b"")[::-1]) for number in range(9)])
    assert isinstance(
        refusal(end(bytes_max=1 << 40), offer(bomb), frame(FrameKind.MANIFEST, bomb.encode())), LimitExceeded
    )


def entries_wanted(*indexes: int) -> bytes:
    count = len(manifest_of(TREE).entries)
    return frame(FrameKind.WANT, bits(bytearray(index in indexes for index in range(count))))


CHUNKS = frame(FrameKind.CHUNKS, bits(bytearray([1]) * 20))


def ack(count: int) -> bytes:
    return frame(FrameKind.ACK, count.to_bytes(4, "big"))


@pytest.mark.parametrize(
    "said",
    [
        (DONE,),
        (ack(2),),
        (frame(FrameKind.WANT, b""),),
        (frame(FrameKind.WANT, b"\0\0"),),
        (frame(FrameKind.WANT, b"\xff"),),
        (entries_wanted(2),),
        (entries_wanted(0), frame(FrameKind.WANT, b"\x01")),
        (entries_wanted(0), ack(2)),
        (entries_wanted(3), DONE),
        (entries_wanted(3), frame(FrameKind.CHUNKS, b"\xff")),
        (entries_wanted(3), frame(FrameKind.CHUNKS, b"\xff\xff\xff")),
        (entries_wanted(3), CHUNKS, ack(0)),
        (entries_wanted(3), CHUNKS, ack(3)),
        (entries_wanted(3), CHUNKS, ack(6)),
        (entries_wanted(3), CHUNKS, ack(2), ack(2)),
        (entries_wanted(3), CHUNKS, DONE),
        (entries_wanted(3), CHUNKS, frame(FrameKind.ACK, b"")),
        (frame(FrameKind.FAIL, b"\xc1"),),
        (b"\x00\0\0\0\0",),
    ],
)
def test_a_receiver_that_lies_is_refused(said: tuple[bytes, ...]) -> None:
    assert isinstance(refusal(SenderEnd(TREE), *said), ProtocolError)


def test_a_receiver_that_does_not_acknowledge_gets_no_more_than_the_window() -> None:
    end = SenderEnd(TREE)
    end.feed(entries_wanted(0, 1, 3, 4) + frame(FrameKind.CHUNKS, b"\x07"))
    end.out.clear()
    end.feed(frame(FrameKind.CHUNKS, b"\xff\xff\x0f"))
    kinds = []
    while end.out:
        kind, length = read_head(bytes(end.out[:5]))
        kinds.append(kind)
        del end.out[: 5 + length]
    assert kinds == [FrameKind.CHUNK], "four frames are on the way, three of the round before"


@pytest.mark.parametrize(
    "error", [DiskFull("no room"), CacheChanged("dropped"), LimitExceeded("too much"), OpsconsoleError("?")]
)
def test_a_failure_arrives_as_what_it_was(error: OpsconsoleError) -> None:
    for end in (SenderEnd(TREE), ReceiverEnd(Disk())):
        got = refusal(end, failure(error))
        assert type(got) is type(error)
        assert got.message == f"the other end stopped: {error.message}"


def test_a_failure_of_a_hostile_peer_is_one_short_line() -> None:
    said = frame(FrameKind.FAIL, msgspec.msgpack.encode(Failure("code\n", "a\nb\x1b[31m" + "x" * 7_000)))
    got = refusal(SenderEnd(TREE), said)
    assert "a b" in got.message


def test_a_frame_arrives_in_any_pieces() -> None:
    data = frame(FrameKind.END) + head(FrameKind.CHUNK, 1, 2, 100_000) + b"x" * 100_000 + ack(4)
    for size in (1, 3, 4_096, 1 << 20):
        reader = FrameReader()
        found: list[tuple[FrameKind, int]] = []
        rest = data
        while rest:
            room = reader.room()
            piece = rest[: min(size, len(room))]
            room[: len(piece)] = piece
            rest = rest[len(piece) :]
            arrived = reader.filled(len(piece))
            if arrived is not None:
                found.append((arrived.kind, len(arrived.body)))
        assert found == [(FrameKind.END, 0), (FrameKind.CHUNK, 100_008), (FrameKind.ACK, 4)]


@pytest.mark.parametrize("tree", [{}, {b"a": b""}, {b"a": bytes(100)}, TREE])
def test_every_tree_passes(tree: dict[bytes, bytes]) -> None:
    disk = Disk()
    sender, receiver = SenderEnd(tree), ReceiverEnd(disk)
    run(sender, receiver)
    assert disk.placed == tree
    assert sender.is_done


def test_zeros_are_not_sent() -> None:
    sender, receiver = SenderEnd({b"a": bytes(1_000)}), ReceiverEnd(Disk())
    run(sender, receiver)
    assert receiver.chunks == 0
