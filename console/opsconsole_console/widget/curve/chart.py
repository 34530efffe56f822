"""The whole drawing: legend, plot, a second panel under it, and the x axis that both share. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Span, Tone, crop, fit, width
from opsconsole_console.widget.curve import scale
from opsconsole_console.widget.curve.legend import SIGNS, Entry, legend
from opsconsole_console.widget.curve.plot import Curve, Plot, plotted, read
from opsconsole_console.widget.curve.raster import Dots
from opsconsole_console.widget.curve.scale import Tick, Unit
from opsconsole_console.widget.curve.series import Series
from opsconsole_console.widget.curve.window import Window

TONES = tuple(f"curve-{number}" for number in range(1, 9))
_AXIS_LINES = 2
_PANEL_ROWS_MIN, _PANEL_SHARE = 3, 4
_PLOT_ROWS_MIN, _PLOT_CELLS_MIN = 3, 16
_CELLS_PER_TICK = 12


@dataclass(frozen=True, slots=True)
class Sheet:
    """What there is to draw: series over each other, and `below`, in a panel of their own, what shares their x.

    `below_limits` are the ends of the panel's scale (None: what fits). A series without a tone gets one of `TONES`.
    """

    series: Sequence[Series] = ()
    below: Sequence[Series] = ()
    unit: Unit = Unit.STEP
    below_limits: tuple[float, float] | None = None
    empty: str = "No points yet."


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is drawn: the part of the x axis, where the cursor is, and what the keys changed.

    `smoothed` has a calmer series for each of the sheet's, or is empty.
    """

    window: Window | None = None
    cursor: float | None = None
    log: bool = False
    weight: float = 0.0
    smoothed: Sequence[Series] = ()
    dots: Dots = Dots.BRAILLE


class Drawing(NamedTuple):
    """Lines of exactly the width asked for; the plots' inside begins at cell `left` and is `cells` wide (0: no plot)."""

    lines: list[list[Span]]
    left: int = 0
    cells: int = 0


@dataclass(frozen=True, slots=True)
class _Frame:
    sheet: Sheet
    manner: Manner
    window: Window
    width: int
    height: int
    curves: Sequence[Curve] = field(default=())
    below: Sequence[Curve] = field(default=())


def draw(sheet: Sheet, manner: Manner, width: int, height: int) -> Drawing:
    """The sheet in `width` × `height` cells."""
    if manner.window is None:
        return _words(sheet.empty, width, height)
    if width < _PLOT_CELLS_MIN or height < _PLOT_ROWS_MIN + _AXIS_LINES:
        return _words("Too small for a curve.", width, height)
    count = len(sheet.series)
    smoothed = manner.smoothed or sheet.series
    frame = _Frame(
        sheet, manner, manner.window, width, height,
        [_curve(one, line, place) for place, (one, line) in enumerate(zip(sheet.series, smoothed, strict=True))],
        [_curve(one, one, count + place) for place, one in enumerate(sheet.below)],
    )  # fmt: skip
    return _framed(frame)


def _curve(series: Series, line: Series, place: int) -> Curve:
    tone = series.tone or TONES[place % len(TONES)]
    return Curve(line, series if line is not series else None, tone, SIGNS[place % len(SIGNS)])


