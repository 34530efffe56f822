"""The body of a log pane: keeps lines, follows them, paints those in sight."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Offset
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip

from opsconsole_console import format as fmt
from opsconsole_console.widget.cell import split
from opsconsole_console.widget.log_painter import Layout, LogLook, LogPainter, PaintedLine
from opsconsole_console.widget.log_ring import LogRing
from opsconsole_console.widget.shown_lines import ShownLines, shown_text, wrapped
from opsconsole_console.widget.virtual_view import VirtualView, highlighted
from opsconsole_protocol.log import LogLine
from opsconsole_protocol.pattern import Pattern

LINES_MAX = 50_000
BYTES_MAX = 64 * 1024 * 1024
_PAINTED_MAX = 2_048
_DIGITS_MIN = 5


class LogBody(VirtualView):
    """What `LogView` is made on: lines, following and painting; the keys, searching and filtering are there."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log-view--gutter", "log-view--match", "log-view--match-current"}
    DEFAULT_CSS = """
    LogBody {
        overflow-y: scroll;
        background: $surface;
        color: $foreground;
        & > .log-view--gutter { color: $foreground 45%; }
        & > .log-view--match { background: $warning 30%; }
        & > .log-view--match-current { background: $warning; color: $background; }
    }
    """

    @dataclass
    class HistoryWanted(Message, namespace="log_view"):
        """Somebody reads at the top: lines with numbers below `before_line` are wanted, the newest of them first."""

        view: "LogBody"
        before_line: int

        @property
        def control(self) -> "LogBody":
            return self.view

    @dataclass
    class PlaceWanted(Message, namespace="log_view"):
        """A place that isn't among the lines kept is wanted: a line, the end (None)."""

        view: "LogBody"
        line: int | None

        @property
        def control(self) -> "LogBody":
            return self.view

    @dataclass
    class StateChanged(Message, namespace="log_view"):
        """How the pane stands is said with other words now, for its frame."""

        view: "LogBody"
        text: str

        @property
        def control(self) -> "LogBody":
            return self.view

    def __init__(
        self,
        *,
        lines_max: int = LINES_MAX,
        bytes_max: int = BYTES_MAX,
        flush_hz: float | None = 15.0,
        zone: tzinfo | None = None,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        """`zone` is for the clock in front of lines (None: this machine's); `flush_hz` as in `LiveTable`."""
        super().__init__(flush_hz=flush_hz, id=id, classes=classes)
        self.following = True
        self._ring = LogRing(lines_max, bytes_max)
        self._shown = ShownLines(self._ring)
        self._layout = Layout(0, zone=zone)
        self._painter: LogPainter | None = None
        self._painted: dict[int, PaintedLine] = {}
        self._pattern: Pattern | None = None
        self._current: int | None = None
        self._note = ""
        self._reported_state = ""
        self._shift = 0
        self._history_asked = False
        self._history_ended = False
        self._is_ours = False
        self._height = 0
        self.filter_note: str | None = None
        """How much passes the filter, where that isn't told by the lines kept."""
        self._goal: int | None = None
        self._is_apart = False
        self._empty = ""

    # -- lines ----------------------------------------------------------------------------------------------------

    def feed(self, lines: Sequence[LogLine]) -> None:
        """Take in lines and fragments, in the order of their numbers; painted with the next flush."""
        change = self._ring.feed(lines)
        self._shown.apply(change)
        if change.moved:
            self._painted.clear()
        for index in change.changed:
            self._painted.pop(index, None)
        self.schedule_flush()

    def prepend(self, lines: Sequence[LogLine]) -> None:
        """The answer to `HistoryWanted`: older lines. None of them: there are none, and nobody asks again."""
        self._history_asked = False
        rows = self._shown.rows
        if not self._ring.prepend(lines):
            self._history_ended = True
            return
        self._shown.rebuild()
        self._painted.clear()
        top = self.scroll_offset.y + self._shown.rows - rows
        self.resize_content(self._shown.rows)
        self._scroll_to_row(self.max_scroll_y if self.following else top)
        self.refresh_view()

    def clear(self) -> None:
        """Forget all lines, as for another attempt; what is searched and filtered for stays."""
        overwrites = self.filter_note is None  # else most lines between aren't here
        self._ring = LogRing(self._ring.lines_max, self._ring.bytes_max, overwrites=overwrites)
        old, self._shown = self._shown, ShownLines(self._ring)
        self._shown.pattern, self._shown.invert, self._shown.sources = old.pattern, old.invert, old.sources
        self._history_asked = self._history_ended = False
        self._current = None
        self._shift = 0
        self._goal, self._is_apart = None, False
        self.following = True
        self._rearrange()

    def clear_for(self, line: int) -> None:
        """Forget all lines; those from about `line` on come, which is shown as soon as it is there."""
        self.clear()
        self.stay()
        self._goal, self._is_apart = line, True

    def reach(self, line: int) -> bool:
        """Bring a line into sight if it is kept and seen. Return False where it isn't."""
        index = self._ring.index_of(line)
        if index is None:
            return False
        place = self._shown.count_before(index)
        if place >= self._shown.count:
            return False
        self.show_place(place)
        return True

    def show_place(self, place: int) -> None:
        """Bring the `place`-th line seen into sight, and stay there."""
        self.stay()
        row, top, height = self._shown.row_of(place), self.scroll_offset.y, self.view_size.height
        if not top <= row < top + height:
            self._scroll_to_row(row - height // 3)
        self.refresh_view()
        self._tell_state()

    @property
    def kept_range(self) -> tuple[int, int]:
        """The numbers of the first and the last line kept. The last is before the first where there is none."""
        lines = self._ring.lines
        return (lines[0].line_number, self._ring.last_number) if lines else (0, -1)

    def apply_pending(self) -> None:
        top = self.scroll_offset.y
        if self._ring.trim():
            top -= self._shown.trimmed()
        if self._layout.digits and self._digits() != self._layout.digits:
            self._rearrange(replace(self._layout, digits=self._digits()))
        self.resize_content(self._shown.rows)
        self._scroll_to_row(self.max_scroll_y if self.following else top)
        if self._goal is not None and self.reach(self._goal):
            self._goal = None
        self.refresh_view()
        self._tell_state()

    def save(self, path: Path) -> int:
        """Write the lines seen as plain text and return their number. Raises OSError."""
        lines = [shown_text(line) for line in self._shown.seen_lines()]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return len(lines)

    def say_empty(self, text: str) -> None:
        """What stands in place of lines while there are none."""
        if text != self._empty:
            self._empty = text
            self.refresh_view()

    # -- following ------------------------------------------------------------------------------------------------

    def set_note(self, note: str) -> None:
        """What the log does, said while nothing is missed: "paused", "ended: exit 0"; "" while it simply runs."""
        self._note = note
        self._tell_state()

    @property
    def behind(self) -> int:
        """Lines that came below what is in sight."""
        last_row = self.scroll_offset.y + self.view_size.height
        if last_row >= self._shown.rows:
            return self._ring.waiting
        return self._shown.count - self._shown.at(last_row)[0] + self._ring.waiting

    @property
    def state_text(self) -> str:
        """How the pane stands: `follow`, `12,034 behind`, `paused`, `ended: exit 0`; a filter is said too."""
        text = state_text(self._note, following=self.following, behind=self.behind)
        if self.filter_note is not None:
            text += f" · {self.filter_note}" if self.filter_note else ""
        elif self._shown.is_filtered:
            text += f" · {fmt.count(self._shown.count)} of {fmt.count(len(self._ring.lines))}"
        return text

    def follow(self) -> None:
        """Go to the end and stay there."""
        if self._is_apart:
            self.post_message(self.PlaceWanted(self, None))
            return
        self.following = True
        if self._ring.release():
            self._painted.clear()
            self._shown.rebuild()
        self.flush()

    def stay(self) -> None:
        """Stop following: what is in sight stays in sight."""
        if self.following:
            self.following = False
            self._ring.hold()
            self._tell_state()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        # A new size moves the view too, but decides nothing.
        if self._is_ours or round(old_value) == round(new_value) or self._height != self.view_size.height:
            return
        if new_value < self.max_scroll_y or self._is_apart:
            self.stay()
            self._want_history()
        elif not self.following:
            self.follow()
        self._tell_state()

    def _scroll_to_row(self, row: int) -> None:
        """Scroll by our own doing."""
        self._is_ours = True
        self.jump(row)
        self._is_ours = False

    def _want_history(self) -> None:
        lines = self._ring.lines
        if self._history_asked or self._history_ended or not lines or self._ring.full or self.scroll_offset.y > 0:
            return
        if lines[0].line_number > 0:
            self._history_asked = True
            self.post_message(self.HistoryWanted(self, lines[0].line_number))

    def _tell_state(self) -> None:
        text = self.state_text
        if text != self._reported_state:
            self._reported_state = text
            self.post_message(self.StateChanged(self, text))

    # -- layout -----------------------------------------------------------------------------------------------------

    def _digits(self) -> int:
        lines = self._ring.lines
        return max(_DIGITS_MIN, len(str(lines[-1].line_number))) if lines else _DIGITS_MIN

    def _rearrange(self, layout: Layout | None = None) -> None:
        """Lay everything out anew, the line at the top of the view staying there."""
        shown = self._shown
        index = shown.index_at(shown.at(self.scroll_offset.y)[0]) if self.scroll_offset.y < shown.rows else None
        if layout is not None:
            self._layout = layout
        shown.wrap_cells = self._layout.content_cells if self._layout.wrap else 0
        shown.rebuild()
        self._painter = None
        self._painted.clear()
        if not self.is_running:
            return
        self.resize_content(shown.rows)
        if self.following or index is None:
            self._scroll_to_row(self.max_scroll_y)
        else:
            self._scroll_to_row(shown.row_of(shown.count_before(index)))
        self.refresh_view()
        self._tell_state()

    def on_resize(self) -> None:
        cells = self.view_size.width
        self._height = self.view_size.height
        if cells != self._layout.cells:
            self._rearrange(replace(self._layout, cells=cells))
        elif self.following:
            self._scroll_to_row(self.max_scroll_y)

    def on_mount(self) -> None:
        self.flush()

    # -- painting -------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        painter, shown = self._line_painter, self._shown
        row = self.scroll_offset.y + y
        if row >= shown.rows:
            text = self._empty if row == 0 and not self._ring.lines else ""
            return Strip([Segment(text, painter.look.gutter)]).adjust_cell_length(
                self.view_size.width, painter.look.base
            )
        place, part = shown.at(row)
        painted = self._painted_line(place)
        content = painted.rows[part] if part < len(painted.rows) else painter.blank_gutter
        row_number = shown.row_base + row
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row_number)) is not None:
            content = highlighted(content, *span, painter.look.selection)
        cells = max(0, self.view_size.width - painter.layout.gutter_cells)
        shifted = content.crop_extend(self._shift, self._shift + cells, painter.look.base)
        hidden = len(split(content.text, self._shift)[0]) if self._shift else 0
        shifted = self.with_offsets(shifted, hidden, row_number)
        if content.cell_length > self._shift + cells > 0:
            shifted = Strip.join([shifted.crop(0, cells - 1), painter.more])
        gutter = painter.blank_gutter if part else painted.gutter
        return Strip.join([gutter, shifted])

    def _painted_line(self, place: int) -> PaintedLine:
        index = self._shown.index_at(place)
        painted = self._painted.get(index)
        if painted is None:
            if len(self._painted) >= _PAINTED_MAX:
                self._painted.clear()
            before_ms = self._ring.get(self._shown.index_at(place - 1)).timestamp_ms if place else None
            is_current = index == self._current
            painted = self._line_painter.paint(self._ring.get(index), before_ms, is_current=is_current)
            self._painted[index] = painted
        return painted

    @property
    def _line_painter(self) -> LogPainter:
        if self._painter is None:
            style = self.get_component_rich_style
            look = LogLook(
                base=self.palette.base,
                gutter=style("log-view--gutter"),
                match=style("log-view--match", partial=True),
                match_current=style("log-view--match-current", partial=True),
                selection=self.screen.get_component_rich_style("screen--selection"),
            )
            self._painter = LogPainter(self.palette, look, self._layout)
            self._painter.pattern = self._pattern
        return self._painter

    def _repaint(self) -> None:
        """Paint everything in sight anew, where it is."""
        self._painter = None
        self._painted.clear()
        self.refresh_view()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painter = None
        self._painted.clear()

    # -- selection ------------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        base = self._shown.row_base
        start = 0 if selection.start is None else selection.start.y - base
        end = self._shown.rows if selection.end is None else selection.end.y - base + 1
        return self._text(max(0, start), min(end, self._shown.rows), selection), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual's signature
        self.refresh_view()

    def text_in_view(self) -> str:
        """The rows in sight as plain text."""
        top = self.scroll_offset.y
        return self._text(top, min(top + self.view_size.height, self._shown.rows), Selection(None, None))

    def on_click(self, event: events.Click) -> None:
        """A double click selects its row, not the whole log."""
        if event.chain < 2:
            return
        event.prevent_default()
        offset = event.get_content_offset(self)
        row = -1 if offset is None else self.scroll_offset.y + offset.y
        if 0 <= row < self._shown.rows:
            number = self._shown.row_base + row
            selection = Selection(Offset(0, number), Offset(len(self._row_text(row)), number))
            self.screen.selections = {self: selection}

    def _text(self, start: int, end: int, selection: Selection) -> str:
        """Rows as text; rows that one line was broken into become one again."""
        pieces: list[str] = []
        for row in range(start, end):
            span = selection.get_span(self._shown.row_base + row)
            if span is None:
                continue
            first, last = span
            if pieces and self._shown.at(row)[1] == 0:
                pieces.append("\n")
            pieces.append(self._row_text(row)[first : None if last == -1 else last])
        return "".join(pieces)

    def _row_text(self, row: int) -> str:
        place, part = self._shown.at(row)
        text = shown_text(self._ring.get(self._shown.index_at(place)))
        if not self._layout.wrap:
            return text
        rows = wrapped(text, self._layout.content_cells)
        return rows[part] if part < len(rows) else ""


def state_text(note: str, *, following: bool, behind: int) -> str:
    """How a pane stands, in a word or two."""
    if following:
        return note or "follow"
    if behind:
        return f"{fmt.count(behind)} behind"
    return note or "paused"
