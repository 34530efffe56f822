"""Both sides of a transfer in memory, chunks and bounds made small: bytes in, bytes out."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from opsconsole_protocol.content.digest import chunk_digest, file_digest
from opsconsole_protocol.content.frame import FrameKind, FrameReader, frame, head
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.receiver import Finish, Offered, OfferedLeaves, Receiver, TakeChunk, TakeFiles
from opsconsole_protocol.content.round import chunk_size, may_be_wanted, zero_digest
from opsconsole_protocol.content.sender import AwaitFrame, SendBatch, SendChunk, Sender, SendFrame, SendLeaves, Skip
from opsconsole_protocol.error import OpsconsoleError

CHUNK = 16
SMALL = {
    "manifest.CHUNK_BYTES": CHUNK, "round.CHUNK_BYTES": CHUNK, "round.ROUND_CHUNKS": 5, "round.BATCH_FILES_MAX": 3,
    "sender.AHEAD_MAX": 4, "sender.ACK_EVERY": 2, "receiver.ACK_EVERY": 2, "sender.PART_OF_MANIFEST_BYTES": 50,
}  # fmt: skip

Tree = Mapping[bytes, bytes]


@contextmanager
def small() -> Iterator[None]:
    """Chunks of 16 bytes, and rounds, batches and windows of a few."""
    with ExitStack() as stack:
        for name, value in SMALL.items():
            stack.enter_context(patch(f"opsconsole_protocol.content.{name}", value))
        yield


def leaves_of(data: bytes) -> list[bytes]:
    """The hashes of a file's chunks."""
    return [chunk_digest(data[start : start + CHUNK]) for start in range(0, max(1, len(data)), CHUNK)]


def manifest_of(tree: Tree) -> Manifest:
    """The manifest of files."""
    return Manifest.make(
        Entry(path, EntryKind.FILE, 0o644, len(data), file_digest(leaves_of(data))) for path, data in tree.items()
    )


class End:
    """What both ends do: take bytes in, give bytes out, and end well or with an error."""

    def __init__(self, steps: Generator[Any, Any, None]) -> None:
        self.out = bytearray()
        self.error: OpsconsoleError | None = None
        self.is_done = False
        self._reader = FrameReader()
        self._steps = steps

    @property
    def is_over(self) -> bool:
        """Whether it neither takes nor gives anything more."""
        return self.is_done or self.error is not None

    def feed(self, data: bytes) -> None:
        """Take bytes in."""
        while data and not self.is_over:
            room = self._reader.room()
            piece = data[: len(room)]
            room[: len(piece)] = piece
            data = data[len(piece) :]
            try:
                arrived = self._reader.filled(len(piece))
                if arrived is not None:
                    self.advance(arrived)
            except OpsconsoleError as error:
                self.error = error.with_traceback(None)  # whose frames have this end

    def close(self) -> None:
        """Leave nothing half done for the collector, who comes at any time, also when no frame is left to end it in."""
        self._steps.close()

    def advance(self, answer: Any) -> None:
        """Take steps until the next frame is due."""
        raise NotImplementedError


class SenderEnd(End):
    """Sends a tree."""

    def __init__(self, tree: Tree) -> None:
        self.machine = Sender(manifest_of(tree))
        super().__init__(self.machine.run())
        self._data = [tree.get(entry.path, b"") for entry in self.machine.manifest.entries]
        self.advance(None)

    def advance(self, answer: Any) -> None:
        """Take steps until the next frame is due."""
        try:
            step = self._steps.send(answer)
            while not isinstance(step, AwaitFrame):
                self.out += self.said(step)
                step = next(self._steps)
        except StopIteration:
            self.is_done = True

    def said(self, step: SendFrame | SendLeaves | SendChunk | SendBatch | Skip) -> bytes:
        """What goes out for a step."""
        if isinstance(step, Skip):
            return b""
        if isinstance(step, SendFrame):
            return step.data
        if isinstance(step, SendLeaves):
            return frame(
                FrameKind.LEAVES, b"".join(leaf for index in step.indexes for leaf in leaves_of(self._data[index]))
            )
        if isinstance(step, SendChunk):
            data = self._data[step.entry_index][step.number * CHUNK : (step.number + 1) * CHUNK]
            return head(FrameKind.CHUNK, step.entry_index, step.number, len(data)) + data
        data = b"".join(self._data[index] for index in step.indexes)
        return head(FrameKind.BATCH, step.indexes[0], len(step.indexes), len(data)) + data


class Disk:
    """What has arrived, which outlives connections, and what has been put in its place."""

    def __init__(self) -> None:
        self.incoming: dict[int, bytearray] = {}
        self.placed: dict[bytes, bytes] | None = None
        self.ever_placed: list[dict[bytes, bytes]] = []


class ReceiverEnd(End):
    """Receives a tree onto a disk."""

    def __init__(self, disk: Disk, machine: Receiver | None = None) -> None:
        super().__init__((machine or Receiver()).run())
        self.disk = disk
        self.chunks = 0
        """How many chunks and small files have arrived."""
        self._manifest = Manifest(())
        self.advance(None)

    def advance(self, answer: Any) -> None:
        """Take steps until the next frame is due."""
        try:
            step = self._steps.send(answer)
            while not isinstance(step, AwaitFrame):
                step = self._steps.send(self.taken(step))
        except StopIteration:
            self.is_done = True

    def taken(self, step: object) -> Any:
        """Carry a step out."""
        match step:
            case SendFrame(data):
                self.out += data
            case Offered(manifest):
                self._manifest = manifest
                return [
                    index
                    for index, entry in enumerate(manifest.entries)
                    if may_be_wanted(entry) and not self.has(index)
                ]
            case OfferedLeaves(index, leaves):
                return self.lacking(index, leaves)
            case TakeChunk(index, number, data):
                self.chunks += 1
                self.disk.incoming[index][number * CHUNK : number * CHUNK + len(data)] = data
            case TakeFiles(indexes, data):
                for index in indexes:
                    size = self._manifest.entries[index].size
                    self.chunks += 1
                    self.disk.incoming[index], data = bytearray(data[:size]), data[size:]
            case Finish():
                self.place()
        return None

    def has(self, index: int) -> bool:
        """Whether a small file is there and right."""
        entry = self._manifest.entries[index]
        kept = self.disk.incoming.get(index)
        return not entry.is_large and kept is not None and chunk_digest(kept) == entry.digest

    def lacking(self, index: int, leaves: list[bytes]) -> list[int]:
        """Which chunks of a large file are neither there nor zero."""
        entry = self._manifest.entries[index]
        kept = self.disk.incoming.setdefault(index, bytearray(entry.size))
        if len(kept) != entry.size:
            kept[:] = bytes(entry.size)
        found: list[int] = []
        for number, leaf in enumerate(leaves):
            start, size = number * CHUNK, chunk_size(entry, number)
            if chunk_digest(kept[start : start + size]) == leaf:
                continue
            if leaf == zero_digest(size):
                kept[start : start + size] = bytes(size)
            else:
                found.append(number)
        return found

    def place(self) -> None:
        """Let the tree appear."""
        self.disk.placed = {
            entry.path: bytes(self.disk.incoming.get(index, b""))
            for index, entry in enumerate(self._manifest.entries)
            if entry.kind is EntryKind.FILE
        }
        self.disk.ever_placed.append(self.disk.placed)
