"""Log lines on stdout and stderr: the task's own bytes, each on the stream that it came from."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

import msgspec

from opsconsole_console.cli.terminal_text import TerminalText
from opsconsole_console.visible import escape_json
from opsconsole_protocol.bound import TIME_MS_MAX
from opsconsole_protocol.log import LogLine, Source


@dataclass
class _Open:
    """The line that a stream stands in, if its newline hasn't come; `text` where a person looks on."""

    key: tuple[str, int, int] | None = None
    text: TerminalText | None = None


class LogWriter:
    """Writes the fragments of one or of several tasks' logs.

    A terminal gets text and colours only (bars in bars stay in place), unless it is `raw`; a file or a pipe gets the task's own bytes. Where both
    streams lead to the same place (`2>&1`), lines stand there in the order in which they came.

    stdout goes to stdout, all else to stderr. A fragment goes on where the last one of its line stopped; when another
    line came in between, it stands on a line of its own. `prefix`: name the task before each line.
    """

    def __init__(
        self, *, json: bool = False, timestamps: bool = False, prefix: bool = False, raw: bool = False,
        out: TextIO | None = None, err: TextIO | None = None,
    ) -> None:  # fmt: skip
        self._json = json
        self._timestamps = timestamps
        self._prefix = prefix
        self._raw = raw
        self._out = out if out is not None else sys.stdout
        self._err = err if err is not None else sys.stderr
        self._open: dict[TextIO, _Open] = {}
        self._are_one = _lead_to_one_place(self._out, self._err)
        self._last = self._out
        self._writer_of_last: tuple[TextIO, str, int] | None = None
        self._encoder = msgspec.json.Encoder()

    def write(
        self, lines: Iterable[LogLine], task_id: str, attempt: int, raw: Mapping[int, bytes] | None = None
    ) -> None:
        """Write a page, and flush. `raw`: by place, the bytes of lines whose text can't tell them."""
        raw = raw or {}
        for place, line in enumerate(lines):
            if self._json:
                self._write_json(line, task_id, attempt)
            else:
                self._write_text(line, task_id, attempt, raw.get(place))
        self.flush()

    def close(self) -> None:
        """End what is still open, where a person looks on. A pipe gets the task's bytes and no more."""
        for stream, place in self._open.items():
            if place.key is not None and stream.isatty():
                stream.write(_end(place) + "\n")
                place.key = None
            if place.text is not None:
                stream.write(place.text.leave())
        self.flush()

    def flush(self) -> None:
        """Let readers have it now."""
        self._out.flush()
        self._err.flush()

    def stay_below(self) -> None:
        """Somebody else wrote a line: no task's output goes up to it."""
        self._writer_of_last = None

    def _write_json(self, line: LogLine, task_id: str, attempt: int) -> None:
        fields = {
            "task": task_id, "attempt": attempt, "line_number": line.line_number, "source": line.source,
            "data": line.data, "timestamp_ms": line.timestamp_ms, "start": line.start, "partial": line.partial,
        }  # fmt: skip
        text = self._encoder.encode(fields).decode()
        self._out.write(escape_json(text, self._out.encoding or "utf-8") + "\n")

    def _write_text(self, line: LogLine, task_id: str, attempt: int, raw: bytes | None) -> None:
        stream = self._out if line.source is Source.STDOUT else self._err
        if stream is not self._last:
            if self._are_one:
                self._last.flush()
            self._last = stream
        place = self._open.get(stream)
        if place is None:
            place = self._open[stream] = _Open(text=TerminalText() if stream.isatty() and not self._raw else None)
        key = (task_id, attempt, line.line_number)
        head = self._head(line, task_id)
        is_other = self._writer_of_last != (stream, task_id, attempt)
        self._writer_of_last = (stream, task_id, attempt)
        down = place.text.leave() if is_other and place.text is not None else ""
        if place.key != key:
            if place.key is not None:
                stream.write(_end(place) + "\n")
            stream.write(down + head)
        if place.text is None:
            _write_bytes(stream, line.data, raw, end="" if line.partial else "\n")
        else:
            data = place.text.feed(line.data, head=head)
            stream.write(data if line.partial else data + _end(place) + "\n")
        place.key = key if line.partial else None

    def _head(self, line: LogLine, task_id: str) -> str:
        head = f"[{task_id.rpartition('/task-')[2]}] " if self._prefix else ""
        if self._timestamps:
            at_ms = min(max(line.timestamp_ms, 0), TIME_MS_MAX)  # a worker's clock may show anything
            moment = dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC)
            head += moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03}Z "
        return head


def _end(place: _Open) -> str:
    return "" if place.text is None else place.text.end()


def _write_bytes(stream: TextIO, text: str, raw: bytes | None, *, end: str) -> None:
    """The task's own bytes, whatever the locale makes of text."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(text + end)
        return
    stream.flush()  # what was written as text stands in front
    buffer.write((text.encode(errors="replace") if raw is None else raw) + end.encode())


def _lead_to_one_place(out: TextIO, err: TextIO) -> bool:
    try:
        return os.path.sameopenfile(out.fileno(), err.fileno())
    except (OSError, ValueError, AttributeError):
        return True  # no files: flushing costs nothing
