"""The command line: typed at the bottom, completions above it."""

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from opsconsole_console.model import command as commands
from opsconsole_console.model.command import Completion, Names
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Caption, TextBox

_SHOWN_MAX = 12
_history: list[str] = []


class CommandScreen(SteadyScreen, ModalScreen[str]):
    """Returns the line that was entered, or an empty one. Up and down choose, tab completes."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Back", id="command.back"),
        Binding("tab", "complete", "Complete", id="command.complete", priority=True),
        Binding("down,ctrl+n", "choose(1)", "Next", show=False, id="command.next", priority=True),
        Binding("up,ctrl+p", "choose(-1)", "Previous", show=False, id="command.previous", priority=True),
    ]

    def __init__(self, names: Names, *, read_only: bool = False) -> None:
        super().__init__()
        self._names = names
        self._read_only = read_only
        self._chosen = False
        self._table: LiveTable[str, Completion] = LiveTable(
            (
                Column("line", "COMMAND", lambda c: c.line, 24, flex=2, priority=9),
                Column("help", "", lambda c: c.help, 20, flex=3, tone="text-muted"),
            ),
            flush_hz=None,
        )
        self._table.can_focus = False

    def compose(self) -> ComposeResult:
        with Vertical(id="command"):
            yield self._table
            with Horizontal(id="command-line"):
                yield Caption(":")
                yield TextBox(placeholder="command, tab completes")

    def on_mount(self) -> None:
        self._show_completions("")

    def action_leave(self) -> None:
        self.dismiss("")

    def action_complete(self) -> None:
        row = self._table.cursor_row
        if row is not None:
            self._set_line(row.line)

    def action_choose(self, by: int) -> None:
        box = self.query_one(Input)
        if by < 0 and _history and not self._chosen and box.value in ("", *_history):
            place = _history.index(box.value) if box.value in _history else len(_history)
            self._set_line(_history[max(0, place - 1)])
            return
        if self._chosen:
            self._table.action_move(by)
        self._chosen = True

    @on(Input.Changed)
    def _complete_typed(self, event: Input.Changed) -> None:
        self._show_completions(event.value)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        line = event.value
        row = self._table.cursor_row
        if row is not None and (self._chosen or _unfinished(line, row)):
            line = row.line
            if line.endswith((" ", "=", "~")) and not commands.is_complete(line):
                self._set_line(line)
                return
        if line.strip():
            _history[:] = [*(one for one in _history if one != line), line][-100:]
        self.dismiss(line)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.dismiss("")

    @on(LiveTable.RowSelected)
    def _complete_picked(self) -> None:
        self.action_complete()

    def _set_line(self, line: str) -> None:
        box = self.query_one(Input)
        box.value = line
        box.cursor_position = len(line)

    def _show_completions(self, text: str) -> None:
        self._chosen = False
        found = commands.complete(text, self._names, read_only=self._read_only)
        self._table.set_rows({completion.line: completion for completion in found})
        self._table.action_top()
        self._table.styles.height = min(len(found), _SHOWN_MAX, max(1, self.size.height - 6)) + 1
        self._table.display = bool(found)


def _unfinished(line: str, completion: Completion) -> bool:
    """Whether what was typed is only the beginning of a command's name."""
    typed = line.lstrip().removeprefix(":")
    return bool(typed) and " " not in typed and completion.line.strip() != typed
