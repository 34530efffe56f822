"""This terminal, while a program elsewhere has it: every key goes there, and it is given back as it was."""

from __future__ import annotations

import os
import termios
import tty
from types import TracebackType
from typing import Self

from opsconsole_protocol.stream.message import Terminal

_CLEAN = b"\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[0m\r\n"
"""Leaves what a full-screen program that couldn't end itself may have switched on."""


class RawTerminal:
    """The terminal of this process. A context, in which `begin` hands it over."""

    def __init__(self, stdin: int = 0, stdout: int = 1) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._before = termios.tcgetattr(stdin)
        self._is_raw = False
        self.is_clean = False
        """The program has ended by itself, and left the terminal as it wants it."""

    def begin(self) -> None:
        """From now on each key goes on as it is typed."""
        tty.setraw(self._stdin, termios.TCSADRAIN)  # what was typed already is for the program, too
        self._is_raw = True

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return os.get_terminal_size(self._stdout)

    def as_asked_for(self) -> Terminal:
        """What the program is told of it."""
        columns, rows = self.size()
        return Terminal(
            columns=columns, rows=rows, kind=os.environ.get("TERM", ""), colors=os.environ.get("COLORTERM", "")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_raw:
            termios.tcsetattr(self._stdin, termios.TCSADRAIN, self._before)
            if not self.is_clean:
                os.write(self._stdout, _CLEAN)
