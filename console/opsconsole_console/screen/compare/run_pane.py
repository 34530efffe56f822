"""The table of runs: what they were given where that differs, and one value of each metric."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from opsconsole_console import format as fmt
from opsconsole_console.model.comparison import Field, Kind, Of, Run, fields
from opsconsole_console.model.metric import first_shown
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import width as cells_of
from opsconsole_console.widget.column import Column, arrange
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.sign import sign

_HOTKEYS: Mapping[str, str] = {Kind.RUN: "R", Kind.JOB: "J", Kind.STATE: "S"}
_STATE_CELLS = 15
_CELLS_MIN, _CELLS_MAX = 5, 18
_FIGURE_CELLS = 10
_PRIORITIES = {Kind.RUN: 20, Kind.PARAMETER: 10, Kind.STATE: 9, Kind.METRIC: 7, Kind.JOB: 5}
_CHOSEN_PRIORITY, _SORTED_PRIORITY = 19, 18
_FIGURES_MEASURED = 500


class RunPane(TablePane[Run]):
    """A row for each run. The chosen metric stands before all others, and is what is drawn of the marked runs."""

    nothing = "No tasks"
    BINDINGS: ClassVar[list[BindingType]] = [
        *sort_bindings("runs", _HOTKEYS),
        Binding("less_than_sign", "sort_beside(-1)", "Sort further left", show=False, key_display="<",
                tooltip="By the column to the left of the sorted one", id="runs.sort_left"),
        Binding("greater_than_sign", "sort_beside(1)", "Sort", key_display="< >",
                tooltip="By the column to the right of the sorted one", id="runs.sort_right"),
        Binding("r", "reverse", "Reverse", show=False, tooltip="Sort the other way round", id="runs.reverse"),
        Binding("o", "of", "Value", tooltip="The last, least or greatest of each metric", id="runs.of"),
        Binding("m", "choose(1)", "Metric", tooltip="Choose the next metric", id="runs.metric"),
        Binding("M", "choose(-1)", "Metric before", show=False, tooltip="Choose the metric before", id="runs.metric_before"),
    ]  # fmt: skip

    def __init__(self, short_id: Callable[[str], str]) -> None:
        """`short_id`: how a job's id is shown."""
        self._short_id = short_id
        self._fields: list[Field] = fields((), Of.LAST)
        self._runs: Mapping[str, Run] = {}
        self._are_of_several_jobs = False
        self._cells: dict[str, int] = {}
        self.of = Of.LAST
        self.metric: str | None = None
        """The chosen one."""
        super().__init__(number=1, title="Runs", id="runs")

    def make_table(self) -> LiveTable[str, Run]:
        return LiveTable(self.columns(80), flush_hz=None, id="run-table")

    # -- rows -----------------------------------------------------------------------------------------------------

    def show_runs(self, runs: Mapping[str, Run], changed: Mapping[str, Run]) -> None:
        """Show these runs; only those of `changed` are others than before."""
        is_first = not self.table.total
        known = self._runs
        self._runs = runs
        if (
            is_first
            or known.keys() != runs.keys()
            or any(_has_more(known.get(key), run) for key, run in changed.items())
        ):
            self._set_fields()
        if is_first:
            self.table.set_rows(runs)
        else:
            self.table.upsert(changed)
        self.table.flush()

    def _set_fields(self) -> None:
        found = fields(self._runs.values(), self.of)
        metrics = [field.name for field in found if field.kind is Kind.METRIC]
        if self.metric not in metrics:
            self.metric = first_shown(metrics)
        self._fields = found
        self._are_of_several_jobs = len({run.job_id for run in self._runs.values()}) > 1
        self._measure()
        self._refit()

    @property
    def every_field(self) -> list[Field]:
        """All columns, for a file."""
        return self._fields

    def _shown_fields(self) -> list[Field]:
        """The columns in the order in which they stand: the chosen metric is the first of the metrics."""
        fixed = [one for one in self._fields if one.kind in _HOTKEYS]
        fixed = [one for one in fixed if one.kind is not Kind.JOB or self._are_of_several_jobs]
        given = [one for one in self._fields if one.kind is Kind.PARAMETER]
        metrics = [one for one in self._fields if one.kind is Kind.METRIC]
        metrics.sort(key=lambda one: one.name != self.metric)
        return [*fixed, *given, *metrics]

    def properties(self, row: Run) -> Mapping[str, Any]:
        return {field.title: field.value(row, self.of) for field in self._fields}

    def haystack(self, row: Run) -> str:
        given = " ".join(f"{name}={value}" for name, value in row.parameters.items())
        return f"{row.id} {row.job} {row.state} {given}".casefold()

    # -- columns --------------------------------------------------------------------------------------------------

    def columns(self, width: int) -> Sequence[Column[Run]]:  # noqa: ARG002 - the table leaves out what has no room
        return [self._column(field) for field in self._shown_fields()]

    def _column(self, field: Field) -> Column[Run]:
        is_sorted = bool(self._runs) and field.key == self.table.sorted_by
        is_chosen = field.kind is Kind.METRIC and field.name == self.metric
        priority = _PRIORITIES[field.kind]
        return Column(
            field.key,
            clean(field.title).upper(),
            partial(self._content, field),
            self._cells.get(field.key, _CELLS_MIN),
            align="right" if field.kind in (Kind.PARAMETER, Kind.METRIC) else "left",
            sort_key=lambda run: field.sort_value(run, self.of),
            priority=_CHOSEN_PRIORITY if is_chosen else _SORTED_PRIORITY if is_sorted else priority,
            hotkey=_HOTKEYS.get(field.kind, ""),
            tone="bold" if is_chosen else "",
        )

    def _content(self, field: Field, run: Run) -> Any:
        match field.kind:
            case Kind.RUN:
                return self._run_name(run)
            case Kind.STATE:
                return sign(run.state).cell
            case _:
                return field.text(run, self.of)

    def _run_name(self, run: Run) -> str:
        return f"{self._short_id(run.job_id)}/{run.name}" if self._are_of_several_jobs else run.name

    def _measure(self) -> None:
        """How many cells each column takes: texts as wide as the widest, figures as most are."""
        rows = list(self._runs.values())
        self._cells = {Kind.STATE.value: _STATE_CELLS}
        for field in self._fields:
            if field.kind is Kind.STATE:
                continue
            is_figure = field.kind is Kind.METRIC
            looked_at = rows[:_FIGURES_MEASURED] if is_figure else rows
            texts = {str(self._content(field, run)) for run in looked_at}
            widest = max((cells_of(clean(one)) for one in texts), default=0)
            widest = max(widest, cells_of(clean(field.title)) + 1, _FIGURE_CELLS if is_figure else _CELLS_MIN)
            self._cells[field.key] = min(_CELLS_MAX, widest)

    def _refit(self) -> None:
        """The columns are others: sorted by the same one as before, where it is still there."""
        key, reverse = self.table.sorted_by, self.table.reverse
        self.fit_columns(anew=True)
        if key is not None and self.table.sorted_by == key:
            self.table.sort_by(key, reverse=reverse)
        self.show_state()

    def on_resize(self) -> None:
        super().on_resize()
        self.call_after_refresh(self.show_state)

    def show_state(self) -> None:
        super().show_state()
        columns = self.table.columns
        hidden = len(columns) - len(arrange(columns, self.table.size.width or self.size.width))
        words = [self.state] if self.state else []
        if hidden > 0:
            words.append(f"{fmt.plural(hidden, 'column')} more: m")
        self.state = "  ".join([*words, f"{self.of} of each metric"])

    # -- actions --------------------------------------------------------------------------------------------------

    def action_sort(self, key: str) -> None:
        if any(column.key == key for column in self.table.columns):
            super().action_sort(key)
            self._refit()

    def action_sort_beside(self, step: int) -> None:
        keys = [column.key for column in self.table.columns]
        key = self.table.sorted_by
        place = keys.index(key) + step if key in keys else (0 if step > 0 else -1)
        self.table.sort_by(keys[place % len(keys)])
        self._refit()

    def action_reverse(self) -> None:
        if self.table.sorted_by is not None:
            self.table.sort_by(self.table.sorted_by)

    def action_of(self) -> None:
        self.of = self.of.next
        self._set_fields()
        self.table.touch()

    def action_choose(self, step: int) -> None:
        metrics = [field.name for field in self._fields if field.kind is Kind.METRIC]
        if metrics:
            place = metrics.index(self.metric) if self.metric in metrics else 0
            self.metric = metrics[(place + step) % len(metrics)]
            self._refit()


def _has_more(before: Run | None, now: Run) -> bool:
    """Whether a run has metrics that it hadn't: there may be columns for them."""
    return before is None or before.metrics.keys() != now.metrics.keys() or before.parameters != now.parameters
