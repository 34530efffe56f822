"""Where the panes of a job's screen go, for a size and a number of tasks. Pure."""

from typing import NamedTuple

_SIDE_BY_SIDE_CELLS = 140
_MORE_CELLS = 100
_LEFT_CELLS_MIN, _LEFT_CELLS_MAX = 66, 96
_MORE_LINES_MIN = 6
_TASKS_LINES_MIN = 4


class Arrangement(NamedTuple):
    """`beside`: the log stands right of the tasks, else below them; it has all that the tasks don't need.

    `tasks_cells` and `tasks_lines` are the room for tasks and what stands with them, None: all there is. `list_lines` is
    what the list of tasks has of it. `more`: events or the spec have room of their own.
    """

    beside: bool
    tasks_cells: int | None
    tasks_lines: int | None
    list_lines: int | None
    more: bool


def arrange(width: int, lines: int, needed: int) -> Arrangement:
    """`needed` lines would show every task."""
    if width >= _SIDE_BY_SIDE_CELLS:
        cells = max(_LEFT_CELLS_MIN, min(_LEFT_CELLS_MAX, width * 45 // 100))
        more = lines >= 2 * _MORE_LINES_MIN
        list_lines = min(needed, max(_TASKS_LINES_MIN, lines * 3 // 5)) if more else None
        return Arrangement(True, cells, None, list_lines, more)
    more = width >= _MORE_CELLS
    wanted = max(needed, _MORE_LINES_MIN + 2) if more else needed
    return Arrangement(False, None, max(_TASKS_LINES_MIN, min(wanted, lines * 2 // 5)), None, more)