def _framed(frame: _Frame) -> Drawing:
    width, height, manner = frame.width, frame.height, frame.manner
    has_room = height >= 2 * (_PLOT_ROWS_MIN + _AXIS_LINES) + 1
    below = frame.below if has_room else ()
    cell = frame.window.span / width
    head = scale.place(_shown_x(frame), frame.sheet.unit)
    lines_max = max(1, height // 6)
    top = legend(head, _entries(frame.curves, manner.cursor, cell), _status(frame), width, lines_max)
    middle = legend("", _entries(below, manner.cursor, cell), "", width, max(1, lines_max // 2)) if below else []
    room = height - len(top) - len(middle) - _AXIS_LINES
    panel_rows = max(_PANEL_ROWS_MIN, room // _PANEL_SHARE) | 1 if below else 0  # odd, so that the middle is a row
    limits = frame.sheet.below_limits
    plots = [plotted(frame.curves, frame.window, room - panel_rows, log=manner.log, dots=manner.dots)]
    if below:
        plots.append(plotted(below, frame.window, panel_rows, dots=manner.dots, limits=limits))
    gutter = _gutter(plots, frame.sheet.unit)
    cells = width - gutter - 2
    lines = [*top, *plots[0].lines(manner.cursor, gutter, cells)]
    if plots[0].scale is None:
        _say(lines, len(top), room - panel_rows, gutter + 2, cells, _nothing(manner))
    for plot in plots[1:]:
        lines += [*middle, *plot.lines(manner.cursor, gutter, cells)]
    lines += _axis(frame, gutter, cells)
    return Drawing([fit(line, width) for line in lines], gutter + 2, cells)


def _gutter(plots: Sequence[Plot], unit: Unit) -> int:
    return max(len(unit), *(len(tick.label) for plot in plots for tick in plot.ticks), 0)


def _shown_x(frame: _Frame) -> float:
    if frame.manner.cursor is not None:
        return frame.manner.cursor
    return max((span[1] for one in frame.sheet.series if (span := one.span())), default=frame.window.high)


def _entries(curves: Sequence[Curve], cursor: float | None, cell: float) -> list[Entry]:
    entries = []
    for curve in curves:
        point = curve.real.last() if cursor is None else read(curve.real, cursor, cell)
        calm = None
        if curve.raw is not None:
            calm = curve.line.last() if cursor is None else read(curve.line, cursor, cell)
        entries.append(
            Entry(curve.sign, curve.tone, curve.real.name, point.y if point else None, calm.y if calm else None)
        )
    return entries


def _status(frame: _Frame) -> str:
    manner, window = frame.manner, frame.window
    words = [f"smoothed {manner.weight:g}"] if manner.weight else []
    if manner.log:
        is_cut = any(one.bounds(*one.places(window.low, window.high))[0] <= 0 for one in frame.sheet.series)
        words.insert(0, "log, above zero only" if is_cut else "log")
    return " · ".join(words)


def _nothing(manner: Manner) -> str:
    return "Nothing here is above zero: o for a linear scale." if manner.log else "Nothing to see here: 0 shows all."


def _axis(frame: _Frame, gutter: int, cells: int) -> list[list[Span]]:
    """The x axis and its labels, which are centred under their ticks as far as the edges let them."""
    window, unit = frame.window, frame.sheet.unit
    line, labels = ["─"] * cells, [" "] * cells
    free = 0
    for tick in _x_ticks(window, cells, unit):
        cell = min(cells - 1, int(window.share(tick.value) * cells))
        line[cell] = "┬"
        start = max(0, min(cell - (len(tick.label) - 1) // 2, cells - len(tick.label)))
        if start >= free:
            labels[start : start + len(tick.label)] = tick.label
            free = start + len(tick.label) + 1
    return [
        [(" " * (gutter + 1), ""), ("╰" + "".join(line), "curve-axis")],
        [(unit.rjust(gutter) + "  ", "text-disabled"), ("".join(labels[:cells]), "text-muted")],
    ]


def _x_ticks(window: Window, cells: int, unit: Unit) -> list[Tick]:
    found = scale.ticks(scale.Scale(window.low, window.high), max(1, cells // _CELLS_PER_TICK), unit)
    return [tick for tick in found if window.low <= tick.value <= window.high]


def _words(text: str, width: int, height: int) -> Drawing:
    lines: list[list[Span]] = [[(" " * width, "")] for _ in range(height)]
    _say(lines, 0, height, 0, width, text)
    return Drawing(lines)


def _say(lines: list[list[Span]], top: int, height: int, left: int, cells: int, text: str) -> None:
    """A text in the middle of some lines, over whatever is there right of `left`."""
    if not height or not cells:
        return
    shown = crop(clean(text), cells)
    row = top + (height - 1) // 2
    start: list[Span] = fit(lines[row], left)
    middle: Tone = "text-muted"
    lines[row] = [*start, (" " * ((cells - width(shown)) // 2), ""), (shown, middle)]
    lines[row] = fit(lines[row], left + cells)
