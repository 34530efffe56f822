"""Where in a log the failure stands that ended it. Pure."""

from collections.abc import Sequence

from opsconsole_console.widget.log_painter import is_error
from opsconsole_console.widget.shown_lines import shown_text
from opsconsole_protocol.log import LogLine, Source

_TRACEBACK = "Traceback (most recent call last)"
_TRACEBACK_LINES_MAX = 400
"""A traceback that begins further above the last error tells of something else."""


def failure_start(lines: Sequence[LogLine]) -> int | None:
    """The place of the last traceback's first line, else of the last line that tells of an error, or None without any.

    What we say ourselves at the end of a log counts only where the task said nothing.
    """
    last: int | None = None
    ours: int | None = None
    for place in range(len(lines) - 1, -1, -1):
        if last is not None and last - place > _TRACEBACK_LINES_MAX:
            return last
        line = lines[place]
        if line.source == Source.ERROR:
            ours = place
            continue
        text = shown_text(line)
        if _TRACEBACK in text:
            return place
        if last is None and is_error(line, text):
            last = place
    return last if last is not None else ours
