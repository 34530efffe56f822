r"""Output that goes back up and writes over what it wrote (nested progress bars), as the rows that it leaves. Pure.

tqdm draws a bar below another one as `\n`, `\r` and the bar, then `ESC[A` back up: taken line by line, each step of the
inner bar were a line more. Here a line that begins where an earlier one stands comes out under that one's number. Each
source has a place of its own, and nothing reaches further up than a few rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from opsconsole_console.widget.log_run import compact
from opsconsole_protocol.log import LogLine

ROWS_MAX = 32
"""How many rows of a source can be written over again."""

_UP = re.compile(r"\x1b\[([0-9]{0,4})A")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9]{0,4})?\Z")


@dataclass
class _Rows:
    """The newest lines of one source, and where its next character goes."""

    lines: list[LogLine] = field(default_factory=list)
    place: int = -1
    number: int = -1
    """The number of the line that is being written."""
    rest: str = ""
    is_fresh: bool = False
    """Whether the row still shows what will be written over."""

    @property
    def is_apart(self) -> bool:
        """Whether it writes anywhere else than in the line that is being written, at its end."""
        if not self.lines or self.place < len(self.lines) - 1 or self.rest:
            return True
        return self.lines[self.place].line_number != self.number


class LogOverwriter:
    """Takes lines and fragments in the order of their numbers and gives those to show instead."""

    def __init__(self) -> None:
        self._sources: dict[str, _Rows] = {}
        self._first: int | None = None
        self.is_at_work = False
        """Whether what comes next may belong to another number than its own."""

    def rewrite(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        """What came; where some of it goes over earlier lines, whole lines in rising order, those of before among them."""
        if self._first is None and lines:
            self._first = lines[0].line_number
        is_plain = not self.is_at_work and not any("\x1b" in line.data and _may_go_up(line) for line in lines)
        rewritten: dict[int, LogLine] = {}
        for line in _newest(lines) if is_plain else lines:
            self._write_line(line, rewritten)
        self.is_at_work = any(rows.is_apart for rows in self._sources.values())
        return lines if is_plain else [rewritten[number] for number in sorted(rewritten)]

    def _write_line(self, line: LogLine, rewritten: dict[int, LogLine]) -> None:
        rows = self._sources.setdefault(line.source, _Rows())
        if line.line_number != rows.number or not line.start:
            self._begin(rows, line)
        data, rows.rest = rows.rest + line.data, ""
        if line.partial and (unfinished := _UNFINISHED.search(data)) is not None:
            data, rows.rest = data[: unfinished.start()], unfinished[0]
        first, *others = _UP.split(data)
        self._write(rows, line, first, rewritten)
        for steps, text in zip(others[::2], others[1::2], strict=True):
            self._go_up(rows, line, max(1, int(steps or 1)))
            self._write(rows, line, text, rewritten)

    def _begin(self, rows: _Rows, line: LogLine) -> None:
        """Go to the beginning of the row below; a line that comes again is written where it was."""
        if line.line_number != rows.number:
            rows.place += 1
        rows.number, rows.rest, rows.is_fresh = line.line_number, "", True
        if rows.place == len(rows.lines):
            rows.lines.append(replace(line, data=""))
            if len(rows.lines) > ROWS_MAX:
                del rows.lines[0]
                rows.place -= 1

    def _go_up(self, rows: _Rows, line: LogLine, steps: int) -> None:
        """Above the first row known stands the line before it, where that isn't another's; above the very first, nothing."""
        rows.place -= steps
        rows.is_fresh = False
        while rows.place < 0:
            first = rows.lines[0].line_number
            if first != self._first or first == 0 or len(rows.lines) >= ROWS_MAX:
                rows.place = 0
                return
            self._first = first - 1
            rows.lines.insert(0, replace(line, line_number=first - 1, data="", start=0))
            rows.place += 1

    def _write(self, rows: _Rows, line: LogLine, text: str, rewritten: dict[int, LogLine]) -> None:
        row = rows.lines[rows.place]
        if text:
            data = text if rows.is_fresh else compact(row.data + text)
            rows.is_fresh = False
            row = replace(row, data=data, timestamp_ms=line.timestamp_ms, start=0, length=len(data))
        rows.lines[rows.place] = rewritten[row.line_number] = replace(row, partial=line.partial)


def _may_go_up(line: LogLine) -> bool:
    return _UP.search(line.data) is not None or (line.partial and _UNFINISHED.search(line.data) is not None)


def _newest(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """Of each source the last lines, in their order: no more of them can be reached."""
    if len(lines) <= ROWS_MAX:
        return lines
    newest: list[LogLine] = []
    for source in {line.source for line in lines}:
        newest += [line for line in lines if line.source == source][-ROWS_MAX:]
    return newest
