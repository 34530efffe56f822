"""The last line: the keys that work here, made from the bindings. One widget, however many keys it shows."""

from typing import ClassVar, NamedTuple

from rich.segment import Segment
from textual import events
from textual.binding import ActiveBinding, Binding
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import width

_GAP_CELLS = 2


class _PlacedKey(NamedTuple):
    """Where a key stands: its binding, and its cells from `left` up to but not including `right`."""

    binding: Binding
    key: str
    left: int
    right: int


class KeyBar(Widget):
    """Keys that can be clicked too. Where not all fit, those before the last two (command and help) are left out."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key", "key-bar--description"}
    DEFAULT_CSS = """
    KeyBar {
        dock: bottom;
        height: 1;
        width: 1fr;
        background: $footer-background;
        & > .key-bar--key { color: $footer-key-foreground; text-style: bold; }
        & > .key-bar--description { color: $footer-description-foreground; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._placed_keys: list[_PlacedKey] = []

    @property
    def text(self) -> str:
        """What is shown."""
        return "  ".join(f"{key.key} {key.binding.description}" for key in self._placed_keys)

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._gather)
        self.call_after_refresh(self._gather, self.screen)

    def on_resize(self) -> None:
        self._gather(self.screen)

    def _gather(self, screen: Screen[object]) -> None:
        if not self.is_attached or screen is not self.screen:
            return
        shown: dict[str, Binding] = {}
        for active in screen.active_bindings.values():
            if _is_offered(active) and active.enabled:
                shown.setdefault(active.binding.action, active.binding)
        placed = _placed([(binding, self.app.get_key_display(binding)) for binding in shown.values()], self.size.width)
        if placed != self._placed_keys:
            self._placed_keys = placed
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - there is one line
        cells = self.size.width
        key_style = self.get_component_rich_style("key-bar--key")
        text_style = self.get_component_rich_style("key-bar--description")
        base = self.visual_style.rich_style
        segments: list[Segment] = []
        taken = 0
        for key in self._placed_keys:
            segments += [Segment(" " * (key.left - taken), base), Segment(key.key, key_style),
                         Segment(f" {key.binding.description}", text_style)]  # fmt: skip
            taken = key.right
        return Strip(segments).crop_extend(0, cells, base)

    async def on_click(self, event: events.Click) -> None:
        for key in self._placed_keys:
            if key.left <= event.x < key.right:
                event.stop()
                self.app.simulate_key(key.binding.key)


def _is_offered(active: ActiveBinding) -> bool:
    """Whether a key is shown: as its binding says, unless the widget that carries it out has an opinion."""
    offers = getattr(active.node, "offers", None)
    offered = None if offers is None else offers(active.binding.action)
    return active.binding.show if offered is None else bool(offered)


def _placed(keys: list[tuple[Binding, str]], cells: int) -> list[_PlacedKey]:
    """The keys side by side in `cells`; from the middle on they are left out until the rest fits."""
    wanted = list(keys)
    while len(wanted) > 2 and _needed(wanted) > cells:
        del wanted[-3]
    placed = []
    left = 1
    for binding, key in wanted:
        right = left + _cells(binding, key)
        placed.append(_PlacedKey(binding, key, left, right))
        left = right + _GAP_CELLS
    return placed


def _needed(keys: list[tuple[Binding, str]]) -> int:
    return 2 + sum(_cells(binding, key) + _GAP_CELLS for binding, key in keys) - _GAP_CELLS


def _cells(binding: Binding, key: str) -> int:
    return width(clean(key)) + 1 + width(clean(binding.description))
