"""A log's lines as strips: the gutter, the line's own colours, levels and what a search found."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from opsconsole_console import format as fmt
from opsconsole_console.widget.ansi import paint
from opsconsole_console.widget.cell import width
from opsconsole_console.widget.palette import Palette
from opsconsole_console.widget.shown_lines import CELLS_MAX, cut, wrapped
from opsconsole_protocol.log import LogLine, Source
from opsconsole_protocol.pattern import Pattern

_SOURCE_TONES = {Source.BUILD: "log-build", Source.ERROR: "log-error"}
_STDERR_TONE = "log-stderr"
_STDERR_SIGN = "▏"
"""Stands in the gutter: what tqdm and logging write to stderr is no error, and looks like none."""

ERROR = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL|PANIC|panic|fatal error|Traceback|[A-Z]\w*(?:Error|Exception)|Segmentation fault"
    r"|[Oo]ut of memory|OOM|[Ee]rror(?=:)|Killed)\b"
)
"""What counts as an error line, beside everything from the source `error`."""

_LEVEL = re.compile(rf"(?P<error>{ERROR.pattern})|\b(?P<warning>WARN(?:ING)?|[A-Z]\w*Warning)\b")

_CLOCK_CELLS = 8
_MORE = "›"


class Timestamps(StrEnum):
    """What stands in front of each line."""

    OFF = "off"
    CLOCK = "clock"
    DELTA = "delta"


class LogLook(NamedTuple):
    """Styles of the parts of a log in the present theme."""

    base: Style
    gutter: Style
    match: Style
    match_current: Style
    selection: Style


@dataclass(frozen=True)
class Layout:
    """How lines are laid out. `digits` is how many a line number has room for (0: none are shown)."""

    cells: int
    wrap: bool = False
    timestamps: Timestamps = Timestamps.OFF
    digits: int = 0
    zone: tzinfo | None = None

    @property
    def gutter_cells(self) -> int:
        """Cells in front of every row, the space behind them included."""
        return (self.digits + 1 if self.digits else 0) + (_CLOCK_CELLS + 2 if self.timestamps != Timestamps.OFF else 0)

    @property
    def content_cells(self) -> int:
        """Cells left for the lines themselves."""
        return max(1, self.cells - self.gutter_cells)


class PaintedLine(NamedTuple):
    """`rows` hold the content without the gutter, uncropped where the log isn't wrapped."""

    gutter: Strip
    rows: list[Strip]


class LogPainter:
    """Paints for one layout in one palette."""

    def __init__(self, palette: Palette, look: LogLook, layout: Layout) -> None:
        self.look = look
        self.layout = layout
        self.pattern: Pattern | None = None
        self._palette = palette
        self.blank_gutter = Strip.blank(layout.gutter_cells, look.base)
        self.more = Strip([Segment(_MORE, look.gutter)], 1)

    def paint(self, line: LogLine, before_ms: int | None, *, is_current: bool) -> PaintedLine:
        """A line; `before_ms` is the time of the one before, `is_current` whether the search stands on it."""
        painted = paint(line.data)
        text = painted.text
        cells = width(text)
        if cells > CELLS_MAX or painted.left_out:
            text = cut(text, cells, painted.left_out) if cells > CELLS_MAX else f"{text}…(+{painted.left_out:,})"
        tone = _SOURCE_TONES.get(line.source, "")
        if line.source == Source.STDERR and not self.layout.gutter_cells:
            tone = _STDERR_TONE  # nothing else tells it apart then
        base = self._palette.style(tone)
        layers: list[tuple[int, int, Style]] = list(painted.spans)
        if not layers:
            layers += self._level(text)
        if self.pattern is not None:
            found = self.look.match_current if is_current else self.look.match
            layers += [(*span, found) for span in self.pattern.spans(text)]
        segments = _layered(text, base, layers)
        strip = Strip(segments, width(text))
        return PaintedLine(self._gutter(line, before_ms), self._rows(strip, text))

    def _rows(self, strip: Strip, text: str) -> list[Strip]:
        if not self.layout.wrap or strip.cell_length <= self.layout.content_cells:
            return [strip]
        rows, start = [], 0
        for piece in wrapped(text, self.layout.content_cells):
            end = start + width(piece)
            rows.append(strip.crop(start, end))
            start = end
        return rows

    def _level(self, text: str) -> Iterable[tuple[int, int, Style]]:
        match = _LEVEL.search(text)
        if match is None:
            return ()
        tone = "bold log-error" if match["error"] is not None else "log-warning"
        return ((*match.span(), Style(color=self._palette.style(tone).color, bold=tone.startswith("bold") or None)),)

    def _gutter(self, line: LogLine, before_ms: int | None) -> Strip:
        layout = self.layout
        if not layout.gutter_cells:
            return self.blank_gutter
        text = f"{line.line_number:>{layout.digits}} " if layout.digits else ""
        if layout.timestamps == Timestamps.CLOCK:
            text += f"{fmt.clock(line.timestamp_ms, layout.zone)}  "
        elif layout.timestamps == Timestamps.DELTA:
            since = "" if before_ms is None else fmt.delta(line.timestamp_ms - before_ms)
            text += f"{since:>{_CLOCK_CELLS}}  "
        gutter = Strip([Segment(text, self.look.gutter)]).adjust_cell_length(layout.gutter_cells, self.look.gutter)
        if line.source != Source.STDERR:
            return gutter
        sign = Segment(_STDERR_SIGN, self.look.gutter + Style(color=self._palette.style(_STDERR_TONE).color))
        return Strip([*gutter.crop(0, layout.gutter_cells - 1), sign], layout.gutter_cells)


def is_error(line: LogLine, text: str) -> bool:
    """Whether a line with this clean text tells of an error."""
    return line.source == Source.ERROR or (_may_tell_of_error(text) and ERROR.search(text) is not None)


def _may_tell_of_error(text: str) -> bool:
    """Sorts out nearly all lines at a sixth of the pattern's price: each of its words has one of these parts."""
    return (
        ("rror" in text or "RROR" in text or "xception" in text or "raceback" in text or "memory" in text)
        or ("ATAL" in text or "atal" in text or "CRIT" in text or "ANIC" in text or "anic" in text)
        or ("fault" in text or "OOM" in text or "Killed" in text)
    )


def _layered(text: str, base: Style, layers: list[tuple[int, int, Style]]) -> list[Segment]:
    """Segments of `text` in `base`, each layer over the ones before it."""
    if not layers:
        return [Segment(text, base)] if text else []
    length = len(text)
    cuts = sorted({0, length, *(min(edge, length) for start, end, _ in layers for edge in (start, end))})
    segments = []
    for start, end in pairwise(cuts):
        style = base
        for first, last, over in layers:
            if first <= start and end <= last:
                style = style + over
        segments.append(Segment(text[start:end], style))
    return segments
