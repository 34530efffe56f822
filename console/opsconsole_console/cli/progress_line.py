"""How far transfers are, on stderr: one line that is written over in a terminal, and now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.output import cut, say
from opsconsole_console.visible import clean

if TYPE_CHECKING:
    from opsconsole.transfer.row import TransferRow

_LINE_S = 10.0
"""Between two lines where nothing can be written over."""
_WIDTH = 78


class ProgressLine:
    """Shows the transfers of one command. `show` may be called from any thread.

    `notes`: tell also by which way the bytes go, and why. `is_live`: whether a line may be written over, which only does while
    nothing else is written to the terminal.
    """

    def __init__(self, *, notes: bool = False, is_live: bool = True, quiet: bool = False) -> None:
        self._notes = notes
        self._quiet = quiet
        self._is_live = is_live and sys.stderr.isatty()
        self._is_drawn = False
        self._said_s = time.monotonic()
        self._noted: set[tuple[str, str]] = set()

    def show(self, row: TransferRow) -> None:
        """A transfer has got further."""
        if self._quiet:
            return
        if self._notes and row.note and (row.id, row.note) not in self._noted:
            self._noted.add((row.id, row.note))
            self.say(f"  {row.note}")
        if row.is_over:
            self.clear()
        elif self._is_live:
            sys.stderr.write(f"\r\x1b[K{cut(clean(text(row)), _WIDTH)}")
            sys.stderr.flush()
            self._is_drawn = True
        elif time.monotonic() - self._said_s >= _LINE_S:
            self._said_s = time.monotonic()
            say(text(row))

    def say(self, line: str) -> None:
        """A line that stays."""
        self.clear()
        if not self._quiet:
            say(line)

    def clear(self) -> None:
        """Take the line away."""
        if self._is_drawn:
            self._is_drawn = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def text(row: TransferRow) -> str:
    """`data.csv to gpu-a: 41 % of 12 GB, 95 MB/s, 2m 05s left`."""
    parts = [
        f"{fmt.percent(row.bytes_done / row.bytes_total)} of {fmt.size(row.bytes_total)}"
        if row.bytes_total
        else row.phase
    ]
    if row.files_total > 1:
        parts.append(f"{row.files_done:,} of {row.files_total:,} files")
    if row.rate_bytes_s is not None:
        parts.append(f"{fmt.size(row.rate_bytes_s)}/s")
    if row.left_ms is not None:
        parts.append(f"{fmt.duration(row.left_ms, figures=2)} left")
    what = "looking at " if row.phase == "scanning" else ""
    return f"{what}{row.title}: {', '.join(parts)}"


def summary(row: TransferRow) -> str:
    """`3 files, 12 MB (4.0 MB of it was there already) by a direct connection in 2s, 6 MB/s`."""
    files = "" if row.files_total == 1 else f"{fmt.plural(row.files_total, 'file')}, "
    place = "here" if row.kind == "get" else "there"
    if row.bytes_total and row.bytes_known == row.bytes_total:
        return f"{files}{fmt.size(row.bytes_total)}, already {place}"
    parts = [f"{fmt.size(row.bytes_known)} of it was {place} already"] if row.bytes_known else []
    parts += [f"{fmt.size(row.bytes_empty)} of it is empty"] if row.bytes_empty else []
    known = f" ({', '.join(parts)})" if parts else ""
    way = "" if row.way is None else f" by {WAYS.get(row.way, row.way)}{f' with {row.engine}' if row.engine else ''}"
    took = "" if row.ended_at_ms is None else f" in {fmt.duration(row.ended_at_ms - row.started_at_ms, figures=2)}"
    rate = "" if row.rate_bytes_s is None else f", {fmt.size(row.rate_bytes_s)}/s"
    return f"{files}{fmt.size(row.bytes_total)}{known}{way}{took}{rate}"


WAYS = {"direct": "a direct connection", "relay": "the coordinator's relay", "webrtc": "WebRTC"}
Say = Callable[[str], None]
