"""The tables of the usage screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.binding import BindingType

from opsconsole_console import format as fmt
from opsconsole_console.model.usage import Standing, at_limit, held_text, hours
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.widget.bar import bar
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import LineRow

_HOTKEYS = {
    "name": "W", "gpu": "S", "part": "P", "cpu": "C", "tasks": "K", "held": "N", "had": "H", "weight": "E", "limits": "L"
}  # fmt: skip
_NEXT_HOTKEYS = {
    "place": "O", "priority": "I", "project": "R", "person": "W", "jobs": "J", "project_had": "P", "person_had": "H",
    "first": "F", "reason": "Y",
}  # fmt: skip
_WIDE_CELLS = 100


class UsagePane(TablePane[Standing]):
    """Who had what, who has what, and how much they may have."""

    nothing = "Nothing has run in this time"
    BINDINGS: ClassVar[list[BindingType]] = [*sort_bindings("usage", _HOTKEYS)]

    def __init__(self) -> None:
        super().__init__(number=1, title="Usage", id="usage")

    def make_table(self) -> LiveTable[str, Standing]:
        table: LiveTable[str, Standing] = LiveTable(self.columns(80), flush_hz=None, id="usage-table")
        table.sort_by("gpu")
        return table

    def columns(self, width: int) -> Sequence[Column[Standing]]:
        cells = 8 if width < _WIDE_CELLS else 20
        return (
            Column("name", "WHO", lambda one: cell(one.name, "bold"), 10, flex=2, width_max=30, priority=10, named=True,
                   sort_key=lambda one: one.name.casefold(), hotkey="W"),
            Column("gpu", "GPU HOURS", lambda one: hours(one.gpu_ms), 11, align="right", priority=9, descending=True,
                   sort_key=lambda one: one.gpu_ms, hotkey="S"),
            Column("part", "PART", lambda one: _part(one, cells), cells + 6, priority=7, descending=True,
                   sort_key=lambda one: one.part, hotkey="P"),
            Column("held", "NOW", _held, 16, flex=2, width_max=34, priority=8, descending=True,
                   sort_key=lambda one: (one.held["gpus"], one.held["tasks"]), hotkey="N"),
            Column("weight", "WEIGHT", lambda one: f"{one.share.weight:g}", 6, align="right", priority=6, descending=True,
                   sort_key=lambda one: one.share.weight, hotkey="E"),
            Column("had", "HAD", lambda one: hours(one.weight_ms), 8, align="right", priority=5, descending=True,
                   sort_key=lambda one: one.weight_ms, hotkey="H", tone="text-muted"),
            Column("tasks", "TASKS", lambda one: fmt.count(one.tasks), 6, align="right", priority=4, descending=True,
                   sort_key=lambda one: one.tasks, hotkey="K", tone="text-muted"),
            Column("cpu", "CPU HOURS", lambda one: hours(one.cpu_ms), 9, align="right", priority=3, descending=True,
                   sort_key=lambda one: one.cpu_ms, hotkey="C", tone="text-muted"),
            Column("limits", "LIMITS", lambda one: one.share.limits.words, 12, flex=3, priority=2, tone="text-muted", hotkey="L",
                   sort_key=lambda one: one.share.limits.words or None),
        )  # fmt: skip

    def properties(self, row: Standing) -> Mapping[str, Any]:
        return {"person": row.person, "project": row.project, "gpu_hours": row.gpu_ms / 3_600_000, "weight": row.share.weight,
                "tasks": row.tasks, **{f"{key}_now": amount for key, amount in row.held.items()}}  # fmt: skip

    def haystack(self, row: Standing) -> str:
        return row.name.casefold()


def _part(one: Standing, cells: int) -> Cell:
    return Cell(((bar(one.part, cells), "bar"), (fmt.percent(one.part).rjust(6), "")))


def _held(one: Standing) -> Cell:
    is_full = at_limit(one) and not (one.person and one.project)
    return cell(held_text(one), "state-blocked" if is_full else "")


@dataclass(frozen=True)
class Turn:
    """A line of waiting jobs, and its place: 1 is next."""

    place: int
    line: LineRow


class NextPane(TablePane[Turn]):
    """Whose turn is next, and why."""

    nothing = "No job waits"
    BINDINGS: ClassVar[list[BindingType]] = [*sort_bindings("next", _NEXT_HOTKEYS)]

    def __init__(self) -> None:
        super().__init__(number=2, title="Next", id="next")

    def make_table(self) -> LiveTable[str, Turn]:
        table: LiveTable[str, Turn] = LiveTable(self.columns(80), flush_hz=None, id="next-table")
        table.sort_by("place")
        return table

    def columns(self, width: int) -> Sequence[Column[Turn]]:  # noqa: ARG002 - the same at every width
        return (
            Column("place", "ORDER", lambda turn: str(turn.place), 7, align="right", priority=9, hotkey="O",
                   sort_key=lambda turn: turn.place),
            Column("priority", "PRIO", lambda turn: str(turn.line.priority), 4, align="right", priority=6, hotkey="I",
                   descending=True, sort_key=lambda turn: turn.line.priority),
            Column("project", "PROJECT", lambda turn: turn.line.project, 8, flex=1, width_max=16, priority=8, hotkey="R",
                   sort_key=lambda turn: turn.line.project),
            Column("person", "WHO", lambda turn: cell(turn.line.person, "bold"), 6, flex=1, width_max=16, priority=8,
                   hotkey="W", sort_key=lambda turn: turn.line.person),
            Column("jobs", "JOBS", lambda turn: fmt.count(turn.line.jobs), 5, align="right", priority=5, hotkey="J",
                   descending=True, sort_key=lambda turn: turn.line.jobs),
            Column("project_had", "PROJECT HAD", lambda turn: hours(turn.line.project_standing_ms), 11, align="right",
                   priority=7, hotkey="P", sort_key=lambda turn: turn.line.project_standing_ms),
            Column("person_had", "PERSON HAD", lambda turn: hours(turn.line.person_standing_ms), 10, align="right",
                   priority=7, hotkey="H", sort_key=lambda turn: turn.line.person_standing_ms),
            Column("first", "FIRST JOB", lambda turn: turn.line.first_job, 10, priority=4, tone="text-muted", hotkey="F",
                   sort_key=lambda turn: turn.line.first_job),
            Column("reason", "WHY IT WAITS", lambda turn: turn.line.reason, 16, flex=4, priority=6, tone="text-muted",
                   hotkey="Y", sort_key=lambda turn: turn.line.reason),
        )  # fmt: skip

    def properties(self, row: Turn) -> Mapping[str, Any]:
        return {
            "project": row.line.project,
            "person": row.line.person,
            "priority": row.line.priority,
            "jobs": row.line.jobs,
        }

    def haystack(self, row: Turn) -> str:
        return f"{row.line.project} {row.line.person} {row.line.first_job} {row.line.reason}".casefold()
