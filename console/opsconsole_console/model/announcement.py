"""How a failure is announced to somebody who looks elsewhere: a bell, or the desktop's own notification. Pure."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import crop
from opsconsole_protocol.api import JobRow

Notify: TypeAlias = Literal["none", "bell", "osc9"]

GAP_S = 3.0
"""No more often than this, however many jobs fail."""

_TEXT_CELLS = 120
_NAMES = 3


def announcement(jobs: Sequence[JobRow]) -> str:
    """`train-lr2 failed: exit code 1`, `5 jobs failed: a, b, c and 2 more`."""
    if len(jobs) == 1:
        reason = f": {jobs[0].reason}" if jobs[0].reason else ""
        return f"{jobs[0].name} failed{reason}"
    names = ", ".join(job.name for job in jobs[:_NAMES])
    more = f" and {len(jobs) - _NAMES} more" if len(jobs) > _NAMES else ""
    return f"{len(jobs)} jobs failed: {names}{more}"


def sequence(notify: Notify, text: str, *, in_tmux: bool) -> str:
    """What to write to the terminal. tmux passes what it doesn't know itself only where it is wrapped and allowed to."""
    if notify == "bell":
        return "\a"
    if notify != "osc9":
        return ""
    notice = f"\x1b]9;{crop(clean(text), _TEXT_CELLS)}\a"
    return "\x1bPtmux;" + notice.replace("\x1b", "\x1b\x1b") + "\x1b\\" if in_tmux else notice
