"""One attempt's log file: appended to by one thread, read through snapshots by others."""

import os
import threading
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opsconsole_coordinator.log.index import LogIndex
from opsconsole_coordinator.log.record import (
    SOURCES,
    DamagedRecordError,
    Record,
    RecordReader,
    Tally,
    file_head,
    read_file_head,
)

_VERIFIED_TAIL_BYTES = 16 * 1024 * 1024
"""Only what was written since the last sync can be damaged, by a host that crashed."""
_PIECES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A log as it was at one moment: reading up to `end` needs no lock. `mark` tells it from other attempts' logs."""

    path: Path
    mark: int
    end: int
    tally: Tally
    index: LogIndex


class LogFile:
    """All methods but `snapshot` are called with `lock` held."""

    __slots__ = (
        "_descriptor", "_foreign", "_loaded", "_unsure_tail", "attempt_id", "dirty", "end", "index", "is_new",
        "lock", "path", "pins", "tally",
    )  # fmt: skip

    def __init__(self, path: Path, attempt_id: str) -> None:
        self.path = path
        self.attempt_id = attempt_id
        self.lock = threading.Lock()
        self.pins = 0
        self.dirty = False
        self.is_new = False
        self._descriptor: int | None = None
        self._reset()

    @property
    def is_open(self) -> bool:
        """Whether a descriptor is held."""
        return self._descriptor is not None

    def _reset(self) -> None:
        self.end = 0
        self.tally = Tally()
        self.index = LogIndex()
        self._loaded = False
        self._unsure_tail = False
        self._foreign = False

    def snapshot(self) -> Snapshot:
        """What there is to read now."""
        with self.lock:
            self.load()
            return Snapshot(self.path, zlib.crc32(self.attempt_id.encode()), self.end, self.tally.copy(), self.index)

    def load(self) -> None:
        """Learn from the file what it holds, once. A tail that is torn or damaged counts as not there."""
        if self._loaded:
            return
        self._reset()
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._loaded = True
            return
        try:
            head = read_file_head(descriptor)
            if head is None:
                self._unsure_tail = True
            elif head[0] != self.attempt_id:
                # The log of an attempt that this coordinator, restored from a backup, doesn't remember.
                self._foreign = True
            else:
                self._walk(descriptor, head[1])
        finally:
            os.close(descriptor)
        self._loaded = True

    def _walk(self, descriptor: int, start: int) -> None:
        size = os.fstat(descriptor).st_size
        reader = RecordReader(descriptor, size)
        walk = _Walk(reader, self.tally, self.index, size - _VERIFIED_TAIL_BYTES)
        self.end = walk.run(start, size)
        self._unsure_tail = self.end < size

    def append(self, pieces: Sequence[tuple[int, int, bytes]]) -> list[tuple[int, int]]:
        """Append each `(source, at_ms, payload)` to what its source has, all in one write.

        Returns for each the number of the line in which it begins, and how many lines begin in it. Raises OSError, and then none
        is appended.
        """
        descriptor = self.prepare()
        before, index_length = self.tally.copy(), len(self.index)
        buffers: list[bytes] = []
        end = self.end
        if end == 0:
            buffers.append(file_head(self.attempt_id))
            end = len(buffers[0])
        counts: list[tuple[int, int]] = []
        for source, at_ms, payload in pieces:
            lines = self.tally.lines
            counts.append((self.tally.next_line(source), 0))
            self.index.offer(end, max(at_ms, self.tally.at_ms), self.tally)
            header = self.tally.admit(source, at_ms, payload)
            buffers += (header, payload)
            end += len(header) + len(payload)
            counts[-1] = (counts[-1][0], self.tally.lines - lines)
        try:
            _write_all(descriptor, buffers, end - self.end)
        except OSError:
            self.tally = before
            self.index.cut(index_length)
            self._unsure_tail = True
            with suppress(OSError):
                self.prepare()
            raise
        self.end = end
        self.dirty = True
        return counts

    def descriptor_to_sync(self) -> int | None:
        """A descriptor of the caller's own if something was written since the last call."""
        if not self.dirty:
            return None
        self.dirty = False
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC) if self._descriptor is None else os.dup(self._descriptor)

    def forget(self) -> None:
        """Let go of the file, which is going to be deleted."""
        self.close()
        self._reset()
        self.dirty = False
        self.is_new = False

    def close(self) -> None:
        """Let go of the descriptor; the next append opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def prepare(self) -> int:
        """Be ready to append: everything known, torn bytes cut off, the descriptor open. Raises OSError."""
        self.load()
        if self._descriptor is None:
            self._descriptor = self._open()
            if os.fstat(self._descriptor).st_size < self.end:
                # Somebody removed or cut the file behind our back. The agent has the bytes still, most likely.
                self._reset()
                self.load()
            self.is_new = self.is_new or self.end == 0
        if self._unsure_tail:
            os.ftruncate(self._descriptor, self.end)
            self._unsure_tail = False
        return self._descriptor

    def _open(self) -> int:
        if self._foreign:
            self.path.rename(self.path.with_suffix(f".{self.path.stat().st_mtime_ns}.old"))
            self._foreign = False
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            folder = self.path.parent
            folder.parent.mkdir(mode=0o700, exist_ok=True)  # by itself: `parents` would make it as the umask has it
            folder.mkdir(mode=0o700, exist_ok=True)
            return os.open(self.path, flags, 0o600)


class _Walk:
    """Goes over a file by its headers. Each must follow from the one before; near the end payloads are checked too."""

    def __init__(self, reader: RecordReader, tally: Tally, index: LogIndex, verify_from: int) -> None:
        self._reader = reader
        self._tally = tally
        self._index = index
        self._verify_from = verify_from
        self._last: list[Record | None] = [None] * len(SOURCES)
        self._previous: Record | None = None

    def run(self, start: int, size: int) -> int:
        """Fill tally and index, and return where the last good record ends."""
        position = start
        while position < size:
            try:
                record = self._reader.record(position)
                if not self._follows(record):
                    break
                if position >= self._verify_from and not self._reader.is_sound(record, self._reader.payload(record)):
                    break
            except DamagedRecordError:
                break
            self._count(record)
            position = record.end
        self._read_open_lines()
        return position

    def _follows(self, record: Record) -> bool:
        tally, previous = self._tally, self._previous
        if record.offset != tally.offsets[record.source] or record.at_ms < tally.at_ms:
            return False
        if previous is None:
            return record.lines_before == 0
        return 0 <= record.lines_before - previous.lines_before <= previous.length

    def _count(self, record: Record) -> None:
        # How many lines began in a record is known only from the next one.
        self._count_lines(record.lines_before)
        self._index.offer(record.position, record.at_ms, self._tally)
        self._tally.offsets[record.source] = record.offset + record.length
        self._tally.at_ms = record.at_ms
        self._previous = self._last[record.source] = record

    def _count_lines(self, lines: int) -> None:
        if self._previous is not None:
            self._tally.lines_by_source[self._previous.source] += lines - self._previous.lines_before
            self._tally.lines = lines

    def _read_open_lines(self) -> None:
        """Read the last payload of each source: is a line open there, and which?"""
        tally = self._tally
        for record in sorted(filter(None, self._last)):
            payload = self._reader.payload(record)
            mine = Tally()
            mine.lines = record.lines_before
            mine.count(record.source, record.offset, record.line, record.line_start, payload)
            tally.line[record.source] = mine.line[record.source]
            tally.line_start[record.source] = mine.line_start[record.source]
            if record is self._previous:
                self._count_lines(mine.lines)


def _write_all(descriptor: int, buffers: list[bytes], size: int) -> None:
    written = 0
    for first in range(0, len(buffers), _PIECES_MAX):
        batch = buffers[first : first + _PIECES_MAX]
        expected = sum(map(len, batch))
        done = os.writev(descriptor, batch)
        if done < expected:
            # A short write: a full disk, mostly. Trying the rest brings the error, or the rest.
            rest = memoryview(b"".join(batch))[done:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        written += expected
    if written != size:
        raise AssertionError("sizes don't add up")
