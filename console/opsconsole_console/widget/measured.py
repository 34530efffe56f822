"""Widgets as high as what they show, whenever that changes."""

from typing import TYPE_CHECKING, Any, Self

from textual.geometry import Region

if TYPE_CHECKING:
    from textual.widget import Widget as _Widget
else:
    _Widget = object  # not one more base that Textual would take styles from


class Measured(_Widget):
    """Is measured anew after every change of its size.

    Textual counts only the first of several changes between two idle moments of a widget: a height that was measured after
    that first one is taken for right from then on, and lines that came with the next change stay hidden.
    """

    def refresh(self, *regions: Region, layout: bool = False, **how: Any) -> Self:
        if layout:
            self._layout_updates += 1
        return super().refresh(*regions, layout=layout, **how)
