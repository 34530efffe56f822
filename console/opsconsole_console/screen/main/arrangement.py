"""Where the panes of the first screen go, for a terminal's size. Pure."""

from typing import NamedTuple

STACKED_BELOW_CELLS = 120
_LOG_CELLS_MIN = 58
"""A log narrower than this can't be read: its clock, its frame, and 46 of its own."""
_TABLES_CELLS_MIN, _TABLES_CELLS_MAX = 82, 136
_SIDE_BY_SIDE_CELLS = 220
_LOG_CELLS = 72
_LOG_LINES_MIN = 6
_TWO_TABLES_LINES_MIN = 30
_CHROME_LINES = 2
"""Header and footer."""


class Arrangement(NamedTuple):
    """`tables_cells` or `tables_lines` is how much the tables get where logs are beside or below them; None: all.

    `workers_lines` None: workers and jobs share evenly. `one_table`: only the table used last is shown.
    """

    stacked: bool
    side_by_side: bool
    one_table: bool
    tables_cells: int | None
    tables_lines: int | None
    workers_lines: int | None
    log_columns: int
    log_rows: int

    @property
    def logs_fitting(self) -> int:
        """How many log panes have room."""
        return self.log_columns * self.log_rows


def arrange(width: int, height: int, logs: int, workers_wanted: int) -> Arrangement:
    """`logs` panes are open; `workers_wanted` lines would show every worker."""
    lines = max(4, height - _CHROME_LINES)
    if width < STACKED_BELOW_CELLS:
        return _stacked(width, lines, logs, workers_wanted)
    workers_lines = min(workers_wanted, max(8, lines * 2 // 5))
    if not logs:
        side_by_side = width >= _SIDE_BY_SIDE_CELLS
        return Arrangement(False, side_by_side, False, None, None, None if side_by_side else workers_lines, 1, 1)
    tables_cells = max(_TABLES_CELLS_MIN, min(_TABLES_CELLS_MAX, width * 52 // 100))
    room = width - tables_cells
    if room < _LOG_CELLS_MIN:
        return _stacked(width, lines, logs, workers_wanted)
    columns = max(1, min(logs, room // _LOG_CELLS))
    rows = max(1, lines // _LOG_LINES_MIN)
    return Arrangement(False, False, False, tables_cells, None, workers_lines, columns, rows)


def _stacked(width: int, lines: int, logs: int, workers_wanted: int) -> Arrangement:
    if not logs:
        return Arrangement(True, False, False, None, None, min(workers_wanted, max(6, lines * 2 // 5)), 1, 1)
    tables_lines = max(6, lines // 2)
    one_table = lines < _TWO_TABLES_LINES_MIN
    rows = max(1, (lines - tables_lines) // _LOG_LINES_MIN)
    columns = max(1, min(width // _LOG_CELLS_MIN, -(-logs // rows)))
    workers_lines = min(workers_wanted, tables_lines // 2)
    return Arrangement(True, False, one_table, None, tables_lines, workers_lines, columns, rows)
