"""A scrolling view of very many lines of toned text: what is in a file."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Cell, cell, fit
from opsconsole_console.widget.virtual_view import VirtualView, highlighted

_SIDE_STEP_CELLS = 8
_NEAR_END_LINES = 50
_COPIED_LINES_MAX = 10_000


class LineBody(VirtualView):
    """Paints the lines in sight, cropped at the edge; the arrows move sideways. A `heading` stays at the top."""

    ALLOW_SELECT = True
    DEFAULT_CSS = """
    LineBody { background: $surface; color: $foreground; }
    """
    # fmt: off
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="lines.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="lines.up"),
        Binding("pagedown,space", "page(1)", "Page down", show=False, id="lines.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="lines.page_up"),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False, id="lines.half_page_down"),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False, id="lines.half_page_up"),
        Binding("home,g", "top", "First", show=False, id="lines.top"),
        Binding("end,G", "bottom", "Last", show=False, id="lines.bottom"),
        Binding("right,l", "side(1)", "Right", show=False, id="lines.right"),
        Binding("left,h", "side(-1)", "Left", show=False, id="lines.left"),
    ]
    # fmt: on

    class NearEnd(Message):
        """The last lines are in sight, or soon will be."""

    class ToEnd(Message):
        """Somebody wants to see the end."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(flush_hz=None, id=id, classes=None)
        self._lines: list[Cell] = []
        self._heading: Cell | None = None
        self._side = 0

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    @property
    def text(self) -> str:
        """All lines, as plain text."""
        return "\n".join(one.text for one in self._lines)

    def show(self, lines: Sequence[Cell], heading: Cell | None = None) -> None:
        """Show these lines from the top."""
        self._lines = list(lines)
        self._heading = heading
        self._side = 0
        self.resize_content(len(self._lines) + self._heading_lines)
        self.jump(0)
        self.refresh_view()

    def append(self, lines: Sequence[Cell]) -> None:
        """Show these lines after the others."""
        self._lines += lines
        self.resize_content(len(self._lines) + self._heading_lines)
        self.refresh_view()

    @property
    def _heading_lines(self) -> int:
        return int(self._heading is not None)

    @property
    def _lines_in_view(self) -> int:
        return max(1, self.view_size.height - self._heading_lines)

    def render_line(self, y: int) -> Strip:
        cells = self.view_size.width
        index = y - self._heading_lines + self.scroll_offset.y
        if y < self._heading_lines:
            line = self._heading or cell("")
        elif index < len(self._lines):
            line = self._lines[index]
        else:
            return Strip.blank(cells, self.palette.base)
        spans = fit(line.spans, self._side + cells)
        strip = Strip([Segment(text, self.palette.style(tone)) for text, tone in spans], self._side + cells)
        strip = strip.crop(self._side, self._side + cells)
        if y < self._heading_lines:
            return strip
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(index)) is not None:
            strip = highlighted(strip, *span, self.screen.get_component_rich_style("screen--selection"))
        return self.with_offsets(strip, 0, index)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text as it is painted; of very many lines the first 10,000."""
        first = 0 if selection.start is None else selection.start.y
        last = len(self._lines) if selection.end is None else selection.end.y + 1
        lines = []
        for index in range(first, min(last, first + _COPIED_LINES_MAX, len(self._lines))):
            if (span := selection.get_span(index)) is not None:
                text = clean(self._lines[index].text)[self._side :]
                lines.append(text[span[0] : None if span[1] == -1 else span[1]].rstrip())
        return "\n".join(lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual's signature
        self.refresh_view()

    # -- actions --------------------------------------------------------------------------------------------------

    def action_move(self, lines: int) -> None:
        self.jump(self.scroll_offset.y + lines)
        self._tell_near_end()

    def action_page(self, pages: float) -> None:
        self.action_move(int(self._lines_in_view * pages) or (1 if pages > 0 else -1))

    def action_top(self) -> None:
        self.jump(0)

    def action_bottom(self) -> None:
        self.jump(len(self._lines))
        self.post_message(self.ToEnd())

    def action_side(self, steps: int) -> None:
        side = max(0, self._side + steps * _SIDE_STEP_CELLS)
        if side != self._side:
            self._side = side
            self.refresh_view()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value > old_value:
            self._tell_near_end()

    def _tell_near_end(self) -> None:
        if self.scroll_offset.y + self._lines_in_view + _NEAR_END_LINES >= len(self._lines):
            self.post_message(self.NearEnd())
