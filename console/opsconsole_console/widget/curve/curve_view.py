"""Curves over each other that can be zoomed, smoothed and read out."""

from dataclasses import dataclass, replace
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from opsconsole_console.widget.curve.chart import Drawing, Manner, Sheet, draw
from opsconsole_console.widget.curve.cursor import snapped, stepped
from opsconsole_console.widget.curve.raster import Dots
from opsconsole_console.widget.curve.scale import Unit
from opsconsole_console.widget.curve.series import Series
from opsconsole_console.widget.curve.smoothing import WEIGHTS, Smoothed
from opsconsole_console.widget.curve.window import Window, whole
from opsconsole_console.widget.virtual_view import VirtualView

_ZOOM, _WHEEL_ZOOM = 2.0, 1.25
_PAN = 0.25
SMOOTHED_POINTS = 100_000
"""How many points are smoothed at a time."""


class CurveView(VirtualView):
    """Draws a `Sheet`. After points came (`Series.extend`) call `touch`; a view at the newest point goes on with it."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    CurveView { background: $surface; color: $foreground; overflow-y: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "cursor(-1)", "Read to the left", show=False, id="curve.left"),
        Binding("right", "cursor(1)", "Read to the right", show=False, id="curve.right"),
        Binding("home,g", "first", "First point", show=False, id="curve.first"),
        Binding("end,G", "last", "Last point", show=False, id="curve.last"),
        Binding("escape", "let_go", "No cursor", show=False, id="curve.let_go"),
        Binding("plus,equals_sign,up", "zoom(1)", "Zoom in", show=False, id="curve.zoom_in"),
        Binding("minus,down", "zoom(-1)", "Zoom out", show=False, id="curve.zoom_out"),
        Binding("0", "whole", "All of it", show=False, id="curve.whole"),
        Binding("shift+left,pageup", "pan(-1)", "Earlier", show=False, id="curve.earlier"),
        Binding("shift+right,pagedown", "pan(1)", "Later", show=False, id="curve.later"),
        Binding("o", "log", "Log scale", show=False, id="curve.log"),
        Binding("s", "smooth(1)", "Smoother", show=False, id="curve.smoother"),
        Binding("S", "smooth(-1)", "Less smooth", show=False, id="curve.less_smooth"),
        Binding("x", "other_unit", "Step or time", show=False, id="curve.unit"),
        Binding("b", "dots", "Braille or blocks", show=False, id="curve.dots"),
        Binding("y", "copy", "Copy", show=False, id="curve.copy"),
    ]

    @dataclass
    class UnitWanted(Message):
        """Somebody wants to see the curves over the other unit: `show` them a sheet with it."""

        view: "CurveView"
        unit: Unit

        @property
        def control(self) -> "CurveView":
            return self.view

    def __init__(
        self,
        sheet: Sheet | None = None,
        *,
        dots: Dots = Dots.BRAILLE,
        flush_hz: float | None = 10.0,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(flush_hz=flush_hz, id=id, classes=classes)
        self._sheet = sheet or Sheet()
        self._whole = whole((*self._sheet.series, *self._sheet.below))
        self._manner = Manner(window=self._whole, dots=dots)
        self._smoothed: list[Smoothed] = []
        self._drawing: Drawing | None = None
        self._strips: dict[int, Strip] = {}

    # -- what is shown --------------------------------------------------------------------------------------------

    @property
    def sheet(self) -> Sheet:
        """What is drawn."""
        return self._sheet

    @property
    def manner(self) -> Manner:
        """How it is drawn at the moment."""
        return self._manner

    def show(self, sheet: Sheet) -> None:
        """Draw another sheet in the same manner; over another unit all of it is seen, and the cursor goes."""
        if sheet.unit is not self._sheet.unit:
            self._manner = replace(self._manner, window=None, cursor=None)
        self._sheet = sheet
        self._smoothed = []
        self.flush()

    def touch(self) -> None:
        """Points came: draw them with the next flush."""
        self.schedule_flush()

    def apply_pending(self) -> None:
        """Take in what came: the whole grows; a window that saw all of it, or its end, goes on doing so."""
        before, now = self._whole, whole((*self._sheet.series, *self._sheet.below))
        window = self._manner.window
        self._whole = now
        if now is None or before is None or window is None or window == before:
            window = now
        elif window.high >= before.high:
            window = Window(now.high - window.span, now.high).within(now)
        else:
            window = window.within(now)
        self._change(window=window)

    def _change(self, **changes: object) -> None:
        """Draw it in another manner."""
        manner = replace(self._manner, **changes)  # type: ignore[arg-type]
        self._manner = replace(manner, smoothed=self._smooth(manner.weight))
        self._drawing = None
        self._strips.clear()
        self.refresh_view()

    def _smooth(self, weight: float) -> tuple[Series, ...]:
        """The smoothed series; of very long ones a part each time, so that no key has to wait for all of it."""
        if not weight:
            self._smoothed = []
        elif len(self._smoothed) != len(self._sheet.series) or any(one.weight != weight for one in self._smoothed):
            self._smoothed = [Smoothed(one, weight) for one in self._sheet.series]
        left = SMOOTHED_POINTS
        for one in self._smoothed:
            left -= one.catch_up(left)
        if any(one.is_behind for one in self._smoothed):
            self.schedule_flush()
        return tuple(one.curve for one in self._smoothed)

    # -- painting -------------------------------------------------------------------------------------------------

    @property
    def drawing(self) -> Drawing:
        """The lines in sight."""
        size = self.view_size
        if self._drawing is None or len(self._drawing.lines) != size.height:
            self._drawing = draw(self._sheet, self._manner, size.width, size.height)
        return self._drawing

    def render_line(self, y: int) -> Strip:
        cells = self.view_size.width
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != cells:
            lines = self.drawing.lines
            if not 0 <= y < len(lines):
                return Strip.blank(cells, self.palette.base)
            strip = Strip([Segment(text, self.palette.style(tone)) for text, tone in lines[y]], cells)
            self._strips[y] = strip
        return strip

    def on_mount(self) -> None:
        self.flush()

    def on_resize(self) -> None:
        self._drawing = None
        self._strips.clear()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    # -- moving ---------------------------------------------------------------------------------------------------

    @property
    def _points(self) -> tuple[Series, ...]:
        return (*self._sheet.series, *self._sheet.below)

    def read_at(self, x: float) -> None:
        """Put the cursor on the point nearest to `x`, and bring it into sight."""
        window, everything = self._manner.window, self._whole
        if window is None or everything is None:
            return
        x = snapped(self._points, x)
        if not window.low <= x <= window.high:
            window = window.panned(window.share(x) - (0.9 if x > window.high else 0.1), everything)
        self._change(cursor=x, window=window)

    def action_cursor(self, cells: int) -> None:
        window, cursor = self._manner.window, self._manner.cursor
        if window is None:
            return
        if cursor is None:
            self.read_at(window.high)
            return
        self.read_at(stepped(self._points, cursor, cells * window.span / max(1, self.drawing.cells)))

    def action_first(self) -> None:
        if self._whole is not None:
            self.read_at(self._whole.low)

    def action_last(self) -> None:
        if self._whole is not None:
            self.read_at(self._whole.high)

    def action_let_go(self) -> None:
        if self._manner.cursor is None:
            raise SkipAction
        self._change(cursor=None)

    def zoom(self, factor: float, around: float | None = None) -> None:
        """See `factor` times less (below 1: more) of the x axis, round an x (None: the cursor, else the newest point)."""
        window, everything = self._manner.window, self._whole
        if window is None or everything is None:
            return
        if around is None:
            cursor = self._manner.cursor
            around = cursor if cursor is not None and window.low <= cursor <= window.high else window.high
        self._change(window=window.zoomed(factor, around, everything))

    def action_zoom(self, steps: int) -> None:
        self.zoom(_ZOOM**steps)

    def action_whole(self) -> None:
        self._change(window=self._whole)

    def action_pan(self, steps: int) -> None:
        if self._manner.window is not None and self._whole is not None:
            self._change(window=self._manner.window.panned(_PAN * steps, self._whole))

    # -- the manner -----------------------------------------------------------------------------------------------

    def action_log(self) -> None:
        self._change(log=not self._manner.log)

    def action_smooth(self, steps: int) -> None:
        place = WEIGHTS.index(self._manner.weight) + steps
        self._change(weight=WEIGHTS[max(0, min(len(WEIGHTS) - 1, place))])

    def action_other_unit(self) -> None:
        self.post_message(self.UnitWanted(self, Unit.STEP if self._sheet.unit is Unit.TIME_S else Unit.TIME_S))

    def action_dots(self) -> None:
        self._change(dots=Dots.BLOCKS if self._manner.dots is Dots.BRAILLE else Dots.BRAILLE)

    def action_copy(self) -> None:
        """Copy the picture as it is, with the values read out."""
        lines = ("".join(text for text, _ in line).rstrip() for line in self.drawing.lines)
        self.app.copy_to_clipboard("\n".join(lines))

    # -- the mouse ------------------------------------------------------------------------------------------------

    def _x_at(self, event: events.MouseEvent) -> float | None:
        """The x under the mouse, None beside the plots."""
        offset, drawing, window = event.get_content_offset(self), self.drawing, self._manner.window
        if offset is None or window is None or not 0 <= offset.x - drawing.left < drawing.cells:
            return None
        return window.at((offset.x - drawing.left + 0.5) / drawing.cells)

    def on_click(self, event: events.Click) -> None:
        x = self._x_at(event)
        if x is not None:
            event.stop()
            self.read_at(x)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, _WHEEL_ZOOM)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1 / _WHEEL_ZOOM)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        event.prevent_default()
        self.zoom(factor, self._x_at(event))
