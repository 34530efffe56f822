"""What a log pane asks of the screen around it. The pane itself is imported when the first log is opened."""

from dataclasses import dataclass

from textual.message import Message

from opsconsole_console.model.log_target import LogTarget


class LogLeft(Message):
    """Escape was pressed, and there is nothing to undo in the pane."""


@dataclass
class LogClosed(Message):
    """The pane with this number wants to be closed."""

    number: int


@dataclass
class LogSplit(Message):
    """One more pane on this log is wanted."""

    target: LogTarget
