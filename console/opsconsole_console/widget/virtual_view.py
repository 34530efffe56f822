"""A scrolling view of lines that aren't widgets: what the table and the log share."""

from time import monotonic

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from opsconsole_console.widget.palette import Palette


class VirtualView(ScrollView, can_focus=True):
    """Owns its lines and paints those in sight; scrolls up and down only.

    Textual lays the whole screen out whenever `virtual_size` is assigned. Here it is assigned only when a scrollbar has
    to come or go; otherwise the size and the scrollbar are moved along without a layout.
    """

    DEFAULT_CSS = """
    VirtualView {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        height: 1fr;
        width: 1fr;
    }
    """

    def __init__(self, *, flush_hz: float | None, id: str | None, classes: str | None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._palette: Palette | None = None
        self._flush_s = None if flush_hz is None else 1.0 / flush_hz
        self._flushed_at_s = 0.0
        self._flush_timer: Timer | None = None
        self._is_painting = False

    def flush(self) -> None:
        """Apply what came since the last flush and paint what of it is in sight."""
        if self._flush_timer is not None:
            self._flush_timer.stop()
            self._flush_timer = None
        self._flushed_at_s = monotonic()
        self.apply_pending()

    def apply_pending(self) -> None:
        """What a flush does; for subclasses."""

    def schedule_flush(self) -> None:
        """Flush soon, but not more often than asked for; nothing runs while nothing comes."""
        if self._flush_s is None or self._flush_timer is not None or not self.is_running:
            return
        wait_s = self._flushed_at_s + self._flush_s - monotonic()
        # An interval, ended when it is due: Textual drops a timer that is held up for longer than its delay as it begins.
        self._flush_timer = self.set_interval(max(0.001, wait_s), self._on_flush_due)

    def _on_flush_due(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.stop()
            self.call_next(self.flush)

    @property
    def palette(self) -> Palette:
        """Tones in the present theme on this widget's own style."""
        if self._palette is None:
            self._palette = Palette(self.app.theme_variables, self.visual_style.rich_style)
        return self._palette

    @property
    def view_size(self) -> Size:
        """What can be painted on, without the scrollbar."""
        return self.scrollable_content_region.size

    def resize_content(self, lines: int) -> None:
        """Say how many lines there are, the header included; scrolls back where fewer are left."""
        size = Size(1, lines)
        if size == self.virtual_size:
            return
        needs_bar = lines > self.container_size.height or self.styles.overflow_y == "scroll"
        if needs_bar != self.show_vertical_scrollbar:
            self.virtual_size = size
            return
        self.set_reactive(Widget.virtual_size, size)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = lines
        if self.scroll_y > self.max_scroll_y:
            self.jump(self.max_scroll_y)

    def jump(self, y: int) -> None:
        """Scroll so that line `y` is at the top, at once."""
        self.scroll_to(y=max(0, min(y, self.max_scroll_y)), animate=False)

    def refresh_view(self) -> None:
        """Paint every line in sight again, without touching the layout."""
        self.refresh(Region(0, 0, *self.outer_size))

    def render_lines(self, crop: Region) -> list[Strip]:
        self._is_painting = True
        try:
            return super().render_lines(crop)
        finally:
            self._is_painting = False

    def with_offsets(self, strip: Strip, x: int, y: int) -> Strip:
        """The strip, knowing where its text stands (character `x` of row `y`), which selecting by mouse needs.

        Selecting asks `render_line` directly. In painting nobody looks, and offsets cost more than all the rest of a row.
        """
        return strip if self._is_painting else strip.apply_offsets(x, y)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._palette = None


def highlighted(strip: Strip, start: int, end: int, style: Style) -> Strip:
    """The strip with `style` over its characters from `start` up to but not including `end` (-1: to the end)."""
    if end == -1:
        end = len(strip.text)
    segments: list[Segment] = []
    offset = 0
    for segment in strip:
        text = segment.text
        stop = offset + len(text)
        first, last = max(start, offset) - offset, min(end, stop) - offset
        if first >= last:
            segments.append(segment)
        else:
            base = segment.style or Style.null()
            pieces = ((text[:first], base), (text[first:last], base + style), (text[last:], base))
            segments.extend(Segment(piece, piece_style) for piece, piece_style in pieces if piece)
        offset = stop
    return Strip(segments, strip.cell_length)
