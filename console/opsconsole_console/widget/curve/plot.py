"""One plot: curves on a scale, with a grid, an axis at the left, and the cursor. Pure."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from opsconsole_console.widget.cell import Span, Tone
from opsconsole_console.widget.curve.raster import DOTS_WIDE, Dots, Layer, composed, drawn, row_of
from opsconsole_console.widget.curve.scale import Scale, Tick, fitted, ticks
from opsconsole_console.widget.curve.series import Point, Series
from opsconsole_console.widget.curve.thinning import extremes, thinned
from opsconsole_console.widget.curve.window import Window

_ROWS_PER_TICK = 4
_GRID, _AXIS, _TICK, _CURSOR, _LONE = "┈", "│", "┤", "│", "•"


class Curve(NamedTuple):
    """A series as it is drawn: `line` in full, and where that is a smoothed one, `raw` faintly behind it."""

    line: Series
    raw: Series | None
    tone: Tone
    sign: str

    @property
    def real(self) -> Series:
        """The series with the real points."""
        return self.raw or self.line


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves in a window with their scale, None where there is nothing to see; its inside is `height` cells high."""

    curves: Sequence[Curve]
    window: Window
    height: int
    dots: Dots
    scale: Scale | None
    ticks: Sequence[Tick]

    def lines(self, cursor: float | None, gutter: int, width: int) -> list[list[Span]]:
        """The plot with its axis: labels right-aligned in `gutter` cells, then the inside, `width` cells wide."""
        labels = {self._row(tick.value): tick.label for tick in self.ticks}
        return [
            [
                (labels.get(row, "").rjust(gutter) + " ", "text-muted"),
                (_TICK if row in labels else _AXIS, "curve-axis"),
                *inside,
            ]
            for row, inside in enumerate(self._inside(cursor, width, labels.keys()))
        ]

    def _inside(self, cursor: float | None, width: int, grid: Container[int]) -> Iterable[list[Span]]:
        if self.scale is None:
            return ([(" " * width, "")] for _ in range(self.height))
        signs, tones = self._dotted(self.scale, width)
        cursor_cell = self._cell(cursor, width) if cursor is not None else None
        for cell, row, sign, tone in self._marks(self.scale, cursor, width):
            signs[row * width + cell], tones[row * width + cell] = sign, tone
        return (
            _spans(
                signs[row * width : (row + 1) * width],
                tones[row * width : (row + 1) * width],
                (_GRID, "curve-grid") if row in grid else (" ", ""),
                cursor_cell,
            )
            for row in range(self.height)
        )

    def _dotted(self, scale: Scale, width: int) -> tuple[list[str], list[Tone]]:
        """The curves as characters and tones, row by row; smoothed ones over all the raw ones."""
        columns, high = width * DOTS_WIDE, self.dots.high
        layers: list[Layer] = []
        lone: list[tuple[int, Tone]] = []
        ghosts = [(curve.raw, curve, True) for curve in self.curves if curve.raw is not None]
        for series, curve, is_ghost in (*ghosts, *((curve.line, curve, False) for curve in self.curves)):
            found = drawn(thinned(series, self.window, columns, positive=scale.log), scale, columns, self.height * high)
            tone: Tone = f"dim {curve.tone}" if is_ghost and isinstance(curve.tone, str) else curve.tone
            layers.append(Layer(found.masks, tone, is_ghost))
            rows = ((column // DOTS_WIDE, row // high) for column, row in found.lone)
            lone += [(row * width + cell, tone) for cell, row in rows if 0 <= row < self.height]
        signs, tones = composed(layers, width, self.height, self.dots)
        for at, tone in lone:
            signs[at], tones[at] = _LONE, tone
        return signs, tones

    def _marks(self, scale: Scale, cursor: float | None, width: int) -> Iterable[tuple[int, int, str, Tone]]:
        """Where each curve gets its sign: at the cursor, else where it ends."""
        for curve in self.curves:
            point = curve.line.last() if cursor is None else read(curve.line, cursor, self.window.span / width)
            if point is None or (scale.log and point.y <= 0):
                continue
            cell, row = self._cell(point.x, width), self._row(point.y)
            if cell is not None and 0 <= row < self.height:
                yield cell, row, curve.sign, curve.tone

    def _cell(self, x: float, width: int) -> int | None:
        """The cell that an x is in, from the left; None outside the window."""
        if not self.window.low <= x <= self.window.high:
            return None
        return min(width - 1, int(self.window.share(x) * width))

    def _row(self, value: float) -> int:
        """The row that a value is in, from the top."""
        high = self.dots.high
        return row_of(self.scale, value, self.height * high) // high if self.scale is not None else -1


def plotted(
    curves: Sequence[Curve],
    window: Window,
    height: int,
    *,
    log: bool = False,
    dots: Dots = Dots.BRAILLE,
    limits: tuple[float, float] | None = None,
) -> Plot:
    """A plot `height` cells high whose scale fits what is seen in the window, or goes from limit to limit."""
    lines = [one for curve in curves for one in (curve.line, curve.raw) if one is not None]
    found = [extremes(one, window, positive=log) for one in lines]
    scale = fitted(min((low for low, _ in found), default=1.0), max((high for _, high in found), default=0.0), log=log)
    if scale is not None and limits is not None:
        scale = Scale(*limits)
    count = max(2, height // _ROWS_PER_TICK + 1)
    return Plot(curves, window, height, dots, scale, ticks(scale, count) if scale is not None else ())


def read(series: Series, x: float, cell: float) -> Point | None:
    """The real point that the cursor at `x` reads: the nearest one, none more than a cell outside the curve."""
    span = series.span()
    if span is None or not span[0] - cell <= x <= span[1] + cell:
        return None
    return series.nearest(x)


def _spans(signs: list[str], tones: list[Tone], empty: Span, cursor: int | None) -> list[Span]:
    """A row, neighbours of one tone as one span; cells without a sign show what lies under the curves."""
    if not any(signs):
        under, tone = empty
        row: list[Span] = [(under * len(signs), tone)]
        if cursor is not None:
            row = [(under * cursor, tone), (_CURSOR, "curve-cursor"), (under * (len(signs) - cursor - 1), tone)]
        return row
    cells = [(sign, tone) if sign else empty for sign, tone in zip(signs, tones, strict=True)]
    if cursor is not None and not signs[cursor]:
        cells[cursor] = (_CURSOR, "curve-cursor")
    return [("".join(text for text, _ in run), tone) for tone, run in groupby(cells, key=itemgetter(1))]
