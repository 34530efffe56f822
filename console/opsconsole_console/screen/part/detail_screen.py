"""What the screens about one thing share: the way back, and the panes by number."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from opsconsole_console.widget.pane import Pane
from opsconsole_console.widget.steady_screen import SteadyScreen


class DetailScreen(SteadyScreen, Screen[None]):
    """Escape goes back, once nothing is zoomed, filtered or marked any more; `q` does at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", "Back", id="detail.back"),
        *(Binding(str(n), f"pane({n})", f"Pane {n}", show=False, id=f"pane.{n}") for n in range(1, 10)),
    ]

    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012 - Textual's own type
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - Textual's own type

    @property
    def panes_hint(self) -> str:
        """Which panes there are, where only one of them is in sight."""
        if not (self.has_class("-short") and self.has_class("-narrow")):
            return ""
        return "  ".join(f"{pane.number} {pane.title}" for pane in self.query(Pane) if pane.number) + "  "

    def action_pane(self, number: int) -> None:
        """Focus a pane by its number; where only one has room, bring it into sight."""
        panes = [pane for pane in self.query(Pane) if pane.number]
        wanted = next((pane for pane in panes if pane.number == number), None)
        if wanted is None:
            return
        for pane in panes:
            pane.set_class(pane is wanted, "-chosen")
        target = next((widget for widget in wanted.query(Widget) if widget.can_focus), None)
        if target is not None:
            self.call_after_refresh(target.focus)
