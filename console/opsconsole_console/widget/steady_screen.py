"""A screen that is styled, laid out and painted once when it is opened.

Textual does each of it three times: as the screen is mounted, as it comes to the top, and as it learns its size, which sets the
classes of its breakpoints; and as it learns its size it lays out the screens below it too. It also paints twice whenever a layout
comes together with another change.
"""

from typing import TYPE_CHECKING, Any

from textual.events import Compose, ScreenResume
from textual.geometry import Size

if TYPE_CHECKING:
    from textual.screen import Screen

    _Screen = Screen[Any]
else:
    _Screen = object  # not one more base that Textual would take styles from


class SteadyScreen(_Screen):
    """Stands before the kind of screen among the bases. Nothing that it does needs to be called."""

    _is_fresh = True
    """Whether it hasn't been on top yet."""
    _paints_later = True
    """Whether painting waits: until all is sized when the screen is opened, until all is laid out later on."""
    _has_to_paint = False

    async def _on_compose(self, _: Compose) -> None:  # Textual calls it, then its own
        width, height = self.app.size
        self.add_class(
            *self._get_breakpoint_classes(width, self.HORIZONTAL_BREAKPOINTS or []),
            *self._get_breakpoint_classes(height, self.VERTICAL_BREAKPOINTS or []),
        )

    def _on_screen_resume(self, event: ScreenResume) -> None:
        if self._is_fresh:
            self._is_fresh = False
            event.refresh_styles = False

    def _screen_resized(self, size: Size) -> None:
        # Each layout in another size tells the screen of that size again: two on their way at once would go on for ever.
        if size == self.app.size != self._compositor.size:
            super()._screen_resized(size)

    def _on_timer_update(self) -> None:
        self._paints_later = True
        try:
            super()._on_timer_update()
        finally:
            self._paints_later = False
        if self._has_to_paint:
            self._compositor_refresh()

    def _compositor_refresh(self) -> None:
        self._has_to_paint = self._paints_later
        if not self._paints_later:
            super()._compositor_refresh()
