"""A screen that is styled and laid out once when it is opened.

Textual does it three times: as the screen is mounted, as it comes to the top, and as it learns its size, which sets the
classes of its breakpoints; and each time it learns its size it lays out the screens below it too.
"""

from typing import TYPE_CHECKING

from textual.events import Compose, ScreenResume
from textual.geometry import Size

if TYPE_CHECKING:
    from textual.screen import Screen

    _Screen = Screen[object]
else:
    _Screen = object  # not one more base that Textual would take styles from


class SteadyScreen(_Screen):
    """Stands before the kind of screen among the bases. Nothing that it does needs to be called."""

    _is_fresh = True
    """Whether it hasn't been on top yet."""

    def _on_compose(self, _: Compose) -> None:
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
        if size != self._compositor.size:
            super()._screen_resized(size)
