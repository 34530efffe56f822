"""The table of the metrics screen: what was reported, one line a metric."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from opsconsole_console import format as fmt
from opsconsole_console.model.metric import MetricLine
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.curve import scale
from opsconsole_console.widget.live_table import LiveTable

_WHOLE_STEP_MAX = 1e8
_HOTKEYS = {"name": "N", "last": "L"}


class MetricTable(LiveTable[str, MetricLine]):
    """The metrics; from there it goes on to the curves."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "Curves", id="table.open")]


class MetricPane(TablePane[MetricLine]):
    """Metrics in the order in which they were first reported. Those that are marked are drawn, or the one under the cursor."""

    nothing = "Nothing was reported yet\n\nimport opsconsole in the task: see docs/training.md"
    BINDINGS: ClassVar[list[BindingType]] = [*sort_bindings("metrics", _HOTKEYS)]

    def __init__(self) -> None:
        super().__init__(number=1, title="Metrics", id="metrics")

    def make_table(self) -> LiveTable[str, MetricLine]:
        return MetricTable(self.columns(80), flush_hz=None, id="metric-table")

    def columns(self, width: int) -> Sequence[Column[MetricLine]]:  # noqa: ARG002 - the same at every width
        return (
            Column("name", "NAME", name_cell, 12, flex=2, priority=9, sort_key=lambda row: row.name,
                   hotkey=_HOTKEYS["name"]),
            Column("last", "LAST", lambda row: figure(row.last), 9, align="right", priority=8,
                   sort_key=lambda row: None if math.isnan(row.last) else row.last, hotkey=_HOTKEYS["last"]),
            Column("least", "LEAST", lambda row: figure(row.least), 9, align="right", priority=7),
            Column("greatest", "GREATEST", lambda row: figure(row.greatest), 9, align="right", priority=6),
            Column("step", "STEP", lambda row: _step(row.last_step), 10, align="right", priority=5),
            Column("points", "POINTS", lambda row: fmt.count(row.points), 7, align="right", priority=3, tone="text-muted"),
        )  # fmt: skip

    def properties(self, row: MetricLine) -> Mapping[str, Any]:
        return {"name": row.name, "last": row.last, "least": row.least, "greatest": row.greatest, "points": row.points}

    def haystack(self, row: MetricLine) -> str:
        return row.name.casefold()


def name_cell(row: MetricLine) -> Cell:
    """The name, and whether the metric was read in what a task printed."""
    return cell(row.name) + cell(" printed" if row.is_recognised else "", "text-muted")


def figure(value: float) -> str:
    """A value in about four figures; empty where there is none."""
    if math.isinf(value):
        return f"{value}"
    return "" if math.isnan(value) else scale.figure(value)


def _step(value: float) -> str:
    """A step in full, as far as there is room for it."""
    return f"{value:,.0f}" if abs(value) < _WHOLE_STEP_MAX and value == round(value) else figure(value)
