"""A framed part of the screen: number and title on the left of its upper edge, what it is doing on the right."""

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import crop, shorten, width

_EDGE = "─"
_LEFT, _RIGHT = "╭", "╮"


class Pane(Vertical):
    """A frame round whatever it holds, by `with Pane(...)` in `compose` or as arguments.

    `number` is the key that focuses it (0: none), `title` what it is, `subject` what it shows at the moment, `state`
    how it stands ("follow", "filter: project=pose"). Where all don't fit, the subject loses its middle first, then the state its end.
    `z` fills the screen with it and back; while it does, it has the class `-zoomed`.
    """

    ALLOW_MAXIMIZE = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {"pane--title", "pane--number", "pane--subject", "pane--state"}
    DEFAULT_CSS = """
    Pane {
        border: round $border-blurred;
        width: 1fr;
        height: 1fr;
        & > .pane--title { text-style: bold; }
        & > .pane--number { color: $foreground 60%; }
        & > .pane--subject { color: $foreground 80%; }
        & > .pane--state { color: $foreground 60%; }
        &:focus-within { border: round $border; }
        &:focus-within > .pane--number { color: $primary; }
        &:focus-within > .pane--state { color: $primary; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("z", "zoom", "Zoom", show=False, id="pane.zoom")]

    title: reactive[str] = reactive("", repaint=False)
    subject: reactive[str] = reactive("", repaint=False)
    state: reactive[str] = reactive("", repaint=False)

    def __init__(
        self,
        *children: Widget,
        number: int = 0,
        title: str = "",
        subject: str = "",
        state: str = "",
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(*children, id=id, classes=classes)
        self.number = number
        self.set_reactive(Pane.title, title)
        self.set_reactive(Pane.subject, subject)
        self.set_reactive(Pane.state, state)

    @property
    def zoomed(self) -> bool:
        """Whether the pane fills the screen."""
        return self.screen.maximized is self

    def zoom(self, zoomed: bool) -> None:
        """Fill the screen with this pane, or give the screen back."""
        if zoomed == self.zoomed:
            return
        if zoomed:
            self.screen.maximize(self, container=False)
        else:
            self.screen.minimize()

    def on_mount(self) -> None:
        # Escape gives the screen back without asking the pane.
        self.watch(self.screen, "maximized", self._show_zoomed)

    def _show_zoomed(self, maximized: Widget | None) -> None:
        self.set_class(maximized is self, "-zoomed")

    def action_zoom(self) -> None:
        self.zoom(not self.zoomed)

    def watch_title(self) -> None:
        self._refresh_edge()

    def watch_subject(self) -> None:
        self._refresh_edge()

    def watch_state(self) -> None:
        self._refresh_edge()

    def render_lines(self, crop: Region) -> list[Strip]:
        strips = super().render_lines(crop)
        if crop.y == 0 and strips and self.styles.border.top[0]:
            edge = self._edge(self.outer_size.width)
            background = self.background_colors[1]
            for line_filter in self.get_line_filters():
                edge = edge.apply_filter(line_filter, background)
            strips[0] = edge.crop(*crop.column_span)
        return strips

    def _edge(self, cells: int) -> Strip:
        """The upper edge in exactly `cells` cells: `╭ 3 Logs  42f/task-0 ───── follow ─╮`."""
        base_background, background = self.background_colors
        behind = Style(bgcolor=(base_background + background).rich_color)
        line = Style(color=(base_background + self.styles.border.top[1]).rich_color) + behind

        def style(part: str) -> Style:
            return self.get_component_rich_style(f"pane--{part}") + behind

        left, right = labels(str(self.number or ""), self.title, self.subject, self.state, cells - 4)
        segments = [Segment(_LEFT, line)]
        taken = 2
        for text, part in left:
            segments.append(Segment(text, style(part)))
            taken += width(text)
        taken += width(right)
        segments.append(Segment(_EDGE * max(0, cells - taken - (1 if right else 0)), line))
        if right:
            segments += [Segment(right, style("state")), Segment(_EDGE, line)]
        segments.append(Segment(_RIGHT, line))
        return Strip(segments).adjust_cell_length(cells, line)

    def _refresh_edge(self) -> None:
        # In the coordinates of the content, above which the edge lies.
        self.refresh(Region(0, 0, self.outer_size.width, 1).translate(-self.content_offset))


def labels(number: str, title: str, subject: str, state: str, cells: int) -> tuple[list[tuple[str, str]], str]:
    """What of a pane's labels fits into `cells` cells: the left ones with their parts' names, and the state."""
    title, subject, state = clean(title), clean(subject), clean(state)
    fixed = sum(width(text) + 1 for text in (number, title) if text)
    if state:
        state = crop(state, max(0, cells - fixed - 2))
    room = cells - fixed - 1 - (width(state) + 2 if state else 0)
    subject = "".join(text for text, _ in shorten([(subject, "")], room - 2)) if room > 4 else ""
    left: list[tuple[str, str]] = []
    if number:
        left.append((f" {number}", "number"))
    if title:
        left.append((f" {crop(title, cells - width(number) - 2)}", "title"))
    if subject:
        left.append((f"  {subject}", "subject"))
    if left:
        left.append((" ", "title"))
    return left, f" {state} " if state else ""
