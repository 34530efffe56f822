"""The right side: as many log panes as fit, each following its own task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events, on
from textual.containers import Container
from textual.message import Message

from opsconsole_console.model.log_target import LogTarget
from opsconsole_console.screen.part.log_message import LogClosed, LogSplit

if TYPE_CHECKING:
    from opsconsole_console.screen.part.log_pane import LogPane

FIRST_NUMBER = 3
"""Panes 1 and 2 are the tables."""


class LogGrid(Container):
    """A grid of log panes. What doesn't fit stays open, unseen, until there is room or it is focused."""

    DEFAULT_CSS = """
    LogGrid {
        layout: grid;
        grid-size: 1;
        width: 1fr;
        height: 1fr;
        display: none;
        &.-open { display: block; }
    }
    """

    class Changed(Message):
        """A pane was opened or closed."""

    def __init__(self) -> None:
        super().__init__(id="logs")
        self._panes: list[LogPane] = []
        self._by_last_use: list[LogPane] = []
        self._fitting = 1

    @property
    def opened(self) -> int:
        """How many panes are open."""
        return len(self._panes)

    @property
    def panes(self) -> Sequence["LogPane"]:
        """The open panes, by number."""
        return tuple(self._panes)

    def open(self, target: LogTarget, *, again: bool = False, focus: bool = True) -> "LogPane":
        """A pane on this log: the one that has it already, unless `again`, or a new one. Focuses it unless told not to."""
        if not again:
            for pane in self._panes:
                if pane.target == target:
                    self.show_pane(pane)
                    return pane
        from opsconsole_console.screen.part.log_pane import LogPane

        pane = LogPane(target, number=FIRST_NUMBER + len(self._panes))
        self._panes.append(pane)
        self._by_last_use.append(pane)
        self.mount(pane)
        self.add_class("-open")
        self.post_message(self.Changed())
        if focus:
            self.call_after_refresh(self.show_pane, pane)
        return pane

    @on(LogClosed)
    async def _close_pane(self, event: LogClosed) -> None:
        event.stop()
        await self.close(self._panes[event.number - FIRST_NUMBER])

    @on(LogSplit)
    def _split_pane(self, event: LogSplit) -> None:
        event.stop()
        self.open(event.target, again=True)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for pane in self._panes:
            if pane in event.widget.ancestors_with_self:
                self.touch(pane)

    async def close(self, pane: "LogPane") -> None:
        """Close a pane; the one used before it gets the focus."""
        self._panes.remove(pane)
        self._by_last_use.remove(pane)
        await pane.remove()
        for index, left in enumerate(self._panes):
            left.renumber(FIRST_NUMBER + index)
        self.set_class(bool(self._panes), "-open")
        self.post_message(self.Changed())
        if self._by_last_use:
            self.show_pane(self._by_last_use[-1])

    def focus_pane(self, number: int) -> None:
        """Focus the pane with this number, if it is open."""
        index = number - FIRST_NUMBER
        if 0 <= index < len(self._panes):
            self.show_pane(self._panes[index])

    def show_pane(self, pane: "LogPane") -> None:
        """Bring a pane into sight and focus it."""
        if pane not in self._panes:
            return
        self.touch(pane)
        self._show_fitting()
        pane.focus_log()

    def touch(self, pane: "LogPane") -> None:
        """This pane is used now: others give way first."""
        if pane in self._by_last_use:
            self._by_last_use.remove(pane)
            self._by_last_use.append(pane)

    def lay_out(self, columns: int, fitting: int) -> None:
        """Show the `fitting` panes used last, in `columns` columns."""
        self.styles.grid_size_columns = max(1, columns)
        self._fitting = max(1, fitting)
        self._show_fitting()

    def _show_fitting(self) -> None:
        shown = set(self._by_last_use[-self._fitting :])
        for pane in self._panes:
            pane.display = pane in shown
        hidden = len(self._panes) - len(shown)
        for pane in self._panes:
            pane.show_hidden(hidden)
