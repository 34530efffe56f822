"""A log in the plainest terms, to compare the store with, and ways to read the store to the end."""

import re
from dataclasses import dataclass, field

import msgspec

from opsconsole_coordinator.log import LogKey, LogStore
from opsconsole_protocol.link import LogChunk
from opsconsole_protocol.log import LOG_LINE_BYTES_MAX, LogLine, LogPage, LogQuery, Source

KEY = LogKey("7k3m9q2w4t", 0, 0, "7k3m9q2w4t.0.0.ab12")
OUT, ERR, BUILD, ERROR = Source.STDOUT, Source.STDERR, Source.BUILD, Source.ERROR


def chunk(source: Source, offset: int, data: bytes, at_ms: int = 0, key: LogKey = KEY) -> LogChunk:
    """A chunk of the log of `key`."""
    return LogChunk(key.attempt_id, source, offset, at_ms, data)


@dataclass
class Line:
    """One line: all its bytes, when its first byte came, whether it has ended."""

    number: int
    source: Source
    at_ms: int
    data: bytes = b""
    closed: bool = False


@dataclass
class Oracle:
    """Lines by the definition: numbered in the order in which their first bytes come."""

    lines: list[Line] = field(default_factory=list)
    open: dict[Source, Line] = field(default_factory=dict)
    raw: dict[Source, bytes] = field(default_factory=dict)
    pieces: list[tuple[Source, bytes, int]] = field(default_factory=list)
    at_ms: int = 0

    def add(self, source: Source, data: bytes, at_ms: int) -> None:
        """Bytes arrive."""
        self.at_ms = max(self.at_ms, at_ms)
        self.pieces.append((source, data, at_ms))
        self.raw[source] = self.raw.get(source, b"") + data
        for piece in _split(data):
            line = self.open.get(source)
            if line is None:
                line = self.open[source] = Line(len(self.lines), source, self.at_ms)
                self.lines.append(line)
            line.data += piece.removesuffix(b"\n")
            if piece.endswith(b"\n"):
                line.closed = True
                del self.open[source]

    def offset(self, source: Source) -> int:
        """How far a source has come."""
        return len(self.raw.get(source, b""))


def _split(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


Row = tuple[int, Source, str, int, bool, int]
"""Number, source, text, time, whether unfinished, length in bytes."""

_MARKER = re.compile(r" … \[cut: [0-9,]+ bytes( so far)?\]$")


def expected(line: Line) -> Row:
    """What a reader who has put fragments together knows of a line."""
    text = line.data[:LOG_LINE_BYTES_MAX].decode(errors="replace")
    if starts_over(line):
        text = _state(line.data.decode(errors="replace"))
    return line.number, line.source, text, line.at_ms, not line.closed, len(line.data)


def starts_over(line: Line) -> bool:
    """Whether only the last state of it is shown."""
    return len(line.data) > LOG_LINE_BYTES_MAX and b"\r" in line.data


def _state(text: str) -> str:
    """Of a long line that starts over only what it shows in the end is compared, as far as both sides have it."""
    return text.rstrip("\r").rpartition("\r")[2][: LOG_LINE_BYTES_MAX // 4]


def put_together(lines: list[LogLine]) -> list[Row]:
    """Fragments joined by line number, as a view does it, without markers; each begins where the one before ended."""
    known: dict[int, LogLine] = {}
    for marked in lines:
        line = msgspec.structs.replace(marked, data=_MARKER.sub("", marked.data))
        before = known.get(line.line_number)
        if before is None:
            assert line.start == 0 or line.data.startswith("\r"), "a line begins with its first byte, or starts over"
            known[line.line_number] = line
            continue
        assert before.partial
        assert line.start == before.length or (line.start > before.length and line.data.startswith("\r"))
        assert line.source == before.source
        known[line.line_number] = LogLine(
            line.line_number, line.source, before.data + line.data, before.timestamp_ms, line.partial, 0, line.length
        )
    return [
        (number, line.source, _seen(line), line.timestamp_ms, line.partial, line.length)
        for number, line in sorted(known.items())
    ]


def _seen(line: LogLine) -> str:
    return _state(line.data) if line.length > LOG_LINE_BYTES_MAX and "\r" in line.data else line.data


def read_all(store: LogStore, query: LogQuery, key: LogKey = KEY, *, ended: bool = False) -> list[LogLine]:
    """All lines of a query, page by page to the end."""
    lines: list[LogLine] = []
    for page in pages(store, query, key, ended=ended):
        lines += page.lines
    return lines


def pages(store: LogStore, query: LogQuery, key: LogKey = KEY, *, ended: bool = False) -> list[LogPage]:
    """All pages of a query up to the end; each must bring the reader on."""
    found = [store.read(key, query, ended=ended)]
    while not found[-1].end:
        assert found[-1].next_cursor != query.cursor
        query = msgspec.structs.replace(query, cursor=found[-1].next_cursor)
        found.append(store.read(key, query, ended=ended))
    return found
